#!/bin/sh
# tools/lint.sh check   clang-format without changes, then clang-tidy on the compile database
# tools/lint.sh format  clang-format in place
set -eu
cd "$(dirname "$0")/.."

sources=$(git ls-files -co --exclude-standard '*.c' '*.h')
clang_format=$(command -v clang-format-14 || command -v clang-format) || {
    echo "lint: clang-format is missing: run 'make deps' first" >&2
    exit 1
}

case ${1:-check} in
format)
    echo "$sources" | xargs "$clang_format" -i
    ;;
check)
    status=0
    echo "$sources" | xargs "$clang_format" --dry-run -Werror || status=1
    /usr/bin/python3 tools/tidy-all || status=1
    exit $status
    ;;
*)
    echo "usage: tools/lint.sh [check|format]" >&2
    exit 2
    ;;
esac
