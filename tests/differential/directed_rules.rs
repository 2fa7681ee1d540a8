//! Directed cases of rules: every form of match, every form of requirement.

use serde_json::{Value, json};
use testkit::Request;

use crate::directed::{bearer, get, good, maker, one, provider, three};
use crate::listeners::remote_path;
use crate::run::Trial;
use crate::tokens::{Maker, flawed};
use crate::world::{KeySet, idps};

pub(crate) fn matches() -> Vec<Trial> {
    let paths = [
        "/orders",
        "/orders/",
        "/orders/1",
        "/Orders",
        "/ordersX",
        "/",
        "/orders?v=1",
        "/orders?v=1&v=2",
        "/orders?v=2&v=1",
        "/orders?%76=1",
        "/orders?v=%31",
        "/orders?w;v=1",
        "/orders?v",
    ];
    let fields = [
        ("x-env", "prod"),
        ("x-env", "PROD"),
        ("x-env", ""),
        ("x-number", "1"),
        ("x-number", "10"),
        ("x-number", "1x"),
    ];
    let mut requests: Vec<Request> = paths.into_iter().map(get).collect();
    requests.extend(
        fields
            .into_iter()
            .map(|(name, value)| get("/orders?v=1").header(name, value)),
    );
    requests.push(get("/orders").header("x-env", "prod").header("x-env", "x"));
    requests.push(get("/orders").header("x-env", "x").header("x-env", "prod"));
    requests.push(get("/orders").header("x-env", "x,prod"));
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
        by_header(
            json!({"name": "x-env", "string_match": {"exact": ""}, "treat_missing_header_as_empty": true}),
        ),
        by_header(
            json!({"name": "x-env", "string_match": {"exact": "prod"}, "invert_match": true, "treat_missing_header_as_empty": true}),
        ),
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
            // If the rule matches, another provider's token is needed: the reason shows which of the two
            // rules matched.
            let mut config = three(json!([
                {"match": matcher, "requires": {"provider_name": "partner"}},
                {"match": {"prefix": "/"}}
            ]));
            config["bypass_cors_preflight"] = true.into();
            Trial::new(&format!("match {matcher}"), config, requests.clone())
        })
        .collect();
    let owned = three(json!([
        {"match": by_header(json!({"name": "x-corp", "present_match": true}))},
        {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}
    ]));
    let forged = get("/orders").header("X-Corp", "forged");
    trials.push(Trial::new("match of an owned header", owned, vec![forged]));
    for extra in [
        json!({"strip_failure_response": true}),
        json!({"stat_prefix": "edge."}),
        json!({"bypass_cors_preflight": false}),
    ] {
        let mut config = one(json!({}));
        for (name, value) in extra.as_object().expect("fields") {
            config[name] = value.clone();
        }
        trials.push(Trial::new(&format!("{extra}"), config, requests.clone()));
    }
    let ordered = three(json!([
        {"match": {"prefix": "/orders"}, "requires": {"provider_name": "partner"}},
        {"match": {"prefix": "/healthz"}},
        {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}
    ]));
    let spellings = [
        "/orders",
        "//orders",
        "/x/../orders",
        "/x/..;/orders",
        "/%6frders",
        "/%256frders",
        "/x%2f..%2forders",
        "/orders/../x",
        "/orders;v=1",
        "/healthz/a%20b",
        "/healthz/..%3b/orders",
        "/healthz/..%20/x",
    ];
    let spelt = spellings.into_iter().flat_map(|path| {
        let request = |token: &str| get(path).header("authorization", format!("Bearer {token}"));
        [get(path), request(&good(0)), request(&good(1))]
    });
    trials.push(Trial::new("spellings of a path", ordered, spelt.collect()));
    trials.push(Trial::new(
        "no rules",
        json!({"providers": {"corp": provider(0, json!({}))}}),
        requests.clone(),
    ));
    trials
}

pub(crate) fn requirements() -> Vec<Trial> {
    let other_audience = Maker {
        idp: &idps()[0],
        audience: "billing-api",
    }
    .good()
    .mint();
    let bad = flawed("expired", maker(0));
    let requests = vec![
        get("/"),
        bearer(&good(0)),
        bearer(&good(1)),
        bearer(&good(2)),
        bearer(&bad),
        bearer(&flawed("crit", maker(0))),
        bearer(&other_audience),
        get("/").header("authorization", format!("Bearer\t{bad}")),
        get("/").header("authorization", format!("Basic YTpi,bearer\t{bad}")),
        get("/").header("authorization", "Basic YTpi"),
        get("/").header("x-legacy-token", good(2)),
        get("/").header("x-legacy-token", good(0)),
        bearer(&good(0)).header("x-legacy-token", good(2)),
        bearer(&bad).header("x-legacy-token", good(2)),
        bearer(&good(0)).header("x-legacy-token", "bad"),
        bearer(&good(1))
            .header("x-corp", "forged")
            .header("x-partner", "forged"),
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
        any(json!([every(json!([corp, partner])), {"allow_missing": {}}])),
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
    let rules = json!([{"match": {"prefix": "/"}, "requires": every(json!([corp, {"allow_missing": {}}]))}]);
    let mut twice = three(rules);
    // Both parts wait for the keys, and both write the claims when they have come.
    let uri = format!("http://idp.example.com{}", remote_path(0, KeySet::Full));
    let remote = json!({"remote_jwks": {"http_uri": {"uri": uri, "cluster": "issuer", "timeout": "5s"}}, "local_jwks": null});
    let claims = twice["providers"]["corp"]["claim_to_headers"].take();
    twice["providers"]["corp"] = provider(0, remote);
    twice["providers"]["corp"]["claim_to_headers"] = claims;
    twice["providers"]["corp"]["forward"] = true.into();
    trials.push(Trial::new(
        "verified twice",
        twice.clone(),
        requests[1..].to_vec(),
    ));
    let mut cold =
        three(json!([{"match": {"prefix": "/"}, "requires": any(json!([corp, {"provider_name": "twin"}]))}]));
    cold["providers"]["corp"] = twice["providers"]["corp"].clone();
    cold["providers"]["corp"]["forward"] = false.into();
    cold["providers"]["twin"] = provider(0, json!({}));
    trials.push(Trial::new(
        "two providers, one cold",
        cold,
        requests[1..2].to_vec(),
    ));
    let mut named = three(json!([
        {"match": {"path": "/orders"}, "requirement_name": "both"},
        {"match": {"prefix": "/"}, "requires": legacy}
    ]));
    named["requirement_map"] = json!({"both": every(json!([corp, legacy])), "none": {}});
    trials.push(Trial::new("requirement_name", named, requests.clone()));
    let mut twins = three(json!([{"match": {"prefix": "/"}, "requires": {"allow_missing": {}}}]));
    twins["providers"]["twin"] = provider(
        0,
        json!({"from_headers": [{"name": "x-twin"}], "audiences": ["billing-api"]}),
    );
    trials.push(Trial::new("two providers of an issuer", twins, requests));
    trials
}
