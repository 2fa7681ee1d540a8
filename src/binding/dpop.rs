//! A proof that the client has the key to which its token is bound
//! ([RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)).
//!
//! It checks one proof. [`super::replay`] knows whether the proof was used before.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::nonce::Nonces;
use super::presented::Presented;
use super::replay::ProofId;
use crate::claims::NumericDate;
use crate::denial::{Denial, Detail, Reason};
use crate::http::{percent, split_url};
use crate::ids::FieldId;
use crate::jose::{AlgorithmSet, Checked, Checks, Jwk, UnverifiedJwt};
use crate::json::Object;
use crate::request::RequestHead;
use crate::time::UnixTime;

/// `binding.dpop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dpop {
    /// Every token must be bound to a key.
    pub required: bool,
    /// How far `iat` of a proof may differ from the current time.
    pub window: Duration,
    /// The widest window of all providers. A proof is remembered for as long as any of them would accept it.
    pub widest_window: Duration,
    /// A proof must contain a current nonce.
    pub nonce: Option<Nonces>,
    /// `alg` of a proof must be one of these.
    pub algorithms: AlgorithmSet,
    /// The field with the proof, and the parts of the request to which the proof refers.
    pub fields: DpopFields,
}

/// The fields of a request that a check reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DpopFields {
    /// `dpop`.
    pub proof: FieldId,
    /// `:method`.
    pub method: FieldId,
    /// `:path`.
    pub path: FieldId,
    /// `:authority`.
    pub authority: FieldId,
    /// `x-forwarded-proto`.
    pub scheme: FieldId,
}

/// Proofs are short: a longer one is an attack.
const MAX_PROOF: usize = 8192;
const MAX_JTI: usize = 256;

const TYPE: &str = "dpop+jwt";

fn invalid(detail: &'static str) -> Denial {
    Denial::new(Reason::ProofInvalid).with_detail(detail)
}

impl Dpop {
    /// Checks that the client has the key with this thumbprint (`cnf.jkt`), for this token. Returns the
    /// proof, which must not be used again. The numbers beside the checks are those of [RFC 9449 section
    /// 4.3](https://www.rfc-editor.org/rfc/rfc9449#section-4.3).
    ///
    /// # Errors
    ///
    /// Fails with `proof_invalid`, `proof_nonce` or `binding_mismatch`.
    pub fn check(
        &self,
        thumbprint: &str,
        presented: Presented<'_>,
        checks: Checks<'_>,
        now: UnixTime,
    ) -> Result<ProofId, Denial> {
        let Presented { token, request, .. } = presented;
        // 1. "There is not more than one DPoP HTTP request header field."
        let mut proofs = request.all(self.fields.proof);
        let proof = proofs.next().ok_or_else(|| invalid("no proof"))?;
        if proofs.next().is_some() || proof.len() > MAX_PROOF {
            return Err(invalid("several proofs, or a long one"));
        }
        // 2. "The DPoP HTTP request header field value is a single and well-formed JWT."
        let jwt = UnverifiedJwt::decode(proof).map_err(|_| invalid("not a JWT"))?;
        let header = jwt.header().map_err(|_| invalid("header"))?;
        // 4. "The typ JOSE Header Parameter has the value dpop+jwt."
        if !header.token_type_is(TYPE) {
            return Err(invalid("typ"));
        }
        // 5. "alg […] indicates a registered asymmetric digital signature algorithm, is not none, is
        //    supported".
        let algorithm = header
            .algorithm
            .filter(|algorithm| self.algorithms.contains(*algorithm))
            .ok_or_else(|| invalid("alg"))?;
        // 7. "The jwk JOSE Header Parameter does not contain a private key." No other kind of key is read.
        let members = Object::parse(jwt.header_json()).map_err(|_| invalid("header"))?;
        let object = members
            .member("jwk")
            .and_then(crate::json::Json::as_object)
            .ok_or_else(|| invalid("jwk"))?;
        let key = Jwk::parse(&object).map_err(|_| invalid("jwk"))?;
        // The client chooses the key, and with it the cost of this check. The host would accept larger keys.
        if !key.is_within_module() {
            return Err(invalid("a key that is too large"));
        }
        // 12. "the public key to which the access token is bound matches the public key from the DPoP proof".
        // This comes before the signature, which costs far more.
        if jwk_thumbprint(&object).as_deref() != Some(thumbprint) {
            return Err(Denial::new(Reason::BindingMismatch).with_detail("another key than jkt"));
        }
        let claims = Object::parse(jwt.payload()).map_err(|_| invalid("claims"))?;
        // 3. "All required claims […] are contained in the JWT."
        let text = |name: &'static str| {
            let claim = claims.member(name).and_then(crate::json::Json::as_str);
            claim.ok_or_else(|| invalid(name))
        };
        let jti = text("jti")?;
        if jti.is_empty() || jti.len() > MAX_JTI {
            return Err(invalid("jti"));
        }
        // 8. "The htm claim matches the HTTP method of the current request."
        if request.first(self.fields.method) != Some(text("htm")?.as_bytes()) {
            return Err(invalid("htm"));
        }
        // 9. "The htu claim matches the HTTP URI value […], ignoring any query and fragment parts."
        let asked = self.address(request).ok_or_else(|| invalid("host"))?;
        if normal_url(&text("htu")?).as_deref() != Some(&*asked) {
            return Err(invalid("htu"));
        }
        // 11. "The creation time of the JWT, as determined by […] the iat claim […], is within an acceptable
        //     window."
        let issued_at = claims
            .member("iat")
            .and_then(crate::json::Json::as_number_text)
            .and_then(NumericDate::parse)
            .ok_or_else(|| invalid("iat"))?;
        if let Some(fault) = time_fault("iat", issued_at.rounded_up(), now, self.window) {
            return Err(Denial::new(Reason::ProofInvalid).because(fault));
        }
        // 12. "the value of the ath claim equals the hash of that access token".
        if *text("ath")? != URL_SAFE_NO_PAD.encode(Sha256::digest(token)) {
            return Err(invalid("ath"));
        }
        // 10. "If the server provided a nonce value to the client, the nonce claim matches the
        //     server-provided nonce value."
        // Also before the signature, but after every fault that a nonce would not repair.
        if let Some(nonces) = &self.nonce {
            let required = |detail| Denial::new(Reason::ProofNonce).because(detail);
            let secret = nonces.secret(presented.nonce_secret);
            // The challenge needs the nonce as well, so the client is not at fault.
            let secret = secret
                .ok_or_else(|| Denial::new(Reason::KeysUnavailable).with_detail("no secret for nonces"))?;
            if claims.member("nonce").is_none() {
                return Err(required(Detail::Word("no nonce")));
            }
            let fault = match secret.time_of(&text("nonce")?) {
                Some(made) => time_fault("nonce", made, now, nonces.lifetime),
                None => Some(Detail::Word(nonces.foreign())),
            };
            if let Some(fault) = fault {
                return Err(required(fault));
            }
        }
        // 6. "The JWT signature verifies with the public key contained in the jwk JOSE Header Parameter."
        match checks.check(&key, algorithm, jwt.signing_input(), jwt.signature()) {
            Checked::Good => {}
            Checked::NothingLeft => return Err(invalid("too many signatures to check")),
            Checked::Bad | Checked::KeyTooLarge => return Err(invalid("signature")),
        }
        Ok(ProofId::new(
            thumbprint,
            &jti,
            issued_at.rounded_up(),
            self.widest_window,
        ))
    }

    /// The value that this member of a proof for the request has to have, if it has to have one.
    #[must_use]
    pub fn expected(&self, member: &str, request: &RequestHead) -> Option<String> {
        match member {
            "typ" => Some(TYPE.to_owned()),
            "htm" => String::from_utf8(request.first(self.fields.method)?.to_vec()).ok(),
            "htu" => self.address(request),
            _ => None,
        }
    }

    fn address(&self, request: &RequestHead) -> Option<String> {
        let scheme = match request.first(self.fields.scheme) {
            Some(b"http") => "http",
            _ => "https",
        };
        let authority = std::str::from_utf8(request.first(self.fields.authority)?).ok()?;
        let path = std::str::from_utf8(request.first(self.fields.path)?).ok()?;
        normal_url(&format!("{scheme}://{authority}{path}"))
    }
}

/// The fault of a time that is not within the window around the current time.
#[inline(never)]
fn time_fault(name: &'static str, time: UnixTime, now: UnixTime, window: Duration) -> Option<Detail> {
    match (time.after(window) > now, now.after(window) >= time) {
        (true, true) => None,
        (false, _) => Some(Detail::Passed(name, time)),
        (true, false) => Some(Detail::Ahead(name, time)),
    }
}

/// RFC 7638 section 3: the hash of the required members, in the order of their names.
fn jwk_thumbprint(jwk: &Object<'_>) -> Option<String> {
    let names: &[&str] = match &*jwk.member("kty")?.as_str()? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let mut text = String::from("{");
    for (index, name) in names.iter().enumerate() {
        let value = jwk.member(name)?.as_str()?;
        if index > 0 {
            text.push(',');
        }
        // Names of curves and base64url need no escapes: the filter reads no key with any other text.
        text.push_str(&format!("\"{name}\":\"{value}\""));
    }
    text.push('}');
    Some(URL_SAFE_NO_PAD.encode(Sha256::digest(text)))
}

/// Scheme, authority and path, normalized as in RFC 3986 sections 6.2.2 and 6.2.3, without query and
/// fragment. Dot segments stay: for this filter too, a path with dot segments is another path.
fn normal_url(url: &str) -> Option<String> {
    let (scheme, authority, rest) = split_url(url)?;
    let scheme = scheme.to_ascii_lowercase();
    let path = rest.split(['?', '#']).next().filter(|path| !path.is_empty());
    let authority = authority.to_ascii_lowercase();
    let default_port = match &*scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
    if authority.is_empty() {
        return None;
    }
    let path = percent::normalize(path.unwrap_or("/"));
    Some(format!("{scheme}://{authority}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_good_within_the_window_on_either_side_of_the_clock() {
        let time = UnixTime::from_secs(100);
        for (now, expected) in [
            (89_999, Some(Detail::Ahead("iat", time))),
            (90_000, None),
            (100_000, None),
            (109_999, None),
            (110_000, Some(Detail::Passed("iat", time))),
        ] {
            let now = UnixTime::from_millis(now);
            assert_eq!(
                time_fault("iat", time, now, Duration::from_secs(10)),
                expected,
                "{now:?}"
            );
        }
    }

    #[test]
    fn equal_addresses_have_one_form() {
        let form = |url: &str| normal_url(url).unwrap_or_default();
        for (url, expected) in [
            ("HTTPS://Api.Example.com:443/a?x#y", "https://api.example.com/a"),
            ("http://a:80", "http://a/"),
            ("http://a:443/", "http://a:443/"),
            ("https://a/%7Eb/%2f%C3%a9%zz", "https://a/~b/%2F%C3%A9%zz"),
            ("https:///a", ""),
            ("ftp://a/", ""),
            ("a", ""),
        ] {
            assert_eq!(form(url), expected, "{url}");
        }
    }

    #[test]
    fn a_thumbprint_is_that_of_rfc_7638() {
        // Section 3.1.
        let jwk = br#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
        assert_eq!(
            jwk_thumbprint(&Object::parse(jwk).unwrap()).as_deref(),
            Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
        );
    }
}
