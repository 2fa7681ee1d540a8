//! From the checks of a rule to its decision: the edits of an allowed request, and the reply of a refused
//! one.
//!
//! Only this file asks whether the rule's mode enforces a refusal.

use std::rc::Rc;

use super::decision::{Allowed, Basis, Checked, Decision, Outcome, Proof};
use super::engine::Authenticator;
use super::failure::Failure;
use super::token::{AcceptedToken, Elsewhere};
use crate::credential::{self, Location};
use crate::denial::{Denial, Detail, Reason};
use crate::edits::HeaderEdits;
use crate::forward;
use crate::ids::{Choice, LocationId, ProviderId};
use crate::policy::{Demand, Mode};
use crate::reply::Refusal;
use crate::request::RequestHead;
use crate::time::UnixTime;

/// A rule, and the request that has to meet it.
#[derive(Clone, Copy)]
pub(super) struct Rule<'r> {
    pub(super) choice: Choice,
    pub(super) demand: &'r Rc<Demand>,
    pub(super) request: &'r RequestHead,
}

/// Whether the mode lets a request pass that the rule refuses. `subject` is the `sub` of its token, if one
/// was verified.
pub(super) fn is_shadowed(mode: Mode, subject: Option<&str>, request: &RequestHead) -> bool {
    mode.lets_through(subject, request.source_address.as_deref())
}

impl Authenticator {
    /// The outcome of a rule.
    #[inline(never)]
    pub(super) fn decide(&self, rule: Rule<'_>, checked: Checked, now: UnixTime) -> Outcome {
        let accepted = &*checked.accepted;
        let subject = accepted.first().and_then(|token| token.values.subject.clone());
        let is_shadowed = is_shadowed(rule.demand.mode, subject.as_deref(), rule.request);
        let denial = match checked.failure {
            None => None,
            Some(Failure::Denied(denial)) => Some(self.with_unread(rule, denial)),
            Some(Failure::KeysMissing(missing)) => {
                return Outcome {
                    missing: Some(missing),
                    ..Decision::Wait.into()
                };
            }
        };
        if let Some(denial) = denial
            && !is_shadowed
        {
            return Decision::Deny(self.refusal(rule, denial, subject, now)).into();
        }
        let allowed = Allowed {
            rule: Some(rule.choice),
            shadowed: denial.map(|denial| denial.under(rule.choice)),
            subject,
            ..match accepted {
                [] => self.without_token(Basis::Anonymous),
                accepted => self.with_tokens(rule.request, accepted, is_shadowed),
            }
        };
        let proof = accepted.iter().filter(|_| denial.is_none()).find_map(|token| {
            Some(Box::new(Proof {
                id: token.values.proof?,
                denial: Denial::new(Reason::ProofReplayed)
                    .by(token.provider)
                    .under(rule.choice),
                subject: token.values.subject.clone(),
                is_shadowed,
            }))
        });
        Outcome {
            proof,
            ..Decision::Allow(Rc::new(allowed)).into()
        }
    }

    /// A missing token whose header is there, without the scheme or with another one.
    #[inline(never)]
    fn with_unread(&self, rule: Rule<'_>, denial: Denial) -> Denial {
        if denial.reason != Reason::TokenMissing || denial.detail != Detail::None {
            return denial;
        }
        let provider = denial.provider.and_then(|id| self.config.provider(id));
        let mut ids = provider
            .map_or(&rule.demand.locations, |provider| &provider.locations)
            .iter();
        let is_there = |id: &&LocationId| {
            let location = self.config.locations.get(id.index());
            location.is_some_and(|location| match location {
                Location::Header { field, .. } => rule.request.first(*field).is_some(),
                Location::Parameter { .. } | Location::Cookie { .. } => false,
            })
        };
        match ids.find(is_there) {
            Some(id) => denial.because(Detail::Unread(*id)),
            None => denial,
        }
    }

    /// The decision for a request whose proof the process does not accept, for this reason and cause.
    #[inline(never)]
    pub(super) fn without_proof(
        &self,
        proof: Proof,
        reason: Reason,
        detail: Detail,
        request: &RequestHead,
        now: UnixTime,
    ) -> Decision {
        let Proof {
            denial,
            subject,
            is_shadowed,
            ..
        } = proof;
        let denial = Denial {
            reason,
            detail,
            ..denial
        };
        let choice = denial.rule.unwrap_or(Choice::Otherwise);
        match self.config.policy.demand(choice) {
            Some(demand) if !is_shadowed => {
                let rule = Rule {
                    choice,
                    demand,
                    request,
                };
                Decision::Deny(self.refusal(rule, denial, subject, now))
            }
            _ => Decision::Allow(Rc::new(Allowed {
                rule: denial.rule,
                shadowed: Some(denial),
                subject,
                ..self.without_token(Basis::Anonymous)
            })),
        }
    }

    /// The decision for a request for which no rule can be chosen.
    #[inline(never)]
    pub(super) fn without_rule(&self, denial: Denial, request: &RequestHead) -> Decision {
        if is_shadowed(self.config.policy.mode, None, request) {
            let allowed = self.without_token(Basis::Anonymous);
            return Decision::Allow(Rc::new(Allowed {
                shadowed: Some(denial),
                ..allowed
            }));
        }
        Decision::Deny(denial.into())
    }

    #[inline(never)]
    fn refusal(&self, rule: Rule<'_>, denial: Denial, subject: Option<Rc<str>>, now: UnixTime) -> Refusal {
        let resource = self.config.policy.resources.as_ref().and_then(|resources| {
            let id = rule.demand.resource.or_else(|| resources.own())?;
            resources.all.get(id.index())
        });
        let fresh_nonce = || {
            let nonces = self.config.provider(denial.provider?)?.binding.nonces()?;
            Some(nonces.secret(self.nonce_secret.as_ref())?.issue(now))
        };
        Refusal {
            denial: denial.under(rule.choice),
            rule: Some(rule.choice),
            metadata_url: resource.and_then(|resource| resource.document_url(rule.request)),
            nonce: match denial.reason {
                Reason::ProofNonce => fresh_nonce(),
                _ => None,
            },
            scope: rule.demand.challenge(),
            needs_proof: rule.demand.needs_proof,
            for_proxy: self.is_for_proxy(rule, denial.provider),
            subject,
        }
    }

    /// Whether the refused or missing credential is one for a proxy: the provider, or the rule, uses
    /// `proxy-authorization`, and the request has no credential elsewhere.
    fn is_for_proxy(&self, rule: Rule<'_>, provider: Option<ProviderId>) -> bool {
        let provider = provider.and_then(|id| self.config.provider(id));
        let ids = provider.map_or(&rule.demand.locations, |provider| &provider.locations);
        let locations = || ids.iter().filter_map(|id| self.config.locations.get(id.index()));
        if !locations().any(Location::is_for_proxy) {
            return false;
        }
        let has = |location: &&Location| rule.request.first(location.field()).is_some();
        let is_there = locations().filter(has).any(Location::is_for_proxy);
        let is_elsewhere = locations().filter(has).any(|location| !location.is_for_proxy());
        match (is_there, is_elsewhere) {
            (_, true) => false,
            (true, false) => true,
            (false, false) => locations().all(Location::is_for_proxy),
        }
    }

    /// Allows a request that needs no token, with the same value as the last request of its rule.
    pub(super) fn bypass(&mut self, choice: Choice) -> Decision {
        let last = self.bypassed.take();
        let allowed = last.filter(|last| last.rule == Some(choice)).unwrap_or_else(|| {
            Rc::new(Allowed {
                rule: Some(choice),
                ..self.without_token(Basis::Bypassed)
            })
        });
        self.bypassed = Some(allowed.clone());
        Decision::Allow(allowed)
    }

    /// An allowed request without a token: it receives no edits.
    pub(super) fn without_token(&self, basis: Basis) -> Allowed {
        Allowed {
            edits: self.no_edits.clone(),
            basis,
            state: Vec::new(),
            clears_route_cache: false,
            shadowed: None,
            rule: None,
            subject: None,
        }
    }

    /// An allowed request with the claims of its tokens.
    #[inline(never)]
    fn with_tokens(&self, request: &RequestHead, accepted: &[AcceptedToken], is_shadowed: bool) -> Allowed {
        let config = &self.config;
        let basis = accepted
            .first()
            .map_or(Basis::Anonymous, |token| Basis::Verified(token.provider));
        let mut edits = HeaderEdits::default();
        let mut state: Vec<forward::StateEntry> = Vec::new();
        let mut clears_route_cache = false;
        let mut spent: Vec<LocationId> = Vec::new();
        let mut spend = |location: LocationId| {
            if !spent.contains(&location) {
                spent.push(location);
            }
        };
        for token in accepted {
            let Some(provider) = config.provider(token.provider) else {
                continue;
            };
            // Shadow mode leaves the tokens in the request: the upstream may still verify them itself.
            if !is_shadowed {
                if !provider.forward {
                    spend(token.location);
                }
                for elsewhere in &token.elsewhere {
                    match *elsewhere {
                        Elsewhere::Same(_) if provider.forward => {}
                        Elsewhere::Same(location) => spend(location),
                        // If another provider has verified the token, that provider's settings decide whether
                        // the token stays.
                        Elsewhere::Unverified(location)
                            if accepted.iter().any(|other| other.location == location) => {}
                        Elsewhere::Unverified(location) => spend(location),
                    }
                }
            }
            for (name, value) in &token.values.state {
                // As with headers, the value of the first token counts.
                if state.iter().all(|(known, _)| known != name) {
                    state.push((name.clone(), value.clone()));
                }
            }
            let writes_headers = token.values.claims.iter().any(|(_, value)| value.is_some());
            clears_route_cache |=
                provider.clear_route_cache && (writes_headers || provider.metadata.payload.is_some());
        }
        if config.changes_nothing {
            return Allowed {
                basis,
                state,
                ..self.without_token(Basis::Anonymous)
            };
        }
        let spent: Vec<&Location> = spent
            .iter()
            .filter_map(|location| config.locations.get(location.index()))
            .collect();
        credential::strip(request, &spent, &mut edits);
        let claims = accepted.iter().map(|token| token.values.claims.as_slice());
        forward::write_claims(&config.owned_headers, claims, &mut edits);
        Allowed {
            edits: Rc::new(edits),
            basis,
            state,
            clears_route_cache,
            shadowed: None,
            rule: None,
            subject: None,
        }
    }
}
