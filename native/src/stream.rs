//! One request: the module reads its head, decides, and carries the decision out. Envoy holds a waiting
//! request with its body and trailers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use proxy_wasm_jwt::account::{Account, DENIED, SHADOW_DENIED, token_summary};
use proxy_wasm_jwt::authenticator::{Allowed, Basis, Decision};
use proxy_wasm_jwt::denial::{Denial, Reason, Shortfall};
use proxy_wasm_jwt::host::text_on_one_line;
use proxy_wasm_jwt::http::is_grpc;
use proxy_wasm_jwt::ids::{Choice, ProviderId};
use proxy_wasm_jwt::reply::{LocalReply, Refusal};
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::time::UnixTime;

use crate::binding::{Attribute, Host, Map};
use crate::filter::Filter;
use crate::metadata;
use crate::metrics::Context;
use crate::route::RouteConfig;
use crate::worker::{self, Held, Outcome, Worker};

/// The namespace of jwt_authn's metadata, which other filters read.
const METADATA: &str = "envoy.filters.http.jwt_authn";

/// google.rpc.Code.UNAUTHENTICATED, the code of jwt_authn's metadata for a failure.
const UNAUTHENTICATED: i32 = 16;

/// The longest part of a request's id in the log: a UUID has 36 bytes.
const LONGEST_REQUEST_ID: usize = 64;

/// The progress of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The engine has not decided, or the request waits.
    Held,
    /// Envoy forwards it to the upstream.
    Forwarded,
    /// The module has answered it.
    Answered,
}

/// A request. Envoy calls its hooks from within its own callbacks too: nothing may be borrowed during those.
#[derive(Debug)]
pub(crate) struct Stream {
    filter: Arc<Filter>,
    /// `None` if this thread could not read the configuration: then no request passes.
    worker: Option<Rc<Worker>>,
    stream_id: u32,
    progress: Cell<Progress>,
    held: RefCell<Option<Rc<Held>>>,
    /// The request as its client sent it, if it may still take another route.
    request: RefCell<Option<RequestHead>>,
    /// How it was allowed, and when.
    forward: RefCell<Option<(Rc<Allowed>, UnixTime)>>,
}

impl Stream {
    pub(crate) fn new(host: &Host<'_>, filter: Arc<Filter>) -> Self {
        let worker = worker::of_this_thread(&filter, host);
        Self {
            stream_id: worker.as_ref().map_or(0, |worker| worker.next_stream()),
            filter,
            worker,
            progress: Cell::new(Progress::Held),
            held: RefCell::default(),
            request: RefCell::default(),
            forward: RefCell::default(),
        }
    }

    /// A stream that refuses every request.
    pub(crate) fn broken(filter: Arc<Filter>) -> Self {
        Self {
            stream_id: 0,
            filter,
            worker: None,
            progress: Cell::new(Progress::Held),
            held: RefCell::default(),
            request: RefCell::default(),
            forward: RefCell::default(),
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.get()
    }

    /// A hook has panicked: the stream answers the request, and the engine is replaced.
    pub(crate) fn fail(&self, host: &mut Host<'_>) {
        self.filter.metrics.panicked.increment(&Context::Stream(host));
        self.progress.set(Progress::Answered);
        send(host, &LocalReply::fault("jwt_panic"));
        if let Some(worker) = &self.worker {
            worker.rebuild(&self.filter);
        }
    }

    // --- events

    pub(crate) fn handle_headers(&self, host: &mut Host<'_>) {
        #[cfg(feature = "test-trap")]
        trap(host);
        let Some(worker) = &self.worker else {
            self.progress.set(Progress::Answered);
            send(host, &LocalReply::not_configured());
            return;
        };
        let named = match host.route_config() {
            Some(RouteConfig::Disabled) => return self.pass(worker, host),
            Some(RouteConfig::Requirement(name)) => Some(name.as_bytes().to_vec()),
            None => None,
        };
        let mut request = worker.empty_head();
        let mut is_grpc = None;
        let decision = match self.read_head(worker, host, named, &mut request) {
            Some(()) => {
                // It is known if all fields were read.
                is_grpc = (!worker.reads_by_name).then_some(request.is_grpc == Some(true));
                // Only then can another route have another requirement.
                if !worker.config.policy.requirement_map.is_empty() {
                    self.request.replace(Some(request.clone()));
                }
                worker.handle_request(host, self.stream_id, request)
            }
            None => Decision::Deny(malformed("headers")),
        };
        match decision {
            Decision::Wait => match worker.hold(&self.filter, host, self.stream_id) {
                Some(held) => {
                    self.filter.metrics.core.waiting.increment(&Context::Stream(host));
                    self.held.replace(Some(held));
                }
                None => self.carry_out(worker, host, worker::cannot_wait(), is_grpc),
            },
            decision => self.carry_out(worker, host, decision, is_grpc),
        }
        worker.report_events(&self.filter, host);
    }

    /// Removes the trailers that the client must not send; false if that fails.
    pub(crate) fn handle_trailers(&self, host: &mut Host<'_>) -> bool {
        let Some(worker) = &self.worker else { return false };
        let mut removed: Vec<Vec<u8>> = Vec::new();
        let is_read = host.each_header(Map::RequestTrailers, |name, _| {
            if worker.config.headers.removes_trailer(name) {
                removed.push(name.to_vec());
            }
        });
        is_read
            && removed
                .iter()
                .all(|name| host.set_header(Map::RequestTrailers, name, None))
    }

    /// The stream was woken, because keys have arrived or its time is over, or for no reason.
    pub(crate) fn handle_woken(&self, host: &mut Host<'_>) {
        let Some(worker) = &self.worker else { return };
        let held = self.held.borrow().clone();
        let Some(held) = held else { return };
        worker.decide_waiting(&self.filter);
        match held.outcome.take() {
            Outcome::Waiting => {}
            Outcome::Decided(decision) => {
                self.end_wait();
                let waited = worker.last_seen().since(held.since);
                self.filter.metrics.core.waited(&Context::Stream(host), waited);
                self.carry_out(worker, host, decision, None);
            }
            Outcome::Lost => {
                self.end_wait();
                self.progress.set(Progress::Answered);
                send(host, &LocalReply::fault("jwt_panic"));
            }
        }
        worker.report_events(&self.filter, host);
        // The last action: Envoy continues the request within this call.
        if self.progress.get() == Progress::Forwarded {
            host.resume();
        }
    }

    /// Reads the route of the request again: a later filter may have changed it.
    pub(crate) fn handle_response(&self, host: &mut Host<'_>) {
        let then = self.forward.take();
        if let (Some(worker), Some((forward, then))) = (&self.worker, then)
            && self.progress.get() == Progress::Forwarded
        {
            self.check_route(worker, host, &forward, then);
        }
    }

    /// The client has left, or the request has ended.
    pub(crate) fn handle_end(&self) {
        self.end_wait();
        if self.progress.get() == Progress::Held
            && let Some(worker) = &self.worker
        {
            worker.handle_cancel(&self.filter, self.stream_id);
        }
    }

    fn end_wait(&self) {
        if let Some(held) = self.held.take() {
            self.filter.end_wait(held.wait_id);
        }
    }

    // --- reading

    /// Reads the parts of a request that the configuration needs, and removes the fields that its client must
    /// not send, before it may wait.
    /// `named` is the requirement in the route's own configuration of this filter.
    fn read_head(
        &self,
        worker: &Worker,
        host: &mut Host<'_>,
        named: Option<Vec<u8>>,
        request: &mut RequestHead,
    ) -> Option<()> {
        let config = &worker.config;
        if worker.reads_by_name {
            for (field, name) in config.wanted.iter() {
                if let Some((value, _)) = host.header(Map::RequestHeaders, name.as_bytes(), 0) {
                    request.push(field, value);
                }
            }
        } else if !host.each_header(Map::RequestHeaders, |name, value| {
            request.take(&config.headers, name, value);
        }) {
            return None;
        }
        // By the client's own route, with the original fields.
        request.route_requirement = named.or_else(|| requirement_in_metadata(host));
        if let Some(rules) = &config.policy.filter_state_rules {
            request.filter_state = host.filter_state(&rules.name);
        }
        if config.reads_certificate {
            request.peer_certificate = host
                .attribute(Attribute::PeerCertificateDigest)
                .filter(|digest| !digest.is_empty());
        }
        if config.reads_address {
            request.source_address = host.attribute(Attribute::SourceAddress);
        }
        let is_done = request
            .removed()
            .all(|name| host.set_header(Map::RequestHeaders, name, None));
        if request.route_is_in_doubt() {
            // The client's value of an owned header did not select the route.
            host.clear_route_cache();
        }
        is_done.then_some(())
    }

    // --- carrying out

    /// `is_grpc`: the client's protocol, if it is known.
    fn carry_out(&self, worker: &Worker, host: &mut Host<'_>, decision: Decision, is_grpc: Option<bool>) {
        let progress = self.apply(worker, host, &decision, is_grpc);
        self.progress.set(progress);
        let (Progress::Forwarded, Decision::Allow(forward)) = (progress, decision) else {
            return;
        };
        let then = worker.last_seen();
        if forward.clears_route_cache && !self.check_route(worker, host, &forward, then) {
            return;
        }
        if self.request.borrow().is_some() {
            self.forward.replace(Some((forward, then)));
        }
    }

    /// The route needs no token. The owned headers are removed nevertheless.
    fn pass(&self, worker: &Worker, host: &mut Host<'_>) {
        self.progress.set(Progress::Forwarded);
        let mut request = RequestHead::new();
        let is_read = host.each_header(Map::RequestHeaders, |name, value| {
            request.take(&worker.config.headers, name, value);
        });
        let mut removed = request.removed();
        let is_done = is_read && removed.all(|name| host.set_header(Map::RequestHeaders, name, None));
        if !is_done {
            let progress = self.deny(worker, host, &malformed("headers"), None);
            self.progress.set(progress);
            return;
        }
        self.filter
            .metrics
            .core
            .bypassed
            .increment(&Context::Stream(host));
        show_decision(worker, host, "bypassed");
    }

    fn apply(
        &self,
        worker: &Worker,
        host: &mut Host<'_>,
        decision: &Decision,
        is_grpc: Option<bool>,
    ) -> Progress {
        match decision {
            Decision::Wait => Progress::Held,
            Decision::Deny(refusal) => self.deny(worker, host, refusal, is_grpc),
            Decision::Answer(reply) => {
                self.filter
                    .metrics
                    .core
                    .metadata_served
                    .increment(&Context::Stream(host));
                show_decision(worker, host, "answered");
                send(host, reply);
                Progress::Answered
            }
            Decision::Allow(forward) => self.forward(worker, host, forward),
        }
    }

    fn forward(&self, worker: &Worker, host: &mut Host<'_>, forward: &Allowed) -> Progress {
        for edit in forward.edits.iter() {
            let name = edit.name.as_bytes();
            // An absent field need not be removed.
            if !host.set_header(Map::RequestHeaders, name, edit.value.as_deref()) && edit.value.is_some() {
                // A request must not continue with its client's own headers if an edit fails.
                log::error!("the header {} cannot be changed", edit.name);
                return self.deny(worker, host, &malformed("headers"), None);
            }
        }
        for (name, value) in &forward.state {
            host.set_filter_state(&format!("wasm.jwt.metadata.{name}"), value);
            if let Some(message) = metadata::member(name, value) {
                host.set_metadata(METADATA, &message);
            }
        }
        if forward.clears_route_cache {
            host.clear_route_cache();
        }
        show_rule(worker, host, forward.rule);
        show_subject(worker, host, forward.subject.as_deref());
        let metrics = &self.filter.metrics;
        if let Some(denial) = &forward.shadowed {
            metrics.core.shadow_denied(&Context::Stream(host), denial);
            // Nothing else distinguishes it from a refusal that was enforced.
            host.set_filter_state("wasm.jwt.decision", SHADOW_DENIED.as_bytes());
            self.show_denial(worker, host, denial, SHADOW_DENIED);
            return Progress::Forwarded;
        }
        let decision = match forward.basis {
            Basis::Verified(provider) => {
                metrics.core.allowed.increment(&Context::Stream(host));
                show_provider(worker, host, provider);
                "allowed"
            }
            Basis::Anonymous => {
                metrics.core.allowed.increment(&Context::Stream(host));
                "allowed"
            }
            Basis::Bypassed => {
                metrics.core.bypassed.increment(&Context::Stream(host));
                "bypassed"
            }
        };
        show_decision(worker, host, decision);
        Progress::Forwarded
    }

    fn deny(
        &self,
        worker: &Worker,
        host: &mut Host<'_>,
        refusal: &Refusal,
        is_grpc: Option<bool>,
    ) -> Progress {
        let denial = &refusal.denial;
        self.filter.metrics.denied(host, denial, worker.last_seen());
        show_rule(worker, host, refusal.rule);
        show_subject(worker, host, refusal.subject.as_deref());
        show_decision(worker, host, DENIED);
        self.show_denial(worker, host, denial, DENIED);
        send_to(host, &worker.config.replies.to(refusal), is_grpc);
        Progress::Answered
    }

    /// Reports a refusal in the access log and the log, enforced or not.
    fn show_denial(&self, worker: &Worker, host: &mut Host<'_>, denial: &Denial, decision: &str) {
        let config = &worker.config;
        let label = denial.reason.label();
        host.set_filter_state("wasm.jwt.reason", label.as_bytes());
        let condition = match denial.shortfall {
            Some(Shortfall::Condition { id, .. }) => config.conditions.get(id.index()),
            Some(Shortfall::Scope) | None => None,
        };
        if let Some(condition) = condition {
            host.set_filter_state("wasm.jwt.condition", condition.as_bytes());
        }
        if let Some(provider) = denial.provider {
            show_provider(worker, host, provider);
            let provider = config.provider(provider);
            if let Some(name) = provider.and_then(|provider| provider.metadata.failed_status.as_ref()) {
                host.set_filter_state(&format!("wasm.jwt.metadata.{name}"), label.as_bytes());
                host.set_metadata(METADATA, &metadata::status(name, UNAUTHENTICATED, label));
            }
        }
        let account = Account {
            config,
            denial,
            now: worker.last_seen(),
        };
        let detail = account.detail();
        if !detail.is_empty() {
            host.set_filter_state("wasm.jwt.detail", detail.as_bytes());
        }
        let token = token_of(worker, host, denial);
        if !token.is_empty() {
            host.set_filter_state("wasm.jwt.token", token.as_bytes());
        }
        if log::log_enabled!(log::Level::Info) {
            let is_shadowed = decision == SHADOW_DENIED;
            self.filter.note_refusal(denial, is_shadowed, worker.last_seen());
        }
        if log::log_enabled!(log::Level::Debug) {
            log::debug!("{}", account.line(decision, &request_id(host), &token));
        }
    }

    /// Whether the request may stay on its route.
    fn check_route(
        &self,
        worker: &Worker,
        host: &mut Host<'_>,
        forward: &Rc<Allowed>,
        then: UnixTime,
    ) -> bool {
        let request = self.request.borrow().clone();
        let Some(request) = request.filter(|request| forward.may_be_rerouted(request, &worker.config.policy))
        else {
            return true;
        };
        let route = route_requirement(host);
        if route == request.route_requirement {
            return true;
        }
        match worker.handle_rerouted(&request, forward, route, then) {
            Decision::Deny(refusal) => {
                let progress = self.deny(worker, host, &refusal, None);
                self.progress.set(progress);
                false
            }
            Decision::Allow(forward) => {
                if let Some(denial) = &forward.shadowed {
                    self.filter
                        .metrics
                        .core
                        .shadow_denied(&Context::Stream(host), denial);
                    self.show_denial(worker, host, denial, SHADOW_DENIED);
                }
                true
            }
            Decision::Answer(_) | Decision::Wait => true,
        }
    }
}

fn malformed(what: &'static str) -> Refusal {
    Denial::new(Reason::RequestMalformed).with_detail(what).into()
}

/// The entry of `requirement_map` that the route names: in its own configuration of this filter or, as for
/// the wasm module, in its metadata under `proxy-wasm-jwt`. Unreadable metadata counts as an unknown name:
/// the request is refused.
fn route_requirement(host: &Host<'_>) -> Option<Vec<u8>> {
    if let Some(RouteConfig::Requirement(name)) = host.route_config() {
        return Some(name.as_bytes().to_vec());
    }
    requirement_in_metadata(host)
}

/// The same in the route's metadata only.
fn requirement_in_metadata(host: &Host<'_>) -> Option<Vec<u8>> {
    host.route_metadata("proxy-wasm-jwt", "requirement_name")
        .unwrap_or_else(|()| Some(Vec::new()))
}

/// Answers in place of the upstream.
fn send(host: &mut Host<'_>, reply: &LocalReply) {
    send_to(host, reply, None);
}

/// The same for a gRPC client, for another client, or for a client whose protocol is not known yet.
fn send_to(host: &mut Host<'_>, reply: &LocalReply, client_is_grpc: Option<bool>) {
    let client_is_grpc = client_is_grpc.unwrap_or_else(|| {
        let media_type = host.header(Map::RequestHeaders, b"content-type", 0);
        media_type.is_some_and(|(media_type, _)| is_grpc(&media_type))
    });
    let of_grpc;
    let (reply, status) = match client_is_grpc {
        true => {
            of_grpc = reply.for_grpc();
            // Without it, Envoy would report OK for every status. Other clients do not know the field.
            (&of_grpc, Some(of_grpc.grpc_status.unwrap_or(2).to_string()))
        }
        false => (reply, None),
    };
    let fields = reply.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let fields: Vec<_> = fields
        .chain(status.iter().map(|status| ("grpc-status", status.as_str())))
        .collect();
    host.send_response(reply.status, &fields, &reply.body, &reply.details);
}

// --- what operators see

fn show_rule(worker: &Worker, host: &mut Host<'_>, rule: Option<Choice>) {
    if let Some(rule) = rule.filter(|_| worker.config.shown.rule) {
        host.set_filter_state("wasm.jwt.rule", worker.config.policy.label(rule).as_bytes());
    }
}

fn show_subject(worker: &Worker, host: &mut Host<'_>, subject: Option<&str>) {
    if let Some(subject) = subject.filter(|_| worker.config.shown.subject) {
        host.set_filter_state("wasm.jwt.sub", text_on_one_line(subject).as_bytes());
    }
}

/// The decision about the request.
fn show_decision(worker: &Worker, host: &mut Host<'_>, decision: &str) {
    if worker.config.shown.decision {
        host.set_filter_state("wasm.jwt.decision", decision.as_bytes());
    }
}

fn show_provider(worker: &Worker, host: &mut Host<'_>, provider: ProviderId) {
    if let Some(provider) = worker.config.provider(provider) {
        host.set_filter_state("wasm.jwt.provider", provider.name.as_bytes());
    }
}

/// The content of the refused token, if the configuration asks for it. The request is read again, so that
/// other requests do not pay for it.
fn token_of(worker: &Worker, host: &Host<'_>, denial: &Denial) -> String {
    let config = &worker.config;
    let Some(rule) = denial.rule.filter(|_| config.shown.token) else {
        return String::new();
    };
    let mut request = RequestHead::new();
    let is_read = host.each_header(Map::RequestHeaders, |name, value| {
        request.take(&config.headers, name, value);
    });
    match is_read {
        true => token_summary(config, rule, &request),
        false => String::new(),
    }
}

/// The request's id, by which a reader of the log finds it in the access log. A client may have chosen it.
fn request_id(host: &Host<'_>) -> String {
    let Some((mut value, _)) = host.header(Map::RequestHeaders, b"x-request-id", 0) else {
        return "-".to_owned();
    };
    value.truncate(LONGEST_REQUEST_ID);
    text_on_one_line(&String::from_utf8_lossy(&value)).into_owned()
}

/// Panics as a fault of the module would, for tests.
#[cfg(feature = "test-trap")]
#[expect(clippy::panic, reason = "that is what it is for")]
fn trap(host: &Host<'_>) {
    if host.header(Map::RequestHeaders, b"x-test-trap", 0).is_some() {
        panic!("a trap for the tests");
    }
}
