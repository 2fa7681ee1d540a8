//! The engine's part in fetching keys: time, responses, and the store that all workers share.
//!
//! [`crate::keys`] has the rules for the keys of one provider. This file finds the provider, and evaluates
//! the requests that wait for its keys again.

use super::engine::Authenticator;
use super::event::{Event, KeyGauges, WantedKey};
use crate::ids::ProviderId;
use crate::keys::{FetchError, FetchId, FetchRequest, Fetched, KeySource, News, RemoteKeys};
use crate::store::SharedStore;
use crate::time::UnixTime;

impl Authenticator {
    /// Time has passed. The engine adopts what other workers have stored, abandons fetches without a
    /// response, and takes the lease for each fetch that is due. Send the requests that it returns, and pass
    /// each outcome to [`Self::handle_fetched`]. Then call [`Self::poll_decision`] until it returns `None`.
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

    /// The shared store may have changed: the engine adopts what other workers have stored. It begins no
    /// fetch.
    pub fn handle_shared(&mut self, now: UnixTime, store: &dyn SharedStore) {
        self.now = now;
        let fetches = self.fetches;
        self.with_keys(now, |keys, news| {
            keys.read_shared(store, now, news);
            if news.has_changed && !fetches {
                // The engine that fetches has begun or ended a fetch. Requests whose key is still missing ask
                // for it again.
                keys.want_nothing();
            }
        });
        self.agree_on_nonces(store);
    }

    /// A fetch has a response, or has failed. Send the further request that this returns, if any: it has the
    /// same id. The engine ignores the outcome of an abandoned fetch.
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

    /// The provider whose keys this fetch concerns.
    #[must_use]
    pub fn provider_of(&self, fetch: FetchId) -> Option<ProviderId> {
        let is_fetching =
            |keys: &Option<RemoteKeys>| keys.as_ref().is_some_and(|keys| keys.is_fetching(fetch));
        self.remote.iter().position(is_fetching).map(ProviderId::new)
    }

    /// Another engine of this process, which does not fetch, needs a key that its provider does not have:
    /// [`Event::KeyWanted`].
    pub fn handle_wanted(&mut self, wanted: &WantedKey, now: UnixTime) {
        if let Some(keys) = self.keys_mut(wanted.provider)
            // The key may have arrived after the report.
            && (wanted.is_held || !keys.has_kid(&wanted.key_id))
        {
            keys.want(&wanted.key_id, wanted.wants, wanted.since, now);
        }
    }

    /// The state of a provider's keys, for the metrics.
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

    /// Calls `run` for each provider with remote keys, reports the events, and evaluates the waiting requests
    /// again if the keys have changed.
    fn with_keys(&mut self, now: UnixTime, mut run: impl FnMut(&mut RemoteKeys, &mut News)) {
        for (index, keys) in self.remote.iter_mut().enumerate() {
            let Some(keys) = keys else { continue };
            let mut news = News::default();
            run(keys, &mut news);
            let provider = ProviderId::new(index);
            let events = news.events.into_iter();
            self.events
                .extend(events.map(|event| Event::Keys(provider, event)));
            if news.has_changed {
                self.now = now;
                self.waiting.look_again();
            }
        }
    }
}
