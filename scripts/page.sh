#!/usr/bin/env bash
# Writes the page that explains a request in the browser to page/dist: a folder of files for any file server,
# under any path.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

PAGE=1 scripts/wasm.sh
# The script replaces the whole folder, so that no file of an older page remains.
rm -rf page/dist
mkdir page/dist
cp page/static/* .build/page.wasm page/dist/
mv page/dist/page.wasm page/dist/jwtctl.wasm
have python3 || apt_install python3
python3 scripts/release/licenses.py page >page/dist/THIRD-PARTY-LICENSES.md
chmod 644 page/dist/*
say "page: page/dist; try it with: python3 -m http.server --bind 127.0.0.1 --directory page/dist"
