//! One configured filter in one VM: the engine, and the host calls around it.
//!
//! The engine is borrowed for one call at a time, and not across a host call that may call back into this
//! module. The calls that the engine itself makes, for shared data and for signatures, never do.

mod fetches;
mod fields;
mod replies;
mod report;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::abi::{self, Map};
use super::crypto::HostCrypto;
use super::held::{Held, Progress};
use super::metrics::{self, Envoy};
use super::shared_data::HostStore;
use super::written::{Client, WrittenFields, send};
use crate::account::{DENIED, RefusalSummary, SHADOW_DENIED};
use crate::authenticator::{Allowed, Authenticator, Basis, Decision, StreamId};
use crate::denial::{Denial, Reason};
use crate::keys::{EXTENSION_BACKENDS, FetchId};
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::reply::Refusal;
use crate::request::{RequestContext, RequestHead, WantedFields};
use crate::settings::Config;
use crate::time::{UnixTime, millis};

/// Envoy carries out replies and resumptions when the call that requested them has returned. Each may call
/// the module again, and the next one is carried out only within that call: 300 replies from one tick
/// overflow the stack and end the VM.
const DECISIONS_PER_CALL: u32 = 32;
/// The longest time of a call in milliseconds, because the requests of all other clients of this worker wait
/// meanwhile.
const DECIDING_PER_CALL: u64 = 2;

/// If more requests wait for their decision, the next call comes after this many milliseconds.
const NEXT_DECISIONS: u32 = 5;

/// If the clock fails, the filter tries again after this many milliseconds. The metrics show the state of the
/// keys as often.
const IDLE_TICK: u32 = 1000;

/// See the module.
pub(super) struct Filter {
    root: u32,
    config: Rc<Config>,
    engine: RefCell<Authenticator>,
    metrics: Metrics<u32>,
    store: HostStore,
    reads_by_name: bool,
    held: RefCell<HashMap<u32, Rc<Held>>>,
    /// The fetches in progress, with the host's numbers. There are few, and another map would cost the module
    /// 1,360 bytes.
    calls: RefCell<Vec<(u32, Call)>>,
    tick_period: Cell<u32>,
    /// Another filter sets the ticks.
    is_retired: Cell<bool>,
    last_seen: Cell<UnixTime>,
    gauges_shown_at: Cell<UnixTime>,
    refusals: RefCell<RefusalSummary>,
    written: WrittenFields,
    spare_head: Cell<RequestHead>,
}

/// The request whose callback the host has called.
struct CurrentRequest;

impl RequestContext for CurrentRequest {
    fn source_address(&self) -> Option<Vec<u8>> {
        abi::property("source\0address").ok().flatten()
    }

    fn backend_cluster(&self, alias: &str) -> Option<Vec<u8>> {
        let path = format!("xds\0route_metadata\0filter_metadata\0{EXTENSION_BACKENDS}\0{alias}");
        abi::property(&path).ok().flatten()
    }
}

/// A fetch in progress.
struct Call {
    fetch: FetchId,
    /// The longest response.
    max_response_bytes: usize,
    sent: UnixTime,
}

impl Filter {
    /// Fails with a text if the host cannot do what the configuration requires.
    // Not inlined, for the memory of Envoy: docs/adr/0010-build-settings.md.
    #[inline(never)]
    pub(super) fn new(root: u32, config: Config, seed: u64) -> Result<Self, String> {
        let config = Rc::new(config);
        let allowed = config
            .providers
            .iter()
            .flat_map(|provider| provider.algorithms.iter());
        let crypto = HostCrypto::new(config.signature_backend, allowed.collect()).map_err(|lacking| {
            format!("signature_backend: host, but this host does not verify {lacking:?} as it should")
        })?;
        let metrics = metrics::define(&config);
        metrics.show_backend(&Envoy, crypto.serves().iter().count());
        let engine = Authenticator::new(config.clone(), seed).with_verifier(Rc::new(crypto));
        let reads_by_name = config.may_read_by_name();
        Ok(Self {
            root,
            metrics,
            reads_by_name,
            written: WrittenFields::new(&config.replies),
            store: HostStore::new(&config.seal),
            config,
            engine: RefCell::new(engine),
            held: RefCell::default(),
            calls: RefCell::default(),
            tick_period: Cell::new(0),
            is_retired: Cell::new(false),
            last_seen: Cell::default(),
            gauges_shown_at: Cell::default(),
            refusals: RefCell::default(),
            spare_head: Cell::default(),
        })
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.config.policy
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn wanted(&self) -> &WantedFields {
        &self.config.wanted
    }

    pub(super) fn reads_by_name(&self) -> bool {
        self.reads_by_name
    }

    /// An empty head for the next request. It reuses the memory of a decided request, so that most requests
    /// need no allocation.
    pub(super) fn empty_head(&self) -> RequestHead {
        self.spare_head.take()
    }

    /// Runs one method of the engine.
    fn engine<T>(&self, run: impl FnOnce(&mut Authenticator) -> T) -> T {
        run(&mut self.engine.borrow_mut())
    }

    /// The time; `None` if the host does not provide it.
    fn now(&self) -> Option<UnixTime> {
        let now = abi::now().ok()?;
        self.last_seen.set(now);
        Some(now)
    }

    // --- requests ---

    pub(super) fn handle_request(&self, id: StreamId, mut request: RequestHead) -> Decision {
        // A decision without a token does not depend on the time: the last known time suffices, and saves a
        // host call.
        let known = Some(self.last_seen.get())
            .filter(|time| *time != UnixTime::default() && !self.config.may_hold_token(&request));
        let decision = match known.or_else(|| self.now()) {
            Some(now) => self
                .engine(|engine| engine.handle_request(id, &mut request, &CurrentRequest, now, &self.store)),
            // Without a clock, the filter cannot recognize an expired token.
            None => Decision::Deny(
                Denial::new(Reason::KeysUnavailable)
                    .with_detail("no clock")
                    .into(),
            ),
        };
        request.clear();
        self.spare_head.set(request);
        decision
    }

    /// The time as it was last known.
    pub(super) fn last_seen(&self) -> UnixTime {
        self.last_seen.get()
    }

    /// Envoy has chosen another route for an allowed request. True if the request may stay on it.
    pub(super) fn handle_rerouted(
        &self,
        request: &RequestHead,
        allowed: &Allowed,
        route: Option<Vec<u8>>,
        then: UnixTime,
    ) -> bool {
        let decision = self.engine(|engine| engine.handle_rerouted(request, allowed, route, then));
        match decision {
            Decision::Deny(refusal) => {
                self.deny(&refusal, Client::Unknown);
                false
            }
            Decision::Allow(allowed) => {
                if let Some(denial) = &allowed.shadowed {
                    self.metrics.shadow_denied(&Envoy, denial);
                    self.show_denial(denial, SHADOW_DENIED);
                }
                true
            }
            Decision::Answer(_) | Decision::Wait => true,
        }
    }

    /// Keeps a waiting request, and shortens the tick period for its decision.
    pub(super) fn hold(&self, stream: u32, held: Rc<Held>) {
        self.metrics.waiting.increment(&Envoy);
        self.held.borrow_mut().insert(stream, held);
        self.set_tick_period(1);
    }

    pub(super) fn handle_cancel(&self, stream: u32) {
        self.held.borrow_mut().remove(&stream);
        self.engine(|engine| engine.handle_cancel(StreamId(stream)));
    }

    /// Carries out a decision for the host's current stream.
    pub(super) fn apply(&self, decision: &Decision, client: Client) -> Progress {
        match decision {
            Decision::Wait => Progress::Held,
            Decision::Deny(refusal) => self.deny(refusal, client),
            Decision::Answer(reply) => {
                self.metrics.metadata_served.increment(&Envoy);
                self.show_decision("answered");
                send(reply)
            }
            Decision::Allow(allowed) => {
                for edit in allowed.edits.iter() {
                    let done = match &edit.value {
                        Some(value) => abi::replace_request_header(&edit.name, value),
                        None => abi::remove_header(Map::RequestHeaders, edit.name.as_bytes()),
                    };
                    // A request must not continue with its client's own headers if an edit fails.
                    if let Err(status) = done {
                        log::error!("the header {} cannot be changed: {status:?}", edit.name);
                        let denial = Denial::new(Reason::RequestMalformed).with_detail("headers");
                        return self.deny(&denial.into(), client);
                    }
                }
                for (name, value) in &allowed.state {
                    let _ = abi::set_filter_state(&format!("jwt.metadata.{name}"), value);
                }
                if allowed.clears_route_cache {
                    let _ = abi::call_foreign_function("clear_route_cache", &[]);
                }
                self.show_rule(allowed.rule);
                self.show_subject(allowed.subject.as_deref());
                if let Some(denial) = &allowed.shadowed {
                    self.metrics.shadow_denied(&Envoy, denial);
                    // Only this distinguishes the request from an enforced refusal.
                    let _ = abi::set_filter_state("jwt.decision", SHADOW_DENIED.as_bytes());
                    self.show_denial(denial, SHADOW_DENIED);
                    return Progress::Forwarded;
                }
                let decision = match allowed.basis {
                    Basis::Verified(provider) => {
                        self.metrics.allowed.increment(&Envoy);
                        self.show_provider(provider);
                        "allowed"
                    }
                    Basis::Anonymous => {
                        self.metrics.allowed.increment(&Envoy);
                        "allowed"
                    }
                    Basis::Bypassed => {
                        self.metrics.bypassed.increment(&Envoy);
                        "bypassed"
                    }
                };
                self.show_decision(decision);
                Progress::Forwarded
            }
        }
    }

    pub(super) fn deny(&self, refusal: &Refusal, client: Client) -> Progress {
        self.metrics.denied(&Envoy, &refusal.denial);
        self.show_rule(refusal.rule);
        self.show_subject(refusal.subject.as_deref());
        self.show_decision(DENIED);
        self.show_denial(&refusal.denial, DENIED);
        self.send_refusal(refusal, client)
    }

    /// Carries out decisions for requests that waited, then makes the root the current context again. The
    /// next tick handles the remaining requests.
    fn decide_waiting(&self) {
        let mut carried_out = 0;
        // This is the time of the current event. The clock is read again only for a second decision.
        let begun = self.last_seen.get();
        let has_time = || {
            let took = self.now().map(|now| millis(now.since(begun)));
            took.is_none_or(|took| took < DECIDING_PER_CALL)
        };
        while carried_out < DECISIONS_PER_CALL
            && (carried_out == 0 || (self.has_decisions(begun) && has_time()))
            && let Some((StreamId(stream), decision)) =
                self.engine(|engine| engine.poll_decision(&self.store))
        {
            let held = self.held.borrow_mut().remove(&stream);
            // The stream may have ended already.
            if let Some(held) = held
                && abi::set_effective_context(stream).is_ok()
            {
                carried_out = carried_out.saturating_add(1);
                self.metrics
                    .waited(&Envoy, self.last_seen.get().since(held.since));
                held.progress.set(self.apply(&decision, Client::Unknown));
                if let Decision::Allow(allowed) = decision {
                    held.allowed.replace(Some((allowed, self.last_seen.get())));
                }
                if held.progress.get() == Progress::Forwarded
                    && let Err(status) = abi::resume_request()
                {
                    log::error!("the request cannot be resumed: {status:?}");
                }
            }
        }
        let _ = abi::set_effective_context(self.root);
    }

    // --- ticks ---

    pub(super) fn set_tick_period(&self, millis: u32) {
        if self.is_retired.get() {
            return;
        }
        if self.tick_period.replace(millis) != millis && abi::set_tick_period(millis).is_err() {
            self.tick_period.set(0);
        }
    }

    fn set_next_tick(&self, now: UnixTime) {
        let period = match self.engine(|engine| engine.next_timeout(now)) {
            Some(next) if next <= now => NEXT_DECISIONS,
            Some(next) => u32::try_from(millis(next.since(now))).unwrap_or(IDLE_TICK),
            None => IDLE_TICK,
        };
        self.set_tick_period(period.max(1));
    }
}
