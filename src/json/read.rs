//! Strict reading with serde_json: visitors for one object with raw values, and for everything nested in a
//! value.
//!
//! It must not know the meaning of any member.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{JsonError, MAX_DEPTH};

/// Whether no two of `items` have the same name. Many names go into a tree and not into a hash table: no
/// choice of names makes a tree slow.
pub(super) fn are_distinct<T>(items: &[T], name: impl Fn(&T) -> &str) -> bool {
    if items.len() <= 16 {
        let mut rest = items;
        while let Some((item, others)) = rest.split_first() {
            // The names of claims often have the same length, and most differ in the first byte or the last.
            // The comparison of all bytes is a call.
            let (item, ends) = (name(item), ends(name(item)));
            if others
                .iter()
                .map(&name)
                .any(|other| self::ends(other) == ends && other == item)
            {
                return false;
            }
            rest = others;
        }
        return true;
    }
    let mut names = BTreeSet::new();
    items.iter().all(|item| names.insert(name(item)))
}

fn ends(name: &str) -> (Option<&u8>, Option<&u8>) {
    (name.as_bytes().first(), name.as_bytes().last())
}

/// A string that borrows when it can; serde's own `Cow<str>` never does.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

/// Reads one object and passes its members on, each with its value as it is written, until `take` returns
/// false.
pub(super) struct Members<F> {
    pub(super) take: F,
}

impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue) -> bool> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            if !(self.take)(name, value) {
                return Err(de::Error::custom(JsonError::TooManyMembers));
            }
        }
        Ok(())
    }
}

/// Reads an array and passes its elements on, each as it is written, until `take` returns false.
pub(super) struct Elements<'t, 'a> {
    pub(super) take: &'t mut dyn FnMut(&'a RawValue) -> bool,
}

impl<'de> Visitor<'de> for Elements<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<&'de RawValue>()? {
            if !(self.take)(element) {
                return Err(de::Error::custom("enough"));
            }
        }
        Ok(())
    }
}

/// Walks a nested value once and keeps nothing. `depth` is the depth of the object or array that holds the
/// value. `fault` receives the fault, because serde_json's error does not carry it.
#[derive(Clone, Copy)]
pub(super) struct Check<'f> {
    pub(super) depth: usize,
    pub(super) fault: &'f Cell<Option<JsonError>>,
    /// The number of further members that the text may have.
    pub(super) room: &'f Cell<usize>,
}

impl Check<'_> {
    fn refuse<E: de::Error>(self, fault: JsonError) -> E {
        self.fault.set(Some(fault));
        E::custom(fault)
    }

    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.saturating_add(1);
        if depth > MAX_DEPTH {
            Err(self.refuse(JsonError::TooDeep))
        } else {
            Ok(Self { depth, ..self })
        }
    }
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let element = self.deeper()?;
        while elements.next_element_seed(element)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let value = self.deeper()?;
        let mut names = Vec::new();
        while let Some(name) = members.next_key::<Name<'de>>()? {
            match self.room.get().checked_sub(1) {
                Some(room) => self.room.set(room),
                None => return Err(self.refuse(JsonError::TooManyMembers)),
            }
            names.push(name);
            members.next_value_seed(value)?;
        }
        if are_distinct(&names, |Name(name)| name) {
            Ok(())
        } else {
            Err(self.refuse(JsonError::DuplicateMember))
        }
    }
}
