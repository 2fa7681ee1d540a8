//! `rules`: which requests, and what they need.

use super::Names;
use super::error::{ConfigError, ConfigProblem, nearest};
use super::provider::{Provider, ProviderId};
use super::reader::Node;
use crate::policy::{HostPattern, PathPattern, Requirement, Rule};

const MAX_RULES: usize = 10_000;

pub(super) fn read(
    node: &Node<'_>,
    providers: &[Provider],
    names: &mut Names,
) -> Result<Vec<Rule>, ConfigError> {
    let nodes = node.list()?;
    if nodes.len() > MAX_RULES {
        return Err(node.invalid(format!(
            "must hold at most {MAX_RULES} rules, not {}",
            nodes.len()
        )));
    }
    nodes
        .iter()
        .map(|node| read_rule(node, providers, names))
        .collect()
}

fn read_rule(node: &Node<'_>, providers: &[Provider], names: &mut Names) -> Result<Rule, ConfigError> {
    let mut fields = node.fields(&["match", "requires"])?;
    let matcher = fields.require(
        "match",
        "write which requests the rule is for, such as {prefix: /}",
    )?;
    let mut rule = read_match(&matcher, names)?;
    rule.requirement = match fields.take("requires") {
        // An empty message waives the token in jwt_authn, which is too easily done by accident; leave it out instead.
        Some(node) => Some(read_requirement(&node, providers)?),
        None => None,
    };
    Ok(rule)
}

fn read_match(node: &Node<'_>, names: &mut Names) -> Result<Rule, ConfigError> {
    let mut fields = node.fields(&["path", "prefix", "methods", "hosts"])?;
    let path = match (fields.take("path"), fields.take("prefix")) {
        (Some(node), None) => Some(PathPattern::Exact(read_path(&node)?)),
        (None, Some(node)) => Some(PathPattern::Prefix(read_path(&node)?)),
        (None, None) => None,
        (Some(_), Some(node)) => return Err(node.invalid("write one of `path`, `prefix`")),
    };
    let mut methods = Vec::new();
    if let Some(node) = fields.take("methods") {
        for element in node.some_list()? {
            let method = element.name()?;
            if !method
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'-')
            {
                return Err(element.invalid(format!(
                    "methods are compared exactly; write `{}`",
                    method.to_ascii_uppercase()
                )));
            }
            methods.push(method.into_bytes().into());
        }
    }
    let mut hosts = Vec::new();
    if let Some(node) = fields.take("hosts") {
        for element in node.some_list()? {
            hosts.push(read_host(&element)?);
        }
    }
    if path.is_none() && methods.is_empty() && hosts.is_empty() {
        return Err(node.invalid("matches nothing in particular; to match every request write {prefix: /}"));
    }
    let field = |wanted: bool, name: &str, names: &mut Names| wanted.then(|| names.field(name));
    Ok(Rule {
        path_field: field(path.is_some(), ":path", names),
        method_field: field(!methods.is_empty(), ":method", names),
        host_field: field(!hosts.is_empty(), ":authority", names),
        path,
        methods,
        hosts,
        requirement: None,
    })
}

fn read_path(node: &Node<'_>) -> Result<Box<[u8]>, ConfigError> {
    let path = node.name()?;
    if !path.starts_with('/') {
        return Err(node.invalid(format!("a path begins with `/`; write `/{path}`")));
    }
    if path.contains(['?', '#']) {
        return Err(node.invalid("is compared with the path alone, which holds no `?` and no `#`"));
    }
    Ok(path.into_bytes().into())
}

fn read_host(node: &Node<'_>) -> Result<HostPattern, ConfigError> {
    let host = node.name()?.to_ascii_lowercase();
    if host == "*" {
        return Ok(HostPattern::Any);
    }
    let (pattern, name) = match host.strip_prefix("*.") {
        Some(suffix) => (
            HostPattern::Under(format!(".{suffix}").into_bytes().into()),
            suffix,
        ),
        None => (HostPattern::Exact(host.clone().into_bytes().into()), &*host),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(node.invalid(format!(
            "`{host}` is not a host; write it as in `example.com` or `*.example.com`"
        )));
    }
    Ok(pattern)
}

fn read_requirement(node: &Node<'_>, providers: &[Provider]) -> Result<Requirement, ConfigError> {
    let mut fields = node.fields(&["provider_name"])?;
    let name = fields.require(
        "provider_name",
        "write the provider whose token the request needs; for requests that need none leave `requires` out",
    )?;
    read_provider_name(&name, providers).map(Requirement::Provider)
}

fn read_provider_name(node: &Node<'_>, providers: &[Provider]) -> Result<ProviderId, ConfigError> {
    let name = node.name()?;
    match providers.iter().position(|provider| *provider.name == *name) {
        Some(index) => Ok(ProviderId::new(index)),
        None => Err(node.error(ConfigProblem::Dangling {
            kind: "provider",
            nearest: nearest(&name, providers.iter().map(|provider| &*provider.name)).map(str::to_owned),
            known: providers
                .iter()
                .map(|provider| provider.name.to_string())
                .collect(),
            name,
        })),
    }
}
