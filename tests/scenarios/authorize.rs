//! `authorize` and `mode`: conditions on a valid token, and rules that are not enforced.

use serde_json::{Value, json};

use super::*;

fn ruled(rules: Value) -> Value {
    json!({
        "providers": {"corp": with(local_provider(), json!({
            "claim_to_headers": [{"claim_name": "sub", "header_name": "x-sub"}],
        }))},
        "rules": rules,
    })
}

fn authorizing(name: &'static str, authorize: Value) -> Scenario {
    Scenario::new(
        name,
        ruled(
            json!([{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}, "authorize": authorize}]),
        ),
    )
}

fn claiming(claims: Value) -> String {
    token().claims(claims).mint()
}

fn of_client(token_use: &str, client: &str) -> String {
    token()
        .claim("token_use", token_use)
        .claim("client_id", client)
        .mint()
}

pub(super) fn list() -> Vec<Scenario> {
    let scoped = |scope: Value| claiming(json!({"scope": scope}));
    let challenge = |scope: &str| {
        denied("scope_insufficient").reply(ReplyHas::Header(
            "www-authenticate",
            format!(
                "Bearer realm=\"jwt\", error=\"insufficient_scope\", \
                 error_description=\"the token lacks a required scope\", scope=\"{scope}\""
            ),
        ))
    };
    let condition = |condition: Value| json!({"claims": [condition]});
    let role = |roles: Value| claiming(json!({"realm_access": {"roles": roles}}));
    // serde_json would round the number.
    let spelt = |number: &str| {
        let exp = testkit::unix_now() + 600;
        let claims = format!(r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","exp":{exp},"n":{number}}}"#);
        token().raw_payload(claims.as_bytes()).mint()
    };
    let at = |path: &str, tenant: &str| get(path).bearer(&claiming(json!({"tenant": tenant})));

    let of = |issuer: &str, subject: &str, tenant: &str| {
        token()
            .claims(json!({"iss": format!("https://{issuer}.example"), "sub": subject, "tenant": tenant}))
            .mint()
    };
    let both = |path: &str, a: &str, b: &str| {
        get(path)
            .bearer(&of("a", "alice", a))
            .header("x-tok", of("b", "bob", b))
    };

    let numbers = |count: usize| {
        (0..count)
            .map(|number| json!(1_000_000 + number))
            .collect::<Vec<Value>>()
    };
    let long = |count: usize| {
        let list: Vec<Value> = numbers(count).into_iter().chain([json!(7)]).collect();
        token().claim("n", json!(list)).mint()
    };

    vec![
        authorizing(
            "what would take too long to find out in a claim does not hold",
            condition(json!({"claim_name": "n", "any_of": (0..2000).collect::<Vec<usize>>()})),
        )
        .token(claiming(json!({"n": 1999})), forwarded())
        .token(long(20), forwarded())
        .token(long(1200), denied("claim_rejected")),
        authorizing(
            "a condition that is inverted does not hold for its length, either",
            condition(json!({"claim_name": "n", "any_of": (0..2000).collect::<Vec<usize>>(), "invert": true})),
        )
        .token(claiming(json!({"n": numbers(20)})), forwarded())
        .token(claiming(json!({"n": numbers(1200)})), denied("claim_rejected")),
        Scenario::new("many rules look through a long claim together only so often", {
            let rule = |number: usize| json!({
                "match": {"prefix": format!("/s{number:03}")},
                "requires": {"provider_name": "corp"},
                "authorize": condition(json!({"claim_name": "n", "any_of": [7, number]})),
            });
            let mut config = config(local_provider());
            config["rules"] = (0..400).map(rule).collect();
            config
        })
        .request(get(&"//a/%2e%2e/".repeat(300)).bearer(&long(10)), forwarded())
        .request(get(&"//a/%2e%2e/".repeat(300)).bearer(&long(1200)), denied("claim_rejected")),
        Scenario::new("many rules that are written alike look through a claim once", {
            let rule = |number: usize| json!({
                "match": {"prefix": format!("/s{number:03}")},
                "requires": {"provider_name": "corp"},
                "authorize": condition(json!({"claim_name": "n", "any_of": [if number == 399 { 8 } else { 7 }]})),
            });
            let mut config = config(local_provider());
            config["rules"] = (0..400).map(rule).collect();
            config
        })
        .request(get("/s000//a/%2e%2e/").bearer(&long(1200)), forwarded())
        // The filter still checks each of them.
        .request(get(&"//a/%2e%2e/".repeat(300)).bearer(&long(1200)), denied("claim_rejected")),
        authorizing(
            "a long list of texts is looked through for each of a token's",
            condition(json!({"claim_name": "n", "any_of": (0..2000).map(|number| format!("t{number}")).collect::<Vec<String>>()})),
        )
        .token(claiming(json!({"n": (2000..3200).map(|number| format!("t{number}")).collect::<Vec<String>>()})), denied("claim_rejected"))
        .token(claiming(json!({"n": (1999..3200).map(|number| format!("t{number}")).collect::<Vec<String>>()})), forwarded()),
        authorizing(
            "all of a list are there, whatever their types and how often they are written",
            condition(json!({"claim_name": "n", "all_of": ["a", 1, "b", "a", true, 1.0]})),
        )
        .token(claiming(json!({"n": [true, "b", 1, "a", "c"]})), forwarded())
        .token(claiming(json!({"n": [true, "b", "1", "a"]})), denied("claim_rejected"))
        .token(claiming(json!({"n": [true, "b", 1]})), denied("claim_rejected")),
        Scenario::new(
            "a provider's conditions hold wherever its tokens are used",
            json!({
                "providers": {
                    "app": with(local_provider(), json!({
                        "authorize": {"claims": [
                            {"claim_name": "token_use", "equals": "access"},
                            {"claim_name": "client_id", "any_of": ["web", "mobile"]},
                        ]},
                        "claim_to_headers": [{"claim_name": "client_id", "header_name": "x-client"}],
                    })),
                    "other": with(local_provider(), json!({
                        "issuer": "https://other.example", "authorize": {"scopes": {"all": ["api"]}},
                    })),
                },
                "rules": [
                    {"match": {"prefix": "/app"}, "requires": {"provider_name": "app"}},
                    {"match": {"prefix": "/open"}, "requires": {"allow_missing_or_failed": {}}},
                    {"match": {"prefix": "/optional"}, "requires": {"allow_missing": {}}},
                    {
                        "match": {"prefix": "/scoped"},
                        "requires": {"provider_name": "app"},
                        "authorize": {"claims": [{"claim_name": "role", "equals": "admin"}]},
                    },
                ],
            }),
        )
        .request(get("/app").bearer(&of_client("access", "web")), forwarded().header("x-client", "web"))
        .request(
            get("/app").bearer(&of_client("access", "evil")),
            denied("token_rejected").reply(ReplyHas::Header(
                "www-authenticate",
                "Bearer realm=\"jwt\", error=\"invalid_token\", \
                 error_description=\"the token's claims are not accepted\""
                    .into(),
            )),
        )
        .request(get("/app").bearer(&of_client("id", "web")), denied("token_rejected"))
        .request(get("/app").bearer(&token().mint()), denied("token_rejected"))
        .request(
            get("/app").bearer(&testkit::tamper_signature(&of_client("access", "web"))),
            denied("signature_invalid"),
        )
        .request(get("/open").bearer(&of_client("access", "evil")), forwarded().no_header("x-client"))
        .request(get("/open").bearer(&of_client("access", "web")), forwarded().header("x-client", "web"))
        .request(get("/optional").bearer(&of_client("access", "evil")), denied("token_rejected"))
        .request(get("/scoped").bearer(&of_client("access", "evil")), denied("token_rejected"))
        .request(get("/scoped").bearer(&of_client("access", "web")), denied("claim_rejected"))
        // No rule matches: a token of any provider suffices, each with its own conditions.
        .request(get("/x").bearer(&of_client("access", "mobile")), forwarded())
        .request(get("/x").bearer(&of_client("id", "mobile")), denied("token_rejected"))
        .request(
            get("/x").bearer(&token().claim("iss", "https://other.example").mint()),
            denied("token_rejected"),
        )
        .request(
            get("/x").bearer(&token().claim("iss", "https://other.example").claim("scope", "api").mint()),
            forwarded(),
        ),
        authorizing("all scopes are needed", json!({"scopes": {"all": ["orders:read", "orders:write"]}}))
            .token(scoped(json!("orders:write profile orders:read")), forwarded())
            .token(scoped(json!(["orders:write", "orders:read"])), forwarded())
            .token(claiming(json!({"scope": "orders:read", "scp": ["orders:write"]})), forwarded())
            .token(scoped(json!("orders:read")), challenge("orders:read orders:write"))
            .token(scoped(json!("orders:writer orders:read")), challenge("orders:read orders:write"))
            .token(scoped(json!(7)), challenge("orders:read orders:write"))
            .token(token().mint(), challenge("orders:read orders:write"))
            .token(
                testkit::tamper_signature(&scoped(json!("orders:read orders:write"))),
                denied("signature_invalid").reply(ReplyHas::Header(
                    "www-authenticate",
                    "Bearer realm=\"jwt\", error=\"invalid_token\", error_description=\"the token's signature is not valid\", \
                     scope=\"orders:read orders:write\""
                        .into(),
                )),
            )
            .request(
                get("/"),
                denied("token_missing").reply(ReplyHas::Header(
                    "www-authenticate",
                    "Bearer realm=\"jwt\", scope=\"orders:read orders:write\"".into(),
                )),
            )
            .request(
                get("/").header("authorization", "Bearer a,Bearer b"),
                denied("token_multiple").reply(ReplyHas::Header(
                    "www-authenticate",
                    "Bearer realm=\"jwt\", error=\"invalid_request\", \
                     error_description=\"the request carries more than one token\""
                        .into(),
                )),
            ),
        authorizing("scopes mend no other claim", json!({"scopes": {"any": ["a"]}, "claims": [{"claim_name": "b", "exists": true}]}))
            .token(
                scoped(json!("a")),
                denied("claim_rejected").reply(ReplyHas::Header(
                    "www-authenticate",
                    "Bearer realm=\"jwt\", error=\"insufficient_scope\", \
                     error_description=\"the token's claims do not permit this request\""
                        .into(),
                )),
            ),
        authorizing("any scope will do", json!({"scopes": {"any": ["a", "b"], "claim_names": ["permissions"]}}))
            .token(claiming(json!({"permissions": ["b"]})), forwarded())
            .token(scoped(json!("a b")), challenge("a b")),
        authorizing(
            "a claim has one of these values",
            condition(json!({"claim_path": [{"key": "realm_access"}, {"key": "roles"}], "any_of": ["admin", "clerk"]})),
        )
        .token(role(json!(["guest", "clerk"])), forwarded())
        .token(role(json!("admin")), forwarded())
        .token(role(json!(["guest"])), denied("claim_rejected"))
        .token(role(json!([])), denied("claim_rejected"))
        .token(token().mint(), denied("claim_rejected")),
        authorizing("a claim has all of these values", condition(json!({"claim_name": "roles", "all_of": ["a", "b"]})))
            .token(claiming(json!({"roles": ["b", "c", "a"]})), forwarded())
            .token(claiming(json!({"roles": ["a"]})), denied("claim_rejected")),
        authorizing("a text is no list that contains it", condition(json!({"claim_name": "roles", "all_of": ["a"]})))
            .token(claiming(json!({"roles": ["a", "b"]})), forwarded())
            .token(claiming(json!({"roles": "a"})), denied("claim_rejected")),
        authorizing(
            "a condition keeps a text apart from a list that contains it",
            json!({"claims": [
                {"claim_name": "role", "equals": "a"},
                {"claim_name": "role", "all_of": ["a"], "invert": true},
            ]}),
        )
        .token(claiming(json!({"role": "a"})), forwarded())
        .token(claiming(json!({"role": ["a"]})), denied("claim_rejected"))
        .token(claiming(json!({"role": "b"})), denied("claim_rejected")),
        authorizing("types are distinguished", json!({"claims": [
            {"claim_name": "n", "equals": 5}, {"claim_name": "f", "equals": true}, {"claim_name": "s", "equals": "5"},
        ]}))
        .token(claiming(json!({"n": 5, "f": true, "s": "5"})), forwarded())
        .token(claiming(json!({"n": 5.0, "f": true, "s": "5"})), forwarded())
        .token(claiming(json!({"n": "5", "f": true, "s": "5"})), denied("claim_rejected"))
        .token(claiming(json!({"n": 5, "f": "true", "s": "5"})), denied("claim_rejected"))
        .token(claiming(json!({"n": 5, "f": true, "s": 5})), denied("claim_rejected")),
        authorizing(
            "a condition for strings only passes no number and no boolean",
            condition(json!({"claim_name": "n", "regex": "(5|t).*", "strings_only": true})),
        )
        .token(claiming(json!({"n": "50"})), forwarded())
        .token(claiming(json!({"n": [7, "true"]})), forwarded())
        .token(claiming(json!({"n": 50})), denied("claim_rejected"))
        .token(claiming(json!({"n": true})), denied("claim_rejected"))
        .token(claiming(json!({"n": [50, true, "7"]})), denied("claim_rejected")),
        authorizing(
            "an inverted condition for strings only holds for a number",
            condition(json!({"claim_name": "n", "prefix": "5", "strings_only": true, "invert": true})),
        )
        .token(claiming(json!({"n": 50})), forwarded())
        .token(claiming(json!({"n": "50"})), denied("claim_rejected")),
        authorizing("numbers are equal only if they are", condition(json!({"claim_name": "n", "any_of": [5, 0.1]})))
            .token(spelt("5"), forwarded())
            .token(spelt("5.0"), forwarded())
            .token(spelt("0.5e1"), forwarded())
            .token(spelt("1e-1"), forwarded())
            .token(spelt("-5"), denied("claim_rejected"))
            .token(spelt("4.9999999999999999999999"), denied("claim_rejected"))
            .token(spelt("5.0000000000000000000001"), denied("claim_rejected"))
            .token(spelt("0.10000000000000000000001"), denied("claim_rejected")),
        authorizing(
            "a number may have more digits than a double",
            condition(json!({"claim_name": "n", "equals": 9_007_199_254_740_993_u64})),
        )
        .sent_as_text()
        .token(spelt("9007199254740993"), forwarded())
        .token(spelt("9007199254740993.00"), forwarded())
        .token(spelt("9007199254740992"), denied("claim_rejected"))
        .token(spelt("9007199254740994"), denied("claim_rejected")),
        authorizing("parts of a text", json!({"claims": [
            {"claim_name": "a", "prefix": "svc:"}, {"claim_name": "b", "suffix": "@example.com"},
            {"claim_name": "c", "contains": "-eu-"}, {"claim_name": "d", "regex": "[a-z]+[0-9]"},
        ]}))
        .token(claiming(json!({"a": "svc:x", "b": "x@example.com", "c": "x-eu-y", "d": "ab1"})), forwarded())
        .token(claiming(json!({"a": "svc:x", "b": "x@example.com", "c": "x-eu-y", "d": "ab12"})), denied("claim_rejected"))
        .token(claiming(json!({"a": "svc:x", "b": "x@example.com.evil", "c": "x-eu-y", "d": "ab1"})), denied("claim_rejected")),
        authorizing("a claim is there, and another is not", json!({"claims": [
            {"claim_name": "a", "exists": true}, {"claim_name": "b", "exists": false},
            {"claim_name": "c", "equals": "blocked", "invert": true},
        ]}))
        .token(claiming(json!({"a": 0})), forwarded())
        .token(claiming(json!({"a": 0, "b": null})), forwarded())
        .token(claiming(json!({"a": null})), denied("claim_rejected"))
        .token(claiming(json!({"a": 0, "b": 0})), denied("claim_rejected"))
        .token(claiming(json!({"a": 0, "c": "blocked"})), denied("claim_rejected")),
        authorizing("one of several conditions", condition(json!({"any": [
            {"claim_name": "role", "equals": "admin"}, {"claim_name": "team", "equals": "ops"},
        ]})))
        .token(claiming(json!({"role": "admin"})), forwarded())
        .token(claiming(json!({"team": "ops"})), forwarded())
        .token(claiming(json!({"team": "dev"})), denied("claim_rejected")),
        authorizing("a tenant sees its own paths", condition(json!({
            "claim_name": "tenant", "equals_request": {"path_template": "/tenants/{tenant}/**", "variable": "tenant"},
        })))
        .request(at("/tenants/blue/orders?x=/tenants/red/", "blue"), forwarded())
        .request(at("/tenants/bl%75e/orders", "blue"), forwarded())
        .request(at("/tenants/red/orders", "blue"), denied("claim_rejected"))
        .request(at("/tenants/blue/../red/orders", "blue"), denied("claim_rejected"))
        .request(at("/tenants/blue%2f..%2fred/orders", "blue"), denied("claim_rejected"))
        .request(at("/others", "blue"), denied("claim_rejected"))
        .request(at("/tenants//orders", ""), denied("claim_rejected")),
        authorizing("a claim equals a header, or the host", json!({"claims": [
            {"claim_name": "tenant", "equals_request": {"header": "x-tenant"}},
            {"claim_name": "host", "equals_request": {"host": true}},
        ]}))
        .request(
            get("/").header("host", "Blue.example:8080").header("x-tenant", "blue")
                .bearer(&claiming(json!({"tenant": "blue", "host": "blue.example"}))),
            forwarded(),
        )
        .request(
            get("/").header("host", "red.example").header("x-tenant", "blue")
                .bearer(&claiming(json!({"tenant": "blue", "host": "blue.example"}))),
            denied("claim_rejected"),
        )
        .request(
            get("/").header("host", "blue.example").header("x-tenant", "blue").header("x-tenant", "red")
                .bearer(&claiming(json!({"tenant": "blue", "host": "blue.example"}))),
            denied("claim_rejected"),
        ),
        authorizing("a part of the request that cannot be read meets no condition", json!({"claims": [
            {"claim_name": "sub", "equals_request": {"header": "x-approver"}, "invert": true},
        ]}))
        .request(get("/").bearer(&token().mint()).header("x-approver", "bob"), forwarded())
        .request(get("/").bearer(&token().mint()).header("x-approver", "alice"), denied("claim_rejected"))
        .request(get("/").bearer(&token().mint()), denied("claim_rejected"))
        .request(get("/").bearer(&token().mint()).header("x-approver", ""), denied("claim_rejected"))
        .request(
            get("/").bearer(&token().mint()).header("x-approver", "bob").header("x-approver", "alice"),
            denied("claim_rejected"),
        ),
        ["/inv//acme/x", "/inv/acme/../x", "/inv/acme;q/x", "/inv/acme%zz/x", "/inv/acme/x", "/inv/%61cme", "/other"]
            .into_iter()
            .fold(
                authorizing("a tenant is kept out of its own path", condition(json!({
                    "claim_name": "tenant", "invert": true,
                    "equals_request": {"path_template": "/inv/{tenant}/**", "variable": "tenant"},
                }))),
                |scenario, path| scenario.request(at(path, "acme"), denied("claim_rejected")),
            )
            .request(at("/inv/other/x", "acme"), forwarded())
            .request(at("/inv/ACME", "acme"), forwarded())
            // One client's claims never become another's.
            .token(token().mint(), denied("claim_rejected"))
            .request(get("/inv/other").bearer(&token().mint()), forwarded()),
        authorizing("a template is exact", condition(json!({
            "claim_name": "tenant", "equals_request": {"path_template": "/exact/{t}", "variable": "t"},
        })))
        .request(at("/exact/blue", "blue"), forwarded())
        .request(at("/exact/blue/", "blue"), denied("claim_rejected"))
        .request(at("/Exact/blue", "blue"), denied("claim_rejected")),
        Scenario::new(
            "who is asked for claims must have a token",
            ruled(json!([{
                "match": {"prefix": "/"}, "requires": {"allow_missing": {}}, "authorize": {"scopes": {"all": ["a"]}},
            }])),
        )
        .request(get("/"), denied("token_missing"))
        .token(scoped(json!("a")), forwarded())
        .token(scoped(json!("b")), challenge("a")),
        Scenario::new("the token that meets the conditions is whom the upstream hears of", two_tenants("requires_any"))
            .request(both("/tenants/evil/x", "acme", "evil"), forwarded().header("x-sub", "bob").header("x-tenant", "evil"))
            .request(both("/tenants/acme/x", "acme", "evil"), forwarded().header("x-sub", "alice").header("x-tenant", "acme"))
            // If both do, the order of the requirement decides.
            .request(both("/tenants/acme/x", "acme", "acme"), forwarded().header("x-sub", "alice"))
            .request(both("/tenants/other/x", "acme", "evil"), denied("claim_rejected"))
            // Claims that the first token lacks may come from the other.
            .request(both("/tenants/evil/x", "acme", "evil"), forwarded().header("x-a", "acme").header("x-b", "evil"))
            .request(get("/tenants/evil/x").bearer(&of("a", "alice", "acme")), denied("claim_rejected"))
            .request(get("/tenants/evil/x").header("x-tok", of("b", "bob", "evil")), forwarded().header("x-sub", "bob")),
        Scenario::new("and so where both tokens are needed", two_tenants("requires_all"))
            .request(both("/tenants/evil/x", "acme", "evil"), forwarded().header("x-sub", "bob").header("x-tenant", "evil"))
            .request(both("/tenants/acme/x", "acme", "evil"), forwarded().header("x-sub", "alice").header("x-tenant", "acme")),
        Scenario::new(
            "a rule that needs claims names the fault of a token that may fail",
            ruled(json!([{
                "match": {"prefix": "/"},
                "requires": {"requires_any": {"requirements": [{"provider_name": "corp"}, {"allow_missing_or_failed": {}}]}},
                "authorize": {"scopes": {"all": ["a"]}},
            }])),
        )
        .request(get("/"), denied("token_missing"))
        .token(scoped(json!("a")), forwarded())
        .token(token().expires_in(-600).mint(), denied("token_expired"))
        .token(testkit::tamper_signature(&scoped(json!("a"))), denied("signature_invalid"))
        .token(claiming(json!({"iss": "https://other.example"})), denied("issuer_unknown"))
        .token("rubbish", denied("token_malformed")),
        Scenario::local_with("access tokens by RFC 9068", json!({"profile": "rfc9068"}))
            .token(access_token().mint(), forwarded())
            .token(access_token().header("typ", "application/at+jwt").mint(), forwarded())
            .token(access_token().header("typ", "JWT").mint(), denied("type_rejected"))
            .token(access_token().without_claim("client_id").mint(), denied("claim_missing"))
            .token(access_token().without_claim("jti").mint(), denied("claim_missing"))
            .token(access_token().without_claim("sub").mint(), denied("claim_missing"))
            .token(access_token().without_claim("iat").mint(), denied("claim_missing"))
            .token(access_token().claim("client_id", 5).mint(), denied("claim_malformed"))
            .token(access_token().claim("client_id", json!(["c"])).mint(), denied("claim_malformed"))
            .token(access_token().claim("client_id", json!({})).mint(), denied("claim_malformed"))
            .token(access_token().claim("client_id", Value::Null).mint(), denied("claim_missing"))
            .token(access_token().claim("client_id", "").mint(), denied("claim_missing"))
            .token(access_token().claim("sub", "").mint(), denied("claim_missing"))
            .token(access_token().claim("jti", "").mint(), denied("claim_missing")),
        Scenario::new("nothing is enforced in shadow mode", {
            let mut config = ruled(json!([
                {"match": {"prefix": "/hard"}, "requires": {"provider_name": "corp"}, "mode": "enforce"},
                {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}, "authorize": {"scopes": {"all": ["a"]}}},
            ]));
            config["mode"] = "shadow".into();
            config
        })
        .request(get("/").header("x-sub", "root"), forwarded().no_header("x-sub"))
        .request(
            get("/").header("authorization", "Bearer rubbish").header("x-sub", "root"),
            forwarded().no_header("x-sub").header("authorization", "Bearer rubbish"),
        )
        .token(scoped(json!("b")), forwarded().header("x-sub", "alice"))
        .token(scoped(json!("a")), forwarded().header("x-sub", "alice"))
        .request(get("/hard"), denied("token_missing")),
        Scenario::new("a trial that changes nothing forwards every request as it came", {
            let mut config = ruled(json!([
                {"match": {"path": "/open"}},
                {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}, "authorize": {"scopes": {"all": ["a"]}}},
            ]));
            config["mode"] = "shadow".into();
            config["shadow_changes_nothing"] = true.into();
            config["protected_resource"] = json!({"resource": "https://api.example.com"});
            config
        })
        .request(get("/").header("x-sub", "root").header("x_sub", "r"), forwarded().header("x-sub", "root").header("x_sub", "r"))
        .request(get("/open").header("x-sub", "root"), forwarded().header("x-sub", "root"))
        .request(
            get("/").bearer(&scoped(json!("a"))).header("x-sub", "root"),
            forwarded().header("x-sub", "root").header("authorization", &format!("Bearer {}", scoped(json!("a")))),
        )
        .request(get("/").bearer(&scoped(json!("a"))), forwarded().no_header("x-sub"))
        .request(get("/").bearer(&scoped(json!("b"))), forwarded().no_header("x-sub"))
        .request(get("/.well-known/oauth-protected-resource"), forwarded()),
        Scenario::new("a trial that changes nothing refuses no spelling of a header either", {
            let mut config = ruled(json!([]));
            config["mode"] = "shadow".into();
            config["shadow_changes_nothing"] = true.into();
            config["headers_with_underscores_action"] = "REJECT_REQUEST".into();
            config
        })
        .request(get("/").header("x_sub", "root"), forwarded().header("x_sub", "root")),
        Scenario::new(
            "one rule may be in shadow mode",
            ruled(json!([
                {"match": {"prefix": "/new"}, "requires": {"provider_name": "corp"}, "mode": "shadow"},
                {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}},
            ])),
        )
        .request(get("/new"), forwarded())
        .request(get("/"), denied("token_missing")),
        Scenario::new(
            "a rule is enforced for a share of the clients",
            ruled(json!([
                {"match": {"prefix": "/none"}, "requires": {"provider_name": "corp"}, "mode": "shadow", "shadow_percent": 0},
                {"match": {"prefix": "/all"}, "requires": {"provider_name": "corp"}, "mode": "shadow", "shadow_percent": 100},
                {
                    "match": {"prefix": "/half"}, "requires": {"provider_name": "corp"}, "mode": "shadow", "shadow_percent": 50,
                    "authorize": {"scopes": {"all": ["a"]}},
                },
            ])),
        )
        .request(get("/none"), denied("token_missing"))
        .request(get("/all"), forwarded())
        // Which side a subject is on never changes.
        .request(get("/half").bearer(&claiming(json!({"sub": "alice"}))), forwarded().header("x-sub", "alice"))
        .request(get("/half").bearer(&claiming(json!({"sub": "bob"}))), denied("scope_insufficient"))
        .request(get("/half").bearer(&claiming(json!({"sub": "bob", "scope": "a"}))), forwarded()),
        Scenario::new("shadow mode makes nobody wait", {
            let mut config = config(remote_provider());
            config["mode"] = "shadow".into();
            config
        })
        .issuer("/jwks", Says::Status(500))
        .token(token().mint(), forwarded()),
    ]
}

/// Two issuers that fill the same headers, and a tenant's paths.
fn two_tenants(group: &str) -> Value {
    let provider = |name: &str, fields: Value| {
        let own = json!({
            "issuer": format!("https://{name}.example"),
            "claim_to_headers": [
                {"claim_name": "sub", "header_name": "x-sub"}, {"claim_name": "tenant", "header_name": "x-tenant"},
                {"claim_name": "tenant", "header_name": format!("x-{name}"), "format": "csv"},
            ],
        });
        with(with(local_provider(), own), fields)
    };
    json!({
        "providers": {"a": provider("a", json!({})), "b": provider("b", json!({"from_headers": [{"name": "x-tok"}]}))},
        "rules": [{
            "match": {"prefix": "/"},
            "requires": {group: {"requirements": [{"provider_name": "a"}, {"provider_name": "b"}]}},
            "authorize": {"claims": [{
                "claim_name": "tenant",
                "equals_request": {"path_template": "/tenants/{tenant}/**", "variable": "tenant"},
            }]},
        }],
    })
}

fn access_token() -> Token {
    token()
        .header("typ", "at+jwt")
        .claims(json!({"client_id": "c", "jti": "1"}))
}
