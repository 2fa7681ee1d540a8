//! A fault of the operator: its place in the configuration, the fault, and the likely correction.

use std::fmt::{self, Write as _};

/// The reason for which the filter refuses a configuration. `Display` writes the operator's line in Envoy's
/// log, for this fault alone.
///
/// Always boxed: every step of reading returns one or a value, and moving an unboxed one at each step would
/// add 20 KB to the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The place: names of members and indexes, the outermost first, as in `rules[2].match.prefix`; empty for
    /// the whole configuration.
    pub path: String,
    /// The fault.
    pub problem: ConfigProblem,
    /// Further faults of the same configuration, in the order of its text: at most [`ConfigError::MOST`] in
    /// all.
    pub others: Vec<Self>,
    /// The number of faults beyond those.
    pub omitted: usize,
    /// The address of the faulty text, which gives the order of faults.
    pub(super) at: usize,
}

impl ConfigError {
    /// The most faults in one report.
    pub const MOST: usize = 20;

    /// This fault and the others.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    /// A placeholder for a fault that is already recorded.
    pub(super) fn reported() -> Box<Self> {
        Box::new(Self {
            path: String::new(),
            problem: ConfigProblem::Invalid(String::new()),
            others: Vec::new(),
            omitted: 0,
            at: 0,
        })
    }

    pub(super) fn is_reported(&self) -> bool {
        matches!(&self.problem, ConfigProblem::Invalid(what) if what.is_empty())
    }
}

/// The fault at a place of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigProblem {
    /// The text is not a JSON object that the filter can read, for this reason.
    NotJson(String),
    /// There is no such field. The nearest known name is given if one is similar.
    UnknownField {
        /// The name as written.
        name: String,
        /// The name that was probably meant.
        nearest: Option<&'static str>,
        /// The place where a field of this name belongs.
        home: Option<&'static str>,
        /// All known names.
        known: &'static [&'static str],
    },
    /// The same field twice, in its two spellings.
    GivenTwice,
    /// A required field is absent.
    Missing {
        /// The field.
        field: &'static str,
        /// The text to write.
        fix: &'static str,
    },
    /// A value of another type.
    WrongType {
        /// The expected type.
        expected: &'static str,
        /// The actual type.
        found: &'static str,
        /// An example of the field, to copy.
        form: Option<&'static str>,
    },
    /// A name without a definition.
    Dangling {
        /// The kind of the thing that it should name.
        kind: &'static str,
        /// The name as written.
        name: String,
        /// The nearest defined name, if one is similar.
        nearest: Option<String>,
        /// All that exist.
        known: Vec<String>,
    },
    /// A value that is not one of the allowed ones.
    NotOneOf {
        /// The value as written.
        value: String,
        /// The nearest allowed value, if one is similar.
        nearest: Option<&'static str>,
        /// The allowed values.
        allowed: Vec<&'static str>,
    },
    /// A value that cannot work: the fault, and the correction.
    Invalid(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let f = &mut OneLine(f);
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.problem)
    }
}

/// Writes the operator's text on one line of the log.
struct OneLine<'f, 'b>(&'f mut fmt::Formatter<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|letter| match letter.is_control() {
            true => write!(self.0, "\\x{:02x}", u32::from(letter)),
            false => self.0.write_char(letter),
        })
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(why) => write!(f, "the configuration is not a JSON object: {why}"),
            Self::UnknownField {
                name,
                nearest,
                home,
                known,
            } => {
                write!(f, "unknown field `{name}`; ")?;
                match (nearest, home) {
                    (Some(nearest), _) => write!(f, "did you mean `{nearest}`?"),
                    _ if known.is_empty() => f.write_str("this object has no fields"),
                    (None, Some(home)) => write!(f, "it belongs {home}"),
                    (None, None) => write!(f, "known fields: {}", known.join(", ")),
                }
            }
            Self::GivenTwice => write!(
                f,
                "given twice, in snake_case and in lowerCamelCase; leave one out"
            ),
            Self::Missing { field, fix } => write!(f, "`{field}` is missing; {fix}"),
            Self::WrongType {
                expected,
                found,
                form,
            } => {
                write!(f, "expected {expected}, found {found}")?;
                match form {
                    Some(form) if form.starts_with('w') => write!(f, "; {form}"),
                    Some(form) => write!(f, "; write it as in {form}"),
                    None => Ok(()),
                }
            }
            Self::Dangling {
                kind,
                name,
                nearest,
                known,
            } => {
                write!(f, "no {kind} is named `{name}`; ")?;
                match nearest {
                    Some(nearest) => write!(f, "did you mean `{nearest}`?"),
                    None if known.is_empty() => f.write_str("there are none"),
                    None => write!(f, "defined: {}", known.join(", ")),
                }
            }
            Self::NotOneOf {
                value,
                nearest,
                allowed,
            } => {
                write!(f, "`{value}` is not allowed here; ")?;
                match nearest {
                    Some(nearest) => write!(f, "did you mean `{nearest}`?"),
                    None => write!(f, "allowed: {}", allowed.join(", ")),
                }
            }
            Self::Invalid(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ConfigError {}
