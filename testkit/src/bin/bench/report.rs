//! The figures: a table on stdout, JSON, and a picture.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::cases::{Case, Side};
use crate::figures::{Verdict, median, rounded};
use crate::latency::{self, Latency};
use crate::load::Sample;
use crate::memory::{self, Reading};
use crate::{Samples, picture, proofs, scale, sizing, start, worst};

/// The longest permitted time in which a VM reads the configuration of [`crate::start`], in ms.
const START_GOAL: f64 = 5.0;
/// How much longer the 99th percentile may wait than with jwt_authn and its cache, in µs.
const LATENCY_GOAL: f64 = 20.0;
/// The most memory of a worker's VM after the flood, in KiB.
const MEMORY_GOAL: u64 = 16 * 1024;

pub(crate) struct Report<'r> {
    pub(crate) cases: &'r [Case],
    pub(crate) samples: &'r Samples,
    pub(crate) start: Option<&'r [f64]>,
    pub(crate) latency: Option<&'r Latency>,
    pub(crate) memory: Option<&'r [Reading]>,
    pub(crate) worst: Option<&'r [worst::Cost]>,
    pub(crate) process: Option<&'r [sizing::Process]>,
    pub(crate) scale: Option<&'r [scale::Row]>,
    pub(crate) proofs: Option<proofs::Cost>,
    pub(crate) rounds: usize,
    pub(crate) seconds: u32,
}

impl Report<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.cases.is_empty()
            && self.start.is_none()
            && self.latency.is_none()
            && self.memory.is_none()
            && self.worst.is_none()
            && self.process.is_none()
            && self.scale.is_none()
            && self.proofs.is_none()
    }

    fn of(&self, case: usize, side: Side, figure: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.samples[&(case, side)].iter().map(figure).collect()
    }

    fn rate(&self, case: usize, side: Side) -> f64 {
        median(&self.of(case, side, Sample::rate))
    }

    /// The median of the ratios in each round: a slow round affects both sides.
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
        let verdict =
            |(words, _, is_reached): Verdict| format!("  {} {words}", if is_reached { "✓" } else { "✗" });
        for (number, case) in self.cases.iter().enumerate() {
            line(case.name.to_owned());
            for side in case.sides {
                let rates = self.of(number, *side, Sample::rate);
                let spread = rates.iter().copied().fold(0.0, f64::max)
                    - rates.iter().copied().fold(f64::INFINITY, f64::min);
                line(format!(
                    "  {:<18} {:>7.0} requests/s ±{:>2.0} %  {:>7.1} µs  ({:>6.0} seen)",
                    side.name(),
                    self.rate(number, *side),
                    spread / 2.0 / self.rate(number, *side) * 100.0,
                    self.cost(number, *side),
                    median(&self.of(number, *side, Sample::seen)),
                ));
            }
            for found in self.verdicts(number, case) {
                line(verdict(found));
            }
        }
        if let Some(latency) = self.latency {
            line(format!(
                "{}, {:.0} requests/s, the calmer half of {} rounds: up to {:.1} % taken by others",
                latency::NAME,
                latency.rate,
                latency.measured,
                latency.waited * 100.0
            ));
            for side in latency::SIDES {
                line(format!(
                    "  {:<18} p50 {:>5.0} µs  p99 {:>5.0} µs  ({:>2.0} % of the core)",
                    side.name(),
                    latency.median_of(side, |of| of.p50),
                    latency.median_of(side, |of| of.p99),
                    latency.median_of(side, |of| of.load) * 100.0,
                ));
            }
            for side in [Side::Ours, Side::Module, Side::JwtAuthnCached] {
                let (p50, p99) = added(latency, side);
                line(format!(
                    "  {:<18} adds {p50:.0} µs, at p99 {p99:.0} µs",
                    side.name()
                ));
            }
            for found in latency_verdicts(latency) {
                line(verdict(found));
            }
        }
        if let Some(start) = self.start {
            line(format!(
                "{}: 10 providers, 100 rules, {} VMs",
                start::NAME,
                start.len()
            ));
            line(verdict(start_verdict(start)));
        }
        if let Some(readings) = self.memory {
            line(memory::NAME.to_owned());
            for reading in readings {
                line(format!(
                    "  {:>9} tokens  VM {:>6} KiB  Envoy {:>7} KiB",
                    reading.tokens, reading.vm, reading.resident
                ));
            }
            line(verdict(memory_verdict(readings)));
        }
        if let Some(processes) = self.process {
            line(format!(
                "{}: an Envoy with one provider, one worker",
                sizing::NAME
            ));
            for process in processes {
                line(format!("  {process}"));
            }
            for found in sizing::verdicts(processes) {
                line(verdict(found));
            }
        }
        for row in self.scale.into_iter().flatten() {
            line(format!("{}: {row}", scale::NAME));
        }
        for cost in self.worst.into_iter().flatten() {
            line(format!("{}: {}", worst::NAME, cost.name));
            line(verdict(cost.verdict()));
        }
        if let Some(cost) = self.proofs {
            line(proofs::NAME.to_owned());
            line(format!(
                "  {:.0} µs a request, {:.0} µs without a filter: {:.0} requests/s",
                cost.with_proof,
                cost.without_filter,
                cost.rate()
            ));
        }
        text
    }

    fn verdicts(&self, number: usize, case: &Case) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for (side, other, goal) in case.goals {
            let ratio = self.ratio(number, *side, *other);
            let words = format!("{}{ratio:.2} × {}, goal {goal:.2}", of_whom(*side), other.name());
            verdicts.push((words, ratio, ratio >= *goal));
        }
        if let Some((side, goal)) = case.budget {
            let micros = self.cost(number, side) - self.cost(number, Side::None);
            verdicts.push((format!("{micros:.0} µs, goal {goal:.0}"), micros, micros <= goal));
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
                        })
                    })
                    .collect();
                let goals: Vec<Value> = self.verdicts(number, case).into_iter().map(goal).collect();
                json!({"case": case.name, "sides": sides, "goals": goals})
            })
            .collect();
        let mut results = json!({
            "machine": machine(),
            "rounds": self.rounds,
            "seconds": self.seconds,
            "cases": cases,
        });
        if let Some(latency) = self.latency {
            let sides: Vec<Value> = latency::SIDES
                .into_iter()
                .map(|side| {
                    let (p50, p99) = added(latency, side);
                    json!({
                        "side": side.name(),
                        "p50_us": latency.median_of(side, |of| of.p50).round(),
                        "p99_us": latency.median_of(side, |of| of.p99).round(),
                        "added_p50_us": p50.round(),
                        "added_p99_us": p99.round(),
                        "share_of_the_core": rounded(latency.median_of(side, |of| of.load)),
                    })
                })
                .collect();
            results["latency"] = json!({
                "requests_per_second": latency.rate.round(),
                "rounds": latency.measured,
                "share_taken_by_others": rounded(latency.waited),
                "sides": sides,
                "goals": latency_verdicts(latency).into_iter().map(goal).collect::<Vec<_>>(),
            });
        }
        if let Some(start) = self.start {
            let times: Vec<f64> = start.iter().copied().map(rounded).collect();
            results["start"] = json!({"milliseconds": times, "goals": [goal(start_verdict(start))]});
        }
        if let Some(readings) = self.memory {
            let rows: Vec<Value> = readings
                .iter()
                .map(|of| json!({"tokens": of.tokens, "vm_kib": of.vm, "envoy_resident_kib": of.resident}))
                .collect();
            results["memory"] = json!({"readings": rows, "goals": [goal(memory_verdict(readings))]});
        }
        if let Some(processes) = self.process {
            let rows: Vec<Value> = processes.iter().map(sizing::Process::json).collect();
            let goals: Vec<Value> = sizing::verdicts(processes).into_iter().map(goal).collect();
            results["process"] = json!({"sides": rows, "goals": goals});
        }
        if let Some(rows) = self.scale {
            results["scale"] = rows.iter().map(scale::Row::json).collect();
        }
        if let Some(costs) = self.worst {
            let rows: Vec<Value> = costs
                .iter()
                .map(|cost| {
                    json!({
                        "what": cost.name,
                        "plain_us": cost.plain.round(),
                        "this_filter_us": cost.ours.round(),
                        "jwt_authn_us": cost.native.round(),
                        "goals": [goal(cost.verdict())],
                    })
                })
                .collect();
            results["worst"] = rows.into();
        }
        if let Some(cost) = self.proofs {
            results["proofs"] = json!({
                "us": cost.with_proof.round(),
                "without_filter_us": cost.without_filter.round(),
                "requests_per_second": cost.rate().round(),
            });
        }
        results
    }
}

fn goal((words, figure, is_reached): Verdict) -> Value {
    json!({"goal": words, "figure": rounded(figure), "reached": is_reached})
}

/// The latency that a side adds to a request without a filter: the median, and the 99th percentile.
fn added(latency: &Latency, side: Side) -> (f64, f64) {
    (
        latency.more(side, Side::None, |of| of.p50),
        latency.more(side, Side::None, |of| of.p99),
    )
}

fn latency_verdicts(latency: &Latency) -> [Verdict; 2] {
    [(Side::Ours, LATENCY_GOAL), (Side::Module, 0.0)].map(|(side, goal)| {
        let more = latency.more(side, Side::JwtAuthnCached, |of| of.p99);
        let (least, most) = latency.interval(side, Side::JwtAuthnCached, |of| of.p99);
        let words = format!(
            "{}p99 {more:+.0} µs ({least:+.0} to {most:+.0}) beside jwt_authn with its cache, goal {goal:+.0}",
            of_whom(side)
        );
        // A goal within the interval cannot be told from a goal that is reached.
        (words, more, least <= goal && latency.is_calm())
    })
}

/// The prefix of a goal that is not for the wasm module.
fn of_whom(side: Side) -> String {
    match side {
        Side::Ours => String::new(),
        side => format!("{}: ", side.name()),
    }
}

fn start_verdict(start: &[f64]) -> Verdict {
    let time = median(start);
    (
        format!("{time:.1} ms, goal {START_GOAL:.0}"),
        time,
        time <= START_GOAL,
    )
}

fn memory_verdict(readings: &[Reading]) -> Verdict {
    let last = readings.last().expect("it was read");
    let (vm, goal) = (last.vm as f64 / 1024.0, MEMORY_GOAL / 1024);
    let words = format!("{vm:.1} MiB after {} tokens, goal {goal}", last.tokens);
    (words, vm, last.vm <= MEMORY_GOAL)
}

/// A description of this machine.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor", |(_, model)| model);
    // All processors of the machine: this process itself may use only one.
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    format!("{model}, {cores} cores, {}", std::env::consts::ARCH)
}
