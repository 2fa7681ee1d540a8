//! The meaning of a reason for the client: status, error code and words.

use crate::denial::Reason;

/// The error codes of [RFC 6750 section 3.1](https://www.rfc-editor.org/rfc/rfc6750#section-3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BearerError {
    /// "The request is missing a required parameter, includes an unsupported parameter […] or is otherwise
    /// malformed."
    InvalidRequest,
    /// "The access token provided is expired, revoked, malformed, or invalid for other reasons."
    InvalidToken,
    /// "The request requires higher privileges than provided by the access token."
    InsufficientScope,
    /// RFC 9449 section 7.1.
    InvalidDpopProof,
    /// RFC 9449 section 9.
    UseDpopNonce,
}

impl BearerError {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
        }
    }

    /// Whether it concerns a proof, and not a bearer token.
    pub(super) const fn is_of_dpop(self) -> bool {
        matches!(self, Self::InvalidDpopProof | Self::UseDpopNonce)
    }
}

/// The meaning of a reason for the client.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) error: Option<BearerError>,
    pub(super) description: &'static str,
}

impl Answer {
    const fn new(status: u16, error: Option<BearerError>, description: &'static str) -> Self {
        Self {
            status,
            error,
            description,
        }
    }

    const fn invalid_request(description: &'static str) -> Self {
        Self::new(400, Some(BearerError::InvalidRequest), description)
    }

    const fn invalid_token(description: &'static str) -> Self {
        Self::new(401, Some(BearerError::InvalidToken), description)
    }

    const fn invalid_proof(description: &'static str) -> Self {
        Self::new(401, Some(BearerError::InvalidDpopProof), description)
    }

    const fn insufficient_scope(description: &'static str) -> Self {
        Self::new(403, Some(BearerError::InsufficientScope), description)
    }

    /// gRPC's status codes (google.rpc.Code), as in its mapping from HTTP except for 400, which gRPC maps to
    /// an internal error.
    pub(super) const fn grpc_status(&self) -> i32 {
        match self.status {
            400 => 3,
            401 => 16,
            403 => 7,
            503 => 14,
            _ => 13,
        }
    }

    /// The only place that turns a reason into a status, an error code and words.
    pub(super) const fn of(reason: Reason) -> Self {
        match reason {
            // Section 3.1: "If the request lacks any authentication information […], the resource server
            // SHOULD NOT include an error code or other error information."
            Reason::TokenMissing => Self::new(401, None, "the request carries no token"),
            // Section 2: "Clients MUST NOT use more than one method to transmit the token in each request";
            // section 3.1: "invalid_request […] uses more than one method for including an access token […]
            // HTTP 400".
            Reason::TokenMultiple => Self::invalid_request("the request carries more than one token"),
            Reason::RequestMalformed => Self::invalid_request("the request cannot be read"),
            // Section 3.1: "invalid_token: […] The resource SHOULD respond with the HTTP 401 (Unauthorized)
            // status code."
            Reason::TokenMalformed => Self::invalid_token("the token is not a well-formed signed JWT"),
            Reason::TokenTooLarge => Self::invalid_token("the token is too large"),
            Reason::TypeRejected => Self::invalid_token("the token's type is not accepted"),
            Reason::AlgorithmRejected => Self::invalid_token("the token's algorithm is not accepted"),
            Reason::CriticalHeader => {
                Self::invalid_token("the token demands an extension that is not supported")
            }
            Reason::IssuerUnknown => Self::invalid_token("the token's issuer is not accepted"),
            Reason::KeyUnknown => Self::invalid_token("the token's key is not known"),
            Reason::SignatureInvalid => Self::invalid_token("the token's signature is not valid"),
            Reason::TokenExpired => Self::invalid_token("the token has expired"),
            Reason::TokenNotYetValid => Self::invalid_token("the token is not valid yet"),
            Reason::LifetimeTooLong => Self::invalid_token("the token is valid for too long"),
            Reason::AudienceMismatch => Self::invalid_token("the token is for another audience"),
            Reason::SubjectRejected => Self::invalid_token("the token's subject is not accepted"),
            Reason::TokenRejected => Self::invalid_token("the token's claims are not accepted"),
            Reason::ClaimMissing => Self::invalid_token("the token lacks a required claim"),
            Reason::ClaimMalformed => Self::invalid_token("a claim of the token has the wrong type"),
            // RFC 8705 section 3: "the request MUST be rejected […] with an HTTP 401 status code and the
            // invalid_token error code."
            Reason::BindingMismatch => Self::invalid_token("the token is not bound to this client"),
            // RFC 9449 section 7.1: "error […] invalid_dpop_proof is used to indicate that the DPoP proof
            // itself was deemed invalid".
            Reason::ProofInvalid => Self::invalid_proof("the DPoP proof is missing or not valid"),
            // RFC 9449 section 9: "an HTTP 401 (Unauthorized) error code with an accompanying
            // WWW-Authenticate: DPoP value and DPoP-Nonce value".
            Reason::ProofNonce => Self::new(
                401,
                Some(BearerError::UseDpopNonce),
                "the DPoP proof must contain a current nonce issued by this server",
            ),
            Reason::ProofReplayed => Self::invalid_proof("the DPoP proof was used before"),
            // As with keys: the proof may be valid, and a new one may be accepted later.
            Reason::ProofStoreFull => Self::new(503, None, "the server cannot record more DPoP proofs now"),
            // Section 3.1: "insufficient_scope: […] The resource server SHOULD respond with the HTTP 403
            // (Forbidden) status code and MAY include the 'scope' attribute with the scope necessary to
            // access the protected resource."
            Reason::ScopeInsufficient => Self::insufficient_scope("the token lacks a required scope"),
            Reason::ClaimRejected => {
                Self::insufficient_scope("the token's claims do not permit this request")
            }
            // RFC 9110 section 15.6.4: the server is "temporarily unable to handle the request"; the token
            // may be good.
            Reason::KeysUnavailable => {
                Self::new(503, None, "the keys that verify the token are not available")
            }
            // RFC 9110 section 15.6.1: the server "encountered an unexpected condition": the fault is the
            // operator's.
            Reason::RouteRequirementUnknown => {
                Self::new(500, None, "the route's requirement is not configured")
            }
            // RFC 9110 section 15.5.4: "the server understood the request but refuses to fulfill it". Another
            // token would change nothing, so no error code asks for one.
            Reason::RouteDenied => Self::new(403, None, "this request is not allowed"),
        }
    }
}
