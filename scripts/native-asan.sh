#!/usr/bin/env bash
# Runs the exported functions of the native module under AddressSanitizer. A stub of Envoy frees the memory
# that it lends to the module as early as the interface allows (native/tests). The tests call the functions in
# their own order first. Then LLVM's fuzzer (native/fuzz) chooses the order for NATIVE_FUZZ_SECONDS, by
# default a minute. An input that breaks something stays in .build/fuzz/.
#
# Every Rust compiler contains the sanitizer; only the option that enables it is not stable yet.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

seconds=${NATIVE_FUZZ_SECONDS:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "native-asan: NATIVE_FUZZ_SECONDS is a number of seconds, not '$seconds'"
# libFuzzer is C++.
have c++ || apt_install build-essential
host=$(rustc -vV | sed -n 's/^host: //p')
flags=(-Zsanitizer=address -C passes=sancov-module)
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=(-C "llvm-args=-sanitizer-coverage-$option")
done
# This uses its own target directory, so that other builds do not compile everything again. The profile is
# that of `make fuzz`: optimized, so that the fuzzer tries more orders, with every check of a debug build. The
# sanitizer also checks the C code of AWS-LC.
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR=${NATIVE_ASAN_TARGET:-target/asan}
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1
say "native-asan: building with AddressSanitizer"
cargo build --quiet --locked --profile fuzz --target "$host" --package native-fuzz --features libfuzzer
cargo test --quiet --locked --profile fuzz --target "$host" --package proxy-wasm-jwt-native --test hooks
say "native-asan: no fault in the orders of the tests"
found=.build/fuzz/native
log=.build/fuzz/native.log
mkdir -p "$found"
if ! "$CARGO_TARGET_DIR/$host/fuzz/native-fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 \
    -max_len=4096 -len_control=0 -print_final_stats=1 -artifact_prefix=.build/fuzz/native- "$found" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    fail "native-asan: the fuzzer has found $(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)"
fi
say "native-asan: the fuzzer found no fault in $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") orders"
