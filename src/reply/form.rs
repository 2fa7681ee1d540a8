//! The form of an answer on the wire: challenge, header fields and body.

use serde::Serialize;

use super::answer::{Answer, BearerError};
use super::local_reply::LocalReply;
use crate::denial::Reason;

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
    /// The protection space of the challenge ([RFC 9110 section
    /// 11.5](https://www.rfc-editor.org/rfc/rfc9110#section-11.5)).
    pub realm: String,
    /// The body's form.
    pub body: BodyFormat,
    /// Neither body nor challenge (jwt_authn's `strip_failure_response`).
    pub stripped: bool,
    /// The algorithms of proofs of possession, if a provider checks them.
    pub dpop_algorithms: Option<String>,
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

pub(super) const BEARER: &str = "Bearer ";
const DPOP: &str = "DPoP ";

pub(super) fn write(reason: Reason, style: &ReplyStyle) -> LocalReply {
    write_answer(reason, &Answer::of(reason), style)
}

pub(super) fn write_answer(reason: Reason, answer: &Answer, style: &ReplyStyle) -> LocalReply {
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

/// RFC 6750 section 3: the scheme, then `realm`, then the error if the client sent a credential.
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
pub(super) fn push_quoted(out: &mut String, value: &str) {
    out.push('"');
    for character in value.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}
