//! The `authorization` field (RFC 6750 section 2.1).

use serde_json::{Value, json};

use super::*;

pub(super) fn list() -> Vec<Scenario> {
    let good = token().mint();
    let authorization = |value: String| get("/orders").header("authorization", value);
    let own = |value: String| get("/orders").header("x-tok", value);
    // A token may be missing.
    let optional = |fields: Value| {
        let mut config = config(with(local_provider(), fields));
        config["rules"] = json!([{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": [
            {"provider_name": "corp"}, {"allow_missing": {}},
        ]}}}]);
        config
    };
    vec![
        Scenario::local("the scheme is read in any case and with any number of spaces")
            .request(
                authorization(format!("bearer {good}")),
                forwarded().no_header("authorization"),
            )
            .request(authorization(format!("BEARER   {good}")), forwarded())
            .request(
                get("/orders").header("Authorization", format!("Bearer {good}")),
                forwarded(),
            ),
        Scenario::local("another scheme is no token")
            .request(authorization(good.clone()), denied("token_missing"))
            .request(
                authorization("Basic YWxpY2U6c2VjcmV0".into()),
                denied("token_missing"),
            )
            .request(authorization(format!("Bearer{good}")), denied("token_missing"))
            .request(authorization(format!("DPoP {good}")), denied("token_missing")),
        Scenario::local("a scheme without a token is malformed")
            .request(authorization("Bearer".into()), denied("token_malformed"))
            .request(authorization("Bearer ,".into()), denied("token_malformed")),
        Scenario::new(
            "a token that is not written as it should be is not missing",
            optional(json!({})),
        )
        .request(
            authorization(format!("Bearer\t{good}")),
            denied("token_malformed"),
        )
        .request(
            authorization(format!("Bearer: {good}")),
            denied("token_malformed"),
        )
        .request(authorization(format!("bearer={good}")), denied("token_malformed"))
        .request(
            authorization(format!("\"Bearer {good}\"")),
            denied("token_malformed"),
        )
        .request(
            get("/orders").header("authorization", [b"Bearer\xa0", good.as_bytes()].concat()),
            denied("token_malformed"),
        )
        .request(
            authorization(format!("Bearer, Bearer {good}")),
            denied("token_multiple"),
        )
        .request(
            get("/orders")
                .header("authorization", "Bearer")
                .header("authorization", format!("Bearer {good}")),
            denied("token_multiple"),
        )
        .request(
            get("/orders")
                .header("authorization", "Basic YTpi")
                .header("authorization", format!("Bearer {good}")),
            denied("token_multiple"),
        )
        .request(
            authorization(format!("Basic YTpi, \tbearer\t{good}")),
            denied("token_multiple"),
        )
        .request(
            authorization("Digest username=\"Bearer\", realm=\"x\", Bearer=y".into()),
            forwarded(),
        )
        .request(
            authorization("Basic YTpi".into()),
            forwarded().header("authorization", "Basic YTpi"),
        )
        .request(
            authorization(format!("Basic YTpi Bearer {good}")),
            denied("token_malformed"),
        )
        .request(
            authorization(format!("xBEARER {good}")),
            denied("token_malformed"),
        )
        .request(authorization("Bearerx y".into()), forwarded())
        .request(authorization("Negotiate YTpi".into()), forwarded())
        .request(get("/orders"), forwarded())
        .token(&good, forwarded().no_header("authorization")),
        Scenario::new(
            "a JWT that only the upstream may read is not missing",
            optional(json!({"from_headers": [
                {"name": "authorization", "value_prefix": "Bearer "},
                {"name": "authorization", "value_prefix": "JWT "},
            ]})),
        )
        .request(authorization(good.clone()), denied("token_malformed"))
        .request(authorization(format!("Token {good}")), denied("token_malformed"))
        .request(authorization(format!("Basic {good}")), denied("token_malformed"))
        .request(authorization(format!("Bearer{good}")), denied("token_malformed"))
        .request(
            authorization(format!("Basic YTpi,Token {good}")),
            denied("token_malformed"),
        )
        .request(authorization(format!("JWT {good}")), forwarded())
        .request(authorization("Basic YTpi".into()), forwarded())
        .request(authorization(format!("vapid t={good}, k=BA1Hxz")), forwarded())
        .request(get("/orders").header("x-other", good.clone()), forwarded()),
        Scenario::new(
            "the same holds for a scheme of one's own",
            optional(json!({"from_headers": [{"name": "x-tok", "value_prefix": "JWT "}]})),
        )
        .request(own(format!("JWT {good}")), forwarded().no_header("x-tok"))
        .request(own(format!("JWT\t{good}")), denied("token_malformed"))
        .request(own(format!("jwt {good}")), denied("token_malformed"))
        .request(own("JWT".into()), denied("token_malformed"))
        .request(own(format!("Basic YTpi, JWT {good}")), denied("token_multiple"))
        .request(own("JWTx y".into()), forwarded())
        .request(own(format!("Bearer {good}")), denied("token_malformed")),
        Scenario::local("several tokens are refused, good or not")
            .request(
                get("/orders")
                    .header("authorization", format!("Bearer {good}"))
                    .header("authorization", format!("Bearer {good}")),
                denied("token_multiple"),
            )
            .request(
                authorization(format!("Bearer {good},Bearer x")),
                denied("token_multiple"),
            )
            .request(
                authorization(format!("Bearer {good}, bearer {good}")),
                denied("token_multiple"),
            ),
        Scenario::local("bytes that are no text do no harm")
            .request(
                get("/orders").header("authorization", b"Bearer \xff"),
                denied("token_malformed"),
            )
            .request(
                get("/orders").header("authorization", b"\xff\xfe"),
                denied("token_missing"),
            )
            .request(
                get("/orders").header("authorization", b"Bearer a\xc3\x28.b.c"),
                denied("token_malformed"),
            )
            .token(&good, forwarded()),
        Scenario::local("the token is looked for in the authorization field alone")
            .request(
                get(&format!("/orders?access_token={good}")),
                denied("token_missing"),
            )
            .request(
                get("/orders").header("cookie", format!("authorization={good}")),
                denied("token_missing"),
            )
            .request(
                get("/orders").header("x-authorization", format!("Bearer {good}")),
                denied("token_missing"),
            ),
    ]
}
