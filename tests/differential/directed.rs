//! Directed cases: at least one for each field of jwt_authn, and for each deviation.

use serde_json::{Value, json};
use testkit::Request;

use crate::run::Trial;
use crate::tokens::{FLAWS, Maker, flawed};
use crate::world::{KeySet, idps};

const AUDIENCE: &str = "orders-api";

pub(crate) fn all() -> Vec<Trial> {
    let mut trials = vec![
        every_flaw(KeySet::Full),
        every_flaw(KeySet::WithoutAlgorithms),
        every_flaw(KeySet::WithoutKids),
        every_flaw(KeySet::WithSecret),
        every_flaw(KeySet::ForEncryption),
        every_flaw(KeySet::ForSigningOnly),
        every_flaw(KeySet::WithUnknownKey),
    ];
    trials.extend(providers());
    trials.extend(locations());
    trials.extend(claims());
    trials.extend(matches());
    trials.extend(requirements());
    trials
}

/// A provider of the issuer of this number, without expiration being required.
fn provider(number: usize, fields: Value) -> Value {
    let mut provider = json!({
        "issuer": idps()[number].issuer,
        "audiences": [AUDIENCE],
        "require_expiration": false,
        "local_jwks": {"inline_string": KeySet::Full.of(&idps()[number]).to_string()}
    });
    for (name, value) in fields.as_object().expect("fields") {
        if value.is_null() {
            provider.as_object_mut().expect("a provider").remove(name);
        } else {
            provider[name] = value.clone();
        }
    }
    provider
}

/// One provider, which every request needs.
fn one(fields: Value) -> Value {
    json!({
        "providers": {"corp": provider(0, fields)},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}]
    })
}

/// Three providers, each with a claim in a header of its own, and these rules.
fn three(rules: Value) -> Value {
    let own = |name: &str| json!({"claim_to_headers": [{"claim_name": "iss", "header_name": format!("x-{name}")}]});
    json!({
        "providers": {
            "corp": provider(0, own("corp")),
            "partner": provider(1, own("partner")),
            "legacy": provider(2, json!({"from_headers": [{"name": "x-legacy-token"}]}))
        },
        "rules": rules
    })
}

fn maker(number: usize) -> Maker<'static> {
    Maker {
        idp: &idps()[number],
        audience: AUDIENCE,
    }
}

fn good(number: usize) -> String {
    maker(number).good().mint()
}

fn get(path: &str) -> Request {
    Request::get(path)
}

fn bearer(token: &str) -> Request {
    get("/orders").bearer(token)
}

fn every_flaw(keys: KeySet) -> Trial {
    let keys_of = json!({"local_jwks": {"inline_string": keys.of(&idps()[0]).to_string()}});
    let requests = FLAWS.iter().map(|(name, _)| bearer(&flawed(name, maker(0)))).collect();
    Trial::new(&format!("every flaw, {keys:?}"), one(keys_of), requests)
}

/// The same requests on a provider with these fields, one configuration for each set of fields.
fn each(name: &str, fields: &[Value], requests: &[Request]) -> Vec<Trial> {
    fields
        .iter()
        .enumerate()
        .map(|(number, fields)| Trial::new(&format!("{name} {number}"), one(fields.clone()), requests.to_vec()))
        .collect()
}

fn flaws(names: &[&str]) -> Vec<Request> {
    names.iter().map(|name| bearer(&flawed(name, maker(0)))).collect()
}

fn providers() -> Vec<Trial> {
    let times = flaws(&[
        "no exp",
        "expired",
        "expired within the skew",
        "expired within a wide skew",
        "exp far away",
        "nbf within the skew",
        "nbf future",
        "exp fractional",
    ]);
    let audiences = flaws(&[
        "aud a list",
        "no aud",
        "aud another",
        "aud with a scheme",
        "aud with a slash",
        "aud in upper case",
        "aud an empty list",
    ]);
    let subjects = flaws(&["rs384", "sub another", "no sub", "sub a number"]);
    let mut trials = each(
        "times",
        &[
            json!({"require_expiration": null}),
            json!({"require_expiration": true}),
            json!({"clock_skew_seconds": 5}),
            json!({"clock_skew_seconds": 600}),
            json!({"max_lifetime": "3600s"}),
            json!({"max_lifetime": {"seconds": 3600}, "require_expiration": true}),
        ],
        &times,
    );
    trials.extend(each(
        "audiences",
        &[
            json!({}),
            json!({"audiences": ["*"]}),
            json!({"audiences": ["billing-api", "another-api"]}),
            json!({"audiences": ["https://orders-api"]}),
            json!({"audiences": ["orders-api/"]}),
        ],
        &audiences,
    ));
    trials.extend(each(
        "subjects",
        &[
            json!({"subjects": {"exact": "alice"}}),
            json!({"subjects": {"prefix": "service:"}}),
            json!({"subjects": {"suffix": "LICE", "ignore_case": true}}),
            json!({"subjects": {"contains": "lic"}}),
            json!({"subjects": {"safe_regex": {"regex": "al[a-z]+"}}}),
        ],
        &subjects,
    ));
    let keys = flaws(&["rs384", "unknown kid", "forged", "es256"]);
    let remote = json!({
        "http_uri": {"uri": "http://idp.example.com/0/Full", "cluster": "issuer", "timeout": "5s"},
        "cache_duration": "300s",
        "async_fetch": {"fast_listener": true, "failed_refetch_duration": "1s"},
        "retry_policy": {"num_retries": 2, "retry_back_off": {"base_interval": "0.01s", "max_interval": "1s"}}
    });
    trials.extend(each(
        "keys",
        &[
            json!({"local_jwks": null, "remote_jwks": remote}),
            json!({"jwt_cache_config": {"jwt_cache_size": 10, "jwt_max_token_size": 4096}}),
        ],
        &keys,
    ));
    trials.extend(each(
        "metadata",
        &[json!({
            "payload_in_metadata": "payload", "header_in_metadata": "header", "failed_status_in_metadata": "failed",
            "normalize_payload_in_metadata": {"space_delimited_claims": ["scope"]}, "clear_route_cache": true
        })],
        &keys,
    ));
    trials
}

fn locations() -> Vec<Trial> {
    let (token, bad) = (good(0), flawed("signature tampered", maker(0)));
    let escaped = token.replace('.', "%2E");
    let cookie = |text: String| get("/orders").header("cookie", text);
    let authorization = |text: String| get("/orders").header("authorization", text);
    let requests = vec![
        bearer(&token),
        bearer(&bad),
        authorization(format!("bearer {token}")),
        authorization(format!("Bearer   {token}")),
        authorization(format!("Bearer {token}   ")),
        authorization(format!("Bearer{token}")),
        authorization(format!("Basic x Bearer {token}")),
        authorization(format!("Bearer !{token}")),
        authorization("Bearer".to_owned()),
        authorization("Bearer ".to_owned()),
        authorization(String::new()),
        bearer(&token).bearer(&token),
        bearer(&token).bearer(&bad),
        get("/orders").header("x-jwt", &token),
        get("/orders").header("x-jwt", format!("JWT {token}")),
        get("/orders").header("x-jwt", &token).header("x-jwt", &bad),
        get(&format!("/orders?access_token={token}")),
        get(&format!("/orders?access_token={escaped}&b=%41+c&a=1&&z")),
        get(&format!("/orders?a%20b=1&access_token={token}")),
        get(&format!("/orders?access_token={token}&access_token={bad}")),
        get(&format!("/orders?Access_Token={token}")),
        get("/orders?access_token="),
        bearer(&token).header("cookie", format!("session={bad}")),
        get(&format!("/orders?access_token={bad}")).bearer(&token),
        cookie(format!("a=1; session={token}; b=2")),
        cookie(format!("session=\"{token}\"")),
        cookie(format!("session={token}; session={bad}")),
        cookie(format!("xsession={token}")),
        get("/orders"),
    ];
    each(
        "locations",
        &[
            json!({}),
            json!({"forward": true}),
            json!({"from_headers": [{"name": "X-Jwt"}]}),
            json!({"from_headers": [{"name": "x-jwt", "value_prefix": "JWT "}], "forward": true}),
            json!({"from_headers": [{"name": "authorization", "value_prefix": "Bearer "}, {"name": "x-jwt"}]}),
            json!({"from_params": ["access_token"]}),
            json!({"from_params": ["access_token"], "forward": true}),
            json!({"from_cookies": ["session"]}),
            json!({"from_cookies": ["session"], "forward": true}),
        ],
        &requests,
    )
}

fn claims() -> Vec<Trial> {
    let names: Vec<Value> = crate::configs::CLAIMS
        .iter()
        .map(|(claim, header)| json!({"claim_name": claim, "header_name": header}))
        .collect();
    let forged = bearer(&good(0)).header("x-sub", "forged").header("x-absent", "forged").header("x-jwt-payload", "forged");
    let requests = vec![bearer(&good(0)), forged.clone(), bearer(&flawed("payload with spaces", maker(0)))];
    let mut trials = each(
        "claims",
        &[
            json!({"claim_to_headers": names}),
            json!({"forward_payload_header": "X-Jwt-Payload"}),
            json!({"forward_payload_header": "x-jwt-payload", "pad_forward_payload_header": true}),
            json!({"forward_payload_header": "x-jwt-payload", "claim_to_headers": names, "clear_route_cache": true}),
        ],
        &requests,
    );
    let mut waived = one(json!({"claim_to_headers": [{"claim_name": "sub", "header_name": "x-sub"}]}));
    waived["rules"] = json!([{"match": {"prefix": "/"}}]);
    trials.push(Trial::new("claims, waived", waived, vec![forged, get("/a/../b"), get("/")]));
    trials
}

fn matches() -> Vec<Trial> {
    let paths = ["/orders", "/orders/", "/orders/1", "/Orders", "/ordersX", "/", "/orders?v=1", "/orders?v=1&v=2", "/orders?v"];
    let fields = [("x-env", "prod"), ("x-env", "PROD"), ("x-env", ""), ("x-number", "1"), ("x-number", "10"), ("x-number", "1x")];
    let mut requests: Vec<Request> = paths.into_iter().map(get).collect();
    requests.extend(fields.into_iter().map(|(name, value)| get("/orders?v=1").header(name, value)));
    requests.push(get("/orders").header("x-env", "prod").header("x-env", "x"));
    requests.push(Request::new("POST", "/orders"));
    let preflight = Request::new("OPTIONS", "/orders").header("origin", "https://app.example.com");
    requests.push(preflight.clone().header("access-control-request-method", "GET"));
    requests.push(preflight);
    let by_header = |header: Value| json!({"prefix": "/", "headers": [header]});
    let by_query = |parameter: Value| json!({"prefix": "/", "query_parameters": [parameter]});
    let matchers = [
        json!({"prefix": "/orders"}),
        json!({"prefix": "/ORDERS", "case_sensitive": false}),
        json!({"path": "/orders"}),
        json!({"path": "/ORDERS", "case_sensitive": false}),
        json!({"safe_regex": {"regex": "/orders/[0-9]+"}}),
        json!({"safe_regex": {"google_re2": {"max_program_size": 100}, "regex": "(?i)/orders.*"}}),
        json!({"path_separated_prefix": "/orders"}),
        json!({"path_separated_prefix": "/ORDERS", "case_sensitive": false}),
        by_header(json!({"name": "X-Env"})),
        by_header(json!({"name": "x-env", "present_match": true})),
        by_header(json!({"name": "x-env", "present_match": false})),
        by_header(json!({"name": "x-env", "present_match": true, "invert_match": true})),
        by_header(json!({"name": "x-env", "exact_match": "prod"})),
        by_header(json!({"name": "x-env", "prefix_match": "pr"})),
        by_header(json!({"name": "x-env", "suffix_match": "od"})),
        by_header(json!({"name": "x-env", "contains_match": "ro"})),
        by_header(json!({"name": "x-env", "safe_regex_match": {"regex": "p.*d"}})),
        by_header(json!({"name": "x-env", "string_match": {"exact": "prod"}, "invert_match": true})),
        by_header(json!({"name": "x-env", "string_match": {"exact": "prod", "ignore_case": true}})),
        by_header(json!({"name": "x-env", "string_match": {"exact": ""}, "treat_missing_header_as_empty": true})),
        by_header(json!({"name": "x-env", "string_match": {"exact": "prod"}, "invert_match": true, "treat_missing_header_as_empty": true})),
        by_header(json!({"name": "x-number", "range_match": {"start": 1, "end": 10}})),
        by_header(json!({"name": "x-number", "range_match": {"start": -5, "end": 10}, "invert_match": true})),
        by_header(json!({"name": ":method", "string_match": {"exact": "POST"}})),
        by_query(json!({"name": "v"})),
        by_query(json!({"name": "v", "present_match": true})),
        by_query(json!({"name": "v", "present_match": false})),
        by_query(json!({"name": "v", "string_match": {"exact": "1"}})),
        by_query(json!({"name": "v", "string_match": {"safe_regex": {"regex": "[0-9]*"}}})),
    ];
    let mut trials: Vec<Trial> = matchers
        .into_iter()
        .map(|matcher| {
            // Where the rule matches, another provider's token is needed: the reason tells which of the two it was.
            let mut config = three(json!([
                {"match": matcher, "requires": {"provider_name": "partner"}},
                {"match": {"prefix": "/"}}
            ]));
            config["bypass_cors_preflight"] = true.into();
            Trial::new(&format!("match {matcher}"), config, requests.clone())
        })
        .collect();
    for extra in [json!({"strip_failure_response": true}), json!({"stat_prefix": "edge."}), json!({"bypass_cors_preflight": false})] {
        let mut config = one(json!({}));
        for (name, value) in extra.as_object().expect("fields") {
            config[name] = value.clone();
        }
        trials.push(Trial::new(&format!("{extra}"), config, requests.clone()));
    }
    trials.push(Trial::new("no rules", json!({"providers": {"corp": provider(0, json!({}))}}), requests.clone()));
    trials
}

fn requirements() -> Vec<Trial> {
    let other_audience = Maker { idp: &idps()[0], audience: "billing-api" }.good().mint();
    let bad = flawed("expired", maker(0));
    let requests = vec![
        get("/"),
        bearer(&good(0)),
        bearer(&good(1)),
        bearer(&good(2)),
        bearer(&bad),
        bearer(&flawed("crit", maker(0))),
        bearer(&other_audience),
        get("/").header("x-legacy-token", good(2)),
        get("/").header("x-legacy-token", good(0)),
        bearer(&good(0)).header("x-legacy-token", good(2)),
        bearer(&bad).header("x-legacy-token", good(2)),
        bearer(&good(0)).header("x-legacy-token", "bad"),
        bearer(&good(1)).header("x-corp", "forged").header("x-partner", "forged"),
        get("/a/../b").bearer(&good(0)),
        get("/a/../b"),
    ];
    let any = |parts: Value| json!({"requires_any": {"requirements": parts}});
    let every = |parts: Value| json!({"requires_all": {"requirements": parts}});
    let (corp, partner, legacy) = (
        json!({"provider_name": "corp"}),
        json!({"provider_name": "partner"}),
        json!({"provider_name": "legacy"}),
    );
    let requirements = [
        corp.clone(),
        json!({"provider_and_audiences": {"provider_name": "corp", "audiences": ["billing-api"]}}),
        json!({"provider_and_audiences": {"provider_name": "corp"}}),
        any(json!([corp, partner])),
        any(json!([corp, legacy])),
        every(json!([corp, legacy])),
        every(json!([corp, corp])),
        every(json!([corp, any(json!([legacy, {"allow_missing": {}}]))])),
        any(json!([corp, {"allow_missing": {}}])),
        any(json!([corp, {"allow_missing_or_failed": {}}])),
        json!({"allow_missing": {}}),
        json!({"allow_missing_or_failed": {}}),
        any(json!([every(json!([corp, legacy])), partner])),
        any(json!([{"allow_missing_or_failed": {}}, any(json!([legacy, partner])), corp])),
        any(json!([{"allow_missing_or_failed": {}}, any(json!([partner, legacy]))])),
        any(json!([{"allow_missing": {}}, any(json!([partner, legacy]))])),
        any(json!([{"allow_missing_or_failed": {}}, {"allow_missing": {}}, corp])),
    ];
    let mut trials: Vec<Trial> = requirements
        .iter()
        .map(|requirement| {
            let rules = json!([{"match": {"prefix": "/"}, "requires": requirement}]);
            Trial::new(&format!("requires {requirement}"), three(rules), requests.clone())
        })
        .collect();
    let mut named = three(json!([
        {"match": {"path": "/orders"}, "requirement_name": "both"},
        {"match": {"prefix": "/"}, "requires": legacy}
    ]));
    named["requirement_map"] = json!({"both": every(json!([corp, legacy])), "none": {}});
    trials.push(Trial::new("requirement_name", named, requests.clone()));
    let mut twins = three(json!([{"match": {"prefix": "/"}, "requires": {"allow_missing": {}}}]));
    twins["providers"]["twin"] = provider(0, json!({"from_headers": [{"name": "x-twin"}], "audiences": ["billing-api"]}));
    trials.push(Trial::new("two providers of an issuer", twins, requests));
    trials
}
