//! The map `providers`: each provider, and what two of them must not share.

use std::collections::BTreeMap;

use super::error::ConfigError;
use super::fields::{MAX_PROVIDERS, TopObject};
use super::names::Names;
use super::node::Node;
use super::reader::Fields;
use super::{binding, provider};
use crate::claims::issuers_overlap;
use crate::provider::Provider;

/// The names of providers with faults that prevent reading.
type FaultyNames = Vec<Box<str>>;

/// The providers, and the names of those that could not be read.
// Not inlined, for the memory of Envoy: docs/adr/0010-build-settings.md.
#[inline(never)]
pub(super) fn read(
    fields: &Fields<'_, TopObject>,
    names: &mut Names,
) -> Result<(Vec<Provider>, FaultyNames), Box<ConfigError>> {
    let map = fields.require(TopObject::providers)?;
    let nodes = map.map()?;
    if !(1..=MAX_PROVIDERS).contains(&nodes.len()) {
        return Err(map.invalid(format!(
            "must hold from 1 to {MAX_PROVIDERS} providers, not {}",
            nodes.len()
        )));
    }
    let mut providers = Vec::with_capacity(nodes.len());
    let mut faulty = FaultyNames::new();
    let mut metric_names = BTreeMap::new();
    for (name, node) in nodes.iter() {
        let read = provider::read(name, &node, names).and_then(|provider| {
            keep_apart(&node, &provider, &providers)?;
            keep_metrics_apart(&node, &provider, &providers, &mut metric_names)?;
            Ok(provider)
        });
        match node.keep(read) {
            Some(provider) => providers.push(provider),
            None => faulty.push(name.into()),
        }
    }
    binding::remember_for_widest_window(&mut providers);
    Ok((providers, faulty))
}

/// Names in Prometheus do not contain `-` either.
fn keep_metrics_apart(
    node: &Node<'_>,
    provider: &Provider,
    others: &[Provider],
    taken: &mut BTreeMap<String, usize>,
) -> Result<(), Box<ConfigError>> {
    let shown = provider.metric_name().replace('-', "_");
    if let Some(other) = taken.get(&shown).and_then(|other| others.get(*other)) {
        return Err(node.invalid(format!(
            "its metrics would have the same name as those of `{}`, `{}`; give one of the two another name",
            other.name,
            provider.metric_name()
        )));
    }
    taken.insert(shown, others.len());
    Ok(())
}

/// If a pattern and another provider both cover an `iss`, the keys of either could sign it. Two providers
/// with one issuer are intended; a pattern may cover more than its author knows.
fn keep_apart(node: &Node<'_>, provider: &Provider, others: &[Provider]) -> Result<(), Box<ConfigError>> {
    for other in others {
        if (provider.claims.issuer_pattern.is_some() || other.claims.issuer_pattern.is_some())
            && provider.claims.issuers.iter().any(|issuer| {
                let mut others = other.claims.issuers.iter();
                others.any(|other| issuers_overlap(issuer, other))
            })
            && !provider.keys.is_same(&other.keys)
        {
            return Err(node.invalid(format!(
                "its `issuer` and that of `{}` overlap, so that the keys of each could sign for the other; give both the same keys, \
                 or issuers that differ in a segment without a variable",
                other.name
            )));
        }
    }
    Ok(())
}
