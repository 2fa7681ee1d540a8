//! The declarations of fields as data, for the reference in `docs/configuration.md` and for tools. The module
//! does not contain them.

use std::fmt::Write as _;
use std::time::Duration;

use super::duration;
use super::node::numbers::tenths;
use super::relation::Relation;

/// An object of the configuration, and its fields.
#[derive(Clone, Debug)]
pub struct ObjectReference {
    /// Its place, as in `providers.<name>.from_headers[]`; empty for the whole configuration. Objects of the
    /// same form share one place.
    pub place: &'static str,
    /// The names of all its fields.
    pub names: &'static [&'static str],
    /// Its fields, without those that the filter knows only to refuse them.
    pub fields: Vec<FieldReference>,
    /// What these fields say about each other.
    pub relations: Vec<Relation>,
}

/// A field of an object.
#[derive(Clone, Debug)]
pub struct FieldReference {
    /// Its name, in snake_case.
    pub name: &'static str,
    /// The form of its value.
    pub shape: Shape,
    /// Whether it is required.
    pub is_required: bool,
    /// The value of an absent field, as YAML; empty for none.
    pub default: String,
    /// The permitted values, in words.
    pub values: String,
    /// Its meaning, as Markdown.
    pub meaning: String,
}

/// The form of a value.
#[derive(Clone, Debug)]
pub enum Shape {
    /// `true` or `false`.
    Boolean,
    /// A string.
    Text {
        /// It must not be empty.
        is_some: bool,
    },
    /// A list of strings, or one string.
    Texts {
        /// It must not be empty.
        is_some: bool,
    },
    /// A non-empty string, or a list of such strings.
    TextOrTexts,
    /// One of these strings.
    Words(Vec<&'static str>),
    /// A whole number from the first to the last.
    Whole(u64, u64),
    /// A whole number of 64 bits.
    Signed,
    /// A number between two numbers of tenths.
    Tenths(u8, u8),
    /// A duration from the first to the last.
    Duration(Duration, Duration),
    /// A string, a number, `true` or `false`.
    Scalar,
    /// A list.
    List {
        /// The form of its elements.
        of: Box<Self>,
        /// It must not be empty.
        is_some: bool,
    },
    /// An object with members under names that the operator chooses.
    Map(Box<Self>),
    /// An object.
    Object(fn() -> ObjectReference),
    /// This, or a list of these.
    OneOrSome(Box<Self>),
    /// An object without members.
    Empty,
    /// An object without effect.
    Opaque,
    /// `true` or `false`, or this.
    FlagOr(Box<Self>),
    /// `off`, which YAML may have read as `false`, or this.
    OffOr(Box<Self>),
    /// A string that is not empty, or this.
    TextOr(Box<Self>),
    /// No value: the filter knows the field only to refuse it.
    Refused,
}

/// The form of the values of a reader.
pub(super) trait Described {
    fn shape(&self) -> Shape;

    /// The value of an absent field.
    fn default(&self) -> String {
        String::new()
    }
}

impl Shape {
    /// The reference's word for the form.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Text { .. } | Self::Words(_) => "string",
            Self::TextOrTexts => "string or list",
            Self::Texts { .. } => "list of strings",
            Self::Whole(..) | Self::Signed => "whole number",
            Self::Tenths(..) => "number",
            Self::Duration(..) => "duration",
            Self::Scalar => "scalar",
            Self::List { .. } => "list",
            Self::Map(_) => "map",
            Self::OneOrSome(_) => "object or list",
            Self::TextOr(_) => "string or object",
            Self::Object(_) | Self::Empty | Self::Opaque | Self::FlagOr(_) | Self::OffOr(_) => "object",
            Self::Refused => "",
        }
    }

    fn values(&self) -> String {
        match self {
            Self::Text { is_some: true }
            | Self::Texts { is_some: true }
            | Self::List { is_some: true, .. } => "not empty".to_owned(),
            Self::Words(words) => format!("`{}`", words.join("`, `")),
            Self::Whole(low, high) => format!("{low} to {high}"),
            Self::Tenths(low, high) => format!("{} to {}", tenths(*low), tenths(*high)),
            Self::Duration(low, high) => {
                format!("{} to {}", duration::display(*low), duration::display(*high))
            }
            Self::Empty => "`{}`".to_owned(),
            Self::FlagOr(_) => "or `true`".to_owned(),
            _ => String::new(),
        }
    }
}

impl FieldReference {
    /// A declaration as data; `None` if the reference does not list it.
    pub(super) fn of<R: Described>(
        name: &'static str,
        reader: &R,
        is_required: bool,
        default: &str,
        values: &str,
        meaning: &[&str],
    ) -> Option<Self> {
        let shape = reader.shape();
        let or = |given: &str, own: String| if given.is_empty() { own } else { given.to_owned() };
        Some(Self {
            name,
            is_required,
            default: or(default, reader.default()),
            values: or(values, shape.values()),
            meaning: meaning
                .iter()
                .map(|line| line.trim())
                .collect::<Vec<_>>()
                .join(" "),
            shape,
        })
        .filter(|field| !matches!(field.shape, Shape::Refused))
    }
}

impl ObjectReference {
    /// The rows of its table in the reference, with the columns field, type, default, values and meaning.
    #[must_use]
    pub fn rows(&self) -> String {
        let mut rows = String::new();
        for field in &self.fields {
            let default = match (field.is_required, field.default.as_str()) {
                (true, _) => "required".to_owned(),
                (false, "") => "–".to_owned(),
                (false, default) => format!("`{default}`"),
            };
            // Writing to a String does not fail.
            let _ = write!(rows, "| `{}` | {} | {default} |", field.name, field.shape.word());
            let gap = if field.values.is_empty() { "" } else { " " };
            let _ = writeln!(rows, "{gap}{} | {} |", field.values, field.meaning);
        }
        rows
    }

    /// This object and every object below it, each once, in the order of the fields.
    #[must_use]
    pub fn all(self) -> Vec<Self> {
        let mut all: Vec<Self> = vec![];
        let mut left = vec![self];
        while let Some(object) = left.pop() {
            if all.iter().any(|known| known.place == object.place) {
                continue;
            }
            left.extend(
                object
                    .fields
                    .iter()
                    .rev()
                    .filter_map(|field| field.shape.object()),
            );
            all.push(object);
        }
        all
    }
}

impl Shape {
    /// The object in the value, if it contains one.
    #[must_use]
    pub fn object(&self) -> Option<ObjectReference> {
        match self {
            Self::Object(object) => Some(object()),
            Self::List { of, .. }
            | Self::Map(of)
            | Self::FlagOr(of)
            | Self::OffOr(of)
            | Self::OneOrSome(of)
            | Self::TextOr(of) => of.object(),
            _ => None,
        }
    }
}

/// A value in the reference's notation.
pub(super) trait Shown {
    fn shown(&self) -> String;
}

impl Shown for bool {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for u64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for i64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for f64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for Duration {
    fn shown(&self) -> String {
        duration::display(*self)
    }
}
