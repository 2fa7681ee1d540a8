//! A value of the configuration with its place, read strictly: unknown fields, both spellings of proto3 JSON,
//! exact ranges.
//!
//! A `google.protobuf.Struct` reaches the module as JSON in which every number is a double: 600 and 600.0 are
//! the same whole number here. `null` counts as an absent field, as in proto3 JSON.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::duration;
use super::error::{ConfigError, ConfigProblem, Faults, Mark, advice, form, meant, nearest, rewritten};
use super::leftover::{self, has_any, has_part};
use super::place::Place;
use crate::json::{Json, Kind, Object};

/// A value of the configuration, and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    place: Place<'a>,
    value: Json<'a>,
}

/// The members of an object under names that the operator chooses.
#[derive(Debug)]
pub(super) struct Members<'a> {
    place: &'a Place<'a>,
    object: Object<'a>,
}

/// The fields of an object of any type.
pub(super) struct Found<'a> {
    place: &'a Place<'a>,
    /// The place of the object's text.
    at: usize,
    entries: Vec<(&'static str, Node<'a>)>,
}

impl<'a> Node<'a> {
    pub(super) const fn root(value: Json<'a>, faults: &'a Faults) -> Self {
        let place = Place::Root(faults);
        Self { place, value }
    }

    /// Records a fault. The rest of the configuration is still read.
    #[inline(never)]
    pub(super) fn report(&self, fault: Box<ConfigError>) {
        self.place.faults().add(fault);
    }

    /// The value; `None` if it has a fault, which is kept.
    pub(super) fn keep<T>(&self, read: Result<T, Box<ConfigError>>) -> Option<T> {
        read.map_err(|fault| self.report(fault)).ok()
    }

    /// The number of faults so far.
    pub(super) fn count_faults(&self) -> usize {
        self.place.faults().count()
    }

    pub(super) fn value(&self) -> Json<'a> {
        self.value
    }

    pub(super) fn path(&self) -> String {
        self.place.path()
    }

    pub(super) fn error(&self, problem: ConfigProblem) -> Box<ConfigError> {
        self.place.error(problem, self.value.address())
    }

    pub(super) fn invalid(&self, what: impl Into<String>) -> Box<ConfigError> {
        self.error(ConfigProblem::Invalid(what.into()))
    }

    pub(super) fn wrong_type(&self, expected: &'static str) -> Box<ConfigError> {
        let found = match self.value.kind() {
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::String => "a string",
            Kind::Array => "a list",
            Kind::Object => "an object",
        };
        self.error(ConfigProblem::WrongType {
            expected,
            found,
            form: form(&self.path()).or_else(|| rewritten(expected, found)),
        })
    }

    pub(super) fn bool(&self) -> Result<bool, Box<ConfigError>> {
        self.value
            .as_bool()
            .ok_or_else(|| self.wrong_type("true or false"))
    }

    /// A name or a whole value.
    #[inline(never)]
    pub(super) fn text(&self) -> Result<Box<str>, Box<ConfigError>> {
        let text = self.any_text()?;
        match leftover::in_name(&text) {
            Some(fault) => Err(self.invalid(fault)),
            None => Ok(text),
        }
    }

    /// A part of a value. Its spaces may be intended.
    #[inline(never)]
    pub(super) fn part(&self) -> Result<Box<str>, Box<ConfigError>> {
        let text = self.any_text()?;
        match leftover::placeholder(&text) {
            Some(fault) => Err(self.invalid(fault)),
            None => Ok(text),
        }
    }

    /// Text of any kind.
    pub(super) fn any_text(&self) -> Result<Box<str>, Box<ConfigError>> {
        self.value
            .as_str()
            .map(Into::into)
            .ok_or_else(|| self.wrong_type("a string"))
    }

    /// A string that is not empty.
    pub(super) fn name(&self) -> Result<Box<str>, Box<ConfigError>> {
        let text = self.text()?;
        if text.is_empty() {
            Err(self.invalid("must not be empty"))
        } else {
            Ok(text)
        }
    }

    pub(super) fn integer(&self, range: RangeInclusive<u64>) -> Result<u64, Box<ConfigError>> {
        let (text, number) = self.number("a whole number")?;
        if number.fract() != 0.0 {
            return Err(self.invalid(format!("must be a whole number, not {text}")));
        }
        // Exact: every whole double in the permitted ranges (below 2^53) converts without loss.
        let whole = if number >= 0.0 { number as u64 } else { 0 };
        if number < 0.0 || !range.contains(&whole) {
            return Err(self.invalid(format!(
                "must be from {} to {}, not {text}",
                range.start(),
                range.end()
            )));
        }
        Ok(whole)
    }

    /// A whole number, positive or negative.
    pub(super) fn signed(&self) -> Result<i64, Box<ConfigError>> {
        let text = self
            .value
            .as_number_text()
            .ok_or_else(|| self.wrong_type("a whole number"))?;
        let whole = text.strip_suffix(".0").unwrap_or(text);
        whole
            .parse()
            .map_err(|_| self.invalid(format!("must be a whole number of 64 bits, not {text}")))
    }

    /// A number as written, and the nearest double.
    pub(super) fn number(&self, expected: &'static str) -> Result<(&'a str, f64), Box<ConfigError>> {
        let text = self
            .value
            .as_number_text()
            .ok_or_else(|| self.wrong_type(expected))?;
        // Not the library's own reader, which would add 15 KB: this one is present for JSON anyway, and the
        // last binary digit does not matter here.
        match serde_json::from_str(text) {
            Ok(number) => Ok((text, number)),
            Err(_) => Err(self.invalid(format!("the number {text} is out of range"))),
        }
    }

    /// A number between two numbers of tenths.
    pub(super) fn share(&self, low: u8, high: u8) -> Result<f64, Box<ConfigError>> {
        let (text, number) = self.number("a number between 0 and 1")?;
        let bound = |tenths: u8| f64::from(tenths) / 10.0;
        if !(bound(low)..=bound(high)).contains(&number) {
            return Err(self.invalid(format!(
                "must be from {} to {}, not {text}",
                tenths(low),
                tenths(high)
            )));
        }
        Ok(number)
    }

    /// `"10s"`, `"1.5s"`, `"500ms"`, `"5m"`, `"1h"`, `"1d"`, a number of seconds, or `{seconds, nanos}`.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Result<Duration, Box<ConfigError>> {
        const EXPECTED: &str = "a duration such as \"10s\", \"5m\", \"1h\" or a number of seconds";
        let parsed = match self.value.kind() {
            Kind::String => {
                let text = self.text()?;
                duration::parse(&text).ok_or_else(|| {
                    self.invalid(format!(
                        "`{text}` is not a duration; write it as in \"10s\", \"5m\", \"1h\", or as a number of seconds"
                    ))
                })?
            }
            Kind::Number => {
                let (text, seconds) = self.number(EXPECTED)?;
                duration::from_secs(seconds)
                    .ok_or_else(|| self.invalid(format!("{text} seconds is not a duration")))?
            }
            Kind::Object => {
                let parts = self.found(&["seconds", "nanos"])?;
                let part = |name: &str, most| match parts.get(name) {
                    Some(node) => node.integer(0..=most),
                    None => Ok(0),
                };
                let nanos = Duration::from_nanos(part("nanos", 999_999_999)?);
                Duration::from_secs(part("seconds", 315_576_000_000)?).saturating_add(nanos)
            }
            Kind::Null | Kind::Bool | Kind::Array => return Err(self.wrong_type(EXPECTED)),
        };
        if range.contains(&parsed) {
            Ok(parsed)
        } else {
            Err(self.invalid(format!(
                "must be from {} to {}",
                duration::display(*range.start()),
                duration::display(*range.end())
            )))
        }
    }

    /// A list. A text counts as a list with one element, as in protobuf's JSON for repeated fields.
    pub(super) fn list(&self) -> Result<Vec<Node<'_>>, Box<ConfigError>> {
        if self.value.kind() == Kind::String {
            let text = self.value.text();
            if has_any(text.trim_matches('"').trim_ascii(), ", [") {
                return Err(self.invalid(format!("{text} is one element; write a list, as in [a, b]")));
            }
            return Ok(vec![*self]);
        }
        let elements = self.value.as_array().ok_or_else(|| self.wrong_type("a list"))?;
        Ok(elements
            .into_iter()
            .enumerate()
            .map(|(index, value)| Node {
                place: Place::Element(&self.place, index),
                value,
            })
            .collect())
    }

    /// A list with at least one element.
    pub(super) fn some_list(&self) -> Result<Vec<Node<'_>>, Box<ConfigError>> {
        let list = self.list()?;
        if list.is_empty() {
            Err(self.invalid("must not be empty"))
        } else {
            Ok(list)
        }
    }

    /// A value, or a list of values with at least one element.
    pub(super) fn one_or_some(&self) -> Result<Vec<Node<'_>>, Box<ConfigError>> {
        match self.value.kind() {
            Kind::Array => self.some_list(),
            _ => Ok(vec![*self]),
        }
    }

    pub(super) fn names(&self) -> Result<Vec<Box<str>>, Box<ConfigError>> {
        read_each(&self.list()?, |node| {
            let name = node.name()?;
            match has_any(&name, ",") {
                true => Err(node.invalid(format!("`{name}` is one element; write a list, as in [a, b]"))),
                false => Ok(name),
            }
        })
    }

    /// The members of an object under names that the operator chooses.
    pub(super) fn map(&self) -> Result<Members<'_>, Box<ConfigError>> {
        Ok(Members {
            place: &self.place,
            object: self.object()?,
        })
    }

    fn object(&self) -> Result<Object<'a>, Box<ConfigError>> {
        self.value.as_object().ok_or_else(|| self.wrong_type("an object"))
    }

    /// The members of an object with these names, in snake_case or lowerCamelCase. Records the other members
    /// as faults; a member with a misspelt name is read as the field that it probably means.
    pub(super) fn found(&self, known: &'static [&'static str]) -> Result<Found<'_>, Box<ConfigError>> {
        let object = self.object()?;
        let faults = self.place.faults();
        let mut entries: Vec<(&'static str, Node<'_>)> = Vec::new();
        let mut guesses: Vec<(&'static str, Node<'_>)> = Vec::new();
        let mut is_sound = true;
        // Some objects are read twice.
        let is_new = self.is_sound();
        for (written, value) in object.members() {
            let node = |field| Node {
                place: Place::Member(&self.place, field),
                value,
            };
            let is_it = |field: &str| field == written || is_lower_camel_case(written, field);
            let Some(field) = known.iter().find(|field| is_it(field)) else {
                // Some write the address of the keys where the keys belong.
                let is_address = written == "jwks" && {
                    let text = value.text();
                    has_part(text, "://") && !has_part(text, "\"keys\"")
                };
                let problem = match advice(if is_address { "jwks_uri" } else { written }, known) {
                    Some(advice) => ConfigProblem::Invalid(format!("unknown field `{written}`; {advice}")),
                    None => {
                        // A field of a rule does not belong to the address of keys.
                        let home = faults.home(is_it);
                        let home =
                            home.filter(|home| !known.contains(&"cluster") || has_part(home, "provider"));
                        let nearest = meant(written, known, home.is_some());
                        let field = known.iter().find(|field| nearest == Some(field));
                        guesses.extend(field.map(|field| (*field, node(field))));
                        ConfigProblem::UnknownField {
                            name: written.to_owned(),
                            nearest,
                            home,
                            known,
                        }
                    }
                };
                if is_new {
                    self.report(self.place.error(problem, value.address()));
                }
                is_sound = false;
                continue;
            };
            let node = node(field);
            if is_among(&entries, field) {
                self.report(node.error(ConfigProblem::GivenTwice));
            } else if value.kind() != Kind::Null {
                entries.push((field, node));
            } else if faults.decides(field, known) {
                if is_new {
                    self.report(node.invalid("is null; give it a value, or leave it out"));
                }
                is_sound = false;
            }
        }
        for (field, node) in guesses {
            if node.value.kind() != Kind::Null && !is_among(&entries, field) {
                faults.mark(node.value.address(), Mark::Guess);
                entries.push((field, node));
            }
        }
        if !is_sound {
            faults.mark(self.value.address(), Mark::Unsound);
            for (_, node) in &entries {
                faults.mark(node.value.address(), Mark::Beside);
            }
        }
        Ok(Found {
            place: &self.place,
            at: self.value.address(),
            entries,
        })
    }

    /// Whether this is no object with an unknown field, which may be a misspelt one of the absent fields.
    pub(super) fn is_sound(&self) -> bool {
        !self.is_marked(Mark::Unsound)
    }

    fn is_marked(&self, mark: Mark) -> bool {
        self.place.faults().has(self.value.address(), mark)
    }

    /// Whether no object that was read has an unknown field.
    pub(super) fn all_are_sound(&self) -> bool {
        self.place.faults().all_are_sound()
    }

    /// The fault of a field that needs another one beside it. An unknown field there may be that one.
    pub(super) fn lacks(&self, what: &'static str) -> Box<ConfigError> {
        match self.is_marked(Mark::Beside) {
            true => ConfigError::reported(),
            false => self.invalid(what),
        }
    }

    /// No members, in place of an object.
    pub(super) fn no_fields(&self) -> Found<'_> {
        Found {
            place: &self.place,
            at: self.value.address(),
            entries: Vec::new(),
        }
    }

    /// An object without members.
    pub(super) fn empty(&self) -> Result<(), Box<ConfigError>> {
        self.found(&[]).map(drop)
    }

    /// The allowed value that is present.
    pub(super) fn one_of<T: Copy>(&self, allowed: &[(&'static str, T)]) -> Result<T, Box<ConfigError>> {
        let value = self.value.as_str().unwrap_or_default();
        match allowed.iter().find(|(name, _)| **name == *value) {
            Some((_, meaning)) => Ok(*meaning),
            None => Err(self.none_of(allowed.iter().map(|(name, _)| *name).collect())),
        }
    }

    fn none_of(&self, allowed: Vec<&'static str>) -> Box<ConfigError> {
        match self.value.as_str() {
            Some(value) if has_any(&value, ", ") => {
                self.invalid(format!("`{value}` is one element; write a list, as in [a, b]"))
            }
            Some(value) => self.error(ConfigProblem::NotOneOf {
                nearest: nearest(&value, &allowed),
                allowed,
                value: value.into(),
            }),
            None => self.invalid(format!("expected a string: {}", allowed.join(", "))),
        }
    }
}

fn is_among(entries: &[(&'static str, Node<'_>)], field: &str) -> bool {
    entries.iter().any(|(name, _)| *name == field)
}

/// A number of tenths in decimal notation. The library's own writer for doubles would add 19 KB.
pub(super) fn tenths(number: u8) -> String {
    match (number / 10, number % 10) {
        (whole, 0) => whole.to_string(),
        (whole, rest) => format!("{whole}.{rest}"),
    }
}

/// The result for each of the nodes; all faults are kept. A loop, because `collect` compiles to a function
/// for every type.
pub(super) fn read_each<T>(
    nodes: &[Node<'_>],
    mut read: impl FnMut(&Node<'_>) -> Result<T, Box<ConfigError>>,
) -> Result<Vec<T>, Box<ConfigError>> {
    let mut all = Vec::with_capacity(nodes.len());
    for node in nodes {
        all.extend(node.keep(read(node)));
    }
    if all.len() < nodes.len() {
        return Err(ConfigError::reported());
    }
    Ok(all)
}

impl Members<'_> {
    pub(super) fn len(&self) -> usize {
        self.object.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Node<'_>)> {
        self.object.members().map(|(name, value)| {
            let place = Place::Member(self.place, name);
            (name, Node { place, value })
        })
    }
}

// Not inlined: each of these would otherwise be in the module once for each field.
impl<'a> Found<'a> {
    #[inline(never)]
    pub(super) fn report(&self, fault: Box<ConfigError>) {
        self.place.faults().add(fault);
    }

    #[inline(never)]
    pub(super) fn get(&self, field: &str) -> Option<&Node<'a>> {
        let mut entries = self.entries.iter();
        entries.find_map(|(name, node)| (*name == field).then_some(node))
    }

    #[inline(never)]
    pub(super) fn require(
        &self,
        field: &'static str,
        fix: &'static str,
    ) -> Result<&Node<'a>, Box<ConfigError>> {
        match self.get(field) {
            Some(node) => Ok(node),
            None => Err(self.place.error(ConfigProblem::Missing { field, fix }, self.at)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn error(&self, problem: ConfigProblem) -> Box<ConfigError> {
        self.place.error(problem, self.at)
    }

    /// The fields of an absent object at this place.
    pub(super) const fn absent(&self) -> Self {
        Self {
            place: self.place,
            at: self.at,
            entries: Vec::new(),
        }
    }
}

fn is_lower_camel_case(written: &str, snake: &str) -> bool {
    let mut written = written.bytes();
    let mut is_start = false;
    let is_equal = snake.bytes().all(|byte| {
        if byte == b'_' {
            is_start = true;
            return true;
        }
        let expected = match std::mem::take(&mut is_start) {
            true => byte.to_ascii_uppercase(),
            false => byte,
        };
        written.next() == Some(expected)
    });
    is_equal && written.next().is_none()
}
