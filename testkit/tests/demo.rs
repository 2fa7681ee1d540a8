//! The demo as `make` calls it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use testkit::{Client, Request};

fn demo(key_dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command
        .env("DEMO_KEY_DIR", key_dir)
        .args(args)
        .output()
        .expect("the demo runs")
}

fn token(key_dir: &Path, args: &[&str]) -> (Value, Value) {
    let output = demo(key_dir, &[&["token"], args].concat());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("text");
    let token = text.strip_suffix('\n').expect("a line");
    let parts: Vec<_> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "one token and nothing else");
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url");
    let json = |part| serde_json::from_slice(&decode(part)).expect("JSON");
    (json(parts[0]), json(parts[1]))
}

#[test]
fn tokens_are_signed_with_one_key_that_only_its_owner_may_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = dir.path().join("new/keys");
    let (header, claims) = token(&keys, &[]);
    assert_eq!(
        (&claims["sub"], &claims["aud"]),
        (&"alice".into(), &"orders-api".into())
    );
    let (again, claims) = token(
        &keys,
        &[
            "--sub",
            "bob",
            "--expires-in",
            "-5",
            "--claim",
            "roles=[1]",
            "--scope",
            "a b",
        ],
    );
    assert_eq!(again["kid"], header["kid"]);
    assert_eq!((&claims["sub"], &claims["scope"]), (&"bob".into(), &"a b".into()));
    assert_eq!(claims["roles"], serde_json::json!([1]));
    assert!(claims["exp"].as_i64() < claims["iat"].as_i64());
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&keys), mode(&keys.join("signing-key.pem"))), (0o700, 0o600));
    assert_eq!(
        fs::read_dir(&keys).expect("a directory").count(),
        1,
        "nothing is left beside the key"
    );
}

/// The demo left running with a configuration; killed when it is dropped.
struct Run {
    child: Child,
    lines: Vec<String>,
    /// Envoy writes its access log there. If the pipe were closed, SIGPIPE would end Envoy.
    _output: BufReader<ChildStdout>,
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Run {
    fn start(key_dir: &Path, config: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_demo"))
            .env("DEMO_KEY_DIR", key_dir)
            .args(["run", "--port", "0", "--config"])
            .arg(config)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the demo runs");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut lines = Vec::new();
        while let Some(line) = output.by_ref().lines().next() {
            let line = line.expect("text");
            let is_last = line.contains("Ctrl-C");
            lines.push(line);
            if is_last {
                return Self {
                    child,
                    lines,
                    _output: output,
                };
            }
        }
        let mut errors = String::new();
        let mut stderr = child.stderr.take().expect("piped");
        stderr.read_to_string(&mut errors).expect("text");
        let _ = child.wait();
        panic!("the demo ended: {lines:?}\n{errors}");
    }

    fn client(&self, listener: &str) -> Client {
        let start = format!("Envoy's listener {listener} on http://");
        let address = self.lines.iter().find_map(|line| line.strip_prefix(&start));
        Client::new(
            address
                .expect("a listener")
                .parse::<SocketAddr>()
                .expect("an address"),
        )
    }
}

/// A token of this provider of the configuration.
fn token_for(key_dir: &Path, config: &Path, provider: &str) -> String {
    let config = config.to_str().expect("a path");
    let output = demo(key_dir, &["token", "--config", config, "--provider", provider]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .expect("text")
        .trim_end()
        .to_owned()
}

const OF_THE_FILTER_ALONE: &str = r#"
providers:
  blue.corp:
    issuer: https://blue.example/realms/x
    audiences: [a, b]
    discovery: {cluster: blue-keys}
    claim_to_headers: [{claim_name: sub, header_name: x-who}]
  "red corp":
    issuer: "https://red.example/{tenant}/v2"
    issuer_claims: {tenant: tid}
    audiences: ["*"]
    algorithms: [ES512]
    required_claims: [sub, department]
    remoteJwks: {httpUri: {uri: "https://red.example:8443/keys?x=1", cluster: red, timeout: 5s}}
  local:
    issuer: https://local.example
    audiences: ["*"]
    from_headers: [{name: x-local}]
    local_jwks: {inline_string: '{"keys":[{"kty":"OKP","crv":"Ed25519","x":"mXlAcwJGe599Calg3ytCDlPNFg0U03vfo5Ifvc1xoks"}]}'}
rules:
- match: {prefix: /}
  requires: {requires_any: {requirements: [{provider_name: blue.corp}, {provider_name: "red corp"}]}}
"#;

#[test]
fn a_configuration_of_the_filter_alone_runs_whatever_its_providers_are_called() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("filter.yaml");
    fs::write(&config, OF_THE_FILTER_ALONE).expect("written");
    let run = Run::start(dir.path(), &config);
    let client = run.client("main");
    assert_eq!(client.get("/").status, 401);
    for provider in ["blue.corp", "red corp"] {
        let token = token_for(dir.path(), &config, provider);
        let response = client.request(Request::get("/x").bearer(&token));
        assert_eq!(response.status, 200, "{provider}: {}", response.text());
        if provider == "blue.corp" {
            assert_eq!(response.echo().header("x-who"), Some("alice"));
        }
    }
    let none = demo(
        dir.path(),
        &[
            "token",
            "--config",
            config.to_str().expect("a path"),
            "--provider",
            "local",
        ],
    );
    assert!(!none.status.success());
    assert!(String::from_utf8_lossy(&none.stderr).contains("no provider local that fetches its keys"));
}

const BEHIND_BACKENDS: &str = r#"
providers:
  blue:
    issuer: https://blue.example
    audiences: a
    discovery: {cluster: {backend: blue-idp}, clusters: {keys.example: {backend: blue-keys}}}
  red:
    issuer: [https://red.example, red.example]
    audiences: ["*"]
    max_lifetime: 2m
    remote_jwks: {http_uri: {uri: "https://red.example/keys", cluster: {backend: red.idp}, timeout: 5s}}
"#;

#[test]
fn the_keys_behind_an_extension_backend_are_there_without_envoy_gateway() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("filter.yaml");
    fs::write(&config, BEHIND_BACKENDS).expect("written");
    let run = Run::start(dir.path(), &config);
    let client = run.client("main");
    for provider in ["blue", "red"] {
        let token = token_for(dir.path(), &config, provider);
        let response = client.request(Request::get("/x").bearer(&token));
        assert_eq!(response.status, 200, "{provider}: {}", response.text());
    }
}

#[test]
fn a_backend_that_a_route_of_the_configuration_names_leads_to_its_cluster() {
    let dir = tempfile::tempdir().expect("a directory");
    let shipped =
        fs::read_to_string(testkit::workspace_root().join("envoy/issuers/logto.yaml")).expect("a file");
    let text = shipped
        .replace("cluster: logto\n", "cluster: {backend: idp}\n")
        .replace(
            "discovery: {cluster: logto",
            "discovery: {cluster: {backend: idp}",
        );
    let routed = text.replacen(
        "- match: {prefix: /}\n",
        "- match: {prefix: /}\n                metadata: {filter_metadata: \
         {gateway.envoyproxy.io/extension-backends: {idp: logto}}}\n",
        1,
    );
    assert!(text != shipped && routed.contains("{idp: logto}"), "{routed}");
    let config = dir.path().join("envoy.yaml");
    fs::write(&config, routed).expect("written");
    let run = Run::start(dir.path(), &config);
    let token = token_for(dir.path(), &config, "logto");
    let response = run.client("main").request(Request::get("/api").bearer(&token));
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(
        !run.lines.iter().any(|line| line.contains("it is added")),
        "{:?}",
        run.lines
    );
}

const WITH_CONDITIONS: &str = r#"
providers:
  corp:
    issuer: https://corp.example
    audiences: [api, other]
    discovery: {cluster: corp}
    subjects: {prefix: "service:"}
    required_claims: [org]
    max_lifetime: {seconds: 300}
    authorize:
      scopes: {all: [api.read], claim_names: [permissions]}
      claims:
      - {claim_name: azp, any_of: [web, app]}
      - {claim_name: token_use, equals: access}
      - {claim_name: email_verified, equals: true}
      - {claim_name: nonce, exists: false}
      - {claim_name: tier, equals: trial, invert: true}
rules:
- match: {prefix: /admin}
  requires: {provider_and_audiences: {provider_name: corp, audiences: [admin]}}
  authorize:
    scopes: {any: [orders:write, orders:admin]}
    claims:
    - {claim_path: [{key: realm}, {key: "roles.all"}], all_of: [a, b]}
    - {any: [{claim_name: level, regex: "[5-9]"}, {claim_name: group, suffix: -ops}]}
    - {claim_name: phone, contains: "+49"}
- match: {prefix: /tenants/}
  requires: {provider_name: corp}
  authorize: {claims: [{claim_name: tenant, equals_request: {path_template: "/tenants/{t}", variable: t}}]}
- match: {prefix: /}
  requires: {provider_name: corp}
"#;

#[test]
fn a_token_meets_the_conditions_of_the_configuration_or_says_which_it_may_fail() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("filter.yaml");
    fs::write(&config, WITH_CONDITIONS).expect("written");
    let run = Run::start(dir.path(), &config);
    let client = run.client("main");
    let token = token_for(dir.path(), &config, "corp");
    for path in ["/", "/admin"] {
        let response = client.request(Request::get(path).bearer(&token));
        assert_eq!(response.status, 200, "{path}: {}", response.text());
    }
    let path = config.to_str().expect("a path");
    let output = demo(dir.path(), &["token", "--config", path, "--claim", "tenant=blue"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("rules[1].authorize.claims[0]: the token may fail"),
        "{errors}"
    );
    assert_eq!(errors.lines().count(), 1, "{errors}");
    let token = String::from_utf8_lossy(&output.stdout);
    let response = client.request(Request::get("/tenants/blue").bearer(token.trim_end()));
    assert_eq!(response.status, 200, "{}", response.text());
}

#[test]
fn a_configuration_of_envoy_runs_with_its_own_names_of_everything() {
    let dir = tempfile::tempdir().expect("a directory");
    let shipped =
        fs::read_to_string(testkit::workspace_root().join("envoy/issuers/logto.yaml")).expect("a file");
    // Other names, a certificate of the listener's own that is not here, and the filter under another name.
    let text = shipped
        .replace("- name: main\n", "- name: edge\n")
        .replace("cluster: logto", "cluster: the-idp")
        .replace("cluster_name: logto", "cluster_name: the-idp")
        .replace("- name: logto", "- name: the-idp")
        .replace("logto:\n", "whoever:\n")
        .replace("- name: envoy.filters.http.wasm", "- name: our.jwt")
        .replace("my-tenant.logto.app", "login.corp.example")
        .replace(
            "    filter_chains:\n    - filters:\n",
            "    filter_chains:\n    - transport_socket:\n        name: envoy.transport_sockets.tls\n        typed_config:\n          \
             \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext\n          \
             common_tls_context: {tls_certificates: [{certificate_chain: {filename: /nowhere.pem}}]}\n      filters:\n",
        );
    assert!(
        text.contains("whoever:") && text.contains("/nowhere.pem"),
        "{text}"
    );
    let config = dir.path().join("envoy.yaml");
    fs::write(&config, text).expect("written");
    let run = Run::start(dir.path(), &config);
    let client = run.client("edge");
    assert_eq!(client.get("/api").status, 401);
    let token = token_for(dir.path(), &config, "whoever");
    let response = client.request(Request::get("/api").bearer(&token));
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(
        run.lines.iter().any(|line| line.contains("plain HTTP")),
        "{:?}",
        run.lines
    );
}

#[test]
fn a_file_that_cannot_run_says_why() {
    let dir = tempfile::tempdir().expect("a directory");
    for (text, why) in [
        (
            "a: 1",
            "neither `static_resources`, as Envoy's configuration, nor `providers`",
        ),
        (
            "static_resources: {listeners: [], clusters: []}",
            "no Wasm filter in it has `providers`",
        ),
        (
            "providers: {p: {issuer: https://a.example, audiences: [a], algorithms: [HS256], discovery: {cluster: c}}}",
            "providers.p.algorithms: the stand-in signs with none of",
        ),
        (
            "providers: {p: {issuer: https://a.example, audience: [a], discovery: {cluster: c}}}",
            "unknown field `audience`; did you mean `audiences`?",
        ),
    ] {
        let config = dir.path().join("faulty.yaml");
        fs::write(&config, text).expect("written");
        let output = demo(
            dir.path(),
            &["run", "--port", "0", "--config", config.to_str().expect("a path")],
        );
        assert!(!output.status.success(), "{text}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains(why), "{text}: {errors}");
    }
}

#[test]
fn the_walk_goes_as_expected_and_shows_no_token() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = demo(dir.path(), &["walk"]);
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{text}{errors}");
    let last = text.lines().last().expect("a summary");
    assert!(
        last.contains("steps, ") && last.ends_with(" as expected"),
        "{last}"
    );
    assert!(!text.contains("eyJ"), "a token, or a part of one, was shown");
    assert!(!text.contains('\x1b'), "colours where nobody looks");
}
