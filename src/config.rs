//! Reads the configuration: once, checked in full, into the types that the request path uses.
//!
//! Nothing is ever ignored in silence: a field that is not known, a value that cannot work and a name that refers to
//! nothing are refused with their path. Everything that can be computed once is computed here.

mod authorize;
mod binding;
mod claim_to_header;
mod data_source;
mod discovery;
mod duration;
mod error;
mod field;
mod fields;
mod header_name;
mod issuer;
mod key_source;
mod location;
mod locations;
mod metadata;
mod names;
mod provider;
mod reader;
#[cfg(not(target_family = "wasm"))]
pub mod reference;
mod remote;
mod requirement;
mod resource;
mod response;
mod route_match;
mod rule;
mod string_matcher;
mod struct_message;

pub use error::{ConfigError, ConfigProblem};

use self::fields::{FILTER_STATE, LIMITS, RESPONSE, SHARED_DATA, SHARED_SECRET, TOP, TopObject};
use self::names::Names;
use self::reader::{Fields, Node};
use self::requirement::Known;
use crate::claims::issuers_overlap;
use crate::ids::ProviderId;
use crate::json::{Json, JsonError};
use crate::keys::KeySource;
use crate::policy::{CorsPreflight, Mode, Policy, Requirement};
use crate::provider::Provider;
use crate::reply::{Replies, ReplyStyle};
use crate::request::HeaderFields;
use crate::seal::SealKey;
pub use crate::settings::Config;
use crate::settings::{Limits, Shown};

const MAX_PROVIDERS: usize = 64;

/// Reads the bytes that the host hands over: JSON text, or a `google.protobuf.Struct` in its binary form.
///
/// # Errors
///
/// Fails at the first fault found, with its path.
pub fn parse(bytes: &[u8]) -> Result<Config, Box<ConfigError>> {
    // JSON is UTF-8 and begins with `{`; a message never passes for it. Bytes that are neither are reported as the JSON that
    // an operator meant to write.
    match Json::parse(bytes) {
        Err(JsonError::Syntax | JsonError::NotUtf8) => match struct_message::to_json(bytes) {
            Some(json) if !bytes.is_empty() => read_json(&json, true),
            _ => read_json(bytes, false),
        },
        _ => read_json(bytes, false),
    }
}

/// The same bytes for the same configuration: the host writes the members of a message in another order each time.
#[must_use]
pub fn canonical(bytes: &[u8]) -> Vec<u8> {
    struct_message::to_json(bytes).unwrap_or_else(|| bytes.to_vec())
}

impl Config {
    /// [`parse`], for tests and tools.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn parse(bytes: &[u8]) -> Result<Self, Box<ConfigError>> {
        parse(bytes)
    }
}

fn read_json(bytes: &[u8], has_doubles: bool) -> Result<Config, Box<ConfigError>> {
    let root = root(bytes)?;
    let fields = root.fields(TOP)?;
    let mut names = Names {
        has_doubles,
        ..Names::default()
    };
    let providers = read_providers(&fields, &mut names)?;
    let policy = read_policy(&fields, &providers, &mut names)?;
    let style = read_style(&fields, &providers)?;
    let seal = read_seal(&root, &fields, &providers)?;
    for patterns in names.patterns.values() {
        patterns.finish();
    }
    let shown = read_shown(&fields)?;
    let spelling_action = fields.value(TOP.headers_with_underscores_action)?;
    let tells_clients_apart = policy.tells_clients_apart();
    let reads_certificate = providers
        .iter()
        .any(|provider| provider.binding.needs_certificate());
    Ok(Config {
        providers,
        locations: names.locations.into_vec(),
        policy,
        headers: HeaderFields::new(&names.wanted, names.owned_headers.iter(), spelling_action),
        wanted: names.wanted,
        owned_headers: names.owned_headers,
        conditions: names.conditions,
        reads_certificate,
        reads_address: tells_clients_apart,
        asks_subject: tells_clients_apart || shown.subject,
        shown,
        stat_prefix: read_stat_prefix(&fields)?,
        replies: Replies::new(&style, names.scopes),
        limits: read_limits(&fields)?,
        signature_backend: fields.value(TOP.signature_backend)?,
        seal,
    })
}

fn read_providers(
    fields: &Fields<'_, TopObject>,
    names: &mut Names,
) -> Result<Vec<Provider>, Box<ConfigError>> {
    let map = fields.require(TOP.providers)?;
    let nodes = map.map()?;
    if !(1..=MAX_PROVIDERS).contains(&nodes.len()) {
        return Err(map.invalid(format!(
            "must hold from 1 to {MAX_PROVIDERS} providers, not {}",
            nodes.len()
        )));
    }
    let mut providers = Vec::with_capacity(nodes.len());
    for (name, node) in nodes.iter() {
        let provider = provider::read(name, &node, names)?;
        keep_apart(&node, &provider, &providers)?;
        keep_metrics_apart(&node, &provider, &providers)?;
        providers.push(provider);
    }
    binding::remember_for_widest_window(&mut providers);
    remote::read_user_agent(fields.get(TOP.user_agent), &mut providers)?;
    Ok(providers)
}

fn read_policy(
    fields: &Fields<'_, TopObject>,
    providers: &[Provider],
    names: &mut Names,
) -> Result<Policy, Box<ConfigError>> {
    let mode = requirement::read_mode(fields.get(TOP.mode), fields.get(TOP.shadow_percent))?;
    let mode = mode.unwrap_or_default();
    let ids: Vec<ProviderId> = (0..providers.len()).map(ProviderId::new).collect();
    // Before those of rules: it is the first.
    let own_resource = fields
        .get(TOP.protected_resource)
        .map(|node| resource::read(node, providers, &ids, names))
        .transpose()?;
    let mut known = Known {
        providers,
        requirement_map: &[],
        mode,
    };
    let mut requirement_map = Vec::new();
    if let Some(node) = fields.get(TOP.requirement_map) {
        for (name, node) in node.map()?.iter() {
            requirement_map.push((name.into(), known.read_entry(&node, names)?));
        }
    }
    known.requirement_map = &requirement_map;
    let rules = match fields.get(TOP.rules) {
        Some(node) => rule::read(node, &known, names)?,
        None => Vec::new(),
    };
    let filter_state_rules = fields
        .get(TOP.filter_state_rules)
        .map(|node| rule::read_filter_state_rules(node, &known))
        .transpose()?;
    let otherwise = known.plain_demand(Requirement::any_of(ids.into_iter()));
    let cors = match fields.value(TOP.bypass_cors_preflight)? {
        true => Some(CorsPreflight::new(&mut names.wanted)),
        false => None,
    };
    // What waives the token, or only tries a rule out, needs the path to be canonical, whatever it is chosen by.
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
    Ok(Policy {
        rules,
        requirement_map,
        filter_state_rules,
        cors,
        path_field,
        otherwise,
        mode,
        resources,
    })
}

fn read_style(
    fields: &Fields<'_, TopObject>,
    providers: &[Provider],
) -> Result<ReplyStyle, Box<ConfigError>> {
    let is_stripped = fields.value(TOP.strip_failure_response)?;
    let mut asking = providers
        .iter()
        .filter(|provider| provider.binding.nonces().is_some());
    if let (true, Some(node), Some(provider)) =
        (is_stripped, fields.get(TOP.strip_failure_response), asking.next())
    {
        return Err(node.invalid(format!(
            "takes away the challenge that gives the clients of {} their nonce; leave it out, or `binding.dpop.nonce`",
            provider.name
        )));
    }
    let mut style = match fields.get(TOP.response) {
        Some(node) => response::read(&node.fields(RESPONSE)?, is_stripped)?,
        None => response::read(&fields.absent(RESPONSE), is_stripped)?,
    };
    let mut algorithms: Vec<&str> = Vec::new();
    let of_proofs = providers.iter().filter_map(|provider| provider.binding.dpop());
    for algorithm in of_proofs.flat_map(|dpop| dpop.algorithms.iter()) {
        if !algorithms.contains(&algorithm.name()) {
            algorithms.push(algorithm.name());
        }
    }
    style.dpop_algorithms = (!algorithms.is_empty()).then(|| algorithms.join(" "));
    Ok(style)
}

fn read_stat_prefix(fields: &Fields<'_, TopObject>) -> Result<String, Box<ConfigError>> {
    let Some(node) = fields.get(TOP.stat_prefix) else {
        return Ok(String::new());
    };
    let text = node.text()?;
    let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if !text.bytes().all(is_sound) {
        return Err(node.invalid("may hold letters, digits, `_`, `-` and `.` only"));
    }
    Ok(text.trim_end_matches('.').to_owned())
}

fn read_seal(
    root: &Node<'_>,
    fields: &Fields<'_, TopObject>,
    providers: &[Provider],
) -> Result<SealKey, Box<ConfigError>> {
    if let Some(node) = fields.get(TOP.shared_data)
        && let Some(node) = node.fields(SHARED_DATA)?.get(SHARED_DATA.secret)
    {
        let secret = data_source::read_secret(
            node,
            data_source::written!(node, SHARED_SECRET),
            "write the secret into `inline_string`, or leave `secret` out: then the whole configuration is one",
        )?;
        return Ok(SealKey::from_secret(&secret));
    }
    let fetches = |provider: &Provider| matches!(provider.keys, KeySource::Remote(_));
    Ok(match providers.iter().any(fetches) {
        // Whoever writes a module that shares our `vm_id` does not know how this one is configured.
        true => SealKey::from_configuration(root.value()),
        // Nothing is sealed.
        false => SealKey::default(),
    })
}

fn read_shown(fields: &Fields<'_, TopObject>) -> Result<Shown, Box<ConfigError>> {
    let Some(node) = fields.get(TOP.filter_state) else {
        return Ok(Shown::default());
    };
    let fields = node.fields(FILTER_STATE)?;
    Ok(Shown {
        subject: fields.value(FILTER_STATE.subject)?,
        rule: fields.value(FILTER_STATE.rule)?,
        decision: fields.value(FILTER_STATE.decision)?,
    })
}

fn read_limits(fields: &Fields<'_, TopObject>) -> Result<Limits, Box<ConfigError>> {
    let fields = match fields.get(TOP.limits) {
        Some(node) => node.fields(LIMITS)?,
        None => fields.absent(LIMITS),
    };
    let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    Ok(Limits {
        max_token_bytes: size(fields.value(LIMITS.max_token_bytes)?),
        max_waiting_requests: size(fields.value(LIMITS.max_waiting_requests)?),
        max_wait: fields.value(LIMITS.max_wait)?,
        token_cache_entries: size(fields.value(LIMITS.token_cache_entries)?),
    })
}

/// Prometheus has no `-` in a name either.
fn keep_metrics_apart(
    node: &Node<'_>,
    provider: &Provider,
    others: &[Provider],
) -> Result<(), Box<ConfigError>> {
    let shown = |provider: &Provider| provider.metric_name().replace('-', "_");
    match others.iter().find(|other| shown(other) == shown(provider)) {
        None => Ok(()),
        Some(other) => Err(node.invalid(format!(
            "its metrics would have the same name as those of `{}`, `{}`; give one of the two another name",
            other.name,
            provider.metric_name()
        ))),
    }
}

/// An `iss` that a pattern covers and another provider's is too could be signed by either's keys. Who writes one issuer twice
/// means that; who writes a pattern hardly knows whom it covers.
fn keep_apart(node: &Node<'_>, provider: &Provider, others: &[Provider]) -> Result<(), Box<ConfigError>> {
    for other in others {
        if (provider.claims.issuer_pattern.is_some() || other.claims.issuer_pattern.is_some())
            && issuers_overlap(&provider.claims.issuer, &other.claims.issuer)
            && !provider.keys.is_same(&other.keys)
        {
            return Err(node.invalid(format!(
                "its `issuer` and that of `{}` overlap, so that the keys of each could sign for the other; give both the same keys, \
                 or issuers that differ in a segment without variable",
                other.name
            )));
        }
    }
    Ok(())
}

fn root(bytes: &[u8]) -> Result<Node<'_>, Box<ConfigError>> {
    let fault = |why| {
        Box::new(ConfigError {
            path: String::new(),
            problem: ConfigProblem::NotJson(why),
        })
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(fault(
            "it is empty; write the filter's configuration as a google.protobuf.Struct or StringValue",
        ));
    }
    let value = Json::parse(bytes).map_err(|error| {
        fault(match error {
            JsonError::NotUtf8 => "it is not UTF-8",
            JsonError::Syntax => "its syntax is wrong",
            JsonError::NotAnObject => "it is of another type",
            JsonError::DuplicateMember => "an object names a member twice",
            JsonError::TooDeep => "it is nested too deep",
            JsonError::TooManyMembers => "it has too many members",
        })
    })?;
    Ok(Node::root(value))
}
