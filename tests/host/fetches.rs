//! The content of a fetch, and the log lines of a failed one.

use serde_json::{Value, json};

use super::stub::{self, Fault, State};
use super::vm::{self, Answer, Vm, document};
use scenarios::{self, ISSUER, get, token, with};

const ERROR: u32 = 4;

fn discovered() -> Value {
    with(
        scenarios::remote_provider(),
        json!({"remote_jwks": null, "discovery": {"cluster": "issuer"}}),
    )
}

fn where_the_keys_are() -> Answer {
    Answer::document(&json!({"issuer": ISSUER, "jwks_uri": "http://idp.example.com/jwks"}).to_string())
}

/// The header fields of the oldest call without an answer.
fn asked() -> Vec<(String, String)> {
    stub::with(|host| host.calls.front().expect("a call").headers.texts())
}

fn header(name: &str) -> Vec<String> {
    let values = asked().into_iter().filter(|(known, _)| known == name);
    values.map(|(_, value)| value).collect()
}

#[test]
fn every_fetch_says_who_asks_and_wants_a_plain_document() {
    let own = concat!("proxy-wasm-jwt/", env!("CARGO_PKG_VERSION"));
    for (configured, sent) in [
        (None, own),
        (Some("edge (ops@example.com)"), "edge (ops@example.com)"),
    ] {
        let fields = configured.map_or_else(|| json!({}), |value| json!({"user_agent": value}));
        let mut vm = Vm::start(&with(scenarios::config(discovered()), fields));
        let id = vm.open(&get("/orders").bearer(&token().mint()));
        vm.pass_to_tick();
        for answer in [where_the_keys_are(), Answer::document(&document())] {
            assert_eq!(header("user-agent"), [sent]);
            assert_eq!(header("accept-encoding"), ["identity"]);
            vm.answer_next(&answer);
        }
        assert_eq!(vm::state(id), State::Forwarded);
    }
}

#[test]
fn a_compressed_answer_is_named_in_the_log() {
    let says = |coding: Option<&str>, body: &[u8]| {
        let status = (":status".to_owned(), "200".to_owned());
        let coding = coding.map(|coding| ("content-encoding".to_owned(), coding.to_owned()));
        Answer::Message([status].into_iter().chain(coding).collect(), body.to_vec())
    };
    let document = document();
    for (provider, what) in [
        (discovered(), "discovery document"),
        (scenarios::remote_provider(), "JWKS"),
    ] {
        for (answer, named) in [
            (says(Some("gzip"), document.as_bytes()), "(`gzip`)"),
            (says(Some("br"), b"\x0b\x02"), "(`br`)"),
            (says(None, b"\x1f\x8b\x08\x00"), "(`gzip`)"),
        ] {
            let mut vm = Vm::start(&scenarios::config(provider.clone()));
            vm.pass_to_tick();
            vm.answer_next(&answer);
            stub::with(|host| {
                for part in [what, "the document is compressed ", named] {
                    assert!(host.has_line(ERROR, part), "{part}: {:?}", host.lines);
                }
            });
        }
    }
}

#[test]
fn a_missing_cluster_is_distinguished_from_one_without_endpoints() {
    for (status, cause, metrics) in [
        (2, "Envoy has no cluster of this name", [1, 0]),
        (
            10,
            "the cluster has no healthy endpoint, or its circuit breaker is open",
            [0, 1],
        ),
    ] {
        let mut vm = Vm::start(&scenarios::config(scenarios::remote_provider()));
        let import = "proxy_http_call";
        stub::with(|host| host.fault = Some(Fault { import, status }));
        vm.pass_to_tick();
        stub::with(|host| {
            let line = format!(
                "JWKS http://idp.example.com/jwks through cluster issuer: the request could not be sent: {cause}; \
                 there are no keys"
            );
            assert!(host.has_line(ERROR, "provider corp: fetching keys has failed since "));
            assert!(host.has_line(ERROR, &line), "{:?}", host.lines);
            let metric = |name: &str| host.metric(&format!("jwt.provider.corp.{name}"));
            let counted = ["fetch_cluster_missing", "fetch_cluster_unavailable"].map(metric);
            assert_eq!(counted, metrics.map(Some));
            assert_eq!(metric("fetch_failed"), Some(1));
        });
    }
}

#[test]
fn every_status_names_the_url_that_was_asked_for() {
    for (provider, what) in [
        (scenarios::remote_provider(), "JWKS http://idp.example.com/jwks"),
        (
            with(
                discovered(),
                json!({"discovery": {"cluster": "issuer", "uri": "http://idp.example.com/x?y=1"}}),
            ),
            "discovery document http://idp.example.com/x?y=1",
        ),
    ] {
        for status in [404, 403, 500] {
            let mut vm = Vm::start(&scenarios::config(provider.clone()));
            vm.pass_to_tick();
            vm.answer_next(&Answer::status(status));
            let line =
                format!("{what} through cluster issuer: the answer's status was {status}; there are no");
            stub::with(|host| assert!(host.has_line(ERROR, &line), "{line}: {:?}", host.lines));
        }
    }
}

#[test]
fn both_addresses_of_a_discovery_document_share_the_timeout_and_are_named() {
    for (spent, left) in [(400, 4600), (4999, 100)] {
        let mut vm = Vm::start(&scenarios::config(discovered()));
        vm.pass_to_tick();
        stub::with(|host| host.now += spent);
        vm.answer_next(&Answer::status(404));
        assert_eq!(
            header(":path"),
            ["/.well-known/oauth-authorization-server/realms/main"]
        );
        assert_eq!(header("user-agent").len(), 1);
        assert_eq!(
            stub::with(|host| host.calls.front().map(|call| call.timeout)),
            Some(left)
        );
        vm.answer_next(&Answer::status(404));
        assert_eq!(
            stub::with(|host| host.calls.len()),
            0,
            "there is no third address"
        );
        let line = "discovery document https://idp.example.com/.well-known/oauth-authorization-server/realms/main \
                    (after 404 from https://idp.example.com/realms/main/.well-known/openid-configuration) through \
                    cluster issuer: the answer's status was 404; there are no keys";
        stub::with(|host| assert!(host.has_line(ERROR, line), "{:?}", host.lines));
    }
}

#[test]
fn a_document_of_another_issuer_is_named_with_the_configured_one() {
    let mut vm = Vm::start(&scenarios::config(discovered()));
    vm.pass_to_tick();
    let theirs = json!({"issuer": format!("{ISSUER}/"), "jwks_uri": "http://idp.example.com/jwks"});
    vm.answer_next(&Answer::document(&theirs.to_string()));
    let line =
        format!("its issuer is `{ISSUER}/`, which is not exactly the configured issuer `{ISSUER}`; there");
    stub::with(|host| assert!(host.has_line(ERROR, &line), "{:?}", host.lines));
}

#[test]
fn the_cluster_of_an_extension_backend_is_learnt_from_requests_and_learnt_anew() {
    let mut config = scenarios::config(scenarios::remote_provider());
    config["providers"]["corp"]["remote_jwks"]["http_uri"]["cluster"] = json!({"backend": "idp"});
    let mut vm = Vm::start(&config);
    let called = |cluster: &[u8]| {
        let property = "xds.route_metadata.filter_metadata.gateway.envoyproxy.io/extension-backends.idp";
        stub::with(|host| host.properties.insert(property.to_owned(), cluster.to_vec()));
    };
    // The token is valid until the end of the test, more than an hour later.
    let good = || get("/orders").bearer(&token().expires_in(7200).mint());
    let asked_through = || stub::with(|host| host.calls.front().map(|call| call.cluster.clone()));
    vm.pass(std::time::Duration::from_secs(5));
    assert_eq!(asked_through(), None, "before any request");

    // A route without it is named once in the log.
    let first = vm.open(&good());
    let second = vm.open(&good());
    vm.pass_to_tick();
    assert_eq!(asked_through(), None, "no route has named it");
    stub::with(|host| {
        let lines = host
            .lines
            .iter()
            .filter(|line| line.text.contains("extension backend idp"));
        assert_eq!(lines.count(), 1, "{:?}", host.lines);
    });
    // The last one is a number, as the host shows it.
    for useless in [&b""[..], b"\xff", &[b'x'; 1025], &7_f64.to_le_bytes()] {
        called(useless);
        vm.open(&good());
        vm.pass_to_tick();
        assert_eq!(asked_through(), None, "{useless:?}");
    }
    called(b"of-this-route");
    let third = vm.open(&get("/orders"));
    vm.pass_to_tick();
    assert_eq!(asked_through().as_deref(), Some("of-this-route"));
    vm.answer_next(&Answer::document(&document()));
    vm.pass_to_tick();
    assert_eq!(
        [first, second].map(vm::state),
        [State::Forwarded, State::Forwarded]
    );
    assert_eq!(vm::state(third), State::Answered);

    // Another route's name changes nothing while this cluster is there.
    called(b"of-another-route");
    assert!(vm.request(&good()).reply.is_none());
    vm.pass(std::time::Duration::from_secs(600));
    while let Some(cluster) = asked_through() {
        assert_eq!(cluster, "of-this-route");
        vm.answer_next(&Answer::document(&document()));
    }

    // Envoy no longer has the cluster: the filter learns the name again, and uses its keys meanwhile.
    stub::with(|host| {
        host.fault = Some(Fault {
            import: "proxy_http_call",
            status: 2,
        });
    });
    vm.pass(std::time::Duration::from_secs(600));
    stub::with(|host| {
        host.fault = None;
        let line =
            "through cluster of-this-route of the extension backend idp: the request could not be sent";
        assert!(host.has_line(3, line), "{:?}", host.lines);
    });
    vm.pass(std::time::Duration::from_secs(60));
    assert_eq!(
        asked_through(),
        None,
        "a name that Envoy does not have is not asked again"
    );
    assert!(vm.request(&good()).reply.is_none());
    vm.pass(std::time::Duration::from_secs(10));
    assert_eq!(asked_through().as_deref(), Some("of-another-route"));
}
