//! The issuer's keys and tokens.

use std::sync::OnceLock;

use minting::{Algorithm, SigningKey, Token, jwks};

/// The keys of an issuer, and its tokens: two valid ones, one with an unpublished key, one that has expired.
pub(super) struct Issuer {
    pub(super) keys: String,
    /// The same keys and one more.
    pub(super) later_keys: String,
    pub(super) tokens: Vec<String>,
}

pub(super) fn issuer() -> &'static Issuer {
    static ISSUER: OnceLock<Issuer> = OnceLock::new();
    ISSUER.get_or_init(|| {
        let key = |algorithm, kid| SigningKey::generate(algorithm, Some(kid));
        let (rsa, ec) = (key(Algorithm::Rs256, "rsa"), key(Algorithm::Es256, "ec"));
        let (ed, other) = (key(Algorithm::EdDsa, "ed"), key(Algorithm::Es256, "other"));
        let token = |key: &SigningKey| {
            Token::new(key)
                .claim("iss", "https://issuer.example")
                .claim("aud", "a")
                .claim("sub", "s")
        };
        let mut tokens: Vec<String> = [&rsa, &ec, &ed, &other].map(|key| token(key).mint()).into();
        tokens.push(token(&ec).expires_in(-900).mint());
        Issuer {
            keys: jwks(&[&rsa, &ec, &ed]).to_string(),
            later_keys: jwks(&[&rsa, &ec, &ed, &other]).to_string(),
            tokens,
        }
    })
}

/// The document that the issuer publishes.
pub(crate) fn keys() -> &'static str {
    &issuer().keys
}
