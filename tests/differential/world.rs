//! The issuers: their names, their keys, and the key sets that they publish.

use std::sync::OnceLock;

use serde_json::{Value, json};
use testkit::{Algorithm, SigningKey, encode_segment};

/// An identity provider.
#[derive(Debug)]
pub(crate) struct Idp {
    pub(crate) issuer: &'static str,
    /// Published, each with a `kid`. The first is the RSA key.
    pub(crate) keys: Vec<SigningKey>,
    /// Never published; its `kid` is that of the first.
    pub(crate) forger: SigningKey,
}

/// The secret behind the `oct` key of [`KeySet::WithSecret`].
pub(crate) const SECRET: &[u8] = b"thirty-two bytes of shared secret";

pub(crate) fn idps() -> &'static [Idp] {
    static IDPS: OnceLock<Vec<Idp>> = OnceLock::new();
    IDPS.get_or_init(|| {
        [
            "https://idp.example.com/realms/main",
            "https://partner.example.org/",
            "legacy@example.net",
        ]
        .into_iter()
        .enumerate()
        .map(|(number, issuer)| {
            let key = |algorithm: Algorithm| {
                // The second issuer uses the same `kid`s as the first one.
                let kid = format!("{}-{}", algorithm.name().to_lowercase(), number / 2);
                SigningKey::generate(algorithm, Some(&kid))
            };
            let keys: Vec<_> = [
                Algorithm::Rs256,
                Algorithm::Es256,
                Algorithm::EdDsa,
                Algorithm::Es384,
                Algorithm::Es512,
            ]
            .into_iter()
            .map(key)
            .collect();
            let forger = SigningKey::generate(Algorithm::Rs256, keys[0].kid());
            Idp { issuer, keys, forger }
        })
        .collect()
    })
}

/// The issuer of this name.
pub(crate) fn idp(issuer: &str) -> Option<&'static Idp> {
    idps().iter().find(|idp| idp.issuer == issuer)
}

/// The form in which an issuer publishes its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeySet {
    Full,
    /// The RSA key without `alg`, so that it may sign with any RSA algorithm.
    WithoutAlgorithms,
    /// No key has a `kid`.
    WithoutKids,
    OnlyRsa,
    /// An `oct` key among them, as jwt_authn takes for HS256.
    WithSecret,
    /// The first key is for encryption.
    ForEncryption,
    /// The first key may sign, and not verify.
    ForSigningOnly,
    /// Members without effect, and a key of an unknown type.
    WithUnknownKey,
}

impl KeySet {
    pub(crate) const ALL: [Self; 8] = [
        Self::Full,
        Self::WithoutAlgorithms,
        Self::WithoutKids,
        Self::OnlyRsa,
        Self::WithSecret,
        Self::ForEncryption,
        Self::ForSigningOnly,
        Self::WithUnknownKey,
    ];

    /// The JWKS document.
    pub(crate) fn of(self, idp: &Idp) -> Value {
        let mut keys: Vec<Value> = idp.keys.iter().map(SigningKey::public_jwk).collect();
        match self {
            Self::Full => {}
            Self::WithoutAlgorithms => keys.iter_mut().for_each(|key| take(key, "alg")),
            Self::WithoutKids => keys.iter_mut().for_each(|key| take(key, "kid")),
            Self::OnlyRsa => keys.truncate(1),
            Self::WithSecret => keys.push(json!({
                "kty": "oct", "alg": "HS256", "kid": "secret", "k": encode_segment(SECRET)
            })),
            Self::ForEncryption => keys[0]["use"] = "enc".into(),
            Self::ForSigningOnly => keys[0]["key_ops"] = json!(["sign"]),
            Self::WithUnknownKey => {
                keys.insert(
                    0,
                    json!({"kty": "AKP", "alg": "ML-DSA-65", "kid": "pq", "pub": "AAAA"}),
                );
                keys[1]["x5t"] = "AAAA".into();
            }
        }
        json!({"keys": keys})
    }
}

fn take(object: &mut Value, member: &str) {
    object.as_object_mut().expect("an object").remove(member);
}
