//! What Envoy calls with a configuration of the filter or of a route.

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::ptr::{self, null};
use std::slice;
use std::sync::Arc;

use crate::binding::buffer::{Buffer, Field};
use crate::binding::config::{CallResult, ConfigHost};
use crate::filter::Filter;
use crate::hooks;

/// A configuration. Null refuses it.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    config: *mut c_void,
    name: Buffer,
    text: Buffer,
) -> *const c_void {
    let host = ConfigHost {
        config,
        call: PhantomData,
    };
    // SAFETY: an argument, valid until this function returns.
    let name = unsafe { name.bytes() };
    // SAFETY: as above.
    let text = unsafe { text.bytes() };
    // Rule 4.
    hooks::config_new(host, name, text).map_or(null(), |filter| Arc::into_raw(filter).cast())
}

/// The last stream of a configuration has ended.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(filter: *const c_void) {
    // SAFETY: rule 4: made by `into_raw` above, and given back for the last time.
    hooks::config_destroy(unsafe { Arc::from_raw(filter.cast::<Filter>()) });
}

/// Someone has committed the configuration's scheduler. On the main thread.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(
    config: *mut c_void,
    filter: *const c_void,
    _event: u64,
) {
    let host = ConfigHost {
        config,
        call: PhantomData,
    };
    // SAFETY: rule 4.
    hooks::config_scheduled(host, unsafe { &*filter.cast::<Filter>() });
}

/// A request for keys was answered, or has failed. On the main thread.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_callout_done(
    config: *mut c_void,
    filter: *const c_void,
    id: u64,
    result: c_int,
    fields: *const Field,
    field_count: usize,
    chunks: *const Buffer,
    chunk_count: usize,
) {
    let host = ConfigHost {
        config,
        call: PhantomData,
    };
    let fields = if fields.is_null() {
        &[]
    } else {
        // SAFETY: arguments, valid until this function returns.
        unsafe { slice::from_raw_parts(fields, field_count) }
    };
    let chunks = if chunks.is_null() {
        &[]
    } else {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts(chunks, chunk_count) }
    };
    let fields = fields.iter().map(|field| {
        // SAFETY: as above.
        let name = unsafe { field.name.bytes() };
        // SAFETY: as above.
        let value = unsafe { field.value.bytes() };
        (name, value)
    });
    // SAFETY: as above.
    let chunks = chunks.iter().map(|chunk| unsafe { chunk.bytes() });
    let answer = match result {
        0 => CallResult::Answer {
            fields: fields.collect(),
            chunks: chunks.collect(),
        },
        2 => CallResult::TooLarge,
        _ => CallResult::Reset,
    };
    // SAFETY: rule 4.
    hooks::config_call_done(host, unsafe { &*filter.cast::<Filter>() }, id, &answer);
}

/// A route's own configuration: a number in the form of a pointer. Null refuses it.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(
    _name: Buffer,
    text: Buffer,
) -> *const c_void {
    // SAFETY: an argument, valid until this function returns.
    let text = unsafe { text.bytes() };
    hooks::route_config_new(text).map_or(null(), |number| ptr::without_provenance(number.get()))
}

/// Envoy has removed a route's own configuration.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(config: *const c_void) {
    if let Some(number) = NonZeroUsize::new(config.addr()) {
        hooks::route_config_destroy(number);
    }
}
