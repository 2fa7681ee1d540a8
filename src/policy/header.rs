//! `match.headers`: Envoy's `HeaderMatcher`.

use super::likeness::Match;
use super::matched::{Matched, small};
use super::path::RequestPath;
use super::values::{FieldInterpretations, FieldKind, Interpretation, ValueInterpretations};
use crate::denial::Doubt;
use crate::ids::FieldId;
use crate::pattern::{StringMatcher, Text};

/// Matches the values of a header field.
#[derive(Debug)]
pub struct HeaderMatcher {
    /// The field.
    pub field: FieldId,
    /// The interpretations of its values.
    pub kind: FieldKind,
    /// The test.
    pub test: HeaderTest,
    /// `invert_match`.
    pub invert: bool,
    /// The filter owns the field: a client's value counts as absent.
    pub is_owned: bool,
    /// `treat_missing_header_as_empty`.
    pub missing_is_empty: bool,
}

/// The test of a header field.
#[derive(Debug)]
pub enum HeaderTest {
    /// `present_match`: the field must be present, or absent.
    Present(bool),
    /// `string_match` and its older forms.
    Text(StringMatcher),
    /// `range_match`: an integer from the first number up to, but not including, the second.
    Range(i64, i64),
}

impl HeaderMatcher {
    /// Whether the field is the path, which has several interpretations.
    pub(super) fn is_of_path(&self) -> bool {
        self.kind == FieldKind::Path
    }

    /// Whether the field matches: one matching value is enough. An absent field matches no text and no range,
    /// inverted or not.
    #[must_use]
    pub fn matches<'r>(&self, matched: &Matched<'r>, path: &RequestPath<'r>) -> Match {
        let mut found = Match::PERHAPS;
        if !matched.is_spent() {
            found = self.find(matched, path);
            if matched.gives_up() {
                found = Match::PERHAPS;
            }
        }
        matched.noted(found, Doubt::Header(small(self.field.index())))
    }

    fn find<'r>(&self, matched: &Matched<'r>, path: &RequestPath<'r>) -> Match {
        if let HeaderTest::Present(wanted) = self.test {
            let is_there = !self.is_owned && matched.request.first(self.field).is_some();
            return Match::sure(is_there == wanted).inverted(self.invert);
        }
        let interpretations = matched.field(self.field, self.kind);
        let values = if self.is_owned {
            &[]
        } else {
            &*interpretations.values
        };
        let found = match values {
            [] => match self.missing_is_empty {
                true => Match::sure(self.passes(&Interpretation::new(Text::Borrowed(&[])), matched)),
                // An absent field does not match, even if the matcher is inverted.
                false => return Match::NO,
            },
            // The caller passes one interpretation of the path at a time.
            [_] if self.kind == FieldKind::Path => {
                Match::sure(self.passes(&Interpretation::new(Text::Borrowed(path.field())), matched))
            }
            [only] if interpretations.further.is_empty() => self.matches_value(only, matched),
            [first] => {
                let found = self.matches_value(first, matched);
                let passes = |value| self.passes(value, matched);
                Match::sure(found.is_literal || interpretations.further.iter().any(passes)).unless(true)
            }
            values => self.matches_all(values, &interpretations, matched),
        };
        found.inverted(self.invert)
    }

    /// One matching value is enough. A server may use any of several values, or all of them joined (RFC 9110
    /// section 5.3).
    fn matches_all<'r>(
        &self,
        values: &[ValueInterpretations<'r>],
        interpretations: &FieldInterpretations<'r>,
        matched: &Matched<'r>,
    ) -> Match {
        let (mut are_all, mut is_none, mut is_literal) = (true, true, false);
        for value in values {
            let found = self.matches_value(value, matched);
            are_all &= found == Match::YES;
            is_none &= found == Match::NO;
            is_literal |= found.is_literal;
        }
        if are_all {
            return Match::YES;
        }
        let is_joined = || {
            interpretations
                .joined()
                .iter()
                .any(|all| self.passes(all, matched))
        };
        Match::sure(is_literal).unless(!is_none || is_joined())
    }

    /// Whether a value passes the test. Not inlined, nor are the functions that it calls: the module would
    /// contain them several times.
    #[inline(never)]
    fn matches_value<'r>(&self, value: &ValueInterpretations<'r>, matched: &Matched<'r>) -> Match {
        let passes = |interpretation| self.passes(interpretation, matched);
        let literal = passes(&value.whole);
        if value.may_be_any || value.spelt.as_ref().is_some_and(|spelt| passes(spelt) != literal) {
            return Match::sure(literal).unless(true);
        }
        // A match of the value as written is not certain if servers may split it at a comma, or ignore a
        // port.
        let is_other = || value.is_cut || value.others.iter().any(passes);
        Match::sure(literal).unless(!literal && is_other())
    }

    #[inline(never)]
    fn passes<'r>(&self, interpretation: &Interpretation<'r>, matched: &Matched<'r>) -> bool {
        match &self.test {
            HeaderTest::Present(wanted) => *wanted,
            HeaderTest::Text(matcher) => matched.passes(matcher, &interpretation.text),
            HeaderTest::Range(start, end) => interpretation
                .number()
                .is_some_and(|number| (*start..*end).contains(&number)),
        }
    }
}
