//! JSON ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259)), read strictly and without copying.
//!
//! It adds the rules of JWS and JWT to serde_json's grammar: one object per text, no duplicate member at any
//! depth ([RFC 7515 section 4](https://www.rfc-editor.org/rfc/rfc7515#section-4), [RFC 7519 section
//! 4](https://www.rfc-editor.org/rfc/rfc7519#section-4)), bounded nesting, and numbers as they are written.
//! It must not know tokens, claims or keys.

mod error;
mod read;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

use self::read::{Check, Elements, Members, are_distinct};

pub use self::error::{JsonError, MAX_DEPTH};

/// The line and the column, from 1, at which a text is no longer JSON.
#[must_use]
pub fn syntax_fault(bytes: &[u8]) -> (usize, usize) {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let read: Result<&RawValue, _> = serde_json::from_str(text);
    read.err()
        .map_or((1, 1), |fault| (fault.line(), fault.column().max(1)))
}

/// A JSON object: its members in the order of the text, borrowed from it.
#[derive(Clone)]
pub struct Object<'a> {
    members: Vec<(Cow<'a, str>, Json<'a>)>,
}

impl<'a> Object<'a> {
    /// Reads `bytes` as exactly one JSON object and checks it at every depth.
    ///
    /// # Errors
    ///
    /// Fails for each reason that [`JsonError`] lists. No later access to the object fails.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, JsonError> {
        Self::parse_up_to(usize::MAX, bytes)
    }

    /// As [`Object::parse`], with at most `most` members, those of nested objects included. The comparison of
    /// the members' names takes longer than everything else, and a short text can contain many.
    pub(crate) fn parse_up_to(most: usize, bytes: &'a [u8]) -> Result<Self, JsonError> {
        Self::parse_within(&Cell::new(most), bytes)
    }

    /// As [`Object::parse`], with at most `room` members. Each member uses up one.
    pub(crate) fn parse_within(room: &Cell<usize>, bytes: &'a [u8]) -> Result<Self, JsonError> {
        let object = Self::outline_up_to(room.get(), bytes)?;
        room.set(room.get().saturating_sub(object.len()));
        for (_, value) in &object.members {
            value.check(room)?;
        }
        Ok(object)
    }

    /// Reads `bytes` as one JSON object, and checks only the grammar of its members' values. The caller
    /// passes each value to [`Object::parse`]: a fault in one value does not affect the others.
    pub(crate) fn outline_up_to(most: usize, bytes: &'a [u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(bytes).map_err(|_| JsonError::NotUtf8)?;
        let mut reader = serde_json::Deserializer::from_str(text);
        let mut members = Vec::with_capacity(16);
        let read = reader.deserialize_map(Members {
            take: |name, value| {
                members.push((name, Json(value)));
                members.len() <= most
            },
        });
        if members.len() > most {
            return Err(JsonError::TooManyMembers);
        }
        read.map_err(|fault| match fault.classify() {
            Category::Data => JsonError::NotAnObject,
            Category::Io | Category::Syntax | Category::Eof => JsonError::Syntax,
        })?;
        reader.end().map_err(|_| JsonError::Syntax)?;
        if !are_distinct(&members, |(name, _)| name) {
            return Err(JsonError::DuplicateMember);
        }
        Ok(Self { members })
    }

    /// The value of the member `name`, compared with the decoded member names.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Json<'a>> {
        self.members
            .iter()
            .find(|(member, _)| member == name)
            .map(|(_, value)| *value)
    }

    /// All members in the order of the text, names decoded.
    pub fn members(&self) -> impl Iterator<Item = (&str, Json<'a>)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether the object is `{}`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

// The content may be that of a token, which must not reach a log.
impl fmt::Debug for Object<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Object")
            .field("members", &self.members.len())
            .finish_non_exhaustive()
    }
}

/// The kind of a JSON value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// One JSON value as it is written. Only the `as_…` methods decode it.
#[derive(Clone, Copy)]
pub struct Json<'a>(&'a RawValue);

impl<'a> Json<'a> {
    /// Reads `bytes` as exactly one JSON value of any kind and checks it at every depth.
    ///
    /// # Errors
    ///
    /// As [`Object::parse`], but accepts a value of any kind.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(bytes).map_err(|_| JsonError::NotUtf8)?;
        let value = Self(serde_json::from_str(text).map_err(|_| JsonError::Syntax)?);
        value.check(&Cell::new(usize::MAX))?;
        Ok(value)
    }

    /// The value's kind.
    #[must_use]
    pub fn kind(self) -> Kind {
        // The text is valid and has no white space around it: its first byte determines the kind.
        match self.0.get().as_bytes().first() {
            Some(b'n') => Kind::Null,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'"') => Kind::String,
            Some(b'[') => Kind::Array,
            Some(b'{') => Kind::Object,
            _ => Kind::Number,
        }
    }

    /// The value's exact text, without white space around it.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.0.get()
    }

    /// The value of a string, borrowed when nothing in it is escaped; `None` for any other kind.
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        let inner = self.text().strip_prefix('"')?.strip_suffix('"')?;
        if memchr::memchr(b'\\', inner.as_bytes()).is_some() {
            serde_json::from_str(self.text()).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inner))
        }
    }

    /// The value of `true` or `false`; `None` for any other kind.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        match self.text() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The address of its text. The values of one text have the order of their addresses.
    pub(crate) fn address(self) -> usize {
        self.text().as_ptr().addr()
    }

    /// The text of a number, with every digit it was written with; `None` for any other kind.
    #[must_use]
    pub fn as_number_text(self) -> Option<&'a str> {
        (self.kind() == Kind::Number).then(|| self.text())
    }

    /// The elements of an array, in order; `None` for any other kind.
    #[must_use]
    pub fn as_array(self) -> Option<Vec<Self>> {
        if self.kind() != Kind::Array {
            return None;
        }
        let elements: Vec<&RawValue> = serde_json::from_str(self.text()).ok()?;
        Some(elements.into_iter().map(Self).collect())
    }

    /// Passes the elements of an array to `take` in order, as long as `take` returns true. Returns false for
    /// any other kind.
    pub(crate) fn each_element(self, take: &mut dyn FnMut(Self) -> bool) -> bool {
        if self.kind() != Kind::Array {
            return false;
        }
        let mut reader = serde_json::Deserializer::from_str(self.text());
        // The text is valid: only `take` can end this before the array ends.
        let _ = reader.deserialize_seq(Elements {
            take: &mut |element| take(Json(element)),
        });
        true
    }

    /// The value as an object; `None` for any other kind.
    #[must_use]
    pub fn as_object(self) -> Option<Object<'a>> {
        Object::outline_up_to(usize::MAX, self.text().as_bytes()).ok()
    }

    /// Appends the same JSON without insignificant white space; strings and numbers stay byte for byte.
    pub fn compact(self, out: &mut Vec<u8>) {
        let mut in_string = false;
        let mut escaped = false;
        out.reserve(self.text().len());
        out.extend(self.text().bytes().filter(|byte| {
            if !in_string {
                in_string = *byte == b'"';
                return !matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
            }
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            true
        }));
    }

    /// Checks what the capture of the raw text did not: escapes, ranges of numbers, depth and members. The
    /// value is a member of the outermost object. `room` is the number of further members that the text may
    /// have.
    fn check(self, room: &Cell<usize>) -> Result<(), JsonError> {
        let text = self.text();
        let is_sound = match self.kind() {
            Kind::Null | Kind::Bool => true,
            Kind::String => memchr::memchr(b'\\', text.as_bytes()).is_none() || self.as_str().is_some(),
            // RFC 8259 section 6: "This specification allows implementations to set limits on the range and
            // precision of numbers accepted." Nested numbers are read as doubles below; the limit is the same
            // here. Without an exponent no number of fewer than 300 digits can be out of range.
            Kind::Number => {
                let is_plain = text.len() < 300 && !text.bytes().any(|byte| byte | 0x20 == b'e');
                is_plain || serde_json::from_str::<f64>(text).is_ok()
            }
            Kind::Array | Kind::Object => {
                let fault = Cell::new(None);
                let check = Check {
                    depth: 1,
                    fault: &fault,
                    room,
                };
                let outcome = check.deserialize(&mut serde_json::Deserializer::from_str(text));
                if let Some(fault) = fault.get() {
                    return Err(fault);
                }
                outcome.is_ok()
            }
        };
        if is_sound { Ok(()) } else { Err(JsonError::Syntax) }
    }
}

impl fmt::Debug for Json<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Json").field(&self.kind()).finish()
    }
}
