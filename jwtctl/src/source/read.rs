//! Reads YAML and JSON into trees.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::tree::{Key, Node, Place, SyntaxError, Value};

/// Anchors may repeat values. A document with more values than this was made to exhaust memory.
const MAX_VALUES: usize = 1_000_000;

const MAX_DEPTH: usize = 200;

/// Reads every document of a text. JSON is YAML.
pub(crate) fn parse(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let mut reader = Reader::new(text);
    let mut documents = Vec::new();
    while let Some((event, _)) = reader.next()? {
        match event {
            Event::DocumentStart(_) => {
                reader.anchors.clear();
                if let Some((event, span)) = reader.next()?
                    && event != Event::DocumentEnd
                {
                    documents.push(reader.value(event, span, 0)?);
                }
            }
            Event::StreamEnd => break,
            _ => {}
        }
    }
    documents.retain(|document| document.value != Value::Null);
    Ok(documents)
}

struct Reader<'t> {
    text: &'t str,
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
    /// The byte at which each character begins, and the end.
    offsets: Vec<usize>,
    anchors: Vec<(usize, Node)>,
    values: usize,
}

impl<'t> Reader<'t> {
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
