//! The data of one provider that workers share in the store: the record with the lease, and the document.
//!
//! Every compare-and-swap of the record is here. [`super::record`] defines its meaning, and
//! [`super::fetching`] the time of a fetch.

use std::sync::Arc;

use super::event::KeyEvent;
use super::fetch::{FetchId, FetchRequest};
use super::record::KeyRecord;
use super::remote::RemoteKeys;
use crate::jose::{JwkSet, ParsedJwkSet};
use crate::store::{SharedStore, StoreKey};
use crate::time::UnixTime;

/// News about the keys of one provider.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Events for the operator.
    pub(crate) events: Vec<KeyEvent>,
    /// Keys, or the answer to a question about them, may have changed: the engine evaluates the waiting
    /// requests again.
    pub(crate) has_changed: bool,
}

impl RemoteKeys {
    /// Adopts what other workers have stored.
    pub(crate) fn read_shared(&mut self, store: &dyn SharedStore, now: UnixTime, news: &mut News) {
        if self.serving(now).is_none() {
            self.take_over(store, now, news);
        }
        let record = store.get(self.record_key()).and_then(|entry| entry.value);
        let Some(record) = record.and_then(|record| KeyRecord::decode(&record)) else {
            return;
        };
        let keys = match self.needs_document(&record) {
            true => self.shared_keys(store, record.version),
            false => None,
        };
        self.adopt(record, keys, now, news);
    }

    /// Adopts the keys of another configuration, if they are newer, and copies them for the other workers.
    fn take_over(&mut self, store: &dyn SharedStore, now: UnixTime, news: &mut News) {
        for earlier in store.predecessors() {
            let (Some(own), Some(theirs)) = (store.get(self.record_key()), earlier.get(self.record_key()))
            else {
                return;
            };
            let known = match &own.value {
                Some(record) => KeyRecord::decode(record),
                None => (self.count() > 0).then(|| self.record.clone()),
            };
            let Some(bytes) = theirs.value else { continue };
            let Some(record) = KeyRecord::decode(&bytes).filter(|record| record.supersedes(known.as_ref()))
            else {
                continue;
            };
            // This does not write the end of that fetch: with keys, this worker would wait until the lease
            // ends.
            if record.is_leased(now) && self.serving(now).is_some() {
                continue;
            }
            let document = earlier.get(self.document_key()).and_then(|entry| entry.value);
            // Not only through the store: a foreign module may overwrite the entry before this worker reads
            // it.
            let keys = document
                .as_deref()
                .filter(|_| self.needs_document(&record))
                .and_then(|document| parse(record.version, document));
            self.adopt(record, keys, now, news);
            if let Some(document) = document {
                store.put(self.document_key(), &document);
            }
            let _ = store.swap(self.record_key(), own.version, &bytes);
        }
    }

    /// Takes the lease for a fetch that is due, and returns the request to send. `None` if another worker was
    /// faster.
    pub(crate) fn begin_fetch(
        &mut self,
        id: FetchId,
        store: &dyn SharedStore,
        now: UnixTime,
        news: &mut News,
    ) -> Option<FetchRequest> {
        // An earlier configuration may have fetched just now.
        self.take_over(store, now, news);
        let seen = store.get(self.record_key())?;
        let current = seen.value.and_then(|record| KeyRecord::decode(&record));
        let request = self.acquire_lease(id, current, now)?;
        let written = store.swap(self.record_key(), seen.version, &self.record.encode());
        // If a foreign module overwrites the entry all the time, no worker can get a lease. Then each worker
        // fetches for itself.
        let is_taken = || {
            let entry = store.get(self.record_key());
            entry.is_none_or(|entry| entry.value.is_some())
        };
        if written.is_err() && is_taken() {
            // The next call reads the other worker's record.
            self.in_flight = None;
            return None;
        }
        Some(request)
    }

    /// Stores the outcome of a fetch, if this worker still holds the lease. Otherwise another worker has
    /// taken over, and publishes its own result.
    pub fn publish(&mut self, store: &dyn SharedStore) {
        let Some(unpublished) = self.unpublished.take() else {
            return;
        };
        let Some(seen) = store.get(self.record_key()) else {
            return;
        };
        // Without a record, no other worker holds the lease.
        let current = seen.value.and_then(|record| KeyRecord::decode(&record));
        if current.is_some_and(|current| current.lease.map(|lease| lease.holder) != Some(unpublished.holder))
        {
            return;
        }
        if let Some(document) = unpublished.document {
            let version = self.record.version;
            let is_kept = self
                .held
                .as_ref()
                .is_some_and(|keys| store.put_keys(&self.fingerprint, version, keys));
            if !is_kept {
                store.put(self.document_key(), &versioned(version, &document));
            }
        }
        let _ = store.swap(self.record_key(), seen.version, &self.record.encode());
    }

    fn record_key(&self) -> StoreKey<'_> {
        StoreKey::Record(&self.fingerprint)
    }

    fn document_key(&self) -> StoreKey<'_> {
        StoreKey::Document(&self.fingerprint)
    }

    /// The keys of this version: those that another engine of the process has parsed, or else those in the
    /// document.
    fn shared_keys(&self, store: &dyn SharedStore, version: u64) -> Option<Arc<ParsedJwkSet>> {
        store.keys(&self.fingerprint, version).or_else(|| {
            let document = store.get(self.document_key())?.value?;
            parse(version, &document)
        })
    }

    /// Whether this worker also needs the document to adopt the record.
    fn needs_document(&self, record: &KeyRecord) -> bool {
        self.in_flight.is_none()
            && self.unpublished.is_none()
            && record.version != 0
            && record.version != self.record.version
    }

    /// Adopts a record of the process: another worker's lease, failure or keys.
    fn adopt(&mut self, record: KeyRecord, keys: Option<Arc<ParsedJwkSet>>, now: UnixTime, news: &mut News) {
        // The worker's own fetch will provide more than the record, which is the worker's own anyway.
        let is_busy = self.in_flight.is_some() || self.unpublished.is_some();
        if is_busy || record == self.record || self.is_behind(&record, now) {
            return;
        }
        if record.version != self.record.version {
            let Some(keys) = keys else {
                // The writer is between two writes, or another worker was faster. This worker keeps its keys,
                // and stores the document again if it stays unreadable.
                self.unreadable = Some(record.version);
                return;
            };
            news.events.push(KeyEvent::Adopted { keys: keys.set.len() });
            self.hold(keys, true, now);
            self.unreadable = None;
        }
        self.take_record(record);
        news.has_changed = true;
    }
}

/// The document with its version in front: a store cannot write record and document at once, and a reader
/// must not combine the document with another record.
fn versioned(version: u64, document: &[u8]) -> Vec<u8> {
    [&version.to_le_bytes(), document].concat()
}

/// The keys of a document whose version in front is this one.
fn parse(version: u64, bytes: &[u8]) -> Option<Arc<ParsedJwkSet>> {
    let (found, document) = bytes.split_first_chunk::<8>()?;
    match u64::from_le_bytes(*found) == version {
        true => JwkSet::parse(document).ok().map(Arc::new),
        false => None,
    }
}
