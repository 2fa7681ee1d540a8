//! A hostile module in the same Envoy with the same `vm_id`: it overwrites the filter's entries all the time.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fmt::Write as _, fs};

use proxy_wasm_jwt::binding::nonce::NonceSecret;
use proxy_wasm_jwt::binding::replay::ProofId;
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::keys::KeySource;
use proxy_wasm_jwt::store::StoreKey;
use proxy_wasm_jwt::time::UnixTime;
use serde_json::{Value, json};
use testkit::{EnvoyOptions, Issuer, Listener, WasmFilter};

use super::{Stack, assert_alive};
use scenarios::{config, dpop, local_provider, remote_provider, token, token_of, with, world};

/// The names of the record and the document of a filter with this configuration.
fn names(config: &Value) -> [String; 2] {
    let config = Config::parse(config.to_string().as_bytes()).unwrap();
    let KeySource::Remote(source) = &config.providers[0].keys else {
        panic!("local keys");
    };
    let (source, seal) = (source.fingerprint(), config.seal.id());
    [StoreKey::Record(&source), StoreKey::Document(&source)]
        .map(|key| format!("proxy-wasm-jwt/2/{seal}/{key}"))
}

/// A module that overwrites these entries every 5 ms, with this number of zeros behind each value.
fn module(name: &str, entries: &[(String, Vec<u8>)], zeros: usize) -> PathBuf {
    let (mut data, mut calls) = (Vec::new(), String::new());
    let mut bytes = |bytes: &[u8]| {
        let address = 1024 + data.len();
        data.extend_from_slice(bytes);
        format!("(i32.const {address}) (i32.const {})", bytes.len())
    };
    for (name, value) in entries {
        let (name, value) = (bytes(name.as_bytes()), bytes(value));
        let _ = writeln!(
            calls,
            "(drop (call $set {name} {value} (i32.const {zeros}) (i32.add) (i32.const 0)))"
        );
    }
    let pages = 2 + zeros.div_ceil(65_536);
    let data: String = data.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let text = format!(
        r#"(module
            (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_set_tick_period_milliseconds" (func $ticks (param i32) (result i32)))
            (memory (export "memory") {pages})
            (func (export "_initialize"))
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 65536))
            (func (export "proxy_on_context_create") (param i32 i32))
            (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
            (func (export "proxy_on_configure") (param i32 i32) (result i32)
                (drop (call $ticks (i32.const 5))) {calls} (i32.const 1))
            (func (export "proxy_on_tick") (param i32) {calls})
            (data (i32.const 1024) "{data}"))"#
    );
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.wasm", std::process::id()));
    fs::write(&path, wat::parse_str(&text).unwrap()).unwrap();
    path
}

/// The filter with this configuration, behind a filter of another module with the same `vm_id`.
fn stack_beside(module: PathBuf, config: Value) -> Stack {
    let mut neighbour = WasmFilter::new(Value::Null);
    neighbour.module = module;
    neighbour.name = "neighbour".into();
    let issuer = Issuer::start();
    issuer.serve_jwks("/jwks", &[&world().rsa]);
    let listener = Listener::new("jwt")
        .filter(neighbour.build())
        .filter(WasmFilter::new(config).build());
    Stack::start_around(issuer, listener, &EnvoyOptions::workers(2))
}

#[test]
fn a_module_under_the_same_vm_id_plants_no_key_and_stops_no_request() {
    let config = config(remote_provider());
    let [head, document] = names(&config);
    // A record that promises keys for years, as a module without the configuration can write it.
    let now = u64::try_from(testkit::unix_now()).unwrap() * 1000;
    let later = now + 1_000_000_000;
    let record = json!({
        "version": 7, "asked_at": now + 60_000, "refresh_at": later, "expires_at": later, "stale_until": later,
        "failures": 0, "retry_at": 0, "kid_fetches": [0, 0, 0],
    });
    let keys = testkit::jwks(&[&world().rsa_next]).to_string();
    let no_seal = [0; 32];
    let planted = [
        (head, [&no_seal[..], record.to_string().as_bytes()].concat()),
        (
            document,
            [&no_seal[..], &7_u64.to_le_bytes(), keys.as_bytes()].concat(),
        ),
    ];
    let stack = stack_beside(module("neighbour", &planted, 0), config);
    let (good, by_planted) = (token().mint(), token_of(&world().rsa_next).mint());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        assert_eq!(stack.status(&good), 200, "{}", stack.envoy.log());
        let refused = stack.status(&by_planted);
        assert!(matches!(refused, 401 | 503), "{refused}");
    }
    let log = stack.envoy.log();
    // The native module stores nothing in a place that the neighbour can write.
    let is_noticed = !testkit::uses_native_module();
    assert_eq!(
        log.contains("was not written by this filter"),
        is_noticed,
        "{log}"
    );
    // Three VMs, and a `kid` that the issuer does not have: each VM fetches for itself.
    let fetches = stack.issuer.fetches("/jwks");
    println!("neighbour: {fetches} fetches");
    assert!((1..=12).contains(&fetches), "{fetches} fetches");
    assert_alive(&stack.envoy);
}

#[test]
fn a_neighbour_with_huge_entries_stops_no_request() {
    let config = config(remote_provider());
    let planted = names(&config).map(|name| (name, vec![0]));
    let stack = stack_beside(module("huge-neighbour", &planted, 64 << 20), config);
    let good = token().mint();
    let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(4) {
        let sent = Instant::now();
        assert_eq!(stack.status(&good), 200, "{}", stack.envoy.log());
        slowest = slowest.max(sent.elapsed());
    }
    println!("a huge neighbour: the slowest request took {slowest:?}");
    // Mostly Envoy's copies of the entries, on a machine that runs other tests at the same time.
    assert!(slowest < Duration::from_secs(4), "{slowest:?}");
    assert_alive(&stack.envoy);
}

#[test]
fn a_neighbour_reaches_no_used_proof_and_no_nonce() {
    let binding = json!({"binding": {"dpop": {"required": true, "nonce": true}}});
    let config = config(with(local_provider(), binding));
    let thumbprint = world().es256.thumbprint();
    let list = |jti: &str| {
        let (now, window) = (UnixTime::from_secs(0), Duration::from_secs(60));
        StoreKey::UsedProofs(ProofId::new(&thumbprint, jti, now, window).record())
    };
    let proofs = ["a", "b", "c", "d"];
    // The names without the id that a configuration or a secret gives them.
    let names = proofs.map(|jti| format!("proxy-wasm-jwt/2/{}", list(jti)));
    let mut planted: Vec<_> = names.into_iter().map(|name| (name, Vec::new())).collect();
    let theirs = [7; NonceSecret::SIZE];
    for format in 1..=2 {
        let name = format!("proxy-wasm-jwt/{format}/{}", StoreKey::NonceSecret);
        planted.push((name, theirs.to_vec()));
    }
    let stack = stack_beside(module("proof-neighbour", &planted, 0), config);
    let client = dpop::Client::new(&world().es256);
    let send = |jti: &str, claims: Value| {
        stack
            .client
            .request(client.request(&client.proof(jti, claims).mint()))
    };
    let now = UnixTime::from_secs(u64::try_from(testkit::unix_now()).unwrap());
    let forged = NonceSecret::new(theirs).issue(now);
    let challenge = send("forged", json!({"nonce": forged}));
    assert_eq!(challenge.reason().as_deref(), Some("proof_nonce"));
    let nonce = challenge.header("dpop-nonce").expect("a nonce");
    for jti in proofs {
        let send = || send(jti, json!({"nonce": nonce}));
        assert_eq!(send().status, 200, "{jti}");
        for _ in 0..2 {
            // The neighbour has overwritten its entries meanwhile.
            std::thread::sleep(Duration::from_millis(20));
            assert_eq!(send().reason().as_deref(), Some("proof_replayed"), "{jti}");
        }
    }
    assert_alive(&stack.envoy);
}
