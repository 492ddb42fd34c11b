"""Files over HTTP on real nodes (docs/protocols/http.md, Files)."""
import asyncio
import hashlib
import http.client
import json
import os
import socket
import ssl
import urllib.parse

import pytest

from kithtest import SLOW, wait_for

websockets = pytest.importorskip("websockets", reason="python3-websockets is not installed")

from webtest import Stream, Web  # noqa: E402

WAIT = 60
MIB = 1 << 20


@pytest.fixture
def shared(cluster, node, web, short_dir):
    """A node with pages that shares short_dir/docs as docs."""
    folder = short_dir / "docs"
    folder.mkdir()
    node.kith("share", "add", "docs", folder)
    wait_for(lambda: web.json("GET", "/v1/shares/docs")["shares"][0]["state"] == "watched", WAIT, "docs is watched")
    return folder


def rss(node):
    return int(node.kith("info", "--json").json["rss_bytes"])


def metric(web, name):
    for line in web.ask("GET", "/metrics").data.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    raise AssertionError(f"no metric {name}")


def put(web, path, data, headers=None, status=201):
    return web.ask("PUT", f"/v1/files/{path}", data, headers, status)


def paths(document):
    return [entry["path"] for entry in document["entries"]]


# ---- reading ----

def test_bytes_ranges_and_conditions(shared, web):
    data = os.urandom(1_500_001)
    made = put(web, "docs/a.bin", data)
    entry = json.loads(made.data)["entry"]
    tag = made.getheader("ETag")
    assert (entry["path"], entry["size"], f'"{entry["hash"]}"') == ("docs/a.bin", len(data), tag)
    got = web.ask("GET", "/v1/files/docs/a.bin")
    assert got.data == data and got.getheader("ETag") == tag and got.getheader("Accept-Ranges") == "bytes"
    assert got.getheader("X-Kith-Writer") == "n1" and got.getheader("Last-Modified").endswith("GMT")
    for text, part in (("bytes=0-0", data[:1]), ("bytes=100-199", data[100:200]), ("bytes=-7", data[-7:]),
                       ("bytes=600000-", data[600000:]), ("bytes=500000-1499999", data[500000:1500000]),
                       ("bytes=9-99999999", data[9:])):
        got = web.ask("GET", "/v1/files/docs/a.bin", headers={"Range": text}, status=206)
        assert got.data == part, text
        at = data.index(part) if len(part) < 500 else len(data) - len(part) if text != "bytes=500000-1499999" else 500000
        assert got.getheader("Content-Range") == f"bytes {at}-{at + len(part) - 1}/{len(data)}"
    for text in ("bytes=1-2,4-5", "lines=1-2", "bytes=5-2"):
        assert web.ask("GET", "/v1/files/docs/a.bin", headers={"Range": text}).data == data
    behind = web.ask("GET", "/v1/files/docs/a.bin", headers={"Range": f"bytes={len(data)}-"}, status=416)
    assert behind.getheader("Content-Range") == f"bytes */{len(data)}"
    # If-Range: of this content a part, of another one the whole.
    web.ask("GET", "/v1/files/docs/a.bin", headers={"Range": "bytes=0-3", "If-Range": tag}, status=206)
    web.ask("GET", "/v1/files/docs/a.bin", headers={"Range": "bytes=0-3", "If-Range": '"0"'}, status=200)
    same = web.ask("GET", "/v1/files/docs/a.bin", headers={"If-None-Match": f'"x", {tag}'}, status=304)
    assert same.data == b"" and same.getheader("ETag") == tag and same.getheader("Content-Length") is None
    head = web.ask("HEAD", "/v1/files/docs/a.bin")
    assert head.getheader("Content-Length") == str(len(data)) and head.getheader("ETag") == tag
    # A connection goes on after each of them.
    connection = web.connect()
    for headers, status in (({}, 200), ({"Range": "bytes=1-2"}, 206), ({"If-None-Match": tag}, 304), ({}, 200)):
        connection.request("GET", "/v1/files/docs/a.bin", headers=web.headers(headers))
        answer = connection.getresponse()
        assert (answer.status, len(answer.read())) == (status, {200: len(data), 206: 2, 304: 0}[status])
    connection.close()
    # A content by its hash, whatever the path has by now.
    put(web, "docs/a.bin", b"", status=200)
    assert web.ask("GET", "/v1/files/docs/a.bin").data == b""
    web.error("GET", f"/v1/files/docs/a.bin?hash={'0' * 64}", 404)
    now = web.json("GET", "/v1/files/docs/a.bin?stat")["entry"]
    by_hash = web.ask("GET", f"/v1/files/docs/a.bin?hash={now['hash']}")
    assert "immutable" in by_hash.getheader("Cache-Control") and by_hash.data == b""
    web.error("GET", "/v1/files/docs/a.bin?hash=1", 400)
    web.error("GET", "/v1/files/docs/nothing", 404, "KITH_E_NOT_FOUND")
    put(web, "docs/d/x", b"x")
    assert "slash" in web.error("GET", "/v1/files/docs/d", 400)["hint"]


def test_a_file_never_acts_as_a_page(shared, web):
    evil = b"<script>fetch('/v1/nodes')</script>"
    for name, kind, shown in (("a.html", "text/html; charset=utf-8", False), ("a.svg", "image/svg+xml", True),
                              ("a.js", "text/javascript; charset=utf-8", False), ("a.txt", "text/plain; charset=utf-8", True),
                              ("a.png", "image/png", True), ("noname", "application/octet-stream", False)):
        put(web, f"docs/{name}", evil, {"Content-Type": "text/html"})
        got = web.ask("GET", f"/v1/files/docs/{name}")
        assert got.data == evil and got.getheader("Content-Type") == kind
        assert got.getheader("X-Content-Type-Options") == "nosniff"
        assert got.getheader("Content-Security-Policy").startswith("sandbox; default-src 'none'")
        assert got.getheader("Cross-Origin-Resource-Policy") == "same-origin"
        assert got.getheader("Content-Disposition").startswith("inline;" if shown else "attachment;"), name
        saved = web.ask("GET", f"/v1/files/docs/{name}?download")
        assert saved.getheader("Content-Disposition").startswith("attachment;")


def test_any_name_can_be_written_and_read(shared, web):
    for name in ("a b.txt", "ä ö.txt", "100%.txt", "who?.txt", "#1.txt", "a&b=c;d+e.txt", "x@y.txt", "\u65e5\u672c.txt",
                 "'quote\"s'.txt", "%41.txt"):
        quoted = urllib.parse.quote(f"docs/{name}")
        put(web, quoted, name.encode())
        got = web.ask("GET", f"/v1/files/{quoted}")
        assert got.data == name.encode(), name
        assert urllib.parse.quote(name, safe="") in got.getheader("Content-Disposition").replace("!", "%21") or \
            name.isascii(), name
        assert (shared / name).read_bytes() == name.encode()
    for bad in ("docs/a%00b", "docs/a%0ab", f"docs/{'x' * 256}", "docs/a%ff"):
        try:
            answer = web.ask("PUT", f"/v1/files/{bad}", b"x", status=None)
            assert 400 <= answer.status < 500, (bad, answer.status)
        except ConnectionError:  # a NUL ends it below the routes
            assert "%00" in bad
    web.error("GET", "/v1/files/docs/%ff/", 400, "KITH_E_NAME")


# ---- writing ----

def test_writes_append_and_delete_hold_their_conditions(shared, web, node):
    none = {"If-None-Match": "*"}
    tag = put(web, "docs/a.txt", b"one\n", none).getheader("ETag")
    refused = put(web, "docs/a.txt", b"two\n", none, status=412)
    assert json.loads(refused.data)["code"] == "KITH_E_EXISTS"
    put(web, "docs/a.txt", b"two\n", {"If-Match": '"' + "0" * 64 + '"'}, status=412)
    put(web, "docs/b.txt", b"two\n", {"If-Match": tag}, status=412)
    put(web, "docs/b.txt", b"two\n", {"If-Match": "*"}, status=412)
    for wrong in ({"If-Match": "x"}, {"If-Match": '"x"'}, {"If-None-Match": tag}):
        put(web, "docs/a.txt", b"two\n", wrong, status=400)
    second = put(web, "docs/a.txt", b"two\n", {"If-Match": tag}, status=200).getheader("ETag")
    assert second != tag and (shared / "a.txt").read_bytes() == b"two\n"
    put(web, "docs/a.txt", b"two\n", {"If-Match": "*"}, status=200)
    third = web.ask("POST", "/v1/files/docs/a.txt?append", b"more\n", {"If-Match": second}).getheader("ETag")
    web.ask("POST", "/v1/files/docs/a.txt?append", b"more\n", {"If-Match": second}, status=412)
    assert (shared / "a.txt").read_bytes() == b"two\nmore\n"
    assert web.ask("GET", "/v1/files/docs/a.txt").getheader("ETag") == third
    web.ask("POST", "/v1/files/docs/new.txt?append", b"begun\n")
    web.error("DELETE", "/v1/files/docs/a.txt", 412, "KITH_E_FENCE", headers={"If-Match": second})
    assert web.json("DELETE", "/v1/files/docs/a.txt", headers={"If-Match": third})["count"] == 1
    web.error("GET", "/v1/files/docs/a.txt", 404)
    # What was deleted is listed, and comes back.
    gone = web.json("GET", "/v1/files/docs?trash")["entries"]
    assert [(one["path"], one["kind"]) for one in gone] == [("docs/a.txt", "deleted")]
    assert "docs/a.txt" in paths(web.json("GET", "/v1/files/docs/?deleted"))
    put(web, "docs/undo.txt", b"undo\n")
    web.json("DELETE", "/v1/files/docs/undo.txt")
    assert paths(web.json("GET", "/v1/files?trash")) == ["docs/a.txt", "docs/undo.txt"]
    wait_for(lambda: web.ask("POST", "/v1/files/docs/undo.txt?restore", status=None).status == 200, WAIT, "it is back")
    assert web.ask("GET", "/v1/files/docs/undo.txt").data == b"undo\n"
    assert paths(web.json("GET", "/v1/files?trash")) == ["docs/a.txt"]
    put(web, "docs/m", b"#!", {"X-Kith": "1"})
    assert web.json("GET", "/v1/files/docs/m?stat")["entry"]["mode"] == 0o644
    web.ask("PUT", "/v1/files/docs/m?mode=493&modified_ns=1000000000000000000", b"#!", status=200)
    entry = web.json("GET", "/v1/files/docs/m?stat")["entry"]
    assert (entry["mode"], entry["modified"]) == (0o755, "2001-09-09T01:46:40.000Z")
    put(web, "docs/d/e/f.txt", b"deep")
    assert put(web, "docs/d/e", b"x", status=409).status == 409  # it is a folder
    assert web.json("DELETE", "/v1/files/docs/d?recursive")["count"] >= 1
    web.error("PUT", "/v1/files/nothing/a.txt", 404, body=b"x")
    web.error("POST", "/v1/files/docs/a.txt", 400)
    web.error("POST", "/v1/files/docs/a.txt?pin&evict", 400)
    # Another client changes it while the body is on its way: what is asked for holds at the end.
    tag = put(web, "docs/race", b"0").getheader("ETag")
    connection = web.connect(WAIT)
    connection.putrequest("PUT", "/v1/files/docs/race")
    for name, value in web.headers({"If-Match": tag, "Content-Length": "10"}).items():
        connection.putheader(name, value)
    connection.endheaders(b"12345")
    wait_for(lambda: any(one["path"] == "docs/race" and one["done_bytes"] == 5
                         for one in web.json("GET", "/v1/transfers")["transfers"]), WAIT, "the upload has begun")
    put(web, "docs/race", b"1", status=200)
    connection.send(b"67890")
    assert connection.getresponse().status == 412
    assert web.ask("GET", "/v1/files/docs/race").data == b"1"


def test_viewers_read_and_only_operators_write(shared, node, web):
    put(web, "docs/a.txt", b"1")
    viewer = Web(node, token=node.kith("web", "--token", "--role", "viewer").text.strip())
    for path in ("/v1/files", "/v1/files/docs/", "/v1/files/docs/a.txt", "/v1/shares", "/v1/cache", "/v1/transfers"):
        viewer.ask("GET", path)
    for method, path in (("PUT", "docs/b"), ("POST", "docs/a.txt?append"), ("POST", "docs/a.txt?pin"),
                         ("DELETE", "docs/a.txt")):
        assert "operator" in viewer.error(method, f"/v1/files/{path}", 403, body=b"x")["message"]
    # A form of another page has no such header.
    cookie = Web(node).ask("POST", "/v1/login", {"link": node.kith("web").text.strip().split("#login=")[1]},
                           {"X-Kith": "1"}).getheader("Set-Cookie").split(";")[0]
    Web(node, cookie=cookie).ask("PUT", "/v1/files/docs/b", b"x", {"X-Kith": None}, status=403)
    assert paths(viewer.json("GET", "/v1/files/docs/")) == ["docs/a.txt"]


@pytest.mark.plain  # it measures memory
def test_large_uploads_need_little_memory_and_come_back(shared, web, node):
    block = os.urandom(MIB)
    size = 64 * MIB
    small = rss(node)
    connection = web.connect(WAIT)
    connection.putrequest("PUT", "/v1/files/docs/big.bin")
    for name, value in web.headers({"Content-Length": str(size)}).items():
        connection.putheader(name, value)
    connection.endheaders()
    most = 0
    sent = hashlib.sha256()
    for n in range(64):
        part = block[n:] + block[:n]
        connection.send(part)
        sent.update(part)
        if n % 16 == 15:
            assert not (shared / "big.bin").exists()  # nothing of it is seen before it is whole
            most = max(most, rss(node) - small)
    answer = connection.getresponse()
    assert answer.status == 201 and json.loads(answer.read())["entry"]["size"] == size
    assert most < 24 * MIB, most
    got = hashlib.sha256()
    connection.request("GET", "/v1/files/docs/big.bin", headers=web.headers())
    answer = connection.getresponse()
    while part := answer.read(MIB):
        got.update(part)
    assert got.digest() == sent.digest()
    connection.close()


def test_an_upload_that_is_cut_leaves_nothing(shared, web):
    put(web, "docs/a.txt", b"before")
    for end in ("close", "reset"):
        connection = web.connect(WAIT)
        connection.putrequest("PUT", "/v1/files/docs/a.txt")
        for name, value in web.headers({"Content-Length": str(8 * MIB)}).items():
            connection.putheader(name, value)
        connection.endheaders(os.urandom(3 * MIB))
        wait_for(lambda: any(one["state"] == "running" and one["done_bytes"] >= 2 * MIB
                             for one in web.json("GET", "/v1/transfers")["transfers"]), WAIT, "half of it is here")
        if end == "reset":
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
        wait_for(lambda: all(one["state"] != "running" for one in web.json("GET", "/v1/transfers")["transfers"]), WAIT,
                 "the upload has ended")
    assert web.ask("GET", "/v1/files/docs/a.txt").data == b"before"
    assert sorted(one.name for one in shared.iterdir()) == ["a.txt"]
    # A body that comes too slowly ends as others do (408 after 10 s); none is too large before it is known to be.
    head = f"PUT /v1/files/docs/b HTTP/1.1\r\nHost: {web.host}\r\nAuthorization: Bearer {web.token}\r\n"
    got, _ = web.raw(f"{head}Content-Length: {(1 << 40) + 1}\r\n\r\n".encode())
    assert got.startswith(b"HTTP/1.1 413 ") and b"1 TiB" in got
    got, _ = web.raw(f"{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode())
    assert got.startswith(b"HTTP/1.1 411 ")
    got, _ = web.raw(f"{head}\r\n".encode())
    assert got.startswith(b"HTTP/1.1 411 ")
    got, _ = web.raw(f"{head}Content-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\nabcd".encode())
    assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")


def test_uploads_at_once_have_a_limit(shared, web):
    """64; one more is refused, and one that ends makes room."""
    open_ones = []
    head = f"PUT /v1/files/docs/u%d HTTP/1.1\r\nHost: {web.host}\r\nAuthorization: Bearer {web.token}\r\n" \
           "Content-Length: 9\r\n\r\n"
    try:
        for n in range(64):
            s = socket.create_connection(("127.0.0.1", web.port), timeout=WAIT * SLOW)
            s.sendall((head % n).encode())
            open_ones.append(s)
        wait_for(lambda: sum(one["state"] == "running" for one in web.json("GET", "/v1/transfers")["transfers"]) == 64,
                 WAIT, "64 uploads are open")
        assert "limit" in web.error("PUT", "/v1/files/docs/u", 503, "KITH_E_LIMIT", body=b"x")["message"]
        open_ones[0].sendall(b"123456789")
        assert open_ones[0].recv(100).startswith(b"HTTP/1.1 201 ")
        put(web, "docs/u", b"x")
    finally:
        for s in open_ones:
            s.close()


# ---- readers that do not read ----

@pytest.mark.plain  # it measures memory
def test_readers_that_stop_cost_what_is_named_and_no_more(shared, web, node):
    """Each 2 MiB, all 128 MiB: the 65th is refused, and the node goes on meanwhile."""
    with open(shared / "big.bin", "wb") as f:
        f.truncate(1 << 30)  # a hole: no work to hash
    wait_for(lambda: web.ask("HEAD", "/v1/files/docs/big.bin", status=None).status == 200, WAIT, "big.bin is shared")
    small = rss(node)
    request = (f"GET /v1/files/docs/big.bin HTTP/1.1\r\nHost: {web.host}\r\nAuthorization: Bearer {web.token}\r\n"
               "\r\n").encode()
    sockets = []
    try:
        for _ in range(64):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.settimeout(WAIT * SLOW)
            s.connect(("127.0.0.1", web.port))
            s.sendall(request)
            assert s.recv(15, socket.MSG_WAITALL) == b"HTTP/1.1 200 OK"
            sockets.append(s)
        assert metric(web, "kith_http_read_bytes") == 128 * MIB
        refused = web.error("GET", "/v1/files/docs/big.bin", 503, "KITH_E_BUSY")
        assert "limit" in refused["message"]
        assert rss(node) - small < 160 * MIB
        assert len(web.json("GET", "/v1/transfers")["transfers"]) >= 64
        web.ask("PUT", "/v1/vars/x", b"1")
        # Who goes makes room, within a second or two.
        sockets.pop().close()
        wait_for(lambda: metric(web, "kith_http_read_bytes") == 126 * MIB, WAIT, "there is room again")
        # Who takes nothing for 30 s is closed; who takes a little is not.
        slow = sockets.pop(0)
        def others_ended():
            assert slow.recv(65536)
            return metric(web, "kith_http_read_bytes") <= 2 * MIB
        wait_for(others_ended, 2 * WAIT, "those that take nothing are closed")
        assert metric(web, "kith_http_timeouts_total") >= 62 and len(slow.recv(65536)) > 0
        slow.close()
    finally:
        for s in sockets:
            s.close()
    wait_for(lambda: metric(web, "kith_http_read_bytes") == 0, WAIT, "nothing is held any more")


# ---- lists ----

def test_lists_have_pages_searches_and_flags(shared, web):
    names = [f"f{n:03}.txt" for n in range(25)]
    for name in names:
        (shared / name).write_text(name)
    (shared / "sub").mkdir()
    (shared / "sub" / "deep.md").write_text("x")
    wait_for(lambda: len(web.json("GET", "/v1/files/docs/?recursive")["entries"]) == 27, WAIT, "all are listed")
    assert paths(web.json("GET", "/v1/files")) == ["docs"]
    for path in ("/v1/files/docs/", "/v1/files/docs?list", "/v1/files/docs?list=true"):
        listed = web.json("GET", path)
        assert listed["schema"] == "kith.fs.ls/1" and paths(listed) == [f"docs/{n}" for n in names] + ["docs/sub"]
    assert paths(web.json("GET", "/v1/files/docs/sub/")) == ["docs/sub/deep.md"]
    found, cursor, pages = [], "", 0
    while cursor is not None:
        page = web.json("GET", f"/v1/files/docs/?recursive&limit=10&cursor={urllib.parse.quote(cursor)}")
        assert len(page["entries"]) <= 10
        found += paths(page)
        cursor, pages = page.get("next"), pages + 1
    assert pages >= 3 and found == paths(web.json("GET", "/v1/files?recursive"))[1:]
    assert paths(web.json("GET", "/v1/files/docs?search=*.md")) == ["docs/sub/deep.md"]
    assert paths(web.json("GET", "/v1/files?search=f00?.txt&limit=3")) == [f"docs/f00{n}.txt" for n in range(3)]
    assert web.json("GET", "/v1/files/docs/f000.txt?stat")["entry"]["author"] == "n1"
    web.error("GET", "/v1/files/docs/?cursor=nonsense", 400)
    web.error("GET", "/v1/files/nothing/", 404)
    assert web.json("GET", "/v1/cache")["schema"] == "kith.fs.cache/1"
    assert web.json("POST", "/v1/files/docs?verify") | {"schema": 0} == {
        "schema": 0, "count": 26, "bytes": 25 * 8 + 1, "damaged": 0, "repaired": 0}
    assert web.json("POST", "/v1/files/docs/f000.txt?pin")["count"] == 1
    assert web.json("GET", "/v1/files/docs/f000.txt?stat")["entry"]["pinned"]
    web.json("POST", "/v1/files/docs/f000.txt?unpin")
    web.json("POST", "/v1/files/docs?evict")
    web.error("POST", "/v1/shares/nothing/confirm", 404)


def test_the_stream_tells_of_files_and_transfers(shared, web):
    async def run():
        async with Stream(web) as s:
            await s.subscribe(1, "files", "entries", "path", path="docs")
            await s.subscribe(2, "transfers", "transfers", "id")
            await s.subscribe(3, "shares", "shares", "name")
            await s.subscribe(4, "cache")
            await s.subscribe(5, "files", "entries", "path", path="docs/later", recursive=True)
            await s.until(lambda: {1, 2, 3, 4} <= set(s.docs) and 5 in s.errors, "all have been said")
            assert s.docs[1]["entries"] == [] and s.docs[3]["shares"][0]["name"] == "docs"
            (shared / "a.txt").write_text("1")
            await s.until(lambda: paths(s.docs[1]) == ["docs/a.txt"], "a file appears")
            old = s.docs[1]["entries"][0]["hash"]
            (shared / "a.txt").write_text("22")
            await s.until(lambda: s.docs[1]["entries"][0]["hash"] != old, "it changes")
            (shared / "later").mkdir()
            (shared / "later" / "b").write_text("1")
            await s.until(lambda: 5 in s.docs and paths(s.docs[5]) == ["docs/later/b"], "what was not there is")
            (shared / "a.txt").unlink()
            await s.until(lambda: paths(s.docs[1]) == ["docs/later"], "it goes")
            # An upload that waits is told, with how far it is.
            reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
            writer.write(f"PUT /v1/files/docs/slow HTTP/1.1\r\nHost: {web.host}\r\nAuthorization: Bearer {web.token}\r\n"
                         f"Content-Length: {3 * MIB}\r\n\r\n".encode() + bytes(2 * MIB))
            await s.until(lambda: any(one["what"] == "upload" and one["done_bytes"] == 2 * MIB and
                                      one["all_bytes"] == 3 * MIB and one["path"] == "docs/slow"
                                      for one in s.docs[2]["transfers"]), "an upload under way")
            writer.write(bytes(MIB))
            await s.until(lambda: any(one["state"] == "done" for one in s.docs[2]["transfers"]), "it is done")
            assert (await reader.readline()).startswith(b"HTTP/1.1 201 ")
            writer.close()
    asyncio.run(run())


def test_changes_are_told_and_too_many_are_counted(shared, web):
    async def run():
        async with Stream(web) as s:
            await s.subscribe(1, "changes", "changes", "no", path="docs")
            await s.until(lambda: 1 in s.docs, "it has begun")
            assert s.docs[1]["changes"] == [] and s.docs[1]["missed"] == 0

            def told(kind, path):
                return next((one for one in s.docs[1]["changes"] if (one["type"], one["path"]) == (kind, path)), None)
            (shared / "a.txt").write_text("1")
            await s.until(lambda: told("created", "docs/a.txt"), "a file appears")
            one = told("created", "docs/a.txt")
            assert (one["author"], one["entry"]["size"]) == ("n1", 1)
            (shared / "a.txt").write_text("22")
            await s.until(lambda: told("modified", "docs/a.txt"), "it changes")
            (shared / "a.txt").rename(shared / "b.txt")
            await s.until(lambda: told("renamed", "docs/b.txt"), "it is renamed")
            assert told("renamed", "docs/b.txt")["from"] == "docs/a.txt"
            (shared / "keep.txt").write_text("1")
            (shared / "b.txt").unlink()
            await s.until(lambda: told("deleted", "docs/b.txt"), "it goes")
            assert "entry" not in told("deleted", "docs/b.txt")
            # Of what happens while nobody is told, as much as an update may have is kept.
            await s.say(op="pause")
            await s.say(op="nonsense")
            await s.until(lambda: None in s.errors, "the pause was heard")
            for n in range(300):
                (shared / f"f{n:03}.txt").write_text(str(n))
            wait_for(lambda: web.json("GET", "/v1/shares/docs")["shares"][0]["entries"] >= 301, WAIT, "all are shared")
            before = len(s.messages)
            await s.say(op="resume")
            await s.until(lambda: s.docs[1]["missed"] >= 100, "some were left out")
            assert all(len(one.get("set", [])) <= 200 for one in s.messages[before:])
            assert s.docs[1]["last_no"] >= 305
    asyncio.run(run())


# ---- other nodes ----

def test_files_of_another_node(cluster, short_dir):
    a = cluster.add().start()
    b = cluster.add().start("--web", "127.0.0.1:0")
    cluster.wait_alive()
    one, two = short_dir / "one", short_dir / "two"
    one.mkdir(), two.mkdir()
    data = os.urandom(3 * MIB)
    (one / "a.bin").write_bytes(data)
    (one / "t.txt").write_text("a's")
    a.kith("share", "add", "s", one)
    b.kith("share", "add", "s", two)
    web = Web(b, token=b.kith("web", "--token").text.strip())
    wait_for(lambda: {"s/a.bin", "s/t.txt"} <= set(paths(web.json("GET", "/v1/files/s?recursive", status=None)
                                                         if web.ask("GET", "/v1/files/s?recursive", status=None).status
                                                         == 200 else {"entries": []})), WAIT, "b lists a's files")
    assert web.ask("GET", "/v1/files/s/a.bin").data == data
    part = web.ask("GET", "/v1/files/s/a.bin", headers={"Range": "bytes=1000000-1999999"}, status=206)
    assert part.data == data[1000000:2000000]
    assert web.json("GET", "/v1/files/s/a.bin?stat")["entry"]["cached"]
    # Both write the same file: each says what it has, and one of them stays.
    (two / "t.txt").write_text("b's own")
    wait_for(lambda: web.json("GET", "/v1/files/s/t.txt?stat")["entry"]["conflicts"] == 1, WAIT, "a conflict")
    assert web.ask("GET", f"/v1/files/s/t.txt@{a.name}").data == b"a's"
    assert web.ask("GET", f"/v1/files/s/t.txt@{b.name}").data == b"b's own"
    assert web.ask("GET", f"/v1/files/s/t.txt@{b.name}").getheader("Content-Type").startswith("text/plain")
    listed = web.json("GET", "/v1/files/s?conflicts")["entries"]
    other = next(entry for entry in listed if entry.get("conflict_of"))
    assert other["conflict_of"] == "s/t.txt"
    text = web.ask("GET", f"/v1/files/{urllib.parse.quote(other['path'])}")
    assert text.data in (b"a's", b"b's own") and text.getheader("Content-Type").startswith("text/plain")
    kept = web.json("POST", f"/v1/files/{urllib.parse.quote(other['path'])}?keep")
    assert kept["entry"]["path"] == "s/t.txt" and kept["entry"]["conflicts"] == 0
    assert web.ask("GET", "/v1/files/s/t.txt").data == text.data
    # Who has it dies in the middle: the answer ends short of its length. Of another file nothing was said: an error.
    (one / "other.bin").write_bytes(os.urandom(MIB))
    with open(one / "big.bin", "wb") as f:
        for n in range(64):
            f.write(os.urandom(MIB))
    wait_for(lambda: {"s/big.bin", "s/other.bin"} <= set(paths(web.json("GET", "/v1/files/s/"))), WAIT, "b knows both")
    sockets = []
    for name in ("big", "other"):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.settimeout(WAIT * SLOW)
        s.connect(("127.0.0.1", web.port))
        s.sendall(f"GET /v1/files/s/{name}.bin HTTP/1.1\r\nHost: {web.host}\r\nConnection: close\r\n"
                  f"Authorization: Bearer {web.token}\r\n\r\n".encode())
        if name == "big":
            got = len(s.recv(MIB))
            a.kill()
        sockets.append(s)
    other = b"".join(iter(lambda: sockets[1].recv(MIB), b""))
    while part := sockets[0].recv(MIB):
        got += len(part)
    for s in sockets:
        s.close()
    assert 0 < got < 64 * MIB
    assert other.startswith(b"HTTP/1.1 502 ") and b"KITH_E_UNREACHABLE" in other and a.name.encode() in other, other
    wait_for(lambda: any(one["state"] == "failed" and one["path"] == "s/big.bin" and one["text"]
                         for one in web.json("GET", "/v1/transfers")["transfers"]), WAIT, "the transfer has failed")


# ---- TLS ----

def test_files_over_tls(cluster, short_dir):
    """What TLS has decrypted and nobody has taken yet is not forgotten; a reader that stops is no reader that fails."""
    n = cluster.add().start("--web", "0.0.0.0:0")
    wait_for(lambda: n.kith("view", "--json").json.get("keepers"), WAIT, "the node has a view")
    n.kith("user", "add", "ana", "--role", "admin", input=b"correct horse\n")
    wait_for(lambda: n.kith("user", "ls", "--json").json["users"], WAIT, "the user is known")
    (short_dir / "docs").mkdir()
    n.kith("share", "add", "docs", short_dir / "docs")
    headers = {"Authorization": "Bearer " + n.kith("web", "--token").text.strip()}
    port = urllib.parse.urlsplit(n.kith("info", "--json").json["web"]).port
    context = ssl.create_default_context(cafile=str(n.dir / "web-cert.pem"))
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=WAIT * SLOW)
    data = os.urandom(24 * MIB)
    connection.request("PUT", "/v1/files/docs/a.bin", data, headers)
    answer = connection.getresponse()
    assert answer.status == 201, answer.read()
    answer.read()
    connection.request("GET", "/v1/files/docs/a.bin", headers=headers)
    answer = connection.getresponse()
    got = answer.read(MIB)
    # The node has more than one look at a reader that stops.
    def age_ms():
        other = http.client.HTTPSConnection("localhost", port, context=context, timeout=WAIT * SLOW)
        other.request("GET", "/v1/transfers", headers=headers)
        listed = json.loads(other.getresponse().read())["transfers"]
        other.close()
        return next(one["age_ms"] for one in listed if one["what"] == "download")
    wait_for(lambda: age_ms() > 2500, WAIT, "it is looked at")
    assert got + answer.read() == data
    connection.request("GET", "/healthz")
    assert connection.getresponse().read() == b"ok\n"
    connection.close()
