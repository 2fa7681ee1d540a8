//! Keys outlive a replaced listener, a replaced filter, and a VM that crashed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    Bootstrap, Client, EnvoyOptions, EnvoyProcess, Issuer, Listener, Request, Upstream, wasm_filter,
};

use super::load::Load;
use super::{Stack, assert_alive, replaceable};
use scenarios::{AUDIENCE, config, remote_provider, token, with, world};

/// The same key source in another configuration each time.
fn changed(round: usize) -> Value {
    let audiences: Vec<String> = (0..=round)
        .map(|number| format!("another-{number}"))
        .chain([AUDIENCE.to_owned()])
        .collect();
    config(with(remote_provider(), json!({"audiences": audiences})))
}

#[test]
fn a_listener_is_replaced_under_load_without_a_refusal_or_a_fetch() {
    let mut options = EnvoyOptions::workers(2).reloadable();
    // Old listeners go while the test runs, and their roots with them.
    options.args = vec!["--drain-time-s".into(), "600".into()];
    let stack = Stack::start_with(config(remote_provider()), &options);
    let good = token().mint();
    assert_eq!(stack.status(&good), 200);
    let load = Load::start(
        stack.client.addr(),
        20,
        Duration::from_millis(5),
        std::slice::from_ref(&good),
    );
    for round in 0..6 {
        load.wait_for(100);
        // Every other time, the filter does not change, but another part of the listener does.
        let listener =
            Listener::wasm("jwt", changed(round / 2)).manager("server_name", format!("round-{round}"));
        stack
            .envoy
            .reload_listeners(&[listener.build()])
            .expect("a good configuration");
    }
    load.wait_for(200);
    load.finish().assert_none_refused(300, "replaced listeners");
    assert_eq!(stack.issuer.fetches("/jwks"), 1);
    let response = Client::new(stack.client.addr())
        .request(Request::get("/orders").bearer(&token().claim("aud", "another-2").mint()));
    assert_eq!(response.status, 200, "the last configuration is in force");
    assert_alive(&stack.envoy);
}

#[test]
fn keys_stay_when_the_old_listener_is_gone() {
    let stack = Stack::start_with(config(remote_provider()), &replaceable(EnvoyOptions::workers(2)));
    let good = token().mint();
    assert_eq!(stack.status(&good), 200);
    for round in 0..3 {
        stack.replace_listener(changed(round));
        let fresh = Client::new(stack.client.addr());
        assert_eq!(fresh.request(Request::get("/").bearer(&good)).status, 200);
    }
    assert_eq!(stack.issuer.fetches("/jwks"), 1);
    assert_alive(&stack.envoy);
}

#[test]
fn the_filter_alone_is_replaced_under_load_without_a_refusal_or_a_fetch() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("ecds-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("filter.json");
    write_filter(&file, config(remote_provider()));
    let by_discovery = json!({
        "name": "jwt",
        "config_discovery": {
            "config_source": {"resource_api_version": "V3", "path_config_source": {"path": &file}},
            "type_urls": [wasm_filter(json!({}))["typed_config"]["@type"]],
        },
    });
    let issuer = Issuer::start();
    issuer.serve_jwks("/jwks", &[&world().rsa]);
    let upstream = Upstream::start();
    let bootstrap = Bootstrap::new()
        .cluster("issuer", issuer.addr())
        .cluster("upstream", upstream.addr())
        .listener(Listener::new("jwt").filter(by_discovery))
        .build();
    let envoy = EnvoyProcess::start_with(&bootstrap, &EnvoyOptions::workers(2));
    let client = envoy.client("jwt");
    let good = token().mint();
    assert_eq!(
        client.request(Request::get("/orders").bearer(&good)).status,
        200,
        "{}",
        envoy.log()
    );

    let reloads = || envoy.stat("extension_config_discovery.http_filter.jwt.config_reload");
    let load = Load::start(
        client.addr(),
        20,
        Duration::from_millis(5),
        std::slice::from_ref(&good),
    );
    for round in 0..5 {
        load.wait_for(100);
        let before = reloads();
        write_filter(&file, changed(round));
        let name = "extension_config_discovery.http_filter.jwt.config_reload";
        let reloaded = envoy.wait_for_stat(name, Duration::from_secs(20), |count| count > before);
        assert!(reloaded.is_ok(), "{}", envoy.log());
    }
    load.wait_for(200);
    load.finish().assert_none_refused(300, "replaced filters");
    assert_eq!(issuer.fetches("/jwks"), 1);
    let last = token().claim("aud", "another-4").mint();
    assert_eq!(
        client.request(Request::get("/orders").bearer(&last)).status,
        200,
        "the last configuration is in force"
    );
    assert_alive(&envoy);
    fs::remove_dir_all(&folder).unwrap();
}

/// The test moves the file into place, because Envoy reads it again only when it is replaced.
fn write_filter(file: &Path, config: Value) {
    let document = json!({"resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": "jwt",
        "typed_config": wasm_filter(config)["typed_config"],
    }]});
    let new = file.with_extension("new");
    fs::write(&new, document.to_string()).unwrap();
    fs::rename(new, file).unwrap();
}

#[test]
fn a_vm_that_was_taken_down_finds_its_keys() {
    let issuer = Issuer::start();
    issuer.serve_jwks("/jwks", &[&world().rsa]);
    let stack = Stack::start_around(
        issuer,
        super::trap_listener(config(remote_provider())),
        &EnvoyOptions::default(),
    );
    let good = token().mint();
    assert_eq!(stack.status(&good), 200);
    // From here on, the issuer is unreachable.
    stack.issuer.stop();
    super::spring_trap(&stack);
    let took = super::wait_until_good(&stack, &good);
    println!("a VM taken down: good again after {took:?}");
    assert_eq!(stack.issuer.fetches("/jwks"), 1);
    let refused = stack.client.get("/orders");
    assert_eq!(refused.reason().as_deref(), Some("token_missing"));
}

#[test]
fn the_release_module_has_no_trap() {
    let holds = |path: &Path| {
        let module = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let needle = b"x-test-trap";
        module.windows(needle.len()).any(|window| window == needle)
    };
    assert!(holds(&super::trap_module()), "the test module has one");
    assert!(!holds(&super::release_module()));
    let stack = Stack::start(config(remote_provider()));
    let request = Request::get("/orders")
        .bearer(&token().mint())
        .header("x-test-trap", "1");
    assert_eq!(stack.client.request(request).status, 200);
    assert_alive(&stack.envoy);
}
