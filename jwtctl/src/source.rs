//! YAML and JSON as trees whose every value knows its place in the user's file.
//!
//! Scalars are resolved as in Envoy and Kubernetes (`yes` is a boolean), members keep their order, and a
//! duplicate member stays in the tree: the reader of the tree reports it.

use std::fmt::Write as _;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

/// Anchors may repeat values. A document with more values than this was made to exhaust memory.
const MAX_VALUES: usize = 1_000_000;
const MAX_DEPTH: usize = 200;

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

/// Reads every document of a text. JSON is YAML.
pub(crate) fn parse(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let mut reading = Reading::new(text);
    let mut documents = Vec::new();
    while let Some((event, _)) = reading.next()? {
        match event {
            Event::DocumentStart(_) => {
                reading.anchors.clear();
                if let Some((event, span)) = reading.next()?
                    && event != Event::DocumentEnd
                {
                    documents.push(reading.value(event, span, 0)?);
                }
            }
            Event::StreamEnd => break,
            _ => {}
        }
    }
    documents.retain(|document| document.value != Value::Null);
    Ok(documents)
}

struct Reading<'t> {
    text: &'t str,
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
    /// The byte at which each character begins, and the end.
    offsets: Vec<usize>,
    anchors: Vec<(usize, Node)>,
    values: usize,
}

impl<'t> Reading<'t> {
    fn new(text: &'t str) -> Self {
        let mut offsets: Vec<usize> = text.char_indices().map(|(offset, _)| offset).collect();
        offsets.push(text.len());
        Self {
            text,
            events: Parser::new_from_str(text),
            offsets,
            anchors: Vec::new(),
            values: 0,
        }
    }

    fn offset(&self, index: usize) -> usize {
        self.offsets.get(index).copied().unwrap_or(self.text.len())
    }

    fn place(&self, span: Span) -> Place {
        self.offset(span.start.index())..self.offset(span.end.index())
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, SyntaxError> {
        match self.events.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => {
                let at = self.offset(error.marker().index());
                Err(SyntaxError {
                    message: error.info().to_owned(),
                    place: at..at,
                })
            }
        }
    }

    fn some(&mut self) -> Result<(Event<'t>, Span), SyntaxError> {
        self.next()?.ok_or_else(|| SyntaxError {
            message: "the text ends too early".to_owned(),
            place: self.text.len()..self.text.len(),
        })
    }

    fn value(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, SyntaxError> {
        let start = self.place(span);
        let fault = |message: &str| SyntaxError {
            message: message.to_owned(),
            place: start.clone(),
        };
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(fault("the document has too many values"));
        }
        if depth > MAX_DEPTH {
            return Err(fault("the document is nested too deeply"));
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref());
                Ok(self.remember(anchor, Node::new(value, start)))
            }
            Event::SequenceStart(anchor, _) => {
                let mut elements = Vec::new();
                let end = loop {
                    let (event, span) = self.some()?;
                    if event == Event::SequenceEnd {
                        break self.place(span).end;
                    }
                    let mut element = self.value(event, span, depth + 1)?;
                    element.index = elements.len();
                    elements.push(element);
                };
                let place = self.trimmed(start.start..end);
                Ok(self.remember(anchor, Node::new(Value::List(elements), place)))
            }
            Event::MappingStart(anchor, _) => {
                let mut members: Vec<(Key, Node)> = Vec::new();
                let mut merged: Vec<(Key, Node)> = Vec::new();
                let end = loop {
                    let (event, span) = self.some()?;
                    if event == Event::MappingEnd {
                        break self.place(span).end;
                    }
                    let place = self.place(span);
                    let key = self.value(event, span, depth + 1)?;
                    let name = match key.value {
                        Value::Text(text) | Value::Number(text) => text,
                        Value::Bool(_) | Value::Null => {
                            self.text.get(place.clone()).unwrap_or_default().to_owned()
                        }
                        Value::List(_) | Value::Map(_) => {
                            return Err(fault("the name of a member must be a string"));
                        }
                    };
                    let (event, span) = self.some()?;
                    let node = self.value(event, span, depth + 1)?;
                    if name == "<<" {
                        match node.value {
                            Value::Map(other) => merged.extend(other),
                            Value::List(all) => {
                                merged.extend(all.into_iter().flat_map(|node| match node.value {
                                    Value::Map(other) => other,
                                    _ => Vec::new(),
                                }))
                            }
                            _ => return Err(fault("the value of `<<` must be a map")),
                        }
                    } else {
                        members.push((Key { name, place }, node));
                    }
                };
                for (key, node) in merged {
                    if members.iter().all(|(known, _)| known.name != key.name) {
                        members.push((key, node));
                    }
                }
                let place = self.trimmed(start.start..end);
                Ok(self.remember(anchor, Node::new(Value::Map(members), place)))
            }
            Event::Alias(anchor) => {
                let found = self.anchors.iter().rev().find(|(known, _)| *known == anchor);
                let (_, node) = found.ok_or_else(|| fault("the document has no anchor of this name"))?;
                let mut count = 0;
                node.walk(&mut |_| count += 1);
                if self.values + count > MAX_VALUES {
                    return Err(fault("the document has too many values"));
                }
                let node = node.clone();
                self.values += count;
                Ok(node)
            }
            _ => Err(fault("unexpected")),
        }
    }

    fn remember(&mut self, anchor: usize, node: Node) -> Node {
        if anchor > 0 {
            self.anchors.push((anchor, node.clone()));
        }
        node
    }

    /// Without the space that a block takes up to what follows it.
    fn trimmed(&self, place: Place) -> Place {
        let text = self.text.get(place.clone()).unwrap_or_default();
        place.start..place.start + text.trim_end().len()
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_text_tag =
        tag.is_some_and(|tag| tag.suffix == "str" || tag.suffix.is_empty() && tag.handle == "!");
    if style != ScalarStyle::Plain || is_text_tag {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    match number(text) {
        Some(number) => Value::Number(number),
        None => Value::Text(text.to_owned()),
    }
}

/// A number in JSON's form.
fn number(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let sign = if text.starts_with('-') { "-" } else { "" };
    let radix = |digits: &str, radix| u64::from_str_radix(digits, radix).ok();
    if let Some(number) = unsigned.strip_prefix("0x").and_then(|digits| radix(digits, 16)) {
        return Some(format!("{sign}{number}"));
    }
    if let Some(number) = unsigned.strip_prefix("0o").and_then(|digits| radix(digits, 8)) {
        return Some(format!("{sign}{number}"));
    }
    if !unsigned.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.')
        || !unsigned.bytes().any(|byte| byte.is_ascii_digit())
        || !unsigned
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'))
    {
        return None;
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let digits = unsigned.trim_start_matches('0');
        return Some(format!("{sign}{}", if digits.is_empty() { "0" } else { digits }));
    }
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    // As written, if it is valid JSON.
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(_) => Some(text.to_owned()),
        Err(_) => Some(format!("{value}")),
    }
}

/// A text inside a text, as `value: |` holds a configuration: its documents, with their places in the outer
/// file.
pub(crate) fn parse_within(file: &str, outer: &Node) -> Result<Vec<Node>, SyntaxError> {
    let inner = outer.text().unwrap_or_default();
    let at = locate(file, outer, inner).or_else(|| align(file, outer, inner));
    let moved = |place: &Place| match &at {
        Some(at) => {
            let map = |offset: usize| at.get(offset).copied().unwrap_or(outer.place.end);
            map(place.start)..map(place.end).max(map(place.start))
        }
        None => outer.place.clone(),
    };
    match parse(inner) {
        Ok(mut documents) => {
            documents.iter_mut().for_each(|node| relocate(node, &moved));
            Ok(documents)
        }
        Err(error) => Err(SyntaxError {
            place: moved(&error.place),
            message: error.message,
        }),
    }
}

fn relocate(node: &mut Node, moved: &impl Fn(&Place) -> Place) {
    node.place = moved(&node.place);
    match &mut node.value {
        Value::List(elements) => elements.iter_mut().for_each(|node| relocate(node, moved)),
        Value::Map(members) => {
            for (key, node) in members {
                key.place = moved(&key.place);
                relocate(node, moved);
            }
        }
        _ => {}
    }
}

/// The position in the file of each byte of a literal block. `None` for another style.
fn locate(file: &str, outer: &Node, inner: &str) -> Option<Vec<usize>> {
    let from = outer.place.start;
    let mut at = Vec::with_capacity(inner.len() + 1);
    // The first line of the block, which begins the text, wherever the parser places the scalar.
    let first = inner.split('\n').next()?;
    let begin = from + file.get(from..)?.find(first)?;
    let line_start = file.get(..begin)?.rfind('\n').map_or(0, |newline| newline + 1);
    let indentation = begin - line_start;
    if !file.get(line_start..begin)?.bytes().all(|byte| byte == b' ') {
        // On one line, without escapes.
        return match file.get(begin..begin + inner.len()) {
            Some(found) if found == inner => Some((begin..=begin + inner.len()).collect()),
            _ => None,
        };
    }
    let mut offset = line_start;
    for line in inner.split_inclusive('\n') {
        let in_file = file
            .get(offset..)?
            .split_inclusive('\n')
            .next()
            .unwrap_or_default();
        let start = match line.trim().is_empty() {
            true => {
                offset
                    + in_file
                        .trim_end_matches('\n')
                        .len()
                        .saturating_sub(line.trim_end_matches('\n').len())
            }
            false => offset + indentation,
        };
        if !line.trim().is_empty() && !file.get(start..)?.starts_with(line.trim_end_matches('\n')) {
            return None;
        }
        at.extend(start..start + line.len());
        offset += in_file.len();
    }
    at.push(at.last().map_or(begin, |last| last + 1));
    Some(at)
}

/// The position in the file of each byte of a quoted, folded or plain scalar: both texts are read side by
/// side, over escapes, line breaks and indentation. `None`: they do not agree.
fn align(file: &str, outer: &Node, inner: &str) -> Option<Vec<usize>> {
    let mut offset = outer.place.start;
    let quote = file
        .get(offset..)?
        .chars()
        .next()
        .filter(|letter| matches!(letter, '"' | '\''));
    match file.get(offset..)?.chars().next()? {
        '"' | '\'' => offset += 1,
        '|' | '>' => offset += file.get(offset..)?.find('\n')? + 1,
        _ => {}
    }
    let mut at = Vec::with_capacity(inner.len() + 1);
    for letter in inner.chars() {
        let start = loop {
            let rest = file.get(offset..)?;
            let found = rest.chars().next()?;
            if found == letter && !(quote == Some('"') && found == '\\') {
                let start = offset;
                offset += found.len_utf8();
                // A quote inside of single quotes is written twice.
                if found == '\'' && quote == Some('\'') {
                    offset += 1;
                }
                break start;
            }
            if quote == Some('"') && found == '\\' {
                let kind = rest.chars().nth(1)?;
                if kind.is_whitespace() {
                    // The text continues on the next line.
                    offset += 1 + kind.len_utf8();
                    continue;
                }
                let digits = match kind {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    _ => 0,
                };
                let start = offset;
                offset += 1 + kind.len_utf8() + digits;
                break start;
            }
            if !found.is_whitespace() {
                return None;
            }
            // A line break is folded into one of these, and indentation into nothing.
            if letter.is_whitespace() && matches!(found, '\n' | '\r') {
                let start = offset;
                offset += rest.len() - rest.trim_start().len();
                break start;
            }
            offset += found.len_utf8();
        };
        at.extend(std::iter::repeat_n(start, letter.len_utf8()));
    }
    at.push(offset);
    Some(at)
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

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        parse(text)
            .unwrap()
            .iter()
            .map(Node::to_json)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn scalars_are_what_envoy_takes_them_for() {
        assert_eq!(
            json(
                "{a: yes, b: 'yes', c: 0x10, d: 1e3, e: ~, f: 007, g: 1.50, h: 10s, i: !!str 7, j: 1.2.3, k: -0.5}"
            ),
            r#"{"a":true,"b":"yes","c":16,"d":1e3,"e":null,"f":7,"g":1.50,"h":"10s","i":"7","j":"1.2.3","k":-0.5}"#
        );
        assert_eq!(
            json("{\n\t\"a\": [1, {\"b\": \"\\u00e9\\n\"}]\n}"),
            "{\"a\":[1,{\"b\":\"é\\n\"}]}"
        );
        assert_eq!(
            json("a: 1\n---\n---\nb: &x {c: 1}\nd: *x\n...\n"),
            r#"{"a":1} {"b":{"c":1},"d":{"c":1}}"#
        );
        assert_eq!(
            json("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}"),
            r#"{"a":{"b":1,"c":2},"d":{"b":3,"c":2}}"#
        );
    }

    #[test]
    fn places_are_bytes_of_the_file() {
        let text = "é: x\nlist:\n- a\n- {b: é, c: 12}\n";
        let document = &parse(text).unwrap()[0];
        let element = &document.get("list").unwrap().elements()[1];
        assert_eq!(&text[element.get("c").unwrap().place.clone()], "12");
        assert_eq!(&text[element.key_place("c").unwrap()], "c");
        assert_eq!(
            line_and_column(text, element.get("b").unwrap().place.start),
            (4, 7)
        );
    }

    #[test]
    fn a_block_inside_a_file_has_the_files_places() {
        let text = "outer:\n  value: |\n    a: 1\n\n    b:\n      c: [x, y]\n";
        let outer = &parse(text).unwrap()[0];
        let inner = &parse_within(text, outer.at(&["outer", "value"]).unwrap()).unwrap()[0];
        let found = &inner.at(&["b", "c"]).unwrap().elements()[1];
        assert_eq!(line_and_column(text, found.place.start), (6, 14));
        let text = "v: '{\"a\": {\"b\": 7}}'\n";
        let outer = &parse(text).unwrap()[0];
        let inner = &parse_within(text, outer.get("v").unwrap()).unwrap()[0];
        assert_eq!(&text[inner.at(&["a", "b"]).unwrap().place.clone()], "7");
    }

    #[test]
    fn a_text_has_the_files_places_in_every_style() {
        let styles = [
            "v: \"{\\\"a\\\": {\\\"\\u00fc\\\\n\\\":\\n 1, \\\"b\\\": 7}}\"\n",
            "v: \"{\\\"a\\\":\n    {\\\"x\\\": 1, \\\n    \\\"b\\\": 7}}\"\n",
            "v: '{\"a\": {\"it''s\": 1,\n\n    \"b\": 7}}'\n",
            "v: >-\n  {\"a\": {\"x\": 1,\n  \"b\": 7}}\n",
            "v: > # folded\r\n  a:\r\n    x: 1\r\n    b: 7\r\n",
            "v: |\r\n  a:\r\n    x: \u{fc}\r\n    b: 7\r\n",
        ];
        for text in styles {
            let outer = &parse(text).unwrap()[0];
            let inner = &parse_within(text, outer.get("v").unwrap()).unwrap()[0];
            let place = inner.at(&["a", "b"]).unwrap().place.clone();
            assert_eq!(&text[place], "7", "{text}");
            assert!(
                inner.members()[0].0.place.contains(&text.find('a').unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn aliases_cannot_take_all_memory() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let list = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        assert!(parse(&text).unwrap_err().message.contains("too many"));
        assert!(parse(&"[".repeat(5000)).is_err());
    }
}
