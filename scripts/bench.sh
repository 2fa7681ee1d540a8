#!/usr/bin/env bash
# The comparison with jwt_authn: results.json and results.svg in bench/. Arguments go to the program; `--help`
# lists them.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

[ "$(nproc)" -ge 2 ] || fail "bench: one core for Envoy and one for the load, at least"
have wrk || apt_install wrk
have taskset || apt_install util-linux
# This uses the release profile, so that the load generator takes little processor time itself.
cargo build --quiet --release --package testkit --bin bench
exec "${CARGO_TARGET_DIR:-target}/release/bench" "$@"
