//! Whether something matches, where a request can be read in more than one way.

/// Whether a part of a rule matches a request: as it is written, and in every other way in which a server may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// It matches the request as it is written.
    pub is_literal: bool,
    /// Every server that reads the request comes to the same.
    pub is_sure: bool,
}

impl Match {
    /// It matches, however the request is read.
    pub const YES: Self = Self {
        is_literal: true,
        is_sure: true,
    };
    /// It does not, however the request is read.
    pub const NO: Self = Self {
        is_literal: false,
        is_sure: true,
    };
    /// It does not as the request is written; to some servers the request may be one that it matches.
    pub const PERHAPS: Self = Self {
        is_literal: false,
        is_sure: false,
    };

    /// The same for every server.
    #[must_use]
    pub const fn sure(is_literal: bool) -> Self {
        Self {
            is_literal,
            is_sure: true,
        }
    }

    /// The same, unless other interpretations come to something else.
    #[must_use]
    pub const fn unless(self, is_doubtful: bool) -> Self {
        Self {
            is_literal: self.is_literal,
            is_sure: self.is_sure && !is_doubtful,
        }
    }

    /// Both have to match.
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

    /// One of both has to match.
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

    /// The opposite is asked for.
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
