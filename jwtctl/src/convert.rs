//! `jwtctl convert`.

mod authn;
mod envoy_gateway;
mod form;
mod grants;
mod istio;
mod notes;
mod provider;
mod tree;

use std::rc::Rc;

use clap::{Args, ValueEnum};

use crate::explanation::hide;
use crate::input::{Found, Holder};
use crate::report::{self, Level};
use crate::source::{Node, Place, Value, line_and_column};
use crate::{Outcome, faults, print_whole, yaml};
use notes::{Files, Notes};

/// Translate jwt_authn, Istio and Envoy Gateway policies into a configuration of the filter
///
/// Reads Envoy's configuration with jwt_authn and its per-route settings; RequestAuthentication and
/// AuthorizationPolicy of Istio; SecurityPolicy (jwt, authorization) of Envoy Gateway. A field that the
/// filter cannot translate is an error with its place, and then only errors are printed. A warning names a
/// point at which the filter is stricter, or a step to take.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jwtctl convert envoy.yaml > new-envoy.yaml
  kubectl get requestauthentications,authorizationpolicies -o yaml | jwtctl convert -
  jwtctl convert securitypolicy.yaml --map")]
pub(crate) struct Arguments {
    /// The files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Print the filter's configuration alone, without Envoy's configuration around it
    #[arg(long)]
    bare: bool,
    /// Print also the origin of each field
    #[arg(long)]
    map: bool,
    /// Print the translated part even if there are errors
    #[arg(long)]
    partial: bool,
    /// Where Envoy finds the module
    #[arg(long, value_name = "FILE", default_value = "/etc/envoy/jwt.wasm")]
    module: String,
    /// How to print the findings
    #[arg(long, value_enum, default_value = "text")]
    findings: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, on standard error
    Text,
    /// For programs, on standard error
    Json,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome, String> {
    let (files, documents) = Files::read(&arguments.files)?;
    let mut notes = Notes {
        files,
        faults: Vec::new(),
        findings: Vec::new(),
    };
    let mut converted = authn::convert(&documents, &mut notes, &arguments.module);
    converted.extend(istio::convert(&documents, &mut notes));
    converted.extend(envoy_gateway::convert(&documents, &mut notes));
    if converted.is_empty() && notes.findings.is_empty() {
        return Err(format!(
            "{}: no jwt_authn, no RequestAuthentication and no SecurityPolicy in it",
            notes.files.whole.name
        ));
    }
    let mut printed = Vec::new();
    let mut map = String::new();
    for mut one in converted {
        let found = Found {
            file: notes.files.whole.clone(),
            holder: Holder::Bare,
            object: one.config.clone(),
            config: one.config.clone(),
            is_struct: false,
            document: Rc::new(one.config.clone()),
            manager: None,
        };
        let faults = faults::find(&found);
        // The rules of jwt_authn are the user's own.
        let is_written_here = one.document.is_none() && !one.is_within_another;
        if let Some(parsed) = faults.parsed.filter(|_| is_written_here) {
            remove_hidden(&mut one.config, &parsed.warnings);
        }
        // The filter's own messages about the result, at the places from which the values came.
        for mut finding in faults.findings {
            if notes.has_fault_in(&finding.place) {
                continue;
            }
            finding.help =
                Some("the filter refuses this value; change it before you convert the file".to_owned());
            if finding.place.is_empty() {
                finding.place = nearest(&one.config, &finding.path);
            }
            notes.findings.push(finding);
        }
        let title = one.title.as_deref().map(in_a_comment);
        let title = title.map_or_else(String::new, |title| format!("# {title}\n"));
        let document = one.document.filter(|_| !arguments.bare);
        if arguments.map {
            map.push_str(&title);
            map.push_str(&origins(&one.config, &notes.files));
            let mut name = |path: &str, node: &Node| {
                map.push_str(&format!(
                    "# {}: {}\n",
                    in_a_comment(path),
                    origin(node, &notes.files)
                ));
            };
            document
                .iter()
                .for_each(|document| authn::each_name(document, &mut name));
        }
        match document {
            Some(document) => printed.push(yaml::write(&document)),
            None if one.is_within_another && !arguments.bare => {}
            None => printed.push(title + &yaml::write(&one.config)),
        }
    }
    let mut findings = std::mem::take(&mut notes.findings);
    findings.sort_by_key(|finding| finding.place.start);
    // If a resource applies to several sets of workloads, it is translated for each set.
    let mut known: Vec<(Place, String)> = Vec::new();
    findings.retain(|finding| {
        let one = (finding.place.clone(), finding.message.clone());
        let is_new = !known.contains(&one);
        known.push(one);
        is_new
    });
    for finding in &mut findings {
        (finding.file, finding.place) = notes.files.locate(&finding.place);
        if let Some((place, _)) = &mut finding.related {
            *place = notes.files.locate(place).1;
        }
    }
    let has_errors = findings.iter().any(|finding| finding.level == Level::Error);
    match arguments.findings {
        Format::Text => {
            let text = report::to_text(&findings, report::is_coloured(&std::io::stderr()));
            eprint!("{}", hide(&text, &[]));
            if !findings.is_empty() {
                eprintln!("{}", report::summary(&findings));
            }
        }
        Format::Json => eprintln!("{}", hide(&format!("{:#}", report::to_json(&findings)), &[])),
    }
    if !has_errors || arguments.partial {
        print_whole(&printed.join("---\n"));
        print_whole(&map);
    }
    Ok(if has_errors { Outcome::Found } else { Outcome::Fine })
}

/// Removes rules and parts of rules that never apply, because earlier rules take all their requests. A
/// conversion writes a rule for each combination, and may not see that some of them are all that there is.
fn remove_hidden(config: &mut Node, warnings: &[String]) {
    let hidden: Vec<&str> = warnings
        .iter()
        .filter_map(|warning| warning.split_once(": never matches: "))
        .map(|(place, _)| place)
        .collect();
    let Value::Map(members) = &mut config.value else {
        return;
    };
    let rules = members.iter_mut().find(|(key, _)| key.name == "rules");
    let Some(Value::List(rules)) = rules.map(|(_, rules)| &mut rules.value) else {
        return;
    };
    for (number, rule) in rules.iter_mut().enumerate() {
        let Value::Map(members) = &mut rule.value else {
            continue;
        };
        let matcher = members.iter_mut().find(|(key, _)| key.name == "match");
        if let Some(Value::List(parts)) = matcher.map(|(_, matcher)| &mut matcher.value) {
            let mut part = 0..;
            parts.retain(|_| {
                let place = format!("rules[{number}].match[{}]", part.next().unwrap_or_default());
                !hidden.contains(&&*place)
            });
        }
    }
    let mut rule = 0..;
    rules.retain(|_| !hidden.contains(&&*format!("rules[{}]", rule.next().unwrap_or_default())));
}

/// The place of the value at this path, or of the nearest one around it or in it that comes from the user's
/// file.
fn nearest(config: &Node, path: &str) -> Place {
    fn walk(node: &Node, at: &str, path: &str, best: &mut Place) {
        // An added value takes the place of something in it.
        let mut place = node.place.clone();
        node.walk(&mut |inner| {
            if place.is_empty() {
                place = inner.place.clone();
            }
        });
        if !place.is_empty() {
            *best = place;
        }
        let mut step = |next: String, node: &Node| {
            let is_on_the_way = path
                .strip_prefix(&next)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
            if is_on_the_way {
                walk(node, &next, path, best);
            }
        };
        for (key, node) in node.members() {
            step(
                if at.is_empty() {
                    key.name.clone()
                } else {
                    format!("{at}.{}", key.name)
                },
                node,
            );
        }
        for (position, node) in node.elements().iter().enumerate() {
            step(format!("{at}[{position}]"), node);
        }
    }
    let mut best = 0..0;
    walk(config, "", path, &mut best);
    best
}

/// A text of the user's file for a comment: a line break in it would end the comment.
fn in_a_comment(text: &str) -> String {
    report::printable(text).replace('\n', "\\n")
}

/// The place of a value in the user's file.
fn origin(node: &Node, files: &Files) -> String {
    if node.place.is_empty() {
        return "added".to_owned();
    }
    let (file, place) = files.locate(&node.place);
    let (line, column) = line_and_column(&file.text, place.start);
    in_a_comment(&format!("{}:{line}:{column}", file.name))
}

/// The origin of each value of a configuration, as comments.
fn origins(config: &Node, files: &Files) -> String {
    fn walk(node: &Node, path: &str, files: &Files, to: &mut String) {
        match &node.value {
            Value::Map(members) if !members.is_empty() => {
                for (key, node) in members {
                    let path = if path.is_empty() {
                        key.name.clone()
                    } else {
                        format!("{path}.{}", key.name)
                    };
                    walk(node, &path, files, to);
                }
            }
            Value::List(elements) if !elements.is_empty() => {
                for (position, node) in elements.iter().enumerate() {
                    walk(node, &format!("{path}[{position}]"), files, to);
                }
            }
            _ => to.push_str(&format!("# {}: {}\n", in_a_comment(path), origin(node, files))),
        }
    }
    let mut text = String::new();
    walk(config, "", files, &mut text);
    text
}
