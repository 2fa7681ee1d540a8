//! `match`: Envoy's `RouteMatch`.

use serde_json::{Value, json};

use super::*;

/// Requests that match need no token, and all others need one.
fn matching(name: &'static str, matcher: Value) -> Scenario {
    Scenario::new(
        name,
        json!({"providers": {"corp": local_provider()}, "rules": [{"match": matcher}]}),
    )
}

/// Requests that match need a token; all others do not.
fn demanding(name: &'static str, matcher: Value) -> Scenario {
    Scenario::new(
        name,
        json!({"providers": {"corp": local_provider()}, "rules": [
            {"match": matcher, "requires": {"provider_name": "corp"}},
            {"match": {"prefix": "/"}},
        ]}),
    )
}

pub(super) fn list() -> Vec<Scenario> {
    let refused = || denied("token_missing");
    let header = |matcher: Value| json!({"prefix": "/", "headers": [matcher]});
    vec![
        matching("a path in any case", json!({"path": "/Health", "case_sensitive": false}))
            .request(get("/hEALTH?x"), forwarded())
            .request(get("/health/"), refused()),
        matching("a separated prefix", json!({"path_separated_prefix": "/api"}))
            .request(get("/api"), forwarded())
            .request(get("/api/v1"), forwarded())
            .request(get("/api?x"), forwarded())
            .request(get("/apis"), refused()),
        matching("a pattern matches the whole path", json!({"safe_regex": {"google_re2": {}, "regex": "/v[0-9]+/(open|free)"}}))
            .request(get("/v1/open?x=/y"), forwarded())
            .request(get("/v12/free"), forwarded())
            .request(get("/v1/open/more"), refused())
            .request(get("/x/v1/open"), refused())
            .request(get("/v/open"), refused()),
        matching("a pattern in which a query is optional", json!({"safe_regex": {"regex": r"/open(\?.*)?"}}))
            .request(get("/open"), forwarded())
            .request(get("/open?x=/y"), forwarded())
            .request(get("/opened"), refused()),
        matching("a pattern in which a letter is optional", json!({"safe_regex": {"regex": r"v?/open\??[/\?]x"}}))
            .request(get("/open/x"), forwarded())
            .request(get("/open"), refused()),
        matching("a header is there", header(json!({"name": "X-Probe"})))
            .request(get("/").header("x-probe", ""), forwarded())
            .request(get("/"), refused()),
        matching("a header is not there", header(json!({"name": "x-probe", "present_match": false})))
            .request(get("/"), forwarded())
            .request(get("/").header("x-probe", "1"), refused()),
        matching("a header is there, inverted", header(json!({"name": "x-probe", "present_match": true, "invert_match": true})))
            .request(get("/"), forwarded())
            .request(get("/").header("x-probe", "1"), refused()),
        matching("a header's text", header(json!({"name": "x-kind", "string_match": {"exact": "PROBE", "ignore_case": true}})))
            .request(get("/").header("x-kind", "Probe"), forwarded())
            .request(get("/").header("x-kind", "probes"), refused())
            .request(get("/"), refused()),
        matching("a header's text, inverted", header(json!({"name": "x-kind", "string_match": {"prefix": "a"}, "invert_match": true})))
            .request(get("/").header("x-kind", "b"), forwarded())
            .request(get("/").header("x-kind", "ab"), refused())
            .request(get("/"), refused()),
        matching(
            "a missing header as an empty one",
            header(json!({"name": "x-kind", "string_match": {"exact": ""}, "treat_missing_header_as_empty": true})),
        )
        .request(get("/"), forwarded())
        .request(get("/").header("x-kind", "a"), refused()),
        // If a header has several values, the rule waives the token only if every value matches.
        matching("all of several values of a header waive the token", header(json!({"name": "x-kind", "string_match": {"exact": "b"}})))
            .request(get("/").header("x-kind", "b").header("x-kind", "b"), forwarded())
            .request(get("/").header("x-kind", "a").header("x-kind", "b"), refused())
            .request(get("/").header("x-kind", "a,b"), refused())
            .request(get("/").header("x-kind", "a"), refused()),
        matching("a header's number", header(json!({"name": "x-n", "range_match": {"start": -1, "end": 10}})))
            .request(get("/").header("x-n", "-1"), forwarded())
            .request(get("/").header("x-n", "9"), forwarded())
            .request(get("/").header("x-n", "10"), refused())
            .request(get("/").header("x-n", "1.5"), refused())
            .request(get("/").header("x-n", "x"), refused()),
        matching("the older forms", json!({"prefix": "/", "headers": [
            {"name": "x-e", "exact_match": "e"}, {"name": "x-p", "prefix_match": "p"}, {"name": "x-s", "suffix_match": "s"},
            {"name": "x-c", "contains_match": "c"}, {"name": "x-r", "safe_regex_match": {"regex": "[a-c]+"}},
        ]}))
        .request(
            get("/").header("x-e", "e").header("x-p", "pq").header("x-s", "rs").header("x-c", "bcd").header("x-r", "abc"),
            forwarded(),
        )
        .request(
            get("/").header("x-e", "e").header("x-p", "pq").header("x-s", "rs").header("x-c", "bcd").header("x-r", "abcd"),
            refused(),
        ),
        matching("pseudo-fields are headers too", header(json!({"name": ":method", "string_match": {"exact": "OPTIONS"}})))
            .request(Request::new("OPTIONS", "/"), forwarded())
            .request(get("/"), refused()),
        matching("parameters of the query", json!({"prefix": "/", "query_parameters": [
            {"name": "a"}, {"name": "b", "string_match": {"exact": "1"}}, {"name": "c", "present_match": false},
        ]}))
        .request(get("/?a&b=1"), forwarded())
        .request(get("/?b=1&a=x"), forwarded())
        .request(get("/?a&b=2&b=1"), refused())
        .request(get("/?a&b=1&c"), refused())
        .request(get("/?b=1"), refused()),
        // Bytes that are not UTF-8 do not hide the text beside them.
        demanding("a header with a byte that is no text has its beginning", header(json!({"name": "x-env", "string_match": {"prefix": "prod"}})))
            .request(get("/").header("x-env", b"prod\xff"), refused())
            .request(get("/").header("x-env", b"\xffprod"), forwarded()),
        demanding("a header with a byte that is no text has its end", header(json!({"name": "x-env", "string_match": {"suffix": "PROD", "ignore_case": true}})))
            .request(get("/").header("x-env", b"\xe9prod"), refused())
            .request(get("/").header("x-env", b"prod\xe9"), forwarded()),
        demanding("a header with a byte that is no text has its parts", header(json!({"name": "x-env", "string_match": {"contains": "Prod", "ignore_case": true}})))
            .request(get("/").header("x-env", b"\xffPROD\xc3"), refused())
            .request(get("/").header("x-env", b"\xffpr\xc3od"), forwarded()),
        demanding("a header with a byte that is no text matches patterns", header(json!({"name": "x-env", "string_match": {"safe_regex": {"regex": "prod.|[^a-z]+prod"}}})))
            .request(get("/").header("x-env", b"prod\xff"), refused())
            .request(get("/").header("x-env", b"\xff\xc3prod"), refused())
            .request(get("/").header("x-env", b"prod\xff\xff"), forwarded()),
        matching(
            "a byte that is no text does not turn an inverted matcher round",
            json!({"prefix": "/", "headers": [
                {"name": "cookie", "string_match": {"contains": "session="}, "invert_match": true, "treat_missing_header_as_empty": true},
                {"name": "x-env", "string_match": {"safe_regex": {"regex": "prod.*"}}, "invert_match": true, "treat_missing_header_as_empty": true},
            ]}),
        )
        .request(get("/"), forwarded())
        .request(get("/").header("cookie", "a=1"), forwarded())
        .request(get("/").header("cookie", b"a=\xff"), forwarded())
        .request(get("/").header("cookie", "session=1"), refused())
        .request(get("/").header("cookie", b"session=1; a=\xff"), refused())
        .request(get("/").header("cookie", b"a=\xff; session=1"), refused())
        .request(get("/").header("x-env", b"prod\xc3"), refused()),
        matching("CONNECT", json!({"connect_matcher": {}})).request(get("/"), refused()),
    ]
}
