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
