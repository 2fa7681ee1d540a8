//! A provider: an issuer, its keys, and what its tokens must be and say.

use crate::binding::Binding;
use crate::claims::{Audiences, ClaimRules};
use crate::forward::{HeaderRules, Metadata};
use crate::ids::LocationId;
use crate::jose::AlgorithmSet;
use crate::keys::KeySource;
use crate::policy::Authorization;

/// An issuer whose tokens are accepted.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration, metrics and logs.
    pub name: Box<str>,
    /// Of `aud`, one must be among these.
    pub audiences: Audiences,
    /// Where its keys come from.
    pub keys: KeySource,
    /// `alg` must be one of these.
    pub algorithms: AlgorithmSet,
    /// Of which keys without an `alg` of their own may verify these.
    pub algorithms_of_any_key: AlgorithmSet,
    /// `typ` must be one of these, where any is named.
    pub token_types: Vec<Box<str>>,
    /// What else their claims must say.
    pub claims: ClaimRules,
    /// What they must say beside that, by conditions: a token that does not is none of its tokens.
    pub authorization: Option<Authorization>,
    /// How its tokens are bound to their clients.
    pub binding: Binding,
    /// Where its tokens are looked for.
    pub locations: Vec<LocationId>,
    /// Those of them whose token goes first, where others hold another (`prefer`); none: nothing goes first.
    pub preferred: Vec<LocationId>,
    /// The token goes on to the upstream.
    pub forward: bool,
    /// What they say in headers.
    pub headers: HeaderRules,
    /// What is left for other filters and the access log.
    pub metadata: Metadata,
    /// The route is chosen again once claims are in headers.
    pub clear_route_cache: bool,
}

impl Provider {
    /// Its name as a part of a metric's name: `_` replaces what is neither a letter, a digit, `-` nor `_`.
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

    /// Whether tokens of this `iss` are its.
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
