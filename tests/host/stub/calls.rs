//! A host call: its arguments, its results, its faults, and its line in the record.

use std::ptr::null_mut;

use super::{HOST, Host, INTERNAL_FAILURE, OK};

unsafe extern "C" {
    safe fn proxy_on_memory_allocate(size: usize) -> *mut u8;
}

/// Arguments that the filter passes by address and length.
pub(super) fn passed(data: *const u8, size: usize) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    // SAFETY: only the SDK and `src/host/abi.rs` call these imports, and both pass a slice's own address and
    // length.
    unsafe { std::slice::from_raw_parts(data, size) }.to_vec()
}

pub(super) fn passed_text(data: *const u8, size: usize) -> String {
    String::from_utf8_lossy(&passed(data, size)).into_owned()
}

/// Passes bytes to the filter, which owns them from then on. Like Envoy, it allocates nothing for empty
/// bytes.
pub(super) fn give(bytes: &[u8], data: &mut *mut u8, size: &mut usize) -> u32 {
    *data = null_mut();
    *size = bytes.len();
    if !bytes.is_empty() {
        *data = proxy_on_memory_allocate(bytes.len());
        // SAFETY: the SDK's allocator has just returned that many bytes, and nothing else refers to them yet.
        unsafe { data.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
    OK
}

/// Carries a host call out, unless it is to fail, and remembers it.
pub(super) fn call(import: &'static str, words: String, act: impl FnOnce(&mut Host) -> u32) -> u32 {
    HOST.with_borrow_mut(|host| {
        let Some(host) = host.as_mut() else {
            return INTERNAL_FAILURE;
        };
        let status = host.fault_in(import).unwrap_or_else(|| act(host));
        host.story.push(match status {
            OK => words,
            status => format!("{words}: status {status}"),
        });
        status
    })
}

impl Host {
    pub(super) fn fault_in(&mut self, import: &str) -> Option<u32> {
        if import == "proxy_set_effective_context" && std::mem::take(&mut self.spares_next_effective) {
            return None;
        }
        let is_of_the_sdk = matches!(import, "proxy_log" | "proxy_http_call");
        self.fault
            .filter(|fault| fault.import == import || (fault.import == "*" && !is_of_the_sdk))
            .map(|fault| fault.status)
    }

    pub(super) fn misuse(&mut self, what: impl Into<String>) {
        self.misuse.push(what.into());
    }
}
