//! Matches of a request that servers may interpret in several ways.

/// Whether a part of a rule matches a request: as written, and in every other interpretation by a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// It matches the request as written.
    pub is_literal: bool,
    /// Every interpretation has the same result.
    pub is_sure: bool,
}

impl Match {
    /// It matches in every interpretation.
    pub const YES: Self = Self {
        is_literal: true,
        is_sure: true,
    };
    /// It matches in no interpretation.
    pub const NO: Self = Self {
        is_literal: false,
        is_sure: true,
    };
    /// It does not match the request as written, but may match in another interpretation.
    pub const PERHAPS: Self = Self {
        is_literal: false,
        is_sure: false,
    };

    /// The same in every interpretation.
    #[must_use]
    pub const fn sure(is_literal: bool) -> Self {
        Self {
            is_literal,
            is_sure: true,
        }
    }

    /// The same, unless other interpretations have a different result.
    #[must_use]
    pub const fn unless(self, is_doubtful: bool) -> Self {
        Self {
            is_literal: self.is_literal,
            is_sure: self.is_sure && !is_doubtful,
        }
    }

    /// Both must match.
    #[must_use]
    pub fn and(self, other: impl FnOnce() -> Self) -> Self {
        if self == Self::NO {
            return self;
        }
        match other() {
            Self::NO => Self::NO,
            other => Self {
                is_literal: self.is_literal && other.is_literal,
                is_sure: self.is_sure && other.is_sure,
            },
        }
    }

    /// One of both must match.
    #[must_use]
    pub fn or(self, other: impl FnOnce() -> Self) -> Self {
        if self == Self::YES {
            return self;
        }
        match other() {
            Self::YES => Self::YES,
            other => Self {
                is_literal: self.is_literal || other.is_literal,
                is_sure: self.is_sure && other.is_sure,
            },
        }
    }

    /// The opposite must match.
    #[must_use]
    pub const fn inverted(self, is_inverted: bool) -> Self {
        Self {
            is_literal: self.is_literal != is_inverted,
            is_sure: self.is_sure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_doubt_is_decided_by_what_is_not() {
        let all = [Match::YES, Match::NO, Match::PERHAPS, Match::YES.unless(true)];
        for one in all {
            assert_eq!(one.and(|| Match::YES), one);
            assert_eq!(one.and(|| Match::NO), Match::NO);
            assert_eq!(one.or(|| Match::NO), one);
            assert_eq!(one.or(|| Match::YES), Match::YES);
            assert!(!one.and(|| Match::PERHAPS).is_literal);
            assert_eq!(one.inverted(true).inverted(true), one);
            for other in all {
                assert_eq!(one.and(|| other), other.and(|| one));
                let opposite = one.inverted(true).and(|| other.inverted(true)).inverted(true);
                assert_eq!(one.or(|| other), opposite);
            }
        }
    }
}
