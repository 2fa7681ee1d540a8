//! What a stream remembers from one event to the next.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use proxy_wasm_jwt::authenticator::Allowed;
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::time::UnixTime;

use crate::binding::Host;
use crate::filter::Filter;
use crate::worker::{self, Held, Worker};

/// The progress of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The engine has not decided, or the request waits.
    Held,
    /// Envoy forwards it to the upstream.
    Forwarded,
    /// The module has answered it.
    Answered,
}

/// A request. Envoy calls its hooks from within its own callbacks too: nothing may be borrowed during those.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(super) filter: Arc<Filter>,
    /// `None` if this thread could not read the configuration: then no request passes.
    pub(super) worker: Option<Rc<Worker>>,
    pub(super) stream_id: u32,
    pub(super) progress: Cell<Progress>,
    pub(super) held: RefCell<Option<Rc<Held>>>,
    /// The request as its client sent it, if it may still take another route.
    pub(super) request: RefCell<Option<RequestHead>>,
    /// The decision that allowed it, and its time.
    pub(super) forward: RefCell<Option<(Rc<Allowed>, UnixTime)>>,
}

impl Stream {
    pub(crate) fn new(host: &Host<'_>, filter: Arc<Filter>) -> Self {
        let worker = worker::of_this_thread(&filter, host);
        Self {
            stream_id: worker.as_ref().map_or(0, |worker| worker.next_stream()),
            filter,
            worker,
            progress: Cell::new(Progress::Held),
            held: RefCell::default(),
            request: RefCell::default(),
            forward: RefCell::default(),
        }
    }

    /// A stream that refuses every request.
    pub(crate) fn broken(filter: Arc<Filter>) -> Self {
        Self {
            stream_id: 0,
            filter,
            worker: None,
            progress: Cell::new(Progress::Held),
            held: RefCell::default(),
            request: RefCell::default(),
            forward: RefCell::default(),
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.get()
    }

    /// The stream no longer waits for keys.
    pub(super) fn end_wait(&self) {
        if let Some(held) = self.held.take() {
            self.filter.end_wait(held.wait_id);
        }
    }
}
