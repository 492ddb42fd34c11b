"""What the pages of a node refuse, and that it goes on meanwhile (docs/protocols/http.md, Limits)."""
import asyncio
import http.client
import json
import socket
import time

import pytest

from kithtest import SLOW, wait_for

websockets = pytest.importorskip("websockets", reason="python3-websockets is not installed")

from webtest import KEY, Stream, Web, log_in  # noqa: E402


def until_end(s):
    got = b""
    try:
        while piece := s.recv(65536):
            got += piece
    except ConnectionResetError:
        pass
    return got


def answered(got, status, code):
    """The bytes @got are one refusal: its status, its error as JSON, and the end of the connection."""
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), got[:200]
    assert b"\r\nConnection: close" in head and b"\r\nContent-Type: application/json" in head, head
    error = json.loads(body)
    assert (error["schema"], error["code"]) == ("kith.error/1", code), error
    assert error["message"]
    return error


def test_large_headers_are_refused(web):
    good = f"GET /v1/nodes HTTP/1.1\r\nHost: {web.host}\r\nAuthorization: Bearer {web.token}\r\n"
    got, _ = web.raw((good + "X-Pad: " + "a" * 7000 + "\r\nConnection: close\r\n\r\n").encode())
    assert got.startswith(b"HTTP/1.1 200")
    for size in (9000, 30000):
        got, _ = web.raw((good + "X-Pad: " + "a" * size + "\r\n\r\n").encode())
        assert got.startswith(b"HTTP/1.1 431"), got[:100]
    many = "".join(f"X-P{i}: {'b' * 80}\r\n" for i in range(120))
    # What the library can hold, and far beyond: the answer is there although much is still under way.
    for rest in (many, many * 10, "X-Pad: " + "a" * 17000, "X-Pad: " + "a" * 70000, "X-Pad: " + "a" * (1 << 20),
                 "Cookie: a=b; " * 3000, "Cookie: a\r\n" * 1000):
        answered(web.raw((good + rest + "\r\n\r\n").encode())[0], 431, "KITH_E_TOO_LARGE")
        answered(web.raw((good + rest).encode())[0], 431, "KITH_E_TOO_LARGE")  # and never a whole one
    # The same as a later request of a connection.
    with socket.create_connection(("127.0.0.1", web.port), timeout=20 * SLOW) as s:
        s.sendall((good + "\r\n").encode())
        assert s.recv(65536).startswith(b"HTTP/1.1 200")
        s.sendall((good + "X-Pad: " + "a" * 100000).encode())
        answered(until_end(s), 431, "KITH_E_TOO_LARGE")
    # Long, but within the limits: a body is no header, whenever it comes.
    body = b"z" * (3 << 20)
    assert web.ask("POST", "/v1/call/sys.echo", body).data == body
    web.ask("GET", "/v1/nodes")


def test_large_bodies_are_refused(web):
    head = f"POST /v1/call/sys.echo HTTP/1.1\r\nHost: {web.host}\r\nAuthorization: Bearer {web.token}\r\n"
    got, _ = web.raw((head + f"Content-Length: {(16 << 20) + 1}\r\n\r\n").encode())
    answered(got, 413, "KITH_E_TOO_LARGE")
    got, _ = web.raw((head + f"Content-Length: {20 << 20}\r\n\r\n").encode() + b"x" * (20 << 20))
    answered(got, 413, "KITH_E_TOO_LARGE")  # it is heard, although the body is still under way
    got, _ = web.raw((head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").encode())
    assert got.startswith(b"HTTP/1.1 411")
    for length in ("-1", "x", "99999999999999999999999"):
        got, _ = web.raw((head + f"Content-Length: {length}\r\n\r\n").encode())
        assert got.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413")) or got == b"", (length, got)
    for twice in ("Content-Length: 1\r\nContent-Length: 2", f"Host: {web.host}"):
        got, _ = web.raw((head + twice + "\r\n\r\n").encode())
        assert got.startswith(b"HTTP/1.1 400") or got == b"", (twice, got)
    web.error("POST", "/v1/login", 413, body="{" + " " * 70000 + "}", headers=KEY)
    web.error("POST", "/v1/login", 400, "KITH_E_PARSE", body="[1]", headers=KEY)
    web.error("POST", "/v1/login", 400, "KITH_E_PARSE", body='{"a":1,"a":2}', headers=KEY)
    assert len(web.ask("POST", "/v1/call/sys.echo", b"y" * (16 << 20)).data) == 16 << 20


def test_what_is_no_request_ends(web):
    for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 300, b"BREW / HTTP/1.1\r\n\r\n",
                 b"GET / HTTP/1.1\r\n\r\n", b"GET http://evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n",
                 b"\r\n\r\n\r\n\r\n" + b"\x00" * 100):
        with socket.create_connection(("127.0.0.1", web.port), timeout=20 * SLOW) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            got = s.recv(65536)
            assert not got or got.split(b" ")[1] in (b"400", b"403", b"404", b"405", b"421"), (data, got)
    web.ask("GET", "/v1/nodes")


def test_a_body_that_was_sent_ahead_is_refused(web):
    """The library would take a header for it, and never come back from that."""
    access = f"Host: {web.host}\r\nAuthorization: Bearer {web.token}\r\nX-Kith: 1\r\n"
    get = f"GET /healthz HTTP/1.1\r\n{access}\r\n"
    put = f"PUT /v1/vars/ahead HTTP/1.1\r\n{access}Content-Length: 2\r\n\r\nhi"
    for request in (put, put.replace("Host", "Toast"), put.replace("PUT", "GET")):
        got, _ = web.raw((get + request).encode())
        answers = got.split(b"HTTP/1.1 ")
        assert answers[1].startswith(b"200 "), got
        assert answered(b"HTTP/1.1 " + answers[2], 503, "KITH_E_BUSY")
        assert len(answers) == 3
    web.error("GET", "/v1/vars/ahead", 404)
    got, _ = web.raw((get + get + get.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).encode())
    assert got.count(b"HTTP/1.1 200 ") == 3, got  # without bodies they may come together


def test_a_body_that_nobody_reads_ends_the_connection(web):
    got, _ = web.raw(b"PUT /v1/vars/x HTTP/1.1\r\nContent-Length: 99\r\n\r\nabc")
    assert got.startswith(b"HTTP/1.1 421 ") and b"\r\nConnection: close" in got, got
    assert web.ask("GET", "/healthz").status == 200


def test_slow_clients_are_answered_and_closed(web):
    """No byte for 10 s where a request has begun: 408. Others are served meanwhile."""
    head = f"POST /v1/call/sys.echo HTTP/1.1\r\nHost: {web.host}\r\nAuthorization: Bearer {web.token}\r\n"
    parts = [b"GET /v1/no", (head + "Content-Length: 100\r\n\r\nhalf").encode()]
    sockets = []
    for part in parts:
        s = socket.create_connection(("127.0.0.1", web.port), timeout=30 * SLOW)
        s.sendall(part)
        sockets.append(s)
    began = time.monotonic()
    web.ask("GET", "/v1/nodes")
    for s in sockets:
        answered(until_end(s), 408, "KITH_E_TIMEOUT")
        s.close()
    assert 9 < time.monotonic() - began < 20 * SLOW


@pytest.mark.plain
def test_many_connections_do_not_starve_the_node(web, node):
    """Above the limit a connection gets 503; the node and its control socket go on."""
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    sockets, refused = [], 0
    try:
        for _ in range(1500):
            s = socket.create_connection(("127.0.0.1", web.port), timeout=20 * SLOW)
            sockets.append(s)
        assert "connections are open" in answered(until_end(sockets[-1]), 503, "KITH_E_LIMIT")["message"]
        assert node.kith("call", "sys.echo", "hello").text.startswith("hello")
    finally:
        for s in sockets:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    def served():
        try:
            return web.ask("GET", "/v1/nodes", status=None).status == 200
        except (ConnectionError, http.client.HTTPException):
            return False
    wait_for(served, what="it serves again")


def test_a_message_that_is_too_large_closes_the_socket(web):
    async def run():
        async with Stream(web) as s:
            await s.socket.send("{" + " " * 20000)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await asyncio.wait_for(s.socket.recv(), 20 * SLOW)
            assert closed.value.code == 1009
    asyncio.run(run())


def test_an_upgrade_to_something_else_is_refused(web):
    """As the first request and as a later one; by the library, which says so in its own words."""
    first = f"GET /healthz HTTP/1.1\r\nHost: {web.host}\r\n\r\n".encode()
    for what in ("foo", "h2c", "WEBSOCKET2", "x" * 3000):
        request = (f"GET / HTTP/1.1\r\nHost: {web.host}\r\nConnection: Upgrade\r\n"
                   f"Upgrade: {what}\r\n\r\n").encode()
        got, _ = web.raw(request)
        assert got.split(b" ")[1] in (b"400", b"403"), (what, got)
        with socket.create_connection(("127.0.0.1", web.port), timeout=20 * SLOW) as s:
            s.sendall(first)
            assert s.recv(65536).startswith(b"HTTP/1.1 200")
            s.sendall(request)
            got = s.recv(65536)
            assert got.split(b" ")[1] in (b"400", b"403"), (what, got)
    web.ask("GET", "/v1/nodes")


def upgrade_request(web):
    return (f"GET /v1/stream HTTP/1.1\r\nHost: {web.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Authorization: Bearer {web.token}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n").encode()


def test_websockets_above_their_number_are_refused(web):
    """640; the connections that are left still answer."""
    sockets = []
    try:
        for _ in range(640):
            s = socket.create_connection(("127.0.0.1", web.port), timeout=20 * SLOW)
            sockets.append(s)
            s.sendall(upgrade_request(web))
            assert s.recv(12) == b"HTTP/1.1 101"
        got, _ = web.raw(upgrade_request(web))
        assert "640 WebSockets" in answered(got, 503, "KITH_E_LIMIT")["message"]
        web.ask("GET", "/v1/nodes")
        sockets.pop().close()
        def taken():
            s = socket.create_connection(("127.0.0.1", web.port), timeout=20 * SLOW)
            sockets.append(s)
            s.sendall(upgrade_request(web))
            return s.recv(12) == b"HTTP/1.1 101"
        wait_for(taken, what="the place of the one that went is taken")
    finally:
        for s in sockets:
            s.close()


def test_feeds_above_their_number_are_refused(web):
    """1,024 different ones of all streams; one that is there already can be followed by more."""
    async def run():
        streams = []
        try:
            for i in range(32):
                s = await Stream(web).__aenter__()
                streams.append(s)
                for j in range(32):
                    await s.subscribe(j, "vars", "vars", "name", prefix=f"p{i}/{j}/")
                await s.until(lambda s=s: len(s.docs) == 32, "each feed says what is there", 60)
            async with Stream(web) as s:
                await s.subscribe(1, "vars", "vars", "name", prefix="another")
                await s.until(lambda: 1 in s.errors, "it is refused")
                assert s.errors[1]["final"] and s.errors[1]["error"]["code"] == "KITH_E_LIMIT"
                await s.subscribe(2, "vars", "vars", "name", prefix="p0/0/")
                await s.until(lambda: 2 in s.docs, "the feed of another client")
                await streams[0].say(op="unsubscribe", id=5)
                await streams[0].say(op="nonsense")
                await streams[0].until(lambda: None in streams[0].errors, "it was heard")
                await s.subscribe(1, "vars", "vars", "name", prefix="another")
                await s.until(lambda: 1 in s.docs, "there is room again")
        finally:
            for s in streams:
                await s.__aexit__()
    asyncio.run(run())


def test_the_session_unused_longest_goes_when_there_are_too_many(node, web):
    """1,024: who asks meanwhile stays, who has not asked since the others came is out."""
    old = Web(node, token=node.kith("web", "--token").text.strip())
    old.ask("GET", "/v1/nodes")
    web.ask("GET", "/v1/nodes")  # used after the old one
    with node.control() as control:
        for i in range(1022):
            control.request("web.token")
        assert old.ask("GET", "/v1/session", headers={"Authorization": "Bearer x"}).status == 200
        control.request("web.token")  # the 1,025th
        old.error("GET", "/v1/nodes", 401)
        web.ask("GET", "/v1/nodes")
        for i in range(1023):
            control.request("web.token")
        web.ask("GET", "/v1/nodes")


def test_bodies_above_their_sum_are_refused(web):
    """64 MiB of all requests under way, by what their headers say; then there is room again."""
    head = (f"POST /v1/call/sys.echo HTTP/1.1\r\nHost: {web.host}\r\n"
            f"Authorization: Bearer {web.token}\r\nContent-Length: ")
    sockets = []
    for _ in range(4):
        s = socket.create_connection(("127.0.0.1", web.port), timeout=20 * SLOW)
        s.sendall((head + f"{16 << 20}\r\n\r\n").encode() + b"begun")
        sockets.append(s)
    def refused():
        got, _ = web.raw((head + "1\r\nConnection: close\r\n\r\nx").encode())
        return None if got.startswith(b"HTTP/1.1 200") else got
    got = wait_for(refused, what="the four have been heard")
    assert "64 MiB" in answered(got, 503, "KITH_E_BUSY")["message"]
    assert b"Retry-After: 1\r\n" in got
    web.ask("GET", "/v1/nodes")
    rest = b"x" * ((16 << 20) - 5)
    sockets[0].sendall(rest)  # what was taken is served
    assert sockets[0].recv(12) == b"HTTP/1.1 200"
    for s in sockets:
        s.close()
    wait_for(lambda: refused() is None, what="there is room again")


def test_a_session_holds_no_more_mutexes_than_it_may(web):
    """64, also if they are asked for all at once."""
    for i in range(62):
        web.json("POST", f"/v1/locks/l{i}")
    head = f"HTTP/1.1\r\nHost: {web.host}\r\nAuthorization: Bearer {web.token}\r\nContent-Length: 0\r\n\r\n"
    sockets = []
    for i in range(62, 70):
        s = socket.create_connection(("127.0.0.1", web.port), timeout=20 * SLOW)
        s.sendall(f"POST /v1/locks/l{i} {head}".encode())
        sockets.append(s)
    first = [s.recv(65536) for s in sockets]
    assert sorted(got[:12] for got in first) == [b"HTTP/1.1 200"] * 2 + [b"HTTP/1.1 503"] * 6
    for s in sockets:
        s.close()
    assert "64 mutexes" in web.error("POST", "/v1/locks/one.more", 503, "KITH_E_LIMIT")["message"]
    # What was refused is held by nobody.
    free = next(i for i, got in zip(range(62, 70), first) if got.startswith(b"HTTP/1.1 503"))
    other = Web(web.node, token=web.node.kith("web", "--token").text.strip())
    other.json("POST", f"/v1/locks/l{free}")
    web.json("DELETE", "/v1/locks/l0")
    web.json("POST", "/v1/locks/one.more")


def test_users_above_their_number_are_refused(node, web):
    """1,000, whose hashes a member wrote; and the copy of them holds them all."""
    with node.control() as control:
        control.request("user.add", {"user": "u0000", "role": "viewer"}, b"correct horse")
        _, doc = control.request("var.get", {"name": "kith/user/u0000"})
        asked = [control.ask("var.set", {"name": f"kith/user/u{i:04}", "type": "text", "policy": "durable"}, doc)
                 for i in range(1, 1000)]
        for _ in asked:
            message, _ = control.receive()
            assert message["ok"], message
        wait_for(lambda: len(web.json("GET", "/v1/users")["users"]) == 1000, 60, "all are known")
        refused = web.error("POST", "/v1/users", 503, "KITH_E_LIMIT",
                            body={"user": "ana", "password": "correct horse", "role": "viewer"})
        assert "remove some" in refused["message"]
        # One more that another member wrote is not taken either; those that are known can be changed.
        control.request("var.set", {"name": "kith/user/zoe", "type": "text", "policy": "durable"}, doc)
        web.json("PUT", "/v1/users/u0999", {"role": "operator"})
        wait_for(lambda: web.json("GET", "/v1/users")["users"][-1] == dict(
            web.json("GET", "/v1/users")["users"][-1], name="u0999", role="operator"), what="the change")
        assert len(web.json("GET", "/v1/users")["users"]) == 1000
    log_in(node, user="u0500", password="correct horse")
    copy = node.dir / "users"
    wait_for(lambda: len(json.loads(copy.read_text())) == 1000, what="the copy is whole")
    web.ask("DELETE", "/v1/users/u0007")
    wait_for(lambda: len(web.json("GET", "/v1/users")["users"]) == 999, what="one is gone")
    web.ask("POST", "/v1/users", {"user": "ana", "password": "correct horse", "role": "viewer"}, status=201)


def test_passwords_wait_for_their_turn_and_not_too_many(node, web):
    """One at a time is checked and 8 wait; the others hear 429, and the node serves meanwhile."""
    node.kith("user", "add", "ana", "--role", "viewer", input=b"correct horse\n")
    body = json.dumps({"user": "ana", "password": "correct horse"})
    request = (f"POST /v1/login HTTP/1.1\r\nHost: {web.host}\r\nX-Kith: 1\r\nConnection: close\r\n"
               f"Content-Length: {len(body)}\r\n\r\n{body}").encode()
    wait_for(lambda: node.kith("user", "ls", "--json").json["users"], what="the user is known")
    sockets = [socket.create_connection(("127.0.0.1", web.port), timeout=60 * SLOW) for _ in range(150)]
    for s in sockets:
        s.sendall(request)
    web.ask("GET", "/healthz")
    got = [until_end(s) for s in sockets]
    for s in sockets:
        s.close()
    let_in = [g for g in got if g.startswith(b"HTTP/1.1 200")]
    busy = [g for g in got if g.startswith(b"HTTP/1.1 429")]
    assert len(let_in) >= 9 and busy and len(let_in) + len(busy) == len(got), [g[:40] for g in got]
    for g in busy:
        head, _, error = g.partition(b"\r\n\r\n")
        assert b"\r\nRetry-After: 1" in head
        assert json.loads(error)["code"] == "KITH_E_BUSY"
    log_in(node, user="ana", password="correct horse")
