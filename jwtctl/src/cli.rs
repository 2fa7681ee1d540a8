//! The command line.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::explanation::hide;
use crate::output::Outcome;
use crate::{check, convert, expect, explain, issuer, mint, report, route, schema};

/// Check, explain, test and convert configurations of proxy-wasm-jwt.
///
/// Every answer comes from the code that decides in Envoy. Exit codes: 0, no finding, or the filter allows
/// the request; 1, a finding, or the filter refuses the request; 2, an invalid command line, or a file that
/// cannot be read.
#[derive(Debug, Parser)]
#[command(name = "jwtctl", version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Arguments),
    Explain(Box<explain::Arguments>),
    Mint(mint::Arguments),
    Route(route::RouteArguments),
    Diff(route::DiffArguments),
    Test(expect::Arguments),
    Issuer(issuer::Arguments),
    Convert(convert::Arguments),
    Schema(schema::Arguments),
    /// Print the completions for a shell
    #[command(after_help = "Examples:\n  jwtctl completions bash > /etc/bash_completion.d/jwtctl")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Mint(arguments) => mint::run(&arguments),
        Command::Route(arguments) => route::route(&arguments),
        Command::Diff(arguments) => route::diff(&arguments),
        Command::Test(arguments) => expect::run(&arguments),
        Command::Issuer(arguments) => issuer::run(&arguments),
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "jwtctl", &mut std::io::stdout());
            Ok(Outcome::Fine)
        }
    };
    match outcome {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(1),
        Err(message) => {
            eprintln!("jwtctl: {}", hide(&report::printable(&message), &[]));
            ExitCode::from(2)
        }
    }
}
