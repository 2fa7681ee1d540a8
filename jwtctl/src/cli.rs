//! The command line.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::explanation::hide;
use crate::{check, convert, expect, explain, issuer, mint, report, route, schema};

/// Check, explain, test and convert configurations of proxy-wasm-jwt.
///
/// Every answer comes from the code that decides in Envoy. Exit codes: 0, all is well; 1, something was found, or the request
/// is refused; 2, the command line or a file cannot be read.
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

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

/// What a command comes to.
pub(crate) enum Outcome {
    /// All is well.
    Fine,
    /// Something was found, or a request is refused.
    Found,
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

/// Prints a line or more, without tokens: they come in URLs, headers and times that are mistaken for another.
pub(crate) fn print(text: &str) {
    print_whole(&hide(text, &[]));
}

/// Prints what was asked for, as it is; a reader that has left is no fault.
pub(crate) fn print_whole(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}
