//! Envoy's shared data as the store of the engine: names, MACs, and the keys of earlier configurations' MACs.
//!
//! Another module under the same `vm_id` can read and write all entries whose names it knows. So each entry
//! has a MAC, and names contain an id that only the holders of the MAC's key can derive; see [`crate::seal`].
//! Entries with keys have the key of the configuration, or of the operator's secret.
//!
//! Used proofs and the bytes for nonces have to be the same for all configurations: if a new configuration
//! could not read a list, it would not recognize used proofs. Without an operator's secret, the first VM
//! makes a random key for them. For each configuration, an entry hides this key from everybody without the
//! configuration, so that VMs which start later find it. A VM that gets a new configuration still knows the
//! key, and writes it for that configuration.
//!
//! The number in a name is the version of the format, so that old and new modules in one process never read
//! each other's bytes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::abi::{self, Status};
use crate::seal::{SealKey, random_bytes};
use crate::store::{Entry, SharedStore, StoreKey, SwapError};

/// Shared data for one configuration.
#[derive(Debug)]
pub(super) struct HostStore {
    seal: Rc<SealKey>,
    /// The key of the process, once the entry of this configuration contains it.
    process: RefCell<Option<Rc<SealKey>>>,
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
/// The version for Envoy with which a write always succeeds.
const ANY: u64 = 0;

/// A random key of the process.
type ProcessKey = [u8; SealKey::SIZE];

impl HostStore {
    pub(super) fn new(seal: &SealKey) -> Self {
        Self {
            seal: Rc::new(seal.clone()),
            process: RefCell::default(),
            reported: RefCell::default(),
        }
    }

    /// The name of an entry, and the key of its MAC; `None` if the process has not agreed on that key.
    fn place(&self, key: StoreKey<'_>) -> Option<(String, Rc<SealKey>)> {
        let seal = match key {
            StoreKey::UsedProofs(_) | StoreKey::NonceSecret if !self.seal.is_secret() => self.process()?,
            StoreKey::Record(_) | StoreKey::Document(_) | StoreKey::NonceSecret | StoreKey::UsedProofs(_) => {
                self.seal.clone()
            }
        };
        Some((format!("proxy-wasm-jwt/2/{}/{key}", seal.id()), seal))
    }

    /// The key of the process. It is the one that this VM knows, otherwise the one that VMs with the same
    /// configuration have left, otherwise a new one.
    #[inline(never)]
    fn process(&self) -> Option<Rc<SealKey>> {
        if let Some(known) = &*self.process.borrow() {
            return Some(known.clone());
        }
        let name = format!("proxy-wasm-jwt/2/{}/process", self.seal.id());
        let read = || {
            let entry = self.read(StoreKey::NonceSecret, &name, &self.seal)?;
            let stored = entry.value.and_then(|hidden| self.seal.reveal(&hidden));
            Some((stored, entry.version))
        };
        let write = |secret: &ProcessKey, version| {
            let hidden = self.seal.hide(secret, &random_bytes());
            write(&name, &self.seal, version, &hidden)
        };
        let (stored, version) = read()?;
        let secret = match (PROCESS.get(), stored) {
            // The entry may come from a VM that has only tried this configuration.
            (Some(known), stored) => {
                if stored != Some(known) {
                    write(&known, ANY).ok()?;
                }
                known
            }
            (None, Some(stored)) => stored,
            (None, None) => {
                let _ = write(&random_bytes(), version);
                // The key is the stored one, whichever VM wrote it.
                read()?.0?
            }
        };
        PROCESS.set(Some(secret));
        let seal = Rc::new(SealKey::from_process(&secret));
        self.process.replace(Some(seal.clone()));
        Some(seal)
    }

    /// Prepares the store for a configuration that this VM now runs: the next configuration may adopt its
    /// keys. If proofs are used, the process agrees on its key now, and not at the first proof: Envoy passes
    /// each configuration to one VM before it passes it to the others.
    pub(super) fn begin(&self, uses_proofs: bool) {
        SEALS.with_borrow_mut(|seals| {
            seals.retain(|known| *known != *self.seal);
            seals.insert(0, (*self.seal).clone());
            seals.truncate(MAX_SEALS);
        });
        if uses_proofs && !self.seal.is_secret() {
            // If the host fails, the first proof tries again.
            let _ = self.process();
        }
    }

    /// The content of an entry; `None` if it does not have our MAC.
    fn open(&self, key: StoreKey<'_>, name: &str, seal: &SealKey, entry: &[u8]) -> Option<Vec<u8>> {
        // The MAC of a megabyte takes milliseconds, and another module can write far more.
        let entry = Some(entry).filter(|entry| entry.len() <= longest(key));
        let content = entry.and_then(|entry| seal.open(name, entry));
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

    /// Reads the entry of this name.
    fn read(&self, key: StoreKey<'_>, name: &str, seal: &SealKey) -> Option<Entry> {
        match abi::shared_data(name) {
            Ok(Some((entry, version))) => Some(Entry {
                value: self.open(key, name, seal, &entry),
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
}

/// Writes an entry if it has this version.
fn write(name: &str, seal: &SealKey, version: u64, value: &[u8]) -> Result<(), SwapError> {
    // Every version that was read fits.
    let version = u32::try_from(version).unwrap_or(ABSENT);
    abi::set_shared_data(name, &seal.seal(name, value), version).map_err(|status| match status {
        Status::CAS_MISMATCH => SwapError::Conflict,
        status => {
            log::warn!("shared data cannot be written: {status:?}");
            SwapError::Failed
        }
    })
}

impl SharedStore for HostStore {
    fn get(&self, key: StoreKey<'_>) -> Option<Entry> {
        let (name, seal) = self.place(key)?;
        self.read(key, &name, &seal)
    }

    fn swap(&self, key: StoreKey<'_>, seen: u64, value: &[u8]) -> Result<(), SwapError> {
        let (name, seal) = self.place(key).ok_or(SwapError::Failed)?;
        write(&name, &seal, seen, value)
    }

    fn put(&self, key: StoreKey<'_>, value: &[u8]) {
        // The log has the reason of a failure.
        let _ = self.swap(key, ANY, value);
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
                if *seal != *self.seal && !seal.is_secret() {
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
    /// The key of the process, once this VM knows it.
    static PROCESS: Cell<Option<ProcessKey>> = const { Cell::new(None) };
}

/// The number of configurations whose keys a VM remembers.
const MAX_SEALS: usize = 8;

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
                store.open(key, "name", &store.seal, &entry).is_some()
            };
            assert!(is_read(longest(key) - 32), "{key}");
            assert!(!is_read(longest(key)), "{key}");
        }
    }
}
