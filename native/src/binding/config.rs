//! The handle of a configuration, with which the module fetches keys.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::buffer::{Buffer, Field};
use super::declarations::{
    NotSent, envoy_dynamic_module_callback_http_filter_config_http_callout,
    envoy_dynamic_module_callback_http_filter_config_scheduler_new,
};
use super::scheduler::ConfigScheduler;

/// The outcome of a request for keys.
#[derive(Debug)]
pub(crate) enum CallResult<'c> {
    Answer {
        fields: Vec<(&'c [u8], &'c [u8])>,
        chunks: Vec<&'c [u8]>,
    },
    /// The connection broke, or there was no response in time.
    Reset,
    /// The body was longer than Envoy accepts.
    TooLarge,
}

/// One configuration, during one call of Envoy's on its main thread (rule 1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConfigHost<'h> {
    pub(super) config: *mut c_void,
    pub(super) call: PhantomData<&'h ()>,
}

impl ConfigHost<'_> {
    /// A handle that calls the configuration from any thread.
    pub(crate) fn scheduler(self) -> Option<ConfigScheduler> {
        // SAFETY: rule 1.
        NonNull::new(unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_new(self.config) })
            .map(ConfigScheduler)
    }

    /// Sends a request without a body. Returns the number of its response.
    pub(crate) fn call(
        self,
        cluster: &str,
        fields: &[(&str, &str)],
        timeout_ms: u64,
    ) -> Result<u64, NotSent> {
        let fields: Vec<Field> = fields
            .iter()
            .map(|(name, value)| Field::of(name.as_bytes(), value.as_bytes()))
            .collect();
        let mut id = 0;
        // SAFETY: rules 1 and 2; the result is a local.
        let outcome = unsafe {
            envoy_dynamic_module_callback_http_filter_config_http_callout(
                self.config,
                &raw mut id,
                Buffer::of(cluster.as_bytes()),
                fields.as_ptr(),
                fields.len(),
                Buffer::EMPTY,
                timeout_ms,
            )
        };
        match outcome {
            0 => Ok(id),
            2 => Err(NotSent::NoCluster),
            _ => Err(NotSent::CannotCreate),
        }
    }
}
