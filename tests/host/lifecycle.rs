//! Contexts that come and go in every order that Envoy knows.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::Request;

use super::stub::{self, State, Stream};
use super::vm::{self, Answer, Vm, document};
use scenarios::{self, get, token, world};

const WARN: u32 = 3;
const ERROR: u32 = 4;

fn remote() -> Value {
    scenarios::config(scenarios::remote_provider())
}

fn good() -> Request {
    get("/orders").bearer(&token().mint())
}

fn details(stream: &Stream) -> (u32, &str) {
    let reply = stream.reply.as_ref().expect("a reply");
    (reply.status, &reply.details)
}

/// Ends a stream, and returns its outcome.
fn ended(vm: &mut Vm, id: u32) -> Stream {
    vm.finish(id);
    stub::with(|host| host.past.pop()).expect("the stream has ended")
}

#[test]
fn without_a_configuration_everything_is_refused() {
    let mut vm = Vm::boot(|_| {});
    let stream = vm.request(&Request::post("/orders", "a body").bearer(&token().mint()));
    assert_eq!(details(&stream), (503, "jwt_not_configured"));
    vm.tick();
}

#[test]
fn a_configuration_with_a_fault_is_refused_and_the_log_says_where() {
    for (configuration, path) in [
        (
            json!({"providers": {"corp": {"issuer": 5}}}).to_string(),
            "providers.corp.issuer",
        ),
        (json!({"providers": {}, "rulez": []}).to_string(), "rulez"),
        ("{".into(), "configuration"),
        (String::new(), "configuration"),
    ] {
        let mut vm = Vm::boot(|_| {});
        assert!(!vm.configure(configuration));
        stub::with(|host| assert!(host.has_line(ERROR, path), "{path}: {:?}", host.lines));
        assert_eq!(details(&vm.request(&good())), (503, "jwt_not_configured"));
    }
}

#[test]
fn what_no_request_asks_for_is_logged_once_in_a_process() {
    let config = json!({
        "providers": {
            "corp": scenarios::local_provider(),
            "idle": scenarios::with(scenarios::local_provider(), json!({"issuer": "https://idle.example"})),
        },
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}],
    });
    let mut vm = Vm::boot(|_| {});
    let warnings = || {
        stub::with(|host| {
            let lines = host.lines.iter().filter(|line| line.level == WARN);
            lines
                .filter(|line| line.text.contains("providers.idle: never used"))
                .count()
        })
    };
    assert!(vm.configure(config.to_string()));
    assert_eq!(warnings(), 1);
    // Another worker of the process has the same shared data.
    assert!(vm.configure(scenarios::with(config.clone(), json!({"stat_prefix": "x"})).to_string()));
    assert_eq!(warnings(), 2);
    assert!(vm.configure(config.to_string()));
    assert_eq!(warnings(), 2);
}

#[test]
fn each_fault_of_a_configuration_has_a_line_of_the_log() {
    let mut vm = Vm::boot(|_| {});
    let rules: Vec<Value> = (0..22).map(|_| json!({})).collect();
    assert!(!vm.configure(json!({"providers": {"corp": {"issuer": 5}}, "rules": rules}).to_string()));
    stub::with(|host| {
        for line in [
            "configuration refused: providers.corp.issuer: expected a string",
            "configuration refused: providers.corp: `audiences` is missing",
            "configuration refused: rules[0]: `match` is missing",
            "configuration refused: there are 5 more faults",
        ] {
            assert!(host.has_line(ERROR, line), "{line}: {:?}", host.lines);
        }
    });
}

#[test]
fn a_refused_configuration_leaves_the_one_before() {
    let mut vm = Vm::start(&scenarios::config(scenarios::local_provider()));
    assert!(!vm.configure("{}"));
    assert_eq!(vm.request(&good()).state, State::Forwarded);
    assert_eq!(details(&vm.request(&get("/"))), (401, "jwt_token_missing"));
}

#[test]
fn the_same_configuration_again_keeps_who_waits_and_what_is_asked() {
    let mut vm = Vm::start(&remote());
    let id = vm.open(&good());
    vm.pass_to_tick();
    assert!(vm.configure(remote().to_string()));
    assert_eq!(vm::state(id), State::Open);
    vm.answer_next(&Answer::document(&document()));
    assert_eq!(vm::state(id), State::Forwarded);
    assert!(vm.configure(remote().to_string()));
    assert_eq!(vm.request(&good()).state, State::Forwarded);
    assert_eq!(stub::with(|host| host.calls.len()), 0);
}

/// Two requests that wait for the answer to a fetch, when another configuration comes.
fn replaced_while_two_wait() -> (Vm, [u32; 2]) {
    let mut vm = Vm::start(&remote());
    let waiting = [
        vm.open(&good()),
        vm.open(&Request::post("/", "a body").bearer(&token().mint())),
    ];
    vm.pass_to_tick();
    let changed = scenarios::with(remote(), json!({"stat_prefix": "changed"}));
    assert!(vm.configure(changed.to_string()));
    (vm, waiting)
}

#[test]
fn another_configuration_answers_who_waits() {
    let (mut vm, waiting) = replaced_while_two_wait();
    for id in waiting {
        let stream = ended(&mut vm, id);
        assert_eq!(stream.state, State::Answered);
    }
    let id = vm.open(&good());
    assert_eq!(vm::state(id), State::Open);
    // The answer to the old configuration's fetch serves the new one too, which does not ask again.
    vm.answer_next(&Answer::document(&document()));
    assert_eq!(vm::state(id), State::Forwarded);
    assert_eq!(stub::with(|host| host.calls.len()), 0);
    vm.finish(id);
}

#[test]
fn a_waiting_request_is_refused_for_want_of_keys_when_the_configuration_is_replaced() {
    let (mut vm, waiting) = replaced_while_two_wait();
    for id in waiting {
        assert_eq!(details(&ended(&mut vm, id)), (503, "jwt_keys_unavailable"));
    }
}

#[test]
fn another_configuration_finds_the_keys_of_the_one_before() {
    let mut vm = Vm::start(&remote());
    vm.pass_to_tick();
    vm.answer_next(&Answer::document(&document()));
    let changed = scenarios::with(remote(), json!({"stat_prefix": "changed"}));
    assert!(vm.configure(changed.to_string()));
    assert_eq!(vm.request(&good()).state, State::Forwarded);
    vm.pass(Duration::from_secs(10));
    assert_eq!(stub::with(|host| host.calls.len()), 0);
    assert_eq!(stub::with(|host| host.metric("jwt.changed.allowed")), Some(1));
}

#[test]
fn a_stream_outlives_its_configuration() {
    let mut vm = Vm::start(&scenarios::config(scenarios::local_provider()));
    let forwarded = vm.open(&good());
    let refused = vm.open(&get("/"));
    assert!(vm.configure(remote().to_string()));
    vm.finish(forwarded);
    vm.finish(refused);
}

#[test]
fn a_client_that_leaves_is_forgotten() {
    let mut vm = Vm::start(&scenarios::with(
        remote(),
        json!({"limits": {"max_waiting_requests": 2}}),
    ));
    let (leaves, stays) = (vm.open(&good()), vm.open(&good()));
    vm.pass_to_tick();
    assert_eq!(ended(&mut vm, leaves).state, State::Open);
    // Another request has its place now.
    let comes = vm.open(&good());
    assert_eq!(vm::state(comes), State::Open);
    stub::with(|host| host.story.clear());
    vm.answer_next(&Answer::document(&document()));
    for id in [stays, comes] {
        assert_eq!(vm::state(id), State::Forwarded);
        vm.finish(id);
    }
    let begin_with = |line: &str| {
        let of_it = |known: &&String| known.starts_with(line);
        stub::with(|host| host.story.iter().filter(of_it).count())
    };
    assert_eq!((begin_with("speak for the stream"), begin_with("resume")), (2, 2));
}

#[test]
fn everything_may_end_while_a_request_waits_for_an_answer() {
    let mut vm = Vm::start(&remote());
    vm.open(&good());
    vm.pass_to_tick();
    let host = vm.close();
    assert_eq!(host.calls.len(), 1);
    assert_eq!(host.past[0].state, State::Open);
}

#[test]
fn an_answer_that_is_none_is_a_failure_and_asked_again() {
    let no_status = || Answer::Message(vec![("date".into(), "today".into())], document().into());
    let status = |status: &str| {
        let fields = vec![(":status".to_owned(), status.to_owned())];
        Answer::Message(fields, document().into())
    };
    for answer in [
        Answer::Reset,
        no_status(),
        status(""),
        status("many"),
        status("99999999999"),
        status("-200"),
        status("302"),
        Answer::status(200),
        Answer::status(304),
    ] {
        let mut vm = Vm::start(&remote());
        let id = vm.open(&good());
        vm.pass_to_tick();
        stub::with(|host| host.story.clear());
        vm.answer_next(&answer);
        if matches!(answer, Answer::Reset) {
            // A response that breaks off has no headers to read.
            let asks = stub::with(|host| host.story.iter().any(|line| line.starts_with("answer's")));
            assert!(!asks, "{:?}", stub::with(|host| host.story.clone()));
        }
        assert_eq!(vm::state(id), State::Open);
        assert_eq!(
            stub::with(|host| host.metric("jwt.provider.corp.fetch_failed")),
            Some(1)
        );
        vm.pass(Duration::from_secs(1));
        vm.answer_next(&Answer::document(&document()));
        assert_eq!(vm::state(id), State::Forwarded);
        vm.finish(id);
    }
}

#[test]
fn an_answer_that_comes_too_late_is_not_taken_for_another() {
    let mut vm = Vm::start(&remote());
    vm.pass_to_tick();
    let late = stub::with(|host| host.calls[0].id);
    // After the call's own timeout of a second and a little more, the filter abandons the fetch and sends it
    // again.
    vm.pass(Duration::from_secs(3));
    assert_eq!(stub::with(|host| host.calls.len()), 2);
    vm.answer(
        late,
        &Answer::document(&testkit::jwks(&[&world().rsa_next]).to_string()),
    );
    let id = vm.open(&good());
    assert_eq!(vm::state(id), State::Open);
    vm.answer_next(&Answer::document(&document()));
    assert_eq!(vm::state(id), State::Forwarded);
    vm.finish(id);
}

#[test]
fn a_cluster_that_is_not_there_is_a_failure() {
    let mut vm = Vm::start(&remote());
    stub::with(|host| {
        host.fault = Some(stub::Fault {
            import: "proxy_http_call",
            status: 2,
        });
    });
    let id = vm.open(&good());
    vm.pass(Duration::from_millis(100));
    assert_eq!(vm::state(id), State::Open);
    stub::with(|host| assert!(host.has_line(4, "cluster"), "{:?}", host.lines));
    stub::with(|host| host.fault = None);
    vm.pass(Duration::from_secs(1));
    vm.answer_next(&Answer::document(&document()));
    assert_eq!(vm::state(id), State::Forwarded);
    vm.finish(id);
}

#[test]
fn the_first_tick_comes_at_once_and_later_ones_are_rare() {
    let mut vm = Vm::start(&remote());
    let period = || stub::with(|host| host.ticks.map(|ticks| ticks.period));
    assert_eq!(period(), Some(1));
    vm.pass_to_tick();
    assert_eq!(period(), Some(5));
    vm.answer_next(&Answer::document(&document()));
    assert_eq!(period(), Some(1000));
    vm.pass(Duration::from_millis(10));
    let id = vm.open(&get("/").bearer(&token().header("kid", "new").mint()));
    assert_eq!(period(), Some(1));
    vm.finish(id);
}

#[test]
fn two_plugins_in_one_vm_do_not_see_each_other() {
    let mut first = Vm::start(&scenarios::config(scenarios::local_provider()));
    // Envoy gives two filters with one `vm_id` two roots in one VM: here, two roots in one thread.
    let host = stub::replace(None).expect("a host");
    let partner = scenarios::with(
        scenarios::local_provider(),
        json!({"issuer": "https://partner.example"}),
    );
    let mut second = Vm::start(&scenarios::config(partner));
    assert_eq!(details(&second.request(&good())), (401, "jwt_issuer_unknown"));
    drop(second);
    stub::replace(Some(host));
    assert_eq!(first.request(&good()).state, State::Forwarded);
}
