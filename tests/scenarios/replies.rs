//! The reply of a refusal, as the client reads it.

use serde_json::json;

use super::*;

pub(super) fn list() -> Vec<Scenario> {
    let header = |name, value: &str| ReplyHas::Header(name, value.to_owned());
    vec![
        Scenario::new(
            "challenges follow RFC 6750",
            with(config(local_provider()), json!({"response": {"realm": "or\"ders"}})),
        )
        .request(
            get("/orders"),
            denied("token_missing")
                .reply(header("www-authenticate", r#"Bearer realm="or\"ders""#))
                .reply(header("content-type", "application/json"))
                .reply(ReplyHas::Body(
                    r#"{"error_description":"the request carries no token","reason":"token_missing"}"#.into(),
                )),
        )
        .token(
            token().expires_in(-600).mint(),
            denied("token_expired")
                .reply(header(
                    "www-authenticate",
                    r#"Bearer realm="or\"ders", error="invalid_token", error_description="the token has expired""#,
                ))
                .reply(ReplyHas::Body(
                    r#"{"error":"invalid_token","error_description":"the token has expired","reason":"token_expired"}"#
                        .into(),
                )),
        )
        .request(
            get("/orders").header("authorization", "Bearer a,Bearer b"),
            denied("token_multiple").reply(header(
                "www-authenticate",
                r#"Bearer realm="or\"ders", error="invalid_request", error_description="the request carries more than one token""#,
            )),
        ),
        Scenario::new("bodies may be text", with(config(local_provider()), json!({"response": {"body": "text"}})))
            .request(
                get("/orders"),
                denied("token_missing").reply(ReplyHas::Body("the request carries no token".into())),
            ),
        Scenario::new("or nothing", with(config(local_provider()), json!({"response": {"body": "none"}}))).request(
            get("/orders"),
            denied("token_missing")
                .reply(header("www-authenticate", r#"Bearer realm="jwt""#))
                .reply(ReplyHas::Body(String::new())),
        ),
        Scenario::new(
            "stripped replies say nothing but their status",
            with(config(local_provider()), json!({"strip_failure_response": true})),
        )
        .token(
            token().expires_in(-600).mint(),
            denied("token_expired").reply(ReplyHas::NoHeader("www-authenticate")).reply(ReplyHas::Body(String::new())),
        ),
    ]
}
