//! The extension backends of Envoy Gateway whose clusters the engine does not know yet.

use std::time::Duration;

use crate::keys::RemoteKeys;
use crate::time::UnixTime;

/// After this time, an engine that does not fetch reports a name again: the engine that fetches may have
/// forgotten it.
const REPORT_AGAIN: Duration = Duration::from_secs(1);

/// The aliases for which a request has to name the cluster.
#[derive(Debug, Default)]
pub(super) struct WantedBackends {
    /// The host looks these up in the route of the next request.
    pub(super) aliases: Vec<Box<str>>,
    /// The aliases for which the log has reported that a route names no cluster.
    missing: Vec<Box<str>>,
    /// The time of the last report of an engine that does not fetch.
    pub(super) reported_at: UnixTime,
}

impl WantedBackends {
    pub(super) fn of(remote: &[Option<RemoteKeys>]) -> Self {
        let mut aliases: Vec<Box<str>> = Vec::new();
        for alias in remote.iter().flatten().flat_map(RemoteKeys::unknown_backends) {
            if !aliases.iter().any(|known| **known == *alias) {
                aliases.push(alias.into());
            }
        }
        Self {
            aliases,
            ..Self::default()
        }
    }

    /// Notes that a route does not name this alias. Returns true the first time.
    pub(super) fn note_missing(&mut self, alias: &str) -> bool {
        let is_new = !self.missing.iter().any(|known| **known == *alias);
        if is_new {
            self.missing.push(alias.into());
        }
        is_new
    }

    /// Whether a report of an engine that does not fetch is due.
    pub(super) fn is_report_due(&self, now: UnixTime) -> bool {
        now.since(self.reported_at) >= REPORT_AGAIN
    }
}
