//! `jwtctl check`.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};

use crate::input::{Found, Holder, Host};
use crate::report::{self, Finding, Level};
use crate::{Outcome, findings, input, lints, print};

/// Find every fault of configurations, and settings that are probably mistakes or not safe
///
/// A file may be a bare configuration, a configuration of Envoy or a part of one, a WasmPlugin or
/// TrafficExtension of Istio, an EnvoyExtensionPolicy of Envoy Gateway, or a ConfigMap with any of these; as
/// YAML with one document or more, or as JSON. An error is a fault for which the filter refuses the
/// configuration, or a setting that lets requests pass by mistake.
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
    /// The module that a bare configuration is for. Only the native module reads keys and secrets from files,
    /// from its environment and from Envoy
    #[arg(long, value_enum, value_name = "MODULE", default_value = "wasm")]
    host: Host,
    /// Exit with 1 for findings of this level too; without this option, for errors only
    #[arg(long, value_name = "LEVEL", default_value = "error")]
    deny: Level,
    /// Do not print findings below this level
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
        let mut contents = input::search(&input::read(name)?);
        if arguments.host == Host::Native {
            let bare = |found: &&mut Found| found.holder == Holder::Bare;
            let all = contents.found.iter_mut().filter(bare);
            all.for_each(|found| found.holder = Holder::Native);
        }
        findings.extend(findings::find(&contents).0);
        configurations += contents.found.len();
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
            // Writing to a String does not fail.
            let _ = writeln!(text, "{what} checked: {}", report::summary(&findings));
            print(&text);
        }
        Format::Json => print(&format!("{:#}\n", report::to_json(&findings))),
        Format::Sarif => print(&format!("{:#}\n", report::to_sarif(&findings, lints::CODES))),
    }
    Ok(if is_denied { Outcome::Found } else { Outcome::Fine })
}
