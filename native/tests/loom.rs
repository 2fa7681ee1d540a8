//! The data that the workers share, under each order of their steps that the memory model allows.
//!
//! This compiles the store's own file (`native/src/store/shared.rs`) with loom's locks and numbers in place
//! of the standard library's.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test may fail loudly"
)]

#[path = "../src/store/shared.rs"]
mod shared;

mod sync {
    pub use loom::sync::atomic::{AtomicU64, Ordering};
    pub use loom::sync::{Mutex, MutexGuard};
}

use std::sync::Arc;

use loom::thread;
use proxy_wasm_jwt::jose::{JwkSet, ParsedJwkSet};
use proxy_wasm_jwt::store::{Entry, StoreKey};
use shared::Shared;
use sync::{AtomicU64, Ordering};

const NAME: &str = "source";
const RECORD: StoreKey<'static> = StoreKey::Record(NAME);

loom::lazy_static! {
    /// How often the store has woken the threads that wait.
    static ref WOKEN: AtomicU64 = AtomicU64::new(0);
}

fn store() -> Arc<Shared> {
    Arc::new(Shared::new(2, || {
        WOKEN.fetch_add(1, Ordering::Release);
    }))
}

fn number(entry: &Entry) -> u64 {
    let bytes = entry.value.as_deref();
    bytes.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("8 bytes")))
}

fn keys() -> Arc<ParsedJwkSet> {
    // RFC 8037 appendix A.
    let document = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    Arc::new(JwkSet::parse(document).expect("keys"))
}

/// The engine that fetches: the keys, then the record with their version.
fn publish(store: &Shared, version: u64, keys: &Arc<ParsedJwkSet>) {
    store.put_keys(NAME, version, keys);
    let seen = store.get(RECORD).expect("the source is held").version;
    assert_eq!(store.swap(RECORD, seen, &version.to_le_bytes()), Ok(()));
}

/// A worker: the generation, then the record, then its keys.
fn read(store: &Shared) -> (u64, u64, Option<Arc<ParsedJwkSet>>) {
    let generation = store.generation();
    let version = number(&store.get(RECORD).expect("the source is held"));
    (generation, version, store.keys(NAME, version))
}

#[test]
fn who_has_read_the_last_generation_has_read_the_last_record_with_its_keys() {
    let all = keys();
    loom::model(move || {
        let store = store();
        let held = store.hold(NAME.to_owned());
        let reader = {
            let store = store.clone();
            thread::spawn(move || read(&store))
        };
        publish(&store, 1, &all);
        let (generation, version, keys) = reader.join().expect("the reader");
        assert!(
            version == 1 || generation < store.generation(),
            "no new generation tells this reader that its record is old"
        );
        assert_eq!(keys.is_some(), version == 1, "a record is there before its keys");
        assert!(keys.is_none_or(|keys| Arc::ptr_eq(&keys, &all)));
        drop(held);
    });
}

#[test]
fn who_is_woken_finds_a_new_generation_and_the_new_record() {
    let all = keys();
    loom::model(move || {
        let store = store();
        let held = store.hold(NAME.to_owned());
        let before = store.generation();
        let waiting = {
            let store = store.clone();
            thread::spawn(move || (WOKEN.load(Ordering::Acquire), read(&store)))
        };
        publish(&store, 1, &all);
        let (woken, (generation, version, _)) = waiting.join().expect("the waiting thread");
        assert!(woken == 0 || (generation > before && version == 1));
        assert_eq!(WOKEN.load(Ordering::Acquire), 1);
        drop(held);
    });
}

/// Counts once, and returns the number of its writes.
fn increase(store: &Shared, key: StoreKey<'_>) -> u64 {
    let seen = store.get(key).expect("an entry");
    let next = (number(&seen) + 1).to_le_bytes();
    u64::from(store.swap(key, seen.version, &next).is_ok())
}

#[test]
fn of_all_who_saw_a_version_one_writes() {
    for key in [RECORD, StoreKey::NonceSecret, StoreKey::UsedProofs(3)] {
        loom::model(move || {
            let store = store();
            let held = store.hold(NAME.to_owned());
            let other = {
                let store = store.clone();
                thread::spawn(move || increase(&store, key))
            };
            let written = increase(&store, key) + other.join().expect("the other thread");
            assert!(written > 0, "somebody writes");
            let found = number(&store.get(key).expect("an entry"));
            assert_eq!(found, written, "no write was lost or counted twice");
            drop(held);
        });
    }
}

#[test]
fn all_who_hold_a_source_hold_the_same_one_while_others_let_go() {
    loom::model(|| {
        let store = store();
        let replaced = store.hold(NAME.to_owned());
        store.put(RECORD, &1_u64.to_le_bytes());
        let next = {
            let store = store.clone();
            thread::spawn(move || store.hold(NAME.to_owned()))
        };
        drop(replaced);
        let here = store.hold(NAME.to_owned());
        let there = next.join().expect("the other thread");
        assert!(Arc::ptr_eq(&here, &there), "two sources of one name");
        store.put(RECORD, &2_u64.to_le_bytes());
        assert_eq!(store.get(RECORD).as_ref().map(number), Some(2));
    });
}
