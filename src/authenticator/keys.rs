//! The engine's part in fetching keys: time, responses, and the store that all workers share.
//!
//! [`crate::keys`] has the rules for the keys of one provider. This file finds the provider, and evaluates
//! the requests that wait for its keys again.

use super::backends::WantedBackends;
use super::engine::Authenticator;
use super::event::{Event, KeyGauges};
use crate::ids::ProviderId;
use crate::jose::JwkSet;
use crate::keys::{
    FetchError, FetchId, FetchRequest, Fetched, KeySource, MAX_CLUSTER_NAME, News, RemoteKeys,
};
use crate::request::RequestContext;
use crate::store::SharedStore;
use crate::time::UnixTime;

impl Authenticator {
    /// Time has passed. The engine adopts what other workers have stored, abandons fetches without a
    /// response, and takes the lease for each fetch that is due. Send the requests that it returns, and pass
    /// each outcome to [`Self::handle_fetched`]. Then call [`Self::poll_decision`] until it returns `None`.
    #[must_use]
    pub fn handle_tick(&mut self, now: UnixTime, store: &dyn SharedStore) -> Vec<FetchRequest> {
        self.handle_shared(now, store);
        let now = self.now;
        self.with_keys(|_, keys, news| {
            keys.handle_timeout(now, &mut news.events);
            news.has_changed = !news.events.is_empty();
        });
        let mut requests = Vec::new();
        if self.fetches {
            let mut last = self.last_fetch;
            self.with_keys(|provider, keys, news| {
                if keys.is_fetch_due(now) {
                    last = last.next(provider);
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
        let now = self.advance(now);
        let fetches = self.fetches;
        self.with_keys(|_, keys, news| {
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
        let now = self.advance(now);
        let is_cluster_missing = matches!(answer, Err(FetchError::ClusterMissing));
        let mut answer = Some(answer);
        let mut next = None;
        self.with_keys(|provider, keys, news| {
            if provider == id.provider()
                && keys.is_fetching(id)
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

    /// Another engine of this process, which does not fetch, has reported this: a key that its provider does
    /// not have ([`Event::KeyWanted`]), or a cluster ([`Event::BackendNamed`]). Other events change nothing
    /// here.
    pub fn handle_event(&mut self, event: &Event, now: UnixTime) {
        let now = self.advance(now);
        match event {
            Event::KeyWanted(wanted) => {
                if let Some(keys) = self.keys_mut(wanted.provider)
                    // The key may have arrived after the report.
                    && (wanted.is_held || !keys.has_kid(&wanted.key_id))
                {
                    keys.want(&wanted.key_id, wanted.wants, wanted.since, now);
                }
            }
            Event::BackendNamed(alias, cluster) => self.learn_backend(alias, cluster),
            Event::Keys(..) | Event::UnknownKid(_) | Event::BackendMissing(_) => {}
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

    /// The keys with which this provider's tokens are verified now, for a report.
    #[must_use]
    pub fn key_set(&self, provider: Option<ProviderId>, now: UnixTime) -> Option<&JwkSet> {
        let provider = provider?;
        match &self.config.provider(provider)?.keys {
            KeySource::Local(parsed) => Some(&parsed.set),
            KeySource::Remote(_) => self.keys(provider)?.serving(now),
        }
    }

    // --- extension backends ---

    /// Looks up the unknown clusters of extension backends in the route of a request.
    pub(super) fn look_up_backends(&mut self, context: &dyn RequestContext, now: UnixTime) {
        if !self.backends.aliases.is_empty() && (self.fetches || self.backends.is_report_due(now)) {
            for alias in self.backends.aliases.clone() {
                self.name_backend(&alias, context.backend_cluster(&alias), now);
            }
        }
    }

    /// The cluster that a route names for an alias, or nothing.
    fn name_backend(&mut self, alias: &str, found: Option<Vec<u8>>, now: UnixTime) {
        let cluster = found
            .and_then(|name| String::from_utf8(name).ok())
            // The host shows a number as its bytes.
            .filter(|name| (1..=MAX_CLUSTER_NAME).contains(&name.len()) && !name.contains(char::is_control));
        let Some(cluster) = cluster else {
            if self.backends.note_missing(alias) {
                self.events.push_back(Event::BackendMissing(alias.into()));
            }
            return;
        };
        if self.fetches {
            self.learn_backend(alias, &cluster);
        } else {
            self.backends.reported_at = now;
            let named = Event::BackendNamed(alias.into(), cluster.into());
            self.events.push_back(named);
        }
    }

    fn learn_backend(&mut self, alias: &str, cluster: &str) {
        for keys in self.remote.iter_mut().flatten() {
            keys.learn_backend(alias, cluster);
        }
        self.look_for_backends();
    }

    /// Finds the aliases that still lack a cluster. Call this when the known clusters have changed.
    fn look_for_backends(&mut self) {
        self.backends.aliases = WantedBackends::of(&self.remote).aliases;
    }

    /// Calls `run` for each provider with remote keys, reports the events, and evaluates the waiting requests
    /// again if the keys have changed.
    fn with_keys(&mut self, mut run: impl FnMut(ProviderId, &mut RemoteKeys, &mut News)) {
        for (index, keys) in self.remote.iter_mut().enumerate() {
            let Some(keys) = keys else { continue };
            let mut news = News::default();
            let provider = ProviderId::new(index);
            run(provider, keys, &mut news);
            let events = news.events.into_iter();
            self.events
                .extend(events.map(|event| Event::Keys(provider, event)));
            if news.has_changed {
                self.waiting.look_again();
            }
        }
    }
}
