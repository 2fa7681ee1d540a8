//! A text inside a text, with the places of the outer file.

use super::read::parse;
use super::tree::{Node, Place, SyntaxError, Value};

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
