//! Findings as a text for people.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use annotate_snippets::{AnnotationKind, Level as Severity, Renderer, Snippet};

use super::{Finding, Level, printable};
use crate::source::Place;

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
