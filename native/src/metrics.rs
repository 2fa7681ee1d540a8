//! The metrics that operators see, by the names that the wasm module has: `dynamicmodulescustom.jwt.<stat_prefix.>…`, or with
//! another first word where `metrics_namespace` says so.
//!
//! All are defined with the configuration, so that each can be seen before it first moves. Envoy 1.38 changes metrics on
//! behalf of a stream only; what the main thread wants to change there is left to the next one.

use proxy_wasm_jwt::authenticator::{CacheCounts, KeyGauges};
use proxy_wasm_jwt::denial::{Denial, Reason};
use proxy_wasm_jwt::keys::FetchError;
use proxy_wasm_jwt::settings::Config;

use crate::binding::{ConfigHost, Host, LabelledId, MetricId};
use crate::filter::Filter;

/// A metric that could not be defined is not counted: that must not cost a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric(Option<MetricId>);

/// On whose behalf a metric changes.
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
    pub(crate) metadata_served: Metric,
    pub(crate) panicked: Metric,
    signature_backend_host: Metric,
    cache_hit: Metric,
    cache_miss: Metric,
    denied_for: Vec<Metric>,
    shadow_denied_for: Vec<Metric>,
    providers: Vec<ProviderMetrics>,
    /// Refusals with the labels `reason` and `provider`.
    refused: Option<LabelledId>,
}

/// The metrics of one provider.
#[derive(Debug)]
pub(crate) struct ProviderMetrics {
    denied: Metric,
    shadow_denied: Metric,
    pub(crate) fetch_success: Metric,
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
        let defined = |id: Option<MetricId>, name: &str| {
            if id.is_none() {
                log::warn!("the metric {name} could not be defined");
            }
            Metric(id)
        };
        let counter_of = |prefix: &str, name: &str| {
            let name = format!("{prefix}.{name}");
            defined(host.counter(&name), &name)
        };
        let gauge_of = |prefix: &str, name: &str| {
            let name = format!("{prefix}.{name}");
            defined(host.gauge(&name), &name)
        };
        let counter = |name: &str| counter_of(&prefix, name);
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
            metadata_served: counter("metadata_served"),
            panicked: counter("panicked"),
            signature_backend_host: gauge_of(&prefix, "signature_backend_host"),
            cache_hit: counter("cache_hit"),
            cache_miss: counter("cache_miss"),
            denied_for: by_reason("denied"),
            shadow_denied_for: by_reason("shadow_denied"),
            providers: config
                .providers
                .iter()
                .map(|provider| {
                    let prefix = format!("{prefix}.provider.{}", provider.metric_name());
                    let counter = |name| counter_of(&prefix, name);
                    let gauge = |name| gauge_of(&prefix, name);
                    ProviderMetrics {
                        denied: counter("denied"),
                        shadow_denied: counter("shadow_denied"),
                        fetch_success: counter("fetch_success"),
                        fetch_failed: counter("fetch_failed"),
                        fetch_cluster_missing: counter("fetch_cluster_missing"),
                        fetch_cluster_unavailable: counter("fetch_cluster_unavailable"),
                        unknown_kid: counter("unknown_kid"),
                        keys: gauge("keys"),
                        keys_age_seconds: gauge("keys_age_seconds"),
                        keys_stale: gauge("keys_stale"),
                    }
                })
                .collect(),
            refused: host.labelled_counter(&format!("{prefix}.refused"), &["reason", "provider"]),
        }
    }

    /// How many algorithms are verified by a library; 0: the core does it all.
    pub(crate) fn show_backend(&self, teller: Teller<'_, '_>, count: usize) {
        self.signature_backend_host
            .set(teller, u64::try_from(count).unwrap_or_default());
    }

    /// Counts how often the cache of tokens was asked.
    pub(crate) fn cache(&self, teller: Teller<'_, '_>, counts: CacheCounts) {
        self.cache_hit.add(teller, counts.hits);
        self.cache_miss.add(teller, counts.misses);
    }

    /// Counts a refusal, by the provider of this name where it came that far.
    pub(crate) fn denied(&self, host: &Host<'_>, denial: &Denial, provider: &str) {
        let teller = Teller::Stream(host);
        self.denied_total.increment(teller);
        if let Some(metric) = self.denied_for.get(denial.reason.index()) {
            metric.increment(teller);
        }
        if let Some(metrics) = denial.provider.and_then(|id| self.provider(id.index())) {
            metrics.denied.increment(teller);
        }
        if let Some(id) = self.refused {
            host.count_labelled(id, &[denial.reason.label(), provider], 1);
        }
    }

    /// Counts a refusal that is not enforced.
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

    pub(crate) fn provider(&self, index: usize) -> Option<&ProviderMetrics> {
        self.providers.get(index)
    }
}

impl ProviderMetrics {
    /// Counts a fetch that failed; one that never left the proxy also under its own name.
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
