//! Signatures that a worker of the process has verified, for all other workers.
//!
//! Each worker keeps the results of whole checks of tokens for itself, without a lock. Without this memory,
//! each of them would verify the signature of the same token. It contains only facts that do not depend on
//! the configuration: that a signature over a text is good for a key. Each worker decides for itself whether
//! a token is valid. No worker asks again for a key that a configuration or an issuer has dropped.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::PoisonError;

use crate::sync::{AtomicU16, Mutex, MutexGuard, Ordering};

/// The number of places in a set.
pub(crate) const PLACES: usize = 4;

/// The number of marks in a set.
const MARKS: usize = 16;

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
struct Entries {
    places: [Option<Entry>; PLACES],
    oldest: usize,
}

impl Entries {
    fn know(&self, hash: u64, signed: Signed<'_>) -> bool {
        let mut known = self.places.iter().flatten();
        known.any(|entry| entry.hash == hash && entry.is(signed))
    }
}

/// The entries of some hashes, and in front of their lock what most lookups need. The processor fetches that
/// as one line: most tokens of a flood come once, and fetching a second line would take longer than the
/// rest of their lookup. `repr(C)` keeps the fields in this order.
#[derive(Debug, Default)]
#[repr(C, align(64))]
struct Set {
    /// A part of the hash of each entry: where it is absent, so is the signature. It is written under the
    /// lock. A worker that reads an old one verifies the signature itself, or finds no entry.
    tags: [AtomicU16; PLACES],
    /// A signature that is verified for the second time gets a place. One that was verified for the first
    /// time leaves a part of its hash here.
    marks: [AtomicU16; MARKS],
    entries: Mutex<Entries>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct VerifiedSignatures {
    seed: RandomState,
    sets: Box<[Set]>,
}

/// The parts of a hash; none has a bit in common with another.
struct Parts {
    /// The set.
    set: usize,
    /// The tag or the mark: not 0, which stands for nothing.
    tag: u16,
    /// The mark that gives way.
    victim: usize,
}

impl Parts {
    fn of(hash: u64) -> Self {
        let [low, middle, high] = [hash, hash >> 32, hash >> 48].map(|part| part as u16);
        // The set needs the lowest bits: there are fewer sets than a u32 has values.
        let set = usize::try_from(hash & u64::from(u32::MAX)).unwrap_or_else(|_| usize::from(low));
        Self {
            set,
            tag: middle.max(1),
            victim: usize::from(high),
        }
    }
}

impl VerifiedSignatures {
    /// A memory with this many sets, a power of two. Each set has its own lock, so that workers seldom wait
    /// for each other.
    pub(crate) fn new(sets: usize) -> Self {
        Self {
            seed: RandomState::new(),
            sets: (0..sets).map(|_| Set::default()).collect(),
        }
    }

    /// The number of signatures that it knows.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let known = self
            .sets
            .iter()
            .map(|set| lock(&set.entries).places.iter().flatten().count());
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
        let parts = Parts::of(hash);
        let Some(set) = self.sets.get(parts.set & self.sets.len().saturating_sub(1)) else {
            return verify();
        };
        let is_tagged = set
            .tags
            .iter()
            .any(|tag| tag.load(Ordering::Relaxed) == parts.tag);
        if is_tagged && lock(&set.entries).know(hash, signed) {
            return true;
        }
        let is_good = verify();
        if is_good && set.has_come_before(&parts) {
            set.keep(hash, parts.tag, signed);
        }
        is_good
    }
}

impl Set {
    fn has_come_before(&self, parts: &Parts) -> bool {
        let is = |value: u16| move |mark: &&AtomicU16| mark.load(Ordering::Relaxed) == value;
        if self.marks.iter().any(|mark| is(parts.tag)(&mark)) {
            return true;
        }
        // An empty place first, so that a mark gives way only if its set is full.
        let place = self.marks.iter().find(is(0));
        if let Some(place) = place.or_else(|| self.marks.get(parts.victim % MARKS)) {
            place.store(parts.tag, Ordering::Relaxed);
        }
        false
    }

    fn keep(&self, hash: u64, tag: u16, signed: Signed<'_>) {
        let entry = Entry {
            hash,
            key: signed.key,
            algorithm: signed.algorithm,
            digest: signed.digest.into(),
            signature: signed.signature.into(),
        };
        let mut entries = lock(&self.entries);
        // Another worker may have been faster.
        if entries.know(hash, signed) {
            return;
        }
        let oldest = entries.oldest;
        entries.oldest = oldest.saturating_add(1) % PLACES;
        let before = entries.places.get_mut(oldest).map(|place| place.replace(entry));
        if let Some(place) = self.tags.get(oldest) {
            place.store(tag, Ordering::Relaxed);
        }
        // Its memory is freed outside the lock.
        drop(entries);
        drop(before);
    }
}
