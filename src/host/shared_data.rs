//! Envoy's shared data as the store of the engine: names, MACs, and the keys of earlier configurations' MACs.
//!
//! Another module under the same `vm_id` can read and write all entries. So the entries with keys have a MAC,
//! which only the same configuration, or the same secret, can make; see [`crate::seal`]. The lists of used
//! proofs and the bytes for nonces have to be the same for all configurations. They have a MAC only if the
//! operator sets a secret: if a new configuration could not read a list, it would not recognize used proofs.
//!
//! The number in a name is the version of the format, so that old and new modules in one process never read
//! each other's bytes.

use std::cell::RefCell;

use super::abi::{self, Status};
use crate::seal::SealKey;
use crate::store::{Entry, SharedStore, StoreKey, SwapError};

/// Shared data for one configuration.
#[derive(Debug)]
pub(super) struct HostStore {
    seal: SealKey,
    /// The key sources for which the filter has warned that a foreign module writes their entries.
    reported: RefCell<Vec<String>>,
}

/// More bytes than this filter writes to an entry: a document has at most 4 MiB.
const fn longest(key: StoreKey<'_>) -> usize {
    match key {
        StoreKey::Document(_) => 5 << 20,
        StoreKey::Record(_) => 1 << 20,
        StoreKey::NonceSecret | StoreKey::UsedProofs(_) => 8 << 10,
    }
}

/// The version of an absent entry for Envoy: the write succeeds only while there is none.
const ABSENT: u32 = u32::MAX;

/// The random bytes for nonces of a filter without `shared_data.secret`, whatever its configuration.
const NONCE_SECRET: &str = "proxy-wasm-jwt/1/nonce-secret";

impl HostStore {
    pub(super) fn new(seal: &SealKey) -> Self {
        Self {
            seal: seal.clone(),
            reported: RefCell::default(),
        }
    }

    /// The name of an entry, and whether it has a MAC.
    fn name(&self, key: StoreKey<'_>) -> (String, bool) {
        match key {
            StoreKey::UsedProofs(_) if !self.seal.is_secret() => (format!("proxy-wasm-jwt/2/{key}"), false),
            StoreKey::NonceSecret if !self.seal.is_secret() => (NONCE_SECRET.to_owned(), false),
            StoreKey::Record(_) | StoreKey::Document(_) | StoreKey::NonceSecret | StoreKey::UsedProofs(_) => {
                (format!("proxy-wasm-jwt/2/{}/{key}", self.seal.id()), true)
            }
        }
    }

    /// The content of an entry; `None` if it does not have our MAC.
    fn open(&self, key: StoreKey<'_>, name: &str, entry: &[u8]) -> Option<Vec<u8>> {
        // The MAC of a megabyte takes milliseconds, and another module can write far more.
        let entry = Some(entry).filter(|entry| entry.len() <= longest(key));
        let content = entry.and_then(|entry| self.seal.open(name, entry));
        let content = content.map(<[u8]>::to_vec);
        if content.is_none()
            && let StoreKey::Record(source) | StoreKey::Document(source) = key
        {
            self.report(source, name);
        }
        content
    }

    /// Warns once for each key source, because the other module may write again and again.
    fn report(&self, source: &str, name: &str) {
        let mut reported = self.reported.borrow_mut();
        if reported.iter().all(|known| known != source) {
            reported.push(source.to_owned());
            log::warn!(
                "shared data {name} was not written by this filter, but by another module with the same vm_id; \
                 the filter ignores the entry"
            );
        }
    }

    fn write(&self, key: StoreKey<'_>, version: u32, value: &[u8]) -> Result<(), Status> {
        let (name, is_sealed) = self.name(key);
        match is_sealed {
            true => abi::set_shared_data(&name, &self.seal.seal(&name, value), version),
            false => abi::set_shared_data(&name, value, version),
        }
    }
}

impl SharedStore for HostStore {
    fn get(&self, key: StoreKey<'_>) -> Option<Entry> {
        let (name, is_sealed) = self.name(key);
        match abi::shared_data(&name) {
            Ok(Some((entry, version))) => Some(Entry {
                value: match is_sealed {
                    true => self.open(key, &name, &entry),
                    false => Some(entry).filter(|entry| entry.len() <= longest(key)),
                },
                version: version.into(),
            }),
            Ok(None) => Some(Entry {
                value: None,
                version: ABSENT.into(),
            }),
            Err(status) => {
                log::warn!("shared data cannot be read: {status:?}");
                None
            }
        }
    }

    fn swap(&self, key: StoreKey<'_>, seen: u64, value: &[u8]) -> Result<(), SwapError> {
        // Every version that `get` returns fits.
        let version = u32::try_from(seen).unwrap_or(ABSENT);
        self.write(key, version, value).map_err(|status| match status {
            Status::CAS_MISMATCH => SwapError::Conflict,
            status => {
                log::warn!("shared data cannot be written: {status:?}");
                SwapError::Failed
            }
        })
    }

    fn put(&self, key: StoreKey<'_>, value: &[u8]) {
        if let Err(status) = self.write(key, 0, value) {
            log::warn!("shared data cannot be written: {status:?}");
        }
    }

    /// None if the operator has set a secret: the secret is the same after a reload, and a record without it
    /// is less trustworthy.
    fn predecessors(&self) -> Vec<Box<dyn SharedStore>> {
        if self.seal.is_secret() {
            return Vec::new();
        }
        let mut stores: Vec<Box<dyn SharedStore>> = Vec::new();
        SEALS.with_borrow(|seals| {
            for seal in seals {
                if *seal != self.seal && !seal.is_secret() {
                    stores.push(Box::new(Self::new(seal)));
                }
            }
        });
        stores
    }
}

thread_local! {
    /// The MAC keys of the configurations that this VM has run, the last one first. No other module can read
    /// or write the memory of the VM.
    static SEALS: RefCell<Vec<SealKey>> = const { RefCell::new(Vec::new()) };
}

/// The number of configurations whose keys a VM remembers.
const MAX_SEALS: usize = 8;

/// Remembers the MAC key of a configuration for the next configuration.
pub(super) fn remember_seal(seal: &SealKey) {
    SEALS.with_borrow_mut(|seals| {
        seals.retain(|known| known != seal);
        seals.insert(0, seal.clone());
        seals.truncate(MAX_SEALS);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_larger_than_any_of_ours_is_not_read() {
        let store = HostStore::new(&SealKey::from_secret(b"secret"));
        for key in [
            StoreKey::Record("source"),
            StoreKey::Document("source"),
            StoreKey::NonceSecret,
            StoreKey::UsedProofs(7),
        ] {
            let is_read = |length| {
                let entry = store.seal.seal("name", &vec![b' '; length]);
                store.open(key, "name", &entry).is_some()
            };
            assert!(is_read(longest(key) - 32), "{key}");
            assert!(!is_read(longest(key)), "{key}");
        }
    }
}
