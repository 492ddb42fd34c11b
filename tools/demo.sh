#!/bin/sh
# The main job on a fresh machine: a cluster of three, a large picture drawn across it, one node
# killed on the way, and the same picture drawn by this machine alone to compare.
# usage: tools/demo.sh [BUILD]; DEMO_SIZE, DEMO_ITERATIONS and DEMO_VIEW change what is drawn
set -eu
build=$(cd "${1:-build}" && pwd)
kith=$build/kith
mandelbrot=$build/kith-mandelbrot
pictures=$build/demo
size=${DEMO_SIZE:-4096x4096}
iterations=${DEMO_ITERATIONS:-20000}
kill_at=3000 # of 10,000 parts of the work, when the node is killed

dir=$(mktemp -d "${TMPDIR:-/tmp}/kdemo.XXXXXX")
finish() {
    code=$?
    trap - EXIT INT TERM
    render=$(cat "$dir/render" 2>/dev/null || echo 0)
    [ "$render" = 0 ] || kill "$render" 2>/dev/null || true
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
nodes() {
    "$kith" nodes --socket "$dir/d/1/kith.sock"
}
mkdir -p "$pictures"
rm -f "$pictures"/*.png

echo "== three nodes on this machine"
"$kith" dev 3 --dir "$dir/d" --quiet
nodes

# Draws with the cluster and kills dev-2 on the way. Fails if the picture was done too soon for that.
draw_and_kill() {
    echo
    echo "== a picture of $size points, $iterations iterations, drawn by all three; dev-2 is killed on the way"
    rm -f "$dir/killed"
    # shellcheck disable=SC2086 # the view is several words
    {
        "$mandelbrot" render --out "$pictures/cluster.png" $view \
            --agent "$dir/d/1" --progress /dev/fd/3 --json >"$dir/cluster.json" &
        echo $! >"$dir/render"
        wait $! && echo 0 >"$dir/render"
    } 3>&1 >&2 | kill_on_the_way
    [ "$(cat "$dir/render")" = 0 ] || fail "the picture was not drawn"
    [ -f "$dir/killed" ] && grep -q '"name":"dev-2"[^}]*"failed":true' "$dir/cluster.json"
}

# The program says how far it is, a line of JSON at a time.
kill_on_the_way() {
    while read -r line; do
        part=${line#*\"part\":0.}
        part=${part%%[,\}]*}
        if [ ! -f "$dir/killed" ] && [ "$part" -ge "$kill_at" ] 2>/dev/null; then
            "$kith" dev kill 2 --dir "$dir/d" --quiet
            touch "$dir/killed"
            echo "dev-2 killed (kill -9) when ${part%??} % of the work was done"
        fi
    done
}

tries=0
while :; do
    view="--size $size --iterations $iterations --no-shortcuts ${DEMO_VIEW:---center -0.75,0 --span 3.5}"
    ! draw_and_kill || break
    tries=$((tries + 1))
    [ $tries -lt 5 ] || fail "no picture takes this machine long enough to kill a node meanwhile"
    iterations=$((iterations * 5))
    echo "the picture was done before a node could be lost: a longer one then"
    "$kith" dev start 2 --dir "$dir/d" --quiet
done

echo
/usr/bin/python3 - "$dir/cluster.json" <<'END'
import json
import sys
drawn = json.load(open(sys.argv[1]))
print(f"{'node':<8} {'tiles':>6} {'seconds':>8} {'share':>7}")
for node in drawn["nodes"]:
    text = f"   killed, {node['lost']} of its tiles drawn by others" if node["failed"] else ""
    print(f"{node['name']:<8} {node['tiles']:>6} {node['seconds']:>8.2f} {node['share']:>7.1%}{text}")
print(f"{drawn['tiles']} tiles in {drawn['elapsed_s']:.2f} s, {drawn['lost']} went back to the queue; "
      f"{drawn['resumed']} of these went on where they were, with {drawn['rows_kept']} finished rows")
END

echo
echo "== what the others say of dev-2"
tries=0
until nodes | grep -q 'dev-2.*failed'; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || fail "dev-2 was killed but is not seen as failed"
    sleep 0.1
done
nodes

echo
echo "== the same picture, drawn by this machine alone"
# shellcheck disable=SC2086
"$mandelbrot" render --out "$pictures/serial.png" $view --serial

echo
cmp "$pictures/cluster.png" "$pictures/serial.png" ||
    fail "the pictures differ: $pictures/cluster.png and $pictures/serial.png"
echo "$pictures/cluster.png: identical to the serial picture, though dev-2 was killed on the way"
