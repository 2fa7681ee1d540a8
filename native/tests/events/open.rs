//! A stream that is open, and what must hold after each of its events.

use std::cell::RefCell;
use std::ffi::c_void;

use crate::envoy::Stream;

use super::chance::Chance;
use super::exports::*;
use super::reached::{REACHED, note};

/// A stream and the module's part of it.
pub(super) struct Open {
    envoy: Box<Stream>,
    ours: *const c_void,
    has_headers: bool,
}

impl Open {
    pub(super) fn new(
        filter: *const c_void,
        worker: u32,
        chance: &mut Chance<'_>,
        route: Option<*const c_void>,
    ) -> Self {
        let metadata = match chance.below(4) {
            0 => vec![(b"requirement_name".to_vec(), Some(chance.spoiled("corp")))],
            1 => vec![
                (b"requirement_name".to_vec(), None),
                (b"other".to_vec(), Some(Vec::new())),
            ],
            _ => Vec::new(),
        };
        let envoy = Box::new(Stream {
            headers: RefCell::new(chance.headers()),
            trailers: RefCell::new(vec![
                (b"x-jwt-sub".to_vec(), chance.bytes()),
                (b"t".to_vec(), Vec::new()),
            ]),
            route: RefCell::new(route.filter(|_| chance.below(4) == 0)),
            metadata: RefCell::new(metadata),
            worker,
            has_no_scheduler: chance.below(16) == 0,
            ..Stream::default()
        });
        let ours = envoy_dynamic_module_on_http_filter_new(filter, Self::pointer(&envoy));
        assert!(!ours.is_null(), "older Envoys go on with a null");
        envoy.ours.set(Some(ours));
        Self {
            envoy,
            ours,
            has_headers: false,
        }
    }

    pub(super) fn pointer(envoy: &Stream) -> *mut c_void {
        std::ptr::from_ref(envoy).cast_mut().cast()
    }

    fn stream(&self) -> *mut c_void {
        Self::pointer(&self.envoy)
    }

    /// The conditions that hold after each hook.
    fn check(&self) {
        self.envoy.take_back();
        let (responses, resumed) = (self.envoy.responses.borrow().len(), *self.envoy.resumed.borrow());
        assert!(responses <= 1, "answered twice");
        assert!(resumed <= 1, "resumed twice");
        assert!(responses == 0 || resumed == 0, "answered and resumed");
    }

    /// Decides what Envoy does within the next call of the module.
    fn prepare(&self, chance: &mut Chance<'_>) {
        self.envoy.within.set(match chance.below(4) {
            0 => Some(continue_within),
            1 => Some(end_within),
            _ => None,
        });
    }

    pub(super) fn event(&mut self, chance: &mut Chance<'_>) {
        if self.envoy.has_ended.get() {
            return;
        }
        if !self.has_headers {
            self.has_headers = true;
            let status = envoy_dynamic_module_on_http_filter_request_headers(self.stream(), self.ours, false);
            self.check();
            let answered = !self.envoy.responses.borrow().is_empty();
            match status {
                0 => {
                    note(&REACHED.forwarded);
                    assert!(!answered);
                    // The client's own values under the filter's names are gone; `s` is the subject of the
                    // token.
                    let fields = self.envoy.headers.borrow();
                    let is_forged = |(name, value): &(Vec<u8>, Vec<u8>)| {
                        name == b"X_Jwt_Sub" || (name.eq_ignore_ascii_case(b"x-jwt-sub") && value != b"s")
                    };
                    assert!(!fields.iter().any(is_forged), "{fields:?}");
                }
                1 => {
                    note(&REACHED.refused);
                    assert!(answered);
                }
                4 => {
                    note(&REACHED.held);
                    assert!(!answered);
                }
                _ => panic!("status {status}"),
            }
            return;
        }
        let is_over = !self.envoy.responses.borrow().is_empty();
        match chance.below(10) {
            0 => {
                let status =
                    envoy_dynamic_module_on_http_filter_request_body(self.stream(), self.ours, false);
                assert!((0..=3).contains(&status));
                assert!(status != 0 || !is_over, "the body of an answered request goes on");
            }
            1 => {
                let status = envoy_dynamic_module_on_http_filter_request_trailers(self.stream(), self.ours);
                assert!((0..=1).contains(&status));
                let trailers = self.envoy.trailers.borrow();
                assert!(!trailers.iter().any(|(name, _)| name == b"x-jwt-sub"));
            }
            2 if !is_over => {
                self.prepare(chance);
                envoy_dynamic_module_on_http_filter_response_headers(self.stream(), self.ours, false);
            }
            3 => {
                envoy_dynamic_module_on_http_filter_response_body(self.stream(), self.ours, true);
                envoy_dynamic_module_on_http_filter_response_trailers(self.stream(), self.ours);
            }
            _ => {
                self.prepare(chance);
                let before = (self.envoy.responses.borrow().len(), *self.envoy.resumed.borrow());
                envoy_dynamic_module_on_http_filter_scheduled(self.stream(), self.ours, chance.next());
                let after = (self.envoy.responses.borrow().len(), *self.envoy.resumed.borrow());
                match (after.0 > before.0, after.1 > before.1) {
                    (true, _) => note(&REACHED.refused_later),
                    (false, true) => note(&REACHED.resumed),
                    (false, false) => {}
                }
            }
        }
        self.envoy.within.set(None);
        self.check();
    }

    pub(super) fn close(self, chance: &mut Chance<'_>) {
        if self.envoy.has_ended.get() {
            return;
        }
        if chance.below(2) == 0 {
            envoy_dynamic_module_on_http_filter_stream_complete(self.stream(), self.ours);
        }
        envoy_dynamic_module_on_http_filter_destroy(self.ours);
        self.check();
    }
}

/// The filters behind this one take the request, and the upstream responds, while the module still waits for
/// its call to return.
fn continue_within(envoy: &Stream, is_answered: bool) {
    let (stream, ours) = (Open::pointer(envoy), envoy.ours.get().expect("a stream"));
    if !is_answered {
        let status = envoy_dynamic_module_on_http_filter_request_body(stream, ours, false);
        assert_eq!(status, 0, "the body of a request that continues");
        envoy_dynamic_module_on_http_filter_request_trailers(stream, ours);
        envoy_dynamic_module_on_http_filter_response_headers(stream, ours, true);
    }
}

/// The same, and the stream ends: Envoy gives the module its part back.
fn end_within(envoy: &Stream, is_answered: bool) {
    continue_within(envoy, is_answered);
    let (stream, ours) = (Open::pointer(envoy), envoy.ours.get().expect("a stream"));
    envoy_dynamic_module_on_http_filter_stream_complete(stream, ours);
    envoy_dynamic_module_on_http_filter_destroy(ours);
    envoy.has_ended.set(true);
    note(&REACHED.ended_within);
}
