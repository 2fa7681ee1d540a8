//! Rules and settings that the filter accepts, and that the operator probably did not mean.

use super::{PROVIDERS, check, codes, has};
use crate::common::jwtctl_with;

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
    // A rule with a faulty test hides no later rule. Neither does a rule without `match`.
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
        // If the rule needs a token, it waives nothing.
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

/// A configuration of Envoy with two routes of which the second has a requirement.
fn with_routes(matcher: &str, requirement: &str, provider: &str) -> String {
    format!(
        "http_filters:
- typed_config:
    '@type': type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
    config:
      failure_policy: FAIL_RELOAD
      configuration:
        '@type': type.googleapis.com/google.protobuf.Struct
        value:
          providers:
            corp: {{issuer: 'https://i.example.com', audiences: [a], discovery: {{cluster: idp}}, {provider}}}
          requirement_map: {{admin: {{provider_name: corp}}, open: {{}}}}
route_config:
  virtual_hosts:
  - name: all
    domains: ['*']
    routes:
    - match: {{prefix: /, {matcher}}}
      route: {{cluster: one}}
    - match: {{prefix: /}}
      route: {{cluster: other}}
      metadata: {{filter_metadata: {{{requirement}: {{requirement_name: admin}}}}}}
"
    )
}

#[test]
fn a_route_that_envoy_selects_by_something_that_the_filter_changes_is_found() {
    let header = |name: &str| format!("headers: [{{name: {name}, present_match: true}}]");
    let parameter = "query_parameters: [{name: access_token, present_match: true}]";
    let claim = "claim_to_headers: [{claim_name: sub, header_name: X-Jwt-Sub}]";
    let params = "from_params: [access_token]";
    let cookies = "from_headers: [{name: x-tok}], from_cookies: [session]";
    for (matcher, provider, is_found) in [
        (header("authorization"), "", true),
        (header("Authorization"), claim, true),
        (header("authorization"), "forward: true", false),
        (header("authorization"), params, false),
        (header("x-other"), claim, false),
        (header("x-jwt-sub"), claim, true),
        (
            header("x-jwt-sub"),
            "forward: true, forward_payload_header: x-jwt-sub",
            true,
        ),
        (header("x-tok"), cookies, true),
        (header("cookie"), cookies, true),
        (header("cookie"), params, false),
        (
            "cookies: [{name: session, string_match: {exact: a}}]".to_owned(),
            cookies,
            true,
        ),
        (parameter.to_owned(), params, true),
        (parameter.to_owned(), cookies, false),
        (
            header("x-tok"),
            "forward: true, prefer: header, from_headers: [{name: x-tok}], from_params: [t]",
            true,
        ),
        (header(":method"), claim, false),
    ] {
        let text = with_routes(&matcher, "proxy-wasm-jwt", provider);
        let found = has(&check(&text), "warning", "edited-route", 17);
        assert_eq!(found, is_found, "{text}{:?}", check(&text));
        let others = codes(&with_routes(&matcher, "another", provider));
        assert!(!others.contains(&"warning edited-route".to_owned()), "{others:?}");
        let native = text
            .replace("envoy.extensions.filters.http.wasm.v3.Wasm", NATIVE_TYPE)
            .replace(
                "    config:\n      failure_policy: FAIL_RELOAD\n      configuration:",
                "    config: {}\n    filter_config:",
            );
        assert!(
            !codes(&native).contains(&"warning edited-route".to_owned()),
            "{native}"
        );
    }
}

const NATIVE_TYPE: &str = "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";
