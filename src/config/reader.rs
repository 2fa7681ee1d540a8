//! Reads JSON strictly, with the path of every fault: unknown fields, both spellings of proto3 JSON, exact ranges.
//!
//! A `google.protobuf.Struct` reaches the module as JSON in which every number is a double; so 600 and 600.0 are the
//! same whole number here. `null` is an absent field, as in proto3 JSON.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::duration;
use super::error::{ConfigError, ConfigProblem, form, meant, nearest};
use super::{FIELDS as TOP_LEVEL, provider, rule};
use crate::json::{Json, Kind};

/// A value of the configuration and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    path: String,
    value: Json<'a>,
}

/// The fields of an object, all of them known.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    path: String,
    entries: Vec<(&'static str, Node<'a>)>,
}

/// A boolean, or an object that says more than `true`.
#[derive(Debug)]
pub(super) enum FlagOrFields<'a> {
    Flag(bool),
    Fields(Fields<'a>),
}

impl<'a> Node<'a> {
    pub(super) fn at(path: String, value: Json<'a>) -> Self {
        Self { path, value }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn error(&self, problem: ConfigProblem) -> ConfigError {
        ConfigError {
            path: self.path.clone(),
            problem: Box::new(problem),
        }
    }

    pub(super) fn invalid(&self, what: impl Into<String>) -> ConfigError {
        self.error(ConfigProblem::Invalid(what.into()))
    }

    fn wrong_type(&self, expected: &'static str) -> ConfigError {
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
            form: form(&self.path),
        })
    }

    pub(super) fn bool(&self) -> Result<bool, ConfigError> {
        self.value
            .as_bool()
            .ok_or_else(|| self.wrong_type("true or false"))
    }

    pub(super) fn text(&self) -> Result<String, ConfigError> {
        self.value
            .as_str()
            .map(Into::into)
            .ok_or_else(|| self.wrong_type("a string"))
    }

    /// A string that is not empty.
    pub(super) fn name(&self) -> Result<String, ConfigError> {
        let text = self.text()?;
        if text.is_empty() {
            Err(self.invalid("must not be empty"))
        } else {
            Ok(text)
        }
    }

    pub(super) fn integer(&self, range: RangeInclusive<u64>) -> Result<u64, ConfigError> {
        let (text, number) = self.number("a whole number")?;
        if number.fract() != 0.0 {
            return Err(self.invalid(format!("must be a whole number, not {text}")));
        }
        // Exact: whole doubles in any range that is used here (below 2^53) convert without loss.
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

    /// A whole number of either sign.
    pub(super) fn signed(&self) -> Result<i64, ConfigError> {
        let text = self
            .value
            .as_number_text()
            .ok_or_else(|| self.wrong_type("a whole number"))?;
        let whole = text.strip_suffix(".0").unwrap_or(text);
        whole
            .parse()
            .map_err(|_| self.invalid(format!("must be a whole number of 64 bits, not {text}")))
    }

    /// A number as it is written, and the double nearest to it.
    pub(super) fn number(&self, expected: &'static str) -> Result<(&'a str, f64), ConfigError> {
        let text = self
            .value
            .as_number_text()
            .ok_or_else(|| self.wrong_type(expected))?;
        // Not the library's own reader, which is 15 KB: this one is there for the JSON anyway, and a unit in the last place
        // decides nothing here.
        match serde_json::from_str(text) {
            Ok(number) => Ok((text, number)),
            Err(_) => Err(self.invalid(format!("the number {text} is out of range"))),
        }
    }

    /// `"10s"`, `"1.5s"`, `"500ms"`, `"5m"`, `"1h"`, `"1d"`, a number of seconds, or `{seconds, nanos}`.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Result<Duration, ConfigError> {
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
                Duration::try_from_secs_f64(seconds)
                    .map_err(|_| self.invalid(format!("{text} seconds is not a duration")))?
            }
            Kind::Object => {
                let fields = self.fields(&["seconds", "nanos"])?;
                let seconds = match fields.get("seconds") {
                    Some(node) => node.integer(0..=315_576_000_000)?,
                    None => 0,
                };
                let nanos = match fields.get("nanos") {
                    Some(node) => node.integer(0..=999_999_999)?,
                    None => 0,
                };
                Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos))
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

    /// A list; text alone is a list of one, as protobuf's JSON reader has it for repeated fields.
    pub(super) fn list(&self) -> Result<Vec<Self>, ConfigError> {
        if self.value.kind() == Kind::String {
            return Ok(vec![self.clone()]);
        }
        let elements = self.value.as_array().ok_or_else(|| self.wrong_type("a list"))?;
        Ok(elements
            .into_iter()
            .enumerate()
            .map(|(index, value)| Self {
                path: format!("{}[{index}]", self.path),
                value,
            })
            .collect())
    }

    /// A list that is not empty.
    pub(super) fn some_list(&self) -> Result<Vec<Self>, ConfigError> {
        let list = self.list()?;
        if list.is_empty() {
            Err(self.invalid("must not be empty"))
        } else {
            Ok(list)
        }
    }

    pub(super) fn names(&self) -> Result<Vec<Box<str>>, ConfigError> {
        self.list()?
            .iter()
            .map(|node| node.name().map(Into::into))
            .collect()
    }

    /// The members of an object whose names are the operator's own.
    pub(super) fn map(&self) -> Result<Vec<(String, Self)>, ConfigError> {
        let object = self
            .value
            .as_object()
            .ok_or_else(|| self.wrong_type("an object"))?;
        Ok(object
            .members()
            .map(|(name, value)| {
                (
                    name.to_owned(),
                    Self {
                        path: join(&self.path, name),
                        value,
                    },
                )
            })
            .collect())
    }

    /// The members of an object whose names are ours, in snake_case or lowerCamelCase.
    pub(super) fn fields(&self, known: &'static [&'static str]) -> Result<Fields<'a>, ConfigError> {
        let object = self
            .value
            .as_object()
            .ok_or_else(|| self.wrong_type("an object"))?;
        let mut entries: Vec<(&'static str, Self)> = Vec::new();
        for (written, value) in object.members() {
            let Some(field) = known
                .iter()
                .find(|field| **field == written || is_lower_camel_case(written, field))
            else {
                return Err(self.error(ConfigProblem::UnknownField {
                    name: written.to_owned(),
                    nearest: meant(written, known),
                    home: home(written),
                    known,
                }));
            };
            let node = Self {
                path: join(&self.path, field),
                value,
            };
            if entries.iter().any(|(name, _)| name == field) {
                return Err(node.error(ConfigProblem::GivenTwice));
            }
            if value.kind() != Kind::Null {
                entries.push((field, node));
            }
        }
        Ok(Fields {
            path: self.path.clone(),
            entries,
        })
    }

    pub(super) fn flag_or_fields(
        &self,
        known: &'static [&'static str],
    ) -> Result<FlagOrFields<'a>, ConfigError> {
        match self.value.kind() {
            Kind::Bool => self.bool().map(FlagOrFields::Flag),
            Kind::Object => self.fields(known).map(FlagOrFields::Fields),
            _ => Err(self.wrong_type("an object, true or false")),
        }
    }

    /// The one of the allowed values that stands here.
    pub(super) fn one_of<T: Copy>(&self, allowed: &[(&'static str, T)]) -> Result<T, ConfigError> {
        let value = self.value.as_str().unwrap_or_default();
        match allowed.iter().find(|(name, _)| **name == *value) {
            Some((_, meaning)) => Ok(*meaning),
            None => Err(self.none_of(allowed.iter().map(|(name, _)| *name).collect())),
        }
    }

    fn none_of(&self, allowed: Vec<&'static str>) -> ConfigError {
        match self.value.as_str() {
            Some(value) => self.error(ConfigProblem::NotOneOf {
                nearest: nearest(&value, allowed.iter().copied()),
                allowed,
                value: value.into(),
            }),
            None => self.invalid(format!("expected a string: {}", allowed.join(", "))),
        }
    }
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, field: &'static str) -> Option<&Node<'a>> {
        let mut entries = self.entries.iter();
        entries.find_map(|(name, node)| (*name == field).then_some(node))
    }

    pub(super) fn require(&self, field: &'static str, fix: &'static str) -> Result<&Node<'a>, ConfigError> {
        match self.get(field) {
            Some(node) => Ok(node),
            None => Err(self.error(ConfigProblem::Missing { field, fix })),
        }
    }

    /// The field's boolean, false where it is absent.
    pub(super) fn flag(&self, field: &'static str) -> Result<bool, ConfigError> {
        self.get(field).map_or(Ok(false), |node| node.bool())
    }

    pub(super) fn names(&self, field: &'static str) -> Result<Vec<Box<str>>, ConfigError> {
        self.get(field)
            .map_or_else(|| Ok(Vec::new()), |node| node.names())
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn error(&self, problem: ConfigProblem) -> ConfigError {
        ConfigError {
            path: self.path.clone(),
            problem: Box::new(problem),
        }
    }
}

/// Where a field of this name stands.
fn home(name: &str) -> Option<&'static str> {
    let homes = [
        (rule::FIELDS, "in a rule, beside `match`"),
        (provider::FIELDS, "in a provider"),
        (TOP_LEVEL, "at the top level"),
    ];
    let found = homes.iter().find(|(fields, _)| fields.contains(&name));
    found.map(|(_, home)| *home)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
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
