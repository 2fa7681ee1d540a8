//! Only this module names the library: the same code decides here and in Envoy.

#[cfg(feature = "cli")]
mod accepted;
#[cfg(feature = "cli")]
pub(crate) mod fetch;
pub(crate) mod steps;

use std::rc::Rc;

use proxy_wasm_jwt::account::Account;
use proxy_wasm_jwt::authenticator::{Allowed, Authenticator, Basis as EngineBasis, Decision, StreamId};
use proxy_wasm_jwt::binding::nonce::{NamedSecret, NonceSecret};
use proxy_wasm_jwt::claims::UnverifiedClaims;
#[cfg(feature = "cli")]
pub(crate) use proxy_wasm_jwt::config::reference::{FieldReference, ObjectReference, Shape};
#[cfg(feature = "cli")]
pub(crate) use proxy_wasm_jwt::config::relation::{Given, Relation};
pub(crate) use proxy_wasm_jwt::config::{Config, ConfigError, ConfigProblem};
use proxy_wasm_jwt::config::{Options, parse_with};
#[cfg(feature = "cli")]
pub(crate) use proxy_wasm_jwt::config::{declarations, refuses_null};
use proxy_wasm_jwt::credential::Location;
use proxy_wasm_jwt::denial::{Denial, Reason};
use proxy_wasm_jwt::http::is_grpc;
use proxy_wasm_jwt::ids::Choice;
use proxy_wasm_jwt::jose::{JwkSet, UnverifiedJwt};
use proxy_wasm_jwt::keys::KeySource;
pub(crate) use proxy_wasm_jwt::policy::Match;
use proxy_wasm_jwt::policy::{Matched, RequestPath};
use proxy_wasm_jwt::provider::Provider;
use proxy_wasm_jwt::reply::LocalReply;
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::store::{InMemoryStore, SharedStore as _, StoreKey};
pub(crate) use proxy_wasm_jwt::time::UnixTime;

#[cfg(feature = "cli")]
pub(crate) use self::accepted::{
    Expected, algorithms, audiences, expected, is_reason, limits_of_exp, requirements,
};
use crate::input::Host;
use crate::source::Node;

/// Reads a configuration as the native module does, which takes everything that the other module takes.
pub(crate) fn parse(config: &Node, is_struct: bool) -> Result<Config, Box<ConfigError>> {
    parse_for(Host::Native, config, is_struct)
}

/// Reads a configuration as this module does: JSON text, or the message that Envoy makes of a Struct.
pub(crate) fn parse_for(host: Host, config: &Node, is_struct: bool) -> Result<Config, Box<ConfigError>> {
    let options = Options {
        find_secret: match host {
            Host::Wasm => None,
            Host::Native => Some(|name, sds_config| {
                let secret = NamedSecret::new(name, sds_config);
                secret.replace(NonceSecret::new(NONCE_SECRET));
                secret
            }),
        },
        ..Options::default()
    };
    match config.to_struct().filter(|_| is_struct) {
        Some(message) if !message.is_empty() => parse_with(&message, options),
        _ => parse_with(config.to_json().as_bytes(), options),
    }
}

/// A request, as a client would send it to Envoy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// `:path`: path and query.
    pub(crate) target: String,
    /// Its scheme as Envoy sees it.
    pub(crate) scheme: String,
    pub(crate) authority: String,
    /// In lower case.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// SHA-256 of the client's certificate in hexadecimal digits.
    pub(crate) peer_certificate: Option<String>,
    pub(crate) source_address: Option<String>,
    /// The requirement that the route's metadata names.
    pub(crate) route_requirement: Option<String>,
    pub(crate) filter_state: Option<String>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            scheme: "https".to_owned(),
            authority: "example.com".to_owned(),
            ..Self::default()
        }
    }

    /// The fields in the form in which Envoy hands them to the filter: repeated fields of `authorization` are
    /// one.
    fn fields(&self) -> Vec<(String, Vec<u8>)> {
        let mut fields: Vec<(String, Vec<u8>)> = vec![
            (":method".into(), self.method.clone().into_bytes()),
            (":path".into(), self.target.clone().into_bytes()),
            (":scheme".into(), self.scheme.clone().into_bytes()),
            (":authority".into(), self.authority.clone().into_bytes()),
        ];
        for (name, value) in &self.headers {
            let joined =
                (name == "authorization").then(|| fields.iter_mut().find(|(known, _)| known == name));
            match joined.flatten() {
                Some((_, known)) => {
                    known.push(b',');
                    known.extend_from_slice(value);
                }
                None => fields.push((name.clone(), value.clone())),
            }
        }
        fields
    }

    /// The parts of the request that the configuration reads.
    pub(crate) fn head(&self, config: &Config) -> RequestHead {
        let mut head = RequestHead::new();
        for (name, value) in self.fields() {
            head.take(&config.headers, name.as_bytes(), &value);
        }
        let bytes = |text: &Option<String>| text.as_ref().map(|text| text.clone().into_bytes());
        head.peer_certificate = bytes(&self.peer_certificate).filter(|_| config.reads_certificate);
        head.source_address = bytes(&self.source_address).filter(|_| config.reads_address);
        head.route_requirement = bytes(&self.route_requirement);
        head.filter_state = bytes(&self.filter_state);
        head
    }
}

/// Whether a rule's match matches a request.
pub(crate) fn rule_matches(config: &Config, rule: usize, request: &Request) -> Match {
    let head = request.head(config);
    let Some(rule) = config.policy.rules.get(rule) else {
        return Match::NO;
    };
    let path = RequestPath::new(request.target.as_bytes());
    rule.matcher.matches(&Matched::new(&head), &path)
}

/// Whether a rule lets requests without a token pass.
pub(crate) fn waives_token(config: &Config, rule: usize) -> bool {
    let rule = config.policy.rules.get(rule);
    rule.is_some_and(|rule| !rule.demand.requirement.needs_token())
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    /// The rule or name that selected the requirement, as in the access log.
    pub(crate) rule: String,
    pub(crate) verdict: Verdict,
}

/// Whether the filter allows a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed {
        basis: Basis,
        /// The path that the upstream sees.
        target: String,
        /// The header fields that it sees.
        headers: Vec<(String, Vec<u8>)>,
        /// The edits of header fields, by name.
        changed: Vec<(String, Change)>,
        /// The reason for which the filter would refuse the request if the rule were enforced.
        shadowed: Option<&'static str>,
        /// `wasm.jwt.metadata.…` for other filters.
        state: Vec<(String, String)>,
    },
    Refused {
        reason: &'static str,
        /// The fault, as in the debug log.
        detail: String,
        reply: Reply,
    },
    /// The metadata of a protected resource.
    Answered(Reply),
}

/// Why a request may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// A token of this provider.
    Verified(String),
    /// The rule accepts a request without a token, and checks a token that is present.
    Anonymous,
    /// The rule needs no token.
    Bypassed,
}

/// The edit of a header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Removed,
    Set,
}

/// The reply to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// The secret for nonces if the configuration has none. Each process of Envoy has its own secret, so no nonce
/// of a real Envoy is valid here.
const NONCE_SECRET: [u8; NonceSecret::SIZE] = [7; NonceSecret::SIZE];

/// Decides a request as the filter does, with the keys that are in the configuration.
pub(crate) fn decide(config: &Rc<Config>, request: &Request, now: UnixTime) -> Decided {
    Decider::new(config).decide(request, now)
}

/// Decides many requests, and remembers tokens as a worker does.
#[derive(Debug)]
pub(crate) struct Decider {
    config: Rc<Config>,
    engine: Authenticator,
}

impl Decider {
    pub(crate) fn new(config: &Rc<Config>) -> Self {
        Self {
            config: config.clone(),
            engine: Authenticator::new(config.clone(), 1),
        }
    }

    pub(crate) fn decide(&mut self, request: &Request, now: UnixTime) -> Decided {
        let config = self.config.clone();
        // Each request gets a new store, so that no proof of possession counts as used.
        let store = InMemoryStore::default();
        store.put(StoreKey::NonceSecret, &NONCE_SECRET);
        self.engine.handle_shared(now, &store);
        decide_by(&mut self.engine, &config, request, now, &store)
    }
}

fn decide_by(
    engine: &mut Authenticator,
    config: &Rc<Config>,
    request: &Request,
    now: UnixTime,
    store: &InMemoryStore,
) -> Decided {
    let head = request.head(config);
    let mut decision = engine.handle_request(StreamId(1), &mut head.clone(), &(), now, store);
    // There are no fetches here, so the engine decides a waiting request with the keys that it has.
    if decision == Decision::Wait {
        engine.handle_end(now);
        while let Some((_, decided)) = engine.poll_decision(store) {
            decision = decided;
        }
    }
    let policy = &config.policy;
    let label =
        |choice: Option<Choice>| choice.map_or_else(String::new, |choice| policy.label(choice).into_owned());
    match decision {
        Decision::Allow(allowed) => {
            let (target, headers, changed) = forwarded(request, &head, &allowed);
            let provider = |id| {
                config
                    .provider(id)
                    .map_or_else(String::new, |provider| provider.name.to_string())
            };
            Decided {
                rule: label(allowed.rule),
                verdict: Verdict::Allowed {
                    basis: match allowed.basis {
                        EngineBasis::Verified(id) => Basis::Verified(provider(id)),
                        EngineBasis::Anonymous => Basis::Anonymous,
                        EngineBasis::Bypassed => Basis::Bypassed,
                    },
                    target,
                    headers,
                    changed,
                    shadowed: allowed.shadowed.map(|denial| denial.reason.label()),
                    state: allowed
                        .state
                        .iter()
                        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value).into_owned()))
                        .collect(),
                },
            }
        }
        Decision::Deny(refusal) => {
            let account = Account {
                config,
                denial: &refusal.denial,
                now,
                request: Some(&head),
                keys: None,
            };
            Decided {
                rule: label(refusal.rule.or(refusal.denial.rule)),
                verdict: Verdict::Refused {
                    reason: refusal.denial.reason.label(),
                    detail: account.detail(),
                    reply: reply(&config.replies.to(&refusal), request),
                },
            }
        }
        Decision::Answer(answer) => Decided {
            rule: String::new(),
            verdict: Verdict::Answered(reply(&answer, request)),
        },
        Decision::Wait => Decided {
            rule: String::new(),
            verdict: Verdict::Refused {
                reason: Reason::KeysUnavailable.label(),
                detail: String::new(),
                reply: reply(
                    &config.replies.to(&Denial::new(Reason::KeysUnavailable).into()),
                    request,
                ),
            },
        },
    }
}

fn reply(reply: &LocalReply, request: &Request) -> Reply {
    let media_type = request.headers.iter().find(|(name, _)| name == "content-type");
    let for_grpc;
    let is_for_grpc = media_type.is_some_and(|(_, value)| is_grpc(value));
    let reply = match is_for_grpc {
        true => {
            for_grpc = reply.for_grpc();
            &for_grpc
        }
        false => reply,
    };
    let mut headers: Vec<(String, String)> = reply
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    if let Some(status) = reply.grpc_status.filter(|_| is_for_grpc) {
        headers.push(("grpc-status".to_owned(), status.to_string()));
    }
    Reply {
        // Envoy answers gRPC with 200, and writes the gRPC status into another header.
        status: if is_for_grpc { 200 } else { reply.status },
        headers,
        body: String::from_utf8_lossy(&reply.body).into_owned(),
    }
}

type Forwarded = (String, Vec<(String, Vec<u8>)>, Vec<(String, Change)>);

/// The request as the upstream sees it.
fn forwarded(request: &Request, head: &RequestHead, allowed: &Allowed) -> Forwarded {
    let mut target = request.target.clone();
    let mut headers = request.headers.clone();
    let mut changed = Vec::new();
    for name in head.removed() {
        let name = String::from_utf8_lossy(name).into_owned();
        headers.retain(|(known, _)| *known != name);
        changed.push((name, Change::Removed));
    }
    for edit in allowed.edits.iter() {
        let had = headers.len();
        headers.retain(|(name, _)| **name != *edit.name);
        let was_there = headers.len() < had;
        match &edit.value {
            Some(value) if &*edit.name == ":path" => {
                target = String::from_utf8_lossy(value).into_owned();
                changed.push((":path".to_owned(), Change::Set));
            }
            Some(value) => {
                headers.push((edit.name.to_string(), value.clone()));
                changed.retain(|(name, _)| **name != *edit.name);
                changed.push((edit.name.to_string(), Change::Set));
            }
            None if was_there => changed.push((edit.name.to_string(), Change::Removed)),
            None => {}
        }
    }
    (target, headers, changed)
}

/// The names of the providers whose keys are fetched.
pub(crate) fn remote_providers(config: &Config) -> Vec<String> {
    let is_remote = |keys: &KeySource| matches!(keys, KeySource::Remote(_));
    let remote = config
        .providers
        .iter()
        .filter(|provider| is_remote(&provider.keys));
    remote.map(|provider| provider.name.to_string()).collect()
}

/// Puts a token into a request, at the location in which the configuration looks for one.
pub(crate) fn put_token(config: &Config, request: &mut Request, token: &str, by_dpop: bool) {
    let locations = |providers: &mut dyn Iterator<Item = &Provider>| -> Vec<&Location> {
        let ids = providers.flat_map(|provider| &provider.locations);
        ids.filter_map(|id| config.locations.get(id.index())).collect()
    };
    let mut of_issuer = providers_of(config, token).into_iter();
    let mut all = locations(&mut of_issuer);
    if all.is_empty() {
        all = locations(&mut config.providers.iter());
    }
    let is_bearer = |location: &&&Location| matches!(location, Location::Header { name, .. } if &**name == "authorization");
    let location = all
        .iter()
        .find(|location| location.is_dpop() == by_dpop && is_bearer(location))
        .or_else(|| all.iter().find(|location| location.is_dpop() == by_dpop))
        .or_else(|| all.first());
    match location {
        Some(Location::Header { name, prefix, .. }) => {
            let value = [prefix, token.as_bytes()].concat();
            request.headers.push((name.to_string(), value));
        }
        Some(Location::Parameter { name, .. }) => {
            let separator = if request.target.contains('?') { '&' } else { '?' };
            request.target = format!("{}{separator}{name}={token}", request.target);
        }
        Some(Location::Cookie { name, .. }) => {
            request
                .headers
                .push(("cookie".to_owned(), format!("{name}={token}").into_bytes()));
        }
        None => {}
    }
}

/// The providers that a token of this issuer may be for.
fn providers_of<'c>(config: &'c Config, token: &str) -> Vec<&'c Provider> {
    let Ok(token) = UnverifiedJwt::decode(token.as_bytes()) else {
        return Vec::new();
    };
    let Ok(claims) = UnverifiedClaims::parse(token.payload()) else {
        return Vec::new();
    };
    let issuer = claims.unverified_issuer().ok().flatten();
    let ids = issuer.iter().flat_map(|issuer| config.issuers.of(issuer));
    ids.filter_map(|id| config.providers.get(id.index())).collect()
}

/// The names of the providers, in order.
pub(crate) fn providers(config: &Config) -> Vec<String> {
    config
        .providers
        .iter()
        .map(|provider| provider.name.to_string())
        .collect()
}

/// Whether a document is a usable key set, and otherwise the reason.
pub(crate) fn check_keys(document: &[u8]) -> Result<(), String> {
    JwkSet::parse(document)
        .map(drop)
        .map_err(|fault| fault.to_string())
}
