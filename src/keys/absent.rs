//! Key ids that the issuer was just asked for and does not have.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::UnixTime;

const CAPACITY: usize = 128;
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// A longer `kid` is not remembered: 128 of any size would be memory that strangers fill.
const MAX_KID_BYTES: usize = 256;

/// The last few absent ids; the oldest leave first.
#[derive(Debug, Default)]
pub(super) struct AbsentKids(VecDeque<(Box<str>, UnixTime)>);

impl AbsentKids {
    pub(super) fn insert(&mut self, kid: &str, now: UnixTime) {
        if kid.len() > MAX_KID_BYTES || self.contains(kid, now) {
            return;
        }
        while self.0.len() >= CAPACITY || self.0.front().is_some_and(|(_, since)| is_over(*since, now)) {
            self.0.pop_front();
        }
        self.0.push_back((kid.into(), now));
    }

    pub(super) fn contains(&self, kid: &str, now: UnixTime) -> bool {
        self.0
            .iter()
            .any(|(known, since)| !is_over(*since, now) && **known == *kid)
    }

    /// New keys may hold what the old ones did not.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

fn is_over(since: UnixTime, now: UnixTime) -> bool {
    now.since(since) >= REMEMBERED_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_remembered_for_a_minute_and_in_bounded_number() {
        let mut absent = AbsentKids::default();
        let start = UnixTime::from_secs(1000);
        absent.insert("a", start);
        assert!(absent.contains("a", start.after(Duration::from_secs(59))));
        assert!(!absent.contains("a", start.after(Duration::from_secs(60))));
        for number in 0..1000 {
            absent.insert(&number.to_string(), start);
        }
        assert_eq!(absent.0.len(), CAPACITY);
        assert!(!absent.contains("a", start));
        assert!(absent.contains("999", start));
        absent.insert(&"x".repeat(MAX_KID_BYTES + 1), start);
        assert!(absent.contains("999", start) && absent.0.len() == CAPACITY);
    }
}
