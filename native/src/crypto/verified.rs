//! Signatures that a worker of the process has verified, for all other workers.
//!
//! Each worker keeps the results of whole checks of tokens for itself, without a lock. Without this memory,
//! each of them would verify the signature of the same token. It contains only facts that do not depend on
//! the configuration: that a signature over a text is good for a key. Each worker decides for itself whether
//! a token is valid. No worker asks again for a key that a configuration or an issuer has dropped.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::PoisonError;

use crate::sync::{AtomicU32, AtomicUsize, Mutex, MutexGuard, Ordering};

/// The number of places in a set.
pub(crate) const PLACES: usize = 4;

/// Only complete values are written under these locks, so they are consistent after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A signature over a text.
#[derive(Clone, Copy)]
pub(crate) struct Signed<'s> {
    /// The number of the key, which no other key of the process has or had.
    pub(crate) key: u64,
    /// The algorithm's position.
    pub(crate) algorithm: usize,
    /// The text's digest by the algorithm's own hash.
    pub(crate) digest: &'s [u8],
    pub(crate) signature: &'s [u8],
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
pub(crate) struct VerifiedSignatures {
    seed: RandomState,
    sets: Box<[Mutex<Set>]>,
    /// A signature that is verified for the second time gets a place: most tokens of a flood come once. One
    /// that was verified for the first time leaves a part of its hash here.
    marks: Box<[[AtomicU32; 4]]>,
    /// The number of marks so far, which selects the one of a group that gives way.
    marked: AtomicUsize,
}

impl VerifiedSignatures {
    /// A memory with this many sets of places and groups of marks, both a power of two. Each set has its own
    /// lock, so that workers seldom wait for each other.
    pub(crate) fn new(sets: usize, marks: usize) -> Self {
        Self {
            seed: RandomState::new(),
            sets: (0..sets).map(|_| Mutex::default()).collect(),
            marks: (0..marks).map(|_| Default::default()).collect(),
            marked: AtomicUsize::new(0),
        }
    }

    /// The number of signatures that it knows.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let known = self
            .sets
            .iter()
            .map(|set| lock(set).entries.iter().flatten().count());
        known.sum()
    }

    /// Whether the signature is good: by memory or, if it is not there, by `verify`.
    pub(crate) fn check(&self, signed: Signed<'_>, verify: impl FnOnce() -> bool) -> bool {
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
        let place = usize::try_from(hash).unwrap_or_default() & self.sets.len().saturating_sub(1);
        self.sets.get(place).map(lock)
    }

    fn has_come_before(&self, hash: u64) -> bool {
        let [place, mark] = [hash >> 10, hash >> 32].map(|part| part as u32);
        let place = usize::try_from(place).unwrap_or_default() & self.marks.len().saturating_sub(1);
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
