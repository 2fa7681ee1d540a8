//! What Envoy calls with a stream.

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::binding::stream::Host;
use crate::filter::Filter;
use crate::hooks;
use crate::stream::Stream;

/// A stream. Never null: an older Envoy would continue with a null pointer.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_new(
    filter: *const c_void,
    stream: *mut c_void,
) -> *const c_void {
    let host = Host {
        filter: stream,
        call: PhantomData,
    };
    let filter = filter.cast::<Filter>();
    // SAFETY: rule 4: counted once more, for the stream. The pointer is that of `into_raw`, and not of a
    // reference, which would not reach the count beside the configuration.
    unsafe { Arc::increment_strong_count(filter) };
    // SAFETY: the count that was added above.
    let filter = unsafe { Arc::from_raw(filter) };
    // Rule 4.
    Rc::into_raw(Rc::new(hooks::stream_new(&host, filter))).cast()
}

/// Runs a hook of a stream.
fn of_stream<T>(
    filter: *mut c_void,
    stream: *const c_void,
    run: impl FnOnce(&mut Host<'_>, &Stream) -> T,
) -> T {
    let mut host = Host {
        filter,
        call: PhantomData,
    };
    let stream = stream.cast::<Stream>();
    // SAFETY: rule 4: made by `into_raw` above, and counted once more, for this hook. When the hook answers a
    // request or lets it continue, Envoy may end the stream and call `..._destroy` within that call.
    unsafe { Rc::increment_strong_count(stream) };
    // SAFETY: the count that was added above.
    let stream = unsafe { Rc::from_raw(stream) };
    let outcome = run(&mut host, &stream);
    hooks::stream_release(stream);
    outcome
}

/// The request's header fields.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    filter: *mut c_void,
    stream: *const c_void,
    _is_end: bool,
) -> c_int {
    of_stream(filter, stream, hooks::request_headers) as c_int
}

/// A part of the request's body.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    filter: *mut c_void,
    stream: *const c_void,
    _is_end: bool,
) -> c_int {
    of_stream(filter, stream, hooks::request_body) as c_int
}

/// The request's trailer fields.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(
    filter: *mut c_void,
    stream: *const c_void,
) -> c_int {
    of_stream(filter, stream, hooks::request_trailers) as c_int
}

/// The response's header fields.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    filter: *mut c_void,
    stream: *const c_void,
    _is_end: bool,
) -> c_int {
    of_stream(filter, stream, hooks::response_headers) as c_int
}

/// Someone has committed the stream's scheduler.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(
    filter: *mut c_void,
    stream: *const c_void,
    _event: u64,
) {
    of_stream(filter, stream, hooks::scheduled);
}

/// The stream has ended. Its handle is still valid during this call.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(
    filter: *mut c_void,
    stream: *const c_void,
) {
    of_stream(filter, stream, |_, stream| hooks::stream_complete(stream));
}

/// The last call with this stream.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_destroy(stream: *const c_void) {
    // SAFETY: rule 4: made by `into_raw` above, and given back for the last time.
    hooks::stream_destroy(unsafe { Rc::from_raw(stream.cast::<Stream>()) });
}
