//! The places of a request that may hold a token.

use std::rc::Rc;

use crate::ids::FieldId;

/// A place of a request that may hold a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A header field, whose value is the prefix and then the token.
    Header {
        /// The field.
        field: FieldId,
        /// Its name, in lower case.
        name: Rc<str>,
        /// What is before the token. `Bearer ` matches in any case, as RFC 9110 section 11.1 has it for schemes.
        prefix: Box<[u8]>,
    },
    /// A parameter of the query.
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

/// Before a token that is sent with a proof.
pub const DPOP_PREFIX: &[u8] = b"DPoP ";

impl Location {
    /// The field that it is in.
    #[must_use]
    pub fn field(&self) -> FieldId {
        match self {
            Self::Header { field, .. } | Self::Parameter { field, .. } | Self::Cookie { field, .. } => *field,
        }
    }

    /// Whether tokens there are for a proxy, and not for the server behind it (RFC 9110 section 11.7.2).
    #[must_use]
    pub fn is_for_proxy(&self) -> bool {
        matches!(self, Self::Header { name, .. } if **name == *"proxy-authorization")
    }

    /// Whether tokens there are sent with a proof of possession.
    #[must_use]
    pub fn is_dpop(&self) -> bool {
        matches!(self, Self::Header { prefix, .. } if **prefix == *DPOP_PREFIX)
    }
}
