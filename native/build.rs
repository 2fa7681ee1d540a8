//! Lets the stand-in for Envoy in `tests/` export its functions. The module looks up the newer of them by
//! name. Also lets the tests know that ThreadSanitizer is in use (`make native-tsan`).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-tests=-Wl,--export-dynamic-symbol=envoy_dynamic_module_callback_*");
    println!("cargo::rustc-check-cfg=cfg(thread_sanitizer)");
    if std::env::var("CARGO_CFG_SANITIZE").is_ok_and(|used| used.contains("thread")) {
        println!("cargo::rustc-cfg=thread_sanitizer");
    }
}
