#!/usr/bin/python3
"""A client of a node in Python's standard library alone: client.py URL TOKEN

    python3 examples/http/client.py http://127.0.0.1:7118 "$(kith web --token)"
"""
import json
import sys
import urllib.error
import urllib.parse
import urllib.request


class Kith:
    def __init__(self, url, token):
        self.url, self.token = url, token

    def request(self, method, path, body=None, headers=None, **query):
        target = self.url + urllib.parse.quote(path)
        if query:
            target += "?" + urllib.parse.urlencode(query)
        request = urllib.request.Request(target, body, dict(headers or {}), method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        return urllib.request.urlopen(request, timeout=30)

    def json(self, method, path, **query):
        with self.request(method, path, **query) as answer:
            return json.load(answer)

    def get(self, name):
        """The value and version of a variable; (None, None) if there is none."""
        try:
            with self.request("GET", f"/v1/vars/{name}") as answer:
                return answer.read().decode(), answer.headers["ETag"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None, None
            raise

    def change(self, name, function):
        """Compare-and-set until nobody came between: the classic read, compute, write."""
        while True:
            value, version = self.get(name)
            expect = {"If-Match": version} if version else {"If-None-Match": "*"}
            try:
                body = function(value).encode()
                return self.request("PUT", f"/v1/vars/{name}", body, expect).read()
            except urllib.error.HTTPError as error:
                if error.code != 412:
                    raise


if __name__ == "__main__":
    kith = Kith(*sys.argv[1:3])
    for node in kith.json("GET", "/v1/nodes")["nodes"]:
        print(node["name"], node["status"], node["address"])
    kith.change("greetings", lambda value: (value or "") + "hello ")
    print("greetings:", kith.get("greetings")[0])
    print("echo:", kith.request("POST", "/v1/call/sys.echo", b"hi").read().decode())
