//! Secrets that Envoy gets for the module: generic secrets of its bootstrap, and by SDS.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proxy_wasm_jwt::binding::nonce::NonceSecret;
use proxy_wasm_jwt::time::UnixTime;
use serde_json::{Value, json};
use testkit::{Bootstrap, Client, EnvoyOptions, EnvoyProcess, Listener, Request, Upstream, wasm_filter};

use super::{assert_alive, replaceable};
use scenarios::{self, dpop, local_provider, world};

const FIRST: &str = "the first secret of the whole fleet, at random";
const SECOND: &str = "the second secret of the whole fleet, at random";

fn filter(secret: &Value) -> Value {
    wasm_filter(scenarios::config(scenarios::with(
        local_provider(),
        json!({"binding": {"dpop": {"required": true, "nonce": {"secret": secret}}}}),
    )))
}

/// An Envoy with this filter, and with these secrets of its own.
pub(crate) fn start(
    secret: &Value,
    secrets: &Value,
    options: &EnvoyOptions,
) -> Result<(EnvoyProcess, Upstream), String> {
    let upstream = Upstream::start();
    let mut bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .listener(Listener::new("jwt").filter(filter(secret)))
        .build();
    bootstrap["static_resources"]["secrets"] = secrets.clone();
    Ok((EnvoyProcess::try_start(&bootstrap, options)?, upstream))
}

/// A request with a proof that has a nonce of this secret, for the first time.
fn request(secret: &str) -> Request {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let client = dpop::Client::new(&world().es256);
    let now = UnixTime::from_secs(testkit::unix_now().unsigned_abs());
    let nonce = NonceSecret::derive(secret.as_bytes()).issue(now);
    let proof = client.proof(&format!("secret {number}"), json!({"nonce": nonce}));
    client.request(&proof.mint())
}

/// The reason for which the filter refuses such a request; `None` if it forwards it.
fn refusal(envoy: &EnvoyProcess, secret: &str) -> Option<String> {
    // Each request has its own connection, so that every worker gets some.
    let response = Client::new(envoy.client("jwt").addr()).request(request(secret));
    match response.status {
        200 => None,
        _ => Some(response.reason().expect("the filter's own reply")),
    }
}

/// A file for SDS with this secret, put into place in one step, as Envoy requires.
fn write(file: &Path, secret: &str) {
    let resource = json!({"resources": [{
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "nonces",
        "generic_secret": {"secret": {"inline_string": secret}},
    }]});
    let new = file.with_extension("new");
    fs::write(&new, resource.to_string()).unwrap();
    fs::rename(&new, file).unwrap();
}

/// A folder of its own, because Envoy watches a whole folder.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn by_sds(file: &Path) -> Value {
    json!({"name": "nonces", "sds_config": {"path_config_source": {"path": file}, "resource_api_version": "V3"}})
}

#[test]
fn a_secret_of_sds_is_there_with_the_first_request_and_may_be_replaced() {
    let folder = folder("sds");
    let file = folder.join("nonces.json");
    write(&file, FIRST);
    let (envoy, _upstream) =
        start(&by_sds(&file), &json!([]), &replaceable(EnvoyOptions::workers(4))).unwrap();
    for _ in 0..12 {
        assert_eq!(refusal(&envoy, FIRST), None, "{}", envoy.log());
    }
    assert_eq!(refusal(&envoy, SECOND).as_deref(), Some("proof_nonce"));
    // A secret that is too short is not used, and the last one stays.
    write(&file, "short");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !envoy.log().contains("must hold at least 32 bytes") {
        assert!(Instant::now() < deadline, "{}", envoy.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(refusal(&envoy, FIRST), None, "{}", envoy.log());
    write(&file, SECOND);
    while refusal(&envoy, SECOND).is_some() {
        assert!(Instant::now() < deadline, "{}", envoy.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    // All workers take it at the same time, and the nonces of the last one are no longer valid.
    for _ in 0..12 {
        assert_eq!(refusal(&envoy, SECOND), None, "{}", envoy.log());
        assert_eq!(refusal(&envoy, FIRST).as_deref(), Some("proof_nonce"));
    }
    // A new configuration has the secret at once.
    envoy
        .reload_listeners(&[Listener::new("jwt")
            .filter(filter(&by_sds(&file)))
            .manager("server_name", "second")
            .build()])
        .unwrap();
    for _ in 0..12 {
        assert_eq!(refusal(&envoy, SECOND), None, "{}", envoy.log());
    }
    let log = envoy.log();
    assert!(!log.contains(FIRST) && !log.contains(SECOND), "{log}");
    assert_alive(&envoy);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_secret_of_the_bootstrap_needs_no_source() {
    let secrets = json!([{"name": "nonces", "generic_secret": {"secret": {"inline_string": FIRST}}}]);
    let (envoy, _upstream) = start(&json!({"name": "nonces"}), &secrets, &EnvoyOptions::workers(2)).unwrap();
    for _ in 0..8 {
        assert_eq!(refusal(&envoy, FIRST), None, "{}", envoy.log());
    }
    assert_eq!(refusal(&envoy, SECOND).as_deref(), Some("proof_nonce"));
    let config = envoy.admin("/config_dump");
    assert!(!config.contains(FIRST), "the admin interface shows the secret");
    assert_alive(&envoy);
}

#[test]
fn without_its_secret_a_request_is_refused_and_no_other_secret_is_used() {
    let folder = folder("sds-late");
    let file = folder.join("nonces.json");
    write(&file, "short");
    let (envoy, _upstream) = start(&by_sds(&file), &json!([]), &EnvoyOptions::workers(2)).unwrap();
    for _ in 0..4 {
        assert_eq!(refusal(&envoy, FIRST).as_deref(), Some("keys_unavailable"));
    }
    write(&file, FIRST);
    let deadline = Instant::now() + Duration::from_secs(20);
    while refusal(&envoy, FIRST).is_some() {
        assert!(Instant::now() < deadline, "{}", envoy.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_alive(&envoy);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_secret_that_envoy_cannot_get_refuses_the_configuration() {
    for (secret, part) in [
        (
            json!({"name": "nonces"}),
            "Envoy does not supply the secret `nonces`",
        ),
        (
            json!({"name": "nonces", "sds_config": {"no_such": 1}}),
            "Envoy does not supply the secret `nonces`",
        ),
        (json!({"sds_config": {"ads": {}}}), "write the name of the secret"),
        (
            json!({"name": "nonces", "inline_string": FIRST}),
            "excludes all fields but `sds_config`",
        ),
    ] {
        let fault = start(&secret, &json!([]), &EnvoyOptions::default())
            .map(|_| ())
            .unwrap_err();
        assert!(fault.contains(part), "{secret}: {fault}");
    }
}
