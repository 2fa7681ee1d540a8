//! Discovery over real sockets: keys on another host, and what the log says of a faulty document.

use std::time::Duration;

use serde_json::json;
use testkit::{
    Answer, Authority, Bootstrap, EnvoyOptions, EnvoyProcess, Issuer, Listener, Request, Upstream,
    static_cluster,
};

use super::stack::EXTENSION_BACKENDS;
use super::{Stack, assert_alive};
use scenarios::{AUDIENCE, ISSUER, config, token, token_of, with, world};

const DOCUMENT: &str = "/realms/main/.well-known/openid-configuration";

#[test]
fn keys_on_another_host_are_fetched_through_its_cluster() {
    let (issuer, keys) = (Issuer::start(), Issuer::start());
    let document = json!({"issuer": ISSUER, "jwks_uri": "https://keys.example.net:8443/v1/jwks?set=main"});
    issuer.serve(DOCUMENT, Answer::json(&document));
    keys.serve_jwks("/v1/jwks", &[&world().rsa]);
    let upstream = Upstream::start();
    let provider = json!({
        "issuer": ISSUER, "audiences": [AUDIENCE],
        "discovery": {"cluster": "issuer", "timeout": "1s", "clusters": {"keys.example.net": "keys"}},
    });
    let bootstrap = Bootstrap::new()
        .cluster("issuer", issuer.addr())
        .cluster("keys", keys.addr())
        .cluster("upstream", upstream.addr())
        .listener(Listener::wasm("jwt", config(provider)))
        .build();
    let envoy = EnvoyProcess::start_with(&bootstrap, &EnvoyOptions::workers(4));
    let client = envoy.client("jwt");
    let pending: Vec<_> = (0..20)
        .map(|_| testkit::Client::new(client.addr()).start(Request::get("/orders").bearer(&token().mint())))
        .collect();
    assert!(pending.into_iter().all(|pending| pending.wait().status == 200));
    assert_eq!((issuer.fetches(DOCUMENT), keys.fetches("/v1/jwks")), (1, 1));
    let asked = &keys.fetch_log("/v1/jwks")[0];
    assert_eq!(asked.path, "/v1/jwks?set=main");
    assert_eq!(asked.header("host"), Some("keys.example.net:8443"));
    assert_eq!(
        issuer.fetch_log(DOCUMENT)[0].header("host"),
        Some("idp.example.com")
    );
    for fetch in [asked, &issuer.fetch_log(DOCUMENT)[0]] {
        let own = concat!("proxy-wasm-jwt/", env!("CARGO_PKG_VERSION"));
        assert_eq!(fetch.header("user-agent"), Some(own));
        assert_eq!(fetch.header("accept-encoding"), Some("identity"));
    }
    assert!(
        envoy.log().contains(
            "provider corp: the discovery document names https://keys.example.net:8443/v1/jwks?set=main"
        ),
        "{}",
        envoy.log()
    );
    assert_alive(&envoy);
}

#[test]
fn a_faulty_document_is_named_in_log_and_metric_and_gives_no_keys() {
    let provider = json!({"issuer": ISSUER, "audiences": [AUDIENCE], "discovery": {"cluster": "issuer"}});
    let issuer = Issuer::start();
    issuer.serve_jwks("/jwks", &[&world().rsa]);
    let document =
        |issuer: &str| Answer::json(&json!({"issuer": issuer, "jwks_uri": "http://idp.example.com/jwks"}));
    issuer.serve(DOCUMENT, document("https://idp.example.com/realms/other"));
    let limited = with(config(provider), json!({"limits": {"max_wait": "1s"}}));
    let stack = Stack::start_around(issuer, Listener::wasm("jwt", limited), &EnvoyOptions::workers(2));
    let refused = stack
        .client
        .request(Request::get("/orders").bearer(&token().mint()));
    assert_eq!(refused.reason().as_deref(), Some("keys_unavailable"));
    assert_eq!(stack.issuer.fetches("/jwks"), 0);
    let log = stack.envoy.log();
    assert!(
        log.contains(
            "discovery document https://idp.example.com/realms/main/.well-known/openid-configuration \
             through cluster issuer: the document is not usable: its issuer is \
             `https://idp.example.com/realms/other`, which is not exactly the configured issuer \
             `https://idp.example.com/realms/main`; there are no keys"
        ),
        "{log}"
    );
    assert_eq!(
        log.matches("provider corp: fetching keys has failed since")
            .count(),
        1,
        "{log}"
    );
    assert!(stack.envoy.stat("wasmcustom.jwt.provider.corp.fetch_failed") >= 1);

    stack.issuer.serve(DOCUMENT, document(ISSUER));
    let recovered = stack.envoy.wait_for_log(
        "provider corp: fetching keys works again",
        Duration::from_secs(20),
    );
    assert!(recovered, "{}", stack.envoy.log());
    assert_eq!(stack.status(&token().mint()), 200);

    // Later the document is faulty. The filter keeps the URL of the keys, and still learns a rotation there.
    stack.issuer.serve(DOCUMENT, Answer::status(404));
    stack
        .issuer
        .serve_jwks("/jwks", &[&world().rsa, &world().rsa_next]);
    assert_eq!(stack.status(&token_of(&world().rsa_next).mint()), 200);
    assert!(
        stack.envoy.wait_for_log(
            "provider corp: reading the discovery document has failed since",
            Duration::from_secs(20)
        ),
        "{}",
        stack.envoy.log()
    );
    assert_alive(&stack.envoy);
}

#[test]
fn faults_on_the_way_to_an_issuer_are_distinguished() {
    let authority = Authority::generate();
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let mut secure = Listener::new("secure")
        .route(testkit::route("/", "upstream"))
        .build();
    secure["filter_chains"][0]["transport_socket"] =
        authority.downstream(&authority.issue("other.example.com"));
    let server = EnvoyProcess::start(
        &Bootstrap::new()
            .cluster("upstream", upstream.addr())
            .listener_value(secure)
            .build(),
    );
    let wrong_name = || {
        let mut socket = authority.upstream(None);
        socket["typed_config"]["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"] =
            json!([{"san_type": "DNS", "matcher": {"exact": "idp.example.com"}}]);
        socket
    };
    let cluster = |name: &str, addr, socket| {
        let mut cluster = static_cluster(name, addr);
        cluster["transport_socket"] = socket;
        cluster
    };
    let mut empty = static_cluster("empty", issuer.addr());
    empty["load_assignment"]["endpoints"] = json!([]);
    let tls = "the issuer was not reached: ";
    let counters = "; with TLS, see the cluster's counters ssl.fail_verify_san, ssl.fail_verify_error and \
                    ssl.connection_error; there are no keys";
    let expected = [
        (
            "missing",
            "",
            "the request could not be sent: Envoy has no cluster of this name; there are no keys",
        ),
        (
            "empty",
            "",
            "the request could not be sent: the cluster has no healthy endpoint, or its circuit breaker is open; \
             there are no keys",
        ),
        ("wrong-name", tls, counters),
        ("no-tls", tls, counters),
    ];
    let providers: serde_json::Map<_, _> = expected
        .iter()
        .map(|(cluster, _, _)| {
            let uri = format!("https://idp.example.com/{cluster}");
            let provider = json!({
                "issuer": format!("https://{cluster}.example.com"), "audiences": [AUDIENCE],
                "remote_jwks": {"http_uri": {"uri": uri, "cluster": cluster, "timeout": "1s"}},
            });
            ((*cluster).to_owned(), provider)
        })
        .collect();
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .cluster_value(empty)
        .cluster_value(cluster("wrong-name", server.addr("secure"), wrong_name()))
        .cluster_value(cluster("no-tls", issuer.addr(), authority.upstream(None)))
        .listener(Listener::wasm("jwt", json!({"providers": providers})))
        .build();
    let envoy = EnvoyProcess::start_with(&bootstrap, &EnvoyOptions::default());
    for (cluster, first, last) in expected {
        let place = format!("JWKS https://idp.example.com/{cluster} through cluster {cluster}: ");
        assert!(
            envoy.wait_for_log(&place, Duration::from_secs(20)),
            "{}",
            envoy.log()
        );
        let log = envoy.log();
        let line = log
            .lines()
            .find(|line| line.contains(&place))
            .expect("it is there");
        let start = format!("provider {cluster}: fetching keys has failed since ");
        for part in [&start, first, last] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    let counted = |provider: &str| {
        ["missing", "unavailable"].map(|what| {
            envoy.stat(&format!(
                "wasmcustom.jwt.provider.{provider}.fetch_cluster_{what}"
            )) > 0
        })
    };
    assert_eq!(counted("missing"), [true, false]);
    assert_eq!(counted("empty"), [false, true]);
    assert_eq!(counted("no-tls"), [false, false]);
    assert!(envoy.stat("cluster.wrong-name.ssl.fail_verify_san") > 0);
    assert_alive(&envoy);
}

#[test]
fn the_cluster_of_an_extension_backend_is_that_of_the_routes() {
    let issuer = Issuer::start();
    issuer.serve_jwks("/jwks", &[&world().rsa]);
    let upstream = Upstream::start();
    let provider = json!({
        "issuer": ISSUER, "audiences": [AUDIENCE],
        "remote_jwks": {"http_uri": {
            "uri": "https://idp.example.com/jwks", "cluster": {"backend": "idp"}, "timeout": "1s",
        }},
    });
    let to = |prefix: &str, backends: serde_json::Value| {
        let mut route = testkit::route(prefix, "upstream");
        route["metadata"]["filter_metadata"] = json!({EXTENSION_BACKENDS: backends});
        route
    };
    let config = with(config(provider), json!({"limits": {"max_wait": "300ms"}}));
    let listener = Listener::wasm("jwt", config)
        .route(to("/other", json!({"another": "issuer"})))
        .route(to("/number", json!({"idp": 7})))
        .route(to("/gone", json!({"idp": "gone"})))
        .route(to("/", json!({"idp": "issuer"})));
    let bootstrap = Bootstrap::new()
        .cluster("issuer", issuer.addr())
        .cluster("upstream", upstream.addr())
        .listener(listener)
        .build();
    let envoy = EnvoyProcess::start_with(&bootstrap, &EnvoyOptions::workers(2));
    let client = envoy.client("jwt");
    let status = |path: &str| client.request(Request::get(path).bearer(&token().mint())).status;
    for path in ["/other", "/number"] {
        assert_eq!(status(path), 503, "{path}");
    }
    assert!(
        envoy
            .log()
            .contains("names no cluster for the extension backend idp")
    );
    assert!(!envoy.log().contains("fetching keys fails"), "{}", envoy.log());
    assert_eq!(status("/gone"), 503);
    let gone = "through cluster gone of the extension backend idp: the request could not be sent: Envoy has no cluster";
    assert!(
        envoy.wait_for_log(gone, Duration::from_secs(10)),
        "{}",
        envoy.log()
    );
    // The filter learns the name again from this request, or from one of the next.
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while status("/orders") != 200 {
        assert!(std::time::Instant::now() < end, "{}", envoy.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    // Now the filter knows the name, and other routes do not change it.
    assert_eq!(status("/gone"), 200);
    assert_eq!(status("/other"), 200);
    assert_eq!(issuer.fetches("/jwks"), 1);
    assert_alive(&envoy);
}
