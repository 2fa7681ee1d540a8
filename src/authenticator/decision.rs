//! The final result for a request, and the results on the way to it.

use std::rc::Rc;

use super::failure::{Failure, MissingKeys};
use super::token::AcceptedToken;
use crate::binding::replay::ProofId;
use crate::denial::Denial;
use crate::edits::HeaderEdits;
use crate::ids::{Choice, ProviderId};
use crate::policy::Policy;
use crate::reply::{LocalReply, Refusal};
use crate::request::RequestHead;

/// The final result for a request, and exactly one: the type cannot express "resume and answer as well".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Envoy forwards the request with these edits. The next request with the same token shares the value,
    /// and so does the next request of a rule that needs no token.
    Allow(Rc<Allowed>),
    /// The filter refuses the request.
    Deny(Refusal),
    /// The filter answers the request: it asks for the metadata of a protected resource.
    Answer(Rc<LocalReply>),
    /// The host holds the request until
    /// [`Authenticator::poll_decision`](super::Authenticator::poll_decision) returns a decision for it.
    Wait,
}

/// How Envoy forwards an allowed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The edits. The host also removes [`RequestHead::removed`](crate::request::RequestHead::removed).
    pub edits: Rc<HeaderEdits>,
    /// Why it is allowed.
    pub basis: Basis,
    /// The filter state `wasm.jwt.metadata.<name>`, for other filters and for the access log.
    pub state: Vec<(Box<str>, Vec<u8>)>,
    /// Envoy must choose the route again, because of the edited header fields.
    pub clears_route_cache: bool,
    /// In shadow mode: the reason for which the rule would refuse the request if it were enforced.
    pub shadowed: Option<Denial>,
    /// The rule that applied to the request.
    pub rule: Option<Choice>,
    /// `sub` of the token, if the configuration asks for it.
    pub subject: Option<Rc<str>>,
}

impl Allowed {
    /// Whether Envoy may choose another route for the request, and that route may name another requirement.
    #[must_use]
    pub fn may_be_rerouted(&self, request: &RequestHead, policy: &Policy) -> bool {
        !policy.requirement_map.is_empty()
            && (self.clears_route_cache || !self.edits.is_empty() || request.route_is_in_doubt())
    }
}

/// Why a request is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A token of this provider was verified. Of several, it is the first that meets `authorize`.
    Verified(ProviderId),
    /// The rule of the request accepts requests without a token, or with a refused one.
    Anonymous,
    /// Its rule needs no token.
    Bypassed,
}

/// A decision, and the work that it still requires.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) decision: Decision,
    /// With [`Decision::Wait`]: the keys for which the request waits.
    pub(super) missing: Option<MissingKeys>,
    /// With [`Decision::Allow`]: a proof of possession, which is valid only once.
    pub(super) proof: Option<Box<Proof>>,
}

/// The proof of possession on which a decision depends.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) id: ProofId,
    /// The refusal if the proof was used before.
    pub(super) denial: Denial,
    pub(super) subject: Option<Rc<str>>,
    /// The rule is in shadow mode: the filter only counts this refusal.
    pub(super) is_shadowed: bool,
}

/// The result of the checks of a rule.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// The first is the token to which the upstream and the log refer.
    pub(super) accepted: Vec<AcceptedToken>,
    /// Why the rule is not met, although tokens may have been accepted.
    pub(super) failure: Option<Failure>,
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
    /// Adds the outcome of another rule that the request also has to meet. The edits stay those of the first
    /// rule.
    pub(super) fn and(&mut self, other: Self) {
        match (&mut self.decision, &other.decision) {
            (Decision::Allow(allowed), Decision::Allow(also)) => {
                if allowed.shadowed.is_none() && also.shadowed.is_some() {
                    Rc::make_mut(allowed).shadowed = also.shadowed;
                }
                // A request has one proof, whichever rule requires it. A rule that enforces it takes
                // precedence.
                if self.proof.is_none() || other.proof.as_ref().is_some_and(|proof| !proof.is_shadowed) {
                    self.proof = other.proof;
                }
            }
            // The request still waits for the first rule; the second one does not refuse it.
            (Decision::Wait, Decision::Allow(_) | Decision::Wait) => {}
            _ => *self = other,
        }
    }

    /// The reason for which the request is refused, or would be if its rule were enforced.
    pub(super) fn denial_mut(&mut self) -> Option<&mut Denial> {
        match &mut self.decision {
            Decision::Deny(refusal) => Some(&mut refusal.denial),
            Decision::Allow(allowed) if allowed.shadowed.is_some() => Rc::make_mut(allowed).shadowed.as_mut(),
            Decision::Allow(_) | Decision::Answer(_) | Decision::Wait => None,
        }
    }
}
