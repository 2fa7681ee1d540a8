//! The engine's part in fetching keys: time, responses, and the store that all workers share.
//!
//! [`crate::keys`] has the rules for the keys of one provider. This file finds the provider, and evaluates
//! the requests that wait for its keys again.

use super::backends::WantedBackends;
use super::engine::Authenticator;
use super::event::{Event, KeyGauges, WantedKey};
use crate::ids::ProviderId;
use crate::keys::{
    FetchError, FetchId, FetchRequest, Fetched, KeySource, MAX_CLUSTER_NAME, News, RemoteKeys,
};
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
        let is_cluster_missing = matches!(answer, Err(FetchError::ClusterMissing));
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
        if is_cluster_missing {
            self.look_for_backends();
        }
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

    // --- extension backends ---

    /// The aliases of extension backends that the host has to look up in the metadata of the next request's
    /// route, before it calls [`Self::handle_request`]. Report each result to [`Self::handle_backend`].
    #[must_use]
    pub fn wanted_backends(&self, now: UnixTime) -> &[Box<str>] {
        match self.fetches || self.backends.is_report_due(now) {
            true => &self.backends.aliases,
            false => &[],
        }
    }

    /// The cluster that the metadata of a request's route name for an alias, or nothing.
    pub fn handle_backend(&mut self, alias: &str, found: Option<&[u8]>, now: UnixTime) {
        let cluster = found
            .and_then(|name| std::str::from_utf8(name).ok())
            // The host shows a number as its bytes.
            .filter(|name| (1..=MAX_CLUSTER_NAME).contains(&name.len()) && !name.contains(char::is_control));
        let Some(cluster) = cluster else {
            if self.backends.note_missing(alias) {
                self.events.push_back(Event::BackendMissing(alias.into()));
            }
            return;
        };
        if !self.fetches {
            self.backends.reported_at = now;
            let named = Event::BackendNamed(alias.into(), cluster.into());
            self.events.push_back(named);
            return;
        }
        for keys in self.remote.iter_mut().flatten() {
            keys.learn_backend(alias, cluster);
        }
        self.look_for_backends();
    }

    /// After a change of the known clusters.
    fn look_for_backends(&mut self) {
        self.backends.aliases = WantedBackends::of(&self.remote).aliases;
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
