//! `make bench`: the filter beside jwt_authn in one Envoy, on one core, under load from another.
//!
//! Every figure is a median of interleaved rounds, so that what slows the machine down for a while slows all down alike.
//! Requests are counted for each second of processor time that Envoy has used: on a machine that is otherwise idle this is
//! what goes through in a second, and on another it is what would.

mod cases;
mod load;
mod picture;
mod report;
mod stack;
mod tokens;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Parser;

use cases::{Case, Side};
use load::{Load, Sample};

/// Compares the filter with Envoy's own jwt_authn.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// One short round of each: shows that it works, and roughly where it stands.
    #[arg(long)]
    quick: bool,
    /// Rounds; the figures are their medians.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of load for each figure in each round.
    #[arg(long)]
    seconds: Option<u32>,
    /// Only the cases whose name holds this.
    #[arg(long, default_value = "")]
    only: String,
    /// Where results.json and results.svg go.
    #[arg(long, default_value = "bench")]
    out: PathBuf,
    /// Measures nothing: draws results.svg anew from the results.json that is there.
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
    let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 7 });
    let seconds = options.seconds.unwrap_or(if options.quick { 1 } else { 4 });
    let cases: Vec<Case> = cases::all()
        .into_iter()
        .filter(|case| case.name.contains(&options.only))
        .collect();
    assert!(!cases.is_empty(), "no case has {:?} in its name", options.only);

    let keys = tokens::Keys::generate();
    let count = if options.quick { 20_000 } else { 50_000 };
    let files = tokens::Files::write(&keys, cases.iter().map(|case| case.tokens), count);
    let stack = stack::Stack::start(&keys);

    let mut samples = Samples::new();
    for round in 0..rounds {
        for (number, case) in cases.iter().enumerate() {
            let mut sides = case.sides.to_vec();
            // Nobody always comes first.
            sides.rotate_left(round % case.sides.len());
            for side in sides {
                let load = Load {
                    port: stack.port(side),
                    tokens: files.path(case.tokens),
                    seconds,
                    offset: round * 7919,
                    rate: case.rate(&samples, number),
                };
                let before = stack.cpu_micros();
                let mut sample = load.run();
                sample.cpu_micros = stack.cpu_micros() - before;
                assert_eq!(
                    sample.refused,
                    if case.is_refused(side) { sample.requests } else { 0 },
                    "{}: {side:?} answered otherwise than it should",
                    case.name
                );
                eprintln!(
                    "round {}/{rounds}  {:<22} {:<16} {:>7.0} requests/s ({:>6.0} seen)  p99 {:>6.0} µs",
                    round + 1,
                    case.name,
                    side.name(),
                    sample.rate(),
                    sample.seen(),
                    sample.p99
                );
                samples.entry((number, side)).or_default().push(sample);
            }
        }
    }
    let memory = stack.memory_kib();
    report::Report::new(&cases, &samples, memory, rounds, seconds).write(&options.out);
}
