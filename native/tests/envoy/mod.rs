//! The callbacks that Envoy exports, with the least behind them that the interface promises.

use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_int, c_void};
use std::io::Write as _;
use std::ptr::{null, null_mut};
use std::slice;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Buffer {
    pub(crate) pointer: *const c_char,
    pub(crate) length: usize,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Field {
    pub(crate) name: Buffer,
    pub(crate) value: Buffer,
}

impl Buffer {
    pub(crate) const EMPTY: Self = Self {
        pointer: null(),
        length: 0,
    };

    pub(crate) const fn of(bytes: &[u8]) -> Self {
        Self {
            pointer: bytes.as_ptr().cast(),
            length: bytes.len(),
        }
    }

    /// Reads every byte, which a sanitizer watches.
    fn read(self) -> Vec<u8> {
        if self.pointer.is_null() {
            assert_eq!(self.length, 0, "a null pointer with a length");
            return Vec::new();
        }
        unsafe { slice::from_raw_parts(self.pointer.cast::<u8>(), self.length) }.to_vec()
    }
}

pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A key of the dynamic metadata and the value that it was given, if any.
pub(crate) type Metadata = (Vec<u8>, Option<Vec<u8>>);

/// What Envoy does within a call of the module that answers a request (`true`) or lets it continue.
pub(crate) type Within = fn(&Stream, bool);

/// A stream as this Envoy has it.
#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) headers: RefCell<Fields>,
    pub(crate) trailers: RefCell<Fields>,
    pub(crate) responses: RefCell<Vec<u32>>,
    pub(crate) resumed: RefCell<u32>,
    pub(crate) route: RefCell<Option<*const c_void>>,
    pub(crate) metadata: RefCell<Vec<Metadata>>,
    pub(crate) worker: u32,
    /// The module's part of it.
    pub(crate) ours: Cell<Option<*const c_void>>,
    /// Done once, within the next such call.
    pub(crate) within: Cell<Option<Within>>,
    /// The module must not call anything with the stream any more.
    pub(crate) has_ended: Cell<bool>,
    /// Envoy has no scheduler for it.
    pub(crate) has_no_scheduler: bool,
    /// Results that the module may read until the hook returns.
    pub(crate) lent: RefCell<Vec<Vec<u8>>>,
}

impl Stream {
    /// Frees what was handed out: the hook has returned, or the map was written.
    pub(crate) fn take_back(&self) {
        for mut bytes in self.lent.borrow_mut().drain(..) {
            bytes.fill(b'#');
        }
    }

    /// Goes on within a call of the module.
    fn go_on(&self, is_answered: bool) {
        if let Some(run) = self.within.take() {
            run(self, is_answered);
        }
    }

    fn lend(&self, bytes: &[u8]) -> Buffer {
        let copy = bytes.to_vec();
        let buffer = Buffer::of(&copy);
        self.lent.borrow_mut().push(copy);
        buffer
    }

    fn map(&self, map: c_int) -> &RefCell<Fields> {
        match map {
            0 => &self.headers,
            1 => &self.trailers,
            _ => panic!("the module reads map {map}"),
        }
    }
}

/// Schedulers that are not deleted yet.
pub(crate) static SCHEDULERS: AtomicUsize = AtomicUsize::new(0);

/// Requests for keys that a configuration has sent.
#[derive(Default)]
pub(crate) struct Config {
    pub(crate) calls: RefCell<Vec<u64>>,
    /// The module's part of it.
    pub(crate) ours: Cell<Option<*const c_void>>,
    /// What Envoy does within a request for keys that it cannot send.
    pub(crate) within: Cell<Option<fn(&Self)>>,
    last_call: RefCell<u64>,
    /// Results that the module may read until the hook returns.
    lent: RefCell<Vec<Vec<u8>>>,
}

impl Config {
    /// Frees what was handed out: the hook has returned.
    pub(crate) fn take_back(&self) {
        for mut bytes in self.lent.borrow_mut().drain(..) {
            bytes.fill(b'#');
        }
    }
}

fn stream<'s>(stream: *mut c_void) -> &'s Stream {
    let stream = unsafe { &*stream.cast::<Stream>() };
    assert!(!stream.has_ended.get(), "a call with a stream that has ended");
    stream
}

fn write(to: *mut Buffer, value: Buffer) {
    unsafe { *to = value };
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_log(level: c_int, message: Buffer) {
    assert!((0..=5).contains(&level));
    let text = String::from_utf8(message.read()).expect("a line of text");
    if text.contains("a fault of the module") {
        // The thread is panicking already, so a second panic would hide the first.
        let _ = std::io::stderr().write_all(text.as_bytes());
        std::process::abort();
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_log_enabled(_: c_int) -> bool {
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_is_validation_mode() -> bool {
    false
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_get_header(
    filter: *mut c_void,
    map: c_int,
    name: Buffer,
    value: *mut Buffer,
    index: usize,
    count: *mut usize,
) -> bool {
    let (stream, name) = (stream(filter), name.read());
    let fields = stream.map(map).borrow();
    let values: Vec<&[u8]> = fields
        .iter()
        .filter(|(known, _)| known.eq_ignore_ascii_case(&name))
        .map(|(_, value)| value.as_slice())
        .collect();
    unsafe { *count = values.len() };
    let Some(found) = values.get(index) else {
        return false;
    };
    write(value, stream.lend(found));
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_get_headers_size(filter: *mut c_void, map: c_int) -> usize {
    stream(filter).map(map).borrow().len()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_get_headers(
    filter: *mut c_void,
    map: c_int,
    fields: *mut Field,
) -> bool {
    let stream = stream(filter);
    for (index, (name, value)) in stream.map(map).borrow().iter().enumerate() {
        let field = Field {
            name: stream.lend(name),
            value: stream.lend(value),
        };
        unsafe { *fields.add(index) = field };
    }
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_set_header(
    filter: *mut c_void,
    map: c_int,
    name: Buffer,
    value: Buffer,
) -> bool {
    let (stream, name) = (stream(filter), name.read());
    let is_removed = value.pointer.is_null();
    let value = value.read();
    // From here on, earlier results for this map may be invalid.
    stream.take_back();
    let mut fields = stream.map(map).borrow_mut();
    fields.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
    if !is_removed {
        fields.push((name, value));
    }
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_add_header(
    filter: *mut c_void,
    map: c_int,
    name: Buffer,
    value: Buffer,
) -> bool {
    let (stream, name, value) = (stream(filter), name.read(), value.read());
    stream.take_back();
    stream.map(map).borrow_mut().push((name, value));
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_send_response(
    filter: *mut c_void,
    status: u32,
    fields: *const Field,
    count: usize,
    body: Buffer,
    details: Buffer,
) {
    let stream = stream(filter);
    assert!((200..600).contains(&status));
    for index in 0..count {
        let field = unsafe { *fields.add(index) };
        let (name, value) = (field.name.read(), field.value.read());
        assert!(!name.is_empty() && !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
    body.read();
    assert!(details.read().starts_with(b"jwt_"));
    stream.responses.borrow_mut().push(status);
    stream.take_back();
    stream.go_on(true);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_clear_route_cache(filter: *mut c_void) {
    stream(filter).take_back();
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_get_metadata_keys_count(
    filter: *mut c_void,
    _: c_int,
    namespace: Buffer,
) -> usize {
    assert_eq!(namespace.read(), b"proxy-wasm-jwt");
    stream(filter).metadata.borrow().len()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_get_metadata_keys(
    filter: *mut c_void,
    _: c_int,
    _: Buffer,
    keys: *mut Buffer,
) -> bool {
    let stream = stream(filter);
    for (index, (key, _)) in stream.metadata.borrow().iter().enumerate() {
        unsafe { *keys.add(index) = stream.lend(key) };
    }
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_get_metadata_string(
    filter: *mut c_void,
    _: c_int,
    _: Buffer,
    key: Buffer,
    value: *mut Buffer,
) -> bool {
    let (stream, key) = (stream(filter), key.read());
    let metadata = stream.metadata.borrow();
    let found = metadata.iter().find(|(known, _)| *known == key);
    let Some((_, Some(text))) = found else {
        return false;
    };
    write(value, stream.lend(text));
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_set_filter_state_bytes(
    _: *mut c_void,
    key: Buffer,
    value: Buffer,
) -> bool {
    assert!(key.read().starts_with(b"wasm.jwt."));
    value.read();
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_get_filter_state_bytes(
    _: *mut c_void,
    _: Buffer,
    _: *mut Buffer,
) -> bool {
    false
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_get_filter_state_typed(
    filter: *mut c_void,
    key: Buffer,
    value: *mut Buffer,
) -> bool {
    write(value, stream(filter).lend(&key.read()));
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_get_attribute_string(
    filter: *mut c_void,
    attribute: c_int,
    value: *mut Buffer,
) -> bool {
    let text: &[u8] = match attribute {
        24 => b"192.0.2.1:443",
        38 => b"",
        _ => panic!("the module asks for attribute {attribute}"),
    };
    write(value, stream(filter).lend(text));
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_get_worker_index(filter: *mut c_void) -> u32 {
    stream(filter).worker
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_get_most_specific_route_config(
    filter: *mut c_void,
) -> *const c_void {
    stream(filter).route.borrow().unwrap_or(null())
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_continue_decoding(filter: *mut c_void) {
    let stream = stream(filter);
    *stream.resumed.borrow_mut() += 1;
    stream.go_on(false);
}

/// A scheduler is a box, so that a sanitizer sees it used after it was deleted.
fn scheduler_new() -> *mut c_void {
    SCHEDULERS.fetch_add(1, Ordering::SeqCst);
    Box::into_raw(Box::new(AtomicUsize::new(0))).cast()
}

fn scheduler_commit(scheduler: *mut c_void) {
    unsafe { &*scheduler.cast::<AtomicUsize>() }.fetch_add(1, Ordering::SeqCst);
}

fn scheduler_delete(scheduler: *mut c_void) {
    SCHEDULERS.fetch_sub(1, Ordering::SeqCst);
    drop(unsafe { Box::from_raw(scheduler.cast::<AtomicUsize>()) });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_scheduler_new(filter: *mut c_void) -> *mut c_void {
    match stream(filter).has_no_scheduler {
        true => null_mut(),
        false => scheduler_new(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_scheduler_commit(scheduler: *mut c_void, _: u64) {
    scheduler_commit(scheduler);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_scheduler_delete(scheduler: *mut c_void) {
    scheduler_delete(scheduler);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_config_scheduler_new(_: *mut c_void) -> *mut c_void {
    scheduler_new()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_config_scheduler_commit(
    scheduler: *mut c_void,
    _: u64,
) {
    scheduler_commit(scheduler);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler: *mut c_void) {
    scheduler_delete(scheduler);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_config_http_callout(
    config: *mut c_void,
    id: *mut u64,
    cluster: Buffer,
    fields: *const Field,
    count: usize,
    body: Buffer,
    timeout: u64,
) -> c_int {
    let config = unsafe { &*config.cast::<Config>() };
    assert!(timeout > 0 && body.read().is_empty());
    let names: Vec<Vec<u8>> = (0..count)
        .map(|index| unsafe { *fields.add(index) }.name.read())
        .collect();
    for needed in [&b":method"[..], b":path", b":authority"] {
        assert!(names.iter().any(|name| name == needed));
    }
    match cluster.read().as_slice() {
        b"absent" => 2,
        b"full" => {
            if let Some(run) = config.within.get() {
                run(config);
            }
            4
        }
        _ => {
            let mut last = config.last_call.borrow_mut();
            *last += 1;
            config.calls.borrow_mut().push(*last);
            unsafe { *id = *last };
            0
        }
    }
}

fn define(name: Buffer, labels: *const Buffer, count: usize, id: *mut usize) -> c_int {
    static LAST: AtomicUsize = AtomicUsize::new(1);
    assert!(name.read().starts_with(b"jwt."));
    for index in 0..count {
        assert!(!unsafe { *labels.add(index) }.read().is_empty());
    }
    unsafe { *id = LAST.fetch_add(1, Ordering::Relaxed) };
    0
}

/// The three callbacks that define a metric.
macro_rules! defines {
    ($($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name(
                _: *mut c_void,
                name: Buffer,
                labels: *const Buffer,
                count: usize,
                id: *mut usize,
            ) -> c_int {
                define(name, labels, count, id)
            }
        )*
    };
}

defines! {
    envoy_dynamic_module_callback_http_filter_config_define_counter
    envoy_dynamic_module_callback_http_filter_config_define_gauge
    envoy_dynamic_module_callback_http_filter_config_define_histogram
}

/// The two callbacks that pass a value to a metric without labels.
macro_rules! take_values {
    ($($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name(filter: *mut c_void, id: usize, _: *const Buffer, count: usize, _: u64) -> c_int {
                assert!(id > 0 && count == 0);
                stream(filter);
                0
            }
        )*
    };
}

take_values! {
    envoy_dynamic_module_callback_http_filter_record_histogram_value
    envoy_dynamic_module_callback_http_filter_set_gauge
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_increment_counter(
    filter: *mut c_void,
    id: usize,
    labels: *const Buffer,
    count: usize,
    value: u64,
) -> c_int {
    assert!(id > 0 && value > 0);
    stream(filter);
    for index in 0..count {
        assert!(!unsafe { *labels.add(index) }.read().is_empty());
    }
    0
}

// --- functions that the module looks up by name

/// How often each of them was called: a test that reaches none of them proves nothing.
pub(crate) static NEWER: [AtomicUsize; 5] = [const { AtomicUsize::new(0) }; 5];

/// The secret that this Envoy has. Empty before it has arrived.
pub(crate) static SECRET: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn config<'c>(config: *mut c_void) -> &'c Config {
    unsafe { &*config.cast::<Config>() }
}

/// The three callbacks that change a metric without a stream.
macro_rules! change_metrics {
    ($($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name(
                handle: *mut c_void,
                id: usize,
                labels: *const Buffer,
                count: usize,
                _: u64,
            ) -> c_int {
                assert!(id > 0);
                config(handle);
                for index in 0..count {
                    assert!(!unsafe { *labels.add(index) }.read().is_empty());
                }
                NEWER[0].fetch_add(1, Ordering::Relaxed);
                0
            }
        )*
    };
}

change_metrics! {
    envoy_dynamic_module_callback_http_filter_config_increment_counter
    envoy_dynamic_module_callback_http_filter_config_set_gauge
    envoy_dynamic_module_callback_http_filter_config_record_histogram_value
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_set_dynamic_metadata_struct(
    filter: *mut c_void,
    namespace: Buffer,
    message: Buffer,
) {
    stream(filter);
    assert_eq!(namespace.read(), b"envoy.filters.http.jwt_authn");
    // A map's entry is a message in field 1.
    assert_eq!(message.read().first(), Some(&0x0a));
    NEWER[1].fetch_add(1, Ordering::Relaxed);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_config_generic_secret_subscribe(
    handle: *mut c_void,
    name: Buffer,
    source: Buffer,
) -> usize {
    assert!(
        config(handle).ours.get().is_none(),
        "only while the configuration is made"
    );
    assert!(source.pointer.is_null() || source.read().starts_with(b"{"));
    NEWER[2].fetch_add(1, Ordering::Relaxed);
    usize::from(name.read().starts_with(b"nonces"))
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_config_get_generic_secret(
    handle: *mut c_void,
    id: usize,
    value: *mut Buffer,
) -> bool {
    assert_eq!(id, 1);
    NEWER[3].fetch_add(1, Ordering::Relaxed);
    let secret = SECRET.lock().unwrap().clone();
    let is_there = !secret.is_empty();
    write(value, Buffer::of(&secret));
    config(handle).lent.borrow_mut().push(secret);
    is_there
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_get_generic_secret(
    filter: *mut c_void,
    id: usize,
    value: *mut Buffer,
) -> bool {
    assert_eq!(id, 1);
    NEWER[4].fetch_add(1, Ordering::Relaxed);
    let secret = SECRET.lock().unwrap().clone();
    write(value, stream(filter).lend(&secret));
    !secret.is_empty()
}
