//! `match.headers`: Envoy's `HeaderMatcher`.

use std::borrow::Cow;

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
    /// Whether it matches. Several values are one with commas between (RFC 9110 section 5.3), as Envoy reads them. A field
    /// that is not there matches no text and no range, inverted or not.
    #[must_use]
    pub fn matches(&self, request: &RequestHead) -> bool {
        let mut values = request.all(self.field);
        let first = values.next();
        if let HeaderTest::Present(wanted) = self.test {
            return (first.is_some() == wanted) != self.invert;
        }
        let value = match first {
            Some(first) => {
                let mut joined = Cow::Borrowed(first);
                for value in values {
                    let joined = joined.to_mut();
                    joined.push(b',');
                    joined.extend_from_slice(value);
                }
                joined
            }
            None if self.missing_is_empty => Cow::Borrowed(&[][..]),
            None => return false,
        };
        let matches = match &self.test {
            HeaderTest::Present(_) => false,
            HeaderTest::Text(matcher) => matcher.matches_bytes(&value),
            HeaderTest::Range(start, end) => std::str::from_utf8(&value)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .is_some_and(|number| (*start..*end).contains(&number)),
        };
        matches != self.invert
    }
}
