//! The rules and named requirements as one policy.

use std::cell::RefCell;

use super::error::ConfigError;
use super::fields::TopObject;
use super::names::Names;
use super::node::members::Members;
use super::reader::Fields;
use super::requirement::{self, Known};
use super::{reach, resource, rule};
use crate::ids::ProviderId;
use crate::policy::{AnyMatcher, CorsPreflight, Mode, Policy, Requirement, RuleIndex};
use crate::provider::Provider;

/// Reads them all, and records their faults.
// Not inlined here and below, for the memory of Envoy: docs/adr/0010-build-settings.md.
#[inline(never)]
pub(super) fn read(
    fields: &Fields<'_, TopObject>,
    providers: &[Provider],
    faulty: &[Box<str>],
    names: &mut Names,
) -> Policy {
    let mode = requirement::read_mode(fields.get(TopObject::mode), fields.get(TopObject::shadow_percent));
    let mode = fields.or_default(mode).unwrap_or_default();
    let ids: Vec<ProviderId> = (0..providers.len()).map(ProviderId::new).collect();
    // Read before the requirements of rules, which come later in the text.
    let own_resource = fields
        .get(TopObject::protected_resource)
        .and_then(|node| node.keep(resource::read(node, providers, &ids, names)));
    let mut known = Known {
        providers,
        faulty,
        requirement_map: &[],
        has_faulty_map: false,
        mode,
        warnings: RefCell::default(),
        kinds: RefCell::default(),
    };
    let mut requirement_map = Vec::new();
    if let Some(node) = fields.get(TopObject::requirement_map) {
        let map = fields.keep(node.map());
        known.has_faulty_map = map.is_none();
        for (name, node) in map.iter().flat_map(Members::iter) {
            // A rule that names a faulty requirement still finds it.
            let demand = node.keep(known.read_entry(&node, names));
            let demand = demand.unwrap_or_else(|| known.plain_demand(Requirement::Nothing));
            requirement_map.push((name.into(), demand));
        }
    }
    known.requirement_map = &requirement_map;
    let rules = fields.get(TopObject::rules);
    let rules = rules.and_then(|node| node.keep(rule::read(node, &known, names)));
    let (rules, everything) = rules.unwrap_or_default();
    let filter_state_rules = fields
        .get(TopObject::filter_state_rules)
        .and_then(|node| node.keep(rule::read_filter_state_rules(node, &known)));
    names.warnings.append(&mut known.warnings.borrow_mut());
    let otherwise = known.plain_demand(Requirement::any_of(known.all_providers()));
    let cors = match fields.kept(TopObject::bypass_cors_preflight) {
        true => Some(CorsPreflight::new(&mut names.wanted)),
        false => None,
    };
    // A rule that needs no token, or that is in shadow mode, requires a canonical path, whatever else it
    // matches.
    let stated = filter_state_rules.iter().flat_map(|rules| &rules.demands);
    let by_name = requirement_map.iter().chain(stated).map(|(_, demand)| demand);
    let reads_path = rules.iter().any(|rule| rule.matcher.reads_path())
        || by_name
            .chain(rules.iter().map(|rule| &rule.demand))
            .any(|demand| demand.is_stricter(false) || demand.mode != Mode::Enforce);
    let path_field = reads_path.then(|| names.field(":path"));
    let resources = match names.resources.is_empty() {
        true => None,
        false => Some(names.protected_resources(own_resource.is_some())),
    };
    let matchers: Vec<&AnyMatcher> = rules.iter().map(|rule| &rule.matcher).collect();
    let policy = Policy {
        index: RuleIndex::new(&matchers),
        matchers: names.matchers,
        rules,
        requirement_map,
        filter_state_rules,
        cors,
        path_field,
        otherwise,
        mode,
        resources,
    };
    reach::warn_of_unused(&policy, providers, everything, &mut names.warnings);
    policy
}

/// If any rule is enforced, the upstream trusts the claim headers.
pub(super) fn read_changes_nothing(
    fields: &Fields<'_, TopObject>,
    policy: &Policy,
) -> Result<bool, Box<ConfigError>> {
    let changes_nothing = fields.value(TopObject::shadow_changes_nothing)?;
    match fields.get(TopObject::shadow_changes_nothing) {
        Some(node) if changes_nothing && policy.enforces() => Err(node.lacks(
            "needs `mode: shadow` for every rule and every client; where the filter enforces a rule, it has to \
             remove the claim headers that a client sends",
        )),
        _ => Ok(changes_nothing),
    }
}
