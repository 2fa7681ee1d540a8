//! `match`: Envoy's `RouteMatch`, as far as a request's head decides it, and `methods` and `hosts`.

use super::header::HeaderMatcher;
use super::host::HostPattern;
use super::likeness::Match;
use super::matched::Matched;
use super::parameter::ParameterMatcher;
use super::path::{PathPattern, RequestPath};
use crate::ids::FieldId;

/// Matches a request if one of these does.
#[derive(Debug, Default)]
pub struct AnyMatcher(pub Vec<RequestMatcher>);

/// Matches a request; all parts must.
#[derive(Debug, Default)]
pub struct RequestMatcher {
    /// Its number among the matchers of all rules.
    pub number: usize,
    /// Which paths; every one where it says nothing.
    pub path: Option<PathPattern>,
    /// Which methods, and the field; every one where it names none.
    pub methods: Option<(FieldId, Vec<Box<[u8]>>)>,
    /// Which hosts, and the field; every one where it names none.
    pub hosts: Option<(FieldId, Vec<HostPattern>)>,
    /// Header fields.
    pub headers: Vec<HeaderMatcher>,
    /// Parameters of the query, and the field of the path.
    pub parameters: Option<(FieldId, Vec<ParameterMatcher>)>,
    /// What must not match.
    pub not: Option<AnyMatcher>,
}

impl AnyMatcher {
    /// Whether it looks at the path.
    #[must_use]
    pub fn reads_path(&self) -> bool {
        self.0.iter().any(RequestMatcher::reads_path)
    }

    /// Whether it looks at path and query at once.
    #[must_use]
    pub(super) fn reads_whole_path(&self) -> bool {
        self.0.iter().any(RequestMatcher::reads_whole_path)
    }

    /// Whether the request matches, with its path read so.
    #[must_use]
    pub fn matches<'r>(&self, matched: &Matched<'r>, path: &RequestPath<'r>) -> Match {
        let any = |found: Match, matcher: &RequestMatcher| found.or(|| matcher.matches(matched, path));
        self.0.iter().fold(Match::NO, any)
    }
}

impl RequestMatcher {
    /// Whether it looks at the path.
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

    /// Whether the request matches, with its path read so.
    #[must_use]
    pub fn matches<'r>(&self, matched: &Matched<'r>, path: &RequestPath<'r>) -> Match {
        let is_path = self
            .path
            .as_ref()
            .is_none_or(|pattern| pattern.matches(path, matched));
        let by_path = match matched.gives_up() {
            true => Match::PERHAPS,
            false => Match::sure(is_path),
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
            found = found.and(|| matched.apart_from_path(self.number, || self.matches_others(matched, path)));
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

    /// Whether the parts match that do not look at the path.
    fn matches_others<'r>(&self, matched: &Matched<'r>, path: &RequestPath<'r>) -> Match {
        let mut found = Match::YES;
        if let Some((field, methods)) = &self.methods {
            found = match_method(
                methods,
                matched.request.first(*field).unwrap_or_default(),
                matched,
            );
        }
        if let Some((field, hosts)) = &self.hosts {
            found = found.and(|| {
                let authority = matched.authority(*field);
                let matches = |found: Match, pattern: &HostPattern| found.or(|| pattern.matches(authority));
                hosts.iter().fold(Match::NO, matches)
            });
        }
        let others = self.headers.iter().filter(|matcher| !matcher.is_of_path());
        found = others.fold(found, |found, matcher| {
            found.and(|| matcher.matches(matched, path))
        });
        if let Some((field, parameters)) = &self.parameters {
            found = parameters.iter().fold(found, |found, matcher| {
                found.and(|| matcher.matches(matched.query(*field), matched))
            });
        }
        found
    }
}

/// Methods are case-sensitive (RFC 9110 section 9.1), but not to every server.
fn match_method(methods: &[Box<[u8]>], method: &[u8], matched: &Matched<'_>) -> Match {
    if methods.iter().any(|known| **known == *method) {
        return Match::YES;
    }
    let is_alike = methods.iter().any(|known| known.eq_ignore_ascii_case(method));
    Match::NO.unless(is_alike || !matched.is_method(method))
}
