//! Signing keys of every algorithm that the filter accepts (RFC 7518 section 3, RFC 8037), made and used by
//! AWS-LC.
//!
//! Independent of the module on purpose: nothing that is signed here has passed the code that verifies it.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding, UnparsedPublicKey,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A JWS signature algorithm, by its name in RFC 7518 and RFC 8037.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    /// Every algorithm, for tests that run over all of them.
    pub const ALL: [Self; 10] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    /// The value of the header parameter `alg`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    fn rsa_encoding(self) -> Option<&'static dyn RsaEncoding> {
        match self {
            Self::Rs256 => Some(&signature::RSA_PKCS1_SHA256),
            Self::Rs384 => Some(&signature::RSA_PKCS1_SHA384),
            Self::Rs512 => Some(&signature::RSA_PKCS1_SHA512),
            Self::Ps256 => Some(&signature::RSA_PSS_SHA256),
            Self::Ps384 => Some(&signature::RSA_PSS_SHA384),
            Self::Ps512 => Some(&signature::RSA_PSS_SHA512),
            _ => None,
        }
    }

    /// The signing algorithm, the name of the curve and the length of a coordinate.
    fn curve(self) -> Option<(&'static EcdsaSigningAlgorithm, &'static str)> {
        match self {
            Self::Es256 => Some((&signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")),
            Self::Es384 => Some((&signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384")),
            Self::Es512 => Some((&signature::ECDSA_P521_SHA512_FIXED_SIGNING, "P-521")),
            _ => None,
        }
    }

    /// The verification algorithm of AWS-LC.
    pub fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            Self::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
            Self::Es512 => &signature::ECDSA_P521_SHA512_FIXED,
            Self::EdDsa => &signature::ED25519,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|algorithm| algorithm.name() == name);
        found.ok_or_else(|| format!("{name} is not one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// A private key, the algorithm it signs with by default, and its `kid`. A clone is the same key.
#[derive(Clone)]
pub struct SigningKey {
    algorithm: Algorithm,
    kid: Option<String>,
    pair: Arc<Pair>,
}

impl SigningKey {
    /// A fresh key for `algorithm`; RSA keys have 2048 bits.
    pub fn generate(algorithm: Algorithm, kid: Option<&str>) -> Self {
        if algorithm.rsa_encoding().is_some() {
            return Self::generate_rsa(algorithm, 2048, kid);
        }
        let pair = match algorithm.curve() {
            Some((curve, _)) => Pair::Ec(EcdsaKeyPair::generate(curve).expect("an EC key is generated")),
            None => Pair::Ed(Ed25519KeyPair::generate().expect("an Ed25519 key is generated")),
        };
        Self::new(algorithm, kid, pair)
    }

    /// A fresh RSA key of 2048, 3072, 4096 or 8192 bits; AWS-LC makes no others.
    pub fn generate_rsa(algorithm: Algorithm, bits: usize, kid: Option<&str>) -> Self {
        assert!(
            algorithm.rsa_encoding().is_some(),
            "{algorithm} is no RSA algorithm"
        );
        let size = match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            4096 => KeySize::Rsa4096,
            8192 => KeySize::Rsa8192,
            _ => panic!("no RSA keys of {bits} bits"),
        };
        Self::new(
            algorithm,
            kid,
            Pair::Rsa(RsaKeyPair::generate(size).expect("an RSA key is generated")),
        )
    }

    fn new(algorithm: Algorithm, kid: Option<&str>, pair: Pair) -> Self {
        Self {
            algorithm,
            kid: kid.map(str::to_owned),
            pair: Arc::new(pair),
        }
    }

    /// The default algorithm for tokens of this key.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key's `kid`, if it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The same key under another `kid`, or none.
    pub fn with_kid(&self, kid: Option<&str>) -> Self {
        Self {
            kid: kid.map(str::to_owned),
            ..self.clone()
        }
    }

    /// The same key signing with another algorithm of its family: any of RS* and PS* for an RSA key.
    pub fn with_algorithm(&self, algorithm: Algorithm) -> Self {
        assert!(
            self.can_sign(algorithm),
            "a {} key cannot sign {algorithm}",
            self.algorithm
        );
        Self {
            algorithm,
            ..self.clone()
        }
    }

    /// Whether the key can sign with this algorithm.
    pub fn can_sign(&self, algorithm: Algorithm) -> bool {
        match &*self.pair {
            Pair::Rsa(_) => algorithm.rsa_encoding().is_some(),
            _ => algorithm == self.algorithm,
        }
    }

    /// The bits of the public key as a SubjectPublicKeyInfo has them: PKCS #1 for RSA, else the point.
    pub fn public_bytes(&self) -> &[u8] {
        match &*self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref(),
            Pair::Ec(pair) => pair.public_key().as_ref(),
            Pair::Ed(pair) => pair.public_key().as_ref(),
        }
    }

    /// The public half as an RFC 7517 JWK with `kid`, `alg` and `use: sig`; callers edit it as they need.
    pub fn public_jwk(&self) -> Value {
        let mut jwk = match &*self.pair {
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let n = URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero());
                let e = URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero());
                json!({"kty": "RSA", "n": n, "e": e})
            }
            Pair::Ec(pair) => {
                let (_, crv) = self.algorithm.curve().expect("an EC key has a curve");
                // SEC 1 section 2.3.3: 0x04, then the coordinates, both of full length.
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
                json!({"kty": "EC", "crv": crv, "x": x, "y": y})
            }
            Pair::Ed(pair) => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "x": x})
            }
        };
        jwk["alg"] = self.algorithm.name().into();
        jwk["use"] = "sig".into();
        if let Some(kid) = &self.kid {
            jwk["kid"] = kid.as_str().into();
        }
        jwk
    }

    /// The RFC 7638 thumbprint of the public half, as a `kid`.
    pub fn thumbprint(&self) -> String {
        let jwk = self.public_jwk();
        // Section 3.2: the required members of the key type, in lexicographic order.
        let required = ["crv", "e", "kty", "n", "x", "y"]
            .into_iter()
            .filter_map(|name| jwk[name].as_str().map(|v| (name, v)));
        let members: Vec<_> = required
            .map(|(name, value)| format!("\"{name}\":\"{value}\""))
            .collect();
        let document = format!("{{{}}}", members.join(","));
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, document.as_bytes()))
    }

    /// The public half as SubjectPublicKeyInfo, DER.
    pub fn public_der(&self) -> Vec<u8> {
        let der: Result<PublicKeyX509Der<'_>, _> = match &*self.pair {
            Pair::Rsa(pair) => pair.public_key().as_der(),
            Pair::Ec(pair) => pair.public_key().as_der(),
            Pair::Ed(pair) => pair.public_key().as_der(),
        };
        der.expect("a public key encodes").as_ref().to_vec()
    }

    /// The public half as PEM: the key of the classic HS256 confusion attack.
    pub fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &self.public_der())
    }

    /// Signs `message`: PKCS #1 v1.5 or PSS for RSA, `r || s` of fixed length for ECDSA (RFC 7518 section
    /// 3.4).
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        assert!(
            self.can_sign(algorithm),
            "a {} key cannot sign {algorithm}",
            self.algorithm
        );
        let random = SystemRandom::new();
        match &*self.pair {
            Pair::Rsa(pair) => {
                let encoding = algorithm.rsa_encoding().expect("checked above");
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature)
                    .expect("RSA signs");
                signature
            }
            Pair::Ec(pair) => pair
                .sign(&random, message)
                .expect("ECDSA signs")
                .as_ref()
                .to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// Whether AWS-LC accepts `signature` as one of this key.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let public = match &*self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref(),
            Pair::Ec(pair) => pair.public_key().as_ref(),
            Pair::Ed(pair) => pair.public_key().as_ref(),
        };
        UnparsedPublicKey::new(algorithm.verification(), public)
            .verify(message, signature)
            .is_ok()
    }

    /// The private key as PKCS #8, DER.
    pub fn to_pkcs8(&self) -> Vec<u8> {
        match &*self.pair {
            Pair::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().expect("an RSA key encodes");
                der.as_ref().to_vec()
            }
            Pair::Ec(pair) => pair.to_pkcs8v1().expect("an EC key encodes").as_ref().to_vec(),
            Pair::Ed(pair) => pair
                .to_pkcs8v1()
                .expect("an Ed25519 key encodes")
                .as_ref()
                .to_vec(),
        }
    }

    /// Reads a PKCS #8 key back; `algorithm` says what it is.
    ///
    /// # Errors
    ///
    /// Fails if the bytes are not a key for this algorithm.
    pub fn from_pkcs8(algorithm: Algorithm, kid: Option<&str>, der: &[u8]) -> Result<Self, String> {
        let rejected = |error| format!("not a PKCS #8 key for {algorithm}: {error}");
        let pair = if algorithm.rsa_encoding().is_some() {
            Pair::Rsa(RsaKeyPair::from_pkcs8(der).map_err(rejected)?)
        } else if let Some((curve, _)) = algorithm.curve() {
            Pair::Ec(EcdsaKeyPair::from_pkcs8(curve, der).map_err(rejected)?)
        } else {
            Pair::Ed(Ed25519KeyPair::from_pkcs8(der).map_err(rejected)?)
        };
        Ok(Self::new(algorithm, kid, pair))
    }

    /// The private key as PKCS #8, PEM.
    pub fn to_pem(&self) -> String {
        pem("PRIVATE KEY", &self.to_pkcs8())
    }

    /// Writes the private key as PEM into a new file that only its owner may read.
    ///
    /// # Errors
    ///
    /// Fails if the file exists or cannot be written.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(self.to_pem().as_bytes())
    }

    /// Reads a file that [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, or has no key for this algorithm.
    pub fn load(path: &Path, algorithm: Algorithm, kid: Option<&str>) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD
            .decode(body)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Self::from_pkcs8(algorithm, kid, &der).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Shows which key it is, and never its value.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// The RFC 7517 JWK Set of the public halves of `keys`.
pub fn jwks(keys: &[&SigningKey]) -> Value {
    json!({"keys": keys.iter().map(|key| key.public_jwk()).collect::<Vec<_>>()})
}

/// DER as PEM.
fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<_> = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
