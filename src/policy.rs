//! Selects what a request needs: by the requirement that its route names, by the first rule that matches, or
//! by the default, which needs a token.
//!
//! This module knows requests and requirements, but no tokens.

mod authorize;
mod candidates;
mod header;
mod hidden;
mod host;
mod likeness;
mod matched;
mod matcher;
mod parameter;
mod path;
mod query;
mod requirement;
mod resource;
mod spelling;
mod template;
mod values;

use std::borrow::Cow;
use std::rc::Rc;

pub use authorize::{
    Authorization, ClaimCondition, ClaimTest, Condition, RequestPart, Scalar, Scalars, Scopes, Words,
};
pub use candidates::RuleIndex;
pub use header::{HeaderMatcher, HeaderTest};
pub use host::HostPattern;
pub use likeness::Match;
pub use matched::Matched;
pub use matcher::{AnyMatcher, RequestMatcher};
pub use parameter::ParameterMatcher;
pub use path::{PathAmbiguity, PathPattern, PathTest, RequestPath};
pub use query::Query;
pub use requirement::{Demand, Mode, ProviderList, ProviderRequirement, Requirement, Strict};
pub use resource::{ProtectedResource, ProtectedResources, ResourceIdentity, ResourceMetadata};
pub(crate) use spelling::in_normal_form;
pub use template::PathTemplate;
pub use values::FieldKind;

use crate::denial::{Denial, Detail, Doubt, Doubtful, Reason};
use crate::ids::{Choice, FieldId, FilterStateId, RequirementId, RuleId};
use crate::request::{RequestHead, WantedFields};

/// A rule of `rules`.
#[derive(Debug)]
pub struct Rule {
    /// Its name in the access log.
    pub name: Box<str>,
    /// The requests that it applies to.
    pub matcher: AnyMatcher,
    /// Their requirement.
    pub demand: Rc<Demand>,
}

/// `filter_state_rules`: requirements that another filter selects by a word in filter state.
#[derive(Debug)]
pub struct FilterStateRules {
    /// The name of the filter state.
    pub name: Box<str>,
    /// The requirement for each word.
    pub demands: Vec<(Box<str>, Rc<Demand>)>,
}

/// The fields that identify a CORS preflight (`bypass_cors_preflight`).
#[derive(Clone, Copy, Debug)]
pub struct CorsPreflight {
    method: FieldId,
    origin: FieldId,
    requested_method: FieldId,
}

/// All choices for one request. The request has to meet the demand of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choices {
    /// The choice for the request as written.
    pub first: Choice,
    /// The choices for the other interpretations of the request.
    pub others: Vec<Choice>,
    /// Why there are others, or why the choice is stricter than for the request as written.
    pub doubtful: Doubtful,
}

/// The part of the configuration that determines what a request needs.
#[derive(Debug)]
pub struct Policy {
    /// The rules, in order; the first one that matches applies.
    pub rules: Vec<Rule>,
    /// The rules, indexed by their paths.
    pub index: RuleIndex,
    /// The number of matchers, including those of `not`.
    pub matchers: usize,
    /// The requirements that the metadata of routes and virtual hosts may name.
    pub requirement_map: Vec<(Box<str>, Rc<Demand>)>,
    /// Applies if no rule matches.
    pub filter_state_rules: Option<FilterStateRules>,
    /// A CORS preflight needs no token.
    pub cors: Option<CorsPreflight>,
    /// The field `:path`, if any rule tests it.
    pub path_field: Option<FieldId>,
    /// The demand if nothing else applies: a token of any provider.
    pub otherwise: Rc<Demand>,
    /// The filter's own mode.
    pub mode: Mode,
    /// The resources whose metadata the filter serves.
    pub resources: Option<ProtectedResources>,
}

/// A list of choices, in order, without duplicates.
#[derive(Debug, Default)]
struct Chosen {
    list: Vec<Choice>,
    /// A bit for each rule, each entry of `requirement_map` and each word of `filter_state_rules` in the
    /// list, and another bit for its stricter form, which requires a token.
    known: [Vec<u8>; 3],
    is_otherwise: bool,
    doubtful: Option<Doubtful>,
}

impl Chosen {
    fn add(&mut self, choice: Choice) {
        let [rules, routes, words] = &mut self.known;
        let (known, index, is_strict) = match choice {
            Choice::Rule { id, is_strict } => (rules, id.index(), is_strict),
            Choice::Route { id, is_strict } => (routes, id.index(), is_strict),
            Choice::FilterState { id, is_strict } => (words, id.index(), is_strict),
            Choice::CorsPreflight | Choice::Otherwise => {
                if !std::mem::replace(&mut self.is_otherwise, true) {
                    self.list.push(choice);
                }
                return;
            }
        };
        if known.len() <= index {
            known.resize(index.saturating_add(1), 0);
        }
        let bit = if is_strict { 2 } else { 1 };
        if let Some(known) = known.get_mut(index)
            && *known & bit == 0
        {
            *known |= bit;
            self.list.push(choice);
        }
    }
}

/// The detail for a name of another route than the request's own.
const OTHER_ROUTE: Detail = Detail::Word("of the route after the edits");

/// A request with its path, and how far servers may disagree about it.
#[derive(Clone, Copy)]
struct RequestView<'r> {
    request: &'r RequestHead,
    path: RequestPath<'r>,
    ambiguity: PathAmbiguity,
}

impl RequestView<'_> {
    fn is_canonical(&self) -> bool {
        self.ambiguity != PathAmbiguity::Beyond
    }
}

impl CorsPreflight {
    /// Registers the fields that the decision needs.
    #[must_use]
    pub fn new(wanted: &mut WantedFields) -> Self {
        Self {
            method: wanted.id(":method"),
            origin: wanted.id("origin"),
            requested_method: wanted.id("access-control-request-method"),
        }
    }

    /// A CORS preflight: `OPTIONS` with non-empty `origin` and `access-control-request-method` (the Fetch
    /// standard's CORS-preflight request, as Envoy recognizes it).
    fn matches(self, request: &RequestHead) -> bool {
        let given = |field| request.first(field).is_some_and(|value| !value.is_empty());
        request.first(self.method) == Some(b"OPTIONS") && given(self.origin) && given(self.requested_method)
    }
}

impl Policy {
    /// The choices for a request: one for each interpretation by a server.
    ///
    /// # Errors
    ///
    /// Fails with `route_requirement_unknown` if the route names a requirement that does not exist.
    pub fn choose(&self, request: &RequestHead) -> Result<Choices, Denial> {
        if self.cors.is_some_and(|cors| cors.matches(request)) {
            return Ok(Choices {
                first: Choice::CorsPreflight,
                others: Vec::new(),
                doubtful: Doubtful::PATH,
            });
        }
        let field = self
            .path_field
            .map(|field| request.first(field).unwrap_or_default());
        let path = RequestPath::new(field.unwrap_or_default());
        let view = RequestView {
            request,
            path,
            ambiguity: field.map_or(PathAmbiguity::None, |_| path.ambiguity()),
        };
        let route = request.route_requirement.as_deref();
        let mut chosen = Chosen::default();
        let first = self.choose_by(&view, route, Detail::None, &mut chosen)?;
        // Without a name, the result is the same for each route.
        let mut is_without_name = route.is_none();
        let is_in_doubt = request.route_is_in_doubt() && !self.requirement_map.is_empty();
        let is_rerouted = is_in_doubt || !request.further_routes.is_empty();
        for route in &request.further_routes {
            if route.is_some() || !std::mem::replace(&mut is_without_name, true) {
                let mut further = Chosen::default();
                chosen.add(self.choose_by(&view, route.as_deref(), OTHER_ROUTE, &mut further)?);
                further.list.into_iter().for_each(|choice| chosen.add(choice));
            }
        }
        if is_in_doubt {
            if !is_without_name {
                let mut further = Chosen::default();
                chosen.add(self.choose_by_rules(&view, &mut further));
                further.list.into_iter().for_each(|choice| chosen.add(choice));
            }
            for (index, (_, demand)) in self.requirement_map.iter().enumerate() {
                let mut further = Chosen::default();
                chosen.add(self.choose_named(&view, RequirementId::new(index), demand, &mut further));
                further.list.into_iter().for_each(|choice| chosen.add(choice));
            }
        }
        let mut others = chosen.list;
        others.retain(|choice| *choice != first);
        let mut doubtful = chosen.doubtful.unwrap_or(Doubtful::PATH);
        if is_rerouted && doubtful.rule == Doubtful::NO_RULE {
            doubtful.part = Doubt::Route;
        }
        Ok(Choices {
            first,
            others,
            doubtful,
        })
    }

    /// The choice for the request as written if the route has this name. The function adds the choices for
    /// the other interpretations to `choices`. The refusal of an unknown name has the detail `unknown`.
    fn choose_by(
        &self,
        view: &RequestView<'_>,
        route: Option<&[u8]>,
        unknown: Detail,
        chosen: &mut Chosen,
    ) -> Result<Choice, Denial> {
        let Some(name) = route else {
            return Ok(self.choose_by_rules(view, chosen));
        };
        // An empty name comes from a route whose requirement could not be read.
        let (index, demand) = find(&self.requirement_map, name)
            .filter(|_| !name.is_empty())
            .ok_or_else(|| Denial::new(Reason::RouteRequirementUnknown).because(unknown))?;
        Ok(self.choose_named(view, RequirementId::new(index), demand, chosen))
    }

    /// As above, if the route names an entry of `requirement_map`.
    fn choose_named(
        &self,
        view: &RequestView<'_>,
        id: RequirementId,
        demand: &Demand,
        chosen: &mut Chosen,
    ) -> Choice {
        // The route of another path is unknown, so a rule in shadow mode does not take precedence over a rule
        // that applies to every request.
        if !view.is_canonical() && demand.mode != Mode::Enforce && demand.mode != self.mode {
            chosen.add(Choice::Otherwise);
        }
        Choice::Route {
            id,
            is_strict: demand.is_stricter(view.is_canonical()),
        }
    }

    /// As above, if the route names no entry.
    fn choose_by_rules(&self, view: &RequestView<'_>, chosen: &mut Chosen) -> Choice {
        let RequestView {
            request,
            path,
            ambiguity,
        } = *view;
        let interpretations = path.interpretations_if(ambiguity);
        let fields = self.fields_of(&path, interpretations.as_deref());
        let matched = Matched::new(request);
        if ambiguity != PathAmbiguity::None {
            matched.remember(self.matchers);
        }
        let mut first = None;
        let mut add_written = |choice, is_literal| match first {
            None if is_literal => first = Some(choice),
            _ => chosen.add(choice),
        };
        self.collect(&matched, &path, view.is_canonical(), &mut add_written);
        for (index, interpretation) in interpretations.iter().flatten().enumerate() {
            let path = RequestPath::interpretation(interpretation);
            let path = fields.get(index).map_or(path, |field| path.with_field(field));
            self.collect(&matched, &path, path.is_canonical(), &mut |choice, _| {
                chosen.add(choice)
            });
        }
        // A path with too many interpretations may be any path.
        if interpretations.is_none() {
            chosen.add(self.otherwise(request, true));
            for (index, rule) in self.rules.iter().enumerate() {
                chosen.add(Choice::Rule {
                    id: RuleId::new(index),
                    is_strict: rule.demand.is_stricter(false),
                });
            }
        }
        chosen.doubtful = Some(matched.doubtful());
        // The search by the path as written always ends with a choice.
        first.unwrap_or(Choice::Otherwise)
    }

    /// One `:path` field for each interpretation of the path, if any rule tests it.
    fn fields_of(&self, path: &RequestPath<'_>, interpretations: Option<&[Vec<u8>]>) -> Vec<Vec<u8>> {
        let interpretations = interpretations.filter(|_| self.index.reads_whole_path());
        let query = path.field().get(path.bytes().len()..).unwrap_or_default();
        let query = query
            .iter()
            .position(|byte| *byte == b'?')
            .and_then(|at| query.get(at..));
        interpretations
            .into_iter()
            .flatten()
            .map(|path| [path, query.unwrap_or_default()].concat())
            .collect()
    }

    /// The choices for one interpretation of the path: each rule that may be the first to match in some
    /// interpretation of method, host, header fields and query. Each choice says whether the rule is the
    /// first for the request as written. The last choice applies if none of the others does.
    fn collect<'r>(
        &self,
        matched: &Matched<'r>,
        path: &RequestPath<'r>,
        is_canonical: bool,
        add: &mut dyn FnMut(Choice, bool),
    ) {
        let mut candidates = self.index.candidates(path);
        let mut next = 0_u32;
        loop {
            let index = match &mut candidates {
                Some(candidates) => candidates.from(next, path, matched),
                None => Some(next),
            };
            let Some(index) = index else { break };
            next = index.saturating_add(1);
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let Some(rule) = self.rules.get(index) else {
                break;
            };
            let found = rule.matcher.matches(matched, path);
            if found == Match::NO {
                continue;
            }
            // A choice that requires no token applies to the request as written only. For other
            // interpretations, its stricter form applies.
            let is_clear = is_canonical && found.is_sure;
            if !found.is_sure {
                matched.note_rule(index, rule.demand.is_stricter(false));
            }
            if !is_clear && rule.demand.without_bypass().is_none() {
                continue;
            }
            let is_strict = rule.demand.is_stricter(is_clear);
            let choice = Choice::Rule {
                id: RuleId::new(index),
                is_strict,
            };
            add(choice, found.is_literal);
            if found.is_sure {
                return;
            }
        }
        add(self.otherwise(matched.request, is_canonical), true);
    }

    /// The choice if no rule matches. An unknown word counts as no word: the default applies.
    fn otherwise(&self, request: &RequestHead, is_canonical: bool) -> Choice {
        let by_word = self
            .filter_state_rules
            .as_ref()
            .zip(request.filter_state.as_deref())
            .and_then(|(rules, word)| find(&rules.demands, word));
        by_word.map_or(Choice::Otherwise, |(index, demand)| Choice::FilterState {
            id: FilterStateId::new(index),
            is_strict: demand.is_stricter(is_canonical),
        })
    }

    /// The demand of a choice; `None` if it needs nothing.
    #[must_use]
    pub fn demand(&self, choice: Choice) -> Option<&Rc<Demand>> {
        let demands = self.filter_state_rules.as_ref().map(|rules| &rules.demands);
        let found = match choice {
            Choice::CorsPreflight => return None,
            Choice::Route { id, is_strict } => self
                .requirement_map
                .get(id.index())
                .map(|(_, demand)| (demand, is_strict)),
            Choice::Rule { id, is_strict } => {
                self.rules.get(id.index()).map(|rule| (&rule.demand, is_strict))
            }
            Choice::FilterState { id, is_strict } => demands
                .and_then(|demands| demands.get(id.index()))
                .map(|(_, demand)| (demand, is_strict)),
            Choice::Otherwise => None,
        };
        let found = found.and_then(|(demand, is_strict)| match is_strict {
            true => demand.without_bypass(),
            false => Some(demand),
        });
        Some(found.unwrap_or(&self.otherwise))
    }

    /// The label of a choice in the access log.
    #[must_use]
    pub fn label(&self, choice: Choice) -> Cow<'_, str> {
        let demands = self.filter_state_rules.as_ref().map(|rules| &rules.demands);
        let found = match choice {
            Choice::CorsPreflight => Some(Cow::Borrowed("cors_preflight")),
            Choice::Route { id, .. } => self
                .requirement_map
                .get(id.index())
                .map(|(name, _)| Cow::Owned(format!("requirement_map.{name}"))),
            Choice::Rule { id, .. } => self.rules.get(id.index()).map(|rule| Cow::Borrowed(&*rule.name)),
            Choice::FilterState { id, .. } => demands
                .and_then(|demands| demands.get(id.index()))
                .map(|(word, _)| Cow::Owned(format!("filter_state_rules.{word}"))),
            Choice::Otherwise => None,
        };
        found.unwrap_or(Cow::Borrowed("default"))
    }

    /// Whether any mode depends on the client, so that decisions need the client's address.
    #[must_use]
    pub fn distinguishes_clients(&self) -> bool {
        self.modes().any(Mode::distinguishes_clients)
    }

    /// Whether any mode may refuse a request.
    #[must_use]
    pub fn enforces(&self) -> bool {
        self.modes()
            .any(|mode| !matches!(mode, Mode::Shadow { percent: 100.. }))
    }

    /// The filter's own mode, and the modes of all demands.
    fn modes(&self) -> impl Iterator<Item = Mode> {
        let stated = self.filter_state_rules.iter().flat_map(|rules| &rules.demands);
        let named = self.requirement_map.iter().chain(stated);
        let demands = named
            .map(|(_, demand)| demand)
            .chain(self.rules.iter().map(|rule| &rule.demand));
        demands.map(|demand| demand.mode).chain([self.mode])
    }
}

/// The demand with this name, with its index.
fn find<'d>(demands: &'d [(Box<str>, Rc<Demand>)], name: &[u8]) -> Option<(usize, &'d Rc<Demand>)> {
    let mut known = demands.iter().enumerate();
    let found = known.find(|(_, (known, _))| known.as_bytes() == name);
    found.map(|(index, (_, demand))| (index, demand))
}
