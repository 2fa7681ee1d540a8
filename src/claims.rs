//! The claims of a token, and their checks ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)).
//!
//! Trust is a type. [`UnverifiedClaims`] offers its issuer, which selects a provider, and cheap checks. Only
//! [`VerifiedJwt`], which requires a valid signature, exposes claims.

mod decimal;
mod issuer;
mod numeric_date;
mod path;
mod rules;
mod verified;

use std::borrow::Cow;

pub(crate) use decimal::Decimal;
pub use issuer::{IssuerPattern, IssuerSegment, issuers_overlap};
pub use numeric_date::NumericDate;
pub use path::ClaimPath;
pub use rules::{Audiences, ClaimRules, Profile};
pub use verified::{SignatureCheck, VerifiedJwt};

use crate::denial::{Denial, Detail, Reason};
use crate::ids::RequiredClaimId;
use crate::json::{Json, JsonError, Kind, Object};
use crate::pattern::{Effort, StringMatcher};
use crate::time::UnixTime;

/// The claims of a token whose signature has not been checked.
#[derive(Debug)]
pub struct UnverifiedClaims<'a> {
    members: Object<'a>,
}

impl<'a> UnverifiedClaims<'a> {
    /// Reads the payload. Fails unless it is a JSON object in UTF-8 without duplicate members ("The Claim
    /// Names within a JWT Claims Set MUST be unique", [RFC 7519 section
    /// 4](https://www.rfc-editor.org/rfc/rfc7519#section-4)) and with bounded depth.
    ///
    /// # Errors
    ///
    /// Fails for each reason that [`JsonError`] lists.
    pub fn parse(payload: &'a [u8]) -> Result<Self, JsonError> {
        Object::parse(payload).map(|members| Self { members })
    }

    /// `iss`, unverified: it may only select the provider whose keys are to verify it.
    ///
    /// # Errors
    ///
    /// Fails with `claim_malformed` if `iss` is not a string.
    pub fn unverified_issuer(&self) -> Result<Option<Cow<'a, str>>, Denial> {
        string_claim(&self.members, "iss")
    }

    /// `exp`, `nbf` and `iat`, which are checked now and again later.
    ///
    /// # Errors
    ///
    /// Fails with `claim_malformed` if one of the times is not a NumericDate.
    pub fn times(&self) -> Result<TimeLimits, Denial> {
        let date = |name| date_claim(&self.members, name);
        let [first, second] = STARTS;
        Ok(TimeLimits {
            expiry: date("exp")?,
            starts: [date(first)?, date(second)?],
        })
    }

    /// Every other check that needs no key: audience, subject, required claims.
    ///
    /// # Errors
    ///
    /// Fails with the denial of the first check that fails.
    pub fn check(&self, rules: &impl AsRef<ClaimRules>, audiences: &Audiences) -> Result<(), Denial> {
        let rules = rules.as_ref();
        self.check_audience(audiences)?;
        self.check_names()?;
        if let Some(subjects) = &rules.subjects {
            self.check_subject(subjects)?;
        }
        self.check_required(rules)
    }

    /// Sections 4.1.2 and 4.1.7: `sub` and `jti` are strings, even if the configuration does not use them. In
    /// a header, 7 and "7" would be equal.
    ///
    /// # Errors
    ///
    /// Fails with `claim_malformed` for a value of another type.
    pub fn check_names(&self) -> Result<(), Denial> {
        string_claim(&self.members, "sub")?;
        string_claim(&self.members, "jti").map(drop)
    }

    /// `required_claims`, and what the profile requires.
    ///
    /// # Errors
    ///
    /// Fails with `claim_missing` or `claim_malformed`.
    pub fn check_required(&self, rules: &ClaimRules) -> Result<(), Denial> {
        for (index, claim) in rules.required_claims.iter().enumerate() {
            match claim.resolve(&self.members) {
                Some(value) if value.kind() != Kind::Null => {}
                _ => {
                    let detail = Detail::RequiredClaim(RequiredClaimId::new(index));
                    return Err(Denial::new(Reason::ClaimMissing).because(detail));
                }
            }
        }
        for name in rules.profile.map_or(&[][..], Profile::names) {
            if string_claim(&self.members, name)?.is_none_or(|name| name.is_empty()) {
                return Err(Denial::new(Reason::ClaimMissing).with_detail(name));
            }
        }
        Ok(())
    }

    /// An issuer with many tenants names the tenant in `iss` and in a claim: both must be equal. Otherwise an
    /// upstream that reads only one of them would take the token of one tenant for another's.
    ///
    /// # Errors
    ///
    /// Fails with `issuer_unknown`, or with `claim_malformed` for a claim of another type.
    pub fn check_issuer(&self, rules: &impl AsRef<ClaimRules>) -> Result<(), Denial> {
        let Some(pattern) = &rules.as_ref().issuer_pattern else {
            return Ok(());
        };
        let unknown = Denial::new(Reason::IssuerUnknown).with_detail("issuer_claims");
        let issuer = self.unverified_issuer()?.ok_or(unknown)?;
        for (claim, value) in pattern.values(&issuer).ok_or(unknown)? {
            let claimed = claim.resolve(&self.members).and_then(Json::as_str);
            if claimed.as_deref() != Some(value) {
                return Err(unknown);
            }
        }
        Ok(())
    }

    /// Section 4.1.3: "each principal intended to process the JWT MUST identify itself with a value in the
    /// audience claim"; a list of strings, or one string.
    ///
    /// # Errors
    ///
    /// Fails with `audience_mismatch`, or with `claim_malformed` for a claim of another type.
    pub fn check_audience(&self, audiences: &Audiences) -> Result<(), Denial> {
        let mismatch = Denial::new(Reason::AudienceMismatch);
        let malformed = Denial::new(Reason::ClaimMalformed).with_detail("aud");
        let Some(claim) = self.members.member("aud") else {
            return if audiences.accepts_none() {
                Ok(())
            } else {
                Err(mismatch.with_detail("the token has no aud"))
            };
        };
        let mut accepted = audiences.accepts_none();
        match claim.kind() {
            Kind::String => {
                let value = claim.as_str().ok_or(malformed)?;
                accepted = accepted || audiences.accepts(&value);
            }
            Kind::Array => {
                for element in claim.as_array().ok_or(malformed)? {
                    let value = element.as_str().ok_or(malformed)?;
                    accepted = accepted || audiences.accepts(&value);
                }
            }
            Kind::Null | Kind::Bool | Kind::Number | Kind::Object => return Err(malformed),
        }
        if accepted { Ok(()) } else { Err(mismatch) }
    }

    /// `sub` matches `subjects`.
    ///
    /// # Errors
    ///
    /// Fails with `subject_rejected`, or with `claim_malformed` for a claim of another type.
    pub fn check_subject(&self, subjects: &StringMatcher) -> Result<(), Denial> {
        match string_claim(&self.members, "sub")? {
            Some(subject)
                if subjects.matches_once(subject.as_bytes(), &mut Effort::of_a_request()) == Some(true) =>
            {
                Ok(())
            }
            Some(_) => Err(Denial::new(Reason::SubjectRejected)),
            None => Err(Denial::new(Reason::SubjectRejected).with_detail("the token has no sub")),
        }
    }
}

/// The claims that limit when a token is valid. Section 4.1.5, `nbf`: "the time before which the JWT MUST NOT
/// be accepted". An `iat` in the future is treated in the same way.
const STARTS: [&str; 2] = ["nbf", "iat"];

/// The times of a token.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    expiry: Option<NumericDate>,
    starts: [Option<NumericDate>; 2],
}

impl TimeLimits {
    /// Whether the token is valid now, with the provider's tolerance.
    ///
    /// # Errors
    ///
    /// Fails with the denial of the first check that fails.
    pub fn check(&self, rules: &impl AsRef<ClaimRules>, now: UnixTime) -> Result<(), Denial> {
        let rules = rules.as_ref();
        self.check_expiry(rules, now)?;
        self.check_start(rules, now)
    }

    /// Whether the token has not expired, and does not expire too late.
    ///
    /// # Errors
    ///
    /// Fails with `token_expired`, `lifetime_too_long`, or `claim_missing` if `exp` is required.
    pub fn check_expiry(&self, rules: &ClaimRules, now: UnixTime) -> Result<(), Denial> {
        check_expiry(self.expiry, rules, now)
    }

    /// Whether the token is already valid.
    ///
    /// # Errors
    ///
    /// Fails with `token_not_yet_valid`.
    pub fn check_start(&self, rules: &ClaimRules, now: UnixTime) -> Result<(), Denial> {
        for (name, start) in STARTS.into_iter().zip(self.starts) {
            check_start(name, start, rules, now)?;
        }
        Ok(())
    }
}

fn check_expiry(expiry: Option<NumericDate>, rules: &ClaimRules, now: UnixTime) -> Result<(), Denial> {
    let skew = rules.clock_skew;
    match expiry {
        Some(expires_at) => {
            // Section 4.1.4: "the expiration time on or after which the JWT MUST NOT be accepted".
            if expires_at.is_on_or_before(now.before(skew)) {
                return Err(
                    Denial::new(Reason::TokenExpired).because(Detail::Passed("exp", expires_at.rounded_up()))
                );
            }
            if let Some(max_lifetime) = rules.max_lifetime
                && expires_at.is_after(now.after(max_lifetime).after(skew))
            {
                return Err(
                    Denial::new(Reason::LifetimeTooLong).because(Detail::TooFar(expires_at.rounded_up()))
                );
            }
        }
        None if rules.require_expiration || rules.max_lifetime.is_some() => {
            return Err(Denial::new(Reason::ClaimMissing).with_detail("exp"));
        }
        None => {}
    }
    Ok(())
}

fn check_start(
    name: &'static str,
    start: Option<NumericDate>,
    rules: &ClaimRules,
    now: UnixTime,
) -> Result<(), Denial> {
    match start {
        Some(date) if date.is_after(now.after(rules.clock_skew)) => {
            let detail = Detail::Ahead(name, date.rounded_up());
            Err(Denial::new(Reason::TokenNotYetValid).because(detail))
        }
        _ => Ok(()),
    }
}

/// A claim that must be a string. Another type is a fault, and not an absence.
fn string_claim<'a>(members: &Object<'a>, name: &'static str) -> Result<Option<Cow<'a, str>>, Denial> {
    match members.member(name) {
        None => Ok(None),
        Some(value) => match value.as_str() {
            Some(text) => Ok(Some(text)),
            None => Err(Denial::new(Reason::ClaimMalformed).with_detail(name)),
        },
    }
}

/// A claim that must be a NumericDate. Another type is a fault, and not an absence.
fn date_claim(members: &Object<'_>, name: &'static str) -> Result<Option<NumericDate>, Denial> {
    match members.member(name) {
        None => Ok(None),
        Some(value) => match value.as_number_text() {
            Some(text) => NumericDate::parse(text).map(Some),
            None => None,
        }
        .ok_or_else(|| Denial::new(Reason::ClaimMalformed).with_detail(name)),
    }
}

/// The value of a scalar as one line of text: a string unchanged, a number exactly as in the token.
#[must_use]
pub fn scalar_text(value: Json<'_>) -> Option<Cow<'_, str>> {
    match value.kind() {
        Kind::String => value.as_str(),
        Kind::Number => value.as_number_text().map(Cow::Borrowed),
        Kind::Bool => value
            .as_bool()
            .map(|value| Cow::Borrowed(if value { "true" } else { "false" })),
        Kind::Null | Kind::Array | Kind::Object => None,
    }
}
