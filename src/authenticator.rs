//! The engine: events in, decisions out.
//!
//! Knows no host, no clock and no log. Time is an argument; every input is an event (`handle_*`), every
//! output a value. The engine may call out through traits that are handed to it: the [`SharedStore`] with
//! each event, and the [`SignatureVerifier`]. After any event call [`Authenticator::poll_decision`] and
//! [`Authenticator::poll_event`] until nothing is left; spurious calls are harmless.

mod attempt;
mod evaluate;
mod keys;
mod proofs;
mod recall;
mod reroute;
mod token;
mod waiting;

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::binding::nonce::NonceSecret;
use crate::binding::replay::ProofId;
use crate::denial::Denial;
use crate::edits::HeaderEdits;
use crate::ids::{Choice, ProviderId};
use crate::jose::{Checks, Sandbox, SignatureVerifier, Spent};
use crate::keys::{FetchId, KeyEvent, KeySource, RandomSource, RemoteKeys};
use crate::reply::{LocalReply, Refusal};
use crate::request::RequestHead;
use crate::settings::Config;
use crate::store::SharedStore;
use crate::time::UnixTime;
use crate::token_cache::TokenCache;

use evaluate::{EvalTime, Evaluation, Need};
use recall::CacheEntry;
use reroute::Reroutes;
use waiting::{Room, Waiting, WaitingRequests};

pub use recall::CacheCounts;

/// The number of a request, as the host gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(pub u32);

/// What becomes of a request. Exactly one of these: to resume and to reply cannot both be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes on to the upstream, changed so. Shared with the next request of the same token, or of the same
    /// rule where none is asked for.
    Allow(Rc<Allowed>),
    /// It is refused here.
    Deny(Refusal),
    /// It asks for what is answered here: the metadata of a protected resource.
    Answer(Rc<LocalReply>),
    /// It is held until a decision for it comes out of [`Authenticator::poll_decision`].
    Wait,
}

/// A request that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// What is changed of it, beside [`RequestHead::removed`], which goes in any case.
    pub edits: Rc<HeaderEdits>,
    /// Why it may go on.
    pub basis: Basis,
    /// What is left for other filters and the access log, in the filter state `wasm.jwt.metadata.<name>`.
    pub state: Vec<(Box<str>, Vec<u8>)>,
    /// The route is to be chosen anew, by the headers as they are now.
    pub clears_route_cache: bool,
    /// Why it would have been refused, were its rule enforced.
    pub shadowed: Option<Denial>,
    /// What must not have been used before. The engine spends it before it hands the decision out.
    proof: Option<Proof>,
    /// What has said what it needs.
    pub rule: Option<Choice>,
    /// `sub` of that token, where the configuration asks who it is.
    pub subject: Option<Rc<str>>,
}

/// A proof of possession that was sent with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Proof {
    /// What is remembered.
    id: ProofId,
    /// The decision, where it was used before.
    if_used: Box<Decision>,
    /// The decision, where it cannot be remembered.
    if_no_room: Box<Decision>,
}

/// Why a request may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A token of this provider was verified; of several, the first that has what `authorize` asks for.
    Verified(ProviderId),
    /// The policy asks for a token only where there is one, or lets bad ones go on.
    Anonymous,
    /// The policy asks for no token.
    Bypassed,
}

/// Something that an operator wants to see: a log line when a state changes, a metric always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A provider's keys changed their state.
    Keys(ProviderId, KeyEvent),
    /// A token named a key that the provider does not have.
    UnknownKid(ProviderId),
    /// A request waits for this key of the provider, and this engine [does not
    /// fetch](Authenticator::without_fetches): hand it to [`Authenticator::handle_wanted`] of the one that
    /// does.
    KeyWanted(ProviderId, Box<str>),
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

/// A request for an unknown `kid` waits no longer than this for the keys to be fetched anew.
const KID_WAIT: Duration = Duration::from_secs(2);

/// It waits no longer than this where that fetch may begin only after the longest wait: a second request for
/// the same `kid` makes it begin earlier.
const BRIEF_WAIT: Duration = Duration::from_millis(500);

/// While a request waits, the engine looks at the shared store this often,
const HURRIED: Duration = Duration::from_millis(5);

/// and else at least this often: nothing tells a worker that another one has written.
const IDLE: Duration = Duration::from_secs(1);

/// So many of those that wait are looked at in vain in one call.
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
    /// No change.
    no_edits: Rc<HeaderEdits>,
    /// The decision for the last request that no token was asked of.
    bypassed: Option<Rc<Allowed>>,
    /// Which routes requests have taken once their fields were changed, where these name another requirement.
    reroutes: Reroutes,
    /// Whether this engine fetches keys itself.
    fetches: bool,
    last_fetch: FetchId,
    verifier: Rc<dyn SignatureVerifier>,
    /// By the signature checks of the request under way.
    spent: Spent,
    /// Tokens that are good, and apart from them, so that they drive none of these out, tokens that are not.
    cache: TokenCache<CacheEntry>,
    refused: TokenCache<CacheEntry>,
    cache_counts: CacheCounts,
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
        let cache = TokenCache::new(config.limits.token_cache_entries);
        Self {
            waiting: WaitingRequests::default(),
            now: UnixTime::default(),
            serial: 0,
            refused: cache.sibling(),
            cache,
            cache_counts: CacheCounts::default(),
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
            spent: Spent::default(),
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
        let decision = self.decide_or_hold(id, request, address, now);
        self.spend_proof(decision, now, store)
    }

    fn decide_or_hold(
        &mut self,
        id: StreamId,
        request: RequestHead,
        address: impl FnOnce() -> Option<Vec<u8>>,
        now: UnixTime,
    ) -> Decision {
        self.now = now;
        self.serial = self.serial.wrapping_add(1).max(1);
        let need = match self.evaluate(
            &request,
            EvalTime {
                serial: self.serial,
                since: now,
                now,
                is_last: false,
                may_prefer: true,
            },
        ) {
            Evaluation::Allow(forward) => return Decision::Allow(forward),
            Evaluation::Deny(refusal) => return Decision::Deny(refusal),
            Evaluation::Answer(reply) => return Decision::Answer(reply),
            Evaluation::Need(need) => need,
        };
        let limits = self.config.limits;
        let latest = now.after(limits.max_wait);
        let deadline = match need {
            Need::FirstKeys(_) => latest,
            Need::Kid(_, at) if at < latest => latest.min(at.after(KID_WAIT)),
            Need::Kid(..) => latest.min(now.after(BRIEF_WAIT)),
        };
        let limit = limits.max_waiting_requests;
        if limit == 0 || deadline <= now {
            return self.decide_now(&request, now, now);
        }
        let address = request.source_address.clone().or_else(address);
        let peer = self.waiting.peer(address.as_deref());
        let places = WaitingRequests::places(&request, limit);
        loop {
            match self.waiting.room_for(peer, places, limit) {
                Room::Free => break,
                Room::Instead(other, waiting) => {
                    let decision = self.decide_now(&waiting.request, waiting.since, now);
                    self.decided.push_back((other, decision));
                }
                Room::Taken => return self.decide_now(&request, now, now),
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

    /// A decision for a request that waited. It is made only now, and `None` may mean that enough was done
    /// for one call: a thousand signatures at once would hold up all that a worker does. See
    /// [`Self::has_decisions`].
    #[must_use]
    pub fn poll_decision(&mut self, store: &dyn SharedStore) -> Option<(StreamId, Decision)> {
        let (id, decision) = self.next_decision()?;
        Some((id, self.spend_proof(decision, self.now, store)))
    }

    fn next_decision(&mut self) -> Option<(StreamId, Decision)> {
        if let Some(decided) = self.decided.pop_front() {
            return Some(decided);
        }
        let now = self.now;
        for _ in 0..LOOKS_PER_CALL {
            let (arrival, id, waiting) = self.waiting.take_due(now)?;
            let Waiting { since, deadline, .. } = waiting;
            let is_last = deadline <= now;
            let moment = EvalTime {
                serial: 0,
                since,
                now,
                is_last,
                may_prefer: true,
            };
            match self.evaluate(&waiting.request, moment) {
                Evaluation::Allow(forward) => return Some((id, Decision::Allow(forward))),
                Evaluation::Deny(refusal) => return Some((id, Decision::Deny(refusal))),
                Evaluation::Answer(reply) => return Some((id, Decision::Answer(reply))),
                // What it waits for now cannot come in time.
                Evaluation::Need(Need::Kid(_, at)) if at > deadline => {
                    return Some((id, self.decide_now(&waiting.request, since, now)));
                }
                Evaluation::Need(_) => self.waiting.put_back(arrival, id, waiting),
            }
        }
        None
    }

    /// Whether there is one, or may be after another look.
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

    /// This engine is replaced by another: every request that still waits is decided with what is there.
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

    /// Something that an operator wants to see.
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

    /// The signature checks of the request under way.
    fn checks(&self) -> Checks<'_> {
        Checks::new(&*self.verifier, &self.spent)
    }

    /// Decides a request that cannot wait any longer, with what is there.
    fn decide_now(&mut self, request: &RequestHead, since: UnixTime, now: UnixTime) -> Decision {
        match self.evaluate(
            request,
            EvalTime {
                serial: 0,
                since,
                now,
                is_last: true,
                may_prefer: true,
            },
        ) {
            Evaluation::Allow(forward) => Decision::Allow(forward),
            Evaluation::Deny(refusal) => Decision::Deny(refusal),
            Evaluation::Answer(reply) => Decision::Answer(reply),
            Evaluation::Need(need) => Decision::Deny(need.unmet().into()),
        }
    }
}
