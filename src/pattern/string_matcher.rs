//! Envoy's `StringMatcher`: a whole string, a part of one, or a pattern.

use super::{Effort, Member, Search, Text};

/// Matches a whole string, a part of it, or a pattern. A string is a sequence of bytes: bytes that are not
/// UTF-8 do not hide the rest.
#[derive(Clone, Debug)]
pub struct StringMatcher {
    test: Test,
    ignore_case: bool,
}

#[derive(Clone, Debug)]
enum Test {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    /// A pattern, or a part: tests that read the whole string.
    Pattern(Member),
}

impl StringMatcher {
    /// Matches this text only. With `ignore_case`, here and below, ASCII letters match in either case.
    #[must_use]
    pub fn exact(text: Box<[u8]>, ignore_case: bool) -> Self {
        let test = Test::Exact(text);
        Self { test, ignore_case }
    }

    /// Matches every text with this prefix.
    #[must_use]
    pub fn prefix(text: Box<[u8]>, ignore_case: bool) -> Self {
        let test = Test::Prefix(text);
        Self { test, ignore_case }
    }

    /// Matches every text with this suffix.
    #[must_use]
    pub fn suffix(text: Box<[u8]>, ignore_case: bool) -> Self {
        let test = Test::Suffix(text);
        Self { test, ignore_case }
    }

    /// Matches every text that the pattern matches as a whole. The pattern itself determines whether case
    /// matters.
    #[must_use]
    pub const fn pattern(pattern: Member) -> Self {
        let test = Test::Pattern(pattern);
        Self {
            test,
            ignore_case: false,
        }
    }

    /// The only text that it matches, if there is one.
    #[must_use]
    pub fn only(&self) -> Option<&[u8]> {
        match &self.test {
            Test::Exact(text) if !self.ignore_case => Some(text),
            _ => None,
        }
    }

    /// Whether the text matches; `None`: the search would cost too much.
    #[must_use]
    pub fn matches<'t>(&self, text: &Text<'t>, search: &mut Search<'t>) -> Option<bool> {
        match &self.test {
            Test::Pattern(pattern) => {
                search.effort.spend(LOOK)?;
                pattern.matches(text, search)
            }
            test => {
                search.effort.spend(test.steps(text))?;
                Some(test.matches(text, self.ignore_case))
            }
        }
    }

    /// As above, for a text that no other matcher tests.
    #[must_use]
    pub fn matches_once(&self, text: &[u8], effort: &mut Effort) -> Option<bool> {
        match &self.test {
            Test::Pattern(pattern) => pattern.matches_once(text, effort),
            test => Some(test.matches(text, self.ignore_case)),
        }
    }
}

/// The steps of a test that ends at the lengths, or that has a result already.
const LOOK: usize = 8;

impl Test {
    /// The steps of a test that does not read the whole text.
    fn steps(&self, text: &[u8]) -> usize {
        match self {
            Self::Exact(expected) if expected.len() != text.len() => LOOK,
            Self::Exact(expected) | Self::Prefix(expected) | Self::Suffix(expected) => {
                (expected.len() / 2).saturating_add(LOOK)
            }
            Self::Pattern(_) => LOOK,
        }
    }

    /// The result of a test that does not read the whole text.
    fn matches(&self, text: &[u8], ignore_case: bool) -> bool {
        let (part, expected) = match self {
            Self::Exact(expected) => (Some(text), expected),
            Self::Prefix(expected) => (text.get(..expected.len()), expected),
            Self::Suffix(expected) => {
                let start = text.len().checked_sub(expected.len());
                (start.and_then(|start| text.get(start..)), expected)
            }
            Self::Pattern(_) => return false,
        };
        part.is_some_and(|part| match ignore_case {
            true => part.eq_ignore_ascii_case(expected),
            false => *part == **expected,
        })
    }
}
