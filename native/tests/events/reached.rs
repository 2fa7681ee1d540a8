//! What the runs have reached.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::envoy::NEWER;

/// The events of all runs: a test that reaches none of them proves nothing.
#[derive(Default)]
pub(crate) struct Reached {
    pub(super) forwarded: AtomicUsize,
    pub(super) refused: AtomicUsize,
    pub(super) held: AtomicUsize,
    pub(super) resumed: AtomicUsize,
    pub(super) refused_later: AtomicUsize,
    pub(super) answers: AtomicUsize,
    pub(super) ended_within: AtomicUsize,
}

pub(crate) static REACHED: LazyLock<Reached> = LazyLock::new(Reached::default);

impl Reached {
    /// Each of them, often.
    pub(crate) fn check(&self) {
        for (what, count) in [
            ("forwarded", &self.forwarded),
            ("refused", &self.refused),
            ("held", &self.held),
            ("resumed", &self.resumed),
            ("refused after a wait", &self.refused_later),
            ("answers to fetches", &self.answers),
            ("ended within a call", &self.ended_within),
        ] {
            let count = count.load(Ordering::Relaxed);
            assert!(count >= 3, "{what}: {count}");
        }
        for (index, count) in NEWER.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            assert!(count >= 3, "function {index} that the module looks up: {count}");
        }
    }
}

pub(super) fn note(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}
