//! RFC 8705 with real certificates: a second Envoy is the client that shows them.

use serde_json::json;
use testkit::{Authority, Bootstrap, EnvoyProcess, Listener, Request, Upstream, static_cluster, wasm_filter};

use super::assert_alive;
use crate::scenarios::{config, local_provider, token, with};

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

    // What each of the clients sends goes out over connections that show its certificate; `nobody` has none.
    let mut bootstrap = Bootstrap::new();
    for (client, certificate) in [
        ("alice", clients.first()),
        ("mallory", clients.last()),
        ("nobody", None),
    ] {
        for listener in ["optional", "strict"] {
            let name = format!("{client} {listener}");
            let mut cluster = static_cluster(&name, envoy.addr(listener));
            cluster["transport_socket"] = authority.upstream(certificate);
            bootstrap = bootstrap
                .cluster_value(cluster)
                .listener(Listener::new(&name).route(testkit::route("/", &name)));
        }
    }
    let outside = EnvoyProcess::start(&bootstrap.build());

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
