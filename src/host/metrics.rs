//! The metrics for operators: `wasmcustom.jwt.<stat_prefix.>…` in Envoy.
//!
//! All are defined when the configuration is loaded: operators can see each of them before its first change.

use std::time::Duration;

use super::abi::{self, MetricKind};
use crate::authenticator::{CacheCounts, KeyGauges};
use crate::denial::{Denial, Reason};
use crate::jose::AlgorithmSet;
use crate::keys::FetchError;
use crate::settings::Config;
use crate::time::millis;

/// A metric that could not be defined is not counted. Requests must not fail for that reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric(Option<u32>);

impl Metric {
    fn define(kind: MetricKind, prefix: &str, name: &str) -> Self {
        let name = format!("{prefix}.{name}");
        Self(match abi::define_metric(kind, &name) {
            Ok(id) => Some(id),
            Err(status) => {
                log::warn!("the metric {name} could not be defined: {status:?}");
                None
            }
        })
    }

    pub(super) fn increment(self) {
        self.add(1);
    }

    fn add(self, count: u64) {
        if let Some(id) = self.0
            && count > 0
        {
            let _ = abi::increment_metric(id, i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    fn set(self, value: u64) {
        if let Some(id) = self.0 {
            let _ = abi::record_metric(id, value);
        }
    }
}

/// All metrics of a configuration.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) allowed: Metric,
    denied_total: Metric,
    shadow_denied_total: Metric,
    pub(super) bypassed: Metric,
    pub(super) waiting: Metric,
    waiting_ms: Metric,
    pub(super) metadata_served: Metric,
    signature_backend_host: Metric,
    cache_hit: Metric,
    cache_miss: Metric,
    denied_for: Vec<Metric>,
    shadow_denied_for: Vec<Metric>,
    providers: Vec<ProviderMetrics>,
    /// The metrics of the providers beyond [`MOST_PROVIDERS`], together.
    other_providers: Option<ProviderMetrics>,
}

/// The number of providers with metrics of their own. Envoy keeps each name for as long as it runs.
const MOST_PROVIDERS: usize = 100;

/// The metrics of one provider.
#[derive(Debug)]
pub(super) struct ProviderMetrics {
    denied: Metric,
    shadow_denied: Metric,
    pub(super) fetch_success: Metric,
    fetch_ms: Metric,
    fetch_failed: Metric,
    fetch_cluster_missing: Metric,
    fetch_cluster_unavailable: Metric,
    pub(super) unknown_kid: Metric,
    keys: Metric,
    keys_age_seconds: Metric,
    keys_stale: Metric,
}

impl Metrics {
    pub(super) fn define(config: &Config) -> Self {
        let prefix = match config.stat_prefix.as_str() {
            "" => "jwt".to_owned(),
            stat_prefix => format!("jwt.{stat_prefix}"),
        };
        let counter = |name: &str| Metric::define(MetricKind::Counter, &prefix, name);
        let gauge = |name: &str| Metric::define(MetricKind::Gauge, &prefix, name);
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
            waiting_ms: Metric::define(MetricKind::Histogram, &prefix, "waiting_ms"),
            metadata_served: counter("metadata_served"),
            signature_backend_host: gauge("signature_backend_host"),
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
                    ProviderMetrics::define(&prefix, true)
                })
                .collect(),
            // No provider can have this name.
            other_providers: (config.providers.len() > MOST_PROVIDERS)
                .then(|| ProviderMetrics::define(&format!("{prefix}.other_providers"), false)),
        }
    }

    /// The number of algorithms that the host verifies; 0: the sandbox verifies all.
    pub(super) fn show_backend(&self, served: AlgorithmSet) {
        self.signature_backend_host
            .set(u64::try_from(served.iter().count()).unwrap_or_default());
    }

    /// Adds the counts of the token cache. It is called at a tick: a request must not cost a host call for
    /// them.
    pub(super) fn cache(&self, counts: CacheCounts) {
        self.cache_hit.add(counts.hits);
        self.cache_miss.add(counts.misses);
    }

    /// Counts a refusal.
    pub(super) fn denied(&self, denial: &Denial) {
        self.denied_total.increment();
        if let Some(metric) = self.denied_for.get(denial.reason.index()) {
            metric.increment();
        }
        if let Some(metrics) = denial.provider.and_then(|id| self.provider(id.index())) {
            metrics.denied.increment();
        }
    }

    /// Counts a refusal in shadow mode.
    pub(super) fn shadow_denied(&self, denial: &Denial) {
        self.shadow_denied_total.increment();
        if let Some(metric) = self.shadow_denied_for.get(denial.reason.index()) {
            metric.increment();
        }
        if let Some(metrics) = denial.provider.and_then(|id| self.provider(id.index())) {
            metrics.shadow_denied.increment();
        }
    }

    /// Records how long a request has waited.
    pub(super) fn waited(&self, time: Duration) {
        self.waiting_ms.set(millis(time));
    }

    pub(super) fn provider(&self, index: usize) -> Option<&ProviderMetrics> {
        self.providers.get(index).or(self.other_providers.as_ref())
    }
}

impl ProviderMetrics {
    /// Gauges describe a single provider only.
    fn define(prefix: &str, has_gauges: bool) -> Self {
        let counter = |name| Metric::define(MetricKind::Counter, prefix, name);
        let gauge = |name| match has_gauges {
            true => Metric::define(MetricKind::Gauge, prefix, name),
            false => Metric(None),
        };
        Self {
            denied: counter("denied"),
            shadow_denied: counter("shadow_denied"),
            fetch_success: counter("fetch_success"),
            fetch_ms: Metric::define(MetricKind::Histogram, prefix, "fetch_ms"),
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
    pub(super) fn fetched(&self, time: Duration) {
        self.fetch_ms.set(millis(time));
    }

    /// Counts a failed fetch. A fetch that did not leave the proxy is also counted under its own name.
    pub(super) fn fetch_failed(&self, error: &FetchError) {
        self.fetch_failed.increment();
        if *error == FetchError::ClusterMissing {
            self.fetch_cluster_missing.increment();
        } else if error.is_cluster_unavailable() {
            self.fetch_cluster_unavailable.increment();
        }
    }

    pub(super) fn show(&self, gauges: KeyGauges) {
        self.keys.set(u64::try_from(gauges.keys).unwrap_or(u64::MAX));
        self.keys_age_seconds
            .set(gauges.age.map_or(0, |age| age.as_secs()));
        self.keys_stale.set(u64::from(gauges.stale));
    }
}
