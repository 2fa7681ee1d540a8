//! Operations: hosts, methods and paths.

use crate::convert::grants::{all_of, every_request, quote};
use crate::convert::notes::Notes;
use crate::convert::tree::{flag, list, map, set, text};
use crate::source::{Node, Place};

/// The requests to which the operations of a rule apply.
pub(super) fn operations(rule: &Node, notes: &mut Notes) -> Vec<Node> {
    let to = rule.get("to").map_or(&[][..], Node::elements);
    if to.is_empty() {
        let mut matcher = every_request();
        matcher.place = rule.place.clone();
        return vec![matcher];
    }
    let mut all = Vec::new();
    for operation in to {
        let nothing = map(Vec::new());
        let operation = operation.get("operation").unwrap_or(&nothing);
        let mut matcher = every_request();
        matcher.place = rule.place.clone();
        let mut matches = vec![matcher];
        for (key, values) in operation.members() {
            let (name, holds) = match &*key.name {
                "paths" => ("paths", true),
                "notPaths" => ("paths", false),
                "methods" => ("methods", true),
                "notMethods" => ("methods", false),
                "hosts" => ("hosts", true),
                "notHosts" => ("hosts", false),
                name => {
                    notes.lost(
                        &key.place,
                        format!("`{name}` is not in a request; keep this in an AuthorizationPolicy of Istio"),
                    );
                    continue;
                }
            };
            if values.elements().is_empty() {
                continue;
            }
            let is_any = values.elements().iter().any(|value| value.text() == Some("*"));
            let part = match name {
                _ if is_any => vec![every_request()],
                "paths" => without_narrower(values)
                    .into_iter()
                    .map(|path| map(vec![path_match(path, notes)]))
                    .collect(),
                name => {
                    let (field, ignores_case) = match name {
                        "hosts" => (":authority", true),
                        _ => (":method", false),
                    };
                    // Istio compares a host with its port, and so without other spellings: as a header.
                    let is_plain = |value: &&Node| {
                        name != "hosts" && !value.text().is_some_and(|text| text.contains('*'))
                    };
                    let (plain, other): (Vec<&Node>, Vec<&Node>) =
                        values.elements().iter().partition(is_plain);
                    let other = other
                        .into_iter()
                        .map(|value| with_header(field, &value.place, value, ignores_case));
                    let mut part: Vec<Node> = other.collect();
                    if !plain.is_empty() {
                        let plain = list(plain.into_iter().cloned().collect());
                        part.push(set_of(every_request(), name, plain));
                    }
                    part
                }
            };
            matches = match holds {
                true => all_of(&matches, &part),
                // No request remains.
                false if is_any => Vec::new(),
                false => all_of(&matches, &[set_of(every_request(), "not", list(part))]),
            };
        }
        all.extend(matches);
    }
    all
}

/// The characters that a wildcard of Envoy's path templates takes, but for `-`: in a class, it is a range
/// unless it is the last one.
const SEGMENT: &str = "a-zA-Z0-9._~%!$&'()*+,;:@=";

/// The paths without those below another of them: `/a/**` is for paths that begin with `/a/*`, and `/a/*` is
/// for all of these.
fn without_narrower(paths: &Node) -> Vec<&Node> {
    let paths: Vec<&Node> = paths.elements().iter().collect();
    let is_narrower = |path: &Node| {
        let found = path.text().unwrap_or_default();
        let is_template = found.contains("{*}") || found.contains("{**}");
        // A prefix is not below itself, and an exact path is below the prefix of the same text.
        let begins = |other: &str| match found.strip_suffix('*') {
            Some(prefix) => prefix.starts_with(other) && prefix != other,
            None => found.starts_with(other),
        };
        let prefixes = paths.iter().filter_map(|other| other.text()?.strip_suffix('*'));
        let mut prefixes = prefixes.filter(|other| !other.starts_with('*') && !other.contains('{'));
        !is_template && !found.starts_with('*') && prefixes.any(begins)
    };
    paths.iter().copied().filter(|path| !is_narrower(path)).collect()
}

/// A path of Istio: exact, `/a*`, `*/a`, `*`, or a template with `{*}` and `{**}`.
fn path_match(path: &Node, notes: &mut Notes) -> (&'static str, Node) {
    let found = path.text().unwrap_or_default();
    let pattern = |regex: String| ("safe_regex", map(vec![("regex", text(regex, &path.place))]));
    if found.contains("{*}") || found.contains("{**}") {
        let segment = format!("[{SEGMENT}-]+");
        let parts: Vec<String> = found
            .split("{**}")
            .map(|part| part.split("{*}").map(quote).collect::<Vec<_>>().join(&segment))
            .collect();
        return pattern(parts.join(&format!("[{SEGMENT}/-]*")));
    }
    match (found.strip_prefix('*'), found.strip_suffix('*')) {
        (Some(""), _) => ("prefix", text("/", &path.place)),
        (Some(suffix), _) => pattern(format!(".*{}", quote(suffix))),
        (None, rest) => {
            let literal = rest.unwrap_or(found);
            if literal.contains('*') {
                let message = format!(
                    "Istio reads `*` only at one end of a path, so this is for paths with the text `{literal}`"
                );
                notes.look(&path.place, message);
                let end = if rest.is_some() { ".*" } else { "" };
                return pattern(format!("{}{end}", quote(literal)));
            }
            match rest {
                Some(prefix) => ("prefix", text(prefix, &path.place)),
                None => ("path", path.clone()),
            }
        }
    }
}

pub(super) fn set_of(mut node: Node, name: &str, value: Node) -> Node {
    set(&mut node, name, value);
    node
}

/// The requests with this value in a header: `*` for any, `abc*`, `*abc` or `abc`.
pub(super) fn with_header(name: &str, place: &Place, value: &Node, ignores_case: bool) -> Node {
    let found = value.text().unwrap_or_default();
    let matcher = match (found.strip_prefix('*'), found.strip_suffix('*')) {
        (Some(""), _) => None,
        (Some(suffix), _) => Some(("suffix", text(suffix, &value.place))),
        (None, Some(prefix)) => Some(("prefix", text(prefix, &value.place))),
        (None, None) => Some(("exact", value.clone())),
    };
    let test = match matcher {
        None => ("present_match", flag(true)),
        Some(matcher) if ignores_case => ("string_match", map(vec![matcher, ("ignore_case", flag(true))])),
        Some(matcher) => ("string_match", map(vec![matcher])),
    };
    let header = map(vec![("name", text(name, place)), test]);
    set_of(every_request(), "headers", list(vec![header]))
}
