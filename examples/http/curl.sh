#!/bin/sh
# The API of a node with curl: examples/http/curl.sh, beside a running agent.
set -eu

web=$(kith info --json | sed -n 's/.*"web": *"\([^"]*\)".*/\1/p' | head -1)
token=$(kith web --token --expires 10m)
api() { curl -sS --fail-with-body -H "Authorization: Bearer $token" "$@"; }

echo "the nodes of the cluster:"
api "$web/v1/nodes"
echo
echo "a variable is written, read, and written over that version only:"
api -X PUT --data-binary "21.5" "$web/v1/vars/sensor/celsius" >/dev/null
version=$(api -D - -o /dev/null "$web/v1/vars/sensor/celsius" | tr -d '\r' | sed -n 's/^ETag: //p')
api -X PUT -H "If-Match: $version" --data-binary "22.0" "$web/v1/vars/sensor/celsius" >/dev/null
api "$web/v1/vars/sensor/celsius"
echo
echo "a counter:"
api -X POST "$web/v1/vars/visits/incr?delta=2"
echo
echo "a function, called on any node that has it:"
api -X POST --data-binary "hello" "$web/v1/call/sys.echo"
echo
echo "a mutex of this session, with its fence:"
api -X POST "$web/v1/locks/demo?timeout_ms=5000"
api -X DELETE "$web/v1/locks/demo" >/dev/null
echo
echo "a file is written as it comes, listed, read in part, and deleted:"
folder=$(mktemp -d)
kith share add curl-demo "$folder"
echo "hello, files" | api -X PUT -H "If-None-Match: *" --data-binary @- "$web/v1/files/curl-demo/hello.txt" >/dev/null
api "$web/v1/files/curl-demo/"
echo
api -H "Range: bytes=0-4" "$web/v1/files/curl-demo/hello.txt"
echo
api -X DELETE "$web/v1/files/curl-demo/hello.txt" >/dev/null
kith share rm curl-demo
rm -rf "$folder"
echo "without a token nobody gets in:"
curl -sS -o /dev/null -w '%{http_code}\n' "$web/v1/nodes"
