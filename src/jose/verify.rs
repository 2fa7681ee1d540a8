//! Public keys that are ready for verification, and the verification
//! ([RFC 7518 section 3](https://www.rfc-editor.org/rfc/rfc7518#section-3),
//! [RFC 8037 section 3.1](https://www.rfc-editor.org/rfc/rfc8037#section-3.1)).
//!
//! It sets bounds on keys, and verifies signatures, behind jwt-compact's `Algorithm` trait. It must not know
//! JSON: keys arrive as decoded bytes.

mod ecdsa;
mod ed25519;
mod rsa;

use std::sync::OnceLock;

use jwt_compact::{Algorithm as Scheme, AlgorithmSignature};
use p256::elliptic_curve::point::AffineCoordinates;
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytes};

use self::ecdsa::{Es256, Es384, Es512};
use self::ed25519::{Ed25519Key, StrictEd25519};
use self::rsa::{Hash, Rsa, RsaKey};
use super::algorithm::Algorithm;
use super::fault::JwkFault;
use super::spki;

/// RFC 7518 section 3.3: "A key of size 2048 bits or larger MUST be used with these algorithms."
const MIN_MODULUS_BITS: usize = 2048;
/// The time of a verification is quadratic in the length of the modulus. No issuer has larger keys.
const MAX_MODULUS_BITS: usize = 8192;
/// The bound for the module, which takes four times as long as the host.
const MAX_MODULUS_BITS_IN_MODULE: usize = 4096;
/// The largest exponent that BoringSSL and others accept; 65537 and 3 are in use.
const MAX_EXPONENT: u64 = (1 << 33) - 1;
/// The bound for the module. The time is proportional to the bits of the exponent.
const MAX_EXPONENT_IN_MODULE: u64 = 65_537;

/// A curve of JWK's `crv`, for ECDSA (RFC 7518 section 6.2.1.1).
#[derive(Clone, Copy)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "P-256" => Self::P256,
            "P-384" => Self::P384,
            "P-521" => Self::P521,
            _ => return None,
        })
    }

    fn coordinate_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// A public key, with everything computed that does not depend on a signature.
pub(super) enum PublicKey {
    Rsa(Box<RsaKey>),
    P256(Box<EcKey<p256::ecdsa::VerifyingKey>>),
    P384(Box<EcKey<p384::ecdsa::VerifyingKey>>),
    P521(Box<EcKey<p521::ecdsa::VerifyingKey>>),
    Ed25519(Box<Ed25519Key>),
}

impl PublicKey {
    /// The RSA key of a modulus and an exponent, both big-endian. It ignores leading zeros: RFC 7518 section
    /// 6.3.1.1 forbids them, but "some cryptographic libraries prefix an extra zero-valued octet".
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, JwkFault> {
        let modulus = without_leading_zeros(modulus);
        let top = modulus.first().map_or(8, |byte| byte.leading_zeros() as usize);
        match modulus.len().saturating_mul(8).saturating_sub(top) {
            ..MIN_MODULUS_BITS => return Err(JwkFault::RsaTooSmall),
            MIN_MODULUS_BITS..=MAX_MODULUS_BITS => {}
            _ => return Err(JwkFault::RsaTooLarge),
        }
        if modulus.last().is_none_or(|byte| byte & 1 == 0) {
            return Err(JwkFault::RsaModulusEven);
        }
        let e = number(exponent).ok_or(JwkFault::RsaExponent)?;
        if !(3..=MAX_EXPONENT).contains(&e) || e & 1 == 0 {
            return Err(JwkFault::RsaExponent);
        }
        let key = RsaKey::new(modulus, e).ok_or(JwkFault::MemberMalformed("n"))?;
        Ok(Self::Rsa(Box::new(key)))
    }

    /// The point (`x`, `y`) of `curve`, both coordinates of the full size. The point is checked now, or at
    /// the first use of the key.
    pub(super) fn ec(curve: Curve, x: &[u8], y: &[u8], is_checked_now: bool) -> Result<Self, JwkFault> {
        // RFC 7518 section 6.2.1.2: "The length of this octet string MUST be the full size of a coordinate
        // for the curve".
        for (name, coordinate) in [("x", x), ("y", y)] {
            if coordinate.len() != curve.coordinate_len() {
                return Err(JwkFault::MemberMalformed(name));
            }
        }
        let key = match curve {
            Curve::P256 => Self::P256(Box::new(EcKey::new(x, y))),
            Curve::P384 => Self::P384(Box::new(EcKey::new(x, y))),
            Curve::P521 => Self::P521(Box::new(EcKey::new(x, y))),
        };
        if is_checked_now && !key.has_point() {
            return Err(JwkFault::PointInvalid);
        }
        Ok(key)
    }

    /// The same, from coordinates that lack leading zeros or have one too many: many libraries write them as
    /// numbers.
    pub(super) fn ec_of_numbers(
        curve: Curve,
        x: &[u8],
        y: &[u8],
        is_checked_now: bool,
    ) -> Result<Self, JwkFault> {
        let full = |name: &'static str, number: &[u8]| {
            let digits = without_leading_zeros(number);
            match curve.coordinate_len().checked_sub(digits.len()) {
                Some(zeros) if !number.is_empty() => Ok([&vec![0; zeros], digits].concat()),
                _ => Err(JwkFault::MemberMalformed(name)),
            }
        };
        Self::ec(curve, &full("x", x)?, &full("y", y)?, is_checked_now)
    }

    fn has_point(&self) -> bool {
        match self {
            Self::P256(key) => key.point(p256_point).is_some(),
            Self::P384(key) => key.point(p384_point).is_some(),
            Self::P521(key) => key.point(p521_point).is_some(),
            Self::Rsa(_) | Self::Ed25519(_) => true,
        }
    }

    /// The Ed25519 point with the encoding `x`. It is checked now, or at the first use of the key: the check
    /// takes about a third as long as a signature.
    pub(super) fn ed25519(x: &[u8], is_checked_now: bool) -> Result<Self, JwkFault> {
        let bytes: &[u8; 32] = x.try_into().map_err(|_| JwkFault::MemberMalformed("x"))?;
        let key = if is_checked_now {
            Ed25519Key::new(bytes)
        } else {
            Ed25519Key::unchecked(bytes)
        };
        Ok(Self::Ed25519(Box::new(key.ok_or(JwkFault::PointInvalid)?)))
    }

    /// The `kty` and, for a curve, the `crv` of such a key.
    pub(super) fn type_and_curve(&self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Rsa(_) => ("RSA", None),
            Self::P256(_) => ("EC", Some("P-256")),
            Self::P384(_) => ("EC", Some("P-384")),
            Self::P521(_) => ("EC", Some("P-521")),
            Self::Ed25519(_) => ("OKP", Some("Ed25519")),
        }
    }

    /// Whether signatures of `algorithm` can be made with this kind of key.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa(_) => rsa_scheme(algorithm).is_some(),
            Self::P256(_) => algorithm == Algorithm::Es256,
            Self::P384(_) => algorithm == Algorithm::Es384,
            Self::P521(_) => algorithm == Algorithm::Es512,
            Self::Ed25519(_) => algorithm == Algorithm::EdDsa,
        }
    }

    /// Whether `signature` is a signature of `algorithm` over `message` with this key.
    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        match self {
            Self::Rsa(key) => {
                rsa_scheme(algorithm).is_some_and(|rsa| check(&rsa, &**key, message, signature))
            }
            Self::P256(key) => key
                .point(p256_point)
                .is_some_and(|key| check(&Es256, key, message, signature)),
            Self::P384(key) => key
                .point(p384_point)
                .is_some_and(|key| check(&Es384, key, message, signature)),
            Self::P521(key) => key
                .point(p521_point)
                .is_some_and(|key| check(&Es512, key, message, signature)),
            Self::Ed25519(key) => check(&StrictEd25519, &**key, message, signature),
        }
    }

    /// Whether the module checks signatures with this key. Only the host accepts larger keys.
    pub(super) fn is_within_module(&self) -> bool {
        match self {
            Self::Rsa(key) => {
                key.modulus_bits() <= MAX_MODULUS_BITS_IN_MODULE && key.exponent() <= MAX_EXPONENT_IN_MODULE
            }
            Self::P256(_) | Self::P384(_) | Self::P521(_) | Self::Ed25519(_) => true,
        }
    }

    /// The approximate duration of a check in the module, in microseconds, including the computations at the
    /// first use of the key. Measured in Envoy on one core of an EPYC.
    pub(super) fn module_micros(&self) -> u32 {
        match self {
            Self::Rsa(key) => key.cost(220, key.is_prepared()),
            Self::P256(_) => 450,
            Self::P384(_) => 1_900,
            Self::P521(_) => 1_700,
            Self::Ed25519(key) => key.cost(),
        }
    }

    /// The same for the host, which repeats all computations on the key each time.
    pub(super) fn host_micros(&self) -> u32 {
        match self {
            Self::Rsa(key) => key.cost(30, false),
            Self::P256(_) => 60,
            Self::P384(_) => 600,
            Self::P521(_) => 1_000,
            Self::Ed25519(_) => 60,
        }
    }

    /// The length of an RSA key's modulus; 0 for other keys.
    pub(super) fn modulus_len(&self) -> usize {
        match self {
            Self::Rsa(key) => key.modulus().len(),
            Self::P256(_) | Self::P384(_) | Self::P521(_) | Self::Ed25519(_) => 0,
        }
    }

    /// The key as DER SubjectPublicKeyInfo.
    pub(super) fn to_spki_der(&self) -> Vec<u8> {
        match self {
            Self::Rsa(key) => spki::rsa(
                key.modulus(),
                without_leading_zeros(&key.exponent().to_be_bytes()),
            ),
            Self::P256(key) => spki::key(spki::P256, &key.uncompressed),
            Self::P384(key) => spki::key(spki::P384, &key.uncompressed),
            Self::P521(key) => spki::key(spki::P521, &key.uncompressed),
            Self::Ed25519(key) => spki::key(spki::ED25519, key.as_bytes()),
        }
    }
}

/// A key on a curve, whose point may not have been checked yet.
pub(super) struct EcKey<K> {
    /// SEC 1 section 2.3.3: 4, then both coordinates.
    uncompressed: Box<[u8]>,
    /// The point after the first search; `None` if the coordinates are not a point on the curve.
    point: OnceLock<Option<K>>,
}

impl<K> EcKey<K> {
    fn new(x: &[u8], y: &[u8]) -> Self {
        Self {
            uncompressed: [&[4], x, y].concat().into(),
            point: OnceLock::new(),
        }
    }

    fn point(&self, find: fn(&[u8], &[u8]) -> Option<K>) -> Option<&K> {
        let find = || {
            let coordinates = self.uncompressed.get(1..)?;
            let (x, y) = coordinates.split_at_checked(coordinates.len() / 2)?;
            find(x, y)
        };
        self.point.get_or_init(find).as_ref()
    }
}

fn p256_point(x: &[u8], y: &[u8]) -> Option<p256::ecdsa::VerifyingKey> {
    point::<p256::NistP256>(x, y).and_then(|point| p256::ecdsa::VerifyingKey::from_affine(point).ok())
}

fn p384_point(x: &[u8], y: &[u8]) -> Option<p384::ecdsa::VerifyingKey> {
    point::<p384::NistP384>(x, y).and_then(|point| p384::ecdsa::VerifyingKey::from_affine(point).ok())
}

fn p521_point(x: &[u8], y: &[u8]) -> Option<p521::ecdsa::VerifyingKey> {
    point::<p521::NistP521>(x, y).and_then(|point| p521::ecdsa::VerifyingKey::from_affine(point).ok())
}

/// The point with these coordinates, if it is on the curve. A parser for SEC 1 would also accept compressed
/// points, and add a square root for each field to the module.
fn point<C>(x: &[u8], y: &[u8]) -> Option<AffinePoint<C>>
where
    C: CurveArithmetic,
    AffinePoint<C>: AffineCoordinates<FieldRepr = FieldBytes<C>>,
{
    AffinePoint::<C>::from_coordinates(x.try_into().ok()?, y.try_into().ok()?).into_option()
}

fn rsa_scheme(algorithm: Algorithm) -> Option<Rsa> {
    Some(match algorithm {
        Algorithm::Rs256 => Rsa::Pkcs1(Hash::Sha256),
        Algorithm::Rs384 => Rsa::Pkcs1(Hash::Sha384),
        Algorithm::Rs512 => Rsa::Pkcs1(Hash::Sha512),
        Algorithm::Ps256 => Rsa::Pss(Hash::Sha256),
        Algorithm::Ps384 => Rsa::Pss(Hash::Sha384),
        Algorithm::Ps512 => Rsa::Pss(Hash::Sha512),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 | Algorithm::EdDsa => return None,
    })
}

// A function for each algorithm, for the memory of Envoy: docs/adr/0010-build-settings.md.
#[inline(never)]
fn check<S: Scheme>(scheme: &S, key: &S::VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    if S::Signature::LENGTH.is_some_and(|length| length.get() != signature.len()) {
        return false;
    }
    S::Signature::try_from_slice(signature)
        .is_ok_and(|signature| scheme.verify_signature(&signature, key, message))
}

fn without_leading_zeros(mut number: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = number {
        number = rest;
    }
    number
}

/// A big-endian number; `None` if it exceeds 64 bits.
fn number(bytes: &[u8]) -> Option<u64> {
    let bytes = without_leading_zeros(bytes);
    (bytes.len() <= 8).then(|| {
        bytes
            .iter()
            .fold(0, |number, byte| (number << 8) | u64::from(*byte))
    })
}
