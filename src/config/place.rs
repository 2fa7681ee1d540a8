//! The place of a value in the configuration.

use super::error::{ConfigError, ConfigProblem};
use super::faults::Faults;

/// The place of a value, as steps and not as text. Few values have a fault, and every function would have to
/// free the text at its end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// The whole configuration, with its faults.
    Root(&'a Faults),
    Member(&'a Self, &'a str),
    Element(&'a Self, usize),
}

impl Place<'_> {
    /// Names of members and indexes, the outermost first, as in `rules[2].match.prefix`.
    pub(super) fn path(&self) -> String {
        match *self {
            Self::Root(_) => String::new(),
            Self::Member(outer, name) => match outer.path().as_str() {
                "" => name.to_owned(),
                outer => format!("{outer}.{name}"),
            },
            Self::Element(outer, index) => format!("{}[{index}]", outer.path()),
        }
    }

    pub(super) fn faults(&self) -> &Faults {
        match self {
            Self::Root(faults) => faults,
            Self::Member(outer, _) | Self::Element(outer, _) => outer.faults(),
        }
    }

    pub(super) fn error(&self, problem: ConfigProblem, at: usize) -> Box<ConfigError> {
        Box::new(ConfigError {
            path: self.path(),
            problem,
            others: Vec::new(),
            omitted: 0,
            at,
        })
    }
}
