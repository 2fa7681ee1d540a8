#!/usr/bin/env bash
# Builds the native module for this machine's processor and C library at envoy/libjwt.so. TRAP=1 builds the
# module of the tests that make it panic, at .build/libjwt-trap.so. ARCH=aarch64 builds for that processor
# with Debian's cross compiler, at envoy/libjwt-aarch64.so.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

if [ -n "${TRAP:-}" ]; then
    # The profile of the tests, so that both share their dependencies. Its debug assertions distinguish this
    # module from a release.
    profile=debug
    module=.build/libjwt-trap.so
    build=(--features test-trap)
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

# Distroless images of Envoy have no libgcc_s, which contains Rust's unwinder. So the linker puts it into the
# module.
link=$PWD/.build/native-link
mkdir -p "$link"
# Another run of this script may be linking with the file, so it is replaced in one step.
echo 'INPUT(-l:libgcc_eh.a -l:libgcc.a)' >"$link/libgcc_s.$$"
mv "$link/libgcc_s.$$" "$link/libgcc_s.so"
# With `-z now`, the loader reports a symbol that Envoy does not have when it loads the module, and not at the
# first call.
flags=(-L "native=$link" -C link-arg=-Wl,-z,now,-z,relro,-z,noexecstack)
build+=(--package proxy-wasm-jwt-native --lib --crate-type cdylib)
if [ -n "${TRAP:-}" ]; then
    cargo rustc --quiet --locked "${build[@]}" -- "${flags[@]}"
else
    hide_paths rustc
    CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}") cargo rustc --quiet --locked "${build[@]}"
fi

built=${CARGO_TARGET_DIR:-target}/$profile/libjwt.so
# The script replaces the file in one step, and only if it changed, because a running Envoy has the old file
# mapped.
if ! cmp -s "$built" "$module"; then
    new=.build/${module##*/}.new
    cp "$built" "$new"
    mv "$new" "$module"
else
    # `make release` sees by the time whether the module is older than its sources.
    touch "$module"
fi
glibc=$("${tools}objdump" -T "$module" | grep -o 'GLIBC_2\.[0-9]*' | sort -uV | tail -n 1)
needed=$("${tools}readelf" -d "$module" | sed -n 's/.*NEEDED.*\[\(.*\)\].*/\1/p' | paste -sd ' ')
say "native: $module, $(stat -c %s "$module") bytes, needs $needed from $glibc on"
case " $needed " in *libgcc_s*) fail "native: the module needs libgcc_s, which images without a distribution lack" ;; esac
