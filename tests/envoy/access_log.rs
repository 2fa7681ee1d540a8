//! `envoy/access-log.yaml` as shipped: the line of each request for operators.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    Bootstrap, EnvoyOptions, EnvoyProcess, Issuer, Listener, Request, Template, Token, Upstream, WasmFilter,
    module_path, route_requirement, workspace_root,
};

use super::assert_alive;
use scenarios::{filter_state, world};

/// Whether the page shows this line, apart from its time.
fn documented(line: &str) -> bool {
    let page = std::fs::read_to_string(workspace_root().join("docs/authorization.md")).expect("the page");
    let timeless = |line: &str| {
        let mut line: Value = serde_json::from_str(line).ok()?;
        line["time"].take().is_string().then_some(line)
    };
    let line = timeless(line);
    page.lines()
        .filter(|shown| shown.starts_with('{'))
        .any(|shown| timeless(shown) == line)
}

#[test]
fn the_access_log_says_who_what_and_why() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    issuer.serve_jwks("/jwks", &[&world().rsa]);
    let bootstrap = Template::load(&workspace_root().join("envoy/access-log.yaml"))
        .expect("the example")
        .module(&module_path())
        .cluster("issuer", issuer.addr())
        .cluster("upstream", upstream.addr())
        .listen("main", ([127, 0, 0, 1], 0).into())
        .build();
    let envoy = EnvoyProcess::start(&bootstrap);
    let client = envoy.client("main");
    let token = |claims: Value| {
        let base = json!({"iss": "https://issuer.example", "aud": "orders-api", "sub": "alice"});
        Token::new(&world().rsa).claims(base).claims(claims).mint()
    };
    let plain = token(json!({}));
    let requests = [
        Request::get("/healthz"),
        Request::get("/orders?access_token=secret"),
        Request::post("/orders", "").bearer(&token(json!({"scope": "orders:write"}))),
        Request::post("/orders", "").bearer(&plain),
        Request::get("/tenants/blue/orders").bearer(&token(json!({"tenant": "red"}))),
        Request::get("/reports").bearer(&plain),
        Request::get("/reports"),
    ];
    let statuses: Vec<u16> = requests
        .into_iter()
        .map(|request| client.request(request).status)
        .collect();
    assert_eq!(statuses, [200, 401, 200, 403, 403, 200, 200]);

    let expected = [
        ["/healthz", "bypassed", "", "", "health", "", ""],
        ["/orders", "denied", "token_missing", "", "default", "", ""],
        ["/orders", "allowed", "", "", "write", "demo", "alice"],
        [
            "/orders",
            "denied",
            "scope_insufficient",
            "",
            "write",
            "demo",
            "alice",
        ],
        [
            "/tenants/blue/orders",
            "denied",
            "claim_rejected",
            "rules[2].authorize.claims[0]",
            "rules[2]",
            "demo",
            "alice",
        ],
        [
            "/reports",
            "shadow_denied",
            "scope_insufficient",
            "",
            "new policy",
            "demo",
            "alice",
        ],
        [
            "/reports",
            "shadow_denied",
            "token_missing",
            "",
            "new policy",
            "",
            "",
        ],
    ];
    let lines = envoy.wait_for_access_log(expected.len());
    for (line, expected) in lines.iter().zip(expected) {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let seen = [
            "path",
            "decision",
            "reason",
            "condition",
            "rule",
            "provider",
            "subject",
        ]
        .map(|name| line[name].as_str().unwrap_or_default());
        assert_eq!(seen, expected, "{line}");
        if expected[1] == "denied" {
            assert_eq!(line["details"], format!("jwt_{}", expected[2]));
        }
    }
    assert!(!lines.concat().contains("secret"));
    assert!(
        documented(&lines[3]),
        "docs/authorization.md shows another line than {}",
        lines[3]
    );
    assert_alive(&envoy);
}

#[test]
fn the_access_log_says_what_is_at_fault() {
    let upstream = Upstream::start();
    let format = "%FILTER_STATE(wasm.jwt.reason:PLAIN)%|%FILTER_STATE(wasm.jwt.detail:PLAIN)%";
    let listener = Listener::new("jwt")
        .filter(WasmFilter::new(filter_state::detailed()).build())
        .access_log(format);
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .listener(listener);
    let envoy = EnvoyProcess::start(&bootstrap.build());
    let client = envoy.client("jwt");
    let list = filter_state::details();
    for (request, ..) in &list {
        client.request(request.clone());
    }
    let lines = envoy.wait_for_access_log(list.len());
    for (line, (_, reason, detail)) in lines.iter().zip(list) {
        let (seen, seen_detail) = line.split_once('|').expect("two states");
        assert_eq!(seen, reason, "{line}");
        assert!(
            filter_state::is_detail(seen_detail, detail),
            "{line}: not {detail}"
        );
    }
    assert_alive(&envoy);
}

#[test]
fn the_log_shows_what_would_have_been_accepted() {
    let upstream = Upstream::start();
    let listener = Listener::new("jwt")
        .filter(WasmFilter::new(filter_state::expecting()).build())
        .route(route_requirement("/routed", "unheard-of"));
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .listener(listener);
    let options = EnvoyOptions::default().component_levels("wasm:debug");
    let envoy = EnvoyProcess::start_with(&bootstrap.build(), &options);
    let client = envoy.client("jwt");
    let mut expectations = filter_state::expectations();
    let named = "denied: route_requirement_unknown: requirement_name unheard-of [provider -, rule -, \
                 expected requirement_name none, ";
    expectations.push((Request::get("/routed"), named.to_owned()));
    for (request, _) in &expectations {
        client.request(request.clone());
    }
    // Envoy adds the id.
    let (.., last) = expectations.last().expect("a request");
    let is_there = envoy.wait_for_log(&format!("{last}request "), Duration::from_secs(15));
    let log = envoy.log();
    assert!(is_there, "no {last:?} in:\n{log}");
    for (_, expected) in &expectations {
        let mut lines = log
            .lines()
            .filter(|line| filter_state::shows_line(line, expected));
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("no {expected:?} in:\n{log}"));
        assert!(!line.contains("request -]"), "{line}");
    }
    assert_alive(&envoy);
}

#[test]
fn the_access_log_shows_who_was_refused_and_the_answer() {
    let upstream = Upstream::start();
    let names = filter_state::NAMES.map(|name| format!("%FILTER_STATE(wasm.jwt.{name}:PLAIN)%"));
    let listener = Listener::new("jwt")
        .filter(WasmFilter::new(filter_state::config()).build())
        .access_log(&format!("{} %RESPONSE_CODE_DETAILS%", names.join(" ")));
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .listener(listener);
    let envoy = EnvoyProcess::start(&bootstrap.build());
    let client = envoy.client("jwt");
    let (requests, expected): (Vec<_>, Vec<_>) = filter_state::list().into_iter().unzip();
    for request in requests {
        client.request(request);
    }
    let lines = envoy.wait_for_access_log(expected.len());
    for (line, expected) in lines.iter().zip(expected) {
        let words: Vec<&str> = line.split(' ').collect();
        let seen: Vec<&str> = words[..5]
            .iter()
            .map(|word| if *word == "-" { "" } else { word })
            .collect();
        assert_eq!(seen, expected, "{line}");
        match expected[0] {
            "answered" => assert_eq!(words[5], "jwt_protected_resource_metadata"),
            "denied" => assert_eq!(words[5], format!("jwt_{}", expected[1])),
            _ => {}
        }
    }
    assert_alive(&envoy);
}
