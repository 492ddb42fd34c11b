"""The control protocol as docs/protocols/control.md states it, from raw sockets."""
import json
import os
import signal
import socket
import stat

import pytest

from kithtest import BUILD, ControlError, wait_for

MIB = 1024 * 1024
LINE_MAX = 256 * 1024
DATA_MAX = 16 * MIB
CLIENTS_MAX = 128
REQUESTS_MAX = 1024


@pytest.fixture
def node(cluster):
    return cluster.start(1)[0]


def raw(control, data):
    control.socket.sendall(data)
    return control.receive()


def error_of(received, code):
    message, _ = received
    assert message["ok"] is False and message["error"]["code"] == code, message
    assert message["error"]["message"]
    return message


def at_end(control):
    """The agent has closed the stream."""
    try:
        return control.receive() is None
    except ConnectionResetError:
        return True


# ---- messages ----

@pytest.mark.parametrize("line", [b"not json", b"{}", b'{"id":1}', b"[1,2]", b"{}x", b'"text"', b"null",
                                  b'{"id":1,"verb":7}', b'{"id":1,"id":2,"verb":"hello"}'])
def test_bad_line_gets_an_error_and_the_stream_goes_on(node, line):
    with node.control() as control:
        message = error_of(raw(control, line + b"\n"), "KITH_E_PARSE")
        assert message["id"] is None and message["error"]["exit"] == 2
        assert control.request("hello")["protocol"] == 1


def test_ids_come_back_as_they_were(node):
    with node.control() as control:
        for number in (7, "seven", -1, 0, "9007199254740993", "\u00e9\n"):
            control.send({"id": number, "verb": "hello", "args": {}})
            assert control.receive()[0]["id"] == number


def test_unknown_verb_names_the_nearest(node):
    with node.control() as control:
        with pytest.raises(ControlError) as error:
            control.request("nods")
        assert error.value.code == "KITH_E_UNSUPPORTED" and "nodes" in error.value.message


def test_arguments_of_a_wrong_type_count_as_absent(node):
    with node.control() as control:
        with pytest.raises(ControlError) as error:
            control.request("call", {"fn": 7})
        assert error.value.code == "KITH_E_INVALID" and error.value.exit == 2
        assert control.request("nodes", {"programs": "yes"})["nodes"]
        assert control.request("call", {"fn": "sys.echo", "timeout_ms": []}, b"x")[1] == b"x"
        control.send({"id": 1, "verb": "nodes", "args": "none"})
        assert control.receive()[0]["ok"]


def test_line_at_the_limit_is_taken_and_one_above_is_not(node):
    def padded(size):
        line = b'{"id":1,"verb":"hello","args":{"x":"%s"}}'
        return line % (b"x" * (size - len(line) + 2))
    with node.control() as control:
        line = padded(LINE_MAX)
        assert len(line) == LINE_MAX
        assert raw(control, line + b"\n")[0]["ok"]
        error_of(raw(control, padded(LINE_MAX + 1) + b"\n"), "KITH_E_TOO_LARGE")
        assert at_end(control)
    with node.control() as control: # no newline at all
        error_of(raw(control, b"x" * (LINE_MAX + 1)), "KITH_E_TOO_LARGE")
        assert at_end(control)


def test_data_at_the_limit_is_taken_and_more_is_not(node):
    with node.control() as control:
        data = os.urandom(DATA_MAX)
        result, reply = control.request("call", {"fn": "sys.echo"}, data)
        assert result["outcome"] == "OK" and reply == data
        line = {"id": 1, "verb": "call", "args": {"fn": "sys.echo"}, "data_bytes": DATA_MAX + 1}
        error_of(raw(control, json.dumps(line).encode() + b"\n"), "KITH_E_TOO_LARGE")
        assert at_end(control)


@pytest.mark.parametrize("data_bytes", [-1, "7", 1.5])
def test_data_bytes_that_say_nothing_end_the_stream(node, data_bytes):
    with node.control() as control:
        line = json.dumps({"id": 1, "verb": "hello", "data_bytes": data_bytes}).encode()
        error_of(raw(control, line + b"\n"), "KITH_E_PARSE")
        assert at_end(control)


def test_messages_come_apart_and_together(node):
    one = b'{"id":1,"verb":"call","args":{"fn":"sys.echo"},"data_bytes":5}\nhello'
    with node.control() as control:
        for i in range(0, len(one), 7):
            control.socket.sendall(one[i:i + 7])
        assert control.receive()[1] == b"hello"
        control.socket.sendall(one * 20)
        assert [control.receive()[1] for _ in range(20)] == [b"hello"] * 20


# ---- requests under way ----

def test_answers_come_as_they_are_ready(node):
    with node.control() as control:
        slow = control.ask("call", {"fn": "sys.sleep"}, b"1500ms")
        quick = control.ask("call", {"fn": "sys.echo"}, b"x")
        assert [control.receive()[0]["id"] for _ in range(2)] == [quick, slow]


def test_cancel_ends_a_call(node):
    with node.control() as control:
        call = control.ask("call", {"fn": "sys.sleep"}, b"60s")
        cancel = control.ask("cancel", {"id": call})
        answers = {m["id"]: m for m, _ in (control.receive(), control.receive())}
        assert answers[call]["error"]["code"] == "KITH_E_CANCELED"
        assert answers[cancel]["ok"]
        assert control.request("cancel", {"id": "none"}) is not None
        wait_for(lambda: node.kith("info", "--json").json["rpc"]["serving_now"] == 0, 10,
                 "the function was told")


def test_streams_end_by_cancel(node):
    with node.control() as control:
        for verb, args in (("events", {"follow": True}), ("monitor", {"level": "debug"}),
                           ("watch", {"fn": "sys.echo"}), ("fn.serve", {"name": "s"}),
                           ("ping", {"node": "n1", "count": 1000})):
            stream = control.ask(verb, args)
            cancel = control.ask("cancel", {"id": stream})
            ended = False
            while True:
                message, _ = control.receive()
                if message["id"] == cancel:
                    assert ended, f"{verb}: its own answer comes first"
                    break
                if message["id"] == stream and not message["ok"]:
                    assert message["error"]["code"] == "KITH_E_CANCELED"
                    ended = True


def test_requests_in_flight_have_a_limit(node):
    with node.control() as control:
        calls = [control.ask("events", {"follow": True, "after": 1 << 40})
                 for _ in range(REQUESTS_MAX)]
        control.ask("hello")
        error_of(control.receive(), "KITH_E_LIMIT")
        control.ask("cancel", {"id": calls[0]}) # which has to go, or nothing could be done
        assert control.receive()[0]["error"]["code"] == "KITH_E_CANCELED"
        assert control.receive()[0]["ok"]
        assert control.request("hello")["protocol"] == 1


def greeted(node):
    """A client that was let in, or None: one that left may still count."""
    control = node.control()
    try:
        control.request("hello")
        return control
    except (ControlError, ConnectionError):
        control.close()
        return None


def test_clients_have_a_limit(node):
    clients = []
    try:
        while len(clients) < CLIENTS_MAX:
            clients.append(wait_for(lambda: greeted(node), 10, "a client is let in"))
        with node.control() as one_more:
            error_of(one_more.receive(), "KITH_E_LIMIT")
            assert at_end(one_more)
        clients.pop().close()
        clients.append(wait_for(lambda: greeted(node), 10, "room for a client"))
    finally:
        for client in clients:
            client.close()


def test_client_that_does_not_read_is_cut_off(node):
    """Also with several streams: what one line leads to must not pull the next one away."""
    with node.control() as reader:
        for _ in range(3):
            reader.ask("monitor", {"level": "debug"})
            reader.ask("events", {"follow": True})
        try:
            for _ in range(8): # answers of 8 x 8 MiB that nobody reads
                reader.ask("call", {"fn": "sys.echo"}, os.urandom(8 * MIB))
        except (BrokenPipeError, ConnectionResetError):
            pass
        node.agent.wait_log("does not read its answers")
        assert node.kith("call", "sys.echo", "ok").text == "ok"


# ---- serving ----

def serve(control, name, **args):
    asked = control.ask("fn.serve", dict(args, name=name))
    message, _ = control.receive()
    assert message["id"] == asked and message["more"], message
    assert message["result"]["serving"] is True
    return asked


def run_of(control):
    message, data = control.receive()
    assert message["verb"] == "fn.run", message
    return message, data


def reply(control, run, data=b"", outcome="OK", **result):
    control.send({"id": run["id"], "ok": True, "result": dict(result, outcome=outcome)}, data)


def test_function_served_by_hand(node):
    with node.control() as server, node.control() as caller:
        serve(server, "twice")
        call = caller.ask("call", {"fn": "twice", "timeout_ms": 20000}, b"ab")
        run, data = run_of(server)
        assert data == b"ab" and run["args"]["fn"] == "twice"
        assert 0 < run["args"]["deadline_ms"] <= 20000
        assert run["args"]["caller_name"] == "n1"
        reply(server, run, b"abab")
        message, body = caller.receive()
        assert message["id"] == call and body == b"abab"
        caller.ask("call", {"fn": "twice"}, b"")
        reply(server, run_of(server)[0], outcome="APP_ERROR", code=9, text="no")
        result = caller.receive()[0]["result"]
        assert (result["outcome"], result["code"], result["exit"]) == ("APP_ERROR", 9, 1)


def test_server_that_goes_in_the_middle_leaves_the_outcome_open(node):
    with node.control() as caller:
        server = node.control()
        serve(server, "gone")
        caller.ask("call", {"fn": "gone"})
        run_of(server)
        server.close()
        result = caller.receive()[0]["result"]
        assert result["outcome"] == "UNKNOWN"


def test_idempotent_function_is_run_again_elsewhere(node):
    with node.control() as caller, node.control() as second:
        first = node.control()
        serve(first, "again", idempotent=True)
        caller.ask("call", {"fn": "again"}, b"x")
        run_of(first)
        serve(second, "again", idempotent=True)
        first.close()
        run, data = run_of(second)
        assert data == b"x"
        reply(second, run, b"done")
        assert caller.receive()[1] == b"done"


def test_two_servers_share_the_calls(node):
    with node.control() as one, node.control() as two, node.control() as caller:
        serve(one, "shared")
        serve(two, "shared")
        caller.ask("call", {"fn": "shared"}, b"1")
        caller.ask("call", {"fn": "shared"}, b"2")
        caller.ask("call", {"fn": "shared"}, b"3")
        (a, _), (b, _) = run_of(one), run_of(two)
        reply(two, b, b"b")
        c, _ = run_of(two) # the one with room gets the one that waited
        reply(one, a, b"a")
        reply(two, c, b"c")
        assert sorted(caller.receive()[1] for _ in range(3)) == [b"a", b"b", b"c"]


def test_other_signature_is_refused(node):
    with node.control() as one, node.control() as two:
        serve(one, "typed", signature="f(i32 x) -> bytes")
        serve(two, "typed", signature="f(i32 x) -> bytes")
    with node.control() as one, node.control() as two:
        serve(one, "typed2", signature="f(i32 x) -> bytes")
        with pytest.raises(ControlError) as error:
            two.request("fn.serve", {"name": "typed2", "signature": "f(f64 x) -> bytes"})
        assert error.value.code == "KITH_E_SIGNATURE"


def test_abort_reaches_the_server(node):
    with node.control() as server, node.control() as caller:
        serve(server, "long")
        call = caller.ask("call", {"fn": "long"})
        run, _ = run_of(server)
        caller.ask("cancel", {"id": call})
        message, _ = server.receive()
        assert message["verb"] == "fn.abort" and message["args"]["id"] == run["id"]
        reply(server, run, b"late") # is dropped
        caller.receive(), caller.receive()
        caller.ask("call", {"fn": "long"})
        reply(server, run_of(server)[0], b"again")
        assert caller.receive()[1] == b"again"


def test_client_calls_what_it_serves_and_goes(node):
    """Its requests end one another while it is taken down."""
    for _ in range(3):
        control = node.control()
        serve(control, "own")
        for _ in range(5):
            control.ask("call", {"fn": "own"})
        run_of(control)
        control.close()
        def withdrawn():
            with node.control() as other:
                return not other.request("functions", {"name": "own"})["functions"]
        wait_for(withdrawn, 10, "the function is withdrawn")
    assert node.kith("call", "sys.echo", "ok").text == "ok"


# ---- maps ----

def test_map_of_items(node):
    words = [b"a", b"", b"ccc"]
    with node.control() as control:
        results = list(control.stream("map", {"fn": "sys.echo", "items": [1, 0, 3],
                                              "ordered": True}, b"accc"))
        got = [(r["index"], body) for r, body in results if "index" in r]
        assert got == list(enumerate(words))
        assert results[-1][0]["done"] == 3 and results[-1][0]["failed"] == 0


@pytest.mark.parametrize("items", [[1, 2], [1], [5], [-1, 5], [1 << 62, 1 << 62], ["4"], None, 7])
def test_map_whose_items_do_not_fit(node, items):
    with node.control() as control:
        with pytest.raises(ControlError) as error:
            control.request("map", {"fn": "sys.echo", "items": items}, b"four")
        assert error.value.code == "KITH_E_INVALID"
        assert control.request("hello")


# ---- the socket ----

def test_only_the_owner_may_use_it(node):
    mode = os.stat(node.socket).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600


def test_stale_socket_is_removed(node):
    node.kill()
    assert node.socket.exists()
    node.start()
    assert node.kith("call", "sys.echo", "ok").text == "ok"
    node.stop()
    assert not node.socket.exists()


def test_streams_end_with_the_agent(node):
    with node.control() as control:
        streams = {serve(control, "served"),
                   control.ask("events", {"follow": True, "after": 1 << 40}),
                   control.ask("watch", {"fn": "sys.echo"}),
                   control.ask("ping", {"node": "n1", "count": 1000, "interval_ms": 3600000}),
                   control.ask("call", {"fn": "sys.sleep"}, b"60s")}
        hello = control.ask("hello")
        while control.receive()[0]["id"] != hello:
            pass # the agent has read them all
        node.agent.signal(signal.SIGTERM)
        while streams:
            received = control.receive()
            assert received is not None, f"closed with {streams} open"
            message, _ = received
            if message["ok"]:
                continue
            assert message["error"]["code"] == "KITH_E_STOPPED"
            streams.remove(message["id"])
        assert at_end(control)
    assert node.agent.wait() == 0


# ---- functions that end the process ----

def test_function_that_ends_the_process_leaves_the_outcome_open(cluster):
    """Callers are told when the node has failed, not at their deadline."""
    caller, victim = cluster.start(2)
    victim.kill()
    victim.start("--load", str(BUILD / "tests" / "module_aborts.so"))
    cluster.wait_alive()
    wait_for(lambda: "test.abort" in caller.kith("fn", "ls").text, 20, "the function is known")
    with caller.control() as control:
        result = control.request("call", {"fn": "test.abort", "timeout_ms": 120000})
    assert result["outcome"] == "UNKNOWN" and result["error"] != "KITH_E_TIMEOUT", result
    assert victim.agent.wait() == -signal.SIGABRT
    assert caller.kith("call", "sys.echo", "ok").text == "ok"


# ---- what is logged ----

def test_access_log_has_a_line_for_each_call_served(cluster):
    node = cluster.add()
    (node.dir / "kith.ini").write_text("[log]\naccess = yes\n")
    node.start("--config", node.dir / "kith.ini")
    node.kith("call", "sys.echo", "12345")
    line = node.agent.wait_log(r".*fn=sys\.echo.*").group(0)
    for part in ("caller=n1", "outcome=OK", "bytes_in=5", "bytes_out=5"):
        assert part in line


# ---- logs ----

def test_newest_lines_of_any_node_can_be_asked_for(cluster, processes):
    a, b = cluster.start(2)
    for i in range(30):
        b.kith("loglevel", "info")
        b.kith("call", "sys.echo", "x")
    with b.control() as control:
        lines = control.request("logs", {"lines": 3})
        assert lines["name"] == "n2" and lines["level"] == "info" and 0 < len(lines["lines"]) <= 3
        seqs = [line["seq"] for line in lines["lines"]]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        older = control.request("logs", {"before": seqs[0]})["lines"]
        assert [line["seq"] for line in older] == list(range(1, seqs[0]))
        assert control.request("logs", {"after": seqs[-1]})["lines"] == []
        assert any("msg=joined" in line["line"] and line["level"] == "info" for line in lines["lines"] + older)
    here = a.kith("logs", "n2", "-n", "1", "--json").json
    assert here["seq"] == seqs[-1] and here["line"] == lines["lines"][-1]["line"]
    assert a.kith("logs", "n2", "--level", "error").out == b""
    assert "nobody" in a.kith("logs", "nobody", check=4).error
    assert a.kith("logs", "-n", "0").out == b""
    # What comes later is followed, here and there.
    there = processes.start([BUILD / "kith", "logs", "n2", "-f", "-n", "0", "--data-dir", a.dir])
    own = processes.start([BUILD / "kith", "logs", "-f", "--data-dir", b.dir])
    own.wait_log("msg=joined")
    a.kith("drain", "n2")
    there.wait_log("a node is drained", timeout=60)
    own.wait_log("a node is drained", timeout=60)
    b.kith("tag", "set", "x=y")
    a.kith("undrain", "n2")
    there.wait_log("drained no more", timeout=60)
    assert there.log.count("a node is drained\"") == 1


def test_more_lines_than_one_answer_holds_come_in_order(cluster):
    a = cluster.start(1, "--set", "log.access=yes")[0]
    items = "".join("x" * i + "\n" for i in range(1, 800))
    a.kith("map", "sys.echo", input=items)
    with a.control() as control:
        answer = control.request("logs", {"lines": 2000})["lines"]
        assert len(answer) < 790 and sum(len(line["line"]) for line in answer) <= 96 * 1024
    lines = [json.loads(line) for line in a.kith("logs", "-n", "2000", "--json").lines]
    seqs = [line["seq"] for line in lines]
    assert seqs == list(range(seqs[0], seqs[-1] + 1)) and len(seqs) >= 799
    assert sum("bytes_in=799" in line["line"] for line in lines) == 1


# ---- everything in one file ----

def test_a_bundle_has_all_and_no_secret(cluster, short_dir):
    import tarfile
    a, b = cluster.start(2)
    for node in (a, b):
        node.kith("call", "sys.echo", "x")
    secrets = {a.kith("web", "--token").text.strip(), a.kith("invite").text.strip(),
               a.kith("web").text.strip().split("=")[-1]}
    with a.control() as control:
        credentials = control.request("credentials")
        secrets.add(credentials["secret"])
    path = short_dir / "b.tar"
    said = a.kith("debug", "bundle", "--out", path, "--json").json
    assert said["file"] == str(path) and said["bytes"] == path.stat().st_size and path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as tar:
        files = {member.name.split("/")[1]: tar.extractfile(member).read() for member in tar.getmembers()}
        assert all(member.name.startswith("kith-n1-20") for member in tar.getmembers())
    assert {"README.txt", "config.json", "info.json", "nodes.json", "status.json", "view.json", "stats.json",
            "events.jsonl", "log.txt", "functions.json", "times.json", "resources-10m.json"} <= set(files)
    documents = {name: json.loads(text) for name, text in files.items() if name.endswith(".json")}
    assert all(doc["schema"].startswith("kith.") and "error" not in doc["schema"] for doc in documents.values())
    assert {n["name"] for n in documents["nodes.json"]["nodes"]} == {"n1", "n2"}
    assert documents["status.json"]["nodes"]["alive"] == 2
    origins = {k["key"]: k["values"] for k in documents["config.json"]["keys"]}
    assert origins["net.listen"][0]["origin"] == "--listen"
    assert b"msg=joined" in files["log.txt"] and all(json.loads(line) for line in files["events.jsonl"].splitlines())
    # What lets somebody in is nowhere in it, in no spelling.
    whole = path.read_bytes()
    key = (a.dir / "node.key").read_bytes()
    for secret in secrets:
        assert len(secret) > 20 and secret.encode() not in whole, secret
    assert bytes.fromhex(credentials["secret"]) not in whole and key not in whole
    assert b"kith1-" not in whole
    assert "exist" in a.kith("debug", "bundle", "--out", path, check=7).error.lower()
    assert a.kith("debug", "bundle", "--out", "-").out[257:262] == b"ustar"
    a.kith("debug", "bundle", "--out", short_dir / "none" / "b.tar", check=1)
