"""Functions from the command line: call, map, and a command that is one."""
import json
import os
import signal
import time

import kithtest
import pytest
from kithtest import kith, wait_for


def serve(processes, node, name, *command, options=()):
    server = processes.start([kithtest.BUILD / "kith", "fn", "serve", name, "--data-dir", node.dir, *options,
                              "--", *command])
    server.wait_log(f"serving {name}")
    return server


def known(node, name, count=1):
    def offered():
        functions = {f["name"]: f for f in node.kith("fn", "ls", "--json").json["functions"]}
        return name in functions and len(functions[name]["nodes"]) == count
    wait_for(offered, what=f"{name} is known to {node}")


def test_functions_are_listed(cluster):
    a, b = cluster.start(2)
    known(a, "sys.echo", 2)
    document = a.kith("fn", "ls", "--json").json
    assert document["schema"] == "kith.functions/1"
    assert {"sys.echo", "sys.info", "sys.uptime", "sys.sleep"} <= {f["name"] for f in document["functions"]}
    assert all(line.startswith("sys.s") for line in a.kith("fn", "ls", "sys.s", "--no-headers").lines)
    info = a.kith("fn", "info", "sys.echo")
    assert "sys.echo" in info.text and "n2" in info.text
    assert a.kith("fn", "info", "sys.ech", check=4).out == b""


def test_rates_and_the_last_error_are_those_of_the_nodes_that_serve(cluster, processes):
    a, b = cluster.start(2)
    serve(processes, a, "bad", "sh", "-c", "echo it broke at a >&2; exit 7")
    serve(processes, b, "bad", "sh", "-c", "echo it broke at b >&2; exit 9")
    known(a, "bad", 2)
    for node in ["n1", "n1", "n2"]:
        a.kith("call", "bad", "--node", node, check=1)
    function = a.kith("fn", "info", "bad", "--json").json["function"]
    at = {node["name"]: node for node in function["nodes"]}
    assert (at["n1"]["calls"], at["n1"]["errors"], at["n2"]["calls"]) == (2, 2, 1)
    assert at["n1"]["last_error"]["code"] == 7 and "it broke at a" in at["n1"]["last_error"]["text"]
    assert function["last_error"]["code"] == 9 and function["last_error"]["node_name"] == "n2"
    assert at["n1"]["p50_ms"] > 0 and at["n1"]["p99_ms"] >= at["n1"]["p50_ms"]
    assert 3 / 62 < function["calls_per_s"] < 3 / 57 and function["errors_per_s"] == function["calls_per_s"]
    text = a.kith("fn", "info", "bad").text
    assert "last error   n2 at 20" in text and "code 9: " in text and "  0.02  " in text
    listed = {f["name"]: f for f in b.kith("fn", "ls", "--json").json["functions"]}
    assert listed["bad"]["errors_per_s"] > 0 and listed["sys.sleep"]["last_error"] is None
    assert a.kith("fn", "ls", "bad", "--no-headers").text.split()[2:5] == ["2", "0.05", "0.05"]


def test_reply_bytes_come_as_they_are(cluster, short_dir):
    a = cluster.start(1)[0]
    data = bytes(range(256)) * 100
    assert a.kith("call", "sys.echo", "-", input=data).out == data
    (short_dir / "in").write_bytes(data)
    assert a.kith("call", "sys.echo", f"@{short_dir / 'in'}").out == data
    assert a.kith("call", "sys.echo", "hello").out == b"hello"
    assert a.kith("call", "sys.echo").out == b""
    assert a.kith("call", "sys.echo", "-5").out == b"-5"
    assert a.kith("call", "sys.echo", "hi", "--json").json["data"] == "hi"
    assert "data_base64" in a.kith("call", "sys.echo", "-", "--json", input=b"\xff\xfe").json
    assert a.kith("call", "sys.echo", "@/nonexistent", check=4).out == b""


def test_a_large_argument_passes(cluster):
    a, b = cluster.start(2)
    data = os.urandom(8 * 1024 * 1024)
    assert a.kith("call", "sys.echo", "-", "--node", "n2", input=data, timeout=60).out == data
    over = a.kith("call", "sys.echo", "-", input=b"x" * (16 * 1024 * 1024 + 1), check=2)
    assert "16777216" in over.error


def test_one_node_all_nodes_or_any(cluster):
    a, b, c = cluster.start(3)
    known(a, "sys.echo", 3)
    assert a.kith("call", "sys.echo", "x", "--node", "n3", "--json").json["node_name"] == "n3"
    result = a.kith("call", "sys.echo", "x", "--all")
    assert sorted(result.lines) == ["n1: x", "n2: x", "n3: x"]
    documents = [json.loads(line) for line in a.kith("call", "sys.echo", "x", "--all", "--json").lines]
    assert {d["node_name"] for d in documents} == {"n1", "n2", "n3"}
    assert a.kith("call", "sys.echo", "x", "--any").out == b"x"
    assert a.kith("call", "sys.echo", "--all", "--any", check=2).out == b""


def test_exit_codes_of_a_call(cluster, processes):
    a = cluster.start(1)[0]
    missing = a.kith("call", "sys.ecko", check=4)
    assert "sys.echo" in missing.error
    assert a.kith("call", "sys.echo", "--node", "nobody", check=4).out == b""
    before = time.monotonic()
    assert a.kith("call", "sys.sleep", "30s", "--timeout", "500ms", check=6).out == b""
    assert time.monotonic() - before < 10 * kithtest.SLOW
    serve(processes, a, "bad", "sh", "-c", "echo partly; echo it broke >&2; exit 7")
    failed = a.kith("call", "bad", check=1)
    assert failed.out == b"" and "it broke" in failed.error and "7" in failed.error
    assert a.kith("call", "bad", "--all", check=1).out == b""


def test_a_command_is_a_function_of_every_node(cluster, processes):
    a, b = cluster.start(2)
    server = serve(processes, a, "up", "tr", "a-z", "A-Z")
    known(b, "up")
    assert b.kith("call", "up", "-", input="hello\n").text == "HELLO\n"
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    wait_for(lambda: b.kith("call", "up", "x", check=None).code == 4, what="up is gone")


def test_a_server_runs_only_so_many_at_once(cluster, processes, short_dir):
    a = cluster.start(1)[0]
    script = (f"echo start >> {short_dir}/starts; while [ ! -e {short_dir}/go ]; do sleep 0.05; done; "
              f"cat")
    serve(processes, a, "slow", "sh", "-c", script, options=["--parallel", "2"])
    calls = [processes.start([kithtest.BUILD / "kith", "call", "slow", str(i), "--data-dir", a.dir])
             for i in range(5)]
    log = short_dir / "starts"
    wait_for(lambda: log.exists() and len(log.read_text().split()) == 2, what="two started")
    # A third does not start while two run: ask the agent something so that it had its chance.
    a.kith("call", "sys.echo", "x")
    assert len(log.read_text().split()) == 2
    (short_dir / "go").touch()
    assert [call.wait() for call in calls] == [0] * 5
    assert sorted(call.log for call in calls) == list("01234")


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_deadline_ends_the_command_and_what_it_started(cluster, processes, short_dir):
    a = cluster.start(1)[0]
    script = f"trap '' TERM; sleep 1000 & echo $$ $! > {short_dir}/pids.tmp; mv {short_dir}/pids.tmp {short_dir}/pids; wait; wait"
    server = serve(processes, a, "stuck", "sh", "-c", script)
    assert a.kith("call", "stuck", "--timeout", "1s", check=6).out == b""
    pids = [int(pid) for pid in wait_for(lambda: (short_dir / "pids").exists()
                                         and (short_dir / "pids").read_text().split())]
    wait_for(lambda: not any(alive(pid) for pid in pids), what="both processes are gone")
    assert server.running


def test_children_end_with_their_server(cluster, processes, short_dir):
    a = cluster.start(1)[0]
    script = f"echo $$ > {short_dir}/pid.tmp; mv {short_dir}/pid.tmp {short_dir}/pid; sleep 1000"
    for how in (signal.SIGTERM, signal.SIGKILL):
        server = serve(processes, a, "long", "sh", "-c", script)
        call = processes.start([kithtest.BUILD / "kith", "call", "long", "--data-dir", a.dir])
        pid = int(wait_for(lambda: (short_dir / "pid").exists() and (short_dir / "pid").read_text()))
        server.signal(how)
        wait_for(lambda: not alive(pid), what="the command ended")
        assert call.wait() != 0
        (short_dir / "pid").unlink()


def test_a_server_waits_for_its_agent_to_come_back(cluster, processes):
    a = cluster.start(1)[0]
    server = serve(processes, a, "up", "tr", "a-z", "A-Z")
    a.kill()
    server.wait_log("trying again until stopped")
    a.start()
    wait_for(lambda: a.kith("call", "up", "hello", check=None).out == b"HELLO", what="it serves again")
    server.signal(signal.SIGINT)
    assert server.wait() == 0


def test_several_servers_of_one_node_share_the_calls(cluster, processes):
    a = cluster.start(1)[0]
    for name in ("one", "two"):
        serve(processes, a, "who", "sh", "-c", f"sleep 0.1; echo {name}", options=["-P", "1"])
    calls = [processes.start([kithtest.BUILD / "kith", "call", "who", "--data-dir", a.dir]) for _ in range(6)]
    assert [call.wait() for call in calls] == [0] * 6
    assert {call.log.strip() for call in calls} == {"one", "two"}


def test_map_keeps_the_order_of_the_lines(cluster, processes, short_dir):
    a, b = cluster.start(2)
    serve(processes, b, "double", "sh", "-c", "read n; sleep 0.0$((n % 3)); echo $((n * 2))", options=["-P", "4"])
    known(a, "double")
    (short_dir / "in").write_text("".join(f"{i}\n" for i in range(60)))
    result = a.kith("map", "double", "--in", short_dir / "in", timeout=60)
    assert result.lines == [str(2 * i) for i in range(60)]
    assert result.error == ""
    # A last line without a newline, from stdin; progress on stderr when asked for.
    result = a.kith("map", "double", "--progress", input="1\n2\n3")
    assert result.lines == ["2", "4", "6"] and "3 of 3 done" in result.error
    documents = [json.loads(line) for line in a.kith("map", "double", "--json", input="5\n6\n").lines]
    assert [d["data"] for d in documents[:-1]] == ["10\n", "12\n"]
    assert documents[-1]["done"] == 2 and documents[-1]["summary"] is True
    assert a.kith("map", "double", input="").out == b""


def test_items_that_fail_leave_an_empty_line(cluster, processes):
    a = cluster.start(1)[0]
    serve(processes, a, "even", "sh", "-c", "read n; [ $((n % 2)) = 0 ] || { echo odd >&2; exit 1; }; echo $n")
    result = a.kith("map", "even", input="2\n3\n4\n", check=8)
    assert result.lines == ["2", "", "4"]
    assert "item 2" in result.error and "odd" in result.error
    assert a.kith("map", "even", input="1\n3\n", check=1).lines == ["", ""]


def test_map_of_an_unknown_function_is_an_error(cluster):
    a = cluster.start(1)[0]
    result = a.kith("map", "nosuch", input="1\n", check=4, timeout=30)
    assert "no node offers a function nosuch" in result.error


def test_map_loses_a_node_and_no_line(cluster, processes, short_dir):
    a, b, c = cluster.start(3)
    # A function that costs little, on two nodes; one of them is killed in the middle.
    for node in (b, c):
        serve(processes, node, "up", "tr", "a-z", "A-Z", options=["--idempotent", "-P", "4"])
    known(a, "up", 2)
    lines = [f"word{i}" for i in range(10000 if kithtest.SLOW == 1 else 1500)]
    (short_dir / "words").write_text("\n".join(lines) + "\n")
    out = short_dir / "out"
    mapping = processes.start(["sh", "-c", f"exec {kithtest.BUILD / 'kith'} map up --in {short_dir / 'words'} "
                               f"--data-dir {a.dir} > {out}"])
    wait_for(lambda: out.exists() and len(out.read_bytes().splitlines()) > 100, what="a hundred lines", timeout=60)
    c.kill()
    assert mapping.wait(180) == 0
    assert out.read_text().splitlines() == [line.upper() for line in lines]


def test_map_takes_lines_as_they_are_written(cluster, processes, short_dir):
    """An endless input works: each reply comes before the next line is written."""
    a = cluster.start(1)[0]
    import subprocess
    with subprocess.Popen([str(kithtest.BUILD / "kith"), "map", "sys.echo", "--data-dir", str(a.dir)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=kithtest.environment()) as mapping:
        for i in range(5):
            mapping.stdin.write(f"line {i}\n".encode())
            mapping.stdin.flush()
            assert mapping.stdout.readline() == f"line {i}\n".encode()
        mapping.stdin.close()
        assert mapping.wait(20) == 0


def test_completions_are_watched_from_another_node(cluster, processes):
    a, b = cluster.start(2)
    known(a, "sys.echo", 2)
    watch = processes.start([kithtest.BUILD / "kith", "fn", "watch", "sys.echo", "--json", "--data-dir", b.dir])

    def seen():
        a.kith("call", "sys.echo", "x", "--node", "n2")
        return '"OK"' in watch.log

    wait_for(seen, what="a completion is seen")
    done = json.loads(watch.log.splitlines()[0])
    assert done["fn"] == "sys.echo" and done["outcome"] == "OK"
