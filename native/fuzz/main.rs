//! The exported functions of the native module in orders of events that LLVM's fuzzer chooses, with the
//! stand-in for Envoy of the module's own tests. The arguments are those of libFuzzer.

#![no_main]
#![allow(
    dead_code,
    unused_imports,
    missing_docs,
    reason = "the parts of the tests that the fuzzer does not need"
)]

#[path = "../tests/envoy/mod.rs"]
mod envoy;
#[path = "../tests/events/mod.rs"]
mod events;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| events::run_given(bytes));
