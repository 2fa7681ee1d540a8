//! The data that all threads of the process share: the core's [`SharedStore`] in the process's own memory.
//!
//! No other module can read or write it, so it needs no MAC, and a new configuration finds the data of the
//! previous one. Only complete values are written under a lock, so the data is consistent after a panic.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use proxy_wasm_jwt::jose::{JwkSet, JwksFault, ParsedJwkSet};
use proxy_wasm_jwt::keys::KeySource;
use proxy_wasm_jwt::settings::Config;
use proxy_wasm_jwt::store::{Entry, SharedStore, StoreKey, SwapError};

use crate::clock;

/// Increases with each write of a record or a document. A thread that reads this number first, and then the
/// entries, has seen everything that was written before.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// See [`GENERATION`].
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Acquire)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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

type Sources = Mutex<HashMap<String, Weak<Source>>>;

fn sources() -> &'static Sources {
    static SOURCES: OnceLock<Sources> = OnceLock::new();
    SOURCES.get_or_init(Mutex::default)
}

/// The key sources of a configuration, which keeps their data alive.
pub(crate) fn sources_of(config: &Config) -> Vec<Arc<Source>> {
    let mut sources = lock(sources());
    sources.retain(|_, source| source.strong_count() > 0);
    let remote = config
        .providers
        .iter()
        .filter_map(|provider| match &provider.keys {
            KeySource::Remote(source) => Some(source.fingerprint()),
            KeySource::Local(_) => None,
        });
    remote
        .map(|name| {
            let known = sources.get(&name).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let source = Arc::<Source>::default();
                sources.insert(name, Arc::downgrade(&source));
                source
            })
        })
        .collect()
}

/// Each part of the used proofs has its own lock, so that workers seldom wait for each other.
const PARTS: u16 = 256;

/// Cells by their numbers, made at their first write.
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

/// The list of used proofs with this number.
fn proofs(number: u16) -> Option<&'static Cells<u16>> {
    static PROOFS: OnceLock<Box<[Cells<u16>]>> = OnceLock::new();
    let parts = PROOFS.get_or_init(|| (0..PARTS).map(|_| Cells::default()).collect());
    parts.get(usize::from(number.checked_rem(PARTS)?))
}

fn nonce_secret() -> &'static Cells<()> {
    static SECRET: OnceLock<Cells<()>> = OnceLock::new();
    SECRET.get_or_init(Cells::default)
}

/// The documents of `local_jwks` in use, with their keys.
type LocalKeys = Mutex<HashMap<Box<[u8]>, Weak<ParsedJwkSet>>>;

/// Parses a document of `local_jwks`, or returns the keys that another engine has parsed: each worker parses
/// the configuration for itself.
///
/// # Errors
///
/// Fails for the same reasons as [`JwkSet::parse`].
pub(crate) fn local_keys(document: &[u8]) -> Result<Arc<ParsedJwkSet>, JwksFault> {
    static LOCAL: OnceLock<LocalKeys> = OnceLock::new();
    // Held during the parsing of a document: other threads wait for the result instead of parsing it too.
    let mut local = lock(LOCAL.get_or_init(Mutex::default));
    if let Some(known) = local.get(document).and_then(Weak::upgrade) {
        return Ok(known);
    }
    local.retain(|_, keys| keys.strong_count() > 0);
    let parsed = Arc::new(JwkSet::parse(document)?);
    local.insert(document.into(), Arc::downgrade(&parsed));
    Ok(parsed)
}

fn source(name: &str) -> Option<Arc<Source>> {
    lock(sources()).get(name).and_then(Weak::upgrade)
}

/// The process's store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessStore;

impl ProcessStore {
    fn with<T>(key: StoreKey<'_>, write: impl FnOnce(&mut Cell) -> T) -> Option<T> {
        match key {
            StoreKey::Record(name) => source(name).map(|source| write(&mut lock(&source.record))),
            // The keys are kept in parsed form.
            StoreKey::Document(_) => None,
            StoreKey::NonceSecret => Some(nonce_secret().with((), write)),
            StoreKey::UsedProofs(number) => proofs(number).map(|part| part.with(number, write)),
        }
    }

    /// Threads that wait for keys read them again.
    fn announce(key: StoreKey<'_>) {
        if let StoreKey::Record(_) = key {
            GENERATION.fetch_add(1, Ordering::Release);
            clock::wake_waiting();
        }
    }
}

impl SharedStore for ProcessStore {
    fn get(&self, key: StoreKey<'_>) -> Option<Entry> {
        match key {
            StoreKey::NonceSecret => Some(nonce_secret().get(&())),
            StoreKey::UsedProofs(number) => proofs(number).map(|part| part.get(&number)),
            StoreKey::Record(_) | StoreKey::Document(_) => Self::with(key, |cell| cell.get()),
        }
    }

    fn swap(&self, key: StoreKey<'_>, seen: u64, value: &[u8]) -> Result<(), SwapError> {
        let outcome = Self::with(key, |cell| cell.swap(seen, value)).unwrap_or(Err(SwapError::Failed));
        if outcome.is_ok() {
            Self::announce(key);
        }
        outcome
    }

    fn keys(&self, name: &str, version: u64) -> Option<Arc<ParsedJwkSet>> {
        let source = source(name)?;
        let keys = lock(&source.keys);
        let (found, keys) = keys.as_ref()?;
        (*found == version).then(|| keys.clone())
    }

    fn put_keys(&self, name: &str, version: u64, keys: &Arc<ParsedJwkSet>) -> bool {
        let source = source(name);
        let before = source.map(|source| lock(&source.keys).replace((version, keys.clone())));
        // The last user of the old keys drops them outside the lock.
        drop(before);
        // A source without a configuration has no readers.
        true
    }

    fn put(&self, key: StoreKey<'_>, value: &[u8]) {
        if Self::with(key, |cell| cell.put(value)).is_some() {
            Self::announce(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    fn config(path: &str) -> Config {
        let text = r#"{"providers": {"corp": {"issuer": "https://issuer.example", "audiences": ["a"],
            "remote_jwks": {"http_uri": {"uri": "http://idp/PATH", "cluster": "c", "timeout": "1s"}}}}}"#;
        crate::text::parse(text.replace("PATH", path).as_bytes()).expect("a configuration")
    }

    fn name(config: &Config) -> String {
        match &config.providers[0].keys {
            KeySource::Remote(source) => source.fingerprint(),
            KeySource::Local(_) => String::new(),
        }
    }

    #[test]
    fn a_source_lasts_as_long_as_a_configuration_that_names_it() {
        let config = config("lasting");
        let name = name(&config);
        let key = StoreKey::Record(&name);
        assert_eq!(ProcessStore.get(key), None);
        let (one, other) = (sources_of(&config), sources_of(&config));
        ProcessStore.put(key, b"record");
        drop(one);
        assert_eq!(
            ProcessStore.get(key).and_then(|entry| entry.value).as_deref(),
            Some(&b"record"[..])
        );
        drop(other);
        assert_eq!(ProcessStore.get(key), None);
        assert_eq!(ProcessStore.swap(key, 0, b"late"), Err(SwapError::Failed));
    }

    /// The engine writes in this order: the keys, then the record with their version.
    #[test]
    fn no_reader_sees_the_keys_of_another_version_or_an_older_one_than_was_announced() {
        const READERS: usize = 4;
        const SETS: u64 = 16;
        const ROUNDS: u64 = 20_000;
        let config = config("versions");
        let (name, _sources) = (name(&config), sources_of(&config));
        let key = StoreKey::Record(&name);
        let sets: Vec<_> = (0..SETS)
            .map(|number| {
                // RFC 8037 appendix A, under names of their own.
                let document = format!(
                    r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{number}","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}]}}"#
                );
                Arc::new(JwkSet::parse(document.as_bytes()).expect("keys"))
            })
            .collect();
        let of_version = |version: u64| &sets[usize::try_from(version % SETS).expect("small")];
        let announced = AtomicU64::new(0);
        let (seen, missed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let reader = || {
            let mut last = 0;
            while last < ROUNDS {
                let at_least = announced.load(Ordering::Acquire);
                let before = generation();
                let record = ProcessStore.get(key).and_then(|entry| entry.value);
                let version =
                    record.map_or(0, |value| u64::from_le_bytes(value.try_into().expect("8 bytes")));
                assert!(
                    version >= at_least.max(last),
                    "{version}: {at_least} was announced"
                );
                assert!(version == 0 || before > 0);
                match ProcessStore.keys(&name, version) {
                    Some(keys) => {
                        assert!(Arc::ptr_eq(&keys, of_version(version)), "keys of another version");
                        seen.fetch_add(1, Ordering::Relaxed);
                    }
                    // Its writer is at the next one already.
                    None => {
                        missed.fetch_add(1, Ordering::Relaxed);
                    }
                }
                last = version;
            }
        };
        thread::scope(|scope| {
            for _ in 0..READERS {
                scope.spawn(reader);
            }
            for version in 1..=ROUNDS {
                let before = generation();
                assert!(ProcessStore.put_keys(&name, version, of_version(version)));
                let entry = ProcessStore.get(key).expect("an entry");
                assert_eq!(
                    ProcessStore.swap(key, entry.version, &version.to_le_bytes()),
                    Ok(())
                );
                assert!(generation() > before);
                announced.store(version, Ordering::Release);
            }
        });
        assert!(
            seen.load(Ordering::Relaxed) >= READERS,
            "each has seen the last one"
        );
        // One is here, one in the store.
        assert_eq!(Arc::strong_count(of_version(ROUNDS)), 2);
    }

    #[test]
    fn of_all_who_saw_a_version_one_writes() {
        const THREADS: usize = 8;
        const ROUNDS: usize = 2000;
        let config = config("contended");
        let (name, _sources) = (name(&config), sources_of(&config));
        for key in [
            StoreKey::Record(&name),
            StoreKey::NonceSecret,
            StoreKey::UsedProofs(257),
        ] {
            let written = AtomicUsize::new(0);
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        for _ in 0..ROUNDS {
                            let seen = ProcessStore.get(key).expect("an entry");
                            let count = seen.value.map_or(0, |value| {
                                usize::from_le_bytes(value.try_into().expect("8 bytes"))
                            });
                            let before = generation();
                            if ProcessStore
                                .swap(key, seen.version, &(count + 1).to_le_bytes())
                                .is_ok()
                            {
                                written.fetch_add(1, Ordering::Relaxed);
                                let is_announced = matches!(key, StoreKey::Record(_));
                                assert!(!is_announced || generation() > before);
                            }
                        }
                    });
                }
            });
            let count = ProcessStore.get(key).and_then(|entry| entry.value);
            let count = count.map(|value| usize::from_le_bytes(value.try_into().expect("8 bytes")));
            assert_eq!(
                count,
                Some(written.load(Ordering::Relaxed)),
                "no write was lost or counted twice"
            );
        }
    }
}
