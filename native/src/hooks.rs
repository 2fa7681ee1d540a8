//! The functions that Envoy calls, each behind a guard: a panic ends its own request with 500, and nothing
//! else.
//!
//! After a panic, a new engine replaces the old one. Shared data is safe, because only complete values are
//! written under its locks.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Weak};

use crate::binding::{self, CallResult, ConfigHost, Host};
use crate::clock;
use crate::fetcher;
use crate::filter::Filter;
use crate::logger::{self, now};
use crate::metrics::Metrics;
use crate::route::{self, RouteConfig};
use crate::secrets::Secrets;
use crate::source;
use crate::store;
use crate::stream::{Progress, Stream};
use crate::text;

/// The used values of `envoy_dynamic_module_type_on_http_filter_request_headers_status`.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum HeadersStatus {
    Continue = 0,
    StopIteration = 1,
    /// Envoy also holds body and trailers, and slows down a client that sends much. With another status, it
    /// would forward the request with its body, or refuse it as too large.
    StopAllIterationAndWatermark = 4,
}

/// The used values of `envoy_dynamic_module_type_on_http_filter_request_body_status`.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum BodyStatus {
    Continue = 0,
    StopIterationAndWatermark = 2,
    StopIterationNoBuffer = 3,
}

/// `envoy_dynamic_module_type_on_http_filter_request_trailers_status`.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum TrailersStatus {
    Continue = 0,
    StopIteration = 1,
}

/// Runs a hook; `None` if it panicked. The panic was logged when it began: see [`logger`].
fn guard<T>(run: impl FnOnce() -> T) -> Option<T> {
    // Every caller discards the state that the panic may have left.
    catch_unwind(AssertUnwindSafe(run)).map_err(forget).ok()
}

/// The payload of a panic may panic when it is dropped.
fn forget(payload: Box<dyn std::any::Any + Send>) {
    std::mem::forget(payload);
}

/// Runs a hook of a stream. If it panics, the request is answered with 500.
fn guard_stream<T>(host: &mut Host<'_>, stream: &Stream, run: impl FnOnce(&mut Host<'_>) -> T) -> Option<T> {
    let outcome = guard(|| run(host));
    if outcome.is_none() && guard(|| stream.fail(host)).is_none() {
        log::error!("a request that ran into a fault could not be answered; it is held");
    }
    outcome
}

// --- configurations

pub(crate) fn program_init() {
    let _ = guard(logger::start);
}

/// `None` refuses the configuration. The log contains the reason.
pub(crate) fn config_new(host: ConfigHost<'_>, _name: &[u8], text: &[u8]) -> Option<Arc<Filter>> {
    guard(|| {
        let text = match source::resolve(text) {
            Ok(text) => text,
            Err(fault) => {
                log::error!("configuration refused: {fault}");
                return None;
            }
        };
        let config = match text::parse(&text) {
            Ok(config) => Rc::new(config),
            Err(error) => {
                log::error!("configuration refused: {error}");
                return None;
            }
        };
        for warning in &config.warnings {
            log::warn!("configuration: {warning}");
        }
        let secrets = match Secrets::subscribe(&config, host) {
            Ok(secrets) => secrets,
            Err(fault) => {
                log::error!("configuration refused: {fault}");
                return None;
            }
        };
        let metrics = Metrics::define(&config, host);
        let scheduler = match binding::is_validation() {
            true => None,
            false => host.scheduler(),
        };
        let is_watched = scheduler.is_some();
        let filter = Arc::new(Filter::new(
            &text,
            metrics,
            secrets,
            store::sources_of(&config),
            scheduler,
        ));
        fetcher::begin(&filter, config, host);
        if is_watched {
            let sleeper: Weak<Filter> = Arc::downgrade(&filter);
            if !clock::watch(sleeper) {
                log::error!("configuration refused: the system gives no thread for the clock");
                return None;
            }
            filter.call_main_at(now().as_millis());
        }
        Some(filter)
    })
    .flatten()
}

pub(crate) fn config_destroy(filter: Arc<Filter>) {
    let _ = guard(|| {
        filter.end();
        // The main thread drops the fetcher of a filter that is gone when it looks for it.
        fetcher::of(&filter);
        drop(filter);
    });
}

pub(crate) fn config_scheduled(host: ConfigHost<'_>, filter: &Filter) {
    with_fetcher(filter, |fetcher| fetcher.tick(filter, host));
}

pub(crate) fn config_call_done(host: ConfigHost<'_>, filter: &Filter, id: u64, answer: &CallResult<'_>) {
    with_fetcher(filter, |fetcher| fetcher.handle_call(filter, host, id, answer));
}

fn with_fetcher(filter: &Filter, run: impl FnOnce(&fetcher::Fetcher)) {
    let Some(Some(fetcher)) = guard(|| fetcher::of(filter)) else {
        return;
    };
    if guard(|| run(&fetcher)).is_none() {
        let _ = guard(|| fetcher.rebuild(filter));
    }
}

/// `None` refuses the route's configuration. The log contains the reason.
pub(crate) fn route_config_new(text: &[u8]) -> Option<NonZeroUsize> {
    guard(|| match RouteConfig::parse(text) {
        Ok(config) => route::keep(config),
        Err(fault) => {
            log::error!("configuration of a route refused: {fault}");
            None
        }
    })
    .flatten()
}

pub(crate) fn route_config_destroy(number: NonZeroUsize) {
    let _ = guard(|| route::forget(number));
}

// --- streams

pub(crate) fn stream_new(host: &Host<'_>, filter: Arc<Filter>) -> Stream {
    let made = guard(|| Stream::new(host, filter.clone()));
    made.unwrap_or_else(|| Stream::broken(filter))
}

pub(crate) fn request_headers(host: &mut Host<'_>, stream: &Stream) -> HeadersStatus {
    guard_stream(host, stream, |host| stream.handle_headers(host));
    match stream.progress() {
        Progress::Forwarded => HeadersStatus::Continue,
        Progress::Answered => HeadersStatus::StopIteration,
        Progress::Held => HeadersStatus::StopAllIterationAndWatermark,
    }
}

pub(crate) fn request_body(_: &mut Host<'_>, stream: &Stream) -> BodyStatus {
    match stream.progress() {
        Progress::Forwarded => BodyStatus::Continue,
        Progress::Answered => BodyStatus::StopIterationNoBuffer,
        Progress::Held => BodyStatus::StopIterationAndWatermark,
    }
}

pub(crate) fn request_trailers(host: &mut Host<'_>, stream: &Stream) -> TrailersStatus {
    let is_done = guard_stream(host, stream, |host| stream.handle_trailers(host));
    match (stream.progress(), is_done) {
        (Progress::Forwarded, Some(true)) => TrailersStatus::Continue,
        // Held like an undecided request: the upstream gets no unchecked trailers.
        _ => TrailersStatus::StopIteration,
    }
}

pub(crate) fn response_headers(host: &mut Host<'_>, stream: &Stream) -> HeadersStatus {
    let before = stream.progress();
    guard_stream(host, stream, |host| stream.handle_response(host));
    match before == stream.progress() {
        true => HeadersStatus::Continue,
        // The module has answered the request instead of the upstream.
        false => HeadersStatus::StopIteration,
    }
}

pub(crate) fn scheduled(host: &mut Host<'_>, stream: &Stream) {
    guard_stream(host, stream, |host| stream.handle_woken(host));
}

pub(crate) fn stream_complete(stream: &Stream) {
    let _ = guard(|| stream.handle_end());
}

/// A hook has returned. If Envoy has ended the stream meanwhile, this is the last reference.
pub(crate) fn stream_release(stream: Rc<Stream>) {
    let _ = guard(|| drop(stream));
}

pub(crate) fn stream_destroy(stream: Rc<Stream>) {
    let _ = guard(|| {
        stream.handle_end();
        drop(stream);
    });
}
