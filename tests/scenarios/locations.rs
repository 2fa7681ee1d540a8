//! `from_headers`, `from_params`, `from_cookies`.

use serde_json::json;

use super::*;

pub(super) fn list() -> Vec<Scenario> {
    let good = token().mint();
    let escaped = good.replace('.', "%2E");
    vec![
        Scenario::local_with(
            "a header of the operator's own takes the place of authorization",
            json!({"from_headers": [{"name": "X-Token"}, {"name": "x-jwt", "value_prefix": "JWT "}]}),
        )
        .request(get("/orders").header("x-token", &good), forwarded().no_header("x-token"))
        .request(get("/orders").header("x-jwt", format!("JWT {good}")), forwarded().no_header("x-jwt"))
        .request(get("/orders").header("x-jwt", format!("jwt {good}")), denied("token_malformed"))
        .request(get("/orders").header("x-jwt", format!("a JWT {good}")), denied("token_missing"))
        .request(get("/orders").bearer(&good), denied("token_missing"))
        .request(
            get("/orders").header("x-token", &good).header("x-jwt", format!("JWT {good}")),
            denied("token_multiple"),
        )
        .request(get("/orders").header("x-token", &good).header("x-token", "bad"), denied("token_multiple")),
        Scenario::local_with("a parameter is decoded, and taken out of the path", json!({"from_params": ["access_token"]}))
            .request(get(&format!("/orders?access_token={good}")), forwarded().path("/orders"))
            .request(
                get(&format!("/orders?a=%41&access_token={escaped}&b=+&&c")),
                forwarded().path("/orders?a=%41&b=+&&c"),
            )
            .request(get(&format!("/orders?access_token={good}&access_token=x")), denied("token_multiple"))
            .request(get("/orders?access_token=%zz"), denied("request_malformed"))
            .request(get("/orders?access_token="), denied("token_malformed"))
            .request(get(&format!("/orders?Access_Token={good}")), denied("token_missing")),
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
}
