//! The requirements of a provider on the claims of its tokens.

use std::time::Duration;

use super::issuer::IssuerPattern;
use super::path::ClaimPath;
use crate::pattern::StringMatcher;

/// The requirements on the claims of a provider's tokens, without the audience, which a rule may override.
#[derive(Debug)]
pub struct ClaimRules {
    /// `iss`, compared exactly: one of these. There is at least one.
    pub issuers: Vec<Box<str>>,
    /// `iss` with variables: the only one, in which some segments name the tenant.
    pub issuer_pattern: Option<IssuerPattern>,
    /// The filter refuses a token without `exp`.
    pub require_expiration: bool,
    /// How far the issuer's clock may differ.
    pub clock_skew: Duration,
    /// How far in the future `exp` may be.
    pub max_lifetime: Option<Duration>,
    /// `sub` must match.
    pub subjects: Option<StringMatcher>,
    /// The same as in the configuration, for the operator.
    pub subjects_text: Box<str>,
    /// The profile that the token must follow (`profile`).
    pub profile: Option<Profile>,
    /// Claims that must be present.
    pub required_claims: Vec<ClaimPath>,
}

impl ClaimRules {
    /// Whether these rules apply to tokens with this `iss`.
    #[must_use]
    pub fn is_issuer(&self, issuer: &str) -> bool {
        match &self.issuer_pattern {
            None => self.issuers.iter().any(|known| **known == *issuer),
            Some(pattern) => pattern.values(issuer).is_some(),
        }
    }
}

/// The audiences of which a token must have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audiences {
    /// `["*"]`: every token, including one without `aud`.
    Any,
    /// One of these, compared exactly.
    OneOf(Vec<Box<str>>),
}

impl Audiences {
    /// Whether a token with this audience is accepted.
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
    /// RFC 9068: JWT access tokens, with their own `typ` and the claims of its section 2.2.
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

    /// The required claims that name someone or something. They must be strings, and not empty.
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
