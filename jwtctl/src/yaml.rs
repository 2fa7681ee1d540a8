//! Trees as YAML in its usual form.

use std::fmt::Write as _;

use crate::source::{self, Node, Value};

/// A document.
pub(crate) fn write(node: &Node) -> String {
    let mut text = String::new();
    match &node.value {
        Value::Map(members) if !members.is_empty() => members_of(&mut text, node, 0),
        Value::List(elements) if !elements.is_empty() => elements_of(&mut text, elements, 0),
        _ => {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{}", flow(node));
        }
    }
    text
}

fn members_of(to: &mut String, node: &Node, depth: usize) {
    let indentation = "  ".repeat(depth);
    for (key, value) in node.members() {
        match &value.value {
            Value::Map(inner) if !inner.is_empty() && !is_small(value) => {
                let _ = writeln!(to, "{indentation}{}:", scalar(&key.name));
                members_of(to, value, depth + 1);
            }
            Value::List(elements) if !elements.is_empty() && !is_small(value) => {
                let _ = writeln!(to, "{indentation}{}:", scalar(&key.name));
                elements_of(to, elements, depth);
            }
            _ => {
                let _ = writeln!(to, "{indentation}{}: {}", scalar(&key.name), flow(value));
            }
        }
    }
}

fn elements_of(to: &mut String, elements: &[Node], depth: usize) {
    let indentation = "  ".repeat(depth);
    for element in elements {
        match &element.value {
            Value::Map(inner) if !inner.is_empty() && !is_small(element) => {
                let mut block = String::new();
                members_of(&mut block, element, depth + 1);
                let block = block.replacen(&"  ".repeat(depth + 1), &format!("{indentation}- "), 1);
                to.push_str(&block);
            }
            _ => {
                let _ = writeln!(to, "{indentation}- {}", flow(element));
            }
        }
    }
}

/// Whether a value is easiest to read on one line.
fn is_small(node: &Node) -> bool {
    node.members().len() <= 3 && depth_of(node) <= 2 && flow(node).len() <= 72
}

fn depth_of(node: &Node) -> usize {
    match &node.value {
        Value::Map(members) => {
            1 + members
                .iter()
                .map(|(_, node)| depth_of(node))
                .max()
                .unwrap_or_default()
        }
        Value::List(elements) => elements.iter().map(depth_of).max().unwrap_or_default(),
        _ => 0,
    }
}

fn flow(node: &Node) -> String {
    match &node.value {
        Value::Map(members) => {
            let all: Vec<String> = members
                .iter()
                .map(|(key, node)| format!("{}: {}", scalar(&key.name), flow(node)))
                .collect();
            format!("{{{}}}", all.join(", "))
        }
        Value::List(elements) => format!("[{}]", elements.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Text(text) => scalar(text),
        _ => node.to_json(),
    }
}

/// A text, in quotation marks if another type would be read without them.
fn scalar(text: &str) -> String {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_./:@+~".contains(&byte))
        && text.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '/')
        && !text.ends_with(':');
    let is_read_back = || {
        let read = source::parse(text);
        read.is_ok_and(|documents| matches!(documents.as_slice(), [one] if one.text() == Some(text)))
    };
    match is_plain && is_read_back() {
        true => text.to_owned(),
        false => Node::new(Value::Text(text.to_owned()), 0..0).to_json(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let text = r#"{"a":{"b":[1,{"c":"x y","d":null,"e":{"f":[[],{}],"g":"yes"},"h":"0x10"}],"":"-","k":"a: b","l":"é\n#"},"m":[],"n":[[1,2],["a"]],"o":true}"#;
        let node = &source::parse(text).expect("JSON")[0];
        let again = source::parse(&write(node)).expect("YAML");
        assert_eq!(again.first(), Some(node), "{}", write(node));
    }
}
