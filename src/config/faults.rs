//! The faults of a configuration, collected while it is read.

use std::cell::{Cell, RefCell};

use super::error::{ConfigError, ConfigProblem};

/// The faults found so far, while the rest of the configuration is read: the first ones in the order of the
/// text, and their number.
#[derive(Debug, Default)]
pub(super) struct Faults {
    first: RefCell<Vec<ConfigError>>,
    count: Cell<usize>,
    homes: &'static [Home],
    /// The addresses of faulty values, and of values in and around objects with unknown fields, in order.
    marks: RefCell<Vec<(usize, Mark)>>,
    /// Whether the last reading found anything.
    is_new: Cell<bool>,
}

/// What an earlier fault means for a value. A fault of it may only follow from an unknown field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// An object with an unknown field, which may be a misspelt one of the absent fields.
    Unsound,
    /// An object without those of its fields that were faulty in an earlier reading.
    Lacking,
    /// A field beside an unknown one, or in such an object.
    Beside,
    /// An unknown field that is read as the one that it probably means.
    Guess,
    /// A fault of an earlier reading, which is not reported again.
    Known,
    /// A faulty value that the next reading leaves out, because the rest of its object is not read with it.
    LeftOut,
}

/// The names of an object's fields, the place of the object in words, and whether its fields decide what a
/// request needs.
pub(super) type Home = (&'static [&'static str], &'static str, bool);

impl Faults {
    /// No fault yet, in a configuration with these objects.
    pub(super) fn new(homes: &'static [Home]) -> Self {
        Self {
            homes,
            ..Self::default()
        }
    }

    /// The place where a field of this name belongs, in either spelling.
    pub(super) fn home(&self, is_it: impl Fn(&str) -> bool) -> Option<&'static str> {
        let mut homes = self.homes.iter().filter(|(_, home, _)| !home.is_empty());
        let found = homes.find(|(fields, _, _)| fields.iter().any(|field| is_it(field)));
        found.map(|(_, home, _)| *home)
    }

    /// Whether a check or a requirement would be missing without this field: a template without its value
    /// writes null.
    pub(super) fn decides(&self, field: &str, known: &[&str]) -> bool {
        let mut deciding = self.homes.iter().filter(|(_, _, decides)| *decides);
        CHECKS.contains(&field) || deciding.any(|(fields, _, _)| *fields == known)
    }

    #[allow(clippy::boxed_local, reason = "as every reader returns it")]
    pub(super) fn add(&self, fault: Box<ConfigError>) {
        // The unknown field may be the one that such an object lacks. A value of another type may mean
        // another field.
        let is_missing = matches!(fault.problem, ConfigProblem::Missing { .. });
        let only_follows = self.has(fault.at, Mark::Unsound)
            || (self.has(fault.at, Mark::Lacking) && !is_missing)
            || (self.has(fault.at, Mark::Guess) && matches!(fault.problem, ConfigProblem::WrongType { .. }));
        if self.has(fault.at, Mark::Known) {
            self.mark(fault.at, Mark::LeftOut);
        } else if !fault.is_reported() && !only_follows {
            self.is_new.set(true);
            self.count.set(self.count.get().saturating_add(1));
            let mut first = self.first.borrow_mut();
            let place = first.partition_point(|other| other.at <= fault.at);
            if place < ConfigError::MOST {
                first.insert(place, *fault);
                first.truncate(ConfigError::MOST);
            }
        }
    }

    pub(super) fn mark(&self, address: usize, mark: Mark) {
        let mut marks = self.marks.borrow_mut();
        if let Err(place) = marks.binary_search(&(address, mark)) {
            marks.insert(place, (address, mark));
            if mark == Mark::LeftOut {
                self.is_new.set(true);
            }
        }
    }

    /// Whether another reading, without the values that were faulty in this one, may find further faults:
    /// some readers stop at the first fault of their object.
    pub(super) fn read_again(&self) -> bool {
        if !self.is_new.take() || self.count.get() >= ConfigError::MOST {
            return false;
        }
        let mut marks = self.marks.borrow_mut();
        marks.retain(|(_, mark)| matches!(mark, Mark::Known | Mark::LeftOut));
        drop(marks);
        for fault in &*self.first.borrow() {
            self.mark(fault.at, Mark::Known);
        }
        // Only marks of a reading are news.
        self.is_new.set(false);
        true
    }

    pub(super) fn has(&self, address: usize, mark: Mark) -> bool {
        self.marks.borrow().binary_search(&(address, mark)).is_ok()
    }

    /// Whether no object so far has an unknown field.
    pub(super) fn all_are_sound(&self) -> bool {
        self.marks.borrow().is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.count.get()
    }

    /// All faults as one error, if there are any.
    pub(super) fn into_error(self) -> Option<Box<ConfigError>> {
        let mut all = self.first.into_inner();
        let omitted = self.count.get().saturating_sub(all.len());
        let others = all.split_off(all.len().min(1));
        let first = all.pop()?;
        Some(Box::new(ConfigError {
            others,
            omitted,
            ..first
        }))
    }
}

/// The fields of a provider without which it would check less.
const CHECKS: &[&str] = &[
    "algorithms",
    "authorize",
    "binding",
    "max_lifetime",
    "profile",
    "required_claims",
    "subjects",
    "token_types",
];
