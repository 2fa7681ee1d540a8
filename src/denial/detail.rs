//! What is at fault in a refused request, beside the reason; in words: [`crate::account`].

use crate::ids::LocationId;
use crate::jose::Algorithm;
use crate::time::UnixTime;

/// What is at fault, in numbers and in words of the configuration or of the program: never a byte of the token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// The reason says it all.
    #[default]
    None,
    /// A claim or a part of the request.
    Word(&'static str),
    /// `exp` was then.
    Passed(UnixTime),
    /// This claim says that the token is valid from then on.
    Ahead(&'static str, UnixTime),
    /// `exp` is as late as that.
    TooFar(UnixTime),
    /// The number of a claim among the provider's `required_claims`.
    RequiredClaim(usize),
    /// `alg` is this, and the provider does not allow it.
    NotAllowed(Algorithm),
    /// There is no `kid`, and `alg` is this.
    NoKid(Algorithm),
    /// The key that `kid` names is for another algorithm.
    Misfit {
        /// `alg`.
        used: Algorithm,
        /// What the key is for.
        is_for: Algorithm,
    },
    /// One location holds several tokens.
    Twice(LocationId),
    /// Two locations hold different tokens.
    Both(LocationId, LocationId),
}
