//! `requires`: jwt_authn's tree of requirements.

use std::rc::Rc;

use super::authorize::Authorization;
use crate::config::{Audiences, LocationId, ProviderId};

/// What a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// No token, and none is looked at.
    Nothing,
    /// `provider_name`, `provider_and_audiences`.
    Provider(ProviderRequirement),
    /// `requires_any`: the first that is met counts.
    Any(Vec<Self>),
    /// `requires_all`.
    All(Vec<Self>),
    /// `allow_missing`: no token, or a valid one of these providers.
    AllowMissing(Vec<ProviderRequirement>),
    /// `allow_missing_or_failed`: always met; a valid token of these providers is used.
    AllowMissingOrFailed(Vec<ProviderRequirement>),
}

/// A valid token of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderRequirement {
    /// Whose.
    pub provider: ProviderId,
    /// For whom, in place of the provider's own `audiences`.
    pub audiences: Option<Audiences>,
}

/// What happens to a request that does not meet its requirement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is refused.
    #[default]
    Enforce,
    /// It goes on, and is counted.
    Shadow,
}

/// A requirement with what follows from it.
#[derive(Debug)]
pub struct Demand {
    /// What is needed.
    pub requirement: Requirement,
    /// Where tokens are looked for: at the locations of every provider that it names.
    pub locations: Vec<LocationId>,
    /// What the token must say beside being valid.
    pub authorization: Option<Rc<Authorization>>,
    /// What happens where it is not met.
    pub mode: Mode,
    /// The same for requests that may not go on without a token, where it is another; `None`: nothing is left of it.
    pub strict: Strict,
}

/// What is left of a demand for a request that may not go on without a token.
#[derive(Debug)]
pub enum Strict {
    /// All of it: none may.
    Same,
    /// This.
    Other(Rc<Demand>),
    /// Nothing: it never asks for a token.
    Nothing,
}

impl Demand {
    /// The demand for a request that may not go on without a token; `None` where it never asks for one.
    #[must_use]
    pub fn without_waiver(self: &Rc<Self>) -> Option<&Rc<Self>> {
        match &self.strict {
            Strict::Same => Some(self),
            Strict::Other(demand) => Some(demand),
            Strict::Nothing => None,
        }
    }
}

impl Requirement {
    /// A token of any of these providers.
    #[must_use]
    pub fn any_of(providers: impl Iterator<Item = ProviderId>) -> Self {
        let mut all: Vec<_> = providers
            .map(|provider| {
                Self::Provider(ProviderRequirement {
                    provider,
                    audiences: None,
                })
            })
            .collect();
        match all.pop() {
            Some(only) if all.is_empty() => only,
            Some(last) => {
                all.push(last);
                Self::Any(all)
            }
            None => Self::Any(all),
        }
    }

    /// The requirement without what lets requests go on that have no token; `None` where nothing is left.
    #[must_use]
    pub fn without_waiver(&self) -> Option<Self> {
        let of = |providers: &[ProviderRequirement]| {
            Some(Self::Any(providers.iter().cloned().map(Self::Provider).collect()))
        };
        match self {
            Self::Nothing => None,
            Self::Provider(provider) => Some(Self::Provider(provider.clone())),
            Self::AllowMissing(providers) | Self::AllowMissingOrFailed(providers) => of(providers),
            Self::All(parts) => {
                let parts: Vec<_> = parts.iter().filter_map(Self::without_waiver).collect();
                (!parts.is_empty()).then_some(Self::All(parts))
            }
            Self::Any(parts) => {
                let needing: Vec<_> = parts.iter().filter(|part| part.needs_token()).cloned().collect();
                if needing.is_empty() {
                    let rest: Vec<_> = parts.iter().filter_map(Self::without_waiver).collect();
                    (!rest.is_empty()).then_some(Self::Any(rest))
                } else {
                    Some(Self::Any(needing))
                }
            }
        }
    }

    /// Whether no request without a valid token meets it.
    #[must_use]
    pub fn needs_token(&self) -> bool {
        match self {
            Self::Nothing | Self::AllowMissing(_) | Self::AllowMissingOrFailed(_) => false,
            Self::Provider(_) => true,
            Self::Any(parts) => parts.iter().all(Self::needs_token),
            Self::All(parts) => parts.iter().any(Self::needs_token),
        }
    }

    /// Whether a token may fail without the request being refused for it.
    #[must_use]
    pub fn tolerates_failure(&self) -> bool {
        match self {
            Self::AllowMissingOrFailed(_) => true,
            Self::Any(parts) | Self::All(parts) => parts.iter().any(Self::tolerates_failure),
            Self::Nothing | Self::Provider(_) | Self::AllowMissing(_) => false,
        }
    }

    /// Every provider that it names itself, in order; not those that `allow_missing` speaks of.
    #[must_use]
    pub fn named(&self) -> Vec<&ProviderRequirement> {
        match self {
            Self::Provider(provider) => vec![provider],
            Self::Any(parts) | Self::All(parts) => parts.iter().flat_map(Self::named).collect(),
            Self::Nothing | Self::AllowMissing(_) | Self::AllowMissingOrFailed(_) => Vec::new(),
        }
    }

    /// Every provider whose tokens it looks at, in order.
    #[must_use]
    pub fn providers(&self) -> Vec<&ProviderRequirement> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Provider(provider) => vec![provider],
            Self::Any(parts) | Self::All(parts) => parts.iter().flat_map(Self::providers).collect(),
            Self::AllowMissing(providers) | Self::AllowMissingOrFailed(providers) => {
                providers.iter().collect()
            }
        }
    }
}
