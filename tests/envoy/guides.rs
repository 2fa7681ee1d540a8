//! `envoy/issuers/`: each file as shipped, with TLS to a simulated issuer, behind a CORS filter.

use serde_json::Value;
use testkit::{
    Client, EnvoyProcess, Request, Response, SigningKey, StandIns, Upstream, tamper_signature, workspace_root,
};

use super::assert_alive;

const PAGE: &str = "https://app.example.com";

struct Guide {
    stand_ins: StandIns,
    upstream: Upstream,
    envoy: EnvoyProcess,
    client: Client,
    key: SigningKey,
}

impl Guide {
    /// Starts the file, with the bootstrap edited.
    fn start(file: &str, edit: impl FnOnce(&mut Value)) -> Self {
        let upstream = Upstream::start();
        let path = workspace_root().join(format!("envoy/issuers/{file}.yaml"));
        let mut key = None;
        let stand_ins = StandIns::start(&path, upstream.addr(), 0, |algorithm| {
            let made = SigningKey::generate(algorithm, Some("guide-1"));
            key = Some(made.clone());
            Ok(made)
        })
        .unwrap_or_else(|error| panic!("{error}"));
        let mut bootstrap = stand_ins.bootstrap().clone();
        edit(&mut bootstrap);
        let envoy = EnvoyProcess::start(&bootstrap);
        let client = envoy.client("main");
        Self {
            stand_ins,
            upstream,
            envoy,
            client,
            key: key.expect("an issuer that signs"),
        }
    }

    /// A token as the issuer publishes it.
    fn token(&self) -> String {
        self.stand_ins.providers()[0].token(&self.key).mint()
    }
}

fn from_page(request: Request) -> Request {
    request.header("origin", PAGE)
}

fn preflight(origin: &str) -> Request {
    Request::new("OPTIONS", "/protected")
        .header("origin", origin)
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization")
}

fn allows_page(response: &Response) -> bool {
    response.header("access-control-allow-origin").as_deref() == Some(PAGE)
}

#[test]
fn every_issuers_file_does_its_guides_job_with_tls_and_cors() {
    for (file, owned) in [
        ("authgear", "x-jwt-payload"),
        ("authress", "x-jwt-scope"),
        ("authress-tenants", "x-jwt-aud"),
        ("logto", "x-jwt-scope"),
        ("authaction", "x-jwt-payload"),
    ] {
        let guide = Guide::start(file, |_| {});
        let client = &guide.client;
        let token = guide.token();

        let answer = client.request(preflight(PAGE));
        assert_eq!((answer.status, allows_page(&answer)), (200, true), "{file}");
        let allowed = answer.header("access-control-allow-headers").unwrap_or_default();
        assert!(allowed.contains("authorization"), "{file}: {allowed}");
        assert_eq!(
            guide.upstream.count(),
            0,
            "{file}: Envoy itself answers the preflight"
        );

        let missing = client.request(from_page(Request::get("/protected")));
        assert_eq!(missing.reason().as_deref(), Some("token_missing"), "{file}");
        assert!(allows_page(&missing), "{file}: the page cannot read the refusal");
        assert!(missing.header("www-authenticate").is_some(), "{file}");
        assert_eq!(
            missing.header("access-control-expose-headers").as_deref(),
            Some("www-authenticate"),
            "{file}"
        );

        let good = client.request(from_page(Request::get("/protected").bearer(&token)));
        assert_eq!(good.status, 200, "{file}: {}\n{}", good.text(), guide.envoy.log());
        assert!(allows_page(&good), "{file}");
        let seen = guide.upstream.last().expect("a request");
        assert!(seen.header("x-jwt-sub").is_some(), "{file}: {seen:?}");
        assert!(seen.header(owned).is_some(), "{file}: {seen:?}");

        let bad = client.request(Request::get("/protected").bearer(&tamper_signature(&token)));
        assert_eq!(bad.reason().as_deref(), Some("signature_invalid"), "{file}");
        let health = client.request(Request::get("/healthz").header("x-jwt-sub", "forged"));
        assert_eq!(health.status, 200, "{file}");
        assert_eq!(health.echo().header("x-jwt-sub"), None, "{file}");
        // It might be an owned header to an application that reads `_` as `-`.
        let underscores = client.try_request(Request::get("/healthz").header("x_jwt_sub", "forged"));
        assert_eq!(underscores.map(|response| response.status), Ok(400), "{file}");

        let elsewhere = client.request(preflight("https://evil.example"));
        assert_eq!(elsewhere.header("access-control-allow-origin"), None, "{file}");
        let connections = guide.envoy.stats(r"cluster\..*\.ssl\.handshake");
        assert!(
            connections.values().any(|count| *count > 0),
            "{file}: no TLS: {connections:?}"
        );
        assert_alive(&guide.envoy);
    }
}

#[test]
fn another_servers_certificate_gives_no_keys() {
    let guide = Guide::start("logto", |bootstrap| {
        let clusters = bootstrap["static_resources"]["clusters"]
            .as_array_mut()
            .expect("clusters");
        let logto = clusters
            .iter_mut()
            .find(|cluster| cluster["name"] == "logto")
            .expect("logto");
        let validation =
            &mut logto["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"];
        let name = validation
            .pointer_mut("/match_typed_subject_alt_names/0/matcher/exact")
            .expect("the issuer's name is checked");
        assert_eq!(*name, "my-tenant.logto.app");
        *name = "another-tenant.logto.app".into();
    });
    let refused = guide
        .client
        .request(Request::get("/protected").bearer(&guide.token()));
    assert_eq!(refused.reason().as_deref(), Some("keys_unavailable"));
    assert!(guide.envoy.stat("cluster.logto.ssl.fail_verify_san") > 0);
}

#[test]
fn a_browser_of_authress_sends_its_token_twice() {
    let guide = Guide::start("authress", |_| {});
    let token = guide.token();
    let both = Request::get("/api")
        .bearer(&token)
        .header("cookie", format!("authorization={token}"));
    let good = guide.client.request(from_page(both));
    assert_eq!(good.status, 200, "{}", good.text());
    assert_eq!(
        good.header("access-control-allow-credentials").as_deref(),
        Some("true"),
        "a page may not send its cookies"
    );
    assert_eq!(
        good.echo().header("cookie"),
        Some(format!("authorization={token}").as_str())
    );
}
