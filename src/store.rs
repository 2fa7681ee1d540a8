//! The data that all workers of a process share, as seen by the engine: versioned entries, replaced by
//! compare-and-swap.
//!
//! The host passes a [`SharedStore`] to the engine with each event. Envoy's shared data is one
//! implementation, and [`InMemoryStore`] is another. The store chooses the names of its entries and protects
//! their content; the engine chooses the content, and the order of writes.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::jose::ParsedJwkSet;

/// Identifies an entry. Its text form is the same in every build, and differs for different entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreKey<'a> {
    /// The [`KeyRecord`](crate::keys::KeyRecord) of the key source with this fingerprint.
    Record(&'a str),
    /// The JWKS document of the key source with this fingerprint.
    Document(&'a str),
    /// The random bytes from which the process makes the secret of its DPoP nonces.
    NonceSecret,
    /// One of the lists of DPoP proofs that were used, by [its
    /// number](crate::binding::replay::ProofId::record).
    UsedProofs(u16),
}

impl fmt::Display for StoreKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(source) => write!(f, "{source}/head"),
            Self::Document(source) => write!(f, "{source}/jwks"),
            Self::NonceSecret => f.write_str("nonce-secret"),
            Self::UsedProofs(number) => write!(f, "proofs/{number}"),
        }
    }
}

/// An entry as the store returned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The content; `None` if the entry is absent, or if the store does not trust it.
    pub value: Option<Vec<u8>>,
    /// The version, for [`SharedStore::swap`]. An absent entry has one as well.
    pub version: u64,
}

/// The reason for which the store did not replace an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapError {
    /// Another worker has written the entry since it was read.
    Conflict,
    /// The store could not write.
    Failed,
}

/// The shared data of the workers of a process. Methods take `&self`: several workers may use one store at
/// once.
///
/// The engine calls these methods while it handles an event, so they must not call the engine.
pub trait SharedStore {
    /// Reads an entry; `None` if the store cannot be read.
    fn get(&self, key: StoreKey<'_>) -> Option<Entry>;

    /// Replaces an entry if it still has the version with which it was read.
    ///
    /// # Errors
    ///
    /// Fails if the entry has another version, or the store cannot write it.
    fn swap(&self, key: StoreKey<'_>, seen: u64, value: &[u8]) -> Result<(), SwapError>;

    /// Replaces an entry of any version.
    fn put(&self, key: StoreKey<'_>, value: &[u8]);

    /// The parsed keys of this version of a source's document, if the store keeps parsed keys. A store in the
    /// memory of the engines does, so that each document is parsed once. `None` refers the engine to
    /// [`StoreKey::Document`].
    fn keys(&self, _source: &str, _version: u64) -> Option<Arc<ParsedJwkSet>> {
        None
    }

    /// Keeps parsed keys in place of their document. False if the store keeps bytes only.
    fn put_keys(&self, _source: &str, _version: u64, _keys: &Arc<ParsedJwkSet>) -> bool {
        false
    }

    /// The stores of earlier configurations of this process whose keys this one may adopt, newest first.
    fn predecessors(&self) -> Vec<Box<dyn SharedStore>> {
        Vec::new()
    }
}

/// A store in the memory of one process, for engines in several threads.
#[derive(Debug, Default)]
pub struct InMemoryStore {
    entries: Mutex<HashMap<String, (Vec<u8>, u64)>>,
    generation: AtomicU64,
}

impl InMemoryStore {
    /// The number of writes so far. A worker calls
    /// [`Authenticator::handle_shared`](crate::authenticator::Authenticator::handle_shared) when it has
    /// changed.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, (Vec<u8>, u64)>> {
        // No method leaves an entry half written, even if it panics.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, entries: &mut HashMap<String, (Vec<u8>, u64)>, key: StoreKey<'_>, value: &[u8]) {
        let version = self.generation.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        entries.insert(key.to_string(), (value.to_vec(), version));
    }
}

impl SharedStore for InMemoryStore {
    fn get(&self, key: StoreKey<'_>) -> Option<Entry> {
        let entries = self.entries();
        let entry = entries.get(&key.to_string());
        Some(Entry {
            value: entry.map(|(value, _)| value.clone()),
            version: entry.map_or(0, |(_, version)| *version),
        })
    }

    fn swap(&self, key: StoreKey<'_>, seen: u64, value: &[u8]) -> Result<(), SwapError> {
        let mut entries = self.entries();
        if entries.get(&key.to_string()).map_or(0, |(_, version)| *version) != seen {
            return Err(SwapError::Conflict);
        }
        self.write(&mut entries, key, value);
        Ok(())
    }

    fn put(&self, key: StoreKey<'_>, value: &[u8]) {
        self.write(&mut self.entries(), key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_replaced_only_with_the_version_that_it_has() {
        let store = InMemoryStore::default();
        let key = StoreKey::Record("source");
        let absent = store.get(key).unwrap();
        assert_eq!(absent.value, None);
        assert_eq!(store.swap(key, absent.version, b"one"), Ok(()));
        assert_eq!(store.swap(key, absent.version, b"two"), Err(SwapError::Conflict));
        let one = store.get(key).unwrap();
        assert_eq!(one.value.as_deref(), Some(&b"one"[..]));
        store.put(key, b"three");
        assert_eq!(store.swap(key, one.version, b"four"), Err(SwapError::Conflict));
        assert_eq!(store.get(StoreKey::Document("source")).unwrap().value, None);
        assert_eq!(store.generation(), 2);
    }

    #[test]
    fn of_threads_that_swap_at_once_one_succeeds() {
        let store = InMemoryStore::default();
        let key = StoreKey::UsedProofs(7);
        let seen = store.get(key).unwrap().version;
        let swaps: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8_u8)
                .map(|number| {
                    scope.spawn({
                        let store = &store;
                        move || store.swap(key, seen, &[number])
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(swaps.iter().filter(|swap| swap.is_ok()).count(), 1);
    }
}
