//! The steps from a request to its decision: the result of each of the library's checks, one by one.
//!
//! The library computes the result of each step, and [`super::decide`] makes the decision. The tests check
//! that the first step that fails has the reason of the decision.

use std::rc::Rc;

use proxy_wasm_jwt::account::Account;
use proxy_wasm_jwt::binding::nonce::NonceSecret;
use proxy_wasm_jwt::binding::{Binding, Presented};
use proxy_wasm_jwt::claims::Audiences;
use proxy_wasm_jwt::claims::{SignatureCheck, UnverifiedClaims, VerifiedJwt};
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::credential::{self, Location};
use proxy_wasm_jwt::denial::{Denial, Reason};
use proxy_wasm_jwt::ids::{Choice, LocationId, ProviderId};
use proxy_wasm_jwt::jose::{AlgorithmSet, Checks, JoseHeader, JwkSet, Sandbox, Spent, UnverifiedJwt};
use proxy_wasm_jwt::json::Json;
use proxy_wasm_jwt::keys::KeySource;
use proxy_wasm_jwt::pattern::Effort;
use proxy_wasm_jwt::policy::{Demand, Match, Matched, Mode, ProviderRequirement, RequestPath, Requirement};
use proxy_wasm_jwt::provider::Provider;
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::time::UnixTime;

use super::{NONCE_SECRET, Request, parse};
use crate::source::{Key, Node, Value, snake_case};

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) name: String,
    /// `None` if the filter did not reach the step, or if the step only informs.
    pub(crate) passed: Option<bool>,
    pub(crate) seen: String,
    pub(crate) expected: String,
    /// The reason code, if the step failed.
    pub(crate) reason: Option<&'static str>,
}

/// A rule that was looked at.
#[derive(Clone, Debug)]
pub(crate) struct RuleStep {
    pub(crate) name: String,
    /// Its match, as in the configuration.
    pub(crate) matcher: String,
    pub(crate) taken: bool,
    /// The reason why the rule does not apply, or the part that is uncertain.
    pub(crate) because: Vec<String>,
}

/// A token, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct TokenSeen {
    pub(crate) location: String,
    pub(crate) header: Option<String>,
    pub(crate) claims: Option<String>,
}

/// The checks of a token by one provider.
#[derive(Clone, Debug)]
pub(crate) struct ProviderSteps {
    pub(crate) provider: String,
    pub(crate) location: String,
    pub(crate) steps: Vec<Step>,
}

/// The whole way.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) rules: Vec<RuleStep>,
    /// The origin of the requirement: a rule, a route, or nothing.
    pub(crate) chosen: String,
    /// The further rules to meet, because servers may interpret the request in other ways.
    pub(crate) also: Vec<String>,
    pub(crate) needs: String,
    pub(crate) is_shadowed: bool,
    pub(crate) tokens: Vec<TokenSeen>,
    pub(crate) providers: Vec<ProviderSteps>,
    /// What must never be printed.
    pub(crate) secrets: Vec<Vec<u8>>,
}

impl Way {
    /// Keeps only the rule that applies, and the checks that failed.
    pub(crate) fn shorten(&mut self) {
        self.rules.retain(|rule| rule.taken);
        self.tokens.clear();
        for provider in &mut self.providers {
            provider.steps.retain(|step| step.passed == Some(false));
        }
        self.providers.retain(|provider| !provider.steps.is_empty());
    }
}

/// Runs the steps for a request. `config` was read from `node`.
pub(crate) fn walk(node: &Node, config: &Rc<Config>, request: &Request, now: UnixTime) -> Way {
    let head = request.head(config);
    let policy = &config.policy;
    let mut way = Way {
        rules: Vec::new(),
        chosen: String::new(),
        also: Vec::new(),
        needs: String::new(),
        is_shadowed: false,
        tokens: Vec::new(),
        providers: Vec::new(),
        secrets: Vec::new(),
    };
    let everywhere: Vec<LocationId> = config
        .providers
        .iter()
        .flat_map(|provider| provider.locations.clone())
        .collect();
    if let Ok(all) = credential::find(&head, &config.locations, &everywhere) {
        way.secrets.extend(all.iter().map(|found| found.token.to_vec()));
    }
    let choices = match policy.choose(&head) {
        Ok(choices) => choices,
        Err(denial) => {
            way.chosen = "the route's requirement".to_owned();
            way.needs = format!("a requirement that does not exist ({})", denial.reason.label());
            return way;
        }
    };
    way.chosen = policy.label(choices.first).into_owned();
    way.also = choices
        .others
        .iter()
        .map(|choice| policy.label(*choice).into_owned())
        .collect();
    if let Choice::Rule { .. } | Choice::Otherwise | Choice::FilterState { .. } = choices.first {
        way.rules = rules(node, config, request, &head, choices.first);
    }
    let Some(demand) = policy.demand(choices.first) else {
        way.needs = "nothing: it is a CORS preflight".to_owned();
        return way;
    };
    way.needs = in_words(&demand.requirement, config);
    way.is_shadowed = demand.mode != Mode::Enforce;
    if matches!(demand.requirement, Requirement::Nothing | Requirement::Denied) {
        return way;
    }
    let found = match credential::find(&head, &config.locations, &demand.locations) {
        Ok(found) => found,
        Err(denial) => {
            let step = failed("credential", denial, String::new(), String::new(), config, now);
            way.providers.push(ProviderSteps {
                provider: String::new(),
                location: String::new(),
                steps: vec![step],
            });
            return way;
        }
    };
    for credential in &found {
        way.tokens
            .push(seen(config, credential.location, &credential.token));
    }
    let authorize = authorize_node(node, config, choices.first);
    for named in demand.requirement.providers() {
        let Some(provider) = config.provider(named.provider) else {
            continue;
        };
        let mut is_any = false;
        for credential in found
            .iter()
            .filter(|found| provider.locations.contains(&found.location))
        {
            is_any = true;
            let mut walker = Walker {
                config,
                provider,
                named,
                head: &head,
                request,
                now,
                steps: Vec::new(),
                node,
                authorize: authorize.as_ref(),
                demand,
            };
            walker.token(credential.location, &credential.token);
            way.providers.push(ProviderSteps {
                provider: provider.name.to_string(),
                location: location_name(config, credential.location),
                steps: walker.steps,
            });
        }
        if !is_any {
            let places: Vec<String> = provider
                .locations
                .iter()
                .map(|id| location_name(config, *id))
                .collect();
            way.providers.push(ProviderSteps {
                provider: provider.name.to_string(),
                location: String::new(),
                steps: vec![Step {
                    name: "token".to_owned(),
                    passed: Some(false),
                    seen: "none".to_owned(),
                    expected: format!("in {}", places.join(", or ")),
                    reason: Some(Reason::TokenMissing.label()),
                }],
            });
        }
    }
    way
}

/// The rules up to the one that applies, and why earlier ones do not.
fn rules(
    node: &Node,
    config: &Config,
    request: &Request,
    head: &RequestHead,
    first: Choice,
) -> Vec<RuleStep> {
    let mut all = Vec::new();
    let matched = Matched::new(head);
    let path = RequestPath::new(request.target.as_bytes());
    let nodes = node.get("rules").map_or(&[][..], Node::elements);
    for (index, (rule, node_of_rule)) in config.policy.rules.iter().zip(nodes).enumerate() {
        let taken = matches!(first, Choice::Rule { id, .. } if id.index() == index);
        let found = rule.matcher.matches(&matched, &path);
        let Some(matcher) = node_of_rule.get("match") else {
            continue;
        };
        let mut because = Vec::new();
        if !taken {
            because = missed(node, matcher, request);
            if found.is_literal {
                because.push(match path.is_canonical() {
                    false => {
                        "the path is not canonical, so the request needs a token under every rule".to_owned()
                    }
                    true => {
                        "servers may interpret this request differently, so it needs a token under every rule"
                            .to_owned()
                    }
                });
            } else if !found.is_sure {
                because.push("some servers may interpret the request so that it matches".to_owned());
            }
        } else if matches!(first, Choice::Rule { is_strict: true, .. }) {
            because.push(
                "servers may interpret this request differently, so it always needs a token".to_owned(),
            );
        }
        all.push(RuleStep {
            name: rule.name.to_string(),
            matcher: matcher.to_json(),
            taken,
            because,
        });
        if taken {
            break;
        }
    }
    all
}

/// The parts of a match that do not match the request. Each is tried as the only part of the only rule.
fn missed(node: &Node, matcher: &Node, request: &Request) -> Vec<String> {
    let mut all = Vec::new();
    let case: Vec<(Key, Node)> = matcher
        .members()
        .iter()
        .filter(|(key, _)| snake_case(&key.name) == "case_sensitive")
        .cloned()
        .collect();
    let path = RequestPath::new(request.target.as_bytes());
    for (key, part) in matcher.members() {
        let name = snake_case(&key.name);
        let parts: Vec<Node> = match (&*name, &part.value) {
            ("case_sensitive", _) => continue,
            ("headers" | "query_parameters", Value::List(list)) => list
                .iter()
                .map(|one| Node::new(Value::List(vec![one.clone()]), one.place.clone()))
                .collect(),
            _ => vec![part.clone()],
        };
        for part in parts {
            let mut members = vec![(key.clone(), part.clone())];
            if matches!(&*name, "path" | "prefix" | "path_separated_prefix" | "safe_regex") {
                members.extend(case.clone());
            }
            let rule = object(vec![(
                "match",
                Node::new(Value::Map(members), part.place.clone()),
            )]);
            let Some(config) = with_rule(node, rule) else {
                continue;
            };
            let head = request.head(&config);
            let matched = Matched::new(&head);
            let found = config
                .policy
                .rules
                .first()
                .map(|rule| rule.matcher.matches(&matched, &path));
            if found.is_none_or(|found| found.is_literal) {
                continue;
            }
            let seen = match &*name {
                "methods" | "connect_matcher" => format!("the method is {}", request.method),
                "hosts" => format!("the host is {}", request.authority),
                "headers" => {
                    let header = part
                        .elements()
                        .first()
                        .and_then(|one| one.text_at(&["name"]))
                        .unwrap_or_default();
                    let value = request
                        .headers
                        .iter()
                        .find(|(known, _)| known.eq_ignore_ascii_case(header));
                    match value {
                        _ if header.starts_with(':') => format!("{header} is another"),
                        Some((_, value)) => format!("{header} is {}", String::from_utf8_lossy(value)),
                        None => format!("there is no {header}"),
                    }
                }
                "query_parameters" => format!(
                    "the query is {}",
                    request.target.split_once('?').map_or("empty", |(_, query)| query)
                ),
                _ => format!("the path is {}", String::from_utf8_lossy(path.bytes())),
            };
            let doubt = if found == Some(Match::PERHAPS) {
                " to some servers"
            } else {
                ""
            };
            all.push(format!("{name} {}: {seen}{doubt}", part.to_json()));
        }
    }
    all
}

fn object(members: Vec<(&str, Node)>) -> Node {
    let members = members
        .into_iter()
        .map(|(name, node)| {
            let key = Key {
                name: name.to_owned(),
                place: 0..0,
            };
            (key, node)
        })
        .collect();
    Node::new(Value::Map(members), 0..0)
}

/// The same configuration with this as its only rule.
fn with_rule(node: &Node, rule: Node) -> Option<Config> {
    let mut node = node.clone();
    if let Value::Map(members) = &mut node.value {
        members.retain(|(key, _)| !matches!(&*snake_case(&key.name), "rules" | "filter_state_rules"));
        let key = Key {
            name: "rules".to_owned(),
            place: 0..0,
        };
        members.push((key, Node::new(Value::List(vec![rule]), 0..0)));
    }
    parse(&node, false).ok()
}

/// A requirement in words.
fn in_words(requirement: &Requirement, config: &Config) -> String {
    let name = |named: &ProviderRequirement| {
        let name = config
            .provider(named.provider)
            .map_or("", |provider| &provider.name);
        match &named.audiences {
            Some(Audiences::OneOf(all)) => format!("{name} for {}", all.join(" or ")),
            _ => name.to_owned(),
        }
    };
    let names = |all: &[ProviderRequirement]| all.iter().map(name).collect::<Vec<_>>().join(" or ");
    match requirement {
        Requirement::Nothing => "no token".to_owned(),
        Requirement::Denied => "the rule refuses every request".to_owned(),
        Requirement::AnyOf(all) => format!("a token of {}", names(all)),
        Requirement::Provider(named) => format!("a token of {}", name(named)),
        Requirement::Any(parts) => {
            let parts: Vec<String> = parts.iter().map(|part| in_words(part, config)).collect();
            parts.join(", or ")
        }
        Requirement::All(parts) => {
            let parts: Vec<String> = parts.iter().map(|part| in_words(part, config)).collect();
            format!("all of: {}", parts.join("; "))
        }
        Requirement::AllowMissing(all) => format!("no token, or a valid one of {}", names(all)),
        Requirement::Missing(_) => "no token at all".to_owned(),
        Requirement::AllowMissingOrFailed(all) => {
            format!("no token, but the filter uses a valid one of {}", names(all))
        }
    }
}

/// A place for tokens in words.
pub(crate) fn location_name(config: &Config, id: LocationId) -> String {
    match config.locations.get(id.index()) {
        Some(Location::Header { name, prefix, .. }) => match String::from_utf8_lossy(prefix).trim() {
            "" => format!("header {name}"),
            prefix => format!("header {name} ({prefix})"),
        },
        Some(Location::Parameter { name, .. }) => format!("query parameter {name}"),
        Some(Location::Cookie { name, .. }) => format!("cookie {name}"),
        None => String::new(),
    }
}

/// Header and claims of a token, without its signature.
fn seen(config: &Config, location: LocationId, token: &[u8]) -> TokenSeen {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let decoded = UnverifiedJwt::decode(token).ok();
    TokenSeen {
        location: location_name(config, location),
        header: decoded.as_ref().and_then(|token| text(token.header_json())),
        claims: decoded.as_ref().and_then(|token| text(token.payload())),
    }
}

/// The place of the conditions: the object with `authorize`, and its path.
fn authorize_node(node: &Node, config: &Config, choice: Choice) -> Option<(Node, String)> {
    let by_name = |name: &str| {
        let map = node.get("requirement_map")?;
        let (_, entry) = map.members().iter().find(|(key, _)| key.name == name)?;
        Some((entry.clone(), format!("requirement_map.{name}")))
    };
    let (object, path) = match choice {
        Choice::Rule { id, .. } => {
            let rule = node.get("rules")?.elements().get(id.index())?;
            match rule.text_at(&["requirement_name"]) {
                Some(name) if rule.get("authorize").is_none() => by_name(name)?,
                _ => (rule.clone(), format!("rules[{}]", id.index())),
            }
        }
        Choice::Route { id, .. } => by_name(&config.policy.requirement_map.get(id.index())?.0)?,
        _ => return None,
    };
    let authorize = object.get("authorize")?.clone();
    Some((authorize, path))
}

fn failed(
    name: &str,
    denial: Denial,
    seen: String,
    expected: String,
    config: &Config,
    now: UnixTime,
) -> Step {
    let account = Account {
        config,
        denial: &denial,
        now,
    };
    let seen = match (seen.is_empty(), account.detail()) {
        (true, detail) => detail,
        (false, _) => seen,
    };
    Step {
        name: name.to_owned(),
        passed: Some(false),
        seen,
        expected,
        reason: Some(denial.reason.label()),
    }
}

struct Walker<'w> {
    config: &'w Rc<Config>,
    provider: &'w Provider,
    named: &'w ProviderRequirement,
    head: &'w RequestHead,
    request: &'w Request,
    now: UnixTime,
    steps: Vec<Step>,
    node: &'w Node,
    authorize: Option<&'w (Node, String)>,
    demand: &'w Demand,
}

impl Walker<'_> {
    fn id(&self) -> ProviderId {
        self.named.provider
    }

    fn add(
        &mut self,
        name: &str,
        outcome: Result<(), Denial>,
        seen: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let step = match outcome {
            Ok(()) => Step {
                name: name.to_owned(),
                passed: Some(true),
                seen: seen.into(),
                expected: expected.into(),
                reason: None,
            },
            Err(denial) => failed(
                name,
                denial.by(self.id()),
                seen.into(),
                expected.into(),
                self.config,
                self.now,
            ),
        };
        self.steps.push(step);
    }

    fn unreached(&mut self, name: &str, why: &str, expected: impl Into<String>) {
        self.steps.push(Step {
            name: name.to_owned(),
            passed: None,
            seen: why.to_owned(),
            expected: expected.into(),
            reason: None,
        });
    }

    /// Every check of a token, in the order of the filter, including those after a failed one.
    fn token(&mut self, location: LocationId, text: &[u8]) {
        let limit = self.config.limits.max_token_bytes;
        let size = match text.len() > limit {
            true => Err(Denial::new(Reason::TokenTooLarge)),
            false => Ok(()),
        };
        let is_too_large = size.is_err();
        self.add(
            "size",
            size,
            format!("{} bytes", text.len()),
            format!("at most {limit}"),
        );
        if is_too_large {
            return;
        }
        let token = match UnverifiedJwt::decode(text) {
            Ok(token) => token,
            Err(fault) => {
                let denial = Denial::new(Reason::TokenMalformed);
                self.add(
                    "form",
                    Err(denial),
                    fault.to_string(),
                    "a signed JWT in compact form",
                );
                return;
            }
        };
        let header = match token.header() {
            Ok(header) => header,
            Err(fault) => {
                // Only the engine knows the reason of a fault.
                let reason = match fault {
                    proxy_wasm_jwt::jose::TokenFault::AlgorithmMissing => Reason::AlgorithmRejected,
                    proxy_wasm_jwt::jose::TokenFault::CriticalHeader => Reason::CriticalHeader,
                    _ => Reason::TokenMalformed,
                };
                self.add(
                    "header",
                    Err(Denial::new(reason)),
                    fault.to_string(),
                    "a header that can be read",
                );
                return;
            }
        };
        let shown = |bytes: &[u8]| {
            serde_json::from_slice::<serde_json::Value>(bytes)
                .ok()
                .and_then(|header| header.get("alg").map(ToString::to_string))
                .unwrap_or_default()
        };
        let allowed: Vec<&str> = self
            .provider
            .algorithms
            .iter()
            .map(|algorithm| algorithm.name())
            .collect();
        let allowed = allowed.join(", ");
        let Some(algorithm) = header.algorithm else {
            self.add(
                "algorithm",
                Err(Denial::new(Reason::AlgorithmRejected)),
                shown(token.header_json()),
                allowed,
            );
            return;
        };
        let claims = match UnverifiedClaims::parse(token.payload()) {
            Ok(claims) => claims,
            Err(fault) => {
                let denial = Denial::new(Reason::TokenMalformed);
                self.add("claims", Err(denial), fault.to_string(), "one JSON object");
                return;
            }
        };
        self.add("form", Ok(()), "a signed JWT", "a signed JWT in compact form");
        let members = proxy_wasm_jwt::json::Object::parse(token.payload()).ok();
        let claim = |name: &str| {
            let value = members.as_ref().and_then(|members| members.member(name));
            value.map_or_else(|| "absent".to_owned(), |value| shorten(value.text()))
        };
        let issuers = self.provider.claims.issuers.iter();
        let issuers: Vec<String> = issuers.map(|issuer| format!("\"{issuer}\"")).collect();
        let issuers = issuers.join(" or ");
        match claims.unverified_issuer() {
            Ok(Some(issuer)) => {
                let outcome = match self.provider.is_issuer(&issuer) {
                    true => Ok(()),
                    false => Err(Denial::new(Reason::IssuerUnknown)),
                };
                self.add("issuer", outcome, claim("iss"), issuers);
            }
            Ok(None) => {
                let denial = Denial::new(Reason::IssuerUnknown);
                self.add("issuer", Err(denial), "absent", issuers);
            }
            Err(denial) => self.add("issuer", Err(denial), claim("iss"), "a string"),
        }
        let outcome = match self.provider.algorithms.contains(algorithm) {
            true => Ok(()),
            false => Err(Denial::new(Reason::AlgorithmRejected)),
        };
        self.add("algorithm", outcome, algorithm.name(), allowed);
        self.token_type(&header);
        if self.provider.claims.issuer_pattern.is_some() {
            self.add(
                "issuer_claims",
                claims.check_issuer(self.provider),
                "",
                "claims that repeat the tenant in iss",
            );
        }
        self.times(&claims, &claim);
        let audiences = self.named.audiences.as_ref().unwrap_or(&self.provider.audiences);
        let wanted = match audiences {
            Audiences::Any => "any".to_owned(),
            Audiences::OneOf(all) => all
                .iter()
                .map(|one| format!("\"{one}\""))
                .collect::<Vec<_>>()
                .join(" or "),
        };
        self.add("audience", claims.check_audience(audiences), claim("aud"), wanted);
        self.add(
            "sub, jti",
            claims.check_names(),
            format!("{}, {}", claim("sub"), claim("jti")),
            "strings, if there",
        );
        if let Some(subjects) = &self.provider.claims.subjects {
            let matcher = self.node.at(&["providers", &self.provider.name, "subjects"]);
            let expected = matcher.map(Node::to_json).unwrap_or_default();
            self.add("subject", claims.check_subject(subjects), claim("sub"), expected);
        }
        if !self.provider.claims.required_claims.is_empty() || self.provider.claims.profile.is_some() {
            self.add(
                "required claims",
                claims.check_required(&self.provider.claims),
                "",
                "present, and not null",
            );
        }
        self.keys(location, text, &token, &header, algorithm, &claims);
    }

    fn token_type(&mut self, header: &JoseHeader<'_>) {
        let types = &self.provider.token_types;
        if types.is_empty() {
            return;
        }
        let outcome = match types.iter().any(|one| header.token_type_is(one)) {
            true => Ok(()),
            false => Err(Denial::new(Reason::TypeRejected)),
        };
        let seen = header.token_type.as_deref().unwrap_or("absent").to_owned();
        self.add("type", outcome, shorten(&seen), types.join(" or "));
    }

    fn times(&mut self, claims: &UnverifiedClaims<'_>, claim: &impl Fn(&str) -> String) {
        let skew = self.provider.claims.clock_skew.as_secs();
        let at = |name: &str| {
            let text = claim(name);
            match text.parse::<f64>() {
                Ok(seconds) if (0.0..1e12).contains(&seconds) => {
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
                    let date = UnixTime::from_millis((seconds * 1000.0) as u64);
                    let distance = match self.now > date {
                        true => format!("{} s ago", self.now.since(date).as_secs()),
                        false => format!("in {} s", date.since(self.now).as_secs()),
                    };
                    format!("{date}, {distance}")
                }
                _ => text,
            }
        };
        let (expiry, not_before, issued) = (at("exp"), at("nbf"), at("iat"));
        match claims.times() {
            Ok(times) => {
                let mut expected = match self.provider.claims.require_expiration {
                    true => format!("in the future, or at most {skew} s ago"),
                    false => format!("absent, in the future, or at most {skew} s ago"),
                };
                if let Some(longest) = self.provider.claims.max_lifetime {
                    expected = format!("{expected}; in at most {} s", longest.as_secs());
                }
                self.add(
                    "expiration",
                    times.check_expiry(&self.provider.claims, self.now),
                    expiry,
                    expected,
                );
                let starts = format!("nbf {not_before}; iat {issued}");
                let expected = format!("past, or in at most {skew} s");
                self.add(
                    "not before",
                    times.check_start(&self.provider.claims, self.now),
                    starts,
                    expected,
                );
            }
            Err(denial) => self.add("times", Err(denial), "", "exp, nbf and iat are numbers"),
        }
    }

    fn keys(
        &mut self,
        location: LocationId,
        text: &[u8],
        token: &UnverifiedJwt<'_>,
        header: &JoseHeader<'_>,
        algorithm: proxy_wasm_jwt::jose::Algorithm,
        claims: &UnverifiedClaims<'_>,
    ) {
        let key_id = header.key_id.as_deref().filter(|key_id| !key_id.is_empty());
        let seen = match key_id {
            Some(key_id) => format!("kid \"{}\", {}", shorten(key_id), algorithm.name()),
            None => format!("no kid, {}", algorithm.name()),
        };
        let set = match &self.provider.keys {
            KeySource::Local(parsed) => &parsed.set,
            KeySource::Remote(_) => {
                let denial = Denial::new(Reason::KeysUnavailable);
                let expected = "a key of the issuer; name them with --keys FILE, or use --fetch";
                self.add("key", Err(denial), "no keys are known here", expected);
                self.unreached("signature", "there are no keys", "");
                return;
            }
        };
        let expected = describe_keys(set);
        let mut spent = Spent::default();
        let checks = Checks::new(&Sandbox, &spent);
        let of_any_key: AlgorithmSet = self.provider.algorithms_of_any_key;
        let outcome = VerifiedJwt::verify(token, algorithm, key_id, claims, set, of_any_key, checks);
        let key = match &outcome {
            SignatureCheck::KeyNotFound { tried: false } => Err(Denial::new(Reason::KeyUnknown)),
            SignatureCheck::AlgorithmMismatch | SignatureCheck::KeyTooLarge => {
                Err(Denial::new(Reason::AlgorithmRejected))
            }
            _ => Ok(()),
        };
        let is_known = key.is_ok();
        self.add("key", key, seen, expected);
        if !is_known {
            self.unreached("signature", "there is no key that could verify it", "");
            return;
        }
        let SignatureCheck::Verified(jwt) = outcome else {
            let denial = Denial::new(Reason::SignatureInvalid);
            self.add("signature", Err(denial), "not valid", "made with that key");
            if self.authorize.is_some() {
                self.unreached("authorize", "the filter does not read unverified claims", "");
            }
            return;
        };
        self.add("signature", Ok(()), "valid", "made with that key");
        spent.clear();
        if let Some(authorization) = &self.provider.authorization {
            let outcome = authorization
                .check(&jwt, self.head, &mut Effort::of_a_request())
                .map_err(|shortfall| Denial::new(Reason::TokenRejected).short_of(shortfall));
            let expected = "the conditions of the provider";
            self.add("provider conditions", outcome, "", expected);
        }
        let is_checked = !matches!(self.provider.binding, Binding::Off);
        let secret = NonceSecret::from_bytes(&NONCE_SECRET);
        let presented = Presented {
            token: text,
            by_dpop: self
                .config
                .locations
                .get(location.index())
                .is_some_and(Location::is_dpop),
            request: self.head,
            nonce_secret: secret.as_ref(),
        };
        let is_bound = jwt.members().any(|(name, _)| name == "cnf");
        let expected = match is_bound || self.provider.binding.asks_each_request(&jwt) {
            true => "a proof that the client owns the token",
            false => "none is needed",
        };
        if is_checked {
            let checks = Checks::new(&Sandbox, &spent);
            let outcome = self
                .provider
                .binding
                .check(&jwt, presented, checks, self.now)
                .map(drop);
            let seen = match (&outcome, is_bound) {
                (Err(_), _) => String::new(),
                (Ok(()), true) => "the client owns the token".to_owned(),
                (Ok(()), false) => "not bound to a client".to_owned(),
            };
            self.add("binding", outcome, seen, expected);
        }
        self.authorize(&jwt);
    }

    /// Each condition separately, as the only one of the only rule.
    fn authorize(&mut self, jwt: &VerifiedJwt<'_>) {
        let Some((authorize, path)) = self.authorize.cloned() else {
            return;
        };
        let holds = |authorize: Node| {
            let provider = object(vec![(
                "provider_name",
                Node::new(Value::Text(self.provider.name.to_string()), 0..0),
            )]);
            let every = object(vec![("prefix", Node::new(Value::Text("/".to_owned()), 0..0))]);
            let rule = object(vec![
                ("match", every),
                ("requires", provider),
                ("authorize", authorize),
            ]);
            let config = with_rule(self.node, rule)?;
            let head = self.request.head(&config);
            let rule = config.policy.rules.first()?;
            let authorization = rule.demand.authorization.as_ref()?;
            Some(
                authorization
                    .check(jwt, &head, &mut Effort::of_a_request())
                    .is_ok(),
            )
        };
        let mut steps = Vec::new();
        let claim = |name: &str| {
            let path = proxy_wasm_jwt::claims::ClaimPath::Name(name.into());
            jwt.claim(&path)
                .map_or_else(|| "absent".to_owned(), |value| shorten(Json::text(value)))
        };
        if let Some(scopes) = authorize.get("scopes") {
            let passed = holds(object(vec![("scopes", scopes.clone())]));
            let names: Vec<String> = match scopes.get("claim_names").or_else(|| scopes.get("claim_name")) {
                Some(names) => names
                    .elements()
                    .iter()
                    .filter_map(Node::text)
                    .chain(names.text())
                    .map(str::to_owned)
                    .collect(),
                None => vec!["scope".to_owned(), "scp".to_owned()],
            };
            let seen: Vec<String> = names
                .iter()
                .map(|name| format!("{name} {}", claim(name)))
                .collect();
            steps.push(Step {
                name: format!("{path}.authorize.scopes"),
                passed,
                seen: seen.join(", "),
                expected: scopes.to_json(),
                reason: (passed == Some(false)).then_some(Reason::ScopeInsufficient.label()),
            });
        }
        for (position, condition) in authorize
            .get("claims")
            .map_or(&[][..], Node::elements)
            .iter()
            .enumerate()
        {
            let only = Node::new(Value::List(vec![condition.clone()]), condition.place.clone());
            let passed = holds(object(vec![("claims", only)]));
            let mut names = Vec::new();
            condition.walk(&mut |node| {
                names.extend(node.text_at(&["claim_name"]).map(str::to_owned));
                if let Some(keys) = node.get("claim_path") {
                    names.extend(
                        keys.elements()
                            .iter()
                            .filter_map(|key| key.text_at(&["key"]))
                            .take(1)
                            .map(str::to_owned),
                    );
                }
            });
            let seen: Vec<String> = names
                .iter()
                .map(|name| format!("{name} {}", claim(name)))
                .collect();
            steps.push(Step {
                name: format!("{path}.authorize.claims[{position}]"),
                passed,
                seen: seen.join(", "),
                expected: condition.to_json(),
                reason: (passed == Some(false)).then_some(Reason::ClaimRejected.label()),
            });
        }
        debug_assert!(self.demand.authorization.is_some() || steps.is_empty());
        self.steps.extend(steps);
    }
}

/// The keys of a set that fit on a line.
fn describe_keys(set: &JwkSet) -> String {
    const MOST: usize = 4;
    let mut shown: Vec<String> = set
        .keys()
        .iter()
        .take(MOST)
        .map(|key| {
            let id = key
                .key_id()
                .map_or_else(|| "no kid".to_owned(), |id| format!("kid \"{}\"", shorten(id)));
            match key.algorithm() {
                Some(algorithm) => format!("{id}, {}", algorithm.name()),
                None => id,
            }
        })
        .collect();
    if set.len() > MOST {
        shown.push(format!("and {} more", set.len() - MOST));
    }
    format!("one of the keys: {}", shown.join("; "))
}

/// A value that fits on a line.
fn shorten(text: &str) -> String {
    const MOST: usize = 160;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
