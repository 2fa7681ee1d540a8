//! Which request needs what: the first rule that matches, or the default, which needs a token.
//!
//! Knows requests and requirements, nothing of tokens.

mod host;
mod path;

pub use host::HostPattern;
pub use path::{PathPattern, RequestPath};

use crate::config::ProviderId;
use crate::request::{FieldId, RequestHead, WantedFields};

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// A valid token of this provider.
    Provider(ProviderId),
    /// A valid token of any provider.
    AnyProvider,
}

/// One of `rules`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `:path`, where the rule looks at it.
    pub path_field: Option<FieldId>,
    /// `:method`, where the rule looks at it.
    pub method_field: Option<FieldId>,
    /// `:authority`, where the rule looks at it.
    pub host_field: Option<FieldId>,
    /// Which paths; every one where it says nothing.
    pub path: Option<PathPattern>,
    /// Which methods; every one where it names none.
    pub methods: Vec<Box<[u8]>>,
    /// Which hosts; every one where it names none.
    pub hosts: Vec<HostPattern>,
    /// What it needs; nothing: no token.
    pub requirement: Option<Requirement>,
}

/// The fields by which a CORS preflight is told (`bypass_cors_preflight`).
#[derive(Clone, Copy, Debug)]
pub struct CorsPreflight {
    method: FieldId,
    origin: FieldId,
    requested_method: FieldId,
}

/// The rules, in order.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    cors: Option<CorsPreflight>,
    /// `:path`, where any rule looks at it.
    path_field: Option<FieldId>,
}

impl CorsPreflight {
    /// Registers the fields.
    #[must_use]
    pub fn new(wanted: &mut WantedFields) -> Self {
        Self {
            method: wanted.id(":method"),
            origin: wanted.id("origin"),
            requested_method: wanted.id("access-control-request-method"),
        }
    }

    /// `OPTIONS` with `origin` and `access-control-request-method`, neither of them empty (the Fetch standard's
    /// CORS-preflight request, as Envoy tells it).
    fn matches(self, request: &RequestHead) -> bool {
        let given = |field| request.first(field).is_some_and(|value| !value.is_empty());
        request.first(self.method) == Some(b"OPTIONS") && given(self.origin) && given(self.requested_method)
    }
}

impl Policy {
    /// The policy of these rules. `wanted` learns the fields that the policy itself reads.
    #[must_use]
    pub fn new(rules: Vec<Rule>, cors: Option<CorsPreflight>, wanted: &mut WantedFields) -> Self {
        // A rule that waives the token needs the path to be canonical, whatever it matches by.
        let reads_path = rules
            .iter()
            .any(|rule| rule.path_field.is_some() || rule.requirement.is_none());
        let path_field = reads_path.then(|| wanted.id(":path"));
        Self {
            rules,
            cors,
            path_field,
        }
    }

    /// What the request needs; `None`: no token.
    #[must_use]
    pub fn requirement(&self, request: &RequestHead) -> Option<Requirement> {
        if self.cors.is_some_and(|cors| cors.matches(request)) {
            return None;
        }
        if self.rules.is_empty() {
            return Some(Requirement::AnyProvider);
        }
        let path = RequestPath::new(
            self.path_field
                .and_then(|field| request.first(field))
                .unwrap_or_default(),
        );
        self.rules
            .iter()
            .find(|rule| rule.matches(request, &path))
            .map_or(Some(Requirement::AnyProvider), |rule| rule.requirement)
    }
}

impl Rule {
    fn matches(&self, request: &RequestHead, path: &RequestPath<'_>) -> bool {
        if self.path.as_ref().is_some_and(|pattern| !pattern.matches(path)) {
            return false;
        }
        if !self.methods.is_empty() {
            let method = self
                .method_field
                .and_then(|field| request.first(field))
                .unwrap_or_default();
            if !self.methods.iter().any(|known| **known == *method) {
                return false;
            }
        }
        if !self.hosts.is_empty() {
            let host = self
                .host_field
                .and_then(|field| request.first(field))
                .unwrap_or_default();
            if !self.hosts.iter().any(|pattern| pattern.matches(host)) {
                return false;
            }
        }
        // What opens a door must not be talked into opening another: `/healthz/../admin` never rides on `/healthz`.
        self.requirement.is_some() || path.is_canonical()
    }
}
