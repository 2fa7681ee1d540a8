//! The steps from a request to its decision: the result of each of the library's checks, one by one.
//!
//! The library computes the result of each step, and [`super::decide`] makes the decision. The tests check
//! that the first step that fails has the reason of the decision.

mod conditions;
mod keys;
mod rules;
mod step;
mod token;

use std::rc::Rc;

use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::credential::{self, Location};
use proxy_wasm_jwt::denial::Reason;
use proxy_wasm_jwt::ids::{Choice, LocationId};
use proxy_wasm_jwt::jose::UnverifiedJwt;
use proxy_wasm_jwt::policy::{Mode, Requirement};
use proxy_wasm_jwt::time::UnixTime;

use self::rules::{in_words, rules};
use self::step::failed;
pub(crate) use self::step::{RuleStep, Step};
use self::token::Walker;
use super::Request;
use crate::source::Node;

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
    /// Texts that must never be printed.
    pub(crate) secrets: Vec<Vec<u8>>,
}

impl Way {
    /// Keeps only the rule that applies, and the checks that failed.
    #[cfg(feature = "cli")]
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
