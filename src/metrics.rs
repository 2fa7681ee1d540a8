//! The metrics for operators: their names, and the events that each counts. A host defines and changes them.

use std::time::Duration;

use crate::authenticator::{CacheCounts, KeyGauges};
use crate::denial::{Denial, Reason};
use crate::ids::ProviderId;
use crate::keys::{FetchError, KeyEvent};
use crate::settings::Config;
use crate::time::millis;

/// The number of providers with metrics of their own. Envoy keeps each name for as long as it runs.
const MOST_PROVIDERS: usize = 100;

/// The kind of a metric, as Envoy distinguishes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that only grows.
    Counter,
    /// A number that has a current value.
    Gauge,
    /// Durations in milliseconds, of which Envoy keeps the distribution.
    Histogram,
}

/// A change of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The amount by which a counter grows.
    Add(u64),
    /// The new value of a gauge.
    Set(u64),
    /// A further value of a histogram.
    Record(u64),
}

/// A host that changes metrics. The engine does not know metrics, so only a host calls this.
pub trait Meter {
    /// The host's name for a metric.
    type Id: Copy;

    /// Changes a metric.
    fn change(&self, id: Self::Id, change: Change);
}

/// A metric. If the host could not define it, it is not counted: requests must not fail for that reason.
#[derive(Clone, Copy, Debug)]
pub struct Metric<Id>(pub Option<Id>);

impl<Id: Copy> Metric<Id> {
    /// Adds one to a counter.
    pub fn increment(self, meter: &impl Meter<Id = Id>) {
        self.change(meter, Change::Add(1));
    }

    /// Adds a number to a counter.
    pub fn add(self, meter: &impl Meter<Id = Id>, count: u64) {
        if count > 0 {
            self.change(meter, Change::Add(count));
        }
    }

    fn set(self, meter: &impl Meter<Id = Id>, value: u64) {
        self.change(meter, Change::Set(value));
    }

    fn record(self, meter: &impl Meter<Id = Id>, time: Duration) {
        self.change(meter, Change::Record(millis(time)));
    }

    #[inline(never)]
    fn change(self, meter: &impl Meter<Id = Id>, change: Change) {
        if let Some(id) = self.0 {
            meter.change(id, change);
        }
    }
}

/// All metrics of a configuration. They are defined when it is loaded: operators can see each of them before
/// its first change.
#[derive(Debug)]
pub struct Metrics<Id> {
    /// Requests that were allowed.
    pub allowed: Metric<Id>,
    denied_total: Metric<Id>,
    shadow_denied_total: Metric<Id>,
    /// Requests that needed no token.
    pub bypassed: Metric<Id>,
    /// Requests that waited for keys.
    pub waiting: Metric<Id>,
    waiting_ms: Metric<Id>,
    /// Requests that the filter answered with the metadata of a protected resource.
    pub metadata_served: Metric<Id>,
    signature_backend_host: Metric<Id>,
    cache_hit: Metric<Id>,
    cache_miss: Metric<Id>,
    denied_for: Vec<Metric<Id>>,
    shadow_denied_for: Vec<Metric<Id>>,
    providers: Vec<ProviderMetrics<Id>>,
    /// The metrics of the providers beyond [`MOST_PROVIDERS`], together.
    other_providers: Option<ProviderMetrics<Id>>,
}

/// The metrics of one provider.
#[derive(Debug)]
pub struct ProviderMetrics<Id> {
    denied: Metric<Id>,
    shadow_denied: Metric<Id>,
    fetch_success: Metric<Id>,
    fetch_ms: Metric<Id>,
    fetch_failed: Metric<Id>,
    fetch_cluster_missing: Metric<Id>,
    fetch_cluster_unavailable: Metric<Id>,
    /// Tokens that named a key that the provider does not have.
    pub unknown_kid: Metric<Id>,
    keys: Metric<Id>,
    keys_age_seconds: Metric<Id>,
    keys_stale: Metric<Id>,
}

/// The first words of the names of all metrics of a configuration.
#[must_use]
pub fn prefix(config: &Config) -> String {
    match config.stat_prefix.as_str() {
        "" => "jwt".to_owned(),
        stat_prefix => format!("jwt.{stat_prefix}"),
    }
}

/// The host's function for the definition of a metric.
type Define<'d, Id> = &'d dyn Fn(MetricKind, &str) -> Option<Id>;

/// Defines the metric with this name after a prefix. Not inlined: the module would contain it some thirty
/// times.
#[inline(never)]
fn metric<Id>(define: Define<'_, Id>, kind: MetricKind, prefix: &str, name: &str) -> Metric<Id> {
    Metric(define(kind, &[prefix, name].join(".")))
}

impl<Id: Copy> Metrics<Id> {
    /// Defines all metrics of a configuration by the host's `define`.
    #[must_use]
    pub fn define(config: &Config, define: Define<'_, Id>) -> Self {
        let prefix = prefix(config);
        let metric = |kind, name: &str| metric(define, kind, &prefix, name);
        let counter = |name: &str| metric(MetricKind::Counter, name);
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
            waiting_ms: metric(MetricKind::Histogram, "waiting_ms"),
            metadata_served: counter("metadata_served"),
            signature_backend_host: metric(MetricKind::Gauge, "signature_backend_host"),
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
                    ProviderMetrics::define(&prefix, true, define)
                })
                .collect(),
            // No provider can have this name.
            other_providers: (config.providers.len() > MOST_PROVIDERS)
                .then(|| ProviderMetrics::define(&format!("{prefix}.other_providers"), false, define)),
        }
    }

    /// Shows the number of algorithms that the host verifies; 0: the engine verifies all.
    pub fn show_backend(&self, meter: &impl Meter<Id = Id>, algorithms: usize) {
        self.signature_backend_host
            .set(meter, u64::try_from(algorithms).unwrap_or_default());
    }

    /// Adds the counts of the token cache.
    pub fn cache(&self, meter: &impl Meter<Id = Id>, counts: CacheCounts) {
        self.cache_hit.add(meter, counts.hits);
        self.cache_miss.add(meter, counts.misses);
    }

    /// Counts a refusal.
    pub fn denied(&self, meter: &impl Meter<Id = Id>, denial: &Denial) {
        self.denied_total.increment(meter);
        if let Some(metric) = self.denied_for.get(denial.reason.index()) {
            metric.increment(meter);
        }
        if let Some(metrics) = denial.provider.and_then(|id| self.provider(id)) {
            metrics.denied.increment(meter);
        }
    }

    /// Counts a refusal in shadow mode.
    pub fn shadow_denied(&self, meter: &impl Meter<Id = Id>, denial: &Denial) {
        self.shadow_denied_total.increment(meter);
        if let Some(metric) = self.shadow_denied_for.get(denial.reason.index()) {
            metric.increment(meter);
        }
        if let Some(metrics) = denial.provider.and_then(|id| self.provider(id)) {
            metrics.shadow_denied.increment(meter);
        }
    }

    /// Records how long a request has waited.
    pub fn waited(&self, meter: &impl Meter<Id = Id>, time: Duration) {
        self.waiting_ms.record(meter, time);
    }

    /// The metrics of a provider; those of all others together if it has none of its own.
    #[must_use]
    pub fn provider(&self, id: ProviderId) -> Option<&ProviderMetrics<Id>> {
        self.providers.get(id.index()).or(self.other_providers.as_ref())
    }
}

impl<Id: Copy> ProviderMetrics<Id> {
    /// Gauges describe a single provider only.
    fn define(prefix: &str, has_gauges: bool, define: Define<'_, Id>) -> Self {
        let metric = |kind, name: &str| metric(define, kind, prefix, name);
        let counter = |name: &str| metric(MetricKind::Counter, name);
        let gauge = |name: &str| match has_gauges {
            true => metric(MetricKind::Gauge, name),
            false => Metric(None),
        };
        Self {
            denied: counter("denied"),
            shadow_denied: counter("shadow_denied"),
            fetch_success: counter("fetch_success"),
            fetch_ms: metric(MetricKind::Histogram, "fetch_ms"),
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
    pub fn fetched(&self, meter: &impl Meter<Id = Id>, time: Duration) {
        self.fetch_ms.record(meter, time);
    }

    /// Counts a change of the keys. A fetch that did not leave Envoy is also counted under its own name.
    pub fn keys_changed(&self, meter: &impl Meter<Id = Id>, event: &KeyEvent) {
        match event {
            KeyEvent::Loaded { .. } => self.fetch_success.increment(meter),
            KeyEvent::Failed { error, .. } => {
                self.fetch_failed.increment(meter);
                if *error == FetchError::ClusterMissing {
                    self.fetch_cluster_missing.increment(meter);
                } else if error.is_cluster_unavailable() {
                    self.fetch_cluster_unavailable.increment(meter);
                }
            }
            KeyEvent::Discovered { .. } | KeyEvent::Recovered { .. } | KeyEvent::Adopted { .. } => {}
        }
    }

    /// Shows the state of the keys.
    pub fn show(&self, meter: &impl Meter<Id = Id>, gauges: KeyGauges) {
        self.keys
            .set(meter, u64::try_from(gauges.keys).unwrap_or(u64::MAX));
        self.keys_age_seconds
            .set(meter, gauges.age.map_or(0, |age| age.as_secs()));
        self.keys_stale.set(meter, u64::from(gauges.stale));
    }
}
