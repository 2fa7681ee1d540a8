//! One token of a request, and whether a provider accepts it.
//!
//! A check has no side effects: it returns what the filter learns from it.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::failure::{EvalTime, Failure, MissingKeys, malformed};
use super::header_memory::HeaderMemory;
use crate::binding::Presented;
use crate::binding::nonce::NonceSecret;
use crate::binding::replay::ProofId;
use crate::claims::{SignatureCheck, TimeLimits, UnverifiedClaims, VerifiedJwt};
use crate::credential::Credential;
use crate::credential::{Location, NO_TOKEN};
use crate::denial::{Denial, Detail, Reason, Shortfall};
use crate::forward::{self, ClaimValue, StateEntry};
use crate::ids::{LocationId, ProviderId};
use crate::jose::{Algorithm, AlgorithmSet, Checks, JoseHeader, JwkSet, TokenFault, UnverifiedJwt};
use crate::keys::KeySource;
use crate::keys::RemoteKeys;
use crate::pattern::Effort;
use crate::policy::{Authorization, ProviderRequirement};
use crate::provider::Provider;
use crate::request::RequestHead;
use crate::settings::Config;

/// Results of the checks for later requests.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    pub(super) unknown: Vec<UnknownKid>,
    /// A provider that has refused a token only because of the token, its times and the keys; and these
    /// times.
    pub(super) refusal: Option<(ProviderId, TimeLimits)>,
}

/// A `kid` that a provider's keys do not contain.
#[derive(Debug)]
pub(super) struct UnknownKid {
    pub(super) provider: ProviderId,
    pub(super) kid: Box<str>,
    /// The request may wait for the key.
    pub(super) may_wait: bool,
}

impl Learnt {
    /// A refusal that is valid as long as the token's times and the provider's keys are the same.
    fn lasting(&mut self, id: ProviderId, times: TimeLimits, denial: Denial) -> Failure {
        self.refusal = Some((id, times));
        denial.by(id).into()
    }
}

/// A verified token that meets a requirement.
#[derive(Clone, Debug)]
pub(super) struct AcceptedToken {
    pub(super) provider: ProviderId,
    pub(super) location: LocationId,
    /// Other locations whose tokens this result covers.
    pub(super) elsewhere: Vec<Elsewhere>,
    pub(super) values: Rc<TokenValues>,
    /// The part of `authorize` that the token does not meet.
    pub(super) shortfall: Option<Shortfall>,
}

/// The values that a provider takes from a verified token, for every rule.
#[derive(Debug)]
pub(super) struct TokenValues {
    pub(super) claims: Vec<ClaimValue>,
    pub(super) state: Vec<StateEntry>,
    /// The proof of possession, which must not be used again.
    pub(super) proof: Option<ProofId>,
    /// `sub`, if the configuration asks for it.
    pub(super) subject: Option<Rc<str>>,
    /// The client has to prove with each request that the token belongs to it.
    pub(super) is_bound: bool,
    pub(super) times: TimeLimits,
}

/// Another location that the provider uses, and its token.
#[derive(Clone, Copy, Debug)]
pub(super) enum Elsewhere {
    /// The same token, byte for byte.
    Same(LocationId),
    /// An unverified token: the provider preferred another one. The filter must not forward it.
    Unverified(LocationId),
}

/// A token in a location, decoded if possible.
pub(super) struct FoundToken<'a> {
    credential: &'a Credential<'a>,
    decoded: Result<UnverifiedJwt<'a>, Denial>,
}

/// A token with its parts.
pub(super) struct Token<'t> {
    pub(super) location: LocationId,
    pub(super) text: &'t [u8],
    parts: Result<Parts<'t>, Denial>,
    /// The values for each provider, computed once for all rules of the request.
    values: RefCell<Vec<ByProvider>>,
}

type ByProvider = (ProviderId, Result<Rc<TokenValues>, Denial>);

/// The parts of a token, unverified.
struct Parts<'t> {
    token: &'t UnverifiedJwt<'t>,
    header: Rc<JoseHeader>,
    algorithm: Algorithm,
    claims: UnverifiedClaims<'t>,
    issuer: Cow<'t, str>,
}

/// The inputs of a check.
#[derive(Clone, Copy)]
pub(super) struct TokenCheck<'c> {
    pub(super) config: &'c Config,
    pub(super) remote: &'c [Option<RemoteKeys>],
    pub(super) signatures: Checks<'c>,
    pub(super) nonce_secret: Option<&'c NonceSecret>,
    pub(super) request: &'c RequestHead,
    pub(super) authorization: Option<&'c Authorization>,
    /// The work that conditions on claims may still do, for all rules together.
    pub(super) effort: &'c Cell<Effort>,
    pub(super) time: EvalTime,
}

impl AcceptedToken {
    /// Whether this result covers the token at `location`.
    pub(super) fn covers(&self, location: LocationId) -> bool {
        let is_there = |elsewhere: &Elsewhere| match elsewhere {
            Elsewhere::Same(other) | Elsewhere::Unverified(other) => *other == location,
        };
        self.location == location || self.elsewhere.iter().any(is_there)
    }
}

impl TokenValues {
    /// The approximate size in memory.
    pub(super) fn bytes(&self) -> usize {
        let claims = self
            .claims
            .iter()
            .map(|(_, value)| value.as_ref().map_or(0, Vec::len));
        let state = self
            .state
            .iter()
            .map(|(name, value)| name.len().saturating_add(value.len()));
        let each = claims.chain(state);
        each.fold(0, |sum, bytes| bytes.saturating_add(sum).saturating_add(32))
    }
}

impl<'a> FoundToken<'a> {
    pub(super) fn decode(credential: &'a Credential<'a>, max_bytes: usize) -> Self {
        let decoded = match credential.token.len() > max_bytes {
            true => Err(Denial::new(Reason::TokenTooLarge)),
            false => {
                UnverifiedJwt::decode(&credential.token).map_err(|fault| match oddity(&credential.token) {
                    Some(oddity) => Denial::new(Reason::TokenMalformed).with_detail(oddity),
                    None if fault == TokenFault::Parts => {
                        Denial::new(Reason::TokenMalformed).because(Detail::Parts {
                            bytes: credential.token.len(),
                            periods: memchr::memchr_iter(b'.', &credential.token).count(),
                        })
                    }
                    None => malformed(fault),
                })
            }
        };
        Self { credential, decoded }
    }

    pub(super) fn parse(&self, headers: &mut HeaderMemory) -> Token<'_> {
        Token {
            location: self.credential.location,
            text: &self.credential.token,
            parts: self
                .decoded
                .as_ref()
                .map_err(|denial| *denial)
                .and_then(|token| Parts::read(token, headers)),
            values: RefCell::default(),
        }
    }
}

impl Token<'_> {
    /// Its `iss`, if it can be read.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.parts.as_ref().ok().map(|parts| &*parts.issuer)
    }
}

impl<'t> Parts<'t> {
    fn read(token: &'t UnverifiedJwt<'t>, headers: &mut HeaderMemory) -> Result<Self, Denial> {
        let header = headers.parse(token).map_err(malformed)?;
        let algorithm = header
            .algorithm
            .ok_or_else(|| Denial::new(Reason::AlgorithmRejected).with_detail(header.algorithm_fault))?;
        let claims = UnverifiedClaims::parse(token.payload())
            .map_err(|fault| Denial::new(Reason::TokenMalformed).because(Detail::Json("claims", fault)))?;
        let issuer = claims
            .unverified_issuer()?
            .ok_or(Denial::new(Reason::IssuerUnknown).with_detail("the token has no iss"))?;
        Ok(Self {
            token,
            header,
            algorithm,
            claims,
            issuer,
        })
    }

    /// As in jwt_authn, an empty `kid` counts as absent.
    fn key_id(&self) -> Option<&str> {
        self.header.key_id.as_deref().filter(|key_id| !key_id.is_empty())
    }
}

impl TokenCheck<'_> {
    /// Whether the provider accepts the token.
    pub(super) fn check(
        &self,
        named: &ProviderRequirement,
        token: &Token<'_>,
        elsewhere: Vec<Elsewhere>,
        learnt: &mut Learnt,
    ) -> Result<AcceptedToken, Failure> {
        let id = named.provider;
        let parts = token.parts.as_ref().map_err(|denial| *denial)?;
        let provider = self
            .config
            .provider(id)
            .ok_or(Denial::new(Reason::IssuerUnknown))?;
        // The issuer comes first, then the key: the same `kid` of two issuers is two keys.
        if !provider.is_issuer(&parts.issuer) {
            let detail = self.foreign(provider, &parts.issuer);
            return Err(Denial::new(Reason::IssuerUnknown).with_detail(detail).into());
        }
        let times = check_header(provider, parts).map_err(|denial| denial.by(id))?;
        let audiences = named.audiences.as_ref().unwrap_or(&provider.audiences);
        let claims = times.check(provider, self.time.now);
        if let Err(denial) = claims.and_then(|()| parts.claims.check(provider, audiences)) {
            return Err(learnt.lasting(id, times, denial));
        }
        let set = match &provider.keys {
            KeySource::Local(parsed) => Some(&parsed.set),
            KeySource::Remote(_) => self.keys(id).and_then(|keys| keys.serving(self.time.now)),
        };
        let Some(set) = set else {
            return Err(self.missing(MissingKeys::All(id)));
        };
        let checked = VerifiedJwt::verify(
            parts.token,
            parts.algorithm,
            parts.key_id(),
            &parts.claims,
            set,
            provider.algorithms_of_any_key,
            self.signatures,
        );
        let SignatureCheck::Verified(jwt) = checked else {
            return Err(self.unverified(&checked, id, parts, set, times, learnt));
        };
        let lacks = |authorization: &Authorization| {
            let mut effort = self.effort.get();
            let shortfall = authorization.check(&jwt, self.request, &mut effort).err();
            self.effort.set(effort);
            shortfall
        };
        if let Some(shortfall) = provider.authorization.as_ref().and_then(lacks) {
            // The filter does not keep this result: a request with fewer tokens may have more work left for
            // the conditions.
            let denial = Denial::new(Reason::TokenRejected).by(id);
            return Err(denial.short_of(shortfall).into());
        }
        let shortfall = self.authorization.and_then(lacks);
        Ok(AcceptedToken {
            provider: id,
            location: token.location,
            elsewhere,
            values: self.values(id, provider, token, parts, &jwt, times)?,
            shortfall,
        })
    }

    fn keys(&self, id: ProviderId) -> Option<&RemoteKeys> {
        self.remote.get(id.index())?.as_ref()
    }

    /// The values that the provider takes from a verified token. Not inlined: a refused token does not get
    /// here.
    #[inline(never)]
    fn values(
        &self,
        id: ProviderId,
        provider: &Provider,
        token: &Token<'_>,
        parts: &Parts<'_>,
        jwt: &VerifiedJwt<'_>,
        times: TimeLimits,
    ) -> Result<Rc<TokenValues>, Denial> {
        let mut known = token.values.borrow_mut();
        if let Some((_, values)) = known.iter().find(|(provider, _)| *provider == id) {
            return values.clone();
        }
        let location = self.config.locations.get(token.location.index());
        let presented = Presented {
            token: token.text,
            by_dpop: location.is_some_and(Location::is_dpop),
            request: self.request,
            nonce_secret: self.nonce_secret,
        };
        let proof = provider
            .binding
            .check(jwt, presented, self.signatures, self.time.now);
        let values = proof.map_err(|denial| denial.by(id)).map(|proof| {
            Rc::new(TokenValues {
                claims: forward::claim_values(provider, jwt, parts.token.payload_text()),
                state: forward::state_entries(provider, jwt, parts.token),
                is_bound: provider.binding.asks_each_request(jwt),
                times,
                proof,
                subject: match self.config.asks_subject {
                    true => jwt.subject().map(Rc::from),
                    false => None,
                },
            })
        });
        known.push((id, values.clone()));
        values
    }

    /// The failure for missing keys: the request waits for them or, if it must not, is refused.
    fn missing(&self, missing: MissingKeys) -> Failure {
        match self.time.is_last {
            true => missing.denial().into(),
            false => Failure::KeysMissing(missing),
        }
    }

    /// How an issuer differs from that of the provider.
    #[inline(never)]
    fn foreign(&self, provider: &Provider, issuer: &str) -> &'static str {
        let plain = issuer.trim_end_matches('/');
        let mut own = provider.claims.issuers.iter();
        if own.any(|own| own.trim_end_matches('/') == plain) {
            return "iss, which differs in a slash at the end";
        }
        // Providers with variables in their issuer are among those that could accept any token.
        let mut others = self.config.issuers.of(issuer);
        match others.any(|id| {
            self.config
                .provider(id)
                .is_some_and(|other| other.is_issuer(issuer))
        }) {
            true => "iss, which is that of a provider that the rule does not ask for",
            false => "iss",
        }
    }

    /// Why no key has verified the signature. Only a refusal costs this search.
    #[inline(never)]
    fn unverified(
        &self,
        checked: &SignatureCheck<'_>,
        id: ProviderId,
        parts: &Parts<'_>,
        set: &JwkSet,
        times: TimeLimits,
        learnt: &mut Learnt,
    ) -> Failure {
        let invalid = Denial::new(Reason::SignatureInvalid).by(id);
        let rejected = Denial::new(Reason::AlgorithmRejected).by(id);
        let denial = match checked {
            SignatureCheck::Verified(_) | SignatureCheck::Invalid => match parts.key_id() {
                Some(kid) => {
                    let signature = parts.token.signature();
                    let mut named = set.keys().iter().filter(|key| key.key_id() == Some(kid));
                    invalid.with_detail(
                        match named.any(|key| key.signature_len(parts.algorithm) == signature.len()) {
                            true => "the key that kid names does not verify it",
                            false => "the signature has not the length of the key that kid names",
                        },
                    )
                }
                None => invalid.because(Detail::NoKid(parts.algorithm)),
            },
            SignatureCheck::AlgorithmMismatch => rejected.because(mismatch(set, parts)),
            SignatureCheck::KeyTooLarge => rejected.with_detail("a key that only the host could use"),
            // In another request, with fewer tokens, this token may be verified.
            SignatureCheck::BudgetExhausted => {
                return invalid.with_detail("too many signatures to check").into();
            }
            SignatureCheck::KeyNotFound { tried } => {
                let denial = match tried {
                    true => {
                        invalid.with_detail("no key has this kid, and those without one do not verify it")
                    }
                    false => Denial::new(Reason::KeyUnknown).by(id),
                };
                let Some(kid) = parts.key_id() else {
                    return learnt.lasting(id, times, denial.because(Detail::NoKid(parts.algorithm)));
                };
                let denial = match set.has_kid(kid) {
                    true => denial.with_detail("kid, which names a key of another issuer"),
                    false => denial,
                };
                learnt.unknown.push(UnknownKid {
                    provider: id,
                    kid: kid.into(),
                    may_wait: !self.time.is_last,
                });
                let EvalTime {
                    serial, since, now, ..
                } = self.time;
                let keys = self.keys(id);
                return match keys.and_then(|keys| keys.may_learn(kid, serial, since, now)) {
                    Some(at) => self.missing(MissingKeys::Kid(id, at)),
                    None => denial.into(),
                };
            }
        };
        learnt.lasting(id, times, denial)
    }
}

/// The detail for a value that the filter refuses as a malformed token.
#[inline(never)]
fn oddity(value: &[u8]) -> Option<&'static str> {
    Some(match value {
        [] | NO_TOKEN => "empty, or written so that only some servers read it",
        [b'"' | b'\'', ..] => "in quotes",
        [b':' | b'=' | b'{' | b'%' | b'<', ..] => "does not begin as a token",
        _ if value.iter().any(u8::is_ascii_whitespace) => "white space in it",
        _ => return None,
    })
}

/// The provider's checks that do not depend on the current time. Returns the token's times.
fn check_header(provider: &Provider, parts: &Parts<'_>) -> Result<TimeLimits, Denial> {
    if !provider.algorithms.contains(parts.algorithm) {
        return Err(Denial::new(Reason::AlgorithmRejected).because(Detail::NotAllowed(parts.algorithm)));
    }
    let mut types = provider.token_types.iter();
    if !provider.token_types.is_empty() && !types.any(|allowed| parts.header.token_type_is(allowed)) {
        return Err(Denial::new(Reason::TypeRejected));
    }
    parts.claims.check_issuer(provider)?;
    parts.claims.times()
}

/// The algorithm of the key with this `kid`.
fn mismatch(set: &JwkSet, parts: &Parts<'_>) -> Detail {
    let key_id = parts.key_id();
    let mut named = set
        .keys()
        .iter()
        .filter(|key| key_id.is_some() && key.key_id() == key_id);
    let is_for = named.find_map(|key| {
        // The key would fit if the operator listed the algorithm.
        if key.algorithm().is_none() && key.fits(parts.algorithm) {
            return None;
        }
        let mut all = AlgorithmSet::ALL.iter();
        key.algorithm()
            .or_else(|| all.find(|algorithm| key.fits(*algorithm)))
    });
    is_for.map_or(
        Detail::Word("the key has no alg, so that algorithms would have to list the token's"),
        |is_for| Detail::Misfit {
            used: parts.algorithm,
            is_for,
        },
    )
}
