//! `match.query_parameters`: parameters of the query.

use super::likeness::Match;
use super::matched::Matched;
use super::query::{Pair, Query};
use super::values::MAX_VALUES;
use crate::ids::ConditionId;
use crate::pattern::{StringMatcher, Text};

/// One of `query_parameters`.
#[derive(Debug)]
pub struct ParameterMatcher {
    /// Its name.
    pub name: Box<str>,
    /// Its position among the names for refusals.
    pub place: ConditionId,
    /// The test of its first value; `None`: the parameter must be present.
    pub value: Option<StringMatcher>,
    /// Whether the parameter must be present.
    pub present: bool,
}

impl ParameterMatcher {
    /// Whether the parameter matches. For the request as written, the first of several counts, with name and
    /// value as the query spells them. A server may use another one, decode both, or split the query in
    /// another way.
    #[must_use]
    pub fn matches<'q>(&self, query: &Query<'q>, matched: &Matched<'q>) -> Match {
        if matched.is_spent() {
            return Match::PERHAPS;
        }
        let name = self.name.as_bytes();
        let of = |value: Option<&Text<'q>>| match &self.value {
            Some(matcher) => value.is_some_and(|value| matched.passes(matcher, value)),
            None => value.is_some() == self.present,
        };
        let first = query.pairs.about(name).find(|pair| pair.name == name);
        let literal = of(first.map(|pair| &pair.value));
        let is_doubtful = query.is_unclear
            || [&query.pairs, &query.finer].into_iter().any(|pairs| {
                // If the second list has no pairs of its own, it equals the first.
                let named = || pairs.about(name).filter(|pair| pair.is_named(name));
                if named().nth(MAX_VALUES).is_some() {
                    return true;
                }
                let mut found = named().peekable();
                let is_absent = found.peek().is_none() && !pairs.is_empty();
                is_absent && of(None) != literal
                    || found.any(|pair| {
                        pair.name != name && of(None) != literal || self.differs(pair, literal, of)
                    })
            });
        match matched.gives_up() {
            true => Match::PERHAPS,
            false => Match::sure(literal).unless(is_doubtful),
        }
    }

    /// Whether some interpretation of the value has another result than this one.
    fn differs<'q>(&self, pair: &Pair<'q>, literal: bool, of: impl Fn(Option<&Text<'q>>) -> bool) -> bool {
        if of(Some(&pair.value)) != literal {
            return true;
        }
        if self.value.is_none() {
            return false;
        }
        let decoded = pair.decoded_values();
        decoded.may_be_any || decoded.all.iter().any(|value| of(Some(value)) != literal)
    }
}
