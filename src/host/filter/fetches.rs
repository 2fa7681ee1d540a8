//! The filter's work between requests: ticks, and fetches with their responses.
//!
//! The engine decides when to fetch, and evaluates the responses. This file makes the host calls.

use proxy_wasm::types::Status;

use super::{Call, Filter, IDLE_TICK};
use crate::authenticator::Authenticator;
use crate::host::abi::{self, Buffer, Map};
use crate::host::key_log;
use crate::host::metrics::Envoy;
use crate::keys::{FetchError, FetchId, FetchRequest, Fetched};
use crate::time::UnixTime;

impl Filter {
    /// Time has passed.
    pub(in crate::host) fn tick(&self) {
        let Some(now) = self.now() else {
            self.set_tick_period(IDLE_TICK);
            return;
        };
        let requests = self.engine(|engine| engine.handle_tick(now, &self.store));
        let counts = self.engine(Authenticator::take_cache_counts);
        // Only here: a request must not cost a host call for them.
        self.metrics.cache(&Envoy, counts);
        for request in requests {
            self.send(request, now);
        }
        self.sum_up_refusals(now);
        self.settle(now);
    }

    /// Adopts the keys that another VM, or an earlier one, has stored: the first request finds them.
    pub(in crate::host) fn begin(&self) {
        key_log::report_local_keys(&self.config);
        let mut providers = self.config.providers.iter();
        self.store
            .begin(providers.any(|provider| provider.binding.dpop().is_some()));
        if let Some(now) = self.now() {
            self.engine(|engine| engine.handle_shared(now, &self.store));
        }
        self.report_events();
    }

    /// Sends a request, and the next one if the host cannot send it.
    fn send(&self, request: FetchRequest, now: UnixTime) {
        let mut next = Some(request);
        while let Some(request) = next.take() {
            match dispatch(&request) {
                Ok(call) => {
                    let fetch = Call {
                        fetch: request.id,
                        max_response_bytes: request.max_response_bytes,
                        sent: now,
                    };
                    self.calls.borrow_mut().push((call, fetch));
                }
                Err(error) => next = self.handle_fetched(request.id, Err(error), now),
            }
        }
    }

    fn handle_fetched(
        &self,
        fetch: FetchId,
        answer: Result<Fetched<'_>, FetchError>,
        now: UnixTime,
    ) -> Option<FetchRequest> {
        self.engine(|engine| engine.handle_fetched(fetch, answer, now, &self.store))
    }

    /// A call has a response, or has failed.
    pub(in crate::host) fn handle_call(&self, call: u32, header_count: usize, body_size: usize) {
        let mut calls = self.calls.borrow_mut();
        let Some(position) = calls.iter().position(|(known, _)| *known == call) else {
            return;
        };
        let (_, known) = calls.swap_remove(position);
        drop(calls);
        let Call {
            fetch,
            max_response_bytes: limit,
            sent,
        } = known;
        let now = self.now().unwrap_or_else(|| self.last_seen.get());
        if let Some(metrics) = self.metrics.provider(fetch.provider()) {
            metrics.fetched(&Envoy, now.since(sent));
        }
        // A broken connection arrives without headers. Reading them would be an error.
        let status = match header_count {
            0 => None,
            _ => abi::header(Map::CallResponseHeaders, ":status").ok().flatten(),
        };
        let status = status.and_then(|status| std::str::from_utf8(&status).ok()?.parse::<u16>().ok());
        let header = |name| abi::header(Map::CallResponseHeaders, name).ok().flatten();
        let next = match status {
            None => self.handle_fetched(fetch, Err(FetchError::Reset), now),
            Some(_) if body_size > limit => self.handle_fetched(fetch, Err(FetchError::TooLarge), now),
            Some(status) => {
                let cache_control = header("cache-control");
                let etag = header("etag");
                let retry_after = match status {
                    200 | 304 => None,
                    _ => header("retry-after"),
                };
                let content_encoding = header("content-encoding");
                let answer = match body_size {
                    0 => Ok(Vec::new()),
                    size => abi::buffer(Buffer::CallResponseBody, size),
                };
                let answer = match &answer {
                    Ok(body) => Ok(Fetched {
                        status,
                        body,
                        cache_control: cache_control.as_deref(),
                        etag: etag.as_deref(),
                        retry_after: retry_after.as_deref(),
                        content_encoding: content_encoding.as_deref(),
                    }),
                    Err(_) => Err(FetchError::Reset),
                };
                self.handle_fetched(fetch, answer, now)
            }
        };
        if let Some(request) = next {
            self.send(request, now);
        }
        self.settle(now);
    }

    /// After each event: decides waiting requests, reports, and sets the next tick.
    fn settle(&self, now: UnixTime) {
        self.decide_waiting();
        self.report_events();
        if now.since(self.gauges_shown_at.get()) >= std::time::Duration::from_millis(u64::from(IDLE_TICK)) {
            self.show_gauges(now);
        }
        self.set_next_tick(now);
    }

    /// Another configuration replaces this one: every wait ends. Call [`Self::finish`] until it returns
    /// false.
    pub(in crate::host) fn retire(&self) {
        let now = self.now().unwrap_or_else(|| self.last_seen.get());
        self.is_retired.set(true);
        self.engine(|engine| engine.handle_end(now));
    }

    /// Decides some of the requests that waited when this configuration was replaced. True while work
    /// remains.
    pub(in crate::host) fn finish(&self) -> bool {
        self.decide_waiting();
        self.has_decisions(self.last_seen()) || !self.calls.borrow().is_empty()
    }

    /// Whether waiting requests remain to be decided.
    pub(in crate::host) fn has_decisions(&self, now: UnixTime) -> bool {
        self.engine(|engine| engine.next_timeout(now))
            .is_some_and(|next| next <= now)
    }
}

fn dispatch(request: &FetchRequest) -> Result<u32, FetchError> {
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    // The SDK's own call: only this one routes the response to the root context.
    proxy_wasm::hostcalls::dispatch_http_call(&request.cluster, headers, None, Vec::new(), request.timeout)
        // Envoy returns BadArgument if it has no such cluster, and InternalFailure if the cluster has no
        // healthy endpoint.
        .map_err(|status| match status {
            Status::BadArgument | Status::NotFound => FetchError::ClusterMissing,
            _ => FetchError::ClusterUnavailable,
        })
}
