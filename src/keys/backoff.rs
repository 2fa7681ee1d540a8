//! The pause after a failed fetch, with jitter: a fleet of proxies must not send requests in step.

use std::time::Duration;

use crate::time::millis;

/// A sequence of pseudo-random numbers (SplitMix64, by Steele, Lea and Flood). The seed is an argument, so
/// that a test can repeat it. Nothing secret depends on it.
#[derive(Clone, Debug)]
pub(crate) struct RandomSource(u64);

impl RandomSource {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A factor from `low` to `high`.
    pub(crate) fn factor(&mut self, low: f64, high: f64) -> f64 {
        // 53 bits: the precision of a double.
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        low + unit * (high - low)
    }
}

/// A share of a duration, to the millisecond, the resolution of all times here.
pub(super) fn scaled(duration: Duration, share: f64) -> Duration {
    Duration::from_millis((millis(duration) as f64 * share) as u64)
}

/// The first and the longest pause between attempts, and the longest one that an issuer may request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    longest_asked_for: Duration,
}

/// There are no keys, and requests wait: short pauses.
pub(super) const COLD: Backoff = Backoff {
    first: Duration::from_millis(200),
    longest: Duration::from_secs(5),
    longest_asked_for: Duration::from_secs(60),
};

/// The old keys are still in use: longer pauses, for the issuer's sake.
pub(super) const WARM: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
    longest_asked_for: Duration::from_secs(600),
};

impl Backoff {
    /// The pause after this many consecutive failures: doubled each time, then shortened by up to half at
    /// random. If the issuer requests a longer pause, the filter takes that pause plus up to a tenth, because
    /// the issuer requests the same pause of a whole fleet.
    pub(super) fn pause(self, failures: u32, asked_for: Duration, chance: &mut RandomSource) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let full = self
            .first
            .saturating_mul(1_u32.wrapping_shl(doublings))
            .min(self.longest);
        let own = scaled(full, chance.factor(0.5, 1.0));
        let asked_for = asked_for.min(self.longest_asked_for);
        if asked_for <= own {
            return own;
        }
        scaled(asked_for, chance.factor(1.0, 1.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut chance = RandomSource::new(1);
        for (failures, low, high) in [
            (1, 100, 200),
            (2, 200, 400),
            (5, 1600, 3200),
            (9, 2500, 5000),
            (u32::MAX, 2500, 5000),
        ] {
            for _ in 0..100 {
                let pause = COLD.pause(failures, Duration::ZERO, &mut chance).as_millis();
                assert!((low..=high).contains(&pause), "{failures}: {pause}");
            }
        }
    }

    #[test]
    fn an_issuer_may_ask_for_a_longer_pause_within_bounds() {
        let mut chance = RandomSource::new(1);
        for (backoff, asked_for, low, high) in [
            (COLD, 10, 10_000, 11_000),
            (COLD, 3600, 60_000, 66_000),
            (WARM, 120, 120_000, 132_000),
            (WARM, 86_400, 600_000, 660_000),
            (WARM, 0, 500, 1000),
        ] {
            for _ in 0..100 {
                let pause = backoff.pause(1, Duration::from_secs(asked_for), &mut chance);
                assert!(
                    (low..=high).contains(&pause.as_millis()),
                    "{asked_for}: {pause:?}"
                );
            }
        }
    }
}
