"""Clients of the pages of a node, for tests of the API over HTTP and WebSocket."""
import asyncio
import http.client
import json
import socket
import time
import urllib.parse

import websockets

from kithtest import SLOW, wait_for

KEY = {"X-Kith": "1"}


class Web:
    """A client of one node; as whom: a bearer token, a cookie, or nobody."""

    def __init__(self, node, token=None, cookie=None):
        self.node, self.token, self.cookie = node, token, cookie
        self.url = wait_for(lambda: node.kith("info", "--json").json["web"], what="the node has pages")
        self.host = urllib.parse.urlsplit(self.url).netloc
        self.port = int(self.host.rsplit(":", 1)[1])

    def connect(self, timeout=20):
        return http.client.HTTPConnection(urllib.parse.urlsplit(self.url).hostname, self.port, timeout=timeout * SLOW)

    def headers(self, headers=None):
        own = {}
        if self.token:
            own["Authorization"] = f"Bearer {self.token}"
        if self.cookie:
            own["Cookie"] = self.cookie
            own.update(KEY)
        own.update(headers or {})
        return {k: v for k, v in own.items() if v is not None}

    def ask(self, method, path, body=None, headers=None, status=200):
        connection = self.connect()
        try:
            if isinstance(body, dict):
                body = json.dumps(body)
            connection.request(method, path, body, self.headers(headers))
            answer = connection.getresponse()
            answer.data = answer.read()
        finally:
            connection.close()
        if status is not None:
            assert answer.status == status, (method, path, answer.status, answer.data)
        return answer

    def json(self, method, path, body=None, headers=None, status=200):
        answer = self.ask(method, path, body, headers, status)
        assert answer.getheader("Content-Type") == "application/json"
        return json.loads(answer.data)

    def error(self, method, path, status, code=None, **more):
        doc = self.json(method, path, status=status, **more)
        assert doc["schema"] == "kith.error/1" and doc["message"]
        if code:
            assert doc["code"] == code, doc
        return doc

    def raw(self, data, timeout=20):
        """Sends bytes and gives what comes until the end, and how long that took."""
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout * SLOW) as s:
            got = b""
            try:
                s.sendall(data)
            except (ConnectionResetError, BrokenPipeError):
                pass  # it may have answered first
            try:
                while True:
                    piece = s.recv(65536)
                    if not piece:
                        break
                    got += piece
            except ConnectionResetError:
                pass
        return got, time.monotonic() - began


def log_in(node, **as_whom):
    web = Web(node)
    answer = web.ask("POST", "/v1/login", as_whom, KEY)
    return Web(node, cookie=answer.getheader("Set-Cookie").split(";")[0])


class Stream:
    """Keeps documents as the contract says a client does."""

    def __init__(self, web):
        self.web, self.docs, self.messages, self.errors = web, {}, [], {}
        self.keys = {}

    async def __aenter__(self):
        self.socket = await websockets.connect(
            f"ws://{self.web.host}/v1/stream", max_size=None,
            extra_headers={"Authorization": f"Bearer {self.web.token}"})
        return self

    async def __aexit__(self, *unused):
        await self.socket.close()

    async def say(self, **message):
        await self.socket.send(json.dumps(message))

    async def subscribe(self, id, topic, array=None, key=None, **args):
        self.keys[id] = (array, key)
        await self.say(op="subscribe", id=id, topic=topic, args=args)

    def take(self, message):
        self.messages.append(message)
        if "error" in message:
            self.errors[message.get("id")] = message
            return
        if "tick" in message:
            return
        array, key = self.keys[message["id"]]
        if "full" in message:
            self.docs[message["id"]] = message["full"]
            return
        doc = self.docs[message["id"]]
        doc.update(message.get("merge", {}))
        if array is None:
            return
        items = {item[key]: item for item in doc[array]}
        for item in message.get("set", []):
            items.setdefault(item[key], {}).update(item)
        for gone in message.get("removed", []):
            del items[gone]
        doc[array] = [items[k] for k in message.get("order", items)]

    async def until(self, condition, what, timeout=30):
        deadline = time.monotonic() + timeout * SLOW
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, f"never: {what}; {self.docs}"
            try:
                self.take(json.loads(await asyncio.wait_for(self.socket.recv(), left)))
            except asyncio.TimeoutError:
                continue
