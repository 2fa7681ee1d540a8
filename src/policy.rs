//! Which request needs what: the route's own word, the first rule that matches, or the default, which needs a token.
//!
//! Knows requests and requirements, nothing of tokens.

mod authorize;
mod header;
mod host;
mod matcher;
mod path;
mod requirement;
mod template;

use std::rc::Rc;

pub use authorize::{Authorization, ClaimCondition, ClaimTest, Condition, RequestPart, Scalar, Scopes};
pub use header::{HeaderMatcher, HeaderTest};
pub use host::HostPattern;
pub use matcher::{ParameterMatcher, RequestMatcher};
pub use path::{PathPattern, PathTest, RequestPath};
pub use requirement::{Demand, Mode, ProviderRequirement, Requirement, Strict};
pub use template::PathTemplate;

use crate::denial::{Denial, Reason};
use crate::request::{FieldId, RequestHead, WantedFields};

/// One of `rules`.
#[derive(Debug)]
pub struct Rule {
    /// Which requests.
    pub matcher: RequestMatcher,
    /// What they need.
    pub demand: Rc<Demand>,
}

/// `filter_state_rules`: what a request needs by a word that another filter has left.
#[derive(Debug)]
pub struct FilterStateRules {
    /// The name of the filter state.
    pub name: Box<str>,
    /// What is needed, by its value.
    pub demands: Vec<(Box<str>, Rc<Demand>)>,
}

/// The fields by which a CORS preflight is told (`bypass_cors_preflight`).
#[derive(Clone, Copy, Debug)]
pub struct CorsPreflight {
    method: FieldId,
    origin: FieldId,
    requested_method: FieldId,
}

/// Everything that says what a request needs.
#[derive(Debug)]
pub struct Policy {
    /// In order; the first that matches counts.
    pub rules: Vec<Rule>,
    /// By name, for the metadata of routes.
    pub requirement_map: Vec<(Box<str>, Rc<Demand>)>,
    /// Asked where no rule matches.
    pub filter_state_rules: Option<FilterStateRules>,
    /// Preflights need nothing.
    pub cors: Option<CorsPreflight>,
    /// `:path`, where any rule looks at it.
    pub path_field: Option<FieldId>,
    /// What a request needs that nothing else speaks for: a token of any provider.
    pub otherwise: Rc<Demand>,
    /// The filter's own mode.
    pub mode: Mode,
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
    /// What the request needs. `None`: it is a CORS preflight, which needs nothing.
    ///
    /// Fails with `route_requirement_unknown` where the route names a requirement that does not exist.
    pub fn demand(&self, request: &RequestHead) -> Result<Option<&Rc<Demand>>, Denial> {
        if self.cors.is_some_and(|cors| cors.matches(request)) {
            return Ok(None);
        }
        if let Some(name) = &request.route_requirement {
            let known = self
                .requirement_map
                .iter()
                .find(|(known, _)| known.as_bytes() == name);
            return match known {
                Some((_, demand)) => Ok(Some(demand)),
                None => Err(Denial::new(Reason::RouteRequirementUnknown)),
            };
        }
        let path = RequestPath::new(
            self.path_field
                .and_then(|field| request.first(field))
                .unwrap_or_default(),
        );
        let is_canonical = path.is_canonical();
        let by_rule = self
            .rules
            .iter()
            .filter(|rule| rule.matcher.matches(request, &path))
            .find_map(|rule| {
                // What opens a door must not be talked into opening another: `/healthz/../admin` never rides on `/healthz`. A
                // rule that lets some go on without a token is then what it is for the others.
                if is_canonical {
                    Some(&rule.demand)
                } else {
                    rule.demand.without_waiver()
                }
            });
        Ok(Some(
            by_rule
                .or_else(|| self.by_filter_state(request))
                .unwrap_or(&self.otherwise),
        ))
    }

    /// A word that is not in the list is no word: the default holds.
    fn by_filter_state(&self, request: &RequestHead) -> Option<&Rc<Demand>> {
        let word = request.filter_state.as_deref()?;
        let rules = self.filter_state_rules.as_ref()?;
        rules
            .demands
            .iter()
            .find(|(known, _)| known.as_bytes() == word)
            .map(|(_, demand)| demand)
    }
}
