//! `requires`, `requirement_name` and `requirement_map`: the names in requirements, resolved.

mod written;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::advice::nearest;
use super::error::{ConfigError, ConfigProblem};
use super::fields::{
    EntryObject, ProviderAndAudiencesObject, RequirementObject, RequirementsObject, RuleObject,
};
use super::node::{Node, read_each};
use super::reader::Fields;
use super::{Names, authorize, provider, reach, resource};
use crate::ids::{LocationId, ProviderId, ResourceId};
use crate::policy::{Authorization, Demand, Mode, ProviderList, ProviderRequirement, Requirement, Strict};
use crate::provider::Provider;
pub(super) use written::read_mode;
use written::{Beside, Form, Forms, beside, forms};

/// The names that requirements may use, and the settings that apply if they have none of their own.
pub(super) struct Known<'k> {
    pub(super) providers: &'k [Provider],
    /// The names of providers that could not be read.
    pub(super) faulty: &'k [Box<str>],
    pub(super) requirement_map: &'k [(Box<str>, Rc<Demand>)],
    /// Whether the requirements could not be read at all.
    pub(super) has_faulty_map: bool,
    /// The filter's own settings.
    pub(super) mode: Mode,
    /// See [`Names::warnings`].
    pub(super) warnings: RefCell<Vec<String>>,
    /// The numbers of the kinds of demands, by how requirement and conditions are written.
    pub(super) kinds: RefCell<BTreeMap<String, usize>>,
}

impl Known<'_> {
    /// The requirement alone, in the filter's mode.
    pub(super) fn plain_demand(&self, requirement: Requirement) -> Rc<Demand> {
        self.demand(self.kind("", None), requirement, None, self.mode, None)
    }

    /// The kind of a demand with this text. Without a text, the demand is a kind of its own.
    fn kind(&self, requires: &str, authorize: Option<&Node<'_>>) -> usize {
        let mut kinds = self.kinds.borrow_mut();
        let next = kinds.len();
        let mut key = match requires {
            "" => next.to_string(),
            text => text.to_owned(),
        };
        // No JSON text contains this byte, so it separates the two parts.
        key.push('\0');
        key.push_str(authorize.map_or("", |node| node.value().text()));
        *kinds.entry(key).or_insert(next)
    }

    fn demand(
        &self,
        kind: usize,
        requirement: Requirement,
        authorization: Option<Authorization>,
        mode: Mode,
        resource: Option<ResourceId>,
    ) -> Rc<Demand> {
        let locations = self.locations(&requirement);
        let authorization = authorization.map(Rc::new);
        // If conditions apply to an absent token as well, no request passes them without a token.
        let is_met_by_none = authorization
            .as_ref()
            .is_none_or(|authorization| authorization.optional);
        let strict = if requirement.needs_token() || !is_met_by_none {
            Strict::Same
        } else {
            match requirement.without_bypass() {
                Some(requirement) => Strict::Other(Rc::new(Demand {
                    kind: kind.saturating_mul(2).saturating_add(1),
                    locations: self.locations(&requirement),
                    needs_proof: self.needs_proof(&requirement),
                    requirement,
                    authorization: authorization.clone(),
                    mode,
                    resource,
                    strict: Strict::Same,
                })),
                None => Strict::Nothing,
            }
        };
        Rc::new(Demand {
            kind: kind.saturating_mul(2),
            needs_proof: self.needs_proof(&requirement),
            requirement,
            locations,
            authorization,
            mode,
            resource,
            strict,
        })
    }

    /// Whether the requirement accepts only tokens with a proof of possession.
    fn needs_proof(&self, requirement: &Requirement) -> bool {
        let takes_proofs_only = |named: &ProviderRequirement| {
            let provider = self.providers.get(named.provider.index());
            let dpop = provider.and_then(|provider| provider.binding.dpop());
            dpop.is_some_and(|dpop| dpop.required)
        };
        requirement.providers().into_iter().all(takes_proofs_only)
    }

    /// The locations of the requirement's tokens.
    fn locations(&self, requirement: &Requirement) -> Vec<LocationId> {
        let mut locations = Vec::new();
        for named in requirement.providers() {
            let provider = self.providers.get(named.provider.index());
            for location in provider.into_iter().flat_map(|provider| &provider.locations) {
                // The list stays sorted, and has each location once. The lists are short, and a sort would
                // cost the module more than it saves.
                if let Err(place) = locations.binary_search(location) {
                    locations.insert(place, *location);
                }
            }
        }
        locations
    }

    /// `requires` or `requirement_name`, of which `fields` may contain one, with the fields beside it.
    /// Without either, the rule needs no token.
    pub(super) fn read_choice(
        &self,
        fields: &Fields<'_, RuleObject>,
        names: &mut Names,
    ) -> Result<Rc<Demand>, Box<ConfigError>> {
        let beside = beside!(fields, RuleObject);
        let is_denied = fields.value(RuleObject::deny);
        if let (Err(_), Some(node)) = (&is_denied, fields.get(RuleObject::deny)) {
            // The other fields have faults of their own.
            return self.complete(is_denied.map(|_| Requirement::Denied), node, beside, names);
        }
        if is_denied? {
            let also = fields
                .get(RuleObject::requires)
                .or_else(|| fields.get(RuleObject::requirement_name));
            if let Some(node) = also.or(beside.authorize).or(beside.resource) {
                return Err(
                    node.invalid("`deny` refuses the request whatever its token; leave one of the two out")
                );
            }
            let mode = read_mode(beside.mode, beside.shadow_percent)?.unwrap_or(self.mode);
            return Ok(self.demand(self.kind("", None), Requirement::Denied, None, mode, None));
        }
        match (
            fields.get(RuleObject::requires),
            fields.get(RuleObject::requirement_name),
        ) {
            (Some(node), None) => self.complete(self.read(node), node, beside, names),
            (None, Some(name)) => {
                match beside.any() {
                    None => self.read_name(name),
                    Some(node) => Err(node
                        .invalid("belongs to the requirement; write it into the entry of requirement_map")),
                }
            }
            (None, None) => match beside.any() {
                None => Ok(self.plain_demand(Requirement::Nothing)),
                Some(node) => self.complete(Ok(Requirement::Nothing), node, beside, names),
            },
            (Some(_), Some(name)) => Err(name.invalid("write one of `requires`, `requirement_name`")),
        }
    }

    /// An entry of `requirement_map`: a requirement with the fields beside it.
    pub(super) fn read_entry(
        &self,
        node: &Node<'_>,
        names: &mut Names,
    ) -> Result<Rc<Demand>, Box<ConfigError>> {
        let fields = node.fields(EntryObject)?;
        let beside = beside!(fields, EntryObject);
        let requirement = self.read_forms(node, forms!(fields, EntryObject), None);
        let requirement = requirement.map(|read| read.unwrap_or(Requirement::Nothing));
        self.complete(requirement, node, beside, names)
    }

    /// The fault of a field beside no requirement.
    fn superfluous(beside: Beside<'_, '_>) -> Option<Box<ConfigError>> {
        if let Some(node) = beside.authorize {
            return Some(node.lacks("only a token has claims; write `requires` beside it"));
        }
        if let Some(node) = beside.mode.or(beside.shadow_percent) {
            return Some(node.lacks(
                "no token is required here, whatever the mode; write a requirement beside it: `requires` in a rule, \
                 `provider_name` or another in requirement_map",
            ));
        }
        let node = beside.resource?;
        Some(node.lacks("only a resource that needs a token is protected; write `requires` beside it"))
    }

    /// The demand in `node`, or in `node` and the fields beside it.
    fn complete(
        &self,
        requirement: Result<Requirement, Box<ConfigError>>,
        node: &Node<'_>,
        mut beside: Beside<'_, '_>,
        names: &mut Names,
    ) -> Result<Rc<Demand>, Box<ConfigError>> {
        let mut requirement = node.keep(requirement);
        if requirement == Some(Requirement::Nothing) {
            let Some(fault) = Self::superfluous(beside) else {
                return Ok(self.plain_demand(Requirement::Nothing));
            };
            // The fields have faults of their own.
            node.report(fault);
            beside.shadow_percent = beside.shadow_percent.filter(|_| beside.mode.is_some());
            requirement = None;
        }
        let needs_token = requirement.as_ref().is_some_and(Requirement::needs_token);
        let kind = self.kind(node.value().text(), beside.authorize);
        let mode = node.keep(read_mode(beside.mode, beside.shadow_percent));
        let authorization = beside
            .authorize
            .map(|node| {
                let authorization = authorize::read(node, names)?;
                match authorization.optional && needs_token {
                    true => Err(node.invalid(
                        "`optional` is for requests without a token, and here every request needs one; leave it out, or \
                         write `allow_missing` into the requirement",
                    )),
                    false => Ok(authorization),
                }
            })
            .transpose();
        let authorization = node.keep(authorization);
        let resource = beside
            .resource
            .map(|node| {
                let providers = requirement.iter().flat_map(Requirement::providers);
                let providers: Vec<ProviderId> = providers.map(|named| named.provider).collect();
                resource::read(node, self.providers, &providers, names)
            })
            .transpose()?;
        match (requirement, authorization, mode) {
            (Some(requirement), Some(authorization), Some(mode)) => {
                let mode = mode.unwrap_or(self.mode);
                Ok(self.demand(kind, requirement, authorization, mode, resource))
            }
            _ => Err(ConfigError::reported()),
        }
    }

    fn read_name(&self, node: &Node<'_>) -> Result<Rc<Demand>, Box<ConfigError>> {
        let name = node.name()?;
        match self.requirement_map.iter().find(|(known, _)| **known == *name) {
            Some((_, demand)) => Ok(demand.clone()),
            None if self.has_faulty_map => Err(ConfigError::reported()),
            None => {
                if self.providers.iter().any(|provider| *provider.name == *name) {
                    return Err(node.invalid("names a provider; write `requires: {provider_name: …}`"));
                }
                let known: Vec<&str> = self.requirement_map.iter().map(|(known, _)| &**known).collect();
                Err(dangling(node, "requirement in requirement_map", &name, &known))
            }
        }
    }

    /// A requirement of a rule. As in jwt_authn, an empty one requires nothing.
    pub(super) fn read(&self, node: &Node<'_>) -> Result<Requirement, Box<ConfigError>> {
        self.read_within(node, None)
            .map(|read| read.unwrap_or(Requirement::Nothing))
    }

    /// `siblings` are the providers of the surrounding `requires_any`, to which `allow_missing` refers;
    /// without one, it refers to all.
    fn read_within(
        &self,
        node: &Node<'_>,
        siblings: Option<&Vec<ProviderRequirement>>,
    ) -> Result<Option<Requirement>, Box<ConfigError>> {
        let fields = node.fields(RequirementObject)?;
        self.read_forms(node, forms!(fields, RequirementObject), siblings)
    }

    fn read_forms(
        &self,
        node: &Node<'_>,
        forms: Forms<'_, '_>,
        siblings: Option<&Vec<ProviderRequirement>>,
    ) -> Result<Option<Requirement>, Box<ConfigError>> {
        let mut found: Option<Requirement> = None;
        if forms.iter().filter(|(_, _, field)| field.is_some()).count() > 1 {
            let names = forms.map(|(_, name, _)| name);
            node.report(node.invalid(format!("a requirement takes exactly one of {}", names.join(", "))));
        }
        for (form, _, field) in forms {
            let Some(field) = field else { continue };
            let optional = || match siblings {
                Some(siblings) if !siblings.is_empty() => self.list(siblings.clone()),
                _ => self.all_providers(),
            };
            let read = self.read_form(form, field, optional);
            found = node.keep(read).or(found);
        }
        match found {
            // The unknown field may be the requirement.
            None if !node.is_sound() => Err(ConfigError::reported()),
            // Its fault is in one of them.
            None if forms.iter().any(|(_, _, field)| field.is_some()) => Err(ConfigError::reported()),
            found => Ok(found),
        }
    }

    /// One of the forms of a requirement. `optional` are the providers of an optional token.
    fn read_form(
        &self,
        form: Form,
        field: &Node<'_>,
        optional: impl FnOnce() -> ProviderList,
    ) -> Result<Requirement, Box<ConfigError>> {
        Ok(match form {
            Form::Provider => Requirement::Provider(ProviderRequirement {
                provider: self.read_provider(field)?,
                audiences: None,
            }),
            Form::ProviderAndAudiences => Requirement::Provider(self.read_provider_and_audiences(field)?),
            Form::Any => Requirement::Any(self.read_list(field, true)?),
            Form::All => Requirement::All(self.read_all(field)?),
            Form::AllowMissing => {
                field.empty()?;
                Requirement::AllowMissing(optional())
            }
            Form::AllowMissingOrFailed => {
                field.empty()?;
                Requirement::AllowMissingOrFailed(optional())
            }
            Form::Unverified => {
                return Err(field.invalid(
                    "the filter does not forward claims of an unverified token; write allow_missing_or_failed \
                     to use those of valid tokens and to let other requests pass without claims",
                ));
            }
        })
    }

    fn read_all(&self, node: &Node<'_>) -> Result<Vec<Requirement>, Box<ConfigError>> {
        let parts = self.read_list(node, false)?;
        if let Some((one, other)) = reach::exclude_each_other(&parts, self.providers) {
            let warning = format!(
                "{}: can never be met: `{one}` and `{other}` look for their tokens in the same places, and a request has \
                 one token in each; give each provider a place of its own, in `from_headers`, `from_params` or \
                 `from_cookies`",
                node.path()
            );
            let mut warnings = self.warnings.borrow_mut();
            // Parts of `requires_any` are read twice.
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        Ok(parts)
    }

    fn read_list(&self, node: &Node<'_>, is_any: bool) -> Result<Vec<Requirement>, Box<ConfigError>> {
        let fields = node.fields(RequirementsObject)?;
        let nodes = fields.require(RequirementsObject::requirements)?.some_list()?;
        let read = |node: &Node<'_>, siblings| {
            self.read_within(node, siblings)?.ok_or_else(|| {
                node.invalid(
                    "every request meets an empty requirement in a list; write allow_missing_or_failed if you mean that",
                )
            })
        };
        let mut parts = read_each(&nodes, |node| read(node, None))?;
        if is_any {
            // An `allow_missing` among them refers to the providers of the other parts, at any depth. As in
            // jwt_authn, it is evaluated last: a valid token takes precedence over none.
            let named: Vec<_> = parts.iter().flat_map(Requirement::named).cloned().collect();
            parts = read_each(&nodes, |node| read(node, Some(&named)))?;
            if !named.is_empty() {
                for part in &mut parts {
                    if matches!(part, Requirement::AllowMissing(_)) {
                        *part = Requirement::Missing(self.list(named.clone()));
                    }
                }
            }
            let (waivers, mut ordered): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| {
                matches!(
                    part,
                    Requirement::AllowMissing(_)
                        | Requirement::Missing(_)
                        | Requirement::AllowMissingOrFailed(_)
                )
            });
            let (tolerant, missing): (Vec<_>, Vec<_>) = waivers
                .into_iter()
                .partition(|part| matches!(part, Requirement::AllowMissingOrFailed(_)));
            // If both are present, the stricter one has no effect, and only the other one stays.
            ordered.extend(if tolerant.is_empty() { missing } else { tolerant });
            parts = self.with_lists(ordered);
        }
        Ok(parts)
    }

    /// The same parts, with providers one after another in one list.
    fn with_lists(&self, parts: Vec<Requirement>) -> Vec<Requirement> {
        let mut all = Vec::with_capacity(parts.len());
        let mut named = Vec::new();
        for part in parts {
            match part {
                Requirement::Provider(provider) => named.push(provider),
                other => {
                    self.add_list(&mut all, &mut named);
                    all.push(other);
                }
            }
        }
        self.add_list(&mut all, &mut named);
        all
    }

    #[inline(never)]
    fn add_list(&self, parts: &mut Vec<Requirement>, named: &mut Vec<ProviderRequirement>) {
        if !named.is_empty() {
            parts.push(Requirement::any_of(self.list(std::mem::take(named))));
        }
    }

    #[inline(never)]
    fn list(&self, named: Vec<ProviderRequirement>) -> ProviderList {
        ProviderList::new(named, |one, other| {
            let provider = |id: ProviderId| self.providers.get(id.index());
            let kind = |id| provider(id).map(|provider| (&provider.locations, &provider.preferred));
            kind(one) == kind(other)
        })
    }

    /// A requirement that a token of any provider meets.
    pub(super) fn all_providers(&self) -> ProviderList {
        let all = (0..self.providers.len()).map(|index| ProviderRequirement {
            provider: ProviderId::new(index),
            audiences: None,
        });
        self.list(all.collect())
    }

    fn read_provider_and_audiences(&self, node: &Node<'_>) -> Result<ProviderRequirement, Box<ConfigError>> {
        let fields = node.fields(ProviderAndAudiencesObject)?;
        let audiences = match fields.get(ProviderAndAudiencesObject::audiences) {
            // As in jwt_authn, an empty list does not override the provider's audiences.
            Some(node) if !node.list()?.is_empty() => Some(provider::read_audience_list(node)?),
            _ => None,
        };
        let name = fields.require(ProviderAndAudiencesObject::provider_name)?;
        let provider = self.read_provider(name)?;
        Ok(ProviderRequirement { provider, audiences })
    }

    fn read_provider(&self, node: &Node<'_>) -> Result<ProviderId, Box<ConfigError>> {
        let name = node.name()?;
        match self.providers.iter().position(|provider| *provider.name == *name) {
            Some(index) => Ok(ProviderId::new(index)),
            None if self.faulty.contains(&name) => Err(ConfigError::reported()),
            None if self.requirement_map.iter().any(|(known, _)| **known == *name) => Err(node.invalid(
                "names a requirement; write `requirement_name` in the rule, in place of `requires`",
            )),
            None => {
                let faulty = self.faulty.iter().map(|name| &**name);
                let known = self.providers.iter().map(|provider| &*provider.name);
                let known: Vec<&str> = known.chain(faulty).collect();
                Err(dangling(node, "provider", &name, &known))
            }
        }
    }
}

fn dangling(node: &Node<'_>, kind: &'static str, name: &str, known: &[&str]) -> Box<ConfigError> {
    // The names may be in an unknown field. Without any provider, `providers` has a fault of its own.
    if known.is_empty() && (kind == "provider" || !node.all_are_sound()) {
        return ConfigError::reported();
    }
    node.error(ConfigProblem::Dangling {
        kind,
        nearest: nearest(name, known).map(str::to_owned),
        known: known.iter().map(|known| (*known).to_owned()).collect(),
        name: name.to_owned(),
    })
}
