//! Why a request is refused: one reason code each, the same word everywhere it is shown.
//!
//! Owns the list of reasons and nothing of how a refusal looks on the wire: that is [`crate::reply`].

mod detail;

pub use detail::Detail;

use crate::ids::{Choice, ProviderId};

/// One of the reasons for which a request is refused. Its [`label`](Self::label) is contract: the `reason` of the
/// reply's body, the suffix of the metric, the filter state for the access log and the word in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No credential where the configuration looks for one.
    TokenMissing,
    /// More than one credential.
    TokenMultiple,
    /// The request itself cannot be read.
    RequestMalformed,
    /// Not a compact JWS of three parts with a JSON header and JSON claims (RFC 7515 section 7.1, RFC 7519 section 7.2).
    TokenMalformed,
    /// Longer than `limits.max_token_bytes`.
    TokenTooLarge,
    /// `typ` is none of `token_types` (RFC 8725 section 3.11).
    TypeRejected,
    /// `alg` is not allowed, or does not fit the key that `kid` names (RFC 8725 section 3.1).
    AlgorithmRejected,
    /// `crit` names an extension, and none is implemented here (RFC 7515 section 4.1.11).
    CriticalHeader,
    /// `iss` is absent or no provider's.
    IssuerUnknown,
    /// The provider has no key of that `kid`, or none that fits.
    KeyUnknown,
    /// No key verifies the signature.
    SignatureInvalid,
    /// `exp` has passed (RFC 7519 section 4.1.4).
    TokenExpired,
    /// `nbf` or `iat` is yet to come (RFC 7519 sections 4.1.5, 4.1.6).
    TokenNotYetValid,
    /// `exp` is further away than `max_lifetime`.
    LifetimeTooLong,
    /// `aud` holds none of `audiences` (RFC 7519 section 4.1.3).
    AudienceMismatch,
    /// `sub` does not match `subjects`.
    SubjectRejected,
    /// A good token does not meet the conditions of its provider (`authorize` there).
    TokenRejected,
    /// A required claim is absent.
    ClaimMissing,
    /// A claim has the wrong type.
    ClaimMalformed,
    /// The token is not bound to the client that uses it, where it should be or says so (`cnf`, RFC 7800).
    BindingMismatch,
    /// The proof of possession is absent or no good (RFC 9449 section 4.3).
    ProofInvalid,
    /// The proof of possession holds no nonce of ours that is still good (RFC 9449 section 9).
    ProofNonce,
    /// The proof of possession was used before.
    ProofReplayed,
    /// There is no room to remember that the proof of possession was used.
    ProofStoreFull,
    /// The token lacks a scope that `authorize` asks for.
    ScopeInsufficient,
    /// A claim does not meet a condition of `authorize`.
    ClaimRejected,
    /// There are no keys to verify with.
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

    /// The position in [`Self::ALL`], for tables with an entry a reason.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A refusal: why, and with which provider's settings where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// The provider that the token was checked against, where it came that far.
    pub provider: Option<ProviderId>,
    /// What is at fault, for the operator: which claim, which part. Never a byte of the token.
    pub detail: Detail,
    /// What asked for a token, where it came that far.
    pub rule: Option<Choice>,
    /// Servers read the request's path in several ways, so that no rule exempted it from a token.
    pub has_odd_path: bool,
    /// What a good token lacks.
    pub shortfall: Option<Shortfall>,
}

/// What a good token lacks to be allowed what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// A scope.
    Scope,
    /// A claim that meets a condition; its number in `conditions` of the configuration.
    Condition(usize),
}

impl Denial {
    /// A refusal for this reason, before any provider was chosen.
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

    /// A refusal for what a good token lacks.
    #[must_use]
    pub const fn lacking(shortfall: Shortfall) -> Self {
        let reason = match shortfall {
            Shortfall::Scope => Reason::ScopeInsufficient,
            Shortfall::Condition(_) => Reason::ClaimRejected,
        };
        Self::new(reason).short_of(shortfall)
    }

    /// The same for what a good token lacks.
    #[must_use]
    pub const fn short_of(self, shortfall: Shortfall) -> Self {
        Self {
            shortfall: Some(shortfall),
            ..self
        }
    }

    /// The same with a word for the operator.
    #[must_use]
    pub const fn with_detail(self, detail: &'static str) -> Self {
        self.because(Detail::Word(detail))
    }

    /// The same with what is at fault.
    #[must_use]
    pub const fn because(self, detail: Detail) -> Self {
        Self { detail, ..self }
    }

    /// The same of a request of which this has been chosen.
    #[must_use]
    pub const fn under(self, rule: Choice) -> Self {
        Self {
            rule: Some(rule),
            ..self
        }
    }

    /// The same, by this provider's settings.
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
    fn every_reason_stands_at_its_index() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }
}
