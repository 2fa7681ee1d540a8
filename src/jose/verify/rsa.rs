//! RSA signatures ([RFC 8017](https://www.rfc-editor.org/rfc/rfc8017) sections 8.1.2 and 8.2.2) for
//! jwt-compact, with everything that depends only on the key computed once.
//!
//! It has RSAVP1 in Montgomery form, the two encodings, and the bounds on a signature. All inputs are public,
//! so the time may depend on them. It must not know the origin of a key.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::OnceLock;

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use jwt_compact::{Algorithm, AlgorithmSignature};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// A public key.
#[derive(Clone)]
pub(in crate::jose) struct RsaKey {
    /// Big-endian, without leading zeros.
    modulus: Box<[u8]>,
    exponent: u64,
    /// The parameters for Montgomery multiplication with the modulus. They are computed at their first use,
    /// because that takes as long as a signature: a key that only the host uses never needs them.
    params: OnceLock<Option<BoxedMontyParams>>,
}

impl RsaKey {
    /// The key with an odd `modulus`, big-endian and without leading zeros, and an `exponent` above 0; `None`
    /// if the modulus is even.
    pub(super) fn new(modulus: &[u8], exponent: u64) -> Option<Self> {
        let is_odd = modulus.last().is_some_and(|byte| byte & 1 == 1);
        is_odd.then(|| Self {
            modulus: modulus.into(),
            exponent,
            params: OnceLock::new(),
        })
    }

    fn params(&self) -> Option<&BoxedMontyParams> {
        let make = || {
            let bits = u32::try_from(self.modulus.len()).ok()?.checked_mul(8)?;
            let number = BoxedUint::from_be_slice(&self.modulus, bits).ok()?;
            let odd: Odd<BoxedUint> = Option::from(Odd::new(number))?;
            Some(BoxedMontyParams::new_vartime(odd))
        };
        self.params.get_or_init(make).as_ref()
    }

    pub(super) fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// The number of bits of the modulus.
    pub(super) fn modulus_bits(&self) -> usize {
        let zeros = self
            .modulus
            .first()
            .map_or(0, |byte| byte.leading_zeros() as usize);
        self.modulus.len().saturating_mul(8).saturating_sub(zeros)
    }

    pub(super) fn exponent(&self) -> u64 {
        self.exponent
    }

    /// Whether the parameters of the key have been computed.
    pub(super) fn is_prepared(&self) -> bool {
        self.params.get().is_some()
    }

    /// The cost of a check, if the first check with a key of 2048 bits and the exponent 65537 costs `usual`.
    /// It is proportional to the square of the modulus and to the products of the power. Half of `usual` is
    /// the computation of the parameters.
    pub(super) fn cost(&self, usual: u32, is_prepared: bool) -> u32 {
        /// Sixteen squares, one product, and back from Montgomery's form.
        const PRODUCTS: u32 = 18;
        const TWICE: u32 = 2 * PRODUCTS;
        let words = u32::try_from(self.modulus.len().div_ceil(64)).unwrap_or(u32::MAX);
        let of_exponent = self
            .exponent
            .checked_ilog2()
            .unwrap_or_default()
            .saturating_add(self.exponent.count_ones());
        let beforehand = if is_prepared { 0 } else { PRODUCTS };
        usual
            .saturating_mul(words)
            .saturating_mul(words)
            .saturating_div(16)
            .saturating_mul(of_exponent.saturating_add(beforehand))
            .saturating_div(TWICE)
    }

    /// RSAVP1 (section 5.2.2): the message of `signature`, as long as the modulus; `None` if the signature
    /// has another length, or is not less than the modulus, which would give one token two signatures.
    fn recover(&self, signature: &[u8]) -> Option<Box<[u8]>> {
        if signature.len() != self.modulus.len() || *signature >= *self.modulus {
            return None;
        }
        let params = self.params()?;
        let bits = params.bits_precision();
        let base = BoxedMontyForm::new(BoxedUint::from_be_slice(signature, bits).ok()?, params);
        let mut power = base.clone();
        // The bits of the exponent below its highest one, from the top: 65537 takes sixteen squares and one
        // product.
        for bit in (0..self.exponent.checked_ilog2()?).rev() {
            power = power.square();
            if self.exponent >> bit & 1 == 1 {
                power = power.mul(&base);
            }
        }
        let mut message = power.retrieve().to_be_bytes();
        // If the length of the modulus is not a multiple of a word, the result begins with zeros.
        let surplus = message.len().checked_sub(self.modulus.len())?;
        if surplus > 0 {
            message = message.get(surplus..)?.into();
        }
        Some(message)
    }
}

/// The hash of a scheme.
#[derive(Clone, Copy)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// The scheme of an RSA algorithm, for verification only.
#[derive(Clone, Copy)]
pub(super) enum Rsa {
    /// RSASSA-PKCS1-v1_5.
    Pkcs1(Hash),
    /// RSASSA-PSS with the same hash in MGF1 and a salt of the hash's length, as RFC 7518 section 3.5
    /// requires.
    Pss(Hash),
}

/// The bytes as received.
pub(super) struct RsaSignature(Box<[u8]>);

impl AlgorithmSignature for RsaSignature {
    fn try_from_slice(bytes: &[u8]) -> anyhow::Result<Self> {
        Ok(Self(bytes.into()))
    }

    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }
}

impl Algorithm for Rsa {
    /// The module has no private key: a type without values makes `sign` impossible to call.
    type SigningKey = Infallible;
    type VerifyingKey = RsaKey;
    type Signature = RsaSignature;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Pkcs1(Hash::Sha256) => "RS256",
            Self::Pkcs1(Hash::Sha384) => "RS384",
            Self::Pkcs1(Hash::Sha512) => "RS512",
            Self::Pss(Hash::Sha256) => "PS256",
            Self::Pss(Hash::Sha384) => "PS384",
            Self::Pss(Hash::Sha512) => "PS512",
        })
    }

    fn sign(&self, signing_key: &Self::SigningKey, _: &[u8]) -> Self::Signature {
        match *signing_key {}
    }

    fn verify_signature(
        &self,
        signature: &Self::Signature,
        key: &Self::VerifyingKey,
        message: &[u8],
    ) -> bool {
        let Some(encoded) = key.recover(&signature.0) else {
            return false;
        };
        match self {
            Self::Pkcs1(Hash::Sha256) => is_pkcs1(&encoded, SHA256_INFO, &Sha256::digest(message)),
            Self::Pkcs1(Hash::Sha384) => is_pkcs1(&encoded, SHA384_INFO, &Sha384::digest(message)),
            Self::Pkcs1(Hash::Sha512) => is_pkcs1(&encoded, SHA512_INFO, &Sha512::digest(message)),
            Self::Pss(hash) => {
                // Section 8.1.2 step 2: the encoded message is one bit shorter than the modulus.
                let bits = key.modulus_bits().saturating_sub(1);
                match hash {
                    Hash::Sha256 => is_pss::<Sha256>(&encoded, bits, message),
                    Hash::Sha384 => is_pss::<Sha384>(&encoded, bits, message),
                    Hash::Sha512 => is_pss::<Sha512>(&encoded, bits, message),
                }
                .unwrap_or(false)
            }
        }
    }
}

/// The DER of a DigestInfo up to the hash (section 9.2 note 1).
const SHA256_INFO: &[u8] = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
const SHA384_INFO: &[u8] = b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30";
const SHA512_INFO: &[u8] = b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40";

/// EMSA-PKCS1-v1_5 (section 9.2): the whole encoding is compared, `00 01 ff … ff 00 info hash`. Nothing is
/// parsed, so there is no ambiguity for a parser.
fn is_pkcs1(encoded: &[u8], info: &[u8], hash: &[u8]) -> bool {
    let Some(rest) = encoded
        .strip_suffix(hash)
        .and_then(|rest| rest.strip_suffix(info))
        .and_then(|rest| rest.strip_suffix(&[0]))
        .and_then(|rest| rest.strip_prefix(&[0, 1]))
    else {
        return false;
    };
    // Step 5: at least eight bytes. A modulus of 2048 bits always has room for them.
    rest.len() >= 8 && rest.iter().all(|byte| *byte == 0xff)
}

/// EMSA-PSS-VERIFY (section 9.1.2) of an encoding with `bits` bits. `None` means invalid too.
fn is_pss<D: Digest>(encoded: &[u8], bits: usize, message: &[u8]) -> Option<bool> {
    let hash_len = <D as Digest>::output_size();
    let salt_len = hash_len;
    let length = bits.div_ceil(8);
    // If the encoding is one byte shorter than the modulus, the number begins with a zero byte (section 4.1).
    let (surplus, encoded) = encoded.split_at_checked(encoded.len().checked_sub(length)?)?;
    if surplus.iter().any(|byte| *byte != 0) {
        return Some(false);
    }
    // Steps 3 to 5.
    let encoded = encoded.strip_suffix(&[0xbc])?;
    let db_len = encoded.len().checked_sub(hash_len)?;
    let (masked, hash) = encoded.split_at_checked(db_len)?;
    let padding = db_len.checked_sub(salt_len)?.checked_sub(1)?;
    // Step 6: the bits beyond the encoding are zero.
    let unused = u32::try_from(length.checked_mul(8)?.checked_sub(bits)?).ok()?;
    let mask = 0xffu8.checked_shr(unused)?;
    if masked.first()? & !mask != 0 {
        return Some(false);
    }
    // Steps 7 to 9.
    let mut db = masked.to_vec();
    mgf1_xor::<D>(&mut db, hash);
    *db.first_mut()? &= mask;
    // Step 10.
    let (zeros, salt) = db.split_at_checked(padding)?;
    let salt = salt.strip_prefix(&[1])?;
    if zeros.iter().any(|byte| *byte != 0) {
        return Some(false);
    }
    // Steps 2 and 12 to 14.
    let expected = D::new()
        .chain_update([0; 8])
        .chain_update(D::digest(message))
        .chain_update(salt)
        .finalize();
    Some(*expected == *hash)
}

/// MGF1 (appendix B.2.1), applied to `data` in place.
fn mgf1_xor<D: Digest>(data: &mut [u8], seed: &[u8]) {
    for (counter, block) in (0u32..).zip(data.chunks_mut(<D as Digest>::output_size())) {
        let mask = D::new()
            .chain_update(seed)
            .chain_update(counter.to_be_bytes())
            .finalize();
        for (byte, mask) in block.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::rsa::BigUint;

    /// Numbers that look random and are the same each time (Knuth's MMIX generator).
    struct Numbers(u64);

    impl Numbers {
        fn bytes(&mut self, count: usize) -> Vec<u8> {
            let mut next = || {
                self.0 = self
                    .0
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                self.0.to_be_bytes()[0]
            };
            (0..count).map(|_| next()).collect()
        }
    }

    /// The slower implementation computes the same powers, whatever the length of the modulus.
    #[test]
    fn powers_are_those_of_another_implementation() {
        let mut numbers = Numbers(1);
        let exponents = [1, 2, 3, 17, 65537, (1 << 33) - 1];
        for (round, length) in (0..).zip([256, 257, 259, 260, 384, 511, 512, 1024, 256, 256, 256, 256]) {
            let mut modulus = numbers.bytes(length);
            modulus[0] |= 1;
            modulus[length - 1] |= 1;
            let exponent: u64 = exponents[round % exponents.len()];
            let key = RsaKey::new(&modulus, exponent).unwrap();
            let n = BigUint::from_bytes_be(&modulus);
            for base in [
                numbers.bytes(length),
                vec![0; length],
                [vec![0; length - 1], vec![1]].concat(),
                (&n - 1u32).to_bytes_be(),
            ] {
                let number = BigUint::from_bytes_be(&base);
                let expected = (number < n).then(|| {
                    let bytes = number.modpow(&BigUint::from(exponent), &n).to_bytes_be();
                    [vec![0; length - bytes.len()], bytes].concat()
                });
                assert_eq!(key.recover(&base).map(Vec::from), expected, "{length} {exponent}");
            }
        }
    }

    #[test]
    fn a_signature_is_as_long_as_the_modulus_and_less() {
        let modulus = [0xff; 256];
        let key = RsaKey::new(&modulus, 3).unwrap();
        assert!(key.recover(&modulus).is_none());
        assert!(key.recover(&[1; 255]).is_none());
        assert!(key.recover(&[1; 257]).is_none());
        assert!(key.recover(&[1; 256]).is_some());
        assert!(RsaKey::new(&[0xfe; 256], 3).is_none());
    }

    #[test]
    fn a_check_costs_what_its_key_takes() {
        let key = |bytes: usize, exponent| RsaKey::new(&vec![0xff; bytes], exponent).unwrap();
        assert_eq!(key(256, 65_537).cost(100, false), 100);
        assert_eq!(key(256, 65_537).cost(100, true), 50);
        assert_eq!(key(512, 65_537).cost(100, false), 400);
        assert_eq!(key(1024, 65_537).cost(100, true), 800);
        // All bits of the exponent set: a product for each square.
        assert!(key(256, 65_535).cost(100, true) > 80);
        assert!(key(1024, (1 << 33) - 1).cost(100, true) > 2_800);
    }

    #[test]
    fn of_a_pkcs1_encoding_every_byte_counts() {
        let hash = [7; 32];
        let padding = vec![0xff; 202];
        let good = [&[0, 1], &padding[..], &[0], SHA256_INFO, &hash].concat();
        assert_eq!(good.len(), 256);
        assert!(is_pkcs1(&good, SHA256_INFO, &hash));
        for index in 0..good.len() {
            for bit in [1, 0x80] {
                let mut bad = good.clone();
                bad[index] ^= bit;
                assert!(!is_pkcs1(&bad, SHA256_INFO, &hash), "{index}");
            }
        }
        let short = [&[0, 1][..], &[0xff; 7], &[0], SHA256_INFO, &hash].concat();
        assert!(!is_pkcs1(&short, SHA256_INFO, &hash));
        assert!(!is_pkcs1(&hash, SHA256_INFO, &hash) && !is_pkcs1(b"", SHA256_INFO, &hash));
    }
}
