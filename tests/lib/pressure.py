"""
What a hostile client of the pages does to a node: each attack is a context in which it goes on, and Lab measures what
is left for others meanwhile, from another node: calls, echoes, and the memory of the node attacked.
"""
import contextlib
import json
import resource
import socket
import statistics
import threading
import time
from collections import namedtuple

from kithtest import SLOW, wait_for
from webtest import Web

Figures = namedtuple("Figures", "call_ms call_p99_ms echo_ms rss_bytes note")
UPGRADE = ("GET /v1/stream HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Authorization: Bearer {token}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
           "Sec-WebSocket-Version: 13\r\n\r\n")


@contextlib.contextmanager
def descriptors(wanted):
    """As many of them as the machine lets us have, at most @wanted; gives how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))  # as root
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, wanted), hard))
    try:
        yield resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def repeated(function, pause_s):
    """Runs function(stop) again and again in a thread, with pauses, until the end of the context."""
    ends = threading.Event()

    def go():
        while not ends.is_set():
            with contextlib.suppress(OSError):
                function(ends)
            ends.wait(pause_s)
    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join(60 * SLOW)


class Lab:
    def __init__(self, victim, other):
        self.victim, self.other = victim, other
        self.web = Web(victim, token=victim.kith("web", "--token").text.strip())

    # ---- attacks ----

    @contextlib.contextmanager
    def nothing(self):
        yield ""

    @contextlib.contextmanager
    def slow_loris(self):
        """As many connections as are taken at all, each with a byte of a header every few seconds."""
        sockets = []
        try:
            with descriptors(4096):
                for _ in range(1100):
                    s = socket.create_connection(("127.0.0.1", self.web.port), timeout=20 * SLOW)
                    with contextlib.suppress(OSError):
                        s.sendall(b"GET /v1/nodes HTTP/1.1\r\nX-Pad: ")
                    sockets.append(s)

                def drip(ends):
                    for s in sockets:
                        with contextlib.suppress(OSError):
                            s.send(b"a")
                        if ends.wait(0.002):
                            return
                with repeated(drip, 0.5):
                    yield f"{len(sockets)} connections"
        finally:
            for s in sockets:
                s.close()

    @contextlib.contextmanager
    def many_connections(self, wanted=10000):
        """@wanted connections at once, kept open by their side and opened anew when they end."""
        sockets = []
        with descriptors(wanted + 500) as may:
            count = min(wanted, may - 400)
            try:
                for _ in range(count):
                    sockets.append(socket.create_connection(("127.0.0.1", self.web.port), timeout=60 * SLOW))

                def again(ends):
                    for i in range(0, len(sockets), 7):
                        sockets[i].close()
                        sockets[i] = socket.create_connection(("127.0.0.1", self.web.port), timeout=20 * SLOW)
                        if ends.wait(0.005):
                            return
                with repeated(again, 0.1):
                    yield f"{count} connections" + ("" if count == wanted else f": no more than {may} descriptors")
            finally:
                for s in sockets:
                    s.close()

    @contextlib.contextmanager
    def sockets_that_never_read(self, count=64):
        """WebSockets that subscribe to a variable of 60 KB, which changes all the time, and do not read."""
        sockets = []
        self.web.ask("PUT", "/v1/vars/pressure", "x" * 60000)
        frame = json.dumps({"op": "subscribe", "id": 1, "topic": "var", "args": {"name": "pressure"}}).encode()
        try:
            for _ in range(count):
                s = socket.socket()
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                s.settimeout(20 * SLOW)
                s.connect(("127.0.0.1", self.web.port))
                sockets.append(s)
                s.sendall(UPGRADE.format(host=self.web.host, token=self.web.token).encode())
                assert s.recv(12) == b"HTTP/1.1 101"
                s.sendall(bytes([0x81, 0x80 | len(frame), 0, 0, 0, 0]) + frame)
            number = iter(range(1 << 30))

            def change(ends):
                self.web.ask("PUT", "/v1/vars/pressure", str(next(number) % 10) * 60000)
            with repeated(change, 0.1):
                yield f"{count} WebSockets"
        finally:
            for s in sockets:
                s.close()

    @contextlib.contextmanager
    def large_headers(self):
        """Headers of 1 MiB, one after the other."""
        data = (f"GET /v1/nodes HTTP/1.1\r\nHost: {self.web.host}\r\nX-Pad: " + "a" * (1 << 20)).encode()
        with repeated(lambda ends: self.web.raw(data), 0.02):
            yield "1 MiB each"

    @contextlib.contextmanager
    def log_ins(self):
        """A dozen at once, again and again, all with the right password: each costs its hash."""
        if "ana" not in [u["name"] for u in self.victim.kith("user", "ls", "--json").json["users"]]:
            self.victim.kith("user", "add", "ana", "--role", "viewer", input=b"correct horse\n")
            wait_for(lambda: self.victim.kith("user", "ls", "--json").json["users"], what="the user is known")
        body = json.dumps({"user": "ana", "password": "correct horse"})
        data = (f"POST /v1/login HTTP/1.1\r\nHost: {self.web.host}\r\nX-Kith: 1\r\nConnection: close\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}").encode()

        def burst(ends):
            with contextlib.ExitStack() as opened:
                sockets = [opened.enter_context(socket.create_connection(("127.0.0.1", self.web.port), 60 * SLOW))
                           for _ in range(12)]
                for s in sockets:
                    s.sendall(data)
                for s in sockets:
                    s.recv(65536)
        with repeated(burst, 0):
            yield "12 at once"

    ATTACKS = ("slow_loris", "many_connections", "sockets_that_never_read", "large_headers", "log_ins")

    # ---- what is left ----

    def measure(self, calls, note=""):
        """Medians of calls and echoes of the other node to the one attacked, and what that holds."""
        call_ms, echo_ms = [], []
        with self.other.control() as control:
            for i in range(calls):
                began = time.perf_counter()
                control.request("call", {"fn": "sys.echo", "node": self.victim.name}, b"x" * 64)
                call_ms.append((time.perf_counter() - began) * 1000)
                if i % 8 == 0:
                    seen = [r for r, _ in control.stream("ping", {"node": self.victim.name, "count": 1})]
                    echo_ms += [r["rtt_ms"] for r in seen if "rtt_ms" in r]
        call_ms.sort()
        return Figures(statistics.median(call_ms), call_ms[len(call_ms) * 99 // 100], statistics.median(echo_ms),
                       self.victim.kith("info", "--json").json["rss_bytes"], note)

    def under(self, attack, calls):
        with getattr(self, attack)() as note:
            return self.measure(calls, note)

    def served_again(self):
        """Waits until the pages answer as before."""
        def answers():
            try:
                return self.web.ask("GET", "/v1/nodes", status=None).status == 200
            except OSError:
                return False
        wait_for(answers, 60, "the pages are served again")

    def figures(self, calls):
        for attack in ("nothing", *self.ATTACKS):
            figures = self.under(attack, calls)
            yield f"{attack.replace('_', ' ')} {figures.note}".strip(), figures
            self.served_again()
