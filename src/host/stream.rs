//! One request: the filter reads its head and decides. Envoy holds a waiting request with its body and
//! trailers.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::abi::{self, Map, Status};
use super::filter::Filter;
use super::held::{Held, Progress};
use super::written::Client;
use crate::authenticator::{Allowed, Decision, StreamId};
use crate::denial::{Denial, Reason};
use crate::reply::LocalReply;
use crate::request::RequestHead;
use crate::time::UnixTime;

/// The context of one request.
pub(super) struct Stream {
    id: u32,
    /// `None` if the root was never configured: then no request passes.
    filter: Option<Rc<Filter>>,
    progress: Progress,
    /// A request that waits, which the filter shares.
    waiting: Option<Rc<Held>>,
    /// The request as its client sent it, if it may still take another route.
    request: Option<RequestHead>,
    /// The decision that allowed the request without a wait, and its time.
    allowed: Option<(Rc<Allowed>, UnixTime)>,
}

impl Stream {
    pub(super) fn new(id: u32, filter: Option<Rc<Filter>>) -> Self {
        Self {
            id,
            filter,
            progress: Progress::Held,
            waiting: None,
            request: None,
            allowed: None,
        }
    }

    fn progress(&self) -> Progress {
        self.waiting
            .as_ref()
            .map_or(self.progress, |waiting| waiting.progress.get())
    }

    fn action(&self) -> Action {
        match self.progress() {
            Progress::Forwarded => Action::Continue,
            // With `allow_on_headers_stop_iteration`, the host calls for body and trailers of a request
            // although its headers are held. To continue there would forward the undecided request.
            Progress::Held | Progress::Answered => Action::Pause,
        }
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        #[cfg(feature = "test-trap")]
        trap();
        let Some(filter) = &self.filter else {
            self.progress = Progress::Answered;
            let reply = LocalReply::not_configured();
            let _ = abi::send_local_response(&reply, &abi::written_fields(&reply));
            return Action::Pause;
        };
        let mut request = filter.empty_head();
        let mut client = Client::Unknown;
        let decision = match read_head(filter, &mut request).and_then(|()| remove_fields(&request)) {
            Ok(()) => {
                client = filter.client_of(&request);
                // Only in this case can another route have another requirement.
                if !filter.policy().requirement_map.is_empty() {
                    self.request = Some(request.clone());
                }
                filter.handle_request(StreamId(self.id), request)
            }
            Err(_) => Decision::Deny(
                Denial::new(Reason::RequestMalformed)
                    .with_detail("headers")
                    .into(),
            ),
        };
        match decision {
            Decision::Wait => {
                let held = Rc::new(Held::since(filter.last_seen()));
                filter.hold(self.id, held.clone());
                self.waiting = Some(held);
            }
            decision => {
                self.progress = filter.apply(&decision, client);
                if let Decision::Allow(allowed) = decision {
                    self.allowed = Some((allowed, filter.last_seen()));
                }
            }
        }
        filter.report_events();
        self.action()
    }

    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        self.action()
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        if let Some(filter) = &self.filter
            && let Err(status) = remove_trailers(filter)
        {
            // The filter holds the trailers like an undecided request, so that the upstream gets no unchecked
            // trailers.
            log::error!("the trailers cannot be changed: {status:?}");
            return Action::Pause;
        }
        self.action()
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.check_route()
    }
}

impl Stream {
    /// Reads the route of the request again. The host chooses it again after an edit, but only after the
    /// filters, and shows it now.
    fn check_route(&mut self) -> Action {
        let allowed = match &self.waiting {
            Some(held) => held.allowed.take(),
            None => self.allowed.take(),
        };
        let (Some(filter), Some(request), Some((allowed, then))) =
            (&self.filter, self.request.take(), allowed)
        else {
            return Action::Continue;
        };
        if self.progress() != Progress::Forwarded || !allowed.may_be_rerouted(&request, filter.policy()) {
            return Action::Continue;
        }
        let may_stay = match filter.route_requirement() {
            Ok(route) if route == request.route_requirement => true,
            Ok(route) => filter.handle_rerouted(&request, &allowed, route, then),
            Err(_) => {
                let denial = Denial::new(Reason::RequestMalformed).with_detail("route");
                filter.deny(&denial.into(), Client::Unknown);
                false
            }
        };
        match may_stay {
            true => Action::Continue,
            false => Action::Pause,
        }
    }
}

/// The client has left, or the request has ended.
impl Drop for Stream {
    fn drop(&mut self) {
        if self.progress() == Progress::Held
            && let Some(filter) = &self.filter
        {
            filter.handle_cancel(self.id);
        }
    }
}

/// Reads the parts of a request that the configuration needs.
fn read_head(filter: &Filter, request: &mut RequestHead) -> Result<(), Status> {
    filter.read_fields(request)?;
    let policy = filter.policy();
    request.route_requirement = filter.route_requirement()?;
    if let Some(rules) = &policy.filter_state_rules {
        request.filter_state = abi::property(&format!("filter_state\0{}", rules.name))?;
    }
    // If the host has no such property, the value is absent, and a provider that needs it refuses the token.
    if filter.config().reads_certificate {
        request.peer_certificate = abi::property("connection\0sha256_peer_certificate_digest")?;
    }
    if filter.config().reads_address {
        request.source_address = abi::property("source\0address")?;
    }
    Ok(())
}

/// Removes the fields that the client must not send, before the request may wait.
fn remove_fields(request: &RequestHead) -> Result<(), Status> {
    request
        .removed()
        .try_for_each(|name| abi::remove_header(Map::RequestHeaders, name))
}

/// Removes the trailers that the client must not send.
fn remove_trailers(filter: &Filter) -> Result<(), Status> {
    let bytes = abi::headers(Map::RequestTrailers)?;
    for (name, _) in abi::pairs(&bytes)? {
        if filter.config().headers.removes_trailer(name) {
            abi::remove_header(Map::RequestTrailers, name)?;
        }
    }
    Ok(())
}

/// Ends the VM as a fault of the filter would, for tests.
#[cfg(feature = "test-trap")]
fn trap() {
    if matches!(abi::header(Map::RequestHeaders, "x-test-trap"), Ok(Some(_))) {
        std::process::abort();
    }
}

#[cfg(all(feature = "test-trap", not(debug_assertions)))]
compile_error!(
    "`test-trap` lets any client take the filter down: it is for the profile `trap` only, never for a release"
);
