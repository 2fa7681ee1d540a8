//! The filter state of each request, which the access log shows.

use std::time::Duration;

use proxy_wasm_jwt::denial::Reason;
use serde_json::{Value, json};
use testkit::Request;

use super::stub;
use super::vm::Vm;
use scenarios::filter_state::{
    NAMES, config, detailed, details, expectations, expecting, is_detail, list, shows_line,
};
use scenarios::{ISSUER, config as config_of, get, local_provider, token};

#[test]
fn each_request_leaves_who_what_and_why_in_filter_state() {
    let mut vm = Vm::start(&config());
    for (request, expected) in list() {
        let state = vm.request(&request).filter_state;
        let seen = NAMES.map(|name| {
            let value = state.get(&format!("jwt.{name}"));
            String::from_utf8(value.cloned().unwrap_or_default()).expect("text")
        });
        assert_eq!(seen, expected, "{}", request.path);
    }
}

#[test]
fn each_refusal_says_what_is_at_fault() {
    let mut vm = Vm::start(&detailed());
    let text = |value: Option<&Vec<u8>>| String::from_utf8(value.cloned().unwrap_or_default()).expect("text");
    for (request, reason, detail) in details() {
        let state = vm.request(&request).filter_state;
        let seen = [state.get("jwt.reason"), state.get("jwt.detail")].map(text);
        assert_eq!(seen[0], reason, "{detail}: {seen:?}");
        assert!(is_detail(&seen[1], detail), "{detail}: {seen:?}");
    }
}

#[test]
fn a_refusal_that_is_remembered_says_the_age_of_now() {
    let mut vm = Vm::start(&config_of(local_provider()));
    let request = get("/orders").bearer(&token().expires_in(-600).mint());
    for age in [600_u64, 700, 800] {
        let state = vm.request(&request).filter_state;
        let detail = String::from_utf8(state["jwt.detail"].clone()).expect("text");
        let expected = format!("exp was {age} s ago, clock_skew_seconds is 60");
        assert!(is_detail(&detail, &expected), "{detail}");
        vm.pass(Duration::from_secs(100));
    }
}

#[test]
fn a_request_that_goes_on_has_no_detail() {
    let mut vm = Vm::start(&config_of(local_provider()));
    let state = vm.request(&get("/orders").bearer(&token().mint())).filter_state;
    assert!(!state.contains_key("jwt.detail"), "{state:?}");
}

#[test]
fn the_line_of_a_refusal_says_where_and_what_was_expected() {
    let mut vm = Vm::start(&detailed());
    let ask = |vm: &mut Vm, token: String| {
        let id = format!("id-\n{}", "x".repeat(100));
        let request = get("/orders").bearer(&token).header("x-request-id", &id);
        vm.request(&request);
    };
    let good = || token().claim("email", "alice@example.com");
    ask(&mut vm, good().claim("aud", "somebody").mint());
    ask(&mut vm, good().claim("iss", "https://somewhere.example").mint());
    ask(&mut vm, good().alg("ES512").mint());
    ask(&mut vm, good().header("typ", "x+jwt").mint());
    let host = vm.close();
    let id = format!("request id-\\u000a{}]", "x".repeat(60));
    for expected in [
        "denied: audience_mismatch: aud [provider corp, rule rules[17], expected aud orders-api, ".to_owned(),
        format!("denied: issuer_unknown: iss [provider -, rule rules[17], expected iss {ISSUER}, "),
        "alg ES512 is not in algorithms [provider corp, rule rules[17], expected alg RS256, ES256, "
            .to_owned(),
        "denied: type_rejected: typ [provider corp, rule rules[17], expected typ JWT, ".to_owned(),
    ] {
        let line = host.lines.iter().find(|line| line.text.contains(&expected));
        let line = line.unwrap_or_else(|| panic!("no line with {expected:?}: {:?}", host.lines));
        assert!(line.text.ends_with(&id), "{}", line.text);
    }
}

#[test]
fn the_line_of_each_refusal_shows_what_would_have_been_accepted() {
    let mut vm = Vm::start(&expecting());
    let mut missing = Vec::new();
    for (request, expected) in expectations() {
        stub::with(|host| host.lines.clear());
        vm.request(&request);
        let lines = stub::with(|host| std::mem::take(&mut host.lines));
        if !lines.iter().any(|line| shows_line(&line.text, &expected)) {
            missing.push((expected, lines));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Whether the values that would have been accepted are in the line, and not in the detail.
fn is_in_circumstances(reason: Reason) -> bool {
    match reason {
        Reason::TypeRejected
        | Reason::AlgorithmRejected
        | Reason::IssuerUnknown
        | Reason::KeyUnknown
        | Reason::SignatureInvalid
        | Reason::AudienceMismatch
        | Reason::SubjectRejected
        | Reason::TokenRejected
        | Reason::ClaimMalformed
        | Reason::ClaimRejected
        | Reason::RouteRequirementUnknown => true,
        // The fault of a proof is often that something is absent.
        Reason::BindingMismatch | Reason::ProofInvalid => false,
        Reason::TokenMissing
        | Reason::TokenMultiple
        | Reason::RequestMalformed
        | Reason::TokenMalformed
        | Reason::TokenTooLarge
        | Reason::CriticalHeader
        | Reason::TokenExpired
        | Reason::TokenNotYetValid
        | Reason::LifetimeTooLong
        | Reason::ClaimMissing
        | Reason::ProofNonce
        | Reason::ProofReplayed
        | Reason::ProofStoreFull
        | Reason::ScopeInsufficient
        | Reason::KeysUnavailable
        | Reason::RouteDenied => false,
    }
}

#[test]
fn no_refusal_leaves_the_expected_values_out() {
    let mut seen = Vec::new();
    let mut ask = |config: &Value, requests: Vec<Request>| {
        let mut vm = Vm::start(config);
        requests
            .into_iter()
            .for_each(|request| drop(vm.request(&request)));
        seen.extend(vm.close().lines.into_iter().map(|line| line.text));
    };
    ask(
        &detailed(),
        details().into_iter().map(|(request, ..)| request).collect(),
    );
    ask(
        &expecting(),
        expectations().into_iter().map(|(request, _)| request).collect(),
    );
    let mut config = config_of(local_provider());
    let claims = json!([{"claim_name": "role", "equals": "é".repeat(3_000)}]);
    config["rules"] = json!([{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}, "authorize": {"claims": claims}}]);
    ask(
        &config,
        vec![get("/orders").bearer(&token().claim("role", "a").mint())],
    );
    for reason in Reason::ALL {
        let start = format!("denied: {}", reason.label());
        let lines: Vec<&String> = seen.iter().filter(|line| line.starts_with(&start)).collect();
        let is_elsewhere = matches!(
            reason,
            Reason::KeysUnavailable
                | Reason::ProofReplayed
                | Reason::ProofStoreFull
                | Reason::RouteRequirementUnknown
        );
        assert!(is_elsewhere || !lines.is_empty(), "{reason:?}");
        for line in lines {
            assert!(line.contains("[provider ") && line.contains(", rule "), "{line}");
            let shows = line.contains(", expected ");
            assert!(shows || !is_in_circumstances(reason), "{line}");
            assert!(line.len() < 2_300 && line.ends_with(", request -]"), "{line}");
        }
    }
}

#[test]
fn a_refused_token_says_what_it_is_only_where_it_is_asked_for() {
    let mut config = detailed();
    let expired = token().expires_in(-600).header("kid", "rsa\n1").mint();
    let expected = |state: &std::collections::BTreeMap<String, Vec<u8>>| {
        let text = String::from_utf8(state["jwt.token"].clone()).expect("text");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["unverified"], true);
        assert_eq!(value["kid"], "rsa\n1");
        assert_eq!(value["iss"], ISSUER);
        assert_eq!(value.get("sub"), None);
        text
    };
    let mut vm = Vm::start(&config);
    let state = vm.request(&get("/orders").bearer(&expired)).filter_state;
    assert!(!state.contains_key("jwt.token"));
    config["filter_state"] = json!({"token": true});
    let mut vm = Vm::start(&config);
    for path in ["/orders", "/new"] {
        let text = expected(&vm.request(&get(path).bearer(&expired)).filter_state);
        let line = stub::with(|host| host.lines.last().map(|line| line.text.clone()));
        let line = line.expect("a line");
        assert!(line.ends_with(&format!("] {text}")), "{line}");
        assert!(!line.contains(expired.rsplit('.').next().expect("a part")));
    }
    // The filter treats a token in a query like one in a header.
    let path = format!("/orders?access_token={expired}");
    expected(&vm.request(&get(&path)).filter_state);
    // The filter writes nothing for requests that pass, or that have no token.
    let good = token().claim("email", "a@example.com").mint();
    for request in [get("/orders").bearer(&good), get("/orders"), get("/healthz")] {
        assert!(!vm.request(&request).filter_state.contains_key("jwt.token"));
    }
}

#[test]
fn refusals_are_summed_up_once_a_minute() {
    let mut vm = Vm::start(&detailed());
    let summary = || -> Vec<String> {
        let lines = stub::with(|host| std::mem::take(&mut host.lines));
        let infos = lines.into_iter().filter(|line| line.level == 2);
        infos
            .map(|line| line.text)
            .filter(|text| text.contains("denied: "))
            .collect()
    };
    summary();
    let expired = token().claim("email", "a@example.com").expires_in(-600).mint();
    vm.request(&get("/orders").bearer(&expired));
    vm.request(&get("/new"));
    vm.request(&get("/healthz"));
    assert!(summary().is_empty(), "only a tick writes them");
    vm.pass(Duration::from_secs(1));
    let lines = summary();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].starts_with("denied: token_expired: 1 requests within 1 s, the last one: exp was 600 s ago")
            && lines[0].ends_with(" [provider corp, rule rules[17]]"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].starts_with("shadow_denied: token_missing: 1 requests within 1 s, the last one: looked in ")
            && lines[1].ends_with(" [provider -, rule rules[10]]"),
        "{}",
        lines[1]
    );
    for _ in 0..500 {
        vm.request(&get("/orders").bearer(&expired));
    }
    vm.pass(Duration::from_secs(55));
    assert!(summary().is_empty());
    vm.pass(Duration::from_secs(10));
    let lines = summary();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("denied: token_expired: 500 requests within 60 s"),
        "{lines:?}"
    );
}
