//! The store's data and the locks around it.
//!
//! Only complete values are written under a lock, so the data is consistent after a panic.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, Weak};

use proxy_wasm_jwt::jose::ParsedJwkSet;
use proxy_wasm_jwt::store::{Entry, StoreKey, SwapError};

use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A value and its version, which changes with each write; 0: there was none.
#[derive(Debug, Default)]
struct Cell {
    value: Option<Vec<u8>>,
    version: u64,
}

impl Cell {
    fn get(&self) -> Entry {
        Entry {
            value: self.value.clone(),
            version: self.version,
        }
    }

    fn put(&mut self, value: &[u8]) {
        self.value = Some(value.to_vec());
        self.version = self.version.wrapping_add(1).max(1);
    }

    fn swap(&mut self, seen: u64, value: &[u8]) -> Result<(), SwapError> {
        if self.version != seen {
            return Err(SwapError::Conflict);
        }
        self.put(value);
        Ok(())
    }
}

/// The data of one key source. It lives as long as a configuration that names the source.
#[derive(Debug, Default)]
pub(crate) struct Source {
    record: Mutex<Cell>,
    /// The keys, and the version of their record.
    keys: Mutex<Option<(u64, Arc<ParsedJwkSet>)>>,
}

/// Cells by their indexes, made at their first write.
#[derive(Debug, Default)]
struct Cells<K>(Mutex<HashMap<K, Cell>>);

impl<K: Eq + Hash> Cells<K> {
    fn get(&self, key: &K) -> Entry {
        lock(&self.0)
            .get(key)
            .map_or_else(|| Cell::default().get(), Cell::get)
    }

    fn with<T>(&self, key: K, write: impl FnOnce(&mut Cell) -> T) -> T {
        write(lock(&self.0).entry(key).or_default())
    }
}

/// What the threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    generation: AtomicU64,
    sources: Mutex<HashMap<String, Weak<Source>>>,
    proofs: Box<[Cells<u16>]>,
    nonce_secret: Cells<()>,
    wake: fn(),
}

impl Shared {
    /// Used proofs are in this many parts. After the write of a record, `wake` calls the threads that wait
    /// for keys.
    pub(crate) fn new(parts: u16, wake: fn()) -> Self {
        Self {
            generation: AtomicU64::new(1),
            sources: Mutex::default(),
            proofs: (0..parts).map(|_| Cells::default()).collect(),
            nonce_secret: Cells::default(),
            wake,
        }
    }

    /// Increases with each write of a record or a document. A thread that reads this value first, and then
    /// the entries, has seen everything that was written before.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The key source of this name, whose data lasts as long as somebody holds it.
    pub(crate) fn hold(&self, name: String) -> Arc<Source> {
        let mut sources = lock(&self.sources);
        sources.retain(|_, source| source.strong_count() > 0);
        let known = sources.get(&name).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let source = Arc::<Source>::default();
            sources.insert(name, Arc::downgrade(&source));
            source
        })
    }

    fn source(&self, name: &str) -> Option<Arc<Source>> {
        lock(&self.sources).get(name).and_then(Weak::upgrade)
    }

    /// The part of the used proofs that contains the list with this index.
    fn part(&self, index: u16) -> Option<&Cells<u16>> {
        let place = usize::from(index).checked_rem(self.proofs.len())?;
        self.proofs.get(place)
    }

    fn with<T>(&self, key: StoreKey<'_>, write: impl FnOnce(&mut Cell) -> T) -> Option<T> {
        match key {
            StoreKey::Record(name) => self.source(name).map(|source| write(&mut lock(&source.record))),
            // The keys are kept in parsed form.
            StoreKey::Document(_) => None,
            StoreKey::NonceSecret => Some(self.nonce_secret.with((), write)),
            StoreKey::UsedProofs(index) => self.part(index).map(|part| part.with(index, write)),
        }
    }

    /// Threads that wait for keys read them again.
    fn announce(&self, key: StoreKey<'_>) {
        if let StoreKey::Record(_) = key {
            self.generation.fetch_add(1, Ordering::Release);
            (self.wake)();
        }
    }

    pub(crate) fn get(&self, key: StoreKey<'_>) -> Option<Entry> {
        match key {
            StoreKey::NonceSecret => Some(self.nonce_secret.get(&())),
            StoreKey::UsedProofs(index) => self.part(index).map(|part| part.get(&index)),
            StoreKey::Record(_) | StoreKey::Document(_) => self.with(key, |cell| cell.get()),
        }
    }

    /// Writes the value if no other thread has written since `seen`.
    pub(crate) fn swap(&self, key: StoreKey<'_>, seen: u64, value: &[u8]) -> Result<(), SwapError> {
        let outcome = self
            .with(key, |cell| cell.swap(seen, value))
            .unwrap_or(Err(SwapError::Failed));
        if outcome.is_ok() {
            self.announce(key);
        }
        outcome
    }

    pub(crate) fn put(&self, key: StoreKey<'_>, value: &[u8]) {
        if self.with(key, |cell| cell.put(value)).is_some() {
            self.announce(key);
        }
    }

    /// The keys that belong to this version of the source's record.
    pub(crate) fn keys(&self, name: &str, version: u64) -> Option<Arc<ParsedJwkSet>> {
        let source = self.source(name)?;
        let keys = lock(&source.keys);
        let (found, keys) = keys.as_ref()?;
        (*found == version).then(|| keys.clone())
    }

    pub(crate) fn put_keys(&self, name: &str, version: u64, keys: &Arc<ParsedJwkSet>) {
        let source = self.source(name);
        let before = source.map(|source| lock(&source.keys).replace((version, keys.clone())));
        // The last user of the old keys drops them outside the lock.
        drop(before);
    }
}
