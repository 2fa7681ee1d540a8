//! The engine's part in fetching keys: what to ask for, what to make of an answer, what to tell other workers and take from them.
//!
//! What a provider's keys are worth, [`crate::keys`] knows; here they are found by their provider, and whoever waits for them is
//! looked at again.

use super::{Authenticator, KeyGauges};
use crate::ids::ProviderId;
use crate::keys::KeySource;
use crate::keys::{
    DueFetch, FetchError, FetchId, FetchRequest, Fetched, KeyRecord, Publication, RemoteKeys, Settled,
};
use crate::time::UnixTime;

impl Authenticator {
    /// The fetches that are due now. Ask [`Self::acquire_lease`] for each.
    #[must_use]
    pub fn poll_fetches(&mut self, now: UnixTime) -> Vec<DueFetch> {
        let due = self
            .config
            .provider_ids()
            .filter(|id| self.keys(*id).is_some_and(|keys| keys.is_fetch_due(now)));
        let due: Vec<_> = due.collect();
        due.into_iter()
            .map(|provider| {
                self.next_fetch = self.next_fetch.wrapping_add(1);
                DueFetch {
                    id: FetchId(self.next_fetch),
                    provider,
                }
            })
            .collect()
    }

    /// Takes the process's lease for a fetch, given the provider's record in shared data: what to write there by
    /// compare-and-swap, and the request to send once that has succeeded. If the swap fails, call [`Self::lose_lease`].
    /// `None`: somebody else fetches already.
    pub fn acquire_lease(
        &mut self,
        claim: DueFetch,
        record: Option<&[u8]>,
        now: UnixTime,
    ) -> Option<(Vec<u8>, FetchRequest)> {
        let keys = self.keys_mut(claim.provider)?;
        let request = keys.acquire_lease(claim.id, record.and_then(KeyRecord::decode), now)?;
        Some((keys.head().encode(), request))
    }

    /// The compare-and-swap of a claim has failed: another worker was faster.
    pub fn lose_lease(&mut self, claim: DueFetch) {
        if let Some(keys) = self.keys_mut(claim.provider) {
            keys.lose_lease(claim.id);
        }
    }

    /// A further request under a lease that is held, after the answer to the one before: send it at once. Its answer
    /// comes under the same number.
    #[must_use]
    pub fn poll_request(&mut self) -> Option<(ProviderId, FetchRequest)> {
        let mut all = self.config.provider_ids();
        all.find_map(|id| Some((id, self.keys_mut(id)?.poll_request()?)))
    }

    /// A fetch was answered, or failed. An answer to a fetch that was given up is ignored.
    pub fn handle_fetched(
        &mut self,
        provider: ProviderId,
        id: FetchId,
        answer: Result<Fetched<'_>, FetchError>,
        now: UnixTime,
    ) {
        let mut events = Vec::new();
        if let Some(keys) = self.keys_mut(provider) {
            keys.handle_fetched(id, answer, now, &mut events);
        }
        self.announce(provider, events);
        self.reconsider(now);
    }

    /// Whether a fetch's outcome is to be written into shared data.
    #[must_use]
    pub fn poll_publish(&self) -> Option<ProviderId> {
        self.config
            .provider_ids()
            .find(|id| self.keys(*id).is_some_and(RemoteKeys::has_unpublished))
    }

    /// What to write, given the provider's present record there. To be called for every provider that
    /// [`Self::poll_publish`] names.
    pub fn settle(&mut self, provider: ProviderId, record: Option<&[u8]>) -> Option<Publication> {
        let current = record.and_then(KeyRecord::decode);
        let settled = self.keys_mut(provider)?.settle(current.as_ref());
        settled.map(Settled::into_publication)
    }

    /// The name of the place in shared data where the provider's record and document are; `None` where its keys are local.
    #[must_use]
    pub fn shared_place(&self, provider: ProviderId) -> Option<String> {
        self.keys(provider).map(|keys| keys.source().fingerprint())
    }

    /// The longest document that a provider's issuer may answer with.
    #[must_use]
    pub fn max_response_bytes(&self, provider: ProviderId) -> usize {
        self.keys(provider)
            .map_or(0, |keys| keys.source().key_cache.max_response_bytes)
    }

    /// Whether the document has to be read as well, to take over this record.
    #[must_use]
    pub fn needs_document(&self, provider: ProviderId, record: &[u8]) -> bool {
        self.keys(provider)
            .zip(KeyRecord::decode(record))
            .is_some_and(|(keys, head)| keys.needs_document(&head))
    }

    /// Whether the provider's keys are fetched, and there are none that serve.
    #[must_use]
    pub fn lacks_keys(&self, provider: ProviderId, now: UnixTime) -> bool {
        self.keys(provider)
            .is_some_and(|keys| keys.serving(now).is_none())
    }

    /// What this worker knows of the provider's keys, as a record; `None`: it knows none.
    #[must_use]
    pub fn record(&self, provider: ProviderId) -> Option<Vec<u8>> {
        let keys = self.keys(provider)?;
        (keys.count() > 0).then(|| keys.head().encode())
    }

    /// The provider's record in shared data, and the document where [`Self::needs_document`] says so.
    pub fn handle_shared(
        &mut self,
        provider: ProviderId,
        record: &[u8],
        document: Option<&[u8]>,
        now: UnixTime,
    ) {
        let mut events = Vec::new();
        let has_changed = self
            .keys_mut(provider)
            .zip(KeyRecord::decode(record))
            .is_some_and(|(keys, head)| keys.handle_shared(head, document, now, &mut events));
        self.announce(provider, events);
        if has_changed {
            self.reconsider(now);
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
}
