//! One JSON Web Key (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2).
//!
//! Owns which keys may verify a token and why the others may not. It must not know where a key came from.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use super::algorithm::Algorithm;
use super::decode_base64url;
use super::verify::{Curve, PublicKey};
use crate::json::{JsonError, Object};

/// The members that carry private or shared material (RFC 7518 sections 6.2.2, 6.3.2, 6.4.1; RFC 8037 section 2).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why a JWK is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JwkFault {
    /// The element of `keys` is not an object.
    NotAnObject,
    /// The element of `keys` is an object, but not strict JSON.
    Json(JsonError),
    /// `kty` is not `RSA`, `EC` or `OKP`.
    KeyTypeUnknown,
    /// `kty` is `oct`: a shared secret, which a public document cannot hold.
    Symmetric,
    /// `crv` is not one that the key type's algorithms use.
    CurveUnknown,
    /// The named member is required and absent.
    MemberMissing(&'static str),
    /// The named member is of a wrong type, not base64url, or of a wrong length.
    MemberMalformed(&'static str),
    /// The RSA modulus has fewer than 2048 bits.
    RsaTooSmall,
    /// The RSA modulus has more than 8192 bits.
    RsaTooLarge,
    /// The RSA modulus is even, so not the product of two large primes.
    RsaModulusEven,
    /// The RSA exponent is even, less than 3, or has more than 33 bits.
    RsaExponent,
    /// `alg` is one of PSS, which the host does not have, and the RSA key is larger than the module takes: more than 4096 bits,
    /// or an exponent above 65537.
    RsaBeyondModule,
    /// The coordinates are not those of a point on the curve, or of one with a small order.
    PointInvalid,
    /// The key comes with its private half, which is thereby not private any more.
    PrivateMembers,
    /// `use` is other than `sig`.
    UseNotSignature,
    /// `key_ops` is present without `verify`.
    OperationsWithoutVerify,
    /// The key's own `alg` is not implemented or does not go with its type and curve.
    AlgorithmMismatch,
}

impl fmt::Display for JwkFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => formatter.write_str("not a JSON object"),
            Self::Json(fault) => fault.fmt(formatter),
            Self::KeyTypeUnknown => formatter.write_str("kty is unknown"),
            Self::Symmetric => formatter.write_str("kty is oct, a shared secret"),
            Self::CurveUnknown => formatter.write_str("crv is unknown"),
            Self::MemberMissing(name) => write!(formatter, "{name} is missing"),
            Self::MemberMalformed(name) => write!(formatter, "{name} is malformed"),
            Self::RsaTooSmall => formatter.write_str("the modulus has fewer than 2048 bits"),
            Self::RsaTooLarge => formatter.write_str("the modulus has more than 8192 bits"),
            Self::RsaModulusEven => formatter.write_str("the modulus is even"),
            Self::RsaExponent => formatter.write_str("the exponent is unusable"),
            Self::RsaBeyondModule => formatter.write_str("modulus or exponent are too large for PSS"),
            Self::PointInvalid => formatter.write_str("the point is not usable on its curve"),
            Self::PrivateMembers => formatter.write_str("the key comes with its private members"),
            Self::UseNotSignature => formatter.write_str("use is not sig"),
            Self::OperationsWithoutVerify => formatter.write_str("key_ops has no verify"),
            Self::AlgorithmMismatch => formatter.write_str("alg does not go with the key"),
        }
    }
}

impl std::error::Error for JwkFault {}

/// A public key that may verify signatures, parsed once.
pub struct Jwk {
    key_id: Option<Box<str>>,
    algorithm: Option<Algorithm>,
    key: PublicKey,
    spki_der: Box<[u8]>,
}

impl Jwk {
    /// Reads a JWK.
    ///
    /// # Errors
    ///
    /// Fails with any [`JwkFault`] but `NotAnObject` and `Json`, which are the fault of whoever read the object.
    pub fn parse(object: &Object<'_>) -> Result<Self, JwkFault> {
        let key_type = optional_string(object, "kty")?.ok_or(JwkFault::MemberMissing("kty"))?;
        match &*key_type {
            "RSA" | "EC" | "OKP" => {}
            "oct" => return Err(JwkFault::Symmetric),
            _ => return Err(JwkFault::KeyTypeUnknown),
        }
        if PRIVATE_MEMBERS.iter().any(|name| object.member(name).is_some()) {
            return Err(JwkFault::PrivateMembers);
        }
        if optional_string(object, "use")?.is_some_and(|usage| usage != "sig") {
            return Err(JwkFault::UseNotSignature);
        }
        check_operations(object)?;
        let key_id = optional_string(object, "kid")?.map(Box::from);
        let algorithm = match optional_string(object, "alg")? {
            Some(name) => Some(Algorithm::from_name(&name).ok_or(JwkFault::AlgorithmMismatch)?),
            None => None,
        };

        let key = match &*key_type {
            "RSA" => PublicKey::rsa(&bytes(object, "n")?, &bytes(object, "e")?)?,
            "EC" => {
                let curve = Curve::from_name(&curve_name(object)?).ok_or(JwkFault::CurveUnknown)?;
                PublicKey::ec(curve, &bytes(object, "x")?, &bytes(object, "y")?)?
            }
            _ => match curve_name(object)?.as_ref() {
                "Ed25519" => PublicKey::ed25519(&bytes(object, "x")?)?,
                _ => return Err(JwkFault::CurveUnknown),
            },
        };
        if algorithm.is_some_and(|algorithm| !key.fits(algorithm)) {
            return Err(JwkFault::AlgorithmMismatch);
        }
        if algorithm.is_some_and(Algorithm::is_pss) && !key.is_within_module() {
            return Err(JwkFault::RsaBeyondModule);
        }
        let spki_der = key.to_spki_der().into();
        Ok(Self {
            key_id,
            algorithm,
            key,
            spki_der,
        })
    }

    /// `kid`, decoded.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The one algorithm that the key's own `alg` restricts it to.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// Whether the key may verify signatures of `algorithm`: by type, by curve, and by its own `alg`.
    #[must_use]
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm) && self.key.fits(algorithm)
    }

    /// Whether the module itself checks signatures by this key: RSA keys above 4096 bits, or with an exponent above 65537, it
    /// leaves to the host.
    #[must_use]
    pub fn is_within_module(&self) -> bool {
        self.key.is_within_module()
    }

    /// About how many microseconds a check takes in the module; `None` where it makes none with this key.
    #[must_use]
    pub fn module_cost(&self, algorithm: Algorithm) -> Option<u32> {
        (self.fits(algorithm) && self.is_within_module()).then(|| self.key.module_micros())
    }

    /// About how many microseconds a check by the host takes; `None` where the key does not fit.
    #[must_use]
    pub fn host_cost(&self, algorithm: Algorithm) -> Option<u32> {
        self.fits(algorithm).then(|| self.key.host_micros())
    }

    /// Whether `signature` is one of `algorithm` over `signing_input` by this key's holder; false also when the key
    /// does not fit, or is larger than the module takes.
    #[must_use]
    pub fn verify(&self, algorithm: Algorithm, signing_input: &[u8], signature: &[u8]) -> bool {
        self.fits(algorithm)
            && self.is_within_module()
            && self.key.verify(algorithm, signing_input, signature)
    }

    /// How long every signature of `algorithm` by this key is (RFC 7518 sections 3.3 to 3.5, RFC 8037 section 3.1).
    #[must_use]
    pub fn signature_len(&self, algorithm: Algorithm) -> usize {
        match algorithm {
            Algorithm::Es256 | Algorithm::EdDsa => 64,
            Algorithm::Es384 => 96,
            Algorithm::Es512 => 132,
            _ => self.key.modulus_len(),
        }
    }

    /// The key as DER SubjectPublicKeyInfo, computed when the key was parsed.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }
}

/// The same key under the same name: what it verifies is equal.
impl PartialEq for Jwk {
    fn eq(&self, other: &Self) -> bool {
        self.key_id == other.key_id && self.algorithm == other.algorithm && self.spki_der == other.spki_der
    }
}

impl Eq for Jwk {}

impl fmt::Debug for Jwk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Jwk")
            .field("key_id", &self.key_id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// RFC 7517 section 4.3: the values are strings, "verify" the one that a verifier needs.
fn check_operations(object: &Object<'_>) -> Result<(), JwkFault> {
    let Some(operations) = object.member("key_ops") else {
        return Ok(());
    };
    let malformed = JwkFault::MemberMalformed("key_ops");
    let mut may_verify = false;
    for operation in operations.as_array().ok_or(malformed)? {
        may_verify |= operation.as_str().ok_or(malformed)? == "verify";
    }
    if may_verify {
        Ok(())
    } else {
        Err(JwkFault::OperationsWithoutVerify)
    }
}

fn optional_string<'a>(object: &Object<'a>, name: &'static str) -> Result<Option<Cow<'a, str>>, JwkFault> {
    match object.member(name) {
        Some(value) => value.as_str().map(Some).ok_or(JwkFault::MemberMalformed(name)),
        None => Ok(None),
    }
}

fn curve_name<'a>(object: &Object<'a>) -> Result<Cow<'a, str>, JwkFault> {
    optional_string(object, "crv")?.ok_or(JwkFault::MemberMissing("crv"))
}

fn bytes(object: &Object<'_>, name: &'static str) -> Result<Vec<u8>, JwkFault> {
    let text = optional_string(object, name)?.ok_or(JwkFault::MemberMissing(name))?;
    let mut bytes = Vec::new();
    if decode_base64url(text.as_bytes(), &mut bytes) {
        Ok(bytes)
    } else {
        Err(JwkFault::MemberMalformed(name))
    }
}
