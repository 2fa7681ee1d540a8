//! A point in time, which is an argument of every event.
//!
//! It must not know a clock. The host reads its own once per event, and passes the result in.

use std::fmt;
use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z without leap seconds: the clock of
/// [RFC 7519 section 2](https://www.rfc-editor.org/rfc/rfc7519#section-2), with a resolution of milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// A time that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// The time that many milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The time that many seconds after the epoch; [`Self::NEVER`] if it is out of range.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This much later; [`Self::NEVER`] on overflow.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// This much earlier; the epoch on underflow.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// The time since `earlier`; zero if `earlier` is in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The time in RFC 3339's form, in UTC and to the second, for the log.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(1000);
        let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Howard Hinnant's `civil_from_days`: years begin in March, so that a leap day is the last day of its
        // year.
        let days = days.saturating_add(719_468);
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let leaps = (of_era / 1_460)
            .saturating_sub(of_era / 36_524)
            .saturating_add(of_era / 146_096);
        let year_of_era = of_era.saturating_sub(leaps) / 365;
        let before = year_of_era
            .saturating_mul(365)
            .saturating_add(year_of_era / 4)
            .saturating_sub(year_of_era / 100);
        let of_year = of_era.saturating_sub(before);
        let from_march = of_year.saturating_mul(5).saturating_add(2) / 153;
        let day = of_year
            .saturating_sub(from_march.saturating_mul(153).saturating_add(2) / 5)
            .saturating_add(1);
        let month = if from_march < 10 {
            from_march.saturating_add(3)
        } else {
            from_march.saturating_sub(9)
        };
        let year = year_of_era
            .saturating_add(era.saturating_mul(400))
            .saturating_add(u64::from(month <= 2));
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// The milliseconds of a duration; the largest number if they do not fit.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(UnixTime::NEVER.after(Duration::from_secs(1)), UnixTime::NEVER);
        assert_eq!(
            UnixTime::from_millis(5).before(Duration::from_secs(1)),
            UnixTime::default()
        );
        assert_eq!(UnixTime::from_secs(u64::MAX), UnixTime::NEVER);
        assert_eq!(
            UnixTime::from_millis(5).since(UnixTime::from_millis(9)),
            Duration::ZERO
        );
    }

    #[test]
    fn times_are_written_as_in_rfc_3339() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(UnixTime::from_secs(seconds).to_string(), text);
        }
        assert!(!UnixTime::NEVER.to_string().is_empty());
    }
}
