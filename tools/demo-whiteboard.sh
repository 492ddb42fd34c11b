#!/bin/sh
# A whiteboard over three nodes of this machine: prints two links to one board, on two different
# nodes, and stays until it is stopped (Ctrl+C).
# usage: tools/demo-whiteboard.sh [BUILD]; DEMO_BOARD names the board, DEMO_DIR keeps the nodes there
set -eu
build=$(cd "${1:-build}" && pwd)
kith=$build/kith
board=${DEMO_BOARD:-demo}

[ -f "$build/whiteboard.so" ] || {
    echo "demo-whiteboard: no $build/whiteboard.so: build with -Dapps=true" >&2
    exit 1
}
made=
sleeper=
dir=${DEMO_DIR:-}
if [ -z "$dir" ]; then
    dir=$(mktemp -d "${TMPDIR:-/tmp}/kboard.XXXXXX")
    made=$dir
fi
finish() {
    code=$?
    trap - EXIT INT TERM
    [ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null || true
    "$kith" dev stop --dir "$dir/d" >/dev/null 2>&1 || true
    [ -z "$made" ] || rm -rf "$made"
    exit $code
}
trap finish EXIT
trap 'exit 0' INT TERM

# http://ADDRESS/#login=LINK as the link that opens the board
link() {
    "$kith" web --dev "$1" --dir "$dir/d" |
        sed -n "1s|/#login=\(.*\)|/board/index.html#login=\1/$board|p"
}

"$kith" dev 3 --dir "$dir/d" --quiet
echo "One board, two nodes (each link works once):"
echo
for k in 1 2; do
    echo "  dev-$k  $(link $k)"
done
cat <<END

Draw in both. What to try meanwhile, in another terminal:

  $kith dev kill 1 --dir $dir/d      the page of dev-1 goes on at another node
  $kith dev start 1 --dir $dir/d
  $kith board export $board --out $board.png --dir $dir/d

Ctrl+C ends the nodes${made:+ and removes the drawing}.
END
while :; do
    sleep 3600 &
    sleeper=$!
    wait $sleeper || true
done
