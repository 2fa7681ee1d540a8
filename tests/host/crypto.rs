//! Signature checks by the host, with the algorithms that have passed its test, and no others.

use serde_json::json;
use testkit::tamper_signature;

use super::stub::{self, Crypto};
use super::vm::Vm;
use scenarios::{config, get, local_provider, token, token_of, with, world};

/// A VM on a host whose function has this quality, with this backend.
fn vm(crypto: Crypto, backend: &str) -> (Vm, bool) {
    let mut vm = Vm::boot(|host| host.crypto = crypto);
    let mut config = config(local_provider());
    config["signature_backend"] = json!(backend);
    let is_accepted = vm.configure(config.to_string());
    (vm, is_accepted)
}

fn served() -> Option<u64> {
    stub::with(|host| host.metric("jwt.signature_backend_host"))
}

/// Whether the request was let through, and whether the host checked its signature.
fn outcome(vm: &mut Vm, token: &str) -> (bool, bool) {
    stub::with(|host| host.story.clear());
    let is_forwarded = vm.request(&get("/orders").bearer(token)).reply.is_none();
    let asked = stub::with(|host| host.story.iter().any(|line| line.starts_with("verify_signature")));
    (is_forwarded, asked)
}

#[test]
fn a_host_that_knows_is_asked_and_its_no_is_a_no() {
    for backend in ["auto", "host"] {
        let (mut vm, is_accepted) = vm(Crypto::Envoys, backend);
        assert!(is_accepted && served() == Some(6), "{backend}");
        let world = world();
        for key in [&world.rsa, &world.es256, &world.es384, &world.es512] {
            let good = token_of(key).mint();
            assert_eq!(outcome(&mut vm, &good), (true, true), "{key:?}");
            assert_eq!(
                outcome(&mut vm, &tamper_signature(&good)),
                (false, true),
                "{key:?}"
            );
        }
        // The algorithms that Envoy's function does not support.
        let good = token_of(&world.ed25519).mint();
        assert_eq!(outcome(&mut vm, &good), (true, false));
        assert_eq!(outcome(&mut vm, &tamper_signature(&good)), (false, false));
    }
}

#[test]
fn a_host_that_does_not_know_is_not_asked_again() {
    for crypto in [Crypto::SaysYes, Crypto::Babbles, Crypto::None] {
        let (mut vm, is_accepted) = vm(crypto, "auto");
        assert!(is_accepted && served() == Some(0), "{crypto:?}");
        let good = token().mint();
        assert_eq!(outcome(&mut vm, &good), (true, false), "{crypto:?}");
        assert_eq!(
            outcome(&mut vm, &tamper_signature(&good)),
            (false, false),
            "{crypto:?}"
        );
    }
}

#[test]
fn the_operator_may_insist_on_either() {
    let (mut vm, is_accepted) = vm(Crypto::Envoys, "sandbox");
    assert!(is_accepted && served() == Some(0));
    assert_eq!(outcome(&mut vm, &token().mint()), (true, false));
    drop(vm);

    let (_vm, is_accepted) = self::vm(Crypto::SaysYes, "host");
    assert!(!is_accepted);
    assert!(stub::with(|host| host.has_line(4, "signature_backend: host")));
}

#[test]
fn a_host_that_breaks_later_lets_nobody_in() {
    for crypto in [Crypto::Babbles, Crypto::None] {
        let (mut vm, _) = vm(Crypto::Envoys, "auto");
        stub::with(|host| host.crypto = crypto);
        assert_eq!(outcome(&mut vm, &token().mint()), (false, true), "{crypto:?}");
    }
}

/// An RSA key with an exponent that the module does not take, and a token of it.
fn large_key_and_token() -> (serde_json::Value, String) {
    use rsa::pkcs8::DecodePrivateKey as _;
    use rsa::sha2::{Digest as _, Sha256};
    use rsa::traits::PrivateKeyParts as _;
    use rsa::{BigUint, Pkcs1v15Sign, RsaPrivateKey};

    let usual = RsaPrivateKey::from_pkcs8_der(&world().rsa.to_pkcs8()).expect("a key");
    let [p, q] = usual.primes() else {
        panic!("two primes")
    };
    let key = RsaPrivateKey::from_p_q(p.clone(), q.clone(), BigUint::from(65_539_u32))
        .expect("a key of the same primes");
    let jwk = with(
        world().rsa.public_jwk(),
        json!({"kid": "large", "e": testkit::encode_segment(&[1, 0, 3])}),
    );
    let unsigned = token().header("kid", "large");
    let text = unsigned.mint();
    let (input, _) = text.rsplit_once('.').expect("three parts");
    let signature = key
        .sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(input))
        .expect("a signature");
    (jwk, unsigned.signature(&signature).mint())
}

#[test]
fn a_key_that_the_module_does_not_take_is_left_to_the_host() {
    let (key, good) = large_key_and_token();
    for (crypto, backend, expected) in [
        (Crypto::Envoys, "auto", (true, true)),
        (Crypto::Envoys, "host", (true, true)),
        (Crypto::Envoys, "sandbox", (false, false)),
        (Crypto::None, "auto", (false, false)),
    ] {
        let mut vm = Vm::boot(|host| host.crypto = crypto);
        let provider = with(
            local_provider(),
            json!({"local_jwks": {"inline_string": json!({"keys": [key]}).to_string()}}),
        );
        let mut config = config(provider);
        config["signature_backend"] = json!(backend);
        assert!(vm.configure(config.to_string()));
        assert_eq!(outcome(&mut vm, &good), expected, "{crypto:?} {backend}");
        let bad = tamper_signature(&good);
        assert_eq!(
            outcome(&mut vm, &bad),
            (false, expected.1),
            "{crypto:?} {backend}"
        );
    }
}
