//! Changes in the state of a key source that matter to an operator.

use super::fetch::{Document, FetchError};
use super::record::KeyState;
use crate::jose::SkippedKeys;
use crate::time::UnixTime;

/// A change of a key source's state, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyEvent {
    /// The issuer provided keys.
    Loaded {
        /// The number of usable keys.
        keys: usize,
        /// The unusable members of the document.
        skipped: SkippedKeys,
        /// Whether these differ from the previous ones.
        changed: bool,
    },
    /// A fetch failed.
    Failed {
        /// The document.
        document: Document,
        /// The URL and the cluster of the request, in the form of a log line.
        asked: String,
        /// The cause.
        error: FetchError,
        /// When the first failed fetch since the last success began.
        since: UnixTime,
        /// The consequence for requests.
        state: KeyState,
        /// The time until which this consequence lasts.
        until: UnixTime,
        /// Whether no worker of the process has reported this to the operator before.
        is_news: bool,
    },
    /// A fetch succeeded after failures.
    Recovered {
        /// The document.
        document: Document,
        /// When the first failed fetch began.
        since: UnixTime,
    },
    /// The discovery document contains this URL, and a different one before.
    Discovered {
        /// `jwks_uri`.
        jwks_uri: String,
    },
    /// The worker adopted the keys of another worker.
    Adopted {
        /// The number of usable keys.
        keys: usize,
    },
}
