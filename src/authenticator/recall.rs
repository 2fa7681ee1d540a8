//! What was decided before of the same token: taken over as long as nothing that it rested on has changed.
//!
//! Owns when a decision may be kept and when a kept one still holds; the container is [`TokenCache`].

use std::rc::Rc;

use super::attempt::{AcceptedToken, Judged};
use super::evaluate::EvalTime;
use super::{Allowed, Authenticator};
use crate::credential::{Credential, Location};
use crate::denial::Denial;
use crate::ids::{Choice, ProviderId};
use crate::keys::{KeySource, RemoteKeys};
use crate::policy::{Demand, Mode};
use crate::request::RequestHead;
use crate::settings::Config;
use crate::time::UnixTime;
use crate::token_cache::{Context, Key};

/// What was decided of a token, and what that rests on beside the token and the configuration.
#[derive(Debug)]
pub(super) struct CacheEntry {
    verdict: Verdict,
    judged: Judged,
    /// The key set of then, by its number: a set that comes after it has to look at the token anew.
    set: Option<u64>,
    /// What there was to say of the token's times.
    untimely: Option<Denial>,
}

#[derive(Debug)]
enum Verdict {
    Accepted {
        accepted: Rc<AcceptedToken>,
        /// The finished decision, where it is the same for every request.
        forward: Option<Rc<Allowed>>,
    },
    Refused(Denial),
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
        moment: EvalTime,
    ) -> Option<Result<Rc<Allowed>, Denial>> {
        let key = self.recallable(demand, credentials)?;
        let state = State {
            config: &self.config,
            remote: &self.remote,
            now: moment.now,
        };
        let holds = |kept: &&CacheEntry| state.holds(kept);
        let known = self.cache.get(key).filter(holds);
        let Some(kept) = known.or_else(|| self.refused.get(key).filter(holds)) else {
            // A request that waited is looked at more than once.
            if moment.since == moment.now {
                self.cache_counts.misses = self.cache_counts.misses.saturating_add(1);
            }
            return None;
        };
        self.cache_counts.hits = self.cache_counts.hits.saturating_add(1);
        let (accepted, forward) = match &kept.verdict {
            Verdict::Accepted { accepted, forward } => (accepted, forward),
            Verdict::Refused(denial) => return Some(Err(*denial)),
        };
        // Another rule may have the same demand.
        if let Some(forward) = forward.as_ref().filter(|forward| forward.rule == Some(choice)) {
            return Some(Ok(forward.clone()));
        }
        let accepted = accepted.clone();
        let is_shadowed = demand
            .mode
            .lets_through(accepted.subject.as_deref(), request.source_address.as_deref());
        let forward = self.with_tokens(request, std::slice::from_ref(&accepted), is_shadowed);
        Some(Ok(Rc::new(forward.by(choice))))
    }

    /// Keeps a decision for the next time, where it is the same for every request.
    pub(super) fn keep(
        &mut self,
        demand: &Rc<Demand>,
        credentials: &[Credential<'_>],
        accepted: &[Rc<AcceptedToken>],
        forward: &Rc<Allowed>,
        now: UnixTime,
    ) {
        let Some(key) = self.recallable(demand, credentials) else {
            return;
        };
        let [accepted] = accepted else {
            return;
        };
        if accepted.is_bound {
            return;
        }
        let judged = Judged {
            provider: accepted.provider,
            times: accepted.times,
        };
        // A parameter or a cookie stands among others, which are each request's own; and what is only tried out may be so
        // for some clients.
        let is_always_so = demand.mode == Mode::Enforce
            && matches!(
                self.config.locations.get(accepted.location.index()),
                Some(Location::Header { .. })
            );
        let verdict = Verdict::Accepted {
            accepted: accepted.clone(),
            forward: is_always_so.then(|| forward.clone()),
        };
        let bytes = accepted
            .bytes()
            .saturating_add(if is_always_so { forward.edits.bytes() } else { 0 });
        let kept = self.state(now).kept(verdict, judged);
        // Without keys nothing was verified.
        if kept.set.is_some() {
            self.cache.insert(key, kept, bytes);
        }
    }

    /// Keeps a refusal for the next time: a client whose token is no good tends to come again with it.
    pub(super) fn keep_refusal(
        &mut self,
        demand: &Rc<Demand>,
        credentials: &[Credential<'_>],
        denial: Denial,
        judged: Judged,
        now: UnixTime,
    ) {
        if let Some(key) = self.recallable(demand, credentials) {
            let kept = self.state(now).kept(Verdict::Refused(denial), judged);
            self.refused.insert(key, kept, 0);
        }
    }

    fn state(&self, now: UnixTime) -> State<'_> {
        State {
            config: &self.config,
            remote: &self.remote,
            now,
        }
    }

    /// The one token of a request whose decision rests on nothing else of it.
    fn recallable<'c>(&self, demand: &Rc<Demand>, credentials: &'c [Credential<'_>]) -> Option<Key<'c>> {
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
        Some(self.cache.key(context, &credential.token))
    }
}

/// What a decision rests on beside the token and the configuration.
struct State<'e> {
    config: &'e Config,
    remote: &'e [Option<RemoteKeys>],
    now: UnixTime,
}

impl State<'_> {
    fn kept(&self, verdict: Verdict, judged: Judged) -> CacheEntry {
        CacheEntry {
            set: self.key_set(judged.provider),
            untimely: self.untimely(&judged),
            verdict,
            judged,
        }
    }

    fn holds(&self, kept: &CacheEntry) -> bool {
        self.key_set(kept.judged.provider) == kept.set && self.untimely(&kept.judged) == kept.untimely
    }

    /// The number of the key set that serves a provider; `None`: none does.
    fn key_set(&self, id: ProviderId) -> Option<u64> {
        match &self.config.provider(id)?.keys {
            KeySource::Local(local) => Some(local.set.number()),
            KeySource::Remote(_) => {
                let keys = self.remote.get(id.index())?.as_ref()?;
                Some(keys.serving(self.now)?.number())
            }
        }
    }

    /// What a provider has against a token because of its times.
    fn untimely(&self, judged: &Judged) -> Option<Denial> {
        let provider = self.config.provider(judged.provider)?;
        judged.times.check(provider, self.now).err()
    }
}
