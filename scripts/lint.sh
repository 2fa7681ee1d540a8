#!/usr/bin/env bash
# Formatting, clippy, docs, and the rules of this repository that no compiler checks.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

step() { say "lint: $*"; "$@" </dev/null; }

# rustup's minimal profile, which container images use, leaves these two out; so does Debian's compiler.
if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
    if have rustup; then
        limited rustup component add rustfmt clippy >&2 || fail "lint: rustup could not add rustfmt and clippy"
    elif apt_knows rustfmt-web; then
        apt_install rustfmt-web rust-web-clippy
    else
        apt_install rustfmt rust-clippy
    fi
fi

step cargo fmt --all --check
# Only this command has --locked: it finds a Cargo.lock that was not committed, and other builds do not stop
# for it.
step cargo clippy --locked --workspace --all-targets -- -D warnings
# The same for the module's target, because the line above does not compile code behind cfg(target_arch =
# "wasm32").
if compgen -G "$(rustc --print target-libdir --target wasm32-wasip1)/libstd-*.rlib" >/dev/null; then
    step cargo clippy --locked --target wasm32-wasip1 --package proxy-wasm-jwt --lib -- -D warnings
else
    say "lint: no clippy for wasm32-wasip1: the Rust in PATH has no such target"
fi
RUSTDOCFLAGS="-D warnings" step cargo doc --locked --workspace --no-deps

# --- the rules of this repository

faults=0
# refuse <what is wrong> <lines found>
refuse() {
    if [ -n "$2" ]; then
        say "lint: $1:"
        say "$2"
        faults=1
    fi
}

for script in scripts/*.sh .ci/run; do
    refuse "$script does not parse" "$(bash -n "$script" 2>&1 || true)"
done

refuse "a shipped configuration fails open" \
    "$(grep -rnE 'FAIL_OPEN|failOpen: *true|failure_mode_allow: *true' envoy testkit --include='*.yaml' --include='*.yml' --include='*.json' --include='*.rs' || true)"

refuse "proxy_wasm is named outside src/host and src/lib.rs" \
    "$(grep -rnE '\bproxy_wasm::|use proxy_wasm' src --include='*.rs' | grep -vE '^src/(lib\.rs|host\.rs|host/)' || true)"

[ "$faults" -eq 0 ] || fail "lint: failed"
say "lint: clean"
