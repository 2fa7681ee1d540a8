//! The locations of a request that may contain a token.

use std::rc::Rc;

use crate::ids::FieldId;

/// A location of a request that may contain a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A header field with a prefix and then the token.
    Header {
        /// The field.
        field: FieldId,
        /// Its name, in lower case.
        name: Rc<str>,
        /// The text before the token. `Bearer ` matches in any case, as RFC 9110 section 11.1 requires for
        /// schemes.
        prefix: Box<[u8]>,
    },
    /// A query parameter.
    Parameter {
        /// `:path`.
        field: FieldId,
        /// Its name, decoded.
        name: Box<str>,
    },
    /// A cookie.
    Cookie {
        /// `cookie`.
        field: FieldId,
        /// Its name.
        name: Box<str>,
    },
}

/// The prefix of a token with a proof of possession.
pub const DPOP_PREFIX: &[u8] = b"DPoP ";

impl Location {
    /// Its field.
    #[must_use]
    pub fn field(&self) -> FieldId {
        match self {
            Self::Header { field, .. } | Self::Parameter { field, .. } | Self::Cookie { field, .. } => *field,
        }
    }

    /// Whether its tokens are for a proxy, and not for the server behind it ([RFC 9110 section
    /// 11.7.2](https://www.rfc-editor.org/rfc/rfc9110#section-11.7.2)).
    #[must_use]
    pub fn is_for_proxy(&self) -> bool {
        matches!(self, Self::Header { name, .. } if **name == *"proxy-authorization")
    }

    /// Whether its tokens come with a proof of possession.
    #[must_use]
    pub fn is_dpop(&self) -> bool {
        matches!(self, Self::Header { prefix, .. } if **prefix == *DPOP_PREFIX)
    }
}
