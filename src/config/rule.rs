//! `rules` and `filter_state_rules`: requests, and their requirements.

use super::Names;
use super::error::ConfigError;
use super::fields::{FilterStateRulesObject, MAX_RULES, RuleObject};
use super::node::{Node, read_each};
use super::reach::{Earlier, Reach};
use super::requirement::Known;
use super::route_match;
use crate::ids::RuleId;
use crate::policy::{FilterStateRules, Rule};

/// The rules, and the index of the one that matches every request, if there is one.
pub(super) fn read(
    node: &Node<'_>,
    known: &Known<'_>,
    names: &mut Names,
) -> Result<(Vec<Rule>, Option<RuleId>), Box<ConfigError>> {
    let nodes = node.list()?;
    if nodes.len() > MAX_RULES {
        return Err(node.invalid(format!(
            "must hold at most {MAX_RULES} rules, not {}",
            nodes.len()
        )));
    }
    let mut earlier = Earlier::default();
    let mut everything = None;
    let mut index = 0_usize;
    let rules = read_each(&nodes, |node| {
        let this = RuleId::new(index);
        index = index.saturating_add(1);
        let (rule, reaches) = read_rule(node, known, names)?;
        for reach in reaches {
            if reach.is_everything() {
                everything.get_or_insert(this);
            }
            earlier.add(&reach, this, node, &mut names.warnings)?;
        }
        Ok(rule)
    })?;
    Ok((rules, everything))
}

fn read_rule(
    node: &Node<'_>,
    known: &Known<'_>,
    names: &mut Names,
) -> Result<(Rule, Vec<Reach>), Box<ConfigError>> {
    let fields = node.fields(RuleObject)?;
    let name = fields
        .or_default(fields.read(RuleObject::name))
        .unwrap_or_else(|| node.path().into());
    let matcher = fields
        .require(RuleObject::matcher)
        .and_then(|node| route_match::read(node, names));
    let matcher = fields.keep(matcher);
    let demand = known.read_choice(&fields, names)?;
    match matcher {
        Some((matcher, reaches)) => {
            let rule = Rule {
                name,
                matcher,
                demand,
            };
            Ok((rule, reaches))
        }
        None => Err(ConfigError::reported()),
    }
}

pub(super) fn read_filter_state_rules(
    node: &Node<'_>,
    known: &Known<'_>,
) -> Result<FilterStateRules, Box<ConfigError>> {
    let fields = node.fields(FilterStateRulesObject)?;
    let name = fields.keep(fields.required(FilterStateRulesObject::name));
    let mut demands = Vec::new();
    if let Some(node) = fields.get(FilterStateRulesObject::requires) {
        for (word, node) in node.map()?.iter() {
            let requirement = node.keep(known.read(&node));
            demands.extend(requirement.map(|requirement| (word.into(), known.plain_demand(requirement))));
        }
    }
    let name = name.ok_or_else(ConfigError::reported)?;
    Ok(FilterStateRules { name, demands })
}
