//! Patterns as one program: an automaton of places (Thompson's). Patterns with the same beginning share it.

use std::collections::BTreeMap;

use super::syntax::{Fault, LAST, Look, Node, Ranges};
use crate::sort::heap_sort;

/// The most places of one pattern.
const MAX_PLACES: usize = 30_000;

/// The possible actions at a place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// A character of this class leads to the next place.
    Class(u32, u32),
    /// A character in one of the classes of this set leads to the next place.
    Set(u32, u32),
    /// Both of these places.
    Split(u32, u32),
    /// The next place, if the assertion is true here.
    Look(Look, u32),
    /// The end of this pattern.
    End(u32),
    /// The pattern matches every continuation without a line feed. The next place, for texts with one.
    Open(u32, u32),
    /// No continuation.
    Fail,
}

/// The characters before and after a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Nothing.
    Edge,
    /// A line feed.
    Line,
    /// A letter, a digit or `_`.
    Word,
    /// Anything else.
    Other,
}

impl Look {
    pub(super) fn holds(self, before: Side, after: Side) -> bool {
        let is_boundary = (before == Side::Word) != (after == Side::Word);
        match self {
            Self::Start => before == Side::Edge,
            Self::End => after == Side::Edge,
            Self::LineStart => matches!(before, Side::Edge | Side::Line),
            Self::LineEnd => matches!(after, Side::Edge | Side::Line),
            Self::Boundary => is_boundary,
            Self::NoBoundary => !is_boundary,
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) places: Vec<Place>,
    pub(super) start: u32,
    /// For each set of characters, a bit for each class.
    pub(super) sets: Vec<Box<[u64]>>,
    pub(super) classes: Classes,
    /// Some place depends on the characters before or after it.
    pub(super) looks: bool,
}

/// Characters that no pattern distinguishes are one class.
#[derive(Clone, Debug)]
pub(super) struct Classes {
    /// Of ASCII's characters.
    pub(super) ascii: Box<[u32]>,
    /// The class of the others: where a class begins, and its number.
    others: Vec<(u32, u32)>,
    /// The number of classes.
    pub(super) count: u32,
    /// The meaning of each class for a boundary.
    pub(super) sides: Vec<Side>,
}

impl Classes {
    /// The class of a character beyond ASCII.
    pub(super) fn of(&self, code: u32) -> u32 {
        let after = self.others.partition_point(|(start, _)| *start <= code);
        let found = after.checked_sub(1).and_then(|at| self.others.get(at));
        found.map_or(0, |(_, class)| *class)
    }

    fn new(chars: &[u32], sets: &BTreeMap<Ranges, u32>, looks: bool) -> Self {
        let mut starts = vec![0, 0x80];
        let lone = chars.iter().map(|char| (*char, *char));
        let words: Ranges = match looks {
            true => vec![
                (0x0a, 0x0a),
                (0x30, 0x39),
                (0x41, 0x5a),
                (0x5f, 0x5f),
                (0x61, 0x7a),
            ],
            false => Vec::new(),
        };
        for (start, end) in lone.chain(words).chain(sets.keys().flatten().copied()) {
            starts.extend([start, end.saturating_add(1)]);
        }
        heap_sort(&mut starts);
        starts.dedup();
        // First single characters, then the boundaries of the sets.
        let mut class_of: Vec<u32> = vec![0; starts.len()];
        let mut count = 1_u32;
        let index = |code: u32| starts.partition_point(|start| *start < code);
        for char in chars {
            if let Some(class) = class_of.get_mut(index(*char)) {
                *class = count;
                count = count.saturating_add(1);
            }
        }
        let mut split = |ranges: &[(u32, u32)]| {
            let mut moved: BTreeMap<u32, u32> = BTreeMap::new();
            for (start, end) in ranges {
                let inside = index(*start)..index(end.saturating_add(1));
                for class in class_of.get_mut(inside).into_iter().flatten() {
                    let new = *moved.entry(*class).or_insert(count);
                    count = count.max(new.saturating_add(1));
                    *class = new;
                }
            }
        };
        for ranges in sets.keys() {
            split(ranges);
        }
        if looks {
            split(&[(0x0a, 0x0a)]);
            split(&[(0x30, 0x39), (0x41, 0x5a), (0x5f, 0x5f), (0x61, 0x7a)]);
        }
        // Numbers the remaining classes without gaps.
        let mut known: BTreeMap<u32, u32> = BTreeMap::new();
        let mut sides = Vec::new();
        let mut numbered = Vec::with_capacity(starts.len());
        for (start, class) in starts.iter().zip(&class_of) {
            let next = u32::try_from(sides.len()).unwrap_or(u32::MAX);
            let class = *known.entry(*class).or_insert(next);
            if class == next {
                sides.push(match u8::try_from(*start) {
                    Ok(b'\n') => Side::Line,
                    Ok(byte) if byte.is_ascii_alphanumeric() || byte == b'_' => Side::Word,
                    _ => Side::Other,
                });
            }
            numbered.push((*start, class));
        }
        let mut classes = Self {
            ascii: Box::default(),
            count: u32::try_from(sides.len()).unwrap_or(u32::MAX),
            sides,
            others: numbered,
        };
        classes.ascii = (0..0x80).map(|code| classes.of(code)).collect();
        classes.others.retain(|(start, _)| *start >= 0x80);
        classes
    }
}

/// Compiles patterns into a program.
#[derive(Debug, Default)]
pub(super) struct Compiler {
    /// Patterns by their items: the successors of each item, and the patterns that end there.
    tree: Vec<Branch>,
}

#[derive(Debug, Default)]
struct Branch {
    next: BTreeMap<Node, usize>,
    ends: Vec<u32>,
}

impl Compiler {
    /// Adds the pattern with this index.
    pub(super) fn add(&mut self, pattern: Node, number: u32) {
        if self.tree.is_empty() {
            self.tree.push(Branch::default());
        }
        let mut at = 0_usize;
        let mut items = Vec::new();
        flatten(pattern, &mut items);
        for item in items {
            let new = self.tree.len();
            let Some(branch) = self.tree.get_mut(at) else {
                return;
            };
            at = *branch.next.entry(item).or_insert(new);
            if at == new {
                self.tree.push(Branch::default());
            }
        }
        if let Some(branch) = self.tree.get_mut(at) {
            branch.ends.push(number);
        }
    }

    /// The program of all patterns.
    pub(super) fn finish(self) -> Program {
        let mut sets = BTreeMap::new();
        let mut chars = Vec::new();
        let mut looks = false;
        for item in self.tree.iter().flat_map(|branch| branch.next.keys()) {
            collect(item, &mut sets, &mut chars, &mut looks);
        }
        heap_sort(&mut chars);
        chars.dedup();
        let classes = Classes::new(&chars, &sets, looks);
        let words = usize::try_from(classes.count.div_ceil(64)).unwrap_or_default();
        let mut bits = Vec::with_capacity(sets.len());
        for (number, (ranges, id)) in sets.iter_mut().enumerate() {
            *id = u32::try_from(number).unwrap_or(u32::MAX);
            let mut set = vec![0_u64; words];
            let starts = (0..).zip(&*classes.ascii).map(|(code, class)| (code, *class));
            for (start, class) in starts.chain(classes.others.iter().copied()) {
                let is_in = ranges
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&start));
                if let Some(word) = set.get_mut(index(class / 64)).filter(|_| is_in) {
                    *word |= bit(class);
                }
            }
            bits.push(set.into_boxed_slice());
        }
        let mut writer = Writer {
            places: vec![Place::Fail],
            sets: &sets,
            classes: &classes,
        };
        // Writes each branch after its successors, because it refers to their places.
        let mut starts = vec![0_u32; self.tree.len()];
        for (number, branch) in self.tree.iter().enumerate().rev() {
            let mut start = 0;
            for (item, next) in &branch.next {
                let first = starts.get(*next).copied().unwrap_or_default();
                let mut first = writer.write(item, first);
                let after = self.tree.get(*next).filter(|_| is_rest(item));
                for end in after.iter().flat_map(|after| &after.ends) {
                    // Other patterns may continue after it.
                    let is_last = after.is_some_and(|after| after.next.is_empty());
                    let open = writer.push(Place::Open(*end, if is_last { first } else { 0 }));
                    first = if is_last { open } else { writer.either(open, first) };
                }
                start = writer.either(first, start);
            }
            for end in &branch.ends {
                let end = writer.push(Place::End(*end));
                start = writer.either(end, start);
            }
            if let Some(known) = starts.get_mut(number) {
                *known = start;
            }
        }
        Program {
            start: starts.first().copied().unwrap_or_default(),
            places: writer.places,
            sets: bits,
            classes,
            looks,
        }
    }
}

/// Whether the item matches every continuation without a line feed.
fn is_rest(item: &Node) -> bool {
    match item {
        Node::Repeat(part, 0, None) => {
            matches!(&**part, Node::Set(ranges) if matches!(ranges.as_slice(), [(0, LAST)] | [(0, 9), (11, LAST)]))
        }
        _ => false,
    }
}

/// Whether the pattern is small enough.
pub(super) fn check(node: &Node) -> Result<(), Fault> {
    match places(node) <= MAX_PLACES {
        true => Ok(()),
        false => Err("it is too large; its counts multiply to more than 30000"),
    }
}

/// The approximate number of places of a part.
fn places(node: &Node) -> usize {
    match node {
        Node::Char(_) | Node::Set(_) | Node::Look(_) => 1,
        Node::Concat(parts) => parts.iter().map(places).fold(0, usize::saturating_add),
        Node::Alt(parts) => parts.iter().map(places).fold(parts.len(), usize::saturating_add),
        Node::Repeat(part, min, max) => {
            let times = max.unwrap_or(*min).max(*min).max(1);
            let times = usize::try_from(times).unwrap_or(usize::MAX);
            places(part).saturating_add(1).saturating_mul(times)
        }
    }
}

/// A pattern as a sequence of items.
fn flatten(node: Node, items: &mut Vec<Node>) {
    match node {
        Node::Concat(parts) => parts.into_iter().for_each(|part| flatten(part, items)),
        node => items.push(node),
    }
}

fn collect(node: &Node, sets: &mut BTreeMap<Ranges, u32>, chars: &mut Vec<u32>, looks: &mut bool) {
    match node {
        Node::Char(char) => chars.push(*char),
        Node::Set(ranges) if sets.contains_key(ranges) => {}
        Node::Set(ranges) => {
            sets.insert(ranges.clone(), 0);
        }
        Node::Look(_) => *looks = true,
        Node::Concat(parts) | Node::Alt(parts) => {
            for part in parts {
                collect(part, sets, chars, looks);
            }
        }
        Node::Repeat(part, _, _) => collect(part, sets, chars, looks),
    }
}

pub(super) fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

pub(super) const fn bit(number: u32) -> u64 {
    1_u64.wrapping_shl(number)
}

/// Writes places from the end of a pattern to its beginning.
struct Writer<'c> {
    places: Vec<Place>,
    sets: &'c BTreeMap<Ranges, u32>,
    classes: &'c Classes,
}

impl Writer<'_> {
    fn push(&mut self, place: Place) -> u32 {
        let number = u32::try_from(self.places.len()).unwrap_or_default();
        self.places.push(place);
        number
    }

    /// One or the other; 0 is no place.
    fn either(&mut self, one: u32, other: u32) -> u32 {
        match (one, other) {
            (one, 0) => one,
            (0, other) => other,
            (one, other) => self.push(Place::Split(one, other)),
        }
    }

    /// The place of an item with this successor.
    fn write(&mut self, node: &Node, next: u32) -> u32 {
        match node {
            Node::Char(char) => {
                let ascii = self.classes.ascii.get(index(*char)).copied();
                let class = ascii.unwrap_or_else(|| self.classes.of(*char));
                self.push(Place::Class(class, next))
            }
            Node::Set(ranges) => {
                let set = self.sets.get(ranges).copied().unwrap_or(u32::MAX);
                self.push(Place::Set(set, next))
            }
            Node::Look(look) => self.push(Place::Look(*look, next)),
            Node::Concat(parts) => parts.iter().rev().fold(next, |next, part| self.write(part, next)),
            Node::Alt(parts) => parts.iter().rev().fold(0, |others, part| {
                let first = self.write(part, next);
                self.either(first, others)
            }),
            Node::Repeat(part, min, max) => {
                let mut start = next;
                let mut copies = *min;
                match max {
                    Some(max) => {
                        for _ in *min..*max {
                            let first = self.write(part, start);
                            start = self.push(Place::Split(first, next));
                        }
                    }
                    None => {
                        let again = self.push(Place::Fail);
                        let first = self.write(part, again);
                        if let Some(place) = self.places.get_mut(index(again)) {
                            *place = Place::Split(first, next);
                        }
                        copies = min.saturating_sub(1);
                        start = if *min == 0 { again } else { first };
                    }
                }
                for _ in 0..copies {
                    start = self.write(part, start);
                }
                start
            }
        }
    }
}
