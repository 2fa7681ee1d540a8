//! Requests with the filter state that the filter sets for each, on the backends that have filter state.

use serde_json::{Value, json};

use super::dpop::Client;
use super::*;

/// The filter states that these scenarios check.
pub const NAMES: [&str; 5] = ["decision", "reason", "rule", "provider", "sub"];

/// A request, and its states in the order of [`NAMES`]; empty: none.
pub type Expected = (Request, [&'static str; 5]);

/// A configuration that sets every filter state.
pub fn config() -> Value {
    let other = json!({"issuer": "https://other.example", "from_headers": [{"name": "x-tok"}]});
    json!({
        "providers": {
            "corp": with(local_provider(), json!({"binding": {"dpop": {}}})),
            "other": with(local_provider(), other),
        },
        "protected_resource": {"resource": "https://api.example.com"},
        "filter_state": {"decision": true, "rule": true, "subject": true},
        "rules": [
            {
                "name": "scoped", "match": {"prefix": "/scoped"}, "authorize": {"scopes": {"all": ["a"]}},
                "requires": {"requires_any": {"requirements": [{"provider_name": "corp"}, {"provider_name": "other"}]}},
            },
            {"name": "all", "match": {"prefix": "/"}, "requires": {"provider_name": "corp"}},
        ],
    })
}

pub fn list() -> Vec<Expected> {
    let alice = token().mint();
    let bob = |scope: &str| {
        let claims = json!({"iss": "https://other.example", "sub": "bob", "scope": scope});
        token().claims(claims).mint()
    };
    let scoped = || get("/scoped").bearer(&alice);
    let client = Client::new(&world().es256);
    let proven = client.request(&client.proof("told", json!({})).mint());
    let bearer = |token: &str| get("/orders").bearer(token);
    vec![
        (bearer(&alice), ["allowed", "", "all", "corp", "alice"]),
        // The subject of a verified token without sufficient rights is known; that of an unverified one is
        // not.
        (
            scoped(),
            ["denied", "scope_insufficient", "scoped", "corp", "alice"],
        ),
        (
            bearer(&token().expires_in(-600).mint()),
            ["denied", "token_expired", "all", "corp", ""],
        ),
        (
            bearer(&testkit::tamper_signature(&alice)),
            ["denied", "signature_invalid", "all", "corp", ""],
        ),
        (get("/scoped"), ["denied", "token_missing", "scoped", "", ""]),
        // Of two tokens, the filter shows the one with the required scope; if neither has it, the first one.
        (
            scoped().header("x-tok", bob("a")),
            ["allowed", "", "scoped", "other", "bob"],
        ),
        (
            scoped().header("x-tok", bob("b")),
            ["denied", "scope_insufficient", "scoped", "corp", "alice"],
        ),
        (proven.clone(), ["allowed", "", "all", "corp", "alice"]),
        (proven, ["denied", "proof_replayed", "all", "corp", "alice"]),
        (
            get("/.well-known/oauth-protected-resource"),
            ["answered", "", "", "", ""],
        ),
    ]
}

/// The rule of every refusal below.
pub fn detailed() -> Value {
    let corp = json!({
        "token_types": ["JWT"], "algorithms": ["RS256", "ES256"], "required_claims": ["email"],
        "max_lifetime": "3600s", "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "from_params": ["access_token"], "from_cookies": ["session"],
        "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
    });
    let other = json!({"issuer": "https://other.example", "from_headers": [{"name": "x-tok"}]});
    let subject = json!({"subjects": {"exact": "bob"}, "issuer": "https://third.example"});
    // Keys of another issuer with the same key set, as in Entra's common document.
    let mut foreign = testkit::jwks(&[&world().rsa]);
    foreign["keys"][0]["issuer"] = "https://tenants.example/{tid}/v3".into();
    json!({
        "providers": {
            "corp": with(local_provider(), corp),
            "other": with(local_provider(), other),
            "third": with(local_provider(), subject),
            // This provider could be the issuer of any token, until the filter compares its pattern.
            "tenants": with(
                local_provider(),
                json!({
                    "issuer": "https://tenants.example/{tid}/v2", "issuer_claims": {"tid": "tid"},
                    "local_jwks": {"inline_string": foreign.to_string()},
                }),
            ),
        },
        "limits": {"max_token_bytes": 4000},
        "headers_with_underscores_action": "REJECT_REQUEST",
        "requirement_map": {"third": {"provider_name": "third"}},
        "rules": [
            {"match": {"path": "/healthz"}},
            {"match": {"prefix": "/both"}, "requires": {"requires_all": {"requirements": [
                {"provider_name": "corp"}, {"provider_name": "other"},
            ]}}},
            {"match": {"prefix": "/scoped"}, "requires": {"provider_name": "corp"},
             "authorize": {"scopes": {"all": ["orders:read", "orders:write"]}}},
            {"match": {"prefix": "/admin"}, "requires": {"provider_name": "corp"},
             "authorize": {"claims": [{"claim_name": "role", "equals": "admin"}]}},
            {"match": {"prefix": "/tenants"}, "requires": {"provider_name": "corp"},
             "authorize": {"claims": [{
                 "claim_name": "tenant",
                 "equals_request": {"path_template": "/tenants/{tenant}/orders/**", "variable": "tenant"},
             }]}},
            {"match": {"prefix": "/header"}, "requires": {"provider_name": "corp"},
             "authorize": {"claims": [{"claim_name": "tenant", "equals_request": {"header": "x-tenant"}}]}},
            {"match": {"prefix": "/groups"}, "requires": {"provider_name": "corp"},
             "authorize": {"claims": [{"claim_name": "groups", "all_of": ["a", "b"]}]}},
            {"match": {"prefix": "/level"}, "requires": {"provider_name": "corp"},
             "authorize": {"claims": [{"claim_name": "level", "any_of": [5, true]}]}},
            {"match": {"prefix": "/third"}, "requires": {"provider_name": "third"}},
            {"match": {"prefix": "/any"}, "requires": {"requires_any": {"requirements": [
                {"provider_name": "corp"}, {"provider_name": "tenants"},
            ]}}},
            {"match": {"prefix": "/new"}, "requires": {"provider_name": "corp"}, "mode": "shadow"},
            {"match": {"prefix": "/read", "query_parameters": [{"name": "mode", "string_match": {"exact": "open"}}]}},
            {"match": {"prefix": "/read", "hosts": ["open.example"]}},
            {"match": {"prefix": "/read", "headers": [{"name": "x-open", "string_match": {"exact": "1"}}]}},
            {"match": {"prefix": "/read/admin"}, "requires": {"provider_name": "third"}},
            {"match": {"prefix": "/read", "query_parameters": [{"name": "as", "string_match": {"exact": "root"}}]},
             "requires": {"provider_name": "third"}},
            {"match": {"prefix": "/may", "headers": [{"name": "x-guest", "string_match": {"exact": "1"}}]},
             "requires": {"requires_any": {"requirements": [{"provider_name": "corp"}, {"allow_missing": {}}]}}},
            {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}},
        ],
    })
}

/// Requests that are refused, with `wasm.jwt.reason` and `wasm.jwt.detail` of each. A number may be off by
/// what time has passed, see [`is_detail`].
pub fn details() -> Vec<(Request, &'static str, &'static str)> {
    let good = || token().claim("email", "alice@example.com");
    let now = testkit::unix_now();
    let of = |token: String| get("/orders").bearer(&token);
    let third =
        |token: testkit::Token| get("/third").bearer(&token.claim("iss", "https://third.example").mint());
    let places = "looked in header authorization (Bearer), parameter access_token, cookie session";
    let expired = of(good().expires_in(-600).mint());
    let of_tenant = |tid: &str| {
        let claims = json!({"iss": "https://tenants.example/a/v2", "tid": tid});
        get("/any").bearer(&token().claims(claims).mint())
    };
    let unread = "looked in header authorization (Bearer), parameter access_token, cookie session; header \
                  authorization is there, but does not begin with Bearer";
    let cut = |by: usize| {
        let token = good().mint();
        of(token.get(..token.len() - by).unwrap_or_default().to_owned())
    };
    let spelt = |spell: fn([&str; 3]) -> String| {
        let token = good().mint();
        let parts: Vec<&str> = token.split('.').collect();
        of(spell(parts.try_into().expect("three parts")))
    };
    let tenant = |path: &str| get(path).bearer(&good().claim("tenant", "a").mint());
    vec![
        (get("/orders"), "token_missing", places),
        (get("/new"), "token_missing", places),
        (
            get("/both").bearer(&good().mint()),
            "token_missing",
            "of provider other, looked in header x-tok",
        ),
        (
            get("/healthz/../healthz"),
            "token_missing",
            "looked in header authorization (Bearer), parameter access_token, cookie session; the path is not canonical",
        ),
        (
            get("/orders").header("authorization", "Bearer a,Bearer b"),
            "token_multiple",
            "several in header authorization (Bearer)",
        ),
        (
            get("/orders?access_token=a&access_token=b"),
            "token_multiple",
            "several in parameter access_token",
        ),
        (
            get("/orders")
                .bearer(&good().mint())
                .header("cookie", "session=another"),
            "token_multiple",
            "different ones in header authorization (Bearer) and cookie session",
        ),
        (
            get("/orders?access_token=%zz"),
            "request_malformed",
            "a broken escape in parameter access_token",
        ),
        (
            get("/orders").header("X_Tok", "a"),
            "request_malformed",
            "header spelling, which differs from x-tok",
        ),
        (
            get("/may")
                .header("x-guest", "1")
                .header("authorization", good().mint()),
            "token_malformed",
            unread,
        ),
        (
            get("/read?mode=open&mode=closed"),
            "token_missing",
            "looked in header authorization (Bearer), parameter access_token, cookie session; \
             parameter mode is ambiguous for rules[11]",
        ),
        (
            get("/read").header("host", "user@open.example"),
            "token_missing",
            "looked in header authorization (Bearer), parameter access_token, cookie session; \
             header :authority is ambiguous for rules[12]",
        ),
        (
            get("/read").header("x-open", "1").header("x-open", "2"),
            "token_missing",
            "looked in header authorization (Bearer), parameter access_token, cookie session; \
             header x-open is ambiguous for rules[13]",
        ),
        (
            get("/may").header("x-guest", "1,2"),
            "token_missing",
            "looked in header authorization (Bearer), parameter access_token, cookie session; \
             header x-guest is ambiguous for rules[16]",
        ),
        (
            get("/may").header("x-guest", "1").header("x-guest", "2"),
            "token_missing",
            "looked in header authorization (Bearer), parameter access_token, cookie session; \
             header x-guest is ambiguous for rules[16]",
        ),
        (
            get("/read/%61dmin").bearer(&good().mint()),
            "issuer_unknown",
            "iss, which is that of a provider that the rule does not ask for; \
             the path is ambiguous",
        ),
        (
            get("/read?as=user&as=root").bearer(&good().mint()),
            "issuer_unknown",
            "iss, which is that of a provider that the rule does not ask for; \
             parameter as is ambiguous for rules[15]",
        ),
        // The value of the client may have selected the route, before the filter removed it.
        (
            of(good().mint()).header("x-jwt-sub", "root"),
            "issuer_unknown",
            "iss, which is that of a provider that the rule does not ask for; the route is ambiguous",
        ),
        (
            get("/orders").header("authorization", "Basic YWxpY2U6c2VjcmV0"),
            "token_missing",
            unread,
        ),
        (
            get("/orders").header("authorization", good().mint()),
            "token_missing",
            unread,
        ),
        (
            of("undefined".into()),
            "token_malformed",
            "not three parts: 9 bytes with 0 periods",
        ),
        (
            of("a.b.c.d".into()),
            "token_malformed",
            "not three parts: 7 bytes with 3 periods",
        ),
        (
            cut(1),
            "token_malformed",
            "signature encoding: cut off or changed",
        ),
        (
            spelt(|[header, payload, signature]| format!("{header}.{payload}.{signature}==")),
            "token_malformed",
            "signature encoding: padding with =",
        ),
        (
            spelt(|[header, payload, signature]| {
                // The last character has other bits that a decoder would lose.
                let end = if signature.ends_with('B') { 'C' } else { 'B' };
                format!("{header}.{payload}.{}{end}", &signature[..signature.len() - 1])
            }),
            "token_malformed",
            "signature encoding: cut off or changed",
        ),
        (
            spelt(|[header, payload, signature]| format!("{header}.{payload}.+{}", &signature[1..])),
            "token_malformed",
            "signature encoding: + or /, as in base64",
        ),
        (
            spelt(|[header, payload, signature]| format!("{header}.{payload}.{signature}%3D%3D")),
            "token_malformed",
            "signature encoding: an unknown character",
        ),
        (
            spelt(|[header, payload, signature]| format!("{header}==.{payload}.{signature}")),
            "token_malformed",
            "header encoding: padding with =",
        ),
        (
            spelt(|[header, payload, signature]| format!("{header}.{payload}/A=.{signature}")),
            "token_malformed",
            "payload encoding: + or /, as in base64",
        ),
        (
            cut(2),
            "signature_invalid",
            "the signature has not the length of the key that kid names",
        ),
        (of_tenant("b"), "issuer_unknown", "issuer_claims"),
        (
            of_tenant("a"),
            "key_unknown",
            "kid, which names a key of another issuer",
        ),
        (
            of(format!("\"{}\"", good().mint())),
            "token_malformed",
            "in quotes",
        ),
        (
            of(format!("Bearer {}", good().mint())),
            "token_malformed",
            "white space in it",
        ),
        (
            of(format!("=: {}", good().mint())),
            "token_malformed",
            "does not begin as a token",
        ),
        (
            of(format!(r#"{{"access_token":"{}"}}"#, good().mint())),
            "token_malformed",
            "does not begin as a token",
        ),
        (
            get("/orders").header("cookie", format!("session=%22{}%22", good().mint())),
            "token_malformed",
            "does not begin as a token",
        ),
        (
            get("/orders").header("authorization", "Bearer"),
            "token_malformed",
            "empty, or written so that only some servers read it",
        ),
        (
            get("/orders").header("cookie", "Session=a.b.c"),
            "token_malformed",
            "empty, or written so that only some servers read it",
        ),
        (
            of(good().raw_payload(b"[]").mint()),
            "token_malformed",
            "claims: not a JSON object",
        ),
        (
            of(good().raw_payload(br#"{"sub":"a","sub":"b"}"#).mint()),
            "token_malformed",
            "claims: a JSON member is named twice",
        ),
        (
            of("W10.e30.AAAA".into()),
            "token_malformed",
            "header: not a JSON object",
        ),
        (of("a".repeat(4001)), "token_too_large", "longer than 4000 bytes"),
        (of(good().header("typ", "at+jwt").mint()), "type_rejected", "typ"),
        (
            of(good().alg("HS256").mint()),
            "algorithm_rejected",
            "alg is for a shared secret, which the filter never accepts",
        ),
        (
            of(good().alg("none").mint()),
            "algorithm_rejected",
            "alg says that there is no signature",
        ),
        (
            of(good().alg("ES256K").mint()),
            "algorithm_rejected",
            "the filter does not support this alg",
        ),
        (
            of(good().alg("ES512").mint()),
            "algorithm_rejected",
            "alg ES512 is not in algorithms",
        ),
        (
            of(good().alg("ES256").mint()),
            "algorithm_rejected",
            "alg is ES256, but the key that kid names is for RS256",
        ),
        (
            of(good().header("crit", json!(["x"])).header("x", 1).mint()),
            "critical_header",
            "crit",
        ),
        (
            of(good().without_claim("iss").mint()),
            "issuer_unknown",
            "the token has no iss",
        ),
        (
            of(good().claim("iss", "https://elsewhere.example").mint()),
            "issuer_unknown",
            "iss",
        ),
        (
            of(good().claim("iss", format!("{ISSUER}/")).mint()),
            "issuer_unknown",
            "iss, which differs in a slash at the end",
        ),
        (
            of(good().claim("iss", "https://third.example").mint()),
            "issuer_unknown",
            "iss, which is that of a provider that the rule does not ask for",
        ),
        (
            of(testkit::tamper_signature(&good().mint())),
            "signature_invalid",
            "the key that kid names does not verify it",
        ),
        (of(good().header("kid", "unknown").mint()), "key_unknown", "kid"),
        (
            expired.clone(),
            "token_expired",
            "exp was 600 s ago, clock_skew_seconds is 60",
        ),
        // A cached refusal is repeated with its present age.
        (
            expired,
            "token_expired",
            "exp was 600 s ago, clock_skew_seconds is 60",
        ),
        (
            of(good().claim("nbf", now + 300).mint()),
            "token_not_yet_valid",
            "nbf is 300 s ahead, clock_skew_seconds is 60",
        ),
        (
            of(good().claim("iat", now + 300).mint()),
            "token_not_yet_valid",
            "iat is 300 s ahead, clock_skew_seconds is 60",
        ),
        (
            of(good().expires_in(7200).mint()),
            "lifetime_too_long",
            "exp is 7200 s ahead, max_lifetime is 3600",
        ),
        (
            of(good().claim("aud", "another").mint()),
            "audience_mismatch",
            "aud",
        ),
        (
            of(good().without_claim("aud").mint()),
            "audience_mismatch",
            "the token has no aud",
        ),
        (third(token()), "subject_rejected", "sub"),
        (
            third(token().without_claim("sub")),
            "subject_rejected",
            "the token has no sub",
        ),
        (of(token().mint()), "claim_missing", "email"),
        (of(good().without_claim("exp").mint()), "claim_missing", "exp"),
        (of(good().claim("nbf", "noon").mint()), "claim_malformed", "nbf"),
        (
            get("/scoped").bearer(&good().claim("scope", "orders:read").mint()),
            "scope_insufficient",
            "needs all of orders:read, orders:write; lacks orders:write",
        ),
        (
            get("/scoped").bearer(&good().claim("scopes", "orders:read").mint()),
            "scope_insufficient",
            "needs all of orders:read, orders:write; the token has none of the claims scope, scp",
        ),
        (
            get("/admin").bearer(&good().mint()),
            "claim_rejected",
            "rules[3].authorize.claims[0]: the token has no such claim",
        ),
        (
            get("/admin").bearer(&good().claim("role", "guest").mint()),
            "claim_rejected",
            "rules[3].authorize.claims[0]",
        ),
        (
            get("/admin").bearer(&good().claim("role", serde_json::Value::Null).mint()),
            "claim_rejected",
            "rules[3].authorize.claims[0]: the token has no such claim",
        ),
        (
            tenant("/tenants/b/orders/1"),
            "claim_rejected",
            "rules[4].authorize.claims[0]",
        ),
        (
            tenant("/tenants/a"),
            "claim_rejected",
            "rules[4].authorize.claims[0]: the request has no such value",
        ),
        (
            tenant("/tenants/a/orders/../orders"),
            "claim_rejected",
            "rules[4].authorize.claims[0]: the request's value is ambiguous; the path is not canonical",
        ),
        (
            get("/tenants/a/orders/1").bearer(&good().mint()),
            "claim_rejected",
            "rules[4].authorize.claims[0]: the token has no such claim",
        ),
        (
            tenant("/header"),
            "claim_rejected",
            "rules[5].authorize.claims[0]: the request has no such value",
        ),
        (
            tenant("/header").header("x-tenant", "a").header("x-tenant", "b"),
            "claim_rejected",
            "rules[5].authorize.claims[0]: the request's value is ambiguous",
        ),
        (
            tenant("/header").header("x-tenant", "b"),
            "claim_rejected",
            "rules[5].authorize.claims[0]",
        ),
        (
            get("/groups").bearer(&good().claim("groups", "a b").mint()),
            "claim_rejected",
            "rules[6].authorize.claims[0]: the claim has another type",
        ),
        (
            get("/level").bearer(&good().claim("level", "5").mint()),
            "claim_rejected",
            "rules[7].authorize.claims[0]: the claim has another type",
        ),
        (
            get("/level").bearer(&good().claim("level", json!(["true", {"a": true}])).mint()),
            "claim_rejected",
            "rules[7].authorize.claims[0]: the claim has another type",
        ),
        (
            get("/level").bearer(&good().claim("level", 6).mint()),
            "claim_rejected",
            "rules[7].authorize.claims[0]",
        ),
    ]
}

/// A configuration for refusals that [`detailed`] has not.
pub fn expecting() -> Value {
    let of = |issuer: &str, more: Value| with(with(local_provider(), json!({"issuer": issuer})), more);
    let kids = json!({"keys": (0..11).map(|number| with(
        world().rsa.public_jwk(),
        json!({"kid": format!("key-{number}")}),
    )).collect::<Vec<_>>()});
    json!({
        "providers": {
            "corp": local_provider(),
            "service": of("https://service.example", json!({"subjects": {"safe_regex": {"regex": "svc-[a-z]+"}}})),
            "staff": of("https://staff.example", json!({"authorize": {"claims": [
                {"any": [{"claim_name": "role", "prefix": "\u{1b}"}, {"claim_name": "role", "equals": true}]},
            ]}})),
            "many": of("https://many.example", json!({"local_jwks": {"inline_string": kids.to_string()}})),
            "bound": of("https://bound.example", json!({"binding": {"dpop": {"algorithms": ["ES256"], "window": "30s"}}})),
            "nonces": of("https://nonces.example", json!({"binding": {"dpop": {"nonce": {"lifetime": "60s"}}}})),
            "fleet": of("https://fleet.example", json!({"binding": {"dpop": {"nonce": {
                "secret": {"inline_string": "a secret of a fleet, long enough to be one"},
            }}}})),
        },
        "rules": [
            {"match": {"prefix": "/deny"}, "deny": true},
            {"match": {"prefix": "/corp"}, "requires": {"provider_name": "corp"},
             "authorize": {"claims": [{"claim_name": "role", "any_of": ["admin", true]}]}},
        ],
    })
}

/// Requests that are refused under [`expecting`], each with its line in the debug log up to the request's id;
/// a number may be off, see [`is_detail`].
pub fn expectations() -> Vec<(Request, String)> {
    let of = |issuer: &str| token().claim("iss", format!("https://{issuer}.example"));
    let asked = |token: Token| get("/orders").bearer(&token.mint());
    let otherwise = "rule default";
    let client = |issuer: &str| Client::of(&world().es256, of(issuer));
    let proven = |issuer: &str, claims: Value| {
        let client = client(issuer);
        client.request(&client.proof("expecting", claims).mint())
    };
    let now = testkit::unix_now();
    let line = |reason: &str, provider: &str, expected: &str| {
        let comma = if expected.is_empty() { "" } else { ", " };
        format!("denied: {reason} [provider {provider}, {otherwise}{comma}{expected}, ")
    };
    let kids = "rsa-1, rsa-2, es256-1, es384-1, es512-1, ed-1";
    vec![
        (
            asked(of("service")),
            line(
                "subject_rejected: sub",
                "service",
                r#"expected sub {"safe_regex":{"regex":"svc-[a-z]+"}}"#,
            ),
        ),
        (
            asked(token().header("kid", "unknown")),
            line("key_unknown: kid", "corp", &format!("expected kid {kids}")),
        ),
        (
            asked(of("many").header("kid", "unknown")),
            line(
                "key_unknown: kid",
                "many",
                "expected kid key-0, key-1, key-2, key-3, key-4, key-5, key-6, key-7 and 3 more",
            ),
        ),
        (
            asked(token().alg("HS256")),
            line(
                "algorithm_rejected: alg is for a shared secret, which the filter never accepts",
                "-",
                "expected alg RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and 2 more",
            ),
        ),
        (
            get("/corp").bearer(&token().claim("role", "guest").mint()),
            "denied: claim_rejected: rules[1].authorize.claims[0] [provider corp, rule rules[1], \
             expected {\"any_of\":[\"admin\",true],\"claim_name\":\"role\"}, "
                .into(),
        ),
        (
            asked(of("staff").claim("role", "guest")),
            line(
                "token_rejected: providers.staff.authorize.claims[0]",
                "staff",
                r#"expected {"any":[{"claim_name":"role","prefix":"\u001b"},{"claim_name":"role","equals":true}]}"#,
            ),
        ),
        (
            asked(token().claim("nbf", "noon")),
            line("claim_malformed: nbf", "corp", "expected a number"),
        ),
        (
            asked(token().claim("sub", 7)),
            line("claim_malformed: sub", "corp", "expected a string"),
        ),
        (
            asked(token().claim("aud", 7)),
            line(
                "claim_malformed: aud",
                "corp",
                "expected a string or a list of strings",
            ),
        ),
        (
            asked(of("bound").claim("cnf", "a key")),
            line("claim_malformed: cnf", "bound", "expected an object"),
        ),
        (
            asked(of("bound").claim("cnf", json!({"x5t#S256": "AA"}))),
            line(
                "binding_mismatch: cnf of a kind that is not checked",
                "bound",
                "expected cnf with jkt",
            ),
        ),
        (
            proven("bound", json!({"htm": "POST"})),
            line("proof_invalid: htm", "bound", "expected htm GET"),
        ),
        (
            proven("bound", json!({"htu": "http://api.example.com/orders"})),
            line(
                "proof_invalid: htu",
                "bound",
                "expected htu https://api.example.com/orders",
            ),
        ),
        (
            proven("bound", json!({"iat": now - 300})),
            line("proof_invalid: iat was 300 s ago, window is 30", "bound", ""),
        ),
        (
            proven("bound", json!({"iat": now + 300})),
            line("proof_invalid: iat is 300 s ahead, window is 30", "bound", ""),
        ),
        (
            client("bound").request(&Token::new(&world().es256).mint()),
            line("proof_invalid: typ", "bound", "expected typ dpop+jwt"),
        ),
        (
            proven("nonces", json!({})),
            line("proof_nonce: no nonce", "nonces", ""),
        ),
        (
            proven("nonces", json!({"nonce": "AAABi8_laHutw3h5uMcStNLZrL3qsOGS"})),
            line("proof_nonce: of another process, or no nonce", "nonces", ""),
        ),
        (
            proven("fleet", json!({"nonce": "another"})),
            line("proof_nonce: of another secret, or no nonce", "fleet", ""),
        ),
        (
            get("/deny"),
            "denied: route_denied [provider -, rule rules[0], ".into(),
        ),
    ]
}

/// Whether the line of a log contains this text, apart from the seconds that have passed, and from the order
/// of the members of an object: Envoy passes them in any order.
pub fn shows_line(line: &str, expected: &str) -> bool {
    let Some(start) = line.find("denied: ") else {
        return false;
    };
    let line = &line[start..];
    let object = |text: &str| {
        let (before, object) = text.split_once('{')?;
        let end = object.rfind('}')?;
        let object: Value = serde_json::from_str(&format!("{{{}", &object[..=end])).ok()?;
        Some((before.to_owned(), object))
    };
    if let Some(expected) = object(expected) {
        return object(line) == Some(expected);
    }
    // The last word of the expected text is empty: the request's id follows.
    let words: Vec<&str> = line.split(' ').take(expected.split(' ').count()).collect();
    let words = words.join(" ");
    let end = words.rfind(' ').map_or(0, |end| end + 1);
    is_detail(&words[..end], expected)
}

/// Whether it is the detail, apart from the seconds that have passed since the tokens were made.
pub fn is_detail(seen: &str, expected: &str) -> bool {
    let (seen, expected): (Vec<_>, Vec<_>) = (seen.split(' ').collect(), expected.split(' ').collect());
    let is_word = |(seen, expected): (&&str, &&str)| {
        let numbers = seen.parse::<u64>().ok().zip(expected.parse::<u64>().ok());
        seen == expected || numbers.is_some_and(|(seen, expected)| seen.abs_diff(expected) <= 5)
    };
    seen.len() == expected.len() && seen.iter().zip(&expected).all(is_word)
}
