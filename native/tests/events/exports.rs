//! The functions that the module exports.

use std::ffi::{c_char, c_int, c_void};

use crate::envoy::{Buffer, Field};

// The crate that exports these functions; the name links it.
use jwt as _;

#[rustfmt::skip]
unsafe extern "C" {
    pub(super) safe fn envoy_dynamic_module_on_program_init() -> *const c_char;
    pub(super) safe fn envoy_dynamic_module_on_http_filter_config_new(config: *mut c_void, name: Buffer, text: Buffer) -> *const c_void;
    pub(super) safe fn envoy_dynamic_module_on_http_filter_config_destroy(filter: *const c_void);
    pub(super) safe fn envoy_dynamic_module_on_http_filter_config_scheduled(config: *mut c_void, filter: *const c_void, event: u64);
    pub(super) safe fn envoy_dynamic_module_on_http_filter_config_http_callout_done(config: *mut c_void, filter: *const c_void, id: u64, result: c_int, fields: *const Field, count: usize, chunks: *const Buffer, chunk_count: usize);
    pub(super) safe fn envoy_dynamic_module_on_http_filter_per_route_config_new(name: Buffer, text: Buffer) -> *const c_void;
    pub(super) safe fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(config: *const c_void);
    pub(super) safe fn envoy_dynamic_module_on_http_filter_new(filter: *const c_void, stream: *mut c_void) -> *const c_void;
    pub(super) safe fn envoy_dynamic_module_on_http_filter_request_headers(stream: *mut c_void, ours: *const c_void, is_end: bool) -> c_int;
    pub(super) safe fn envoy_dynamic_module_on_http_filter_request_body(stream: *mut c_void, ours: *const c_void, is_end: bool) -> c_int;
    pub(super) safe fn envoy_dynamic_module_on_http_filter_request_trailers(stream: *mut c_void, ours: *const c_void) -> c_int;
    pub(super) safe fn envoy_dynamic_module_on_http_filter_response_headers(stream: *mut c_void, ours: *const c_void, is_end: bool) -> c_int;
    pub(super) safe fn envoy_dynamic_module_on_http_filter_response_body(stream: *mut c_void, ours: *const c_void, is_end: bool) -> c_int;
    pub(super) safe fn envoy_dynamic_module_on_http_filter_response_trailers(stream: *mut c_void, ours: *const c_void) -> c_int;
    pub(super) safe fn envoy_dynamic_module_on_http_filter_scheduled(stream: *mut c_void, ours: *const c_void, event: u64);
    pub(super) safe fn envoy_dynamic_module_on_http_filter_stream_complete(stream: *mut c_void, ours: *const c_void);
    pub(super) safe fn envoy_dynamic_module_on_http_filter_destroy(ours: *const c_void);
}
