//! Routes that requests take once their fields are changed.
//!
//! The host chooses the route again after each change of a field, but shows a filter the new one only when
//! the request is on its way. So what is seen then is held against the request as its client sent it, and
//! remembered: requests that are changed in the same way have to meet it beforehand.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::decision::{Allowed, Decision};
use super::engine::Authenticator;
use super::failure::EvalTime;
use crate::request::RequestHead;
use crate::time::UnixTime;

/// More ways to change a request than a configuration has in earnest.
const MAX_REROUTES: usize = 256;

/// What requirements other routes name.
#[derive(Debug, Default)]
pub(super) struct Reroutes(Vec<Reroute>);

#[derive(Debug, PartialEq, Eq)]
struct Reroute {
    /// What the route named that the client chose.
    from: Option<Vec<u8>>,
    /// Which fields were changed.
    change: u64,
    /// What the route names that was taken.
    to: Option<Vec<u8>>,
}

impl Authenticator {
    /// Whether the host may take another route with a request than the one by which it was decided, and that
    /// one may ask for something else.
    #[must_use]
    pub fn may_be_rerouted(&self, request: &RequestHead, allowed: &Allowed) -> bool {
        !self.config.policy.requirement_map.is_empty()
            && (allowed.clears_route_cache || !allowed.edits.is_empty() || !request.removed.is_empty())
    }

    /// A request that went on has taken a route that names this. `request` is as its client sent it,
    /// `allowed` as it was decided, `then` when that was. What the route asks for has to be met as well.
    pub fn handle_rerouted(
        &mut self,
        request: &RequestHead,
        allowed: &Allowed,
        route: Option<Vec<u8>>,
        then: UnixTime,
    ) -> Decision {
        let reroute = Reroute {
            from: request.route_requirement.clone(),
            change: change(allowed),
            to: route.clone(),
        };
        if self.reroutes.0.len() < MAX_REROUTES && !self.reroutes.0.contains(&reroute) {
            self.reroutes.0.push(reroute);
        }
        let mut request = request.clone();
        request.route_requirement = route;
        // The proof of the request was spent when it was decided.
        self.evaluate(&request, EvalTime::again(then, then, true))
            .decision
    }

    /// The same request, if such a one has taken other routes before.
    #[inline(never)]
    pub(super) fn with_further_routes(
        &self,
        request: &RequestHead,
        allowed: &Allowed,
    ) -> Option<RequestHead> {
        if self.reroutes.0.is_empty() || !request.further_routes.is_empty() {
            return None;
        }
        let change = change(allowed);
        let mut further = self
            .reroutes
            .0
            .iter()
            .filter(|known| known.from == request.route_requirement && known.change == change)
            .map(|known| known.to.clone())
            .peekable();
        further.peek()?;
        let mut request = request.clone();
        request.further_routes = further.collect();
        Some(request)
    }
}

/// Tells which fields a decision changes. Where two are taken for one, more is asked for, not less.
fn change(allowed: &Allowed) -> u64 {
    let mut hasher = DefaultHasher::new();
    for edit in allowed.edits.iter() {
        (&edit.name, edit.value.is_some()).hash(&mut hasher);
    }
    hasher.finish()
}
