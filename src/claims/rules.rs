//! What the claims of a provider's tokens must say.

use std::time::Duration;

use super::issuer::IssuerPattern;
use super::path::ClaimPath;
use crate::pattern::StringMatcher;

/// What the claims of a provider's tokens must say, but for their audience, which a requirement may override.
#[derive(Debug)]
pub struct ClaimRules {
    /// `iss`, compared exactly: one of these, of which there is at least one.
    pub issuers: Vec<Box<str>>,
    /// `iss`, where segments of the only one are a tenant's.
    pub issuer_pattern: Option<IssuerPattern>,
    /// A token without `exp` is refused.
    pub require_expiration: bool,
    /// How far the issuer's clock may be off.
    pub clock_skew: Duration,
    /// How far away `exp` may be.
    pub max_lifetime: Option<Duration>,
    /// `sub` must match.
    pub subjects: Option<StringMatcher>,
    /// What the token must be beside that (`profile`).
    pub profile: Option<Profile>,
    /// Claims that must be there.
    pub required_claims: Vec<ClaimPath>,
}

impl ClaimRules {
    /// Whether these rules are for tokens of this `iss`.
    #[must_use]
    pub fn is_issuer(&self, issuer: &str) -> bool {
        match &self.issuer_pattern {
            None => self.issuers.iter().any(|known| **known == *issuer),
            Some(pattern) => pattern.values(issuer).is_some(),
        }
    }
}

/// Whom a token must be meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audiences {
    /// `["*"]`: anyone, a token without `aud` included.
    Any,
    /// One of these, compared exactly.
    OneOf(Vec<Box<str>>),
}

impl Audiences {
    /// Whether a token for this audience is accepted.
    #[must_use]
    pub fn accepts(&self, audience: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(audiences) => audiences.iter().any(|known| **known == *audience),
        }
    }

    /// Whether a token without `aud` is accepted.
    #[must_use]
    pub fn accepts_none(&self) -> bool {
        matches!(self, Self::Any)
    }
}

/// A published profile that tokens must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// RFC 9068: JWT access tokens, told by `typ`, with the claims of its section 2.2.
    Rfc9068,
}

impl Profile {
    /// The claims that the profile requires.
    #[must_use]
    pub fn required_claims(self) -> &'static [&'static str] {
        match self {
            // Section 2.2: "REQUIRED": iss, exp, aud, sub, client_id, iat, jti.
            Self::Rfc9068 => &["iss", "exp", "aud", "sub", "client_id", "iat", "jti"],
        }
    }

    /// Those of them that name someone or something, so that they are strings, and say which.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Rfc9068 => &["sub", "client_id", "jti"],
        }
    }

    /// The types that the profile allows.
    #[must_use]
    pub fn token_type(self) -> &'static str {
        match self {
            // Section 4: "verify that the 'typ' header value is 'at+jwt' or 'application/at+jwt'".
            Self::Rfc9068 => "at+jwt",
        }
    }
}
