//! The signature algorithms ([RFC 7518 section 3.1](https://www.rfc-editor.org/rfc/rfc7518#section-3.1),
//! [RFC 8037 section 3.1](https://www.rfc-editor.org/rfc/rfc8037#section-3.1)), their names, and sets of
//! them.
//!
//! It must not know keys.

use std::fmt;

/// Declares the algorithms, each with its bit in a set and its registered name.
macro_rules! algorithms {
    ($($(#[$doc:meta])* $algorithm:ident = $bit:literal $name:literal,)*) => {
        /// A digital signature algorithm of JWS. There is no `none`, and no symmetric algorithm: a verifier
        /// with public keys only cannot take one of them for a shared secret.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u16)]
        pub enum Algorithm {
            $($(#[$doc])* $algorithm = 1 << $bit,)*
        }

        impl Algorithm {
            /// Every algorithm, in the order of [RFC 7518 section
            /// 3.1](https://www.rfc-editor.org/rfc/rfc7518#section-3.1).
            pub const ALL: [Self; [$($bit),*].len()] = [$(Self::$algorithm),*];

            /// The algorithm with this `alg`; `None` if the filter does not implement it. Case counts ([RFC
            /// 7515 section 4.1.1](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.1): "The 'alg' value is a
            /// case-sensitive ASCII string").
            ///
            /// `Ed25519` is the fully-specified name of RFC 9864 for `EdDSA` on Ed25519. The filter
            /// implements no other curve, so the two are one algorithm here.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Some(match name {
                    $($name => Self::$algorithm,)*
                    "Ed25519" => Self::EdDsa,
                    _ => return None,
                })
            }

            /// The registered name, as in `alg`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$algorithm => $name,)*
                }
            }
        }
    };
}

algorithms! {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256 = 0 "RS256",
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384 = 1 "RS384",
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512 = 2 "RS512",
    /// RSASSA-PSS with SHA-256 and MGF1 with SHA-256.
    Ps256 = 3 "PS256",
    /// RSASSA-PSS with SHA-384 and MGF1 with SHA-384.
    Ps384 = 4 "PS384",
    /// RSASSA-PSS with SHA-512 and MGF1 with SHA-512.
    Ps512 = 5 "PS512",
    /// ECDSA on P-256 with SHA-256.
    Es256 = 6 "ES256",
    /// ECDSA on P-384 with SHA-384.
    Es384 = 7 "ES384",
    /// ECDSA on P-521 with SHA-512.
    Es512 = 8 "ES512",
    /// EdDSA on Ed25519.
    EdDsa = 9 "EdDSA",
}

impl Algorithm {
    /// Whether it is RSASSA-PSS.
    #[must_use]
    pub const fn is_pss(self) -> bool {
        matches!(self, Self::Ps256 | Self::Ps384 | Self::Ps512)
    }

    const fn bit(self) -> u16 {
        self as u16
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A set of algorithms, for instance those that a provider allows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AlgorithmSet(u16);

impl AlgorithmSet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// The set of every [`Algorithm`].
    pub const ALL: Self = Self((1 << Algorithm::ALL.len()) - 1);

    /// The algorithms of a key without `alg`, unless the configuration permits more: all that fit the key
    /// except PSS. Nearly every key for PSS says so. The host does not implement PSS, so a client could
    /// otherwise choose the slower verification.
    pub const OF_ANY_KEY: Self =
        Self(Self::ALL.0 & !(Algorithm::Ps256.bit() | Algorithm::Ps384.bit() | Algorithm::Ps512.bit()));

    /// Whether `algorithm` is in the set.
    #[must_use]
    pub const fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & algorithm.bit() != 0
    }

    /// Adds `algorithm` to the set.
    pub fn insert(&mut self, algorithm: Algorithm) {
        self.0 |= algorithm.bit();
    }

    /// The algorithms of both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The algorithms of the set, in the order of [`Algorithm::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL
            .into_iter()
            .filter(move |algorithm| self.contains(*algorithm))
    }
}

impl FromIterator<Algorithm> for AlgorithmSet {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        Self(
            algorithms
                .into_iter()
                .fold(0, |bits, algorithm| bits | algorithm.bit()),
        )
    }
}

impl fmt::Debug for AlgorithmSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_exact_and_finds_its_way_back() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(algorithm.to_string(), algorithm.name());
        }
        for name in [
            "none", "None", "HS256", "rs256", "RS256 ", "ES256K", "EDDSA", "Ed448", "RSA-OAEP", "",
        ] {
            assert_eq!(Algorithm::from_name(name), None, "{name}");
        }
        assert_eq!(Algorithm::from_name("Ed25519"), Some(Algorithm::EdDsa));
    }

    #[test]
    fn a_set_has_what_was_put_in() {
        assert_eq!(AlgorithmSet::ALL.iter().collect::<Vec<_>>(), Algorithm::ALL);
        assert_eq!(
            Algorithm::ALL.into_iter().collect::<AlgorithmSet>(),
            AlgorithmSet::ALL
        );
        for algorithm in Algorithm::ALL {
            assert_eq!(
                AlgorithmSet::OF_ANY_KEY.contains(algorithm),
                !algorithm.name().starts_with("PS")
            );
        }
        assert!(AlgorithmSet::EMPTY.is_empty() && AlgorithmSet::EMPTY.iter().next().is_none());

        let mut set = AlgorithmSet::EMPTY;
        set.insert(Algorithm::Es256);
        set.insert(Algorithm::Rs256);
        assert!(set.contains(Algorithm::Es256) && !set.contains(Algorithm::Es384) && !set.is_empty());
        assert_eq!(format!("{set:?}"), "{Rs256, Es256}");
    }
}
