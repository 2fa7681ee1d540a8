//! One JSON Web Key ([RFC 7517 section 4](https://www.rfc-editor.org/rfc/rfc7517#section-4),
//! [RFC 7518 section 6](https://www.rfc-editor.org/rfc/rfc7518#section-6),
//! [RFC 8037 section 2](https://www.rfc-editor.org/rfc/rfc8037#section-2)).
//!
//! It decides whether a key may verify a token. It must not know the origin of a key.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::algorithm::Algorithm;
use super::certificate;
use super::fault::JwkFault;
use super::verify::{Curve, PublicKey};
use crate::json::{Json, Kind, Object};

/// The members with private or shared material (RFC 7518 sections 6.2.2, 6.3.2, 6.4.1; RFC 8037 section 2).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// base64url with or without padding. Stray bits after the last octet do not change the key.
const PADDED_OR_NOT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// How strictly a key has to follow its RFCs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// Exactly as in the RFCs: a client writes this key itself.
    Exact,
    /// As issuers write it, over a connection of their own: members without a value may be null or empty, and
    /// numbers may have another length. The checks of the key itself are the same in both forms.
    AsPublished,
}

/// A public key that may verify signatures, parsed once.
pub struct Jwk {
    key_id: Option<Box<str>>,
    algorithm: Option<Algorithm>,
    issuer: Option<Box<str>>,
    key: PublicKey,
    spki_der: OnceLock<Box<[u8]>>,
    /// The form of the key that another verifier has made.
    #[cfg(not(target_family = "wasm"))]
    prepared: OnceLock<Box<dyn std::any::Any + Send + Sync>>,
}

impl Jwk {
    /// Parses a JWK of a client, exactly as in the RFCs.
    ///
    /// # Errors
    ///
    /// Fails with any [`JwkFault`] of a single key.
    pub fn parse(object: &Object<'_>) -> Result<Self, JwkFault> {
        Self::read(object, Form::Exact, true)
    }

    /// Parses a JWK of an issuer. Optional members may be null or empty, base64url may be padded, the
    /// coordinates of a point may have too few or too many leading zeros, and `x5c` may be the only form of
    /// the key. `is_checked_now` determines whether a costly search for a point takes place now, or at the
    /// first use of the key.
    ///
    /// # Errors
    ///
    /// Fails with any [`JwkFault`] of a single key.
    pub(super) fn parse_published(object: &Object<'_>, is_checked_now: bool) -> Result<Self, JwkFault> {
        Self::read(object, Form::AsPublished, is_checked_now)
    }

    /// Parses a key that an issuer publishes as a certificate under its `kid`. RSA keys in this form are for
    /// RS256.
    ///
    /// # Errors
    ///
    /// Fails with the faults of the certificate and of its key.
    pub(super) fn of_pem(key_id: &str, pem: &str) -> Result<Self, JwkFault> {
        let key = certificate::from_pem(pem)?;
        Ok(Self {
            key_id: (!key_id.is_empty()).then(|| key_id.into()),
            algorithm: key.fits(Algorithm::Rs256).then_some(Algorithm::Rs256),
            issuer: None,
            spki_der: OnceLock::new(),
            #[cfg(not(target_family = "wasm"))]
            prepared: OnceLock::new(),
            key,
        })
    }

    fn read(object: &Object<'_>, form: Form, is_checked_now: bool) -> Result<Self, JwkFault> {
        let members = Members::read(object, form);
        let key_type = members.text("kty")?.ok_or(JwkFault::MemberMissing("kty"))?;
        match &*key_type {
            "RSA" | "EC" | "OKP" => {}
            "oct" => return Err(JwkFault::Symmetric),
            _ => return Err(JwkFault::KeyTypeUnknown),
        }
        if let Some(name) = members.private() {
            return Err(JwkFault::PrivateMember(name));
        }
        match members.text("use")?.as_deref() {
            None | Some("sig") => {}
            // SPIFFE's trust domain and bundle, section 4.1: such a key signs JWT-SVIDs, which are JWTs.
            Some("jwt-svid") if form == Form::AsPublished => {}
            Some(_) => return Err(JwkFault::UseNotSignature),
        }
        members.check_operations()?;
        let key_id = members.text("kid")?.map(Box::from);
        let algorithm = match members.text("alg")? {
            Some(name) => Some(Algorithm::from_name(&name).ok_or(JwkFault::AlgorithmMismatch)?),
            None => None,
        };
        let issuer = match form {
            Form::Exact => None,
            Form::AsPublished => members.text("issuer")?.map(Box::from),
        };
        let key = match members.certificate(&key_type)? {
            Some(key) => key,
            None => members.key(&key_type, is_checked_now)?,
        };
        if algorithm.is_some_and(|algorithm| !key.fits(algorithm)) {
            return Err(JwkFault::AlgorithmMismatch);
        }
        if algorithm.is_some_and(Algorithm::is_pss) && !key.is_within_module() {
            return Err(JwkFault::RsaBeyondModule);
        }
        let key = Self {
            key_id,
            algorithm,
            issuer,
            key,
            spki_der: OnceLock::new(),
            #[cfg(not(target_family = "wasm"))]
            prepared: OnceLock::new(),
        };
        if is_checked_now {
            // Computed now, so that the first request with the key does not have to wait.
            let _ = key.spki_der();
        }
        Ok(key)
    }

    /// `kid`, decoded.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The only algorithm of the key, from its own `alg`.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// Whether the key may verify tokens of this issuer. The key's own member `issuer` names one, or is a
    /// template: a segment in braces, as in `https://login.example.com/{tenantid}/v2.0`, matches one segment
    /// of any value. The claims' check has compared that segment with the tenant's claim.
    #[must_use]
    pub fn serves_issuer(&self, issuer: Option<&str>) -> bool {
        let Some(template) = &self.issuer else {
            return true;
        };
        let Some(issuer) = issuer else {
            return false;
        };
        let is_variable =
            |segment: &str| segment.len() > 2 && segment.starts_with('{') && segment.ends_with('}');
        let mut segments = issuer.split('/');
        let is_alike = template.split('/').all(|expected| {
            segments
                .next()
                .is_some_and(|segment| segment == expected || is_variable(expected) && !segment.is_empty())
        });
        is_alike && segments.next().is_none()
    }

    /// Whether the key may verify signatures of `algorithm`: its type, its curve and its own `alg` permit it.
    #[must_use]
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm) && self.key.fits(algorithm)
    }

    /// Whether the module can check signatures with this key. It leaves RSA keys above 4096 bits, or with an
    /// exponent above 65537, to the host.
    #[must_use]
    pub fn is_within_module(&self) -> bool {
        self.key.is_within_module()
    }

    /// The approximate duration of a check in the module, in microseconds; `None` if the module makes none
    /// with this key.
    #[must_use]
    pub fn module_cost(&self, algorithm: Algorithm) -> Option<u32> {
        (self.fits(algorithm) && self.is_within_module()).then(|| self.key.module_micros())
    }

    /// The approximate duration of a check by the host, in microseconds; `None` if the key does not fit.
    #[must_use]
    pub fn host_cost(&self, algorithm: Algorithm) -> Option<u32> {
        self.fits(algorithm).then(|| self.key.host_micros())
    }

    /// Whether `signature` is a signature of `algorithm` over `signing_input` with this key. Also false if
    /// the key does not fit, or is larger than the module accepts.
    #[must_use]
    pub fn verify(&self, algorithm: Algorithm, signing_input: &[u8], signature: &[u8]) -> bool {
        self.fits(algorithm)
            && self.is_within_module()
            && self.key.verify(algorithm, signing_input, signature)
    }

    /// The length of every signature of `algorithm` with this key (RFC 7518 sections 3.3 to 3.5, RFC 8037
    /// section 3.1).
    #[must_use]
    pub fn signature_len(&self, algorithm: Algorithm) -> usize {
        match algorithm {
            Algorithm::Es256 | Algorithm::EdDsa => 64,
            Algorithm::Es384 => 96,
            Algorithm::Es512 => 132,
            _ => self.key.modulus_len(),
        }
    }

    /// The form of the key for a verifier other than the sandbox, made once; `None` if another verifier has
    /// already made a different one.
    #[cfg(not(target_family = "wasm"))]
    #[must_use]
    pub fn prepared<T: std::any::Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        self.prepared.get_or_init(|| Box::new(make())).downcast_ref()
    }

    /// The key as DER SubjectPublicKeyInfo, computed once.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        self.spki_der.get_or_init(|| self.key.to_spki_der().into())
    }
}

/// Whether both are the same key under the same name: they verify the same signatures.
impl PartialEq for Jwk {
    fn eq(&self, other: &Self) -> bool {
        self.key_id == other.key_id
            && self.algorithm == other.algorithm
            && self.issuer == other.issuer
            && self.spki_der() == other.spki_der()
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

/// The relevant members of a key, parsed in its form.
struct Members<'a> {
    /// As in [`MEMBERS`].
    values: [Option<Json<'a>>; MEMBERS.len()],
    form: Form,
}

/// The members that this module reads, the private ones first.
const MEMBERS: [&str; 20] = [
    "d", "p", "q", "dp", "dq", "qi", "oth", "k", "kty", "use", "key_ops", "kid", "alg", "issuer", "crv", "n",
    "e", "x", "y", "x5c",
];

impl<'a> Members<'a> {
    /// One pass over the object. In a published key, null, an empty text and an empty list count as absent:
    /// serializers write them for members without a value.
    fn read(object: &Object<'a>, form: Form) -> Self {
        let mut values = [None; MEMBERS.len()];
        for (name, value) in object.members() {
            let is_absent = form == Form::AsPublished
                && match value.kind() {
                    Kind::Null => true,
                    Kind::String => value.text() == "\"\"",
                    Kind::Array => {
                        let inside = value
                            .text()
                            .strip_prefix('[')
                            .and_then(|text| text.strip_suffix(']'));
                        inside.is_some_and(|inside| inside.trim_ascii().is_empty())
                    }
                    Kind::Bool | Kind::Number | Kind::Object => false,
                };
            let place = MEMBERS.iter().position(|member| *member == name);
            if let Some(place) = place.and_then(|place| values.get_mut(place))
                && !is_absent
            {
                *place = Some(value);
            }
        }
        Self { values, form }
    }

    fn value(&self, name: &str) -> Option<Json<'a>> {
        let place = MEMBERS.iter().position(|member| *member == name)?;
        *self.values.get(place)?
    }

    /// A member whose value only the owner of the key may know.
    fn private(&self) -> Option<&'static str> {
        let present = PRIVATE_MEMBERS.iter().zip(&self.values);
        present
            .filter(|(_, value)| value.is_some())
            .map(|(name, _)| *name)
            .next()
    }

    fn text(&self, name: &'static str) -> Result<Option<Cow<'a, str>>, JwkFault> {
        match self.value(name) {
            Some(value) => value.as_str().map(Some).ok_or(JwkFault::MemberMalformed(name)),
            None => Ok(None),
        }
    }

    fn bytes(&self, name: &'static str) -> Result<Vec<u8>, JwkFault> {
        let text = self.text(name)?.ok_or(JwkFault::MemberMissing(name))?;
        let decoded = match self.form {
            Form::Exact => URL_SAFE_NO_PAD.decode(&*text),
            Form::AsPublished => PADDED_OR_NOT.decode(&*text),
        };
        decoded.map_err(|_| JwkFault::MemberMalformed(name))
    }

    /// [RFC 7517 section 4.3](https://www.rfc-editor.org/rfc/rfc7517#section-4.3): the values are strings,
    /// and a verifier needs "verify".
    fn check_operations(&self) -> Result<(), JwkFault> {
        let Some(operations) = self.value("key_ops") else {
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

    /// The key of the first certificate in `x5c`, for a published key without other material.
    fn certificate(&self, key_type: &str) -> Result<Option<PublicKey>, JwkFault> {
        if self.form == Form::Exact || ["n", "e", "x", "y"].iter().any(|name| self.value(name).is_some()) {
            return Ok(None);
        }
        let Some(chain) = self.value("x5c") else {
            return Ok(None);
        };
        let chain = chain.as_array().ok_or(JwkFault::MemberMalformed("x5c"))?;
        let first = chain.first().and_then(|first| first.as_str());
        let key = certificate::from_base64(&first.ok_or(JwkFault::MemberMalformed("x5c"))?)?;
        let (own_type, own_curve) = key.type_and_curve();
        let curve = self.text("crv")?;
        let fits = own_type == key_type && (curve.is_none() || curve.as_deref() == own_curve);
        if fits {
            Ok(Some(key))
        } else {
            Err(JwkFault::CertificateMismatch)
        }
    }

    /// The key from the members of its type.
    fn key(&self, key_type: &str, is_checked_now: bool) -> Result<PublicKey, JwkFault> {
        if key_type == "RSA" {
            return PublicKey::rsa(&self.bytes("n")?, &self.bytes("e")?);
        }
        let curve = self.text("crv")?.ok_or(JwkFault::MemberMissing("crv"))?;
        if key_type == "OKP" {
            return match &*curve {
                "Ed25519" => PublicKey::ed25519(&self.bytes("x")?, is_checked_now),
                _ => Err(JwkFault::CurveUnknown),
            };
        }
        let curve = Curve::from_name(&curve).ok_or(JwkFault::CurveUnknown)?;
        let (x, y) = (self.bytes("x")?, self.bytes("y")?);
        match self.form {
            Form::Exact => PublicKey::ec(curve, &x, &y, is_checked_now),
            Form::AsPublished => PublicKey::ec_of_numbers(curve, &x, &y, is_checked_now),
        }
    }
}
