//! Lets the stand-in for Envoy in `tests/` export its functions. The module looks up the newer of them by
//! name.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-tests=-Wl,--export-dynamic-symbol=envoy_dynamic_module_callback_*");
}
