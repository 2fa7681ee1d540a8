//! The filter between its requests: ticks, fetches and their answers, and what workers tell each other in shared data.
//!
//! When to fetch and what to make of it, the engine says; here its words become host calls.

use proxy_wasm::types::Status;

use super::{Filter, IDLE_TICK};
use crate::authenticator::Authenticator;
use crate::host::abi::{self, Buffer, Map};
use crate::host::shared_data::{self, Place, Seen};
use crate::ids::ProviderId;
use crate::keys::{DueFetch, FetchError, FetchRequest, Fetched, KeySource, supersedes};
use crate::time::UnixTime;

impl Filter {
    /// Time has passed.
    pub(in crate::host) fn tick(&self) {
        let Some(now) = self.now() else {
            self.set_tick_period(IDLE_TICK);
            return;
        };
        self.read_shared(now);
        self.agree_on_nonces();
        self.engine(|engine| engine.handle_timeout(now));
        self.metrics.cache(self.engine(Authenticator::take_cache_counts));
        for claim in self.engine(|engine| engine.poll_fetches(now)) {
            self.fetch(claim, now);
        }
        self.settle(now);
    }

    /// Takes over the keys that another VM, or one before this, has left: the first request finds them.
    pub(in crate::host) fn begin(&self) {
        for provider in &self.config.providers {
            if let KeySource::Local(parsed) = &provider.keys
                && !parsed.skipped.is_empty()
            {
                log::warn!(
                    "provider {}: local_jwks: {} keys loaded, {} skipped: {}",
                    provider.name,
                    parsed.set.len(),
                    parsed.skipped.count(),
                    parsed.skipped
                );
            }
        }
        shared_data::remember_seal(&self.config.seal);
        if let Some(now) = self.now() {
            self.read_shared(now);
        }
        self.agree_on_nonces();
        self.tell();
    }

    /// Finds the secret that all workers make nonces with. A VM that only tries the configuration may make it too: it is nobody's.
    fn agree_on_nonces(&self) {
        if self.engine(|engine| engine.needs_nonce_secret())
            && let Some(secret) = shared_data::nonce_secret(&self.config.seal)
        {
            self.engine(|engine| engine.handle_nonce_secret(secret));
        }
    }

    /// Takes over what other workers have learnt.
    fn read_shared(&self, now: UnixTime) {
        for (provider, place) in &self.places {
            if self.engine(|engine| engine.lacks_keys(*provider, now)) {
                self.take_over(*provider, place, now);
            }
            let Some(Seen {
                value: Some(head), ..
            }) = place.look()
            else {
                continue;
            };
            let document = match self.engine(|engine| engine.needs_document(*provider, &head)) {
                true => place.document(),
                false => None,
            };
            self.engine(|engine| engine.handle_shared(*provider, &head, document.as_deref(), now));
        }
    }

    /// Takes over what another configuration of this VM has left of the same keys, where it is newer than what this one
    /// knows, and leaves it for the other workers.
    fn take_over(&self, provider: ProviderId, place: &Place, now: UnixTime) {
        for elder in shared_data::elders(&self.config.seal) {
            let elder = place.of_elder(&elder);
            let (Some(own), Some(theirs)) = (place.look(), elder.look()) else {
                return;
            };
            let known = match &own.value {
                Some(head) => Some(head.clone()),
                None => self.engine(|engine| engine.record(provider)),
            };
            let Some(head) = theirs.value.filter(|head| supersedes(head, known.as_deref())) else {
                continue;
            };
            let document = elder.document();
            // Not by way of the place alone: a stranger may write there faster than anybody reads it.
            self.engine(|engine| engine.handle_shared(provider, &head, document.as_deref(), now));
            if let Some(document) = document {
                place.write_document(&document);
            }
            place.replace_head(&own, &head);
        }
    }

    fn fetch(&self, claim: DueFetch, now: UnixTime) {
        let Some(place) = self.place(claim.provider) else {
            return;
        };
        // Another configuration may have just asked.
        self.take_over(claim.provider, place, now);
        let Some(seen) = place.look() else { return };
        let claimed = self.engine(|engine| engine.acquire_lease(claim, seen.value.as_deref(), now));
        let Some((head, request)) = claimed else { return };
        // Where a stranger writes all the time, no lease can be had, and none is needed: this worker asks for itself.
        let is_taken = || place.look().is_none_or(|seen| seen.value.is_some());
        if !place.replace_head(&seen, &head) && is_taken() {
            self.engine(|engine| engine.lose_lease(claim));
            return;
        }
        self.send(claim.provider, &request, now);
    }

    fn send(&self, provider: ProviderId, request: &FetchRequest, now: UnixTime) {
        match dispatch(request) {
            Ok(call) => {
                self.calls.borrow_mut().insert(call, (provider, request.id));
            }
            Err(error) => self.engine(|engine| {
                engine.handle_fetched(provider, request.id, Err(error), now);
            }),
        }
    }

    /// A call was answered, or has failed.
    pub(in crate::host) fn handle_call(&self, call: u32, header_count: usize, body_size: usize) {
        let known = self.calls.borrow_mut().remove(&call);
        let Some((provider, fetch)) = known else { return };
        let now = self.now().unwrap_or_else(|| self.last_seen.get());
        let limit = self.max_response_bytes(provider);
        // A broken connection arrives without headers; to ask for them then is a fault.
        let status = match header_count {
            0 => None,
            _ => abi::header(Map::CallResponseHeaders, ":status").ok().flatten(),
        };
        let status = status.and_then(|status| std::str::from_utf8(&status).ok()?.parse::<u16>().ok());
        let header = |name| abi::header(Map::CallResponseHeaders, name).ok().flatten();
        match status {
            None => self.engine(|engine| engine.handle_fetched(provider, fetch, Err(FetchError::Reset), now)),
            Some(_) if body_size > limit => {
                self.engine(|engine| engine.handle_fetched(provider, fetch, Err(FetchError::TooLarge), now));
            }
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
                self.engine(|engine| engine.handle_fetched(provider, fetch, answer, now));
            }
        }
        self.settle(now);
    }

    /// After any event: tells the other workers, decides, reports, and sets the next tick.
    fn settle(&self, now: UnixTime) {
        while let Some((provider, request)) = self.engine(Authenticator::poll_request) {
            self.send(provider, &request, now);
        }
        while let Some(provider) = self.engine(|engine| engine.poll_publish()) {
            let place = self.place(provider);
            let seen = place.and_then(Place::look);
            let publication = self.engine(|engine| {
                engine.settle(provider, seen.as_ref().and_then(|seen| seen.value.as_deref()))
            });
            if let (Some(place), Some(seen), Some(publication)) = (place, seen, publication) {
                if let Some(document) = &publication.document {
                    place.write_document(document);
                }
                place.replace_head(&seen, &publication.head);
            }
        }
        self.decide_waiting();
        self.tell();
        if now.since(self.gauges_shown_at.get()) >= std::time::Duration::from_millis(u64::from(IDLE_TICK)) {
            self.show_gauges(now);
        }
        self.set_next_tick(now);
    }

    fn place(&self, provider: ProviderId) -> Option<&Place> {
        self.places
            .iter()
            .find(|(id, _)| *id == provider)
            .map(|(_, place)| place)
    }

    fn max_response_bytes(&self, provider: ProviderId) -> usize {
        self.engine(|engine| engine.max_response_bytes(provider))
    }

    /// This configuration is replaced: nobody waits any longer. Call [`Self::finish`] until nobody is left.
    pub(in crate::host) fn retire(&self) {
        let now = self.now().unwrap_or_else(|| self.last_seen.get());
        self.is_retired.set(true);
        self.engine(|engine| engine.handle_end(now));
    }

    /// Answers some of those who waited when this configuration was replaced; true while there is more to do for it.
    pub(in crate::host) fn finish(&self) -> bool {
        self.decide_waiting();
        self.has_decisions() || !self.calls.borrow().is_empty()
    }

    /// Whether requests that waited are still to be answered.
    pub(in crate::host) fn has_decisions(&self) -> bool {
        self.engine(|engine| engine.has_decisions())
    }
}

fn dispatch(request: &FetchRequest) -> Result<u32, FetchError> {
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    // The SDK's own call, because it alone routes the answer back to the root.
    proxy_wasm::hostcalls::dispatch_http_call(&request.cluster, headers, None, Vec::new(), request.timeout)
        // Envoy says BadArgument where it has no such cluster, and InternalFailure where the cluster has nowhere to go.
        .map_err(|status| match status {
            Status::BadArgument | Status::NotFound => FetchError::ClusterMissing,
            _ => FetchError::ClusterUnavailable,
        })
}
