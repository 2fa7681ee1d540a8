#!/usr/bin/env bash
# The native module for this machine's processor and C library, at envoy/libjwt.so, or with TRAP=1 the one for the tests that
# make it panic, at .build/libjwt-trap.so. ARCH=aarch64 builds for that processor, at envoy/libjwt-aarch64.so, with Debian's
# cross compiler.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

if [ -n "${TRAP:-}" ]; then
    profile=native-trap
    module=.build/libjwt-trap.so
    build=(--profile native-trap --features test-trap)
else
    profile=native
    module=envoy/libjwt.so
    build=(--profile native)
fi

arch=$(uname -m)
tools=
if [ "${ARCH:-$arch}" != "$arch" ]; then
    arch=$ARCH
    tools=$arch-linux-gnu-
    target=$arch-unknown-linux-gnu
    have "${tools}gcc" || apt_install "gcc-$arch-linux-gnu"
    rustup target list --installed 2>/dev/null | grep -qx "$target" || rustup target add "$target" >&2
    name=${target//-/_}
    export "CC_$name=${tools}gcc" "AR_$name=${tools}ar" "CARGO_TARGET_$(tr a-z A-Z <<<"$name")_LINKER=${tools}gcc"
    profile=$target/$profile
    module=${module%.so}-$arch.so
    build+=(--target "$target")
fi

# Images of Envoy without a distribution have no libgcc_s, which Rust's unwinder is in: it is linked into the module.
link=$PWD/.build/native-link
mkdir -p "$link"
echo 'INPUT(-l:libgcc_eh.a -l:libgcc.a)' >"$link/libgcc_s.so"
# The builder's directories stay out of the module. With `-z now`, a symbol that Envoy does not have is found when the module
# is loaded, not when it is first called.
flags=("--remap-path-prefix=$PWD=" -L "native=$link" -C link-arg=-Wl,-z,now,-z,relro,-z,noexecstack)
for directory in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    flags+=("--remap-path-prefix=$directory=")
done
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS
cargo build --quiet --locked "${build[@]}" --package proxy-wasm-jwt-native --lib

built=${CARGO_TARGET_DIR:-target}/$profile/libjwt.so
# Replaced in one step, and only when it changed: a running Envoy has the old one mapped.
if ! cmp -s "$built" "$module"; then
    cp "$built" .build/built.so
    mv .build/built.so "$module"
fi
glibc=$("${tools}objdump" -T "$module" | grep -o 'GLIBC_2\.[0-9]*' | sort -uV | tail -n 1)
needed=$("${tools}readelf" -d "$module" | sed -n 's/.*NEEDED.*\[\(.*\)\].*/\1/p' | paste -sd ' ')
say "native: $module, $(stat -c %s "$module") bytes, needs $needed from $glibc on"
case " $needed " in *libgcc_s*) fail "native: the module needs libgcc_s, which images without a distribution lack" ;; esac
