//! `make bench`: the filter beside jwt_authn in one Envoy, on one core, under load from another.
//!
//! Every figure is a median of interleaved rounds, so that a temporary slowdown of the machine affects all
//! sides alike. The bench counts requests per second of Envoy's processor time. On an otherwise idle machine,
//! this is the rate that Envoy serves. On a busy machine, it is the rate that Envoy would serve.

mod bare;
mod cases;
mod figures;
mod latency;
mod load;
mod memory;
mod picture;
mod proofs;
mod pump;
mod report;
mod scale;
mod sizing;
mod stack;
mod start;
mod tokens;
mod worst;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Parser;

use cases::{Case, Side};
use latency::Latency;
use load::{Load, Sample};
use report::Report;
use stack::Stack;
use tokens::Kind;

/// Compares the filter with Envoy's own jwt_authn.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// A few short rounds, to see that the bench works, and approximate figures.
    #[arg(long)]
    quick: bool,
    /// Rounds; the figures are their medians.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of load for each figure in each round.
    #[arg(long)]
    seconds: Option<u32>,
    /// Different tokens of the flood after which memory is read.
    #[arg(long)]
    flood: Option<u64>,
    /// Only measurements with this in their name: a case, "latency at half load", "start", "memory",
    /// "process", "scale", "worst request", "proof of possession".
    #[arg(long, default_value = "")]
    only: String,
    /// The folder for results.json and results.svg.
    #[arg(long, default_value = "bench")]
    out: PathBuf,
    /// Measures nothing: draws results.svg again from the results.json that is there.
    #[arg(long)]
    draw: bool,
}

/// All samples of one side of one case.
pub(crate) type Samples = BTreeMap<(usize, Side), Vec<Sample>>;

fn main() {
    let options = Options::parse();
    if options.draw {
        return picture::redraw(&options.out);
    }
    let _priority = stack::Priority::raise();
    let (rounds, seconds, flood) = if options.quick {
        (3, 1, 50_000)
    } else {
        (5, 2, 1_000_000)
    };
    let rounds = options.rounds.unwrap_or(rounds);
    let seconds = options.seconds.unwrap_or(seconds);
    let is_wanted = |name: &str| name.contains(&options.only);
    let cases: Vec<Case> = cases::all()
        .into_iter()
        .filter(|case| is_wanted(case.name))
        .collect();

    let keys = tokens::Keys::generate();
    let start = is_wanted(start::NAME).then(|| start::measure(&keys, rounds));
    let worst = is_wanted(worst::NAME).then(|| worst::measure(&keys));
    let proofs = is_wanted(proofs::NAME).then(|| proofs::measure(&keys));
    let count = if options.quick { 20_000 } else { 50_000 };
    let kinds = cases.iter().map(|case| case.tokens);
    let files = tokens::Files::write(&keys, kinds.chain([Kind::Warm]), count);
    let process = is_wanted(sizing::NAME).then(|| sizing::measure(&keys, rounds));
    // From here on, the senders of requests must not use Envoy's core.
    stack::pin(std::process::id(), "1");
    let scale = is_wanted(scale::NAME).then(|| scale::measure(&keys, options.quick));
    let stack = Stack::start(&keys, &Side::ALL, 1);
    let is_paired = cases.iter().any(|case| case.workers > 1);
    let paired = is_paired.then(|| Stack::start(&keys, cases::PAIRED, 2));

    let mut samples = Samples::new();
    for round in 0..rounds {
        for (number, case) in cases.iter().enumerate() {
            let mut sides = case.sides.to_vec();
            // The order changes, so that no side is always first.
            sides.rotate_left(round % case.sides.len());
            let stack = paired.as_ref().filter(|_| case.workers > 1).unwrap_or(&stack);
            for side in sides {
                let load = Load {
                    port: stack.port(side),
                    tokens: files.path(case.tokens),
                    seconds,
                    offset: round * 7919,
                };
                let before = stack.times();
                let mut sample = load.run();
                sample.cpu_micros = stack.times().since(before).cpu;
                assert_eq!(
                    sample.refused,
                    if case.is_refused(side) { sample.requests } else { 0 },
                    "{}: {side:?} answered otherwise than it should",
                    case.name
                );
                eprintln!(
                    "round {}/{rounds}  {:<24} {:<16} {:>7.0} requests/s ({:>6.0} seen)",
                    round + 1,
                    case.name,
                    side.name(),
                    sample.rate(),
                    sample.seen(),
                );
                samples.entry((number, side)).or_default().push(sample);
            }
        }
    }
    let latency = is_wanted(latency::NAME).then(|| {
        let rate = latency::half_load(&cases, &samples);
        let wanted = rounds * seconds as usize;
        let rounds = if options.quick {
            wanted
        } else {
            wanted.max(latency::MIN_ROUNDS)
        };
        Latency::measure(rate, rounds, &stack, &files)
    });
    drop((stack, paired));
    let memory = is_wanted(memory::NAME).then(|| memory::measure(&keys, options.flood.unwrap_or(flood)));
    let report = Report {
        cases: &cases,
        samples: &samples,
        start: start.as_deref(),
        latency: latency.as_ref(),
        memory: memory.as_deref(),
        worst: worst.as_deref(),
        process: process.as_deref(),
        scale: scale.as_deref(),
        proofs,
        rounds,
        seconds,
    };
    assert!(!report.is_empty(), "nothing has {:?} in its name", options.only);
    report.write(&options.out);
}
