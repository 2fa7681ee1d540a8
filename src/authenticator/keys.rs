//! The engine's part in fetching keys: time, answers, and the store that all workers share.
//!
//! [`crate::keys`] knows what a provider's keys are worth. Here they are found by their provider, and the
//! requests that wait for them are evaluated again.

use super::{Authenticator, KeyGauges, WantedKey};
use crate::ids::ProviderId;
use crate::keys::{FetchError, FetchId, FetchRequest, Fetched, KeySource, News, RemoteKeys};
use crate::store::SharedStore;
use crate::time::UnixTime;

impl Authenticator {
    /// Time has passed: takes over what other workers have learnt, gives up fetches whose answer never came,
    /// and takes the lease for each fetch that is due. Send the requests that it returns, and report each
    /// outcome to [`Self::handle_fetched`]. Then call [`Self::poll_decision`] until nothing is left.
    #[must_use]
    pub fn handle_tick(&mut self, now: UnixTime, store: &dyn SharedStore) -> Vec<FetchRequest> {
        self.handle_shared(now, store);
        self.with_keys(now, |keys, news| {
            keys.handle_timeout(now, &mut news.events);
            news.has_changed = !news.events.is_empty();
        });
        let mut requests = Vec::new();
        if self.fetches {
            let mut last = self.last_fetch;
            self.with_keys(now, |keys, news| {
                if keys.is_fetch_due(now) {
                    last = last.next();
                    requests.extend(keys.begin_fetch(last, store, now, news));
                }
            });
            self.last_fetch = last;
        }
        self.remote
            .iter_mut()
            .flatten()
            .for_each(|keys| keys.publish(store));
        requests
    }

    /// The shared store may have changed: takes over what other workers have learnt, and begins no fetch.
    pub fn handle_shared(&mut self, now: UnixTime, store: &dyn SharedStore) {
        self.now = now;
        let fetches = self.fetches;
        self.with_keys(now, |keys, news| {
            keys.read_shared(store, now, news);
            if news.has_changed && !fetches {
                // The engine that fetches has begun a fetch, or ended one: what is still wanted is wanted again.
                keys.want_nothing();
            }
        });
        self.agree_on_nonces(store);
    }

    /// A fetch was answered, or failed. Send the further request that it returns, if any, under the same
    /// number. An answer to a fetch that was given up is ignored.
    pub fn handle_fetched(
        &mut self,
        id: FetchId,
        answer: Result<Fetched<'_>, FetchError>,
        now: UnixTime,
        store: &dyn SharedStore,
    ) -> Option<FetchRequest> {
        self.now = now;
        let mut answer = Some(answer);
        let mut next = None;
        self.with_keys(now, |keys, news| {
            if keys.is_fetching(id)
                && let Some(answer) = answer.take()
            {
                keys.handle_fetched(id, answer, now, &mut news.events);
                next = keys.take_next_request();
                keys.publish(store);
                news.has_changed = true;
            }
        });
        next
    }

    /// The provider whose keys are being fetched under this number.
    #[must_use]
    pub fn provider_of(&self, fetch: FetchId) -> Option<ProviderId> {
        let is_fetching =
            |keys: &Option<RemoteKeys>| keys.as_ref().is_some_and(|keys| keys.is_fetching(fetch));
        self.remote.iter().position(is_fetching).map(ProviderId::new)
    }

    /// Another engine of this process, which does not fetch, asks for a key that its provider does not have:
    /// [`Event::KeyWanted`](super::Event::KeyWanted).
    pub fn handle_wanted(&mut self, wanted: &WantedKey, now: UnixTime) {
        if let Some(keys) = self.keys_mut(wanted.provider)
            // It may have come after the report was made.
            && (wanted.is_held || !keys.has_kid(&wanted.key_id))
        {
            keys.want(&wanted.key_id, wanted.came_again, wanted.since, now);
        }
    }

    /// What the metrics show of a provider's keys.
    #[must_use]
    pub fn key_gauges(&self, provider: ProviderId, now: UnixTime) -> Option<KeyGauges> {
        match (&self.config.provider(provider)?.keys, self.keys(provider)) {
            (KeySource::Local(parsed), _) => Some(KeyGauges {
                keys: parsed.set.len(),
                age: None,
                stale: false,
            }),
            (KeySource::Remote(_), Some(keys)) => Some(KeyGauges {
                keys: keys.count(),
                age: keys.age(now),
                stale: keys.is_stale(now),
            }),
            (KeySource::Remote(_), None) => None,
        }
    }

    /// Runs this for each provider with remote keys, reports what it has learnt, and evaluates the waiting
    /// requests again where that may help.
    fn with_keys(&mut self, now: UnixTime, mut run: impl FnMut(&mut RemoteKeys, &mut News)) {
        for (index, keys) in self.remote.iter_mut().enumerate() {
            let Some(keys) = keys else { continue };
            let mut news = News::default();
            run(keys, &mut news);
            let provider = ProviderId::new(index);
            let events = news.events.into_iter();
            self.events
                .extend(events.map(|event| super::Event::Keys(provider, event)));
            if news.has_changed {
                self.now = now;
                self.waiting.look_again();
            }
        }
    }
}
