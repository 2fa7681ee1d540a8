//! Header and trailer fields of a request.

use std::ffi::c_int;

use super::buffer::{Buffer, Field};
use super::declarations::{
    Map, envoy_dynamic_module_callback_http_add_header, envoy_dynamic_module_callback_http_get_header,
    envoy_dynamic_module_callback_http_get_headers, envoy_dynamic_module_callback_http_get_headers_size,
    envoy_dynamic_module_callback_http_set_header,
};
use super::stream::Host;

impl Host<'_> {
    /// The value of a field at this place among those of its name, and their number.
    pub(crate) fn header(&self, map: Map, name: &[u8], index: usize) -> Option<(Vec<u8>, usize)> {
        let mut value = Buffer::EMPTY;
        let mut count = 0;
        // SAFETY: rules 1 and 2; the results are locals.
        let is_found = unsafe {
            envoy_dynamic_module_callback_http_get_header(
                self.filter,
                map as c_int,
                Buffer::of(name),
                &raw mut value,
                index,
                &raw mut count,
            )
        };
        // SAFETY: rule 3; copied at once.
        is_found.then(|| (unsafe { value.bytes() }.to_vec(), count))
    }

    /// Calls with each field, its name in lower case.
    pub(crate) fn each_header(&self, map: Map, mut take: impl FnMut(&[u8], &[u8])) -> bool {
        // SAFETY: rule 1.
        let count = unsafe { envoy_dynamic_module_callback_http_get_headers_size(self.filter, map as c_int) };
        let mut fields = vec![Field::EMPTY; count];
        if count == 0 {
            return true;
        }
        // SAFETY: rule 1; Envoy writes as many fields as it has just counted.
        let is_read = unsafe {
            envoy_dynamic_module_callback_http_get_headers(self.filter, map as c_int, fields.as_mut_ptr())
        };
        for field in fields.iter().filter(|_| is_read) {
            // SAFETY: rule 3.
            let name = unsafe { field.name.bytes() };
            // SAFETY: rule 3: this handle is borrowed, and `take` has no other with which it could write a
            // field.
            let value = unsafe { field.value.bytes() };
            take(name, value);
        }
        is_read
    }

    /// Adds a field. Those of its name remain.
    pub(crate) fn add_header(&mut self, map: Map, name: &[u8], value: &[u8]) -> bool {
        // SAFETY: rules 1 and 2.
        unsafe {
            envoy_dynamic_module_callback_http_add_header(
                self.filter,
                map as c_int,
                Buffer::of(name),
                Buffer::of(value),
            )
        }
    }

    /// Makes this the only value of the field. `None` removes every occurrence of the field.
    pub(crate) fn set_header(&mut self, map: Map, name: &[u8], value: Option<&[u8]>) -> bool {
        let value = value.map_or(Buffer::EMPTY, Buffer::of);
        // SAFETY: rules 1 and 2.
        unsafe {
            envoy_dynamic_module_callback_http_set_header(self.filter, map as c_int, Buffer::of(name), value)
        }
    }
}
