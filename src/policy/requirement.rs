//! `requires`: jwt_authn's tree of requirements.

use std::ops::Deref;
use std::rc::Rc;

use super::authorize::Authorization;
use crate::claims::Audiences;
use crate::ids::{LocationId, ProviderId, ResourceId, ScopesId};

/// A requirement of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// No token. The filter ignores any token.
    Nothing,
    /// `deny`: no request meets it. The filter ignores any token.
    Denied,
    /// `provider_name`, `provider_and_audiences`.
    Provider(ProviderRequirement),
    /// `requires_any`: the first requirement that the request meets applies.
    Any(Vec<Self>),
    /// `requires_any` of providers only.
    AnyOf(ProviderList),
    /// `requires_all`.
    All(Vec<Self>),
    /// `allow_missing`: no token, or a valid one of these providers.
    AllowMissing(ProviderList),
    /// `allow_missing` beside other requirements: the request has no token in any location of theirs. If it
    /// has one, it must meet one of the others.
    Missing(ProviderList),
    /// `allow_missing_or_failed`: always met. The filter uses a valid token of these providers.
    AllowMissingOrFailed(ProviderList),
}

/// Providers, one of which is enough: the first one that accepts the token applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderList {
    list: Vec<ProviderRequirement>,
    /// The places of the first provider of each kind.
    firsts: Vec<usize>,
    /// The places of each provider, in order of the providers.
    places: Vec<(ProviderId, usize)>,
}

impl ProviderList {
    /// These providers. Two of one kind find the same tokens.
    #[must_use]
    pub fn new(list: Vec<ProviderRequirement>, is_one_kind: impl Fn(ProviderId, ProviderId) -> bool) -> Self {
        let mut firsts: Vec<usize> = Vec::new();
        let mut places = Vec::with_capacity(list.len());
        for (place, named) in list.iter().enumerate() {
            let is_known = |first: &usize| {
                let first = list.get(*first);
                first.is_some_and(|first| is_one_kind(first.provider, named.provider))
            };
            if !firsts.iter().any(is_known) {
                firsts.push(place);
            }
            let entry = (named.provider, place);
            if let Err(at) = places.binary_search(&entry) {
                places.insert(at, entry);
            }
        }
        Self { list, firsts, places }
    }

    /// The places of the first provider of each kind.
    #[must_use]
    pub fn firsts(&self) -> &[usize] {
        &self.firsts
    }

    /// The places of this provider.
    pub fn places_of(&self, provider: ProviderId) -> impl Iterator<Item = usize> {
        let start = self.places.partition_point(|(known, _)| *known < provider);
        let rest = self.places.get(start..).unwrap_or_default().iter();
        rest.take_while(move |(known, _)| *known == provider)
            .map(|(_, place)| *place)
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
    /// The provider.
    pub provider: ProviderId,
    /// The audiences, in place of the provider's own `audiences`.
    pub audiences: Option<Audiences>,
}

/// The treatment of a request that does not meet its requirement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The filter refuses it.
    #[default]
    Enforce,
    /// The filter allows and counts it.
    Shadow {
        /// Applies to this percentage of clients. For the others, `mode` is `enforce`.
        percent: u8,
    },
}

impl Mode {
    /// Whether the filter allows a request that it would refuse. The result depends on the subject if it is
    /// certain, and otherwise on the address. It is always the same for a client, in every worker of every
    /// process.
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

    /// Whether the mode depends on the client.
    #[must_use]
    pub const fn distinguishes_clients(self) -> bool {
        matches!(self, Self::Shadow { percent: 0..=99 })
    }
}

/// FNV-1a, followed by the finalizer of MurmurHash3, because names of clients often differ in their last
/// bytes only. The result never changes, and divides clients evenly enough.
fn place_in_hundred(client: &[u8]) -> u64 {
    let mut hash = client.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (hash ^ (hash >> 33)) % 100
}

/// An address as Envoy writes it, `10.0.0.1:80` or `[::1]:80`, without the port, which differs for each
/// connection.
fn without_port(address: &[u8]) -> &[u8] {
    let end = address.iter().rposition(|byte| *byte == b':');
    end.and_then(|end| address.get(..end)).unwrap_or(address)
}

/// A requirement, with values that are computed from it.
#[derive(Debug)]
pub struct Demand {
    /// Demands with the same text share this value: a request that meets one of them meets all of them.
    pub kind: usize,
    /// The requirement.
    pub requirement: Requirement,
    /// The locations of tokens: those of every provider that the requirement names.
    pub locations: Vec<LocationId>,
    /// The conditions on the content of the token.
    pub authorization: Option<Rc<Authorization>>,
    /// The treatment of a request that does not meet the demand.
    pub mode: Mode,
    /// The resource that challenges name, if it is not the filter's own.
    pub resource: Option<ResourceId>,
    /// Every provider that the requirement names accepts only tokens with a proof of possession.
    pub needs_proof: bool,
    /// The demand for requests that must have a token.
    pub strict: Strict,
}

/// The form of a demand that requires a token.
#[derive(Debug)]
pub enum Strict {
    /// The same demand: it always requires a token.
    Same,
    /// This demand.
    Other(Rc<Demand>),
    /// None: the demand never requires a token.
    Nothing,
}

impl Demand {
    /// Whether the stricter demand differs. The filter applies it to a path that is not canonical, so that
    /// `/healthz/../admin` does not use the bypass of `/healthz`. A requirement that accepts requests without
    /// a token then needs a token.
    #[must_use]
    pub const fn is_stricter(&self, is_canonical: bool) -> bool {
        !is_canonical && !matches!(self.strict, Strict::Same)
    }

    /// The scopes that challenges name.
    #[must_use]
    pub fn challenge(&self) -> Option<ScopesId> {
        Some(self.authorization.as_ref()?.scopes.as_ref()?.challenge)
    }

    /// The demand that requires a token; `None` if it never does.
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

    /// The requirement without the parts that accept a request without a token; `None` if nothing remains.
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

    /// Whether every request that meets it has a valid token.
    #[must_use]
    pub fn needs_token(&self) -> bool {
        match self {
            Self::Nothing | Self::AllowMissing(_) | Self::Missing(_) | Self::AllowMissingOrFailed(_) => false,
            Self::Provider(_) | Self::AnyOf(_) | Self::Denied => true,
            Self::Any(parts) => parts.iter().all(Self::needs_token),
            Self::All(parts) => parts.iter().any(Self::needs_token),
        }
    }

    /// Whether the requirement accepts a request although its token failed.
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

    /// Every provider that the requirement names, in order, except those of `allow_missing`.
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

    /// Every provider whose tokens the requirement uses, in order.
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
        // These values must never change, because an update would change the mode of some clients.
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
