//! A request that a match takes, by its parts, and the alternatives for each part.

use super::values::values_for;
use crate::core::Request;
use crate::examples::examples;
use crate::source::{Node, Value, snake_case};

/// The parts of requests that rules read, each with all values that distinguish rules.
#[derive(Debug, Default)]
pub(super) struct Alternatives {
    pub(super) paths: Vec<String>,
    /// The paths of this list that match patterns, and the prefixes.
    pub(super) examples: Vec<String>,
    pub(super) prefixes: Vec<String>,
    pub(super) methods: Vec<String>,
    pub(super) hosts: Vec<String>,
    /// By name; `None`: the request does not have it.
    pub(super) headers: Vec<(String, Vec<Option<String>>)>,
    pub(super) parameters: Vec<(String, Vec<Option<String>>)>,
}

/// A request that a match takes, by its parts. `None` leaves a part open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) path: Option<String>,
    pub(super) method: Option<String>,
    pub(super) host: Option<String>,
    pub(super) headers: Vec<(String, Option<String>)>,
    pub(super) parameters: Vec<(String, Option<String>)>,
}

impl Shape {
    /// This shape, with the parts of the other one that are open here.
    pub(super) fn with(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.path = both.path.or_else(|| other.path.clone());
        both.method = both.method.or_else(|| other.method.clone());
        both.host = both.host.or_else(|| other.host.clone());
        let lists = [
            (&mut both.headers, &other.headers),
            (&mut both.parameters, &other.parameters),
        ];
        for (mine, others) in lists {
            for (name, value) in others {
                if mine.iter().all(|(known, _)| known != name) {
                    mine.push((name.clone(), value.clone()));
                }
            }
        }
        both
    }

    pub(super) fn set(list: &mut Vec<(String, Option<String>)>, name: &str, value: Option<String>) {
        list.retain(|(known, _)| known != name);
        list.push((name.to_owned(), value));
    }

    pub(super) fn request(&self) -> Request {
        let mut target = self.path.clone().unwrap_or_else(|| "/other".to_owned());
        for (name, value) in &self.parameters {
            if let Some(value) = value {
                let separator = if target.contains('?') { '&' } else { '?' };
                target = format!("{target}{separator}{name}={value}");
            }
        }
        let mut request = Request::new(self.method.as_deref().unwrap_or("GET"), &target);
        if let Some(host) = &self.host {
            request.authority.clone_from(host);
        }
        for (name, value) in &self.headers {
            if let Some(value) = value {
                request.headers.push((name.clone(), value.clone().into_bytes()));
            }
        }
        request
    }
}

/// Adds the alternatives of a match. Returns a request that probably matches.
fn look(matcher: &Node, alternatives: &mut Alternatives) -> Shape {
    let mut shape = Shape::default();
    let texts = |name: &str| -> Vec<String> {
        let node = matcher.get(name);
        let list = node.map_or(&[][..], Node::elements).iter().filter_map(Node::text);
        list.chain(node.and_then(Node::text)).map(str::to_owned).collect()
    };
    for (key, part) in matcher.members() {
        let name = snake_case(&key.name);
        let text = part.text().unwrap_or_default();
        let paths = &mut alternatives.paths;
        match &*name {
            "path" | "prefix" | "path_separated_prefix" => {
                shape.path = Some(text.to_owned());
                if name != "path" {
                    alternatives.prefixes.push(text.to_owned());
                }
                paths.push(text.to_owned());
                let bare = text.trim_end_matches('/');
                paths.extend([format!("{text}x"), format!("{bare}/"), format!("{bare}/x")]);
                if matcher.get("case_sensitive").and_then(Node::bool) == Some(false) {
                    paths.push(text.to_ascii_uppercase());
                    paths.push(format!("{}/x", bare.to_ascii_uppercase()));
                }
                if let Some(shorter) = text.strip_suffix('/').filter(|shorter| !shorter.is_empty()) {
                    paths.push(shorter.to_owned());
                }
            }
            "safe_regex" => {
                for example in part.text_at(&["regex"]).map_or_else(Vec::new, examples) {
                    let example = match example.starts_with('/') {
                        true => example,
                        false => format!("/{example}"),
                    };
                    shape.path.get_or_insert_with(|| example.clone());
                    alternatives.examples.push(example.clone());
                    paths.extend([
                        format!("{example}x"),
                        format!("{example}/"),
                        format!("{example}/x"),
                        example,
                    ]);
                }
            }
            _ => {}
        }
    }
    for method in texts("methods") {
        shape.method.get_or_insert_with(|| method.clone());
        alternatives.methods.push(method);
    }
    if matcher.get("connect_matcher").is_some() {
        shape.method = Some("CONNECT".to_owned());
        alternatives.methods.push("CONNECT".to_owned());
    }
    for host in texts("hosts") {
        let host = match (host.strip_prefix("*."), host.strip_suffix(".*")) {
            (Some(rest), _) => format!("a.{rest}"),
            (None, Some(rest)) => format!("{rest}.com"),
            (None, None) if host == "*" => "example.com".to_owned(),
            _ => host,
        };
        shape.host.get_or_insert_with(|| host.clone());
        alternatives.hosts.push(host);
    }
    for header in matcher.get("headers").map_or(&[][..], Node::elements) {
        let name = header.text_at(&["name"]).unwrap_or_default().to_ascii_lowercase();
        let (taken, values) = values_for(header);
        match &*name {
            ":method" => {
                shape.method = taken.or(shape.method);
                alternatives.methods.extend(values.into_iter().flatten());
            }
            ":authority" | "host" => {
                shape.host = taken.or(shape.host);
                alternatives.hosts.extend(values.into_iter().flatten());
            }
            ":path" => {
                shape.path = taken.or(shape.path);
                alternatives
                    .paths
                    .extend(values.into_iter().flatten().filter(|path| path.starts_with('/')));
            }
            name if !name.starts_with(':') => {
                Shape::set(&mut shape.headers, name, taken);
                merge(&mut alternatives.headers, name, values);
            }
            _ => {}
        }
    }
    for parameter in matcher.get("query_parameters").map_or(&[][..], Node::elements) {
        let name = parameter.text_at(&["name"]).unwrap_or_default();
        let (taken, mut values) = values_for(parameter);
        // The parameter occurs twice, with different values. Servers take the first or the last.
        if let Some(named) = values
            .iter()
            .rev()
            .flatten()
            .find(|value| !value.is_empty())
            .cloned()
        {
            values.push(Some(format!("{named}&{name}=jwtctl-another")));
            values.push(Some(format!("jwtctl-another&{name}={named}")));
        }
        Shape::set(&mut shape.parameters, name, taken);
        merge(&mut alternatives.parameters, name, values);
    }
    shape
}

fn merge(all: &mut Vec<(String, Vec<Option<String>>)>, name: &str, values: Vec<Option<String>>) {
    match all.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => {
            for value in values {
                if !known.contains(&value) {
                    known.push(value);
                }
            }
        }
        None => all.push((name.to_owned(), values)),
    }
}

/// The elements of a list, or the node itself.
fn one_or_many(node: &Node) -> &[Node] {
    match node.value {
        Value::List(_) => node.elements(),
        _ => std::slice::from_ref(node),
    }
}

/// The shapes of a rule's match: each of its elements, and what its `not` takes out of it.
pub(super) fn shapes(matcher: &Node, alternatives: &mut Alternatives) -> Vec<Shape> {
    let mut found = Vec::new();
    for part in one_or_many(matcher) {
        let shape = look(part, alternatives);
        let outside = part.get("not").map_or(&[][..], one_or_many);
        for inner in outside.iter().flat_map(|inner| shapes(inner, alternatives)) {
            // An example of the inner pattern may lie outside the outer prefix.
            if let (Some(prefix), Some(path)) = (&shape.path, &inner.path)
                && !path.starts_with(&**prefix)
            {
                let path = format!("{prefix}{}", path.trim_start_matches('/'));
                let within = Shape {
                    path: Some(path),
                    ..inner.clone()
                };
                found.push(within.with(&shape));
            }
            found.push(inner.with(&shape));
        }
        found.push(shape);
    }
    found
}
