//! The four identity providers of `envoy/issuers/`: their configuration as it is shipped, their tokens as
//! they publish them.

use serde_json::{Value, json};
use testkit::{Algorithm, SigningKey, Token};

use super::*;

/// Providers `tenant-0` to `tenant-999`, each with its own issuer and the same key.
fn thousand() -> Value {
    let keys = testkit::jwks(&[&world().ed25519]).to_string();
    let provider = |number: usize| {
        let provider = json!({
            "issuer": format!("https://tenant-{number}.example"),
            "audiences": [AUDIENCE],
            "local_jwks": {"inline_string": keys},
            "claim_to_headers": [{"claim_name": "iss", "header_name": "x-tenant"}],
        });
        (format!("tenant-{number}"), provider)
    };
    let mut providers: serde_json::Map<String, Value> = (0..1000).map(provider).collect();
    providers["tenant-7"]["from_headers"] = json!([{"name": "x-seven"}]);
    providers["tenant-8"]["issuer"] = "https://tenants.example/{org}".into();
    providers["tenant-8"]["issuer_claims"] = json!({"org": "org"});
    providers.into()
}

pub(super) fn list() -> Vec<Scenario> {
    let tenant = |issuer: &str| token_of(&world().ed25519).claim("iss", issuer);
    let of = |number: usize| tenant(&format!("https://tenant-{number}.example")).mint();
    let named = |number: usize| format!("https://tenant-{number}.example");
    vec![
        Scenario::new(
            "a thousand providers, found by the issuer",
            json!({"providers": thousand(), "rules": [
                {"match": {"prefix": "/news"}, "requires": {"allow_missing": {}}},
                {"match": {"prefix": "/all"}, "requires": {"requires_all": {"requirements": [
                    {"allow_missing": {}}, {"provider_name": "tenant-998"},
                ]}}},
            ]}),
        )
        .request(get("/").bearer(&of(0)), forwarded().header("x-tenant", &named(0)))
        .request(
            get("/").bearer(&of(999)),
            forwarded().header("x-tenant", &named(999)),
        )
        .request(get("/"), denied("token_missing"))
        .request(get("/").bearer(&of(1000)), denied("issuer_unknown"))
        .request(
            get("/").bearer(&testkit::tamper_signature(&of(500))),
            denied("signature_invalid"),
        )
        .request(get("/").bearer("rubbish"), denied("token_malformed"))
        .request(get("/").bearer(&of(7)), denied("issuer_unknown"))
        .request(
            get("/").header("x-seven", of(7)),
            forwarded().header("x-tenant", &named(7)),
        )
        .request(get("/").header("x-seven", of(6)), denied("issuer_unknown"))
        .request(get("/").bearer(&of(6)).header("x-seven", of(7)), forwarded())
        .request(
            get("/").bearer(&of(6)).header("x-seven", of(8)),
            denied("issuer_unknown"),
        )
        .request(
            get("/").bearer(&tenant("https://tenants.example/acme").claim("org", "acme").mint()),
            forwarded().header("x-tenant", "https://tenants.example/acme"),
        )
        .request(get("/news"), forwarded())
        .request(
            get("/news").bearer(&of(999)),
            forwarded().header("x-tenant", &named(999)),
        )
        .request(get("/news").bearer(&of(1000)), denied("issuer_unknown"))
        .request(get("/all").bearer(&of(998)), forwarded())
        .request(get("/all").bearer(&of(997)), denied("issuer_unknown")),
        authgear(),
        authress(),
        authress_of_many_tenants(),
        logto(),
        authaction(),
    ]
}

/// The filter's configuration in the shipped file, with the cluster that the tests have.
fn shipped(name: &str) -> Value {
    let path = testkit::workspace_root().join(format!("envoy/issuers/{name}.yaml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let bootstrap = testkit::load_yaml(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let filters = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
    let filters = bootstrap
        .pointer(filters)
        .and_then(Value::as_array)
        .expect("filters");
    let ours = filters
        .iter()
        .find(|filter| filter["name"] == "envoy.filters.http.wasm")
        .expect("our filter");
    let mut config = ours["typed_config"]["config"]["configuration"]["value"].clone();
    for provider in config["providers"]
        .as_object_mut()
        .expect("providers")
        .values_mut()
    {
        for place in ["/remote_jwks/http_uri/cluster", "/discovery/cluster"] {
            if let Some(cluster) = provider.pointer_mut(place) {
                *cluster = "issuer".into();
            }
        }
    }
    config
}

fn issuer(name: &'static str, file: &str, path: &str, keys: &[&SigningKey]) -> Scenario {
    Scenario {
        issuer: vec![(path.to_owned(), Says::keys(keys))],
        ..Scenario::new(name, shipped(file))
    }
}

/// The relevant part of the issuer's discovery document.
fn discovery(issuer: &str, jwks_uri: &str) -> Says {
    let document = json!({
        "issuer": issuer, "jwks_uri": jwks_uri, "authorization_endpoint": format!("{issuer}/auth"),
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
    });
    Says::Document(document.to_string())
}

/// The preflight of a browser for a request from another origin's page.
fn preflight(path: &str) -> Request {
    Request::new("OPTIONS", path)
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization")
}

/// The payload as the token has it.
fn payload(token: &str) -> String {
    token.split('.').nth(1).expect("a payload").to_owned()
}

fn authgear() -> Scenario {
    let endpoint = "https://my-project.authgear.cloud";
    let token = || {
        Token::new(&world().rsa)
            .claims(json!({
                "iss": endpoint, "aud": [endpoint], "sub": "user-1", "iat": testkit::unix_now(), "client_id": "app-1",
                "https://authgear.com/claims/user/is_verified": true,
                "https://authgear.com/claims/user/is_anonymous": false,
            }))
            .expires_in(300)
    };
    let good = token().mint();
    let nobody = token().without_claim("sub").mint();
    issuer("Authgear", "authgear", "/oauth2/jwks", &[&world().rsa])
        .issuer(
            "/.well-known/openid-configuration",
            discovery(endpoint, &format!("{endpoint}/oauth2/jwks")),
        )
        .request(
            get("/api").header("authorization", format!("bearer {good}")),
            forwarded()
                .header("x-jwt-payload", &payload(&good))
                .header("x-jwt-sub", "user-1")
                .header("x-user-verified", "true")
                .header("x-user-anonymous", "false"),
        )
        .request(preflight("/api"), forwarded())
        .request(
            get("/healthz").header("x-jwt-payload", "forged"),
            forwarded().no_header("x-jwt-payload"),
        )
        // The guide's code passes on the content of the token, of any client.
        .request(
            get("/api").bearer(&nobody),
            forwarded()
                .header("x-jwt-payload", &payload(&nobody))
                .no_header("x-jwt-sub"),
        )
        // The guide distinguishes these three: no header, no token in it, and a token that does not decode.
        .request(get("/api"), denied("token_missing"))
        .request(
            get("/api").header("authorization", "Bearer"),
            denied("token_malformed"),
        )
        .request(get("/api").bearer("not.a.jwt"), denied("token_malformed"))
        .token(token().claim("aud", "app-1").mint(), denied("audience_mismatch"))
        .token(token_of(&world().rsa).mint(), denied("issuer_unknown"))
}

/// A token as Authress publishes it.
fn authress_token(key: &SigningKey) -> Token {
    Token::new(key)
        .header("typ", "at+jwt")
        .claims(json!({
            "iss": "https://auth.yourdomain.com", "sub": "google-oauth2|109357119042447700062",
            "iat": testkit::unix_now(), "scope": "openid profile email", "azp": "google", "client_id": "AUTHRESS",
            "aud": ["user_company_tenant_id"],
        }))
        .expires_in(86_400)
}

const AUTHRESS_KEYS: &str = "/.well-known/openid-configuration/jwks";

fn authress() -> Scenario {
    let first = SigningKey::generate(Algorithm::EdDsa, Some("pve478iGSx8W2gszzQYmkT"));
    let second = SigningKey::generate(Algorithm::EdDsa, Some("second"));
    let good = authress_token(&first).mint();
    let other = authress_token(&second).claim("sub", "somebody-else").mint();
    let cookie = |token: &str| format!("theme=dark; authorization={token}");
    issuer("Authress", "authress", AUTHRESS_KEYS, &[&first, &second])
        .request(
            get("/api").bearer(&good),
            forwarded()
                .header("x-jwt-sub", "google-oauth2|109357119042447700062")
                .header("x-jwt-scope", "openid profile email")
                .header("x-jwt-azp", "google")
                .header("x-jwt-client-id", "AUTHRESS")
                .header("authorization", &format!("Bearer {good}")),
        )
        .request(preflight("/api"), forwarded())
        .request(get("/healthz"), forwarded())
        .request(get("/api").bearer(&other), forwarded())
        .request(get("/api").header("cookie", cookie(&good)), forwarded())
        // A browser sends both at once.
        .request(
            get("/api").bearer(&good).header("cookie", cookie(&good)),
            forwarded()
                .header("authorization", &format!("Bearer {good}"))
                .header("cookie", &cookie(&good)),
        )
        .request(
            get("/api").bearer(&good).header("cookie", cookie(&other)),
            forwarded()
                .header("x-jwt-sub", "google-oauth2|109357119042447700062")
                .header("cookie", "theme=dark"),
        )
        .request(
            get("/api").bearer("not.a.jwt").header("cookie", cookie(&good)),
            denied("token_malformed"),
        )
        .token(
            authress_token(&first).header("typ", "JWT").mint(),
            denied("type_rejected"),
        )
        .token(
            authress_token(&first)
                .claim("aud", json!(["another_tenant"]))
                .mint(),
            denied("audience_mismatch"),
        )
        .token(token_of(&world().rsa).mint(), denied("issuer_unknown"))
}

fn authress_of_many_tenants() -> Scenario {
    let key = SigningKey::generate(Algorithm::EdDsa, Some("first"));
    let of = |tenants: &[&str]| authress_token(&key).claim("aud", json!(tenants)).mint();
    let good = of(&["blue"]);
    issuer(
        "Authress, many tenants",
        "authress-tenants",
        AUTHRESS_KEYS,
        &[&key],
    )
    .request(get("/api").bearer(&good), forwarded().header("x-jwt-aud", "blue"))
    .request(
        get("/api").bearer(&of(&["red", "blue"])),
        forwarded().header("x-jwt-aud", "red,blue"),
    )
    .request(get("/tenants/blue/orders").bearer(&good), forwarded())
    .request(
        get("/tenants/blue/orders").bearer(&of(&["red", "blue"])),
        forwarded(),
    )
    .request(get("/tenants/red/orders").bearer(&good), denied("claim_rejected"))
    .request(
        get("/tenants/blue/../red/orders").bearer(&good),
        denied("claim_rejected"),
    )
    .request(get("/tenants/red").bearer(&good), denied("claim_rejected"))
    .request(get("/tenants").bearer(&good), denied("claim_rejected"))
    .request(
        get("/api")
            .bearer(&good)
            .header("cookie", format!("authorization={good}")),
        forwarded().header("x-jwt-aud", "blue"),
    )
    .token(
        authress_token(&key).without_claim("aud").mint(),
        denied("claim_missing"),
    )
    .token(
        authress_token(&key).header("typ", "JWT").mint(),
        denied("type_rejected"),
    )
    .request(preflight("/tenants/blue/orders"), forwarded())
    .request(
        get("/healthz").header("x-jwt-aud", "forged"),
        forwarded().no_header("x-jwt-aud"),
    )
}

fn logto() -> Scenario {
    let key = &world().es384;
    let token = || {
        Token::new(key)
            .claims(json!({
                "iss": "https://my-tenant.logto.app/oidc", "aud": "https://api.example.com", "sub": "user-1",
                "iat": testkit::unix_now(), "client_id": "app-1", "scope": "read:orders write:orders",
            }))
            .expires_in(3600)
    };
    let tenant = "https://my-tenant.logto.app/oidc";
    issuer("Logto", "logto", "/oidc/jwks", &[key])
        .issuer(
            "/oidc/.well-known/openid-configuration",
            discovery(tenant, &format!("{tenant}/jwks")),
        )
        .request(
            get("/api").bearer(&token().mint()),
            forwarded()
                .header("x-jwt-sub", "user-1")
                .header("x-jwt-scope", "read:orders write:orders"),
        )
        .request(preflight("/api"), forwarded())
        .request(get("/healthz"), forwarded())
        // The guide's four codes.
        .request(get("/api"), denied("token_missing"))
        .request(
            get("/api").header("authorization", "Bearer"),
            denied("token_malformed"),
        )
        .request(
            get("/api").header("authorization", "Basic YTpi"),
            denied("token_missing"),
        )
        .token(
            token().claim("iss", "https://my-tenant.logto.app").mint(),
            denied("issuer_unknown"),
        )
        .token(
            token().claim("aud", "https://other.example.com").mint(),
            denied("audience_mismatch"),
        )
}

fn authaction() -> Scenario {
    let token = |key: &SigningKey| {
        Token::new(key)
            .claims(json!({
                "iss": "https://my-tenant.authaction.com", "aud": "https://api.example.com", "sub": "user-1",
                "iat": testkit::unix_now(),
            }))
            .expires_in(3600)
    };
    let path = "/.well-known/jwks.json";
    let (old, new) = (&world().rsa, &world().rsa_next);
    let (good, nobody) = (token(old).mint(), token(old).without_claim("sub").mint());
    issuer("AuthAction", "authaction", path, &[old])
        .request(get("/public"), forwarded())
        .request(get("/healthz"), forwarded())
        .request(preflight("/protected"), forwarded())
        .request(
            get("/protected").bearer(&nobody),
            forwarded()
                .header("x-jwt-payload", &payload(&nobody))
                .no_header("x-jwt-sub"),
        )
        .request(get("/protected"), denied("token_missing"))
        .request(
            get("/protected").bearer(&good),
            forwarded()
                .header("x-jwt-sub", "user-1")
                .header("x-jwt-payload", &payload(&good)),
        )
        .request(
            get("/protected").bearer(&token(old).expires_in(-600).mint()),
            denied("token_expired"),
        )
        .request(
            get("/protected").bearer(
                &token(old)
                    .claim("iss", "https://my-tenant.authaction.com/")
                    .mint(),
            ),
            denied("issuer_unknown"),
        )
        // Key not found: the guide clears the cache, fetches the keys again, and then refuses the token.
        // Here, a `kid` in its first request has to wait for a fetch.
        .then_issuer(path, Says::keys(&[old, new]))
        .request(get("/protected").bearer(&token(new).mint()), forwarded())
        .request(
            get("/protected").bearer(&token(old).header("kid", "gone").mint()),
            denied("keys_unavailable"),
        )
        .request(
            get("/protected").bearer(&token(old).header("kid", "gone").mint()),
            denied("key_unknown"),
        )
}
