//! The metrics in Envoy: `wasmcustom.jwt.<stat_prefix.>…`.

use super::abi::{self, MetricKind as Kind};
use crate::metrics::{Change, Meter, MetricKind, Metrics};
use crate::settings::Config;

/// Envoy, which changes metrics in any context.
pub(super) struct Envoy;

impl Meter for Envoy {
    type Id = u32;

    /// Not inlined: the module would contain it some thirty times.
    #[inline(never)]
    fn change(&self, id: u32, change: Change) {
        let _ = match change {
            Change::Add(count) => abi::increment_metric(id, i64::try_from(count).unwrap_or(i64::MAX)),
            Change::Set(value) | Change::Record(value) => abi::record_metric(id, value),
        };
    }
}

/// Defines the metrics of a configuration.
// Not inlined, for the memory of Envoy: docs/adr/0010-build-settings.md.
#[inline(never)]
pub(super) fn define(config: &Config) -> Metrics<u32> {
    Metrics::define(config, &|kind, name| {
        let kind = match kind {
            MetricKind::Counter => Kind::Counter,
            MetricKind::Gauge => Kind::Gauge,
            MetricKind::Histogram => Kind::Histogram,
        };
        match abi::define_metric(kind, name) {
            Ok(id) => Some(id),
            Err(status) => {
                log::warn!("the metric {name} could not be defined: {status:?}");
                None
            }
        }
    })
}
