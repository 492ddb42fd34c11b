"""The API over HTTP and WebSocket, and who gets in (docs/protocols/http.md)."""
import asyncio
import hashlib
import http.client
import ipaddress
import json
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import urllib.parse

import pytest

from kithtest import BUILD, SLOW, wait_for

websockets = pytest.importorskip("websockets", reason="python3-websockets is not installed")

from webtest import KEY, Web, log_in  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def routes(node):
    with node.control() as control:
        return control.request("web.routes")["routes"]


def a_path(pattern):
    return pattern.replace("*", "nothing")


# ---- the table ----

def test_openapi_is_the_table_of_routes(node):
    doc = json.loads((ROOT / "docs/openapi.json").read_text())
    assert doc["openapi"].startswith("3.1")
    documented = {(method.upper(), path.replace("{name}", "*"), operation["x-kith-role"])
                  for path, operations in doc["paths"].items()
                  for method, operation in operations.items()}
    assert documented == {(r["method"], r["pattern"], r["role"]) for r in routes(node)}
    for operations in doc["paths"].values():
        for operation in operations.values():
            assert "default" in operation["responses"] and operation["summary"]


def test_document_names_every_route(node):
    text = (ROOT / "docs/protocols/http.md").read_text()
    for route in routes(node):
        shown = route["pattern"].replace("*", "NAME")
        assert f"{shown}" in text or route["pattern"] == "/*", route


# ---- who gets in: every route ----

def test_strangers_get_in_nowhere(node):
    """Foreign Host, foreign Origin, no token, another's form: on each route of the table."""
    nobody = Web(node)
    own = {"Host": nobody.host}
    open_routes = 0
    for route in routes(node):
        method, path = route["method"], a_path(route["pattern"])
        body = {} if route["json"] else None
        for host in ("evil.example", f"evil.example:{nobody.port}", "127.0.0.1.evil.example"):
            nobody.ask(method, path, body, {"Host": host, **KEY}, status=421)
        for origin in ("http://evil.example", "null", f"https://{nobody.host}", "http://127.0.0.1:1"):
            nobody.ask(method, path, body, {**own, **KEY, "Origin": origin}, status=403)
        if method != "GET":  # a form of another page can send this much, with the cookie
            nobody.ask(method, path, body, {
                **own, "Content-Type": "application/x-www-form-urlencoded"}, status=403)
        if route["role"] == "open":
            open_routes += 1
            continue
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Bearer " + "A" * 43},
                        {"Cookie": "kith-00000000=" + "A" * 43}):
            answer = nobody.ask(method, path, body, {**own, **KEY, **headers}, status=401)
            assert answer.getheader("WWW-Authenticate") == "Bearer"
    assert open_routes == 8


def test_websocket_takes_nobody_either(node, web):
    async def status(headers, subprotocols=None):
        try:
            async with websockets.connect(f"ws://{web.host}/v1/stream", extra_headers=headers,
                                          subprotocols=subprotocols):
                return 101
        except websockets.InvalidStatusCode as refused:
            return refused.status_code

    good = {"Authorization": f"Bearer {web.token}"}
    assert asyncio.run(status({})) == 401
    assert asyncio.run(status({"Authorization": "Bearer x"})) == 401
    assert asyncio.run(status({**good, "Origin": "http://evil.example"})) == 403
    assert asyncio.run(status(good)) == 101
    assert asyncio.run(status({**good, "Origin": f"http://{web.host}"})) == 101
    assert asyncio.run(status({}, ["kith", f"bearer.{web.token}"])) == 101
    got, _ = web.raw(f"GET /v1/stream HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\n"
                     f"Connection: Upgrade\r\nAuthorization: Bearer {web.token}\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                     "\r\n".encode())
    assert got.startswith(b"HTTP/1.1 421")
    # Another route is no WebSocket.
    got, _ = web.raw(f"GET /v1/nodes HTTP/1.1\r\nHost: {web.host}\r\nUpgrade: websocket\r\n"
                     f"Connection: Upgrade\r\nAuthorization: Bearer {web.token}\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                     "\r\n".encode())
    assert got.startswith(b"HTTP/1.1 400")


def test_a_cookie_is_no_bearer_and_a_bearer_no_cookie(node, web):
    link = node.kith("web").text.strip().split("#login=")[1]
    answer = Web(node).ask("POST", "/v1/login", {"link": link}, KEY)
    name, token = answer.getheader("Set-Cookie").split(";")[0].split("=", 1)
    assert name == f"kith-{node.id[:8]}"
    assert "HttpOnly" in answer.getheader("Set-Cookie")
    assert "SameSite=Strict" in answer.getheader("Set-Cookie")
    Web(node, cookie=f"{name}={token}").ask("GET", "/v1/nodes")
    Web(node, token=token).ask("GET", "/v1/nodes", status=401)
    Web(node, cookie=f"{name}={web.token}").ask("GET", "/v1/nodes", status=401)
    # The cookie alone changes nothing: a page of another could have sent it.
    Web(node, cookie=f"{name}={token}").ask("PUT", "/v1/vars/x", "1", {"X-Kith": None}, status=403)
    Web(node, cookie=f"{name}={token}").ask("PUT", "/v1/vars/x", "1")


def test_roles_hold(node, web):
    def with_role(role):
        return Web(node, token=node.kith("web", "--token", "--role", role).text.strip())
    order = ["viewer", "operator", "admin"]
    for role in order:
        one = with_role(role)
        for route in routes(node):
            if route["role"] not in order or route["pattern"] == "/v1/stream":
                continue
            answer = one.ask(route["method"], a_path(route["pattern"]),
                             {} if route["json"] else None, status=None)
            refused = answer.status == 403 and b"this needs the role" in answer.data
            assert refused == (order.index(route["role"]) > order.index(role)), (role, route)


# ---- logging in ----

def test_a_link_is_opened_in_the_browser(node, tmp_path):
    opener = tmp_path / "xdg-open"
    opener.write_text(f'#!/bin/sh\nprintf %s "$1" >{tmp_path}/url\n')
    opener.chmod(0o755)
    opened = node.kith("web", "--open", env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    url = (tmp_path / "url").read_text()
    assert opened.text == "" and "#login=" in url
    assert log_in(node, link=url.split("#login=")[1]).json("GET", "/v1/session")["role"] == "admin"
    opener.write_text("#!/bin/sh\nexit 3\n")
    assert "no browser" in node.kith("web", "--open", env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=1).error


def test_a_link_logs_in_once(node):
    link = node.kith("web").text.strip()
    url, token = link.split("/#login=")
    web = Web(node)
    assert url == web.url
    assert web.json("GET", "/v1/session") == {
        "schema": "kith.session/1", "logged_in": False, "register": False, "first": True, "tls": False}
    answer = web.ask("POST", "/v1/login", {"link": token}, KEY)
    assert json.loads(answer.data)["role"] == "admin"
    web.error("POST", "/v1/login", 401, "KITH_E_PERMISSION", body={"link": token}, headers=KEY)
    owner = Web(node, cookie=answer.getheader("Set-Cookie").split(";")[0])
    session = owner.json("GET", "/v1/session")
    assert session["logged_in"] and session["user"] == "" and session["node"] == "n1"
    owner.ask("POST", "/v1/logout")
    owner.error("GET", "/v1/nodes", 401)
    # The page of a board takes its link off the address (web/board/main.js).
    opened = node.kith("board", "open", "plan", "--json").json
    assert opened["schema"] == "kith.board.open/1"
    page, rest = opened["url"].split("#login=")
    token, board = rest.split("/")
    assert (page, board) == (web.url + "/board/index.html", "plan")
    web.ask("POST", "/v1/login", {"link": token}, KEY)
    assert node.kith("board", "open", "plan").text.startswith(page + "#login=")
    node.kith("board", "open", "No Board", check=2)


def test_users(node, web):
    """The first link makes the admin; roles, passwords, removal; sessions end with each change."""
    link = node.kith("web").text.strip().split("#login=")[1]
    owner = log_in(node, link=link)
    web.error("POST", "/v1/register", 400, body={"user": "", "password": "12345678"})
    web.error("POST", "/v1/register", 400, body={"user": "ana", "password": "short"})
    Web(node).error("POST", "/v1/register", 403, body={"user": "ana", "password": "12345678"},
                    headers=KEY)
    made = owner.json("POST", "/v1/register", {"user": "ana", "password": "correct horse"})
    assert (made["user"], made["role"]) == ("ana", "admin")
    owner.error("POST", "/v1/register", 403, body={"user": "ben", "password": "12345678"})
    ana = log_in(node, user="ana", password="correct horse")
    ana.ask("POST", "/v1/users", {"user": "ben", "password": "battery staple", "role": "viewer"},
            status=201)
    ana.error("POST", "/v1/users", 409, "KITH_E_EXISTS",
              body={"user": "ben", "password": "battery staple", "role": "viewer"})
    ben = log_in(node, user="ben", password="battery staple")
    ben.ask("GET", "/v1/vars")
    assert "role operator" in ben.error("PUT", "/v1/vars/x", 403, body="1")["message"]
    ben.error("PUT", "/v1/users/ben", 403, body={"role": "admin"})
    ben.error("PUT", "/v1/users/ana", 403, body={"password": "12345678", "old_password": "x"})
    ben.error("PUT", "/v1/users/ben", 403,
              body={"password": "new password", "old_password": "wrong"})
    ben.json("PUT", "/v1/users/ben", {"password": "new password", "old_password": "battery staple"})
    ben.error("GET", "/v1/vars", 401)  # its sessions ended
    ben = log_in(node, user="ben", password="new password")
    listed = node.kith("user", "ls", "--json").json["users"]
    assert [(u["name"], u["role"]) for u in listed] == [("ana", "admin"), ("ben", "viewer")]
    node.kith("user", "passwd", "ben", "--role", "operator")
    wait_for(lambda: ben.ask("GET", "/v1/vars", status=None).status == 401, what="the session ends")
    ben = log_in(node, user="ben", password="new password")
    ben.ask("PUT", "/v1/vars/x", "1")
    node.kith("user", "rm", "ben")
    wait_for(lambda: ben.ask("GET", "/v1/vars", status=None).status == 401, what="the session ends")
    node.kith("user", "add", "cleo", "--role", "viewer", input=b"from the pipe\n")
    log_in(node, user="cleo", password="from the pipe")
    # The variables behind it are nobody's business here.
    assert web.json("GET", "/v1/vars")["vars"][0]["name"] == "x"
    web.error("GET", "/v1/vars/kith/user/ana", 403)
    web.error("PUT", "/v1/vars/kith/user/ana", 403, body="{}")


def test_users_are_known_everywhere_and_without_a_majority(cluster):
    a, b = cluster.start(2, "--web", "127.0.0.1:0")
    wait_for(lambda: b.kith("view", "--json").json.get("keepers"), 30, "there is a view")
    a.kith("user", "add", "ana", "--role", "operator", input=b"correct horse\n")
    wait_for(lambda: b.kith("user", "ls", "--json").json["users"], what="b knows the user")
    log_in(b, user="ana", password="correct horse")
    a.kill()
    b.kill()
    b.start("--web", "127.0.0.1:0")  # alone: its own copy
    ana = log_in(b, user="ana", password="correct horse")
    assert ana.json("GET", "/v1/session")["user"] == "ana"


def test_a_token_for_another_member_gives_no_more_than_its_user_may_now(cluster):
    n = cluster.add()

    def started():
        n.start("--web", "127.0.0.1:0")
        wait_for(lambda: n.kith("view", "--json").json.get("keepers"), 60, "the node has a view")
        wait_for(lambda: n.kith("status", "--json").json, 60, "the node answers")
        return Web(n)

    started()
    n.kith("user", "add", "ana", "--role", "operator", input=b"correct horse\n")
    token = log_in(n, user="ana", password="correct horse").json("GET", "/v1/session")["handover"]
    Web(n).error("POST", "/v1/login", 401, body={"handover": token, "bearer": True}, headers=KEY)
    n.kill()  # by itself it takes only what it gave in a former run
    web = started()
    n.kith("user", "passwd", "ana", "--role", "viewer")
    wait_for(lambda: n.kith("user", "ls", "--json").json["users"][0]["role"] == "viewer",
             what="the role is known")
    answer = web.ask("POST", "/v1/login", {"handover": token, "bearer": True}, KEY)
    assert json.loads(answer.data)["role"] == "viewer"
    changed = n.kith("user", "ls", "--json").json["users"][0]["changed"]
    n.kith("user", "passwd", "ana", input=b"another horse\n")
    wait_for(lambda: n.kith("user", "ls", "--json").json["users"][0]["changed"] != changed,
             what="the password is known")
    web.error("POST", "/v1/login", 401, body={"handover": token, "bearer": True}, headers=KEY)
    token = log_in(n, user="ana", password="another horse").json("GET", "/v1/session")["handover"]
    n.kill()
    web = started()
    wait_for(lambda: n.kith("user", "ls", "--json").json["users"], 60, "the users are known again")
    # Ten that fail within a minute bar the address for one.
    wait_for(lambda: web.ask("POST", "/v1/login", {"handover": token, "bearer": True}, KEY,
                             None).status == 200, 60, "the token is taken", interval=1)
    n.kith("user", "rm", "ana")
    wait_for(lambda: not n.kith("user", "ls", "--json").json["users"], what="she is gone")
    web.error("POST", "/v1/login", 401, body={"handover": token}, headers=KEY)


def test_registering_where_it_is_allowed(cluster):
    n = cluster.add().start("--web", "127.0.0.1:0", "--set", "web.register=yes")
    wait_for(lambda: n.kith("view", "--json").json.get("keepers"), 30, "the node has a view")
    n.kith("user", "add", "ana", "--role", "admin", input=b"correct horse\n")
    web = Web(n)
    wait_for(lambda: web.json("GET", "/v1/session")["register"], what="the user is known")
    answer = web.ask("POST", "/v1/register", {"user": "dora", "password": "12345678"}, KEY)
    dora = Web(n, cookie=answer.getheader("Set-Cookie").split(";")[0])
    assert dora.json("GET", "/v1/session")["role"] == "viewer"


def test_bad_log_ins_are_slowed_down(node):
    web = Web(node)
    for _ in range(5):
        web.error("POST", "/v1/login", 401, body={"user": "ana", "password": "guess"}, headers=KEY)
    answer = web.ask("POST", "/v1/login", {"user": "ana", "password": "guess"}, KEY, status=429)
    assert 1 <= int(answer.getheader("Retry-After")) <= 61
    for _ in range(5):  # another user, until the address has had its share
        web.error("POST", "/v1/login", 401, body={"user": "ben", "password": "guess"}, headers=KEY)
    web.ask("POST", "/v1/login", {"link": "A" * 43}, KEY, status=429)


def test_a_member_takes_a_session_over(cluster):
    a, b = cluster.start(2, "--web", "127.0.0.1:0")
    link = a.kith("web").text.strip().split("#login=")[1]
    at_a = log_in(a, link=link)
    token = at_a.json("GET", "/v1/session")["handover"]
    at_b = Web(b)
    origin = {"Origin": at_a.url, **KEY}
    # b allows the page of a, which is a member, and gives it a token of its own.
    def preflight():
        answer = at_b.ask("OPTIONS", "/v1/login", headers={
            "Origin": at_a.url, "Access-Control-Request-Method": "POST"}, status=None)
        return answer.status == 204 and answer
    answer = wait_for(preflight, what="b knows the address of a's pages")
    assert answer.getheader("Access-Control-Allow-Origin") == at_a.url
    assert answer.getheader("Access-Control-Allow-Credentials") is None
    answer = at_b.ask("POST", "/v1/login", {"handover": token, "bearer": True}, origin)
    assert answer.getheader("Set-Cookie") is None
    assert answer.getheader("Access-Control-Allow-Origin") == at_a.url
    taken = Web(b, token=json.loads(answer.data)["token"])
    assert len(taken.json("GET", "/v1/nodes", headers={"Origin": at_a.url})["nodes"]) == 2
    at_b.error("POST", "/v1/login", 401, body={"handover": token[:-3] + "AAA"}, headers=KEY)
    changed = ("A" if token[0] != "A" else "B") + token[1:]
    at_b.error("POST", "/v1/login", 401, body={"handover": changed}, headers=KEY)
    # Its policy holds as long as the page is open: whatever port a node of this host has by then.
    policy = Web(a).ask("GET", "/").getheader("Content-Security-Policy")
    connect = policy.split("connect-src ")[1].split(";")[0].split()
    assert connect == ["'self'", "http://127.0.0.1:*", "ws://127.0.0.1:*"], policy


def test_refusals_below_the_routes_may_be_read_by_a_members_page(cluster):
    a, b = cluster.start(2, "--web", "127.0.0.1:0")
    at_a, at_b = Web(a), Web(b, token=b.kith("web", "--token").text.strip())
    wait_for(lambda: at_b.ask("GET", "/v1/session", headers={"Origin": at_a.url}, status=None).status == 200,
             60, "b knows the address of a's pages")

    def refused(origin, **headers):
        lines = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in headers.items())
        data, _ = at_b.raw(f"POST /v1/call/sys.echo HTTP/1.1\r\nHost: {at_b.host}\r\nOrigin: {origin}\r\n{lines}\r\n".encode())
        return data.decode(errors="replace")
    for status, headers in ((411, {"Transfer_Encoding": "chunked"}), (413, {"Content_Length": 17 << 20})):
        answer = refused(at_a.url, **headers)
        assert answer.startswith(f"HTTP/1.1 {status} "), answer
        assert f"Access-Control-Allow-Origin: {at_a.url}\r\n".lower() in answer.lower()
        assert "access-control-allow-origin" not in refused("http://127.0.0.1:1", **headers).lower()


def test_a_node_that_starts_again_takes_its_own_pages_back(cluster):
    """Its sessions are gone with it; the token that a page keeps for another member holds here as well."""
    n = cluster.add().start("--web", "127.0.0.1:0")
    port = Web(n).port
    page = log_in(n, link=n.kith("web").text.strip().split("#login=")[1])
    token = page.json("GET", "/v1/session")["handover"]
    n.kill()
    n.start("--web", f"127.0.0.1:{port}")
    again = Web(n)
    assert not again.json("GET", "/v1/session")["logged_in"]
    answer = again.ask("POST", "/v1/login", {"handover": token}, KEY)
    cookie = answer.getheader("Set-Cookie").split(";")[0]
    assert Web(n, cookie=cookie).json("GET", "/v1/session")["role"] == "admin"


def test_the_page_of_a_dead_member_goes_on_at_another(cluster):
    a, b, _ = cluster.start(3, "--web", "127.0.0.1:0")
    wait_for(lambda: b.kith("view", "--json").json["failures_tolerated"] == 1, 60, "one may die")
    at_a = log_in(a, link=a.kith("web").text.strip().split("#login=")[1])
    token = at_a.json("GET", "/v1/session")["handover"]
    at_b = Web(b)
    page = {"Origin": at_a.url}
    wait_for(lambda: at_b.ask("GET", "/v1/session", headers=page, status=None).status == 200,
             what="b knows the address of a's pages")
    at_b.ask("GET", "/v1/session", headers={"Origin": "http://127.0.0.1:1"}, status=403)
    a.kill()
    wait_for(lambda: b.status(a) == "failed", 60, "a has failed")
    # b looks round a second after the event and finds no address of a any more: a's pages are still good
    token_b = b.kith("web", "--token").text.strip()
    wait_for(lambda: not any(n["web"] for n in Web(b, token=token_b).json("GET", "/v1/nodes")["nodes"]
                             if n["status"] == "failed"), what="b has looked round")
    answer = at_b.ask("POST", "/v1/login", {"handover": token, "bearer": True}, {**page, **KEY})
    taken = Web(b, token=json.loads(answer.data)["token"])
    asked = at_b.ask("OPTIONS", "/v1/vars/x", status=204, headers={
        **page, "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization,if-match,x-kith"})
    assert "if-match" in asked.getheader("Access-Control-Allow-Headers")
    taken.ask("PUT", "/v1/vars/x", "1", {**page, "If-None-Match": "*"})
    # what is refused can be read by the page, which else would take the node for dead
    refused = at_b.ask("GET", "/v1/nodes", status=401, headers={
        **page, "Authorization": "Bearer " + "A" * 43})
    assert refused.getheader("Access-Control-Allow-Origin") == at_a.url
    at_b.ask("GET", "/v1/session", headers={"Origin": "http://127.0.0.1:1"}, status=403)
    # and by who starts when a is gone, and so by all after they were restarted in turn
    at_d = Web(cluster.add().start("--web", "127.0.0.1:0"))
    wait_for(lambda: at_d.ask("GET", "/v1/session", headers=page, status=None).status == 200, 60, "it is told")
    at_d.ask("GET", "/v1/session", headers={"Origin": "http://127.0.0.1:1"}, status=403)


def test_a_policy_names_no_ipv6_address(cluster):
    """Browsers complain of one, and ignore it."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 on loopback: {error}")
    n = cluster.add().start("--web", "[::1]:0")
    policy = Web(n).ask("GET", "/").getheader("Content-Security-Policy")
    assert policy.split("connect-src ")[1].split(";")[0].split() == ["'self'"]


def test_a_page_of_a_configured_origin_asks_with_a_token(cluster):
    n = cluster.add().start("--web", "127.0.0.1:0", "--set", "web.origin=http://localhost:8000")
    web = Web(n, token=n.kith("web", "--token").text.strip())
    origin = {"Origin": "http://localhost:8000"}
    assert web.ask("GET", "/v1/nodes", headers=origin).getheader(
        "Access-Control-Allow-Origin") == "http://localhost:8000"
    cookie = log_in(n, link=n.kith("web").text.strip().split("#login=")[1])
    cookie.ask("GET", "/v1/nodes")
    cookie.ask("GET", "/v1/nodes", headers=origin, status=401)  # not with the cookie
    web.ask("GET", "/v1/nodes", headers={"Origin": "http://localhost:8001"}, status=403)


# ---- what the routes do ----

def test_what_the_pages_read(web, node):
    assert web.json("GET", "/v1/self") ["web"] == web.url
    listed = web.json("GET", "/v1/nodes")
    assert listed["schema"] == "kith.nodes/1" and listed["nodes"][0]["name"] == "n1"
    one = web.json("GET", "/v1/resources")["nodes"][0]
    assert one["cpus"] >= 1 and one["memory_bytes"] > one["memory_available_bytes"]
    measured = web.json("GET", "/v1/resources?node=n1")
    assert measured["cpu_percent_per_core"] and measured["disk_bytes"] > measured["disk_available_bytes"] > 0
    assert all(-100 < one["celsius"] < 200 and one["name"] for one in measured["temperatures"])  # most machines of tests have none
    curve = wait_for(lambda: (lambda d: d if len(d["time_ms"]) >= 2 else None)(
        web.json("GET", "/v1/resources/history?span=10m&node=n1")), what="there are two samples")
    assert len({len(curve[k]) for k in ("time_ms", "cpu_percent", "memory_used_bytes", "load",
                                        "net_in_bytes_per_s", "net_out_bytes_per_s")}) == 1
    assert curve["step_ms"] == 2000 and all(0 <= c <= 100 for c in curve["cpu_percent"])
    assert all(len(core) == len(curve["time_ms"]) for core in curve["cpu_percent_per_core"])
    web.error("GET", "/v1/resources/history?span=1y", 400, "KITH_E_INVALID")
    assert "sys.echo" in [f["name"] for f in web.json("GET", "/v1/functions")["functions"]]
    web.error("GET", "/v1/self?node=nobody", 404, "KITH_E_NO_NODE")
    web.error("GET", "/v1/nothing", 404)
    assert web.ask("GET", "/healthz").data == b"ok\n"
    assert web.ask("GET", "/readyz").data == b"ready\n"
    answer = web.ask("POST", "/v1/vars", "", status=405)
    assert answer.getheader("Allow") == "GET, HEAD"
    assert web.ask("HEAD", "/v1/nodes").data == b""


def test_another_node_is_asked_through_this_one(cluster):
    a, b = cluster.start(2, "--web", "127.0.0.1:0")
    web = Web(a, token=a.kith("web", "--token").text.strip())
    assert web.json("GET", "/v1/self?node=n2")["name"] == "n2"
    assert web.json("GET", "/v1/resources/history?node=n2")["name"] == "n2"
    assert web.ask("POST", "/v1/call/sys.echo?node=n2", "x").getheader("X-Kith-Node-Name") == "n2"
    assert web.json("POST", "/v1/nodes", {"address": b.address})["name"] == "n2"
    web.error("POST", "/v1/nodes", 400, body={})
    web.json("DELETE", "/v1/nodes/n2")
    seen = web.json("GET", "/v1/events?limit=1")
    assert len(seen["events"]) == 1 and seen["events"][0]["seq"] == seen["last_seq"]
    assert web.json("GET", f"/v1/events?after={seen['last_seq']}")["events"] == []
    b.kill()
    wait_for(lambda: a.status(b) == "failed", 60, "b has failed")
    web.json("POST", "/v1/nodes/n2/forget")


def test_a_node_reached_by_a_link_local_address_is_shown_with_its_zone(cluster):
    try:
        addresses = [line.split() for line in pathlib.Path("/proc/net/if_inet6").read_text().splitlines()]
    except OSError:
        addresses = []
    found = [(str(ipaddress.IPv6Address(bytes.fromhex(line[0]))), line[5]) for line in addresses if line[3] == "20" and line[4] == "80"]
    if not found:
        pytest.skip("this machine has no link-local address that is in use")
    a = cluster.add().start("--web", "127.0.0.1:0", listen="[::]:0")
    near = f"[{found[0][0]}%{found[0][1]}]:{a.address.rsplit(':', 1)[1]}"
    b = cluster.add().start("--web", "127.0.0.1:0", "--seed", near, listen="[::]:0")
    web = Web(b, token=b.kith("web", "--token").text.strip())
    wait_for(lambda: a.name in [n["name"] for n in web.json("GET", "/v1/nodes")["nodes"]], 60, "b knows a")
    assert {n["name"]: n["address"] for n in web.json("GET", "/v1/nodes")["nodes"]}[a.name] == near
    assert web.json("POST", "/v1/nodes", {"address": near})["name"] == a.name


def test_calls(web, processes):
    answer = web.ask("POST", "/v1/call/sys.echo", b"\x00\xff bytes")
    assert answer.data == b"\x00\xff bytes" and answer.getheader("X-Kith-Outcome") == "OK"
    assert web.ask("POST", "/v1/call/sys.echo").data == b""
    large = b"x" * (3 << 20)
    assert web.ask("POST", "/v1/call/sys.echo", large).data == large
    answer = web.ask("POST", "/v1/call/no.such", "x", status=404)
    assert answer.getheader("X-Kith-Outcome") == "NOT_EXECUTED"
    assert answer.getheader("X-Kith-Error") == "KITH_E_NO_FUNCTION"
    serve = processes.start([BUILD / "kith", "fn", "serve", "fails", "--", "false"],
                            env={"KITH_SOCKET": str(web.node.socket)})
    wait_for(lambda: "fails" in [f["name"] for f in web.json("GET", "/v1/functions")["functions"]],
             what="the function is there")
    answer = web.ask("POST", "/v1/call/fails", "x", status=422)
    assert answer.getheader("X-Kith-Outcome") == "APP_ERROR"
    assert answer.getheader("X-Kith-Code") == "1"
    serve.stop()
    web.error("POST", "/v1/call/sys.echo?node=nobody", 404)


def test_a_call_goes_to_a_node_with_tags(cluster):
    a, b = cluster.start(2, "--web", "127.0.0.1:0")
    a.kith("tag", "set", "zone=b", "rack=4")
    b.kith("tag", "set", "zone=c", "note=it = new")
    web = Web(a, token=a.kith("web", "--token").text.strip())
    wait_for(lambda: all(n["tags"] for n in web.json("GET", "/v1/nodes")["nodes"]), 60, "a knows the tags")
    call = "/v1/call/sys.echo"
    for _ in range(4):
        for query, name in (("tag=zone=b", "n1"), ("tag=zone=c", "n2"), ("tag=zone&tag=rack", "n1"), ("tag=note=it%20%3D%20new", "n2")):
            answer = web.ask("POST", f"{call}?{query}&timeout_ms=60000", b"\x00\xff bytes")
            assert (answer.getheader("X-Kith-Node-Name"), answer.data) == (name, b"\x00\xff bytes")
    assert answer.getheader("X-Kith-Outcome") == "OK" and float(answer.getheader("X-Kith-Elapsed-Ms")) > 0
    assert answer.getheader("X-Kith-Node") == b.id and answer.getheader("Content-Type") == "application/octet-stream"
    answer = web.ask("POST", "/v1/call/sys.sleep?tag=zone=c", "no time", status=422)
    assert answer.getheader("X-Kith-Outcome") == "APP_ERROR" and answer.data
    answer = web.ask("POST", "/v1/call/sys.sleep?tag=zone=c&timeout_ms=100", "60s", status=504)
    assert answer.getheader("X-Kith-Outcome") == "UNKNOWN" and answer.getheader("X-Kith-Error") == "KITH_E_TIMEOUT"
    web.error("POST", f"{call}?tag=zone=d", 404, "KITH_E_NO_FUNCTION")
    web.error("POST", f"{call}?tag=zone=b&node=n2", 400, "KITH_E_INVALID")
    # what is no tag is refused, not left out: nobody is called that was not meant
    web.error("POST", f"{call}?tag=zone=b&tag=%ff", 400, "KITH_E_INVALID")
    web.error("POST", f"{call}?{'tag=zone&' * 33}", 400, "KITH_E_INVALID")
    web.error("POST", f"{call}?tag={'x' * 2048}", 400, "KITH_E_TOO_LARGE")
    web.error("POST", f"{call}?signature={'x' * 2048}&tag=zone=c", 400, "KITH_E_TOO_LARGE")
    web.error("POST", f"{call}?node={'x' * 200}", 404)
    web.error("PUT", f"/v1/vars/x?mutex={'x' * 300}&fence=1", 400, "KITH_E_NAME", body="1")
    # drained: not it
    b.kith("drain", "n2")
    wait_for(lambda: {n["name"]: n["drained"] for n in web.json("GET", "/v1/nodes")["nodes"]}["n2"], 60, "a knows it")
    web.error("POST", f"{call}?tag=zone=c", 404, "KITH_E_NO_FUNCTION")
    assert web.ask("POST", f"{call}?tag=zone").getheader("X-Kith-Node-Name") == "n1"


def test_variables(web):
    web.error("GET", "/v1/vars/sensor/3", 404, "KITH_E_NOT_FOUND")
    made = web.ask("PUT", "/v1/vars/sensor/3", "a value", {"If-None-Match": "*"})
    first = made.getheader("ETag")
    web.ask("PUT", "/v1/vars/sensor/3", "again", {"If-None-Match": "*"}, status=412)
    for _ in range(3):  # the first asks, the others read the copy here
        answer = web.ask("GET", "/v1/vars/sensor/3")
        assert answer.data == b"a value" and answer.getheader("ETag") == first
        assert answer.getheader("X-Kith-Type") == "text"
        assert answer.getheader("X-Kith-Writer") == "n1"
    assert web.ask("GET", "/v1/vars/sensor/3", headers={"If-None-Match": first}, status=304).data == b""
    second = web.ask("PUT", "/v1/vars/sensor/3", "b", {"If-Match": first}).getheader("ETag")
    lost = web.error("PUT", "/v1/vars/sensor/3", 412, "KITH_E_AGAIN", body="c", headers={"If-Match": first})
    assert f'"{lost["version"]}"' == second
    assert web.ask("GET", "/v1/vars/sensor/3").data == b"b"
    web.error("PUT", "/v1/vars/sensor/3", 400, "KITH_E_PARSE", body="c", headers={"If-Match": "*"})
    added = web.json("POST", "/v1/vars/count/incr?delta=5")
    assert added["value"] == "5" and added["type"] == "i64"
    assert web.json("POST", "/v1/vars/count/incr")["value"] == "6"
    assert web.ask("GET", "/v1/vars/count").data == b"6"
    web.error("POST", "/v1/vars/count/incr?delta=many", 400)
    web.error("PUT", "/v1/vars/count", 400, body="no number")
    web.ask("PUT", "/v1/vars/list?type=f64%5B%5D&policy=durable", "[1, 2.5]")
    assert web.ask("GET", "/v1/vars/list").data == b"[1, 2.5]"
    assert web.ask("GET", "/v1/vars/list?index=1").data == b"[2.5]"
    web.ask("PUT", "/v1/vars/%C3%BCber", "u")
    assert web.ask("GET", "/v1/vars/%C3%BCber").data == b"u"
    names = [v["name"] for v in web.json("GET", "/v1/vars")["vars"]]
    assert names == ["count", "list", "sensor/3", "über"]
    page = web.json("GET", "/v1/vars?offset=1&limit=2")
    assert [v["name"] for v in page["vars"]] == ["list", "sensor/3"] and page["total"] == 4
    assert web.json("GET", "/v1/vars?prefix=sen")["total"] == 1
    assert [v["name"] for v in web.json("GET", "/v1/vars?search=SOR%20text&prefix=s")["vars"]] == ["sensor/3"]
    assert web.json("GET", "/v1/vars?search=no%20sensor")["total"] == 0
    down = web.json("GET", "/v1/vars?sort=-name&limit=2&offset=1")
    everything = [v["name"] for v in web.json("GET", "/v1/vars")["vars"]]
    assert [v["name"] for v in down["vars"]] == everything[::-1][1:3] and down["total"] == 4
    web.ask("PUT", "/v1/vars/free?policy=available", "here")
    for _ in range(2):
        assert web.ask("GET", "/v1/vars/free").data == b"here"
    web.json("DELETE", "/v1/vars/count")
    web.error("GET", "/v1/vars/count", 404)
    web.error("PUT", "/v1/vars/x?type=nonsense", 400)


def test_reads_see_the_newest_write_of_others(cluster):
    a, b = cluster.start(2, "--web", "127.0.0.1:0")
    wait_for(lambda: b.kith("view", "--json").json.get("keepers"), 30, "there is a view")
    at_a = Web(a, token=a.kith("web", "--token").text.strip())
    at_b = Web(b, token=b.kith("web", "--token").text.strip())
    at_a.ask("PUT", "/v1/vars/x", "0")
    for i in range(1, 20):
        at_a.ask("PUT", "/v1/vars/x", str(i))
        assert at_b.ask("GET", "/v1/vars/x").data == str(i).encode()


def test_times_of_functions_come_from_the_node_that_ran_them(cluster):
    a, b = cluster.start(2, "--web", "127.0.0.1:0")
    web = Web(a, token=a.kith("web", "--token").text.strip())
    names = {n["id"]: n["name"] for n in web.json("GET", "/v1/nodes")["nodes"]}
    wait_for(lambda: len(next(f["nodes"] for f in web.json("GET", "/v1/functions")["functions"] if f["name"] == "sys.sleep")) == 2,
             10, "both serve sys.sleep")
    for _ in range(3):
        web.ask("POST", f"/v1/call/sys.sleep?node={b.name}", "40ms")
    times = {f["name"]: f["nodes"] for f in web.json("GET", "/v1/times")["functions"]}
    [row] = times["sys.sleep"]
    assert row["name"] == b.name == names[row["id"]] and row["measured"] == 3
    assert 35 <= row["p50_ms"] <= row["p99_ms"]  # a tenth below what it slept; above there is no bound
    assert (row["calls"], row["errors"], row["last_error"]) == (3, 0, None) and 3 / 62 < row["calls_per_s"] < 3 / 57
    web.ask("POST", f"/v1/call/sys.sleep?node={b.name}", "no time", status=422)
    sleeping = next(f for f in web.json("GET", "/v1/times")["functions"] if f["name"] == "sys.sleep")
    assert sleeping["last_error"]["node_name"] == b.name and sleeping["last_error"]["text"]
    assert sleeping["calls_per_s"] > sleeping["errors_per_s"] > 0
    [live] = web.json("GET", "/v1/functions?name=sys.sleep&live=true")["functions"]
    assert live["last_error"] == sleeping["last_error"] and {n["calls"] for n in live["nodes"]} == {0, 4}


def peers_file(count):
    """A peers file (src/net/peer_cache.h) of so many nodes that were seen once: PeerEntry of net.proto each."""
    def field(number, data):
        return bytes([number << 3 | 2, len(data)]) + data
    out = b"kithpc1\n" + count.to_bytes(4, "little")
    for i in range(count):
        entry = (field(1, hashlib.blake2b(b"%d" % i, digest_size=32).digest()) + bytes([2 << 3 | 1]) + (1).to_bytes(8, "little")
                 + field(4, b"gone-%d" % i) + field(5, b"127.0.0.1:1"))
        out += len(entry).to_bytes(4, "little") + entry
    return out + hashlib.blake2b(out, digest_size=32).digest()


def test_round_trips_are_measured_of_64_nodes_and_not_of_more(cluster):
    """Nodes that were seen once and do not answer count as any other that has not left."""
    n = cluster.add()
    (n.dir / "peers").write_bytes(peers_file(63))
    n.start("--web", "127.0.0.1:0")
    assert len(n.nodes()) == 64
    web = Web(n, token=n.kith("web", "--token").text.strip())
    rows = web.json("GET", "/v1/rtt")["nodes"]
    assert len(rows) == 64 and all(len(row["rtt_ms"]) == 64 for row in rows)
    n.kill()
    (n.dir / "peers").write_bytes(peers_file(64))
    n.start("--web", "127.0.0.1:0")
    assert len(n.nodes()) == 65
    web = Web(n, token=n.kith("web", "--token").text.strip())
    assert "64" in web.error("GET", "/v1/rtt", 503, "KITH_E_LIMIT")["message"]


def test_curves_of_up_to_128_nodes_are_summed_and_those_of_more_are_as_one_node_sees_them(cluster):
    n = cluster.add()
    for gone, more in ((127, False), (128, True)):
        (n.dir / "peers").write_bytes(peers_file(gone))
        n.start("--web", "127.0.0.1:0")
        web = Web(n, token=n.kith("web", "--token").text.strip())
        assert len(n.nodes()) == gone + 1
        if more:
            wait_for(lambda: web.json("GET", "/v1/overview/history")["nodes_counted"], 60, "a step is over")
            seen = web.json("GET", "/v1/overview/history")
            assert seen["seen_by"] == "n1" and set(seen["nodes_counted"]) == {1} and seen["nodes"] == 1
            assert seen["memory_bytes"] >= seen["memory_used_bytes"][0] > 0 and seen["net_in_bytes_per_s"] is None
            assert len({len(seen[key]) for key in ("time_ms", "cpu_percent", "memory_used_bytes", "load")}) == 1
        else:
            summed = web.json("GET", "/v1/overview/history")
            assert summed["nodes"] == 1 and "seen_by" not in summed
        assert web.json("GET", "/v1/overview")["nodes"]["failed"] == gone
        n.kill()


def test_overview_sums_the_nodes(cluster):
    a, b = cluster.start(2, "--web", "127.0.0.1:0")
    web = Web(a, token=a.kith("web", "--token").text.strip())
    parts = wait_for(lambda: [web.json("GET", f"/v1/resources?node={n.name}") for n in (a, b)], 60, "both answer")
    whole = wait_for(lambda: (doc := web.json("GET", "/v1/overview"))["totals"]["nodes_counted"] == 2 and doc, 60, "both are counted")
    assert whole["nodes"] == {"alive": 2, "suspect": 0, "failed": 0, "left": 0, "drained": 0} and whole["silent_nodes"] == 0
    assert whole["totals"]["cpus"] == sum(p["cpus"] for p in parts)
    assert whole["totals"]["memory_bytes"] == sum(p["memory_bytes"] for p in parts)
    assert 0 <= whole["totals"]["cpu_percent"] <= 100 and whole["totals"]["net_in_bytes_per_s"] is not None
    assert web.json("GET", "/v1/overview?live=false")["totals"]["net_in_bytes_per_s"] is None
    past = wait_for(lambda: (doc := web.json("GET", "/v1/overview/history?span=10m"))["nodes_counted"][-2:] == [2, 2] and doc, 60, "curves")
    assert past["nodes"] == 2 and past["cpus"] == whole["totals"]["cpus"] and past["step_ms"] == 2000
    n = len(past["time_ms"])
    assert all(len(past[key]) == n for key in ("nodes_counted", "cpu_percent", "memory_used_bytes", "load", "net_in_bytes_per_s"))
    assert all(b - a == 2000 for a, b in zip(past["time_ms"], past["time_ms"][1:]))
    assert 0 < past["memory_used_bytes"][-1] <= past["memory_bytes"]
    web.error("GET", "/v1/overview/history?span=1y", 400)
    b.kill()
    wait_for(lambda: web.json("GET", "/v1/overview")["totals"]["nodes_counted"] == 1, 60, "only one is counted")


def test_a_bundle_is_downloaded_by_admins_only(node):
    web = Web(node, token=node.kith("web", "--token").text.strip())
    answer = web.ask("GET", "/v1/debug/bundle")
    assert answer.headers["Content-Type"] == "application/x-tar" and answer.data[257:262] == b"ustar"
    assert re.fullmatch(r'attachment; filename="kith-[\w.-]+\.tar"', answer.headers["Content-Disposition"])
    for role in ("viewer", "operator"):
        Web(node, token=node.kith("web", "--token", "--role", role).text.strip()).error("GET", "/v1/debug/bundle", 403)
    lines = web.json("GET", "/v1/logs?lines=5&follow=true")["lines"]
    assert 0 < len(lines) <= 5
    Web(node, token=node.kith("web", "--token", "--role", "viewer").text.strip()).error("GET", "/v1/logs", 403)


def test_round_trips_between_all_pairs(cluster):
    a, b = cluster.start(2, "--web", "127.0.0.1:0")
    web = Web(a, token=a.kith("web", "--token").text.strip())
    nodes = web.json("GET", "/v1/rtt")["nodes"]
    assert sorted(n["name"] for n in nodes) == sorted([a.name, b.name])
    for i, node in enumerate(nodes):
        assert node["rtt_ms"][i] is None
        assert node["rtt_ms"][1 - i] > 0


def test_mutexes_belong_to_their_session(web, node):
    other = Web(node, token=node.kith("web", "--token").text.strip())
    held = web.json("POST", "/v1/locks/build/one")
    assert held["state"] == "held" and int(held["fence"]) > 0
    assert other.json("GET", "/v1/locks/build/one")["parties"][0]["holds"]
    assert other.json("GET", "/v1/locks")["locks"][0]["name"] == "build/one"
    assert [other.json("GET", f"/v1/locks?prefix={prefix}")["total"] for prefix in ("build/", "build/one", "c")] == [1, 1, 0]
    other.error("POST", "/v1/locks/build/one?timeout_ms=0", 409)
    other.error("POST", "/v1/locks/build/one?timeout_ms=200", 504, "KITH_E_TIMEOUT")
    other.error("DELETE", "/v1/locks/build/one", 404)
    web.error("DELETE", "/v1/locks/build/one?fence=1", 404)
    assert web.json("DELETE", f"/v1/locks/build/one?fence={held['fence']}")["state"] == "released"
    later = other.json("POST", "/v1/locks/build/one")
    assert int(later["fence"]) > int(held["fence"])
    other.ask("POST", "/v1/logout")  # it goes with the session
    web.json("POST", "/v1/locks/build/one?timeout_ms=5000&hold_ms=300")
    third = Web(node, token=node.kith("web", "--token").text.strip())
    third.json("POST", "/v1/locks/build/one?timeout_ms=20000")
    web.json("POST", "/v1/locks/build/one/break")
    # n keeps its place at it for a minute; nobody holds it, and the list says so
    assert web.json("GET", "/v1/locks/build/one")["parties"] == []
    assert web.json("GET", "/v1/locks")["locks"] == []
    wait_for(lambda: third.ask("DELETE", "/v1/locks/build/one", status=None).status == 404,
             what="it is lost")


def test_more_mutexes_than_a_page_are_paged_searched_and_sorted(web, node):
    with node.control() as one, node.control() as two:
        for i in range(230):
            one.ask("lock.acquire", {"name": f"many/{i:03}", "owner": f"worker-{i % 10}"})
        held = lambda locks: len(locks) == 230 and all(lock["parties"][0]["holds"] for lock in locks)
        wait_for(lambda: held(web.json("GET", "/v1/locks?limit=1000")["locks"]), 60, "all are held")
        two.ask("lock.acquire", {"name": "many/123", "owner": "late"})
        wait_for(lambda: web.json("GET", "/v1/locks?search=late")["total"] == 1, 60, "one is waited for")
        named = lambda query: [lock["name"] for lock in web.json("GET", f"/v1/locks?{query}")["locks"]]
        assert sum((named(f"offset={at}&limit=100") for at in (0, 100, 200)), []) == [f"many/{i:03}" for i in range(230)]
        assert named("search=WORKER-4%20y/20") == ["many/204"]
        assert web.json("GET", "/v1/locks?search=worker-4")["total"] == 23
        assert named("sort=-waiters&limit=2") == ["many/123", "many/000"]
        assert named("sort=holder&limit=24")[-1] == "many/001" and named("sort=-name&limit=1&offset=229") == ["many/000"]
        assert named("prefix=many/22&sort=-name") == [f"many/{i}" for i in range(229, 219, -1)]
        assert named("offset=230") == []


def test_a_client_that_goes_waits_for_no_mutex(web, node):
    other = Web(node, token=node.kith("web", "--token").text.strip())
    web.json("POST", "/v1/locks/l")
    with socket.create_connection(("127.0.0.1", web.port)) as s:
        s.sendall(f"POST /v1/locks/l?timeout_ms=60000 HTTP/1.1\r\nHost: {web.host}\r\n"
                  f"Authorization: Bearer {other.token}\r\nContent-Length: 0\r\n\r\n".encode())
        wait_for(lambda: web.json("GET", "/v1/locks/l")["waiters"] == 1, what="it waits")
    wait_for(lambda: web.json("GET", "/v1/locks/l")["waiters"] == 0, what="it gave up")


# ---- pages, metrics, addresses ----

def test_assets(web):
    answer = Web(web.node).ask("GET", "/")
    assert answer.getheader("Content-Type") == "text/html; charset=utf-8"
    policy = answer.getheader("Content-Security-Policy")
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    tag = answer.getheader("ETag")
    assert web.ask("GET", "/index.html").data == answer.data
    assert web.ask("GET", "/", headers={"If-None-Match": tag}, status=304).data == b""
    zipped = web.ask("GET", "/app.js", headers={"Accept-Encoding": "gzip, br"})
    plain = web.ask("GET", "/app.js", headers={"Accept-Encoding": "identity"})
    assert zipped.getheader("Content-Encoding") == "gzip"
    assert __import__("gzip").decompress(zipped.data) == plain.data
    assert plain.getheader("Content-Type") == "text/javascript; charset=utf-8"
    for script in re.findall(r"<script\b[^>]*>", answer.data.decode()):
        assert "src=" in script, "an inline script, which the policy forbids"
    web.error("GET", "/../../etc/passwd", 404)
    web.error("GET", "/no.js", 404)
    whiteboard = web.ask("GET", "/board/index.html").data.decode()
    for script in re.findall(r'<script\b[^>]*src="([^"]+)"', whiteboard):
        assert web.ask("GET", script).getheader("Content-Type") == "text/javascript; charset=utf-8"


def test_metrics_are_as_prometheus_wants_them(web):
    web.ask("POST", "/v1/call/sys.echo", "x")
    web.ask("POST", "/v1/call/sys.sleep", "30ms")
    text = web.ask("GET", "/metrics").data.decode()
    for name in ("kith_build_info", "kith_peers", "kith_peer_rtt_seconds", "kith_rpc_requests_total", "kith_rpc_duration_seconds",
                 "kith_locks_held", "kith_files_cached_bytes", "kith_net_bytes_total", "process_resident_memory_bytes",
                 "process_cpu_seconds_total", "process_start_time_seconds", "process_open_fds", "process_max_fds"):
        assert f"# TYPE {name} " in text, name
    # a histogram: its counts only rise, and are of what ran
    counts = [int(n) for n in re.findall(r'^kith_rpc_duration_seconds_bucket\{le="[^"]+"\} (\d+)$', text, re.M)]
    assert counts == sorted(counts) and counts[-1] >= 2 and len(counts) == 21
    assert f"kith_rpc_duration_seconds_count {counts[-1]}\n" in text
    assert float(re.search(r"^kith_rpc_duration_seconds_sum (\S+)$", text, re.M)[1]) >= 0.03
    slow = int(re.search(r'^kith_rpc_duration_seconds_bucket\{le="0.025"\} (\d+)$', text, re.M)[1])
    assert slow < counts[-1], "what took 30 ms is above 25 ms"
    families = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)
    assert len(families) == len(set(name for name, _ in families))
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r'[a-z_]+(\{([a-z]+="[^"]*",?)+\})? \S+', line), line
    for name, kind in families:
        assert name.endswith("_total") == (kind == "counter"), name


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (package prometheus) is not installed")
def test_promtool_accepts_the_metrics(web):
    text = web.ask("GET", "/metrics").data
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_next_port_is_taken_where_none_was_chosen(cluster):
    a, b = cluster.start(2)
    ports = [urllib.parse.urlsplit(n.kith("info", "--json").json["web"]).port for n in (a, b)]
    assert len(set(ports)) == 2 and all(7118 <= port < 7218 for port in ports)
    c = cluster.add()
    c.start("--web", f"127.0.0.1:{ports[0]}", wait=False)
    assert c.agent.wait() != 0  # this one was chosen
    assert str(ports[0]) in c.agent.log
    d = cluster.add().start("--web", "off")
    assert d.kith("info", "--json").json["web"] is None
    assert "web.listen is off" in d.kith("web", check=4).error
    d.kith("nodes")


def test_other_addresses_are_served_with_tls(cluster):
    n = cluster.add().start("--web", "0.0.0.0:0")
    info = n.kith("info", "--json").json
    assert info["web"].startswith("https://")
    port = urllib.parse.urlsplit(info["web"]).port
    shown = re.search(r"sha256=((?:[0-9A-F]{2}:){31}[0-9A-F]{2})", n.agent.log)
    assert shown, n.agent.log
    assert (n.dir / "web-key.pem").stat().st_mode & 0o077 == 0
    context = ssl.create_default_context(cafile=str(n.dir / "web-cert.pem"))
    def ask(path, token=None):
        connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=20 * SLOW)
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()

    # And to users only: while there are none, to nobody.
    for path in ("/", "/healthz", "/v1/nodes", "/v1/session"):
        status, body = ask(path)
        assert status == 403 and "kith user add" in json.loads(body)["hint"], (path, body)
    for command in (["web"], ["web", "--token"]):
        assert "kith user add" in n.kith(*command, check=5).error
    assert "kith user add" in n.agent.log
    wait_for(lambda: n.kith("view", "--json").json.get("keepers"), 30, "the node has a view")
    n.kith("user", "add", "ana", "--role", "admin", input=b"correct horse\n")
    wait_for(lambda: n.kith("user", "ls", "--json").json["users"], what="the user is known")
    assert ask("/healthz")[0] == 200
    token = n.kith("web", "--token").text.strip()
    assert ask("/v1/nodes", token)[0] == 200
    digest = __import__("hashlib").sha256(
        ssl.PEM_cert_to_DER_cert((n.dir / "web-cert.pem").read_text())).hexdigest().upper()
    assert shown[1].replace(":", "") == digest
    # Without TLS nobody is served.
    with socket.create_connection(("127.0.0.1", port), timeout=20 * SLOW) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            assert not s.recv(1000).startswith(b"HTTP/1.1 200")
        except ConnectionResetError:
            pass
    n.kith("user", "rm", "ana")
    wait_for(lambda: ask("/v1/nodes", token)[0] == 403, what="nobody is let in any more")


# ---- examples ----

def test_the_examples_run(web, node, tmp_path):
    env = {"KITH_SOCKET": str(node.socket), "PATH": f"{BUILD}:{__import__('os').environ['PATH']}"}
    if shutil.which("curl"):
        shown = subprocess.run(["sh", ROOT / "examples/http/curl.sh"], env=env, capture_output=True, text=True)
        assert shown.returncode == 0, shown
        assert "22.0" in shown.stdout and '"value":"2"' in shown.stdout
        assert "hello" in shown.stdout and shown.stdout.endswith("401\n")
    for _ in range(2):
        shown = subprocess.run(["/usr/bin/python3", ROOT / "examples/http/client.py", web.url, web.token],
                               capture_output=True, text=True)
        assert shown.returncode == 0, shown
    assert "n1 alive" in shown.stdout and "hello hello" in shown.stdout and "echo: hi" in shown.stdout
    for example in (ROOT / "examples/http").iterdir():
        assert len(example.read_text().splitlines()) <= 60, example
