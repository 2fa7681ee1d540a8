//! A fetch under way.

use std::time::Duration;

use super::fetch::{Document, FetchId};
use crate::time::UnixTime;

/// A fetch under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) id: FetchId,
    /// What was asked for last.
    pub(super) document: Document,
    /// Whether the discovery document was asked for at its second address.
    pub(super) is_fallback: bool,
    /// When that was.
    pub(super) asked_at: UnixTime,
    pub(super) timeout: Duration,
    pub(super) deadline: UnixTime,
    pub(super) holder: u64,
    /// How long the last answer asks to be left alone, where it gave no keys.
    pub(super) pause: Duration,
}
