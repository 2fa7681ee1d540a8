//! A requirement against the tokens of one request.

use super::failure::Failure;
use super::token::{AcceptedToken, Elsewhere, Learnt, Token, TokenCheck, UnknownKid};
use crate::claims::TimeLimits;
use crate::credential::{Location, is_same};
use crate::denial::{Denial, Detail, Reason};
use crate::ids::{LocationId, ProviderId};
use crate::policy::{ProviderList, ProviderRequirement, Requirement};

/// Up to this number of providers, the engine tries each.
const FEW_PROVIDERS: usize = 8;

/// The check of one requirement, and what the filter has learnt from it.
pub(super) struct RequirementCheck<'c> {
    check: TokenCheck<'c>,
    tokens: &'c [&'c Token<'c>],
    accepted: Vec<AcceptedToken>,
    /// The results so far: the engine tries a provider once, even if the requirement names it twice.
    results: Vec<(&'c ProviderRequirement, Result<AcceptedToken, Failure>)>,
    learnt: Learnt,
}

impl<'c> RequirementCheck<'c> {
    pub(super) fn new(check: TokenCheck<'c>, tokens: &'c [&'c Token<'c>]) -> Self {
        // Most requests have one token, and their requirement names one provider.
        let usual = usize::from(!tokens.is_empty());
        Self {
            check,
            tokens,
            accepted: Vec::with_capacity(usual),
            results: Vec::with_capacity(usual),
            learnt: Learnt::default(),
        }
    }

    /// The accepted tokens, and the unknown `kid`s.
    pub(super) fn into_parts(self) -> (Vec<AcceptedToken>, Vec<UnknownKid>) {
        (self.accepted, self.learnt.unknown)
    }

    /// The fault of the tokens; [`Reason::TokenMissing`] if there was none.
    pub(super) fn denial(&self) -> Denial {
        let failures = self
            .results
            .iter()
            .filter_map(|(_, result)| result.as_ref().err());
        match failures.rev().max_by_key(|failure| failure.rank()) {
            Some(Failure::Denied(denial)) => *denial,
            _ => Denial::new(Reason::TokenMissing),
        }
    }

    /// The provider that refuses the token now and the next time, and the token's times. It is the only such
    /// provider: for all others, the token was absent or of another issuer.
    pub(super) fn lasting_refusal(&self) -> Option<(ProviderId, TimeLimits)> {
        let mut refusals = self.results.iter().filter(|(_, result)| match result {
            Ok(_) => true,
            Err(failure) => failure.rank() > 1,
        });
        let refusal = self.learnt.refusal?;
        match (refusals.next()?, refusals.next()) {
            ((named, Err(Failure::Denied(_))), None) if named.provider == refusal.0 => Some(refusal),
            _ => None,
        }
    }

    /// Whether the tokens meet the requirement.
    pub(super) fn meet(&mut self, requirement: &'c Requirement) -> Result<(), Failure> {
        match requirement {
            Requirement::Nothing => Ok(()),
            Requirement::Denied => Err(Denial::new(Reason::RouteDenied).into()),
            Requirement::Provider(provider) => self.meet_provider(provider),
            Requirement::Any(parts) => any(parts, |part| self.meet(part)),
            Requirement::AnyOf(providers) => self.meet_any(providers),
            Requirement::All(parts) => self.meet_all(parts),
            Requirement::Missing(providers) | Requirement::AllowMissing(providers)
                if self.tokens.is_empty()
                    || !firsts(providers).any(|named| self.tokens_of(named.provider).next().is_some()) =>
            {
                self.meet_without_token(providers)
            }
            Requirement::Missing(_) => Err(Denial::new(Reason::TokenMissing).into()),
            Requirement::AllowMissing(providers) => self.meet_any(providers),
            Requirement::AllowMissingOrFailed(providers) => match self.meet_any(providers) {
                Err(Failure::KeysMissing(missing)) => Err(Failure::KeysMissing(missing)),
                Ok(()) | Err(Failure::Denied(_)) => Ok(()),
            },
        }
    }

    fn meet_any(&mut self, providers: &'c ProviderList) -> Result<(), Failure> {
        any(self.asked_of(providers), |named| self.meet_provider(named))
    }

    /// These providers find no token in their locations. If only the upstream may read a token there, the
    /// token is not missing.
    #[inline(never)]
    fn meet_without_token(&self, providers: &ProviderList) -> Result<(), Failure> {
        let locations = &self.check.config.locations;
        let is_unread = |location: LocationId| {
            let location = locations.get(location.index());
            location.is_some_and(|location| location.has_unread_jwt(self.check.request, locations))
        };
        let looked_at = firsts(providers)
            .filter_map(|named| self.check.config.provider(named.provider))
            .flat_map(|provider| provider.locations.iter());
        match looked_at.copied().find(|location| is_unread(*location)) {
            Some(location) => {
                let denial = Denial::new(Reason::TokenMalformed);
                Err(denial.because(Detail::Unread(location)).into())
            }
            None => Ok(()),
        }
    }

    /// The providers to try, in order. From a long list, the engine takes the providers that could accept one
    /// of the tokens, and one provider of each kind. Every other provider of that kind would refuse the token
    /// in the same words, as a token of another issuer.
    fn asked_of(&self, providers: &'c ProviderList) -> Vec<&'c ProviderRequirement> {
        if providers.len() <= FEW_PROVIDERS {
            return providers.iter().collect();
        }
        let issuers = &self.check.config.issuers;
        let mut asked = providers.firsts().to_vec();
        for token in self.tokens {
            for id in token.issuer().into_iter().flat_map(|issuer| issuers.of(issuer)) {
                for place in providers.places_of(id) {
                    // The list stays sorted, and has each place once.
                    if let Err(at) = asked.binary_search(&place) {
                        asked.insert(at, place);
                    }
                }
            }
        }
        asked.iter().filter_map(|place| providers.get(*place)).collect()
    }

    /// The providers of the requirement to try, in order.
    fn asked_in(&self, requirement: &'c Requirement) -> Vec<&'c ProviderRequirement> {
        match requirement {
            Requirement::AnyOf(providers)
            | Requirement::AllowMissing(providers)
            | Requirement::Missing(providers)
            | Requirement::AllowMissingOrFailed(providers) => self.asked_of(providers),
            Requirement::Any(parts) | Requirement::All(parts) => {
                parts.iter().flat_map(|part| self.asked_in(part)).collect()
            }
            Requirement::Nothing | Requirement::Denied | Requirement::Provider(_) => requirement.providers(),
        }
    }

    /// If one part fails, the tokens of the other parts are no longer accepted.
    #[inline(never)]
    fn meet_all(&mut self, parts: &'c [Requirement]) -> Result<(), Failure> {
        let before = self.accepted.len();
        let mut result = Ok(());
        for part in parts {
            result = match (self.meet(part), part) {
                (Ok(()), _) => result,
                // A key that arrives later does not make up for the refusal of another part.
                (Err(Failure::KeysMissing(missing)), _) => result.and(Err(Failure::KeysMissing(missing))),
                // A token of another provider is present: the denial names the provider whose token is
                // missing.
                (Err(Failure::Denied(denial)), Requirement::Provider(named))
                    if denial.reason == Reason::TokenMissing && !self.tokens.is_empty() =>
                {
                    Err(denial.by(named.provider).into())
                }
                (Err(denied), _) => Err(denied),
            };
            if matches!(result, Err(Failure::Denied(_))) {
                break;
            }
        }
        if result.is_err() {
            self.accepted.truncate(before);
        }
        result
    }

    /// A valid token must not hide an invalid one. A provider of the requirement has to verify each token at
    /// a location that the requirement uses, unless the requirement says that tokens may fail.
    pub(super) fn leave_none_unverified(&mut self, requirement: &'c Requirement) -> Result<(), Failure> {
        for token in self.tokens {
            let location = token.location;
            // The same bytes of the same header, which two locations read, are one token.
            let is_covered = |accepted: &AcceptedToken| {
                let mut alike = self.tokens.iter().filter(|other| is_same(other.text, token.text));
                accepted.covers(location) || alike.any(|other| accepted.covers(other.location))
            };
            if self.accepted.iter().any(is_covered) {
                continue;
            }
            if requirement.tolerates_failure() {
                return Ok(());
            }
            let mut looking = self.asked_in(requirement);
            looking.retain(|named| self.looks_at(named.provider, location));
            any(looking, |named| self.meet_provider(named))?;
        }
        Ok(())
    }

    fn looks_at(&self, provider: ProviderId, location: LocationId) -> bool {
        let provider = self.check.config.provider(provider);
        provider.is_some_and(|provider| provider.locations.contains(&location))
    }

    fn tokens_of(&self, provider: ProviderId) -> impl Iterator<Item = &'c Token<'c>> + use<'_, 'c> {
        let tokens = self.tokens.iter().copied();
        tokens.filter(move |token| self.looks_at(provider, token.location))
    }

    fn meet_provider(&mut self, named: &'c ProviderRequirement) -> Result<(), Failure> {
        // Every provider misses the token in the same words.
        if self.tokens.is_empty() {
            return Err(Denial::new(Reason::TokenMissing).into());
        }
        let known = self.results.iter().find(|(known, _)| *known == named);
        let result = match known {
            Some((_, result)) => result.clone(),
            None => {
                let result = match self.one_token(named.provider) {
                    Ok((token, elsewhere)) => self.check.check(named, token, elsewhere, &mut self.learnt),
                    Err(denial) => Err(denial.into()),
                };
                self.results.push((named, result.clone()));
                result
            }
        };
        let accepted = result?;
        let is_new = |known: &AcceptedToken| {
            known.provider != accepted.provider || known.location != accepted.location
        };
        if self.accepted.iter().all(is_new) {
            self.accepted.push(accepted);
        }
        Ok(())
    }

    /// The provider's token: the only one, or the preferred one of several.
    fn one_token(&self, provider: ProviderId) -> Result<(&'c Token<'c>, Vec<Elsewhere>), Denial> {
        let mut tokens = self.tokens_of(provider);
        let token = tokens.next().ok_or(Denial::new(Reason::TokenMissing))?;
        match tokens.next() {
            None => Ok((token, Vec::new())),
            Some(_) => self.one_of_several(provider, token),
        }
    }

    /// A browser may send tokens in a header and in a cookie at once. Not inlined, because most requests have
    /// one token.
    #[inline(never)]
    fn one_of_several(
        &self,
        provider: ProviderId,
        first: &'c Token<'c>,
    ) -> Result<(&'c Token<'c>, Vec<Elsewhere>), Denial> {
        let config = self.check.config;
        let settings = config.provider(provider);
        let prefers = |token: &&Token<'_>| {
            self.check.time.may_prefer
                && settings.is_some_and(|provider| provider.preferred.contains(&token.location))
        };
        let by_dpop = |token: &Token<'_>| {
            let location = config.locations.get(token.location.index());
            location.is_some_and(Location::is_dpop)
        };
        let preferred = self.tokens_of(provider).find(prefers);
        let token = preferred.unwrap_or(first);
        let mut elsewhere = Vec::new();
        for other in self.tokens_of(provider) {
            if other.location == token.location {
                continue;
            }
            // The same token with and without a proof of possession is two credentials.
            if other.text == token.text && by_dpop(other) == by_dpop(token) {
                elsewhere.push(Elsewhere::Same(other.location));
            } else if preferred.is_some() && !prefers(&other) {
                elsewhere.push(Elsewhere::Unverified(other.location));
            } else {
                let both = Detail::Both(token.location, other.location);
                return Err(Denial::new(Reason::TokenMultiple).because(both));
            }
        }
        Ok((token, elsewhere))
    }
}

/// One provider of each kind: the others look for tokens in the same places.
fn firsts(providers: &ProviderList) -> impl Iterator<Item = &ProviderRequirement> {
    let firsts = providers.firsts().iter();
    firsts.filter_map(|first| providers.get(*first))
}

/// Whether one of the parts is met; otherwise the failure with the highest rank.
fn any<T>(
    parts: impl IntoIterator<Item = T>,
    mut meet: impl FnMut(T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut worst = Failure::from(Denial::new(Reason::TokenMissing));
    for part in parts {
        match meet(part) {
            Ok(()) => return Ok(()),
            Err(failure) if failure.rank() > worst.rank() => worst = failure,
            Err(_) => {}
        }
    }
    Err(worst)
}
