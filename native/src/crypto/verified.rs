//! Signatures that a worker of the process has verified, for all other workers.
//!
//! Each worker keeps the results of whole checks of tokens for itself, without a lock. Without this memory, each of
//! them would verify the signature of the same token. It contains only facts that do not depend on the
//! configuration: that a signature over a text is good for a key. Each worker decides for itself whether a
//! token is valid. No worker asks again for a key that a configuration or an issuer has dropped.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The number of places for signatures, in sets that have a lock each: workers seldom wait for each other.
const SETS: usize = 1024;
const PLACES: usize = 4;

/// The number of marks of signatures that were verified once, in groups of four.
const MARKS: usize = 4096;

/// Only complete values are written under these locks, so they are consistent after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A signature over a text.
#[derive(Clone, Copy)]
pub(super) struct Signed<'s> {
    /// The number of the key, which no other key of the process has or had.
    pub(super) key: u64,
    /// The algorithm's position.
    pub(super) algorithm: usize,
    /// The text's digest by the algorithm's own hash.
    pub(super) digest: &'s [u8],
    pub(super) signature: &'s [u8],
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    key: u64,
    algorithm: usize,
    digest: Box<[u8]>,
    signature: Box<[u8]>,
}

impl Entry {
    fn is(&self, signed: Signed<'_>) -> bool {
        self.key == signed.key
            && self.algorithm == signed.algorithm
            && *self.digest == *signed.digest
            && *self.signature == *signed.signature
    }
}

/// A few entries. A new entry replaces the oldest one.
#[derive(Debug, Default)]
struct Set {
    entries: [Option<Entry>; PLACES],
    oldest: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct VerifiedSignatures {
    seed: RandomState,
    sets: Box<[Mutex<Set>]>,
    /// A signature that is verified for the second time gets a place: most tokens of a flood come once. One that
    /// was verified for the first time leaves a part of its hash here.
    marks: Box<[[AtomicU32; 4]]>,
    /// The number of marks so far, which selects the one of a group that gives way.
    marked: AtomicUsize,
}

impl VerifiedSignatures {
    pub(super) fn new() -> Self {
        Self {
            seed: RandomState::new(),
            sets: (0..SETS).map(|_| Mutex::default()).collect(),
            marks: (0..MARKS).map(|_| Default::default()).collect(),
            marked: AtomicUsize::new(0),
        }
    }

    /// Those of the process.
    pub(super) fn of_process() -> &'static Self {
        static ALL: OnceLock<VerifiedSignatures> = OnceLock::new();
        ALL.get_or_init(Self::new)
    }

    /// Whether the signature is good: by memory or, if it is not there, by `verify`.
    pub(super) fn check(&self, signed: Signed<'_>, verify: impl FnOnce() -> bool) -> bool {
        // The hash includes the end of the signature, so only a client that has the signature reaches its
        // comparison.
        let end = signed
            .signature
            .last_chunk()
            .copied()
            .map_or(0, u128::from_ne_bytes);
        let start = signed
            .digest
            .first_chunk()
            .copied()
            .map_or(0, u128::from_ne_bytes);
        let hash = self.seed.hash_one((signed.key, signed.algorithm, start, end));
        if self.set(hash).is_some_and(|set| {
            let mut known = set.entries.iter().flatten();
            known.any(|entry| entry.hash == hash && entry.is(signed))
        }) {
            return true;
        }
        let is_good = verify();
        if is_good && self.has_come_before(hash) {
            self.keep(hash, signed);
        }
        is_good
    }

    fn set(&self, hash: u64) -> Option<MutexGuard<'_, Set>> {
        let place = usize::try_from(hash).unwrap_or_default() & SETS.saturating_sub(1);
        self.sets.get(place).map(lock)
    }

    fn has_come_before(&self, hash: u64) -> bool {
        let [place, mark] = [hash >> 10, hash >> 32].map(|part| part as u32);
        let place = usize::try_from(place).unwrap_or_default() & MARKS.saturating_sub(1);
        let Some(group) = self.marks.get(place) else {
            return false;
        };
        if group.iter().any(|known| known.load(Ordering::Relaxed) == mark) {
            return true;
        }
        // An empty place first, so that a mark gives way only to a fifth one of its group.
        let is_empty = |place: &&AtomicU32| place.load(Ordering::Relaxed) == 0;
        if let Some(place) = group.iter().find(is_empty) {
            place.store(mark, Ordering::Relaxed);
            return false;
        }
        let count = self.marked.fetch_add(1, Ordering::Relaxed);
        if let Some(place) = group.get(count.checked_rem(group.len()).unwrap_or_default()) {
            place.store(mark, Ordering::Relaxed);
        }
        false
    }

    fn keep(&self, hash: u64, signed: Signed<'_>) {
        let entry = Entry {
            hash,
            key: signed.key,
            algorithm: signed.algorithm,
            digest: signed.digest.into(),
            signature: signed.signature.into(),
        };
        let Some(mut set) = self.set(hash) else { return };
        // Another worker may have been faster.
        if set
            .entries
            .iter()
            .flatten()
            .any(|known| known.hash == hash && known.is(signed))
        {
            return;
        }
        let oldest = set.oldest;
        set.oldest = oldest.saturating_add(1) % PLACES;
        let before = set.entries.get_mut(oldest).map(|place| place.replace(entry));
        // Its memory is freed outside the lock.
        drop(set);
        drop(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    struct Case {
        digest: [u8; 32],
        signature: Vec<u8>,
    }

    fn cases(count: usize) -> Vec<Case> {
        (0..count)
            .map(|number| Case {
                digest: [u8::try_from(number % 251).unwrap(); 32],
                signature: format!("{number:0256}").into_bytes(),
            })
            .collect()
    }

    fn signed(key: u64, case: &Case) -> Signed<'_> {
        Signed {
            key,
            algorithm: 0,
            digest: &case.digest,
            signature: &case.signature,
        }
    }

    #[test]
    fn four_workers_verify_a_signature_twice_and_no_forged_one_is_remembered() {
        let (all, verified) = (VerifiedSignatures::new(), AtomicUsize::new(0));
        let cases = cases(50);
        let verify = |is_good| {
            verified.fetch_add(1, Ordering::Relaxed);
            is_good
        };
        for _ in 0..4 {
            thread::scope(|scope| {
                scope.spawn(|| {
                    for case in &cases {
                        assert!(all.check(signed(1, case), || verify(true)));
                    }
                });
            });
        }
        assert_eq!(verified.swap(0, Ordering::Relaxed), 100);
        for _ in 0..4 {
            assert!(!all.check(signed(2, &cases[0]), || verify(false)));
        }
        assert_eq!(
            verified.load(Ordering::Relaxed),
            4,
            "another key is asked each time"
        );
    }

    #[test]
    fn four_workers_at_once_get_what_verification_says() {
        let all = VerifiedSignatures::new();
        let cases = cases(2000);
        let is_good = |number: usize| !number.is_multiple_of(3);
        let memory_said = AtomicUsize::new(0);
        thread::scope(|scope| {
            for worker in 0..4 {
                let (all, cases, memory_said) = (&all, &cases, &memory_said);
                scope.spawn(move || {
                    for round in 0..20 {
                        for offset in 0..cases.len() {
                            let number = (offset * 7 + worker * 501 + round) % cases.len();
                            let mut was_asked = false;
                            let result = all.check(signed(1, &cases[number]), || {
                                was_asked = true;
                                is_good(number)
                            });
                            assert_eq!(result, is_good(number), "{number}");
                            memory_said.fetch_add(usize::from(!was_asked), Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert!(
            memory_said.into_inner() > 4 * 15 * 1300,
            "memory answers for most"
        );
    }

    #[test]
    fn each_part_counts() {
        let all = VerifiedSignatures::new();
        let good = &cases(1)[0];
        for _ in 0..2 {
            assert!(all.check(signed(1, good), || true));
        }
        let never = || -> bool { panic!("it is remembered") };
        assert!(all.check(signed(1, good), never));
        let mut others = vec![
            Signed {
                key: 2,
                ..signed(1, good)
            },
            Signed {
                algorithm: 1,
                ..signed(1, good)
            },
        ];
        let digests: Vec<[u8; 32]> = (0..32)
            .map(|place| {
                let mut digest = good.digest;
                digest[place] ^= 1;
                digest
            })
            .collect();
        others.extend(digests.iter().map(|digest| Signed {
            digest,
            ..signed(1, good)
        }));
        let signatures: Vec<Vec<u8>> = (0..good.signature.len())
            .map(|place| {
                let mut signature = good.signature.clone();
                signature[place] ^= 1;
                signature
            })
            .collect();
        others.extend(signatures.iter().map(|signature| Signed {
            signature,
            ..signed(1, good)
        }));
        others.push(Signed {
            signature: &good.signature[1..],
            ..signed(1, good)
        });
        for other in others {
            assert!(!all.check(other, || false));
        }
    }

    #[test]
    fn a_flood_displaces_nothing_and_memory_is_bounded() {
        let all = VerifiedSignatures::new();
        let cases = cases(40_000);
        let (used, flood) = cases.split_at(40);
        for case in used.iter().chain(used).chain(flood) {
            assert!(all.check(signed(1, case), || true));
        }
        let never = || -> bool { panic!("it is remembered") };
        for case in used {
            assert!(all.check(signed(1, case), never));
        }
        for case in flood.iter().flat_map(|case| [case, case]) {
            assert!(all.check(signed(1, case), || true));
        }
        let count: usize = all
            .sets
            .iter()
            .map(|set| lock(set).entries.iter().flatten().count())
            .sum();
        assert!(count > SETS && count <= SETS * PLACES, "{count}");
    }
}
