//! `requires`: jwt_authn's tree of requirements.

use serde_json::{Value, json};

use super::*;

/// Two providers that look at headers of their own, and one, `web`, at the default place.
fn providers() -> Value {
    let own = |issuer: &str, header: &str| {
        with(
            local_provider(),
            json!({
                "issuer": issuer,
                "from_headers": [{"name": header}],
                "claim_to_headers": [{"claim_name": "sub", "header_name": format!("{header}-sub")}],
            }),
        )
    };
    json!({
        "a": own("https://a.example", "x-a"),
        "b": own("https://b.example", "x-b"),
        "web": with(local_provider(), json!({"claim_to_headers": [{"claim_name": "sub", "header_name": "x-sub"}]})),
    })
}

fn requiring(requires: Value) -> Value {
    json!({"providers": providers(), "rules": [{"match": {"prefix": "/"}, "requires": requires}]})
}

fn of(issuer: &str) -> Token {
    token().claim("iss", issuer)
}

pub(super) fn list() -> Vec<Scenario> {
    let (a, b) = (of("https://a.example").mint(), of("https://b.example").mint());
    let bad = testkit::tamper_signature(&b);
    let expired = of("https://a.example").expires_in(-600).mint();
    let web = token().mint();
    let both = |a: &str, b: &str| get("/").header("x-a", a).header("x-b", b);
    let any = |requirements: Value| requiring(json!({"requires_any": {"requirements": requirements}}));
    let all = |requirements: Value| requiring(json!({"requires_all": {"requirements": requirements}}));
    let named = |name: &str| json!({"provider_name": name});
    // Enough providers at one location that the engine finds them by `iss`.
    let tenant = |number: usize| format!("https://{number}.tenants.example");
    let of_tenants = |requirements: Value| {
        let mut config = any(requirements);
        for number in 0..12 {
            let own = json!({"issuer": tenant(number), "claim_to_headers": [{"claim_name": "sub", "header_name": "x-sub"}]});
            config["providers"][format!("t{number}")] = with(local_provider(), own);
        }
        config
    };
    let tenants: Vec<Value> = (0..11).map(|number| named(&format!("t{number}"))).collect();
    let with_others = [
        &tenants[..],
        &[
            named("a"),
            all(json!([named("b"), named("t11")]))["rules"][0]["requires"].clone(),
        ],
    ];
    let in_front = |audience: &str| {
        let other = json!({"provider_and_audiences": {"provider_name": "t3", "audiences": [audience]}});
        of_tenants([&[other], &tenants[..]].concat().into())
    };

    vec![
        Scenario::new("any of two providers will do", any(json!([named("a"), named("b")])))
            .request(get("/").header("x-a", &a), forwarded().header("x-a-sub", "alice").no_header("x-a"))
            .request(get("/").header("x-b", &b), forwarded().header("x-b-sub", "alice").no_header("x-a-sub"))
            .request(get("/"), denied("token_missing"))
            .request(get("/").header("x-a", &b), denied("issuer_unknown"))
            .request(get("/").header("x-a", &expired), denied("token_expired"))
            .request(get("/").bearer(&web), denied("token_missing")),
        Scenario::new("a good token hides no bad one", any(json!([named("a"), named("b")])))
            .request(both(&a, &b), forwarded().header("x-a-sub", "alice").header("x-b-sub", "alice").no_header("x-b"))
            .request(both(&a, &bad), denied("signature_invalid"))
            .request(both(&a, "rubbish"), denied("token_malformed"))
            .request(both(&expired, &b), denied("token_expired")),
        Scenario::new("any of many providers will do", of_tenants(with_others.concat().into()))
            .token(of(&tenant(0)).mint(), forwarded().header("x-sub", "alice"))
            .token(of(&tenant(10)).mint(), forwarded().header("x-sub", "alice"))
            .token(of(&tenant(10)).expires_in(-600).mint(), denied("token_expired"))
            // A provider that is not in the list.
            .token(of(&tenant(11)).mint(), denied("issuer_unknown"))
            .request(get("/").header("x-b", &b).bearer(&of(&tenant(11)).mint()), forwarded().header("x-b-sub", "alice"))
            .request(get("/").header("x-b", &bad).bearer(&of(&tenant(11)).mint()), denied("signature_invalid"))
            .request(get("/").header("x-a", &a), forwarded().header("x-a-sub", "alice"))
            .request(get("/").header("x-a", &expired), denied("token_expired"))
            .request(get("/").header("x-a", &a).bearer(&of(&tenant(1)).mint()), forwarded().header("x-sub", "alice"))
            .request(get("/").header("x-a", &a).bearer(&testkit::tamper_signature(&of(&tenant(1)).mint())), denied("signature_invalid"))
            .request(get("/"), denied("token_missing")),
        Scenario::new("one of many providers with audiences of its own", in_front("elsewhere"))
            .token(of(&tenant(3)).mint(), forwarded())
            .token(of(&tenant(3)).claim("aud", "elsewhere").mint(), forwarded())
            .token(of(&tenant(4)).claim("aud", "elsewhere").mint(), denied("audience_mismatch")),
        Scenario::new("a token of many providers may be missing", of_tenants([&tenants[..], &[json!({"allow_missing": {}})]].concat().into()))
            .request(get("/"), forwarded().no_header("x-sub"))
            .token(of(&tenant(7)).mint(), forwarded().header("x-sub", "alice"))
            .token(of(&tenant(7)).expires_in(-600).mint(), denied("token_expired"))
            .token(of(&tenant(11)).mint(), denied("issuer_unknown")),
        Scenario::new("all of two providers are needed", all(json!([named("a"), named("b")])))
            .request(
                both(&a, &b),
                forwarded().header("x-a-sub", "alice").header("x-b-sub", "alice").no_header("x-a").no_header("x-b"),
            )
            .request(
                get("/").header("x-a", &a),
                denied("token_missing").reply(ReplyHas::Body(
                    r#"{"error_description":"the request lacks one of the required tokens","reason":"token_missing"}"#
                        .to_owned(),
                )),
            )
            .request(
                get("/"),
                denied("token_missing").reply(ReplyHas::Body(
                    r#"{"error_description":"the request carries no token","reason":"token_missing"}"#.to_owned(),
                )),
            )
            .request(both(&a, &bad), denied("signature_invalid"))
            .request(both(&b, &a), denied("issuer_unknown")),
        Scenario::new("a token may be missing", any(json!([named("web"), {"allow_missing": {}}])))
            .request(get("/").header("x-sub", "root"), forwarded().no_header("x-sub"))
            .request(get("/").bearer(&web), forwarded().header("x-sub", "alice").no_header("authorization"))
            .request(get("/").bearer(&testkit::tamper_signature(&web)), denied("signature_invalid"))
            .request(get("/").bearer(&a), denied("issuer_unknown"))
            .request(get("/").header("authorization", "Basic YTpi"), forwarded().header("authorization", "Basic YTpi"))
            .request(get("/a/../b"), denied("token_missing"))
            .request(get("/").header("x-a", "rubbish"), forwarded()),
        Scenario::new("allow_missing alone speaks of every provider", requiring(json!({"allow_missing": {}})))
            .request(get("/"), forwarded())
            .request(get("/").header("x-b", &b), forwarded().header("x-b-sub", "alice"))
            .request(get("/").header("x-b", &bad), denied("signature_invalid")),
        Scenario::new("a token may be missing or bad", requiring(json!({"allow_missing_or_failed": {}})))
            .request(get("/").header("x-sub", "root"), forwarded().no_header("x-sub"))
            .request(get("/").bearer(&web), forwarded().header("x-sub", "alice").no_header("authorization"))
            .request(
                get("/").bearer("rubbish").header("x-sub", "root"),
                forwarded().no_header("x-sub").header("authorization", "Bearer rubbish"),
            )
            .request(get("/").header("x-b", &bad), forwarded().no_header("x-b-sub")),
        Scenario::new(
            "one optional, one required",
            all(json!([{"requires_any": {"requirements": [named("a"), {"allow_missing": {}}]}}, named("web")])),
        )
        .request(get("/").bearer(&web), forwarded().header("x-sub", "alice"))
        .request(get("/").bearer(&web).header("x-a", &a), forwarded().header("x-a-sub", "alice"))
        .request(get("/").bearer(&web).header("x-a", &expired), denied("token_expired"))
        .request(get("/").header("x-a", &a), denied("token_missing")),
        Scenario::new(
            "audiences may be another's for one rule",
            requiring(json!({"provider_and_audiences": {"provider_name": "web", "audiences": ["special"]}})),
        )
        .token(token().claim("aud", "special").mint(), forwarded())
        .token(&web, denied("audience_mismatch")),
        Scenario::new(
            "a token that is verified twice stands for itself alone",
            any(json!([
                {"requires_all": {"requirements": [
                    named("a"), {"provider_and_audiences": {"provider_name": "a", "audiences": [AUDIENCE]}},
                ]}},
                named("b"),
            ])),
        )
        .request(get("/").header("x-a", &a), forwarded())
        .request(both(&a, &bad), denied("signature_invalid")),
        Scenario::new(
            "a path that is not canonical gets no waiver, and no other rule either",
            json!({"providers": providers(), "rules": [
                {"match": {"prefix": "/healthz"}, "requires": {"requires_any": {"requirements": [
                    named("web"), {"allow_missing": {}},
                ]}}},
                {"match": {"prefix": "/optional"}, "requires": {"allow_missing_or_failed": {}}},
                {"match": {"prefix": "/"}, "requires": named("a")},
            ]}),
        )
        .request(get("/healthz"), forwarded())
        .request(get("/healthz/../admin").header("x-a", &a), denied("token_missing"))
        .request(get("/healthz/../admin").bearer(&web), denied("token_missing"))
        .request(get("/healthz/../admin").bearer(&web).header("x-a", &a), forwarded().header("x-sub", "alice"))
        .request(get("/healthz//x").bearer(&web), forwarded())
        .request(get("/optional/../admin").header("x-b", &bad), denied("signature_invalid"))
        .request(get("/optional/../admin"), denied("token_missing")),
        Scenario::new(
            "a good token is used before it is done without",
            any(json!([{"allow_missing_or_failed": {}}, {"allow_missing": {}}, named("web")])),
        )
        .request(get("/").bearer(&web), forwarded().header("x-sub", "alice").no_header("authorization"))
        .request(get("/").bearer("rubbish"), forwarded().no_header("x-sub")),
        Scenario::new(
            "a branch that fails leaves nothing behind",
            any(json!([{"requires_all": {"requirements": [named("a"), named("b")]}}, named("web")])),
        )
        .request(get("/").header("x-a", &a), denied("token_missing"))
        .request(both(&a, &b), forwarded().header("x-a-sub", "alice").header("x-b-sub", "alice"))
        .request(both(&a, &b).bearer(&web), forwarded().header("x-sub", "alice")),
        Scenario::new(
            "allow_missing speaks of the providers that stand around it",
            any(json!([{"allow_missing": {}}, {"requires_any": {"requirements": [named("a"), named("b")]}}])),
        )
        .request(get("/"), forwarded())
        .request(get("/").header("x-a", &a), forwarded().header("x-a-sub", "alice"))
        .request(get("/").header("x-a", &web), denied("issuer_unknown"))
        .request(get("/").bearer(&web), forwarded().no_header("x-sub")),
        Scenario::new(
            "beside a requirement of both, none is not one of them",
            any(json!([{"requires_all": {"requirements": [named("a"), named("b")]}}, {"allow_missing": {}}])),
        )
        .request(get("/"), forwarded())
        .request(both(&a, &b), forwarded())
        .request(get("/").header("x-a", &a), denied("token_missing"))
        .request(both(&a, &bad), denied("signature_invalid")),
        Scenario::new(
            "a rule does not see what a client writes into a header of ours",
            json!({"providers": {"corp": with(local_provider(), json!({
                "claim_to_headers": [{"claim_name": "sub", "header_name": "x-sub"}],
            }))}, "rules": [{"match": {"prefix": "/", "headers": [{"name": "x-sub"}]}}]}),
        )
        .request(get("/").header("x-sub", "root"), denied("token_missing")),
        Scenario::new("requirements may have names", {
            let mut config = requiring(json!({}));
            config["requirement_map"] = json!({"a-only": named("a")});
            config["rules"] = json!([
                {"match": {"prefix": "/a"}, "requirement_name": "a-only"},
                {"match": {"prefix": "/open"}, "requires": {}},
            ]);
            config
        })
        .request(get("/a").header("x-a", &a), forwarded())
        .request(get("/a").bearer(&web), denied("token_missing"))
        .request(get("/open"), forwarded())
        .request(get("/open/../a"), denied("token_missing")),
        Scenario::new("an optional token waits for its keys, and is done without in the end", json!({
            "providers": {"corp": with(remote_provider(), json!({
                "claim_to_headers": [{"claim_name": "sub", "header_name": "x-sub"}],
            }))},
            "rules": [{"match": {"prefix": "/"}, "requires": {"allow_missing_or_failed": {}}}],
            "limits": {"max_wait": "400ms"},
        }))
        .issuer("/jwks", Says::Status(500))
        .request(get("/").bearer(&web), forwarded().no_header("x-sub"))
        .then_issuer("/jwks", Says::keys(&[&world().rsa]))
        .step(Step::Pass(Duration::from_millis(5500)))
        .request(get("/").bearer(&web), forwarded().header("x-sub", "alice")),
        Scenario::new(
            "two parameters are both taken out",
            json!({"providers": {
                "a": with(local_provider(), json!({"issuer": "https://a.example", "from_params": ["ta"]})),
                "b": with(local_provider(), json!({"issuer": "https://b.example", "from_params": ["tb"]})),
            }}),
        )
        .request(get(&format!("/x?1&ta={a}&2&tb={b}&3")), forwarded().path("/x?1&2&3")),
    ]
}
