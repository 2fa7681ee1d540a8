#!/usr/bin/env bash
# Builds the release module at envoy/jwt.wasm. TRAP=1 builds the module of the tests that crash it, at
# .build/trap.wasm. PAGE=1 builds the module of the page in the browser, at .build/page.wasm. PREPARE=1 only
# installs what a build needs. Two compilers can build it:
#
#   rustup   the Rust in PATH, with the target wasm32-wasip1 (added by rustup where its server can be reached)
#   debian   Debian's own Rust, which has no such target: the standard library is compiled too, from the
#            same source package
#
# The script uses the first if it works. It stores its choice in .build/wasm-toolchain. WASM_TOOLCHAIN
# overrides the choice.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

target=wasm32-wasip1
module=envoy/jwt.wasm
memory=.build/wasm-toolchain

# The flags are encoded, so that a directory with a space in its name stays one argument.
rustflags() {
    local IFS=$'\x1f'
    export CARGO_ENCODED_RUSTFLAGS="$*"
}

rustup_ready() {
    local libdir
    libdir=$(rustc --print target-libdir --target $target 2>/dev/null) && compgen -G "$libdir/libstd-*.rlib" >/dev/null
}

rustup_prepare() {
    rustup_ready && return 0
    have rustup || { say "wasm: the Rust in PATH has no $target, and there is no rustup to add it"; return 1; }
    say "wasm: rustup target add $target"
    RUST_BACKTRACE=0 limited rustup target add $target >&2 || say "wasm: rustup could not add $target"
    rustup_ready
}

# The linker that comes with the compiler.
rustup_linker() { echo "$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld"; }

rustup_build() (
    export WASM_LD CARGO_TARGET_WASM32_WASIP1_LINKER=$linker
    WASM_LD=$(rustup_linker)
    rustflags "${flags[@]}"
    cargo rustc "${build[@]}" -- "${last[@]}"
)

# Debian's Wasm linker must be of the compiler's own LLVM version: an older linker may not read the objects.
debian_linker() { echo "wasm-ld-$(/usr/bin/rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')"; }

debian_ready() {
    [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] && have "$(debian_linker)" && [ -e /usr/lib/wasm32-wasi/libc.a ] \
        && [ -e "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml" ]
}

debian_prepare() {
    debian_ready && return 0
    install_debian_rust || return 1
    local linker
    linker=$(debian_linker)
    apt_install wasi-libc "lld-${linker##*-}"
    debian_ready
}

debian_build() (
    export WASM_LD CARGO_TARGET_WASM32_WASIP1_LINKER=$linker
    WASM_LD=$(debian_linker)
    # No start-up objects in this wasi-libc; the SDK's `main!` defines `_initialize`.
    rustflags "${flags[@]}" -C link-self-contained=no -L native=/usr/lib/wasm32-wasi
    with_debian_rust /usr/bin/cargo rustc -Z build-std=std,panic_abort "${build[@]}" -- "${last[@]}"
)

# --- choose

mkdir -p .build
remembered=$(cat "$memory" 2>/dev/null || true)
choice=${WASM_TOOLCHAIN:-$remembered}
case $choice in
rustup | debian)
    "${choice}_prepare" || fail "wasm: the $choice way does not work here (WASM_TOOLCHAIN= and no $memory would choose again)"
    ;;
'')
    if rustup_prepare; then
        choice=rustup
    else
        say "wasm: falling back to Debian's Rust; its first build compiles the standard library (some minutes)"
        debian_prepare || fail "wasm: neither rustup nor Debian can give a compiler for $target"
        choice=debian
    fi
    ;;
*) fail "WASM_TOOLCHAIN is rustup or debian, not '$choice'" ;;
esac
[ "$choice" = "$remembered" ] || echo "$choice" >"$memory"

case $choice in
rustup) say "wasm: with the Rust in PATH, $(rustc --version) ($memory)" ;;
debian) say "wasm: with Debian's Rust, $(/usr/bin/rustc --version) ($memory)" ;;
esac

have wasm-opt || apt_install binaryen
[ -z "${PREPARE:-}" ] || exit 0

# --- build

# The callbacks that Envoy calls, and no others: see the linker. `proxy_on_delete` frees the context of a
# request.
exports=(
    _initialize proxy_abi_version_0_2_1 proxy_on_memory_allocate
    proxy_on_context_create proxy_on_configure proxy_on_tick proxy_on_http_call_response proxy_on_delete
    proxy_on_request_headers proxy_on_request_body proxy_on_request_trailers proxy_on_response_headers
)
package=proxy-wasm-jwt
name=release
if [ -n "${TRAP:-}" ]; then
    # Its own profile gives it its own output directory, so that it cannot be mistaken for the release module.
    profile=trap
    name=trap
    module=.build/trap.wasm
    build=(--profile trap --features test-trap)
elif [ -n "${PAGE:-}" ]; then
    profile=release
    name=page
    module=.build/page.wasm
    build=(--release)
    package=jwtctl-page
    exports=(input answer output)
else
    profile=release
    build=(--release)
fi
# If Cargo builds both crate types at once, it does not optimize across crates.
build+=(--target "$target" --package "$package" --lib --crate-type cdylib)
cargo fetch --quiet --locked --target "$target"
flags=(-C target-feature=+simd128)
case $choice in
rustup) hide_paths rustc ;;
debian) hide_paths /usr/bin/rustc ;;
esac
# For the last crate, and so for the optimization across crates: the compiler copies only small functions that
# are marked `#[inline]` into their callers. V8 compiles every copy when Envoy starts, and needs some 40 bytes
# of memory for each byte of it.
last=(-C llvm-args=-inlinehint-threshold=100)
linker=$PWD/scripts/wasm-ld.sh
flags+=(-C "link-arg=--keep-exports=$(IFS=,; echo "${exports[*]}")")
"${choice}_build"

# --- make small

# wasm-opt removes a further eighth of the bytes. It reads in the module itself which features the module
# uses.
built=${CARGO_TARGET_DIR:-target}/$target/$profile/${package//-/_}.wasm
# The second round finds optimizations that the first has made possible. Functions and locals in the order of
# their use have shorter numbers. A function that is called once stays one: V8 compiles a large function
# slower and with far more memory than its halves.
passes=(-Oz -Oz --reorder-functions --reorder-locals --const-hoisting --one-caller-inline-max-function-size=0 --strip-debug --strip-producers --strip-target-features)
# The module of the tests that crash it may be large. This takes a quarter of the time.
[ -z "${TRAP:-}" ] || passes=(-O1 --strip-debug)
stamp="$(sha256sum <"$built") $(wasm-opt --version) ${passes[*]}"
if [ ! -e $module ] || [ "$stamp $(sha256sum <$module)" != "$(cat .build/$name-stamp 2>/dev/null)" ]; then
    # The script replaces the file in one step, and only if it changed, because a running Envoy may be reading
    # it.
    wasm-opt "${passes[@]}" "$built" -o .build/$name.wasm.new
    chmod 644 .build/$name.wasm.new
    cmp -s .build/$name.wasm.new $module || mv .build/$name.wasm.new $module
    echo "$stamp $(sha256sum <$module)" >.build/$name-stamp
fi
say "wasm: $module, $(stat -c %s $module) bytes"
