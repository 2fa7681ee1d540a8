//! Signatures checked by the host: used where it proves to know them, and only there.

use serde_json::json;
use testkit::tamper_signature;

use super::scenarios::{config, get, local_provider, token, token_of, world};
use super::stub::{self, Crypto};
use super::vm::Vm;

/// A VM on a host whose function is worth so much, with this backend.
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
        // What Envoy's function does not know.
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
