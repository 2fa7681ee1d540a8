//! Routes that Envoy chooses for requests after the filter has edited them.
//!
//! Envoy chooses the route again after each edit of a field, but shows the filter the new route only when it
//! forwards the request. The original request then has to meet the requirement of that route as well, and the
//! engine remembers the route: later requests with the same edits have to meet the requirement beforehand.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::decision::{Allowed, Decision};
use super::engine::Authenticator;
use super::failure::EvalTime;
use crate::request::RequestHead;
use crate::time::UnixTime;

impl Authenticator {
    /// Envoy has chosen another route for an allowed request: `request` as its client sent it, `allowed` as
    /// decided at the time `then`. The request has to meet the requirement that `route` names as well.
    pub fn handle_rerouted(
        &mut self,
        request: &RequestHead,
        allowed: &Allowed,
        route: Option<Vec<u8>>,
        then: UnixTime,
    ) -> Decision {
        self.reroutes
            .note(request.route_requirement.clone(), change(allowed), route.clone());
        let mut request = request.clone();
        request.route_requirement = route;
        // The decision about the request has already used its proof.
        self.evaluate(&request, EvalTime::again(then, then, true))
            .decision
    }

    /// The request with the other routes that Envoy may choose for it; `None` if no request with these edits
    /// took another route.
    #[inline(never)]
    pub(super) fn with_further_routes(
        &self,
        request: &RequestHead,
        allowed: &Allowed,
    ) -> Option<RequestHead> {
        if self.reroutes.is_empty() || !request.further_routes.is_empty() {
            return None;
        }
        let from = request.route_requirement.as_deref();
        let further_routes = match self.reroutes.of(from, change(allowed)) {
            Some(known) => known.to_vec(),
            None if self.reroutes.is_incomplete()
                && allowed.may_be_rerouted(request, &self.config.policy) =>
            {
                let names = self.config.policy.requirement_map.iter();
                let named = names.map(|(name, _)| Some(name.as_bytes().to_vec()));
                named.chain([None]).collect()
            }
            None => return None,
        };
        let mut request = request.clone();
        request.further_routes = further_routes;
        Some(request)
    }
}

/// Identifies the fields that a decision edits. If two sets of fields have the same hash, requests have to
/// meet more, and not less.
fn change(allowed: &Allowed) -> u64 {
    let mut hasher = DefaultHasher::new();
    for edit in allowed.edits.iter() {
        (&edit.name, edit.value.is_some()).hash(&mut hasher);
    }
    hasher.finish()
}
