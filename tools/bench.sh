#!/bin/sh
# Every benchmark, each beside its baseline in the same run: tools/bench.sh [BUILD]
set -eu
build=${1:-build}
echo "== calls"
"$build/kith" bench call
for bench in "$build"/bench/bench_*; do
    [ -f "$bench" ] && [ -x "$bench" ] || continue
    echo
    echo "== ${bench##*/bench_}"
    "$bench"
done
