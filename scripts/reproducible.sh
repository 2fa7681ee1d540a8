#!/usr/bin/env bash
# Builds the module from the committed sources in two folders with different names and depths. Fails unless
# both modules have the same bytes. Prints their SHA-256.
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
    # This uses the compiler that the checkout has chosen, but none of its caches.
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
# If the released module was built from the same sources, it must equal this one.
if [ -e envoy/jwt.wasm ] && git diff --quiet HEAD -- src Cargo.toml Cargo.lock scripts/lib.sh scripts/wasm.sh scripts/wasm-ld.sh; then
    here=$(sha256sum <envoy/jwt.wasm | cut -d' ' -f1)
    [ "$here" = "${sums[0]}" ] || fail "reproducible: envoy/jwt.wasm is $here; \`make wasm\` builds it again"
fi
echo "${sums[0]}"
