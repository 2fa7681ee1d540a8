//! The cost of a filter before the first request: memory, and time until Envoy serves.

use std::fmt;
use std::time::Instant;

use serde_json::{Value, json};
use testkit::{Bootstrap, EnvoyOptions, EnvoyProcess};

use crate::cases::Side;
use crate::figures::{Verdict, median};
use crate::stack::{Times, listener, resident_kib};
use crate::tokens::Keys;

pub(crate) const NAME: &str = "process";

const SIDES: [Side; 5] = [Side::None, Side::Empty, Side::Ours, Side::Module, Side::JwtAuthn];

/// The medians of several starts.
#[derive(Debug)]
pub(crate) struct Process {
    side: Side,
    /// Resident, in MiB.
    memory: f64,
    /// From its start until it is live, in ms.
    start: f64,
    /// The processor time of that, in ms.
    cpu: f64,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, memory) = (self.side.name(), self.memory);
        let (start, cpu) = (self.start, self.cpu);
        write!(
            f,
            "{name:<18} {memory:>6.1} MiB  live after {start:>5.0} ms, {cpu:>5.0} ms of a core"
        )
    }
}

impl Process {
    pub(crate) fn json(&self) -> Value {
        json!({
            "side": self.side.name(),
            "resident_kib": (self.memory * 1024.0).round(),
            "start_ms": self.start.round(),
            "start_cpu_ms": self.cpu.round(),
        })
    }
}

/// Starts an Envoy with each filter, so often, in turn.
pub(crate) fn measure(keys: &Keys, starts: usize) -> Vec<Process> {
    let modules = tempfile::tempdir().expect("a temporary directory");
    let configs = SIDES.map(|side| {
        let listener = listener(side, keys, modules.path());
        Bootstrap::new().listener(listener).build()
    });
    let mut readings = SIDES.map(|_| Vec::new());
    for round in 0..starts {
        for ((side, config), readings) in SIDES.iter().zip(&configs).zip(&mut readings) {
            let begun = Instant::now();
            let envoy = EnvoyProcess::start_with(config, &EnvoyOptions::default());
            let start = begun.elapsed().as_secs_f64() * 1e3;
            let cpu = Times::of_process(envoy.pid()).cpu / 1e3;
            let memory = resident_kib(envoy.pid()) as f64 / 1024.0;
            let reading = Process {
                side: *side,
                memory,
                start,
                cpu,
            };
            eprintln!("round {}/{starts}  {NAME}: {reading}", round + 1);
            readings.push(reading);
        }
    }
    let of = |readings: &[Process], figure: fn(&Process) -> f64| {
        median(&readings.iter().map(figure).collect::<Vec<_>>())
    };
    SIDES
        .into_iter()
        .zip(&readings)
        .map(|(side, readings)| Process {
            side,
            memory: of(readings, |process| process.memory),
            start: of(readings, |process| process.start),
            cpu: of(readings, |process| process.cpu),
        })
        .collect()
}

/// The wasm module beside an empty one, the native module beside none: MiB and ms more.
pub(crate) fn verdicts(processes: &[Process]) -> Vec<Verdict> {
    let find = |side| processes.iter().find(|process| process.side == side);
    [
        (Side::Ours, "", Side::Empty, 35.0, 600.0),
        (Side::Module, "native module: ", Side::None, 5.0, 20.0),
    ]
    .into_iter()
    .filter_map(|(side, whose, other, memory, start)| {
        let (process, beside) = (find(side)?, find(other)?);
        let more = process.memory - beside.memory;
        let later = process.start - beside.start;
        let other = other.name();
        Some([
            (
                format!("{whose}{more:+.1} MiB beside {other}, goal {memory:+.0}"),
                more,
                more <= memory,
            ),
            (
                format!("{whose}live {later:+.0} ms beside {other}, goal {start:+.0}"),
                later,
                later <= start,
            ),
        ])
    })
    .flatten()
    .collect()
}
