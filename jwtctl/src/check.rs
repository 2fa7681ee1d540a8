//! `jwtctl check`.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};

use crate::report::{self, Finding, Level};
use crate::{Outcome, faults, input, lints, print};

/// Find every fault of configurations, and what is most likely not meant or not safe
///
/// A file may be a bare configuration, a configuration of Envoy or a part of one, a WasmPlugin or TrafficExtension of
/// Istio, an EnvoyExtensionPolicy of Envoy Gateway, or a ConfigMap with any of these; as YAML with one document or more, or as
/// JSON. Errors are what the filter itself refuses, and what lets requests pass that no one meant to let pass.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jwtctl check envoy.yaml
  helm template ./chart | jwtctl check -
  jwtctl check --deny warnings --output sarif config/*.yaml > jwtctl.sarif")]
pub(crate) struct Arguments {
    /// The files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Exit with 1 for findings of this level, too; without it for errors
    #[arg(long, value_name = "LEVEL", default_value = "error")]
    deny: Level,
    /// Do not print what is below this level
    #[arg(long, value_name = "LEVEL", default_value = "note")]
    level: Level,
    /// How to print the findings
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome, String> {
    let mut findings = Vec::new();
    let mut configurations = 0;
    for name in &arguments.files {
        let (of_file, count) = check(name)?;
        findings.extend(of_file);
        configurations += count;
    }
    if configurations == 0 {
        let nothing = |finding: &&mut Finding| finding.code == "no-configuration";
        findings
            .iter_mut()
            .filter(nothing)
            .for_each(|finding| finding.level = Level::Error);
    }
    let is_denied = findings.iter().any(|finding| finding.level >= arguments.deny);
    findings.retain(|finding| finding.level >= arguments.level);
    match arguments.output {
        Format::Text => {
            let mut text = report::to_text(&findings, report::colours_stdout());
            let what = match configurations {
                1 => "1 configuration".to_owned(),
                count => format!("{count} configurations"),
            };
            // A String takes whatever is written.
            let _ = writeln!(text, "{what} checked: {}", report::summary(&findings));
            print(&text);
        }
        Format::Json => print(&format!("{:#}\n", report::to_json(&findings))),
        Format::Sarif => print(&format!("{:#}\n", report::to_sarif(&findings, lints::CODES))),
    }
    Ok(if is_denied { Outcome::Found } else { Outcome::Fine })
}

/// The findings of a file, in the order of their places, and how many configurations it has.
fn check(name: &str) -> Result<(Vec<Finding>, usize), String> {
    let file = input::read(name)?;
    let contents = input::search(&file);
    let mut findings: Vec<Finding> = contents
        .unread
        .iter()
        .map(|unread| Finding {
            level: Level::Error,
            code: unread.code,
            message: unread.message.clone(),
            file: file.clone(),
            place: unread.place.clone(),
            path: String::new(),
            help: None,
            related: None,
        })
        .collect();
    if contents.found.is_empty() && contents.unread.is_empty() {
        findings.push(Finding {
            // A folder of manifests has such files; a run that found nothing at all is another matter, see `run`.
            level: Level::Note,
            code: "no-configuration",
            message: "the file has no configuration of this filter".to_owned(),
            file: file.clone(),
            place: 0..0,
            path: String::new(),
            help: None,
            related: None,
        });
    }
    for found in &contents.found {
        let faults = faults::find(found);
        findings.extend(lints::find(found, &faults));
        findings.extend(faults.findings);
    }
    findings.extend(lints::find_in_file(&contents));
    findings.sort_by_key(|finding| (finding.place.start, std::cmp::Reverse(finding.level)));
    findings.dedup_by(|one, other| {
        one.place == other.place
            && one.code == other.code
            && one.message == other.message
            && one.path == other.path
    });
    Ok((findings, contents.found.len()))
}
