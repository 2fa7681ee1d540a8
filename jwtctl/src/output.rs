//! The result of a command, and how it is printed.

use clap::ValueEnum;

use crate::explanation::hide;

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

/// The result of a command.
pub(crate) enum Outcome {
    /// The command found nothing.
    Fine,
    /// There is a finding, or the filter refuses a request.
    Found,
}

/// Prints one or more lines, without tokens, which may be in URLs, in headers, and in text at a wrong place.
pub(crate) fn print(text: &str) {
    print_whole(&hide(text, &[]));
}

/// Prints the result unchanged. It is no fault if the reader has closed the pipe.
pub(crate) fn print_whole(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}
