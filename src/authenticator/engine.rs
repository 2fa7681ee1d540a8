//! The engine's state, and its events.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::backends::WantedBackends;
use super::cache::{CacheCounts, Caches};
use super::decision::{Allowed, Decision};
use super::event::{Event, StreamId};
use super::failure::{EvalTime, MissingKeys};
use super::header_memory::HeaderMemory;
use super::route_memory::Reroutes;
use super::waiting::{Room, Waiting, WaitingRequests};
use crate::binding::nonce::NonceSecret;
use crate::edits::HeaderEdits;
use crate::ids::ProviderId;
use crate::jose::{Sandbox, SignatureVerifier};
use crate::keys::{FetchId, KeySource, RandomSource, RemoteKeys, Wants};
use crate::request::{RequestContext, RequestHead};
use crate::settings::Config;
use crate::store::SharedStore;
use crate::time::UnixTime;

/// The longest time for which a request with an unknown `kid` waits for the next fetch.
const KID_WAIT: Duration = Duration::from_secs(2);

/// The longest wait if that fetch cannot begin within the time above. A second request for the same `kid` may
/// make it begin earlier.
const BRIEF_WAIT: Duration = Duration::from_millis(500);

/// The interval at which the engine reads the shared store while a request waits.
const HURRIED: Duration = Duration::from_millis(5);

/// The longest interval otherwise: a worker gets no notice of another worker's write.
const IDLE: Duration = Duration::from_secs(1);

/// A clock that was set back by less than this counts as one that stands still. Otherwise, a fetch from
/// before the step would seem to have begun after a request that comes after it.
const SMALL_STEP: Duration = Duration::from_secs(5);

/// The number of waiting requests that one call evaluates without a result.
const LOOKS_PER_CALL: u32 = 16;

/// The decision engine of one filter configuration.
#[derive(Debug)]
pub struct Authenticator {
    pub(super) config: Rc<Config>,
    /// A provider's remote keys; `None` if its keys are local.
    pub(super) remote: Vec<Option<RemoteKeys>>,
    pub(super) waiting: WaitingRequests,
    /// The time of the last event.
    pub(super) now: UnixTime,
    /// The number of the last request.
    pub(super) serial: u64,
    pub(super) decided: VecDeque<(StreamId, Decision)>,
    pub(super) events: VecDeque<Event>,
    /// Shared by all requests without an edit.
    pub(super) no_edits: Rc<HeaderEdits>,
    /// The decision for the last request that needed no token.
    pub(super) bypassed: Option<Rc<Allowed>>,
    /// The routes that Envoy chose for edited requests, if they name another requirement.
    pub(super) reroutes: Reroutes,
    /// The extension backends whose clusters a request has to name.
    pub(super) backends: WantedBackends,
    /// Whether this engine fetches keys itself.
    pub(super) fetches: bool,
    pub(super) last_fetch: FetchId,
    pub(super) verifier: Rc<dyn SignatureVerifier>,
    pub(super) caches: Caches,
    pub(super) headers: HeaderMemory,
    /// The secret of the process for nonces, for providers without a secret of their own.
    pub(super) nonce_secret: Option<NonceSecret>,
}

impl Authenticator {
    /// An engine that has only the local keys. `seed` determines the jitter of its fetches: each instance
    /// needs another one.
    #[must_use]
    // Not inlined here and below, for the memory of Envoy: docs/adr/0010-build-settings.md.
    #[inline(never)]
    pub fn new(config: Rc<Config>, seed: u64) -> Self {
        let mut chance = RandomSource::new(seed);
        let remote = config
            .providers
            .iter()
            .map(|provider| match &provider.keys {
                KeySource::Remote(source) => Some(RemoteKeys::new((**source).clone(), chance.next())),
                KeySource::Local(_) => None,
            })
            .collect::<Vec<_>>();
        Self {
            backends: WantedBackends::of(&remote),
            waiting: WaitingRequests::default(),
            now: UnixTime::default(),
            serial: 0,
            caches: Caches::new(config.limits.token_cache_entries),
            headers: HeaderMemory::default(),
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

    /// The same engine with another verifier than the sandbox.
    #[must_use]
    pub fn with_verifier(mut self, verifier: Rc<dyn SignatureVerifier>) -> Self {
        self.verifier = verifier;
        self
    }

    /// The same engine without fetches of its own: another engine of the process, with the same store,
    /// fetches for all. This engine reports the keys that it needs as [`Event::KeyWanted`].
    #[must_use]
    pub fn without_fetches(mut self) -> Self {
        self.fetches = false;
        self
    }

    // --- requests ---

    /// The headers of a request have arrived. The engine takes the head away only if the request has to wait,
    /// and asks `context` only for what it needs.
    pub fn handle_request(
        &mut self,
        id: StreamId,
        request: &mut RequestHead,
        context: &dyn RequestContext,
        now: UnixTime,
        store: &dyn SharedStore,
    ) -> Decision {
        let now = self.advance(now);
        self.look_up_backends(context, now);
        self.serial = self.serial.wrapping_add(1).max(1);
        let time = EvalTime {
            serial: self.serial,
            since: now,
            now,
            is_last: false,
            may_prefer: true,
        };
        let outcome = self.evaluate(request, time);
        match outcome.missing {
            Some(missing) => self.hold(id, request, missing, context, store),
            None => self.spend_proof(outcome, request, now, store),
        }
    }

    /// Holds a request until its keys have arrived, if the engine has room for it.
    #[inline(never)]
    fn hold(
        &mut self,
        id: StreamId,
        request: &mut RequestHead,
        missing: MissingKeys,
        context: &dyn RequestContext,
        store: &dyn SharedStore,
    ) -> Decision {
        let now = self.now;
        let deadline = self.deadline(missing, now);
        let limit = self.config.limits.max_waiting_requests;
        if limit == 0 || deadline <= now {
            return self.decide_now(request, now, now, store);
        }
        let known = request.source_address.clone();
        let address = known.or_else(|| context.source_address());
        let peer = self.waiting.peer(address.as_deref());
        let places = WaitingRequests::places(request, limit);
        loop {
            match self.waiting.room_for(peer, places, limit) {
                Room::Free => break,
                Room::Instead(other, waiting) => {
                    let decision = self.decide_now(&waiting.request, waiting.since, now, store);
                    self.decided.push_back((other, decision));
                }
                Room::Taken => return self.decide_now(request, now, now, store),
            }
        }
        let mut request = std::mem::take(request);
        request.shrink();
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

    /// The end of the wait of a request that arrived at `since`.
    fn deadline(&self, missing: MissingKeys, since: UnixTime) -> UnixTime {
        let latest = since.after(self.config.limits.max_wait);
        match missing {
            MissingKeys::All(_) => latest,
            MissingKeys::Kid(_, at) if at < latest => latest.min(at.after(KID_WAIT)),
            MissingKeys::Kid(..) => latest.min(since.after(BRIEF_WAIT)),
        }
    }

    /// The client of a waiting request has left. For any other request this does nothing.
    pub fn handle_cancel(&mut self, id: StreamId) {
        self.waiting.remove(id);
        self.decided.retain(|(decided, _)| *decided != id);
    }

    /// A decision for a request that waited. The engine makes it in this call. It may return `None` before
    /// all are decided, because a thousand signature checks in one call would hold up every other request of
    /// the worker: then [`Self::next_timeout`] is at once.
    #[must_use]
    pub fn poll_decision(&mut self, store: &dyn SharedStore) -> Option<(StreamId, Decision)> {
        if let Some(decided) = self.decided.pop_front() {
            return Some(decided);
        }
        let now = self.now;
        for _ in 0..LOOKS_PER_CALL {
            let (arrival, id, mut waiting) = self.waiting.take_due(now)?;
            let since = waiting.since;
            let is_over = waiting.deadline <= now;
            let is_last = is_over && !(waiting.may_stay() && self.is_kid_urgent(now));
            let outcome = self.evaluate(&waiting.request, EvalTime::again(since, now, is_last));
            let decision = match outcome.missing {
                None => self.spend_proof(outcome, &waiting.request, now, store),
                Some(missing) => {
                    if is_over {
                        waiting.deadline = self.deadline(missing, since);
                    }
                    let deadline = waiting.deadline;
                    // Whether the key cannot arrive in time.
                    let is_late = matches!(missing, MissingKeys::Kid(_, at) if at > deadline);
                    if deadline > now && !is_late {
                        self.waiting.put_back(arrival, id, waiting);
                        continue;
                    }
                    self.decide_now(&waiting.request, since, now, store)
                }
            };
            return Some((id, decision));
        }
        None
    }

    /// Whether a waiting request may get its key earlier than it seemed when it arrived, because another
    /// request has named the same `kid`.
    fn is_kid_urgent(&self, now: UnixTime) -> bool {
        let mut remote = self.remote.iter().flatten();
        remote.any(|keys| keys.is_awaited(now) || keys.wants() >= Wants::Again)
    }

    /// Whether [`Self::poll_decision`] has a decision, or may have one.
    fn has_decisions(&self) -> bool {
        !self.decided.is_empty() || self.waiting.is_due(self.now)
    }

    // --- time ---

    /// Another engine replaces this one: [`Self::poll_decision`] decides every waiting request with the
    /// present keys.
    pub fn handle_end(&mut self, now: UnixTime) {
        self.advance(now);
        self.waiting.end();
    }

    /// When to call [`Self::handle_tick`] or [`Self::poll_decision`] next, if no other event comes first:
    /// `now` while decisions may be ready. An engine [without fetches](Self::without_fetches) returns the
    /// next deadline of a waiting request, and `None` if no request waits.
    #[must_use]
    pub fn next_timeout(&self, now: UnixTime) -> Option<UnixTime> {
        if self.has_decisions() {
            return Some(now);
        }
        let deadline = self.waiting.next_deadline();
        if !self.fetches {
            return deadline;
        }
        let remote = || self.remote.iter().flatten();
        let next = remote().map(RemoteKeys::next_timeout).chain(deadline).min();
        // The engine has just tried everything that is due, without success: for instance, the host may have
        // failed.
        let next = next.filter(|next| *next > now);
        // Requests may also wait for the fetch of another worker.
        let is_hurried = self.waiting.len() > 0
            || remote().any(|keys| keys.serving(now).is_none() && keys.is_awaited(now));
        let latest = now.after(if is_hurried { HURRIED } else { IDLE });
        Some(next.map_or(latest, |next| next.min(latest)))
    }

    /// How often the engine has asked the cache of tokens since the last call.
    #[must_use]
    pub fn take_cache_counts(&mut self) -> CacheCounts {
        self.caches.take_counts()
    }

    /// The next event for the operator.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    // --- inside ---

    /// The time of this event, which the host's clock gives.
    pub(super) fn advance(&mut self, clock: UnixTime) -> UnixTime {
        if clock >= self.now || self.now.since(clock) >= SMALL_STEP {
            self.now = clock;
        }
        self.now
    }

    pub(super) fn keys(&self, provider: ProviderId) -> Option<&RemoteKeys> {
        self.remote.get(provider.index())?.as_ref()
    }

    pub(super) fn keys_mut(&mut self, provider: ProviderId) -> Option<&mut RemoteKeys> {
        self.remote.get_mut(provider.index())?.as_mut()
    }

    /// Decides a request that cannot wait any longer, with the present keys.
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
