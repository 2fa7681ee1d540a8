//! The unknown `kid`s of recent requests. The `kid` of a rotated key comes again, and a random one does not.
//! If a `kid` comes again after a fetch that did not return it, it may be invented as well.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::record::Wants;

/// The number of `kid`s that the filter remembers. A later one may replace an earlier one, and a client
/// cannot choose which.
const CAPACITY: usize = 1024;

/// A `kid` that requests still name after this time, in milliseconds, counts as lasting.
const LASTING: u64 = 2000;

/// The hashes of the `kid`s of the last few requests that named a missing key.
#[derive(Debug)]
pub(super) struct Sightings {
    seed: u64,
    places: Vec<Sighting>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sighting {
    hash: u64,
    /// The number of the first request that named the `kid`.
    request: u64,
    /// When that was, in milliseconds.
    first: u64,
}

impl Sighting {
    /// The urgency of a request that names the `kid` again, if the filter last fetched the keys at this time.
    const fn wants(&self, request: u64, asked_at: u64, now: u64) -> Wants {
        if self.request == request {
            Wants::Once
        } else if self.first < asked_at {
            Wants::InVain
        } else if now.saturating_sub(self.first) >= LASTING {
            Wants::Lasting
        } else {
            Wants::Again
        }
    }
}

impl Sightings {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            places: Vec::new(),
        }
    }

    /// The urgency of a request that names this `kid`, if the keys without it were fetched at `asked_at`. A
    /// number identifies the request.
    pub(super) fn wants(&self, kid: &str, request: u64, asked_at: u64, now: u64) -> Wants {
        let (hash, index) = self.place(kid);
        let sighting = self.places.get(index).filter(|sighting| sighting.hash == hash);
        sighting.map_or(Wants::Once, |sighting| sighting.wants(request, asked_at, now))
    }

    /// Returns the same, and notes that the request names the `kid`.
    pub(super) fn note(&mut self, kid: &str, request: u64, asked_at: u64, now: u64) -> Wants {
        if self.places.is_empty() {
            // The table exists only after the first such request.
            self.places.resize(CAPACITY, Sighting::default());
        }
        let (hash, index) = self.place(kid);
        match self.places.get_mut(index) {
            Some(sighting) if sighting.hash == hash => return sighting.wants(request, asked_at, now),
            Some(sighting) => {
                *sighting = Sighting {
                    hash,
                    request,
                    first: now,
                };
            }
            None => {}
        }
        Wants::Once
    }

    fn place(&self, kid: &str) -> (u64, usize) {
        let mut hasher = DefaultHasher::new();
        (self.seed, kid).hash(&mut hasher);
        let hash = hasher.finish();
        (
            hash,
            usize::try_from(hash & 0xffff).unwrap_or_default() % CAPACITY,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kid_comes_again_with_another_request_only() {
        let mut sightings = Sightings::new(7);
        let mut note = |kid: &str, request| sightings.note(kid, request, 50, 1000);
        assert_eq!(note("a", 1), Wants::Once);
        assert_eq!(note("a", 1), Wants::Once, "the same request, looked at twice");
        assert_eq!(note("a", 2), Wants::Again);
        assert_eq!(note("b", 3), Wants::Once);
        // Ten seconds of a flood: most are still known.
        for number in 0..100 {
            note(&format!("good-{number}"), 4);
        }
        for number in 0..500 {
            assert_eq!(note(&format!("forged-{number}"), 5), Wants::Once);
        }
        let known = (0..100).filter(|number| note(&format!("good-{number}"), 6) == Wants::Again);
        assert!(known.count() > 40);
        assert_eq!(sightings.places.len(), CAPACITY);
    }

    #[test]
    fn a_kid_that_the_issuer_was_asked_for_comes_again_in_vain() {
        let mut sightings = Sightings::new(7);
        sightings.note("a", 1, 50, 1000);
        assert_eq!(sightings.wants("a", 2, 50, 1000), Wants::Again);
        assert_eq!(sightings.note("a", 2, 50, 1100), Wants::Again);
        // The keys were fetched at 1200, without it.
        assert_eq!(sightings.wants("a", 3, 1200, 1300), Wants::InVain);
        assert_eq!(sightings.note("a", 3, 1200, 9000), Wants::InVain);
        // This does not affect another `kid`.
        assert_eq!(sightings.note("b", 4, 1200, 1300), Wants::Once);
        assert_eq!(sightings.wants("b", 5, 1200, 1300), Wants::Again);
        assert_eq!(sightings.wants("b", 5, 1200, 3299), Wants::Again);
        assert_eq!(sightings.wants("b", 5, 1200, 3300), Wants::Lasting);
        assert_eq!(sightings.note("b", 5, 1200, 3300), Wants::Lasting);
        // The clock was set back.
        assert_eq!(sightings.wants("b", 5, 1200, 0), Wants::Again);
    }
}
