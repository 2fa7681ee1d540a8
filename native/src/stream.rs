//! One request: the module reads its head, decides, and carries the decision out. Envoy holds a waiting
//! request with its body and trailers.

mod decision;
mod head;
mod reply;
mod report;
mod state;

use proxy_wasm_jwt::authenticator::Decision;
use proxy_wasm_jwt::reply::LocalReply;

use self::decision::{JustRead, malformed};
use self::head::applied_config;
use self::reply::send;
pub(crate) use self::state::{Progress, Stream};
use crate::binding::{Host, Map};
use crate::metrics::Context;
use crate::route::{Applied, RouteConfig};
use crate::worker::{self, Outcome};

impl Stream {
    /// A hook has panicked: the stream answers the request, and the engine is replaced.
    pub(crate) fn fail(&self, host: &mut Host<'_>) {
        self.filter.metrics.panicked.increment(&Context::Stream(host));
        self.progress.set(Progress::Answered);
        send(host, &LocalReply::fault("jwt_panic"));
        if let Some(worker) = &self.worker {
            worker.rebuild(&self.filter);
        }
    }

    pub(crate) fn handle_headers(&self, host: &mut Host<'_>) {
        #[cfg(feature = "test-trap")]
        trap(host);
        let Some(worker) = &self.worker else {
            self.progress.set(Progress::Answered);
            send(host, &LocalReply::not_configured());
            return;
        };
        let applied = applied_config(host);
        if let Applied::Known(config) = &applied
            && **config == RouteConfig::Disabled
        {
            return self.pass(worker, host);
        }
        let named = applied.requirement_name();
        let mut request = worker.empty_head();
        let mut just_read = None;
        let decision = match self.read_head(worker, host, named, &mut request) {
            Some(()) => {
                just_read = (!worker.reads_by_name).then_some(JustRead {
                    is_grpc: request.is_grpc == Some(true),
                });
                // Without a `requirement_map`, no other route has another requirement.
                if !worker.config.policy.requirement_map.is_empty() {
                    self.request.replace(Some(request.clone()));
                }
                self.filter.secrets.complete(host);
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
                None => self.carry_out(worker, host, worker::cannot_wait(), just_read),
            },
            decision => self.carry_out(worker, host, decision, just_read),
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
        // Before the outcome: Envoy may end the stream while it is carried out.
        worker.report_events(&self.filter, host);
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
}

/// Panics as a fault of the module would, for tests.
#[cfg(feature = "test-trap")]
#[expect(clippy::panic, reason = "that is what it is for")]
fn trap(host: &Host<'_>) {
    if host.header(Map::RequestHeaders, b"x-test-trap", 0).is_some() {
        panic!("a trap for the tests");
    }
}
