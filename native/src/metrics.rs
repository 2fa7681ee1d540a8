//! The metrics in Envoy, with the names of the wasm module: `dynamicmodulescustom.jwt.<stat_prefix.>…`, or
//! with another first word if `metrics_namespace` sets one.
//!
//! Envoy 1.38 changes metrics only with a stream: the main thread leaves its changes to the next stream.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use proxy_wasm_jwt::denial::{Denial, Reason};
use proxy_wasm_jwt::metrics::{self, Change, Meter, Metric, MetricKind};
use proxy_wasm_jwt::settings::Config;
use proxy_wasm_jwt::time::UnixTime;

use crate::binding::{self, ConfigHost, Host, LabelledId, MetricId};

/// The most changes of metrics that wait for a stream: one for each metric, and the durations of fetches.
const MOST_PENDING: usize = 4096;

/// The context in which a metric changes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Context<'t, 'h> {
    Stream(&'t Host<'h>),
    Main(ConfigHost<'h>, &'t Metrics),
}

impl Meter for Context<'_, '_> {
    type Id = MetricId;

    fn change(&self, id: MetricId, change: Change) {
        match *self {
            Self::Stream(host) => carry_out(host, id, change),
            Self::Main(host, metrics) => {
                let is_done = match change {
                    Change::Add(count) => host.count(id, count),
                    Change::Set(value) => host.set_gauge(id, value),
                    Change::Record(value) => host.record(id, value),
                };
                if !is_done {
                    metrics.pending.leave(id, change);
                }
            }
        }
    }
}

/// Changes a metric with a stream.
fn carry_out(host: &Host<'_>, id: MetricId, change: Change) {
    match change {
        Change::Add(count) => host.count(id, count),
        Change::Set(value) => host.set_gauge(id, value),
        Change::Record(value) => host.record(id, value),
    }
}

/// Combines a change with a later one of the same metric. False if both have to be kept.
fn join(earlier: &mut Change, later: Change) -> bool {
    match (earlier, later) {
        (Change::Add(sum), Change::Add(more)) => *sum = sum.saturating_add(more),
        (Change::Set(value), Change::Set(newer)) => *value = newer,
        _ => return false,
    }
    true
}

/// The metrics of the core, and those of this module alone.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) core: metrics::Metrics<MetricId>,
    pub(crate) panicked: Metric<MetricId>,
    refused: Option<Refused>,
    pending: Pending,
}

/// The changes for which a stream is necessary.
#[derive(Debug, Default)]
struct Pending {
    changes: Mutex<Vec<(MetricId, Change)>>,
    /// Whether a stream has something to do: a change, or the refusals that [`Refused`] has kept.
    is_due: AtomicBool,
}

impl Pending {
    /// Leaves a change to the next stream.
    fn leave(&self, id: MetricId, change: Change) {
        // Only complete values are written under this lock, so they are consistent after a panic.
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.len() >= MOST_PENDING {
            return;
        }
        let mut of_same = changes.iter_mut().filter(|(known, _)| *known == id);
        if !of_same.any(|(_, earlier)| join(earlier, change)) {
            changes.push((id, change));
        }
        self.is_due.store(true, Ordering::Release);
    }
}

impl Metrics {
    pub(crate) fn define(config: &Config, host: ConfigHost<'_>) -> Self {
        let define = |kind, name: &str| {
            let id = match kind {
                MetricKind::Counter => host.counter(name),
                MetricKind::Gauge => host.gauge(name),
                MetricKind::Histogram => host.histogram(name),
            };
            if id.is_none() {
                log::warn!("the metric {name} could not be defined");
            }
            id
        };
        let prefix = metrics::prefix(config);
        Self {
            core: metrics::Metrics::define(config, &define),
            panicked: Metric(define(MetricKind::Counter, &format!("{prefix}.panicked"))),
            refused: host
                .labelled_counter(&format!("{prefix}.refused"), &["reason", "provider"])
                .map(|id| Refused::new(id, config)),
            pending: Pending::default(),
        }
    }

    /// Counts a refusal.
    pub(crate) fn denied(&self, host: &Host<'_>, denial: &Denial, now: UnixTime) {
        self.core.denied(&Context::Stream(host), denial);
        if let Some(refused) = &self.refused {
            refused.note(host, denial, now);
        }
    }

    /// Carries out the changes that the main thread has left to a stream.
    pub(crate) fn carry_out_pending(&self, host: &Host<'_>) {
        let Pending { changes, is_due } = &self.pending;
        if is_due.load(Ordering::Acquire) && is_due.swap(false, Ordering::AcqRel) {
            self.settle_refused(Context::Stream(host));
            let changes = std::mem::take(&mut *changes.lock().unwrap_or_else(PoisonError::into_inner));
            for (id, change) in changes {
                carry_out(host, id, change);
            }
        }
    }

    /// Adds the refusals that [`Refused`] has kept. The main thread does it once a second.
    pub(crate) fn settle_refused(&self, context: Context<'_, '_>) {
        let Some(refused) = &self.refused else { return };
        match context {
            Context::Stream(host) => {
                refused.settle(|labels, count| host.count_labelled(refused.id, labels, count));
            }
            Context::Main(_, metrics) if !binding::counts_without_stream() => {
                metrics.pending.is_due.store(true, Ordering::Release);
            }
            Context::Main(host, _) => {
                refused.settle(|labels, count| host.count_labelled(refused.id, labels, count));
            }
        }
    }
}

/// The counter of refusals with the labels `reason` and `provider`.
///
/// Envoy looks a counter with labels up by their texts, which takes longer than everything else that the
/// module does to count a refusal. If a refusal comes soon after another one of its kind, the module
/// therefore adds it later, with others: when a further one comes after [`LABELLED_EVERY`], or when Envoy
/// next calls the main thread.
#[derive(Debug)]
struct Refused {
    id: LabelledId,
    /// The values of `provider`: the first is that of refusals without one.
    providers: Box<[Box<str>]>,
    /// For each of them, the refusals of each reason. The entry is made for the first refusal.
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

/// The interval in milliseconds after which a counter with labels changes.
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

    /// Passes on the stored counts.
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
