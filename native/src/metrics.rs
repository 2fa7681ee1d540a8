//! The metrics for operators, with the names of the wasm module: `dynamicmodulescustom.jwt.<stat_prefix.>…`,
//! or with another first word if `metrics_namespace` sets one.
//!
//! All are defined when the configuration is loaded: operators can see each of them before its first change.
//! Envoy 1.38 changes metrics only with a stream: the main thread leaves its changes to the next stream.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use proxy_wasm_jwt::authenticator::{CacheCounts, KeyGauges};
use proxy_wasm_jwt::denial::{Denial, Reason};
use proxy_wasm_jwt::keys::FetchError;
use proxy_wasm_jwt::settings::Config;
use proxy_wasm_jwt::time::{UnixTime, millis};

use crate::binding::{self, ConfigHost, Host, LabelledId, MetricId};
use crate::filter::Filter;

/// A metric that could not be defined is not counted. Requests must not fail for that reason.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric(Option<MetricId>);

/// The context in which a metric changes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Teller<'t, 'h> {
    Stream(&'t Host<'h>),
    Main(ConfigHost<'h>, &'t Filter),
}

/// A change that is left to a stream.
#[derive(Debug)]
pub(crate) enum Change {
    Add(MetricId, u64),
    Set(MetricId, u64),
    /// A value of a histogram, which is not combined with others.
    Record(MetricId, u64),
}

impl Change {
    pub(crate) fn is_of_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Add(one, _), Self::Add(other, _)) | (Self::Set(one, _), Self::Set(other, _)) => {
                one == other
            }
            _ => false,
        }
    }

    pub(crate) fn join(&mut self, later: &Self) {
        match (self, later) {
            (Self::Add(_, sum), Self::Add(_, more)) => *sum = sum.saturating_add(*more),
            (Self::Set(_, value), Self::Set(_, newer)) => *value = *newer,
            _ => {}
        }
    }

    pub(crate) fn carry_out(&self, host: &Host<'_>) {
        match self {
            Self::Add(id, count) => host.count(*id, *count),
            Self::Set(id, value) => host.set_gauge(*id, *value),
            Self::Record(id, value) => host.record(*id, *value),
        }
    }
}

impl Metric {
    pub(crate) fn increment(self, teller: Teller<'_, '_>) {
        self.add(teller, 1);
    }

    pub(crate) fn add(self, teller: Teller<'_, '_>, count: u64) {
        let Some(id) = self.0.filter(|_| count > 0) else {
            return;
        };
        match teller {
            Teller::Stream(host) => host.count(id, count),
            Teller::Main(host, _) if host.count(id, count) => {}
            Teller::Main(_, filter) => filter.leave(Change::Add(id, count)),
        }
    }

    /// Adds a value to a histogram.
    fn record(self, teller: Teller<'_, '_>, value: u64) {
        let Some(id) = self.0 else { return };
        match teller {
            Teller::Stream(host) => host.record(id, value),
            Teller::Main(host, _) if host.record(id, value) => {}
            Teller::Main(_, filter) => filter.leave(Change::Record(id, value)),
        }
    }

    fn set(self, teller: Teller<'_, '_>, value: u64) {
        let Some(id) = self.0 else { return };
        match teller {
            Teller::Stream(host) => host.set_gauge(id, value),
            Teller::Main(host, _) if host.set_gauge(id, value) => {}
            Teller::Main(_, filter) => filter.leave(Change::Set(id, value)),
        }
    }
}

/// All metrics of a configuration.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) allowed: Metric,
    denied_total: Metric,
    shadow_denied_total: Metric,
    pub(crate) bypassed: Metric,
    pub(crate) waiting: Metric,
    waiting_ms: Metric,
    pub(crate) metadata_served: Metric,
    pub(crate) panicked: Metric,
    signature_backend_host: Metric,
    cache_hit: Metric,
    cache_miss: Metric,
    denied_for: Vec<Metric>,
    shadow_denied_for: Vec<Metric>,
    providers: Vec<ProviderMetrics>,
    /// The metrics of the providers beyond [`MOST_PROVIDERS`], together.
    other_providers: Option<ProviderMetrics>,
    refused: Option<Refused>,
}

/// The number of providers with metrics of their own. Envoy keeps each name for as long as it runs.
const MOST_PROVIDERS: usize = 100;

/// The metrics of one provider.
#[derive(Debug)]
pub(crate) struct ProviderMetrics {
    denied: Metric,
    shadow_denied: Metric,
    pub(crate) fetch_success: Metric,
    fetch_ms: Metric,
    fetch_failed: Metric,
    fetch_cluster_missing: Metric,
    fetch_cluster_unavailable: Metric,
    pub(crate) unknown_kid: Metric,
    keys: Metric,
    keys_age_seconds: Metric,
    keys_stale: Metric,
}

impl Metrics {
    pub(crate) fn define(config: &Config, host: ConfigHost<'_>) -> Self {
        let prefix = match config.stat_prefix.as_str() {
            "" => "jwt".to_owned(),
            stat_prefix => format!("jwt.{stat_prefix}"),
        };
        let own = Definer {
            host,
            prefix: &prefix,
        };
        let counter = |name: &str| own.counter(name);
        let by_reason = |word: &str| {
            Reason::ALL
                .iter()
                .map(|reason| counter(&format!("{word}.{}", reason.label())))
                .collect()
        };
        Self {
            allowed: counter("allowed"),
            denied_total: counter("denied_total"),
            shadow_denied_total: counter("shadow_denied_total"),
            bypassed: counter("bypassed"),
            waiting: counter("waiting"),
            waiting_ms: own.histogram("waiting_ms"),
            metadata_served: counter("metadata_served"),
            panicked: counter("panicked"),
            signature_backend_host: own.gauge("signature_backend_host"),
            cache_hit: counter("cache_hit"),
            cache_miss: counter("cache_miss"),
            denied_for: by_reason("denied"),
            shadow_denied_for: by_reason("shadow_denied"),
            providers: config
                .providers
                .iter()
                .take(MOST_PROVIDERS)
                .map(|provider| {
                    let prefix = format!("{prefix}.provider.{}", provider.metric_name());
                    ProviderMetrics::define(
                        &Definer {
                            host,
                            prefix: &prefix,
                        },
                        true,
                    )
                })
                .collect(),
            // No provider can have this name.
            other_providers: (config.providers.len() > MOST_PROVIDERS).then(|| {
                let prefix = format!("{prefix}.other_providers");
                ProviderMetrics::define(
                    &Definer {
                        host,
                        prefix: &prefix,
                    },
                    false,
                )
            }),
            refused: host
                .labelled_counter(&format!("{prefix}.refused"), &["reason", "provider"])
                .map(|id| Refused::new(id, config)),
        }
    }

    /// The number of algorithms that a library verifies; 0: the core verifies all.
    pub(crate) fn show_backend(&self, teller: Teller<'_, '_>, count: usize) {
        self.signature_backend_host
            .set(teller, u64::try_from(count).unwrap_or_default());
    }

    /// Adds the counts of the token cache.
    pub(crate) fn cache(&self, teller: Teller<'_, '_>, counts: CacheCounts) {
        self.cache_hit.add(teller, counts.hits);
        self.cache_miss.add(teller, counts.misses);
    }

    /// Counts a refusal.
    pub(crate) fn denied(&self, host: &Host<'_>, denial: &Denial, now: UnixTime) {
        let teller = Teller::Stream(host);
        self.denied_total.increment(teller);
        if let Some(metric) = self.denied_for.get(denial.reason.index()) {
            metric.increment(teller);
        }
        if let Some(metrics) = denial.provider.and_then(|id| self.provider(id.index())) {
            metrics.denied.increment(teller);
        }
        if let Some(refused) = &self.refused {
            refused.note(host, denial, now);
        }
    }

    /// Adds the refusals that [`Refused`] has kept. The main thread does it once a second.
    pub(crate) fn settle_refused(&self, teller: Teller<'_, '_>) {
        let Some(refused) = &self.refused else { return };
        match teller {
            Teller::Stream(host) => {
                refused.settle(|labels, count| host.count_labelled(refused.id, labels, count));
            }
            Teller::Main(_, filter) if !binding::counts_without_stream() => filter.leave_refused(),
            Teller::Main(host, _) => {
                refused.settle(|labels, count| host.count_labelled(refused.id, labels, count));
            }
        }
    }

    /// Counts a refusal in shadow mode.
    pub(crate) fn shadow_denied(&self, host: &Host<'_>, denial: &Denial) {
        let teller = Teller::Stream(host);
        self.shadow_denied_total.increment(teller);
        if let Some(metric) = self.shadow_denied_for.get(denial.reason.index()) {
            metric.increment(teller);
        }
        if let Some(metrics) = denial.provider.and_then(|id| self.provider(id.index())) {
            metrics.shadow_denied.increment(teller);
        }
    }

    /// Records how long a request has waited.
    pub(crate) fn waited(&self, host: &Host<'_>, time: Duration) {
        self.waiting_ms.record(Teller::Stream(host), millis(time));
    }

    pub(crate) fn provider(&self, index: usize) -> Option<&ProviderMetrics> {
        self.providers.get(index).or(self.other_providers.as_ref())
    }
}

/// The counter of refusals with the labels `reason` and `provider`.
///
/// Envoy looks a counter with labels up by their texts, which takes longer than everything else that the
/// module does to count a refusal. A refusal that comes soon after another one of its kind is therefore added
/// later, with others: when a further one comes after [`LABELLED_EVERY`], or when the main thread is next
/// called.
#[derive(Debug)]
struct Refused {
    id: LabelledId,
    /// The values of `provider`: the first is that of refusals without one.
    providers: Box<[Box<str>]>,
    /// For each of them, the refusals of each reason; made for the first one.
    kinds: Box<[OnceLock<Box<[RefusedKind]>>]>,
    /// Whether any refusal is kept.
    has_kept: AtomicBool,
}

/// The refusals of a reason by a provider.
#[derive(Debug, Default)]
struct RefusedKind {
    /// Those that the counter does not have yet.
    kept: AtomicU64,
    /// The time of the last change of the counter, in milliseconds.
    counted_at: AtomicU64,
}

/// A counter with labels changes once in so many milliseconds.
const LABELLED_EVERY: u64 = 100;

impl Refused {
    fn new(id: LabelledId, config: &Config) -> Self {
        let names = config.providers.iter().map(|provider| Box::from(&*provider.name));
        let providers: Box<[Box<str>]> = std::iter::once(Box::from("none")).chain(names).collect();
        Self {
            id,
            kinds: providers.iter().map(|_| OnceLock::new()).collect(),
            providers,
            has_kept: AtomicBool::new(false),
        }
    }

    fn note(&self, host: &Host<'_>, denial: &Denial, now: UnixTime) {
        let provider = denial.provider.map_or(0, |id| id.index().saturating_add(1));
        let (Some(name), Some(kinds)) = (self.providers.get(provider), self.kinds.get(provider)) else {
            return;
        };
        let kinds = kinds.get_or_init(|| Reason::ALL.iter().map(|_| RefusedKind::default()).collect());
        let Some(kind) = kinds.get(denial.reason.index()) else {
            return;
        };
        kind.kept.fetch_add(1, Ordering::Relaxed);
        let (now, last) = (now.as_millis(), kind.counted_at.load(Ordering::Relaxed));
        // A clock that was set back does not stop the counter.
        let is_due = now < last || now.saturating_sub(last) >= LABELLED_EVERY;
        let take = |kind: &RefusedKind| {
            let is_first = kind
                .counted_at
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed);
            is_first.is_ok()
        };
        match is_due && take(kind) {
            true => {
                let count = kind.kept.swap(0, Ordering::Relaxed);
                if count > 0 {
                    host.count_labelled(self.id, &[denial.reason.label(), name], count);
                }
            }
            false => self.has_kept.store(true, Ordering::Release),
        }
    }

    /// Passes on what is kept.
    fn settle(&self, count: impl Fn(&[&str], u64)) {
        if !self.has_kept.load(Ordering::Acquire) || !self.has_kept.swap(false, Ordering::AcqRel) {
            return;
        }
        for (name, kinds) in self.providers.iter().zip(&self.kinds) {
            let kinds = kinds.get().into_iter().flatten();
            for (reason, kind) in Reason::ALL.iter().zip(kinds) {
                let kept = kind.kept.swap(0, Ordering::Relaxed);
                if kept > 0 {
                    count(&[reason.label(), name], kept);
                }
            }
        }
    }
}

/// Defines metrics with a common prefix.
struct Definer<'d> {
    host: ConfigHost<'d>,
    prefix: &'d str,
}

impl Definer<'_> {
    fn define(&self, name: &str, define: impl FnOnce(&str) -> Option<MetricId>) -> Metric {
        let name = format!("{}.{name}", self.prefix);
        let id = define(&name);
        if id.is_none() {
            log::warn!("the metric {name} could not be defined");
        }
        Metric(id)
    }

    fn counter(&self, name: &str) -> Metric {
        self.define(name, |name| self.host.counter(name))
    }

    fn gauge(&self, name: &str) -> Metric {
        self.define(name, |name| self.host.gauge(name))
    }

    fn histogram(&self, name: &str) -> Metric {
        self.define(name, |name| self.host.histogram(name))
    }
}

impl ProviderMetrics {
    /// Gauges describe a single provider only.
    fn define(definer: &Definer<'_>, has_gauges: bool) -> Self {
        let counter = |name| definer.counter(name);
        let gauge = |name| match has_gauges {
            true => definer.gauge(name),
            false => Metric(None),
        };
        Self {
            denied: counter("denied"),
            shadow_denied: counter("shadow_denied"),
            fetch_success: counter("fetch_success"),
            fetch_ms: definer.histogram("fetch_ms"),
            fetch_failed: counter("fetch_failed"),
            fetch_cluster_missing: counter("fetch_cluster_missing"),
            fetch_cluster_unavailable: counter("fetch_cluster_unavailable"),
            unknown_kid: counter("unknown_kid"),
            keys: gauge("keys"),
            keys_age_seconds: gauge("keys_age_seconds"),
            keys_stale: gauge("keys_stale"),
        }
    }

    /// Records how long a request to the issuer took, or its failure.
    pub(crate) fn fetched(&self, teller: Teller<'_, '_>, time: Duration) {
        self.fetch_ms.record(teller, millis(time));
    }

    /// Counts a failed fetch. A fetch that did not leave Envoy is also counted under its own name.
    pub(crate) fn fetch_failed(&self, teller: Teller<'_, '_>, error: &FetchError) {
        self.fetch_failed.increment(teller);
        if *error == FetchError::ClusterMissing {
            self.fetch_cluster_missing.increment(teller);
        } else if error.is_cluster_unavailable() {
            self.fetch_cluster_unavailable.increment(teller);
        }
    }

    pub(crate) fn show(&self, teller: Teller<'_, '_>, gauges: KeyGauges) {
        self.keys
            .set(teller, u64::try_from(gauges.keys).unwrap_or(u64::MAX));
        self.keys_age_seconds
            .set(teller, gauges.age.map_or(0, |age| age.as_secs()));
        self.keys_stale.set(teller, u64::from(gauges.stale));
    }
}
