//! The reasons for which the strict reader refuses a text.

use std::fmt;

/// The deepest nesting of objects and arrays: 32 levels in a claim. The outermost object has depth 1.
pub const MAX_DEPTH: usize = 33;

/// The reason for which a text is not a JSON object as required.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JsonError {
    /// The bytes are not UTF-8 ([RFC 8259 section 8.1](https://www.rfc-editor.org/rfc/rfc8259#section-8.1)).
    NotUtf8,
    /// The text breaks the grammar, continues after its value, or contains a string with a lone surrogate or
    /// a number beyond the range of a double.
    Syntax,
    /// The text is a JSON value of another kind.
    NotAnObject,
    /// An object, at any depth, names a member twice.
    DuplicateMember,
    /// Objects and arrays nest deeper than [`MAX_DEPTH`].
    TooDeep,
    /// The text has more members than its reader permits.
    TooManyMembers,
}

impl fmt::Display for JsonError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotUtf8 => "not UTF-8",
            Self::Syntax => "not JSON",
            Self::NotAnObject => "not a JSON object",
            Self::DuplicateMember => "a JSON member is named twice",
            Self::TooDeep => "JSON nested too deeply",
            Self::TooManyMembers => "JSON with too many members",
        })
    }
}

impl std::error::Error for JsonError {}
