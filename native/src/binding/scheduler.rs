//! Handles that call a stream or a configuration from any thread.

use std::ffi::c_void;
use std::ptr::NonNull;

use super::declarations::{
    envoy_dynamic_module_callback_http_filter_config_scheduler_commit,
    envoy_dynamic_module_callback_http_filter_config_scheduler_delete,
    envoy_dynamic_module_callback_http_filter_scheduler_commit,
    envoy_dynamic_module_callback_http_filter_scheduler_delete,
};

/// A handle that wakes a stream (rule 5).
#[derive(Debug)]
pub(crate) struct Scheduler(pub(super) NonNull<c_void>);

// SAFETY: rule 5.
unsafe impl Send for Scheduler {}
// SAFETY: rule 5: Envoy's own lock is in `commit`.
unsafe impl Sync for Scheduler {}

impl Scheduler {
    /// Lets Envoy call `scheduled` on the stream's own thread.
    pub(crate) fn commit(&self) {
        // SAFETY: rule 5.
        unsafe { envoy_dynamic_module_callback_http_filter_scheduler_commit(self.0.as_ptr(), 0) }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // SAFETY: rule 5; this is the last use.
        unsafe { envoy_dynamic_module_callback_http_filter_scheduler_delete(self.0.as_ptr()) }
    }
}

/// A handle that calls a configuration (rule 5).
#[derive(Debug)]
pub(crate) struct ConfigScheduler(pub(super) NonNull<c_void>);

// SAFETY: rule 5.
unsafe impl Send for ConfigScheduler {}
// SAFETY: rule 5: Envoy's own lock is in `commit`.
unsafe impl Sync for ConfigScheduler {}

impl ConfigScheduler {
    /// Lets Envoy call `config_scheduled` on the main thread.
    pub(crate) fn commit(&self) {
        // SAFETY: rule 5.
        unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_commit(self.0.as_ptr(), 0) }
    }
}

impl Drop for ConfigScheduler {
    fn drop(&mut self) {
        // SAFETY: rule 5; this is the last use.
        unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_delete(self.0.as_ptr()) }
    }
}
