#!/usr/bin/env bash
# Builds jwtctl as one file that needs no C library, for x86-64 and arm64, in .build/static (TARGETS for some
# of them). zig links it and compiles its C code. rustup adds the standard library for musl to the Rust in
# PATH if it can. Otherwise Debian's Rust compiles the library.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

read -ra targets <<<"${TARGETS:-x86_64-unknown-linux-musl aarch64-unknown-linux-musl}"
requirements=scripts/zig-requirements.txt
zig=$PWD/.build/zig

if ! cmp -s "$requirements" "$zig/requirements.txt"; then
    have python3 || apt_install python3
    # Debian ships python3 without ensurepip, so `import venv` alone proves nothing.
    python3 -c 'import venv, ensurepip' 2>/dev/null || apt_install python3-venv
    rm -rf "$zig"
    python3 -m venv "$zig"
    "$zig/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: \
        --require-hashes --requirement "$requirements" </dev/null >&2
    cp "$requirements" "$zig/requirements.txt"
fi
export CARGO_ZIGBUILD_ZIG_PATH=$zig/bin/python-zig PATH=$PATH:$zig/bin

has_library() { compgen -G "$(rustc --print target-libdir --target "$1" 2>/dev/null)/libstd-*.rlib" >/dev/null; }

build=(zigbuild --quiet --release --locked --package jwtctl --bin jwtctl)
mkdir -p .build/static
for target in "${targets[@]}"; do
    if ! has_library "$target" && have rustup; then
        RUST_BACKTRACE=0 LIMIT=30 limited rustup target add "$target" >&2 || say "static: rustup could not add $target"
    fi
    if has_library "$target"; then
        say "static: $target with the Rust in PATH, $(rustc --version)"
        cargo-zigbuild "${build[@]}" --target "$target"
    else
        install_debian_rust || fail "static: neither rustup nor Debian has a Rust for $target"
        say "static: $target with Debian's Rust, $(/usr/bin/rustc --version); the standard library is compiled, too"
        with_debian_rust cargo-zigbuild "${build[@]}" -Z build-std=std,panic_abort --target "$target"
    fi
    made=.build/static/jwtctl-${target%%-*}-linux
    cp "${CARGO_TARGET_DIR:-target}/$target/release/jwtctl" "$made"
    # Fails if a binary needs a dynamic loader.
    if readelf --program-headers --wide "$made" | grep -q INTERP; then
        fail "static: $made needs a dynamic loader"
    fi
    say "static: $made, $(stat -c %s "$made") bytes"
done
