//! The JOSE header ([RFC 7515 section 4](https://www.rfc-editor.org/rfc/rfc7515#section-4)).
//!
//! It reads the members that matter, and refuses those that must not be present. It ignores `jwk`, `jku`,
//! `x5u`, `x5c` and `x5t`: a token must not select the key that verifies it. It must not know which
//! algorithms a provider allows.

use std::borrow::Cow;
use std::fmt;

use super::algorithm::Algorithm;
use super::fault::TokenFault;
use crate::json::{Json, Kind, Object};

/// The unverified header of a token.
#[derive(Clone)]
pub struct JoseHeader {
    /// `alg`; `None` for an algorithm that the filter does not implement, such as `none` and `HS256`.
    pub algorithm: Option<Algorithm>,
    /// What is wrong with an `alg` that the filter does not implement.
    pub algorithm_fault: &'static str,
    /// `kid`, decoded.
    pub key_id: Option<String>,
    /// `typ`, decoded. Compare it with [`JoseHeader::token_type_is`].
    pub token_type: Option<String>,
}

impl JoseHeader {
    /// Reads the decoded header of a token.
    ///
    /// # Errors
    ///
    /// [`TokenFault::HeaderJson`], [`TokenFault::HeaderMember`], [`TokenFault::AlgorithmMissing`],
    /// [`TokenFault::CriticalHeader`], [`TokenFault::Encrypted`] and [`TokenFault::Nested`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TokenFault> {
        let object = Object::parse(bytes).map_err(TokenFault::HeaderJson)?;
        let mut algorithm = None;
        let mut algorithm_fault = "";
        let mut key_id = None;
        let mut token_type = None;
        for (name, value) in object.members() {
            match name {
                "alg" => {
                    let name = string(value, "alg")?;
                    let known = Algorithm::from_name(&name);
                    if known.is_none() {
                        algorithm_fault = fault_of(&name);
                    }
                    algorithm = Some(known);
                }
                // Some serializers write null for a member that is not set.
                "typ" | "cty" if value.kind() == Kind::Null => {}
                "kid" => key_id = Some(string(value, "kid")?.into_owned()),
                "typ" => token_type = Some(string(value, "typ")?.into_owned()),
                // RFC 7515 section 4.1.11: "If any of the listed extension Header Parameters are not
                // understood and supported by the recipient, then the JWS is invalid." The filter supports
                // none, and the section forbids an empty list.
                "crit" => return Err(TokenFault::CriticalHeader),
                // RFC 7797 section 6 requires `crit` beside it. Without this check, the filter would decode
                // an unencoded payload as base64url.
                "b64" if value.as_bool() != Some(true) => return Err(TokenFault::CriticalHeader),
                // RFC 7516 section 9: "If the 'enc' member exists, it is a JWE; otherwise, it is a JWS."
                "enc" => return Err(TokenFault::Encrypted),
                // RFC 7519 section 5.2: "in the case that nested signing or encryption is employed, this
                // Header Parameter MUST be present; in this case, the value MUST be 'JWT'".
                "cty" if media_type_is(&string(value, "cty")?, "JWT") => return Err(TokenFault::Nested),
                _ => {}
            }
        }
        let algorithm = algorithm.ok_or(TokenFault::AlgorithmMissing)?;
        Ok(Self {
            algorithm,
            algorithm_fault,
            key_id,
            token_type,
        })
    }

    /// Whether `typ` is present and is the media type `expected`, for instance `at+jwt`.
    #[must_use]
    pub fn token_type_is(&self, expected: &str) -> bool {
        self.token_type
            .as_deref()
            .is_some_and(|token_type| media_type_is(token_type, expected))
    }
}

// `kid` and `typ` come from the client: only their presence is shown.
impl fmt::Debug for JoseHeader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("JoseHeader")
            .field("algorithm", &self.algorithm)
            .field("has_key_id", &self.key_id.is_some())
            .field("has_token_type", &self.token_type.is_some())
            .finish()
    }
}

/// Why the filter does not implement the algorithm of this name.
fn fault_of(name: &str) -> &'static str {
    match name.get(..2) {
        Some("HS") => "alg is for a shared secret, which the filter never accepts",
        _ if name.eq_ignore_ascii_case("none") => "alg says that there is no signature",
        _ => "the filter does not support this alg",
    }
}

fn string<'a>(value: Json<'a>, name: &'static str) -> Result<Cow<'a, str>, TokenFault> {
    value.as_str().ok_or(TokenFault::HeaderMember(name))
}

/// RFC 7515 section 4.1.9: "A recipient using the media type value MUST treat it as if 'application/' were
/// prepended to any 'typ' value not containing a '/'." Media types are compared without regard to case (RFC
/// 2045 section 5.1).
fn media_type_is(left: &str, right: &str) -> bool {
    const PREFIX: &str = "application/";
    fn short(media_type: &str) -> &str {
        match media_type.split_at_checked(PREFIX.len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') => rest,
            _ => media_type,
        }
    }
    short(left).eq_ignore_ascii_case(short(right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::JsonError;

    fn parse(text: &str) -> Result<JoseHeader, TokenFault> {
        JoseHeader::parse(text.as_bytes())
    }

    #[test]
    fn the_members_that_count_are_read_and_no_others() {
        let header = parse(
            r#"{"typ":"JWT","alg":"RS256","kid":"k\u0031","jwk":{"kty":"oct"},"jku":1,"x5u":[],"x5c":null,"x5t":0,
                "zip":"DEF","b64":true,"cty":"json","nonce":"x"}"#,
        )
        .unwrap();
        assert_eq!(header.algorithm, Some(Algorithm::Rs256));
        assert_eq!(header.key_id.as_deref(), Some("k1"));
        assert_eq!(header.token_type.as_deref(), Some("JWT"));

        for nothing in ["", r#","typ":null,"cty":null"#] {
            let text = format!(r#"{{"alg":"EdDSA"{nothing}}}"#);
            let header = parse(&text).unwrap();
            assert_eq!(
                (header.algorithm, header.key_id, header.token_type),
                (Some(Algorithm::EdDsa), None, None)
            );
        }
    }

    #[test]
    fn an_algorithm_that_is_not_implemented_is_not_an_algorithm() {
        for name in [
            "none", "NONE", "HS256", "rs256", "ES256K", "Ed448", "", "RSA-OAEP",
        ] {
            assert_eq!(
                parse(&format!(r#"{{"alg":"{name}"}}"#)).unwrap().algorithm,
                None,
                "{name}"
            );
        }
    }

    #[test]
    fn every_fault_of_a_header() {
        for (text, fault) in [
            ("", TokenFault::HeaderJson(JsonError::Syntax)),
            ("[]", TokenFault::HeaderJson(JsonError::NotAnObject)),
            (
                r#"{"alg":"ES256","alg":"none"}"#,
                TokenFault::HeaderJson(JsonError::DuplicateMember),
            ),
            ("{}", TokenFault::AlgorithmMissing),
            (r#"{"typ":"JWT"}"#, TokenFault::AlgorithmMissing),
            (r#"{"Alg":"RS256"}"#, TokenFault::AlgorithmMissing),
            (r#"{"alg":null}"#, TokenFault::HeaderMember("alg")),
            (r#"{"alg":["RS256"]}"#, TokenFault::HeaderMember("alg")),
            (r#"{"alg":"RS256","kid":1}"#, TokenFault::HeaderMember("kid")),
            (r#"{"alg":"RS256","typ":1}"#, TokenFault::HeaderMember("typ")),
            (r#"{"alg":"RS256","kid":null}"#, TokenFault::HeaderMember("kid")),
            (r#"{"alg":"RS256","cty":false}"#, TokenFault::HeaderMember("cty")),
            (r#"{"alg":"RS256","crit":["exp"]}"#, TokenFault::CriticalHeader),
            (r#"{"alg":"RS256","crit":[]}"#, TokenFault::CriticalHeader),
            (r#"{"alg":"RS256","crit":null}"#, TokenFault::CriticalHeader),
            (
                r#"{"alg":"RS256","\u0063rit":["b64"]}"#,
                TokenFault::CriticalHeader,
            ),
            (r#"{"alg":"RS256","b64":false}"#, TokenFault::CriticalHeader),
            (r#"{"alg":"RS256","b64":"true"}"#, TokenFault::CriticalHeader),
            (r#"{"alg":"RSA-OAEP","enc":"A128GCM"}"#, TokenFault::Encrypted),
            (r#"{"alg":"RS256","cty":"JWT"}"#, TokenFault::Nested),
            (r#"{"alg":"RS256","cty":"application/jwt"}"#, TokenFault::Nested),
        ] {
            assert_eq!(parse(text).map(|_| ()), Err(fault), "{text}");
        }
    }

    #[test]
    fn a_type_is_compared_as_a_media_type() {
        let is = |token_type: &str, expected: &str| {
            parse(&format!(r#"{{"alg":"ES256","typ":"{token_type}"}}"#))
                .unwrap()
                .token_type_is(expected)
        };
        assert!(is("at+jwt", "at+jwt") && is("AT+JWT", "at+jwt"));
        assert!(is("application/at+jwt", "at+jwt") && is("at+jwt", "Application/AT+jwt"));
        assert!(!is("JWT", "at+jwt") && !is("", "at+jwt") && !is("text/at+jwt", "at+jwt"));
        assert!(!is("application/a/b", "a/b") && !is("application/", "application"));
        assert!(!parse(r#"{"alg":"ES256"}"#).unwrap().token_type_is("JWT"));
    }

    #[test]
    fn debug_shows_no_contents() {
        let header = parse(r#"{"alg":"ES256","kid":"secret"}"#).unwrap();
        let expected = "JoseHeader { algorithm: Some(Es256), has_key_id: true, has_token_type: false }";
        assert_eq!(format!("{header:?}"), expected);
    }
}
