//! The functions that Envoy calls.

mod config;
mod stream;
mod unused;

use std::ffi::c_char;

use super::declarations::ABI_VERSION;
use super::process::stay_loaded;
use crate::hooks;

/// The module is loaded. On the main thread, once.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    stay_loaded();
    hooks::program_init();
    ABI_VERSION.as_ptr()
}
