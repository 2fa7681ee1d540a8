//! `requires`: jwt_authn's tree of requirements.

use std::ops::Deref;
use std::rc::Rc;

use super::authorize::Authorization;
use crate::claims::Audiences;
use crate::ids::{LocationId, ProviderId, ResourceId, ScopesId};

/// What a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// No token, and none is looked at.
    Nothing,
    /// What no request has: `deny`. No token is looked at.
    Denied,
    /// `provider_name`, `provider_and_audiences`.
    Provider(ProviderRequirement),
    /// `requires_any`: the first that is met counts.
    Any(Vec<Self>),
    /// The same of providers alone.
    AnyOf(ProviderList),
    /// `requires_all`.
    All(Vec<Self>),
    /// `allow_missing`: no token, or a valid one of these providers.
    AllowMissing(ProviderList),
    /// `allow_missing` beside other requirements: no token that any of them would look at. Where there is one, they have to
    /// be met.
    Missing(ProviderList),
    /// `allow_missing_or_failed`: always met; a valid token of these providers is used.
    AllowMissingOrFailed(ProviderList),
}

/// Providers, of which any will do: the first that accepts the token counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderList {
    list: Vec<ProviderRequirement>,
    /// They are all providers, each at its own index.
    is_of_all: bool,
}

impl ProviderList {
    /// All providers, of which there are so many.
    #[must_use]
    pub fn of_all(count: usize) -> Self {
        let all = (0..count).map(|index| ProviderRequirement {
            provider: ProviderId::new(index),
            audiences: None,
        });
        Self {
            list: all.collect(),
            is_of_all: true,
        }
    }

    /// Whether they are all providers, so that one can be found by its index.
    #[must_use]
    pub const fn is_of_all(&self) -> bool {
        self.is_of_all
    }
}

impl From<Vec<ProviderRequirement>> for ProviderList {
    fn from(list: Vec<ProviderRequirement>) -> Self {
        Self {
            list,
            is_of_all: false,
        }
    }
}

impl Deref for ProviderList {
    type Target = [ProviderRequirement];

    fn deref(&self) -> &[ProviderRequirement] {
        &self.list
    }
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
    Shadow {
        /// For so many of a hundred clients; for the others it is as if `mode` were `enforce`.
        percent: u8,
    },
}

impl Mode {
    /// Whether a request that is to be refused goes on: by its subject where that is known for sure, else by its address.
    /// Always the same for the same client, in every worker of every process. No one in particular is refused.
    #[must_use]
    pub fn lets_through(self, subject: Option<&str>, address: Option<&[u8]>) -> bool {
        match self {
            Self::Enforce => false,
            Self::Shadow { percent: 100.. } => true,
            Self::Shadow { percent } => subject
                .map(str::as_bytes)
                .or_else(|| address.map(without_port))
                .is_some_and(|client| place_in_hundred(client) < u64::from(percent)),
        }
    }

    /// Whether it depends on the client.
    #[must_use]
    pub const fn tells_clients_apart(self) -> bool {
        matches!(self, Self::Shadow { percent: 0..=99 })
    }
}

/// FNV-1a, then the finalizer of MurmurHash3, since clients' names differ in their last bytes only: stable for ever, and good
/// enough to deal clients out.
fn place_in_hundred(client: &[u8]) -> u64 {
    let mut hash = client.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (hash ^ (hash >> 33)) % 100
}

/// An address as Envoy writes it, `10.0.0.1:80` or `[::1]:80`, without the port, which is another for each connection.
fn without_port(address: &[u8]) -> &[u8] {
    let end = address.iter().rposition(|byte| *byte == b':');
    end.and_then(|end| address.get(..end)).unwrap_or(address)
}

/// A requirement with what follows from it.
#[derive(Debug)]
pub struct Demand {
    /// A number that it shares only with demands that are written alike: a request that meets one meets all of them.
    pub kind: usize,
    /// What is needed.
    pub requirement: Requirement,
    /// Where tokens are looked for: at the locations of every provider that it names.
    pub locations: Vec<LocationId>,
    /// What the token must say beside being valid.
    pub authorization: Option<Rc<Authorization>>,
    /// What happens where it is not met.
    pub mode: Mode,
    /// The resource that challenges name, if it is not the filter's own.
    pub resource: Option<ResourceId>,
    /// Every provider that it names takes tokens with a proof of possession only.
    pub needs_proof: bool,
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
    /// Whether it is another for a path that is not canonical. What opens a door must not be talked into opening another:
    /// `/healthz/../admin` never rides on `/healthz`. What lets some go on without a token is then what it is for the others.
    #[must_use]
    pub const fn is_stricter(&self, is_canonical: bool) -> bool {
        !is_canonical && !matches!(self.strict, Strict::Same)
    }

    /// The scopes that challenges name.
    #[must_use]
    pub fn challenge(&self) -> Option<ScopesId> {
        Some(self.authorization.as_ref()?.scopes.as_ref()?.challenge)
    }

    /// The demand for a request that may not go on without a token; `None` where it never asks for one.
    #[must_use]
    pub fn without_bypass(self: &Rc<Self>) -> Option<&Rc<Self>> {
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
    pub fn any_of(providers: ProviderList) -> Self {
        match &*providers {
            [only] => Self::Provider(only.clone()),
            _ => Self::AnyOf(providers),
        }
    }

    /// The requirement without what lets requests go on that have no token; `None` where nothing is left.
    #[must_use]
    pub fn without_bypass(&self) -> Option<Self> {
        match self {
            Self::Nothing | Self::Missing(_) => None,
            Self::Denied => Some(Self::Denied),
            Self::Provider(provider) => Some(Self::Provider(provider.clone())),
            Self::AnyOf(providers)
            | Self::AllowMissing(providers)
            | Self::AllowMissingOrFailed(providers) => Some(Self::AnyOf(providers.clone())),
            Self::All(parts) => {
                let parts: Vec<_> = parts.iter().filter_map(Self::without_bypass).collect();
                (!parts.is_empty()).then_some(Self::All(parts))
            }
            Self::Any(parts) => {
                let needing: Vec<_> = parts.iter().filter(|part| part.needs_token()).cloned().collect();
                if needing.is_empty() {
                    let rest: Vec<_> = parts.iter().filter_map(Self::without_bypass).collect();
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
            Self::Nothing | Self::AllowMissing(_) | Self::Missing(_) | Self::AllowMissingOrFailed(_) => false,
            Self::Provider(_) | Self::AnyOf(_) | Self::Denied => true,
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
            Self::Nothing
            | Self::Denied
            | Self::Provider(_)
            | Self::AnyOf(_)
            | Self::AllowMissing(_)
            | Self::Missing(_) => false,
        }
    }

    /// Every provider that it names itself, in order, without those to which `allow_missing` refers.
    #[must_use]
    pub fn named(&self) -> Vec<&ProviderRequirement> {
        match self {
            Self::Provider(provider) => vec![provider],
            Self::AnyOf(providers) => providers.iter().collect(),
            Self::Any(parts) | Self::All(parts) => parts.iter().flat_map(Self::named).collect(),
            Self::Nothing
            | Self::Denied
            | Self::AllowMissing(_)
            | Self::Missing(_)
            | Self::AllowMissingOrFailed(_) => Vec::new(),
        }
    }

    /// Every provider whose tokens it looks at, in order.
    #[must_use]
    pub fn providers(&self) -> Vec<&ProviderRequirement> {
        match self {
            Self::Nothing | Self::Denied => Vec::new(),
            Self::Provider(provider) => vec![provider],
            Self::Any(parts) | Self::All(parts) => parts.iter().flat_map(Self::providers).collect(),
            Self::AnyOf(providers)
            | Self::AllowMissing(providers)
            | Self::Missing(providers)
            | Self::AllowMissingOrFailed(providers) => providers.iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_clients_is_let_through_and_always_the_same() {
        let mode = Mode::Shadow { percent: 30 };
        let names: Vec<String> = (0..10_000).map(|number| format!("user-{number}")).collect();
        let passes = |name: &String| mode.lets_through(Some(name), Some(b"10.0.0.1:1"));
        let passing = names.iter().filter(|name| passes(name)).count();
        assert!((2_800..=3_200).contains(&passing), "{passing}");
        // These must never change: a client would change sides with an update.
        let places: Vec<u64> = ["alice", "bob", "10.0.0.1", ""]
            .iter()
            .map(|name| place_in_hundred(name.as_bytes()))
            .collect();
        assert_eq!(places, PLACES);
        assert!(
            names
                .iter()
                .all(|name| !Mode::Shadow { percent: 0 }.lets_through(Some(name), None))
        );
        assert!(
            names
                .iter()
                .all(|name| Mode::Shadow { percent: 100 }.lets_through(Some(name), None))
        );
    }

    const PLACES: [u64; 4] = [36, 52, 40, 42];

    #[test]
    fn an_address_is_the_same_client_on_every_port() {
        let mode = Mode::Shadow { percent: 50 };
        for host in ["10.0.0.1", "10.0.0.2", "[2001:db8::1]"] {
            let side = |port: u16| mode.lets_through(None, Some(format!("{host}:{port}").as_bytes()));
            assert!((1..1000).all(|port| side(port) == side(0)));
        }
        assert!(!mode.lets_through(None, None));
    }
}
