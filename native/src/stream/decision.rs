//! A decision, carried out in Envoy.

use std::rc::Rc;

use proxy_wasm_jwt::account::{DENIED, SHADOW_DENIED};
use proxy_wasm_jwt::authenticator::{Allowed, Basis, Decision};
use proxy_wasm_jwt::denial::{Denial, Reason};
use proxy_wasm_jwt::reply::Refusal;
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::time::UnixTime;

use super::head::route_requirement;
use super::reply::{send, send_to};
use super::report::{METADATA, show_decision, show_provider, show_rule, show_subject};
use super::state::{Progress, Stream};
use crate::binding::{Host, Map};
use crate::metadata;
use crate::metrics::Context;
use crate::worker::Worker;

/// The call of Envoy that brings the decision has read all header fields of the request, and has removed
/// those that only the filter may write.
#[derive(Clone, Copy, Debug)]
pub(super) struct JustRead {
    /// The client's protocol.
    pub(super) is_grpc: bool,
}

impl Stream {
    pub(super) fn carry_out(
        &self,
        worker: &Worker,
        host: &mut Host<'_>,
        decision: Decision,
        just_read: Option<JustRead>,
    ) {
        let progress = self.apply(worker, host, &decision, just_read);
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
    pub(super) fn pass(&self, worker: &Worker, host: &mut Host<'_>) {
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
        just_read: Option<JustRead>,
    ) -> Progress {
        match decision {
            Decision::Wait => Progress::Held,
            Decision::Deny(refusal) => self.deny(worker, host, refusal, just_read),
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
            Decision::Allow(forward) => self.forward(worker, host, forward, just_read),
        }
    }

    fn forward(
        &self,
        worker: &Worker,
        host: &mut Host<'_>,
        forward: &Allowed,
        just_read: Option<JustRead>,
    ) -> Progress {
        for edit in forward.edits.iter() {
            let name = edit.name.as_bytes();
            let is_done = match &edit.value {
                // The request has no such field: to add it, Envoy does not have to look for it.
                Some(value) if just_read.is_some() && worker.config.headers.removes(name) => {
                    host.add_header(Map::RequestHeaders, name, value)
                }
                Some(value) => host.set_header(Map::RequestHeaders, name, Some(value)),
                None => {
                    // An absent field need not be removed.
                    host.set_header(Map::RequestHeaders, name, None);
                    true
                }
            };
            if !is_done {
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
        just_read: Option<JustRead>,
    ) -> Progress {
        let denial = &refusal.denial;
        self.filter.metrics.denied(host, denial, worker.last_seen());
        show_rule(worker, host, refusal.rule);
        show_subject(worker, host, refusal.subject.as_deref());
        show_decision(worker, host, DENIED);
        self.show_denial(worker, host, denial, DENIED);
        let is_grpc = just_read.map(|just_read| just_read.is_grpc);
        send_to(host, &worker.config.replies.to(refusal), is_grpc);
        Progress::Answered
    }

    /// Whether the request may stay on its route.
    pub(super) fn check_route(
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

pub(super) fn malformed(what: &'static str) -> Refusal {
    Denial::new(Reason::RequestMalformed).with_detail(what).into()
}
