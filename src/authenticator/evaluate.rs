//! One request's way to its decision, as far as it goes with the keys at hand.
//!
//! Pure but for what a missing `kid` leaves behind: a request is evaluated anew whenever keys have come.

use std::borrow::Cow;
use std::rc::Rc;

use super::{Authenticator, Forward, Grant, Notice};
use crate::claims::{Keys, UnverifiedClaims, VerifiedJwt};
use crate::config::{KeySource, Provider, ProviderId};
use crate::credential::{self, Credential};
use crate::denial::{Denial, Reason};
use crate::edits::HeaderEdits;
use crate::forward;
use crate::jose::{Algorithm, JoseHeader, TokenFault, UnverifiedJwt};
use crate::policy::Requirement;
use crate::request::RequestHead;
use crate::time::UnixTime;

/// How far it went.
#[derive(Debug)]
pub(super) enum Evaluation {
    Forward(Forward),
    Deny(Denial),
    Need(Need),
}

/// What a decision needs that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Any keys at all of this provider.
    FirstKeys(ProviderId),
    /// A key that this provider may have published since its keys were fetched.
    Kid(ProviderId),
}

/// Why a token is not good: for ever, or for now.
enum Obstacle {
    Denial(Denial),
    Need(Need),
}

impl From<Denial> for Obstacle {
    fn from(denial: Denial) -> Self {
        Self::Denial(denial)
    }
}

impl Authenticator {
    /// Decides a request that came at `since`.
    pub(super) fn evaluate(&mut self, request: &RequestHead, since: UnixTime, now: UnixTime) -> Evaluation {
        let Some(requirement) = self.config.policy.requirement(request) else {
            return Evaluation::Forward(Forward {
                edits: self.waived.clone(),
                grant: Grant::Waived,
            });
        };
        match self.satisfy(requirement, request, since, now) {
            Ok(forward) => Evaluation::Forward(forward),
            Err(Obstacle::Denial(denial)) => Evaluation::Deny(denial),
            Err(Obstacle::Need(need)) => Evaluation::Need(need),
        }
    }

    fn satisfy(
        &mut self,
        requirement: Requirement,
        request: &RequestHead,
        since: UnixTime,
        now: UnixTime,
    ) -> Result<Forward, Obstacle> {
        let config = self.config.clone();
        let candidates = || {
            config.provider_ids().filter(move |id| match requirement {
                Requirement::Provider(wanted) => *id == wanted,
                Requirement::AnyProvider => true,
            })
        };

        let mut locations: Vec<_> = candidates()
            .filter_map(|id| config.provider(id))
            .flat_map(|provider| provider.locations.iter().copied())
            .collect();
        locations.sort_unstable();
        locations.dedup();
        let credential = credential::find(request, &config.locations, locations.into_iter())?;
        if credential.token.len() > config.limits.max_token_bytes {
            return Err(Denial::new(Reason::TokenTooLarge).into());
        }

        let token = UnverifiedJwt::decode(&credential.token).map_err(malformed)?;
        let header = token.header().map_err(malformed)?;
        let algorithm = header.algorithm.ok_or(Denial::new(Reason::AlgorithmRejected))?;
        let claims = UnverifiedClaims::parse(token.payload())
            .map_err(|_| Denial::new(Reason::TokenMalformed).with_detail("claims"))?;
        let issuer: Cow<'_, str> = claims
            .unverified_issuer()?
            .ok_or(Denial::new(Reason::IssuerUnknown).with_detail("iss"))?;

        // The issuer first, then the key: the same `kid` at two issuers is two keys. Several providers may share an
        // issuer, each with demands of its own; the first whose demands are met counts.
        let mut obstacle = Obstacle::Denial(Denial::new(Reason::IssuerUnknown));
        let mut is_first = true;
        for id in candidates() {
            let Some(provider) = config.provider(id) else {
                continue;
            };
            if *provider.issuer != *issuer || !provider.locations.contains(&credential.location) {
                continue;
            }
            let parts = Parts {
                token: &token,
                header: &header,
                algorithm,
                claims: &claims,
            };
            match self.verify(id, provider, &parts, since, now) {
                Ok(jwt) => return Ok(self.forward(id, provider, request, &credential, &jwt)),
                Err(found) => {
                    if is_first {
                        obstacle = found;
                    }
                    is_first = false;
                }
            }
        }
        Err(obstacle)
    }

    /// Everything that one provider demands of a token.
    fn verify<'t>(
        &mut self,
        id: ProviderId,
        provider: &Provider,
        parts: &Parts<'t>,
        since: UnixTime,
        now: UnixTime,
    ) -> Result<VerifiedJwt<'t>, Obstacle> {
        if !provider.algorithms.contains(parts.algorithm) {
            return Err(Denial::new(Reason::AlgorithmRejected).by(id).into());
        }
        if !provider.token_types.is_empty()
            && !provider
                .token_types
                .iter()
                .any(|token_type| parts.header.token_type_is(token_type))
        {
            return Err(Denial::new(Reason::TypeRejected).by(id).into());
        }
        parts
            .claims
            .check(provider, now)
            .map_err(|denial| denial.by(id))?;

        let key_id = parts.header.key_id.as_deref();
        let set = match &provider.keys {
            KeySource::Local(set) => Some(set),
            KeySource::Remote(_) => self.keys(id).and_then(|keys| keys.serving(now)),
        };
        let Some(set) = set else {
            return Err(Obstacle::Need(Need::FirstKeys(id)));
        };
        match VerifiedJwt::verify(parts.token, parts.algorithm, key_id, parts.claims, set) {
            Keys::Verify(jwt) => Ok(jwt),
            Keys::Refuse => Err(Denial::new(Reason::SignatureInvalid).by(id).into()),
            Keys::Misfit => Err(Denial::new(Reason::AlgorithmRejected)
                .by(id)
                .with_detail("key")
                .into()),
            Keys::Lack => {
                if key_id.is_some() && since == now {
                    self.notices.push_back(Notice::UnknownKid(id));
                }
                let may_learn = match (self.keys_mut(id), key_id) {
                    (Some(keys), Some(key_id)) => keys.may_learn(key_id, since, now),
                    _ => false,
                };
                Err(if may_learn {
                    Obstacle::Need(Need::Kid(id))
                } else {
                    Denial::new(Reason::KeyUnknown).by(id).into()
                })
            }
        }
    }

    fn forward(
        &self,
        id: ProviderId,
        provider: &Provider,
        request: &RequestHead,
        credential: &Credential<'_>,
        jwt: &VerifiedJwt<'_>,
    ) -> Forward {
        let mut edits = HeaderEdits::default();
        if !provider.forward
            && let Some(location) = self.config.locations.get(credential.location.index())
        {
            credential::strip(request, location, &mut edits);
        }
        let payload = credential
            .token
            .split(|byte| *byte == b'.')
            .nth(1)
            .unwrap_or_default();
        forward::write_claims(&self.config, provider, jwt, payload, &mut edits);
        Forward {
            edits: Rc::new(edits),
            grant: Grant::Verified(id),
        }
    }
}

/// A token taken apart, unverified.
struct Parts<'t> {
    token: &'t UnverifiedJwt<'t>,
    header: &'t JoseHeader<'t>,
    algorithm: Algorithm,
    claims: &'t UnverifiedClaims<'t>,
}

fn malformed(fault: TokenFault) -> Denial {
    let (reason, detail) = match fault {
        TokenFault::Parts => (Reason::TokenMalformed, "not three parts"),
        TokenFault::HeaderEncoding => (Reason::TokenMalformed, "header encoding"),
        TokenFault::HeaderJson(_) => (Reason::TokenMalformed, "header"),
        TokenFault::HeaderMember(member) => (Reason::TokenMalformed, member),
        TokenFault::AlgorithmMissing => (Reason::AlgorithmRejected, "no alg"),
        TokenFault::CriticalHeader => (Reason::CriticalHeader, ""),
        TokenFault::Encrypted => (Reason::TokenMalformed, "encrypted"),
        TokenFault::Nested => (Reason::TokenMalformed, "nested"),
        TokenFault::PayloadEncoding => (Reason::TokenMalformed, "payload encoding"),
        TokenFault::SignatureEncoding => (Reason::TokenMalformed, "signature encoding"),
    };
    Denial::new(reason).with_detail(detail)
}
