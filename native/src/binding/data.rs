//! What Envoy knows of a stream beside its header fields: metadata, filter state and attributes.

use std::ffi::c_int;

use super::buffer::Buffer;
use super::declarations::{
    Attribute, OF_ROUTE, envoy_dynamic_module_callback_http_filter_get_attribute_string,
    envoy_dynamic_module_callback_http_get_filter_state_bytes,
    envoy_dynamic_module_callback_http_get_filter_state_typed,
    envoy_dynamic_module_callback_http_get_metadata_keys,
    envoy_dynamic_module_callback_http_get_metadata_keys_count,
    envoy_dynamic_module_callback_http_get_metadata_string,
    envoy_dynamic_module_callback_http_set_filter_state_bytes, newer,
};
use super::stream::Host;

impl Host<'_> {
    /// The value of this key in the route's metadata: nothing, a text, or a value of another type (`Err`).
    pub(crate) fn route_metadata(&self, namespace: &str, key: &str) -> Result<Option<Vec<u8>>, ()> {
        let namespace = Buffer::of(namespace.as_bytes());
        // SAFETY: rules 1 and 2.
        let count = unsafe {
            envoy_dynamic_module_callback_http_get_metadata_keys_count(self.filter, OF_ROUTE, namespace)
        };
        if count == 0 {
            return Ok(None);
        }
        let mut keys = vec![Buffer::EMPTY; count];
        // SAFETY: rules 1 and 2; Envoy writes as many keys as it has just counted.
        let is_read = unsafe {
            envoy_dynamic_module_callback_http_get_metadata_keys(
                self.filter,
                OF_ROUTE,
                namespace,
                keys.as_mut_ptr(),
            )
        };
        if !is_read {
            return Err(());
        }
        let is_there = keys.iter().any(|known| {
            // SAFETY: rule 3.
            unsafe { known.bytes() == key.as_bytes() }
        });
        if !is_there {
            return Ok(None);
        }
        let mut value = Buffer::EMPTY;
        // SAFETY: rules 1 and 2; the result is a local.
        let is_text = unsafe {
            envoy_dynamic_module_callback_http_get_metadata_string(
                self.filter,
                OF_ROUTE,
                namespace,
                Buffer::of(key.as_bytes()),
                &raw mut value,
            )
        };
        match is_text {
            // SAFETY: rule 3; copied at once.
            true => Ok(Some(unsafe { value.bytes() }.to_vec())),
            false => Err(()),
        }
    }

    /// Writes a text into filter state, for the access log and other filters.
    pub(crate) fn set_filter_state(&mut self, key: &str, value: &[u8]) -> bool {
        // SAFETY: rules 1 and 2.
        unsafe {
            envoy_dynamic_module_callback_http_set_filter_state_bytes(
                self.filter,
                Buffer::of(key.as_bytes()),
                Buffer::of(value),
            )
        }
    }

    /// The text that another filter has stored.
    pub(crate) fn filter_state(&self, key: &str) -> Option<Vec<u8>> {
        let mut value = Buffer::EMPTY;
        let key = Buffer::of(key.as_bytes());
        // SAFETY: rules 1 and 2; the result is a local.
        let is_text = unsafe {
            envoy_dynamic_module_callback_http_get_filter_state_bytes(self.filter, key, &raw mut value)
        };
        // SAFETY: as above.
        let is_found = is_text
            || unsafe {
                envoy_dynamic_module_callback_http_get_filter_state_typed(self.filter, key, &raw mut value)
            };
        // SAFETY: rule 3; copied at once.
        is_found.then(|| unsafe { value.bytes() }.to_vec())
    }

    /// Merges a serialized `google.protobuf.Struct` into dynamic metadata. Returns false if Envoy has no
    /// function for that.
    pub(crate) fn set_metadata(&mut self, namespace: &str, message: &[u8]) -> bool {
        let Some(set) = newer().set_metadata else {
            return false;
        };
        // SAFETY: rules 1 and 2.
        unsafe { set(self.filter, Buffer::of(namespace.as_bytes()), Buffer::of(message)) };
        true
    }

    /// An attribute of the stream that is text.
    pub(crate) fn attribute(&self, attribute: Attribute) -> Option<Vec<u8>> {
        let mut value = Buffer::EMPTY;
        // SAFETY: rule 1; the result is a local.
        let is_found = unsafe {
            envoy_dynamic_module_callback_http_filter_get_attribute_string(
                self.filter,
                attribute as c_int,
                &raw mut value,
            )
        };
        // SAFETY: rule 3; copied at once.
        is_found.then(|| unsafe { value.bytes() }.to_vec())
    }
}
