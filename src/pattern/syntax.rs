//! The syntax of a pattern: RE2's without Unicode classes. Classes and case are those of ASCII.

use crate::sort::heap_sort;

/// The last character of a text. Bytes that are not UTF-8 are characters too, beyond those of Unicode: see
/// [`of_byte`].
pub(super) const LAST: u32 = 0x11_00ff;
const LAST_OF_UNICODE: u32 = 0x10_ffff;
/// The deepest nesting of groups.
const MAX_DEPTH: u8 = 100;
/// As in RE2.
const MAX_REPEAT: u32 = 1000;

/// The character for a byte that is not UTF-8. No class contains it, and every negated class does.
pub(super) const fn of_byte(byte: u8) -> u32 {
    0x11_0000 | byte as u32
}

/// Ranges of characters, in order and without overlaps.
pub(super) type Ranges = Vec<(u32, u32)>;

/// A parsed pattern. Greediness does not affect a match of the whole text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    /// This character.
    Char(u32),
    /// One of these.
    Set(Ranges),
    /// A place.
    Look(Look),
    /// One after the other.
    Concat(Vec<Self>),
    /// One of several.
    Alt(Vec<Self>),
    /// A repetition within these bounds; `None`: without an upper bound.
    Repeat(Box<Self>, u32, Option<u32>),
}

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    Start,
    End,
    LineStart,
    LineEnd,
    Boundary,
    NoBoundary,
}

/// The reason for which a pattern is invalid.
pub type Fault = &'static str;

const NO_LOOK_AROUND: Fault =
    "the flags of a group are i, m, s and U; there is no look-around: use `not` or `invert`";

#[derive(Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
}

/// Parses a pattern.
pub(super) fn parse(text: &str) -> Result<Node, Fault> {
    let mut parser = Parser {
        rest: text,
        flags: Flags::default(),
        depth: 0,
    };
    let node = parser.alternatives()?;
    match parser.rest {
        "" => Ok(node),
        _ => Err("found closing ')' without an open group"),
    }
}

/// These characters as literal text.
pub(super) fn literal(text: &str, ignore_case: bool) -> Node {
    Node::Concat(text.chars().map(|char| one(char, ignore_case)).collect())
}

/// Any characters.
pub(super) fn anything() -> Node {
    Node::Repeat(Box::new(Node::Set(vec![(0, LAST)])), 0, None)
}

fn one(char: char, ignore_case: bool) -> Node {
    let code = u32::from(char);
    if ignore_case && char.is_ascii_alphabetic() {
        let lower = u32::from(char.to_ascii_lowercase());
        let upper = u32::from(char.to_ascii_uppercase());
        return Node::Set(vec![(upper, upper), (lower, lower)]);
    }
    Node::Char(code)
}

const DIGIT: &[(u32, u32)] = &[(0x30, 0x39)];
const WORD: &[(u32, u32)] = &[(0x30, 0x39), (0x41, 0x5a), (0x5f, 0x5f), (0x61, 0x7a)];
const SPACE: &[(u32, u32)] = &[(0x09, 0x0d), (0x20, 0x20)];

/// `\s` of RE2: without the vertical tab, which `[[:space:]]` has.
const PERL_SPACE: &[(u32, u32)] = &[(0x09, 0x0a), (0x0c, 0x0d), (0x20, 0x20)];

/// POSIX's names.
const NAMED: &[(&str, &[(u32, u32)])] = &[
    ("alnum", &[(0x30, 0x39), (0x41, 0x5a), (0x61, 0x7a)]),
    ("alpha", &[(0x41, 0x5a), (0x61, 0x7a)]),
    ("ascii", &[(0, 0x7f)]),
    ("blank", &[(0x09, 0x09), (0x20, 0x20)]),
    ("cntrl", &[(0, 0x1f), (0x7f, 0x7f)]),
    ("digit", DIGIT),
    ("graph", &[(0x21, 0x7e)]),
    ("lower", &[(0x61, 0x7a)]),
    ("print", &[(0x20, 0x7e)]),
    ("punct", &[(0x21, 0x2f), (0x3a, 0x40), (0x5b, 0x60), (0x7b, 0x7e)]),
    ("space", SPACE),
    ("upper", &[(0x41, 0x5a)]),
    ("word", WORD),
    ("xdigit", &[(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)]),
];

/// The meaning of an escape.
enum Escape {
    Char(char),
    Class(Ranges),
    Look(Look),
    /// The text within `\Q…\E`.
    Quoted(Vec<Node>),
}

struct Parser<'p> {
    rest: &'p str,
    flags: Flags,
    depth: u8,
}

impl<'p> Parser<'p> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn until(&mut self, end: char) -> Option<&'p str> {
        let (text, rest) = self.rest.split_once(end)?;
        self.rest = rest;
        Some(text)
    }

    /// Up to the end of the pattern, or to the group's closing parenthesis, which is left.
    fn alternatives(&mut self) -> Result<Node, Fault> {
        let mut alternatives = Vec::new();
        let mut items: Vec<Node> = Vec::new();
        // Whether a repetition may follow: after an item, and not after another repetition.
        let mut is_repeatable = false;
        while let Some(char) = self.peek().filter(|char| *char != ')') {
            self.next();
            let item = match char {
                '|' => {
                    alternatives.push(Node::Concat(std::mem::take(&mut items)));
                    is_repeatable = false;
                    continue;
                }
                '*' | '+' | '?' => {
                    let (min, max) = match char {
                        '*' => (0, None),
                        '+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    self.repeat(&mut items, is_repeatable, min, max)?;
                    is_repeatable = false;
                    continue;
                }
                '{' => match self.counts() {
                    Some((min, max)) => {
                        if min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT || max < min) {
                            return Err("the counts of a repetition go up to 1000, the smaller first");
                        }
                        self.repeat(&mut items, is_repeatable, min, max)?;
                        is_repeatable = false;
                        continue;
                    }
                    None => Node::Char(u32::from('{')),
                },
                '(' => match self.group()? {
                    Some(group) => group,
                    None => continue,
                },
                '[' => Node::Set(self.class()?),
                '.' => Node::Set(match self.flags.dot_all {
                    true => vec![(0, LAST)],
                    false => negated(&[(0x0a, 0x0a)]),
                }),
                '^' => Node::Look(match self.flags.multi_line {
                    true => Look::LineStart,
                    false => Look::Start,
                }),
                '$' => Node::Look(match self.flags.multi_line {
                    true => Look::LineEnd,
                    false => Look::End,
                }),
                '\\' => match self.escape()? {
                    Escape::Char(char) => one(char, self.flags.ignore_case),
                    Escape::Class(ranges) => Node::Set(ranges),
                    Escape::Look(look) => Node::Look(look),
                    Escape::Quoted(nodes) => {
                        is_repeatable = !nodes.is_empty() || is_repeatable;
                        items.extend(nodes);
                        continue;
                    }
                },
                char => one(char, self.flags.ignore_case),
            };
            items.push(item);
            is_repeatable = true;
        }
        if alternatives.is_empty() {
            return Ok(Node::Concat(items));
        }
        alternatives.push(Node::Concat(items));
        Ok(Node::Alt(alternatives))
    }

    fn repeat(
        &mut self,
        items: &mut Vec<Node>,
        is_repeatable: bool,
        min: u32,
        max: Option<u32>,
    ) -> Result<(), Fault> {
        let item = items
            .pop()
            .filter(|_| is_repeatable)
            .ok_or("a repetition follows nothing that it could repeat")?;
        self.take("?");
        items.push(Node::Repeat(Box::new(item), min, max));
        Ok(())
    }

    /// `{n}`, `{n,}`, `{n,m}`. Anything else is literal text.
    fn counts(&mut self) -> Option<(u32, Option<u32>)> {
        let (counts, rest) = self.rest.split_once('}')?;
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse().unwrap_or(u32::MAX))
        };
        let found = match counts.split_once(',') {
            None => (number(counts)?, Some(number(counts)?)),
            Some((min, "")) => (number(min)?, None),
            Some((min, max)) => (number(min)?, Some(number(max)?)),
        };
        self.rest = rest;
        Some(found)
    }

    /// A group, or flags for the rest.
    fn group(&mut self) -> Result<Option<Node>, Fault> {
        const OPEN: Fault = "found open group without closing ')'";
        let before = self.flags;
        if self.rest.starts_with("?<=") || self.rest.starts_with("?<!") {
            return Err(NO_LOOK_AROUND);
        }
        if self.take("?P<") || self.take("?<") {
            let name = self.until('>').ok_or("a group's name ends with '>'")?;
            let is_name = |char: char| char.is_alphanumeric() || char == '_';
            if name.is_empty() || !name.chars().all(is_name) {
                return Err("a group's name is made of letters, digits and '_'; there is no look-behind");
            }
        } else if self.take("?") {
            let mut is_on = true;
            loop {
                match self.next().ok_or(OPEN)? {
                    'i' => self.flags.ignore_case = is_on,
                    'm' => self.flags.multi_line = is_on,
                    's' => self.flags.dot_all = is_on,
                    'U' => {}
                    '-' if is_on => is_on = false,
                    ':' => break,
                    ')' => return Ok(None),
                    _ => return Err(NO_LOOK_AROUND),
                }
            }
        }
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_DEPTH {
            return Err("groups are nested too deeply");
        }
        let group = self.alternatives()?;
        self.depth = self.depth.saturating_sub(1);
        self.flags = before;
        match self.next() {
            Some(_) => Ok(Some(group)),
            None => Err(OPEN),
        }
    }

    /// The escape after a backslash.
    fn escape(&mut self) -> Result<Escape, Fault> {
        let char = self.next().ok_or("a backslash ends the pattern")?;
        Ok(match char {
            'A' => Escape::Look(Look::Start),
            'z' => Escape::Look(Look::End),
            'b' => Escape::Look(Look::Boundary),
            'B' => Escape::Look(Look::NoBoundary),
            'd' => Escape::Class(DIGIT.to_vec()),
            'w' => Escape::Class(WORD.to_vec()),
            's' => Escape::Class(PERL_SPACE.to_vec()),
            'D' => Escape::Class(negated(DIGIT)),
            'W' => Escape::Class(negated(WORD)),
            'S' => Escape::Class(negated(PERL_SPACE)),
            'a' => Escape::Char('\x07'),
            'f' => Escape::Char('\x0c'),
            't' => Escape::Char('\t'),
            'n' => Escape::Char('\n'),
            'r' => Escape::Char('\r'),
            'v' => Escape::Char('\x0b'),
            'x' => Escape::Char(self.hexadecimal()?),
            'Q' => {
                let quoted = self.rest.split_once("\\E");
                let (text, rest) = quoted.unwrap_or((self.rest, ""));
                self.rest = rest;
                let ignore_case = self.flags.ignore_case;
                Escape::Quoted(text.chars().map(|char| one(char, ignore_case)).collect())
            }
            'p' | 'P' => return Err("there are no Unicode classes; write the characters"),
            '0'..='9' => return Err("there are no references to groups and no octal numbers; write \\x"),
            char if char.is_alphanumeric() => {
                return Err("a backslash precedes a letter without a meaning");
            }
            char => Escape::Char(char),
        })
    }

    /// `\x7F`, `\x{10FFFF}`.
    fn hexadecimal(&mut self) -> Result<char, Fault> {
        let digits = if self.take("{") {
            self.until('}')
        } else {
            let digits = self.rest.get(..2);
            self.rest = self.rest.get(2..).unwrap_or_default();
            digits
        };
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        digits
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .and_then(char::from_u32)
            .ok_or("\\x takes two hexadecimal digits, or a character's number in braces")
    }

    /// A class after its opening bracket.
    fn class(&mut self) -> Result<Ranges, Fault> {
        const OPEN: Fault = "found open class without closing ']'";
        let is_negated = self.take("^");
        let mut ranges = Ranges::new();
        let mut is_first = true;
        loop {
            let char = self.next().ok_or(OPEN)?;
            if char == ']' && !is_first {
                break;
            }
            is_first = false;
            if char == '[' && self.rest.starts_with(':') {
                let (name, rest) = self.rest.split_once(":]").ok_or(OPEN)?;
                let name = name.strip_prefix(':').unwrap_or(name);
                let (is_other, name) = match name.strip_prefix('^') {
                    Some(name) => (true, name),
                    None => (false, name),
                };
                let named = NAMED.iter().find(|(known, _)| *known == name);
                let (_, named) = named.ok_or("there is no class of this name between [: and :]")?;
                self.rest = rest;
                self.add(
                    &mut ranges,
                    if is_other { negated(named) } else { named.to_vec() },
                );
                continue;
            }
            let start = match char {
                '\\' => match self.escape()? {
                    Escape::Char(char) => char,
                    Escape::Class(class) => {
                        self.add(&mut ranges, class);
                        continue;
                    }
                    Escape::Look(_) | Escape::Quoted(_) => return Err("a class holds characters only"),
                },
                char => char,
            };
            let mut end = start;
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.next();
                end = match self.next().ok_or(OPEN)? {
                    '\\' => match self.escape()? {
                        Escape::Char(char) => char,
                        _ => return Err("a range of a class ends with a character"),
                    },
                    char => char,
                };
                if end < start {
                    return Err("a range of a class ends before it starts");
                }
            }
            self.add(&mut ranges, vec![(u32::from(start), u32::from(end))]);
        }
        let ranges = in_order(ranges);
        Ok(if is_negated { negated(&ranges) } else { ranges })
    }

    fn add(&self, ranges: &mut Ranges, more: Ranges) {
        for (start, end) in more {
            ranges.push((start, end));
            if self.flags.ignore_case {
                for (first, last, other) in [(0x41, 0x5a, 0x61), (0x61, 0x7a, 0x41_u32)] {
                    let (from, to) = (start.max(first), end.min(last));
                    if from <= to {
                        let moved = |code: u32| code.saturating_sub(first).saturating_add(other);
                        ranges.push((moved(from), moved(to)));
                    }
                }
            }
        }
    }
}

/// Sorted, with adjacent ranges joined.
fn in_order(mut ranges: Ranges) -> Ranges {
    heap_sort(&mut ranges);
    let mut joined = Ranges::new();
    for (start, end) in ranges {
        match joined.last_mut() {
            Some((_, last)) if start <= last.saturating_add(1) => *last = end.max(*last),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// All other characters, including bytes that are not UTF-8.
fn negated(ranges: &[(u32, u32)]) -> Ranges {
    let mut others = Ranges::new();
    let mut next = 0;
    for (start, end) in ranges {
        if next < *start {
            others.push((next, start.saturating_sub(1)));
        }
        next = end.saturating_add(1);
    }
    if next <= LAST {
        others.push((next, LAST));
    }
    others
}

/// The first character of a text, if it is not ASCII, and its number of bytes.
pub(super) fn decode(text: &[u8]) -> (u32, usize) {
    let continued = |at: usize| match text.get(at) {
        Some(byte @ 0x80..=0xbf) => Some(u32::from(byte & 0x3f)),
        _ => None,
    };
    let first = text.first().copied().unwrap_or_default();
    let (length, least) = match first {
        0xc2..=0xdf => (2, 0x80),
        0xe0..=0xef => (3, 0x800),
        0xf0..=0xf4 => (4, 0x1_0000),
        _ => return (of_byte(first), 1),
    };
    let mut code = u32::from(first) & (0x7f >> length);
    for at in 1..length {
        match continued(at) {
            Some(bits) => code = code << 6 | bits,
            None => return (of_byte(first), 1),
        }
    }
    match code {
        0xd800..=0xdfff => (of_byte(first), 1),
        code if code < least || code > LAST_OF_UNICODE => (of_byte(first), 1),
        code => (code, length),
    }
}
