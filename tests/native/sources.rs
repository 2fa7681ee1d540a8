//! Keys and secrets in files and in the environment.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use testkit::{Bootstrap, EnvoyOptions, EnvoyProcess, Issuer, Listener, wasm_filter};

use super::{Stack, assert_alive};
use scenarios::{config, local_provider, token, token_of, with, world};

fn with_keys(source: &Value) -> Value {
    config(with(local_provider(), json!({"local_jwks": source})))
}

fn file(name: &str, content: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn keys_and_secrets_may_be_in_files() {
    let keys = file("jwks.json", &testkit::jwks(&[&world().rsa]).to_string());
    let secret = file("secret", &"a secret of a fleet, ".repeat(3));
    let mut config = with_keys(&json!({"filename": keys}));
    config["providers"]["corp"]["binding"] = json!({"dpop": {"nonce": {"secret": {"filename": secret}}}});
    let listener = Listener::new("jwt").filter(wasm_filter(config));
    let stack = Stack::start_around(Issuer::start(), listener, &EnvoyOptions::workers(2));
    // Each worker has the keys of the start, whenever its first request comes.
    fs::write(&keys, "{}").unwrap();
    for _ in 0..8 {
        let client = testkit::Client::new(stack.client.addr());
        let status = |token: &str| {
            client
                .request(testkit::Request::get("/orders").bearer(token))
                .status
        };
        assert_eq!(status(&token().mint()), 200, "{}", stack.envoy.log());
        assert_eq!(status(&token_of(&world().rsa_next).mint()), 401);
    }
    assert_alive(&stack.envoy);
    fs::remove_file(&keys).unwrap();
    fs::remove_file(&secret).unwrap();
}

#[test]
fn a_file_that_cannot_be_read_refuses_the_configuration() {
    let filter = wasm_filter(with_keys(&json!({"filename": "/nowhere/jwks.json"})));
    let bootstrap = Bootstrap::new()
        .cluster("upstream", Issuer::start().addr())
        .listener(Listener::new("jwt").filter(filter))
        .build();
    let fault = EnvoyProcess::try_start(&bootstrap, &EnvoyOptions::default()).unwrap_err();
    assert!(
        fault.contains("the file `/nowhere/jwks.json` cannot be read"),
        "{fault}"
    );
}
