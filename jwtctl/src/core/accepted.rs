//! The tokens that providers accept, and other facts of a configuration.

use proxy_wasm_jwt::claims::{Audiences, ClaimPath, Profile};
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::denial::Reason;

/// The requirements of a provider on a token, except for its signature and times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) claims: Vec<(String, serde_json::Value)>,
    pub(crate) token_type: Option<String>,
}

/// The requirements of the provider with this name, or of the first provider.
pub(crate) fn expected(config: &Config, provider: Option<&str>) -> Option<Expected> {
    let provider = match provider {
        Some(name) => config.providers.iter().find(|known| *known.name == *name)?,
        None => config.providers.first()?,
    };
    let issuer = provider.claims.issuers.first()?;
    let mut claims = vec![("iss".to_owned(), serde_json::Value::from(&**issuer))];
    if let Audiences::OneOf(all) = &provider.audiences
        && let Some(audience) = all.first()
    {
        claims.push(("aud".to_owned(), (&**audience).into()));
    }
    let profile = provider.claims.profile.map_or(&[][..], Profile::required_claims);
    let required = provider
        .claims
        .required_claims
        .iter()
        .filter_map(|path| match path {
            ClaimPath::Name(name) => Some(&**name),
            ClaimPath::Literal(_) => None,
        });
    for name in profile.iter().copied().chain(required) {
        if claims.iter().all(|(known, _)| known != name) {
            claims.push((name.to_owned(), "x".into()));
        }
    }
    Some(Expected {
        claims,
        token_type: provider.token_types.first().map(|name| name.to_string()),
    })
}

/// The algorithms that a provider accepts.
pub(crate) fn algorithms(config: &Config, provider: &str) -> Vec<&'static str> {
    let found = config.providers.iter().find(|known| *known.name == *provider);
    found.map_or_else(Vec::new, |provider| {
        provider
            .algorithms
            .iter()
            .map(|algorithm| algorithm.name())
            .collect()
    })
}

/// The names in `requirement_map`.
pub(crate) fn requirements(config: &Config) -> Vec<String> {
    config
        .policy
        .requirement_map
        .iter()
        .map(|(name, _)| name.to_string())
        .collect()
}

/// Whether this is the code of a refusal.
pub(crate) fn is_reason(word: &str) -> bool {
    Reason::ALL.iter().any(|reason| reason.label() == word)
}

/// Where `exp` begins to matter for a provider's tokens: seconds from now, on both sides of each limit. Each
/// provider of the same issuer counts, since each may accept the token.
pub(crate) fn limits_of_exp(config: &Config, provider: &str) -> Vec<i64> {
    let Some(named) = config.providers.iter().find(|known| *known.name == *provider) else {
        return Vec::new();
    };
    let issuers = &named.claims.issuers;
    let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 4);
    let mut limits: Vec<i64> = Vec::new();
    for rules in config.providers.iter().map(|provider| &provider.claims) {
        if rules.issuers.iter().any(|issuer| issuers.contains(issuer)) {
            let skew = seconds(rules.clock_skew);
            limits.push(skew.saturating_neg());
            limits.extend(rules.max_lifetime.map(|most| seconds(most).saturating_add(skew)));
        }
    }
    limits.sort_unstable();
    limits.dedup();
    let beside = |limit: i64| [limit.saturating_sub(2), limit.saturating_add(2)];
    limits.into_iter().flat_map(beside).collect()
}

/// The audiences that a provider accepts, if it names any.
pub(crate) fn audiences(config: &Config, provider: &str) -> Vec<String> {
    let found = config.providers.iter().find(|known| *known.name == *provider);
    match found.map(|provider| &provider.audiences) {
        Some(Audiences::OneOf(all)) => all.iter().map(|one| one.to_string()).collect(),
        _ => Vec::new(),
    }
}
