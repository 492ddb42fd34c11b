"""The stream: WebSockets that follow topics (docs/protocols/http.md, The stream)."""
import asyncio
import json
import socket

import pytest

from kithtest import SLOW, wait_for

websockets = pytest.importorskip("websockets", reason="python3-websockets is not installed")

from webtest import Stream, Web  # noqa: E402


def test_stream_tells_each_topic_and_what_changes(web):
    async def run():
        async with Stream(web) as s:
            await s.subscribe(1, "nodes", "nodes", "id")
            await s.subscribe(2, "resources", "nodes", "id")
            await s.subscribe(3, "resources", node="n1")
            await s.subscribe(4, "functions", "functions", "name")
            await s.subscribe(5, "vars", "vars", "name")
            await s.subscribe(6, "var", name="x")
            await s.subscribe(7, "locks", "locks", "name")
            await s.subscribe(8, "events", "events", "seq")
            await s.subscribe(9, "self")
            await s.until(lambda: len(s.docs) == 9, "each topic has its document")
            assert s.docs[1]["nodes"][0]["name"] == "n1"
            assert s.docs[2]["nodes"][0]["cpus"] >= 1
            assert s.docs[3]["cpu_percent_per_core"]
            assert s.docs[6]["found"] is False
            assert s.docs[9]["web"] == web.url
            await asyncio.to_thread(web.ask, "PUT", "/v1/vars/x", "first")
            await s.until(lambda: s.docs[6].get("value") == "first", "x is told")
            await s.until(lambda: [v.get("value") for v in s.docs[5]["vars"]] == ["first"], "x is listed")
            await asyncio.to_thread(web.ask, "PUT", "/v1/vars/x", "second")
            await s.until(lambda: s.docs[6]["value"] == "second", "the change is told")
            await s.until(lambda: s.docs[5]["vars"][0]["value"] == "second", "and in the list")
            assert s.docs[5]["vars"][0]["writer_name"] == "n1"
            await asyncio.to_thread(web.ask, "POST", "/v1/locks/l")
            await s.until(lambda: [k["name"] for k in s.docs[7]["locks"]] == ["l"], "the lock is told")
            await asyncio.to_thread(web.ask, "DELETE", "/v1/vars/x")
            await s.until(lambda: s.docs[5]["vars"] == [], "it is gone from the list")
            await s.until(lambda: s.docs[6]["found"] is False, "it is gone")
    asyncio.run(run())


def test_stream_refuses_what_is_wrong(web):
    async def run():
        async with Stream(web) as s:
            await s.subscribe(1, "nonsense")
            await s.until(lambda: 1 in s.errors, "an error")
            assert s.errors[1]["final"] and s.errors[1]["error"]["code"] == "KITH_E_INVALID"
            await s.subscribe(2, "var")
            await s.until(lambda: 2 in s.errors, "an error")
            await s.subscribe(3, "var", name="kith/user/ana")
            await s.until(lambda: 3 in s.errors, "an error")
            for text in ("{", "[]", "{}", '{"op":"what"}', '{"op":"subscribe","topic":"nodes"}'):
                s.errors.clear()
                await s.socket.send(text)
                await s.until(lambda: None in s.errors, f"an error about {text}")
            await s.subscribe(4, "self", node="nobody")
            await s.until(lambda: 4 in s.errors, "an error")
            assert s.errors[4]["error"]["code"] == "KITH_E_NO_NODE" and "final" not in s.errors[4]
            for i in range(5, 40):
                await s.subscribe(i, "nodes", "nodes", "id")
            await s.until(lambda: 39 in s.errors, "32 subscriptions are the limit")
            assert s.errors[39]["error"]["code"] == "KITH_E_LIMIT"
    asyncio.run(run())


def test_a_paused_client_hears_nothing_and_then_everything(web):
    async def run():
        async with Stream(web) as s:
            await s.subscribe(1, "var", name="x")
            await s.until(lambda: 1 in s.docs, "the document")
            await s.say(op="pause")
            await s.say(op="nonsense")
            await s.until(lambda: None in s.errors, "the pause was heard")
            await asyncio.to_thread(web.ask, "PUT", "/v1/vars/x", "while away")
            before = len(s.messages)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(s.socket.recv(), 2)
            assert len(s.messages) == before
            await s.say(op="resume")
            await s.until(lambda: len(s.messages) > before, "it hears again")
            assert "full" in s.messages[before]
            await s.until(lambda: s.docs[1].get("value") == "while away", "what it missed")
    asyncio.run(run())


def test_a_subscription_takes_the_place_of_another_of_its_id(web):
    for i in range(5):
        web.ask("PUT", f"/v1/vars/v{i}", str(i))

    async def run():
        async with Stream(web) as s:
            await s.subscribe(1, "vars", "vars", "name", limit=2)
            await s.until(lambda: 1 in s.docs, "a page")
            assert [v["name"] for v in s.docs[1]["vars"]] == ["v0", "v1"] and s.docs[1]["total"] == 5
            await s.subscribe(1, "vars", "vars", "name", limit=2, offset=4)
            await s.until(lambda: [v["name"] for v in s.docs[1]["vars"]] == ["v4"], "another page")
            await s.say(op="unsubscribe", id=1)
            await s.say(op="nonsense")
            await s.until(lambda: None in s.errors, "it was heard")
            before = len(s.messages)
            await asyncio.to_thread(web.ask, "PUT", "/v1/vars/v4", "x")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(s.socket.recv(), 2)
            assert len(s.messages) == before
    asyncio.run(run())


def test_a_node_that_dies_is_told(cluster):
    a, b = cluster.start(2, "--web", "127.0.0.1:0")
    web = Web(a, token=a.kith("web", "--token").text.strip())

    async def run():
        async with Stream(web) as s:
            await s.subscribe(1, "nodes", "nodes", "id")
            await s.subscribe(2, "events", "events", "seq")
            status = lambda: {n["name"]: n["status"] for n in s.docs.get(1, {"nodes": []})["nodes"]}
            await s.until(lambda: status() == {"n1": "alive", "n2": "alive"}, "both are alive")
            await s.until(lambda: 2 in s.docs, "the events")
            b.kill()
            await s.until(lambda: status()["n2"] == "failed", "n2 has failed", 60)
            await s.until(lambda: any(e["type"] == "failed" for e in s.docs[2]["events"]), "an event")
    asyncio.run(run())


def test_a_variable_that_cannot_be_read_now_is_not_told_as_absent_and_comes_when_it_can(cluster):
    a, b, c = cluster.start(3, "--web", "127.0.0.1:0")
    wait_for(lambda: len(a.kith("view", "--json").json["voters"]) == 3, 60, "all vote")
    for i in range(20):
        a.kith("var", "set", f"x{i}", "first")
    variables = a.kith("var", "ls", "--json").json["vars"]
    names = [next(v["name"] for v in variables if (v["home"] == a.name) == own) for own in (True, False)]
    b.kill()
    c.kill()

    def leases_are_over():
        view = a.kith("view", "--json").json
        return not view["quorum"] and not view["serving"]
    wait_for(leases_are_over, 60, "no majority is there, and what it had granted has ended")
    for name in names:
        a.kith("var", "get", name, check=9)
    web = Web(a, token=a.kith("web", "--token").text.strip())

    async def run():
        async with Stream(web) as s:
            for i, name in enumerate(names):
                await s.subscribe(i, "var", name=name)
            await s.subscribe(2, "vars", "vars", "name")
            for i in range(len(names)):
                await s.until(lambda: i in s.errors, "why it is not known", 60)
                assert s.errors[i]["error"]["code"] in ("KITH_E_NO_QUORUM", "KITH_E_TIMEOUT") and i not in s.docs
            await asyncio.to_thread(b.start, "--web", "127.0.0.1:0")
            for i in range(len(names)):
                await s.until(lambda: i in s.docs, "it is known", 60)
                assert s.docs[i]["value"] == "first"
            await s.until(lambda: [v.get("value") for v in s.docs[2]["vars"]] == ["first"] * 20, "and in the list", 60)
    asyncio.run(run())


def test_the_end_of_a_session_closes_its_stream(web):
    async def run():
        async with Stream(web) as s:
            await s.subscribe(1, "nodes", "nodes", "id")
            await s.until(lambda: 1 in s.docs, "the document")
            await asyncio.to_thread(web.ask, "POST", "/v1/logout")
            with pytest.raises(websockets.ConnectionClosed) as closed:
                while True:
                    await asyncio.wait_for(s.socket.recv(), 20 * SLOW)
            assert closed.value.code == 4401
    asyncio.run(run())


@pytest.mark.plain  # it measures memory
def test_a_client_that_never_reads_costs_little(web, node):
    """What it does not read is not kept: the node's memory stays, others are served."""
    web.ask("PUT", "/v1/vars/big", "x" * 60000)
    request = (f"GET /v1/stream HTTP/1.1\r\nHost: {web.host}\r\nUpgrade: websocket\r\n"
               f"Connection: Upgrade\r\nAuthorization: Bearer {web.token}\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    frame = json.dumps({"op": "subscribe", "id": 1, "topic": "var", "args": {"name": "big"}}).encode()
    sockets = []
    for _ in range(20):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", web.port))
        s.sendall(request.encode())
        assert s.recv(12) == b"HTTP/1.1 101"
        s.sendall(bytes([0x81, 0x80 | len(frame), 0, 0, 0, 0]) + frame)
        sockets.append(s)
    before = node.kith("info", "--json").json["rss_bytes"]

    async def write_while_one_reads():
        """Who reads is told at most twice a second: each fifth time stands for several updates to all."""
        async with Stream(web) as reader:
            await reader.subscribe(1, "var", name="big")
            for i in range(40):
                await asyncio.to_thread(web.ask, "PUT", "/v1/vars/big", str(i % 10) * 60000)
                if i % 5 == 4:
                    told = len(reader.messages)
                    await reader.until(lambda: len(reader.messages) > told, "the write is told")
    asyncio.run(write_while_one_reads())
    grown = node.kith("info", "--json").json["rss_bytes"] - before
    assert grown < 12 << 20, grown  # 20 of them, 60 KB each in hand, not 40 times that
    assert web.ask("GET", "/healthz").data == b"ok\n"
    for s in sockets:
        s.close()
