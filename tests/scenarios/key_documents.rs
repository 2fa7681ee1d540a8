//! Key documents as issuers publish them: null and empty members, padding, lost zeros, certificates, many
//! keys.

use serde_json::{Map, Value, json};
use testkit::certificate_of;

use super::*;

pub(super) fn list() -> Vec<Scenario> {
    let mut scenarios = accepted();
    scenarios.extend(of_strangers());
    scenarios.extend(skipped());
    scenarios.extend(certificates());
    scenarios.extend(issuers());
    scenarios.extend(sizes());
    scenarios
}

/// The document comes from the issuer.
fn remote(name: &'static str, document: &Value) -> Scenario {
    Scenario::new(name, config(remote_provider())).issuer("/jwks", Says::Document(document.to_string()))
}

/// The document is in the configuration.
fn local(name: &'static str, document: &Value) -> Scenario {
    Scenario::local_with(
        name,
        json!({"local_jwks": {"inline_string": document.to_string()}}),
    )
}

fn keys(keys: &[Value]) -> Value {
    json!({"keys": keys})
}

fn set(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

/// Keys of the world with members without a value.
fn accepted() -> Vec<Scenario> {
    let world = world();
    let rsa = || world.rsa.public_jwk();
    let es256 = || world.es256.public_jwk();
    let good = token().mint();
    let nameless = |key: &SigningKey| token_of(&key.with_kid(None)).mint();
    let dotnet = {
        let key = rsa();
        json!({"e": key["e"], "key_ops": [], "kid": key["kid"], "kty": "RSA", "n": key["n"], "oth": [],
            "use": "sig", "x5c": []})
    };
    let nulls = [
        "use", "key_ops", "d", "p", "q", "dp", "dq", "qi", "oth", "k", "x5c", "x5t", "x5u", "issuer",
    ]
    .iter()
    .fold(rsa(), |key, name| set(key, name, Value::Null));
    let unnamed = ["alg", "use", "kid"].map(|name| (name, set(rsa(), name, Value::Null)));
    let empty = ["alg", "use", "kid", "d", "k", "issuer"]
        .iter()
        .fold(rsa(), |key, name| set(key, name, "".into()));
    let padded = |key: Value, member: &str| {
        let text = key[member].as_str().expect("base64url").to_owned();
        let padding = "=".repeat((4 - text.len() % 4) % 4);
        assert!(!padding.is_empty());
        set(key, member, (text + &padding).into())
    };

    let mut scenarios = vec![
        remote("the key set of a .NET serializer", &keys(&[dotnet])).token(&good, forwarded()),
        remote("null for members of a key means absent", &keys(&[nulls])).token(&good, forwarded()),
        remote(
            "empty members of a key mean absent",
            &keys(std::slice::from_ref(&empty)),
        )
        .token(&good, forwarded())
        .token(nameless(&world.rsa), forwarded()),
        // As some issuers list each key: once with its name, once without.
        remote("a key twice, with and without kid", &keys(&[rsa(), empty])).token(&good, forwarded()),
        remote("padded numbers of a key", &keys(&[padded(rsa(), "n")])).token(&good, forwarded()),
        remote(
            "padded coordinates of a key",
            &keys(&[padded(padded(es256(), "x"), "y")]),
        )
        .token(token_of(&world.es256).mint(), forwarded()),
        remote(
            "a key of a SPIFFE bundle signs tokens",
            &set(
                keys(&[set(es256(), "use", "jwt-svid".into())]),
                "spiffe_sequence",
                1.into(),
            ),
        )
        .token(token_of(&world.es256).mint(), forwarded()),
        remote("a zero octet before the modulus", &keys(&[with_zero(rsa(), "n")])).token(&good, forwarded()),
    ];
    for ((member, key), name) in unnamed.into_iter().zip([
        "a key whose alg is null",
        "a key whose use is null",
        "a key whose kid is null",
    ]) {
        assert!(key[member].is_null());
        scenarios.push(local(name, &keys(&[key])).token(&good, forwarded()));
    }
    for (name, algorithm) in [
        ("coordinates of P-256 without a zero", Algorithm::Es256),
        ("coordinates of P-384 without a zero", Algorithm::Es384),
    ] {
        let (key, jwk) = with_short_coordinate(algorithm);
        scenarios.push(remote(name, &keys(&[jwk])).token(token_of(&key).mint(), forwarded()));
    }
    for (name, key) in [
        ("a zero octet before the coordinates of P-256", &world.es256),
        ("a zero octet before the coordinates of P-384", &world.es384),
        ("a zero octet before the coordinates of P-521", &world.es512),
    ] {
        let jwk = with_zero(with_zero(key.public_jwk(), "x"), "y");
        scenarios.push(remote(name, &keys(&[jwk])).token(token_of(key).mint(), forwarded()));
    }
    scenarios
}

/// Members of keys, and further elements, that have no meaning for the filter.
fn of_strangers() -> Vec<Scenario> {
    let world = world();
    let rsa = || world.rsa.public_jwk();
    let good = token().mint();
    let with_all = |members: Value| {
        let members = members.as_object().expect("members").clone();
        members
            .into_iter()
            .fold(rsa(), |key, (name, value)| set(key, &name, value))
    };
    let beside = |other: Value| keys(&[other, rsa()]);
    let certificate = certificate_of(&world.rsa);
    let documents = [
        (
            "a key with members of its issuer's own",
            keys(&[with_all(json!({
                "cloud_instance_name": "login.example", "nbf": 1_493_763_266, "exp": "never", "status": "ACTIVE", "created": null,
                "ext": true, "name": "schl\u{fc}ssel", "key_ops_type": ["connect"], "KeySize": 2048, "AdditionalData": {},
                "CryptoProviderFactory": {"CryptoProviderCache": {}},
            }))]),
        ),
        (
            "a key set with members of its issuer's own",
            set(
                set(keys(&[rsa()]), "SkipUnresolvedJsonWebKeys", true.into()),
                "public_certs",
                json!([{"kid": world.rsa.kid(), "cert": certificate}]),
            ),
        ),
        (
            "a certificate of another key beside a key",
            keys(&[set(rsa(), "x5c", json!([certificate_of(&world.es256)]))]),
        ),
        (
            "a certificate chain that is no list beside a key",
            keys(&[set(rsa(), "x5c", "AAAA".into())]),
        ),
        (
            "a key that also signs",
            keys(&[set(rsa(), "key_ops", json!(["sign", "verify"]))]),
        ),
        ("a key after a null", beside(Value::Null)),
        ("a key after a text", beside("key".into())),
        ("a key after an empty object", beside(json!({}))),
        (
            "a key after one of a kind to come",
            beside(json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": "p"})),
        ),
        (
            "a key after one of another curve",
            beside(json!({"kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA"})),
        ),
        (
            "a key after one for agreement",
            beside(json!({"kty": "OKP", "crv": "X25519", "x": "AAAA", "use": "enc"})),
        ),
        (
            "a key after a secret",
            beside(json!({"kty": "oct", "k": "AAAA", "alg": "HS256", "kid": "s"})),
        ),
    ];
    let mut scenarios: Vec<Scenario> = Vec::new();
    for (name, document) in documents {
        scenarios.push(remote(name, &document).token(&good, forwarded()));
    }
    for (name, document) in [
        ("a list is no key set", json!([rsa()])),
        ("a key is no key set", rsa()),
        ("a map of keys is no key set", json!({"keys": {"1": rsa()}})),
        ("a wrapped key set is none", json!({"data": keys(&[rsa()])})),
        ("names in capitals are others", json!({"Keys": [rsa()]})),
        (
            "a type in another case is another",
            keys(&[set(rsa(), "kty", "rsa".into())]),
        ),
        (
            "an exponent that is a number is none",
            keys(&[set(rsa(), "e", 65_537.into())]),
        ),
        (
            "a use in another case is another",
            keys(&[set(rsa(), "use", "SIG".into())]),
        ),
    ] {
        scenarios.push(remote(name, &document).token(&good, denied("keys_unavailable")));
    }
    scenarios
}

/// The member with a zero octet in front.
fn with_zero(key: Value, member: &str) -> Value {
    let octets = decoded(&key, member);
    set(
        key,
        member,
        testkit::encode_segment(&[&[0], &*octets].concat()).into(),
    )
}

fn decoded(key: &Value, member: &str) -> Vec<u8> {
    use base64::Engine as _;
    let text = key[member].as_str().expect("base64url");
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .expect("base64url")
}

/// A key of which a coordinate begins with a zero octet, as one of 128 does, and its JWK without that.
fn with_short_coordinate(algorithm: Algorithm) -> (SigningKey, Value) {
    loop {
        let key = SigningKey::generate(algorithm, Some("short"));
        let jwk = key.public_jwk();
        for member in ["x", "y"] {
            let octets = decoded(&jwk, member);
            if octets[0] == 0 {
                let short = testkit::encode_segment(&octets[1..]);
                return (key, set(jwk, member, short.into()));
            }
        }
    }
}

/// Keys that stay unusable.
fn skipped() -> Vec<Scenario> {
    let world = world();
    let rsa = || world.rsa.public_jwk();
    let good = token().mint();
    let other = || world.es256.public_jwk();
    let is_skipped = |name: &'static str, key: Value| {
        remote(name, &keys(&[key, other()]))
            .token(&good, denied("key_unknown"))
            .token(token_of(&world.es256).mint(), forwarded())
    };
    let mut shifted = world.es256.public_jwk();
    let x = decoded(&shifted, "x");
    shifted["x"] = testkit::encode_segment(&[&x[..], &[0]].concat()).into();
    vec![
        is_skipped("a private key is not used", set(rsa(), "d", "AQAB".into())),
        is_skipped(
            "other primes are not used",
            set(rsa(), "oth", json!([{"r": "AQAB"}])),
        ),
        is_skipped(
            "a key for encryption is not used",
            set(rsa(), "use", "enc".into()),
        ),
        is_skipped(
            "a key that only signs is not used",
            set(rsa(), "key_ops", json!(["sign"])),
        ),
        is_skipped("a kid that is a number is none", set(rsa(), "kid", 1.into())),
        is_skipped("a modulus that is null is none", set(rsa(), "n", Value::Null)),
        is_skipped("an empty modulus is none", set(rsa(), "n", "".into())),
        remote(
            "a coordinate that is too long is no coordinate",
            &keys(&[shifted, rsa()]),
        )
        .token(token_of(&world.es256).mint(), denied("key_unknown"))
        .token(&good, forwarded()),
    ]
}

fn certificates() -> Vec<Scenario> {
    let world = world();
    let all = [
        &world.rsa,
        &world.es256,
        &world.es384,
        &world.es512,
        &world.ed25519,
    ];
    let mut google = Map::new();
    for key in all {
        google.insert(key.kid().expect("a kid").to_owned(), certificate_of(key).into());
    }
    google.insert(
        "junk".to_owned(),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".into(),
    );
    google.insert("more".to_owned(), 7.into());
    let google = Value::from(google);
    let chain = |key: &SigningKey| -> Value {
        let pem = certificate_of(key);
        let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        json!([der])
    };
    let only_chain =
        |key: &SigningKey, kty: &str| json!({"kty": kty, "kid": key.kid(), "use": "sig", "x5c": chain(key)});
    let chains = keys(&[
        only_chain(&world.rsa, "RSA"),
        only_chain(&world.es256, "EC"),
        set(only_chain(&world.es384, "EC"), "x", Value::Null),
        only_chain(&world.ed25519, "OKP"),
        // Another type, another curve, and no certificate at all.
        set(only_chain(&world.rsa_next, "EC"), "kid", "mixed".into()),
        set(only_chain(&world.es512, "EC"), "crv", "P-256".into()),
        json!({"kty": "RSA", "kid": "broken", "x5c": ["AAAA"]}),
    ]);
    let every = |scenario: Scenario| {
        all.iter().fold(scenario, |scenario, key| {
            scenario.token(token_of(key).mint(), forwarded())
        })
    };
    let of_chains = |scenario: Scenario| {
        [&world.rsa, &world.es256, &world.es384, &world.ed25519]
            .iter()
            .fold(scenario, |scenario, key| {
                scenario.token(token_of(key).mint(), forwarded())
            })
            .token(token_of(&world.es512).mint(), denied("key_unknown"))
    };
    vec![
        every(remote("certificates by kid from the issuer", &google))
            .token(token().header("kid", "junk").mint(), denied("key_unknown"))
            .token(
                token_of(&world.es256).header("kid", "rsa-1").mint(),
                denied("algorithm_rejected"),
            ),
        every(local("certificates by kid in the configuration", &google)),
        of_chains(remote(
            "keys that are certificates only, from the issuer",
            &chains,
        )),
        of_chains(local(
            "keys that are certificates only, in the configuration",
            &chains,
        ))
        .token(
            token_of(&world.rsa_next).header("kid", "mixed").mint(),
            denied("key_unknown"),
        ),
        // If a certificate contradicts the key, the key decides.
        local(
            "a certificate beside the key is not read",
            &keys(&[set(world.rsa.public_jwk(), "x5c", chain(&world.rsa_next))]),
        )
        .token(token().mint(), forwarded())
        .token(
            token_of(&world.rsa_next).header("kid", "rsa-1").mint(),
            denied("signature_invalid"),
        ),
    ]
}

/// Keys that name the issuer that they are for.
fn issuers() -> Vec<Scenario> {
    let world = world();
    let of = |key: &SigningKey, tenant: &str| {
        let issuer = format!("https://login.example.com/{tenant}/v2.0");
        token_of(key).claims(json!({"iss": issuer, "tid": tenant})).mint()
    };
    let key = |key: &SigningKey, issuer: Value| set(key.public_jwk(), "issuer", issuer);
    let documents = keys(&[
        key(&world.rsa, "https://login.example.com/{tenantid}/v2.0".into()),
        key(&world.rsa_next, "https://login.example.com/blue/v2.0".into()),
        key(&world.es256, "https://login.example.com/{tenantid}/v1.0".into()),
        key(&world.es384, Value::Null),
        key(&world.es512, 7.into()),
    ]);
    let tenants = json!({
        "issuer": "https://login.example.com/{tenantid}/v2.0",
        "issuer_claims": {"tenantid": "tid"},
    });
    let config = |provider: Value| config(with(provider, tenants.clone()));
    let steps = |scenario: Scenario| {
        scenario
            .token(of(&world.rsa, "blue"), forwarded())
            .token(of(&world.rsa, "red"), forwarded())
            .token(of(&world.rsa_next, "blue"), forwarded())
            .token(of(&world.rsa_next, "red"), denied("key_unknown"))
            .token(
                of(&world.rsa_next.with_kid(None), "red"),
                denied("signature_invalid"),
            )
            .token(of(&world.es384, "red"), forwarded())
    };
    let local = with(
        local_provider(),
        json!({"local_jwks": {"inline_string": documents.to_string()}}),
    );
    vec![
        steps(Scenario::new(
            "a key serves the issuer that it names",
            config(local),
        ))
        // With keys from an issuer, each of these would cause a further fetch, and the number of fetches is
        // limited.
        .token(of(&world.es256, "blue"), denied("key_unknown"))
        .token(of(&world.es512, "red"), denied("key_unknown")),
        steps(
            Scenario::new(
                "a fetched key serves the issuer that it names",
                config(remote_provider()),
            )
            .issuer("/jwks", Says::Document(documents.to_string())),
        ),
        Scenario::local_with(
            "a key that names another issuer",
            json!({"local_jwks": {"inline_string": keys(&[
                key(&world.rsa, "https://idp.example.com/realms/other".into()),
                key(&world.rsa_next, ISSUER.into()),
            ]).to_string()}}),
        )
        .token(token().mint(), denied("key_unknown"))
        .token(token_of(&world.rsa_next).mint(), forwarded()),
    ]
}

/// Sets that are large, empty, or full of junk.
fn sizes() -> Vec<Scenario> {
    let world = world();
    let small = world.es256.public_jwk();
    let named = |number: usize| set(small.clone(), "kid", format!("k{number}").into());
    let mut many: Vec<Value> = (0..1_000).map(named).collect();
    many.insert(500, world.rsa.public_jwk());
    let of = |kid: &str| token_of(&world.es256).header("kid", kid).mint();
    let mut junk: Vec<Value> = vec![json!({}); 3_000];
    junk.extend([
        json!(null),
        json!([[]]),
        json!("key"),
        json!(7),
        json!({"kty": {}}),
    ]);
    junk.push(world.rsa.public_jwk());
    let short = with(
        config(remote_provider()),
        json!({"limits": {"max_wait": "400ms"}}),
    );
    let good = token().mint();
    let without = |name: &'static str, document: &str| {
        Scenario::new(name, short.clone())
            .issuer("/jwks", Says::Document(document.to_owned()))
            .token(&good, denied("keys_unavailable"))
            .then_issuer("/jwks", Says::keys(&[&world.rsa]))
            .step(Step::Pass(Duration::from_millis(5500)))
            .token(&good, forwarded())
    };
    vec![
        remote("a set of a thousand keys", &keys(&many))
            .token(of("k0"), forwarded())
            .token(of("k999"), forwarded())
            .token(of("k1000"), denied("key_unknown"))
            .token(&good, forwarded()),
        remote("a set full of junk", &keys(&junk)).token(&good, forwarded()),
        Scenario::new("a document with a byte order mark", config(remote_provider()))
            .issuer(
                "/jwks",
                Says::Document(format!("\u{feff}{}", testkit::jwks(&[&world.rsa]))),
            )
            .token(&good, forwarded()),
        without("a set whose keys are null is empty", r#"{"keys":null}"#),
        without("a set without keys is empty", r#"{"keys":[]}"#),
    ]
}
