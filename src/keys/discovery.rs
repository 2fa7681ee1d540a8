//! The issuer's metadata document
//! ([OpenID Connect Discovery 1.0 section
//! 3](https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata), [RFC 8414 section
//! 2](https://www.rfc-editor.org/rfc/rfc8414#section-2)), for the part that leads to the keys.

use std::fmt;

use crate::http::{HttpUri, HttpUriFault};
use crate::json::{JsonError, Object};

/// The most members of a document. The standards define about a hundred.
const MAX_MEMBERS: usize = 1000;

/// The longest text of an issuer in a log line.
const SHOWN: usize = 200;

/// The reason for which a document leads to no keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiscoveryFault {
    /// The document is not one JSON object, or has a duplicate member.
    Json(JsonError),
    /// `issuer` is absent, or not a string.
    IssuerMissing,
    /// `issuer` differs from the configured one.
    IssuerMismatch {
        /// As in the document, shortened and escaped.
        found: String,
        /// The configured one, in the same form.
        configured: String,
    },
    /// `jwks_uri` is absent, or not a string.
    JwksUriMissing,
    /// `jwks_uri` is not an http or https URL.
    JwksUri {
        /// As in the document, shortened and escaped.
        found: String,
        /// The fault of the URL.
        fault: HttpUriFault,
    },
}

impl fmt::Display for DiscoveryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(fault) => write!(f, "{fault}"),
            Self::IssuerMissing => f.write_str("it has no issuer"),
            Self::IssuerMismatch { found, configured } => {
                write!(
                    f,
                    "its issuer is `{found}`, which is not exactly the configured issuer `{configured}`"
                )
            }
            Self::JwksUriMissing => f.write_str("it has no jwks_uri"),
            Self::JwksUri { found, fault } => write!(f, "its jwks_uri `{found}` {fault}"),
        }
    }
}

/// The URL of the keys. OpenID Connect Discovery 1.0 section 4.3: "The issuer value returned MUST be
/// identical to the Issuer URL that was used as the prefix to /.well-known/openid-configuration". Without
/// that check, the author of one document on a shared host could provide keys for another issuer's tokens.
pub(super) fn read(document: &[u8], issuer: &str) -> Result<HttpUri, DiscoveryFault> {
    let document = Object::outline_up_to(MAX_MEMBERS, document).map_err(DiscoveryFault::Json)?;
    let text = |name| document.member(name).and_then(|value| value.as_str());
    let found = text("issuer").ok_or(DiscoveryFault::IssuerMissing)?;
    if found != issuer {
        return Err(DiscoveryFault::IssuerMismatch {
            found: shown(&found),
            configured: shown(issuer),
        });
    }
    let jwks_uri = text("jwks_uri").ok_or(DiscoveryFault::JwksUriMissing)?;
    HttpUri::parse(&jwks_uri).map_err(|fault| DiscoveryFault::JwksUri {
        found: shown(&jwks_uri),
        fault,
    })
}

/// A foreign text on one line of a log.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://idp.example.com";

    #[test]
    fn the_keys_are_where_the_document_says() {
        let document = format!(
            r#"{{"jwks_uri":"https://keys.example.com:8443/v1/jwks?x=1","issuer":"{ISSUER}","more":[1]}}"#
        );
        let uri = read(document.as_bytes(), ISSUER).unwrap();
        assert_eq!(uri.to_string(), "https://keys.example.com:8443/v1/jwks?x=1");
    }

    #[test]
    fn each_fault_is_named() {
        for (document, message) in [
            ("<html>", "not JSON"),
            ("[]", "not a JSON object"),
            (r#"{"issuer":"a","issuer":"a"}"#, "a JSON member is named twice"),
            (r#"{"jwks_uri":"https://a/"}"#, "it has no issuer"),
            (r#"{"issuer":1,"jwks_uri":"https://a/"}"#, "it has no issuer"),
            (
                r#"{"issuer":"https://idp.example.com/","jwks_uri":"https://a/"}"#,
                "its issuer is `https://idp.example.com/`, which is not exactly the configured issuer `https://idp.example.com`",
            ),
            (
                r#"{"issuer":"a\nb","jwks_uri":"https://a/"}"#,
                "its issuer is `a\\nb`, which is not exactly the configured issuer `https://idp.example.com`",
            ),
            (r#"{"issuer":"https://idp.example.com"}"#, "it has no jwks_uri"),
            (
                r#"{"issuer":"https://idp.example.com","jwks_uri":"/jwks"}"#,
                "its jwks_uri `/jwks` is not an http or https URL, which begins with https://",
            ),
            (
                r#"{"issuer":"https://idp.example.com","jwks_uri":"https://a/\r\nx"}"#,
                "its jwks_uri `https://a/\\r\\nx` is not a URL with a host and a path",
            ),
        ] {
            assert_eq!(
                read(document.as_bytes(), ISSUER).unwrap_err().to_string(),
                message
            );
        }
        let long = format!(r#"{{"issuer":"{}"}}"#, "\\n".repeat(10_000));
        assert!(read(long.as_bytes(), ISSUER).unwrap_err().to_string().len() < 600);
    }
}
