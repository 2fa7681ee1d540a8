//! The record in shared data that every worker of a process sees of a key source.
//!
//! Written with compare-and-swap only. The keys themselves stand beside it under a name of their own and are read only
//! when `version` has moved.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::LONGEST_TIMEOUT;
use crate::time::UnixTime;

/// What the process knows of a key source. Times are milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Head {
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
    /// What the operator was told of these failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trouble: Option<Trouble>,
    /// When the last fetches for an unknown `kid` began.
    pub(super) kid_fetches: [u64; 2],
    /// What the discovery document said, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) discovered: Option<Discovered>,
}

/// The right to fetch, until a deadline: a holder that dies is replaced by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    /// A number that no other holder has.
    pub(super) holder: u64,
    /// Until when.
    pub(super) until: u64,
}

/// Where the keys are, by the issuer's own word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Discovered {
    /// The document's `jwks_uri`.
    pub(super) jwks_uri: String,
    /// When the document is to be read again.
    pub(super) read_again_at: u64,
    /// Fetches of the document that failed since the last good one.
    pub(super) failures: u32,
    /// What the operator was told of these failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trouble: Option<Trouble>,
}

/// Failures in a row, as the operator was told: so that a change of state is told once, whichever worker notices it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trouble {
    /// When the first of them began.
    pub(super) since: u64,
    pub(super) standing: Standing,
    pub(super) why: String,
}

/// What failing fetches mean for requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Nothing: the keys are fresh.
    Fresh,
    /// The keys are past their lifetime and serve on.
    Stale,
    /// There are no keys that serve.
    Without,
}

/// No lease is longer than two requests and a margin; one that seems to be was taken before the clock was set back.
const LONGEST_LEASE: Duration = LONGEST_TIMEOUT.saturating_mul(3);

impl Head {
    /// Reads a record; one that cannot be read is as good as none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The record's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn is_leased(&self, now: UnixTime) -> bool {
        let latest = now.after(LONGEST_LEASE).as_millis();
        self.lease
            .is_some_and(|lease| lease.until > now.as_millis() && lease.until <= latest)
    }

    pub(super) fn serves(&self, now: UnixTime) -> bool {
        self.version != 0 && now.as_millis() < self.stale_until
    }

    /// What a failure means now, and until when it means no worse.
    pub(super) fn standing(&self, now: UnixTime) -> (Standing, UnixTime) {
        if !self.serves(now) {
            (Standing::Without, UnixTime::NEVER)
        } else if now.as_millis() < self.expires_at {
            (Standing::Fresh, UnixTime::from_millis(self.expires_at))
        } else {
            (Standing::Stale, UnixTime::from_millis(self.stale_until))
        }
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

impl Trouble {
    /// Notes a failure that began at `begun`; true if the operator has not been told so yet.
    pub(super) fn note(trouble: &mut Option<Self>, begun: UnixTime, standing: Standing, why: String) -> bool {
        let since = trouble.as_ref().map_or(begun.as_millis(), |before| before.since);
        let now = Self { since, standing, why };
        let is_news = trouble.as_ref() != Some(&now);
        *trouble = Some(now);
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_the_clock_cannot_have_given_is_none() {
        let now = UnixTime::from_secs(1_000_000);
        let lease = |secs: u64| Head {
            lease: Some(Lease {
                holder: 1,
                until: UnixTime::from_secs(1_000_000 + secs).as_millis(),
            }),
            ..Head::default()
        };
        assert!(!lease(0).is_leased(now));
        assert!(lease(1).is_leased(now));
        assert!(lease(121).is_leased(now));
        assert!(!lease(3600).is_leased(now), "an hour: the clock was set back");
    }

    #[test]
    fn a_record_survives_its_encoding_and_odd_bytes_are_none() {
        let head = Head {
            version: 7,
            etag: Some("\"x\"".to_owned()),
            discovered: Some(Discovered {
                jwks_uri: "https://a/".to_owned(),
                ..Discovered::default()
            }),
            ..Head::default()
        };
        assert_eq!(Head::decode(&head.encode()), Some(head));
        assert_eq!(Head::decode(b""), None);
        assert_eq!(Head::decode(b"null"), None);
        assert_eq!(Head::decode(b"{}"), Some(Head::default()), "fields may be absent");
    }
}
