//! From the checks of a rule to its decision: what an allowed request looks like, and what becomes of a
//! refused one.
//!
//! This is the one place that asks the mode of a rule whether a refusal is enforced.

use std::rc::Rc;

use super::Authenticator;
use super::failure::{Failure, MissingKeys};
use super::token::{AcceptedToken, Elsewhere};
use crate::binding::replay::ProofId;
use crate::credential;
use crate::credential::Location;
use crate::denial::{Denial, Reason};
use crate::edits::HeaderEdits;
use crate::forward;
use crate::ids::Choice;
use crate::ids::{LocationId, ProviderId};
use crate::policy::{Demand, Mode};
use crate::reply::LocalReply;
use crate::reply::Refusal;
use crate::request::RequestHead;
use crate::time::UnixTime;

/// The final result for a request. Exactly one of these: the type cannot express "resume and answer as well".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Envoy forwards the request with these edits. The next request with the same token shares the value,
    /// and so does the next one of a rule that needs no token.
    Allow(Rc<Allowed>),
    /// The filter refuses the request.
    Deny(Refusal),
    /// The filter answers the request: it asks for the metadata of a protected resource.
    Answer(Rc<LocalReply>),
    /// The host holds the request until [`Authenticator::poll_decision`] returns a decision for it.
    Wait,
}

/// How Envoy forwards an allowed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The edits, beside [`RequestHead::removed`], which the host removes in any case.
    pub edits: Rc<HeaderEdits>,
    /// Why it is allowed.
    pub basis: Basis,
    /// For other filters and the access log: the filter state `wasm.jwt.metadata.<name>`.
    pub state: Vec<(Box<str>, Vec<u8>)>,
    /// Envoy must choose the route again, by the edited header fields.
    pub clears_route_cache: bool,
    /// In shadow mode: why the request would be refused if its rule were enforced.
    pub shadowed: Option<Denial>,
    /// The rule that the request had to meet.
    pub rule: Option<Choice>,
    /// `sub` of the token, if the configuration asks for it.
    pub subject: Option<Rc<str>>,
}

/// Why a request is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A token of this provider was verified; of several, the first that has what `authorize` asks for.
    Verified(ProviderId),
    /// Its rule accepts requests without a token, or with a refused one.
    Anonymous,
    /// Its rule needs no token.
    Bypassed,
}

/// A decision, and what remains to be done about it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) decision: Decision,
    /// With [`Decision::Wait`]: the keys that the request waits for.
    pub(super) missing: Option<MissingKeys>,
    /// With [`Decision::Allow`]: a proof of possession that is good only once.
    pub(super) proof: Option<Box<Proof>>,
}

/// A proof of possession that a request rests on.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) id: ProofId,
    /// Of a proof that was used before.
    denial: Denial,
    subject: Option<Rc<str>>,
    /// The rule only counts a proof that was used before.
    is_shadowed: bool,
}

/// What the checks of a rule have found.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// The token to which the upstream and the log refer comes first.
    pub(super) accepted: Vec<AcceptedToken>,
    /// Why the rule is not met all the same.
    pub(super) failure: Option<Failure>,
}

/// A rule, and the request that has to meet it.
#[derive(Clone, Copy)]
pub(super) struct Rule<'r> {
    pub(super) choice: Choice,
    pub(super) demand: &'r Rc<Demand>,
    pub(super) request: &'r RequestHead,
}

/// Whether the mode lets a request pass that is to be refused. `subject` is that of its token, if one was
/// verified.
pub(super) fn is_shadowed(mode: Mode, subject: Option<&str>, request: &RequestHead) -> bool {
    mode.lets_through(subject, request.source_address.as_deref())
}

impl From<Decision> for Outcome {
    fn from(decision: Decision) -> Self {
        Self {
            decision,
            missing: None,
            proof: None,
        }
    }
}

impl From<Denial> for Checked {
    fn from(denial: Denial) -> Self {
        Self {
            accepted: Vec::new(),
            failure: Some(denial.into()),
        }
    }
}

impl Outcome {
    /// The request has to meet another rule as well, of which this is the outcome. It is forwarded as the
    /// first rule says.
    pub(super) fn and(&mut self, other: Self) {
        match (&mut self.decision, &other.decision) {
            (Decision::Allow(allowed), Decision::Allow(also)) => {
                if allowed.shadowed.is_none() && also.shadowed.is_some() {
                    Rc::make_mut(allowed).shadowed = also.shadowed;
                }
                // There is one proof, whichever rule asks for it. A rule that enforces it has the last word.
                if self.proof.is_none() || other.proof.as_ref().is_some_and(|proof| !proof.is_shadowed) {
                    self.proof = other.proof;
                }
            }
            // Whatever it waits for, at best it is allowed then.
            (Decision::Wait, Decision::Allow(_) | Decision::Wait) => {}
            _ => *self = other,
        }
    }

    /// Why the request is refused, or would be.
    pub(super) fn denial_mut(&mut self) -> Option<&mut Denial> {
        match &mut self.decision {
            Decision::Deny(refusal) => Some(&mut refusal.denial),
            Decision::Allow(allowed) if allowed.shadowed.is_some() => Rc::make_mut(allowed).shadowed.as_mut(),
            Decision::Allow(_) | Decision::Answer(_) | Decision::Wait => None,
        }
    }
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
            Some(Failure::Denied(denial)) => Some(denial),
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

    /// The decision for a request whose proof is not good for this reason.
    #[inline(never)]
    pub(super) fn without_proof(
        &self,
        proof: Proof,
        reason: Reason,
        request: &RequestHead,
        now: UnixTime,
    ) -> Decision {
        let Proof {
            denial,
            subject,
            is_shadowed,
            ..
        } = proof;
        let denial = Denial { reason, ..denial };
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

    /// The decision for a request of which no rule can be chosen.
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
            let number = rule.demand.resource.or_else(|| resources.own())?;
            resources.all.get(number)
        });
        let fresh_nonce = || {
            let nonces = self.config.provider(denial.provider?)?.binding.nonces()?;
            Some(nonces.secret.or(self.nonce_secret)?.issue(now))
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

    /// Whether the credential that is refused, or that is missing, is one for a proxy: the provider, or the rule, looks
    /// for tokens in `proxy-authorization`, and the request has none elsewhere.
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

    /// A request that needs no token is allowed, with the same value as the last one of its rule.
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

    /// The request is allowed, and nothing is said of its client.
    fn without_token(&self, basis: Basis) -> Allowed {
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

    /// The request is allowed with what its tokens say.
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
            // Shadow mode takes no token away from an upstream that still verifies it itself.
            if !is_shadowed {
                if !provider.forward {
                    spend(token.location);
                }
                for elsewhere in &token.elsewhere {
                    match *elsewhere {
                        Elsewhere::Same(_) if provider.forward => {}
                        Elsewhere::Same(location) => spend(location),
                        // Another provider may have verified it, and then decides what becomes of it.
                        Elsewhere::Unverified(location)
                            if accepted.iter().any(|other| other.location == location) => {}
                        Elsewhere::Unverified(location) => spend(location),
                    }
                }
            }
            for (name, value) in &token.values.state {
                // As with headers, the first token that has a value counts.
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
