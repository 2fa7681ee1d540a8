//! A request that Envoy holds, as its stream and the filter share it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::authenticator::Allowed;
use crate::time::UnixTime;

/// The progress of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The engine has not decided, or the request waits.
    Held,
    /// Envoy forwards the request to the upstream.
    Forwarded,
    /// The filter has answered it.
    Answered,
}

/// A request that waits. The filter writes its decision here.
pub(super) struct Held {
    /// The beginning of its wait.
    pub(super) since: UnixTime,
    pub(super) progress: Cell<Progress>,
    /// The decision that allowed the request, and its time.
    pub(super) allowed: RefCell<Option<(Rc<Allowed>, UnixTime)>>,
}

impl Held {
    pub(super) fn since(since: UnixTime) -> Self {
        Self {
            since,
            progress: Cell::new(Progress::Held),
            allowed: RefCell::default(),
        }
    }
}
