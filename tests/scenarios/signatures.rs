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
        // A key without `alg` of its own serves the whole family, if the operator names it.
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
    every.config["providers"]["corp"]["algorithms"] = json!([
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
    ]);

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
        pss_is_for_keys_that_say_so(),
        few_keys_are_tried_for_a_kid(),
        large_keys_are_the_hosts(),
        an_ed25519_key_has_one_encoding(),
        several_tokens_share_what_checks_may_take(),
    ]
}

fn keys(keys: &[serde_json::Value]) -> serde_json::Value {
    json!({"local_jwks": {"inline_string": json!({"keys": keys}).to_string()}})
}

fn pss_is_for_keys_that_say_so() -> Scenario {
    let rsa = &world().rsa;
    let key = |kid: &str, alg: serde_json::Value| with(rsa.public_jwk(), json!({"kid": kid, "alg": alg}));
    let token = |kid: &str, algorithm| token().signed_with(algorithm).header("kid", kid).mint();
    Scenario::local_with(
        "a key without alg is not for PSS unless the operator says so",
        keys(&[key("any", json!(null)), key("pss", json!("PS256"))]),
    )
    .token(token("any", Algorithm::Ps256), denied("algorithm_rejected"))
    .token(token("any", Algorithm::Ps512), denied("algorithm_rejected"))
    .token(token("any", Algorithm::Rs256), forwarded())
    .token(token("any", Algorithm::Rs512), forwarded())
    .token(token("pss", Algorithm::Ps256), forwarded())
    .token(token("pss", Algorithm::Rs256), denied("algorithm_rejected"))
}

/// An issuer that gives many keys one name.
fn few_keys_are_tried_for_a_kid() -> Scenario {
    let key = &world().es256;
    let twin = || {
        with(
            SigningKey::generate(Algorithm::Es256, None).public_jwk(),
            json!({"kid": "twin"}),
        )
    };
    let mut all: Vec<_> = (0..100).map(|_| twin()).collect();
    all[3] = with(world().rsa.public_jwk(), json!({"kid": "twin"}));
    // The fourth of those that fit, and the fifth.
    let fifth = SigningKey::generate(Algorithm::Es256, Some("twin"));
    all[4] = with(key.public_jwk(), json!({"kid": "twin"}));
    all[5] = fifth.public_jwk();
    Scenario::local_with("of the keys of one name four are tried", keys(&all))
        .token(token_of(key).header("kid", "twin").mint(), forwarded())
        .token(token_of(&fifth).mint(), denied("signature_invalid"))
}

/// In the module; with the host see `tests/host/crypto.rs`.
fn large_keys_are_the_hosts() -> Scenario {
    let largest = SigningKey::generate_rsa(Algorithm::Rs256, 4096, Some("4096"));
    // The test needs no private key to show that its public half is not used.
    let larger = |kid: &str, alg: &str| {
        let modulus = testkit::encode_segment(&[0xff; 513]);
        json!({"kty": "RSA", "kid": kid, "alg": alg, "n": modulus, "e": "AQAB"})
    };
    let exponent = with(
        world().rsa.public_jwk(),
        json!({"kid": "exponent", "alg": null, "e": "AQAD"}),
    );
    let mut scenario = Scenario::local_with(
        "the module checks no signatures of very large RSA keys",
        keys(&[
            largest.public_jwk(),
            larger("4104", "RS256"),
            larger("pss", "PS256"),
            exponent,
        ]),
    );
    scenario.config["signature_backend"] = json!("sandbox");
    scenario
        .token(token_of(&largest).mint(), forwarded())
        .token(
            token().header("kid", "4104").signature(&[1; 513]).mint(),
            denied("algorithm_rejected"),
        )
        .token(
            token().header("kid", "exponent").mint(),
            denied("algorithm_rejected"),
        )
        .token(
            token()
                .signed_with(Algorithm::Ps256)
                .header("kid", "pss")
                .signature(&[1; 513])
                .mint(),
            denied("key_unknown"),
        )
}

/// RFC 8032 section 5.1.3: a y that is not below p is no point, whichever it would be modulo p.
fn an_ed25519_key_has_one_encoding() -> Scenario {
    let key = |kid: &str, x: [u8; 32]| json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": testkit::encode_segment(&x)});
    let mut beyond = [0xff; 32];
    (beyond[0], beyond[31]) = (0xed + 4, 0x7f);
    let mut all_ones = [0xff; 32];
    all_ones[31] = 0x7f;
    // y = 1 is the neutral element: with it, every R = [S]B is a signature of every message.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut scenario = Scenario::local_with(
        "an Ed25519 key has one encoding and no small order",
        keys(&[
            world().ed25519.public_jwk(),
            key("beyond", beyond),
            key("ones", all_ones),
            key("neutral", neutral),
        ]),
    )
    .token(token_of(&world().ed25519).mint(), forwarded());
    for kid in ["beyond", "ones", "neutral"] {
        let token = token_of(&world().ed25519).header("kid", kid);
        scenario = scenario
            .token(token.mint(), denied("key_unknown"))
            // R is the neutral element as well, and S is 0.
            .token(
                token.signature(&[&neutral[..], &[0; 32]].concat()).mint(),
                denied("key_unknown"),
            );
    }
    scenario
}

/// A request with many tokens, each of which costs a check.
fn several_tokens_share_what_checks_may_take() -> Scenario {
    let names = ["x-a", "x-b", "x-c", "x-d"];
    let providers: serde_json::Map<_, _> = names
        .iter()
        .map(|name| {
            let provider = with(local_provider(), json!({"from_headers": [{"name": name}]}));
            ((*name).to_owned(), provider)
        })
        .collect();
    let mut scenario = Scenario::new(
        "a request has so many signatures checked",
        json!({"providers": providers}),
    );
    scenario.config["signature_backend"] = json!("sandbox");
    // No two signatures of ECDSA are the same, so that each token is made once.
    let minted =
        |key: &SigningKey| [0, 1, 2, 3, 4, 5, 6].map(|number| token_of(key).claim("n", number).mint());
    let (slow, fast) = (&minted(&world().es384), &minted(&world().es256));
    let with_tokens = |tokens: &[String; 7], numbers: &[usize]| {
        let each = names.iter().zip(numbers);
        each.fold(get("/orders"), |request, (name, number)| {
            request.header(name, &tokens[*number])
        })
    };
    scenario
        .request(with_tokens(slow, &[1, 2]), forwarded())
        .request(with_tokens(slow, &[1, 2, 3]), denied("signature_invalid"))
        // The spent budget of one request does not affect the next one.
        .request(with_tokens(slow, &[3]), forwarded())
        .request(with_tokens(slow, &[3, 4]), forwarded())
        // The same token costs once, wherever it is.
        .request(with_tokens(slow, &[5, 5, 5, 6]), forwarded())
        .request(with_tokens(fast, &[1, 2, 3, 4]), forwarded())
}
