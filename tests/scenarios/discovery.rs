//! Keys with a URL in the issuer's own document.

use serde_json::{Value, json};

use super::*;

/// The place of [`ISSUER`]'s document in OpenID Connect Discovery 1.0.
const DOCUMENT: &str = "/realms/main/.well-known/openid-configuration";

/// Its place in RFC 8414.
const OAUTH_DOCUMENT: &str = "/.well-known/oauth-authorization-server/realms/main";

fn provider() -> Value {
    json!({"issuer": ISSUER, "audiences": [AUDIENCE], "discovery": {"cluster": "issuer", "timeout": "1s"}})
}

fn document(issuer: &str, jwks_uri: &str) -> Says {
    Says::Document(json!({"issuer": issuer, "jwks_uri": jwks_uri}).to_string())
}

fn good_document() -> Says {
    document(ISSUER, "http://idp.example.com/jwks")
}

pub(super) fn list() -> Vec<Scenario> {
    let world = world();
    let old = token().mint();
    let new = token_of(&world.rsa_next).mint();
    let discovered = |name| Scenario::new(name, config(provider())).issuer(DOCUMENT, good_document());
    let documents = |count| Step::Fetches(DOCUMENT.to_owned(), count);
    let short = with(config(provider()), json!({"limits": {"max_wait": "400ms"}}));

    let mut scenarios = vec![
        discovered("discovery: the issuer's name is enough")
            .step(Step::Together(vec![
                (get("/orders").bearer(&old), forwarded()),
                (get("/orders").bearer(&old), forwarded()),
                (get("/orders"), denied("token_missing")),
            ]))
            .step(documents(1))
            .fetches(1),
        Scenario::new("discovery: the issuer's last slash is not doubled", {
            config(with(provider(), json!({"issuer": "https://idp.example.com/"})))
        })
        .issuer(
            "/.well-known/openid-configuration",
            document("https://idp.example.com/", "http://idp.example.com/jwks"),
        )
        .token(
            token().claim("iss", "https://idp.example.com/").mint(),
            forwarded(),
        ),
        Scenario::new("discovery: a document of another issuer is accepted by name", {
            config(with(
                provider(),
                json!({
                    "issuer": "http://adfs.example.com/adfs/services/trust",
                    "discovery": {"cluster": "issuer", "issuer": "https://adfs.example.com/adfs"},
                }),
            ))
        })
        .issuer(
            "/adfs/.well-known/openid-configuration",
            document("https://adfs.example.com/adfs", "http://idp.example.com/jwks"),
        )
        .token(
            token()
                .claim("iss", "http://adfs.example.com/adfs/services/trust")
                .mint(),
            forwarded(),
        )
        .token(
            token().claim("iss", "https://adfs.example.com/adfs").mint(),
            denied("issuer_unknown"),
        ),
        Scenario::new("discovery: a named issuer is compared exactly", {
            config(with(
                provider(),
                json!({"discovery": {"cluster": "issuer", "issuer": "https://adfs.example.com/adfs"}}),
            ))
        })
        .issuer("/adfs/.well-known/openid-configuration", good_document())
        .issuer(DOCUMENT, good_document())
        .token(&old, denied("keys_unavailable")),
        Scenario::new("discovery: an issuer with two spellings has one document", {
            config(with(
                provider(),
                json!({"issuer": ["accounts.example.com", "https://accounts.example.com"]}),
            ))
        })
        .issuer(
            "/.well-known/openid-configuration",
            document("https://accounts.example.com", "http://idp.example.com/jwks"),
        )
        .token(token().claim("iss", "accounts.example.com").mint(), forwarded())
        .token(
            token().claim("iss", "https://accounts.example.com").mint(),
            forwarded(),
        )
        .token(
            token().claim("iss", "http://accounts.example.com").mint(),
            denied("issuer_unknown"),
        )
        .fetches(1),
        Scenario::new("discovery: RFC 8414 puts the well-known part first", {
            let uri = "http://idp.example.com/.well-known/oauth-authorization-server/realms/main";
            config(with(
                provider(),
                json!({"discovery": {"cluster": "issuer", "uri": uri}}),
            ))
        })
        .issuer(
            "/.well-known/oauth-authorization-server/realms/main",
            good_document(),
        )
        .token(&old, forwarded()),
        Scenario::new(
            "discovery: RFC 8414's address is asked where OpenID Connect's has nothing",
            config(provider()),
        )
        .issuer(OAUTH_DOCUMENT, good_document())
        .token(&old, forwarded())
        .step(documents(1))
        .step(Step::Fetches(OAUTH_DOCUMENT.to_owned(), 1))
        .fetches(1)
        .then_issuer("/jwks", Says::keys(&[&world.rsa, &world.rsa_next]))
        .token(&new, forwarded()),
        discovered("discovery: OpenID Connect's address goes first")
            .issuer(OAUTH_DOCUMENT, document(ISSUER, "http://idp.example.com/other"))
            .issuer("/other", Says::keys(&[&world.rsa_next]))
            .token(&old, forwarded())
            .token(&new, denied("key_unknown"))
            .step(Step::Fetches(OAUTH_DOCUMENT.to_owned(), 0)),
        Scenario::new(
            "discovery: RFC 8414's document must be the issuer's",
            short.clone(),
        )
        .issuer(
            OAUTH_DOCUMENT,
            document("https://idp.example.com", "http://idp.example.com/jwks"),
        )
        .token(&old, denied("keys_unavailable"))
        .fetches(0),
        Scenario::new(
            "discovery: another fault than 404 has no second address",
            short.clone(),
        )
        .issuer(DOCUMENT, Says::Status(403))
        .issuer(OAUTH_DOCUMENT, good_document())
        .token(&old, denied("keys_unavailable"))
        .step(Step::Fetches(OAUTH_DOCUMENT.to_owned(), 0)),
        Scenario::new("discovery: a written address is the only one", {
            let uri = "http://idp.example.com/realms/main/.well-known/openid-configuration";
            let provider = with(
                provider(),
                json!({"discovery": {"cluster": "issuer", "uri": uri}}),
            );
            with(config(provider), json!({"limits": {"max_wait": "400ms"}}))
        })
        .issuer(OAUTH_DOCUMENT, good_document())
        .token(&old, denied("keys_unavailable"))
        .step(Step::Fetches(OAUTH_DOCUMENT.to_owned(), 0)),
        discovered("discovery: the jwks_uri may be on another host")
            .issuer(DOCUMENT, document(ISSUER, "https://keys.example.com:8443/a/b"))
            .issuer("/a/b", Says::keys(&[&world.rsa]))
            .token(&old, forwarded())
            .fetches(0),
        discovered("discovery: a rotated key is learnt from its first token")
            .token(&old, forwarded())
            .then_issuer("/jwks", Says::keys(&[&world.rsa, &world.rsa_next]))
            .token(&new, forwarded())
            .token(&old, forwarded())
            .fetches(2),
        discovered("discovery: keys that moved are followed")
            .token(&old, forwarded())
            .then_issuer("/moved", Says::keys(&[&world.rsa_next]))
            .then_issuer(DOCUMENT, document(ISSUER, "http://idp.example.com/moved"))
            .token(&new, forwarded())
            .token(&old, denied("key_unknown"))
            .fetches(1),
        discovered("discovery: a document that fails later leaves the keys where they are")
            .token(&old, forwarded())
            .then_issuer(DOCUMENT, Says::Status(500))
            .then_issuer("/jwks", Says::keys(&[&world.rsa, &world.rsa_next]))
            .token(&new, forwarded())
            .fetches(2),
        discovered("discovery: a document that turns into another's is not followed")
            .token(&old, forwarded())
            .then_issuer("/evil", Says::keys(&[&world.rsa_next]))
            .then_issuer(
                DOCUMENT,
                document("https://evil.example", "http://idp.example.com/evil"),
            )
            .token(&new, denied("key_unknown"))
            .token(&old, forwarded())
            .step(Step::Fetches("/evil".to_owned(), 0)),
        Scenario::new("discovery: an issuer that comes back is noticed", short.clone())
            .issuer(DOCUMENT, Says::Status(500))
            .token(&old, denied("keys_unavailable"))
            .then_issuer(DOCUMENT, good_document())
            // The longest pause while there are no keys.
            .step(Step::Pass(Duration::from_millis(5500)))
            .token(&old, forwarded()),
    ];

    let backend = |alias: &str| json!({"discovery": {"cluster": {"backend": alias}, "timeout": "1s"}});
    scenarios.extend([
        Scenario::new(
            "discovery: through an extension backend, which the route names",
            config(with(provider(), backend(BACKEND))),
        )
        .issuer(DOCUMENT, good_document())
        .step(Step::Together(vec![
            (get("/orders").bearer(&old), forwarded()),
            (get("/orders"), denied("token_missing")),
        ]))
        .step(documents(1))
        .then_issuer("/jwks", Says::keys(&[&world.rsa, &world.rsa_next]))
        .step(Step::Pass(Duration::from_millis(100)))
        .token(&new, forwarded())
        .step(Step::Fetches("/jwks".to_owned(), 2)),
        Scenario::new(
            "discovery: through an extension backend that no route names",
            with(short.clone(), json!({"providers": {"corp": with(provider(), backend("unheard-of"))}})),
        )
        .issuer(DOCUMENT, good_document())
        .token(&old, denied("keys_unavailable"))
        .step(documents(0)),
        Scenario::new(
            "discovery: the keys are behind an extension backend of their own",
            config(with(
                provider(),
                json!({"discovery": {
                    "cluster": "issuer", "timeout": "1s", "clusters": {"keys.example.net": {"backend": BACKEND}},
                }}),
            )),
        )
        .issuer(DOCUMENT, document(ISSUER, "http://keys.example.net/jwks"))
        .token(&old, forwarded())
        .step(documents(1)),
    ]);
    for (name, says) in [
        (
            "discovery cold: another issuer",
            document("https://evil.example", "http://idp.example.com/jwks"),
        ),
        (
            "discovery cold: the issuer with a slash",
            document(&format!("{ISSUER}/"), "http://idp.example.com/jwks"),
        ),
        ("discovery cold: no such document", Says::Status(404)),
        ("discovery cold: reset", Says::Reset),
        ("discovery cold: no JSON", Says::Document("<html>".into())),
        (
            "discovery cold: no issuer",
            Says::Document(r#"{"jwks_uri":"http://idp.example.com/jwks"}"#.into()),
        ),
        (
            "discovery cold: no jwks_uri",
            Says::Document(json!({"issuer": ISSUER}).to_string()),
        ),
        (
            "discovery cold: a jwks_uri without a host",
            document(ISSUER, "/jwks"),
        ),
        (
            "discovery cold: a jwks_uri that is no URL",
            document(ISSUER, "file:///jwks"),
        ),
        ("discovery cold: oversized", {
            let padding = "x".repeat(300_000);
            let document =
                json!({"issuer": ISSUER, "jwks_uri": "http://idp.example.com/jwks", "padding": padding});
            Says::Document(document.to_string())
        }),
    ] {
        scenarios.push(
            Scenario::new(name, short.clone())
                .issuer(DOCUMENT, says)
                .token(&old, denied("keys_unavailable"))
                .fetches(0),
        );
    }
    scenarios
}
