//! Keys from an issuer: the first fetch, rotation, outage.

use serde_json::json;
use testkit::Request;

use super::*;

pub(super) fn list() -> Vec<Scenario> {
    let world = world();
    let remote = |name| Scenario::new(name, config(remote_provider()));
    let old = token().mint();
    let new = token_of(&world.rsa_next).mint();
    let short = with(
        config(remote_provider()),
        json!({"limits": {"max_wait": "400ms"}}),
    );
    // Another key, under a name that the issuer has used.
    let replaced = world.rsa_next.with_kid(world.rsa.kid());
    let forged = token_of(&replaced).mint();
    let order = || Request::post("/orders", "a body that is held").bearer(&token().mint());

    let mut scenarios = vec![
        remote("requests wait for the first keys")
            .step(Step::Together(vec![
                (order(), forwarded()),
                (get("/orders").bearer(&old), forwarded()),
                (
                    get("/orders").bearer(&token().expires_in(-600).mint()),
                    denied("token_expired"),
                ),
                (get("/orders"), denied("token_missing")),
            ]))
            .fetches(1),
        remote("a rotated key is learnt from its first token")
            .token(&old, forwarded())
            .then_issuer("/jwks", Says::keys(&[&world.rsa, &world.rsa_next]))
            .token(&new, forwarded())
            .token(&old, forwarded())
            .fetches(2),
        remote("a withdrawn key is refused once its successor is known")
            .token(&old, forwarded())
            .then_issuer("/jwks", Says::keys(&[&world.rsa_next]))
            .token(&new, forwarded())
            .token(&old, denied("key_unknown")),
        remote("a refused token is good once the issuer has its key")
            .token(&forged, denied("signature_invalid"))
            .token(&forged, denied("signature_invalid"))
            .then_issuer("/jwks", Says::keys(&[&replaced, &world.es256]))
            .token(token_of(&world.es256).mint(), forwarded())
            .token(&forged, forwarded())
            .token(&old, denied("signature_invalid"))
            .token(&old, denied("signature_invalid")),
        remote("kids that are made up leave a fetch for the one of a rotated key")
            .token(&old, forwarded())
            .token(token().header("kid", "a").mint(), denied("key_unknown"))
            .token(token().header("kid", "a").mint(), denied("key_unknown"))
            .fetches(2)
            // The filter has not asked the issuer for these `kid`s.
            .token(token().header("kid", "b").mint(), denied("keys_unavailable"))
            .token(token().header("kid", "c").mint(), denied("keys_unavailable"))
            .fetches(2)
            .then_issuer("/jwks", Says::keys(&[&world.rsa, &world.rsa_next]))
            .token(&new, denied("keys_unavailable"))
            .fetches(2)
            .token(&new, forwarded())
            .token(&old, forwarded())
            .fetches(3),
        remote("a kid that is asked for before the issuer has it is good once it has")
            .token(&old, forwarded())
            .token(&new, denied("key_unknown"))
            .then_issuer("/jwks", Says::keys(&[&world.rsa, &world.rsa_next]))
            .step(Step::Pass(Duration::from_millis(5100)))
            .token(&new, forwarded()),
        remote("requests for one unknown kid cause a fetch where one alone would wait for its turn")
            .token(&old, forwarded())
            .token(token().header("kid", "a").mint(), denied("key_unknown"))
            .then_issuer("/jwks", Says::keys(&[&world.rsa, &world.rsa_next]))
            .step(Step::Pass(Duration::from_secs(2)))
            .step(Step::Together(vec![
                (get("/orders").bearer(&new), forwarded()),
                (
                    get("/orders").bearer(&token_of(&world.rsa_next).claim("jti", "2").mint()),
                    forwarded(),
                ),
            ]))
            .fetches(3),
        remote("only a token that could be good causes a fetch")
            .token(&old, forwarded())
            .token(
                token()
                    .header("kid", "a")
                    .claim("iss", "https://evil.example")
                    .mint(),
                denied("issuer_unknown"),
            )
            .token(
                token().header("kid", "a").expires_in(-600).mint(),
                denied("token_expired"),
            )
            .token(
                token().header("kid", "a").claim("aud", "other").mint(),
                denied("audience_mismatch"),
            )
            .token(
                token().header("kid", "a").unsecured().mint(),
                denied("algorithm_rejected"),
            )
            .fetches(1),
        Scenario::new("without keys it is 503 and not 401", short.clone())
            .issuer("/jwks", Says::Status(500))
            .token(
                &old,
                denied("keys_unavailable")
                    .reply(ReplyHas::Header("retry-after", "5".into()))
                    .reply(ReplyHas::NoHeader("www-authenticate")),
            )
            .then_issuer("/jwks", Says::keys(&[&world.rsa]))
            .step(Step::Pass(Duration::from_millis(5500)))
            .token(&old, forwarded()),
        remote("a failing issuer leaves the old keys")
            .token(&old, forwarded())
            .then_issuer("/jwks", Says::Status(503))
            .token(&new, denied("keys_unavailable"))
            .token(&old, forwarded())
            .then_issuer("/jwks", Says::Document("{\"keys\":[]}".into()))
            .token(token().header("kid", "other").mint(), denied("keys_unavailable"))
            .token(&old, forwarded()),
        remote("unusable members of a document are skipped")
            .issuer(
                "/jwks",
                Says::Document(
                    json!({"keys": [
                        {"kty": "future"}, {"kty": "RSA", "kid": "broken", "n": "AA", "e": "AQAB"},
                        world.rsa.public_jwk(),
                    ]})
                    .to_string(),
                ),
            )
            .token(&old, forwarded()),
        Scenario::new("an unchanged document costs the issuer no body", {
            let mut config = config(remote_provider());
            config["providers"]["corp"]["remote_jwks"]["cache_duration"] = json!(1);
            config
        })
        .issuer(
            "/jwks",
            Says::With(
                testkit::jwks(&[&world.rsa]).to_string(),
                vec![("etag".into(), "\"v1\"".into())],
            ),
        )
        .token(&old, forwarded())
        .step(Step::Pass(Duration::from_millis(1500)))
        .token(&old, forwarded()),
        Scenario::new(
            "the same kid at two issuers is two keys",
            json!({"providers": {
                "corp": remote_provider(),
                "partner": with(remote_provider(), json!({
                    "issuer": "https://partner.example", "remote_jwks": remote_jwks("/partner"),
                })),
            }}),
        )
        .issuer(
            "/partner",
            Says::Document(
                json!({"keys": [
                    with(world.rsa_next.public_jwk(), json!({"kid": "rsa-1"})),
                ]})
                .to_string(),
            ),
        )
        .token(&old, forwarded())
        .token(
            token_of(&world.rsa_next)
                .header("kid", "rsa-1")
                .claim("iss", "https://partner.example")
                .mint(),
            forwarded(),
        )
        .token(
            token().claim("iss", "https://partner.example").mint(),
            denied("signature_invalid"),
        )
        .token(
            token_of(&world.rsa_next).header("kid", "rsa-1").mint(),
            denied("signature_invalid"),
        ),
    ];

    // Each way in which an issuer can fail, before the first keys: none of them may end in 401.
    for (name, says) in [
        ("cold: reset", Says::Reset),
        ("cold: 403", Says::Status(403)),
        ("cold: empty", Says::Document(String::new())),
        ("cold: no JSON", Says::Document("<html>".into())),
        ("cold: another shape", Says::Document("[]".into())),
        (
            "cold: no usable key",
            Says::Document(r#"{"keys":[{"kty":"oct","k":"AA"}]}"#.into()),
        ),
        (
            "cold: too small keys only",
            Says::Document(r#"{"keys":[{"kty":"RSA","n":"wQ","e":"AQAB"}]}"#.into()),
        ),
        ("cold: oversized", {
            let big = with(
                testkit::jwks(&[&world.rsa]),
                json!({"padding": "x".repeat(300_000)}),
            );
            Says::Document(big.to_string())
        }),
    ] {
        scenarios.push(
            Scenario::new(name, short.clone())
                .issuer("/jwks", says)
                .token(&old, denied("keys_unavailable")),
        );
    }
    scenarios
}
