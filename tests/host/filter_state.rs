//! The filter state of each request, which the access log shows.

use std::time::Duration;

use super::scenarios::filter_state::{NAMES, config, detailed, details, is_detail, list};
use super::scenarios::{ISSUER, config as config_of, get, local_provider, token};
use super::vm::Vm;

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
        "denied: audience_mismatch: aud [provider corp, rule rules[6], expected aud orders-api, ".to_owned(),
        format!("denied: issuer_unknown: iss [provider -, rule rules[6], expected iss {ISSUER}, "),
        "alg ES512 is not in algorithms [provider corp, rule rules[6], expected alg RS256, ES256, "
            .to_owned(),
        "denied: type_rejected: typ [provider corp, rule rules[6], expected typ JWT, ".to_owned(),
    ] {
        let line = host.lines.iter().find(|line| line.text.contains(&expected));
        let line = line.unwrap_or_else(|| panic!("no line with {expected:?}: {:?}", host.lines));
        assert!(line.text.ends_with(&id), "{}", line.text);
    }
}
