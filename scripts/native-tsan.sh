#!/usr/bin/env bash
# Runs the tests of what the workers of the native module share under ThreadSanitizer: the store of keys, used
# proofs and the secret of nonces, the thread of the clock, the memory of verified signatures, and a
# configuration that four workers use through the exported functions. A data race fails the run.
#
# The standard library is compiled with the sanitizer too, because the sanitizer has to see every lock. That
# needs its source, the component rust-src. Every Rust compiler contains the sanitizer; only the
# options that enable it are not stable yet.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

source=$(rustc --print sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml
if [ ! -e "$source" ]; then
    have rustup || fail "native-tsan: needs the source of the standard library at ${source%/std/*}"
    RUST_BACKTRACE=0 limited rustup component add rust-src >&2 || fail "native-tsan: rustup could not add rust-src"
fi
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=thread
# The C code of AWS-LC.
export "CFLAGS_${host//-/_}=-fsanitize=thread"
# A directory of its own, so that other builds do not compile everything again.
export CARGO_TARGET_DIR=${NATIVE_TSAN_TARGET:-target/tsan}
export TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}"
say "native-tsan: building the standard library and the module with ThreadSanitizer"
test() { cargo test --quiet --locked -Zbuild-std --target "$host" --package proxy-wasm-jwt-native "$@"; }
test --lib -- store:: crypto::verified route:: secrets::
test --test hooks -- workers
say "native-tsan: no data race"
