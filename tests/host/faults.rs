//! A host that fails in every way: the filter does not panic, and allows only valid tokens with all edits
//! done.
//!
//! A panic in a callback cannot be caught here: the exports are `extern "C"`, so that it ends the process, as
//! it ends the VM in Envoy. Where the SDK itself is known to panic, another process shows it.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Request, tamper_signature};

use super::routes;
use super::stub::{self, Fault, State};
use super::vm::{self, Answer, Vm, document};
use scenarios::{self, get, token, token_of, world};

/// The host calls that `src/host/abi.rs` makes.
const OURS: &[&str] = &[
    "proxy_get_log_level",
    CLOCK,
    "proxy_set_tick_period_milliseconds",
    "proxy_get_buffer_bytes",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_set_property",
    "proxy_get_property",
    "proxy_call_foreign_function",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_send_local_response",
    "proxy_continue_stream",
    "proxy_set_effective_context",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
    "*",
];

const CLOCK: &str = "proxy_get_current_time_nanoseconds";

/// Every status of the ABI except Ok, and one that no ABI has.
const STATUSES: &[u32] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 4242];

/// The statuses that the SDK's own enum has; another one would be undefined behaviour there.
const OF_THE_SDK: &[u32] = &[1, 2, 3, 4, 7, 8, 10];

/// When the host begins to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Boot,
    SecondRequest,
}

/// Keys from the issuer, for a second; a claim in a header; a path that needs no token; a route that may say
/// more.
fn config(fields: &Value) -> Value {
    let mut provider = scenarios::with(
        scenarios::remote_provider(),
        json!({
            "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
            "clear_route_cache": true,
        }),
    );
    provider["remote_jwks"]["cache_duration"] = json!(1);
    provider = scenarios::with(provider, fields.clone());
    let mut config = scenarios::config(provider);
    config["rules"] = json!([{"match": {"path": "/open"}}]);
    config["requirement_map"] = json!({"corp": {"provider_name": "corp"}});
    config["limits"] = json!({"max_wait": "1s"});
    config
}

/// The field of a provider whose keys have to be found first.
fn found_by_name() -> Value {
    json!({"remote_jwks": null, "discovery": {"cluster": "issuer", "timeout": "1s", "cache_duration": 1}})
}

/// The fields of providers whose tokens are read by name, and in one call with all headers.
fn ways_to_read() -> [Value; 2] {
    [
        json!({}),
        json!({"from_headers": [{"name": "authorization", "value_prefix": "Bearer "}, {"name": "x-token"}]}),
    ]
}

/// The clients' requests. Each bad one has a body, and a header that only the filter may write.
struct Traffic {
    good: Request,
    bad: Vec<Request>,
}

impl Traffic {
    fn new() -> Self {
        let request = |token: String| {
            Request::post("/orders", "body")
                .bearer(&token)
                .header("x-jwt-sub", "root")
        };
        let bad = [
            tamper_signature(&token().mint()),
            token().unsecured().mint(),
            token().expires_in(-600).mint(),
            token().claim("nbf", testkit::unix_now() + 600).mint(),
            token().claim("aud", "other").mint(),
            token_of(&world().rsa_next).mint(),
            token().header("kid", "unknown").mint(),
            "not.a.token".to_owned(),
        ];
        Self {
            good: get("/orders").bearer(&token().mint()).header("x-jwt-sub", "root"),
            bad: bad.into_iter().map(request).chain([get("/orders")]).collect(),
        }
    }

    /// Another request that must never pass: its token has no `iat` and no `nbf`, so only the clock shows
    /// that it is old.
    fn with_an_undated_token(mut self) -> Self {
        let token = token().without_claim("iat").expires_in(-600);
        self.bad.push(get("/orders").bearer(&token.mint()));
        self
    }
}

/// The observations in the life of a VM whose host fails.
#[derive(Default)]
struct Life {
    faults: Vec<String>,
    /// The number of good requests that passed, and of all good requests.
    passed: (usize, usize),
}

/// A life from the configuration to the end, with requests of all kinds.
fn live(config: &Value, traffic: &Traffic, fault: Option<Fault>, since: Since) -> Life {
    let mut vm = Vm::boot(|host| host.fault = fault.filter(|_| since == Since::Boot));
    vm.configure(config.to_string());
    stub::with(|host| host.properties.extend(routes::metadata("corp")));
    let document = document();
    let jwks_uri = format!("{}/jwks", scenarios::ISSUER.trim_end_matches("/realms/main"));
    let where_the_keys_are = json!({"issuer": scenarios::ISSUER, "jwks_uri": jwks_uri}).to_string();
    let mut deserving = BTreeSet::new();
    let mut streams = Vec::new();
    for round in 0..3 {
        if round > 0 {
            stub::with(|host| host.fault = fault);
        }
        let id = vm.open(&traffic.good);
        deserving.insert(id);
        streams.push(id);
        streams.extend(traffic.bad.iter().map(|request| vm.open(request)));
        // Time for a tick, for the response to its request, and for the keys to expire.
        for _ in 0..3 {
            vm.pass(Duration::from_millis(600));
            if vm::next_tick().is_none() {
                vm.tick();
            }
            while let Some(is_for_keys) = stub::with(|host| {
                let path = host.calls.front()?.headers.first(":path");
                Some(path == Some(b"/jwks"))
            }) {
                match (round, is_for_keys) {
                    (1, _) => vm.answer_next(&Answer::Reset),
                    (_, true) => vm.answer_next(&Answer::document(&document)),
                    (_, false) => vm.answer_next(&Answer::document(&where_the_keys_are)),
                }
            }
        }
        let leaving = vm.open(&traffic.good);
        vm.finish(leaving);
    }
    let mut life = Life::default();
    let mut found = |what: String| life.faults.push(format!("{since:?} {fault:?}: {what}"));
    for id in streams {
        let is_good = deserving.contains(&id);
        let passes = vm::state(id) == State::Forwarded;
        if passes {
            let fields = stub::with(|host| host.streams[&id].headers.texts());
            let has_token = fields.iter().any(|(name, _)| name == "authorization");
            let has_subject = fields.contains(&("x-jwt-sub".into(), "alice".into()));
            if !is_good || has_token || !has_subject {
                found(format!("LET THROUGH {fields:?}"));
            }
        }
        if is_good {
            life.passed.0 += usize::from(passes);
            life.passed.1 += 1;
        }
        vm.finish(id);
    }
    for what in vm.close().misuse {
        life.faults.push(format!("{since:?} {fault:?}: {what}"));
    }
    life
}

/// Every call with every status, from both moments on.
fn live_all(config: &Value) {
    let (traffic, with_undated) = (Traffic::new(), Traffic::new().with_an_undated_token());
    let mut found = Vec::new();
    let mut lives = 0;
    for since in [Since::Boot, Since::SecondRequest] {
        let ours = OURS
            .iter()
            .flat_map(|import| STATUSES.iter().map(|status| (*import, *status)));
        // The two failures that the SDK lets its callers see.
        let dispatch = [2, 10].map(|status| ("proxy_http_call", status));
        for (import, status) in ours.chain(dispatch) {
            let traffic = if import == CLOCK { &traffic } else { &with_undated };
            let life = live(config, traffic, Some(Fault { import, status }), since);
            found.extend(life.faults);
            lives += 1;
        }
    }
    println!("{lives} lives of a VM whose host fails");
    assert_eq!(lives, 2 * (OURS.len() * STATUSES.len() + 2));
    assert!(found.is_empty(), "{} faults:\n{}", found.len(), found.join("\n"));
}

#[test]
fn whatever_the_host_answers_nothing_passes_that_should_not() {
    let [by_name, _] = ways_to_read();
    live_all(&config(&by_name));
}

#[test]
fn nor_where_all_headers_are_read_at_once() {
    let [_, at_once] = ways_to_read();
    live_all(&config(&at_once));
}

#[test]
fn nor_where_the_keys_have_to_be_found_first() {
    live_all(&config(&found_by_name()));
}

#[test]
fn without_a_clock_an_old_token_does_not_pass() {
    let fault = Fault {
        import: CLOCK,
        status: 10,
    };
    let traffic = Traffic::new().with_an_undated_token();
    let [config, _] = ways_to_read().map(|fields| config(&fields));
    let life = live(&config, &traffic, Some(fault), Since::SecondRequest);
    assert_eq!(life.faults, Vec::<String>::new());
}

#[test]
fn what_serves_the_operator_alone_costs_no_request() {
    let traffic = Traffic::new().with_an_undated_token();
    for config in ways_to_read().iter().chain([&found_by_name()]).map(config) {
        let sound = live(&config, &traffic, None, Since::Boot);
        assert_eq!(
            (sound.passed, sound.faults.len()),
            ((3, 3), 0),
            "{:?}",
            sound.faults
        );
        for import in [
            "proxy_get_log_level",
            "proxy_set_property",
            "proxy_define_metric",
            "proxy_increment_metric",
            "proxy_record_metric",
        ] {
            let fault = Fault { import, status: 10 };
            for since in [Since::Boot, Since::SecondRequest] {
                let life = live(&config, &traffic, Some(fault), since);
                assert_eq!(life.passed, (3, 3), "{since:?} {fault:?}");
            }
        }
    }
}

#[test]
fn a_head_that_cannot_be_read_is_not_taken_for_one_without_a_token() {
    for fields in ways_to_read() {
        let mut vm = Vm::start(&config(&fields));
        for import in ["proxy_get_header_map_value", "proxy_get_header_map_pairs"] {
            stub::with(|host| host.fault = Some(Fault { import, status: 10 }));
            let id = vm.open(&get("/open"));
            let reply = stub::with(|host| {
                host.streams[&id]
                    .reply
                    .as_ref()
                    .map(|reply| reply.details.clone())
            });
            // Each way makes one of the two calls.
            if let Some(details) = reply {
                assert_eq!(details, "jwt_request_malformed");
            } else {
                assert_eq!(vm::state(id), State::Forwarded, "/open needs no token");
            }
            vm.finish(id);
        }
        let refused = stub::with(|host| host.metric("jwt.denied.request_malformed"));
        assert_eq!(refused, Some(1));
    }
}

/// Names a call and a status for [`the_life_of_a_child`].
const FAULT: &str = "HOST_FAULT";

/// Not a test of its own: [`what_the_sdk_does_not_survive`] runs it in other processes.
#[test]
fn the_life_of_a_child() {
    let Ok(fault) = std::env::var(FAULT) else { return };
    let (import, status) = fault.split_once('=').expect("a call and a status");
    let fault = Fault {
        import: SDKS
            .iter()
            .find(|known| **known == import)
            .expect("a call of the SDK"),
        status: status.parse().expect("a status"),
    };
    let mut vm = Vm::boot(|_| {});
    vm.configure(config(&json!({})).to_string());
    stub::with(|host| host.fault = Some(fault));
    vm.open(&get("/orders").bearer(&token().mint()));
    vm.open(&get("/orders"));
    vm.pass_to_tick();
    stub::with(|host| host.fault_reaches_the_sdk = true);
    if stub::with(|host| !host.calls.is_empty()) {
        vm.answer_next(&Answer::document(&document()));
    }
}

/// The host calls that the SDK makes for us, each with a `panic!` or `unwrap` on what it does not expect.
const SDKS: &[&str] = &["proxy_http_call", "proxy_set_effective_context"];

#[test]
fn what_the_sdk_does_not_survive() {
    let mut survived = Vec::new();
    for import in SDKS {
        for status in OF_THE_SDK {
            let child = Command::new(std::env::current_exe().expect("a test binary"))
                .args(["--exact", "faults::the_life_of_a_child", "--nocapture"])
                .env(FAULT, format!("{import}={status}"))
                .env("RUST_BACKTRACE", "0")
                .output()
                .expect("a child");
            let log = String::from_utf8_lossy(&child.stderr);
            if child.status.success() {
                survived.push((*import, *status));
            } else {
                assert!(
                    log.contains("/proxy-wasm-"),
                    "it is not the SDK that panicked: {log}"
                );
            }
        }
    }
    // The list contains the calls that survive today. Extend it when the SDK or `src/host` survives more.
    assert_eq!(survived, [("proxy_http_call", 2), ("proxy_http_call", 10)]);
}
