//! A requirement's tree held against the tokens of one request.

use std::cell::Cell;
use std::rc::Rc;

use super::evaluate::{EvalTime, Failure, Need};
use super::token::{ByProvider, Parsed, Parts};
use super::{Authenticator, Event};
use crate::binding::Presented;
use crate::binding::replay::ProofId;
use crate::claims::{SignatureCheck, TimeLimits, VerifiedJwt};
use crate::credential::Location;
use crate::denial::{Denial, Detail, Reason, Shortfall};
use crate::forward::{self, ClaimValue, StateEntry};
use crate::ids::{LocationId, ProviderId};
use crate::jose::{Algorithm, AlgorithmSet, JwkSet};
use crate::keys::KeySource;
use crate::pattern::Effort;
use crate::policy::{Authorization, ProviderRequirement, Requirement};
use crate::provider::Provider;
use crate::request::RequestHead;
use crate::settings::Config;

/// What a verified token gives.
#[derive(Clone, Debug)]
pub(super) struct AcceptedToken {
    pub(super) provider: ProviderId,
    pub(super) location: LocationId,
    /// Other places that this decided.
    pub(super) beside: Vec<Beside>,
    pub(super) claims: Vec<ClaimValue>,
    pub(super) state: Vec<StateEntry>,
    /// What the token lacks to be allowed what the request asks for.
    pub(super) shortfall: Option<Shortfall>,
    /// What shows that it is its owner's, and must not be used again.
    pub(super) proof: Option<ProofId>,
    /// Who it is, where anybody asks.
    pub(super) subject: Option<Rc<str>>,
    /// The client has to show with each request that the token is its own.
    pub(super) is_bound: bool,
    /// From when until when it is valid.
    pub(super) times: TimeLimits,
}

/// A further place at which a provider that has accepted a token looks, and what it holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Beside {
    /// The same token, byte for byte: what was verified holds for it too.
    Copy(LocationId),
    /// A token that another was preferred to. Nothing is known of it, so it must not go on.
    Passed(LocationId),
}

impl Beside {
    pub(super) fn location(self) -> LocationId {
        match self {
            Self::Copy(location) | Self::Passed(location) => location,
        }
    }
}

impl AcceptedToken {
    /// Whether it says what becomes of the token at this place.
    pub(super) fn settles(&self, location: LocationId) -> bool {
        self.location == location || self.beside.iter().any(|beside| beside.location() == location)
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let claims = self
            .claims
            .iter()
            .map(|(_, value)| value.as_ref().map_or(0, Vec::len));
        let state = self
            .state
            .iter()
            .map(|(name, value)| name.len().saturating_add(value.len()));
        claims
            .chain(state)
            .fold(0, |sum, bytes| bytes.saturating_add(sum).saturating_add(32))
    }
}

/// What is asked for, and of which tokens more than to be valid.
pub(super) struct Asked<'r> {
    pub(super) request: &'r RequestHead,
    pub(super) authorization: Option<&'r Authorization>,
    /// What conditions on claims may still cost, whatever number of rules the request has to meet.
    pub(super) effort: &'r Cell<Effort>,
}

/// One request's attempt to meet its requirement.
pub(super) struct Attempt<'e, 't> {
    engine: &'e mut Authenticator,
    config: &'e Rc<Config>,
    asked: &'e Asked<'e>,
    tokens: &'t [&'t Parsed<'t>],
    moment: EvalTime,
    accepted: Vec<Rc<AcceptedToken>>,
    /// Outcomes so far: a provider that stands in the tree twice is asked once.
    tried: Vec<(&'t ProviderRequirement, Result<Rc<AcceptedToken>, Failure>)>,
    /// Who looked at a token last, and when that is valid.
    judged: Option<Judged>,
    /// A key that was not there might have changed something.
    lacks_keys: bool,
}

/// A provider that has looked at a token, and from when until when that is valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) provider: ProviderId,
    pub(super) times: TimeLimits,
}

impl<'e, 't> Attempt<'e, 't> {
    pub(super) fn new(
        engine: &'e mut Authenticator,
        config: &'e Rc<Config>,
        asked: &'e Asked<'e>,
        tokens: &'t [&'t Parsed<'t>],
        moment: EvalTime,
    ) -> Self {
        Self {
            engine,
            config,
            asked,
            tokens,
            moment,
            accepted: Vec::new(),
            tried: Vec::new(),
            judged: None,
            lacks_keys: false,
        }
    }

    pub(super) fn into_accepted(self) -> Vec<Rc<AcceptedToken>> {
        self.accepted
    }

    /// What is wrong with the tokens that were tried; nothing with any: there was none.
    pub(super) fn failure(&self) -> Denial {
        let failed = self
            .tried
            .iter()
            .filter_map(|(_, outcome)| outcome.as_ref().err());
        match failed.rev().max_by_key(|obstacle| obstacle.rank()) {
            Some(Failure::Denial(denial)) => *denial,
            _ => Denial::new(Reason::TokenMissing),
        }
    }

    /// Who refused the token, if that was a single provider, and rests on nothing but the token, its times and the keys that
    /// are there. To all others it was none, or another issuer's.
    pub(super) fn refused_by(&self) -> Option<Judged> {
        let mut refusals = self.tried.iter().filter(|(_, outcome)| match outcome {
            Ok(_) | Err(Failure::Need(_)) => true,
            Err(Failure::Denial(denial)) => {
                !matches!(denial.reason, Reason::IssuerUnknown | Reason::TokenMissing)
            }
        });
        let judged = self.judged.filter(|_| !self.lacks_keys)?;
        match (refusals.next()?, refusals.next()) {
            ((named, Err(Failure::Denial(_))), None) if named.provider == judged.provider => Some(judged),
            _ => None,
        }
    }

    /// Holds the requirement against the tokens. What was accepted on the way to a failure is taken back.
    pub(super) fn meet(&mut self, requirement: &'t Requirement) -> Result<(), Failure> {
        let before = self.accepted.len();
        let outcome = self.meet_parts(requirement);
        if outcome.is_err() {
            self.accepted.truncate(before);
        }
        outcome
    }

    fn meet_parts(&mut self, requirement: &'t Requirement) -> Result<(), Failure> {
        match requirement {
            Requirement::Nothing => Ok(()),
            Requirement::Provider(provider) => self.meet_provider(provider),
            Requirement::Any(parts) => self.meet_any(parts, Self::meet),
            Requirement::All(parts) => {
                let mut need = None;
                for part in parts {
                    match self.meet(part) {
                        Ok(()) => {}
                        Err(Failure::Need(found)) => need = need.or(Some(found)),
                        // Another provider's token is there: say whose is missing.
                        Err(Failure::Denial(denial)) if denial.reason == Reason::TokenMissing => {
                            let denial = match part {
                                Requirement::Provider(named) if !self.tokens.is_empty() => {
                                    denial.by(named.provider)
                                }
                                _ => denial,
                            };
                            return Err(denial.into());
                        }
                        // What one part refuses for good, no key that is yet to come can mend.
                        Err(denial) => return Err(denial),
                    }
                }
                need.map_or(Ok(()), |need| Err(Failure::Need(need)))
            }
            Requirement::Missing(providers) => {
                match providers
                    .iter()
                    .any(|named| self.tokens_of(named.provider).next().is_some())
                {
                    true => Err(Denial::new(Reason::TokenMissing).into()),
                    false => Ok(()),
                }
            }
            Requirement::AllowMissing(providers) => {
                if providers
                    .iter()
                    .all(|named| self.tokens_of(named.provider).next().is_none())
                {
                    return Ok(());
                }
                self.meet_any(providers, Self::meet_provider)
            }
            Requirement::AllowMissingOrFailed(providers) => {
                match self.meet_any(providers, Self::meet_provider) {
                    Err(Failure::Need(need)) => Err(Failure::Need(need)),
                    Ok(()) | Err(Failure::Denial(_)) => Ok(()),
                }
            }
        }
    }

    fn meet_any<T: 't>(
        &mut self,
        parts: impl IntoIterator<Item = &'t T>,
        meet: impl Fn(&mut Self, &'t T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut worst = Failure::Denial(Denial::new(Reason::TokenMissing));
        for part in parts {
            match meet(self, part) {
                Ok(()) => return Ok(()),
                Err(obstacle) if obstacle.rank() > worst.rank() => worst = obstacle,
                Err(_) => {}
            }
        }
        Err(worst)
    }

    /// A good token must not hide a bad one: each that stands where the requirement looks has to be verified by a provider
    /// that it names, unless it says that tokens may fail.
    pub(super) fn leave_none_unverified(&mut self, requirement: &'t Requirement) -> Result<(), Failure> {
        if requirement.tolerates_failure() {
            return Ok(());
        }
        for token in self.tokens {
            if self
                .accepted
                .iter()
                .any(|accepted| accepted.settles(token.location))
            {
                continue;
            }
            let mut looking = requirement.providers();
            looking.retain(|named| self.looks_at(named.provider, token.location));
            self.meet_any(looking, Self::meet_provider)?;
        }
        Ok(())
    }

    fn looks_at(&self, provider: ProviderId, location: LocationId) -> bool {
        self.config
            .provider(provider)
            .is_some_and(|provider| provider.locations.contains(&location))
    }

    fn tokens_of(&self, provider: ProviderId) -> impl Iterator<Item = &'t Parsed<'t>> + use<'_, 'e, 't> {
        self.tokens
            .iter()
            .copied()
            .filter(move |token| self.looks_at(provider, token.location))
    }

    /// The token of a provider: the only one, or the one among several that counts.
    fn one_token(&self, provider: ProviderId) -> Result<(&'t Parsed<'t>, Vec<Beside>), Denial> {
        let mut tokens = self.tokens_of(provider);
        let token = tokens.next().ok_or(Denial::new(Reason::TokenMissing))?;
        match tokens.next() {
            None => Ok((token, Vec::new())),
            Some(_) => self.one_of_several(provider, token),
        }
    }

    /// A browser may send tokens in a header and a cookie at once. Not inlined, since most requests have one token.
    #[inline(never)]
    fn one_of_several(
        &self,
        provider: ProviderId,
        first: &'t Parsed<'t>,
    ) -> Result<(&'t Parsed<'t>, Vec<Beside>), Denial> {
        let prefers = |token: &&Parsed<'_>| {
            self.moment.may_prefer
                && self
                    .config
                    .provider(provider)
                    .is_some_and(|provider| provider.preferred.contains(&token.location))
        };
        let by_dpop = |token: &Parsed<'_>| {
            let location = self.config.locations.get(token.location.index());
            location.is_some_and(Location::is_dpop)
        };
        let preferred = self.tokens_of(provider).find(prefers);
        let token = preferred.unwrap_or(first);
        let mut beside = Vec::new();
        for other in self.tokens_of(provider) {
            if other.location == token.location {
                continue;
            }
            // The same token with a proof of possession and without one is not the same credential.
            if other.text == token.text && by_dpop(other) == by_dpop(token) {
                beside.push(Beside::Copy(other.location));
            } else if preferred.is_some() && !prefers(&other) {
                beside.push(Beside::Passed(other.location));
            } else {
                let both = Detail::Both(token.location, other.location);
                return Err(Denial::new(Reason::TokenMultiple).because(both));
            }
        }
        Ok((token, beside))
    }

    fn meet_provider(&mut self, named: &'t ProviderRequirement) -> Result<(), Failure> {
        let known = self
            .tried
            .iter()
            .find(|(tried, _)| *tried == named)
            .map(|(_, outcome)| outcome.clone());
        let outcome = known.unwrap_or_else(|| {
            let outcome = self.try_provider(named).map(Rc::new);
            self.tried.push((named, outcome.clone()));
            outcome
        });
        let accepted = outcome?;
        let is_new = |known: &Rc<AcceptedToken>| {
            known.provider != accepted.provider || known.location != accepted.location
        };
        if self.accepted.iter().all(is_new) {
            self.accepted.push(accepted);
        }
        Ok(())
    }

    fn try_provider(&mut self, named: &ProviderRequirement) -> Result<AcceptedToken, Failure> {
        let (token, beside) = self.one_token(named.provider)?;
        let parts = token.parts.as_ref().map_err(|denial| *denial)?;
        let config = self.config.clone();
        let Some(provider) = config.provider(named.provider) else {
            return Err(Denial::new(Reason::IssuerUnknown).into());
        };
        // The issuer first, then the key: the same `kid` at two issuers is two keys.
        if !provider.is_issuer(&parts.issuer) {
            return Err(Denial::new(Reason::IssuerUnknown).with_detail("iss").into());
        }
        let (jwt, times) = self.verify(named, provider, parts)?;
        // What is refused from here on rests on the request, too.
        self.judged = None;
        let mut effort = self.asked.effort.get();
        let shortfall = self
            .asked
            .authorization
            .and_then(|authorization| authorization.check(&jwt, self.asked.request, &mut effort).err());
        self.asked.effort.set(effort);
        let Some(all) = &token.accepted else {
            let accepted = self.accept(named.provider, provider, token, parts, &jwt, times)?;
            return Ok(AcceptedToken {
                shortfall,
                beside,
                ..accepted
            });
        };
        let of_provider = |known: &&ByProvider| known.0 == named.provider;
        if let Some((_, known)) = all.borrow().iter().find(of_provider) {
            let accepted = known.clone()?;
            return Ok(AcceptedToken {
                shortfall,
                beside,
                ..accepted
            });
        }
        let accepted = self.accept(named.provider, provider, token, parts, &jwt, times);
        all.borrow_mut().push((named.provider, accepted.clone()));
        Ok(AcceptedToken {
            shortfall,
            beside,
            ..accepted?
        })
    }

    /// What a verified token gives, whatever rules ask for.
    fn accept(
        &self,
        id: ProviderId,
        provider: &Provider,
        token: &Parsed<'_>,
        parts: &Parts<'_>,
        jwt: &VerifiedJwt<'_>,
        times: TimeLimits,
    ) -> Result<AcceptedToken, Denial> {
        let presented = Presented {
            token: token.text,
            by_dpop: self
                .config
                .locations
                .get(token.location.index())
                .is_some_and(Location::is_dpop),
            request: self.asked.request,
            nonce_secret: self.engine.nonce_secret.as_ref(),
        };
        let proof = provider
            .binding
            .check(jwt, presented, self.engine.checks(), self.moment.now)
            .map_err(|denial| denial.by(id))?;
        Ok(AcceptedToken {
            provider: id,
            location: token.location,
            beside: Vec::new(),
            claims: forward::claim_values(provider, jwt, parts.token.payload_text()),
            state: forward::state_entries(provider, jwt, parts.token),
            is_bound: provider.binding.asks_each_request(jwt),
            times,
            proof,
            subject: match self.config.asks_subject {
                true => jwt.subject().map(Rc::from),
                false => None,
            },
            shortfall: None,
        })
    }

    /// Everything that one provider demands of a token; when it is valid.
    fn verify<'p>(
        &mut self,
        named: &ProviderRequirement,
        provider: &Provider,
        parts: &'p Parts<'_>,
    ) -> Result<(VerifiedJwt<'p>, TimeLimits), Failure> {
        let id = named.provider;
        let now = self.moment.now;
        if !provider.algorithms.contains(parts.algorithm) {
            return Err(Denial::new(Reason::AlgorithmRejected)
                .by(id)
                .because(Detail::NotAllowed(parts.algorithm))
                .into());
        }
        if !provider.token_types.is_empty()
            && !provider
                .token_types
                .iter()
                .any(|token_type| parts.header.token_type_is(token_type))
        {
            return Err(Denial::new(Reason::TypeRejected).by(id).into());
        }
        let audiences = named.audiences.as_ref().unwrap_or(&provider.audiences);
        let by_provider = |denial: Denial| denial.by(id);
        let claims = &parts.claims;
        claims.check_issuer(provider).map_err(by_provider)?;
        let times = claims.times().map_err(by_provider)?;
        self.judged = Some(Judged { provider: id, times });
        times.check(provider, now).map_err(by_provider)?;
        claims.check(provider, audiences).map_err(by_provider)?;

        // An empty name is none, as jwt_authn has it: the signature decides.
        let key_id = parts.header.key_id.as_deref().filter(|key_id| !key_id.is_empty());
        let set = match &provider.keys {
            KeySource::Local(parsed) => Some(&parsed.set),
            KeySource::Remote(_) => self.engine.keys(id).and_then(|keys| keys.serving(now)),
        };
        let Some(set) = set else {
            self.lacks_keys = true;
            return Err(self.lack(Need::FirstKeys(id)));
        };
        let verdict = VerifiedJwt::verify(
            parts.token,
            parts.algorithm,
            key_id,
            &parts.claims,
            set,
            provider.algorithms_of_any_key,
            self.engine.checks(),
        );
        match verdict {
            SignatureCheck::Verified(jwt) => Ok((jwt, times)),
            SignatureCheck::Invalid => Err(Denial::new(Reason::SignatureInvalid).by(id).into()),
            SignatureCheck::AlgorithmMismatch => Err(Denial::new(Reason::AlgorithmRejected)
                .by(id)
                .because(misfit(set, key_id, parts.algorithm))
                .into()),
            SignatureCheck::KeyTooLarge => Err(Denial::new(Reason::AlgorithmRejected)
                .by(id)
                .with_detail("a key that only the host could use")
                .into()),
            SignatureCheck::BudgetExhausted => {
                // Another request has other tokens, and may have this one checked.
                self.lacks_keys = true;
                Err(Denial::new(Reason::SignatureInvalid)
                    .by(id)
                    .with_detail("too many signatures to check")
                    .into())
            }
            SignatureCheck::KeyNotFound { tried } => {
                let reason = if tried {
                    Reason::SignatureInvalid
                } else {
                    Reason::KeyUnknown
                };
                let unknown = Denial::new(reason).by(id);
                let Some(key_id) = key_id else {
                    let detail = Detail::NoKid(parts.algorithm);
                    return Err(unknown.because(detail).into());
                };
                self.lacks_keys = true;
                let EvalTime {
                    serial,
                    since,
                    now,
                    is_last,
                    ..
                } = self.moment;
                if since == now && !is_last {
                    // Told once, however many rules ask for the token.
                    let event = Event::UnknownKid(id);
                    if self.engine.events.back() != Some(&event) {
                        self.engine.events.push_back(event);
                    }
                }
                let fetches = self.engine.fetches;
                let mut is_wanted = false;
                let may_learn = self.engine.keys_mut(id).and_then(|keys| {
                    let before = keys.wants();
                    let at = keys.may_learn(key_id, serial, since, now);
                    is_wanted = !fetches && keys.wants() > before;
                    at
                });
                if is_wanted {
                    let wanted = Event::KeyWanted(id, key_id.into());
                    self.engine.events.push_back(wanted);
                }
                Err(match may_learn {
                    Some(at) => self.lack(Need::Kid(id, at)),
                    None => unknown.into(),
                })
            }
        }
    }

    /// Something is not there: waited for, or, at last, a reason to refuse.
    fn lack(&self, need: Need) -> Failure {
        if !self.moment.is_last {
            return Failure::Need(need);
        }
        // Whether the issuer has the key, nobody knows: no fault of the client's.
        need.unmet().into()
    }
}

/// Which key a `kid` names that is not for this algorithm. Only a refusal pays for the search.
#[inline(never)]
fn misfit(set: &JwkSet, key_id: Option<&str>, used: Algorithm) -> Detail {
    let mut named = set
        .keys()
        .iter()
        .filter(|key| key_id.is_some() && key.key_id() == key_id);
    let is_for = named.find_map(|key| {
        let mut all = AlgorithmSet::ALL.iter();
        key.algorithm()
            .or_else(|| all.find(|algorithm| key.fits(*algorithm)))
    });
    is_for.map_or(Detail::Word("the key that kid names"), |is_for| Detail::Misfit {
        used,
        is_for,
    })
}
