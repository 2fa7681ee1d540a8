//! RFC 7519's claims: issuer, audience and times.

use serde_json::json;

use super::*;

pub(super) fn list() -> Vec<Scenario> {
    let now = testkit::unix_now();
    let nested = |levels: usize| {
        let claim = (1..levels).fold(json!({}), |inner, _| json!({"in": inner}));
        token().claim("deep", claim).mint()
    };
    vec![
        Scenario::local("claims may nest 32 levels deep")
            .token(nested(17), forwarded())
            .token(nested(32), forwarded())
            .token(nested(33), denied("token_malformed"))
            .token(nested(1000), denied("token_malformed")),
        Scenario::local("the issuer is compared exactly")
            .token(
                token().claim("iss", "https://evil.example").mint(),
                denied("issuer_unknown"),
            )
            .token(
                token().claim("iss", format!("{ISSUER}/")).mint(),
                denied("issuer_unknown"),
            )
            .token(
                token().claim("iss", ISSUER.to_uppercase()).mint(),
                denied("issuer_unknown"),
            )
            .token(token().without_claim("iss").mint(), denied("issuer_unknown"))
            .token(token().claim("iss", 7).mint(), denied("claim_malformed")),
        Scenario::local("one of the token's audiences must be ours")
            .token(
                token().claim("aud", json!(["other", AUDIENCE])).mint(),
                forwarded(),
            )
            .token(token().claim("aud", "other").mint(), denied("audience_mismatch"))
            .token(
                token().claim("aud", json!([])).mint(),
                denied("audience_mismatch"),
            )
            .token(token().without_claim("aud").mint(), denied("audience_mismatch"))
            .token(token().claim("aud", 7).mint(), denied("claim_malformed"))
            .token(
                token().claim("aud", json!([AUDIENCE, 7])).mint(),
                denied("claim_malformed"),
            ),
        Scenario::local_with(
            "any audience is said in so many words",
            json!({"audiences": ["*"]}),
        )
        .token(token().claim("aud", "other").mint(), forwarded())
        .token(token().without_claim("aud").mint(), forwarded())
        .token(token().claim("aud", "*").mint(), forwarded()),
        Scenario::local("a star in the token is no wildcard")
            .token(token().claim("aud", "*").mint(), denied("audience_mismatch")),
        Scenario::local("an expired token is refused, give or take the clock skew")
            .token(token().expires_in(-20).mint(), forwarded())
            .token(token().expires_in(-70).mint(), denied("token_expired"))
            .token(token().claim("exp", 0).mint(), denied("token_expired"))
            .token(token().claim("exp", -1).mint(), denied("claim_malformed")),
        Scenario::local_with(
            "a clock skew of nothing is nothing",
            json!({"clock_skew_seconds": 0}),
        )
        .token(token().expires_in(-2).mint(), denied("token_expired"))
        .token(token().expires_in(30).mint(), forwarded())
        .token(
            token().claim("nbf", now + 60).mint(),
            denied("token_not_yet_valid"),
        ),
        Scenario::local("dates may be fractional or in exponent form")
            .token(
                token().claim("exp", json!(now as f64 + 600.5)).mint(),
                forwarded(),
            )
            .token(token().raw_payload(dated("9.9e9").as_bytes()).mint(), forwarded())
            .token(
                token().raw_payload(dated("1.7e9").as_bytes()).mint(),
                denied("token_expired"),
            )
            .token(
                token().raw_payload(dated("1700000000.999").as_bytes()).mint(),
                denied("token_expired"),
            ),
        Scenario::local("a date of another type is a fault and no absence")
            .token(
                token().claim("exp", (now + 600).to_string()).mint(),
                denied("claim_malformed"),
            )
            .token(
                token().claim("exp", json!(null)).mint(),
                denied("claim_malformed"),
            )
            .token(
                token().claim("exp", json!([now + 600])).mint(),
                denied("claim_malformed"),
            )
            .token(token().claim("nbf", "0").mint(), denied("claim_malformed"))
            .token(token().claim("iat", true).mint(), denied("claim_malformed")),
        Scenario::local("a date that no issuer means is a fault")
            .token(
                token().raw_payload(dated("1e30").as_bytes()).mint(),
                denied("claim_malformed"),
            )
            .token(
                token().raw_payload(dated("-1e3").as_bytes()).mint(),
                denied("claim_malformed"),
            )
            .token(token().claim("nbf", -1).mint(), denied("claim_malformed")),
        Scenario::local("names are strings, looked at or not")
            .token(token().claim("sub", 7).mint(), denied("claim_malformed"))
            .token(token().claim("jti", 7).mint(), denied("claim_malformed"))
            .token(token().claim("jti", "7").mint(), forwarded())
            .token(token().without_claim("sub").mint(), forwarded()),
        Scenario::local("a token must expire")
            .token(token().without_claim("exp").mint(), denied("claim_missing")),
        Scenario::local_with(
            "unless the operator says otherwise",
            json!({"require_expiration": false}),
        )
        .token(token().without_claim("exp").mint(), forwarded())
        .token(token().expires_in(-70).mint(), denied("token_expired")),
        Scenario::local("a token of the future is refused, give or take the clock skew")
            .token(token().claim("nbf", now + 50).mint(), forwarded())
            .token(
                token().claim("nbf", now + 90).mint(),
                denied("token_not_yet_valid"),
            )
            .token(
                token().claim("iat", now + 90).mint(),
                denied("token_not_yet_valid"),
            )
            .token(token().without_claim("iat").mint(), forwarded()),
        Scenario::local_with(
            "a token that lives too long is refused",
            json!({"max_lifetime": "1h"}),
        )
        .token(token().expires_in(3600).mint(), forwarded())
        .token(token().expires_in(3800).mint(), denied("lifetime_too_long")),
        Scenario::local_with(
            "a bounded lifetime needs an end",
            json!({"max_lifetime": "1h", "require_expiration": false}),
        )
        .token(token().without_claim("exp").mint(), denied("claim_missing")),
        Scenario::local_with(
            "subjects are matched",
            json!({"subjects": {"prefix": "service:"}}),
        )
        .token(token().claim("sub", "service:billing").mint(), forwarded())
        .token(token().claim("sub", "alice").mint(), denied("subject_rejected"))
        .token(token().without_claim("sub").mint(), denied("subject_rejected"))
        .token(token().claim("sub", 7).mint(), denied("claim_malformed")),
        Scenario::local_with(
            "subjects may be matched in any case",
            json!({"subjects": {"exact": "ALICE", "ignore_case": true}}),
        )
        .token(token().mint(), forwarded())
        .token(token().claim("sub", "bob").mint(), denied("subject_rejected")),
        Scenario::local_with(
            "required claims must be there",
            json!({"required_claims": ["client_id", "realm.id"]}),
        )
        .token(
            token()
                .claims(json!({"client_id": "c", "realm": {"id": 1}}))
                .mint(),
            forwarded(),
        )
        .token(token().claim("client_id", "c").mint(), denied("claim_missing"))
        .token(
            token()
                .claims(json!({"client_id": null, "realm": {"id": 1}}))
                .mint(),
            denied("claim_missing"),
        ),
    ]
}

fn dated(exp: &str) -> String {
    format!(r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","exp":{exp}}}"#)
}
