//! Key ids that the issuer did not have in recent fetches.

use std::collections::VecDeque;

use crate::time::UnixTime;

const CAPACITY: usize = 128;
/// The filter does not remember a longer `kid`: 128 `kid`s without a limit of their size could fill the
/// memory.
const MAX_KID_BYTES: usize = 256;

/// The last absent ids. The oldest leaves first.
#[derive(Debug, Default)]
pub(super) struct AbsentKids(VecDeque<(Box<str>, UnixTime)>);

impl AbsentKids {
    /// Remembers the id until this time.
    pub(super) fn insert(&mut self, kid: &str, until: UnixTime, now: UnixTime) {
        if kid.len() > MAX_KID_BYTES || self.contains(kid, now) {
            return;
        }
        while self.0.len() >= CAPACITY || self.0.front().is_some_and(|(_, until)| *until <= now) {
            self.0.pop_front();
        }
        self.0.push_back((kid.into(), until));
    }

    pub(super) fn contains(&self, kid: &str, now: UnixTime) -> bool {
        self.0
            .iter()
            .any(|(known, until)| *until > now && **known == *kid)
    }

    /// New keys may include ids that the old ones lacked.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_remembered_for_a_while_and_in_bounded_number() {
        let mut absent = AbsentKids::default();
        let (start, until) = (UnixTime::from_secs(1000), UnixTime::from_secs(1005));
        absent.insert("a", until, start);
        assert!(absent.contains("a", UnixTime::from_secs(1004)));
        assert!(!absent.contains("a", until));
        for number in 0..1000 {
            absent.insert(&number.to_string(), until, start);
        }
        assert_eq!(absent.0.len(), CAPACITY);
        assert!(!absent.contains("a", start));
        assert!(absent.contains("999", start));
        absent.insert(&"x".repeat(MAX_KID_BYTES + 1), until, start);
        assert!(absent.contains("999", start) && absent.0.len() == CAPACITY);
    }
}
