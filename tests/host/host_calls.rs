//! The exact host calls of each kind of request, in the order that Envoy requires.
//!
//! `>` is a callback, `<` what it returned; every other line is a host call.

use serde_json::{Value, json};
use testkit::Request;

use super::stub;
use super::vm::{Answer, Vm, document};
use scenarios::{self, get, token};

/// The host calls of a request with a good token and present keys, which are the cost of the filter. Envoy
/// takes about a microsecond for each.
const WARM_CALLS: usize = 8;

/// Keys from the issuer, one claim in a header.
fn config() -> Value {
    scenarios::config(scenarios::with(
        scenarios::remote_provider(),
        json!({"claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}]}),
    ))
}

fn story() -> Vec<String> {
    stub::with(|host| std::mem::take(&mut host.story))
}

/// A VM that has its keys and no event to report.
fn warm(config: &Value) -> Vm {
    let mut vm = Vm::start(config);
    vm.pass_to_tick();
    vm.answer_next(&Answer::document(&document()));
    story();
    vm
}

#[test]
fn a_good_token() {
    let mut vm = warm(&config());
    vm.request(&get("/orders").bearer(&token().mint()).header("x-jwt-sub", "root"));
    let story = story();
    let calls = story.iter().filter(|line| !line.starts_with(['>', '<'])).count();
    println!("{calls} host calls for a request whose token is good: {story:#?}");
    assert_eq!(
        story,
        [
            "> headers",
            "all of the headers",
            "property xds.route_metadata.filter_metadata.proxy-wasm-jwt: status 1",
            "remove x-jwt-sub",
            "time",
            "verify_signature",
            "remove authorization",
            "set x-jwt-sub: alice",
            "count jwt.allowed",
            "state jwt.provider: corp",
            "< continue",
        ]
    );
    // One more for the field that no client should send.
    assert_eq!(calls, WARM_CALLS + 1);
}

#[test]
fn a_token_that_was_seen_before() {
    let mut vm = warm(&config());
    let request = get("/orders").bearer(&token().mint());
    vm.request(&request);
    self::story();
    vm.request(&request);
    // The remaining calls are necessary: to read the token and the route's requirement, to read the time, to
    // edit the request, and to report the decision.
    assert_eq!(
        self::story(),
        [
            "> headers",
            "all of the headers",
            "property xds.route_metadata.filter_metadata.proxy-wasm-jwt: status 1",
            "time",
            "remove authorization",
            "set x-jwt-sub: alice",
            "count jwt.allowed",
            "state jwt.provider: corp",
            "< continue",
        ]
    );
    vm.tick();
    let counted = stub::with(|host| (host.metric("jwt.cache_hit"), host.metric("jwt.cache_miss")));
    assert_eq!(counted, (Some(1), Some(1)));
}

#[test]
fn a_good_token_with_a_body() {
    let mut vm = warm(&config());
    vm.request(&Request::post("/orders", "a body").bearer(&token().mint()));
    let story = story();
    // Each piece of the body costs a callback and no host call. The filter checks the trailers.
    assert_eq!(
        story[story.len() - 8..],
        [
            "< continue",
            "> body",
            "< continue",
            "> body",
            "< continue",
            "> trailers",
            "all of the trailers",
            "< continue"
        ]
    );
}

#[test]
fn no_token() {
    let mut vm = warm(&config());
    vm.request(&Request::post("/orders", "a body"));
    // A refused request needs neither its edits nor its body.
    assert_eq!(
        story(),
        [
            "> headers",
            "all of the headers",
            "property xds.route_metadata.filter_metadata.proxy-wasm-jwt: status 1",
            "count jwt.denied_total",
            "count jwt.denied.token_missing",
            "state jwt.reason: token_missing",
            // This call is for the line in the log, which this host accepts.
            "header x-request-id: status 1",
            "state jwt.detail: looked in header authorization (Bearer)",
            "reply 401 jwt_token_missing",
            "< pause",
        ]
    );
}

#[test]
fn no_need_of_a_token() {
    let mut config = config();
    config["rules"] = json!([{"match": {"prefix": "/open"}}]);
    let mut vm = warm(&config);
    vm.request(&get("/open").header("x-jwt-sub", "root"));
    assert_eq!(
        story(),
        [
            "> headers",
            "all of the headers",
            "property xds.route_metadata.filter_metadata.proxy-wasm-jwt: status 1",
            "remove x-jwt-sub",
            "count jwt.bypassed",
            "< continue",
        ]
    );
}

#[test]
fn a_request_that_waits() {
    let mut vm = Vm::start(&config());
    story();
    let id = vm.open(&Request::post("/orders", "a body").bearer(&token().mint()));
    assert_eq!(
        story(),
        [
            "> headers",
            "all of the headers",
            "property xds.route_metadata.filter_metadata.proxy-wasm-jwt: status 1",
            "time",
            "property source.address: status 1",
            "count jwt.waiting",
            "< pause",
            "> body",
            "< pause",
            "> body",
            "< pause",
            "> trailers",
            "all of the trailers",
            "< pause",
        ]
    );
    vm.pass_to_tick();
    assert_eq!(
        story(),
        [
            "> tick",
            "log level",
            "time",
            // The worker reads the results of other workers, then reads their lease again, takes the lease,
            // and only then asks the issuer.
            "read shared head: status 1",
            "read shared head: status 1",
            "write shared head",
            "count jwt.cache_miss",
            "call issuer",
            "speak for the root",
            "show jwt.provider.corp.keys",
            "show jwt.provider.corp.keys_age_seconds",
            "show jwt.provider.corp.keys_stale",
            "tick every 5 ms",
        ]
    );
    vm.answer_next(&Answer::document(&document()));
    assert_eq!(
        story(),
        [
            "> answer",
            "speak for the root",
            "time",
            "show jwt.provider.corp.fetch_ms",
            "answer's header :status",
            "answer's header cache-control: status 1",
            "answer's header etag: status 1",
            "answer's header content-encoding: status 1",
            "answer's body",
            // The worker writes the document before the record that names it.
            "read shared head",
            "write shared jwks",
            "write shared head",
            // Envoy refuses an edit after the request was resumed.
            "speak for the stream",
            "show jwt.waiting_ms",
            "remove authorization",
            "set x-jwt-sub: alice",
            "count jwt.allowed",
            "state jwt.provider: corp",
            "resume",
            "speak for the root",
            "count jwt.provider.corp.fetch_success",
            "log info: provider corp: 1 keys loaded, 0 skipped",
            "show jwt.provider.corp.keys",
            "show jwt.provider.corp.keys_age_seconds",
            "show jwt.provider.corp.keys_stale",
            "tick every 1000 ms",
        ]
    );
    vm.finish(id);
}

#[test]
fn an_idle_tick() {
    let mut vm = warm(&config());
    vm.pass_to_tick();
    let story = story();
    assert_eq!(story[..4], ["> tick", "log level", "time", "read shared head"]);
    assert!(!story.iter().any(|line| line.starts_with("call")), "{story:#?}");
}
