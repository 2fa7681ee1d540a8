//! The handle of a stream: how the module lets it continue, answers it, and routes it.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use super::buffer::{Buffer, Field};
use super::declarations::{
    envoy_dynamic_module_callback_get_most_specific_route_config,
    envoy_dynamic_module_callback_http_clear_route_cache,
    envoy_dynamic_module_callback_http_filter_continue_decoding,
    envoy_dynamic_module_callback_http_filter_get_worker_index,
    envoy_dynamic_module_callback_http_filter_scheduler_new,
    envoy_dynamic_module_callback_http_send_response,
};
use super::scheduler::Scheduler;

/// One stream, during one call by Envoy (rule 1). A method takes `&mut self` if it may invalidate an earlier
/// result of Envoy (rule 3).
#[derive(Debug)]
pub(crate) struct Host<'h> {
    pub(super) filter: *mut c_void,
    pub(super) call: PhantomData<&'h ()>,
}

impl Host<'_> {
    /// Answers in place of the upstream.
    pub(crate) fn send_response<'f>(
        &mut self,
        status: u16,
        fields: impl Iterator<Item = (&'f str, &'f str)>,
        body: &[u8],
        details: &str,
    ) {
        let fields: Vec<Field> = fields
            .map(|(name, value)| Field::of(name.as_bytes(), value.as_bytes()))
            .collect();
        // SAFETY: rules 1 and 2.
        unsafe {
            envoy_dynamic_module_callback_http_send_response(
                self.filter,
                u32::from(status),
                fields.as_ptr(),
                fields.len(),
                Buffer::of(body),
                Buffer::of(details.as_bytes()),
            );
        }
    }

    /// Lets Envoy choose the route again when it next needs it.
    pub(crate) fn clear_route_cache(&mut self) {
        // SAFETY: rule 1.
        unsafe { envoy_dynamic_module_callback_http_clear_route_cache(self.filter) }
    }

    /// The most specific configuration: that of the route, of its virtual host, or of all routes.
    /// This is its number, or an address of another module. Neither is read.
    pub(crate) fn route_config(&self) -> Option<NonZeroUsize> {
        // SAFETY: rule 1.
        let config = unsafe { envoy_dynamic_module_callback_get_most_specific_route_config(self.filter) };
        NonZeroUsize::new(config.addr())
    }

    /// The number of the worker that has the stream.
    pub(crate) fn worker(&self) -> u32 {
        // SAFETY: rule 1.
        unsafe { envoy_dynamic_module_callback_http_filter_get_worker_index(self.filter) }
    }

    /// Continues a held request.
    pub(crate) fn resume(&mut self) {
        // SAFETY: rule 1.
        unsafe { envoy_dynamic_module_callback_http_filter_continue_decoding(self.filter) }
    }

    /// A handle that wakes the stream from any thread.
    pub(crate) fn scheduler(&self) -> Option<Scheduler> {
        // SAFETY: rule 1.
        NonNull::new(unsafe { envoy_dynamic_module_callback_http_filter_scheduler_new(self.filter) })
            .map(Scheduler)
    }
}
