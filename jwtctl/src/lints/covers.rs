//! Whether one match covers another one.

use crate::source::{Node, Value, snake_case};

/// The text with which every match of a pattern begins; empty if it is not certain.
fn literal_beginning(pattern: &str) -> String {
    let mut text = String::new();
    // An alternative may begin otherwise.
    if pattern.contains('|') {
        return text;
    }
    let mut letters = pattern.strip_prefix('^').unwrap_or(pattern).chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(escaped) if escaped.is_ascii_punctuation() => text.push(escaped),
                _ => break,
            },
            '*' | '?' | '{' => {
                text.pop();
                break;
            }
            '.' | '[' | '(' | ')' | ']' | '}' | '+' | '$' | '^' => break,
            letter => text.push(letter),
        }
    }
    text
}

/// Whether one match covers every request of another one. True only in obvious cases.
pub(crate) fn covers(wide: &Node, narrow: &Node) -> bool {
    match (&wide.value, &narrow.value) {
        // One of these suffices.
        (Value::List(parts), _) => return parts.iter().any(|part| covers(part, narrow)),
        (_, Value::List(parts)) => return !parts.is_empty() && parts.iter().all(|part| covers(wide, part)),
        _ => {}
    }
    const PATHS: [&str; 4] = ["path", "prefix", "path_separated_prefix", "safe_regex"];
    let of = |node: &Node| {
        PATHS
            .iter()
            .find_map(|name| Some((*name, node.get(name)?.clone())))
    };
    let ignores_case = |node: &Node| node.get("case_sensitive").and_then(Node::bool) == Some(false);
    let by_path = match (of(wide), of(narrow)) {
        (None, _) => true,
        (Some(("prefix", text)), _) if text.text() == Some("/") => true,
        (Some(_), None) => false,
        (Some((kind, text)), Some((other, narrower))) => {
            if ignores_case(narrow) && !ignores_case(wide) {
                return false;
            }
            let lower = |text: &str| match ignores_case(wide) {
                true => text.to_ascii_lowercase(),
                false => text.to_owned(),
            };
            match (text.text().map(lower), narrower.text().map(lower)) {
                (Some(text), Some(narrower)) => match (kind, other) {
                    ("path", "path") => text == narrower,
                    ("prefix", _) => narrower.starts_with(&text),
                    ("path_separated_prefix", "path" | "path_separated_prefix") => narrower
                        .strip_prefix(&text)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
                    ("path_separated_prefix", "prefix") => narrower
                        .strip_prefix(&text)
                        .is_some_and(|rest| rest.starts_with('/')),
                    _ => false,
                },
                (None, None) => kind == other && text == narrower,
                // A pattern that begins with a text matches only texts with this beginning.
                (Some(text), None) if other == "safe_regex" => {
                    let beginning = narrower
                        .text_at(&["regex"])
                        .map(literal_beginning)
                        .map(|text| lower(&text));
                    let rest = beginning
                        .as_deref()
                        .and_then(|beginning| beginning.strip_prefix(&*text));
                    match kind {
                        "prefix" => rest.is_some(),
                        "path_separated_prefix" => rest.is_some_and(|rest| rest.starts_with('/')),
                        _ => false,
                    }
                }
                _ => false,
            }
        }
    };
    let texts = |node: &Node| -> Vec<String> {
        let list = node.elements().iter().filter_map(Node::text);
        list.chain(node.text()).map(str::to_owned).collect()
    };
    by_path
        && wide.members().iter().all(|(key, part)| {
            let name = snake_case(&key.name);
            if PATHS.contains(&&*name) || name == "case_sensitive" || part.value == Value::Null {
                return true;
            }
            let Some(other) = narrow.get(&name) else {
                return matches!(&part.value, Value::List(list) if list.is_empty());
            };
            match &*name {
                // One of these suffices.
                "methods" | "hosts" => {
                    let (wide, narrow) = (texts(part), texts(other));
                    !narrow.is_empty() && narrow.iter().all(|one| wide.contains(one))
                }
                // Each of these must match.
                "headers" | "query_parameters" => part
                    .elements()
                    .iter()
                    .all(|condition| other.elements().contains(condition)),
                _ => part == other,
            }
        })
}
