//! The form of a refusal on the wire: status, challenge ([RFC 6750 section
//! 3](https://www.rfc-editor.org/rfc/rfc6750#section-3)), body.
//!
//! One exhaustive match turns a reason into its reply. Replies depend on the configuration only, so they are
//! written once, when it is loaded.

mod answer;
mod form;
mod local_reply;

use std::borrow::Cow;
use std::rc::Rc;

use crate::denial::{Denial, Reason};
use crate::ids::{Choice, ScopesId};
use answer::Answer;
pub use answer::BearerError;
use form::{BEARER, push_quoted, write, write_answer};
pub use form::{BodyFormat, ReplyStyle};
pub use local_reply::LocalReply;

/// A refusal with the values that the challenge names beside the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason and its details.
    pub denial: Denial,
    /// The rule that applied, if one was chosen.
    pub rule: Option<Choice>,
    /// The URL of the resource's metadata (`resource_metadata`, [RFC 9728 section
    /// 5.1](https://www.rfc-editor.org/rfc/rfc9728#section-5.1)).
    pub metadata_url: Option<Rc<str>>,
    /// The nonce for the client's next proof ([RFC 9449 section
    /// 9](https://www.rfc-editor.org/rfc/rfc9449#section-9)).
    pub nonce: Option<String>,
    /// The required scopes.
    pub scope: Option<ScopesId>,
    /// Only a token with a proof of possession would be accepted.
    pub needs_proof: bool,
    /// The credential is for a proxy ([RFC 9110 section
    /// 11.7](https://www.rfc-editor.org/rfc/rfc9110#section-11.7)).
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
    // Not inlined, for the memory of Envoy: docs/adr/0010-build-settings.md.
    #[inline(never)]
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
            // The provider is known only if a token of another provider is present.
            (Reason::TokenMissing, Some(_)) => &self.one_missing,
            _ => self.by_reason.get(reason.index()).unwrap_or(&self.last_resort),
        };
        // RFC 6750 section 3: "The 'scope' attribute […] describing the required scope of the access token
        // for accessing the requested resource": a client without a valid token has to request these. More
        // scopes do not help against any other refusal.
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
            // RFC 9110 section 15.5.8: 407 "is similar to 401 (Unauthorized), but it indicates that the
            // client needs to authenticate itself in order to use a proxy […]. The proxy MUST send a
            // Proxy-Authenticate header field".
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
    fn challenge_and_body_say_that_a_token_has_expired() {
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
    fn stripped_replies_say_nothing() {
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
