//! A provider: an issuer, its keys, and the requirements on its tokens.

use crate::binding::Binding;
use crate::claims::{Audiences, ClaimRules};
use crate::forward::{HeaderRules, Metadata};
use crate::ids::LocationId;
use crate::jose::AlgorithmSet;
use crate::keys::KeySource;
use crate::policy::Authorization;

/// An issuer whose tokens the filter accepts.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration, metrics and logs.
    pub name: Box<str>,
    /// `aud` must contain one of these.
    pub audiences: Audiences,
    /// The source of its keys.
    pub keys: KeySource,
    /// `alg` must be one of these.
    pub algorithms: AlgorithmSet,
    /// The algorithms for which a key without an `alg` of its own may be used.
    pub algorithms_of_any_key: AlgorithmSet,
    /// `typ` must be one of these, unless the list is empty.
    pub token_types: Vec<Box<str>>,
    /// The requirements on the claims.
    pub claims: ClaimRules,
    /// Conditions on every token: the provider does not accept a token that fails one.
    pub authorization: Option<Authorization>,
    /// How its tokens are bound to their clients.
    pub binding: Binding,
    /// The locations of its tokens.
    pub locations: Vec<LocationId>,
    /// The locations whose token takes precedence over a different one elsewhere (`prefer`); if empty, none
    /// does.
    pub preferred: Vec<LocationId>,
    /// Whether the filter forwards the token to the upstream.
    pub forward: bool,
    /// The headers with its tokens' claims.
    pub headers: HeaderRules,
    /// The filter state for other filters and the access log.
    pub metadata: Metadata,
    /// Whether Envoy chooses the route again after claims were written into headers.
    pub clear_route_cache: bool,
}

impl Provider {
    /// Its name as a part of a metric's name: `_` replaces each character that is not a letter, a digit, `-`
    /// or `_`.
    #[must_use]
    pub fn metric_name(&self) -> String {
        let letters = self.name.chars();
        letters
            .map(|letter| match letter.is_ascii_alphanumeric() || letter == '-' {
                true => letter,
                false => '_',
            })
            .collect()
    }

    /// Whether tokens with this `iss` belong to it.
    #[must_use]
    pub fn is_issuer(&self, issuer: &str) -> bool {
        self.claims.is_issuer(issuer)
    }
}

impl AsRef<ClaimRules> for Provider {
    fn as_ref(&self) -> &ClaimRules {
        &self.claims
    }
}

impl AsRef<HeaderRules> for Provider {
    fn as_ref(&self) -> &HeaderRules {
        &self.headers
    }
}

impl AsRef<Metadata> for Provider {
    fn as_ref(&self) -> &Metadata {
        &self.metadata
    }
}
