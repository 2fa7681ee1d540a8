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
        as_issuers_write_them(),
        extreme_times(),
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

/// RFC 7519 section 2: a NumericDate is any JSON number.
fn extreme_times() -> Scenario {
    let claiming = |name: &str, number: &str| {
        let exp = match name {
            "exp" => String::new(),
            _ => format!(r#""exp":{},"#, testkit::unix_now() + 600),
        };
        let payload = format!(r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}",{exp}"{name}":{number}}}"#);
        token().raw_payload(payload.as_bytes()).mint()
    };
    let far = ["253402300800", "9223372036854775", "9.2e15"];
    let past = ["0", "0e999", "1.5", "1e2", "1E+2", "100e-1", "1e-308"];
    // Before the epoch, or beyond 64 bits of milliseconds. No issuer means either.
    let refused = [
        "-0",
        "-0.0",
        "-1",
        "-1e-308",
        "-9223372036854775809",
        "-1e308",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "1e19",
        "1e308",
    ];
    // JSON with numbers that some parsers cannot represent is not a token.
    let unreadable = ["1e309", "-1e999999999999999999999"];
    let mut scenario = Scenario::local("times at the ends of what a number can be");
    for number in far {
        scenario = scenario
            .token(claiming("exp", number), forwarded())
            .token(claiming("nbf", number), denied("token_not_yet_valid"))
            .token(claiming("iat", number), denied("token_not_yet_valid"));
    }
    for number in past {
        scenario = scenario
            .token(claiming("exp", number), denied("token_expired"))
            .token(claiming("nbf", number), forwarded())
            .token(claiming("iat", number), forwarded());
    }
    for name in ["exp", "nbf", "iat"] {
        for number in refused {
            scenario = scenario.token(claiming(name, number), denied("claim_malformed"));
        }
        for number in unreadable {
            scenario = scenario.token(claiming(name, number), denied("token_malformed"));
        }
    }
    scenario
}

fn dated(exp: &str) -> String {
    format!(r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","exp":{exp}}}"#)
}

/// Claims of many shapes, and the headers that they become.
fn as_issuers_write_them() -> Scenario {
    let names = [
        "plain",
        "https://ns.example/a.b/roles",
        "realm_access.roles",
        "urn:zitadel:roles",
        "flag",
        "big",
        "ratio",
        "none",
        "text",
    ];
    let to_header =
        |(number, name): (usize, &&str)| json!({"claim_name": name, "header_name": format!("x-{number}")});
    let headers: Vec<_> = names.iter().enumerate().map(to_header).collect();
    let with = |claims: serde_json::Value| {
        let claims = claims.as_object().expect("claims").clone();
        claims
            .into_iter()
            .fold(token(), |token, (name, value)| token.claim(&name, value))
            .mint()
    };
    let now = testkit::unix_now();
    Scenario::local_with("claims as issuers write them", json!({"claim_to_headers": headers}))
        .token(
            with(json!({
                "plain": "a,b", "https://ns.example/a.b/roles": ["admin"], "realm_access": {"roles": ["x"]},
                "urn:zitadel:roles": {"admin": {"1": "org"}}, "flag": true, "big": 9_007_199_254_740_993_i64, "ratio": 1.5,
                "none": null, "text": "{\"a\":1}",
            })),
            forwarded()
                .header("x-0", "a,b")
                .header("x-1", "WyJhZG1pbiJd")
                .header("x-2", "WyJ4Il0=")
                .header("x-3", "eyJhZG1pbiI6eyIxIjoib3JnIn19")
                .header("x-4", "true")
                .header("x-5", "9007199254740993")
                .header("x-6", "1.5")
                .no_header("x-7")
                .header("x-8", "{\"a\":1}"),
        )
        .token(with(json!({"_claim_names": {"groups": "src1"}, "hasgroups": true})), forwarded())
        .token(with(json!({"text": "a\r\nx-evil: 1", "flag": "true"})), forwarded().no_header("x-8").header("x-4", "true"))
        .token(with(json!({"text": "a\u{0}b", "ratio": -3})), forwarded().no_header("x-8").header("x-6", "-3"))
        .token(with(json!({"exp": now as f64 + 600.5, "iat": now as f64 - 0.5})), forwarded())
        .token(with(json!({"nbf": 0})), forwarded())
        .token(with(json!({"exp": (now + 600).to_string()})), denied("claim_malformed"))
        .token(with(json!({"exp": "2030-01-01T00:00:00Z"})), denied("claim_malformed"))
        .token(with(json!({"exp": true})), denied("claim_malformed"))
        .token(with(json!({"exp": null})), denied("claim_malformed"))
        .token(with(json!({"nbf": null})), denied("claim_malformed"))
        .token(with(json!({"iat": now * 1000})), denied("token_not_yet_valid"))
        .token(with(json!({"iss": null})), denied("claim_malformed"))
        .token(with(json!({"iss": [ISSUER]})), denied("claim_malformed"))
        .token(with(json!({"aud": null})), denied("claim_malformed"))
        .token(with(json!({"aud": {"a": 1}})), denied("claim_malformed"))
        .token(with(json!({"aud": format!("{AUDIENCE} other")})), denied("audience_mismatch"))
        .token(with(json!({"sub": 42})), denied("claim_malformed"))
        .token(with(json!({"sub": null})), denied("claim_malformed"))
        .token(with(json!({"cnf": null})), denied("claim_malformed"))
        .token(with(json!({"act": {"sub": "x", "act": {"sub": "y"}}, "": 1, "gr\u{f6}\u{df}e": 1})), forwarded())
}
