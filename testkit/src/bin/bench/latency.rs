//! The latency that each filter adds, at half of the load that the slower one bears.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Samples;
use crate::cases::{Case, Side};
use crate::figures::median;
use crate::load::Sample;
use crate::pump;
use crate::stack::{Stack, Times};
use crate::tokens::{Files, Kind};

pub(crate) const NAME: &str = "latency at half load";
pub(crate) const SIDES: [Side; 4] = [Side::None, Side::Ours, Side::Module, Side::JwtAuthnCached];

/// The 99th percentile suffers first if another process takes time from a round. Above this share, the round
/// does not count.
const MAX_WAITED: f64 = 0.01;
const ROUND: Duration = Duration::from_secs(1);

/// The 99th percentile differs more between two seconds of one side than between two sides.
pub(crate) const MIN_ROUNDS: usize = 60;

/// The figures of all rounds.
pub(crate) struct Latency {
    /// Requests per second.
    pub(crate) rate: f64,
    /// How many were measured.
    pub(crate) measured: usize,
    /// The calmer half of them: those in which the kernel let Envoy and the sender wait least. The choice
    /// does not depend on anything else.
    pub(crate) rounds: Vec<BTreeMap<Side, Quantiles>>,
    /// The longest wait in these, as a share of the round.
    pub(crate) waited: f64,
}

/// The latency of one side in one round, in µs.
#[derive(Clone, Copy)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// The share of its core that Envoy used.
    pub(crate) load: f64,
    /// The share of the time in which Envoy or the sender could have run, but another process ran.
    waited: f64,
}

impl Latency {
    /// A round takes a second: the shorter the rounds, the more of them are undisturbed by other processes.
    pub(crate) fn measure(rate: f64, rounds: usize, stack: &Stack, files: &Files) -> Self {
        let tokens = fs::read_to_string(files.path(Kind::Warm)).expect("the tokens");
        let requests: Vec<_> = tokens.lines().map(|token| pump::request(Some(token))).collect();
        for side in SIDES {
            pump::flood(stack.port(side), 1000, |number| {
                requests[number as usize % requests.len()].clone()
            });
        }
        let measured: Vec<BTreeMap<Side, Quantiles>> = (0..rounds)
            .map(|round| {
                let mut sides = SIDES;
                sides.rotate_left(round % SIDES.len());
                let quantiles = |side: Side| {
                    let times = || stack.times().and(Times::of(Path::new("/proc/thread-self")));
                    let (envoy, both, begun) = (stack.times(), times(), Instant::now());
                    // All sides have the same moments, so that requests coincide in the same way for each of
                    // them.
                    let mut latencies =
                        pump::at_rate(stack.port(side), rate, ROUND, round as u64, &requests);
                    let share = |micros: f64| micros / begun.elapsed().as_secs_f64() / 1e6;
                    let (load, waited) = (
                        share(stack.times().since(envoy).cpu),
                        share(times().since(both).waited),
                    );
                    latencies.sort_by(f64::total_cmp);
                    let quantile = |share: f64| latencies[(share * latencies.len() as f64) as usize];
                    let found = Quantiles {
                        p50: quantile(0.5),
                        p99: quantile(0.99),
                        load,
                        waited,
                    };
                    eprintln!(
                        "round {}/{rounds}  {NAME:<22} {:<16} {rate:>7.0} requests/s, {:>3.0} % of the core  p50 {:>5.0} µs  p99 {:>6.0} µs  disturbed {:.2} %",
                        round + 1,
                        side.name(),
                        load * 100.0,
                        found.p50,
                        found.p99,
                        waited * 100.0
                    );
                    found
                };
                sides.into_iter().map(|side| (side, quantiles(side))).collect()
            })
            .collect();
        Self::chosen(rate, measured)
    }

    fn chosen(rate: f64, mut rounds: Vec<BTreeMap<Side, Quantiles>>) -> Self {
        let measured = rounds.len();
        let waited =
            |round: &BTreeMap<Side, Quantiles>| round.values().map(|of| of.waited).fold(0.0, f64::max);
        rounds.sort_by(|one, other| waited(one).total_cmp(&waited(other)));
        rounds.truncate(measured.div_ceil(2));
        Self {
            rate,
            measured,
            waited: rounds.iter().map(waited).fold(0.0, f64::max),
            rounds,
        }
    }

    /// Whether the figures describe the filters, and not other work of the machine.
    pub(crate) fn is_calm(&self) -> bool {
        self.waited <= MAX_WAITED
    }

    pub(crate) fn median_of(&self, side: Side, figure: impl Fn(&Quantiles) -> f64) -> f64 {
        let figures: Vec<f64> = self.rounds.iter().map(|round| figure(&round[&side])).collect();
        median(&figures)
    }

    /// The median of the differences in each round.
    pub(crate) fn more(&self, side: Side, other: Side, figure: impl Fn(&Quantiles) -> f64) -> f64 {
        median(&self.differences(side, other, figure))
    }

    /// The interval which contains the median of all possible rounds with a probability of 95 %. It is found
    /// by the ranks of the differences, since these do not follow a normal distribution.
    pub(crate) fn interval(&self, side: Side, other: Side, figure: impl Fn(&Quantiles) -> f64) -> (f64, f64) {
        let mut differences = self.differences(side, other, figure);
        differences.sort_by(f64::total_cmp);
        let count = differences.len();
        let lower = (count as f64 / 2.0 - 0.98 * (count as f64).sqrt()).max(0.0) as usize;
        (differences[lower], differences[count - 1 - lower])
    }

    fn differences(&self, side: Side, other: Side, figure: impl Fn(&Quantiles) -> f64) -> Vec<f64> {
        self.rounds
            .iter()
            .map(|round| figure(&round[&side]) - figure(&round[&other]))
            .collect()
    }
}

/// Half of the rate of warm requests that the slowest side can serve, so that this side keeps its core busy
/// half of the time. Without samples, a rate that every machine can serve.
pub(crate) fn half_load(cases: &[Case], samples: &Samples) -> f64 {
    let warm = cases.iter().position(|case| case.tokens == Kind::Warm);
    let rates = SIDES.iter().filter_map(|side| {
        let of = samples.get(&(warm?, *side))?;
        let rates: Vec<f64> = of.iter().map(Sample::rate).collect();
        Some(median(&rates))
    });
    match rates.fold(f64::INFINITY, f64::min) {
        slowest if slowest.is_finite() => slowest / 2.0,
        _ => 10_000.0,
    }
}
