//! Functions that belong to no stream and to no configuration: the log, the mode, and the loaded library.

use std::ffi::c_int;
use std::ptr::{null, null_mut};

use super::buffer::Buffer;
use super::declarations::ABI_VERSION;
use super::declarations::{
    envoy_dynamic_module_callback_is_validation_mode, envoy_dynamic_module_callback_log,
    envoy_dynamic_module_callback_log_enabled,
};

/// Writes a line into Envoy's log, at a level from 0, trace, to 5, critical.
pub(crate) fn log(level: c_int, message: &str) {
    // SAFETY: rule 2.
    unsafe { envoy_dynamic_module_callback_log(level, Buffer::of(message.as_bytes())) }
}

/// Whether Envoy writes lines of this level.
pub(crate) fn log_enabled(level: c_int) -> bool {
    // SAFETY: no pointers.
    unsafe { envoy_dynamic_module_callback_log_enabled(level) }
}

/// Whether Envoy only tries its configuration (`--mode validate`). Call this on the main thread.
pub(crate) fn is_validation() -> bool {
    // SAFETY: no pointers.
    unsafe { envoy_dynamic_module_callback_is_validation_mode() }
}

/// Keeps this library loaded until the process ends: its own thread and its thread-local variables outlive
/// configurations.
pub(super) fn stay_loaded() {
    let mut found = libc::Dl_info {
        dli_fname: null(),
        dli_fbase: null_mut(),
        dli_sname: null(),
        dli_saddr: null_mut(),
    };
    // SAFETY: the address is of a static of this library, the result a local.
    let is_found = unsafe { libc::dladdr((&raw const ABI_VERSION).cast(), &raw mut found) } != 0;
    if is_found && !found.dli_fname.is_null() {
        // SAFETY: a path of the loader's own. The library is loaded already; its handle is leaked on purpose.
        let handle = unsafe { libc::dlopen(found.dli_fname, libc::RTLD_LAZY | libc::RTLD_NODELETE) };
        if handle.is_null() {
            log(
                3,
                "the module could not be kept loaded: set do_not_close in its configuration",
            );
        }
    }
}
