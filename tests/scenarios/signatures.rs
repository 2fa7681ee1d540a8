//! Every algorithm, with its own key and with others'.

use serde_json::json;
use testkit::{Algorithm, tamper_claims, tamper_signature};

use super::*;

pub(super) fn list() -> Vec<Scenario> {
    let world = world();
    let mut every = Scenario::local("every algorithm verifies, and refuses a turned bit");
    for algorithm in [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
    ] {
        // A key without `alg` of its own serves the whole family.
        let token = token_of(&world.rsa)
            .signed_with(algorithm)
            .header("kid", "rsa-any")
            .mint();
        every = every
            .token(tamper_signature(&token), denied("signature_invalid"))
            .token(token, forwarded());
    }
    for key in [&world.es256, &world.es384, &world.es512, &world.ed25519] {
        let token = token_of(key).mint();
        every = every
            .token(tamper_signature(&token), denied("signature_invalid"))
            .token(token, forwarded());
    }
    let any_rsa = with(world.rsa.public_jwk(), json!({"kid": "rsa-any", "alg": null}));
    let keys = json!({"keys": [
        any_rsa, world.es256.public_jwk(), world.es384.public_jwk(), world.es512.public_jwk(),
        world.ed25519.public_jwk(),
    ]});
    every.config["providers"]["corp"]["local_jwks"]["inline_string"] = keys.to_string().into();

    let without_kid = with(world.es256.public_jwk(), json!({"kid": null}));
    let five = json!({"keys": (0..5).map(|n| {
        if n == 4 { without_kid.clone() } else {
            with(SigningKey::generate(Algorithm::Es256, None).public_jwk(), json!({"kid": null}))
        }
    }).collect::<Vec<_>>()});
    let local = |keys: serde_json::Value| json!({"local_jwks": {"inline_string": keys.to_string()}});

    vec![
        every,
        Scenario::local("claims cannot be edited").token(
            tamper_claims(&token().mint(), |claims| {
                claims.insert("sub".into(), "root".into());
            }),
            denied("signature_invalid"),
        ),
        Scenario::local("a key of the right kid but another type does not verify")
            .token(
                token_of(&world.es256).header("kid", "rsa-1").mint(),
                denied("algorithm_rejected"),
            )
            .token(
                token_of(&world.rsa).header("kid", "es256-1").mint(),
                denied("algorithm_rejected"),
            )
            .token(
                token().signed_with(Algorithm::Ps256).mint(),
                denied("algorithm_rejected"),
            ),
        Scenario::local("a signature of another key of the same type is refused").token(
            token_of(&world.rsa_next).header("kid", "rsa-1").mint(),
            denied("signature_invalid"),
        ),
        Scenario::local("an unknown kid is refused")
            .token(token().header("kid", "nobody's").mint(), denied("key_unknown"))
            .token(token().header("kid", "").mint(), forwarded()),
        Scenario::local_with("keys without a name are tried for a token that names one", local(json!({"keys": [
            without_kid.clone(), with(world.rsa.public_jwk(), json!({"kid": null})), world.es384.public_jwk(),
        ]})))
        .token(token_of(&world.es256).mint(), forwarded())
        .token(token().mint(), forwarded())
        .token(tamper_signature(&token().mint()), denied("signature_invalid"))
        .token(token_of(&world.rsa_next).mint(), denied("signature_invalid"))
        .token(token_of(&world.ed25519).mint(), denied("key_unknown"))
        .token(token_of(&world.es384).header("kid", "another").mint(), denied("key_unknown")),
        Scenario::local("a token without kid is tried with the keys that fit")
            .token(token().without_kid().mint(), forwarded())
            .token(token_of(&world.es384).without_kid().mint(), forwarded()),
        Scenario::local_with("a token without kid is tried with four keys at most", local(five)).token(
            token_of(&world.es256).without_kid().mint(),
            denied("signature_invalid"),
        ),
        Scenario::local_with(
            "keys that are not for signatures are left out",
            local(json!({"keys": [
                with(world.rsa.public_jwk(), json!({"use": "enc"})),
                with(world.es256.public_jwk(), json!({"use": null, "key_ops": ["encrypt"]})),
                with(world.es384.public_jwk(), json!({"use": null, "key_ops": ["verify"]})),
                {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
                {"kty": "future", "kid": "future"},
                "no key at all",
            ]})),
        )
        .token(token().mint(), denied("key_unknown"))
        .token(token_of(&world.es256).mint(), denied("key_unknown"))
        .token(token_of(&world.es384).mint(), forwarded()),
    ]
}
