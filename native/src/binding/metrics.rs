//! Counters, gauges and histograms. The main thread defines them; a stream or a configuration changes them.

use std::ptr::null;

use super::buffer::Buffer;
use super::config::ConfigHost;
use super::declarations::{
    envoy_dynamic_module_callback_http_filter_config_define_counter,
    envoy_dynamic_module_callback_http_filter_config_define_gauge,
    envoy_dynamic_module_callback_http_filter_config_define_histogram,
    envoy_dynamic_module_callback_http_filter_increment_counter,
    envoy_dynamic_module_callback_http_filter_record_histogram_value,
    envoy_dynamic_module_callback_http_filter_set_gauge, newer,
};
use super::stream::Host;

/// A metric without labels: the number that Envoy has given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MetricId(usize);

/// A counter with labels, which Envoy numbers apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LabelledId(usize);

/// Whether Envoy has a function that changes counters without a stream.
pub(crate) fn counts_without_stream() -> bool {
    newer().increment_counter.is_some()
}

impl ConfigHost<'_> {
    /// Defines a counter. Only while the configuration is made.
    pub(crate) fn counter(self, name: &str) -> Option<MetricId> {
        let mut id = 0;
        let name = Buffer::of(name.as_bytes());
        // SAFETY: rules 1 and 2; the result is a local.
        let outcome = unsafe {
            envoy_dynamic_module_callback_http_filter_config_define_counter(
                self.config,
                name,
                null(),
                0,
                &raw mut id,
            )
        };
        (outcome == 0).then_some(MetricId(id))
    }

    /// Defines a counter with labels. Only while the configuration is made.
    pub(crate) fn labelled_counter(self, name: &str, labels: &[&str]) -> Option<LabelledId> {
        let mut id = 0;
        let labels: Vec<Buffer> = labels.iter().map(|label| Buffer::of(label.as_bytes())).collect();
        // SAFETY: rules 1 and 2; the result is a local.
        let outcome = unsafe {
            envoy_dynamic_module_callback_http_filter_config_define_counter(
                self.config,
                Buffer::of(name.as_bytes()),
                labels.as_ptr(),
                labels.len(),
                &raw mut id,
            )
        };
        (outcome == 0).then_some(LabelledId(id))
    }

    /// Defines a gauge. Only while the configuration is made.
    pub(crate) fn gauge(self, name: &str) -> Option<MetricId> {
        let mut id = 0;
        let name = Buffer::of(name.as_bytes());
        // SAFETY: rules 1 and 2; the result is a local.
        let outcome = unsafe {
            envoy_dynamic_module_callback_http_filter_config_define_gauge(
                self.config,
                name,
                null(),
                0,
                &raw mut id,
            )
        };
        (outcome == 0).then_some(MetricId(id))
    }

    /// Defines a histogram. Only while the configuration is made.
    pub(crate) fn histogram(self, name: &str) -> Option<MetricId> {
        let mut id = 0;
        let name = Buffer::of(name.as_bytes());
        // SAFETY: rules 1 and 2; the result is a local.
        let outcome = unsafe {
            envoy_dynamic_module_callback_http_filter_config_define_histogram(
                self.config,
                name,
                null(),
                0,
                &raw mut id,
            )
        };
        (outcome == 0).then_some(MetricId(id))
    }

    /// Adds a value to a histogram. Returns false if Envoy has no function for that.
    pub(crate) fn record(self, id: MetricId, value: u64) -> bool {
        newer().record.is_some_and(|change| {
            // SAFETY: rule 1; no labels.
            unsafe { change(self.config, id.0, null(), 0, value) == 0 }
        })
    }

    /// Adds to a counter. Returns false if Envoy has no function for that.
    pub(crate) fn count(self, id: MetricId, value: u64) -> bool {
        newer().increment_counter.is_some_and(|change| {
            // SAFETY: rule 1; no labels.
            unsafe { change(self.config, id.0, null(), 0, value) == 0 }
        })
    }

    /// Adds to a counter with these values of its labels, where [`counts_without_stream`].
    pub(crate) fn count_labelled(self, id: LabelledId, labels: &[&str], value: u64) {
        let Some(change) = newer().increment_counter else {
            return;
        };
        let labels: Vec<Buffer> = labels.iter().map(|label| Buffer::of(label.as_bytes())).collect();
        // SAFETY: rules 1 and 2.
        unsafe { change(self.config, id.0, labels.as_ptr(), labels.len(), value) };
    }

    /// Sets a gauge. Returns false if Envoy has no function for that.
    pub(crate) fn set_gauge(self, id: MetricId, value: u64) -> bool {
        newer().set_gauge.is_some_and(|change| {
            // SAFETY: rule 1; no labels.
            unsafe { change(self.config, id.0, null(), 0, value) == 0 }
        })
    }
}

impl Host<'_> {
    /// Adds to a counter.
    pub(crate) fn count(&self, id: MetricId, value: u64) {
        // SAFETY: rule 1; no labels. A number that Envoy does not know is an error that it returns.
        unsafe {
            envoy_dynamic_module_callback_http_filter_increment_counter(self.filter, id.0, null(), 0, value)
        };
    }

    /// Adds to a counter with these values of its labels.
    pub(crate) fn count_labelled(&self, id: LabelledId, labels: &[&str], value: u64) {
        let labels: Vec<Buffer> = labels.iter().map(|label| Buffer::of(label.as_bytes())).collect();
        // SAFETY: rules 1 and 2.
        unsafe {
            envoy_dynamic_module_callback_http_filter_increment_counter(
                self.filter,
                id.0,
                labels.as_ptr(),
                labels.len(),
                value,
            )
        };
    }

    /// Adds a value to a histogram.
    pub(crate) fn record(&self, id: MetricId, value: u64) {
        // SAFETY: rule 1; no labels.
        unsafe {
            envoy_dynamic_module_callback_http_filter_record_histogram_value(
                self.filter,
                id.0,
                null(),
                0,
                value,
            )
        };
    }

    /// Sets a gauge.
    pub(crate) fn set_gauge(&self, id: MetricId, value: u64) {
        // SAFETY: rule 1; no labels.
        unsafe { envoy_dynamic_module_callback_http_filter_set_gauge(self.filter, id.0, null(), 0, value) };
    }
}
