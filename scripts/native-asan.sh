#!/usr/bin/env bash
# The exported functions of the native module under AddressSanitizer, with a stand-in for Envoy that hands out what it frees at
# the first moment when it may (native/tests). NATIVE_FUZZ_SECONDS makes up further orders of events for so long.
#
# The sanitizer is in each compiler of Rust; only the option that switches it on is not stable yet.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

host=$(rustc -vV | sed -n 's/^host: //p')
# A directory of its own, so that nothing else is compiled again for it. The C of the library of signatures is without.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR=${NATIVE_ASAN_TARGET:-target/asan} \
    ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 \
    cargo test --quiet --locked --target "$host" --package proxy-wasm-jwt-native --test hooks
say "native-asan: no fault in the exported functions"
