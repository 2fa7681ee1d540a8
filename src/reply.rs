//! What a refusal looks like on the wire: status, challenge (RFC 6750 section 3), body.
//!
//! One exhaustive match turns a reason into its reply. Replies depend on the configuration only, so they are
//! written once, when it is loaded.

use std::borrow::Cow;
use std::rc::Rc;

use serde::Serialize;

use crate::denial::{Denial, Reason};
use crate::ids::{Choice, ScopesId};

/// A refusal with the values that the challenge names beside the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason and its details.
    pub denial: Denial,
    /// The rule that applied, if one was chosen.
    pub rule: Option<Choice>,
    /// The URL of the resource's metadata (`resource_metadata`, RFC 9728 section 5.1).
    pub metadata_url: Option<Rc<str>>,
    /// The nonce for the client's next proof (RFC 9449 section 9).
    pub nonce: Option<String>,
    /// The required scopes.
    pub scope: Option<ScopesId>,
    /// Only a token with a proof of possession would be accepted.
    pub needs_proof: bool,
    /// The credential is for a proxy (RFC 9110 section 11.7).
    pub for_proxy: bool,
    /// `sub` of the verified token without sufficient rights, if the configuration asks for it.
    pub subject: Option<Rc<str>>,
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self {
            denial,
            rule: None,
            metadata_url: None,
            nonce: None,
            scope: None,
            needs_proof: false,
            for_proxy: false,
            subject: None,
        }
    }
}

impl From<Denial> for Box<Refusal> {
    fn from(denial: Denial) -> Self {
        Self::new(denial.into())
    }
}

/// The response in place of the upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// The HTTP status.
    pub status: u16,
    /// `%RESPONSE_CODE_DETAILS%`: `jwt_<reason>`.
    pub details: String,
    /// Header fields beside those that the host adds.
    pub headers: Vec<(&'static str, String)>,
    /// The body; may be empty.
    pub body: Vec<u8>,
    /// The message for a gRPC client; may be empty.
    pub message: &'static str,
    /// The status for a gRPC client, in place of the HTTP status.
    pub grpc_status: Option<i32>,
}

impl LocalReply {
    /// There is no configuration, so no request passes.
    #[must_use]
    pub fn not_configured() -> Self {
        Self {
            status: 503,
            details: "jwt_not_configured".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            message: "",
            grpc_status: None,
        }
    }

    /// The filter itself is at fault (RFC 9110 section 15.6.1).
    #[must_use]
    pub fn fault(details: &str) -> Self {
        Self {
            status: 500,
            details: details.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            message: "",
            grpc_status: Some(13),
        }
    }

    /// The same for a gRPC client: the host writes `grpc-status`, and the body into `grpc-message`. The
    /// content type must stay gRPC's.
    #[must_use]
    pub fn for_grpc(&self) -> Self {
        let mut reply = self.clone();
        reply.headers.retain(|(name, _)| *name != "content-type");
        reply.body = self.message.into();
        reply
    }
}

/// The body's form: `response.body`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFormat {
    /// `{"error": …, "error_description": …, "reason": …}`
    #[default]
    Json,
    /// The description alone.
    Text,
    /// No body.
    None,
}

/// The form of replies: `response` and `strip_failure_response`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyStyle {
    /// The protection space of the challenge (RFC 9110 section 11.5).
    pub realm: String,
    /// The body's form.
    pub body: BodyFormat,
    /// Neither body nor challenge (jwt_authn's `strip_failure_response`).
    pub stripped: bool,
    /// The algorithms of proofs of possession, if a provider checks them.
    pub dpop_algorithms: Option<String>,
}

/// The error codes of RFC 6750 section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BearerError {
    /// "The request is missing a required parameter, includes an unsupported parameter […] or is otherwise malformed."
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
    const fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
        }
    }

    /// Whether it concerns a proof, and not a bearer token.
    const fn is_of_dpop(self) -> bool {
        matches!(self, Self::InvalidDpopProof | Self::UseDpopNonce)
    }
}

/// The meaning of a reason for the client.
struct Answer {
    status: u16,
    error: Option<BearerError>,
    description: &'static str,
}

impl Answer {
    const fn invalid_request(description: &'static str) -> Self {
        Self {
            status: 400,
            error: Some(BearerError::InvalidRequest),
            description,
        }
    }

    const fn invalid_token(description: &'static str) -> Self {
        Self {
            status: 401,
            error: Some(BearerError::InvalidToken),
            description,
        }
    }

    const fn invalid_proof(description: &'static str) -> Self {
        Self {
            status: 401,
            error: Some(BearerError::InvalidDpopProof),
            description,
        }
    }

    const fn insufficient_scope(description: &'static str) -> Self {
        Self {
            status: 403,
            error: Some(BearerError::InsufficientScope),
            description,
        }
    }

    /// gRPC's status codes (google.rpc.Code), as in its mapping from HTTP except for 400, which gRPC maps to
    /// an internal error.
    const fn grpc_status(&self) -> i32 {
        match self.status {
            400 => 3,
            401 => 16,
            403 => 7,
            503 => 14,
            _ => 13,
        }
    }

    /// The only place that turns a reason into a status, an error code and words.
    const fn of(reason: Reason) -> Self {
        match reason {
            // Section 3.1: "If the request lacks any authentication information […], the resource server SHOULD NOT
            // include an error code or other error information."
            Reason::TokenMissing => Self {
                status: 401,
                error: None,
                description: "the request carries no token",
            },
            // Section 2: "Clients MUST NOT use more than one method to transmit the token in each request"; section 3.1:
            // "invalid_request […] uses more than one method for including an access token […] HTTP 400".
            Reason::TokenMultiple => Self::invalid_request("the request carries more than one token"),
            Reason::RequestMalformed => Self::invalid_request("the request cannot be read"),
            // Section 3.1: "invalid_token: […] The resource SHOULD respond with the HTTP 401 (Unauthorized) status code."
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
            // RFC 8705 section 3: "the request MUST be rejected […] with an HTTP 401 status code and the invalid_token error code."
            Reason::BindingMismatch => Self::invalid_token("the token is not bound to this client"),
            // RFC 9449 section 7.1: "error […] invalid_dpop_proof is used to indicate that the DPoP proof itself was deemed invalid".
            Reason::ProofInvalid => Self::invalid_proof("the DPoP proof is missing or not valid"),
            // RFC 9449 section 9: "an HTTP 401 (Unauthorized) error code with an accompanying WWW-Authenticate: DPoP value and
            // DPoP-Nonce value".
            Reason::ProofNonce => Self {
                status: 401,
                error: Some(BearerError::UseDpopNonce),
                description: "the DPoP proof must contain a current nonce issued by this server",
            },
            Reason::ProofReplayed => Self::invalid_proof("the DPoP proof was used before"),
            // As with keys: the proof may be valid, and a new one may be accepted later.
            Reason::ProofStoreFull => Self {
                status: 503,
                error: None,
                description: "the server cannot record more DPoP proofs now",
            },
            // Section 3.1: "insufficient_scope: […] The resource server SHOULD respond with the HTTP 403 (Forbidden) status
            // code and MAY include the 'scope' attribute with the scope necessary to access the protected resource."
            Reason::ScopeInsufficient => Self::insufficient_scope("the token lacks a required scope"),
            Reason::ClaimRejected => {
                Self::insufficient_scope("the token's claims do not permit this request")
            }
            // RFC 9110 section 15.6.4: the server is "temporarily unable to handle the request"; the token may be good.
            Reason::KeysUnavailable => Self {
                status: 503,
                error: None,
                description: "the keys that verify the token are not available",
            },
            // RFC 9110 section 15.6.1: the server "encountered an unexpected condition": the fault is the operator's.
            Reason::RouteRequirementUnknown => Self {
                status: 500,
                error: None,
                description: "the route's requirement is not configured",
            },
            // RFC 9110 section 15.5.4: "the server understood the request but refuses to fulfill it". Another token would
            // change nothing, so no error code asks for one.
            Reason::RouteDenied => Self {
                status: 403,
                error: None,
                description: "this request is not allowed",
            },
        }
    }
}

/// `retry-after` of a 503, in seconds: the filter retries the first fetch at least that often.
const RETRY_AFTER_SECONDS: &str = "5";

#[derive(Serialize)]
struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    error_description: &'static str,
    reason: &'static str,
}

/// All replies of a configuration, written once.
#[derive(Clone, Debug)]
pub struct Replies {
    by_reason: Vec<LocalReply>,
    /// The reply if one of several tokens is missing.
    one_missing: LocalReply,
    /// The scopes that challenges name.
    scopes: Vec<String>,
    last_resort: LocalReply,
}

impl Replies {
    /// Writes the reply for every reason. `scopes` are those of the challenges, each separated by spaces.
    #[must_use]
    pub fn new(style: &ReplyStyle, scopes: Vec<String>) -> Self {
        Self {
            by_reason: Reason::ALL.iter().map(|reason| write(*reason, style)).collect(),
            one_missing: {
                let description = "the request lacks one of the required tokens";
                let answer = Answer::of(Reason::TokenMissing);
                write_answer(
                    Reason::TokenMissing,
                    &Answer {
                        description,
                        ..answer
                    },
                    style,
                )
            },
            scopes,
            last_resort: write(Reason::KeysUnavailable, style),
        }
    }

    /// The replies that [`Self::to`] lends.
    pub fn fixed(&self) -> impl Iterator<Item = &LocalReply> {
        self.by_reason
            .iter()
            .chain([&self.one_missing, &self.last_resort])
    }

    /// The reply for a refusal.
    #[must_use]
    pub fn to(&self, refusal: &Refusal) -> Cow<'_, LocalReply> {
        let reason = refusal.denial.reason;
        let reply = match (reason, refusal.denial.provider) {
            // The provider is known only if a token of another one is there.
            (Reason::TokenMissing, Some(_)) => &self.one_missing,
            _ => self.by_reason.get(reason.index()).unwrap_or(&self.last_resort),
        };
        // RFC 6750 section 3: "The 'scope' attribute […] describing the required scope of the access token for accessing the
        // requested resource": what a client without a good token has to ask for. More scopes mend no other claim.
        let names_scope = reply.status == 401 || reason == Reason::ScopeInsufficient;
        let scope = refusal
            .scope
            .filter(|_| names_scope)
            .and_then(|id| self.scopes.get(id.index()));
        let url = refusal.metadata_url.as_deref();
        if scope.is_none()
            && url.is_none()
            && refusal.nonce.is_none()
            && !refusal.needs_proof
            && !refusal.for_proxy
        {
            return Cow::Borrowed(reply);
        }
        let mut reply = reply.clone();
        if refusal.needs_proof {
            reply.headers.retain(|(_, value)| !value.starts_with(BEARER));
        }
        // RFC 9728 section 5.1: "The URL of the protected resource metadata."
        let attributes = [
            (", scope=", scope.map(String::as_str)),
            (", resource_metadata=", url),
        ];
        for (_, challenge) in reply
            .headers
            .iter_mut()
            .filter(|(name, _)| *name == "www-authenticate")
        {
            for (name, value) in attributes {
                if let Some(value) = value {
                    challenge.push_str(name);
                    push_quoted(challenge, value);
                }
            }
        }
        if refusal.for_proxy {
            // RFC 9110 section 15.5.8: 407 "is similar to 401 (Unauthorized), but it indicates that the client needs to
            // authenticate itself in order to use a proxy […]. The proxy MUST send a Proxy-Authenticate header field".
            if reply.status == 401 {
                reply.status = 407;
            }
            for (name, _) in &mut reply.headers {
                if *name == "www-authenticate" {
                    *name = "proxy-authenticate";
                }
            }
        }
        if let Some(nonce) = &refusal.nonce {
            reply.headers.push(("dpop-nonce", nonce.clone()));
        }
        Cow::Owned(reply)
    }
}

const BEARER: &str = "Bearer ";
const DPOP: &str = "DPoP ";

fn write(reason: Reason, style: &ReplyStyle) -> LocalReply {
    write_answer(reason, &Answer::of(reason), style)
}

fn write_answer(reason: Reason, answer: &Answer, style: &ReplyStyle) -> LocalReply {
    let mut reply = LocalReply {
        status: answer.status,
        details: format!("jwt_{}", reason.label()),
        headers: Vec::new(),
        body: Vec::new(),
        message: if style.stripped { "" } else { answer.description },
        grpc_status: Some(answer.grpc_status()),
    };
    if answer.status == 503 {
        reply
            .headers
            .push(("retry-after", RETRY_AFTER_SECONDS.to_owned()));
    }
    if style.stripped {
        return reply;
    }
    // The reply has no challenge if the filter or its configuration is at fault, or if no token would help.
    if answer.status < 500 && reason != Reason::RouteDenied {
        if !answer.error.is_some_and(BearerError::is_of_dpop) {
            let value = challenge(BEARER, answer, style);
            reply.headers.push(("www-authenticate", value));
        }
        if let Some(algorithms) = &style.dpop_algorithms {
            // RFC 9449 section 7.1: "algs: a space-delimited list of supported algorithms".
            let mut value = challenge(DPOP, answer, style);
            value.push_str(", algs=");
            push_quoted(&mut value, algorithms);
            reply.headers.push(("www-authenticate", value));
        }
    }
    if matches!(answer.error, Some(BearerError::UseDpopNonce)) {
        // RFC 9449 section 8.2: uncacheable, so that no cache returns an old nonce.
        reply.headers.push(("cache-control", "no-store".to_owned()));
    }
    match style.body {
        BodyFormat::Json => {
            let body = Body {
                error: answer.error.map(BearerError::code),
                error_description: answer.description,
                reason: reason.label(),
            };
            reply.body = serde_json::to_vec(&body).unwrap_or_default();
            reply
                .headers
                .push(("content-type", "application/json".to_owned()));
        }
        BodyFormat::Text => {
            reply.body = answer.description.as_bytes().to_vec();
            reply
                .headers
                .push(("content-type", "text/plain; charset=utf-8".to_owned()));
        }
        BodyFormat::None => {}
    }
    reply
}

/// RFC 6750 section 3: the scheme, then `realm`, then the error where a credential was sent.
fn challenge(scheme: &str, answer: &Answer, style: &ReplyStyle) -> String {
    let mut challenge = scheme.to_owned();
    challenge.push_str("realm=");
    push_quoted(&mut challenge, &style.realm);
    if let Some(error) = answer.error {
        challenge.push_str(", error=");
        push_quoted(&mut challenge, error.code());
        challenge.push_str(", error_description=");
        push_quoted(&mut challenge, answer.description);
    }
    challenge
}

/// RFC 9110 section 5.6.4: a quoted-string, with `"` and `\` escaped.
fn push_quoted(out: &mut String, value: &str) {
    out.push('"');
    for character in value.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(body: BodyFormat) -> ReplyStyle {
        ReplyStyle {
            realm: "a \"b\" \\c".to_owned(),
            body,
            stripped: false,
            dpop_algorithms: None,
        }
    }

    #[test]
    fn a_missing_token_has_a_challenge_without_error() {
        let replies = Replies::new(&style(BodyFormat::Json), Vec::new());
        let reply = replies.to(&Denial::new(Reason::TokenMissing).into());
        assert_eq!(reply.status, 401);
        assert_eq!(
            reply.headers[0],
            ("www-authenticate", r#"Bearer realm="a \"b\" \\c""#.to_owned())
        );
        assert_eq!(
            String::from_utf8_lossy(&reply.body),
            r#"{"error_description":"the request carries no token","reason":"token_missing"}"#
        );
    }

    #[test]
    fn an_expired_token_is_told_so_in_challenge_and_body() {
        let replies = Replies::new(
            &ReplyStyle {
                realm: "r".to_owned(),
                body: BodyFormat::Json,
                stripped: false,
                dpop_algorithms: None,
            },
            Vec::new(),
        );
        let reply = replies.to(&Denial::new(Reason::TokenExpired).into());
        assert_eq!((reply.status, reply.details.as_str()), (401, "jwt_token_expired"));
        assert_eq!(
            reply.headers[0].1,
            r#"Bearer realm="r", error="invalid_token", error_description="the token has expired""#
        );
        assert_eq!(
            String::from_utf8_lossy(&reply.body),
            r#"{"error":"invalid_token","error_description":"the token has expired","reason":"token_expired"}"#
        );
    }

    #[test]
    fn without_keys_it_is_503_and_no_challenge() {
        let replies = Replies::new(&style(BodyFormat::None), Vec::new());
        let reply = replies.to(&Denial::new(Reason::KeysUnavailable).into());
        assert_eq!(reply.status, 503);
        assert_eq!(reply.headers, [("retry-after", "5".to_owned())]);
        assert!(reply.body.is_empty());
    }

    #[test]
    fn stripped_replies_tell_nothing() {
        let replies = Replies::new(
            &ReplyStyle {
                stripped: true,
                ..style(BodyFormat::Json)
            },
            Vec::new(),
        );
        let reply = replies.to(&Denial::new(Reason::TokenExpired).into());
        assert_eq!((reply.headers.len(), reply.body.len()), (0, 0));
    }
}
