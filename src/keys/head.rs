//! The record in shared data that every worker of a process sees of a key source.
//!
//! Written with compare-and-swap only. The keys themselves stand beside it under a name of their own and are read only
//! when `version` has moved.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::UnixTime;

/// What the process knows of a key source. Times are milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Head {
    /// Another number for every other set of keys; 0: there are none yet.
    pub(super) version: u64,
    /// When the request was sent whose answer the keys are.
    pub(super) asked_at: u64,
    /// When the keys are to be fetched anew.
    pub(super) refresh_at: u64,
    /// When the keys stop being fresh.
    pub(super) expires_at: u64,
    /// When the keys stop serving.
    pub(super) stale_until: u64,
    /// The document's entity tag (RFC 9110 section 8.8.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    /// Who fetches now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lease: Option<Lease>,
    /// Fetches that failed since the last good one.
    pub(super) failures: u32,
    /// Before this no fetch but for an unknown `kid`.
    pub(super) retry_at: u64,
    /// When the last fetches for an unknown `kid` began.
    pub(super) kid_fetches: [u64; 2],
}

/// The right to fetch, until a deadline: a holder that dies is replaced by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    /// A number that no other holder has.
    pub(super) holder: u64,
    /// Until when.
    pub(super) until: u64,
}

impl Head {
    /// Reads a record; one that cannot be read is as good as none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn is_leased(&self, now: UnixTime) -> bool {
        self.lease.is_some_and(|lease| lease.until > now.as_millis())
    }

    pub(super) fn serves(&self, now: UnixTime) -> bool {
        self.version != 0 && now.as_millis() < self.stale_until
    }

    /// Whether an unknown `kid` may cause a fetch: two of them in a window.
    pub(super) fn has_kid_budget(&self, window: Duration, now: UnixTime) -> bool {
        let since = now.before(window).as_millis();
        self.kid_fetches
            .iter()
            .any(|begun| *begun == 0 || *begun <= since)
    }

    pub(super) fn spend_kid_budget(&mut self, now: UnixTime) {
        let [_, newer] = self.kid_fetches;
        self.kid_fetches = [newer, now.as_millis()];
    }
}
