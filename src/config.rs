//! Reads the configuration once, checks it in full, and converts it to the types of the other modules.
//!
//! It ignores nothing: it refuses unknown fields, impossible values, and names without a definition, each
//! with its path. It also computes every value that does not depend on a request.

mod advice;
mod algorithms;
mod authorize;
mod binding;
mod claim_to_header;
mod data_source;
mod discovery;
mod duration;
mod error;
mod faults;
mod field;
mod fields;
mod header_name;
mod issuer;
mod key_source;
mod leftover;
mod location;
mod locations;
mod metadata;
mod names;
mod node;
mod options;
mod place;
mod policy;
mod provider;
mod providers;
mod reach;
mod reader;
#[cfg(not(target_family = "wasm"))]
pub mod reference;
#[cfg(not(target_family = "wasm"))]
pub mod relation;
mod remote;
mod requirement;
mod resource;
mod response;
mod route_match;
mod rule;
mod string_matcher;
mod struct_message;

pub use advice::nearest;
pub use data_source::check_secret;
pub use error::{ConfigError, ConfigProblem};
pub use options::{FindSecret, Options, ReadKeys};

use self::faults::{Faults, Home};
use self::field::Object as _;
use self::fields::{
    AuthorizeObject, ConditionObject, EntryObject, FilterStateObject, HeaderMatcherObject, KeyCacheObject,
    LimitsObject, MatchObject, ParameterMatcherObject, ProviderObject, RequirementObject, ResponseObject,
    RuleObject, ScopesObject, SharedDataObject, SharedSecretObject, TopObject,
};
use self::names::Names;
use self::node::Node;
use self::reader::Fields;
use crate::credential::Locations;
use crate::jose::Algorithm;
use crate::json::{Json, JsonError, syntax_fault};
use crate::keys::KeySource;
use crate::provider::Provider;
use crate::reply::{Replies, ReplyStyle};
use crate::request::HeaderFields;
use crate::seal::SealKey;
pub use crate::settings::Config;
use crate::settings::{IssuerIndex, Limits, Shown};

/// The objects whose fields are most often written in a wrong place, or must not be null.
const HOMES: &[Home] = &[
    (RuleObject::NAMES, "in a rule, beside `match`", true),
    (ProviderObject::NAMES, "in a provider", false),
    (TopObject::NAMES, "at the top level", false),
    (MatchObject::NAMES, "in a rule's `match`", true),
    (RequirementObject::NAMES, "in a rule's `requires`", true),
    (AuthorizeObject::NAMES, "in a rule's `authorize`", true),
    (LimitsObject::NAMES, "in `limits`, at the top level", false),
    (ResponseObject::NAMES, "in `response`, at the top level", false),
    (KeyCacheObject::NAMES, "in a provider's `key_cache`", false),
    (EntryObject::NAMES, "", true),
    (ScopesObject::NAMES, "", true),
    (ConditionObject::NAMES, "", true),
    (HeaderMatcherObject::NAMES, "", true),
    (ParameterMatcherObject::NAMES, "", true),
];

/// Reads the host's bytes: JSON text, or a binary `google.protobuf.Struct`.
///
/// # Errors
///
/// Fails with every fault of the text, in order, each with its path.
pub fn parse(bytes: &[u8]) -> Result<Config, Box<ConfigError>> {
    parse_with(bytes, Options::default())
}

/// As [`parse`], with the needs of this host.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_with(bytes: &[u8], options: Options) -> Result<Config, Box<ConfigError>> {
    // JSON is UTF-8 and begins with `{`; no message begins like that. The filter reports all other bytes as
    // faulty JSON, because the operator probably wrote JSON.
    match Json::parse(bytes) {
        Err(JsonError::Syntax | JsonError::NotUtf8) => match struct_message::to_json(bytes) {
            Some(json) if !bytes.is_empty() => read_json(&json, options.with_doubles()),
            _ => read_json(bytes, options),
        },
        _ => read_json(bytes, options),
    }
}

/// Returns the same bytes for the same configuration: the host writes the members of a message in a different
/// order each time.
#[must_use]
pub fn canonical(bytes: &[u8]) -> Vec<u8> {
    struct_message::to_json(bytes).unwrap_or_else(|| bytes.to_vec())
}

/// The declarations of the whole configuration, for the reference in `docs/configuration.md` and for tools.
#[cfg(not(target_family = "wasm"))]
#[must_use]
pub fn declarations() -> reference::ObjectReference {
    TopObject::reference()
}

/// Whether the filter refuses `null` for this field of an object with these names, instead of taking the
/// field for an absent one: a template without its value would leave out a check.
#[cfg(not(target_family = "wasm"))]
#[must_use]
pub fn refuses_null(names: &[&str], field: &str) -> bool {
    Faults::new(HOMES).decides(field, names)
}

impl Config {
    /// [`parse`], for tests and tools.
    ///
    /// # Errors
    ///
    /// As [`parse`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Box<ConfigError>> {
        parse(bytes)
    }
}

fn read_json(bytes: &[u8], options: Options) -> Result<Config, Box<ConfigError>> {
    let faults = Faults::new(HOMES);
    let config = loop {
        let read = root(bytes, &faults).and_then(|root| read_whole(&root, options));
        let config = read.map_err(|fault| faults.add(fault)).ok();
        if !faults.read_again() {
            break config;
        }
    };
    match (faults.into_error(), config) {
        (None, Some(config)) => Ok(config),
        (error, _) => Err(error.unwrap_or_else(ConfigError::reported)),
    }
}

// Not inlined here and below, for the memory of Envoy: docs/adr/0010-build-settings.md.
#[inline(never)]
fn read_whole(root: &Node<'_>, options: Options) -> Result<Config, Box<ConfigError>> {
    let fields = root.fields(TopObject)?;
    let mut names = Names {
        has_doubles: options.has_doubles,
        read_keys: options.read_keys,
        find_secret: options.find_secret,
        ..Names::default()
    };
    let (mut providers, faulty) = fields.or_default(providers::read(&fields, &mut names));
    fields.keep(remote::read_user_agent(
        fields.get(TopObject::user_agent),
        &mut providers,
    ));
    let policy = policy::read(&fields, &providers, &faulty, &mut names);
    let style = read_style(&fields, &providers);
    let seal = fields.or_default(read_seal(root, &fields, &providers));
    let shown = read_shown(&fields);
    let changes_nothing = fields.or_default(policy::read_changes_nothing(&fields, &policy));
    for patterns in names.patterns.values() {
        patterns.finish();
    }
    if root.count_faults() == 0 {
        reach::warn_of_hidden(&policy, &mut names.warnings);
    }
    let distinguishes_clients = policy.distinguishes_clients();
    let reads_certificate = providers
        .iter()
        .any(|provider| provider.binding.needs_certificate());
    let headers = HeaderFields::new(
        &names.wanted,
        names.owned_headers.iter(),
        fields.kept(TopObject::headers_with_underscores_action),
    );
    Ok(Config {
        issuers: IssuerIndex::new(&providers),
        providers,
        locations: Locations::new(names.locations.into_vec()),
        policy,
        headers: match changes_nothing {
            true => headers.without_removals(),
            false => headers,
        },
        changes_nothing,
        wanted: names.wanted,
        owned_headers: names.owned_headers,
        conditions: names.conditions,
        warnings: names.warnings,
        reads_certificate,
        reads_address: distinguishes_clients,
        asks_subject: distinguishes_clients || shown.subject,
        shown,
        stat_prefix: fields.or_default(read_stat_prefix(&fields)),
        replies: Replies::new(&style, names.scopes),
        limits: read_limits(&fields),
        signature_backend: fields.kept(TopObject::signature_backend),
        seal,
    })
}

#[inline(never)]
fn read_style(fields: &Fields<'_, TopObject>, providers: &[Provider]) -> ReplyStyle {
    let is_stripped = fields.kept(TopObject::strip_failure_response);
    let mut asking = providers
        .iter()
        .filter(|provider| provider.binding.nonces().is_some());
    if let (true, Some(node), Some(provider)) = (
        is_stripped,
        fields.get(TopObject::strip_failure_response),
        asking.next(),
    ) {
        node.report(node.invalid(format!(
            "removes the challenge that gives the clients of {} their nonce; leave it out, or `binding.dpop.nonce`",
            provider.name
        )));
    }
    let mut style = response::read(&fields.within(TopObject::response, ResponseObject), is_stripped);
    let mut algorithms: Vec<&str> = Vec::new();
    let of_proofs = providers.iter().filter_map(|provider| provider.binding.dpop());
    for algorithm in of_proofs.flat_map(|dpop| dpop.algorithms.iter()) {
        if !algorithms.contains(&algorithm.name()) {
            algorithms.push(algorithm.name());
            // RFC 9864: clients may know `EdDSA` on this curve only by its own name.
            if algorithm == Algorithm::EdDsa {
                algorithms.push("Ed25519");
            }
        }
    }
    style.dpop_algorithms = (!algorithms.is_empty()).then(|| algorithms.join(" "));
    style
}

fn read_stat_prefix(fields: &Fields<'_, TopObject>) -> Result<String, Box<ConfigError>> {
    let Some(node) = fields.get(TopObject::stat_prefix) else {
        return Ok(String::new());
    };
    let text = node.text()?;
    let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if !text.bytes().all(is_sound) {
        return Err(node.invalid("may hold letters, digits, `_`, `-` and `.` only"));
    }
    Ok(text.trim_end_matches('.').to_owned())
}

#[inline(never)]
fn read_seal(
    root: &Node<'_>,
    fields: &Fields<'_, TopObject>,
    providers: &[Provider],
) -> Result<SealKey, Box<ConfigError>> {
    if let Some(node) = fields.get(TopObject::shared_data)
        && let Some(node) = node.fields(SharedDataObject)?.get(SharedDataObject::secret)
    {
        let secret = data_source::read_secret(
            node,
            data_source::written!(node, SharedSecretObject),
            "write the secret into `inline_string`, or leave `secret` out: then the whole configuration is one",
        )?;
        return Ok(SealKey::from_secret(&secret));
    }
    let shares = |provider: &Provider| {
        matches!(provider.keys, KeySource::Remote(_)) || provider.binding.dpop().is_some()
    };
    Ok(match providers.iter().any(shares) {
        // The author of a module with the same `vm_id` does not know this configuration.
        true => SealKey::from_configuration(root.value()),
        // There are no entries to protect.
        false => SealKey::default(),
    })
}

#[inline(never)]
fn read_shown(fields: &Fields<'_, TopObject>) -> Shown {
    let fields = fields.within(TopObject::filter_state, FilterStateObject);
    Shown {
        subject: fields.kept(FilterStateObject::subject),
        rule: fields.kept(FilterStateObject::rule),
        decision: fields.kept(FilterStateObject::decision),
        token: fields.kept(FilterStateObject::token),
    }
}

#[inline(never)]
fn read_limits(fields: &Fields<'_, TopObject>) -> Limits {
    let fields = fields.within(TopObject::limits, LimitsObject);
    let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    Limits {
        max_token_bytes: size(fields.kept(LimitsObject::max_token_bytes)),
        max_waiting_requests: size(fields.kept(LimitsObject::max_waiting_requests)),
        max_wait: fields.kept(LimitsObject::max_wait),
        token_cache_entries: size(fields.kept(LimitsObject::token_cache_entries)),
    }
}

#[inline(never)]
fn root<'a>(bytes: &'a [u8], faults: &'a Faults) -> Result<Node<'a>, Box<ConfigError>> {
    let fault = |why: &str| {
        Box::new(ConfigError {
            path: String::new(),
            problem: ConfigProblem::NotJson(why.to_owned()),
            others: Vec::new(),
            omitted: 0,
            at: 0,
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
            JsonError::Syntax => {
                let (line, column) = syntax_fault(bytes);
                return fault(&format!(
                    "its syntax is wrong at line {line}, column {column}; write YAML into a google.protobuf.Struct, and \
                     JSON into a StringValue"
                ));
            }
            JsonError::NotAnObject => "it is of another type",
            JsonError::DuplicateMember => "an object names a member twice; leave one out",
            JsonError::TooDeep => "it is nested too deeply",
            JsonError::TooManyMembers => "it has too many members",
        })
    })?;
    Ok(Node::root(value, faults))
}
