//! Findings, and how they are printed: as the Rust compiler does, as JSON, or as SARIF.

#[cfg(feature = "cli")]
mod sarif;
#[cfg(feature = "cli")]
mod text;

use std::rc::Rc;

use serde_json::{Value, json};

#[cfg(feature = "cli")]
pub(crate) use self::sarif::to_sarif;
#[cfg(feature = "cli")]
pub(crate) use self::text::{colours_stdout, is_coloured, summary, to_text};
use crate::source::{Place, line_and_column};

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum Level {
    /// A fact that may help.
    #[cfg_attr(feature = "cli", value(alias = "notes"))]
    Note,
    /// A setting that works, but is probably a mistake or not safe.
    #[cfg_attr(feature = "cli", value(alias = "warnings"))]
    Warning,
    /// A setting that does not work, or that lets requests pass by mistake.
    #[cfg_attr(feature = "cli", value(alias = "errors"))]
    Error,
}

impl Level {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A file that was read.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A finding about a place in a file.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// A stable word for the finding.
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) file: Rc<File>,
    pub(crate) place: Place,
    /// Its place in the configuration, as in Envoy's log; empty if it is outside the configuration.
    pub(crate) path: String,
    /// The advice.
    pub(crate) help: Option<String>,
    /// Another place that it is about.
    pub(crate) related: Option<(Place, String)>,
}

/// The text without commands for a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '\n' | '\t' => letter,
            // The first half of a line end of Windows.
            '\r' => ' ',
            // The replacement has the same length in bytes, so that places do not move.
            letter if letter.is_ascii_control() => '?',
            letter if letter.is_control() => '¿',
            letter => letter,
        })
        .collect()
}

/// The findings as JSON.
pub(crate) fn to_json(findings: &[Finding]) -> Value {
    let each = findings.iter().map(|finding| {
        let (line, column) = line_and_column(&finding.file.text, finding.place.start);
        let (end_line, end_column) = line_and_column(&finding.file.text, finding.place.end);
        json!({
            "level": finding.level.name(),
            "code": finding.code,
            "message": finding.message,
            "file": finding.file.name,
            "line": line,
            "column": column,
            "end_line": end_line,
            "end_column": end_column,
            "path": finding.path,
            "help": finding.help,
        })
    });
    json!({"findings": each.collect::<Vec<_>>()})
}
