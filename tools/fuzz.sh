#!/bin/sh
# Every fuzz target in turn, FUZZ_SECONDS (60) each, or those named: tools/fuzz.sh [TARGET ...]
# What is found new goes to build-fuzz/corpus; inputs worth keeping move to tests/fuzz/corpus by hand.
set -eu
cd "$(dirname "$0")/.."

[ -f build-fuzz/build.ninja ] ||
    CC=clang meson setup build-fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false \
        -Doptimization=1 -Dapps=false
ninja -C build-fuzz $(ninja -C build-fuzz -t targets all |
    sed -n 's/^\(tests\/fuzz_[a-z0-9_]*\): c_LINKER$/\1/p')
status=0
for target in build-fuzz/tests/fuzz_*; do
    [ -f "$target" ] && [ -x "$target" ] || continue
    name=${target##*/fuzz_}
    case " $* " in
    "  " | *" $name "*) ;;
    *) continue ;;
    esac
    mkdir -p "build-fuzz/corpus/$name"
    kept=tests/fuzz/corpus/$name
    [ -d "$kept" ] || kept=""
    echo "== fuzz $name, ${FUZZ_SECONDS:-60} s"
    "$target" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=0 -artifact_prefix=build-fuzz/ "build-fuzz/corpus/$name" $kept || {
        echo "fuzz: $name failed; the input is in build-fuzz/" >&2
        status=1
    }
done
exit $status
