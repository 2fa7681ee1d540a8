//! `match.headers`: Envoy's `HeaderMatcher`.

use crate::config::StringMatcher;
use crate::request::{FieldId, RequestHead};

/// Matches the values of a header field.
#[derive(Debug)]
pub struct HeaderMatcher {
    /// The field.
    pub field: FieldId,
    /// What is asked of it.
    pub test: HeaderTest,
    /// `invert_match`.
    pub invert: bool,
    /// The filter owns the field: what a client writes there counts as not there.
    pub is_owned: bool,
    /// `treat_missing_header_as_empty`.
    pub missing_is_empty: bool,
}

/// What is asked of a header field.
#[derive(Debug)]
pub enum HeaderTest {
    /// `present_match`: that it is there, or that it is not.
    Present(bool),
    /// `string_match` and its older forms.
    Text(StringMatcher),
    /// `range_match`: a whole number from the first up to but not including the second.
    Range(i64, i64),
}

impl HeaderMatcher {
    /// Whether it matches: one of several values does. A field that is not there matches no text and no range, inverted or
    /// not.
    #[must_use]
    pub fn matches(&self, request: &RequestHead) -> bool {
        let mut values = request.all(self.field).filter(|_| !self.is_owned).peekable();
        if let HeaderTest::Present(wanted) = self.test {
            return (values.peek().is_some() == wanted) != self.invert;
        }
        let matches = match values.peek() {
            Some(_) => values.any(|value| self.test.matches(value)),
            None if self.missing_is_empty => self.test.matches(&[]),
            None => return false,
        };
        matches != self.invert
    }
}

impl HeaderTest {
    fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Present(wanted) => *wanted,
            Self::Text(matcher) => matcher.matches_bytes(value),
            Self::Range(start, end) => std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .is_some_and(|number| (*start..*end).contains(&number)),
        }
    }
}
