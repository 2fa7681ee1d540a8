//! Trailers of a request: those that servers would put beside the headers of these names do not arrive.

use serde_json::json;

use super::stub::{self, State, Stream};
use super::vm::{self, Answer, Vm, document};
use scenarios::{self, get, token, with};

const TRAILERS: &[(&str, &str)] = &[
    ("x-jwt-sub", "root"),
    ("X_JWT_Sub", "root"),
    ("authorization", "Bearer x"),
    ("x-checksum", "1"),
    ("grpc-status", "0"),
];

const LEFT: &[&str] = &["x-checksum", "grpc-status"];

fn claims() -> serde_json::Value {
    json!({"claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}]})
}

fn left(stream: &Stream) -> Vec<String> {
    let fields = stream.trailers.texts();
    fields.into_iter().map(|(name, _)| name).collect()
}

fn finished(vm: &mut Vm, id: u32) -> Stream {
    vm.finish(id);
    stub::with(|host| host.past.pop()).expect("the stream has ended")
}

#[test]
fn trailers_of_guarded_names_never_arrive() {
    let mut config = scenarios::config(with(scenarios::local_provider(), claims()));
    config["rules"] = json!([{"match": {"path": "/open"}}, {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}]);
    for mode in ["enforce", "shadow"] {
        config["mode"] = mode.into();
        let mut vm = Vm::start(&config);
        for request in [get("/").bearer(&token().mint()), get("/open")] {
            let id = vm.open_with_trailers(&request.body("body"), TRAILERS);
            let stream = finished(&mut vm, id);
            assert_eq!(stream.state, State::Forwarded);
            assert_eq!(left(&stream), LEFT, "{mode}");
        }
    }
}

#[test]
fn they_do_not_arrive_with_a_request_that_waited_either() {
    let provider = with(scenarios::remote_provider(), claims());
    let mut vm = Vm::start(&scenarios::config(provider));
    let request = get("/").bearer(&token().mint()).body("body");
    let id = vm.open_with_trailers(&request, TRAILERS);
    assert_eq!(vm::state(id), State::Open);
    vm.pass_to_tick();
    vm.answer_next(&Answer::document(&document()));
    assert_eq!(vm::state(id), State::Forwarded);
    let stream = finished(&mut vm, id);
    assert_eq!(left(&stream), LEFT);
}

#[test]
fn spellings_that_are_allowed_arrive_as_trailers_too() {
    let mut config = scenarios::config(with(scenarios::local_provider(), claims()));
    config["headers_with_underscores_action"] = "ALLOW".into();
    let mut vm = Vm::start(&config);
    let request = get("/").bearer(&token().mint()).body("body");
    let id = vm.open_with_trailers(&request, TRAILERS);
    assert_eq!(
        left(&finished(&mut vm, id)),
        ["x_jwt_sub", "x-checksum", "grpc-status"]
    );
}
