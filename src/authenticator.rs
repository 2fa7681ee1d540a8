//! The engine: events in, decisions out.
//!
//! Knows no host, no clock and no log. Time is an argument; every input is an event (`handle_*`), every
//! output a value. The engine may call out through traits that are handed to it: the [`SharedStore`] with
//! each event, and the [`SignatureVerifier`]. After any event call [`Authenticator::poll_decision`] and
//! [`Authenticator::poll_event`] until nothing is left; spurious calls are harmless.

mod cache;
mod decision;
mod failure;
mod keys;
mod proofs;
mod request;
mod requirement;
mod reroute;
mod token;
mod waiting;

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::binding::nonce::NonceSecret;
use crate::edits::HeaderEdits;
use crate::ids::ProviderId;
use crate::jose::{Sandbox, SignatureVerifier};
use crate::keys::KeySource;
use crate::keys::{FetchId, KeyEvent, RandomSource, RemoteKeys};
use crate::request::RequestHead;
use crate::settings::Config;
use crate::store::SharedStore;
use crate::time::UnixTime;

use cache::Caches;
use failure::{EvalTime, MissingKeys};
use reroute::Reroutes;
use waiting::{Room, Waiting, WaitingRequests};

pub use cache::CacheCounts;
pub use decision::{Allowed, Basis, Decision};

/// The number by which the host identifies a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(pub u32);

/// An event for the operator, or for another engine: the host logs it, counts it, or hands it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A provider's keys changed their state.
    Keys(ProviderId, KeyEvent),
    /// A token named a key that the provider does not have.
    UnknownKid(ProviderId),
    /// A request waits for a key, and this engine [does not fetch](Authenticator::without_fetches): hand it to
    /// [`Authenticator::handle_wanted`] of the one that does.
    KeyWanted(WantedKey),
}

/// A key that a request has named and its provider does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedKey {
    /// Whose key.
    pub provider: ProviderId,
    /// Its `kid`.
    pub key_id: Box<str>,
    /// Whether an earlier request has named it as well.
    pub came_again: bool,
    /// Whether the keys have one of this name all the same, which is not for this token.
    pub is_held: bool,
    /// When the request arrived. Keys that were fetched later have answered the question.
    pub since: UnixTime,
}

/// What the metrics show of a provider's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyGauges {
    /// Usable keys.
    pub keys: usize,
    /// How long ago the issuer was asked for them.
    pub age: Option<Duration>,
    /// Whether they are past their lifetime.
    pub stale: bool,
}

/// A request with an unknown `kid` waits no longer than this for the keys to be fetched again.
const KID_WAIT: Duration = Duration::from_secs(2);

/// It waits no longer than this where that fetch may begin only after the longest wait: a second request for
/// the same `kid` makes it begin earlier.
const BRIEF_WAIT: Duration = Duration::from_millis(500);

/// While a request waits, the engine looks at the shared store this often,
const HURRIED: Duration = Duration::from_millis(5);

/// and else at least this often: nothing tells a worker that another one has written.
const IDLE: Duration = Duration::from_secs(1);

/// The number of waiting requests that one call evaluates in vain.
const LOOKS_PER_CALL: u32 = 16;

/// The decision engine of one filter configuration.
#[derive(Debug)]
pub struct Authenticator {
    config: Rc<Config>,
    /// A provider's remote keys; `None` where its keys are local.
    remote: Vec<Option<RemoteKeys>>,
    waiting: WaitingRequests,
    /// When something happened last.
    now: UnixTime,
    /// The number of the last request.
    serial: u64,
    decided: VecDeque<(StreamId, Decision)>,
    events: VecDeque<Event>,
    /// Shared by all requests without an edit.
    no_edits: Rc<HeaderEdits>,
    /// The last request that needed no token.
    bypassed: Option<Rc<Allowed>>,
    /// Which routes requests have taken once their fields were changed, where these name another requirement.
    reroutes: Reroutes,
    /// Whether this engine fetches keys itself.
    fetches: bool,
    last_fetch: FetchId,
    verifier: Rc<dyn SignatureVerifier>,
    caches: Caches,
    /// What the process makes nonces with, where a provider has no secret for that.
    nonce_secret: Option<NonceSecret>,
}

impl Authenticator {
    /// An engine without any keys but the local ones. The seed decides the jitter of its fetches: another one
    /// for each instance.
    #[must_use]
    pub fn new(config: Rc<Config>, seed: u64) -> Self {
        let mut chance = RandomSource::new(seed);
        let remote = config
            .providers
            .iter()
            .map(|provider| match &provider.keys {
                KeySource::Remote(source) => Some(RemoteKeys::new(source.clone(), chance.next())),
                KeySource::Local(_) => None,
            })
            .collect();
        Self {
            waiting: WaitingRequests::default(),
            now: UnixTime::default(),
            serial: 0,
            caches: Caches::new(config.limits.token_cache_entries),
            config,
            remote,
            decided: VecDeque::new(),
            events: VecDeque::new(),
            no_edits: Rc::default(),
            bypassed: None,
            reroutes: Reroutes::default(),
            fetches: true,
            last_fetch: FetchId::default(),
            verifier: Rc::new(Sandbox),
            nonce_secret: None,
        }
    }

    /// The same with signatures checked by another than the sandbox.
    #[must_use]
    pub fn with_verifier(mut self, verifier: Rc<dyn SignatureVerifier>) -> Self {
        self.verifier = verifier;
        self
    }

    /// The same without fetches of its own: another engine of the process, with the same store, fetches for
    /// all. What this one wants it reports as [`Event::KeyWanted`].
    #[must_use]
    pub fn without_fetches(mut self) -> Self {
        self.fetches = false;
        self
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Rc<Config> {
        &self.config
    }

    // --- requests ---

    /// A request's head has arrived. The engine calls `address`, for the client's address and port, only if
    /// the request has to wait.
    pub fn handle_request(
        &mut self,
        id: StreamId,
        request: RequestHead,
        address: impl FnOnce() -> Option<Vec<u8>>,
        now: UnixTime,
        store: &dyn SharedStore,
    ) -> Decision {
        self.now = now;
        self.serial = self.serial.wrapping_add(1).max(1);
        let time = EvalTime {
            serial: self.serial,
            since: now,
            now,
            is_last: false,
            may_prefer: true,
        };
        let outcome = self.evaluate(&request, time);
        match outcome.missing {
            Some(missing) => self.hold(id, request, missing, address, store),
            None => self.spend_proof(outcome, &request, now, store),
        }
    }

    /// Holds a request until its keys have come, if there is a place for it.
    #[inline(never)]
    fn hold(
        &mut self,
        id: StreamId,
        request: RequestHead,
        missing: MissingKeys,
        address: impl FnOnce() -> Option<Vec<u8>>,
        store: &dyn SharedStore,
    ) -> Decision {
        let now = self.now;
        let limits = self.config.limits;
        let latest = now.after(limits.max_wait);
        let deadline = match missing {
            MissingKeys::All(_) => latest,
            MissingKeys::Kid(_, at) if at < latest => latest.min(at.after(KID_WAIT)),
            MissingKeys::Kid(..) => latest.min(now.after(BRIEF_WAIT)),
        };
        let limit = limits.max_waiting_requests;
        if limit == 0 || deadline <= now {
            return self.decide_now(&request, now, now, store);
        }
        let address = request.source_address.clone().or_else(address);
        let peer = self.waiting.peer(address.as_deref());
        let places = WaitingRequests::places(&request, limit);
        loop {
            match self.waiting.room_for(peer, places, limit) {
                Room::Free => break,
                Room::Instead(other, waiting) => {
                    let decision = self.decide_now(&waiting.request, waiting.since, now, store);
                    self.decided.push_back((other, decision));
                }
                Room::Taken => return self.decide_now(&request, now, now, store),
            }
        }
        self.waiting.insert(
            id,
            Waiting {
                request,
                since: now,
                deadline,
                peer,
                places,
            },
        );
        Decision::Wait
    }

    /// The client of a waiting request has left; harmless for any other request.
    pub fn handle_cancel(&mut self, id: StreamId) {
        self.waiting.remove(id);
        self.decided.retain(|(decided, _)| *decided != id);
    }

    /// A decision for a request that waited. The engine makes it only now. `None` may mean that one call has
    /// done enough: a thousand signatures at once would hold up all other requests of a worker. See
    /// [`Self::has_decisions`].
    #[must_use]
    pub fn poll_decision(&mut self, store: &dyn SharedStore) -> Option<(StreamId, Decision)> {
        if let Some(decided) = self.decided.pop_front() {
            return Some(decided);
        }
        let now = self.now;
        for _ in 0..LOOKS_PER_CALL {
            let (arrival, id, waiting) = self.waiting.take_due(now)?;
            let Waiting { since, deadline, .. } = waiting;
            let is_last = deadline <= now;
            let outcome = self.evaluate(&waiting.request, EvalTime::again(since, now, is_last));
            let decision = match outcome.missing {
                None => self.spend_proof(outcome, &waiting.request, now, store),
                // The key cannot come in time.
                Some(MissingKeys::Kid(_, at)) if at > deadline => {
                    self.decide_now(&waiting.request, since, now, store)
                }
                Some(_) => {
                    self.waiting.put_back(arrival, id, waiting);
                    continue;
                }
            };
            return Some((id, decision));
        }
        None
    }

    /// Whether [`Self::poll_decision`] has, or may have, a decision.
    #[must_use]
    pub fn has_decisions(&self) -> bool {
        !self.decided.is_empty() || self.waiting.is_due(self.now)
    }

    /// How many requests wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    // --- time ---

    /// Another engine replaces this one: every request that still waits is decided with the keys at hand.
    pub fn handle_end(&mut self, now: UnixTime) {
        self.now = now;
        self.waiting.end();
    }

    /// When to call [`Self::handle_tick`] next, if nothing else happens. An engine [without
    /// fetches](Self::without_fetches) names only the time at which a request has waited long enough, and
    /// `None` if no request waits.
    #[must_use]
    pub fn next_timeout(&self, now: UnixTime) -> Option<UnixTime> {
        let deadline = self.waiting.next_deadline();
        if !self.fetches {
            return if self.has_decisions() { Some(now) } else { deadline };
        }
        let remote = || self.remote.iter().flatten();
        let next = remote().map(RemoteKeys::next_timeout).chain(deadline).min();
        // What is due already was tried just now, and could not be done: by a host that fails, for instance.
        let next = next.filter(|next| *next > now);
        // Others may wait for the fetch of another worker, too.
        let is_hurried = self.waiting.len() > 0
            || self.has_decisions()
            || remote().any(|keys| keys.serving(now).is_none() && keys.is_awaited(now));
        let latest = now.after(if is_hurried { HURRIED } else { IDLE });
        Some(next.map_or(latest, |next| next.min(latest)))
    }

    /// The next event for the operator.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    // --- inside ---

    fn keys(&self, provider: ProviderId) -> Option<&RemoteKeys> {
        self.remote.get(provider.index())?.as_ref()
    }

    fn keys_mut(&mut self, provider: ProviderId) -> Option<&mut RemoteKeys> {
        self.remote.get_mut(provider.index())?.as_mut()
    }

    /// Decides a request that cannot wait any longer, with the keys at hand.
    fn decide_now(
        &mut self,
        request: &RequestHead,
        since: UnixTime,
        now: UnixTime,
        store: &dyn SharedStore,
    ) -> Decision {
        let outcome = self.evaluate(request, EvalTime::again(since, now, true));
        self.spend_proof(outcome, request, now, store)
    }
}
