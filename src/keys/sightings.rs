//! The unknown `kid`s of recent requests. The `kid` of a rotated key comes again, and a random one does not.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// So many at a time; a later one may take the place of an earlier one, and which one is not for strangers to choose.
const CAPACITY: usize = 1024;

/// The `kid`s of the last few requests that named a key which is not there, by their hashes.
#[derive(Debug)]
pub(super) struct Sightings {
    seed: u64,
    /// The hash, and the number of the request.
    places: Vec<(u64, u64)>,
}

impl Sightings {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            places: Vec::new(),
        }
    }

    /// Whether another request has named this `kid`. A request is identified by its number.
    pub(super) fn is_known(&self, kid: &str, request: u64) -> bool {
        let (hash, index) = self.place(kid);
        let place = self.places.get(index);
        place.is_some_and(|(known, before)| *known == hash && *before != request)
    }

    /// Notes that a request named this `kid`; true if another one did before.
    pub(super) fn note(&mut self, kid: &str, request: u64) -> bool {
        if self.places.is_empty() {
            // Only where there ever is such a request.
            self.places.resize(CAPACITY, (0, 0));
        }
        let (hash, index) = self.place(kid);
        match self.places.get_mut(index) {
            Some((known, before)) if *known == hash => *before != request,
            Some(place) => {
                *place = (hash, request);
                false
            }
            None => false,
        }
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
        assert!(!sightings.note("a", 1));
        assert!(!sightings.note("a", 1), "the same request, looked at twice");
        assert!(sightings.note("a", 2));
        assert!(!sightings.note("b", 3));
        // Ten seconds of a flood: most are still known.
        for number in 0..100 {
            sightings.note(&format!("good-{number}"), 4);
        }
        for number in 0..500 {
            assert!(!sightings.note(&format!("forged-{number}"), 5));
        }
        let known = (0..100).filter(|number| sightings.note(&format!("good-{number}"), 6));
        assert!(known.count() > 40);
        assert_eq!(sightings.places.len(), CAPACITY);
    }
}
