//! `jwtctl check`, on the real binary.

#![cfg(test)]

mod common;

#[path = "check/documents.rs"]
mod documents;
#[path = "check/output.rs"]
mod output;
#[path = "check/warnings.rs"]
mod warnings;

use common::{jwtctl, jwtctl_with, root};

fn check(text: &str) -> Vec<(String, String, u64)> {
    jwtctl_with(&["check", "--output", "json", "-"], text).findings()
}

/// Codes alone, with their levels.
fn codes(text: &str) -> Vec<String> {
    check(text)
        .into_iter()
        .map(|(level, code, _)| format!("{level} {code}"))
        .collect()
}

fn has(findings: &[(String, String, u64)], level: &str, code: &str, line: u64) -> bool {
    findings
        .iter()
        .any(|found| *found == (level.to_owned(), code.to_owned(), line))
}

#[test]
fn every_fault_is_found_at_once_with_its_line() {
    let text = "\
providers:
  corp:
    isuer: https://idp.example.com
    audiences: [a, [b]]
    clock_skew_seconds: '60s'
    remote_jwks:
      http_uri: {uri: ftp://x, cluster: idp, timeout: never}
      unknown: 1
  a.b: {issuer: https://b.example.com, audiences: [x], local_jwks: {inline_string: '{}'}}
rules:
- match: {prefx: /x}
  requires: {provider_name: crop}
- match: {prefix: x}
- match: {path: /a, prefix: /b}
  requires: {provider_name: a.b}
  mode: shadw
stat_prefix: 'a b'
stat_prefix: c
";
    let findings = check(text);
    let errors: Vec<(String, u64)> = findings
        .iter()
        .filter(|(level, ..)| level == "error")
        .map(|(_, code, line)| (code.clone(), *line))
        .collect();
    let expected = [
        ("unknown-field", 3),
        ("wrong-type", 4),
        ("wrong-type", 5),
        ("invalid", 7),
        ("invalid", 7),
        ("unknown-field", 8),
        ("invalid", 9),
        ("unknown-field", 11),
        ("unknown-name", 12),
        ("invalid", 13),
        ("invalid", 14),
        ("not-allowed", 16),
        ("invalid", 17),
        ("duplicate", 18),
    ];
    let expected: Vec<(String, u64)> = expected
        .iter()
        .map(|(code, line)| ((*code).to_owned(), *line))
        .collect();
    assert_eq!(errors, expected);
}

#[test]
fn the_same_fault_in_each_element_of_a_list_is_found_in_each() {
    let lists = [
        "providers: {c: {issuer: 'https://a', audiences: b, discovery: {cluster: d}, claim_to_headers: [%]}}",
        "providers: {c: {issuer: 'https://a', audiences: b, discovery: {cluster: d}, from_headers: [%]}}",
        "rules: [%]",
        "rules: [{match: {prefix: /, headers: [%]}}]",
        "rules: [{match: {prefix: /, query_parameters: [%]}}]",
        "rules: [{match: [%]}]",
        "rules: [{match: {prefix: /}, requires: {provider_name: c}, authorize: {claims: [%]}}]",
        "rules: [{match: {prefix: /}, requires: {provider_name: c}, authorize: {claims: [{any: [%]}]}}]",
        "rules: [{match: {prefix: /}, requires: {requires_any: {requirements: [%]}}}]",
        "rules: [{match: {prefix: /}, requires: {requires_all: {requirements: [%]}}}]",
    ];
    for list in lists {
        for element in [
            "{}",
            "{claim_name: a}",
            "{header_name: x-a}",
            "7",
            "{name: ''}",
            "{name: [a]}",
            "{zz: 1}",
        ] {
            let provider = "providers: {c: {issuer: 'https://a', audiences: b, discovery: {cluster: d}}}\n";
            let provider = if list.starts_with("rules") { provider } else { "" };
            let lines = |count: usize| vec![format!("\n  {element}"); count].join(",");
            let errors = |count: usize| {
                let found = check(&(provider.to_owned() + &list.replace('%', &lines(count)) + "\n"));
                let errors: Vec<_> = found.into_iter().filter(|(level, ..)| level == "error").collect();
                errors
            };
            let (one, three) = (errors(1), errors(3));
            if one.is_empty() {
                continue;
            }
            assert_eq!(three.len(), 3 * one.len(), "{list} {element}: {one:?} {three:?}");
        }
    }
}

#[test]
fn a_fault_hides_no_other_one_of_the_same_provider() {
    let text = "\
providers:
  corp:
    issuer: corp
    audiences: [a]
    discovery: {cluster: idp}
    clock_skew_seconds: -5
    claim_to_headers: [{header_name: x-a, claim_name: $.a}, {header_name: 'x y', claim_name: b}]
";
    let lines: Vec<u64> = check(text)
        .into_iter()
        .filter(|(level, ..)| level == "error")
        .map(|(.., line)| line)
        .collect();
    assert_eq!(lines, [5, 6, 7, 7]);
}

#[test]
fn public_configurations_have_the_faults_that_the_filter_names() {
    let folder = root().join("tests/public_configs");
    let mut refused = 0;
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        let ran = jwtctl(&["check", "--output", "json", &path.to_string_lossy()]);
        let findings = ran.json()["findings"].as_array().expect("findings").clone();
        let errors: Vec<String> = findings
            .iter()
            .filter(|finding| finding["level"] == "error")
            .map(|finding| {
                let path = finding["path"].as_str().unwrap_or_default();
                let message = finding["message"].as_str().unwrap_or_default();
                if path.is_empty() {
                    message.to_owned()
                } else {
                    format!("{path}: {message}")
                }
            })
            .collect();
        if let Some(expected) = text.lines().find_map(|line| line.strip_prefix("# refused: ")) {
            refused += 1;
            assert!(
                errors.iter().any(|error| error == expected),
                "{}: {errors:#?}",
                path.display()
            );
            assert_eq!(ran.code, 1);
        }
    }
    assert!(refused >= 5, "only {refused} were refused");
}

const PROVIDERS: &str =
    "providers: {corp: {issuer: 'https://i.example.com', audiences: [a], discovery: {cluster: idp}}}\n";

const BY_ENVOY: &str = "\
providers:
  corp:
    issuer: https://idp.example.com
    audiences: [orders]
    local_jwks: {filename: /etc/jwt/keys.json}
    binding:
      dpop:
        required: true
        nonce: {secret: {name: nonces, sds_config: {path_config_source: {path: /etc/jwt/sds.yaml}}}}
  other:
    issuer: https://other.example.com
    audiences: [orders]
    localJwks: {environmentVariable: KEYS}
    binding: {dpop: {required: true, nonce: {secret: {filename: /etc/jwt/nonces}}}}
";

/// The same, in a filter of Envoy.
fn in_native_filter() -> String {
    let config: String = BY_ENVOY.lines().map(|line| format!("        {line}\n")).collect();
    format!(
        "http_filters:\n- typed_config:\n    \
         '@type': type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter\n    \
         filter_config:\n      '@type': type.googleapis.com/google.protobuf.Struct\n      value:\n{config}"
    )
}

#[test]
fn files_and_secrets_that_only_the_native_module_reads_are_no_faults_for_it() {
    // Both fields of the secret of SDS.
    let refused = ["error invalid"; 5];
    assert_eq!(codes(BY_ENVOY), refused);
    let native = jwtctl_with(&["check", "--host", "native", "--output", "json", "-"], BY_ENVOY);
    assert_eq!((native.code, native.findings()), (0, Vec::new()), "{native:?}");
    let native = in_native_filter();
    assert_eq!(codes(&native), [""; 0], "{native}");
    // `watched_directory` is refused by both modules, and a faulty source is a fault for both.
    for (from, to) in [
        (
            "{filename: /etc/jwt/keys.json}",
            "{filename: /k, watched_directory: {path: /etc/jwt}}",
        ),
        ("{filename: /etc/jwt/keys.json}", "{filename: 7}"),
        ("{name: nonces, ", "{"),
        ("{name: nonces, ", "{name: nonces, inline_string: x, "),
        ("{filename: /etc/jwt/nonces}", "{inline_string: short}"),
    ] {
        let text = BY_ENVOY.replace(from, to);
        assert_ne!(text, BY_ENVOY);
        let ran = jwtctl_with(&["check", "--host", "native", "--output", "json", "-"], &text);
        assert_eq!(ran.code, 1, "{to}: {ran:?}");
    }
}
