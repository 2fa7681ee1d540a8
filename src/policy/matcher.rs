//! `match`: Envoy's `RouteMatch`, as far as a request's head decides it, with `methods` and `hosts`.

use super::header::HeaderMatcher;
use super::host::HostPattern;
use super::likeness::Match;
use super::matched::{Matched, small};
use super::parameter::ParameterMatcher;
use super::path::{PathPattern, RequestPath};
use crate::denial::Doubt;
use crate::ids::{FieldId, MatcherId};

/// Matches a request if one of its matchers does.
#[derive(Debug, Default)]
pub struct AnyMatcher(pub Vec<RequestMatcher>);

/// Matches a request if all its parts do.
#[derive(Debug, Default)]
pub struct RequestMatcher {
    /// Its position among the matchers of all rules.
    pub id: MatcherId,
    /// The test of the path; `None` accepts any path.
    pub path: Option<PathPattern>,
    /// The methods, and the field `:method`; `None` accepts any method.
    pub methods: Option<(FieldId, Vec<Box<[u8]>>)>,
    /// The hosts, and the field `:authority`; `None` accepts any host.
    pub hosts: Option<(FieldId, Vec<HostPattern>)>,
    /// The header fields.
    pub headers: Vec<HeaderMatcher>,
    /// The query parameters, and the field `:path`.
    pub parameters: Option<(FieldId, Vec<ParameterMatcher>)>,
    /// A matcher that must not match.
    pub not: Option<AnyMatcher>,
}

impl AnyMatcher {
    /// Whether it tests the path.
    #[must_use]
    pub fn reads_path(&self) -> bool {
        self.0.iter().any(RequestMatcher::reads_path)
    }

    /// Whether it tests path and query together.
    #[must_use]
    pub(super) fn reads_whole_path(&self) -> bool {
        self.0.iter().any(RequestMatcher::reads_whole_path)
    }

    /// Whether the request matches with this interpretation of its path.
    #[must_use]
    pub fn matches<'r>(&self, matched: &Matched<'r>, path: &RequestPath<'r>) -> Match {
        let any = |found: Match, matcher: &RequestMatcher| found.or(|| matcher.matches(matched, path));
        self.0.iter().fold(Match::NO, any)
    }
}

impl RequestMatcher {
    /// Whether it tests the path.
    #[must_use]
    pub fn reads_path(&self) -> bool {
        self.path.is_some()
            || self.headers.iter().any(HeaderMatcher::is_of_path)
            || self.not.as_ref().is_some_and(AnyMatcher::reads_path)
    }

    fn reads_whole_path(&self) -> bool {
        self.headers.iter().any(HeaderMatcher::is_of_path)
            || self.not.as_ref().is_some_and(AnyMatcher::reads_whole_path)
    }

    /// Whether the request matches with this interpretation of its path.
    #[must_use]
    pub fn matches<'r>(&self, matched: &Matched<'r>, path: &RequestPath<'r>) -> Match {
        let by_path = self
            .path
            .as_ref()
            .map_or(Match::YES, |pattern| pattern.matches(path, matched));
        let by_path = match matched.gives_up() {
            true => Match::PERHAPS,
            false => by_path,
        };
        if by_path == Match::NO {
            return by_path;
        }
        let mut found = by_path;
        let looks_at_others = self.methods.is_some()
            || self.hosts.is_some()
            || !self.headers.is_empty()
            || self.parameters.is_some();
        if looks_at_others {
            found = found.and(|| matched.apart_from_path(self.id, || self.matches_others(matched, path)));
            let of_path = self.headers.iter().filter(|matcher| matcher.is_of_path());
            found = of_path.fold(found, |found, matcher| {
                found.and(|| matcher.matches(matched, path))
            });
        }
        if let Some(not) = &self.not {
            found = found.and(|| not.matches(matched, path).inverted(true));
        }
        found
    }

    /// Whether the parts that do not test the path match.
    fn matches_others<'r>(&self, matched: &Matched<'r>, path: &RequestPath<'r>) -> Match {
        let mut found = Match::YES;
        if let Some((field, methods)) = &self.methods {
            let method = matched.request.first(*field).unwrap_or_default();
            found = matched.noted(
                match_method(methods, method, matched),
                Doubt::Header(small(field.index())),
            );
        }
        if let Some((field, hosts)) = &self.hosts {
            found = found.and(|| {
                let authority = matched.authority(*field);
                let matches = |found: Match, pattern: &HostPattern| found.or(|| pattern.matches(authority));
                matched.noted(
                    hosts.iter().fold(Match::NO, matches),
                    Doubt::Header(small(field.index())),
                )
            });
        }
        let others = self.headers.iter().filter(|matcher| !matcher.is_of_path());
        found = others.fold(found, |found, matcher| {
            found.and(|| matcher.matches(matched, path))
        });
        if let Some((field, parameters)) = &self.parameters {
            found = parameters.iter().fold(found, |found, matcher| {
                found.and(|| {
                    let found = matcher.matches(matched.query(*field), matched);
                    matched.noted(found, Doubt::Parameter(small(matcher.place.index())))
                })
            });
        }
        found
    }
}

/// Methods are case-sensitive (RFC 9110 section 9.1), but not every server compares them so.
fn match_method(methods: &[Box<[u8]>], method: &[u8], matched: &Matched<'_>) -> Match {
    if methods.iter().any(|known| **known == *method) {
        return Match::YES;
    }
    let is_alike = methods.iter().any(|known| known.eq_ignore_ascii_case(method));
    Match::NO.unless(is_alike || !matched.is_method(method))
}
