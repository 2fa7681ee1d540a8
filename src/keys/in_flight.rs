//! A fetch in progress.

use std::time::Duration;

use super::fetch::{Document, FetchId};
use crate::time::UnixTime;

/// A fetch in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) id: FetchId,
    /// The document of the last request.
    pub(super) document: Document,
    /// Whether the discovery document was requested from its second address.
    pub(super) is_fallback: bool,
    /// The time of the last request.
    pub(super) asked_at: UnixTime,
    pub(super) timeout: Duration,
    pub(super) deadline: UnixTime,
    pub(super) holder: u64,
    /// The pause that the last response requests, if it has no keys.
    pub(super) pause: Duration,
}
