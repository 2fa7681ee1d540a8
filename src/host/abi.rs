//! The host calls of proxy-wasm ABI 0.2.1 that the filter uses, as functions that return every status as a
//! value.
//!
//! The only unsafe code of the crate. Two rules make it sound: a pointer that is passed is valid for the
//! length passed with it during the call, and a buffer that the host returns was allocated by the SDK's
//! `proxy_on_memory_allocate` with exactly the returned size, so that a `Vec` may own it.
#![allow(unsafe_code)]

use std::ptr::{null, null_mut};

use crate::reply::LocalReply;
use crate::time::UnixTime;

/// A status other than Ok, by its number in the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(u32);

impl Status {
    const NOT_FOUND: Self = Self(1);
    const PARSE_FAILURE: Self = Self(4);
    /// The compare-and-swap failed.
    pub(super) const CAS_MISMATCH: Self = Self(8);
}

/// A header map of the ABI.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(super) enum Map {
    RequestHeaders = 0,
    RequestTrailers = 1,
    CallResponseHeaders = 6,
}

/// A buffer of the ABI.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(super) enum Buffer {
    CallResponseBody = 4,
    PluginConfiguration = 7,
}

/// A metric's kind.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(super) enum MetricKind {
    Counter = 0,
    Gauge = 1,
    Histogram = 2,
}

#[rustfmt::skip]
#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_log_level(level: *mut u32) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_buffer_bytes(buffer: u32, start: usize, max_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(map: u32, key: *const u8, key_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_replace_header_map_value(map: u32, key: *const u8, key_size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_call_foreign_function(name: *const u8, name_size: usize, argument: *const u8, argument_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_shared_data(key: *const u8, key_size: usize, data: *mut *mut u8, size: *mut usize, cas: *mut u32) -> u32;
    fn proxy_set_shared_data(key: *const u8, key_size: usize, value: *const u8, value_size: usize, cas: u32) -> u32;
    fn proxy_send_local_response(status: u32, details: *const u8, details_size: usize, body: *const u8, body_size: usize, headers: *const u8, headers_size: usize, grpc_status: i32) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
}

fn check(status: u32) -> Result<(), Status> {
    if status == 0 { Ok(()) } else { Err(Status(status)) }
}

/// Owns a buffer that the host has returned.
fn take(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() {
        return Vec::new();
    }
    // SAFETY: by the module's second rule.
    unsafe { Vec::from_raw_parts(data, size, size) }
}

/// Runs a call that returns a buffer.
fn returned(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, Status> {
    let mut data = null_mut();
    let mut size = 0;
    check(call(&raw mut data, &raw mut size))?;
    Ok(take(data, size))
}

/// `None` if nothing has that name.
fn optional<T>(result: Result<T, Status>) -> Result<Option<T>, Status> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Status::NOT_FOUND) => Ok(None),
        Err(status) => Err(status),
    }
}

/// Writes a line into the host's log. It ignores a host that refuses the line.
pub(super) fn log(level: u32, message: &str) {
    // SAFETY: the pointer is to the argument.
    let _ = unsafe { proxy_log(level, message.as_ptr(), message.len()) };
}

/// The host's log level: 0 trace … 5 critical.
pub(super) fn log_level() -> Result<u32, Status> {
    let mut level = 0;
    // SAFETY: the pointer is to a local.
    check(unsafe { proxy_get_log_level(&raw mut level) }).map(|()| level)
}

/// The host's wall clock.
pub(super) fn now() -> Result<UnixTime, Status> {
    let mut nanos: u64 = 0;
    // SAFETY: the pointer is to a local.
    check(unsafe { proxy_get_current_time_nanoseconds(&raw mut nanos) })
        .map(|()| UnixTime::from_millis(nanos / 1_000_000))
}

/// Sets the period of the root's ticks, in milliseconds. A stream's callback may call this too.
pub(super) fn set_tick_period(millis: u32) -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { proxy_set_tick_period_milliseconds(millis) })
}

/// The first bytes of a buffer; empty if the buffer does not exist.
pub(super) fn buffer(buffer: Buffer, max_size: usize) -> Result<Vec<u8>, Status> {
    // SAFETY: the pointers are to locals.
    let bytes =
        returned(|data, size| unsafe { proxy_get_buffer_bytes(buffer as u32, 0, max_size, data, size) });
    optional(bytes).map(Option::unwrap_or_default)
}

/// The first value of a header.
pub(super) fn header(map: Map, name: &str) -> Result<Option<Vec<u8>>, Status> {
    // SAFETY: the pointers are to locals and to `name`.
    optional(returned(|data, size| unsafe {
        proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, size)
    }))
}

/// All headers, as the ABI serializes them: see [`pairs`].
pub(super) fn headers(map: Map) -> Result<Vec<u8>, Status> {
    // SAFETY: the pointers are to locals.
    returned(|data, size| unsafe { proxy_get_header_map_pairs(map as u32, data, size) })
}

/// A name and its value, as bytes, because they need not be text.
type Pair<'b> = (&'b [u8], &'b [u8]);

/// The pairs of a serialized map: their number, then the sizes of each name and value (32 bits,
/// little-endian), then the names and values themselves, each with a NUL after it. Fails if the bytes end too
/// early.
pub(super) fn pairs(bytes: &[u8]) -> Result<Vec<Pair<'_>>, Status> {
    let mut pairs = Vec::new();
    each_pair(bytes, |name, value| pairs.push((name, value)))?;
    Ok(pairs)
}

/// The same, one pair at a time. The caller receives the pairs before a fault.
pub(super) fn each_pair<'b>(bytes: &'b [u8], take: impl FnMut(&'b [u8], &'b [u8])) -> Result<(), Status> {
    read_pairs(bytes, take).ok_or(Status::PARSE_FAILURE)
}

fn read_pairs<'b>(bytes: &'b [u8], mut take: impl FnMut(&'b [u8], &'b [u8])) -> Option<()> {
    if bytes.is_empty() {
        return Some(());
    }
    let (count, rest) = read_size(bytes)?;
    let (mut sizes, mut texts) = rest.split_at_checked(count.checked_mul(8)?)?;
    while let Some((size, rest)) = sizes.split_first_chunk::<8>() {
        let both = u64::from_le_bytes(*size);
        let (name, rest_of_texts) = read_text(texts, both as u32)?;
        let (value, rest_of_texts) = read_text(rest_of_texts, (both >> 32) as u32)?;
        take(name, value);
        (sizes, texts) = (rest, rest_of_texts);
    }
    Some(())
}

fn number(bytes: [u8; 4]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

fn read_size(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    Some((number(*size)?, rest))
}

fn read_text(bytes: &[u8], size: u32) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(usize::try_from(size).ok()?)?;
    Some((text, rest.get(1..)?))
}

fn write_pairs<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)> + Clone) -> Vec<u8> {
    let room = pairs.clone().fold(4_usize, |room, (name, value)| {
        room.saturating_add(10)
            .saturating_add(name.len())
            .saturating_add(value.len())
    });
    let mut bytes = Vec::with_capacity(room);
    let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    bytes.extend_from_slice(&size(pairs.clone().count()));
    for (name, value) in pairs.clone() {
        bytes.extend_from_slice(&size(name.len()));
        bytes.extend_from_slice(&size(value.len()));
    }
    for (name, value) in pairs {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// Makes this the header's only value.
pub(super) fn replace_request_header(name: &str, value: &[u8]) -> Result<(), Status> {
    // SAFETY: the pointers are to the arguments.
    check(unsafe {
        proxy_replace_header_map_value(
            Map::RequestHeaders as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
}

/// Removes every occurrence of the header.
pub(super) fn remove_header(map: Map, name: &[u8]) -> Result<(), Status> {
    // SAFETY: the pointers are to the argument.
    check(unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// A property of the stream; `path` is its segments with NUL between them.
pub(super) fn property(path: &str) -> Result<Option<Vec<u8>>, Status> {
    // SAFETY: the pointers are to locals and to the argument.
    optional(returned(|data, size| unsafe {
        proxy_get_property(path.as_ptr(), path.len(), data, size)
    }))
}

/// Calls a function that Envoy offers in addition to the ABI.
pub(super) fn call_foreign_function(name: &str, argument: &[u8]) -> Result<Vec<u8>, Status> {
    // SAFETY: the pointers are to locals and to the arguments.
    returned(|data, size| unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            argument.as_ptr(),
            argument.len(),
            data,
            size,
        )
    })
}

/// Sets the stream's filter state `wasm.<name>`.
pub(super) fn set_filter_state(name: &str, value: &[u8]) -> Result<(), Status> {
    // SAFETY: the pointers are to the arguments.
    check(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// A shared value and its number for a compare-and-swap.
pub(super) fn shared_data(key: &str) -> Result<Option<(Vec<u8>, u32)>, Status> {
    let mut cas = 0;
    // SAFETY: the pointers are to locals and to the argument.
    let value = returned(|data, size| unsafe {
        proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut cas)
    });
    optional(value).map(|value| value.map(|value| (value, cas)))
}

/// Writes a shared value, if the present value still has this number. 0 always overwrites. No value has the
/// number `u32::MAX`, so this number creates a value and never overwrites one.
pub(super) fn set_shared_data(key: &str, value: &[u8], cas: u32) -> Result<(), Status> {
    // SAFETY: the pointers are to the arguments.
    check(unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) })
}

/// A reply's header fields as [`send_local_response`] takes them.
pub(super) fn written_fields(reply: &LocalReply) -> Vec<u8> {
    write_pairs(reply.headers.iter().map(|(name, value)| (*name, value.as_str())))
}

/// Answers the stream in place of the upstream, with these header fields.
pub(super) fn send_local_response(reply: &LocalReply, headers: &[u8]) -> Result<(), Status> {
    let (details, body) = (&reply.details, &reply.body);
    // SAFETY: the pointers are to the arguments. Envoy uses the gRPC status only if it treats the request as
    // gRPC; -1 means none.
    check(unsafe {
        proxy_send_local_response(
            u32::from(reply.status),
            details.as_ptr(),
            details.len(),
            if body.is_empty() { null() } else { body.as_ptr() },
            body.len(),
            headers.as_ptr(),
            headers.len(),
            reply.grpc_status.unwrap_or(-1),
        )
    })
}

/// Continues a held request.
pub(super) fn resume_request() -> Result<(), Status> {
    // SAFETY: no pointers. 0 is the stream of the request.
    check(unsafe { proxy_continue_stream(0) })
}

/// Makes this the context of the following calls. Fails if the context has ended.
pub(super) fn set_effective_context(context: u32) -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { proxy_set_effective_context(context) })
}

/// Defines a metric, or finds an existing one.
pub(super) fn define_metric(kind: MetricKind, name: &str) -> Result<u32, Status> {
    let mut id = 0;
    // SAFETY: the pointers are to the argument and to a local.
    check(unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) }).map(|()| id)
}

/// Adds to a counter.
pub(super) fn increment_metric(id: u32, by: i64) -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { proxy_increment_metric(id, by) })
}

/// Sets a gauge, or adds a value to a histogram.
pub(super) fn record_metric(id: u32, value: u64) -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { proxy_record_metric(id, value) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serialized_map_is_read_as_it_was_written() {
        let written = [(":path", "/"), ("empty", ""), ("a", "b")];
        let bytes = write_pairs(written.iter().copied());
        let expected: Vec<(&[u8], &[u8])> = vec![(b":path", b"/"), (b"empty", b""), (b"a", b"b")];
        assert_eq!(pairs(&bytes), Ok(expected));
        assert_eq!(pairs(b""), Ok(Vec::new()));
    }

    #[test]
    fn a_map_that_is_cut_short_is_a_fault_and_no_panic() {
        let bytes = write_pairs([("name", "value"), ("a", "b")].iter().copied());
        for length in 1..bytes.len() {
            assert_eq!(pairs(&bytes[..length]), Err(Status::PARSE_FAILURE), "{length}");
        }
        assert_eq!(pairs(&[0xff; 12]), Err(Status::PARSE_FAILURE));
    }
}
