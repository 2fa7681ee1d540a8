//! `jwtctl mint`, on the real binary. `jwtctl explain` checks its tokens.

#![cfg(test)]

mod common;

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{Folder, Ran, jwtctl, jwtctl_with, root};
use serde_json::{Value, json};
use testkit::{Bootstrap, EnvoyProcess, Listener, Request, Upstream, wasm_filter};

const ALGORITHMS: [&str; 10] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
];

fn config(keys: &str) -> Value {
    json!({
        "providers": {
            "corp": {
                "issuer": "https://idp.example.com",
                "audiences": ["orders-api"],
                "token_types": ["JWT"],
                "max_lifetime": "1h",
                "subjects": {"prefix": "a"},
                "authorize": {"claims": [{"claim_name": "tier", "any_of": ["gold"]}]},
                "local_jwks": {"inline_string": keys},
            },
        },
        "rules": [{
            "match": {"prefix": "/"},
            "requires": {"provider_name": "corp"},
            "authorize": {"scopes": {"all": ["read"]}, "claims": [{"claim_name": "role", "any_of": ["boss"]}]},
        }],
    })
}

/// A key, with a configuration that accepts its tokens.
fn world(folder: &Folder, algorithm: &str) -> (String, String) {
    let key = folder.path(&format!("{algorithm}.pem"));
    let ran = jwtctl(&["mint", "key", algorithm, "--out", &key]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let config = folder.write(&format!("{algorithm}.json"), &config(ran.out.trim()).to_string());
    (key, config)
}

fn explain(config: &str, token: &str) -> Ran {
    jwtctl_with(
        &["explain", config, "/x", "--token", "-", "--output", "json"],
        token,
    )
}

fn mint(key: &str, config: &str, more: &[&str]) -> String {
    let arguments = [
        "mint",
        "token",
        "--key",
        key,
        "--for",
        config,
        "--sub",
        "alice",
        "--scope",
        "read",
        "--claim",
        "role=boss",
        "--claim",
        "tier=gold",
    ];
    let ran = jwtctl(&[&arguments[..], more].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.out
}

#[test]
fn keys_of_every_algorithm_make_tokens_that_are_accepted() {
    let folder = Folder::new("mint-keys");
    for algorithm in ALGORITHMS {
        let (key, config) = world(&folder, algorithm);
        let mode = std::fs::metadata(&key).expect("the key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let ran = explain(&config, &mint(&key, &config, &[]));
        assert_eq!(ran.code, 0, "{algorithm}: {ran:?}");
        // The public half again, and nothing private.
        let jwks = jwtctl(&["mint", "jwks", &key]);
        let found = &jwks.json()["keys"][0];
        assert_eq!(found["alg"], algorithm);
        assert!(found.get("d").is_none());
        // A key is never overwritten.
        assert_eq!(jwtctl(&["mint", "key", algorithm, "--out", &key]).code, 2);
    }
}

#[test]
fn each_bad_token_is_refused_with_the_reason_that_it_is_named_after() {
    let folder = Folder::new("mint-bad");
    let mut seen = 0;
    // The kinds of signatures.
    let worlds = ["ES256", "RS256", "PS512", "EdDSA"].map(|algorithm| world(&folder, algorithm));
    for (bad, more, reason) in [
        ("token_malformed", &[][..], "token_malformed"),
        ("token_too_large", &[], "token_too_large"),
        ("type_rejected", &[], "type_rejected"),
        ("algorithm_rejected", &[], "algorithm_rejected"),
        ("algorithm_confusion", &[], "algorithm_rejected"),
        ("critical_header", &[], "critical_header"),
        ("issuer_unknown", &[], "issuer_unknown"),
        ("key_unknown", &[], "key_unknown"),
        ("signature_invalid", &[], "signature_invalid"),
        ("token_expired", &[], "token_expired"),
        ("token_not_yet_valid", &[], "token_not_yet_valid"),
        ("lifetime_too_long", &[], "lifetime_too_long"),
        ("audience_mismatch", &[], "audience_mismatch"),
        ("subject_rejected", &[], "subject_rejected"),
        ("token_rejected", &["--claim", "tier="], "token_rejected"),
        ("claim_missing", &[], "claim_missing"),
        ("claim_malformed", &[], "claim_malformed"),
        ("binding_mismatch", &[], "binding_mismatch"),
        ("scope_insufficient", &[], "scope_insufficient"),
        ("claim_rejected", &["--claim", "role="], "claim_rejected"),
    ] {
        for (key, config) in &worlds {
            let token = mint(key, config, &[&["--bad", bad], more].concat());
            let ran = explain(config, &token);
            assert_eq!(ran.json()["decision"]["reason"], reason, "{key}, {bad}: {ran:?}");
        }
        seen += 1;
    }
    // `--help` lists exactly the reasons that the test tries.
    let help = jwtctl(&["mint", "token", "--help"]).out;
    let (_, list) = help.split_once("--bad <REASON>").expect("the option");
    let listed = list
        .lines()
        .filter(|line| line.trim_start().starts_with("- "))
        .count();
    assert_eq!(listed, seen, "{list}");
}

/// A way to cause each documented reason without a `--bad` of that name: a change of the configuration, and
/// the arguments of `explain` for the request. `None`: it depends on requests before this one, which
/// `explain` does not know.
fn recipe(reason: &str, world: &World) -> Option<(Value, Vec<String>)> {
    let mut config = world.value.clone();
    let args = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<String>>();
    let bearer = format!("authorization: Bearer {}", world.token);
    let rest = match reason {
        "token_missing" => args(&[]),
        "token_multiple" => args(&["-H", &bearer, "-H", &bearer]),
        "request_malformed" => {
            config["providers"]["corp"]["from_params"] = json!(["access_token"]);
            return Some((config, args(&["/x?access_token=%zz"])));
        }
        "proof_invalid" => {
            config["providers"]["corp"]["binding"] = json!({"dpop": {"required": true}});
            let proof = world.proof(&["--bad", "url"]);
            args(&["--token", &world.bound, "--dpop", &proof])
        }
        "proof_nonce" => {
            config["providers"]["corp"]["binding"] = json!({"dpop": {"required": true, "nonce": true}});
            let proof = world.proof(&[]);
            args(&["--token", &world.bound, "--dpop", &proof])
        }
        "keys_unavailable" => {
            let provider = config["providers"]["corp"].as_object_mut().expect("a provider");
            provider.remove("local_jwks");
            provider.insert("discovery".into(), json!({"cluster": "idp"}));
            args(&["--token", &world.token])
        }
        "route_requirement_unknown" => args(&["--requirement", "nobody"]),
        "route_denied" => {
            config["rules"] = json!([{"match": {"prefix": "/"}, "deny": true}]);
            args(&["--token", &world.token])
        }
        "proof_replayed" | "proof_store_full" => return None,
        other => panic!("{other} has neither a `--bad` nor a recipe"),
    };
    Some((config, [args(&["https://api.example.com/x"]), rest].concat()))
}

struct World {
    value: Value,
    token: String,
    /// A token for the client of the proof.
    bound: String,
    client: String,
}

impl World {
    fn proof(&self, more: &[&str]) -> String {
        let url = "https://api.example.com/x";
        let arguments = [
            "mint",
            "proof",
            "--key",
            &self.client,
            "--url",
            url,
            "--token",
            &self.bound,
        ];
        let ran = jwtctl(&[&arguments[..], more].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out.trim().to_owned()
    }
}

#[test]
fn every_reason_of_the_documentation_can_be_brought_about_and_is_named() {
    let folder = Folder::new("mint-reasons");
    let (key, config) = world(&folder, "ES256");
    let client = folder.path("client.pem");
    assert_eq!(jwtctl(&["mint", "key", "ES256", "--out", &client]).code, 0);
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let world = World {
        value: serde_json::from_str(&text).expect("JSON"),
        token: mint(&key, &config, &[]).trim().to_owned(),
        bound: mint(&key, &config, &["--bind", &client]).trim().to_owned(),
        client,
    };
    let page = std::fs::read_to_string(root().join("docs/refusals.md")).expect("the page");
    let (_, page) = page.split_once("## Reasons").expect("its part");
    let (page, _) = page.split_once("## Details").expect("the next part");
    let help = jwtctl(&["mint", "token", "--help"]).out;
    let (mut named, mut left) = (0, Vec::new());
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let reason = line.split('`').nth(1).expect("a reason");
        // The test above makes the others.
        if help.contains(&format!("- {reason}:")) {
            named += 1;
            continue;
        }
        let Some((config, arguments)) = recipe(reason, &world) else {
            left.push(reason.to_owned());
            continue;
        };
        let config = folder.write(&format!("{reason}.json"), &config.to_string());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ran = jwtctl(&[&["explain", &config, "--output", "json"], &arguments[..]].concat());
        assert_eq!(ran.json()["decision"]["reason"], reason, "{ran:?}");
        let ran = jwtctl(&[&["explain", &config], &arguments[..]].concat());
        assert!(ran.code == 1 && ran.out.contains(reason), "{reason}: {ran:?}");
        named += 1;
    }
    assert_eq!(
        (named, left),
        (
            27,
            vec!["proof_replayed".to_owned(), "proof_store_full".to_owned()]
        )
    );
}

/// Names of proofs that share a record of the store, as `binding/replay.rs` chooses it.
fn names_in_one_record(thumbprint: &str, count: usize) -> Vec<String> {
    let record = |name: &str| {
        let digest = testkit::sha256_segment(&format!("{thumbprint}\0{name}"));
        let first = URL_SAFE_NO_PAD
            .decode(digest.get(..4).expect("a hash"))
            .expect("base64url");
        (first[0] & 0x1f, first[1])
    };
    (0_u32..)
        .map(|number| format!("p{number}"))
        .filter(|name| record(name) == (7, 42))
        .take(count)
        .collect()
}

/// The reasons that `explain` does not know: it decides one request, and these depend on earlier ones.
#[test]
fn earlier_proofs_bring_about_the_remaining_reasons_in_envoy() {
    let folder = Folder::new("mint-earlier");
    let (key, config) = world(&folder, "ES256");
    let client = folder.path("client.pem");
    let thumbprint = jwtctl(&["mint", "key", "ES256", "--out", &client]).json()["keys"][0]["kid"]
        .as_str()
        .expect("a kid")
        .to_owned();
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let mut value: Value = serde_json::from_str(&text).expect("JSON");
    value["providers"]["corp"]["binding"] = json!({"dpop": {"required": true}});
    let upstream = Upstream::start();
    let listener = Listener::new("in").filter(wasm_filter(value)).build();
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .listener_value(listener)
        .build();
    let envoy = EnvoyProcess::start(&bootstrap);
    let sender = envoy.client("in");
    let token = mint(&key, &config, &["--bind", &client]).trim().to_owned();
    let send = |name: &str| {
        let url = "http://api.example.com/x";
        let arguments = [
            "mint", "proof", "--key", &client, "--url", url, "--token", &token, "--jti", name,
        ];
        let proof = jwtctl(&arguments);
        assert_eq!(proof.code, 0, "{proof:?}");
        let request = Request::get("/x")
            .header("host", "api.example.com")
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", proof.out.trim());
        let first = sender.request(request.clone());
        (first, sender.request(request))
    };
    let (first, again) = send("once");
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(
        (again.status, again.reason().as_deref()),
        (401, Some("proof_replayed"))
    );
    // A client that chooses names which share a record fills its share of the record, and no more.
    let mut reasons = names_in_one_record(&thumbprint, 40)
        .into_iter()
        .map(|name| send(&name).0.reason());
    assert!(reasons.any(|reason| reason.as_deref() == Some("proof_store_full")));
}

#[test]
fn proofs_of_possession_are_taken_and_bad_ones_are_not() {
    let folder = Folder::new("mint-proof");
    let (key, config) = world(&folder, "ES256");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let mut value: Value = serde_json::from_str(&text).expect("JSON");
    value["providers"]["corp"]["binding"] = json!({"dpop": {"required": true}});
    let config = folder.write("dpop.json", &value.to_string());
    for algorithm in ALGORITHMS {
        let client = folder.path(&format!("client-{algorithm}.pem"));
        assert_eq!(jwtctl(&["mint", "key", algorithm, "--out", &client]).code, 0);
        let token = mint(&key, &config, &["--bind", &client]);
        let token_file = folder.write("token", token.trim());
        let with = |more: &[&str]| {
            let at_token = format!("@{token_file}");
            let url = "https://api.example.com/x";
            let arguments = [
                "mint", "proof", "--key", &client, "--url", url, "--token", &at_token,
            ];
            let proof = jwtctl(&[&arguments[..], more].concat());
            assert_eq!(proof.code, 0, "{proof:?}");
            let proof_file = folder.write("proof", proof.out.trim());
            let at_proof = format!("@{proof_file}");
            let ran = jwtctl(&[
                "explain", &config, url, "--token", &at_token, "--dpop", &at_proof, "--output", "json",
            ]);
            assert!(!ran.out.contains(proof.out.trim()) && !ran.out.contains(token.trim()));
            ran.json()["decision"]["reason"]
                .as_str()
                .unwrap_or("none")
                .to_owned()
        };
        assert_eq!(with(&[]), "none", "{algorithm}");
        for bad in ["method", "url", "token", "old", "signature", "type"] {
            assert_eq!(with(&["--bad", bad]), "proof_invalid", "{algorithm} {bad}");
        }
        assert_eq!(with(&["--bad", "other-key"]), "binding_mismatch", "{algorithm}");
    }
}

#[test]
fn what_cannot_be_made_is_said() {
    let folder = Folder::new("mint-wrong");
    let no_key = folder.write("no.pem", "alg: ES256\n");
    let no_algorithm = folder.write(
        "none.pem",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    for arguments in [
        &["mint", "key", "HS256", "--out", "/tmp/never"][..],
        &["mint", "key", "RS256", "--bits", "512", "--out", "/tmp/never"],
        &["mint", "token", "--key", "/absent"],
        &["mint", "token", "--key", &no_key],
        &["mint", "token", "--key", &no_algorithm],
        &["mint", "token", "--key", &no_key, "--bad", "tired"],
    ] {
        let ran = jwtctl(arguments);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(!ran.err.contains("panicked"), "{ran:?}");
    }
}
