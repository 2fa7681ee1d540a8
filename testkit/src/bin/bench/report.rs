//! The figures: a table on stdout, JSON, and a picture.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::cases::{Case, Side};
use crate::load::Sample;
use crate::{Samples, picture};

pub(crate) struct Report<'r> {
    cases: &'r [Case],
    samples: &'r Samples,
    memory_kib: u64,
    rounds: usize,
    seconds: u32,
}

/// The middle of the values; of two in the middle the lower.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) / 2]
}

impl<'r> Report<'r> {
    pub(crate) fn new(
        cases: &'r [Case],
        samples: &'r Samples,
        memory_kib: u64,
        rounds: usize,
        seconds: u32,
    ) -> Self {
        Self {
            cases,
            samples,
            memory_kib,
            rounds,
            seconds,
        }
    }

    fn of(&self, case: usize, side: Side, figure: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.samples[&(case, side)].iter().map(figure).collect()
    }

    fn rate(&self, case: usize, side: Side) -> f64 {
        median(&self.of(case, side, Sample::rate))
    }

    /// The ratio in each round, and of them the median: what slows a round down stands on both sides.
    fn ratio(&self, case: usize, side: Side, other: Side) -> f64 {
        let sides = self.of(case, side, Sample::rate);
        let others = self.of(case, other, Sample::rate);
        let ratios: Vec<f64> = sides
            .iter()
            .zip(&others)
            .map(|(side, other)| side / other)
            .collect();
        median(&ratios)
    }

    /// How long a request takes on this side, in µs of the one core.
    fn cost(&self, case: usize, side: Side) -> f64 {
        1e6 / self.rate(case, side)
    }

    pub(crate) fn write(&self, out: &Path) {
        let table = self.table();
        print!("{table}");
        fs::create_dir_all(out).expect("a folder for the results");
        let results = self.json();
        let json = serde_json::to_string_pretty(&results).expect("JSON");
        fs::write(out.join("results.json"), json + "\n").expect("results.json is written");
        fs::write(out.join("results.svg"), picture::draw(&results)).expect("results.svg is written");
        println!("\n{} and results.svg", out.join("results.json").display());
    }

    fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |words: String| {
            text += words.trim_end();
            text.push('\n');
        };
        line(format!(
            "\n{}\nEnvoy on one core, load from another; requests for each second of Envoy's processor time, and as seen; medians of {} interleaved rounds of {} s\n",
            machine(),
            self.rounds,
            self.seconds
        ));
        for (number, case) in self.cases.iter().enumerate() {
            line(case.name.to_owned());
            for side in case.sides {
                let rates = self.of(number, *side, Sample::rate);
                let spread = rates.iter().copied().fold(0.0, f64::max)
                    - rates.iter().copied().fold(f64::INFINITY, f64::min);
                line(format!(
                    "  {:<18} {:>7.0} requests/s ±{:>2.0} %  {:>7.1} µs  ({:>6.0} seen)  p50 {:>5.0} µs  p99 {:>5.0} µs",
                    side.name(),
                    self.rate(number, *side),
                    spread / 2.0 / self.rate(number, *side) * 100.0,
                    self.cost(number, *side),
                    median(&self.of(number, *side, Sample::seen)),
                    median(&self.of(number, *side, |sample| sample.p50)),
                    median(&self.of(number, *side, |sample| sample.p99)),
                ));
            }
            for (words, _, is_reached) in self.verdicts(number, case) {
                line(format!("  {} {words}", if is_reached { "✓" } else { "✗" }));
            }
        }
        line(format!(
            "\nEnvoy's resident memory at the end: {} MiB",
            self.memory_kib / 1024
        ));
        text
    }

    /// Each goal in words, its figure, and whether it is reached.
    fn verdicts(&self, number: usize, case: &Case) -> Vec<(String, f64, bool)> {
        let mut verdicts = Vec::new();
        for (side, other, goal) in case.goals {
            let ratio = self.ratio(number, *side, *other);
            let words = format!("{ratio:.2} × {}, goal {goal:.2}", other.name());
            verdicts.push((words, ratio, ratio >= *goal));
        }
        if let Some((side, goal)) = case.budget {
            let micros = self.cost(number, side) - self.cost(number, Side::None);
            verdicts.push((format!("{micros:.0} µs, goal {goal:.0}"), micros, micros <= goal));
        }
        if case.is_half_load {
            let p99 = |side| median(&self.of(number, side, |sample| sample.p99));
            let more = p99(Side::Ours) - p99(Side::NativeCached);
            let words = format!("p99 {more:+.0} µs beside jwt_authn with its cache, goal +20");
            verdicts.push((words, more, more <= 20.0));
        }
        verdicts
    }

    fn json(&self) -> Value {
        let cases: Vec<Value> = self
            .cases
            .iter()
            .enumerate()
            .map(|(number, case)| {
                let sides: Vec<Value> = case
                    .sides
                    .iter()
                    .map(|side| {
                        json!({
                            "side": side.name(),
                            "requests_per_second": self.of(number, *side, |sample| sample.rate().round()),
                            "median": self.rate(number, *side).round(),
                            "seen": median(&self.of(number, *side, Sample::seen)).round(),
                            "p50_us": median(&self.of(number, *side, |sample| sample.p50)),
                            "p99_us": median(&self.of(number, *side, |sample| sample.p99)),
                        })
                    })
                    .collect();
                let goals: Vec<Value> = self
                    .verdicts(number, case)
                    .into_iter()
                    .map(|(words, figure, is_reached)| {
                        json!({
                            "goal": words,
                            "figure": (figure * 1000.0).round() / 1000.0,
                            "reached": is_reached,
                        })
                    })
                    .collect();
                json!({"case": case.name, "sides": sides, "goals": goals})
            })
            .collect();
        json!({
            "machine": machine(),
            "rounds": self.rounds,
            "seconds": self.seconds,
            "envoy_resident_kib": self.memory_kib,
            "cases": cases,
        })
    }
}

/// What machine this is.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores, {}", std::env::consts::ARCH)
}
