//! Reads objects by the declarations of their fields.

use std::marker::PhantomData;

use super::error::{ConfigError, ConfigProblem};
use super::field::{Field, Names, Nested, Object as Declared, Preset, Reader};
use super::node::Node;
use super::node::members::Found;
use crate::json::Kind;

/// The fields of an object of type `O` that are present. All of them are declared.
pub(super) struct Fields<'a, O> {
    found: Found<'a>,
    object: PhantomData<O>,
}

/// A boolean, or an object in place of `true`.
pub(super) enum FlagOrFields<'a, O> {
    Flag(bool),
    Fields(Fields<'a, O>),
}

impl Node<'_> {
    /// The members of an object with declared names, in snake_case or lowerCamelCase.
    pub(super) fn fields<O: Declared>(&self, _: O) -> Result<Fields<'_, O>, Box<ConfigError>> {
        self.found(O::NAMES).map(Fields::of)
    }

    /// The fields of an object in place of which `true` is written.
    pub(super) fn without_fields<O: Declared>(&self, _: O) -> Fields<'_, O> {
        Fields::of(self.no_fields())
    }

    pub(super) fn flag_or_fields<O: Declared>(
        &self,
        object: O,
    ) -> Result<FlagOrFields<'_, O>, Box<ConfigError>> {
        match self.value().kind() {
            Kind::Bool => self.bool().map(FlagOrFields::Flag),
            Kind::Object => self.fields(object).map(FlagOrFields::Fields),
            _ => Err(self.wrong_type("an object, true or false")),
        }
    }
}

impl<'a, O: Declared> Fields<'a, O> {
    const fn of(found: Found<'a>) -> Self {
        Self {
            found,
            object: PhantomData,
        }
    }

    pub(super) fn get<R>(&self, field: Field<O, R>) -> Option<&Node<'a>> {
        self.found.get(field.name)
    }

    pub(super) fn require<R>(&self, field: Field<O, R>) -> Result<&Node<'a>, Box<ConfigError>> {
        self.found.require(field.name, field.fix)
    }

    /// The field's value, if the field is present.
    pub(super) fn read<R: Reader>(&self, field: Field<O, R>) -> Result<Option<R::Value>, Box<ConfigError>> {
        self.found.read(field.name, field.reader)
    }

    /// The value of a required field.
    pub(super) fn required<R: Reader>(&self, field: Field<O, R>) -> Result<R::Value, Box<ConfigError>> {
        field.reader.read(self.require(field)?)
    }

    /// The field's value, or its default.
    pub(super) fn value<R: Preset>(&self, field: Field<O, R>) -> Result<R::Value, Box<ConfigError>> {
        self.found.value(field.name, field.reader)
    }

    /// The same for a value on which no other value depends: a fault is recorded, and the default replaces
    /// the value.
    pub(super) fn kept<R: Preset>(&self, field: Field<O, R>) -> R::Value {
        self.found.kept(field.name, field.reader)
    }

    /// The value. If it has a fault, records the fault and returns `None`.
    pub(super) fn keep<T>(&self, read: Result<T, Box<ConfigError>>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(fault) => {
                self.found.report(fault);
                None
            }
        }
    }

    /// The value. If it has a fault, records the fault and returns any value, so that the rest of the
    /// configuration is still read.
    pub(super) fn or_default<T: Default>(&self, read: Result<T, Box<ConfigError>>) -> T {
        match read {
            Ok(value) => value,
            Err(fault) => {
                self.found.report(fault);
                T::default()
            }
        }
    }

    /// The field's strings; none if the field is absent.
    pub(super) fn names(&self, field: Field<O, Names>) -> Result<Vec<Box<str>>, Box<ConfigError>> {
        self.get(field)
            .map_or_else(|| Ok(Vec::new()), |node| node.names())
    }

    /// The fields of the object in a field. If the field is absent or faulty, none of them is present.
    pub(super) fn within<P: Declared>(&self, field: Field<O, Nested<P>>, object: P) -> Fields<'_, P> {
        match self.get(field) {
            Some(node) => node.keep(node.fields(object)),
            None => None,
        }
        .unwrap_or_else(|| self.absent(object))
    }

    /// The fields of an absent object.
    pub(super) const fn absent<P: Declared>(&self, _: P) -> Fields<'a, P> {
        Fields::of(self.found.absent())
    }

    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    pub(super) fn error(&self, problem: ConfigProblem) -> Box<ConfigError> {
        self.found.error(problem)
    }
}

// Not inlined: each of these would otherwise be in the module once for each field.
impl Found<'_> {
    #[inline(never)]
    fn read<R: Reader>(&self, name: &'static str, reader: R) -> Result<Option<R::Value>, Box<ConfigError>> {
        self.get(name).map(|node| reader.read(node)).transpose()
    }

    #[inline(never)]
    fn value<R: Preset>(&self, name: &'static str, reader: R) -> Result<R::Value, Box<ConfigError>> {
        match self.get(name) {
            Some(node) => reader.read(node),
            None => Ok(reader.preset()),
        }
    }

    #[inline(never)]
    fn kept<R: Preset>(&self, name: &'static str, reader: R) -> R::Value {
        match self.value(name, reader) {
            Ok(value) => value,
            Err(fault) => {
                self.report(fault);
                reader.preset()
            }
        }
    }
}
