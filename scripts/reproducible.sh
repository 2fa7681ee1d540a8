#!/usr/bin/env bash
# The module from the committed sources, built in two folders of different names and depths: both have the same bytes, or
# this fails. Prints their SHA-256.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

have git || apt_install git
git diff --quiet HEAD -- . || say "reproducible: changes that are not committed are left out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sums=()
for folder in "$work/one" "$work/another folder/below/it"; do
    mkdir -p "$folder/.build"
    git archive HEAD | tar -x -C "$folder"
    # The compiler that this checkout has chosen, and no cache of it.
    if [ -e .build/wasm-toolchain ]; then
        cp .build/wasm-toolchain "$folder/.build/"
    fi
    say "reproducible: building in $folder"
    (cd "$folder" && unset CARGO_TARGET_DIR && scripts/wasm.sh)
    sums+=("$(sha256sum <"$folder/envoy/jwt.wasm" | cut -d' ' -f1)")
    rm -rf "$folder/target"
done
say "reproducible: ${sums[0]}"
[ "${sums[0]}" = "${sums[1]}" ] || fail "reproducible: the second folder gives ${sums[1]}"
# The module that is released is this one, if it was built from the same sources.
if [ -e envoy/jwt.wasm ] && git diff --quiet HEAD -- src Cargo.toml Cargo.lock scripts/wasm.sh scripts/wasm-ld.sh; then
    here=$(sha256sum <envoy/jwt.wasm | cut -d' ' -f1)
    [ "$here" = "${sums[0]}" ] || fail "reproducible: envoy/jwt.wasm is $here; \`make wasm\` builds it again"
fi
echo "${sums[0]}"
