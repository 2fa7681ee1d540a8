//! Envoy's functions and constants, as its C header declares them.

use std::ffi::{CStr, c_int, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;

use super::buffer::{Buffer, Field};

/// The version of the interface, with the NUL that ends it.
pub(super) static ABI_VERSION: &CStr = c"v0.2.0";

/// `envoy_dynamic_module_type_http_header_type`.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum Map {
    /// The request's header fields.
    RequestHeaders = 0,
    /// Its trailer fields.
    RequestTrailers = 1,
}

/// The values of `envoy_dynamic_module_type_attribute_id` that the module uses.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum Attribute {
    /// Address and port of the client.
    SourceAddress = 24,
    /// SHA-256 of the client's certificate, in hexadecimal digits.
    PeerCertificateDigest = 38,
}

/// `envoy_dynamic_module_type_metadata_source`: the route's.
pub(super) const OF_ROUTE: c_int = 1;

/// Why Envoy does not send a request for keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// It has no cluster of this name.
    NoCluster,
    /// It could not make the request.
    CannotCreate,
}

// The functions that every Envoy from 1.38 on exports to its modules.
#[rustfmt::skip]
unsafe extern "C" {
    pub(super) fn envoy_dynamic_module_callback_log(level: c_int, message: Buffer);
    pub(super) fn envoy_dynamic_module_callback_log_enabled(level: c_int) -> bool;
    pub(super) fn envoy_dynamic_module_callback_is_validation_mode() -> bool;
    pub(super) fn envoy_dynamic_module_callback_http_get_header(filter: *mut c_void, map: c_int, name: Buffer, value: *mut Buffer, index: usize, count: *mut usize) -> bool;
    pub(super) fn envoy_dynamic_module_callback_http_get_headers_size(filter: *mut c_void, map: c_int) -> usize;
    pub(super) fn envoy_dynamic_module_callback_http_get_headers(filter: *mut c_void, map: c_int, fields: *mut Field) -> bool;
    pub(super) fn envoy_dynamic_module_callback_http_add_header(filter: *mut c_void, map: c_int, name: Buffer, value: Buffer) -> bool;
    pub(super) fn envoy_dynamic_module_callback_http_set_header(filter: *mut c_void, map: c_int, name: Buffer, value: Buffer) -> bool;
    pub(super) fn envoy_dynamic_module_callback_http_send_response(filter: *mut c_void, status: u32, fields: *const Field, count: usize, body: Buffer, details: Buffer);
    pub(super) fn envoy_dynamic_module_callback_http_clear_route_cache(filter: *mut c_void);
    pub(super) fn envoy_dynamic_module_callback_http_get_metadata_keys_count(filter: *mut c_void, source: c_int, namespace: Buffer) -> usize;
    pub(super) fn envoy_dynamic_module_callback_http_get_metadata_keys(filter: *mut c_void, source: c_int, namespace: Buffer, keys: *mut Buffer) -> bool;
    pub(super) fn envoy_dynamic_module_callback_http_get_metadata_string(filter: *mut c_void, source: c_int, namespace: Buffer, key: Buffer, value: *mut Buffer) -> bool;
    pub(super) fn envoy_dynamic_module_callback_http_set_filter_state_bytes(filter: *mut c_void, key: Buffer, value: Buffer) -> bool;
    pub(super) fn envoy_dynamic_module_callback_http_get_filter_state_typed(filter: *mut c_void, key: Buffer, value: *mut Buffer) -> bool;
    pub(super) fn envoy_dynamic_module_callback_http_get_filter_state_bytes(filter: *mut c_void, key: Buffer, value: *mut Buffer) -> bool;
    pub(super) fn envoy_dynamic_module_callback_http_filter_get_attribute_string(filter: *mut c_void, attribute: c_int, value: *mut Buffer) -> bool;
    pub(super) fn envoy_dynamic_module_callback_http_filter_get_worker_index(filter: *mut c_void) -> u32;
    pub(super) fn envoy_dynamic_module_callback_get_most_specific_route_config(filter: *mut c_void) -> *const c_void;
    pub(super) fn envoy_dynamic_module_callback_http_filter_continue_decoding(filter: *mut c_void);
    pub(super) fn envoy_dynamic_module_callback_http_filter_scheduler_new(filter: *mut c_void) -> *mut c_void;
    pub(super) fn envoy_dynamic_module_callback_http_filter_scheduler_commit(scheduler: *mut c_void, event: u64);
    pub(super) fn envoy_dynamic_module_callback_http_filter_scheduler_delete(scheduler: *mut c_void);
    pub(super) fn envoy_dynamic_module_callback_http_filter_config_scheduler_new(config: *mut c_void) -> *mut c_void;
    pub(super) fn envoy_dynamic_module_callback_http_filter_config_scheduler_commit(scheduler: *mut c_void, event: u64);
    pub(super) fn envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler: *mut c_void);
    pub(super) fn envoy_dynamic_module_callback_http_filter_config_http_callout(config: *mut c_void, id: *mut u64, cluster: Buffer, fields: *const Field, count: usize, body: Buffer, timeout: u64) -> c_int;
    pub(super) fn envoy_dynamic_module_callback_http_filter_config_define_counter(config: *mut c_void, name: Buffer, labels: *const Buffer, count: usize, id: *mut usize) -> c_int;
    pub(super) fn envoy_dynamic_module_callback_http_filter_config_define_gauge(config: *mut c_void, name: Buffer, labels: *const Buffer, count: usize, id: *mut usize) -> c_int;
    pub(super) fn envoy_dynamic_module_callback_http_filter_config_define_histogram(config: *mut c_void, name: Buffer, labels: *const Buffer, count: usize, id: *mut usize) -> c_int;
    pub(super) fn envoy_dynamic_module_callback_http_filter_record_histogram_value(filter: *mut c_void, id: usize, labels: *const Buffer, count: usize, value: u64) -> c_int;
    pub(super) fn envoy_dynamic_module_callback_http_filter_increment_counter(filter: *mut c_void, id: usize, labels: *const Buffer, count: usize, value: u64) -> c_int;
    pub(super) fn envoy_dynamic_module_callback_http_filter_set_gauge(filter: *mut c_void, id: usize, labels: *const Buffer, count: usize, value: u64) -> c_int;
}

/// `(config, id, labels, number of labels, value)`: `..._config_increment_counter`, `..._config_set_gauge`
/// and `..._config_record_histogram_value`.
pub(super) type ChangeMetric = unsafe extern "C" fn(*mut c_void, usize, *const Buffer, usize, u64) -> c_int;
/// `(filter, namespace, serialized google.protobuf.Struct)`: `..._set_dynamic_metadata_struct`.
pub(super) type SetStruct = unsafe extern "C" fn(*mut c_void, Buffer, Buffer);
/// `(config, name, ConfigSource as JSON or nothing)`: `..._config_generic_secret_subscribe`.
pub(super) type SubscribeSecret = unsafe extern "C" fn(*mut c_void, Buffer, Buffer) -> usize;
/// `(filter or config, id, result)`: `..._get_generic_secret` and `..._config_get_generic_secret`.
pub(super) type GetSecret = unsafe extern "C" fn(*mut c_void, usize, *mut Buffer) -> bool;

/// Functions that only newer versions of Envoy export. An older Envoy could not resolve them as linked
/// symbols, and would not load the module. The module looks them up by name, once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newer {
    /// From 1.39 on.
    pub(super) increment_counter: Option<ChangeMetric>,
    /// From 1.39 on.
    pub(super) set_gauge: Option<ChangeMetric>,
    /// From 1.39 on.
    pub(super) record: Option<ChangeMetric>,
    /// From 1.40 on.
    pub(super) set_metadata: Option<SetStruct>,
    /// From 1.40 on.
    pub(super) subscribe_secret: Option<SubscribeSecret>,
    /// From 1.40 on.
    pub(super) config_secret: Option<GetSecret>,
    /// From 1.40 on.
    pub(super) stream_secret: Option<GetSecret>,
}

pub(super) fn newer() -> &'static Newer {
    static NEWER: OnceLock<Newer> = OnceLock::new();
    NEWER.get_or_init(|| {
        let find = |name: &CStr| {
            // SAFETY: the name ends with NUL. RTLD_DEFAULT is where Envoy's own symbols are.
            let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
            NonNull::new(found)
        };
        let metric = |name| {
            // SAFETY: Envoy's functions of these names have this type in every version that has them.
            find(name).map(|found| unsafe { std::mem::transmute::<NonNull<c_void>, ChangeMetric>(found) })
        };
        let secret = |name| {
            // SAFETY: as above.
            find(name).map(|found| unsafe { std::mem::transmute::<NonNull<c_void>, GetSecret>(found) })
        };
        Newer {
            increment_counter: metric(c"envoy_dynamic_module_callback_http_filter_config_increment_counter"),
            set_gauge: metric(c"envoy_dynamic_module_callback_http_filter_config_set_gauge"),
            record: metric(c"envoy_dynamic_module_callback_http_filter_config_record_histogram_value"),
            set_metadata: find(c"envoy_dynamic_module_callback_http_set_dynamic_metadata_struct").map(
                // SAFETY: as above.
                |found| unsafe { std::mem::transmute::<NonNull<c_void>, SetStruct>(found) },
            ),
            subscribe_secret: find(
                c"envoy_dynamic_module_callback_http_filter_config_generic_secret_subscribe",
            )
            .map(
                // SAFETY: as above.
                |found| unsafe { std::mem::transmute::<NonNull<c_void>, SubscribeSecret>(found) },
            ),
            config_secret: secret(c"envoy_dynamic_module_callback_http_filter_config_get_generic_secret"),
            stream_secret: secret(c"envoy_dynamic_module_callback_http_filter_get_generic_secret"),
        }
    })
}
