//! The edits that a decision makes to a request on its way to the upstream.

use std::rc::Rc;

/// Edits of the request's header fields, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    edits: Vec<HeaderEdit>,
}

/// One edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderEdit {
    /// The field, in lower case.
    pub name: Rc<str>,
    /// Its only value from now on; `None` removes all values of the field.
    pub value: Option<Vec<u8>>,
}

impl HeaderEdits {
    /// Adds an edit.
    pub fn push(&mut self, name: Rc<str>, value: Option<Vec<u8>>) {
        self.edits.push(HeaderEdit { name, value });
    }

    /// Whether there is no edit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The approximate size in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.edits
            .iter()
            .map(|edit| edit.value.as_ref().map_or(0, Vec::len))
            .fold(0, |sum, bytes| bytes.saturating_add(sum).saturating_add(32))
    }

    /// The edits, in order.
    pub fn iter(&self) -> impl Iterator<Item = &HeaderEdit> {
        self.edits.iter()
    }
}
