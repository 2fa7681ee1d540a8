//! The reasons for which the filter refuses requests. Each has one code, which is the same in every output.
//!
//! It contains the list of reasons. [`crate::reply`] knows the form of a refusal.

mod detail;

pub use detail::{Detail, Doubt, Doubtful};

use crate::ids::{Choice, ConditionId, ProviderId};

/// Declares the reasons, each with its code, in the order of the documentation.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $code:literal,)*) => {
        /// The reason for which the filter refuses a request. Its [`label`](Self::label) is a stable
        /// interface: `reason` in the reply's body, the suffix of the metric, the filter state for the access
        /// log, and the word in the log.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: [Self; [$($code),*].len()] = [$(Self::$name),*];

            /// The stable code, in snake case.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

reasons! {
    /// No location of the configuration contains a credential.
    TokenMissing "token_missing",
    /// More than one credential.
    TokenMultiple "token_multiple",
    /// The filter cannot parse the request.
    RequestMalformed "request_malformed",
    /// Not a compact JWS of three parts with a JSON header and JSON claims ([RFC 7515 section
    /// 7.1](https://www.rfc-editor.org/rfc/rfc7515#section-7.1), [RFC 7519 section
    /// 7.2](https://www.rfc-editor.org/rfc/rfc7519#section-7.2)).
    TokenMalformed "token_malformed",
    /// Longer than `limits.max_token_bytes`.
    TokenTooLarge "token_too_large",
    /// `typ` is not one of `token_types` ([RFC 8725 section
    /// 3.11](https://www.rfc-editor.org/rfc/rfc8725#section-3.11)).
    TypeRejected "type_rejected",
    /// `alg` is not allowed, or does not fit the key that `kid` names ([RFC 8725 section
    /// 3.1](https://www.rfc-editor.org/rfc/rfc8725#section-3.1)).
    AlgorithmRejected "algorithm_rejected",
    /// `crit` names an extension. The filter implements none ([RFC 7515 section
    /// 4.1.11](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.11)).
    CriticalHeader "critical_header",
    /// `iss` is absent, or not that of a provider.
    IssuerUnknown "issuer_unknown",
    /// The provider has no key with this `kid`, or none that fits.
    KeyUnknown "key_unknown",
    /// No key verifies the signature.
    SignatureInvalid "signature_invalid",
    /// `exp` has passed ([RFC 7519 section 4.1.4](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4)).
    TokenExpired "token_expired",
    /// `nbf` or `iat` is in the future ([RFC 7519 section
    /// 4.1.5](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.5),
    /// [4.1.6](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.6)).
    TokenNotYetValid "token_not_yet_valid",
    /// `exp` is further in the future than `max_lifetime`.
    LifetimeTooLong "lifetime_too_long",
    /// `aud` contains none of `audiences` ([RFC 7519 section
    /// 4.1.3](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3)).
    AudienceMismatch "audience_mismatch",
    /// `sub` does not match `subjects`.
    SubjectRejected "subject_rejected",
    /// A valid token does not meet the conditions of its provider (`authorize` of the provider).
    TokenRejected "token_rejected",
    /// A required claim is absent.
    ClaimMissing "claim_missing",
    /// A claim has the wrong type.
    ClaimMalformed "claim_malformed",
    /// The token is not bound to its client, although the provider requires it or the token says so (`cnf`,
    /// RFC 7800).
    BindingMismatch "binding_mismatch",
    /// The proof of possession is absent or invalid ([RFC 9449 section
    /// 4.3](https://www.rfc-editor.org/rfc/rfc9449#section-4.3)).
    ProofInvalid "proof_invalid",
    /// The proof of possession contains no current nonce of this filter ([RFC 9449 section
    /// 9](https://www.rfc-editor.org/rfc/rfc9449#section-9)).
    ProofNonce "proof_nonce",
    /// The proof of possession was used before.
    ProofReplayed "proof_replayed",
    /// The filter cannot remember the proof of possession as used.
    ProofStoreFull "proof_store_full",
    /// The token lacks a scope that `authorize` requires.
    ScopeInsufficient "scope_insufficient",
    /// A claim does not meet a condition of `authorize`.
    ClaimRejected "claim_rejected",
    /// There are no keys for the verification.
    KeysUnavailable "keys_unavailable",
    /// The route names a requirement that is not in `requirement_map`.
    RouteRequirementUnknown "route_requirement_unknown",
    /// A rule refuses the request, whatever its token (`deny`).
    RouteDenied "route_denied",
}

impl Reason {
    /// The position in [`Self::ALL`], for tables with one entry for each reason.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A refusal: its reason, and the provider if it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The reason.
    pub reason: Reason,
    /// The provider whose checks the token failed, if one was selected.
    pub provider: Option<ProviderId>,
    /// The fault, for the operator: the claim or the part of the token. It never contains a byte of the
    /// token.
    pub detail: Detail,
    /// The rule that applied, if one was chosen.
    pub rule: Option<Choice>,
    /// Servers interpret the request's path in several ways, so no rule could exempt the request from a
    /// token.
    pub has_odd_path: bool,
    /// Why the rule applies, if it is not the one for the request as written.
    pub doubtful: Option<Doubtful>,
    /// The condition that a valid token does not meet.
    pub shortfall: Option<Shortfall>,
}

/// The condition that a valid token does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// Scopes.
    Scope {
        /// A bit for each of the first 64 wanted scopes, in order of the text, that the token lacks.
        missing: u64,
        /// The token has none of the claims that may contain scopes.
        is_absent: bool,
    },
    /// A condition on a claim.
    Condition {
        /// The condition.
        id: ConditionId,
        /// The cause.
        cause: Cause,
    },
}

/// The cause for which a condition on a claim is false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The claim has another value; or none of several conditions is true.
    Value,
    /// The token does not have the claim. A `null` counts as absent.
    ClaimAbsent,
    /// The claim has another type: it is not a list, or no value in the condition has its type.
    Type,
    /// The path does not match the template, or the request has no such header.
    RequestAbsent,
    /// Servers may find different values in the request.
    RequestAmbiguous,
    /// The check would exceed the work that one request may cause.
    TooMuch,
}

impl Denial {
    /// A refusal before the selection of a provider.
    #[must_use]
    pub const fn new(reason: Reason) -> Self {
        Self {
            reason,
            provider: None,
            detail: Detail::None,
            rule: None,
            has_odd_path: false,
            doubtful: None,
            shortfall: None,
        }
    }

    /// A refusal of a valid token that does not meet a condition.
    #[must_use]
    pub const fn lacking(shortfall: Shortfall) -> Self {
        let reason = match shortfall {
            Shortfall::Scope { .. } => Reason::ScopeInsufficient,
            Shortfall::Condition { .. } => Reason::ClaimRejected,
        };
        Self::new(reason).short_of(shortfall)
    }

    /// The same refusal, with the condition that a valid token does not meet.
    #[must_use]
    pub const fn short_of(self, shortfall: Shortfall) -> Self {
        Self {
            shortfall: Some(shortfall),
            ..self
        }
    }

    /// The same refusal, with a word for the operator.
    #[must_use]
    pub const fn with_detail(self, detail: &'static str) -> Self {
        self.because(Detail::Word(detail))
    }

    /// The same refusal, with the fault.
    #[must_use]
    pub const fn because(self, detail: Detail) -> Self {
        Self { detail, ..self }
    }

    /// The same refusal, with the rule that applied.
    #[must_use]
    pub const fn under(self, rule: Choice) -> Self {
        Self {
            rule: Some(rule),
            ..self
        }
    }

    /// The same refusal, with the provider whose checks failed.
    #[must_use]
    pub const fn by(self, provider: ProviderId) -> Self {
        Self {
            provider: Some(provider),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_at_its_index() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }
}
