//! `from_headers`, `from_params`, `from_cookies`.

use serde_json::{Value, json};

use super::*;

fn for_proxy(reason: &'static str, challenge: &str) -> Expect {
    Expect::Denied {
        status: 407,
        reason,
        reply: vec![
            ReplyHas::Header("proxy-authenticate", challenge.to_owned()),
            ReplyHas::NoHeader("www-authenticate"),
        ],
    }
}

fn token_of(issuer: &str) -> String {
    token().claim("iss", issuer).mint()
}

fn bearer_of(issuer: &str) -> Request {
    get("/orders").bearer(&token_of(issuer))
}

/// Two providers that read one header, each with its prefix.
fn shared_header_config(prefixes: [&str; 2]) -> Value {
    let place = |prefix: &str| json!({"from_headers": [{"name": "authorization", "value_prefix": prefix}]});
    let other = with(local_provider(), json!({"issuer": "https://b.example"}));
    json!({
        "providers": {"corp": with(local_provider(), place(prefixes[0])), "b": with(other, place(prefixes[1]))},
        "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": [
            {"provider_name": "corp"}, {"provider_name": "b"},
        ]}}}],
    })
}

fn shared_header(name: &'static str, prefixes: [&str; 2]) -> Scenario {
    Scenario::new(name, shared_header_config(prefixes))
}

pub(super) fn list() -> Vec<Scenario> {
    let good = token().mint();
    let escaped = good.replace('.', "%2E");
    vec![
        Scenario::local_with(
            "a credential for a proxy is asked for as one",
            json!({"from_headers": [{"name": "Proxy-Authorization", "value_prefix": "Bearer "}]}),
        )
        .request(
            get("/"),
            for_proxy("token_missing", "Bearer realm=\"jwt\""),
        )
        .request(
            get("/").header("proxy-authorization", format!("Bearer {}", token().expires_in(-600).mint())),
            for_proxy(
                "token_expired",
                "Bearer realm=\"jwt\", error=\"invalid_token\", error_description=\"the token has expired\"",
            ),
        )
        .request(
            get("/").header("proxy-authorization", format!("Bearer {}", token().mint())),
            forwarded().no_header("proxy-authorization"),
        )
        .request(get("/").bearer(&token().mint()), for_proxy("token_missing", "Bearer realm=\"jwt\"")),
        Scenario::local_with(
            "of two places the one that the client used is asked for",
            json!({"from_headers": [{"name": "proxy-authorization"}, {"name": "authorization", "value_prefix": "Bearer "}]}),
        )
        .request(
            get("/"),
            denied("token_missing").reply(ReplyHas::Header("www-authenticate", "Bearer realm=\"jwt\"".to_owned())),
        )
        .request(get("/").bearer("rubbish"), denied("token_malformed").reply(ReplyHas::NoHeader("proxy-authenticate")))
        .request(
            get("/").header("proxy-authorization", "rubbish"),
            for_proxy(
                "token_malformed",
                "Bearer realm=\"jwt\", error=\"invalid_token\", \
                 error_description=\"the token is not a well-formed signed JWT\"",
            ),
        ),
        Scenario::local_with(
            "a header of the operator's own takes the place of authorization",
            json!({"from_headers": [{"name": "X-Token"}, {"name": "x-jwt", "value_prefix": "JWT "}]}),
        )
        .request(get("/orders").header("x-token", &good), forwarded().no_header("x-token"))
        .request(get("/orders").header("x-jwt", format!("JWT {good}")), forwarded().no_header("x-jwt"))
        .request(get("/orders").header("x-jwt", format!("jwt {good}")), denied("token_malformed"))
        .request(get("/orders").header("x-jwt", format!("a JWT {good}")), denied("token_malformed"))
        .request(get("/orders").bearer(&good), denied("token_missing"))
        .request(
            get("/orders").header("x-token", &good).header("x-jwt", format!("JWT {good}")),
            forwarded().no_header("x-token").no_header("x-jwt"),
        )
        .request(
            get("/orders").header("x-token", &good).header("x-jwt", format!("JWT {good}x")),
            denied("token_multiple"),
        )
        .request(get("/orders").header("x-token", &good).header("x-token", "bad"), denied("token_multiple")),
        shared_header("of one header, a prefix and none are one place", ["Bearer ", ""])
            .request(bearer_of(ISSUER), forwarded().no_header("authorization"))
            .request(
                get("/orders").header("authorization", token_of("https://b.example")),
                forwarded().no_header("authorization"),
            )
            .request(bearer_of("https://b.example"), denied("issuer_unknown"))
            .request(get("/orders").header("authorization", "Bearer"), denied("token_malformed"))
            .request(get("/orders").header("authorization", format!("JWT {good}")), denied("token_malformed")),
        shared_header("of one header, two spellings of a scheme are one place", ["Bearer ", "bearer "])
            .request(bearer_of(ISSUER), forwarded().no_header("authorization"))
            .request(bearer_of("https://b.example"), forwarded().no_header("authorization"))
            .request(
                get("/orders").header("authorization", format!("BEARER {good}")),
                forwarded().no_header("authorization"),
            )
            .request(bearer_of("https://c.example"), denied("issuer_unknown"))
            .request(get("/orders").bearer(&format!("{good}x")), denied("token_malformed")),
        shared_header("of one header, two spellings of another scheme are one place", ["JWT ", "jwt "])
            .request(
                get("/orders").header("authorization", format!("JWT {good}")),
                forwarded().no_header("authorization"),
            )
            .request(
                get("/orders").header("authorization", format!("jwt {}", token_of("https://b.example"))),
                forwarded().no_header("authorization"),
            ),
        Scenario::local_with(
            "one provider reads a header with a prefix and without",
            json!({"from_headers": [{"name": "x-t"}, {"name": "x-t", "value_prefix": "v1."}]}),
        )
        .request(get("/orders").header("x-t", &good), forwarded().no_header("x-t"))
        .request(get("/orders").header("x-t", format!("v1.{good}")), forwarded().no_header("x-t"))
        .request(get("/orders").header("x-t", format!("v1.v1.{good}")), denied("token_malformed"))
        .request(
            get("/orders").header("x-t", format!("v1.{good}")).header("x-t", "rubbish"),
            denied("token_multiple"),
        ),
        // The rule for one path knows only the location without a prefix.
        Scenario::new("a place of another rule's provider takes no token from this rule", {
            let mut config = shared_header_config(["Bearer ", ""]);
            config["rules"] = json!([
                {"match": {"path": "/b"}, "requires": {"requires_any": {"requirements": [
                    {"provider_name": "b"}, {"allow_missing": {}},
                ]}}},
                {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}},
            ]);
            config
        })
        .request(get("/b").bearer(&good), denied("token_malformed"))
        .request(get("/b/").bearer(&good), denied("token_malformed"))
        .request(get("/b"), forwarded()),
        Scenario::local_with("a parameter is decoded, and taken out of the path", json!({"from_params": ["access_token"]}))
            .request(get(&format!("/orders?access_token={good}")), forwarded().path("/orders"))
            .request(
                get(&format!("/orders?a=%41&access_token={escaped}&b=+&&c")),
                forwarded().path("/orders?a=%41&b=+&&c"),
            )
            .request(get(&format!("/orders?access_token={good}&access_token=x")), denied("token_multiple"))
            .request(get("/orders?access_token=%zz"), denied("request_malformed"))
            .request(get("/orders?access_token="), denied("token_malformed"))
            // Some servers ignore the case of the name.
        .request(get(&format!("/orders?Access_Token={good}")), denied("token_malformed")),
        Scenario::new("what servers take for a token is not missing", {
            let places = json!({"from_params": ["access_token"], "from_cookies": ["my_session"]});
            let mut config = config(with(local_provider(), places));
            config["rules"] = json!([{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": [
                {"provider_name": "corp"}, {"allow_missing": {}},
            ]}}}]);
            config
        })
        .request(get("/orders?a=1;b=2"), forwarded().path("/orders?a=1;b=2"))
        .request(get("/orders?a=1;access_token=E"), denied("token_malformed"))
        .request(get(&format!("/orders?a=1;access_token={good}")), denied("token_malformed"))
        .request(get("/orders?access.token=E"), denied("token_malformed"))
        .request(get("/orders?access%20token=E"), denied("token_malformed"))
        .request(get("/orders?access_token[]=E"), denied("token_malformed"))
        .request(get("/orders?ACCESS_TOKEN=E"), denied("token_malformed"))
        .request(get("/orders?access%255ftoken=E"), denied("token_malformed"))
        .request(get("/orders?access%u005ftoken=E"), denied("token_malformed"))
        .request(get("/orders%3Faccess_token=E"), denied("token_malformed"))
        .request(get("/orders?next=%2Fa%3Fb%3D1&q=100%25"), forwarded())
        .request(get("/orders").header("cookie", "My_Session=E"), denied("token_malformed"))
        .request(get(&format!("/orders?access_token={good}&access.token=E")), denied("token_multiple"))
        .request(get(&format!("/orders?access_token={good}&a=1;b=2")), forwarded().path("/orders?a=1;b=2"))
        .request(get("/orders").header("cookie", "a=1 b=2, c=3"), forwarded())
        .request(get("/orders").header("cookie", "a=1 my_session=E"), denied("token_malformed"))
        .request(get("/orders").header("cookie", "a=1\tmy_session=E"), denied("token_malformed"))
        .request(get("/orders").header("cookie", "a=1,my_session=E"), denied("token_malformed"))
        .request(get("/orders").header("cookie", "my.session=E"), denied("token_malformed"))
        .request(
            get("/orders").header("cookie", format!("my_session={good}; a=1, my_session=E")),
            denied("token_multiple"),
        )
        .request(get("/orders").header("cookie", format!("my_session={good}; a=1")), forwarded().header("cookie", "a=1")),
        Scenario::local_with("a cookie is found among others, and taken out", json!({"from_cookies": ["session"]}))
            .request(
                get("/orders").header("cookie", format!("a=1; session={good}; b=2")),
                forwarded().header("cookie", "a=1; b=2"),
            )
            .request(get("/orders").header("cookie", format!("session=\"{good}\"")), forwarded().no_header("cookie"))
            .request(get("/orders").header("cookie", format!("xsession={good}")), denied("token_missing"))
            .request(get("/orders").header("cookie", format!("session={good}; session=x")), denied("token_multiple")),
        Scenario::local_with(
            "a token that is forwarded stays where it was",
            json!({"forward": true, "from_params": ["t"], "from_cookies": ["c"], "from_headers": [{"name": "x-t"}]}),
        )
        .request(get(&format!("/orders?t={good}")), forwarded().path(&format!("/orders?t={good}")))
        .request(get("/orders").header("cookie", format!("c={good}")), forwarded().header("cookie", &format!("c={good}")))
        .request(get("/orders").header("x-t", &good), forwarded().header("x-t", &good)),
        Scenario::local_with(
            "a good token never hides a bad one",
            json!({"from_headers": [{"name": "authorization", "value_prefix": "Bearer "}], "from_cookies": ["c"]}),
        )
        .request(get("/orders").bearer(&good).header("cookie", "c=bad"), denied("token_multiple"))
        .request(get("/orders").bearer(&good), forwarded()),
    ]
    .into_iter()
    .chain(two_places())
    .collect()
}

/// A request with the bearer token and the cookies.
fn both(bearer: &str, cookies: &str) -> Request {
    get("/orders").bearer(bearer).header("cookie", cookies)
}

/// A provider that takes tokens from the header and from the cookie `c`.
fn header_and_cookie(fields: Value) -> Value {
    let places = json!({"from_headers": [{"name": "authorization", "value_prefix": "Bearer "}], "from_cookies": ["c"]});
    with(with(local_provider(), places), fields)
}

/// A browser sends its token in a header and in a cookie at once.
fn two_places() -> Vec<Scenario> {
    let good = token().mint();
    let other = token().claim("sub", "bob").mint();
    let expired = token().expires_in(-600).mint();
    let admin = token()
        .claim("iss", "https://admin.example")
        .claim("sub", "root")
        .mint();
    let copied = |name, fields| Scenario::new(name, config(header_and_cookie(fields)));
    let sub = json!([{"claim_name": "sub", "header_name": "x-jwt-sub"}]);
    let cookie_of_another = |requirement: Value, forward: bool| {
        let admin = with(
            local_provider(),
            json!({"issuer": "https://admin.example", "from_cookies": ["c"], "forward": forward}),
        );
        json!({
            "providers": {"corp": header_and_cookie(json!({"prefer": "header"})), "admin": admin},
            "rules": [{"match": {"prefix": "/"}, "requires": requirement}],
        })
    };
    let all =
        json!({"requires_all": {"requirements": [{"provider_name": "corp"}, {"provider_name": "admin"}]}});
    let any =
        json!({"requires_any": {"requirements": [{"provider_name": "corp"}, {"provider_name": "admin"}]}});
    vec![
        copied("the same token at two places counts as one, and is taken out of both", json!({}))
            .request(
                both(&good, &format!("a=1; c={good}; b=2")),
                forwarded().no_header("authorization").header("cookie", "a=1; b=2"),
            )
            .request(both(&good, &format!("c={good}")), forwarded().no_header("authorization").no_header("cookie"))
            .request(both(&expired, &format!("c={expired}")), denied("token_expired"))
            .request(both("x", "c=x"), denied("token_malformed"))
            .request(both(&good, &format!("c={other}")), denied("token_multiple"))
            .request(both(&good, &format!("c={good}x")), denied("token_multiple"))
            .request(both(&good, &format!("c={good}; c={good}")), denied("token_multiple")),
        copied("the same token at two places is forwarded at both", json!({"forward": true}))
            .request(
                both(&good, &format!("a=1; c={good}")),
                forwarded()
                    .header("authorization", &format!("Bearer {good}"))
                    .header("cookie", &format!("a=1; c={good}")),
            ),
        Scenario::local_with(
            "the same token at three places counts as one, however it is escaped",
            json!({"from_headers": [{"name": "x-tok"}], "from_cookies": ["c"], "from_params": ["t"]}),
        )
        .request(
            get(&format!("/orders?a=1&t={}", good.replace('.', "%2e")))
                .header("x-tok", &good)
                .header("cookie", format!("c={good}")),
            forwarded().path("/orders?a=1").no_header("x-tok").no_header("cookie"),
        )
        .request(
            get(&format!("/orders?t={other}")).header("x-tok", &good).header("cookie", format!("c={good}")),
            denied("token_multiple"),
        ),
        copied("the header's token goes before the cookie's", json!({"prefer": "header", "claim_to_headers": sub}))
            .request(
                both(&good, &format!("a=1; c={other}; b=2")),
                forwarded().header("x-jwt-sub", "alice").no_header("authorization").header("cookie", "a=1; b=2"),
            )
            .request(both(&good, "c=bad"), forwarded().header("x-jwt-sub", "alice").no_header("cookie"))
            .request(both(&good, &format!("c={good}")), forwarded().no_header("authorization").no_header("cookie"))
            .request(both(&expired, &format!("c={good}")), denied("token_expired"))
            .request(both("", &format!("c={good}")), denied("token_malformed"))
            .request(
                get("/orders").header("cookie", format!("c={other}")),
                forwarded().header("x-jwt-sub", "bob").no_header("cookie"),
            )
            .request(
                get("/orders").header("authorization", "Basic YTpi").header("cookie", format!("c={other}")),
                forwarded().header("x-jwt-sub", "bob").header("authorization", "Basic YTpi"),
            )
            .request(both(&good, "c=x; c=y"), denied("token_multiple"))
            .request(
                both(&good, &format!("c={other}")).header("authorization", format!("Bearer {good}")),
                denied("token_multiple"),
            ),
        copied(
            "a token that another was preferred to does not go on where tokens are forwarded",
            json!({"prefer": "header", "forward": true}),
        )
        .request(
            both(&good, &format!("a=1; c={other}")),
            forwarded().header("authorization", &format!("Bearer {good}")).header("cookie", "a=1"),
        )
        .request(
            both(&good, &format!("c={good}")),
            forwarded().header("cookie", &format!("c={good}")),
        ),
        copied("the cookie's token goes before the header's", json!({"prefer": "cookie", "forward": true, "claim_to_headers": sub}))
            .request(
                both(&good, &format!("c={other}")),
                forwarded()
                    .header("x-jwt-sub", "bob")
                    .no_header("authorization")
                    .header("cookie", &format!("c={other}")),
            )
            .request(both(&good, "c=bad"), denied("token_malformed")),
        Scenario::local_with(
            "two tokens of the preferred kind are two",
            json!({"from_headers": [{"name": "x-a"}, {"name": "x-b"}], "from_params": ["t"], "prefer": "header"}),
        )
        .request(get("/orders").header("x-a", &good).header("x-b", &other), denied("token_multiple"))
        .request(get("/orders").header("x-a", &good).header("x-b", &good), forwarded().no_header("x-a").no_header("x-b"))
        .request(get(&format!("/orders?t={other}")).header("x-a", &good), forwarded().path("/orders").no_header("x-a")),
        Scenario::new("what one provider passes over another may have verified", cookie_of_another(all, true))
            .request(
                both(&good, &format!("c={admin}")),
                forwarded().no_header("authorization").header("cookie", &format!("c={admin}")),
            )
            .request(both(&good, "c=bad"), denied("token_malformed"))
            .request(both(&good, &format!("c={good}")), denied("issuer_unknown")),
        Scenario::new("a token passed over is taken out, whose it may be", cookie_of_another(any, true))
            .request(both(&good, &format!("c={admin}")), forwarded().no_header("authorization").no_header("cookie"))
            .request(get("/orders").header("cookie", format!("c={admin}")), forwarded().header("cookie", &format!("c={admin}"))),
        Scenario::new(
            "a rule that is met beside the first one passes no token over, since it takes none out",
            json!({
                "providers": {
                    "corp": header_and_cookie(json!({"prefer": "header"})),
                    "a": with(local_provider(), json!({"from_headers": [{"name": "x-a"}]})),
                },
                "rules": [
                    {"match": {"prefix": "/a"}, "requires": {"provider_name": "a"}},
                    {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}},
                ],
            }),
        )
        .request(both(&good, &format!("c={other}")), forwarded().no_header("cookie"))
        .request(
            get("/a/..%2forders").header("x-a", &good).bearer(&good).header("cookie", format!("c={other}")),
            denied("token_multiple"),
        )
        .request(get("/a/..%2forders").header("x-a", &good).bearer(&good), forwarded().no_header("x-a")),
        Scenario::new(
            "what is only tried out takes no token out",
            with(
                config(header_and_cookie(json!({"prefer": "header"}))),
                json!({"mode": "shadow"}),
            ),
        )
        .request(
            both(&good, &format!("c={other}")),
            forwarded().header("authorization", &format!("Bearer {good}")).header("cookie", &format!("c={other}")),
        ),
    ]
}
