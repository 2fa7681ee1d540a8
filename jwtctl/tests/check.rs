//! `jwtctl check`, on the real binary.

#![cfg(test)]

mod common;

use common::{Folder, jwtctl, jwtctl_with, root};
use serde_json::Value;

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

#[test]
fn a_configuration_of_the_native_module_is_found() {
    let text = "\
http_filters:
- name: envoy.filters.http.dynamic_modules
  typed_config:
    '@type': type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter
    filter_name: jwt
    filter_config:
      '@type': type.googleapis.com/google.protobuf.Struct
      value:
        providers: {}
        rulez: []
";
    assert!(
        has(&check(text), "error", "unknown-field", 10),
        "{:?}",
        check(text)
    );
    let text = "\
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
spec:
  dynamicModule:
  - name: proxy-wasm-jwt
    filterName: jwt
    config:
      providers: {}
      rulez: []
";
    assert!(
        has(&check(text), "error", "unknown-field", 9),
        "{:?}",
        check(text)
    );
}

#[test]
fn what_is_shipped_has_no_errors() {
    let mut checked = 0;
    for folder in ["envoy", "envoy/istio", "envoy/gateway", "envoy/issuers"] {
        for entry in std::fs::read_dir(root().join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if path.extension().is_none_or(|extension| extension != "yaml") || !text.contains("providers:") {
                continue;
            }
            let ran = jwtctl(&["check", &path.to_string_lossy()]);
            assert_eq!(ran.code, 0, "{}", ran.out);
            assert!(ran.out.contains("1 configuration checked"), "{}", ran.out);
            checked += 1;
        }
    }
    assert!(checked >= 8, "only {checked} files");
}

const BOOTSTRAP: &str = r#"
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: 1}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: upstream}
                typed_per_filter_config:
                  envoy.filters.http.jwt_authn:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig
                    requirement_name: admin
          http_filters:
          - name: jwt
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: jwt
                vm_config: {runtime: envoy.wasm.runtime.v8, code: {local: {filename: /etc/jwt.wasm}}}
                configuration:
                  "@type": type.googleapis.com/google.protobuf.Struct
                  value:
                    providers:
                      corp:
                        issuer: https://idp.example.com
                        audiences: [x]
                        remote_jwks: {http_uri: {uri: https://idp.example.com/k, cluster: idq}}
                      other:
                        issuer: https://b.example.com
                        audiences: [x]
                        discovery: {cluster: idp}
  clusters:
  - name: idp
    load_assignment: {cluster_name: idp, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: idp.example.com, port_value: 443}}}}]}]}
    transport_socket:
      name: tls
      typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext}
"#;

#[test]
fn a_bootstrap_is_checked_with_what_surrounds_the_filter() {
    let findings = check(BOOTSTRAP);
    assert!(
        has(&findings, "error", "jwt-authn-left-behind", 20),
        "{findings:?}"
    );
    assert!(has(&findings, "warning", "failure-policy", 28), "{findings:?}");
    assert!(has(&findings, "error", "unknown-cluster", 37), "{findings:?}");
    assert!(has(&findings, "error", "tls-validation", 43), "{findings:?}");
    assert!(has(&findings, "warning", "underscores", 23), "{findings:?}");
    assert!(
        has(&findings, "warning", "path-normalization", 23),
        "{findings:?}"
    );
    let good = BOOTSTRAP
        .replace(
            "                    requirement_name: admin",
            "                    requirement_name: x",
        )
        .replace("cluster: idq", "cluster: idp")
        .replace(
            "vm_config:",
            "failure_policy: FAIL_RELOAD\n                vm_config:",
        )
        .replace(
            "stat_prefix: in",
            "stat_prefix: in\n          normalize_path: true\n          merge_slashes: true\n          \
             path_with_escaped_slashes_action: REJECT_REQUEST\n          common_http_protocol_options: \
             {headers_with_underscores_action: REJECT_REQUEST}",
        )
        .replace(
            "UpstreamTlsContext}",
            "UpstreamTlsContext, common_tls_context: {validation_context: {trusted_ca: {filename: x}, \
             match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: idp.example.com}}]}}}",
        );
    let left: Vec<_> = check(&good).into_iter().map(|(_, code, _)| code).collect();
    assert_eq!(left, ["jwt-authn-left-behind"]);
    let open = good.replace("FAIL_RELOAD", "FAIL_OPEN");
    assert!(codes(&open).contains(&"error fails-open".to_owned()));
    let any_host = good
        .replace("san_type", "x")
        .replace("match_typed_subject_alt_names: [", "y: [");
    assert!(codes(&any_host).contains(&"warning tls-validation".to_owned()));
}

#[test]
fn numbers_of_a_struct_are_doubles_as_in_envoy() {
    let config = |number: &str| {
        BOOTSTRAP.replace(
            "                      other:",
            &format!("                      other:\n                        clock_skew_seconds: {number}"),
        )
    };
    assert!(!codes(&config("60.0")).contains(&"error invalid".to_owned()));
    assert!(codes(&config("60.5")).contains(&"error invalid".to_owned()));
}

#[test]
fn a_configuration_inside_a_text_has_the_files_lines() {
    let text = r#"
http_filters:
- name: jwt
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
    config:
      failure_policy: FAIL_RELOAD
      configuration:
        "@type": type.googleapis.com/google.protobuf.StringValue
        value: |
          {
            "providers": {
              "corp": {"issuer": "https://idp.example.com", "audiences": ["a"],
                       "discovry": {"cluster": "idp"}}
            }
          }
"#;
    assert!(has(&check(text), "error", "unknown-field", 14));
    // The filter would get YAML, which it does not read.
    let (before, _) = text.split_once("          {\n").expect("a block");
    let yaml = format!("{before}          providers:\n            corp: {{issuer: a, audiences: [b]}}\n");
    assert!(
        codes(&yaml).iter().any(|code| code == "error configuration-text"),
        "{:?}",
        codes(&yaml)
    );
    let untyped = text.replace(
        "        \"@type\": type.googleapis.com/google.protobuf.StringValue\n",
        "",
    );
    assert!(!codes(&untyped).is_empty());
}

#[test]
fn manifests_are_found_among_others() {
    let provider = "{issuer: https://idp.example.com, audiences: [a], discovery: {cluster: idp}, x: 1}";
    let text = format!(
        "\
apiVersion: v1
kind: Service
metadata: {{name: a}}
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {{name: jwt}}
spec:
  url: oci://images.example.com/proxy-wasm-jwt:1
  failStrategy: FAIL_OPEN
  pluginConfig:
    providers: {{corp: {provider}}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
spec:
  wasm:
  - name: jwt
    failOpen: true
    config:
      providers: {{corp: {provider}}}
---
kind: List
apiVersion: v1
items:
- kind: WasmPlugin
  spec:
    pluginConfig: {{providers: {{corp: {provider}}}}}
- kind: WasmPlugin
  spec: {{url: 'oci://other/waf:1', pluginConfig: {{rules_file: x}}}}
---
kind: ConfigMap
apiVersion: v1
data:
  jwt.yaml: |
    providers:
      corp: {provider}
  envoy.yaml: |
    http_filters:
    - typed_config:
        \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
        config:
          configuration:
            \"@type\": type.googleapis.com/google.protobuf.Struct
            value:
              providers: {{corp: {provider}}}
"
    );
    let findings = check(&text);
    for line in [12, 21, 28, 37, 46] {
        assert!(
            has(&findings, "error", "unknown-field", line),
            "{line}: {findings:?}"
        );
    }
    assert!(has(&findings, "error", "fails-open", 10), "{findings:?}");
    assert!(has(&findings, "error", "fails-open", 19), "{findings:?}");
    assert!(has(&findings, "warning", "failure-policy", 28), "{findings:?}");
    assert!(has(&findings, "note", "other-module", 30), "{findings:?}");
}

const PROVIDERS: &str =
    "providers: {corp: {issuer: 'https://i.example.com', audiences: [a], discovery: {cluster: idp}}}\n";

fn with_rules(rules: &str) -> Vec<String> {
    codes(&format!("{PROVIDERS}rules:\n{rules}"))
}

#[test]
fn rules_that_never_apply_and_waivers_that_are_wide_are_found() {
    let need = "requires: {provider_name: corp}";
    let unreachable = |rules: &str| {
        with_rules(rules)
            .iter()
            .any(|code| code.ends_with("unreachable-rule"))
    };
    for (earlier, later) in [
        ("prefix: /", "path: /a"),
        ("prefix: /a", "path_separated_prefix: /a"),
        ("path_separated_prefix: /a", "prefix: /a/"),
        ("path_separated_prefix: /a", "path: /a"),
        ("prefix: /A, case_sensitive: false", "prefix: /ab"),
        ("prefix: /a, methods: [GET, POST]", "prefix: /ab, methods: [POST]"),
        ("hosts: [a.example.com]", "prefix: /x, hosts: [a.example.com]"),
        ("prefix: /a", "safe_regex: {regex: '/ab?c*'}"),
        ("path_separated_prefix: /a", "safe_regex: {regex: '^/a/[^/]+'}"),
        (
            "path_separated_prefix: /v1.0",
            r"safe_regex: {regex: '/v1\.0/.*'}",
        ),
        (
            "prefix: /, headers: [{name: x, present_match: true}]",
            "path: /y, headers: [{name: x, present_match: true}, {name: z, present_match: true}]",
        ),
    ] {
        let rules = format!("- match: {{{earlier}}}\n  {need}\n- match: {{{later}}}\n  {need}\n");
        assert!(unreachable(&rules), "{rules}");
        let swapped = format!("- match: {{{later}}}\n  {need}\n- match: {{{earlier}}}\n  {need}\n");
        assert!(!unreachable(&swapped), "{swapped}");
    }
    for (earlier, later) in [
        ("path_separated_prefix: /a", "prefix: /a"),
        ("prefix: /ab", "safe_regex: {regex: '/ab?c'}"),
        ("path_separated_prefix: /a", "safe_regex: {regex: '/a[^/]+'}"),
        ("prefix: /a", "safe_regex: {regex: '/a.*|/b'}"),
        ("prefix: /a", "prefix: /A, case_sensitive: false"),
        ("prefix: /a, methods: [GET]", "prefix: /a"),
        ("prefix: /a, hosts: [a.example.com]", "prefix: /a, methods: [GET]"),
    ] {
        let rules = format!("- match: {{{earlier}}}\n  {need}\n- match: {{{later}}}\n  {need}\n");
        assert!(!unreachable(&rules), "{rules}");
    }
    // A rule with a faulty test hides no later rule, and one that lacks its `match` neither.
    for faulty in [
        "match: {prefix: /admin/*}",
        "match: {prefix: 7}",
        "match: {methods: GET, host: a.example.com}",
        "match: [{path: /x}, {safe_regex: {regex: '('}}]",
        "match: {headers: [{name: x, exact: 1}]}",
        "name: without",
    ] {
        let rules = format!("- {faulty}\n  {need}\n- match: {{prefix: /}}\n  {need}\n");
        assert!(!unreachable(&rules), "{rules}");
        let rules = format!("{rules}- match: {{path: /y}}\n  {need}\n");
        assert!(unreachable(&rules), "{rules}");
    }
    // The most important case: a waiver before a rule that requires a token.
    let waived = format!("- match: {{prefix: /api}}\n- match: {{prefix: /api/admin}}\n  {need}\n");
    let found = with_rules(&waived);
    assert!(found.contains(&"error unreachable-rule".to_owned()), "{found:?}");
    assert!(found.contains(&"warning wide-waiver".to_owned()), "{found:?}");
    for pattern in [".*", "^/.*$"] {
        let rules = format!("- match: {{safe_regex: {{regex: '{pattern}'}}}}\n");
        assert_eq!(
            with_rules(&rules),
            with_rules("- match: {prefix: /}\n"),
            "{pattern}"
        );
    }
    // Patterns of the same width, and such that stay in their folder.
    for (pattern, is_wide) in [
        ("/pub.*", true),
        (r"^/v1\.public.*$", true),
        (r".*\.css", true),
        (r"^/.*\.(css|js|png)$", true),
        (".*/health", true),
        ("/pub(/.*)?", false),
        ("/pub/.*", false),
        (r"/static/.*\.css", false),
        ("/(pub|open)", false),
        (".*", false),
    ] {
        let rules =
            format!("- match: {{safe_regex: {{regex: '{pattern}'}}}}\n- match: {{prefix: /}}\n  {need}\n");
        let found = with_rules(&rules).contains(&"warning wide-waiver".to_owned());
        assert_eq!(found, is_wide, "{pattern}");
        // With a token there is nothing to waive.
        let needed = format!("- match: {{safe_regex: {{regex: '{pattern}'}}}}\n  {need}\n");
        assert!(
            !with_rules(&needed).contains(&"warning wide-waiver".to_owned()),
            "{pattern}"
        );
    }
    let narrow = format!(
        "- match: {{path_separated_prefix: /api}}\n- match: {{prefix: /static/}}\n- match: {{prefix: /}}\n  {need}\n"
    );
    assert_eq!(with_rules(&narrow), Vec::<String>::new());
    assert_eq!(
        with_rules("- match: {prefix: /}\n"),
        ["warning waives-everything"]
    );
    let optional = "- match: {prefix: /}\n  requires: {allow_missing: {}}\n";
    assert_eq!(with_rules(optional), ["warning waives-everything"]);
    let by_header = format!(
        "- match: {{prefix: /, headers: [{{name: x-internal, present_match: true}}]}}\n- match: {{prefix: /}}\n  {need}\n"
    );
    assert_eq!(with_rules(&by_header), ["warning client-decides"]);
}

#[test]
fn tests_that_no_request_passes_together_are_found() {
    let rule =
        |tests: &str| format!("- match: {{prefix: /, {tests}}}\n  requires: {{provider_name: corp}}\n");
    let headers = |one: &str, other: &str| {
        rule(&format!(
            "headers: [{{name: x-a, {one}}}, {{name: X-A, {other}}}]"
        ))
    };
    let text = |test: &str| format!("string_match: {{{test}}}");
    for (one, other, are_apart) in [
        (
            "present_match: true".to_owned(),
            "present_match: false".to_owned(),
            true,
        ),
        (
            "present_match: true".to_owned(),
            "present_match: true, invert_match: true".to_owned(),
            true,
        ),
        ("present_match: false".to_owned(), text("exact: a"), true),
        (
            "present_match: false".to_owned(),
            format!("{}, treat_missing_header_as_empty: true", text("exact: ''")),
            false,
        ),
        (text("exact: a"), text("exact: b"), true),
        (text("exact: a"), text("exact: a"), false),
        (text("exact: a"), "exact_match: b".to_owned(), true),
        (text("exact: A"), text("exact: a, ignore_case: true"), false),
        (text("exact: A"), text("exact: a"), true),
        (text("exact: abc"), text("prefix: b"), true),
        (text("exact: abc"), text("prefix: ab"), false),
        (text("exact: abc"), text("suffix: b"), true),
        (text("exact: abc"), text("contains: d"), true),
        (text("prefix: ab"), text("prefix: abc"), false),
        (text("prefix: ab"), text("prefix: ac"), true),
        (text("suffix: ab"), text("suffix: bb"), true),
        (text("prefix: a"), text("suffix: b"), false),
        (
            text("exact: a"),
            format!("{}, invert_match: true", text("exact: a")),
            true,
        ),
        (
            text("prefix: abc"),
            format!("{}, invert_match: true", text("prefix: ab")),
            true,
        ),
        (
            text("prefix: ab"),
            format!("{}, invert_match: true", text("prefix: abc")),
            false,
        ),
        (
            text("exact: a, ignore_case: true"),
            format!("{}, invert_match: true", text("exact: a")),
            false,
        ),
        (
            text("exact: seven"),
            "range_match: {start: 1, end: 9}".to_owned(),
            true,
        ),
        (
            text("exact: '7'"),
            "range_match: {start: 1, end: 9}".to_owned(),
            false,
        ),
        (
            "range_match: {start: 9, end: 12}".to_owned(),
            "range_match: {start: 1, end: 9}".to_owned(),
            true,
        ),
        (text("safe_regex: {regex: a}"), text("exact: b"), false),
    ] {
        for rules in [headers(&one, &other), headers(&other, &one)] {
            let found = with_rules(&rules).contains(&"error unreachable-rule".to_owned());
            assert_eq!(found, are_apart, "{rules}{:?}", with_rules(&rules));
        }
    }
    for (tests, are_apart) in [
        (
            "methods: [GET], headers: [{name: ':method', string_match: {exact: POST}}]",
            true,
        ),
        (
            "methods: [GET, POST], headers: [{name: ':method', string_match: {prefix: PO}}]",
            false,
        ),
        (
            "headers: [{name: host, exact_match: a}, {name: ':authority', exact_match: b}]",
            true,
        ),
        (
            "headers: [{name: x-a, exact_match: a}, {name: x-b, exact_match: b}]",
            false,
        ),
        (
            "query_parameters: [{name: q, string_match: {exact: a}}, {name: q, present_match: false}]",
            true,
        ),
        (
            "query_parameters: [{name: q, string_match: {exact: a}}, {name: Q, present_match: false}]",
            false,
        ),
    ] {
        let found = with_rules(&rule(tests)).contains(&"error unreachable-rule".to_owned());
        assert_eq!(found, are_apart, "{tests}");
    }
    // The other part of a list still applies. The place is the second of the two tests.
    let parts = "- match:
  - path: /a
  - prefix: /b
    headers:
    - {name: x, exact_match: a}
    - {name: x, exact_match: b}
  requires: {provider_name: corp}
";
    let lines = u64::try_from(PROVIDERS.lines().count()).expect("few");
    let found = check(&format!("{PROVIDERS}rules:\n{parts}"));
    assert!(has(&found, "error", "unreachable-rule", lines + 7), "{found:?}");
}

#[test]
fn waivers_of_a_host_and_of_all_but_a_path_are_found() {
    let need = "- match: {prefix: /}\n  requires: {provider_name: corp}\n";
    for (waiver, expected) in [
        (
            "- match: {prefix: /, hosts: [shop.example.com]}\n",
            "warning waives-everything",
        ),
        (
            "- match: {hosts: shop.example.com}\n  requires: {allow_missing: {}}\n",
            "warning waives-everything",
        ),
        (
            "- match: {prefix: /, hosts: ['*.example.com']}\n  requires: {allow_missing_or_failed: {}}\n",
            "warning waives-everything",
        ),
        ("- match: {prefix: /static/, hosts: [shop.example.com]}\n", ""),
        ("- match: {prefix: /, methods: [OPTIONS]}\n", ""),
        (
            "- match: {prefix: /, not: {path: /admin}}\n",
            "warning wide-waiver",
        ),
        (
            "- match: {prefix: /, not: [{path: /admin}, {path_separated_prefix: /api}]}\n",
            "warning wide-waiver",
        ),
        (
            "- match: {prefix: /, not: [{path: /api/x}, {path_separated_prefix: /api}]}\n",
            "",
        ),
        ("- match: {prefix: /, not: {path_separated_prefix: /admin}}\n", ""),
        (
            "- match: {safe_regex: {regex: '/(pub|open).*'}}\n",
            "warning wide-waiver",
        ),
        (
            "- match: {safe_regex: {regex: '/v[0-9]+/public.*'}}\n",
            "warning wide-waiver",
        ),
        ("- match: {safe_regex: {regex: '/v[0-9]+/public/.*'}}\n", ""),
    ] {
        let found = with_rules(&format!("{waiver}{need}"));
        let expected: &[&str] = if expected.is_empty() { &[] } else { &[expected] };
        assert_eq!(found, expected, "{waiver}");
    }
    let text = format!("{PROVIDERS}rules:\n- match: {{prefix: /, hosts: [shop.example.com]}}\n{need}");
    let ran = jwtctl_with(&["check", "-"], &text);
    assert!(
        ran.out.contains("no request to `shop.example.com` needs a token"),
        "{}",
        ran.out
    );
}

#[test]
fn weak_settings_are_named() {
    let text = "\
providers:
  corp:
    issuer: http://idp.example.com
    audiences: ['*']
    require_expiration: false
    remote_jwks: {http_uri: {uri: http://idp.example.com/k, cluster: idp}}
  own:
    issuer: a
    audiences: [x]
    local_jwks:
      inline_string: '{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"x\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}'
mode: shadow
";
    let findings = check(text);
    for (level, code, line) in [
        ("warning", "any-audience", 4),
        ("warning", "no-expiration", 5),
        ("warning", "plain-http", 6),
        ("error", "private-key", 11),
        ("warning", "shadow-mode", 12),
    ] {
        assert!(has(&findings, level, code, line), "{code}: {findings:?}");
    }
}

#[test]
fn exit_codes_are_conventional() {
    let folder = Folder::new("check");
    let good = folder.write("good.yaml", PROVIDERS);
    let weak = folder.write("weak.yaml", &PROVIDERS.replace("[a]", "['*']"));
    let bad = folder.write("bad.yaml", "providers: {}");
    assert_eq!(jwtctl(&["check", &good]).code, 0);
    assert_eq!(jwtctl(&["check", &weak]).code, 0);
    assert_eq!(jwtctl(&["check", "--deny", "warnings", &weak]).code, 1);
    // Hidden findings count nevertheless.
    assert_eq!(
        jwtctl(&["check", "--deny", "warnings", "--level", "error", &weak]).code,
        1
    );
    assert_eq!(jwtctl(&["check", &good, &bad]).code, 1);
    assert_eq!(jwtctl(&["check", &folder.path("absent.yaml")]).code, 2);
    assert_eq!(jwtctl(&["check"]).code, 2);
    assert_eq!(jwtctl(&["check", "--deny", "what", &good]).code, 2);
    assert_eq!(jwtctl_with(&["check", "-"], "a: [").code, 1);
    assert_eq!(jwtctl_with(&["check", "-"], "").code, 1);
    assert_eq!(
        jwtctl_with(&["check", "-"], "kind: Service\napiVersion: v1\n").code,
        1
    );
}

#[test]
fn sarif_and_json_name_the_same_places() {
    let bad = "providers: {corp: {issuer: x, audiences: [a], discovery: {cluster: idp}, é: 1, zz: 2}}";
    let json = jwtctl_with(&["check", "--output", "json", "-"], bad);
    let sarif = jwtctl_with(&["check", "--output", "sarif", "-"], bad).json();
    let results = sarif["runs"][0]["results"].as_array().expect("results").clone();
    let places: Vec<(String, String, u64)> = results
        .iter()
        .map(|result| {
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let region = &result["locations"][0]["physicalLocation"]["region"];
            (
                text(&result["level"]),
                text(&result["ruleId"]),
                region["startLine"].as_u64().expect("a line"),
            )
        })
        .collect();
    assert_eq!(places, json.findings());
    assert_eq!(sarif["version"], "2.1.0");
    let known: Vec<&str> = sarif["runs"][0]["tool"]["driver"]["rules"]
        .as_array()
        .expect("rules")
        .iter()
        .filter_map(|rule| rule["id"].as_str())
        .collect();
    for (_, code, _) in &places {
        assert!(known.contains(&code.as_str()), "{code}");
    }
    // Columns count characters.
    let columns: Vec<u64> = json.json()["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter_map(|f| f["column"].as_u64())
        .collect();
    assert!(columns.contains(&80), "{columns:?}");
}

#[test]
fn sarif_follows_its_schema() {
    let files = [
        "providers: {corp: {issuer: x, audiences: [a], discovery: {cluster: idp}, zz: 2}}",
        "providers: {corp: {issuer: 'https://a.example', audiences: [a], discovery: {cluster: idp}}}\nrules: [{match: {prefix: /health}}, {match: {path: /healthz}}]",
        "providers: {corp: {issuer: 'https://a.example', audiences: [a], discovery: {cluster: idp}}}\nrules: [{match: {prefix: /}, requires: {provider_name: corp}}]",
        "a: [",
        "kind: Service",
    ];
    for text in files {
        let sarif = jwtctl_with(&["check", "--output", "sarif", "-"], text).json();
        // Unknown members and values are errors, or would be missing afterwards.
        let read: serde_sarif::sarif::Sarif =
            serde_json::from_value(sarif.clone()).unwrap_or_else(|error| panic!("{error}: {sarif:#}"));
        assert_eq!(serde_json::to_value(&read).expect("JSON"), sarif, "{text}");
        let results = read.runs[0].results.as_ref().expect("results");
        for result in results {
            let location = &result.locations.as_ref().expect("a place")[0];
            let physical = location.physical_location.as_ref().expect("a place in a file");
            let region = physical.region.as_ref().expect("a region");
            assert!(
                region.start_line >= Some(1) && region.start_column >= Some(1),
                "{sarif:#}"
            );
            assert!(region.end_line >= region.start_line, "{sarif:#}");
        }
    }
}

#[test]
fn what_a_file_says_does_not_drive_the_terminal() {
    let text = "providers: {corp: {\"a\\e[31mb\": 1}}\n# \u{1b}[31m\nx\u{7}: 1\n";
    let ran = jwtctl_with(&["check", "-"], text);
    assert!(!ran.out.contains(['\u{1b}', '\u{7}']), "{:?}", ran.out);
    assert!(!ran.err.contains('\u{1b}'));
}

#[test]
fn hostile_documents_end_soon() {
    for text in [
        "[".repeat(100_000),
        "a: ".repeat(10_000),
        "? ".repeat(10_000),
        "{".repeat(50_000),
        "- ".repeat(50_000),
    ] {
        let ran = jwtctl_with(&["check", "-"], &text);
        assert!(ran.code == 1 || ran.code == 2, "{ran:?}");
    }
}

#[test]
fn files_of_other_tools_have_no_faults_of_this_filter() {
    for text in [
        "services:\n  proxy: {image: envoyproxy/envoy, command: [envoy, -c, /etc/envoy.yaml]}\nvolumes: {logs: {}}\n",
        "name: ci\non: [push]\njobs: {build: {runs-on: ubuntu-latest}}\n",
        "node: {id: a}\nbootstrap_extensions:\n- name: envoy.bootstrap.wasm\n  typed_config: {singleton: true}\n",
        "kind: WasmPlugin\nspec:\n  url: oci://example.com/waf\n  pluginConfig:\n    rules: [Include @demo-conf, SecRuleEngine On]\n",
        "kind: EnvoyExtensionPolicy\nspec:\n  wasm: [{name: add-header, code: {type: Image, image: {url: example.com/x}}}]\n",
        "kind: PrometheusRule\nspec: {groups: [{name: a, rules: [{alert: Down, expr: up == 0}]}]}\n",
        "rules: [{alert: Down, expr: up == 0}]\n",
        "kind: WasmPlugin\nspec:\n  url: oci://example.com/models\n  pluginConfig: {active: a, providers: [{id: a, type: chat}]}\n",
        "kind: EnvoyExtensionPolicy\nspec: {extProc: [{backendRefs: [{name: a, port: 9002}]}]}\n",
    ] {
        let ours = format!(
            "{text}---\nproviders: {{a: {{issuer: 'https://a', audiences: [x], discovery: {{cluster: a}}}}}}\n"
        );
        let ran = jwtctl_with(&["check", "-", "--output", "json"], &ours);
        assert_eq!(ran.code, 0, "{text}\n{ran:?}");
        let alone = jwtctl_with(&["check", "-", "--output", "json"], text);
        let found = alone.findings();
        let is_about_nothing = |code: &str| matches!(code, "no-configuration" | "other-module");
        assert!(
            found.iter().all(|(_, code, _)| is_about_nothing(code)),
            "{text}\n{found:?}"
        );
    }
    let template = "kind: WasmPlugin\nspec: {url: {{ .Values.url }}}\n";
    let ran = jwtctl_with(&["check", "-"], template);
    assert!(
        ran.out.contains("this is a template: check its output"),
        "{}",
        ran.out
    );
    // A misspelt name is still a configuration of this filter.
    let ran = jwtctl_with(
        &["check", "-", "--output", "json"],
        "provider:\n  a: {issuer: x}\n",
    );
    assert_eq!(
        ran.findings().first().map(|(_, code, line)| (&**code, *line)),
        Some(("unknown-field", 1)),
        "{ran:?}"
    );
}
