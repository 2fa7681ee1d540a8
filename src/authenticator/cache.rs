//! Results of earlier checks of a token. The filter uses a result again while nothing changes on which it
//! depends.
//!
//! It decides whether a result may be kept, and whether a kept result is still valid. [`TokenCache`] is the
//! container.

use std::rc::Rc;

use super::decision::{Allowed, Checked, Decision};
use super::failure::EvalTime;
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
use crate::token_cache::{Context, Key, TokenCache};

/// The accepted tokens and the refused ones, in separate tables: refused tokens do not displace accepted
/// ones.
#[derive(Debug)]
pub(super) struct Caches {
    accepted: TokenCache<Entry>,
    refused: TokenCache<Entry>,
    counts: CacheCounts,
}

/// The result for a token, and the values on which it depends in addition to the token and the configuration.
#[derive(Debug)]
struct Entry {
    found: Found,
    provider: ProviderId,
    times: TimeLimits,
    /// The number of the key set at that time: with a later set the filter checks the token again.
    set: Option<u64>,
    /// The objection to the token's times, if there was one.
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

/// The entry of the cache for a token.
pub(super) enum Known {
    /// The decision.
    Allowed(Rc<Allowed>),
    /// The result of the checks.
    Checked(Checked),
}

/// The numbers of tokens that the cache knew, and did not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// The cache had a valid result.
    pub hits: u64,
    /// The cache had no result, and the filter checked the token in full.
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

    /// How often the engine has asked the cache since the last call.
    pub(super) fn take_counts(&mut self) -> CacheCounts {
        std::mem::take(&mut self.counts)
    }

    /// The result of an earlier check of the token, if it is still valid.
    #[inline(never)]
    pub(super) fn recall(
        &mut self,
        state: EvalState<'_>,
        choice: Choice,
        demand: &Rc<Demand>,
        credentials: &[Credential<'_>],
    ) -> Option<Known> {
        let key = self.key(demand, credentials)?;
        let Self {
            accepted,
            refused,
            counts,
        } = self;
        let holds = |entry: &&Entry| state.holds(entry);
        let known = accepted.get(key).filter(holds);
        let Some(entry) = known.or_else(|| refused.get(key).filter(holds)) else {
            // The engine evaluates a request that waits more than once.
            if state.time.is_first_look() {
                counts.misses = counts.misses.saturating_add(1);
            }
            return None;
        };
        counts.hits = counts.hits.saturating_add(1);
        Some(match &entry.found {
            // Another rule may have the same requirement and conditions.
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

    /// Keeps an accepted token for the next request.
    #[inline(never)]
    pub(super) fn keep(
        &mut self,
        state: EvalState<'_>,
        demand: &Rc<Demand>,
        credentials: &[Credential<'_>],
        token: AcceptedToken,
        decision: &Decision,
    ) {
        let (Some(key), Decision::Allow(allowed)) = (self.key(demand, credentials), decision) else {
            return;
        };
        if token.values.is_bound {
            return;
        }
        // The parameters or cookies beside the token differ from request to request, and shadow mode may
        // apply to some clients only.
        let location = state.config.locations.get(token.location.index());
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
        let entry = state.entry(found, provider, times);
        // Without keys the filter has verified nothing.
        if entry.set.is_some() {
            self.accepted.insert(key, entry, bytes);
        }
    }

    /// Keeps a refusal: a client often sends a refused token again.
    #[inline(never)]
    pub(super) fn keep_refusal(
        &mut self,
        state: EvalState<'_>,
        demand: &Rc<Demand>,
        credentials: &[Credential<'_>],
        denial: Denial,
        (provider, times): (ProviderId, TimeLimits),
    ) {
        if let Some(key) = self.key(demand, credentials) {
            let entry = state.entry(Found::Refused(denial), provider, times);
            self.refused.insert(key, entry, 0);
        }
    }

    /// The key of a request's only token; `None` if the result depends on anything else in the request.
    fn key<'c>(&self, demand: &Rc<Demand>, credentials: &'c [Credential<'_>]) -> Option<Key<'c>> {
        let [credential] = credentials else { return None };
        let authorization = demand.authorization.as_ref();
        let depends_on_request =
            authorization.is_some_and(|authorization| authorization.depends_on_request());
        if self.accepted.is_off() || depends_on_request {
            return None;
        }
        let context = Context {
            // A demand lives as long as the configuration: its address identifies it.
            demand: Rc::as_ptr(demand).addr(),
            location: credential.location,
        };
        Some(self.accepted.key(context, &credential.token))
    }
}

/// Everything on which a result depends, except the token and the rule.
#[derive(Clone, Copy)]
pub(super) struct EvalState<'e> {
    config: &'e Config,
    remote: &'e [Option<RemoteKeys>],
    time: EvalTime,
}

impl<'e> EvalState<'e> {
    pub(super) fn new(config: &'e Config, remote: &'e [Option<RemoteKeys>], time: EvalTime) -> Self {
        Self { config, remote, time }
    }

    fn entry(self, found: Found, provider: ProviderId, times: TimeLimits) -> Entry {
        Entry {
            set: self.key_set(provider),
            untimely: self.untimely(provider, times),
            found,
            provider,
            times,
        }
    }

    fn holds(self, entry: &Entry) -> bool {
        self.key_set(entry.provider) == entry.set
            && self.untimely(entry.provider, entry.times) == entry.untimely
    }

    /// The number of the key set that serves a provider; `None` if there is none.
    fn key_set(self, id: ProviderId) -> Option<u64> {
        match &self.config.provider(id)?.keys {
            KeySource::Local(local) => Some(local.set.number()),
            KeySource::Remote(_) => {
                let keys = self.remote.get(id.index())?.as_ref()?;
                Some(keys.serving(self.time.now)?.number())
            }
        }
    }

    /// The provider's objection to a token because of its times.
    fn untimely(self, provider: ProviderId, times: TimeLimits) -> Option<Denial> {
        times.check(self.config.provider(provider)?, self.time.now).err()
    }
}
