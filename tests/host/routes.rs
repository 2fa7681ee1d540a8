//! Metadata of the route and of other filters, as properties of the stream.

use serde_json::{Value, json};
use testkit::Request;

use super::stub::{self, HeaderMap, Stream};
use super::vm::{Answer, Vm, document};
use scenarios::{self, get, token};

const METADATA: &str = "xds.route_metadata.filter_metadata.proxy-wasm-jwt";
const HOST_METADATA: &str = "xds.virtual_host_metadata.filter_metadata.proxy-wasm-jwt";

/// A route's metadata with this requirement, as a property and its value.
pub(crate) fn metadata(requirement: &str) -> Option<(String, Vec<u8>)> {
    named_by(METADATA, requirement)
}

fn named_by(property: &str, requirement: &str) -> Option<(String, Vec<u8>)> {
    let mut map = HeaderMap::default();
    map.push("owner", b"somebody");
    map.push("requirement_name", requirement.as_bytes());
    Some((property.to_owned(), map.to_bytes()))
}

/// Tokens for `/`, none for `/open`, and routes that may open or close what they like.
fn config() -> Value {
    let mut config = scenarios::config(scenarios::local_provider());
    config["rules"] = json!([{"match": {"path": "/open"}}]);
    config["requirement_map"] = json!({
        "closed": {"provider_name": "corp"},
        "open": {"allow_missing": {}},
        // No route can name it.
        "": {"allow_missing": {}},
    });
    config
}

/// The outcome of a request without a token.
fn reason(vm: &mut Vm, path: &str) -> Option<String> {
    outcome(&vm.request(&get(path)))
}

fn outcome(stream: &Stream) -> Option<String> {
    stream.reply.as_ref().map(|reply| reply.details.clone())
}

fn set(property: Option<(String, Vec<u8>)>) {
    stub::with(|host| host.properties = property.into_iter().collect());
}

#[test]
fn a_route_names_what_it_needs() {
    let mut vm = Vm::start(&config());
    set(None);
    assert_eq!(reason(&mut vm, "/").as_deref(), Some("jwt_token_missing"));
    assert_eq!(reason(&mut vm, "/open"), None);
    set(metadata("open"));
    assert_eq!(reason(&mut vm, "/"), None);
    set(metadata("closed"));
    assert_eq!(reason(&mut vm, "/open").as_deref(), Some("jwt_token_missing"));
    set(metadata("unheard-of"));
    assert_eq!(
        reason(&mut vm, "/open").as_deref(),
        Some("jwt_route_requirement_unknown")
    );
    set(metadata(""));
    assert_eq!(
        reason(&mut vm, "/open").as_deref(),
        Some("jwt_route_requirement_unknown")
    );
}

#[test]
fn an_unknown_requirement_is_named_beside_the_known_ones() {
    let mut vm = Vm::start(&config());
    for (name, shown) in [
        ("unheard-of", "unheard-of"),
        ("two\nlines", "two\\u000alines"),
        ("", "is empty, or not text"),
    ] {
        set(metadata(name));
        let stream = vm.request(&get("/"));
        let detail = String::from_utf8(stream.filter_state["jwt.detail"].clone()).expect("text");
        assert_eq!(detail, format!("requirement_name {shown}"));
        let expected = format!(
            "denied: route_requirement_unknown: {detail} [provider -, rule -, expected requirement_name , closed, open, "
        );
        let line = stub::with(|host| host.lines.last().map(|line| line.text.clone())).expect("a line");
        assert!(line.starts_with(&expected), "{line}");
    }
    let mut vm = Vm::start(&scenarios::config(scenarios::local_provider()));
    set(metadata("unheard-of"));
    vm.request(&get("/"));
    let line = stub::with(|host| host.lines.last().map(|line| line.text.clone())).expect("a line");
    assert!(line.contains(", expected requirement_name none, "), "{line}");
}

#[test]
fn a_virtual_host_speaks_for_routes_that_name_nothing() {
    let mut vm = Vm::start(&config());
    let set_both = |route: Option<&str>, host: Option<&str>| {
        let of_route = route.and_then(metadata);
        let of_host = host.and_then(|name| named_by(HOST_METADATA, name));
        stub::with(|stub| stub.properties = of_route.into_iter().chain(of_host).collect());
    };
    for (route, host, path, expected) in [
        (None, Some("open"), "/", None),
        (None, Some("closed"), "/open", Some("jwt_token_missing")),
        (
            None,
            Some("unheard-of"),
            "/open",
            Some("jwt_route_requirement_unknown"),
        ),
        (Some("closed"), Some("open"), "/open", Some("jwt_token_missing")),
        (Some("open"), Some("closed"), "/", None),
        (
            Some("unheard-of"),
            Some("open"),
            "/open",
            Some("jwt_route_requirement_unknown"),
        ),
    ] {
        set_both(route, host);
        assert_eq!(
            reason(&mut vm, path).as_deref(),
            expected,
            "{route:?} {host:?} {path}"
        );
    }
    // Unreadable metadata bypasses nothing here either.
    let (_, whole) = named_by(HOST_METADATA, "open").expect("a property");
    let good = get("/").bearer(&token().mint());
    for length in 1..whole.len() {
        set(Some((HOST_METADATA.to_owned(), whole[..length].to_vec())));
        assert_eq!(
            outcome(&vm.request(&good)).as_deref(),
            Some("jwt_request_malformed"),
            "{length}"
        );
    }
}

#[test]
fn a_virtual_host_is_asked_only_where_its_word_counts() {
    let asked = |config: &Value, property: Option<(String, Vec<u8>)>| {
        let mut vm = Vm::start(config);
        set(property);
        stub::with(|host| host.story.clear());
        vm.request(&get("/open"));
        let story = stub::with(|host| std::mem::take(&mut host.story));
        story.iter().filter(|line| line.contains(HOST_METADATA)).count()
    };
    assert_eq!(asked(&config(), None), 1);
    assert_eq!(asked(&config(), metadata("open")), 0);
    let mut without_map = config();
    without_map
        .as_object_mut()
        .expect("an object")
        .remove("requirement_map");
    assert_eq!(asked(&without_map, None), 0);
}

#[test]
fn what_a_route_waives_or_tries_out_needs_a_canonical_path() {
    let mut config = config();
    config["requirement_map"]["empty"] = json!({});
    config["requirement_map"]["tried"] = json!({"provider_name": "corp", "mode": "shadow"});
    let mut vm = Vm::start(&config);
    let good = |path: &str| get(path).bearer(&token().mint());
    for requirement in ["open", "empty", "tried"] {
        set(metadata(requirement));
        assert_eq!(reason(&mut vm, "/payments;v=1"), None, "{requirement}");
        for path in ["/payments/../orders", "/payments/..;/orders", "//orders"] {
            assert_eq!(
                reason(&mut vm, path).as_deref(),
                Some("jwt_token_missing"),
                "{requirement} {path}"
            );
            assert_eq!(outcome(&vm.request(&good(path))), None, "{requirement} {path}");
        }
    }
    config["mode"] = "shadow".into();
    let mut vm = Vm::start(&config);
    for requirement in ["open", "empty", "tried", "closed"] {
        set(metadata(requirement));
        assert_eq!(reason(&mut vm, "/payments/../orders"), None, "{requirement}");
    }
}

#[test]
fn a_route_that_cannot_be_read_lets_nothing_through() {
    let mut vm = Vm::start(&config());
    let (_, whole) = metadata("open").expect("a property");
    let good = get("/").bearer(&token().mint());
    for length in 1..whole.len() {
        set(Some((METADATA.to_owned(), whole[..length].to_vec())));
        assert_eq!(
            outcome(&vm.request(&good)).as_deref(),
            Some("jwt_request_malformed"),
            "{length}"
        );
    }
    set(Some((METADATA.to_owned(), vec![0xff; 64])));
    assert_eq!(
        outcome(&vm.request(&good)).as_deref(),
        Some("jwt_request_malformed")
    );
    // Empty metadata names no requirement.
    set(Some((METADATA.to_owned(), Vec::new())));
    assert_eq!(reason(&mut vm, "/").as_deref(), Some("jwt_token_missing"));
}

#[test]
fn another_filter_leaves_a_word() {
    let mut config = scenarios::config(scenarios::local_provider());
    config["filter_state_rules"] = json!({
        "name": "selector",
        "requires": {"open": {"allow_missing": {}}, "closed": {"provider_name": "corp"}},
    });
    let mut vm = Vm::start(&config);
    for (word, expected) in [
        ("open", None),
        ("closed", Some("jwt_token_missing")),
        ("unheard-of", Some("jwt_token_missing")),
        ("", Some("jwt_token_missing")),
    ] {
        set(Some(("filter_state.selector".to_owned(), word.into())));
        assert_eq!(reason(&mut vm, "/").as_deref(), expected, "{word}");
        // The filter that chose the word saw only one interpretation of the path.
        assert_eq!(
            reason(&mut vm, "/x/../y").as_deref(),
            Some("jwt_token_missing"),
            "{word}"
        );
    }
    set(Some(("filter_state.selector".to_owned(), vec![0xff, 0])));
    assert_eq!(reason(&mut vm, "/").as_deref(), Some("jwt_token_missing"));
}

#[test]
fn a_route_is_chosen_again_after_the_claims_are_in_their_headers() {
    let provider = scenarios::with(
        scenarios::local_provider(),
        json!({
            "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
            "clear_route_cache": true,
            "payload_in_metadata": "claims",
        }),
    );
    let mut vm = Vm::start(&scenarios::config(provider));
    stub::with(|host| host.story.clear());
    let stream = vm.request(&Request::get("/").bearer(&token().mint()));
    let story = stub::with(|host| std::mem::take(&mut host.story));
    let story: Vec<&str> = story
        .iter()
        .map(|line| match line.split_once("metadata.claims: ") {
            Some(_) => "state jwt.metadata.claims",
            None => line,
        })
        .collect();
    assert_eq!(
        story,
        [
            "> headers",
            "all of the headers",
            "property xds.route_metadata.filter_metadata.proxy-wasm-jwt: status 1",
            "time",
            "verify_signature",
            "remove authorization",
            "set x-jwt-sub: alice",
            "state jwt.metadata.claims",
            "clear_route_cache",
            "count jwt.allowed",
            "state jwt.provider: corp",
            "< continue",
        ]
    );
    let claims: Value = serde_json::from_slice(&stream.filter_state["jwt.metadata.claims"]).expect("JSON");
    assert_eq!(claims["sub"], "alice");
}

/// Two providers, and a requirement for each, with and without a token.
fn two_requirements() -> Value {
    let provider = scenarios::with(
        scenarios::local_provider(),
        json!({"claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}], "from_params": ["t"],
            "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}]}),
    );
    let admin = scenarios::with(provider.clone(), json!({"issuer": "https://admin.example"}));
    json!({
        "providers": {"corp": provider, "admin": admin},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}],
        "requirement_map": {
            "corp": {"provider_name": "corp"},
            "admin": {"provider_name": "admin"},
            "open": {},
        },
    })
}

fn set_routes(chosen: Option<&str>, taken: Option<&str>) {
    set(chosen.and_then(metadata));
    stub::with(|host| host.rerouted = Some(taken.and_then(metadata).into_iter().collect()));
}

#[test]
fn a_request_that_is_changed_meets_what_the_route_asks_for_that_it_takes() {
    for is_remote in [false, true] {
        let mut config = two_requirements();
        if is_remote {
            config["providers"]["corp"]["local_jwks"].take();
            config["providers"]["corp"]["remote_jwks"] = scenarios::remote_jwks("/jwks");
        }
        let mut vm = Vm::start(&config);
        let corp = get("/").bearer(&token().mint());
        set_routes(Some("corp"), Some("admin"));
        // The first request has reached the upstream when Envoy shows its route, so the filter replaces its
        // response.
        let id = vm.open(&corp);
        if is_remote {
            vm.pass_to_tick();
            vm.answer_next(&Answer::document(&document()));
        }
        vm.finish(id);
        let stream = stub::with(|host| host.past.pop()).expect("the stream has ended");
        assert_eq!(outcome(&stream).as_deref(), Some("jwt_issuer_unknown"));
        assert!(stream.is_answering);
        // From then on nothing gets there.
        let stream = vm.request(&corp);
        assert_eq!(outcome(&stream).as_deref(), Some("jwt_issuer_unknown"));
        assert!(!stream.is_answering);
        // A request with other edits may take another route.
        set_routes(Some("corp"), Some("corp"));
        let stream = vm.request(&get(&format!("/?t={}", token().mint())));
        assert_eq!(outcome(&stream), None);
    }
}

#[test]
fn a_route_without_a_requirement_and_one_with_an_unknown_one_count_too() {
    for (chosen, taken, expected) in [
        (Some("corp"), None, None),
        (None, Some("corp"), None),
        (Some("admin"), None, Some("jwt_issuer_unknown")),
        (None, Some("admin"), Some("jwt_issuer_unknown")),
        (None, Some("unheard-of"), Some("jwt_route_requirement_unknown")),
    ] {
        let mut vm = Vm::start(&two_requirements());
        let issuer = if chosen == Some("admin") {
            "https://admin.example"
        } else {
            scenarios::ISSUER
        };
        let request = get("/").bearer(&token().claim("iss", issuer).mint());
        set_routes(chosen, taken);
        for detail in ["requirement_name unheard-of", "of the route after the edits"] {
            let stream = vm.request(&request);
            assert_eq!(outcome(&stream).as_deref(), expected, "{chosen:?} {taken:?}");
            if taken == Some("unheard-of") {
                assert_eq!(stream.filter_state["jwt.detail"], detail.as_bytes());
            }
        }
    }
}

#[test]
fn a_client_that_sends_an_owned_header_meets_what_any_route_may_ask_for() {
    let mut vm = Vm::start(&two_requirements());
    for (chosen, spelling) in [
        ("open", "x-jwt-sub"),
        ("open", "X_Jwt_Sub"),
        ("corp", "x-jwt-sub"),
    ] {
        set_routes(Some(chosen), Some("admin"));
        let request = get("/").header(spelling, "lenient");
        let stream = vm.request(&request);
        assert_eq!(
            outcome(&stream).as_deref(),
            Some("jwt_token_missing"),
            "{chosen} {spelling}"
        );
        assert!(!stream.is_answering);
        let stream = vm.request(&request.bearer(&token().mint()));
        assert_eq!(
            outcome(&stream).as_deref(),
            Some("jwt_issuer_unknown"),
            "{chosen} {spelling}"
        );
        assert!(!stream.is_answering);
    }
    // Without such a header nothing is changed, and the route stays.
    set_routes(Some("open"), Some("admin"));
    assert_eq!(outcome(&vm.request(&get("/"))), None);
}

#[test]
fn in_shadow_mode_another_route_is_counted() {
    let mut config = two_requirements();
    config["mode"] = "shadow".into();
    let mut vm = Vm::start(&config);
    set_routes(Some("corp"), Some("admin"));
    assert_eq!(outcome(&vm.request(&get("/").bearer(&token().mint()))), None);
    let counted = stub::with(|host| host.metric("jwt.shadow_denied.issuer_unknown"));
    // In shadow mode the token stays, but the claim is written: the route is chosen again.
    assert_eq!(counted, Some(1));
}

#[test]
fn a_refusal_tells_grpc_clients_in_their_own_words() {
    let mut vm = Vm::start(&config());
    set(None);
    let mut reply = |media_type: &str| {
        let stream = vm.request(&get("/").header("content-type", media_type));
        stream.reply.expect("a reply")
    };
    for media_type in ["application/grpc", "application/grpc+proto"] {
        let reply = reply(media_type);
        assert_eq!((reply.status, reply.grpc_status), (401, 16));
        assert_eq!(reply.body, b"the request carries no token");
        assert_eq!(reply.headers.first("content-type"), None);
        assert!(reply.headers.first("www-authenticate").is_some());
    }
    for media_type in ["application/grpc-web", "application/json", ""] {
        assert!(reply(media_type).body.starts_with(b"{"), "{media_type}");
    }
}
