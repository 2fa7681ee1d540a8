//! Envoy's C interface of dynamic modules: the functions that it calls, and the functions that it exports.
//!
//! The only unsafe code of the module. These rules make it sound:
//!
//! 1. *Handles.* An exported function wraps a pointer of Envoy as [`Host`] or [`ConfigHost`]. Its lifetime
//!    ends with the call. Both stay on their thread, because a raw pointer is neither `Send` nor `Sync`.
//! 2. *Arguments.* The module makes a [`Buffer`] for Envoy from a slice that lives during the call. Envoy
//!    copies it.
//! 3. *Results.* A [`Buffer`] that Envoy fills is valid until the event hook returns or a field of the same map is written.
//!    The module copies it before it calls anything else.
//! 4. *Objects.* A `..._new` function returns a box, or a counted reference, that was leaked with `into_raw`.
//!    Envoy gives it back to the functions of the same kind, and to the `..._destroy` function last and once.
//!    In between, the module makes shared references only, because Envoy calls a module again from within its
//!    own callbacks.
//! 5. *Schedulers.* They may be committed from any thread until they are deleted; Envoy discards an event for
//!    a stream or a configuration that has ended.
//! 6. *Panics.* None leaves a function that Envoy calls: each runs in [`hooks`], which catches them.
//!
//! `log` and `dlsym` may be called from any thread.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull, null, null_mut};
use std::slice;
use std::sync::{Arc, OnceLock};

use crate::filter::Filter;
use crate::hooks;
use crate::route::RouteConfig;
use crate::stream::Stream;

/// Borrowed bytes, with their number: Envoy's `envoy_dynamic_module_type_module_buffer` and
/// `..._envoy_buffer`, which are alike. A null pointer goes with the length 0.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Buffer {
    pointer: *const c_char,
    length: usize,
}

impl Buffer {
    const EMPTY: Self = Self {
        pointer: null(),
        length: 0,
    };

    /// By rule 2, for the duration of a call.
    const fn of(bytes: &[u8]) -> Self {
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
    const unsafe fn bytes<'b>(self) -> &'b [u8] {
        if self.pointer.is_null() || self.length == 0 {
            return &[];
        }
        // SAFETY: not null, and valid by this function's condition.
        unsafe { slice::from_raw_parts(self.pointer.cast(), self.length) }
    }
}

/// A header field: `envoy_dynamic_module_type_envoy_http_header` and `..._module_http_header`, which are alike.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Field {
    name: Buffer,
    value: Buffer,
}

impl Field {
    const EMPTY: Self = Self {
        name: Buffer::EMPTY,
        value: Buffer::EMPTY,
    };

    const fn of(name: &[u8], value: &[u8]) -> Self {
        Self {
            name: Buffer::of(name),
            value: Buffer::of(value),
        }
    }
}

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
const OF_ROUTE: c_int = 1;

/// A metric without labels: the number that Envoy has given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MetricId(usize);

/// A counter with labels, which Envoy numbers apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LabelledId(usize);

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
    fn envoy_dynamic_module_callback_log(level: c_int, message: Buffer);
    fn envoy_dynamic_module_callback_log_enabled(level: c_int) -> bool;
    fn envoy_dynamic_module_callback_is_validation_mode() -> bool;
    fn envoy_dynamic_module_callback_http_get_header(filter: *mut c_void, map: c_int, name: Buffer, value: *mut Buffer, index: usize, count: *mut usize) -> bool;
    fn envoy_dynamic_module_callback_http_get_headers_size(filter: *mut c_void, map: c_int) -> usize;
    fn envoy_dynamic_module_callback_http_get_headers(filter: *mut c_void, map: c_int, fields: *mut Field) -> bool;
    fn envoy_dynamic_module_callback_http_set_header(filter: *mut c_void, map: c_int, name: Buffer, value: Buffer) -> bool;
    fn envoy_dynamic_module_callback_http_send_response(filter: *mut c_void, status: u32, fields: *const Field, count: usize, body: Buffer, details: Buffer);
    fn envoy_dynamic_module_callback_http_clear_route_cache(filter: *mut c_void);
    fn envoy_dynamic_module_callback_http_get_metadata_keys_count(filter: *mut c_void, source: c_int, namespace: Buffer) -> usize;
    fn envoy_dynamic_module_callback_http_get_metadata_keys(filter: *mut c_void, source: c_int, namespace: Buffer, keys: *mut Buffer) -> bool;
    fn envoy_dynamic_module_callback_http_get_metadata_string(filter: *mut c_void, source: c_int, namespace: Buffer, key: Buffer, value: *mut Buffer) -> bool;
    fn envoy_dynamic_module_callback_http_set_filter_state_bytes(filter: *mut c_void, key: Buffer, value: Buffer) -> bool;
    fn envoy_dynamic_module_callback_http_get_filter_state_typed(filter: *mut c_void, key: Buffer, value: *mut Buffer) -> bool;
    fn envoy_dynamic_module_callback_http_get_filter_state_bytes(filter: *mut c_void, key: Buffer, value: *mut Buffer) -> bool;
    fn envoy_dynamic_module_callback_http_filter_get_attribute_string(filter: *mut c_void, attribute: c_int, value: *mut Buffer) -> bool;
    fn envoy_dynamic_module_callback_http_filter_get_worker_index(filter: *mut c_void) -> u32;
    fn envoy_dynamic_module_callback_get_most_specific_route_config(filter: *mut c_void) -> *const c_void;
    fn envoy_dynamic_module_callback_http_filter_continue_decoding(filter: *mut c_void);
    fn envoy_dynamic_module_callback_http_filter_scheduler_new(filter: *mut c_void) -> *mut c_void;
    fn envoy_dynamic_module_callback_http_filter_scheduler_commit(scheduler: *mut c_void, event: u64);
    fn envoy_dynamic_module_callback_http_filter_scheduler_delete(scheduler: *mut c_void);
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_new(config: *mut c_void) -> *mut c_void;
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_commit(scheduler: *mut c_void, event: u64);
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler: *mut c_void);
    fn envoy_dynamic_module_callback_http_filter_config_http_callout(config: *mut c_void, id: *mut u64, cluster: Buffer, fields: *const Field, count: usize, body: Buffer, timeout: u64) -> c_int;
    fn envoy_dynamic_module_callback_http_filter_config_define_counter(config: *mut c_void, name: Buffer, labels: *const Buffer, count: usize, id: *mut usize) -> c_int;
    fn envoy_dynamic_module_callback_http_filter_config_define_gauge(config: *mut c_void, name: Buffer, labels: *const Buffer, count: usize, id: *mut usize) -> c_int;
    fn envoy_dynamic_module_callback_http_filter_config_define_histogram(config: *mut c_void, name: Buffer, labels: *const Buffer, count: usize, id: *mut usize) -> c_int;
    fn envoy_dynamic_module_callback_http_filter_record_histogram_value(filter: *mut c_void, id: usize, labels: *const Buffer, count: usize, value: u64) -> c_int;
    fn envoy_dynamic_module_callback_http_filter_increment_counter(filter: *mut c_void, id: usize, labels: *const Buffer, count: usize, value: u64) -> c_int;
    fn envoy_dynamic_module_callback_http_filter_set_gauge(filter: *mut c_void, id: usize, labels: *const Buffer, count: usize, value: u64) -> c_int;
}

/// `(config, id, labels, number of labels, value)`: `..._config_increment_counter`, `..._config_set_gauge` and
/// `..._config_record_histogram_value`.
type ChangeMetric = unsafe extern "C" fn(*mut c_void, usize, *const Buffer, usize, u64) -> c_int;
/// `(filter, namespace, serialized google.protobuf.Struct)`: `..._set_dynamic_metadata_struct`.
type SetStruct = unsafe extern "C" fn(*mut c_void, Buffer, Buffer);

/// Functions that only newer versions of Envoy export. An older Envoy could not resolve them as linked
/// symbols, and would not load the module. The module looks them up by name, once.
#[derive(Clone, Copy, Debug)]
struct Newer {
    /// From 1.39 on.
    increment_counter: Option<ChangeMetric>,
    /// From 1.39 on.
    set_gauge: Option<ChangeMetric>,
    /// From 1.39 on.
    record: Option<ChangeMetric>,
    /// From 1.40 on.
    set_metadata: Option<SetStruct>,
}

fn newer() -> &'static Newer {
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
        Newer {
            increment_counter: metric(c"envoy_dynamic_module_callback_http_filter_config_increment_counter"),
            set_gauge: metric(c"envoy_dynamic_module_callback_http_filter_config_set_gauge"),
            record: metric(c"envoy_dynamic_module_callback_http_filter_config_record_histogram_value"),
            set_metadata: find(c"envoy_dynamic_module_callback_http_set_dynamic_metadata_struct").map(
                // SAFETY: as above.
                |found| unsafe { std::mem::transmute::<NonNull<c_void>, SetStruct>(found) },
            ),
        }
    })
}

// --- everywhere

/// Writes a line into Envoy's log, at a level from 0, trace, to 5, critical.
pub(crate) fn log(level: c_int, message: &str) {
    // SAFETY: rule 2.
    unsafe { envoy_dynamic_module_callback_log(level, Buffer::of(message.as_bytes())) }
}

/// Whether Envoy writes lines of this level.
pub(crate) fn log_enabled(level: c_int) -> bool {
    // SAFETY: no pointers.
    unsafe { envoy_dynamic_module_callback_log_enabled(level) }
}

/// Whether Envoy has a function that changes counters without a stream.
pub(crate) fn counts_without_stream() -> bool {
    newer().increment_counter.is_some()
}

/// Whether Envoy only tries its configuration (`--mode validate`). Call this on the main thread.
pub(crate) fn is_validation() -> bool {
    // SAFETY: no pointers.
    unsafe { envoy_dynamic_module_callback_is_validation_mode() }
}

/// Keeps this library loaded until the process ends: its own thread and its thread-local variables outlive configurations.
fn stay_loaded() {
    let mut found = libc::Dl_info {
        dli_fname: null(),
        dli_fbase: null_mut(),
        dli_sname: null(),
        dli_saddr: null_mut(),
    };
    // SAFETY: the address is of a static of this library, the result a local.
    let is_found = unsafe { libc::dladdr((&raw const ABI_VERSION).cast(), &raw mut found) } != 0;
    if is_found && !found.dli_fname.is_null() {
        // SAFETY: a path of the loader's own. The library is loaded already; its handle is leaked on purpose.
        let handle = unsafe { libc::dlopen(found.dli_fname, libc::RTLD_LAZY | libc::RTLD_NODELETE) };
        if handle.is_null() {
            log(
                3,
                "the module could not be kept loaded: set do_not_close in its configuration",
            );
        }
    }
}

// --- a stream

/// One stream, during one call by Envoy (rule 1). A method takes `&mut self` if it may invalidate an earlier
/// result of Envoy (rule 3).
#[derive(Debug)]
pub(crate) struct Host<'h> {
    filter: *mut c_void,
    call: PhantomData<&'h ()>,
}

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
        // SAFETY: rule 1; Envoy writes as many fields as it has just said that there are.
        let is_read = unsafe {
            envoy_dynamic_module_callback_http_get_headers(self.filter, map as c_int, fields.as_mut_ptr())
        };
        for field in fields.iter().filter(|_| is_read) {
            // SAFETY: rule 3.
            let name = unsafe { field.name.bytes() };
            // SAFETY: rule 3: this handle is borrowed, and there is no other with which `take` could write a field.
            let value = unsafe { field.value.bytes() };
            take(name, value);
        }
        is_read
    }

    /// Makes this the only value of the field. `None` removes every occurrence of the field.
    pub(crate) fn set_header(&mut self, map: Map, name: &[u8], value: Option<&[u8]>) -> bool {
        let value = value.map_or(Buffer::EMPTY, Buffer::of);
        // SAFETY: rules 1 and 2.
        unsafe {
            envoy_dynamic_module_callback_http_set_header(self.filter, map as c_int, Buffer::of(name), value)
        }
    }

    /// Answers in place of the upstream.
    pub(crate) fn send_response(&mut self, status: u16, fields: &[(&str, &str)], body: &[u8], details: &str) {
        let fields: Vec<Field> = fields
            .iter()
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
        // SAFETY: rules 1 and 2; Envoy writes as many keys as it has just said that there are.
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

    /// The most specific configuration: that of the route, of its virtual host, or of all routes.
    pub(crate) fn route_config(&self) -> Option<&RouteConfig> {
        // SAFETY: rule 1.
        let config = unsafe { envoy_dynamic_module_callback_get_most_specific_route_config(self.filter) };
        // SAFETY: rules 3 and 4: the route stays as long as no other is chosen.
        unsafe { config.cast::<RouteConfig>().as_ref() }
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

    /// Adds to a counter.
    pub(crate) fn count(&self, id: MetricId, value: u64) {
        // SAFETY: rule 1; no labels. A number that Envoy does not know is an error that it returns.
        unsafe {
            envoy_dynamic_module_callback_http_filter_increment_counter(self.filter, id.0, null(), 0, value)
        };
    }

    /// Adds to a counter with these values of its labels.
    pub(crate) fn count_labelled(&self, id: LabelledId, labels: &[&str], value: u64) {
        let labels: Vec<Buffer> = labels.iter().map(|label| Buffer::of(label.as_bytes())).collect();
        // SAFETY: rules 1 and 2.
        unsafe {
            envoy_dynamic_module_callback_http_filter_increment_counter(
                self.filter,
                id.0,
                labels.as_ptr(),
                labels.len(),
                value,
            )
        };
    }

    /// Adds a value to a histogram.
    pub(crate) fn record(&self, id: MetricId, value: u64) {
        // SAFETY: rule 1; no labels.
        unsafe {
            envoy_dynamic_module_callback_http_filter_record_histogram_value(
                self.filter,
                id.0,
                null(),
                0,
                value,
            )
        };
    }

    /// Sets a gauge.
    pub(crate) fn set_gauge(&self, id: MetricId, value: u64) {
        // SAFETY: rule 1; no labels.
        unsafe { envoy_dynamic_module_callback_http_filter_set_gauge(self.filter, id.0, null(), 0, value) };
    }
}

/// A handle that wakes a stream (rule 5).
#[derive(Debug)]
pub(crate) struct Scheduler(NonNull<c_void>);

// SAFETY: rule 5.
unsafe impl Send for Scheduler {}
// SAFETY: rule 5: Envoy's own lock is in `commit`.
unsafe impl Sync for Scheduler {}

impl Scheduler {
    /// Lets Envoy call `scheduled` on the stream's own thread.
    pub(crate) fn commit(&self) {
        // SAFETY: rule 5.
        unsafe { envoy_dynamic_module_callback_http_filter_scheduler_commit(self.0.as_ptr(), 0) }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // SAFETY: rule 5; this is the last use.
        unsafe { envoy_dynamic_module_callback_http_filter_scheduler_delete(self.0.as_ptr()) }
    }
}

// --- a configuration

/// One configuration, during one call of Envoy's on its main thread (rule 1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConfigHost<'h> {
    config: *mut c_void,
    call: PhantomData<&'h ()>,
}

impl ConfigHost<'_> {
    /// A handle that calls the configuration from any thread.
    pub(crate) fn scheduler(self) -> Option<ConfigScheduler> {
        // SAFETY: rule 1.
        NonNull::new(unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_new(self.config) })
            .map(ConfigScheduler)
    }

    /// Sends a request without a body. Returns the number of its response.
    pub(crate) fn call(
        self,
        cluster: &str,
        fields: &[(&str, &str)],
        timeout_ms: u64,
    ) -> Result<u64, NotSent> {
        let fields: Vec<Field> = fields
            .iter()
            .map(|(name, value)| Field::of(name.as_bytes(), value.as_bytes()))
            .collect();
        let mut id = 0;
        // SAFETY: rules 1 and 2; the result is a local.
        let outcome = unsafe {
            envoy_dynamic_module_callback_http_filter_config_http_callout(
                self.config,
                &raw mut id,
                Buffer::of(cluster.as_bytes()),
                fields.as_ptr(),
                fields.len(),
                Buffer::EMPTY,
                timeout_ms,
            )
        };
        match outcome {
            0 => Ok(id),
            2 => Err(NotSent::NoCluster),
            _ => Err(NotSent::CannotCreate),
        }
    }

    /// Defines a counter. Only while the configuration is made.
    pub(crate) fn counter(self, name: &str) -> Option<MetricId> {
        let mut id = 0;
        let name = Buffer::of(name.as_bytes());
        // SAFETY: rules 1 and 2; the result is a local.
        let outcome = unsafe {
            envoy_dynamic_module_callback_http_filter_config_define_counter(
                self.config,
                name,
                null(),
                0,
                &raw mut id,
            )
        };
        (outcome == 0).then_some(MetricId(id))
    }

    /// Defines a counter with labels. Only while the configuration is made.
    pub(crate) fn labelled_counter(self, name: &str, labels: &[&str]) -> Option<LabelledId> {
        let mut id = 0;
        let labels: Vec<Buffer> = labels.iter().map(|label| Buffer::of(label.as_bytes())).collect();
        // SAFETY: rules 1 and 2; the result is a local.
        let outcome = unsafe {
            envoy_dynamic_module_callback_http_filter_config_define_counter(
                self.config,
                Buffer::of(name.as_bytes()),
                labels.as_ptr(),
                labels.len(),
                &raw mut id,
            )
        };
        (outcome == 0).then_some(LabelledId(id))
    }

    /// Defines a gauge. Only while the configuration is made.
    pub(crate) fn gauge(self, name: &str) -> Option<MetricId> {
        let mut id = 0;
        let name = Buffer::of(name.as_bytes());
        // SAFETY: rules 1 and 2; the result is a local.
        let outcome = unsafe {
            envoy_dynamic_module_callback_http_filter_config_define_gauge(
                self.config,
                name,
                null(),
                0,
                &raw mut id,
            )
        };
        (outcome == 0).then_some(MetricId(id))
    }

    /// Defines a histogram. Only while the configuration is made.
    pub(crate) fn histogram(self, name: &str) -> Option<MetricId> {
        let mut id = 0;
        let name = Buffer::of(name.as_bytes());
        // SAFETY: rules 1 and 2; the result is a local.
        let outcome = unsafe {
            envoy_dynamic_module_callback_http_filter_config_define_histogram(
                self.config,
                name,
                null(),
                0,
                &raw mut id,
            )
        };
        (outcome == 0).then_some(MetricId(id))
    }

    /// Adds a value to a histogram. Returns false if Envoy has no function for that.
    pub(crate) fn record(self, id: MetricId, value: u64) -> bool {
        newer().record.is_some_and(|change| {
            // SAFETY: rule 1; no labels.
            unsafe { change(self.config, id.0, null(), 0, value) == 0 }
        })
    }

    /// Adds to a counter. Returns false if Envoy has no function for that.
    pub(crate) fn count(self, id: MetricId, value: u64) -> bool {
        newer().increment_counter.is_some_and(|change| {
            // SAFETY: rule 1; no labels.
            unsafe { change(self.config, id.0, null(), 0, value) == 0 }
        })
    }

    /// Adds to a counter with these values of its labels, where [`counts_without_stream`].
    pub(crate) fn count_labelled(self, id: LabelledId, labels: &[&str], value: u64) {
        let Some(change) = newer().increment_counter else {
            return;
        };
        let labels: Vec<Buffer> = labels.iter().map(|label| Buffer::of(label.as_bytes())).collect();
        // SAFETY: rules 1 and 2.
        unsafe { change(self.config, id.0, labels.as_ptr(), labels.len(), value) };
    }

    /// Sets a gauge. Returns false if Envoy has no function for that.
    pub(crate) fn set_gauge(self, id: MetricId, value: u64) -> bool {
        newer().set_gauge.is_some_and(|change| {
            // SAFETY: rule 1; no labels.
            unsafe { change(self.config, id.0, null(), 0, value) == 0 }
        })
    }
}

/// A handle that calls a configuration (rule 5).
#[derive(Debug)]
pub(crate) struct ConfigScheduler(NonNull<c_void>);

// SAFETY: rule 5.
unsafe impl Send for ConfigScheduler {}
// SAFETY: rule 5: Envoy's own lock is in `commit`.
unsafe impl Sync for ConfigScheduler {}

impl ConfigScheduler {
    /// Lets Envoy call `config_scheduled` on the main thread.
    pub(crate) fn commit(&self) {
        // SAFETY: rule 5.
        unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_commit(self.0.as_ptr(), 0) }
    }
}

impl Drop for ConfigScheduler {
    fn drop(&mut self) {
        // SAFETY: rule 5; this is the last use.
        unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_delete(self.0.as_ptr()) }
    }
}

// --- what Envoy calls

/// The version of the interface, with the NUL that ends it.
static ABI_VERSION: &CStr = c"v0.2.0";

/// The module is loaded. On the main thread, once.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    stay_loaded();
    hooks::program_init();
    ABI_VERSION.as_ptr()
}

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
        0 => hooks::CallResult::Answer {
            fields: fields.collect(),
            chunks: chunks.collect(),
        },
        2 => hooks::CallResult::TooLarge,
        _ => hooks::CallResult::Reset,
    };
    // SAFETY: rule 4.
    hooks::config_call_done(host, unsafe { &*filter.cast::<Filter>() }, id, &answer);
}

/// A route's own configuration. Null refuses it.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(
    _name: Buffer,
    text: Buffer,
) -> *const c_void {
    // SAFETY: an argument, valid until this function returns.
    let text = unsafe { text.bytes() };
    // Rule 4.
    hooks::route_config_new(text).map_or(null(), |config| {
        Box::into_raw(Box::new(config)).cast_const().cast()
    })
}

/// Envoy has removed a route's own configuration.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(config: *const c_void) {
    // SAFETY: rule 4: made by `into_raw` above, and given back for the last time.
    drop(unsafe { Box::from_raw(config.cast_mut().cast::<RouteConfig>()) });
}

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
    // SAFETY: rule 4.
    let filter = unsafe { &*filter.cast::<Filter>() };
    // SAFETY: rule 4: counted once more, for the stream.
    unsafe { Arc::increment_strong_count(ptr::from_ref(filter)) };
    // SAFETY: the count that was added above.
    let filter = unsafe { Arc::from_raw(ptr::from_ref(filter)) };
    Box::into_raw(Box::new(hooks::stream_new(&host, filter)))
        .cast_const()
        .cast()
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
    // SAFETY: rule 4.
    run(&mut host, unsafe { &*stream.cast::<Stream>() })
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
    hooks::stream_destroy(unsafe { Box::from_raw(stream.cast_mut().cast::<Stream>()) });
}

// Functions that Envoy requires of every module, and that this module does not use. The result 0 lets the
// bytes pass.

/// A part of the response's body.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    _: *mut c_void,
    _: *const c_void,
    _: bool,
) -> c_int {
    0
}

/// The response's trailer fields.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(
    _: *mut c_void,
    _: *const c_void,
) -> c_int {
    0
}

/// The answer to a stream's own request: none is sent.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_callout_done(
    _: *mut c_void,
    _: *const c_void,
    _: u64,
    _: c_int,
    _: *const Field,
    _: usize,
    _: *const Buffer,
    _: usize,
) {
}

/// Callbacks of streams to other services. The module opens none.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_headers(
    _: *mut c_void,
    _: *const c_void,
    _: u64,
    _: *const Field,
    _: usize,
    _: bool,
) {
}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_data(
    _: *mut c_void,
    _: *const c_void,
    _: u64,
    _: *const Buffer,
    _: usize,
    _: bool,
) {
}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_trailers(
    _: *mut c_void,
    _: *const c_void,
    _: u64,
    _: *const Field,
    _: usize,
) {
}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_complete(
    _: *mut c_void,
    _: *const c_void,
    _: u64,
) {
}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_reset(
    _: *mut c_void,
    _: *const c_void,
    _: u64,
    _: c_int,
) {
}

/// The client reads slowly.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
    _: *mut c_void,
    _: *const c_void,
) {
}

/// The client reads again.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
    _: *mut c_void,
    _: *const c_void,
) {
}
