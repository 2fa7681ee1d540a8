//! What was found of a token before, used again as long as nothing on which it rests has changed.
//!
//! Owns when a result may be kept and when a kept one still holds; the container is [`TokenCache`].

use std::rc::Rc;

use super::Authenticator;
use super::decision::{Allowed, Checked, Decision};
use super::token::AcceptedToken;
use crate::claims::TimeLimits;
use crate::credential::Credential;
use crate::credential::Location;
use crate::denial::Denial;
use crate::ids::Choice;
use crate::ids::ProviderId;
use crate::keys::KeySource;
use crate::keys::RemoteKeys;
use crate::policy::{Demand, Mode};
use crate::settings::Config;
use crate::time::UnixTime;
use crate::token_cache::{Context, Key, TokenCache};

/// The tokens that were accepted and, apart from them so that they displace none of these, those that were
/// refused.
#[derive(Debug)]
pub(super) struct Caches {
    accepted: TokenCache<Entry>,
    refused: TokenCache<Entry>,
    counts: CacheCounts,
}

/// What was found of a token, and on what it rests beside the token and the configuration.
#[derive(Debug)]
struct Entry {
    found: Found,
    provider: ProviderId,
    times: TimeLimits,
    /// The key set of then, by its number: with a later set the token has to be checked again.
    set: Option<u64>,
    /// What there was to say of the token's times.
    untimely: Option<Denial>,
}

#[derive(Debug)]
enum Found {
    Accepted {
        token: AcceptedToken,
        /// The finished decision, if it is the same for every request.
        allowed: Option<Rc<Allowed>>,
    },
    Refused(Denial),
}

/// What the cache knows of a token.
pub(super) enum Known {
    /// The decision.
    Allowed(Rc<Allowed>),
    /// What the checks would find.
    Checked(Checked),
}

/// How often the cache knew a token, and how often it did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// It did.
    pub hits: u64,
    /// It did not, and the token was checked in full.
    pub misses: u64,
}

impl Caches {
    pub(super) fn new(max_entries: usize) -> Self {
        let accepted = TokenCache::new(max_entries);
        Self {
            refused: accepted.sibling(),
            accepted,
            counts: CacheCounts::default(),
        }
    }
}

impl Authenticator {
    /// How often the cache was asked since this was last called.
    #[must_use]
    pub fn take_cache_counts(&mut self) -> CacheCounts {
        std::mem::take(&mut self.caches.counts)
    }

    /// What was found of the token before, if it still holds.
    #[inline(never)]
    pub(super) fn recall(
        &mut self,
        choice: Choice,
        demand: &Rc<Demand>,
        credentials: &[Credential<'_>],
        is_first_look: bool,
        now: UnixTime,
    ) -> Option<Known> {
        let key = self.cache_key(demand, credentials)?;
        let Caches {
            accepted,
            refused,
            counts,
        } = &mut self.caches;
        let (config, remote) = (&self.config, &self.remote);
        let state = State { config, remote, now };
        let holds = |entry: &&Entry| state.holds(entry);
        let known = accepted.get(key).filter(holds);
        let Some(entry) = known.or_else(|| refused.get(key).filter(holds)) else {
            // A request that waited is looked at more than once.
            if is_first_look {
                counts.misses = counts.misses.saturating_add(1);
            }
            return None;
        };
        counts.hits = counts.hits.saturating_add(1);
        Some(match &entry.found {
            // Another rule may have the same demand.
            Found::Accepted {
                allowed: Some(allowed),
                ..
            } if allowed.rule == Some(choice) => Known::Allowed(allowed.clone()),
            Found::Accepted { token, .. } => Known::Checked(Checked {
                accepted: vec![token.clone()],
                failure: None,
            }),
            Found::Refused(denial) => Known::Checked((*denial).into()),
        })
    }

    /// Keeps what was accepted for the next time.
    #[inline(never)]
    pub(super) fn keep(
        &mut self,
        demand: &Rc<Demand>,
        credentials: &[Credential<'_>],
        token: AcceptedToken,
        decision: &Decision,
        now: UnixTime,
    ) {
        let (Some(key), Decision::Allow(allowed)) = (self.cache_key(demand, credentials), decision) else {
            return;
        };
        if token.values.is_bound {
            return;
        }
        // A parameter or a cookie is among others, which are each request's own; and shadow mode may hold for
        // some clients only.
        let location = self.config.locations.get(token.location.index());
        let is_always_so = demand.mode == Mode::Enforce && matches!(location, Some(Location::Header { .. }));
        let mut bytes = token.values.bytes();
        if is_always_so {
            bytes = bytes.saturating_add(allowed.edits.bytes());
        }
        let (provider, times) = (token.provider, token.values.times);
        let found = Found::Accepted {
            token,
            allowed: is_always_so.then(|| allowed.clone()),
        };
        let entry = self.state(now).entry(found, provider, times);
        // Without keys nothing was verified.
        if entry.set.is_some() {
            self.caches.accepted.insert(key, entry, bytes);
        }
    }

    /// Keeps a refusal for the next time: a client whose token is refused tends to send it again.
    #[inline(never)]
    pub(super) fn keep_refusal(
        &mut self,
        demand: &Rc<Demand>,
        credentials: &[Credential<'_>],
        denial: Denial,
        (provider, times): (ProviderId, TimeLimits),
        now: UnixTime,
    ) {
        if let Some(key) = self.cache_key(demand, credentials) {
            let entry = self.state(now).entry(Found::Refused(denial), provider, times);
            self.caches.refused.insert(key, entry, 0);
        }
    }

    fn state(&self, now: UnixTime) -> State<'_> {
        State {
            config: &self.config,
            remote: &self.remote,
            now,
        }
    }

    /// The key of a request's only token, if the result rests on nothing else of the request.
    fn cache_key<'c>(&self, demand: &Rc<Demand>, credentials: &'c [Credential<'_>]) -> Option<Key<'c>> {
        let [credential] = credentials else { return None };
        let authorization = demand.authorization.as_ref();
        let depends_on_request =
            authorization.is_some_and(|authorization| authorization.depends_on_request());
        if self.caches.accepted.is_off() || depends_on_request {
            return None;
        }
        let context = Context {
            // Demands live as long as the configuration, so the address identifies this one.
            demand: Rc::as_ptr(demand).addr(),
            location: credential.location,
        };
        Some(self.caches.accepted.key(context, &credential.token))
    }
}

/// What a result rests on beside the token.
struct State<'e> {
    config: &'e Config,
    remote: &'e [Option<RemoteKeys>],
    now: UnixTime,
}

impl State<'_> {
    fn entry(&self, found: Found, provider: ProviderId, times: TimeLimits) -> Entry {
        Entry {
            set: self.key_set(provider),
            untimely: self.untimely(provider, times),
            found,
            provider,
            times,
        }
    }

    fn holds(&self, entry: &Entry) -> bool {
        self.key_set(entry.provider) == entry.set
            && self.untimely(entry.provider, entry.times) == entry.untimely
    }

    /// The number of the key set that serves a provider; `None` if none does.
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
    fn untimely(&self, provider: ProviderId, times: TimeLimits) -> Option<Denial> {
        times.check(self.config.provider(provider)?, self.now).err()
    }
}
