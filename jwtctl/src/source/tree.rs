//! Values with their places.

use std::fmt::Write as _;
use std::ops::Range;

/// The first byte in the file, and the byte after the last.
pub(crate) type Place = Range<usize>;

/// A value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
    /// The position in its list as in the file, even after other elements were removed.
    pub(crate) index: usize,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// As in JSON.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A member's name with its place.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) place: Place,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// The reason and the place for which a text is not YAML.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) message: String,
    pub(crate) place: Place,
}

impl Node {
    pub(crate) fn new(value: Value, place: Place) -> Self {
        Self {
            value,
            place,
            index: 0,
        }
    }

    /// The member of this name, in either of proto3 JSON's spellings.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.members()
            .iter()
            .find(|(key, _)| key.name == name)
            .or_else(|| {
                self.members()
                    .iter()
                    .find(|(key, _)| key.name != name && snake_case(&key.name) == name)
            })
            .map(|(_, node)| node)
            .filter(|node| node.value != Value::Null)
    }

    /// The value at the end of these members.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, name| node.get(name))
    }

    pub(crate) fn members(&self) -> &[(Key, Self)] {
        match &self.value {
            Value::Map(members) => members,
            _ => &[],
        }
    }

    pub(crate) fn elements(&self) -> &[Self] {
        match &self.value {
            Value::List(elements) => elements,
            _ => &[],
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The text of the member with this name.
    pub(crate) fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path)?.text()
    }

    /// The place of a member's name.
    pub(crate) fn key_place(&self, name: &str) -> Option<Place> {
        let found = self
            .members()
            .iter()
            .find(|(key, _)| key.name == name || snake_case(&key.name) == name);
        found.map(|(key, _)| key.place.clone())
    }

    /// Every value below, itself first.
    pub(crate) fn walk<'n>(&'n self, visit: &mut impl FnMut(&'n Self)) {
        visit(self);
        for (_, node) in self.members() {
            node.walk(visit);
        }
        for node in self.elements() {
            node.walk(visit);
        }
    }

    /// Moves the places of all values to those in a text with this many bytes before the file.
    #[cfg(feature = "cli")]
    pub(crate) fn shift(&mut self, by: usize) {
        let shift = |place: &mut Place| *place = place.start + by..place.end + by;
        shift(&mut self.place);
        match &mut self.value {
            Value::Map(members) => {
                for (key, node) in members {
                    shift(&mut key.place);
                    node.shift(by);
                }
            }
            Value::List(elements) => elements.iter_mut().for_each(|node| node.shift(by)),
            _ => {}
        }
    }

    /// As JSON text, with the members in their order.
    pub(crate) fn to_json(&self) -> String {
        let mut text = String::new();
        self.write_json(&mut text);
        text
    }

    fn write_json(&self, to: &mut String) {
        match &self.value {
            Value::Null => to.push_str("null"),
            Value::Bool(value) => to.push_str(if *value { "true" } else { "false" }),
            Value::Number(number) => to.push_str(number),
            Value::Text(text) => push_json_text(to, text),
            Value::List(elements) => {
                to.push('[');
                for (position, element) in elements.iter().enumerate() {
                    if position > 0 {
                        to.push(',');
                    }
                    element.write_json(to);
                }
                to.push(']');
            }
            Value::Map(members) => {
                to.push('{');
                for (position, (key, node)) in members.iter().enumerate() {
                    if position > 0 {
                        to.push(',');
                    }
                    push_json_text(to, &key.name);
                    to.push(':');
                    node.write_json(to);
                }
                to.push('}');
            }
        }
    }

    /// A binary `google.protobuf.Struct`, the form in which Envoy passes an object. `None` if it is not an
    /// object, or has a number that no double represents.
    pub(crate) fn to_struct(&self) -> Option<Vec<u8>> {
        let Value::Map(members) = &self.value else {
            return None;
        };
        let mut message = Vec::new();
        for (key, node) in members {
            let mut entry = Vec::new();
            push_bytes(&mut entry, 1, key.name.as_bytes());
            push_bytes(&mut entry, 2, &node.to_proto_value()?);
            push_bytes(&mut message, 1, &entry);
        }
        Some(message)
    }

    fn to_proto_value(&self) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        match &self.value {
            Value::Null => message.extend([1 << 3, 0]),
            Value::Bool(value) => message.extend([4 << 3, u8::from(*value)]),
            Value::Number(number) => {
                message.push((2 << 3) | 1);
                message.extend(
                    number
                        .parse::<f64>()
                        .ok()
                        .filter(|n| n.is_finite())?
                        .to_le_bytes(),
                );
            }
            Value::Text(text) => push_bytes(&mut message, 3, text.as_bytes()),
            Value::Map(_) => push_bytes(&mut message, 5, &self.to_struct()?),
            Value::List(elements) => {
                let mut list = Vec::new();
                for element in elements {
                    push_bytes(&mut list, 1, &element.to_proto_value()?);
                }
                push_bytes(&mut message, 6, &list);
            }
        }
        Some(message)
    }
}

fn push_bytes(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push((field << 3) | 2);
    let mut length = bytes.len();
    while length > 0x7f {
        message.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    message.push(u8::try_from(length).unwrap_or_default());
    message.extend_from_slice(bytes);
}

fn push_json_text(to: &mut String, text: &str) {
    to.push('"');
    for letter in text.chars() {
        match letter {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            letter if letter.is_control() && letter.is_ascii() => {
                // Writing to a String does not fail.
                let _ = write!(to, "\\u{:04x}", u32::from(letter));
            }
            letter => to.push(letter),
        }
    }
    to.push('"');
}

/// `remoteJwks` as `remote_jwks`.
pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// Line and column of a byte, from 1, the column in characters.
pub(crate) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (
        line,
        before.get(line_start..).unwrap_or_default().chars().count() + 1,
    )
}
