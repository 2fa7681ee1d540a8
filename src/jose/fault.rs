//! The faults of a token, of a key and of a key set.
//!
//! It contains the faults and their descriptions: the parsers of tokens and keys need not import each other.
//! It must not know any parser.

use std::fmt;

use crate::json::JsonError;

/// The reason for which a token cannot be parsed. The filter checks a signature only after that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenFault {
    /// Not three parts with two periods between them.
    Parts,
    /// This part is not base64url, and the fault.
    Encoding(&'static str, EncodingFault),
    /// The header is not one strict JSON object.
    HeaderJson(JsonError),
    /// The named header member has the wrong type.
    HeaderMember(&'static str),
    /// The header has no `alg`, which
    /// [RFC 7515 section 4.1.1](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.1) requires.
    AlgorithmMissing,
    /// The header requires an extension that the filter does not implement: `crit`, or `b64` other than true
    /// ([RFC 7797](https://www.rfc-editor.org/rfc/rfc7797)).
    CriticalHeader,
    /// The token is a JWE: five parts, or an `enc` member.
    Encrypted,
    /// The payload is another token ([RFC 7519 section
    /// 5.2](https://www.rfc-editor.org/rfc/rfc7519#section-5.2)).
    Nested,
}

impl fmt::Display for TokenFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parts => formatter.write_str("the token is not three parts"),
            Self::Encoding(part, fault) => {
                write!(formatter, "the {part} is not base64url: {}", fault.phrase())
            }
            Self::HeaderJson(fault) => write!(formatter, "the header is faulty: {fault}"),
            Self::HeaderMember(name) => write!(formatter, "the header member {name} is of a wrong type"),
            Self::AlgorithmMissing => formatter.write_str("the header has no alg"),
            Self::CriticalHeader => formatter.write_str("the header asks for an unknown extension"),
            Self::Encrypted => formatter.write_str("the token is encrypted"),
            Self::Nested => formatter.write_str("the token holds another token"),
        }
    }
}

impl std::error::Error for TokenFault {}

/// The reason for which a text is not base64url.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EncodingFault {
    /// It has `=`.
    Padding,
    /// It has a character of base64 that base64url does not have.
    Standard,
    /// It has a character of neither.
    Character,
    /// Its length is impossible, or its last character has bits that no byte takes.
    End,
}

impl EncodingFault {
    /// The fault as a phrase.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Padding => "padding with =",
            Self::Standard => "+ or /, as in base64",
            Self::Character => "an unknown character",
            Self::End => "cut off or changed",
        }
    }
}

/// The reason for which the filter does not use a member of a key set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JwkFault {
    /// The element of `keys` is not an object.
    NotAnObject,
    /// The element of `keys` is an object, but not strict JSON.
    Json(JsonError),
    /// `kty` is not `RSA`, `EC` or `OKP`, or a certificate has a key of another type.
    KeyTypeUnknown,
    /// `kty` is `oct`: a shared secret, which a public document cannot contain.
    Symmetric,
    /// No algorithm of the key type uses this `crv`.
    CurveUnknown,
    /// The named member is required and absent.
    MemberMissing(&'static str),
    /// The named member has a wrong type or length, or is not base64url.
    MemberMalformed(&'static str),
    /// The RSA modulus has fewer than 2048 bits.
    RsaTooSmall,
    /// The RSA modulus has more than 8192 bits.
    RsaTooLarge,
    /// The RSA modulus is even, so it is not the product of two large primes.
    RsaModulusEven,
    /// The RSA exponent is even, less than 3, or has more than 33 bits.
    RsaExponent,
    /// `alg` is one of PSS, which the host does not implement, and the module does not accept RSA keys of
    /// more than 4096 bits or with an exponent above 65537.
    RsaBeyondModule,
    /// The coordinates are not those of a point on the curve, or the point has a small order.
    PointInvalid,
    /// The document publishes this private member of the key, so anyone can sign with it.
    PrivateMember(&'static str),
    /// `use` is neither `sig` nor `jwt-svid`.
    UseNotSignature,
    /// `key_ops` is present without `verify`.
    OperationsWithoutVerify,
    /// The key's own `alg` is not implemented, or does not fit its type and curve.
    AlgorithmMismatch,
    /// The certificate is not PEM or DER, or its key cannot be found.
    CertificateMalformed,
    /// `x5c` has a key of another type than `kty`.
    CertificateMismatch,
    /// The document has more usable keys than a provider accepts.
    TooManyKeys,
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
            Self::PrivateMember(name) => write!(formatter, "the key comes with its private member {name}"),
            Self::UseNotSignature => formatter.write_str("use is not sig"),
            Self::OperationsWithoutVerify => formatter.write_str("key_ops has no verify"),
            Self::AlgorithmMismatch => formatter.write_str("alg is unknown or does not fit the key"),
            Self::CertificateMalformed => formatter.write_str("the certificate cannot be read"),
            Self::CertificateMismatch => formatter.write_str("kty does not fit the certificate"),
            Self::TooManyKeys => formatter.write_str("the document has too many keys"),
        }
    }
}

impl std::error::Error for JwkFault {}

/// A member of a key set that the filter does not use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SkippedKey {
    /// Its position in `keys`.
    pub position: usize,
    /// The beginning of its `kid`, escaped for a log.
    pub key_id: Option<Box<str>>,
    /// The reason.
    pub fault: JwkFault,
}

impl fmt::Display for SkippedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "keys[{}]", self.position)?;
        if let Some(key_id) = &self.key_id {
            write!(formatter, " (kid `{key_id}`)")?;
        }
        write!(formatter, ": {}", self.fault)
    }
}

/// The members of a key set that the filter does not use: their number, and the first of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SkippedKeys {
    count: usize,
    first: Vec<SkippedKey>,
}

impl SkippedKeys {
    /// The number of skipped keys in a log line.
    pub const NAMED: usize = 16;

    /// The number of characters of a `kid` in a log line.
    const SHOWN: usize = 64;

    /// Whether the filter uses every member of the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The number of members that the filter does not use.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The first [`SkippedKeys::NAMED`] of them.
    #[must_use]
    pub fn first(&self) -> &[SkippedKey] {
        &self.first
    }

    /// Counts a member, and keeps it if it is one of the first.
    pub(super) fn add(&mut self, position: usize, key_id: Option<&str>, fault: JwkFault) {
        self.count = self.count.saturating_add(1);
        if self.first.len() < Self::NAMED {
            let shown = |key_id: &str| {
                key_id
                    .chars()
                    .take(Self::SHOWN)
                    .flat_map(char::escape_debug)
                    .collect()
            };
            self.first.push(SkippedKey {
                position,
                key_id: key_id.map(shown),
                fault,
            });
        }
    }
}

/// As in `keys[0] (kid `a`): use is not sig; keys[3]: kty is unknown`.
impl fmt::Display for SkippedKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, key) in self.first.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(formatter, "{separator}{key}")?;
        }
        match self.count.checked_sub(self.first.len()) {
            None | Some(0) => Ok(()),
            Some(more) => write!(formatter, "; and {more} more"),
        }
    }
}

/// The form of a document that people often serve in place of a key set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OtherDocument {
    /// A discovery document, by its `jwks_uri`.
    Discovery,
    /// A single JWK, by its `kty`.
    Key,
    /// A list.
    List,
    /// A key or a certificate in PEM.
    Pem,
    /// A page.
    Html,
    /// A URL or the name of a file.
    Address,
    /// A placeholder of a template that has no value.
    Placeholder,
}

impl OtherDocument {
    /// The form of a text that is not a JSON object.
    pub(super) fn of_text(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii_start();
        Some(match text.first()? {
            b'[' => Self::List,
            b'<' => Self::Html,
            _ if text.starts_with(b"-----BEGIN") => Self::Pem,
            _ if text.starts_with(b"{{") || text.starts_with(b"${") => Self::Placeholder,
            b'/' if !matches!(text, [_, b'/' | b'*', ..]) => Self::Address,
            _ if text.starts_with(b"http") => Self::Address,
            _ => return None,
        })
    }
}

impl fmt::Display for OtherDocument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Discovery => "a discovery document; the keys are at its jwks_uri",
            Self::Key => "a single key; write it into {\"keys\":[…]}",
            Self::List => "a list; write its elements into {\"keys\":[…]}",
            Self::Pem => "PEM; the filter reads a JWKS document",
            Self::Html => "an HTML or XML page",
            Self::Placeholder => "a placeholder that was not replaced",
            Self::Address => "an address; `remote_jwks` fetches keys from one",
        })
    }
}

/// The reason for which a document is not a key set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JwksFault {
    /// The document is not one JSON object, or has a duplicate member.
    Json(JsonError),
    /// There is no `keys`, and no certificate under the name of a key.
    KeysMissing,
    /// The document is something else.
    Other(OtherDocument),
    /// `keys` is not an array.
    KeysNotAnArray,
    /// None of the keys can be used. Without any key, the filter has skipped none.
    NoUsableKey(SkippedKeys),
}

impl fmt::Display for JwksFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(fault) => write!(formatter, "the key set is faulty: {fault}"),
            Self::KeysMissing => formatter.write_str("the key set has no keys member"),
            Self::Other(other) => write!(formatter, "this is not a key set but {other}"),
            Self::KeysNotAnArray => formatter.write_str("keys is not an array"),
            Self::NoUsableKey(skipped) if skipped.is_empty() => {
                formatter.write_str("the key set has no keys")
            }
            Self::NoUsableKey(skipped) => {
                write!(formatter, "the key set has no usable key: {skipped}")
            }
        }
    }
}

impl std::error::Error for JwksFault {}
