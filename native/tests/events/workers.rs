//! Threads of workers that share a configuration of the main thread.

use std::cell::RefCell;
use std::ffi::c_void;
use std::sync::atomic::Ordering;

use crate::envoy::{Buffer, Config, Field, SCHEDULERS, Stream};

use super::chance::Chance;
use super::exports::*;
use super::issuer::{issuer, keys};
use super::open::Open;
use super::{CONFIG, World, config_pointer, new_filter, text};

/// A configuration, on the main thread.
pub(crate) struct Main {
    config: Box<Config>,
    filter: *const c_void,
}

impl Main {
    fn new(text: &str) -> Self {
        assert!(!envoy_dynamic_module_on_program_init().is_null());
        let config = Box::new(Config::default());
        let filter = new_filter(&config, text.as_bytes());
        assert!(!filter.is_null(), "{text}");
        Self { config, filter }
    }

    pub(crate) fn with_remote_keys(path: &str) -> Self {
        let text = CONFIG
            .replace("CLUSTER", "idp")
            .replace("/jwks", &format!("/{path}"));
        Self::new(&text)
    }

    pub(crate) fn with_local_keys() -> Self {
        let text = CONFIG.replace("CLUSTER", "idp");
        let (before, source) = text.split_once(r#""remote_jwks""#).expect("a source of keys");
        let (_, after) = source.split_once('\n').expect("a line");
        let local = format!(r#""local_jwks": {{"inline_string": {:?}}},"#, keys());
        Self::new(&[before, &local, "\n", after].concat())
    }

    /// Lets the main thread fetch, and answers.
    pub(crate) fn fetch(&self) {
        envoy_dynamic_module_on_http_filter_config_scheduled(config_pointer(&self.config), self.filter, 0);
        let id = self.config.calls.borrow_mut().pop().expect("a request for keys");
        let status = Field {
            name: Buffer::of(b":status"),
            value: Buffer::of(b"200"),
        };
        let body = Buffer::of(keys().as_bytes());
        envoy_dynamic_module_on_http_filter_config_http_callout_done(
            config_pointer(&self.config),
            self.filter,
            id,
            0,
            &raw const status,
            1,
            &raw const body,
            1,
        );
    }

    pub(crate) fn end(self) {
        envoy_dynamic_module_on_http_filter_config_destroy(self.filter);
    }
}

/// A worker thread's view of a configuration.
pub(crate) struct Worker {
    filter: Crossing,
    number: u32,
}

impl Worker {
    pub(crate) fn new(main: &Main, number: u32) -> Self {
        Self {
            filter: Crossing(main.filter),
            number,
        }
    }

    /// Each good token passes. The filter refuses every other token, and a token that another issuer's key
    /// has signed.
    pub(crate) fn decide_each_token(&self) {
        for (index, token) in issuer().tokens.iter().enumerate() {
            let envoy = Box::new(Stream {
                headers: RefCell::new(vec![
                    (b":method".to_vec(), b"GET".to_vec()),
                    (b":path".to_vec(), b"/".to_vec()),
                    (b"authorization".to_vec(), format!("Bearer {token}").into_bytes()),
                ]),
                worker: self.number,
                ..Stream::default()
            });
            let stream = Open::pointer(&envoy);
            let ours = envoy_dynamic_module_on_http_filter_new(self.filter.get(), stream);
            let status = envoy_dynamic_module_on_http_filter_request_headers(stream, ours, true);
            envoy.take_back();
            // The first three are good, the key of the fourth is not published, the fifth is over.
            match index {
                0..=2 => assert_eq!(status, 0, "token {index}"),
                3 => assert!(status == 1 || status == 4, "token {index}: {status}"),
                _ => assert_eq!(status, 1, "token {index}"),
            }
            envoy_dynamic_module_on_http_filter_destroy(ours);
            envoy.take_back();
        }
    }
}

/// A pointer that goes to another thread, as Envoy's own do.
#[derive(Clone, Copy)]
struct Crossing(*const c_void);

unsafe impl Send for Crossing {}
unsafe impl Sync for Crossing {}

impl Crossing {
    fn get(self) -> *const c_void {
        self.0
    }
}

/// Streams on many threads, while the main thread fetches and the configuration ends.
pub(crate) fn run_workers(workers: u32, events: usize) {
    assert!(!envoy_dynamic_module_on_program_init().is_null());
    let config = Box::new(Config::default());
    let filter = new_filter(&config, text("idp", u64::MAX).as_bytes());
    assert!(!filter.is_null());
    let threads: Vec<_> = (0..workers)
        .map(|worker| {
            let filter = Crossing(filter);
            std::thread::spawn(move || {
                let mut chance = Chance::new(u64::from(worker) + 7);
                let mut open: Vec<Open> = Vec::new();
                for _ in 0..events {
                    match chance.below(4) {
                        0 if open.len() < 8 => open.push(Open::new(filter.get(), worker, &mut chance, None)),
                        1 if !open.is_empty() => {
                            let index = chance.below(open.len());
                            open.swap_remove(index).close(&mut chance);
                        }
                        _ if !open.is_empty() => {
                            let index = chance.below(open.len());
                            open[index].event(&mut chance);
                        }
                        _ => {}
                    }
                }
                for open in open {
                    open.close(&mut chance);
                }
            })
        })
        .collect();
    let world = World {
        config,
        filter,
        open: Vec::new(),
    };
    let mut chance = Chance::new(99);
    while threads.iter().any(|thread| !thread.is_finished()) {
        envoy_dynamic_module_on_http_filter_config_scheduled(config_pointer(&world.config), filter, 0);
        world.answer(&mut chance);
        std::thread::yield_now();
    }
    for thread in threads {
        thread.join().expect("a worker without a fault");
    }
    let before = SCHEDULERS.load(Ordering::SeqCst);
    envoy_dynamic_module_on_http_filter_config_destroy(filter);
    assert!(
        SCHEDULERS.load(Ordering::SeqCst) < before,
        "the configuration's scheduler was deleted"
    );
}
