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
const MAX_KINDS: usize = 256;

/// What requirements other routes name.
#[derive(Debug, Default)]
pub(super) struct Reroutes {
    kinds: Vec<Kind>,
    /// There was a kind more than there is room for.
    is_incomplete: bool,
}

/// Requests that are changed in the same way, and have taken another route then.
#[derive(Debug)]
struct Kind {
    /// What the route named that the client chose.
    from: Option<Vec<u8>>,
    /// Which fields were changed.
    change: u64,
    /// What the routes name that were taken: as many as the operator's routes name at most.
    to: Vec<Option<Vec<u8>>>,
}

impl Reroutes {
    fn kind(&self, from: Option<&[u8]>, change: u64) -> Option<usize> {
        let mut kinds = self.kinds.iter();
        kinds.position(|kind| kind.change == change && kind.from.as_deref() == from)
    }

    fn note(&mut self, from: Option<Vec<u8>>, change: u64, to: Option<Vec<u8>>) {
        match self.kind(from.as_deref(), change) {
            Some(known) => {
                if let Some(kind) = self.kinds.get_mut(known)
                    && !kind.to.contains(&to)
                {
                    kind.to.push(to);
                }
            }
            None if self.kinds.len() < MAX_KINDS => {
                let to = vec![to];
                self.kinds.push(Kind { from, change, to });
            }
            None => self.is_incomplete = true,
        }
    }
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
        self.reroutes
            .note(request.route_requirement.clone(), change(allowed), route.clone());
        let mut request = request.clone();
        request.route_requirement = route;
        // The proof of the request was spent when it was decided.
        self.evaluate(&request, EvalTime::again(then, then, true))
            .decision
    }

    /// The same request, if such a one has taken other routes before, or may have without being remembered.
    #[inline(never)]
    pub(super) fn with_further_routes(
        &self,
        request: &RequestHead,
        allowed: &Allowed,
    ) -> Option<RequestHead> {
        if self.reroutes.kinds.is_empty() || !request.further_routes.is_empty() {
            return None;
        }
        let from = request.route_requirement.as_deref();
        let known = self.reroutes.kind(from, change(allowed));
        let further_routes = match known.and_then(|known| self.reroutes.kinds.get(known)) {
            Some(kind) => kind.to.clone(),
            None if self.reroutes.is_incomplete && self.may_be_rerouted(request, allowed) => {
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

/// Tells which fields a decision changes. Where two are taken for one, more is asked for, not less.
fn change(allowed: &Allowed) -> u64 {
    let mut hasher = DefaultHasher::new();
    for edit in allowed.edits.iter() {
        (&edit.name, edit.value.is_some()).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_remembered_or_the_lack_of_it() {
        let mut reroutes = Reroutes::default();
        let name = |number: u64| Some(number.to_string().into_bytes());
        for number in 0..256 {
            reroutes.note(name(1), number, name(2));
            reroutes.note(name(1), number, name(2));
        }
        // Another route of a kind that is known takes no room of another.
        reroutes.note(name(1), 7, None);
        assert!(!reroutes.is_incomplete);
        assert_eq!(reroutes.kinds.len(), MAX_KINDS);
        let known = reroutes.kind(Some(b"1"), 7).unwrap();
        assert_eq!(reroutes.kinds[known].to, [name(2), None]);
        assert_eq!(reroutes.kind(None, 7), None);
        reroutes.note(None, 7, name(2));
        assert!(reroutes.is_incomplete);
        assert_eq!(reroutes.kinds.len(), MAX_KINDS);
    }
}
