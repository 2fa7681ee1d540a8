//! Changes of a key source's state that an operator wants to see.

use super::fetch::{Document, FetchError};
use super::record::KeyState;
use crate::jose::SkippedKeys;
use crate::time::UnixTime;

/// A change of a key source's state, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyEvent {
    /// The issuer gave keys.
    Loaded {
        /// Usable keys.
        keys: usize,
        /// The members of the document that cannot be used.
        skipped: SkippedKeys,
        /// Whether these are others than before.
        changed: bool,
    },
    /// A fetch failed.
    Failed {
        /// Of what.
        document: Document,
        /// The URL that was asked for and the cluster that the request was for, as a log line has them.
        asked: String,
        /// Why.
        error: FetchError,
        /// When the first failed fetch since the last good one began.
        since: UnixTime,
        /// What that means for requests.
        state: KeyState,
        /// How long it will mean no worse.
        until: UnixTime,
        /// Whether the operator was not told so before, by any worker of the process.
        is_news: bool,
    },
    /// A fetch succeeded after failures.
    Recovered {
        /// Of what.
        document: Document,
        /// When the first failed fetch began.
        since: UnixTime,
    },
    /// The discovery document names this URL, another than before.
    Discovered {
        /// `jwks_uri`.
        jwks_uri: String,
    },
    /// Another worker's keys were taken over.
    Adopted {
        /// Usable keys.
        keys: usize,
    },
}
