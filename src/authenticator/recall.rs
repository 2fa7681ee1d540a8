//! What was decided before of the same token: taken over as long as nothing that it rested on has changed.
//!
//! Owns when a decision may be kept and when a kept one still holds; the container is [`TokenCache`].

use std::rc::Rc;

use super::attempt::Granted;
use super::evaluate::Moment;
use super::{Authenticator, Forward};
use crate::config::{KeySource, Location, Provider};
use crate::credential::Credential;
use crate::keys::RemoteKeys;
use crate::policy::{Choice, Demand, Mode};
use crate::request::RequestHead;
use crate::time::UnixTime;
use crate::token_cache::Context;

/// A decision in favour of a token.
#[derive(Debug)]
pub(super) struct Kept {
    granted: Rc<Granted>,
    /// The key set that verified it, by its number: a set that comes after it has to verify it anew.
    set: Option<u64>,
    /// The finished decision, where it is the same for every request.
    forward: Option<Rc<Forward>>,
}

/// How often the cache knew a token, and how often not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// It did.
    pub hits: u64,
    /// It did not, and the token was checked in full.
    pub misses: u64,
}

impl Authenticator {
    /// How often the cache was asked since this was last called.
    #[must_use]
    pub fn take_cache_counts(&mut self) -> CacheCounts {
        std::mem::take(&mut self.cache_counts)
    }

    /// The decision of before, if it still holds.
    pub(super) fn recall(
        &mut self,
        choice: Choice,
        demand: &Rc<Demand>,
        request: &RequestHead,
        credentials: &[Credential<'_>],
        moment: Moment,
    ) -> Option<Rc<Forward>> {
        let (context, credential) = self.recallable(demand, credentials)?;
        let (config, remote) = (&self.config, &self.remote);
        let holds = |kept: &&Kept| {
            let id = kept.granted.provider;
            config.provider(id).is_some_and(|provider| {
                kept.set == key_set_number(provider, remote.get(id.index()), moment.now)
                    && kept.granted.times.check(provider, moment.now).is_ok()
            })
        };
        let kept = self.cache.get(context, &credential.token).filter(holds);
        let Some(kept) = kept else {
            // A request that waited is looked at more than once.
            if moment.since == moment.now {
                self.cache_counts.misses = self.cache_counts.misses.saturating_add(1);
            }
            return None;
        };
        self.cache_counts.hits = self.cache_counts.hits.saturating_add(1);
        // Another rule may have the same demand.
        if let Some(forward) = kept
            .forward
            .as_ref()
            .filter(|forward| forward.rule == Some(choice))
        {
            return Some(forward.clone());
        }
        let granted = kept.granted.clone();
        let is_shadowed = demand
            .mode
            .lets_through(granted.subject.as_deref(), request.source_address.as_deref());
        let forward = self.with_tokens(request, std::slice::from_ref(&granted), is_shadowed);
        Some(Rc::new(forward.by(choice)))
    }

    /// Keeps a decision for the next time, where it is the same for every request.
    pub(super) fn keep(
        &mut self,
        demand: &Rc<Demand>,
        credentials: &[Credential<'_>],
        granted: &[Rc<Granted>],
        forward: &Rc<Forward>,
        now: UnixTime,
    ) {
        let Some((context, credential)) = self.recallable(demand, credentials) else {
            return;
        };
        let [granted] = granted else {
            return;
        };
        if granted.is_bound {
            return;
        }
        let id = granted.provider;
        let set = self
            .config
            .provider(id)
            .and_then(|provider| key_set_number(provider, self.remote.get(id.index()), now));
        if set.is_none() {
            return;
        }
        // A parameter or a cookie stands among others, which are each request's own; and what is only tried out may be so
        // for some clients.
        let is_always_so = demand.mode == Mode::Enforce
            && matches!(
                self.config.locations.get(granted.location.index()),
                Some(Location::Header { .. })
            );
        let kept = Kept {
            granted: granted.clone(),
            set,
            forward: is_always_so.then(|| forward.clone()),
        };
        let bytes = granted
            .bytes()
            .saturating_add(if is_always_so { forward.edits.bytes() } else { 0 });
        self.cache.insert(context, &credential.token, kept, bytes);
    }

    /// The one token of a request whose decision rests on nothing else of it.
    fn recallable<'c, 'r>(
        &self,
        demand: &Rc<Demand>,
        credentials: &'c [Credential<'r>],
    ) -> Option<(Context, &'c Credential<'r>)> {
        let [credential] = credentials else { return None };
        let depends_on_request = demand
            .authorization
            .as_ref()
            .is_some_and(|authorization| authorization.depends_on_request());
        if self.cache.is_off() || depends_on_request {
            return None;
        }
        let context = Context {
            // Demands live as long as the configuration, so that the address is a number of this very one.
            demand: Rc::as_ptr(demand).addr(),
            location: credential.location,
        };
        Some((context, credential))
    }
}

/// The number of the key set that serves a provider now; `None`: none does.
fn key_set_number(provider: &Provider, remote: Option<&Option<RemoteKeys>>, now: UnixTime) -> Option<u64> {
    match &provider.keys {
        KeySource::Local(local) => Some(local.set.number()),
        KeySource::Remote(_) => Some(remote?.as_ref()?.serving(now)?.number()),
    }
}
