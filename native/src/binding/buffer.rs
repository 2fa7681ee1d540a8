//! Bytes and header fields as the C interface passes them.

use std::ffi::c_char;
use std::ptr::null;
use std::slice;

/// Borrowed bytes, with their number: Envoy's `envoy_dynamic_module_type_module_buffer` and
/// `..._envoy_buffer`, which are alike. A null pointer goes with the length 0.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Buffer {
    pointer: *const c_char,
    length: usize,
}

impl Buffer {
    pub(super) const EMPTY: Self = Self {
        pointer: null(),
        length: 0,
    };

    /// By rule 2, for the duration of a call.
    pub(super) const fn of(bytes: &[u8]) -> Self {
        Self {
            pointer: bytes.as_ptr().cast(),
            length: bytes.len(),
        }
    }

    /// The bytes.
    ///
    /// # Safety
    ///
    /// They are valid for the lifetime, by rule 3 or, for an argument of a hook, until the hook returns.
    pub(super) const unsafe fn bytes<'b>(self) -> &'b [u8] {
        if self.pointer.is_null() || self.length == 0 {
            return &[];
        }
        // SAFETY: not null, and valid by this function's condition.
        unsafe { slice::from_raw_parts(self.pointer.cast(), self.length) }
    }
}

/// A header field: `envoy_dynamic_module_type_envoy_http_header` and `..._module_http_header`, which are
/// alike.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Field {
    pub(super) name: Buffer,
    pub(super) value: Buffer,
}

impl Field {
    pub(super) const EMPTY: Self = Self {
        name: Buffer::EMPTY,
        value: Buffer::EMPTY,
    };

    pub(super) const fn of(name: &[u8], value: &[u8]) -> Self {
        Self {
            name: Buffer::of(name),
            value: Buffer::of(value),
        }
    }
}
