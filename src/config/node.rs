//! A value of the configuration with its place, read strictly: unknown fields, both spellings of proto3 JSON,
//! exact ranges.
//!
//! A `google.protobuf.Struct` reaches the module as JSON in which every number is a double: 600 and 600.0 are
//! the same whole number here. `null` counts as an absent field, as in proto3 JSON.

pub(super) mod members;
pub(super) mod numbers;

use super::advice::{form, nearest, rewritten};
use super::error::{ConfigError, ConfigProblem};
use super::faults::{Faults, Mark};
use super::leftover::{self, has_any};
use super::place::Place;
use crate::json::{Json, Kind};

/// A value of the configuration, and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    place: Place<'a>,
    value: Json<'a>,
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

    /// The value as in the configuration, on one line.
    #[inline(never)]
    pub(super) fn shown(&self) -> Box<str> {
        let mut text = Vec::new();
        self.value.compact(&mut text);
        String::from_utf8(text).unwrap_or_default().into()
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

    /// The fault of an empty text or list, which has to have something in it.
    #[inline(never)]
    pub(super) fn must_not_be_empty(&self) -> Box<ConfigError> {
        self.invalid(match form(&self.path()) {
            Some(form) => format!("must not be empty; write it as in {form}"),
            None => "must not be empty; give it a value, or leave it out".to_owned(),
        })
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
            Err(self.must_not_be_empty())
        } else {
            Ok(text)
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
        let mut nodes = Vec::with_capacity(elements.len());
        for (index, value) in elements.into_iter().enumerate() {
            let place = Place::Element(&self.place, index);
            let node = Node { place, value };
            match node.is_left_out() {
                true => self.place.faults().mark(self.value.address(), Mark::Unsound),
                false => nodes.push(node),
            }
        }
        Ok(nodes)
    }

    /// Whether the value was faulty in an earlier reading. Of an object, other members may have faults.
    fn is_left_out(&self) -> bool {
        match self.value.kind() {
            Kind::Object => self.is_marked(Mark::LeftOut),
            _ => self.is_marked(Mark::Known),
        }
    }

    /// A list with at least one element.
    pub(super) fn some_list(&self) -> Result<Vec<Node<'_>>, Box<ConfigError>> {
        let list = self.list()?;
        match list.is_empty() {
            false => Ok(list),
            // The next reading leaves out the whole list, and reads what is behind it.
            true if !self.is_sound() => {
                let faults = self.place.faults();
                faults.mark(self.value.address(), Mark::Known);
                faults.mark(self.value.address(), Mark::LeftOut);
                Err(ConfigError::reported())
            }
            true => Err(self.must_not_be_empty()),
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

    /// Whether this is no object with an unknown field, which may be a misspelt one of the absent fields, and
    /// no value is left out.
    pub(super) fn is_sound(&self) -> bool {
        !self.is_marked(Mark::Unsound) && !self.is_marked(Mark::Lacking)
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
