//! The data that the workers share, under each order of their steps that the memory model allows.
//!
//! This compiles three files of the module with loom's locks and numbers in place of the standard library's:
//! the store (`native/src/store/shared.rs`), the clock's sleep (`native/src/clock/alarm.rs`), and the memory
//! of signatures (`native/src/crypto/verified.rs`).

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

#[path = "../src/clock/alarm.rs"]
mod alarm;
#[path = "../src/store/shared.rs"]
mod shared;
#[path = "../src/crypto/verified.rs"]
mod verified;

mod sync {
    pub use loom::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
    pub use loom::sync::{Condvar, Mutex, MutexGuard};
}

use std::sync::Arc;
use std::time::Duration;

use alarm::Alarm;
use loom::thread;
use proxy_wasm_jwt::jose::{JwkSet, ParsedJwkSet};
use proxy_wasm_jwt::store::{Entry, StoreKey};
use shared::Shared;
use sync::{AtomicU64, AtomicUsize, Ordering};
use verified::{Signed, VerifiedSignatures};

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

// --- the clock

/// The clock with its alarm, and the time at which work is due. Its sleep never ends by itself: loom has no
/// time, and reports a clock that nothing wakes as a deadlock.
struct Clock {
    alarm: Alarm,
    work: AtomicU64,
}

/// Every order in which a thread is interrupted three times at most: all orders take seconds.
fn few_switches(test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(test);
}

/// The end of a sleep without work.
const LATE: u64 = 1000;

impl Clock {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            alarm: Alarm::new(),
            work: AtomicU64::new(LATE),
        })
    }

    /// The turns of the clock, until it has seen work for this time or an earlier one. Returns whether there
    /// was news.
    fn run(&self, until: u64) -> bool {
        let mut had_news = false;
        loop {
            had_news |= self.alarm.begin();
            let next = self.work.load(Ordering::Relaxed);
            if next <= until {
                return had_news;
            }
            self.alarm.sleep(next, || Duration::from_secs(1));
        }
    }

    fn set(&self, at: u64) {
        self.work.store(at, Ordering::Relaxed);
        self.alarm.due(at);
    }
}

#[test]
fn the_clock_sleeps_past_no_time_that_a_thread_has_set() {
    loom::model(|| {
        let clock = Clock::new();
        let worker = {
            let clock = clock.clone();
            thread::spawn(move || {
                clock.set(500);
                clock.set(5);
            })
        };
        clock.run(5);
        worker.join().expect("the worker");
    });
}

/// Earlier work, whose time ended the last sleep, hides no later work.
#[test]
fn the_end_of_the_last_sleep_hides_no_time() {
    few_switches(|| {
        let clock = Clock::new();
        let worker = {
            let clock = clock.clone();
            thread::spawn(move || {
                clock.alarm.bring_news();
                clock.set(600);
            })
        };
        let mut of_another_worker = 500;
        loop {
            if clock.alarm.begin() {
                of_another_worker = LATE;
            }
            let work = clock.work.load(Ordering::Relaxed);
            if work == 600 {
                break;
            }
            clock
                .alarm
                .sleep(work.min(of_another_worker), || Duration::from_secs(1));
        }
        worker.join().expect("the worker");
    });
}

#[test]
fn the_clock_sleeps_past_no_news() {
    loom::model(|| {
        let clock = Clock::new();
        let main = {
            let clock = clock.clone();
            thread::spawn(move || {
                clock.alarm.bring_news();
            })
        };
        while !clock.alarm.begin() {
            clock.alarm.sleep(LATE, || Duration::from_secs(1));
        }
        main.join().expect("the main thread");
        assert!(!clock.alarm.begin(), "the same news twice");
    });
}

#[test]
fn of_two_threads_with_work_the_clock_hears_both() {
    few_switches(|| {
        let clock = Clock::new();
        let threads = [true, false].map(|brings_news| {
            let clock = clock.clone();
            thread::spawn(move || match brings_news {
                true => clock.alarm.bring_news(),
                false => clock.set(5),
            })
        });
        let mut had_news = clock.run(5);
        while !had_news {
            had_news = clock.alarm.begin();
            if !had_news {
                clock.alarm.sleep(LATE, || Duration::from_secs(1));
            }
        }
        for thread in threads {
            thread.join().expect("a thread");
        }
    });
}

// --- the memory of signatures

const SIGNATURE: [u8; 64] = [7; 64];
const FORGED: [u8; 64] = [8; 64];

fn signed(signature: &[u8]) -> Signed<'_> {
    Signed {
        key: 1,
        algorithm: 0,
        digest: &[9; 32],
        signature,
    }
}

#[test]
fn workers_at_once_keep_a_good_signature_once_and_a_forged_one_never() {
    few_switches(|| {
        let memory = Arc::new(VerifiedSignatures::new(1));
        let verified = Arc::new(AtomicUsize::new(0));
        let work = {
            let (memory, verified) = (memory.clone(), verified.clone());
            move || {
                assert!(!memory.check(signed(&FORGED), || false));
                for _ in 0..2 {
                    let is_good = memory.check(signed(&SIGNATURE), || {
                        verified.fetch_add(1, Ordering::Relaxed);
                        true
                    });
                    assert!(is_good);
                }
            }
        };
        let other = thread::spawn(work.clone());
        work();
        other.join().expect("the other worker");
        assert!(memory.len() == 1, "kept {} times", memory.len());
        let count = verified.load(Ordering::Relaxed);
        assert!((2..=4).contains(&count), "verified {count} times");
        assert!(memory.check(signed(&SIGNATURE), || false), "it is remembered");
        assert!(!memory.check(signed(&FORGED), || false));
    });
}
