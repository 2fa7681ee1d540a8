//! `match.headers`: Envoy's `HeaderMatcher`.

use std::borrow::Cow;

use super::likeness::Match;
use super::matched::{MAX_VALUES, Matched, is_method, without_spaces};
use super::path::RequestPath;
use crate::ids::FieldId;
use crate::pattern::StringMatcher;

/// Matches the values of a header field.
#[derive(Debug)]
pub struct HeaderMatcher {
    /// The field.
    pub field: FieldId,
    /// What servers make of its values.
    pub kind: FieldKind,
    /// What is asked of it.
    pub test: HeaderTest,
    /// `invert_match`.
    pub invert: bool,
    /// The filter owns the field: what a client writes there counts as not there.
    pub is_owned: bool,
    /// `treat_missing_header_as_empty`.
    pub missing_is_empty: bool,
}

/// What servers make of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// `:method`.
    Method,
    /// `:path`, with its query.
    Path,
    /// `:authority`.
    Authority,
    /// Any other.
    Other,
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
    pub fn matches<'r>(&self, matched: &Matched<'r>, path: &RequestPath<'r>) -> Match {
        let found = self.find(matched, path);
        match matched.gives_up() {
            true => Match::PERHAPS,
            false => found,
        }
    }

    fn find<'r>(&self, matched: &Matched<'r>, path: &RequestPath<'r>) -> Match {
        let mut values = matched
            .request
            .all(self.field)
            .filter(|_| !self.is_owned)
            .peekable();
        if let HeaderTest::Present(wanted) = self.test {
            return Match::sure(values.peek().is_some() == wanted).inverted(self.invert);
        }
        let Some(first) = values.next() else {
            return match self.missing_is_empty {
                true => Match::sure(self.test.matches(&Cow::Borrowed(&[]), matched)).inverted(self.invert),
                false => Match::NO,
            };
        };
        let mut found = self.matches_value(first, matched, path);
        if let Some(second) = values.next() {
            let rest: Vec<&'r [u8]> = std::iter::once(second).chain(values).collect();
            found = match rest.len() < MAX_VALUES {
                true => self.matches_all(found, first, &rest, matched, path),
                false => {
                    let passes = |value: &&'r [u8]| self.test.matches(&Cow::Borrowed(*value), matched);
                    Match::sure(found.is_literal || rest.iter().any(passes)).unless(true)
                }
            };
        }
        found.inverted(self.invert)
    }

    /// One of several values will do. A server may take any of them, or all in one (RFC 9110 section 5.3).
    fn matches_all<'r>(
        &self,
        found: Match,
        first: &'r [u8],
        rest: &[&'r [u8]],
        matched: &Matched<'r>,
        path: &RequestPath<'r>,
    ) -> Match {
        let mut all = vec![found];
        all.extend(rest.iter().map(|value| self.matches_value(value, matched, path)));
        if all.iter().all(|found| *found == Match::YES) {
            return Match::YES;
        }
        let is_joined = || {
            let joined = |separator: &[u8]| {
                let mut all = vec![first];
                all.extend_from_slice(rest);
                self.test.matches(&Cow::Owned(all.join(separator)), matched)
            };
            joined(b",") || joined(b", ")
        };
        let is_none = all.iter().all(|found| *found == Match::NO);
        Match::sure(all.iter().any(|found| found.is_literal)).unless(!is_none || is_joined())
    }

    /// Whether a value passes the test.
    fn matches_value<'r>(&self, value: &'r [u8], matched: &Matched<'r>, path: &RequestPath<'r>) -> Match {
        let passes = |value: &Cow<'r, [u8]>| self.test.matches(value, matched);
        let whole = Cow::Borrowed(value);
        let spelt: Cow<'r, [u8]> = match self.kind {
            // The path is read in one way at a time.
            FieldKind::Path => return Match::sure(passes(&path.with_query_of(value))),
            FieldKind::Method if !is_method(value) => return Match::sure(passes(&whole)).unless(true),
            FieldKind::Method => match value.iter().any(u8::is_ascii_lowercase) {
                true => Cow::Owned(value.to_ascii_uppercase()),
                false => Cow::Borrowed(value),
            },
            FieldKind::Authority => match matched.authority(self.field) {
                Some(authority) => Cow::Owned(authority.text().into_owned()),
                None => return Match::sure(passes(&whole)).unless(true),
            },
            FieldKind::Other => Cow::Borrowed(without_spaces(value)),
        };
        let literal = passes(&whole);
        let is_same = match &spelt {
            // Only trimmed: to compare it would take a look at all of it, for each rule.
            Cow::Borrowed(spelt) => spelt.len() == value.len(),
            Cow::Owned(spelt) => **spelt == *value,
        };
        if !is_same && passes(&spelt) != literal {
            return Match::sure(literal).unless(true);
        }
        // What matches as it is written does so for sure: not to every server is `a,b` two values, or a port of no account.
        let is_other = || match self.kind {
            FieldKind::Method | FieldKind::Path => false,
            FieldKind::Authority => matched.authority(self.field).is_some_and(|authority| {
                authority
                    .others()
                    .any(|other| passes(&Cow::Owned(other.into_owned())))
            }),
            FieldKind::Other => {
                let elements = matched.elements(value);
                elements.is_cut
                    || elements
                        .first
                        .iter()
                        .any(|element| passes(&Cow::Borrowed(*element)))
            }
        };
        Match::sure(literal).unless(!literal && is_other())
    }
}

impl HeaderTest {
    #[allow(
        clippy::ptr_arg,
        reason = "a text of the request itself is remembered, another is not"
    )]
    fn matches<'r>(&self, value: &Cow<'r, [u8]>, matched: &Matched<'r>) -> bool {
        match self {
            Self::Present(wanted) => *wanted,
            Self::Text(matcher) => matched.passes(matcher, value),
            Self::Range(start, end) => std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .is_some_and(|number| (*start..*end).contains(&number)),
        }
    }
}
