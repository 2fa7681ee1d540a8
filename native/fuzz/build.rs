//! As `native/build.rs`, for the fuzzer.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bins=-Wl,--export-dynamic-symbol=envoy_dynamic_module_callback_*");
}
