//! `jwtctl mint`, on the real binary; what it makes is judged by `jwtctl explain`.

#![cfg(test)]

mod common;

use std::os::unix::fs::PermissionsExt as _;

use common::{Folder, Ran, jwtctl, jwtctl_with};
use serde_json::{Value, json};

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
    let (key, config) = world(&folder, "ES256");
    let mut seen = 0;
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
        ("token_not_yet_valid", &[], "lifetime_too_long"),
        ("lifetime_too_long", &[], "lifetime_too_long"),
        ("audience_mismatch", &[], "audience_mismatch"),
        ("subject_rejected", &[], "subject_rejected"),
        ("claim_missing", &[], "claim_missing"),
        ("claim_malformed", &[], "claim_malformed"),
        ("binding_mismatch", &[], "binding_mismatch"),
        ("scope_insufficient", &[], "scope_insufficient"),
        ("claim_rejected", &["--claim", "role="], "claim_rejected"),
    ] {
        let token = mint(&key, &config, &[&["--bad", bad], more].concat());
        let ran = explain(&config, &token);
        assert_eq!(ran.json()["decision"]["reason"], reason, "{bad}: {ran:?}");
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
    let whole: Value = serde_json::from_str(&std::fs::read_to_string(&config).expect("it")).expect("JSON");
    let mut without_limit = whole;
    without_limit["providers"]["corp"]
        .as_object_mut()
        .expect("an object")
        .remove("max_lifetime");
    let config = folder.write("long.json", &without_limit.to_string());
    let token = mint(&key, &config, &["--bad", "token_not_yet_valid"]);
    assert_eq!(
        explain(&config, &token).json()["decision"]["reason"],
        "token_not_yet_valid"
    );
}

#[test]
fn proofs_of_possession_are_taken_and_bad_ones_are_not() {
    let folder = Folder::new("mint-proof");
    let (key, config) = world(&folder, "ES256");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let mut value: Value = serde_json::from_str(&text).expect("JSON");
    value["providers"]["corp"]["binding"] = json!({"dpop": {"required": true}});
    let config = folder.write("dpop.json", &value.to_string());
    for algorithm in ["ES256", "EdDSA", "RS256"] {
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
