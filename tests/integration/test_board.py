"""The module whiteboard in nodes: logs in the catalogue, live messages, nodes that die and begin anew (board.md)."""
import asyncio
import pathlib
import re
import signal
import time

import boardlib
import pytest
from kithtest import SLOW, wait_for

websockets = pytest.importorskip("websockets", reason="python3-websockets is not installed")

from webtest import KEY, Web, log_in  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
A, B = bytes([0xAA] * 16), bytes([0xBB] * 16)
ARGS = ("--web", "127.0.0.1:0", "--load", "whiteboard")


def owner(node):
    return Web(node, token=node.kith("web", "--token").text.strip())


@pytest.fixture(scope="module")
def nodes(build):
    import kithtest
    from conftest import end_cluster, short_path
    import shutil
    folder = short_path()
    made = kithtest.Cluster(folder)
    try:
        yield made.start(3, *ARGS)
        end_cluster(made)
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def webs(nodes):
    return [owner(node) for node in nodes]


def append(web, board, writer, *counters, status=200, of=None):
    body = boardlib.header(of or board, writer) + b"".join(boardlib.rect(n) for n in counters)
    return web.ask("POST", f"/v1/boards/{board}/ops", body, status=status)


def load(web, board):
    """{writer: sorted counters}, each as often as it stands in some log, and the files."""
    found, files, after = {}, [], ""
    while True:
        got = boardlib.logs(web.ask("GET", f"/v1/boards/{board}/logs{after and '?after=' + after}").data)
        if not got:
            return {writer: sorted(n) for writer, n in found.items()}, files
        for name, read, data in got:
            after = name
            assert read, f"{name} is out of reach"
            files.append(name)
            writer, counters = boardlib.counters(data)
            found.setdefault(writer, []).extend(counters)


def wait_load(web, board, wanted):
    wait_for(lambda: load(web, board)[0] == wanted, 60, f"{web.node} has {board}")


class Page:
    """A page on the live socket of a board: what it hears."""

    def __init__(self, web, board):
        self.url = f"ws://{web.host}/v1/boards/{board}/live"
        self.web, self.heard = web, []

    async def __aenter__(self):
        # As the page: with a subprotocol, since it cannot set a header.
        head = {"Authorization": f"Bearer {self.web.token}"} if self.web.token else {"Cookie": self.web.cookie}
        self.socket = await websockets.connect(self.url, max_size=None, extra_headers=head)
        self.task = asyncio.ensure_future(self.listen())
        return self

    async def __aexit__(self, *unused):
        await self.socket.close()
        await asyncio.gather(self.task, return_exceptions=True)

    async def listen(self):
        async for message in self.socket:
            self.heard += boardlib.pieces(message)

    async def until(self, condition, what):
        end = time.monotonic() + 60 * SLOW
        while not condition():
            assert time.monotonic() < end, f"never: {what}: {self.heard}"
            await asyncio.sleep(0.02)

    def lives(self, kind=None):
        return [data for what, data in self.heard if what == boardlib.LIVE and kind in (None, data[0])]

    def ops(self):
        return [boardlib.counters(data) for what, data in self.heard if what == boardlib.OPS]


def test_what_is_appended_at_one_node_is_read_at_all_and_written_once(webs):
    a, b, c = webs
    assert load(a, "plan") == ({}, [])
    append(a, "plan", A, 1, 2, 3)
    append(a, "plan", A, 2, 3, 4)  # the page did not hear that 2 and 3 were kept
    append(b, "plan", B, 1)
    for web in webs:
        wait_load(web, "plan", {A: [1, 2, 3, 4], B: [1]})
    # A page that goes on at another node sends again what was not acknowledged.
    append(c, "plan", A, 3, 4, 5)
    wait_load(a, "plan", {A: [1, 2, 3, 4, 5], B: [1]})
    found, = [one for one in b.json("GET", "/v1/boards")["boards"] if one["name"] == "plan"]
    assert found["logs"] == 3 and found["bytes"] > 100 and found["changed"] > 1_700_000_000_000
    listed = c.json("GET", "/v1/boards/plan")
    assert listed["name"] == "plan" and len(listed["logs"]) == 3
    for one in listed["logs"]:
        whole = c.ask("GET", f"/v1/boards/plan/log?file={one['file']}").data
        assert len(whole) == one["bytes"]
        assert c.ask("GET", f"/v1/boards/plan/log?file={one['file']}&from=30").data == whole[30:]
    assert {entry["path"].split("/")[1] for entry in
            a.node.kith("fs", "ls", "boards", "--recursive", "--json").json["entries"]} == {"plan"}


def test_pages_hear_each_other_across_nodes(webs):
    a, b, c = webs

    async def play():
        async with Page(a, "live") as one, Page(b, "live") as two:
            mine, theirs = b"from-one", b"from-two"
            await one.socket.send(boardlib.here(mine, A, "Ana", "n1"))
            await two.socket.send(boardlib.here(theirs, B, "Ben", "n2"))
            await one.until(lambda: any(m[1:9] == theirs for m in one.lives()), "one hears two")
            await two.until(lambda: any(m[1:9] == mine for m in two.lives()), "two hears one")
            await one.socket.send(boardlib.cursor(mine, 100, -20))
            await two.until(lambda: boardlib.cursor(mine, 100, -20) in two.lives(), "the cursor")
            assert not any(m[1:9] == mine for m in one.lives()), "nobody hears itself"
            append(a, "live", A, 1, 2)
            await two.until(lambda: (A, [1, 2]) in two.ops(), "what is appended is told")
            await one.until(lambda: (A, [1, 2]) in one.ops(), "here too")
            # Who comes later knows at once who is there, and hears no answer to another's ping.
            async with Page(c, "live") as three:
                await three.until(lambda: {m[1:9] for m in three.lives(boardlib.HERE)} == {mine, theirs}, "greetings")
                await three.socket.send(boardlib.here(b"from-3rd", B, "Cleo", "n3"))
                await one.until(lambda: any(m[1:9] == b"from-3rd" for m in one.lives()), "one hears three")
                await one.socket.send(bytes([boardlib.PING]) + mine + b"\x07")
                await two.until(lambda: two.lives(boardlib.PING), "a ping goes to all")
                await two.socket.send(bytes([boardlib.PONG]) + theirs + mine + b"\x07")
                await one.until(lambda: one.lives(boardlib.PONG), "a pong goes to one")
                # Nobody speaks for another; what comes behind it comes.
                await one.socket.send(boardlib.cursor(theirs, 5, 5))
                await one.socket.send(boardlib.cursor(mine, 7, 7))
                await three.until(lambda: boardlib.cursor(mine, 7, 7) in three.lives(), "the cursor")
                assert boardlib.cursor(theirs, 5, 5) not in three.lives()
                assert not three.lives(boardlib.PONG)
            await one.until(lambda: bytes([boardlib.GONE]) + b"from-3rd" in one.lives(), "three is gone")
        names = a.node.kith("var", "ls", "--json").json["vars"]
        assert [v["policy"] for v in names if v["name"].startswith("board/live/")] in ([], ["available"], ["available"] * 2)

    asyncio.run(play())
    wait_for(lambda: not [v for v in c.node.kith("var", "ls", "--json").json["vars"] if v["name"].startswith("board/live/")],
             60, "nobody has the board open any more")


def test_viewer_looks_and_does_not_draw(webs):
    a = webs[0]
    a.node.kith("user", "add", "looker", "--role", "viewer", input=b"a long password\n")
    # Five that fail within a minute bar the name for one.
    viewer = wait_for(lambda: log_in(a.node, user="looker", password="a long password"), 60, "the user is known",
                      interval=1)
    append(a, "looked-at", A, 1)
    assert load(viewer, "looked-at")[0] == {A: [1]}
    assert append(viewer, "looked-at", A, 2, status=403)
    viewer.error("PUT", "/v1/boards/looked-at/image?hash=" + "0" * 64, 403, body=b"x")

    async def play():
        async with Page(a, "looked-at") as one, Page(viewer, "looked-at") as two:
            await two.socket.send(boardlib.here(b"from-two", B, "Ben", "n1"))
            await one.socket.send(boardlib.here(b"from-one", A, "Ana", "n1"))
            await two.until(lambda: two.lives(boardlib.HERE), "a viewer hears")
            append(a, "looked-at", A, 2)
            await two.until(lambda: (A, [2]) in two.ops(), "and sees")
            assert not one.lives(), "and is not seen"

    asyncio.run(play())


def test_images_are_files_of_the_catalogue(webs):
    import hashlib
    a, b, _ = webs
    image = bytes(range(256)) * 2000
    name = hashlib.sha256(image).hexdigest()
    for _ in range(2):
        a.ask("PUT", f"/v1/boards/pictured/image?hash={name}", image)
    wait_for(lambda: b.ask("GET", f"/v1/boards/pictured/image?hash={name}", status=None).status == 200, 60, "it is there")
    assert b.ask("GET", f"/v1/boards/pictured/image?hash={name}").data == image
    b.error("GET", f"/v1/boards/pictured/image?hash={'0' * 64}", 404)
    a.error("PUT", "/v1/boards/pictured/image?hash=../../x", 400, body=b"x")
    most = 15 * 1024 * 1024
    a.ask("PUT", f"/v1/boards/pictured/image?hash={'1' * 64}", bytes(most))
    a.error("PUT", f"/v1/boards/pictured/image?hash={'2' * 64}", 413, body=bytes(most + 1))


def test_what_is_no_operation_is_refused_whole(webs):
    a = webs[0]
    good = boardlib.header("strict", A) + boardlib.rect(1)
    for body in (b"", b"x", good[:-1], good + b"\0", boardlib.header("strict", A), boardlib.rect(1),
                 good + boardlib.record(b"\x02\x02\x05"), good[:20] + b"\1" + good[21:]):
        a.error("POST", "/v1/boards/strict/ops", 400, body=body)
    append(a, "strict", A, 1, of="other", status=400)
    append(a, "Strict", A, 1, of="strict", status=400)
    append(a, "a%20b", A, 1, of="strict", status=400)
    a.error("GET", "/v1/boards/strict/log?file=..%2Fx", 400)
    most = boardlib.header("strict", A) + boardlib.future(1, 256 * 1024)
    a.ask("POST", "/v1/boards/strict/ops", most)
    a.error("POST", "/v1/boards/strict/ops", 400, body=boardlib.header("strict", A) + boardlib.future(2, 256 * 1024 + 1))
    assert load(a, "strict")[0] == {A: [1]}


def test_long_logs_become_several(webs):
    a, b, _ = webs
    for n in range(12):
        a.ask("POST", "/v1/boards/long/ops", boardlib.header("long", A) + boardlib.future(n + 1, 10_000))
    wait_load(b, "long", {A: list(range(1, 13))})
    found, files = load(b, "long")
    assert 4 <= len(files) <= 6, "about 32 KiB each"
    # one operation above it is a log of its own
    a.ask("POST", "/v1/boards/long/ops", boardlib.header("long", A) + boardlib.future(13, 200_000))
    assert len(load(a, "long")[1]) == len(files) + 1


def test_who_says_too_much_is_heard_in_part(webs):
    a = webs[0]

    async def play():
        async with Page(a, "loud") as one, Page(a, "loud") as two:
            await two.socket.send(boardlib.here(b"from-two", B, "Ben", "n1"))
            began = time.monotonic()
            for n in range(2000):
                await one.socket.send(boardlib.cursor(b"from-one", n, 0))
            while boardlib.cursor(b"from-one", 9999, 0) not in two.lives():  # it is heard again in a while
                assert time.monotonic() < began + 60 * SLOW, "one is never heard again"
                await one.socket.send(boardlib.cursor(b"from-one", 9999, 0))
                await asyncio.sleep(0.05)
            took = time.monotonic() - began
            heard = len([m for m in two.lives(boardlib.CURSOR) if m != boardlib.cursor(b"from-one", 9999, 0)])
            assert 150 <= heard <= 200 + 200 * took, (heard, took)
            # too long for the module, and then for the socket
            await one.socket.send(bytes([boardlib.CURSOR]) + b"from-one" + bytes(8192))
            await one.socket.send(bytes([boardlib.CURSOR]) + b"from-one" + bytes(16 * 1024))
            await one.socket.wait_closed()
            assert one.socket.close_code == 1009
            assert not [m for m in two.lives() if len(m) > 1000]
        for message, code in (("text", 1003), (b"", None)):
            async with Page(a, "loud") as one:
                await one.socket.send(message)
                if code:
                    await one.socket.wait_closed()
                    assert one.socket.close_code == code

    asyncio.run(play())


def test_page_that_does_not_read_loads_again(webs):
    a = webs[0]

    async def play():
        async with Page(a, "deaf") as one, Page(a, "deaf") as two:
            two.task.cancel()
            two.socket.transport.pause_reading()
            await one.socket.send(boardlib.here(b"from-one", A, "Ana", "n1"))
            for n in range(40):  # 8 MiB: more than sockets and queue hold
                a.ask("POST", "/v1/boards/deaf/ops", boardlib.header("deaf", A) + b"".join(
                    boardlib.future(4 * n + k + 1, 50_000) for k in range(4)))
            two.socket.transport.resume_reading()
            two.task = asyncio.ensure_future(two.listen())
            await two.until(lambda: (boardlib.MISSED, b"") in two.heard, "it hears that it missed something")

    asyncio.run(play())


def test_boards_writers_and_pages_end_at_their_limits(webs, tmp_path):
    a, b, c = webs

    async def crowd():
        pages = [Page(c, "crowded") for _ in range(128)]
        for page in pages:
            await page.__aenter__()
        await pages[0].socket.send(boardlib.here(b"from-one", A, "Ana", "n3"))
        await pages[127].until(lambda: pages[127].lives(), "the last one hears the first")
        async with Page(c, "crowded") as more:
            await asyncio.wait_for(more.socket.wait_closed(), 60 * SLOW)
            assert more.socket.close_code == 4503
            assert more.socket.close_reason == "128 pages of this node are on this board, the limit: open it at another node"
        for page in pages:
            await page.__aexit__()

    asyncio.run(crowd())
    append(a, "one", A, 1)  # there is a share, also if this test runs alone
    # A folder of the third node stands for many drawers: 4,095 logs of one board, and boards up to 1,000.
    writer = "%032x-" + c.node.kith("nodes", "--json").json["self"] + "-00000001"
    full = tmp_path / "full" / "log"
    full.mkdir(parents=True)
    for n in range(4095):
        (full / (writer % n)).write_bytes(b"x")
    have = len(a.node.kith("fs", "ls", "boards", "--json").json["entries"])
    without_logs = have - len(a.json("GET", "/v1/boards")["boards"])
    for n in range(1000 - have - 2):
        folder = tmp_path / f"many-{n}" / "log"
        folder.mkdir(parents=True)
        (folder / (writer % n)).write_bytes(b"x")
    c.node.kith("share", "add", "boards", tmp_path, timeout=60)
    wait_for(lambda: len(a.json("GET", "/v1/boards")["boards"]) == 999 - without_logs, 120, "999 boards")
    wait_for(lambda: len(a.json("GET", "/v1/boards/full")["logs"]) == 4095, 120, "4,095 logs")
    append(a, "full", A, 1)
    assert "4,096" in a.error("POST", "/v1/boards/full/ops", 503, body=boardlib.header("full", B) + boardlib.rect(1))["message"]
    append(a, "full", A, 2)  # who has a log goes on
    append(a, "last", A, 1)
    assert "1,000" in a.error("POST", "/v1/boards/beyond/ops", 503, body=boardlib.header("beyond", A) + boardlib.rect(1))["message"]
    append(b, "last", B, 1)
    c.node.kith("share", "rm", "boards")


def test_node_without_the_module_says_so(cluster):
    node = cluster.add().start("--web", "127.0.0.1:0")
    doc = owner(node).error("GET", "/v1/boards", 404, "KITH_E_NO_FUNCTION")
    assert "whiteboard" in doc["message"] and "load" in doc["hint"]


def test_killed_node_loses_nobodys_stroke_and_all_is_there_after_a_restart(cluster):
    a, b, c = cluster.start(3, *ARGS)
    webs = [owner(node) for node in (a, b, c)]

    async def play():
        async with Page(webs[1], "plan") as two:
            await two.socket.send(boardlib.here(b"from-two", B, "Ben", "n2"))
            wait_for(lambda: [v for v in a.kith("var", "ls", "--json").json["vars"] if v["name"].startswith("board/plan/")],
                     60, "a knows that b has it open")
            append(webs[0], "plan", A, 1, 2)
            append(webs[1], "plan", B, 1)
            await two.until(lambda: (A, [1, 2]) in two.ops(), "b is told")
            a.kill()
            append(webs[1], "plan", A, 3)  # its page goes on at b
            cluster.wait_status({a: "failed"}, 60, seen_by=[c])
            # b keeps what it was told, so that c, which never had the board open, has it too
            await asyncio.get_event_loop().run_in_executor(None, lambda: wait_for(
                lambda: sorted({n for _, read, data in boardlib.logs(webs[2].ask("GET", "/v1/boards/plan/logs").data) if read
                                and boardlib.counters(data)[0] == A for n in boardlib.counters(data)[1]}) == [1, 2, 3],
                60, "c has all of a's"))

    asyncio.run(play())
    for node in (b, c):
        node.kill()
    for node in (a, b, c):
        node.start(*ARGS)
    cluster.wait_alive(60)
    for node in (a, b, c):
        web = owner(node)
        wait_for(lambda: {w: sorted(set(n)) for w, n in load(web, "plan")[0].items()} == {A: [1, 2, 3], B: [1]}, 60,
                 f"{node} has everything")
    append(owner(a), "plan", A, 4)
    assert sorted(set(load(owner(a), "plan")[0][A])) == [1, 2, 3, 4]


def test_demo_prints_two_links_to_one_board(processes, build):
    demo = processes.start([ROOT / "tools/demo-whiteboard.sh", build])
    pattern = r"dev-(\d)  (http://[\d.:]+)/board/index\.html#login=([\w.-]+)/demo$"
    wait_for(lambda: len(re.findall(pattern, demo.log, re.M)) == 2, 60, "two links")
    links = re.findall(pattern, demo.log, re.M)
    assert [number for number, _, _ in links] == ["1", "2"]
    webs = []
    for _, url, link in links:
        web = Web.__new__(Web)
        web.node, web.token, web.cookie, web.url = None, None, None, url
        web.host = url.split("//")[1]
        web.port = int(web.host.split(":")[1])
        assert b"/board/main.js" in web.ask("GET", "/board/index.html").data
        web.cookie = web.ask("POST", "/v1/login", {"link": link}, KEY).getheader("Set-Cookie").split(";")[0]
        webs.append(web)
    append(webs[0], "demo", A, 1)
    wait_load(webs[1], "demo", {A: [1]})
    demo.signal(signal.SIGINT)
    assert demo.wait(60) == 0
    # Another cluster may have taken the port meanwhile: it does not know this session.
    with pytest.raises((OSError, AssertionError)):
        webs[0].ask("GET", "/v1/self")
