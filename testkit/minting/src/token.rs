//! Tokens that a client might send, including those that no honest issuer would make
//! ([RFC 7515](https://www.rfc-editor.org/rfc/rfc7515)).

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::keys::{Algorithm, SigningKey};

#[derive(Debug, Clone)]
enum Seal {
    Key(Algorithm),
    Hmac(Vec<u8>),
    Bytes(Vec<u8>),
}

/// A token in the making. By default it is signed with its key's algorithm and has `kid`, `typ: JWT`, `iat`
/// now and `exp` in five minutes. The caller adds `iss`, `aud` and `sub`.
#[derive(Debug, Clone)]
pub struct Token {
    key: SigningKey,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    raw_header: Option<Vec<u8>>,
    raw_payload: Option<Vec<u8>>,
    seal: Seal,
}

impl Token {
    /// A token that `key` will sign.
    pub fn new(key: &SigningKey) -> Self {
        let mut header = Map::new();
        header.insert("alg".into(), key.algorithm().name().into());
        header.insert("typ".into(), "JWT".into());
        if let Some(kid) = key.kid() {
            header.insert("kid".into(), kid.into());
        }
        let mut claims = Map::new();
        let now = unix_now();
        claims.insert("iat".into(), now.into());
        claims.insert("exp".into(), (now + 300).into());
        let seal = Seal::Key(key.algorithm());
        Self {
            key: key.clone(),
            header,
            claims,
            raw_header: None,
            raw_payload: None,
            seal,
        }
    }

    /// Sets a header parameter.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.into(), value.into());
        self
    }

    /// Leaves a header parameter out.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Leaves `kid` out.
    pub fn without_kid(self) -> Self {
        self.without_header("kid")
    }

    /// Writes another `alg` into the header than that of the signature.
    pub fn alg(self, name: &str) -> Self {
        self.header("alg", name)
    }

    /// Signs with another algorithm of the key's family, and says so in the header.
    pub fn signed_with(mut self, algorithm: Algorithm) -> Self {
        self.seal = Seal::Key(algorithm);
        self.alg(algorithm.name())
    }

    /// `alg: none` with an empty signature (RFC 7515 appendix A.5).
    pub fn unsecured(self) -> Self {
        self.alg("none").signature(b"")
    }

    /// `alg: HS256`, keyed with `secret`: with the public key's bytes, the algorithm confusion of RFC 8725
    /// section 2.1.
    pub fn hs256(mut self, secret: &[u8]) -> Self {
        self.seal = Seal::Hmac(secret.to_vec());
        self.alg("HS256")
    }

    /// Uses these bytes as the signature.
    pub fn signature(mut self, signature: &[u8]) -> Self {
        self.seal = Seal::Bytes(signature.to_vec());
        self
    }

    /// Sets every member of `claims`, keeping the others.
    pub fn claims(mut self, claims: Value) -> Self {
        match claims {
            Value::Object(claims) => self.claims.extend(claims),
            other => panic!("claims are an object, not {other}"),
        }
        self
    }

    /// Sets one claim.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Leaves a claim out.
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets `exp` to this many seconds from now; a negative number is in the past.
    pub fn expires_in(self, seconds: i64) -> Self {
        self.claim("exp", unix_now() + seconds)
    }

    /// Uses these bytes as the header, JSON or not. They are signed as usual.
    pub fn raw_header(mut self, bytes: &[u8]) -> Self {
        self.raw_header = Some(bytes.to_vec());
        self
    }

    /// Uses these bytes as the payload, JSON or not. They are signed as usual.
    pub fn raw_payload(mut self, bytes: &[u8]) -> Self {
        self.raw_payload = Some(bytes.to_vec());
        self
    }

    /// The token in compact serialization.
    pub fn mint(&self) -> String {
        let header = self
            .raw_header
            .clone()
            .unwrap_or_else(|| json!(self.header).to_string().into_bytes());
        let payload = self
            .raw_payload
            .clone()
            .unwrap_or_else(|| json!(self.claims).to_string().into_bytes());
        let input = format!("{}.{}", encode_segment(&header), encode_segment(&payload));
        let signature = match &self.seal {
            Seal::Key(algorithm) => self.key.sign(*algorithm, input.as_bytes()),
            Seal::Hmac(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, input.as_bytes()).as_ref().to_vec()
            }
            Seal::Bytes(bytes) => bytes.clone(),
        };
        format!("{input}.{}", encode_segment(&signature))
    }

    /// The value of an `authorization` header that carries the token.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.mint())
    }
}

/// base64url without padding, as each part of a compact JWS is written.
pub fn encode_segment(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The SHA-256 of a text in base64url: `ath` of a proof of possession (RFC 9449 section 4.2).
pub fn sha256_segment(text: &str) -> String {
    encode_segment(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref())
}

/// Sixteen random bytes as text: a `jti`.
pub fn random_id() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has random bytes");
    encode_segment(&bytes)
}

/// `token` with one inverted bit in its signature; still well-formed.
pub fn tamper_signature(token: &str) -> String {
    let (input, signature) = token.rsplit_once('.').expect("a compact JWS has dots");
    let mut bytes = URL_SAFE_NO_PAD
        .decode(signature)
        .expect("the signature is base64url");
    // Not at either end: a leading or trailing byte may have a special meaning (Ed25519's high bits, RSA's
    // zero).
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    format!("{input}.{}", encode_segment(&bytes))
}

/// `token` with edited claims and its old signature: the work of a forger without a key.
pub fn tamper_claims(token: &str, edit: impl FnOnce(&mut Map<String, Value>)) -> String {
    let parts: Vec<_> = token.split('.').collect();
    let payload = URL_SAFE_NO_PAD
        .decode(parts[1])
        .expect("the payload is base64url");
    let mut claims: Map<String, Value> = serde_json::from_slice(&payload).expect("the payload is an object");
    edit(&mut claims);
    format!(
        "{}.{}.{}",
        parts[0],
        encode_segment(json!(claims).to_string().as_bytes()),
        parts[2]
    )
}

/// Seconds since the epoch.
pub fn unix_now() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    i64::try_from(elapsed.as_secs()).expect("seconds fit")
}
