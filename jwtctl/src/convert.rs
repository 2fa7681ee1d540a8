//! `jwtctl convert`.

mod authn;
mod envoy_gateway;
mod grants;
mod istio;

use std::rc::Rc;

use clap::{Args, ValueEnum};

use crate::explanation::hide;
use crate::input::{Found, Holder};
use crate::report::{self, File, Finding, Level};
use crate::source::{Key, Node, Place, Value, line_and_column};
use crate::{Outcome, faults, input, print_whole, yaml};

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

/// The messages of the translation of a file.
pub(crate) struct Notes {
    file: Rc<File>,
    findings: Vec<Finding>,
}

impl Notes {
    fn add(&mut self, level: Level, code: &'static str, place: &Place, message: impl Into<String>) {
        self.findings.push(Finding {
            level,
            code,
            message: message.into(),
            file: self.file.clone(),
            place: place.clone(),
            path: String::new(),
            help: None,
            related: None,
        });
    }

    /// A field that cannot be translated.
    pub(crate) fn lost(&mut self, place: &Place, message: impl Into<String>) {
        self.add(Level::Error, "not-carried-over", place, message);
    }

    /// A translated field that deserves attention.
    pub(crate) fn look(&mut self, place: &Place, message: impl Into<String>) {
        self.add(Level::Warning, "look-at-this", place, message);
    }

    /// Fields that are not read are errors.
    pub(crate) fn only(&mut self, node: &Node, known: &[&str], what: &str) {
        for (key, _) in node.members() {
            if !known.contains(&&*key.name) {
                self.lost(
                    &key.place,
                    format!(
                        "`{}` of {what} is not converted; check whether you need it",
                        key.name
                    ),
                );
            }
        }
    }
}

/// A configuration, and the document around it.
pub(crate) struct Converted {
    pub(crate) config: Node,
    /// The document with this filter in place of the old one.
    pub(crate) document: Option<Node>,
    /// Its workloads or route, if there are several.
    pub(crate) title: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome, String> {
    let mut has_errors = false;
    let mut printed = Vec::new();
    let mut map = String::new();
    let mut all_findings = Vec::new();
    for name in &arguments.files {
        let file = input::read(name)?;
        let contents = input::search(&file);
        if let Some(unread) = contents.unread.first() {
            let (line, column) = line_and_column(&file.text, unread.place.start);
            return Err(format!("{}:{line}:{column}: {}", file.name, unread.message));
        }
        let mut notes = Notes {
            file: file.clone(),
            findings: Vec::new(),
        };
        let mut converted = authn::convert(&contents.documents, &mut notes, &arguments.module);
        converted.extend(istio::convert(&contents.documents, &mut notes));
        converted.extend(envoy_gateway::convert(&contents.documents, &mut notes));
        if converted.is_empty() && notes.findings.is_empty() {
            return Err(format!(
                "{}: the file has no jwt_authn, no RequestAuthentication and no SecurityPolicy",
                file.name
            ));
        }
        for one in converted {
            let found = Found {
                file: file.clone(),
                holder: Holder::Bare,
                object: one.config.clone(),
                config: one.config.clone(),
                is_struct: false,
                document: Rc::new(one.config.clone()),
                manager: None,
            };
            // The filter's own messages about the result, at the places from which the values came.
            for mut finding in faults::find(&found).findings {
                finding.help =
                    Some("the filter refuses this value; change it before you convert the file".to_owned());
                if finding.place.is_empty() {
                    finding.place = nearest(&one.config, &finding.path);
                }
                notes.findings.push(finding);
            }
            if arguments.map {
                map.push_str(&origins(&one.config, &file));
            }
            let title = one
                .title
                .map(|title| format!("# {}\n", report::printable(&title)));
            let text = match one.document.filter(|_| !arguments.bare) {
                Some(document) => yaml::write(&document),
                None => yaml::write(&one.config),
            };
            printed.push(title.unwrap_or_default() + &text);
        }
        notes.findings.sort_by_key(|finding| finding.place.start);
        // If a resource applies to several sets of workloads, it is translated for each set.
        let mut known: Vec<(Place, String)> = Vec::new();
        notes.findings.retain(|finding| {
            let one = (finding.place.clone(), finding.message.clone());
            let is_new = !known.contains(&one);
            known.push(one);
            is_new
        });
        has_errors |= notes.findings.iter().any(|finding| finding.level == Level::Error);
        all_findings.extend(notes.findings);
    }
    match arguments.findings {
        Format::Text => {
            let text = report::to_text(&all_findings, report::is_coloured(&std::io::stderr()));
            eprint!("{}", hide(&text, &[]));
            if !all_findings.is_empty() {
                eprintln!("{}", report::summary(&all_findings));
            }
        }
        Format::Json => eprintln!("{}", hide(&format!("{:#}", report::to_json(&all_findings)), &[])),
    }
    if !has_errors || arguments.partial {
        print_whole(&printed.join("---\n"));
        print_whole(&map);
    }
    Ok(if has_errors { Outcome::Found } else { Outcome::Fine })
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

/// The origin of each value of a configuration, as comments.
fn origins(config: &Node, file: &File) -> String {
    fn walk(node: &Node, path: &str, file: &File, to: &mut String) {
        match &node.value {
            Value::Map(members) if !members.is_empty() => {
                for (key, node) in members {
                    let path = if path.is_empty() {
                        key.name.clone()
                    } else {
                        format!("{path}.{}", key.name)
                    };
                    walk(node, &path, file, to);
                }
            }
            Value::List(elements) if !elements.is_empty() => {
                for (position, node) in elements.iter().enumerate() {
                    walk(node, &format!("{path}[{position}]"), file, to);
                }
            }
            _ => {
                let origin = match node.place.is_empty() {
                    true => "added".to_owned(),
                    false => {
                        let (line, column) = line_and_column(&file.text, node.place.start);
                        format!("{}:{line}:{column}", file.name)
                    }
                };
                to.push_str(&format!("# {path}: {}\n", report::printable(&origin)));
            }
        }
    }
    let mut text = String::new();
    walk(config, "", file, &mut text);
    text
}

// --- trees

pub(crate) fn text(text: impl Into<String>, place: &Place) -> Node {
    Node::new(Value::Text(text.into()), place.clone())
}

pub(crate) fn flag(value: bool) -> Node {
    Node::new(Value::Bool(value), 0..0)
}

pub(crate) fn list(elements: Vec<Node>) -> Node {
    let place = elements.first().map_or(0..0, |first| first.place.clone());
    let mut elements = elements;
    for (position, element) in elements.iter_mut().enumerate() {
        element.index = position;
    }
    Node::new(Value::List(elements), place)
}

pub(crate) fn map(members: Vec<(&str, Node)>) -> Node {
    let place = members.first().map_or(0..0, |(_, first)| first.place.clone());
    let members = members
        .into_iter()
        .map(|(name, node)| member(name, node))
        .collect();
    Node::new(Value::Map(members), place)
}

pub(crate) fn member(name: &str, node: Node) -> (Key, Node) {
    let key = Key {
        name: name.to_owned(),
        place: node.place.clone(),
    };
    (key, node)
}

/// Adds or replaces a member.
pub(crate) fn set(node: &mut Node, name: &str, value: Node) {
    let Value::Map(members) = &mut node.value else {
        return;
    };
    let found = members
        .iter_mut()
        .find(|(key, _)| crate::source::snake_case(&key.name) == name);
    match found {
        Some(found) => *found = member(name, value),
        None => members.push(member(name, value)),
    }
}

/// A provider's requirement.
pub(crate) fn provider_name(name: &str) -> Node {
    map(vec![("provider_name", text(name, &(0..0)))])
}

/// Any of these; if it is optional, also no token.
pub(crate) fn any_of(names: &[String], is_optional: bool) -> Node {
    let mut all: Vec<Node> = names.iter().map(|name| provider_name(name)).collect();
    if is_optional {
        all.push(map(vec![(
            "allow_missing",
            Node::new(Value::Map(Vec::new()), 0..0),
        )]));
    }
    match all.as_slice() {
        [one] => one.clone(),
        _ => map(vec![("requires_any", map(vec![("requirements", list(all))]))]),
    }
}

/// Removes locations that a provider names twice: the originals accept that.
pub(crate) fn without_repeats(provider: &mut Node) {
    for name in ["from_headers", "from_params", "from_cookies"] {
        let Some(all) = provider.get(name) else {
            continue;
        };
        let mut kept: Vec<Node> = Vec::new();
        for one in all.elements() {
            if !kept.iter().any(|known| known.to_json() == one.to_json()) {
                kept.push(one.clone());
            }
        }
        if kept.len() < all.elements().len() {
            set(provider, name, list(kept));
        }
    }
}

/// Keys at a URL that the user still has to write.
pub(crate) fn keys_to_write() -> Node {
    let added = |value: &str| text(value, &(0..0));
    let http = map(vec![
        ("uri", added("https://write-the-url.invalid/jwks.json")),
        ("cluster", added("idp")),
    ]);
    map(vec![("http_uri", http)])
}

/// The locations that jwt_authn and products based on it use by default.
pub(crate) fn default_locations(provider: &mut Node) {
    let bearer = map(vec![
        ("name", text("authorization", &(0..0))),
        ("value_prefix", text("Bearer ", &(0..0))),
    ]);
    set(provider, "from_headers", list(vec![bearer]));
    set(provider, "from_params", list(vec![text("access_token", &(0..0))]));
}

/// `claim` and `header`, in the names of Istio and Envoy Gateway.
pub(crate) fn claims_to_headers(claims: &Node) -> Node {
    let all = claims.elements().iter().map(|entry| {
        let of = |name: &str| entry.get(name).cloned().unwrap_or_else(|| text("", &entry.place));
        map(vec![("claim_name", of("claim")), ("header_name", of("header"))])
    });
    list(all.collect())
}

/// A provider's name for an issuer.
pub(crate) fn issuer_name(issuer: &str) -> String {
    let rest = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    let host = rest.split(['/', ':', '@']).next().unwrap_or_default();
    let name: String = host
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    match name.trim_matches('-') {
        "" => "issuer".to_owned(),
        name => name.to_owned(),
    }
}

/// The name, with a number after it if it is taken.
pub(crate) fn free_name(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut number = 1;
    let mut free = name.to_owned();
    while is_taken(&free) {
        number += 1;
        free = format!("{name}-{number}");
    }
    free
}

/// Copies the audiences, or accepts every audience and adds a warning.
pub(crate) fn set_audiences(node: &mut Node, from: &Node, place: &Place, notes: &mut Notes) {
    match from.get("audiences").filter(|all| !all.elements().is_empty()) {
        Some(audiences) => set(node, "audiences", audiences.clone()),
        None => {
            notes.look(
                place,
                "without `audiences`, tokens for any service are accepted; `[\"*\"]` keeps this",
            );
            set(node, "audiences", list(vec![text("*", &(0..0))]));
        }
    }
}

/// Istio's name of the cluster for a URL: plain for the mesh, with TLS begun by a DestinationRule.
pub(crate) fn cluster_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("outbound|{port}||{host}")
        }
        // Port 80 of the ServiceEntry in envoy/istio leads to port 443 with TLS.
        _ if scheme == "https" => format!("outbound|80||{authority}"),
        _ => format!("outbound|80||{authority}"),
    }
}
