//! `jwtctl issuer`, on the real binary, with issuers on this machine.

#![cfg(test)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use common::{Folder, jwtctl, jwtctl_with};
use serde_json::{Value, json};
use testkit::{Algorithm, Answer, Authority, Issuer, SigningKey, jwks};

fn ask(issuer: &str, more: &[&str]) -> (i32, Value) {
    let ran = jwtctl(&[&["issuer", issuer, "--output", "json"], more].concat());
    (ran.code, ran.json())
}

#[test]
fn keys_are_found_and_skipped_as_the_filter_does() {
    let issuer = Issuer::start();
    let name = issuer.url("");
    let name = name.trim_end_matches('/');
    let key = SigningKey::generate(Algorithm::Es256, Some("good"));
    let mut document = jwks(&[&key]);
    let keys = document["keys"].as_array_mut().expect("keys");
    keys.push(json!({"kty": "oct", "kid": "secret", "k": "AAAA"}));
    keys.push(json!({"kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB"}));
    issuer.serve_discovery(name, &issuer.url("/keys"));
    issuer.serve("/keys", Answer::json(&document).cache_control("max-age=3600"));
    let (code, found) = ask(name, &["--audience", "orders-api"]);
    assert_eq!(code, 0, "{found}");
    assert_eq!(found["keys"], json!([{"kid": "good", "algorithms": ["ES256"]}]));
    assert_eq!(found["skipped_count"], 2);
    let skipped = found["skipped"].to_string();
    assert!(
        skipped.contains("secret") && skipped.contains("short"),
        "{skipped}"
    );
    let again = found["asks_again_after_seconds"].as_u64().expect("seconds");
    assert!((2000..=3600).contains(&again), "{again}");
    assert_eq!(
        found["configuration"]["providers"]["issuer"]["discovery"],
        json!({"cluster": "idp"})
    );
    // The filter accepts the configuration in the text output.
    let text = jwtctl(&["issuer", name, "--audience", "orders-api"]).out;
    let (_, config) = text.split_once("# the configuration\n").expect("a configuration");
    let (config, clusters) = config.split_once("\n# clusters of Envoy\n").expect("clusters");
    let checked = jwtctl_with(&["check", "-"], config);
    assert_eq!(checked.code, 0, "{}", checked.out);
    assert!(clusters.contains("name: idp"), "{clusters}");
    // The requests are the filter's.
    let asked = issuer.all_fetches();
    assert!(asked.iter().all(|fetch| {
        fetch
            .header("user-agent")
            .is_some_and(|agent| agent.starts_with("proxy-wasm-jwt/"))
    }));
}

#[test]
fn keys_on_another_host_get_a_cluster_of_their_own() {
    let (issuer, keys) = (Issuer::start(), Issuer::start());
    let name = issuer.url("");
    let name = name.trim_end_matches('/');
    issuer.serve_discovery(name, &keys.url("/keys"));
    keys.serve_jwks("/keys", &[&SigningKey::generate(Algorithm::EdDsa, Some("k"))]);
    let (code, found) = ask(name, &[]);
    assert_eq!(code, 0, "{found}");
    let authority = keys.addr().to_string();
    assert_eq!(
        found["configuration"]["providers"]["issuer"]["discovery"]["clusters"][&authority],
        "idp-keys"
    );
    assert!(found["remarks"].to_string().contains("another host"));
}

#[test]
fn each_fault_of_an_issuer_is_named() {
    let issuer = Issuer::start();
    let name = issuer.url("");
    let name = name.trim_end_matches('/');
    let fault = |more: &[&str]| {
        let (code, found) = ask(name, more);
        assert_eq!(code, 1, "{found}");
        found["fault"].as_str().expect("a fault").to_owned()
    };
    assert!(fault(&[]).contains("404"), "{}", fault(&[]));
    issuer.serve_discovery("https://another.example.com", &issuer.url("/keys"));
    assert!(fault(&[]).contains("https://another.example.com"));
    issuer.serve_discovery(name, &issuer.url("/keys"));
    issuer.serve("/keys", Answer::redirect("/elsewhere"));
    assert!(fault(&[]).contains("redirect"));
    issuer.serve("/keys", Answer::json(&json!({"keys": []})));
    assert!(fault(&[]).contains("key"));
    issuer.serve("/keys", Answer::new("text/html", "<html>"));
    assert!(fault(&[]).contains("an HTML or XML page"), "{}", fault(&[]));
    issuer.serve("/keys", Answer::new("application/json", vec![b' '; 300_000]));
    assert!(fault(&[]).contains("longer"), "{}", fault(&[]));
    let uri = issuer.url("/jwks");
    issuer.serve_jwks("/jwks", &[&SigningKey::generate(Algorithm::EdDsa, None)]);
    let (code, found) = ask(name, &["--jwks-uri", &uri]);
    assert_eq!((code, found["keys"][0]["kid"].is_null()), (0, true), "{found}");
    issuer.stop();
    let nowhere = fault(&[]);
    assert!(!nowhere.is_empty());
    for wrong in ["not a url", "ftp://x", ""] {
        assert_eq!(jwtctl(&["issuer", wrong]).code, 2, "{wrong}");
    }
}

/// A server that writes these bytes for a path, and its address.
fn serve_bytes(answer: impl Fn(&str, &str) -> Vec<u8> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let name = format!("http://{}", listener.local_addr().expect("an address"));
    let (answer, of_server) = (Arc::new(answer), name.clone());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (answer, name) = (answer.clone(), of_server.clone());
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                let read = stream.read(&mut request).unwrap_or_default();
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default();
                let bytes = answer(path, &name);
                let is_silent = bytes.is_empty();
                let _ = stream.write_all(&bytes);
                if is_silent {
                    // The client gives up earlier.
                    let _ = stream.read(&mut [0; 1]);
                }
            });
        }
    });
    name
}

fn reply(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[test]
fn odd_issuers_get_clear_answers() {
    type Reply = fn(&str) -> Vec<u8>;
    fn metadata(name: &str) -> String {
        json!({"issuer": name, "jwks_uri": format!("{name}/keys")}).to_string()
    }
    fn plain(body: &str) -> Vec<u8> {
        reply(200, "", body.as_bytes())
    }
    const NOTHING: &str = "";
    let good: Reply = |name| plain(&metadata(name));
    // Metadata, keys, and what the fault and the advice say.
    let cases: [(&str, Reply, Reply, &str, &str); 18] = [
        (
            "no metadata",
            |_| reply(404, "", b"x"),
            good,
            "status was 404",
            "--jwks-uri",
        ),
        (
            "no keys",
            good,
            |_| reply(404, "", b"x"),
            "JWKS: the answer's status was 404",
            NOTHING,
        ),
        (
            "a page",
            |_| plain("<!doctype html>"),
            good,
            "discovery document",
            "a web page",
        ),
        (
            "a page of keys",
            good,
            |_| plain("<html>"),
            "an HTML or XML page",
            "a web page",
        ),
        (
            "moved",
            |name| reply(302, &format!("location: {name}/new\r\n"), b""),
            good,
            "a redirect (302)",
            "it leads to http://127.0.0.1:",
        ),
        (
            "moved keys",
            good,
            |_| reply(301, "location: /new\r\n", b""),
            "a redirect (301)",
            "it leads to /new; if the keys",
        ),
        (
            "compressed",
            |_| reply(200, "content-encoding: gzip\r\n", b"\x1f\x8b\x08"),
            good,
            "compressed (`gzip`)",
            "does not decompress",
        ),
        (
            "huge",
            good,
            |_| reply(200, "", &vec![b' '; 2_000_000]),
            "longer than key_cache",
            "check the URL",
        ),
        (
            "huge metadata",
            |_| reply(200, "", &vec![b' '; 2_000_000]),
            good,
            "longer than key_cache",
            "check the URL",
        ),
        (
            "another issuer",
            |name| plain(&metadata(name).replacen(name, "https://else.example", 1)),
            good,
            "`https://else.example`, which is not exactly",
            "`jwtctl issuer https://else.example`",
        ),
        (
            "a slash more",
            |name| plain(&metadata(name).replacen(name, &format!("{name}/"), 1)),
            good,
            "which is not exactly",
            "/`; if they have http://127.0.0.1:",
        ),
        (
            "no issuer",
            |_| plain("{\"jwks_uri\": \"https://a.example\"}"),
            good,
            "it has no issuer",
            NOTHING,
        ),
        (
            "no URL of keys",
            |name| plain(&json!({"issuer": name}).to_string()),
            good,
            "it has no jwks_uri",
            NOTHING,
        ),
        (
            "empty",
            good,
            |_| plain("{\"keys\": []}"),
            "the key set has no keys",
            NOTHING,
        ),
        (
            "a shared secret",
            good,
            |_| plain("{\"keys\": [{\"kty\": \"oct\", \"k\": \"AAAA\"}]}"),
            "a shared secret",
            NOTHING,
        ),
        (
            "a login",
            |_| reply(401, "", b""),
            good,
            "status was 401",
            "credential_injector",
        ),
        (
            "busy",
            good,
            |_| reply(429, "retry-after: 60\r\n", b""),
            "status was 429",
            "asks again later",
        ),
        (
            "cut off",
            good,
            |_| b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}".to_vec(),
            "JWKS: io: ",
            NOTHING,
        ),
    ];
    for (what, of_metadata, of_keys, fault, advice) in cases {
        let name = serve_bytes(move |path, name| match path.contains("well-known") {
            true => of_metadata(name),
            false => of_keys(name),
        });
        let (code, found) = ask(&name, &[]);
        assert_eq!(code, 1, "{what}: {found}");
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        assert!(text("fault").contains(fault), "{what}: {found}");
        assert!(text("advice").contains(advice), "{what}: {found}");
        assert_eq!(text("advice").is_empty(), advice.is_empty(), "{what}: {found}");
        let for_people = jwtctl(&["issuer", &name]).out;
        assert!(
            for_people.contains(fault) && for_people.contains(advice),
            "{what}: {for_people}"
        );
    }
    // One that never answers: the filter's own timeout, 5 s.
    let name = serve_bytes(|_, _| Vec::new());
    let (code, found) = ask(&name, &[]);
    assert_eq!(code, 1);
    assert!(
        found["fault"]
            .to_string()
            .contains("no answer came within the timeout"),
        "{found}"
    );
    assert!(
        found["advice"].to_string().contains("the server is slow"),
        "{found}"
    );
    let ran = jwtctl(&["issuer", "accounts.example.com"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("name the URL of the keys with --jwks-uri"),
        "{}",
        ran.err
    );
}

/// An issuer with TLS, for this many connections.
fn serve_tls(authority: &Authority, connections: usize) -> u16 {
    let certificate = authority.issue_for(&["localhost".to_owned()]);
    let read = |path: &std::path::Path| std::fs::read(path).expect("a file");
    let chain: Vec<_> = ureq::tls::parse_pem(&read(certificate.chain_path()))
        .filter_map(|item| match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(
                rustls::pki_types::CertificateDer::from(certificate.der().to_vec()),
            ),
            _ => None,
        })
        .collect();
    let key = ureq::tls::PrivateKey::from_pem(&read(certificate.key_path())).expect("a key");
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.der().to_vec()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let document = jwks(&[&SigningKey::generate(Algorithm::EdDsa, Some("tls"))]).to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(connections).flatten() {
            let connection = rustls::ServerConnection::new(config.clone()).expect("a connection");
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let mut request = [0; 4096];
            if stream.read(&mut request).is_ok() {
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    document.len()
                );
                let _ = stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(document.as_bytes()));
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    port
}

#[test]
fn certificates_are_checked() {
    let folder = Folder::new("issuer-tls");
    let authority = Authority::generate();
    let port = serve_tls(&authority, 4);
    let authorities = folder.write(
        "ca.pem",
        &std::fs::read_to_string(authority.pem_path()).expect("a file"),
    );
    let uri = format!("https://localhost:{port}/jwks");
    let (code, found) = ask("https://localhost", &["--jwks-uri", &uri, "--ca", &authorities]);
    assert_eq!((code, &found["keys"][0]["kid"]), (0, &json!("tls")), "{found}");
    // No other certificate is accepted, and not for another name.
    let (code, found) = ask("https://localhost", &["--jwks-uri", &uri]);
    assert_eq!(code, 1, "{found}");
    assert!(found["fault"].to_string().contains("certificate"), "{found}");
    assert!(found["advice"].to_string().contains("--ca"), "{found}");
    let by_number = format!("https://127.0.0.1:{port}/jwks");
    let (code, found) = ask(
        "https://localhost",
        &["--jwks-uri", &by_number, "--ca", &authorities],
    );
    assert_eq!(code, 1, "{found}");
    let advice = found["advice"].to_string();
    assert!(
        advice.contains("use a host that is in the certificate"),
        "{found}"
    );
    // The cluster of Envoy trusts the same authorities.
    let ran = jwtctl(&[
        "issuer",
        "https://localhost",
        "--jwks-uri",
        &uri,
        "--ca",
        &authorities,
    ]);
    let trusted = format!("trusted_ca: {{filename: \"{authorities}\"}}");
    assert!(ran.out.contains(&trusted), "{}", ran.out);
    // Without a fetch there is nothing to check with them.
    let config = folder.write("jwt.yaml", "providers: {a: {issuer: x}}");
    let ran = jwtctl(&["explain", &config, "/", "--ca", &authorities]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("--fetch"), "{}", ran.err);
}
