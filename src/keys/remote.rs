//! The remote keys of one provider in a worker: the keys in use, and the data that workers share.

use std::sync::Arc;
use std::time::Duration;

use super::absent::AbsentKids;
use super::backends::Backends;
use super::backoff::RandomSource;
use super::fetch::{FetchId, FetchRequest};
use super::in_flight::InFlight;
use super::record::{KeyRecord, Wants};
use super::sightings::Sightings;
use super::source::RemoteKeySource;
use crate::jose::{JwkSet, ParsedJwkSet};
use crate::time::UnixTime;

/// The keys of one provider in this worker.
#[derive(Debug)]
pub struct RemoteKeys {
    pub(super) source: RemoteKeySource,
    /// Identifies the source in the shared store.
    pub(super) fingerprint: String,
    /// The last known record of the process.
    pub(super) record: KeyRecord,
    /// The keys of `record.version`, parsed.
    pub(super) held: Option<Arc<ParsedJwkSet>>,
    /// The clusters of its extension backends.
    pub(super) backends: Backends,
    pub(super) in_flight: Option<InFlight>,
    /// The next request under the present lease.
    pub(super) next_request: Option<FetchRequest>,
    /// A request has named a `kid` that the keys do not have.
    pub(super) wants: Wants,
    pub(super) sightings: Sightings,
    pub(super) absent: AbsentKids,
    /// The outcome of a fetch that is not stored yet.
    pub(super) unpublished: Option<Unpublished>,
    /// The version in the process whose document could not be read.
    pub(super) unreadable: Option<u64>,
    pub(super) chance: RandomSource,
}

#[derive(Debug)]
pub(super) struct Unpublished {
    pub(super) holder: u64,
    pub(super) document: Option<Vec<u8>>,
}

impl RemoteKeys {
    /// No keys yet. The seed determines the jitter.
    #[must_use]
    pub fn new(source: RemoteKeySource, seed: u64) -> Self {
        Self {
            fingerprint: source.fingerprint(),
            backends: Backends::new(source.backends()),
            source,
            record: KeyRecord::default(),
            held: None,
            in_flight: None,
            next_request: None,
            wants: Wants::Nothing,
            sightings: Sightings::new(seed),
            absent: AbsentKids::default(),
            unpublished: None,
            unreadable: None,
            chance: RandomSource::new(seed),
        }
    }

    /// The keys, while they may be used.
    #[must_use]
    pub fn serving(&self, now: UnixTime) -> Option<&JwkSet> {
        let held = self.held.as_ref().filter(|_| self.record.serves(now));
        held.map(|held| &held.set)
    }

    /// Whether the keys are past their lifetime, and in use only because the issuer fails.
    pub(crate) fn is_stale(&self, now: UnixTime) -> bool {
        self.held.is_some() && now.as_millis() >= self.record.expires_at
    }

    /// The age of the keys.
    pub(crate) fn age(&self, now: UnixTime) -> Option<Duration> {
        self.held
            .as_ref()
            .map(|_| now.since(UnixTime::from_millis(self.record.asked_at)))
    }

    pub(crate) fn count(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.set.len())
    }

    // --- extension backends ---

    /// The aliases whose clusters no request has named yet.
    pub(crate) fn unknown_backends(&self) -> impl Iterator<Item = &str> {
        self.backends.unknown()
    }

    /// The route of a request names the cluster of a backend.
    pub(crate) fn learn_backend(&mut self, alias: &str, cluster: &str) {
        self.backends.learn(alias, cluster);
    }

    // --- unknown kids ---

    /// The time at which a request that arrived at `since` may learn whether the issuer has a `kid` that the
    /// keys lack. `None` if the filter asked the issuer after `since`, or shortly before, and the issuer does
    /// not have it. `serial` is the number of a request that has just arrived, or 0.
    pub(crate) fn may_learn(
        &self,
        kid: &str,
        serial: u64,
        since: UnixTime,
        now: UnixTime,
    ) -> Option<UnixTime> {
        if self.absent.contains(kid, now) || self.was_asked_within(since, now) {
            return None;
        }
        let own = match serial {
            0 => Wants::Once,
            serial => self
                .sightings
                .wants(kid, serial, self.record.asked_at, now.as_millis()),
        };
        let wants = self.wants.max(own);
        Some(match self.is_awaited(now) {
            true => now,
            false => self.next_kid_fetch(wants, now).max(now),
        })
    }

    /// A request names a `kid` that the keys do not have. Returns true if it is more urgent than the requests
    /// before it. The arguments are those of [`Self::may_learn`].
    pub(crate) fn note_unknown(&mut self, kid: &str, serial: u64, since: UnixTime, now: UnixTime) -> bool {
        if self.absent.contains(kid, now) {
            return false;
        }
        if self.was_asked_within(since, now) {
            self.absent.insert(kid, now.after(self.absence()), now);
            return false;
        }
        let before = self.wants;
        let own = match serial {
            0 => Wants::Once,
            serial => self
                .sightings
                .note(kid, serial, self.record.asked_at, now.as_millis()),
        };
        self.wants = before.max(own);
        self.wants > before
    }

    /// If the time of the keys is in the future, the filter fetched them before the clock was set back.
    fn was_asked_within(&self, since: UnixTime, now: UnixTime) -> bool {
        (since.as_millis()..=now.as_millis()).contains(&self.record.asked_at)
    }

    /// A request to another worker, which arrived at `since`, names a `kid` that these keys do not have.
    pub(crate) fn want(&mut self, kid: &str, wants: Wants, since: UnixTime, now: UnixTime) {
        self.note_unknown(kid, 0, since, now);
        if self.may_learn(kid, 0, since, now).is_some() {
            self.wants = self.wants.max(wants);
        }
    }

    /// Whether there is a key with this `kid`.
    pub(crate) fn has_kid(&self, kid: &str) -> bool {
        self.held.as_ref().is_some_and(|held| held.set.has_kid(kid))
    }

    /// Forgets the `kid`s that requests need.
    pub(crate) fn want_nothing(&mut self) {
        self.wants = Wants::Nothing;
    }

    /// The `kid`s that requests need and the keys do not have.
    pub(crate) fn wants(&self) -> Wants {
        self.wants
    }

    pub(super) fn next_kid_fetch(&self, wants: Wants, now: UnixTime) -> UnixTime {
        let window = self.source.key_cache.unknown_kid_cooldown;
        self.record.next_kid_fetch(window, wants, now)
    }

    /// The time for which the filter trusts that the issuer does not have a `kid`. It is short: an attacker
    /// may ask for a key just before the issuer publishes it, so that the filter refuses the tokens of the
    /// new key.
    fn absence(&self) -> Duration {
        let window = self.source.key_cache.unknown_kid_cooldown;
        window.checked_div(6).unwrap_or_default()
    }

    /// Adopts these keys.
    pub(super) fn hold(&mut self, parsed: Arc<ParsedJwkSet>, is_new: bool, now: UnixTime) {
        if is_new {
            // New keys may include a key that the old ones lacked, and no request needs a withdrawn key.
            self.absent.clear();
            let until = now.after(self.absence());
            let withdrawn = self
                .held
                .iter()
                .flat_map(|held| held.set.keys())
                .filter_map(|key| key.key_id());
            for kid in withdrawn {
                if !parsed.set.has_kid(kid) {
                    self.absent.insert(kid, until, now);
                }
            }
        }
        self.held = Some(parsed);
    }

    // --- shared data ---

    /// Adopts a record of the process.
    pub(super) fn take_record(&mut self, record: KeyRecord) {
        if record.asked_at != self.record.asked_at {
            self.wants = Wants::Nothing;
        }
        self.record = record;
    }

    /// Whether a record has older keys than this worker: another module may have restored an old record, and
    /// a withdrawn key must not return with it. If this worker's keys are from the future, the clock was set
    /// back.
    pub(super) fn is_behind(&self, record: &KeyRecord, now: UnixTime) -> bool {
        self.held.is_some()
            && record.asked_at < self.record.asked_at
            && self.record.asked_at <= now.as_millis()
    }

    /// Whether this fetch is in progress here.
    pub(crate) fn is_fetching(&self, id: FetchId) -> bool {
        self.in_flight.is_some_and(|in_flight| in_flight.id == id)
    }

    /// Whether a fetch is in progress, here or in another worker.
    pub(crate) fn is_awaited(&self, now: UnixTime) -> bool {
        self.in_flight.is_some() || self.record.is_leased(now)
    }
}
