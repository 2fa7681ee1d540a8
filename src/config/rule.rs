//! `rules` and `filter_state_rules`: which requests, and what they need.

use super::Names;
use super::error::ConfigError;
use super::fields::{FILTER_STATE_RULES, RULE};
use super::reader::{Node, read_each};
use super::requirement::Known;
use super::route_match;
use crate::policy::{FilterStateRules, Rule};

const MAX_RULES: usize = 10_000;

pub(super) fn read(
    node: &Node<'_>,
    known: &Known<'_>,
    names: &mut Names,
) -> Result<Vec<Rule>, Box<ConfigError>> {
    let nodes = node.list()?;
    if nodes.len() > MAX_RULES {
        return Err(node.invalid(format!(
            "must hold at most {MAX_RULES} rules, not {}",
            nodes.len()
        )));
    }
    read_each(&nodes, |node| read_rule(node, known, names))
}

fn read_rule(node: &Node<'_>, known: &Known<'_>, names: &mut Names) -> Result<Rule, Box<ConfigError>> {
    let fields = node.fields(RULE)?;
    let name = fields.read(RULE.name)?.unwrap_or_else(|| node.path().into());
    let matcher = fields.require(RULE.matcher);
    let matcher = fields.keep(matcher.and_then(|node| route_match::read(node, names)));
    let demand = fields.keep(known.read_choice(&fields, names));
    match (matcher, demand) {
        (Some(matcher), Some(demand)) => Ok(Rule {
            name,
            matcher,
            demand,
        }),
        _ => Err(ConfigError::reported()),
    }
}

pub(super) fn read_filter_state_rules(
    node: &Node<'_>,
    known: &Known<'_>,
) -> Result<FilterStateRules, Box<ConfigError>> {
    let fields = node.fields(FILTER_STATE_RULES)?;
    let name = fields.required(FILTER_STATE_RULES.name)?;
    let mut demands = Vec::new();
    if let Some(node) = fields.get(FILTER_STATE_RULES.requires) {
        for (word, node) in node.map()?.iter() {
            demands.push((word.into(), known.plain_demand(known.read(&node)?)));
        }
    }
    Ok(FilterStateRules { name, demands })
}
