#!/usr/bin/env bash
# Runs libFuzzer on each target of fuzz/, for FUZZ_SECONDS each. Fails at the first input that breaks
# something, and keeps that input in .build/fuzz/. Inputs that reached new code stay there too, and the next
# run begins with them.
#
#   FUZZ_TARGET=request           this target only
#   FUZZ_INPUT=<file>             with FUZZ_TARGET: this input only, once
set -euo pipefail
. "$(dirname "$0")/lib.sh"

targets=(configuration token request pairs patterns)
seconds=${FUZZ_SECONDS:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "fuzz: FUZZ_SECONDS is a number of seconds, not '$seconds'"
# libFuzzer is C++.
have c++ || apt_install build-essential

# The same flags as cargo-fuzz, except for its sanitizers, which need a nightly compiler. There is almost no
# unsafe code to check, and the fuzzer finds panics, overflows and failed assertions without sanitizers.
host=$(rustc -vV | sed -n 's/^host: //p')
flags=(-C passes=sancov-module)
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=(-C "llvm-args=-sanitizer-coverage-$option")
done
# With --target, Cargo does not use these flags for build scripts.
say "fuzz: building with coverage"
RUSTFLAGS="${flags[*]}" cargo build --quiet --profile fuzz --target "$host" --package fuzz --features libfuzzer
fuzz=${CARGO_TARGET_DIR:-target}/$host/fuzz/fuzz

for FUZZ_TARGET in ${FUZZ_TARGET:-"${targets[@]}"}; do
    export FUZZ_TARGET
    if [ -n "${FUZZ_INPUT:-}" ]; then
        "$fuzz" "$FUZZ_INPUT" || fail "fuzz: $FUZZ_TARGET fails on $FUZZ_INPUT"
        continue
    fi
    found=.build/fuzz/$FUZZ_TARGET
    log=.build/fuzz/$FUZZ_TARGET.log
    mkdir -p "$found"
    say "fuzz: $FUZZ_TARGET, $seconds s (its log: $log)"
    if ! "$fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 \
        -artifact_prefix=".build/fuzz/$FUZZ_TARGET-" "$found" "fuzz/seeds/$FUZZ_TARGET" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        fail "fuzz: $FUZZ_TARGET fails; again with: make fuzz FUZZ_TARGET=$FUZZ_TARGET FUZZ_INPUT=$input"
    fi
    say "fuzz: $FUZZ_TARGET held, $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs"
done
