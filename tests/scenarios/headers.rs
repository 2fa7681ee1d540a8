//! The claim headers at the upstream, and a client's attempts to forge them.

use serde_json::json;

use super::*;

/// Other spellings of `x-jwt-sub` and `x_payload` in CGI and similar interfaces.
const SPELLINGS: &[&str] = &[
    "X_JWT_Sub",
    "x-jwt_sub",
    "x_jwt-sub",
    "x.jwt.sub",
    "x-jwt.sub",
    "x!jwt~sub",
    "x-payload",
    "x.payload",
];

pub(super) fn list() -> Vec<Scenario> {
    let claims = json!({"claim_to_headers": [
        {"claim_name": "sub", "header_name": "X-Jwt-Sub"},
        {"claim_name": "n", "header_name": "x-n"},
        {"claim_name": "flag", "header_name": "x-flag"},
        {"claim_name": "https://example.com/v", "header_name": "x-url"},
        {"claim_name": "realm.name", "header_name": "x-realm"},
        {"claim_path": [{"key": "realm"}, {"key": "roles"}], "header_name": "x-roles", "format": "csv"},
        {"claim_name": "realm", "header_name": "x-object"},
        {"claim_name": "realm", "header_name": "x-json", "format": "json"},
        {"claim_name": "sub", "header_name": "x-base64", "format": "base64"},
    ]});
    let full = token().claims(json!({
        "flag": true, "https://example.com/v": false, "realm": {"name": "main", "roles": ["admin", "clerk"]},
    }));
    let payload = |token: &str| token.split('.').nth(1).unwrap().to_owned();
    let good = token().mint();

    vec![
        Scenario::local_with("claims are passed on in headers", claims.clone())
            .token(
                full.claim("n", json!(12345678901234567890_u64)).mint(),
                forwarded()
                    .header("x-jwt-sub", "alice")
                    .header("x-n", "12345678901234567890")
                    .header("x-flag", "true")
                    .header("x-url", "false")
                    .header("x-realm", "main")
                    .header("x-roles", "admin,clerk")
                    .header("x-object", "eyJuYW1lIjoibWFpbiIsInJvbGVzIjpbImFkbWluIiwiY2xlcmsiXX0=")
                    .header("x-json", r#"{"name":"main","roles":["admin","clerk"]}"#)
                    .header("x-base64", "YWxpY2U="),
            )
            .token(
                token()
                    .raw_payload(
                        format!(
                            r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","exp":9999999999,"n":123456789012345678901234567890}}"#
                        )
                        .as_bytes(),
                    )
                    .mint(),
                forwarded().header("x-n", "123456789012345678901234567890").no_header("x-jwt-sub"),
            ),
        Scenario::local_with("a client's own claim headers never arrive", claims.clone())
            .request(
                get("/orders").bearer(&good).header("x-jwt-sub", "root").header("x-roles", "admin").header("x-other", "o"),
                forwarded().header("x-jwt-sub", "alice").no_header("x-roles").header("x-other", "o"),
            )
            .request(
                get("/orders").bearer(&good).header("x-jwt-sub", "root").header("X-JWT-Sub", "toor"),
                forwarded().header("x-jwt-sub", "alice"),
            )
            .request(
                get("/orders").bearer(&token().without_claim("sub").mint()).header("x-jwt-sub", "root"),
                forwarded().no_header("x-jwt-sub"),
            ),
        Scenario::local_with("a claim that cannot be a header's value is none", claims)
            .token(token().claim("sub", "a\r\nx-admin: 1").mint(), forwarded().no_header("x-jwt-sub").no_header("x-admin"))
            .token(token().claim("sub", "a\u{0}b").mint(), forwarded().no_header("x-jwt-sub"))
            .token(token().claim("sub", " alice").mint(), forwarded().no_header("x-jwt-sub"))
            .token(token().without_claim("sub").mint(), forwarded().no_header("x-jwt-sub")),
        csv_keeps_members_apart(),
        Scenario::local_with(
            "other spellings of owned headers never arrive",
            json!({
                "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
                "forward_payload_header": "x_payload",
            }),
        )
        .request(
            SPELLINGS.iter().fold(get("/orders").bearer(&good).header("x-other_one", "o"), |request, name| {
                request.header(name, "root")
            }),
            SPELLINGS.iter().fold(
                forwarded().header("x-jwt-sub", "alice").header("x_payload", &payload(&good)).header("x-other_one", "o"),
                |expect, name| expect.no_header(&name.to_ascii_lowercase()),
            ),
        ),
        Scenario::new(
            "other spellings of owned headers never arrive without a token either",
            json!({
                "providers": {"corp": with(local_provider(), json!({
                    "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
                }))},
                "mode": "shadow",
                "rules": [{"match": {"prefix": "/open"}}, {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}],
            }),
        )
        .request(get("/open").header("x_jwt_sub", "root"), forwarded().no_header("x_jwt_sub"))
        .request(get("/orders").header("X_JWT-Sub", "root"), forwarded().no_header("x_jwt-sub"))
        .request(get("/orders").bearer("bad").header("x.jwt.sub", "root"), forwarded().no_header("x.jwt.sub")),
        Scenario::new(
            "a header that is looked at has no other spelling",
            json!({
                "providers": {"corp": with(local_provider(), json!({"from_headers": [{"name": "x-token"}], "forward": true}))},
                "rules": [
                    {
                        "match": {"prefix": "/", "headers": [{"name": "x-env", "string_match": {"exact": "test"}}]},
                        "requires": {"requires_any": {"requirements": [{"provider_name": "corp"}, {"allow_missing": {}}]}},
                    },
                    {
                        "match": {"prefix": "/tenant"},
                        "requires": {"provider_name": "corp"},
                        "authorize": {"claims": [{"claim_name": "sub", "equals_request": {"header": "x-tenant-id"}}]},
                    },
                ],
            }),
        )
        .request(get("/").header("x-env", "test").header("x_token", "bad"), forwarded().no_header("x_token"))
        .request(
            get("/").header("x-env", "test").header("x-token", &good).header("X.Token", "bad"),
            forwarded().header("x-token", &good).no_header("x.token"),
        )
        .request(get("/").header("x_env", "test"), denied("token_missing"))
        .request(get("/").header("x_env", "test").header("x-token", &good), forwarded().no_header("x_env"))
        .request(
            get("/tenant").header("x-token", &good).header("x-tenant-id", "alice").header("x_tenant_id", "bob"),
            forwarded().header("x-tenant-id", "alice").no_header("x_tenant_id"),
        )
        .request(
            get("/tenant").header("x-token", &good).header("x_tenant_id", "alice"),
            denied("claim_rejected"),
        ),
        Scenario::new(
            "other spellings may be refused",
            json!({
                "providers": {"corp": with(local_provider(), json!({
                    "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
                }))},
                "headers_with_underscores_action": "REJECT_REQUEST",
            }),
        )
        .request(get("/orders").bearer(&good).header("x_jwt_sub", "root"), denied("request_malformed"))
        .request(
            get("/orders").bearer(&good).header("x-jwt-sub", "root").header("x_other", "o"),
            forwarded().header("x-jwt-sub", "alice").header("x_other", "o"),
        ),
        Scenario::new(
            "other spellings may be allowed",
            json!({
                "providers": {"corp": with(local_provider(), json!({
                    "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
                }))},
                "headers_with_underscores_action": "ALLOW",
            }),
        )
        .request(
            get("/orders").bearer(&good).header("x-jwt-sub", "root").header("x_jwt_sub", "o"),
            forwarded().header("x-jwt-sub", "alice").header("x_jwt_sub", "o"),
        ),
        Scenario::new(
            "owned headers are removed where no token is needed too",
            json!({
                "providers": {"corp": with(local_provider(), json!({
                    "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
                    "forward_payload_header": "x-jwt-payload",
                }))},
                "rules": [{"match": {"prefix": "/open"}}, {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}],
            }),
        )
        .request(
            get("/open").header("x-jwt-sub", "root").header("x-jwt-payload", "e30").header("authorization", "Basic YTpi"),
            forwarded().no_header("x-jwt-sub").no_header("x-jwt-payload").header("authorization", "Basic YTpi"),
        ),
        Scenario::local_with("the payload is passed on as the token has it", json!({"forward_payload_header": "x-jwt-payload"}))
            .request(
                get("/orders").bearer(&good).header("x-jwt-payload", "e30"),
                forwarded().header("x-jwt-payload", &payload(&good)),
            ),
        Scenario::local_with("the token is passed on where the operator says so", json!({"forward": true}))
            .token(&good, forwarded().header("authorization", &format!("Bearer {good}"))),
        Scenario::new(
            "one provider's headers are not left to another's token",
            json!({"providers": {
                "corp": with(local_provider(), json!({"claim_to_headers": [{"claim_name": "sub", "header_name": "x-corp"}]})),
                "partner": with(local_provider(), json!({
                    "issuer": "https://partner.example",
                    "claim_to_headers": [{"claim_name": "sub", "header_name": "x-partner"}],
                })),
            }}),
        )
        .request(
            get("/orders").bearer(&token().claim("iss", "https://partner.example").mint()).header("x-corp", "root"),
            forwarded().header("x-partner", "alice").no_header("x-corp"),
        ),
    ]
}

/// A user who chooses a claim, such as a display name or the name of a group, must not become a member of
/// other groups.
fn csv_keeps_members_apart() -> Scenario {
    let scenario = Scenario::local_with(
        "a claim in csv has as many members at the upstream as in the token",
        json!({"claim_to_headers": [
            {"claim_name": "roles", "header_name": "x-roles", "format": "csv"},
            {"claim_name": "roles", "header_name": "x-auto"},
        ]}),
    );
    let with_roles = |roles: Value| {
        get("/orders")
            .bearer(&token().claim("roles", roles).mint())
            .header("x-roles", "admin")
    };
    let hostile = [
        json!("clerk,admin"),
        json!("clerk;admin"),
        json!("\"admin\""),
        json!(",admin"),
        json!(""),
        json!("\u{a0}admin"),
        json!(["clerk,admin"]),
        json!(["clerk", ""]),
        json!([""]),
        json!(["clerk", "x;admin"]),
        json!(["\"clerk", "admin\""]),
        json!(["clerk", " admin"]),
        json!(["clerk", "\u{3000}admin"]),
        json!(["clerk", "a\tb"]),
        json!(["clerk", null]),
        json!(["clerk", ["admin"]]),
    ];
    let scenario = hostile.into_iter().fold(scenario, |scenario, roles| {
        scenario.request(with_roles(roles), forwarded().no_header("x-roles"))
    });
    scenario
        .request(
            with_roles(json!("clerk")),
            forwarded().header("x-roles", "clerk").header("x-auto", "clerk"),
        )
        .request(
            with_roles(json!(["clerk", "sales team", 7, true])),
            forwarded().header("x-roles", "clerk,sales team,7,true"),
        )
        // Without `format`, a text is unchanged, as in jwt_authn.
        .request(
            with_roles(json!("clerk,admin")),
            forwarded().no_header("x-roles").header("x-auto", "clerk,admin"),
        )
}
