//! One configuration on one worker thread: its engine, and the requests that wait there.
//!
//! The engine is borrowed for one call at a time, and never during a call of Envoy: Envoy may call the module
//! again.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use proxy_wasm_jwt::authenticator::{Allowed, Authenticator, Decision, Event, StreamId};
use proxy_wasm_jwt::denial::{Denial, Reason};
use proxy_wasm_jwt::host::key_log;
use proxy_wasm_jwt::keys::EXTENSION_BACKENDS;
use proxy_wasm_jwt::request::{RequestContext, RequestHead};
use proxy_wasm_jwt::settings::{Config, SignatureBackend};
use proxy_wasm_jwt::time::{UnixTime, millis};

use crate::binding::{Attribute, Host};
use crate::crypto::AwsLc;
use crate::filter::Filter;
use crate::logger::{now, seed};
use crate::metrics::Context;
use crate::store::{self, ProcessStore};
use crate::text;

/// The most decisions in one call, and its longest duration in milliseconds: the requests of all other
/// clients of this worker wait meanwhile.
const DECISIONS_PER_CALL: u32 = 32;
const DECIDING_PER_CALL: u64 = 2;

/// While requests wait, the shortest pause before the next call of their engine, in milliseconds.
const SOONEST: u64 = 5;
/// The longest pause before that call.
const LATEST: u64 = 1000;

/// An engine for this configuration, with its verifier.
pub(crate) fn engine(config: &Rc<Config>) -> Authenticator {
    let engine = Authenticator::new(config.clone(), seed());
    match config.signature_backend {
        SignatureBackend::Sandbox => engine,
        SignatureBackend::Auto | SignatureBackend::Host => engine.with_verifier(Rc::new(AwsLc {
            remembers: config.limits.token_cache_entries > 0,
        })),
    }
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Held {
    /// The identifier with which to wake its stream.
    pub(crate) wait_id: u64,
    /// The beginning of its wait.
    pub(crate) since: UnixTime,
    pub(crate) outcome: RefCell<Outcome>,
}

/// Its outcome.
#[derive(Debug, Default)]
pub(crate) enum Outcome {
    #[default]
    Waiting,
    /// The stream has to carry out this decision.
    Decided(Decision),
    /// The engine with this request was replaced.
    Lost,
}

/// See the module.
pub(crate) struct Worker {
    index: u32,
    pub(crate) config: Rc<Config>,
    pub(crate) reads_by_name: bool,
    engine: RefCell<Authenticator>,
    /// The store's generation at the engine's last read.
    seen: Cell<u64>,
    held: RefCell<HashMap<u32, Rc<Held>>>,
    last_stream: Cell<u32>,
    last_seen: Cell<UnixTime>,
    spare_head: Cell<RequestHead>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Worker")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

thread_local! {
    /// The workers of this thread. A worker without a configuration stays until another one is made.
    static WORKERS: RefCell<Vec<(Weak<Filter>, Rc<Worker>)>> = const { RefCell::new(Vec::new()) };
}

/// This thread's part of a configuration, made for its first stream. `None` if the configuration cannot be
/// read, although Envoy accepted it.
pub(crate) fn of_this_thread(filter: &Arc<Filter>, host: &Host<'_>) -> Option<Rc<Worker>> {
    let is_same = |known: &Weak<Filter>| std::ptr::eq(known.as_ptr(), Arc::as_ptr(filter));
    let known = WORKERS.with_borrow(|workers| {
        workers
            .iter()
            .find(|(known, _)| is_same(known))
            .map(|(_, worker)| worker.clone())
    });
    if known.is_some() {
        return known;
    }
    let worker = Rc::new(Worker::new(&filter.text, host.worker())?);
    let gone: Vec<_> = WORKERS.with_borrow_mut(|workers| {
        let gone = workers
            .extract_if(.., |(known, _)| known.strong_count() == 0)
            .collect();
        workers.push((Arc::downgrade(filter), worker.clone()));
        gone
    });
    drop(gone);
    Some(worker)
}

impl Worker {
    fn new(text: &[u8], index: u32) -> Option<Self> {
        let config = Rc::new(text::parse(text).ok()?);
        let engine = engine(&config).without_fetches();
        let reads_by_name = config.may_read_by_name();
        Some(Self {
            index,
            reads_by_name,
            seen: Cell::new(0),
            engine: RefCell::new(engine),
            held: RefCell::default(),
            last_stream: Cell::new(0),
            last_seen: Cell::default(),
            spare_head: Cell::default(),
            config,
        })
    }

    /// Replaces the engine, which a panic may have left in any state. The streams of its waiting requests
    /// answer them.
    pub(crate) fn rebuild(&self, filter: &Filter) {
        let fresh = engine(&self.config).without_fetches();
        let broken = self.engine.replace(fresh);
        // The destructors of a broken engine are not safe either.
        std::mem::forget(broken);
        self.seen.set(0);
        for (_, held) in self.held.borrow_mut().drain() {
            held.outcome.replace(Outcome::Lost);
            filter.wake(held.wait_id);
        }
    }

    /// Runs one method of the engine.
    pub(crate) fn engine<T>(&self, run: impl FnOnce(&mut Authenticator) -> T) -> T {
        run(&mut self.engine.borrow_mut())
    }

    fn now(&self) -> UnixTime {
        let now = now();
        self.last_seen.set(now);
        now
    }

    /// The time as it was last known.
    pub(crate) fn last_seen(&self) -> UnixTime {
        self.last_seen.get()
    }

    // --- requests

    /// An identifier that no other stream of this worker has.
    pub(crate) fn next_stream(&self) -> u32 {
        let held = self.held.borrow();
        let mut id = self.last_stream.get();
        loop {
            id = id.wrapping_add(1);
            if !held.contains_key(&id) {
                self.last_stream.set(id);
                return id;
            }
        }
    }

    /// An empty head for the next request, with the memory of one that was decided.
    pub(crate) fn empty_head(&self) -> RequestHead {
        self.spare_head.take()
    }

    pub(crate) fn handle_request(&self, host: &Host<'_>, stream: u32, mut request: RequestHead) -> Decision {
        let now = self.now();
        let generation = store::generation();
        let has_news = self.seen.replace(generation) != generation;
        let decision = self.engine(|engine| {
            if has_news {
                engine.handle_shared(now, &ProcessStore);
            }
            engine.handle_request(StreamId(stream), &mut request, host, now, &ProcessStore)
        });
        request.clear();
        self.spare_head.set(request);
        decision
    }

    /// Keeps a waiting request; `None` if Envoy could not wake it, so that it must not wait.
    pub(crate) fn hold(&self, filter: &Filter, host: &Host<'_>, stream: u32) -> Option<Rc<Held>> {
        let Some(scheduler) = host.scheduler() else {
            self.handle_cancel(filter, stream);
            return None;
        };
        let held = Rc::new(Held {
            wait_id: filter.wait(self.index, scheduler),
            since: self.last_seen.get(),
            outcome: RefCell::default(),
        });
        self.held.borrow_mut().insert(stream, held.clone());
        let soon = self.last_seen.get().as_millis().saturating_add(SOONEST);
        filter.wake_worker_at(self.index, soon);
        Some(held)
    }

    /// A stream has ended, or no longer waits.
    pub(crate) fn handle_cancel(&self, filter: &Filter, stream: u32) {
        if let Some(held) = self.held.borrow_mut().remove(&stream) {
            filter.end_wait(held.wait_id);
        }
        self.engine(|engine| engine.handle_cancel(StreamId(stream)));
    }

    /// A waiting stream was woken: the worker decides its request and others, and wakes each of their
    /// streams.
    pub(crate) fn decide_waiting(&self, filter: &Filter) {
        let now = self.now();
        self.seen.set(store::generation());
        // An engine that does not fetch has no requests to send.
        let _ = self.engine(|engine| engine.handle_tick(now, &ProcessStore));
        let mut decided = 0;
        let has_time = || millis(self.now().since(now)) < DECIDING_PER_CALL;
        while decided < DECISIONS_PER_CALL
            && (decided == 0 || (self.has_decisions(now) && has_time()))
            && let Some((StreamId(stream), decision)) =
                self.engine(|engine| engine.poll_decision(&ProcessStore))
        {
            decided = decided.saturating_add(1);
            // The stream may be gone already; then there is no client to answer.
            let held = self.held.borrow_mut().remove(&stream);
            if let Some(held) = held {
                held.outcome.replace(Outcome::Decided(decision));
                filter.wake(held.wait_id);
            }
        }
        let timeout = self.engine(|engine| engine.next_timeout(now));
        let Some(timeout) = timeout else { return };
        let (now, timeout) = (now.as_millis(), timeout.as_millis());
        let next = match timeout <= now {
            true => now,
            false => timeout.clamp(now.saturating_add(SOONEST), now.saturating_add(LATEST)),
        };
        filter.wake_worker_at(self.index, next);
    }

    fn has_decisions(&self, now: UnixTime) -> bool {
        self.engine(|engine| engine.next_timeout(now))
            .is_some_and(|next| next <= now)
    }

    /// Envoy has chosen another route for an allowed request.
    pub(crate) fn handle_rerouted(
        &self,
        request: &RequestHead,
        forward: &Allowed,
        route: Option<Vec<u8>>,
        then: UnixTime,
    ) -> Decision {
        self.engine(|engine| engine.handle_rerouted(request, forward, route, then))
    }

    /// Counts and logs what has happened.
    pub(crate) fn report_events(&self, filter: &Filter, host: &Host<'_>) {
        filter.metrics.carry_out_pending(host);
        let context = Context::Stream(host);
        let counts = self.engine(Authenticator::take_cache_counts);
        filter.metrics.core.cache(&context, counts);
        while let Some(event) = self.engine(Authenticator::poll_event) {
            match event {
                Event::KeyWanted(_) | Event::BackendNamed(..) => filter.pass_to_main(event),
                Event::BackendMissing(alias) => key_log::log_missing_backend(&alias),
                Event::UnknownKid(id) => {
                    if let Some(metrics) = filter.metrics.core.provider(id) {
                        metrics.unknown_kid.increment(&context);
                    }
                }
                Event::Keys(id, event) => {
                    if let Some(provider) = self.config.provider(id) {
                        key_log::report(&provider.name, &event);
                    }
                }
            }
        }
    }
}

impl RequestContext for Host<'_> {
    fn source_address(&self) -> Option<Vec<u8>> {
        self.attribute(Attribute::SourceAddress)
    }

    fn backend_cluster(&self, alias: &str) -> Option<Vec<u8>> {
        // A value of another type than text names no cluster.
        self.route_metadata(EXTENSION_BACKENDS, alias).unwrap_or_default()
    }
}

/// The refusal of a request that cannot be held.
pub(crate) fn cannot_wait() -> Decision {
    Decision::Deny(
        Denial::new(Reason::KeysUnavailable)
            .with_detail("no scheduler")
            .into(),
    )
}
