//! The reasons for which the filter refuses requests. Each has one code, which is the same in every output.
//!
//! It contains the list of reasons. [`crate::reply`] knows the form of a refusal.

mod detail;

pub use detail::Detail;

use crate::ids::{Choice, ConditionId, ProviderId};

/// The reason for which the filter refuses a request. Its [`label`](Self::label) is a stable interface:
/// `reason` in the reply's body, the suffix of the metric, the filter state for the access log, and the word
/// in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No location of the configuration contains a credential.
    TokenMissing,
    /// More than one credential.
    TokenMultiple,
    /// The filter cannot parse the request.
    RequestMalformed,
    /// Not a compact JWS of three parts with a JSON header and JSON claims ([RFC 7515 section
    /// 7.1](https://www.rfc-editor.org/rfc/rfc7515#section-7.1), [RFC 7519 section
    /// 7.2](https://www.rfc-editor.org/rfc/rfc7519#section-7.2)).
    TokenMalformed,
    /// Longer than `limits.max_token_bytes`.
    TokenTooLarge,
    /// `typ` is not one of `token_types` ([RFC 8725 section
    /// 3.11](https://www.rfc-editor.org/rfc/rfc8725#section-3.11)).
    TypeRejected,
    /// `alg` is not allowed, or does not fit the key that `kid` names ([RFC 8725 section
    /// 3.1](https://www.rfc-editor.org/rfc/rfc8725#section-3.1)).
    AlgorithmRejected,
    /// `crit` names an extension. The filter implements none ([RFC 7515 section
    /// 4.1.11](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.11)).
    CriticalHeader,
    /// `iss` is absent, or not that of a provider.
    IssuerUnknown,
    /// The provider has no key with this `kid`, or none that fits.
    KeyUnknown,
    /// No key verifies the signature.
    SignatureInvalid,
    /// `exp` has passed ([RFC 7519 section 4.1.4](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4)).
    TokenExpired,
    /// `nbf` or `iat` is in the future ([RFC 7519 section
    /// 4.1.5](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.5),
    /// [4.1.6](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.6)).
    TokenNotYetValid,
    /// `exp` is further in the future than `max_lifetime`.
    LifetimeTooLong,
    /// `aud` contains none of `audiences` ([RFC 7519 section
    /// 4.1.3](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3)).
    AudienceMismatch,
    /// `sub` does not match `subjects`.
    SubjectRejected,
    /// A valid token does not meet the conditions of its provider (`authorize` of the provider).
    TokenRejected,
    /// A required claim is absent.
    ClaimMissing,
    /// A claim has the wrong type.
    ClaimMalformed,
    /// The token is not bound to its client, although the provider requires it or the token says so (`cnf`,
    /// RFC 7800).
    BindingMismatch,
    /// The proof of possession is absent or invalid ([RFC 9449 section
    /// 4.3](https://www.rfc-editor.org/rfc/rfc9449#section-4.3)).
    ProofInvalid,
    /// The proof of possession contains no current nonce of this filter ([RFC 9449 section
    /// 9](https://www.rfc-editor.org/rfc/rfc9449#section-9)).
    ProofNonce,
    /// The proof of possession was used before.
    ProofReplayed,
    /// The filter cannot remember the proof of possession as used.
    ProofStoreFull,
    /// The token lacks a scope that `authorize` requires.
    ScopeInsufficient,
    /// A claim does not meet a condition of `authorize`.
    ClaimRejected,
    /// There are no keys for the verification.
    KeysUnavailable,
    /// The route names a requirement that is not in `requirement_map`.
    RouteRequirementUnknown,
    /// A rule refuses the request, whatever its token (`deny`).
    RouteDenied,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 29] = [
        Self::TokenMissing,
        Self::TokenMultiple,
        Self::RequestMalformed,
        Self::TokenMalformed,
        Self::TokenTooLarge,
        Self::TypeRejected,
        Self::AlgorithmRejected,
        Self::CriticalHeader,
        Self::IssuerUnknown,
        Self::KeyUnknown,
        Self::SignatureInvalid,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::LifetimeTooLong,
        Self::AudienceMismatch,
        Self::SubjectRejected,
        Self::TokenRejected,
        Self::ClaimMissing,
        Self::ClaimMalformed,
        Self::BindingMismatch,
        Self::ProofInvalid,
        Self::ProofNonce,
        Self::ProofReplayed,
        Self::ProofStoreFull,
        Self::ScopeInsufficient,
        Self::ClaimRejected,
        Self::KeysUnavailable,
        Self::RouteRequirementUnknown,
        Self::RouteDenied,
    ];

    /// The stable code, in snake case.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TokenMissing => "token_missing",
            Self::TokenMultiple => "token_multiple",
            Self::RequestMalformed => "request_malformed",
            Self::TokenMalformed => "token_malformed",
            Self::TokenTooLarge => "token_too_large",
            Self::TypeRejected => "type_rejected",
            Self::AlgorithmRejected => "algorithm_rejected",
            Self::CriticalHeader => "critical_header",
            Self::IssuerUnknown => "issuer_unknown",
            Self::KeyUnknown => "key_unknown",
            Self::SignatureInvalid => "signature_invalid",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::LifetimeTooLong => "lifetime_too_long",
            Self::AudienceMismatch => "audience_mismatch",
            Self::SubjectRejected => "subject_rejected",
            Self::TokenRejected => "token_rejected",
            Self::ClaimMissing => "claim_missing",
            Self::ClaimMalformed => "claim_malformed",
            Self::BindingMismatch => "binding_mismatch",
            Self::ProofInvalid => "proof_invalid",
            Self::ProofNonce => "proof_nonce",
            Self::ProofReplayed => "proof_replayed",
            Self::ProofStoreFull => "proof_store_full",
            Self::ScopeInsufficient => "scope_insufficient",
            Self::ClaimRejected => "claim_rejected",
            Self::KeysUnavailable => "keys_unavailable",
            Self::RouteRequirementUnknown => "route_requirement_unknown",
            Self::RouteDenied => "route_denied",
        }
    }

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
    },
    /// A condition on a claim.
    Condition {
        /// The condition.
        id: ConditionId,
        /// The token does not have the only claim that the condition tests. A `null` counts as absent.
        is_absent: bool,
    },
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
