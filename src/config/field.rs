//! The fields of an object, each declared once: its name, reader, bounds, default and meaning.
//!
//! [`object!`] makes a constant of each field. Reading an undeclared field, or a field of another object,
//! does not compile. The texts are for the reference in `docs/configuration.md`. The module does not contain
//! them.

use std::marker::PhantomData;
use std::time::Duration;

use super::error::ConfigError;
use super::node::Node;
#[cfg(not(target_family = "wasm"))]
use super::reference::{Described, Shape, Shown};

/// An object of the configuration.
pub(super) trait Object: Copy + 'static {
    /// The names of its fields, in the order of the reference.
    const NAMES: &'static [&'static str];

    /// The text of the reference.
    #[cfg(not(target_family = "wasm"))]
    fn reference() -> super::reference::ObjectReference;
}

/// A field of the object `O`; `R` reads it.
pub(super) struct Field<O, R> {
    pub(super) name: &'static str,
    /// The advice for a required field that is absent.
    pub(super) fix: &'static str,
    pub(super) reader: R,
    object: PhantomData<O>,
}

impl<O, R> Field<O, R> {
    pub(super) const fn new(name: &'static str, reader: R, fix: &'static str) -> Self {
        Self {
            name,
            fix,
            reader,
            object: PhantomData,
        }
    }
}

impl<O, R: Copy> Clone for Field<O, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<O, R: Copy> Copy for Field<O, R> {}

/// Reads the value of a field.
pub(super) trait Reader: Copy {
    type Value;

    fn read(self, node: &Node<'_>) -> Result<Self::Value, Box<ConfigError>>;
}

/// Supplies the value of an absent field.
pub(super) trait Preset: Reader {
    fn preset(self) -> Self::Value;
}

/// Declares an object: its type, its place in the reference, and its fields as constants of the type.
///
/// A field has a doc comment for the reference, a name, the type of its reader, and the reader. After these,
/// a required field has `required` with the advice for its absence, and a field that is required only
/// sometimes has `fix`. If the reader does not provide the default and the values for the reference, the
/// field has them too. `relations` after the fields says what they have to do with each other, for tools; see
/// [`super::relation`].
macro_rules! object {
    (
        $(#[$object_doc:meta])*
        $object:ident at $place:literal {
            $(
                $(#[doc = $meaning:literal])*
                $name:ident $(as $written:literal)?: $reader:ty = $value:expr
                    $(, required $fix:literal)?
                    $(, fix $advice:literal)?
                    $(, default $default:literal)?
                    $(, values $values:literal)?;
            )*
        }
        $(relations [$($relation:expr),* $(,)?])?
    ) => {
        $(#[$object_doc])*
        #[derive(Clone, Copy)]
        pub(in crate::config) struct $object;

        // The constants have the names of the configuration. Each field is a constant of its own: the
        // compiler copies a whole constant to read a part of it.
        #[allow(non_upper_case_globals, reason = "as they are written in the configuration")]
        impl $object {
            $(
                pub(in crate::config) const $name: $crate::config::field::Field<Self, $reader> =
                    $crate::config::field::Field::new(
                        [$($written,)? stringify!($name)][0],
                        $value,
                        concat!("", $($fix)? $($advice)?),
                    );
            )*
        }

        impl $crate::config::field::Object for $object {
            const NAMES: &'static [&'static str] = &[$([$($written,)? stringify!($name)][0]),*];

            #[cfg(not(target_family = "wasm"))]
            fn reference() -> $crate::config::reference::ObjectReference {
                $crate::config::reference::ObjectReference {
                    place: $place,
                    names: Self::NAMES,
                    fields: [
                        $($crate::config::reference::FieldReference::of(
                            Self::$name.name,
                            &Self::$name.reader,
                            !concat!("", $($fix)?).is_empty(),
                            [$($default,)? ""][0],
                            [$($values,)? ""][0],
                            &[$($meaning),*],
                        ),)*
                    ]
                    .into_iter()
                    .flatten()
                    .collect(),
                    relations: {
                        #[allow(unused_imports, reason = "most objects have no relations")]
                        use $crate::config::relation::*;
                        vec![$($($relation),*)?]
                    },
                }
            }
        }
    };
}
pub(super) use object;

/// A reader with the value of an absent field.
#[derive(Clone, Copy)]
pub(super) struct Or<R: Reader>(pub(super) R, pub(super) R::Value)
where
    R::Value: Copy;

impl<R: Reader> Reader for Or<R>
where
    R::Value: Copy,
{
    type Value = R::Value;

    fn read(self, node: &Node<'_>) -> Result<R::Value, Box<ConfigError>> {
        self.0.read(node)
    }
}

impl<R: Reader> Preset for Or<R>
where
    R::Value: Copy,
{
    fn preset(self) -> R::Value {
        self.1
    }
}

/// Readers of a single value, each of which calls a method of [`Node`].
macro_rules! readers {
    ($($(#[$doc:meta])* $name:ident $(($low:ty, $high:ty))? -> $value:ty: $read:expr, $shape:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $name $((pub(super) $low, pub(super) $high))?;

        impl Reader for $name {
            type Value = $value;

            fn read(self, node: &Node<'_>) -> Result<$value, Box<ConfigError>> {
                let read: fn(Self, &Node<'_>) -> Result<$value, Box<ConfigError>> = $read;
                read(self, node)
            }
        }

        #[cfg(not(target_family = "wasm"))]
        impl Described for $name {
            fn shape(&self) -> Shape {
                let shape: fn(Self) -> Shape = $shape;
                shape(*self)
            }
        }
    )*};
}

readers! {
    /// A boolean.
    Flag -> bool: |_, node| node.bool(), |_| Shape::Boolean;
    /// A string.
    Text -> Box<str>: |_, node| node.text(), |_| Shape::Text { is_some: false };
    /// A string that is not empty.
    Name -> Box<str>: |_, node| node.name(), |_| Shape::Text { is_some: true };
    /// A list of strings that are not empty.
    Names -> Vec<Box<str>>: |_, node| node.names(), |_| Shape::Texts { is_some: false };
    /// A list of strings that are not empty, with at least one element.
    SomeNames -> Vec<Box<str>>: |_, node| {
        node.some_list()?;
        node.names()
    }, |_| Shape::Texts { is_some: true };
    /// A whole number in a range.
    Whole(u64, u64) -> u64: |range, node| node.integer(range.0..=range.1), |range| Shape::Whole(range.0, range.1);
    /// A whole number, positive or negative.
    Signed -> i64: |_, node| node.signed(), |_| Shape::Signed;
    /// A duration in a range.
    Span(Duration, Duration) -> Duration: |range, node| node.duration(range.0..=range.1), |range| Shape::Duration(range.0, range.1);
    /// A number between two numbers of tenths.
    Share(u8, u8) -> f64: |range, node| node.share(range.0, range.1), |range| Shape::Tenths(range.0, range.1);
}

/// One of several words, each with its meaning.
#[derive(Clone, Copy)]
pub(super) struct Word<T: Copy + 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy> Reader for Word<T> {
    type Value = T;

    fn read(self, node: &Node<'_>) -> Result<T, Box<ConfigError>> {
        node.one_of(self.0)
    }
}

/// One of several words, and the value of an absent field.
#[derive(Clone, Copy)]
pub(super) struct WordOr<T: Copy + 'static>(pub(super) &'static [(&'static str, T)], pub(super) T);

impl<T: Copy> Reader for WordOr<T> {
    type Value = T;

    fn read(self, node: &Node<'_>) -> Result<T, Box<ConfigError>> {
        node.one_of(self.0)
    }
}

impl<T: Copy> Preset for WordOr<T> {
    fn preset(self) -> T {
        self.1
    }
}

#[cfg(not(target_family = "wasm"))]
impl<T: Copy> Described for Word<T> {
    fn shape(&self) -> Shape {
        Shape::Words(self.0.iter().map(|(word, _)| *word).collect())
    }
}

#[cfg(not(target_family = "wasm"))]
impl<T: Copy + PartialEq> Described for WordOr<T> {
    fn shape(&self) -> Shape {
        Word(self.0).shape()
    }

    fn default(&self) -> String {
        let found = self.0.iter().find(|(_, meaning)| *meaning == self.1);
        found.map_or_else(String::new, |(word, _)| (*word).to_owned())
    }
}

#[cfg(not(target_family = "wasm"))]
impl<R: Reader + Described> Described for Or<R>
where
    R::Value: Copy + Shown,
{
    fn shape(&self) -> Shape {
        self.0.shape()
    }

    fn default(&self) -> String {
        self.1.shown()
    }
}

/// Fields that the code of their object reads in steps.
macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident: $shape:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $name;

        #[cfg(not(target_family = "wasm"))]
        impl Described for $name {
            fn shape(&self) -> Shape {
                $shape
            }
        }
    )*};
}

parts! {
    /// A string, a number, true or false.
    Scalar: Shape::Scalar;
    /// A list of scalars with at least one element.
    SomeScalars: Shape::List { of: Box::new(Shape::Scalar), is_some: true };
    /// A list of strings. The code of the object checks each of them.
    Strings: Shape::Texts { is_some: false };
    /// The same list, with at least one element.
    SomeStrings: Shape::Texts { is_some: true };
    /// A string. The code of the object checks its form.
    Form: Shape::Text { is_some: false };
    /// The same, not empty.
    SomeForm: Shape::Text { is_some: true };
    /// A non-empty string, or a list of such strings.
    SomeForms: Shape::TextOrTexts;
    /// An object without effect, which the reference does not describe.
    Opaque: Shape::Opaque;
    /// Strings under names that the operator chooses.
    Mapped: Shape::Map(Box::new(Shape::Text { is_some: true }));
    /// A field of which the filter knows only the advice for its refusal. The reference does not list it.
    Refused: Shape::Refused;
    /// An object without fields.
    Empty: Shape::Empty;
}

/// Fields that contain one object with fields, or several.
macro_rules! nests {
    ($($(#[$doc:meta])* $name:ident: $shape:expr;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name<O>(PhantomData<O>);

        impl<O> $name<O> {
            pub(super) const NEW: Self = Self(PhantomData);
        }

        impl<O> Clone for $name<O> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<O> Copy for $name<O> {}

        #[cfg(not(target_family = "wasm"))]
        impl<O: Object> Described for $name<O> {
            fn shape(&self) -> Shape {
                let shape: fn(Shape) -> Shape = $shape;
                shape(Shape::Object(O::reference))
            }
        }
    )*};
}

nests! {
    /// An object.
    Nested: |object| object;
    /// A string that is not empty, or an object.
    NameOrNested: |object| Shape::TextOr(Box::new(object));
    /// An object, or `off`, which YAML may have read as `false`.
    NestedOrOff: |object| Shape::OffOr(Box::new(object));
    /// Such strings or objects under names of the operator's own.
    MapOfNameOrNested: |object| Shape::Map(Box::new(Shape::TextOr(Box::new(object))));
    /// An object, or true or false.
    FlagOrNested: |object| Shape::FlagOr(Box::new(object));
    /// A list of objects.
    ListOf: |object| Shape::List { of: Box::new(object), is_some: false };
    /// An object, or a list of objects with at least one element.
    OneOrSome: |object| Shape::OneOrSome(Box::new(object));
    /// A list of objects with at least one element.
    SomeOf: |object| Shape::List { of: Box::new(object), is_some: true };
    /// Objects under names that the operator chooses.
    MapOf: |object| Shape::Map(Box::new(object));
}
