//! Every fault of a configuration at once, each with its place.
//!
//! The filter reports many faults at once, but not all: it cannot report a fault that another one hides, and
//! it limits their number for the log. So this reader notes the first fault, corrects it in a copy, and reads
//! the copy again until it finds no fault. The messages are the filter's own.

use std::rc::Rc;

use crate::core::{self, Config, ConfigError, ConfigProblem};
use crate::inline_keys::fill_sources;
use crate::input::{Found, Host};
use crate::report::{Finding, Level};
use crate::source::{Key, Node, Place, Value, snake_case};

/// Further faults are probably not faults of one configuration.
const MOST: usize = 500;

/// The header of the test that keeps a corrected matcher from hiding others.
const STAND_IN_HEADER: &str = "x-jwtctl-stand-in";

/// A key set that is also long enough for a secret.
const STAND_IN_KEYS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// The faults, the configuration without them, and the filter's result for that.
pub(crate) struct Faults {
    pub(crate) findings: Vec<Finding>,
    pub(crate) config: Node,
    pub(crate) parsed: Option<Rc<Config>>,
    /// The providers with keys in a file or a variable of Envoy's environment, which only Envoy can read.
    pub(crate) unread_keys: Vec<String>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(usize),
    Element(usize),
}

/// Finds all faults.
pub(crate) fn find(found: &Found) -> Faults {
    let mut search = Search {
        found,
        config: found.config.clone(),
        findings: Vec::new(),
        emptied: Vec::new(),
        renamed: Vec::new(),
    };
    search.take_duplicates();
    let mut unread_keys = Vec::new();
    if found.host() == Host::Native {
        unread_keys = fill_sources(&mut search.config, STAND_IN_KEYS);
    }
    let mut last: Option<(Box<ConfigError>, Option<Place>)> = None;
    for _ in 0..MOST {
        let error = match core::parse_for(found.host(), &search.config, found.is_struct) {
            Ok(parsed) => {
                return Faults {
                    findings: search.findings,
                    config: search.config,
                    parsed: Some(Rc::new(parsed)),
                    unread_keys,
                };
            }
            Err(error) => error,
        };
        if search.emptied.is_empty() {
            // Faults that a correction of the first one may hide, with the object around them.
            for fault in error.all() {
                let written = path_in_file(&error, fault);
                let path = written.as_ref().unwrap_or(&fault.path);
                let steps = resolve(&search.config, path);
                if leads_to(&search.config, &steps, path)
                    && let Some(mut finding) = search.describe(fault, &steps)
                {
                    if written.is_some() {
                        finding.path = one_line(&fault.path);
                    }
                    search.add(finding);
                }
            }
        }
        let steps = resolve(&search.config, &error.path);
        let place = walk(&search.config, &steps).map(|node| node.place.clone());
        // The correction had no effect. If it removed an element of a list, the next one has the same path.
        let is_stuck = last.as_ref().is_some_and(|(last, at)| {
            last.path == error.path && last.problem == error.problem && *at == place
        });
        if !search.note(&error, &steps, is_stuck) {
            break;
        }
        search.narrow(&steps);
        last = Some((error, place));
    }
    Faults {
        findings: search.findings,
        config: search.config,
        parsed: None,
        unread_keys,
    }
}

struct Search<'f> {
    found: &'f Found,
    config: Node,
    findings: Vec<Finding>,
    /// The places of objects from which a value was removed: the lack of that value is not the user's fault.
    emptied: Vec<Place>,
    /// The places of values with a misspelt name. The copy has the name that was probably meant instead.
    renamed: Vec<Place>,
}

impl Search<'_> {
    fn finding(&self, code: &'static str, message: String, place: Place, path: String) -> Finding {
        Finding {
            level: Level::Error,
            code,
            message,
            file: self.found.file.clone(),
            place,
            path,
            help: None,
            related: None,
        }
    }

    /// Duplicate members: the filter refuses the text, and does not name them.
    fn take_duplicates(&mut self) {
        fn take(node: &mut Node, all: &mut Vec<(Key, Place)>) {
            match &mut node.value {
                Value::Map(members) => {
                    let mut kept: Vec<(Key, Node)> = Vec::with_capacity(members.len());
                    for (key, node) in std::mem::take(members) {
                        match kept.iter().find(|(known, _)| known.name == key.name) {
                            Some((known, _)) => all.push((key, known.place.clone())),
                            None => kept.push((key, node)),
                        }
                    }
                    kept.iter_mut().for_each(|(_, node)| take(node, all));
                    *members = kept;
                }
                Value::List(elements) => elements.iter_mut().for_each(|node| take(node, all)),
                _ => {}
            }
        }
        let mut all = Vec::new();
        take(&mut self.config, &mut all);
        for (key, first) in all {
            let message = format!("`{}` occurs twice in the same object", key.name);
            let mut finding = self.finding("duplicate", message, key.place, String::new());
            finding.related = Some((first, "first here".to_owned()));
            self.findings.push(finding);
        }
    }

    /// The finding for a fault; `None` if there is nothing at its path, or if the fault only follows from a
    /// guess: a value of another type may mean another field.
    fn describe(&self, error: &ConfigError, steps: &[Step]) -> Option<Finding> {
        let node = walk(&self.config, steps)?;
        let owner = node.place.clone();
        if self.renamed.contains(&owner) && matches!(error.problem, ConfigProblem::WrongType { .. }) {
            return None;
        }
        let unknown = unknown_field(&error.problem);
        let key = self.key_place(steps);
        let place = match &error.problem {
            _ if unknown.is_some() => {
                let name = unknown.as_ref().map_or("", |(name, _)| name);
                node.key_place(name).unwrap_or(owner)
            }
            ConfigProblem::Missing { .. } => key.unwrap_or_else(|| first_line(&owner, &self.found.file.text)),
            ConfigProblem::GivenTwice => key.unwrap_or(owner),
            _ => match node.value {
                // The whole object would hide the message.
                Value::Map(_) | Value::List(_) => {
                    key.unwrap_or_else(|| first_line(&owner, &self.found.file.text))
                }
                _ => owner,
            },
        };
        let path = self.original_path(steps, error);
        let message = error.problem.to_string();
        Some(self.finding(code(&error.problem), one_line(&message), place, path))
    }

    /// Keeps a finding, unless it is known.
    fn add(&mut self, finding: Finding) {
        let is_known = self.findings.iter().any(|known| {
            known.place == finding.place && known.message == finding.message && known.path == finding.path
        });
        if !is_known {
            self.findings.push(finding);
        }
    }

    /// Notes a fault and corrects the copy. `false` if that is impossible.
    fn note(&mut self, error: &ConfigError, steps: &[Step], is_stuck: bool) -> bool {
        let Some(node) = walk(&self.config, steps) else {
            return false;
        };
        let owner = node.place.clone();
        let unknown = unknown_field(&error.problem);
        // Only a removed value is missing: the user cannot correct that.
        let is_aftermath = is_stuck
            || self.emptied.contains(&owner)
                && unknown.is_none()
                && error.problem != ConfigProblem::GivenTwice;
        if !is_aftermath && let Some(finding) = self.describe(error, steps) {
            self.add(finding);
        }
        if is_stuck {
            return self.remove(steps);
        }
        match &error.problem {
            ConfigProblem::NotJson(_) => false,
            _ if unknown.is_some() => {
                let (name, nearest) = unknown.unwrap_or_default();
                let meant = nearest.filter(|meant| {
                    meant
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
                });
                let Some(node) = walk_mut(&mut self.config, steps) else {
                    return false;
                };
                let Value::Map(members) = &mut node.value else {
                    return false;
                };
                let is_free =
                    meant.is_some_and(|meant| members.iter().all(|(key, _)| snake_case(&key.name) != *meant));
                match members.iter().position(|(key, _)| key.name == name) {
                    // Its content is checked as well, and nothing seems to be missing.
                    Some(position) if is_free => {
                        if let Some((key, value)) = members.get_mut(position) {
                            key.name = meant.unwrap_or_default().to_owned();
                            self.renamed.push(value.place.clone());
                        }
                        true
                    }
                    Some(position) => {
                        members.remove(position);
                        self.emptied.push(owner);
                        true
                    }
                    None => false,
                }
            }
            ConfigProblem::Missing { field, .. } => {
                let stand_in = stand_in(field);
                let Some(node) = walk_mut(&mut self.config, steps) else {
                    return false;
                };
                match (&mut node.value, stand_in) {
                    (Value::Map(members), Some(value)) => {
                        members.retain(|(key, _)| snake_case(&key.name) != *field);
                        let key = Key {
                            name: (*field).to_owned(),
                            place: owner.clone(),
                        };
                        members.push((key, Node::new(value, owner)));
                        true
                    }
                    _ => self.remove(steps),
                }
            }
            ConfigProblem::Dangling { known, .. } if !known.is_empty() => {
                let known = known.first().cloned().unwrap_or_default();
                match walk_mut(&mut self.config, steps) {
                    Some(node) if matches!(node.value, Value::Text(_)) => {
                        node.value = Value::Text(known);
                        true
                    }
                    _ => self.remove(steps),
                }
            }
            _ => {
                // A replacement for a value that a provider requires.
                if let Some(Step::Member(position)) = steps.last()
                    && let Some(parent) = walk(&self.config, steps.get(..steps.len() - 1).unwrap_or_default())
                    && let Some((key, _)) = parent.members().get(*position)
                    && let Some(value) = stand_in(&snake_case(&key.name))
                    && let Some(node) = walk_mut(&mut self.config, steps)
                {
                    node.value = value;
                    return true;
                }
                self.remove(steps)
            }
        }
    }

    /// Lets a rule with a corrected `match` hide no later rule: without the faulty test it may take every
    /// request.
    fn narrow(&mut self, steps: &[Step]) {
        let [Step::Member(_), Step::Element(_), ..] = steps else {
            return;
        };
        let Some(rule) = walk_mut(&mut self.config, steps.get(..2).unwrap_or_default()) else {
            return;
        };
        let Value::Map(members) = &mut rule.value else {
            return;
        };
        let Some((_, matcher)) = members.iter_mut().find(|(key, _)| key.name == "match") else {
            return;
        };
        let is_corrected = match steps.get(2) {
            Some(Step::Member(_)) => self.emptied.iter().any(|place| within(place, &matcher.place)),
            // The fault is that the rule has no `match`.
            _ => matcher.place == rule.place,
        };
        let parts = match &mut matcher.value {
            Value::List(parts) => parts.as_mut_slice(),
            _ => std::slice::from_mut(matcher),
        };
        for part in parts.iter_mut().filter(|_| is_corrected) {
            narrow_part(part);
        }
    }

    /// The place of the name of the member at the end of the steps.
    fn key_place(&self, steps: &[Step]) -> Option<Place> {
        let (last, before) = steps.split_last()?;
        let parent = walk(&self.config, before)?;
        match last {
            Step::Member(position) => parent.members().get(*position).map(|(key, _)| key.place.clone()),
            Step::Element(position) => parent.elements().get(*position).map(|node| node.place.clone()),
        }
    }

    /// The path with the indexes of elements as in the file.
    fn original_path(&self, steps: &[Step], error: &ConfigError) -> String {
        let mut path = String::new();
        let mut node = &self.config;
        for step in steps {
            match step {
                Step::Member(position) => match node.members().get(*position) {
                    Some((key, member)) => {
                        if !path.is_empty() {
                            path.push('.');
                        }
                        path.push_str(&key.name);
                        node = member;
                    }
                    None => return error.path.clone(),
                },
                Step::Element(position) => match node.elements().get(*position) {
                    Some(element) => {
                        path.push_str(&format!("[{}]", element.index));
                        node = element;
                    }
                    None => return error.path.clone(),
                },
            }
        }
        one_line(&path)
    }

    /// Takes a value out of the copy.
    fn remove(&mut self, steps: &[Step]) -> bool {
        let Some((last, before)) = steps.split_last() else {
            return false;
        };
        let Some(parent) = walk_mut(&mut self.config, before) else {
            return false;
        };
        let place = parent.place.clone();
        match (last, &mut parent.value) {
            (Step::Member(position), Value::Map(members)) if *position < members.len() => {
                members.remove(*position);
            }
            (Step::Element(position), Value::List(elements)) if *position < elements.len() => {
                elements.remove(*position);
            }
            _ => return false,
        }
        self.emptied.push(place);
        true
    }
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

fn first_line(place: &Place, text: &str) -> Place {
    let line = text.get(place.clone()).unwrap_or_default().split('\n').next();
    place.start..place.start + line.map_or(0, str::len)
}

/// The name of an unknown field, and the field that its author meant. If there is advice, only the message
/// contains the name.
fn unknown_field(problem: &ConfigProblem) -> Option<(String, Option<&'static str>)> {
    match problem {
        ConfigProblem::UnknownField { name, nearest, .. } => Some((name.clone(), *nearest)),
        ConfigProblem::Invalid(what) => {
            let name = what.strip_prefix("unknown field `")?.split_once("`; ")?.0;
            Some((name.to_owned(), None))
        }
        _ => None,
    }
}

/// A stable word for a kind of fault.
fn code(problem: &ConfigProblem) -> &'static str {
    match problem {
        ConfigProblem::NotJson(_) => "not-an-object",
        ConfigProblem::UnknownField { .. } => "unknown-field",
        ConfigProblem::GivenTwice => "duplicate",
        ConfigProblem::Missing { .. } => "missing-field",
        ConfigProblem::WrongType { .. } => "wrong-type",
        ConfigProblem::Dangling { .. } => "unknown-name",
        ConfigProblem::NotOneOf { .. } => "not-allowed",
        ConfigProblem::Invalid(what) if what.starts_with("can never match") => "unreachable-rule",
        ConfigProblem::Invalid(what) if what.starts_with("unknown field") => "unknown-field",
        ConfigProblem::Invalid(_) => "invalid",
    }
}

fn within(inner: &Place, outer: &Place) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// Adds a test that no other matcher has.
fn narrow_part(part: &mut Node) {
    let place = part.place.clone();
    let Value::Map(members) = &mut part.value else {
        return;
    };
    let node = |value| Node::new(value, place.clone());
    let map = |members: Vec<(&str, Node)>| {
        let key = |name: &str| Key {
            name: name.to_owned(),
            place: place.clone(),
        };
        node(Value::Map(
            members
                .into_iter()
                .map(|(name, node)| (key(name), node))
                .collect(),
        ))
    };
    let text = |text: String| node(Value::Text(text));
    let test = map(vec![
        ("name", text(STAND_IN_HEADER.to_owned())),
        (
            "string_match",
            map(vec![("exact", text(place.start.to_string()))]),
        ),
    ]);
    match members.iter_mut().find(|(key, _)| key.name == "headers") {
        Some((
            _,
            Node {
                value: Value::List(headers),
                ..
            },
        )) => {
            let is_test = |header: &Node| {
                let mut members = header.members().iter();
                members.any(|(_, value)| value.text() == Some(STAND_IN_HEADER))
            };
            if !headers.iter().any(is_test) {
                headers.push(test);
            }
        }
        Some(_) => {}
        None => members.push((
            Key {
                name: "headers".to_owned(),
                place: place.clone(),
            },
            node(Value::List(vec![test])),
        )),
    }
}

/// A value that is valid for every field of this name, so that the rest can be read.
fn stand_in(field: &str) -> Option<Value> {
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    // Without its only source of keys, a provider would have another fault, and no value for the others.
    let object = |fields: &[&str]| {
        let members = fields.iter().map(|name| {
            let key = Key {
                name: (*name).to_owned(),
                place: 0..0,
            };
            Some((key, Node::new(stand_in(name)?, 0..0)))
        });
        members.collect::<Option<Vec<_>>>().map(Value::Map)
    };
    match field {
        "discovery" => object(&["cluster", "uri"]),
        "remote_jwks" => object(&["http_uri"]),
        "http_uri" => object(&["uri", "cluster"]),
        "local_jwks" => object(&["inline_string"]),
        "issuer" => text("https://stand-in.invalid"),
        "audiences" => Some(Value::List(vec![Node::new(Value::Text("*".to_owned()), 0..0)])),
        "uri" => text("https://stand-in.invalid/keys"),
        "cluster" => text("stand-in"),
        "claim_name" => text("sub"),
        "inline_string" => text(STAND_IN_KEYS),
        "match" => Some(Value::Map(vec![(
            Key {
                name: "prefix".to_owned(),
                place: 0..0,
            },
            Node::new(Value::Text("/".to_owned()), 0..0),
        )])),
        _ => None,
    }
}

fn walk<'n>(node: &'n Node, steps: &[Step]) -> Option<&'n Node> {
    steps.iter().try_fold(node, |node, step| match step {
        Step::Member(position) => node.members().get(*position).map(|(_, node)| node),
        Step::Element(position) => node.elements().get(*position),
    })
}

fn walk_mut<'n>(node: &'n mut Node, steps: &[Step]) -> Option<&'n mut Node> {
    steps
        .iter()
        .try_fold(node, |node, step| match (step, &mut node.value) {
            (Step::Member(position), Value::Map(members)) => members.get_mut(*position).map(|(_, node)| node),
            (Step::Element(position), Value::List(elements)) => elements.get_mut(*position),
            _ => None,
        })
}

/// The path of a fault with the name in the file, if the filter has read a misspelt field as this one.
fn path_in_file(error: &ConfigError, fault: &ConfigError) -> Option<String> {
    let (parent, field) = fault.path.rsplit_once('.')?;
    let misspelt = error.all().find_map(|other| {
        let (name, nearest) = unknown_field(&other.problem).filter(|_| other.path == parent)?;
        (nearest == Some(field)).then_some(name)
    })?;
    Some(format!("{parent}.{misspelt}"))
}

/// Whether the steps reach the end of the path. They do not if the filter has read a misspelt name as the
/// name of another field.
fn leads_to(root: &Node, steps: &[Step], path: &str) -> bool {
    let Some((last, before)) = steps.split_last() else {
        return path.is_empty();
    };
    match last {
        Step::Member(position) => walk(root, before)
            .and_then(|parent| parent.members().get(*position))
            .is_some_and(|(key, _)| path.ends_with(&key.name) || path.ends_with(&snake_case(&key.name))),
        Step::Element(_) => path.ends_with(']'),
    }
}

/// The steps to the value at a path. Names may contain dots, so the longest match counts. A path may continue
/// where the file has one value in place of a list: the rest of the path is ignored.
fn resolve(root: &Node, path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut node = root;
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let Some((index, after)) = after.split_once(']') else {
                break;
            };
            let position: usize = index.parse().unwrap_or(usize::MAX);
            let Some(element) = node.elements().get(position) else {
                break;
            };
            steps.push(Step::Element(position));
            node = element;
            rest = after.strip_prefix('.').unwrap_or(after);
            continue;
        }
        let ends = |after: &str| after.is_empty() || after.starts_with(['.', '[']);
        let found = node
            .members()
            .iter()
            .enumerate()
            .filter_map(|(position, (key, member))| {
                let names = [one_line(&key.name), key.name.clone(), snake_case(&key.name)];
                names.iter().find_map(|name| {
                    let after = rest.strip_prefix(name.as_str())?;
                    ends(after).then_some((name.len(), position, member, after))
                })
            })
            .max_by_key(|(length, ..)| *length);
        let Some((_, position, member, after)) = found else {
            break;
        };
        steps.push(Step::Member(position));
        node = member;
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    steps
}
