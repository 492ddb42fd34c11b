#!/bin/sh
# Puts what drives and judges the pages in a browser into a folder: tools/web-tools.sh FOLDER
# playwright-core drives Debian's chromium, axe-core looks at accessibility, jsqr reads
# QR codes. Does nothing if they are there.
set -eu

folder=$1
wanted="playwright-core@1.65.1 axe-core@4.14.1 jsqr@1.4.0"

[ "$(cat "$folder/wanted" 2>/dev/null)" != "$wanted" ] || exit 0
mkdir -p "$folder"
echo '{"private": true}' >"$folder/package.json"
# shellcheck disable=SC2086
npm install --prefix "$folder" --no-audit --no-fund --no-progress --loglevel=error $wanted
echo "$wanted" >"$folder/wanted"
