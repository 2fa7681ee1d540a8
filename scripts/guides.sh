#!/usr/bin/env bash
# Runs the applications of envoy/issuers/apps behind the issuers' configurations: Flask, Express and Go's
# net/http. It sends each of them requests through a real Envoy. Frameworks and programs stay in
# target/guides.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

flask=flask==3.1.3
express=express@5.3.0
apps=envoy/issuers/apps
here=$PWD/target/guides

for tool in python3 go node npm; do
    have "$tool" || fail "guides: $tool is not installed; the applications need Python 3, Go 1.22 and Node 18 or later"
done
mkdir -p "$here"

if ! [ -x "$here/venv/bin/python" ] || ! "$here/venv/bin/python" -c 'import flask' 2>/dev/null; then
    say "guides: installing $flask"
    python3 -m venv "$here/venv"
    "$here/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$flask" </dev/null >&2
fi
if ! [ -d "$here/node/node_modules/express" ]; then
    say "guides: installing $express"
    npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts --prefix "$here/node" "$express" \
        </dev/null >&2
fi
for main in "$apps"/*/main.go; do
    go build -o "$here/$(basename "$(dirname "$main")")" "$main"
done

GUIDES_DIR=$here cargo test --test applications -- --ignored --nocapture
