//! The data that all threads of the process share: the core's [`SharedStore`] in the process's own memory.
//!
//! No other module can read or write it, so it needs no MAC, and a new configuration finds the data of the
//! previous one.

mod shared;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use proxy_wasm_jwt::jose::{JwkSet, JwksFault, ParsedJwkSet};
use proxy_wasm_jwt::keys::KeySource;
use proxy_wasm_jwt::settings::Config;
use proxy_wasm_jwt::store::{Entry, SharedStore, StoreKey, SwapError};

use crate::clock;
use shared::{Shared, lock};

pub(crate) use shared::Source;

/// Each part of the used proofs has its own lock, so that workers seldom wait for each other.
const PARTS: u16 = 256;

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| Shared::new(PARTS, clock::wake_waiting))
}

/// See [`Shared::generation`].
pub(crate) fn generation() -> u64 {
    shared().generation()
}

/// The key sources of a configuration, which keeps their data alive.
pub(crate) fn sources_of(config: &Config) -> Vec<Arc<Source>> {
    let remote = config
        .providers
        .iter()
        .filter_map(|provider| match &provider.keys {
            KeySource::Remote(source) => Some(source.fingerprint()),
            KeySource::Local(_) => None,
        });
    remote.map(|name| shared().hold(name)).collect()
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

/// The process's store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessStore;

impl SharedStore for ProcessStore {
    fn get(&self, key: StoreKey<'_>) -> Option<Entry> {
        shared().get(key)
    }

    fn swap(&self, key: StoreKey<'_>, seen: u64, value: &[u8]) -> Result<(), SwapError> {
        shared().swap(key, seen, value)
    }

    fn keys(&self, name: &str, version: u64) -> Option<Arc<ParsedJwkSet>> {
        shared().keys(name, version)
    }

    fn put_keys(&self, name: &str, version: u64, keys: &Arc<ParsedJwkSet>) -> bool {
        shared().put_keys(name, version, keys);
        // A source without a configuration has no readers.
        true
    }

    fn put(&self, key: StoreKey<'_>, value: &[u8]) {
        shared().put(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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
