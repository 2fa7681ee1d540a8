//! Findings, and how they are printed: as the Rust compiler does, as JSON, or as SARIF.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::rc::Rc;

use annotate_snippets::{AnnotationKind, Level as Severity, Renderer, Snippet};
use serde_json::{Value, json};

use crate::source::{Place, line_and_column};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum Level {
    /// Worth knowing.
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
    /// A stable word for it.
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) file: Rc<File>,
    pub(crate) place: Place,
    /// Its place in the configuration, as in Envoy's log; empty if it is outside the configuration.
    pub(crate) path: String,
    /// What to do.
    pub(crate) help: Option<String>,
    /// Another place that it is about.
    pub(crate) related: Option<(Place, String)>,
}

/// Whether to color the output on this stream.
pub(crate) fn is_coloured(stream: &impl std::io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether standard output has colors.
pub(crate) fn colours_stdout() -> bool {
    is_coloured(&std::io::stdout()) && std::io::stdout().is_terminal()
}

/// The findings as a text for people.
pub(crate) fn to_text(findings: &[Finding], is_coloured: bool) -> String {
    let renderer = match is_coloured {
        true => Renderer::styled(),
        false => Renderer::plain(),
    };
    let mut text = String::new();
    for finding in findings {
        let severity = match finding.level {
            Level::Error => Severity::ERROR,
            Level::Warning => Severity::WARNING,
            Level::Note => Severity::NOTE,
        };
        let mut snippet = Snippet::source(printable(&finding.file.text))
            .path(printable(&finding.file.name))
            .annotation(AnnotationKind::Primary.span(shown_place(&finding.file.text, &finding.place)));
        if let Some((place, label)) = &finding.related {
            snippet = snippet.annotation(
                AnnotationKind::Context
                    .span(shown_place(&finding.file.text, place))
                    .label(printable(label)),
            );
        }
        let mut group = severity
            .primary_title(printable(&finding.message))
            .id(finding.code)
            .element(snippet);
        if !finding.path.is_empty() {
            group = group.element(Severity::NOTE.message(printable(&format!("at {}", finding.path))));
        }
        if let Some(help) = &finding.help {
            group = group.element(Severity::HELP.message(printable(help)));
        }
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}\n", renderer.render(&[group]));
    }
    text
}

/// The first line of a place: a whole map would bury the message.
fn shown_place(text: &str, place: &Place) -> Place {
    let start = floor(text, place.start);
    let end = floor(text, place.end.max(start));
    let line = text.get(start..end).unwrap_or_default();
    let length = line.find('\n').unwrap_or(line.len());
    let length = line.get(..length).unwrap_or_default().trim_end().len();
    start..start + length
}

fn floor(text: &str, mut offset: usize) -> usize {
    offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
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

/// The number of findings of each level, in words.
pub(crate) fn summary(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let words = |count: usize, name: &str| match count {
        1 => format!("1 {name}"),
        count => format!("{count} {name}s"),
    };
    let parts = [Level::Error, Level::Warning, Level::Note].map(|level| words(count(level), level.name()));
    parts.join(", ")
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

/// The findings as SARIF 2.1.0, for code scanning.
pub(crate) fn to_sarif(findings: &[Finding], rules: &[(&'static str, &'static str)]) -> Value {
    let results: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let (line, column) = line_and_column(&finding.file.text, finding.place.start);
            let (end_line, end_column) = line_and_column(&finding.file.text, finding.place.end);
            let mut message = finding.message.clone();
            if let Some(help) = &finding.help {
                let _ = write!(message, "\n{help}");
            }
            json!({
                "ruleId": finding.code,
                "level": finding.level.name(),
                "message": {"text": message},
                "locations": [{
                    "physicalLocation": {
                        "artifactLocation": {"uri": uri(&finding.file.name)},
                        "region": {
                            "startLine": line,
                            "startColumn": column,
                            "endLine": end_line,
                            "endColumn": end_column,
                        },
                    },
                }],
            })
        })
        .collect();
    let rules: Vec<Value> = rules
        .iter()
        .map(|(code, what)| json!({"id": code, "shortDescription": {"text": what}}))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "jwtctl",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A file's name as a relative reference.
fn uri(name: &str) -> String {
    let mut uri = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            byte => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}
