//! Which request needs what: the route's own word, the first rule that matches, or the default, which needs a token.
//!
//! Knows requests and requirements, nothing of tokens.

mod authorize;
mod header;
mod host;
mod matcher;
mod path;
mod requirement;
mod resource;
mod template;

use std::borrow::Cow;
use std::rc::Rc;

pub use authorize::{Authorization, ClaimCondition, ClaimTest, Condition, RequestPart, Scalar, Scopes};
pub use header::{HeaderMatcher, HeaderTest};
pub use host::HostPattern;
pub(crate) use host::is_authority;
pub use matcher::{ParameterMatcher, RequestMatcher};
pub use path::{PathPattern, PathTest, RequestPath};
pub use requirement::{Demand, Mode, ProviderRequirement, Requirement, Strict};
pub use resource::{ProtectedResource, ProtectedResources, ResourceIdentity, ResourceMetadata};
pub use template::PathTemplate;

use crate::denial::{Denial, Reason};
use crate::request::{FieldId, RequestHead, WantedFields};

/// One of `rules`.
#[derive(Debug)]
pub struct Rule {
    /// What the access log calls it.
    pub name: Box<str>,
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

/// What has said what a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nothing but that it is a CORS preflight.
    CorsPreflight,
    /// The entry of `requirement_map` that the route names.
    Route(usize),
    /// One of `rules`.
    Rule {
        /// Which.
        number: usize,
        /// What it waives is not waived.
        is_strict: bool,
    },
    /// One of `filter_state_rules`.
    FilterState(usize),
    /// Nothing: every request needs a token.
    Otherwise,
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
    /// The resources whose metadata is answered here.
    pub resources: Option<ProtectedResources>,
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
    /// What has its say about the request.
    ///
    /// Fails with `route_requirement_unknown` where the route names a requirement that does not exist.
    pub fn choose(&self, request: &RequestHead) -> Result<Choice, Denial> {
        if self.cors.is_some_and(|cors| cors.matches(request)) {
            return Ok(Choice::CorsPreflight);
        }
        if let Some(name) = &request.route_requirement {
            let known = self
                .requirement_map
                .iter()
                .position(|(known, _)| known.as_bytes() == name);
            return known
                .map(Choice::Route)
                .ok_or(Denial::new(Reason::RouteRequirementUnknown));
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
            .enumerate()
            .filter(|(_, rule)| rule.matcher.matches(request, &path))
            .find(|(_, rule)| {
                // What opens a door must not be talked into opening another: `/healthz/../admin` never rides on `/healthz`. A
                // rule that lets some go on without a token is then what it is for the others.
                is_canonical || rule.demand.without_waiver().is_some()
            });
        Ok(match by_rule {
            Some((number, _)) => Choice::Rule {
                number,
                is_strict: !is_canonical,
            },
            None => self.by_filter_state(request).unwrap_or(Choice::Otherwise),
        })
    }

    /// What a request needs of which this has been chosen. `None`: nothing.
    #[must_use]
    pub fn demand(&self, choice: Choice) -> Option<&Rc<Demand>> {
        let demands = self.filter_state_rules.as_ref().map(|rules| &rules.demands);
        let found = match choice {
            Choice::CorsPreflight => return None,
            Choice::Route(number) => self.requirement_map.get(number).map(|(_, demand)| demand),
            Choice::Rule { number, is_strict } => self.rules.get(number).and_then(|rule| match is_strict {
                true => rule.demand.without_waiver(),
                false => Some(&rule.demand),
            }),
            Choice::FilterState(number) => demands
                .and_then(|demands| demands.get(number))
                .map(|(_, demand)| demand),
            Choice::Otherwise => None,
        };
        Some(found.unwrap_or(&self.otherwise))
    }

    /// What the access log calls it.
    #[must_use]
    pub fn label(&self, choice: Choice) -> Cow<'_, str> {
        let demands = self.filter_state_rules.as_ref().map(|rules| &rules.demands);
        let found = match choice {
            Choice::CorsPreflight => Some(Cow::Borrowed("cors_preflight")),
            Choice::Route(number) => self
                .requirement_map
                .get(number)
                .map(|(name, _)| Cow::Owned(format!("requirement_map.{name}"))),
            Choice::Rule { number, .. } => self.rules.get(number).map(|rule| Cow::Borrowed(&*rule.name)),
            Choice::FilterState(number) => demands
                .and_then(|demands| demands.get(number))
                .map(|(word, _)| Cow::Owned(format!("filter_state_rules.{word}"))),
            Choice::Otherwise => None,
        };
        found.unwrap_or(Cow::Borrowed("default"))
    }

    /// Whether any mode tells clients apart, so that their addresses have to be known.
    #[must_use]
    pub fn tells_clients_apart(&self) -> bool {
        let stated = self.filter_state_rules.iter().flat_map(|rules| &rules.demands);
        let named = self
            .requirement_map
            .iter()
            .chain(stated)
            .map(|(_, demand)| demand);
        self.mode.tells_clients_apart()
            || named
                .chain(self.rules.iter().map(|rule| &rule.demand))
                .any(|demand| demand.mode.tells_clients_apart())
    }

    /// A word that is not in the list is no word: the default holds.
    fn by_filter_state(&self, request: &RequestHead) -> Option<Choice> {
        let word = request.filter_state.as_deref()?;
        let rules = self.filter_state_rules.as_ref()?;
        rules
            .demands
            .iter()
            .position(|(known, _)| known.as_bytes() == word)
            .map(Choice::FilterState)
    }
}
