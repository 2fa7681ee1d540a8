//! One configuration on the main thread: the engine that fetches keys for all workers.
//!
//! A request of a worker would end with its stream. A request of the configuration does not.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use proxy_wasm_jwt::authenticator::{Authenticator, Event};
use proxy_wasm_jwt::host::key_log;
use proxy_wasm_jwt::keys::{FetchError, FetchId, FetchRequest, Fetched};
use proxy_wasm_jwt::settings::{Config, SignatureBackend};
use proxy_wasm_jwt::time::{UnixTime, millis};

use crate::binding::{CallResult, ConfigHost, NotSent};
use crate::crypto;
use crate::filter::Filter;
use crate::logger::now;
use crate::metrics::Context;
use crate::store::ProcessStore;
use crate::worker;

/// The metrics show the state of the keys this often, in milliseconds.
const IDLE: u64 = 1000;

/// See the module.
pub(crate) struct Fetcher {
    config: Rc<Config>,
    engine: RefCell<Authenticator>,
    /// The fetches in progress, by Envoy's number.
    calls: RefCell<HashMap<u64, Call>>,
    gauges_shown_at: Cell<UnixTime>,
}

/// A fetch in progress.
struct Call {
    fetch: FetchId,
    /// The longest response.
    max_response_bytes: usize,
    sent: UnixTime,
}

thread_local! {
    /// The fetchers of this thread, which is the main thread. A fetcher without a configuration stays until
    /// another one is needed.
    static FETCHERS: RefCell<Vec<(Weak<Filter>, Rc<Fetcher>)>> = const { RefCell::new(Vec::new()) };
}

/// Creates the configuration's part on the main thread.
pub(crate) fn begin(filter: &Arc<Filter>, config: Rc<Config>, host: ConfigHost<'_>) {
    let engine = worker::engine(&config);
    let fetcher = Rc::new(Fetcher {
        engine: RefCell::new(engine),
        calls: RefCell::default(),
        gauges_shown_at: Cell::default(),
        config,
    });
    fetcher.begin(filter, host);
    FETCHERS.with_borrow_mut(|fetchers| fetchers.push((Arc::downgrade(filter), fetcher)));
}

/// The configuration's part on the main thread.
pub(crate) fn of(filter: &Filter) -> Option<Rc<Fetcher>> {
    let gone: Vec<_> = FETCHERS.with_borrow_mut(|fetchers| {
        let is_gone = |known: &Weak<Filter>| known.upgrade().is_none_or(|filter| filter.is_gone());
        fetchers.extract_if(.., |(known, _)| is_gone(known)).collect()
    });
    drop(gone);
    FETCHERS.with_borrow(|fetchers| {
        let mut all = fetchers.iter();
        let found = all.find(|(known, _)| std::ptr::eq(known.as_ptr(), filter));
        found.map(|(_, fetcher)| fetcher.clone())
    })
}

impl Fetcher {
    /// Runs one method of the engine.
    fn engine<T>(&self, run: impl FnOnce(&mut Authenticator) -> T) -> T {
        run(&mut self.engine.borrow_mut())
    }

    fn begin(&self, filter: &Filter, host: ConfigHost<'_>) {
        key_log::report_local_keys(&self.config);
        let count = match self.config.signature_backend {
            SignatureBackend::Sandbox => 0,
            SignatureBackend::Auto | SignatureBackend::Host => crypto::SERVES.len(),
        };
        let context = Context::Main(host, &filter.metrics);
        filter.metrics.core.show_backend(&context, count);
        filter.secrets.refresh(host);
        self.engine(|engine| engine.handle_shared(now(), &ProcessStore));
        self.report_events(filter, host);
    }

    /// Replaces the engine, which a panic may have left in any state.
    pub(crate) fn rebuild(&self, filter: &Filter) {
        let broken = self.engine.replace(worker::engine(&self.config));
        // The destructors of a broken engine are not safe either.
        std::mem::forget(broken);
        self.calls.borrow_mut().clear();
        filter.call_main_at(now().as_millis().saturating_add(IDLE));
    }

    /// Time has passed, or a worker needs a key.
    pub(crate) fn tick(&self, filter: &Filter, host: ConfigHost<'_>) {
        let now = now();
        filter.secrets.refresh(host);
        for event in filter.take_events() {
            self.engine(|engine| engine.handle_event(&event, now));
        }
        for request in self.engine(|engine| engine.handle_tick(now, &ProcessStore)) {
            self.send(host, request, now);
        }
        self.settle(filter, host, now);
    }

    /// Sends a request, and the next one if Envoy cannot send it.
    fn send(&self, host: ConfigHost<'_>, request: FetchRequest, now: UnixTime) {
        let mut next = Some(request);
        while let Some(request) = next.take() {
            let fields = request
                .headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()));
            let fields: Vec<_> = fields.collect();
            match host.call(&request.cluster, &fields, millis(request.timeout)) {
                Ok(call) => {
                    let sent = Call {
                        fetch: request.id,
                        max_response_bytes: request.max_response_bytes,
                        sent: now,
                    };
                    self.calls.borrow_mut().insert(call, sent);
                }
                Err(fault) => {
                    let error = match fault {
                        NotSent::NoCluster => FetchError::ClusterMissing,
                        NotSent::CannotCreate => FetchError::ClusterUnavailable,
                    };
                    next = self
                        .engine(|engine| engine.handle_fetched(request.id, Err(error), now, &ProcessStore));
                }
            }
        }
    }

    /// A request has a response, or has failed.
    pub(crate) fn handle_call(
        &self,
        filter: &Filter,
        host: ConfigHost<'_>,
        call: u64,
        answer: &CallResult<'_>,
    ) {
        let known = self.calls.borrow_mut().remove(&call);
        let Some(Call {
            fetch,
            max_response_bytes: limit,
            sent,
        }) = known
        else {
            return;
        };
        let now = now();
        if let Some(metrics) = filter.metrics.core.provider(fetch.provider()) {
            metrics.fetched(&Context::Main(host, &filter.metrics), now.since(sent));
        }
        let body: Vec<u8>;
        let outcome = match answer {
            CallResult::Reset => Err(FetchError::Reset),
            CallResult::TooLarge => Err(FetchError::TooLarge),
            CallResult::Answer { fields, chunks } => {
                let header = |wanted: &str| {
                    let mut all = fields.iter();
                    let found = all.find(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
                    found.map(|(_, value)| *value)
                };
                let status =
                    header(":status").and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
                let length = chunks
                    .iter()
                    .map(|chunk| chunk.len())
                    .fold(0, usize::saturating_add);
                match status {
                    None => Err(FetchError::Reset),
                    Some(_) if length > limit => Err(FetchError::TooLarge),
                    Some(status) => {
                        body = chunks.concat();
                        Ok(Fetched {
                            status,
                            body: &body,
                            cache_control: header("cache-control"),
                            etag: header("etag"),
                            retry_after: header("retry-after").filter(|_| !matches!(status, 200 | 304)),
                            content_encoding: header("content-encoding"),
                        })
                    }
                }
            }
        };
        let next = self.engine(|engine| engine.handle_fetched(fetch, outcome, now, &ProcessStore));
        if let Some(request) = next {
            self.send(host, request, now);
        }
        self.settle(filter, host, now);
    }

    /// After each event: reports, and sets the next time.
    fn settle(&self, filter: &Filter, host: ConfigHost<'_>, now: UnixTime) {
        self.report_events(filter, host);
        filter.sum_up_refusals(&self.config, now);
        filter
            .metrics
            .settle_refused(Context::Main(host, &filter.metrics));
        if now.since(self.gauges_shown_at.get()) >= Duration::from_millis(IDLE) {
            self.show_gauges(filter, host, now);
        }
        let idle = now.after(Duration::from_millis(IDLE));
        let mut next = self.engine(|engine| engine.next_timeout(now)).unwrap_or(idle);
        if !filter.secrets.is_empty() {
            next = next.min(idle);
        }
        filter.call_main_at(next.as_millis());
    }

    /// Counts and logs what has happened.
    fn report_events(&self, filter: &Filter, host: ConfigHost<'_>) {
        let context = Context::Main(host, &filter.metrics);
        loop {
            let event = self.engine(Authenticator::poll_event);
            let Some(event) = event else { return };
            // The workers count unknown `kid`s themselves.
            let Event::Keys(id, event) = event else { continue };
            let (Some(provider), Some(metrics)) =
                (self.config.provider(id), filter.metrics.core.provider(id))
            else {
                continue;
            };
            // The age or the number of the keys has changed.
            self.gauges_shown_at.set(UnixTime::default());
            metrics.keys_changed(&context, &event);
            key_log::report(&provider.name, &event);
        }
    }

    fn show_gauges(&self, filter: &Filter, host: ConfigHost<'_>, now: UnixTime) {
        self.gauges_shown_at.set(now);
        for id in self.config.provider_ids() {
            if let (Some(metrics), Some(gauges)) = (
                filter.metrics.core.provider(id),
                self.engine(|engine| engine.key_gauges(id, now)),
            ) {
                metrics.show(&Context::Main(host, &filter.metrics), gauges);
            }
        }
    }
}
