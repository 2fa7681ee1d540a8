//! RFC 8705 with real certificates: a second Envoy is the client that shows them.

use serde_json::json;
use testkit::{
    Authority, Bootstrap, Certificate, EnvoyProcess, Listener, Request, Upstream, static_cluster, wasm_filter,
};

use super::assert_alive;
use scenarios::{config, local_provider, token, with};

#[test]
fn a_token_is_good_only_with_its_own_client_certificate() {
    let authority = Authority::generate();
    let server = authority.issue("server");
    let clients = [authority.issue("alice"), authority.issue("mallory")];
    let upstream = Upstream::start();
    let mut bootstrap = Bootstrap::new().cluster("upstream", upstream.addr());
    for (name, mtls) in [("optional", "if_present"), ("strict", "required")] {
        let provider = with(local_provider(), json!({"binding": {"mtls": mtls}}));
        let mut listener = Listener::new(name).filter(wasm_filter(config(provider))).build();
        listener["filter_chains"][0]["transport_socket"] = authority.downstream(&server);
        bootstrap = bootstrap.listener_value(listener);
    }
    let envoy = EnvoyProcess::start(&bootstrap.build());

    // Each client's requests use connections with its certificate; `nobody` has none.
    let outside = outside(
        &authority,
        &[
            ("alice", clients.first()),
            ("mallory", clients.last()),
            ("nobody", None),
        ],
        &envoy,
        &["optional", "strict"],
    );

    let bound = token()
        .claim("cnf", json!({"x5t#S256": clients[0].thumbprint()}))
        .mint();
    let plain = token().mint();
    let outcome = |client: &str, listener: &str, token: &str| {
        let request = Request::get("/").bearer(token);
        let response = outside.client(&format!("{client} {listener}")).request(request);
        (response.status, response.reason().unwrap_or_default())
    };
    let good = (200, String::new());
    let mismatch = (401, "binding_mismatch".to_owned());
    for listener in ["optional", "strict"] {
        assert_eq!(outcome("alice", listener, &bound), good);
        assert_eq!(outcome("mallory", listener, &bound), mismatch);
        assert_eq!(outcome("nobody", listener, &bound), mismatch);
    }
    for client in ["alice", "mallory", "nobody"] {
        assert_eq!(outcome(client, "optional", &plain), good);
        assert_eq!(outcome(client, "strict", &plain), mismatch);
    }
    assert_alive(&envoy);
}

/// An Envoy with a listener `<client> <listener>` for each pair. It acts for the clients, and forwards their
/// headers unchanged.
fn outside(
    authority: &Authority,
    clients: &[(&str, Option<&Certificate>)],
    envoy: &EnvoyProcess,
    listeners: &[&str],
) -> EnvoyProcess {
    let mut bootstrap = Bootstrap::new();
    for (client, certificate) in clients {
        for listener in listeners {
            let name = format!("{client} {listener}");
            let mut cluster = static_cluster(&name, envoy.addr(listener));
            cluster["transport_socket"] = authority.upstream(*certificate);
            bootstrap = bootstrap.cluster_value(cluster).listener(
                Listener::new(&name)
                    .route(testkit::route("/", &name))
                    .manager("forward_client_cert_details", "ALWAYS_FORWARD_ONLY"),
            );
        }
    }
    EnvoyProcess::start(&bootstrap.build())
}

#[test]
fn a_sidecar_knows_the_clients_of_its_gateway() {
    let authority = Authority::generate();
    let [server, gateway, alice, mallory] =
        ["server", "gateway", "alice", "mallory"].map(|name| authority.issue(name));
    let upstream = Upstream::start();
    let behind_tls = |listener: Listener| {
        let mut listener = listener.build();
        listener["filter_chains"][0]["transport_socket"] = authority.downstream(&server);
        listener
    };
    // With a quoted subject in it, and not only hexadecimal digits.
    let forwards = |listener: Listener, how: &str| {
        listener
            .manager("forward_client_cert_details", how)
            .manager("set_current_client_cert_details", json!({"subject": true}))
    };

    let provider = with(
        local_provider(),
        json!({"binding": {"mtls": "required", "trust_xfcc": {"trusted_hops": 1}}}),
    );
    let sidecar = Listener::new("sidecar").filter(wasm_filter(config(provider)));
    let sidecar = EnvoyProcess::start(
        &Bootstrap::new()
            .cluster("upstream", upstream.addr())
            .listener_value(behind_tls(forwards(sidecar, "APPEND_FORWARD")))
            .build(),
    );

    let mut to_sidecar = static_cluster("sidecar", sidecar.addr("sidecar"));
    to_sidecar["transport_socket"] = authority.upstream(Some(&gateway));
    let mut bootstrap = Bootstrap::new().cluster_value(to_sidecar);
    // The second belongs to a fleet whose gateway only appends an element. The filter does not trust the
    // client's earlier elements there either.
    for (name, how) in [("replacing", "SANITIZE_SET"), ("appending", "APPEND_FORWARD")] {
        let listener = Listener::new(name).route(testkit::route("/", "sidecar"));
        bootstrap = bootstrap.listener_value(behind_tls(forwards(listener, how)));
    }
    let gateways = EnvoyProcess::start(&bootstrap.build());
    let clients = [
        ("alice", Some(&alice)),
        ("mallory", Some(&mallory)),
        ("nobody", None),
    ];
    let outside_gateways = outside(&authority, &clients, &gateways, &["replacing", "appending"]);
    let inside = outside(&authority, &clients, &sidecar, &["sidecar"]);

    let bound = token()
        .claim("cnf", json!({"x5t#S256": alice.thumbprint()}))
        .mint();
    let outcome = |envoy: &EnvoyProcess, listener: &str, words: Option<&str>| {
        let mut request = Request::get("/").bearer(&bound);
        if let Some(words) = words {
            request = request.header("x-forwarded-client-cert", words);
        }
        let response = envoy.client(listener).request(request);
        (response.status, response.reason().unwrap_or_default())
    };
    let good = (200, String::new());
    let mismatch = (401, "binding_mismatch".to_owned());
    let hash = format!("Hash={}", alice.fingerprint());
    for gateway in ["replacing", "appending"] {
        let through = |client: &str, words: Option<&str>| {
            outcome(&outside_gateways, &format!("{client} {gateway}"), words)
        };
        assert_eq!(through("alice", None), good);
        assert_eq!(through("nobody", None), mismatch);
        for words in [
            hash.clone(),
            format!("{hash},{hash}"),
            format!("{hash};Subject=\""),
        ] {
            assert_eq!(through("alice", Some(&words)), good, "{gateway}: {words}");
            assert_eq!(through("mallory", Some(&words)), mismatch, "{gateway}: {words}");
            assert_eq!(through("nobody", Some(&words)), mismatch, "{gateway}: {words}");
        }
    }
    // Without the gateway, there is one element too few, or the client's own text in its place: the sidecar
    // must be unreachable.
    assert_eq!(outcome(&inside, "alice sidecar", None), mismatch);
    assert_eq!(outcome(&inside, "nobody sidecar", Some(&hash)), mismatch);
    assert_alive(&sidecar);
}
