#!/bin/sh
# The main job on a fresh machine: a cluster of three, a large picture drawn across it, one node
# killed on the way, and the same picture drawn by this machine alone to compare.
# usage: tools/demo.sh [BUILD]
set -eu
build=$(cd "${1:-build}" && pwd)
kith=$build/kith
mandelbrot=$build/kith-mandelbrot
pictures=$build/demo
size=${DEMO_SIZE:-4096x4096}
iterations=${DEMO_ITERATIONS:-25000}
view="--size $size --center -0.5,0 --span 4 --iterations $iterations --no-shortcuts"

dir=$(mktemp -d "${TMPDIR:-/tmp}/kdemo.XXXXXX")
render=""
finish() {
    code=$?
    trap - EXIT INT TERM
    [ -z "$render" ] || kill "$render" 2>/dev/null || true
    "$kith" dev stop --dir "$dir/d" >/dev/null 2>&1 || true
    rm -rf "$dir"
    exit $code
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
fail() {
    echo "demo: $*" >&2
    exit 1
}
mkdir -p "$pictures"
rm -f "$pictures"/*.png
export KITH_SOCKET="$dir/d/1/kith.sock"

echo "== three nodes on this machine"
"$kith" dev 3 --dir "$dir/d"
"$kith" nodes

echo
echo "== a picture of $size points, $iterations iterations, drawn by all three"
"$mandelbrot" render --out "$pictures/cluster.png" $view &
render=$!

# Kill the second once it has drawn something, as it says itself, while there is work left.
drawn() {
    "$kith" --socket "$dir/d/2/kith.sock" fn info mandelbrot.tile --json | /usr/bin/python3 -c '
import json, sys
nodes = json.load(sys.stdin)["function"]["nodes"]
print(max([node["calls"] for node in nodes if node["name"] == "dev-2"], default=0))'
}
tries=0
until [ "$(drawn 2>/dev/null || echo 0)" -ge 20 ]; do
    kill -0 "$render" 2>/dev/null || fail "the picture was done before a node could be killed"
    tries=$((tries + 1))
    [ $tries -lt 600 ] || fail "the second node draws nothing"
    sleep 0.1
done
kill -0 "$render" 2>/dev/null || fail "the picture was done before a node could be killed"
echo
echo "== killing dev-2 in the middle of it"
"$kith" dev kill 2 --dir "$dir/d"

wait "$render" || fail "the picture was not drawn"
render=""
tries=0
until "$kith" nodes 2>/dev/null | grep -q 'dev-2.*failed'; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || fail "dev-2 was killed but is not seen as failed"
    sleep 0.1
done
echo
"$kith" nodes

echo
echo "== the same picture, drawn by this machine alone"
"$mandelbrot" render --out "$pictures/serial.png" $view --serial

echo
cmp "$pictures/cluster.png" "$pictures/serial.png" ||
    fail "the pictures differ: $pictures/cluster.png and $pictures/serial.png"
echo "$pictures/cluster.png: identical to the serial picture, though dev-2 was killed on the way"
