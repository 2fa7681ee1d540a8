//! The examples of `--help`, as a person types them.

#![cfg(test)]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use common::{Folder, jwtctl, root};
use testkit::{Algorithm, Issuer, SigningKey};

/// The output of other programs in the examples.
const OTHERS: [(&str, &str); 3] = [
    ("helm", "cat envoy.yaml"),
    ("kubectl", "cat istio.yaml"),
    ("git", "cat old.yaml"),
];

#[test]
fn each_example_of_the_help_runs() {
    let folder = Folder::new("help");
    let key = SigningKey::generate(Algorithm::Es256, Some("k"));
    let issuer = Issuer::start();
    let name = issuer.url("");
    let name = name.trim_end_matches('/');
    issuer.serve_discovery(name, &issuer.url("/jwks.json"));
    issuer.serve_jwks("/jwks.json", &[&key]);
    let example = |file: &str| {
        let path = root().join("jwtctl/examples").join(file);
        std::fs::read_to_string(path).expect("an example")
    };
    // The keys are at the local issuer.
    let orders = example("orders.yaml").replace("https://idp.example.com/realms/main", name);
    let policy = "\
kind: SecurityPolicy
spec: {jwt: {providers: [{name: corp, issuer: 'https://a.example.com', audiences: [a]}]}}
";
    folder.write("old.yaml", &orders);
    folder.write("new.yaml", &example("orders-new.yaml"));
    folder.write("istio.yaml", &example("istio.yaml"));
    folder.write("securitypolicy.yaml", policy);
    folder.write("token.txt", &example("expired.txt"));
    let tests = "\
config: envoy.yaml
tests:
- request: GET /healthz
  expect: allowed
";
    folder.write("policy-tests.yaml", tests);
    assert_eq!(
        jwtctl(&["mint", "key", "ES256", "--out", &folder.path("client.pem")]).code,
        0
    );
    std::fs::create_dir_all(folder.path("bin")).expect("a folder");
    std::fs::create_dir_all(folder.path("chart")).expect("a folder");
    std::fs::create_dir_all(folder.path("config")).expect("a folder");
    folder.write("config/a.yaml", &orders);
    for (program, script) in OTHERS {
        let path = folder.write(&format!("bin/{program}"), &format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a program");
    }
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_jwtctl"), folder.path("bin/jwtctl")).expect("a link");
    let path = format!(
        "{}:{}",
        folder.path("bin"),
        std::env::var("PATH").unwrap_or_default()
    );
    let mut count = 0;
    // The keys come first: other examples use them.
    for command in [
        "mint", "check", "explain", "route", "diff", "test", "convert", "issuer", "schema",
    ] {
        let envoy = if command == "convert" {
            example("authn.yaml")
        } else {
            orders.clone()
        };
        folder.write("envoy.yaml", &envoy);
        let help = jwtctl(&[command, "--help"]).out;
        let (_, examples) = help.split_once("Examples:\n").expect("examples");
        for line in examples
            .lines()
            .map(str::trim)
            .filter(|line| line.contains("jwtctl "))
        {
            if line.starts_with('#') {
                continue;
            }
            let local = line
                .replace("https://idp.example.com/realms/main", name)
                .replace("https://idp.example.com", name)
                .replace("https://keys.example.com", name);
            let ran = Command::new("bash")
                .args(["-o", "pipefail", "-c", &local])
                .current_dir(folder.path("."))
                .env("PATH", &path)
                .output()
                .expect("bash");
            let err = String::from_utf8_lossy(&ran.stderr);
            // The exit code 1 is an answer too: a refusal, a finding, a difference.
            assert!(
                matches!(ran.status.code(), Some(0 | 1)),
                "{line}: {:?} {err}",
                ran.status
            );
            assert!(!err.contains("panicked"), "{line}: {err}");
            count += 1;
        }
    }
    assert!(count >= 19, "{count} examples");
    // The shell can read the completions.
    let script = folder.write("completions.bash", &jwtctl(&["completions", "bash"]).out);
    assert!(
        Command::new("bash")
            .args(["-n", &script])
            .status()
            .expect("bash")
            .success()
    );
}
