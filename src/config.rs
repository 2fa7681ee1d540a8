//! The configuration: read once, checked in full, and turned into what the request path needs.
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
mod header_name;
mod issuer;
mod key_source;
mod location;
mod metadata;
mod provider;
mod reader;
mod remote;
mod requirement;
mod resource;
mod response;
mod route_match;
mod rule;
mod string_matcher;
mod struct_message;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

pub use error::{ConfigError, ConfigProblem};

use self::location::Locations;
use self::reader::Node;
use self::requirement::Known;
use crate::claims::issuers_overlap;
use crate::forward::OwnedHeaders;
use crate::ids::{FieldId, ProviderId};
use crate::json::{Json, JsonError};
use crate::keys::KeySource;
use crate::pattern::PatternSet;
use crate::policy::{Mode, Policy, ProtectedResource, ProtectedResources, Requirement};
use crate::provider::Provider;
use crate::reply::Replies;
use crate::request::{HeaderFields, SpellingAction, WantedFields};
use crate::seal::SealKey;
pub use crate::settings::Config;
use crate::settings::{Limits, Shown, SignatureBackend};

const FIELDS: &[&str] = &[
    "providers",
    "rules",
    "requirement_map",
    "filter_state_rules",
    "bypass_cors_preflight",
    "strip_failure_response",
    "stat_prefix",
    "mode",
    "shadow_percent",
    "filter_state",
    "response",
    "protected_resource",
    "limits",
    "signature_backend",
    "shared_data",
    "user_agent",
    "headers_with_underscores_action",
];

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
            Some(json) if !bytes.is_empty() => Config::parse_json(&json, true),
            _ => Config::parse_json(bytes, false),
        },
        _ => Config::parse_json(bytes, false),
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

    fn parse_json(bytes: &[u8], has_doubles: bool) -> Result<Self, Box<ConfigError>> {
        let root = root(bytes)?;
        let fields = root.fields(FIELDS)?;
        let mut names = Names {
            has_doubles,
            ..Names::default()
        };

        let providers_node =
            fields.require("providers", "write at least one issuer whose tokens are accepted")?;
        let provider_nodes = providers_node.map()?;
        if !(1..=MAX_PROVIDERS).contains(&provider_nodes.len()) {
            return Err(providers_node.invalid(format!(
                "must hold from 1 to {MAX_PROVIDERS} providers, not {}",
                provider_nodes.len()
            )));
        }
        let mut providers = Vec::with_capacity(provider_nodes.len());
        for (name, node) in provider_nodes.iter() {
            let provider = provider::read(name, &node, &mut names)?;
            keep_apart(&node, &provider, &providers)?;
            // Prometheus has no `-` in a name either.
            let shown = |provider: &Provider| provider.metric_name().replace('-', "_");
            let is_shared = |other: &&Provider| shown(other) == shown(&provider);
            if let Some(other) = providers.iter().find(is_shared) {
                return Err(node.invalid(format!(
                    "its metrics would have the same name as those of `{}`, `{}`; give one of the two another name",
                    other.name,
                    provider.metric_name()
                )));
            }
            providers.push(provider);
        }
        binding::remember_for_widest_window(&mut providers);
        remote::read_user_agent(fields.get("user_agent"), &mut providers)?;

        let mode = requirement::read_mode(fields.get("mode"), fields.get("shadow_percent"))?;
        let mode = mode.unwrap_or_default();
        let ids: Vec<ProviderId> = (0..providers.len()).map(ProviderId::new).collect();
        // Before those of rules: it is the first.
        let own_resource = fields
            .get("protected_resource")
            .map(|node| resource::read(node, &providers, &ids, &mut names))
            .transpose()?;
        let mut known = Known {
            providers: &providers,
            requirement_map: &[],
            mode,
        };
        let mut requirement_map = Vec::new();
        if let Some(node) = fields.get("requirement_map") {
            for (name, node) in node.map()?.iter() {
                requirement_map.push((name.into(), known.read_entry(&node, &mut names)?));
            }
        }
        known.requirement_map = &requirement_map;
        let rules = match fields.get("rules") {
            Some(node) => rule::read(node, &known, &mut names)?,
            None => Vec::new(),
        };
        let filter_state_rules = fields
            .get("filter_state_rules")
            .map(|node| rule::read_filter_state_rules(node, &known))
            .transpose()?;
        let otherwise = known.plain_demand(Requirement::any_of((0..providers.len()).map(ProviderId::new)));
        let cors = match fields.flag("bypass_cors_preflight")? {
            true => Some(crate::policy::CorsPreflight::new(&mut names.wanted)),
            false => None,
        };
        let stat_prefix = match fields.get("stat_prefix") {
            Some(node) => {
                let text = node.text()?;
                if !text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
                {
                    return Err(node.invalid("may hold letters, digits, `_`, `-` and `.` only"));
                }
                text.trim_end_matches('.').to_owned()
            }
            None => String::new(),
        };
        let stripped = match fields.get("strip_failure_response") {
            Some(node) => {
                let stripped = node.bool()?;
                let asks = |provider: &&Provider| provider.binding.nonces().is_some();
                if let Some(provider) = providers.iter().find(asks).filter(|_| stripped) {
                    return Err(node.invalid(format!(
                        "takes away the challenge that gives the clients of {} their nonce; leave it out, or `binding.dpop.nonce`",
                        provider.name
                    )));
                }
                stripped
            }
            None => false,
        };
        let mut style = response::read(fields.get("response"), stripped)?;
        let mut algorithms: Vec<&str> = Vec::new();
        let of_proofs = providers.iter().filter_map(|provider| provider.binding.dpop());
        for algorithm in of_proofs.flat_map(|dpop| dpop.algorithms.iter()) {
            if !algorithms.contains(&algorithm.name()) {
                algorithms.push(algorithm.name());
            }
        }
        style.dpop_algorithms = (!algorithms.is_empty()).then(|| algorithms.join(" "));
        let limits = match fields.get("limits") {
            Some(node) => read_limits(node)?,
            None => Limits::default(),
        };
        let signature_backend = match fields.get("signature_backend") {
            Some(node) => node.one_of(&[
                ("auto", SignatureBackend::Auto),
                ("sandbox", SignatureBackend::Sandbox),
                ("host", SignatureBackend::Host),
            ])?,
            None => SignatureBackend::default(),
        };
        let secret = match fields.get("shared_data") {
            Some(node) => read_shared_data(node)?,
            None => None,
        };
        let fetches = |provider: &Provider| matches!(provider.keys, KeySource::Remote(_));
        let seal = match secret {
            Some(secret) => secret,
            // Whoever writes a module that shares our `vm_id` does not know how this one is configured.
            None if providers.iter().any(fetches) => SealKey::from_configuration(root.value()),
            // Nothing is sealed.
            None => SealKey::default(),
        };
        let spelling_action = match fields.get("headers_with_underscores_action") {
            Some(node) => node.one_of(&[
                ("DROP_HEADER", SpellingAction::DropHeader),
                ("REJECT_REQUEST", SpellingAction::RejectRequest),
                ("ALLOW", SpellingAction::Allow),
            ])?,
            None => SpellingAction::default(),
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
        for patterns in names.patterns.values() {
            patterns.finish();
        }
        let policy = Policy {
            rules,
            requirement_map,
            filter_state_rules,
            cors,
            path_field,
            otherwise,
            mode,
            resources,
        };
        let replies = Replies::new(&style, names.scopes);
        let shown = match fields.get("filter_state") {
            Some(node) => read_shown(node)?,
            None => Shown::default(),
        };
        let tells_clients_apart = policy.tells_clients_apart();
        let providers_need_certificate = providers
            .iter()
            .any(|provider| provider.binding.needs_certificate());
        Ok(Self {
            providers,
            locations: names.locations.into_vec(),
            policy,
            headers: HeaderFields::new(&names.wanted, names.owned_headers.iter(), spelling_action),
            wanted: names.wanted,
            owned_headers: names.owned_headers,
            conditions: names.conditions,
            reads_certificate: providers_need_certificate,
            reads_address: tells_clients_apart,
            asks_subject: tells_clients_apart || shown.subject,
            shown,
            stat_prefix,
            replies,
            limits,
            signature_backend,
            seal,
        })
    }
}

/// Names that several parts of the configuration share, each kept once.
#[derive(Debug, Default)]
struct Names {
    /// Its numbers have been doubles before they were text.
    has_doubles: bool,
    wanted: WantedFields,
    locations: Locations,
    owned_headers: OwnedHeaders,
    scopes: Vec<String>,
    conditions: Vec<String>,
    resources: Vec<ProtectedResource>,
    /// The patterns that stand on each text: the path, each header field, each parameter.
    patterns: BTreeMap<String, Rc<PatternSet>>,
}

impl Names {
    /// The patterns that stand on this text.
    fn patterns(&mut self, text: &str) -> Rc<PatternSet> {
        self.patterns.entry(text.to_owned()).or_default().clone()
    }

    /// The resources, with the fields by which a request for their metadata is told.
    fn protected_resources(&mut self, has_own: bool) -> ProtectedResources {
        let all = std::mem::take(&mut self.resources);
        let shares_path = all.iter().enumerate().any(|(index, resource)| {
            all.iter()
                .take(index)
                .any(|other| other.document_path() == resource.document_path())
        });
        ProtectedResources {
            all,
            has_own,
            path: self.field(":path"),
            method: self.field(":method"),
            authority: shares_path.then(|| self.field(":authority")),
        }
    }

    /// The number of a challenge's scopes.
    fn scope(&mut self, scopes: &str) -> usize {
        if let Some(index) = self.scopes.iter().position(|known| known == scopes) {
            return index;
        }
        self.scopes.push(scopes.to_owned());
        self.scopes.len().saturating_sub(1)
    }

    /// The number of a condition that stands at this path.
    fn condition(&mut self, path: String) -> usize {
        self.conditions.push(path);
        self.conditions.len().saturating_sub(1)
    }

    fn field(&mut self, name: &str) -> FieldId {
        self.wanted.id(name)
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
                "its `issuer` and that of `{}` overlap, so that keys of each would speak for the other; give both the same keys, \
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
            JsonError::DuplicateMember => "a member stands there twice",
            JsonError::TooDeep => "it is nested too deep",
            JsonError::TooManyMembers => "it has too many members",
        })
    })?;
    Ok(Node::root(value))
}

fn read_shown(node: &Node<'_>) -> Result<Shown, Box<ConfigError>> {
    let fields = node.fields(&["subject", "rule", "decision"])?;
    Ok(Shown {
        subject: fields.flag("subject")?,
        rule: fields.flag("rule")?,
        decision: fields.flag("decision")?,
    })
}

fn read_shared_data(node: &Node<'_>) -> Result<Option<SealKey>, Box<ConfigError>> {
    let fields = node.fields(&["secret"])?;
    let Some(node) = fields.get("secret") else {
        return Ok(None);
    };
    let secret = data_source::read_secret(
        node,
        "write the secret into `inline_string`, or leave `secret` out: then the whole configuration is one",
    )?;
    Ok(Some(SealKey::from_secret(&secret)))
}

fn read_limits(node: &Node<'_>) -> Result<Limits, Box<ConfigError>> {
    let fields = node.fields(&[
        "max_token_bytes",
        "max_waiting_requests",
        "max_wait",
        "token_cache_entries",
    ])?;
    let mut limits = Limits::default();
    let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    if let Some(node) = fields.get("max_token_bytes") {
        limits.max_token_bytes = size(node.integer(256..=1_048_576)?);
    }
    if let Some(node) = fields.get("max_waiting_requests") {
        limits.max_waiting_requests = size(node.integer(0..=1_000_000)?);
    }
    if let Some(node) = fields.get("max_wait") {
        limits.max_wait = node.duration(Duration::ZERO..=Duration::from_secs(60))?;
    }
    if let Some(node) = fields.get("token_cache_entries") {
        limits.token_cache_entries = size(node.integer(0..=100_000)?);
    }
    Ok(limits)
}
