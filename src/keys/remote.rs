//! One provider's remote keys as a worker has them: what serves, and what it shares with the other workers.

use std::time::Duration;

use super::absent::AbsentKids;
use super::backoff::Chance;
use super::fetch::{FetchRequest, Publication};
use super::fetching::InFlight;
use super::head::Head;
use super::notice::KeyNotice;
use crate::config::RemoteKeySource;
use crate::jose::JwkSet;
use crate::time::UnixTime;

/// The keys of one provider, as this worker has them.
#[derive(Debug)]
pub struct RemoteKeys {
    pub(super) source: RemoteKeySource,
    /// The last record seen of the process.
    pub(super) head: Head,
    /// The keys of `head.version`, parsed.
    pub(super) held: Option<JwkSet>,
    pub(super) in_flight: Option<InFlight>,
    /// The next request under the lease that is held.
    pub(super) next_request: Option<FetchRequest>,
    /// A request waits for a `kid` that the keys do not have.
    pub(super) wants_kid: bool,
    pub(super) absent: AbsentKids,
    /// The outcome of a fetch that the process does not know yet.
    pub(super) unpublished: Option<Unpublished>,
    /// The process's version whose document could not be read.
    pub(super) unreadable: Option<u64>,
    pub(super) chance: Chance,
}

#[derive(Debug)]
pub(super) struct Unpublished {
    pub(super) holder: u64,
    pub(super) document: Option<Vec<u8>>,
}

impl RemoteKeys {
    /// No keys yet. The seed decides the jitter.
    #[must_use]
    pub fn new(source: RemoteKeySource, seed: u64) -> Self {
        Self {
            source,
            head: Head::default(),
            held: None,
            in_flight: None,
            next_request: None,
            wants_kid: false,
            absent: AbsentKids::default(),
            unpublished: None,
            unreadable: None,
            chance: Chance::new(seed),
        }
    }

    pub(crate) fn source(&self) -> &RemoteKeySource {
        &self.source
    }

    /// The keys, as long as they serve.
    #[must_use]
    pub fn serving(&self, now: UnixTime) -> Option<&JwkSet> {
        self.held.as_ref().filter(|_| self.head.serves(now))
    }

    /// Whether the keys are past their lifetime and serve on only because the issuer fails.
    pub(crate) fn is_stale(&self, now: UnixTime) -> bool {
        self.held.is_some() && now.as_millis() >= self.head.expires_at
    }

    /// How old the keys are.
    pub(crate) fn age(&self, now: UnixTime) -> Option<Duration> {
        self.held
            .as_ref()
            .map(|_| now.since(UnixTime::from_millis(self.head.asked_at)))
    }

    pub(crate) fn count(&self) -> usize {
        self.held.as_ref().map_or(0, JwkSet::len)
    }

    // --- unknown kids ---

    /// Whether a request that came at `since` may wait for a `kid` that the keys do not have. If not, the issuer was asked
    /// since then, or a moment ago, or must not be asked again so soon.
    pub(crate) fn may_learn(&mut self, kid: &str, since: UnixTime, now: UnixTime) -> bool {
        if self.absent.contains(kid, now) {
            return false;
        }
        if self.head.asked_at >= since.as_millis() {
            self.absent.insert(kid, now);
            return false;
        }
        let may_ask = self
            .head
            .has_kid_budget(self.source.key_cache.unknown_kid_cooldown, now);
        if may_ask {
            self.wants_kid = true;
        }
        may_ask || self.is_awaited(now)
    }

    // --- shared data ---

    /// What to write into shared data after a fetch, if the lease is still ours in the present record. To be written by
    /// compare-and-swap; where that fails, somebody else has taken over and publishes in our place.
    pub fn settle(&mut self, current: Option<&Head>) -> Option<Settled<'_>> {
        let unpublished = self.unpublished.take()?;
        // Without a record there is nobody to step aside for.
        if let Some(current) = current
            && current.lease.map(|lease| lease.holder) != Some(unpublished.holder)
        {
            return None;
        }
        Some(Settled {
            document: unpublished
                .document
                .map(|document| sealed(self.head.version, &document)),
            head: &self.head,
        })
    }

    pub(crate) fn has_unpublished(&self) -> bool {
        self.unpublished.is_some()
    }

    /// Whether the keys' document has to be read too, to take over this record.
    pub(crate) fn needs_document(&self, head: &Head) -> bool {
        self.in_flight.is_none()
            && self.unpublished.is_none()
            && head.version != 0
            && head.version != self.head.version
    }

    /// The process's record: another worker's lease, failure or keys. True if the keys or the answer to a question about
    /// them may have changed.
    pub(crate) fn handle_shared(
        &mut self,
        head: Head,
        document: Option<&[u8]>,
        notices: &mut Vec<KeyNotice>,
    ) -> bool {
        // Our own fetch will tell more than the record, which is ours anyway.
        if self.in_flight.is_some() || self.unpublished.is_some() || head == self.head {
            return false;
        }
        if head.version != self.head.version {
            let parsed = document
                .and_then(|document| unsealed(head.version, document))
                .and_then(|document| JwkSet::parse(document).ok());
            let Some(parsed) = parsed else {
                // Its writer is between two writes, or was overtaken: stay with what we have, and write it anew if it
                // stays so.
                self.unreadable = Some(head.version);
                return false;
            };
            notices.push(KeyNotice::Adopted {
                keys: parsed.set.len(),
            });
            self.held = Some(parsed.set);
            self.unreadable = None;
            self.absent.clear();
        }
        if head.asked_at != self.head.asked_at {
            self.wants_kid = false;
        }
        self.head = head;
        true
    }

    /// Whether a fetch is under way, here or in another worker.
    pub(crate) fn is_awaited(&self, now: UnixTime) -> bool {
        self.in_flight.is_some() || self.head.is_leased(now)
    }
}

/// What a worker writes into shared data after a fetch.
#[derive(Debug)]
pub struct Settled<'a> {
    document: Option<Vec<u8>>,
    head: &'a Head,
}

impl Settled<'_> {
    pub(crate) fn into_publication(self) -> Publication {
        Publication {
            document: self.document,
            head: self.head.encode(),
        }
    }
}

/// The document with its version before it: head and document are two values that the host cannot write as one, and a
/// reader must not take a document for that of another head.
fn sealed(version: u64, document: &[u8]) -> Vec<u8> {
    [&version.to_le_bytes(), document].concat()
}

fn unsealed(version: u64, bytes: &[u8]) -> Option<&[u8]> {
    let (found, document) = bytes.split_first_chunk::<8>()?;
    (u64::from_le_bytes(*found) == version).then_some(document)
}
