#!/bin/sh
# The same seed gives the same run on gcc and clang: builds kith-sim with the other compiler and
# compares trace hashes. usage: compilers.sh SOURCE_ROOT BUILD_DIR KITH_SIM
set -eu

source_root=$1
build=$2/sim-other-compiler
kith_sim=$3

if grep -q '"id": "clang"' "$2/meson-info/intro-compilers.json" 2>/dev/null; then
    other=gcc
else
    other=clang
fi
if ! command -v "$other" >/dev/null; then
    echo "SKIP: $other is not installed, so there is nothing to compare with"
    exit 77
fi

[ -f "$build/build.ninja" ] || CC=$other meson setup "$build" "$source_root" \
    -Dtests=false -Dapps=false -Dhttp=disabled >"$2/sim-other-compiler.log" 2>&1 ||
    { cat "$2/sim-other-compiler.log"; exit 1; }
ninja -C "$build" kith-sim >"$2/sim-other-compiler.log" 2>&1 ||
    { tail -40 "$2/sim-other-compiler.log"; exit 1; }

hash_of() {
    # A target that is missed is not the matter here.
    "$@" --json | sed -n 's/.*"trace_hash":"\([0-9a-f]*\)".*/\1/p' || true
}

failed=0
while read -r arguments; do
    # shellcheck disable=SC2086 # the arguments are words
    ours=$(hash_of "$kith_sim" $arguments)
    # shellcheck disable=SC2086
    theirs=$(hash_of "$build/kith-sim" $arguments)
    if [ -n "$ours" ] && [ "$ours" = "$theirs" ]; then
        echo "ok   $ours $arguments"
    else
        echo "FAIL here $ours, with $other $theirs: $arguments"
        failed=1
    fi
done <<RUNS
--scenario member-crash --nodes 30 --seed 1
--scenario member-pause --nodes 20 --seed 2 --time 60s
--scenario member-churn --nodes 10 --seed 3 --time 60s
--scenario member-sealed --nodes 4 --seed 4
--scenario rpc-faults --seed 5 --time 20s
--scenario map-faults --seed 6 --time 20s
--scenario swarm --seed 7 --seeds 5 --time 30s
RUNS
exit $failed
