//! The state machine of one provider's remote keys.

use std::time::Duration;

use super::absent::AbsentKids;
use super::backoff::{COLD, Chance, WARM};
use super::fetch::{FetchError, FetchId, FetchRequest, Fetched, Publication};
use super::freshness;
use super::head::{Head, Lease};
use crate::config::RemoteJwks;
use crate::jose::{JwkSet, ParsedJwkSet};
use crate::time::UnixTime;

/// How much longer than the request's own timeout its holder keeps the lease.
const LEASE_MARGIN: Duration = Duration::from_secs(1);

/// The keys of one provider, as this worker has them.
#[derive(Debug)]
pub(crate) struct RemoteKeys {
    source: RemoteJwks,
    /// The last record seen of the process.
    head: Head,
    /// The keys of `head.version`, parsed.
    held: Option<JwkSet>,
    in_flight: Option<InFlight>,
    /// A request waits for a `kid` that the keys do not have.
    wants_kid: bool,
    absent: AbsentKids,
    /// The outcome of a fetch that the process does not know yet.
    unpublished: Option<Unpublished>,
    /// When the first fetch failed since the last good one.
    failing_since: Option<UnixTime>,
    chance: Chance,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    id: FetchId,
    asked_at: UnixTime,
    deadline: UnixTime,
    holder: u64,
}

#[derive(Debug)]
struct Unpublished {
    holder: u64,
    document: Option<Vec<u8>>,
}

/// A change of a key source's state, for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyNotice {
    /// The issuer gave keys.
    Loaded {
        /// Usable keys.
        keys: usize,
        /// Members of the document that cannot be used.
        skipped: usize,
        /// Whether these are others than before.
        changed: bool,
    },
    /// A fetch failed; the old keys, if any, serve on.
    Failed {
        /// Why.
        error: FetchError,
        /// How many in a row.
        failures: u32,
        /// When the first of them was sent.
        since: UnixTime,
    },
    /// A fetch succeeded after failures.
    Recovered {
        /// When the first failed fetch was sent.
        since: UnixTime,
    },
    /// Another worker's keys were taken over.
    Adopted {
        /// Usable keys.
        keys: usize,
    },
}

impl RemoteKeys {
    pub(crate) fn new(source: RemoteJwks, seed: u64) -> Self {
        Self {
            source,
            head: Head::default(),
            held: None,
            in_flight: None,
            wants_kid: false,
            absent: AbsentKids::default(),
            unpublished: None,
            failing_since: None,
            chance: Chance::new(seed),
        }
    }

    pub(crate) fn source(&self) -> &RemoteJwks {
        &self.source
    }

    /// The keys, as long as they serve.
    pub(crate) fn serving(&self, now: UnixTime) -> Option<&JwkSet> {
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
        may_ask || self.in_flight.is_some() || self.head.is_leased(now)
    }

    // --- fetching ---

    /// Whether this worker should try to take the lease now.
    pub(crate) fn is_fetch_due(&self, now: UnixTime) -> bool {
        self.in_flight.is_none()
            && self.unpublished.is_none()
            && !self.head.is_leased(now)
            && (self.wants_kid_fetch(now)
                || (now.as_millis() >= self.head.retry_at && now.as_millis() >= self.due_at()))
    }

    /// When the next regular fetch is due: at once while there are no keys.
    fn due_at(&self) -> u64 {
        if self.held.is_some() {
            self.head.refresh_at.min(self.head.stale_until)
        } else {
            0
        }
    }

    fn wants_kid_fetch(&self, now: UnixTime) -> bool {
        self.wants_kid
            && self
                .head
                .has_kid_budget(self.source.key_cache.unknown_kid_cooldown, now)
    }

    /// When there may be something to do next; spurious calls are harmless.
    pub(crate) fn next_timeout(&self) -> UnixTime {
        if let Some(in_flight) = self.in_flight {
            return in_flight.deadline;
        }
        let due = self.due_at().max(self.head.retry_at);
        UnixTime::from_millis(due.max(self.head.lease.map_or(0, |lease| lease.until)))
    }

    /// Takes the lease, if with the process's present record a fetch is still due: the record to write by compare-and-swap,
    /// and the request to send once that has succeeded. If it does not, call [`Self::lose_lease`].
    pub(crate) fn claim(
        &mut self,
        id: FetchId,
        current: Option<&[u8]>,
        now: UnixTime,
    ) -> Option<(Vec<u8>, FetchRequest)> {
        if let Some(head) = current.and_then(Head::decode) {
            if head.version == self.head.version {
                self.head = head;
            } else if head.version != 0 {
                // Another worker has new keys: they are read first, at the next look.
                return None;
            }
        }
        if !self.is_fetch_due(now) {
            return None;
        }
        let holder = self.chance.next();
        let deadline = now.after(self.source.timeout).after(LEASE_MARGIN);
        if self.held.is_some() && self.wants_kid_fetch(now) {
            self.head.spend_kid_budget(now);
        }
        self.head.lease = Some(Lease {
            holder,
            until: deadline.as_millis(),
        });
        self.in_flight = Some(InFlight {
            id,
            asked_at: now,
            deadline,
            holder,
        });
        Some((self.head.encode(), self.request(id)))
    }

    /// Another worker was faster. Its record is seen at the next look.
    pub(crate) fn lose_lease(&mut self, id: FetchId) {
        if self.in_flight.is_some_and(|in_flight| in_flight.id == id) {
            self.in_flight = None;
        }
    }

    fn request(&self, id: FetchId) -> FetchRequest {
        let mut headers = vec![
            (":method", "GET".to_owned()),
            (":scheme", self.source.scheme.to_owned()),
            (":authority", self.source.authority.to_string()),
            (":path", self.source.path.to_string()),
            ("accept", "application/json, application/jwk-set+json".to_owned()),
        ];
        if let (Some(etag), Some(_)) = (&self.head.etag, &self.held) {
            headers.push(("if-none-match", etag.clone()));
        }
        FetchRequest {
            id,
            cluster: self.source.cluster.to_string(),
            headers,
            timeout: self.source.timeout,
        }
    }

    /// The answer to a fetch. Answers to fetches that were given up are ignored.
    pub(crate) fn handle_fetched(
        &mut self,
        id: FetchId,
        answer: Result<Fetched<'_>, FetchError>,
        now: UnixTime,
        notices: &mut Vec<KeyNotice>,
    ) {
        let Some(in_flight) = self.in_flight.filter(|in_flight| in_flight.id == id) else {
            return;
        };
        self.in_flight = None;
        self.wants_kid = false;
        match answer.and_then(|answer| self.read(&answer)) {
            Ok(new) => self.succeed(in_flight, new, now, notices),
            Err(error) => self.fail(in_flight, error, now, notices),
        }
    }

    /// Gives up a fetch whose answer never came.
    pub(crate) fn handle_timeout(&mut self, now: UnixTime, notices: &mut Vec<KeyNotice>) {
        if let Some(in_flight) = self.in_flight.filter(|in_flight| in_flight.deadline <= now) {
            self.handle_fetched(in_flight.id, Err(FetchError::Lost), now, notices);
        }
    }

    fn read(&self, answer: &Fetched<'_>) -> Result<New, FetchError> {
        let lifetime = freshness::lifetime(answer.cache_control, self.source.cache_duration);
        match answer.status {
            200 => {
                if answer.body.len() > self.source.key_cache.max_response_bytes {
                    return Err(FetchError::TooLarge);
                }
                let parsed = JwkSet::parse(answer.body).map_err(FetchError::Document)?;
                let etag = answer
                    .etag
                    .and_then(|etag| std::str::from_utf8(etag).ok())
                    .map(str::to_owned);
                Ok(New {
                    lifetime,
                    document: Some((answer.body.to_vec(), parsed, etag)),
                })
            }
            304 if self.held.is_some() => Ok(New {
                lifetime,
                document: None,
            }),
            status => Err(FetchError::Status(status)),
        }
    }

    fn succeed(&mut self, in_flight: InFlight, new: New, now: UnixTime, notices: &mut Vec<KeyNotice>) {
        let mut published = None;
        match new.document {
            Some((document, parsed, etag)) => {
                let ParsedJwkSet { set, skipped } = parsed;
                let changed = self.held.as_ref() != Some(&set);
                notices.push(KeyNotice::Loaded {
                    keys: set.len(),
                    skipped: skipped.len(),
                    changed,
                });
                // An unchanged set keeps its version, so that no worker parses it again.
                if changed || self.head.version == 0 {
                    self.head.version = self.chance.next().max(1);
                    self.absent.clear();
                    published = Some(document);
                }
                self.head.etag = etag;
                self.held = Some(set);
            }
            None => {
                notices.push(KeyNotice::Loaded {
                    keys: self.count(),
                    skipped: 0,
                    changed: false,
                });
            }
        }
        if let Some(since) = self.failing_since.take() {
            notices.push(KeyNotice::Recovered { since });
        }
        let jitter = self.chance.factor(0.9, 1.1);
        let ahead = new
            .lifetime
            .mul_f64((self.source.key_cache.refresh_ahead * jitter).clamp(0.0, 1.0));
        let expires_at = now.after(new.lifetime);
        self.head = Head {
            asked_at: in_flight.asked_at.as_millis(),
            refresh_at: now.after(ahead).as_millis(),
            expires_at: expires_at.as_millis(),
            stale_until: expires_at.after(self.source.key_cache.stale_if_error).as_millis(),
            failures: 0,
            retry_at: 0,
            lease: None,
            ..std::mem::take(&mut self.head)
        };
        self.unpublished = Some(Unpublished {
            holder: in_flight.holder,
            document: published,
        });
    }

    fn fail(&mut self, in_flight: InFlight, error: FetchError, now: UnixTime, notices: &mut Vec<KeyNotice>) {
        self.head.failures = self.head.failures.saturating_add(1);
        let backoff = if self.serving(now).is_some() { WARM } else { COLD };
        let pause = backoff.pause(self.head.failures, &mut self.chance);
        self.head.retry_at = now.after(pause).as_millis();
        self.head.lease = None;
        let since = *self.failing_since.get_or_insert(in_flight.asked_at);
        notices.push(KeyNotice::Failed {
            error,
            failures: self.head.failures,
            since,
        });
        self.unpublished = Some(Unpublished {
            holder: in_flight.holder,
            document: None,
        });
    }

    // --- shared data ---

    pub(crate) fn has_unpublished(&self) -> bool {
        self.unpublished.is_some()
    }

    /// What to write into shared data after a fetch, if the lease is still ours in the present record. To be written by
    /// compare-and-swap; where that fails, somebody else has taken over and publishes in our place.
    pub(crate) fn settle(&mut self, current: Option<&[u8]>) -> Option<Publication> {
        let unpublished = self.unpublished.take()?;
        let holder = current
            .and_then(Head::decode)
            .and_then(|head| head.lease)
            .map(|lease| lease.holder);
        // Without a record there is nobody to step aside for.
        if current.is_some() && holder != Some(unpublished.holder) {
            return None;
        }
        Some(Publication {
            document: unpublished.document,
            head: self.head.encode(),
        })
    }

    /// Whether the keys' document has to be read too, to take over this record.
    pub(crate) fn needs_document(&self, record: &[u8]) -> bool {
        self.in_flight.is_none()
            && self.unpublished.is_none()
            && Head::decode(record).is_some_and(|head| head.version != 0 && head.version != self.head.version)
    }

    /// The process's record: another worker's lease, failure or keys. True if the keys or the answer to a question about
    /// them may have changed.
    pub(crate) fn handle_shared(
        &mut self,
        record: &[u8],
        document: Option<&[u8]>,
        notices: &mut Vec<KeyNotice>,
    ) -> bool {
        // Our own fetch will tell more than the record, which is ours anyway.
        if self.in_flight.is_some() || self.unpublished.is_some() {
            return false;
        }
        let Some(head) = Head::decode(record) else {
            return false;
        };
        if head == self.head {
            return false;
        }
        if head.version != self.head.version {
            // A document that does not parse was not written by us: stay with what we have.
            let Some(parsed) = document.and_then(|document| JwkSet::parse(document).ok()) else {
                return false;
            };
            notices.push(KeyNotice::Adopted {
                keys: parsed.set.len(),
            });
            self.held = Some(parsed.set);
            self.absent.clear();
        }
        if head.asked_at != self.head.asked_at {
            self.wants_kid = false;
            self.failing_since = None;
        }
        self.head = head;
        true
    }

    /// How long the process's lease lasts from now.
    pub(crate) fn is_awaited(&self, now: UnixTime) -> bool {
        self.in_flight.is_some() || self.head.is_leased(now)
    }
}

/// A good answer: the document, its keys and its entity tag, unless it is the one that we have.
struct New {
    lifetime: Duration,
    document: Option<(Vec<u8>, ParsedJwkSet, Option<String>)>,
}
