//! The memory after all requests and fetches have ended: nothing remains.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Request, tamper_signature};

use super::stub::{self, State, held};
use super::vm::{self, Answer, Vm, document};
use scenarios::{self, get, token};

/// The stub's records are memory of the test, and not of the filter.
fn forget() {
    stub::with(|host| {
        host.story = Vec::new();
        host.lines = Vec::new();
        host.past = Vec::new();
    });
}

/// Calls `once` until everything with a limit is full, and then the same number of times again. Returns the
/// growth of the memory in the second part.
fn growth(mut once: impl FnMut()) -> isize {
    const TIMES: usize = 300;
    let mut often = || {
        (0..TIMES).for_each(|_| once());
        forget();
        held()
    };
    let before = often();
    often() - before
}

/// Keys from the issuer, for 20 seconds.
fn config() -> Value {
    let mut config = scenarios::config(scenarios::with(
        scenarios::remote_provider(),
        json!({
            "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
            "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}, {"name": "x-token"}],
        }),
    ));
    config["providers"]["corp"]["remote_jwks"]["cache_duration"] = json!(20);
    config
}

#[test]
fn requests_leave_nothing() {
    let mut vm = Vm::start(&config());
    vm.pass_to_tick();
    vm.answer_next(&Answer::document(&document()));
    let requests = [
        get("/").bearer(&token().mint()),
        Request::post("/", "body").header("x-token", token().mint()),
        get("/").bearer(&tamper_signature(&token().mint())),
        get("/").bearer("not.a.token"),
        get("/"),
    ];
    let grown = growth(|| {
        for request in &requests {
            vm.request(request);
        }
    });
    assert_eq!(grown, 0);
}

#[test]
fn fetches_and_those_who_wait_for_them_leave_nothing() {
    let mut vm = Vm::start(&config());
    let unknown: Vec<Request> = (0..3)
        .map(|kid| token().header("kid", format!("unknown-{kid}")))
        // Half a day passes in this test.
        .map(|token| get("/").bearer(&token.expires_in(864_000).mint()))
        .collect();
    let document = document();
    vm.pass_to_tick();
    vm.answer_next(&Answer::document(&document));
    let mut turn = 0;
    let mut waited = 0;
    let grown = growth(|| {
        let waiting: Vec<u32> = unknown.iter().map(|request| vm.open(request)).collect();
        waited += waiting.iter().filter(|id| vm::state(**id) == State::Open).count();
        // One client leaves before the response. Then enough time passes for the keys to expire, and for the
        // filter to forget these `kid`s.
        vm.finish(waiting[0]);
        for _ in 0..70 {
            vm.pass(Duration::from_secs(1));
            while stub::with(|host| !host.calls.is_empty()) {
                turn += 1;
                match turn % 16 {
                    0 => vm.answer_next(&Answer::Reset),
                    8 => vm.answer_next(&Answer::status(500)),
                    _ => vm.answer_next(&Answer::document(&document)),
                }
            }
        }
        for id in &waiting[1..] {
            vm.finish(*id);
        }
    });
    assert!(waited > 1000 && turn > 1000, "{waited} waited, {turn} fetches");
    // The record in shared data may be some digits longer than before.
    assert!(
        grown.abs() < 1024,
        "{grown} bytes more after as many fetches again"
    );
}
