//! The members of an object: under names that the operator chooses, or the fields of an object of a known
//! type, of which it finds the misspelt ones.

use super::Node;
use crate::config::advice::{advice, meant};
use crate::config::error::{ConfigError, ConfigProblem};
use crate::config::faults::Mark;
use crate::config::leftover::has_part;
use crate::config::place::Place;
use crate::json::{Kind, Object};

/// The members of an object under names that the operator chooses.
#[derive(Debug)]
pub(in crate::config) struct Members<'a> {
    place: &'a Place<'a>,
    object: Object<'a>,
}

/// The fields of an object of any type.
pub(in crate::config) struct Found<'a> {
    place: &'a Place<'a>,
    /// The place of the object's text.
    at: usize,
    entries: Vec<(&'static str, Node<'a>)>,
    /// The fields whose values are left out.
    left_out: Vec<&'static str>,
}

impl<'a> Node<'a> {
    /// The members of an object under names that the operator chooses.
    pub(in crate::config) fn map(&self) -> Result<Members<'_>, Box<ConfigError>> {
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
    pub(in crate::config) fn found(
        &self,
        known: &'static [&'static str],
    ) -> Result<Found<'_>, Box<ConfigError>> {
        let object = self.object()?;
        let faults = self.place.faults();
        let mut entries: Vec<(&'static str, Node<'_>)> = Vec::new();
        let mut guesses: Vec<(&'static str, Node<'_>)> = Vec::new();
        let mut is_sound = !self.is_marked(Mark::Known);
        let mut left_out = Vec::new();
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
                        // `headers` belongs in a match, but hardly where somebody wrote it into `response`.
                        let mut around = AROUND_RULES.iter();
                        let is_around = around.any(|field| known.contains(field));
                        let home = faults.home(is_it);
                        let home = home.filter(|home| is_around || !has_part(home, "in a rule"));
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
                // Before the value: that the name is unknown is not a fault of the value, which may have one
                // as well.
                let at = value.address().saturating_sub(1);
                if is_new && !faults.has(at, Mark::Known) {
                    self.report(self.place.error(problem, at));
                }
                is_sound = false;
                continue;
            };
            let node = node(field);
            if node.is_left_out() {
                left_out.push(*field);
                continue;
            }
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
        }
        if !left_out.is_empty() {
            faults.mark(self.value.address(), Mark::Lacking);
        }
        if !self.is_sound() {
            for (_, node) in &entries {
                faults.mark(node.value.address(), Mark::Beside);
            }
        }
        Ok(Found {
            place: &self.place,
            at: self.value.address(),
            entries,
            left_out,
        })
    }

    /// No members, in place of an object.
    pub(in crate::config) fn no_fields(&self) -> Found<'_> {
        Found {
            place: &self.place,
            at: self.value.address(),
            entries: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// An object without members.
    pub(in crate::config) fn empty(&self) -> Result<(), Box<ConfigError>> {
        self.found(&[]).map(drop)
    }
}

/// Fields of the objects in which a field of a rule may be misplaced.
const AROUND_RULES: &[&str] = &[
    "providers",
    "issuer",
    "match",
    "prefix",
    "provider_name",
    "scopes",
];

fn is_among(entries: &[(&'static str, Node<'_>)], field: &str) -> bool {
    entries.iter().any(|(name, _)| *name == field)
}

impl Members<'_> {
    pub(in crate::config) fn len(&self) -> usize {
        self.object.len()
    }

    pub(in crate::config) fn iter(&self) -> impl Iterator<Item = (&str, Node<'_>)> {
        self.object.members().map(|(name, value)| {
            let place = Place::Member(self.place, name);
            (name, Node { place, value })
        })
    }
}

// Not inlined: each of these would otherwise be in the module once for each field.
impl<'a> Found<'a> {
    #[inline(never)]
    pub(in crate::config) fn report(&self, fault: Box<ConfigError>) {
        self.place.faults().add(fault);
    }

    #[inline(never)]
    pub(in crate::config) fn get(&self, field: &str) -> Option<&Node<'a>> {
        let mut entries = self.entries.iter();
        entries.find_map(|(name, node)| (*name == field).then_some(node))
    }

    #[inline(never)]
    pub(in crate::config) fn require(
        &self,
        field: &'static str,
        fix: &'static str,
    ) -> Result<&Node<'a>, Box<ConfigError>> {
        match self.get(field) {
            Some(node) => Ok(node),
            None if self.left_out.contains(&field) => Err(ConfigError::reported()),
            None => Err(self.place.error(ConfigProblem::Missing { field, fix }, self.at)),
        }
    }

    pub(in crate::config) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(in crate::config) fn error(&self, problem: ConfigProblem) -> Box<ConfigError> {
        self.place.error(problem, self.at)
    }

    /// The fields of an absent object at this place.
    pub(in crate::config) const fn absent(&self) -> Self {
        Self {
            place: self.place,
            at: self.at,
            entries: Vec::new(),
            left_out: Vec::new(),
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
