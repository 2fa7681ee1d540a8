//! `match`: Envoy's `RouteMatch`, as far as a request's head decides it, and `methods` and `hosts`.

use super::header::HeaderMatcher;
use super::host::HostPattern;
use super::path::{PathPattern, RequestPath};
use crate::config::StringMatcher;
use crate::request::{FieldId, RequestHead};

/// Matches a request; all parts must.
#[derive(Debug, Default)]
pub struct RequestMatcher {
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
}

/// `query_parameters`: one parameter, compared as the query spells it.
#[derive(Debug)]
pub struct ParameterMatcher {
    /// Its name.
    pub name: Box<str>,
    /// What its first value must be; `None`: it must be there.
    pub value: Option<StringMatcher>,
    /// Whether it must be there at all.
    pub present: bool,
}

impl RequestMatcher {
    /// Whether the request matches.
    #[must_use]
    pub fn matches(&self, request: &RequestHead, path: &RequestPath<'_>) -> bool {
        self.path.as_ref().is_none_or(|pattern| pattern.matches(path))
            && self.methods.as_ref().is_none_or(|(field, methods)| {
                let method = request.first(*field).unwrap_or_default();
                methods.iter().any(|known| **known == *method)
            })
            && self.hosts.as_ref().is_none_or(|(field, hosts)| {
                let host = request.first(*field).unwrap_or_default();
                hosts.iter().any(|pattern| pattern.matches(host))
            })
            && self.headers.iter().all(|matcher| matcher.matches(request))
            && self.parameters.as_ref().is_none_or(|(field, parameters)| {
                let query = query(request.first(*field).unwrap_or_default());
                parameters.iter().all(|matcher| matcher.matches(query))
            })
    }
}

impl ParameterMatcher {
    fn matches(&self, query: &[u8]) -> bool {
        let mut values = query.split(|byte| *byte == b'&').filter_map(|pair| {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => pair.split_at_checked(at)?,
                None => (pair, &[][..]),
            };
            (name == self.name.as_bytes()).then(|| value.strip_prefix(b"=").unwrap_or(value))
        });
        match (values.next(), &self.value) {
            (Some(value), Some(matcher)) => matcher.matches_bytes(value),
            (None, Some(_)) => false,
            (value, None) => value.is_some() == self.present,
        }
    }
}

/// What follows the question mark; a fragment is no part of it.
fn query(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|byte| *byte == b'#').unwrap_or(path.len());
    let path = path.get(..end).unwrap_or_default();
    match path.iter().position(|byte| *byte == b'?') {
        Some(at) => path.get(at.saturating_add(1)..).unwrap_or_default(),
        None => &[],
    }
}
