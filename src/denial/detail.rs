//! The fault of a refused request, beside the reason. [`crate::account`] puts it into words.

use crate::ids::{LocationId, RequiredClaimId};
use crate::jose::{Algorithm, EncodingFault};
use crate::json::JsonError;
use crate::time::UnixTime;

/// The fault of a refused request, in numbers and in words of the configuration or of the program. It never
/// contains a byte of the token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// The reason is sufficient.
    #[default]
    None,
    /// A claim or a part of the request.
    Word(&'static str),
    /// The claim with a time, and the time, which has passed.
    Passed(&'static str, UnixTime),
    /// The claim, and the time from which it permits the token.
    Ahead(&'static str, UnixTime),
    /// `exp`, which is too late.
    TooFar(UnixTime),
    /// A claim in the provider's `required_claims`.
    RequiredClaim(RequiredClaimId),
    /// `alg`, which the provider does not allow.
    NotAllowed(Algorithm),
    /// The token has no `kid`. Its `alg`.
    NoKid(Algorithm),
    /// The key with the token's `kid` is for another algorithm.
    Misfit {
        /// `alg`.
        used: Algorithm,
        /// The algorithm of the key.
        is_for: Algorithm,
    },
    /// One location holds several tokens.
    Twice(LocationId),
    /// Two locations hold different tokens.
    Both(LocationId, LocationId),
    /// The request has this header, but its value does not begin as a token there does.
    Unread(LocationId),
    /// The value of this parameter has a broken escape.
    BrokenEscape(LocationId),
    /// A header has another spelling of a name in the configuration, by its position among those names.
    Spelling(usize),
    /// Not three parts: the length of the token, and the number of its periods.
    Parts {
        /// The length.
        bytes: usize,
        /// The number.
        periods: usize,
    },
    /// This part of the token is not base64url, and the fault.
    Encoding(&'static str, EncodingFault),
    /// This part of the token is not a JSON object as required.
    Json(&'static str, JsonError),
}

/// A part of the request that servers may interpret differently. An index is small, because every refusal has
/// room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The path, although it is canonical.
    Path,
    /// A header field, or a pseudo-field such as `:authority`: the index of the [`crate::ids::FieldId`].
    Header(u16),
    /// A query parameter: the index of the [`crate::ids::ConditionId`].
    Parameter(u16),
    /// The route: Envoy may choose another one.
    Route,
}

/// Why a request has to meet another rule than the one for the request as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubtful {
    /// The part of the request.
    pub part: Doubt,
    /// The index of the first rule that may apply or not, depending on the part. There is no rule
    /// [`Self::NO_RULE`].
    pub rule: u16,
    /// That rule permits requests without a token, so that a stricter one applies.
    pub is_waiver: bool,
}

impl Doubtful {
    /// More than all rules.
    pub const NO_RULE: u16 = u16::MAX;
    /// Only the path has several interpretations.
    pub const PATH: Self = Self {
        part: Doubt::Path,
        rule: Self::NO_RULE,
        is_waiver: false,
    };
}
