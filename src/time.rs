//! Time as the core sees it: an argument of every event, never something that it asks for.
//!
//! Must not know any clock. The host reads its own once per event and passes the result in.

use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted (the clock of RFC 7519 section 2, finer by
/// a factor of 1000).
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

    /// The time that many seconds after the epoch, or [`Self::NEVER`] where that is out of range.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This much later; [`Self::NEVER`] instead of an overflow.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// This much earlier; the epoch instead of an underflow.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// How long ago `earlier` was; zero where it is yet to come.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A duration's milliseconds, the largest number where they do not fit.
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
}
