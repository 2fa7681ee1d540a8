//! Where a configuration is found: in a bootstrap, a manifest or a text.

use super::{check, codes, has};
use crate::common::{jwtctl, jwtctl_with, root};

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
    // The filter would receive YAML, which it cannot read.
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

#[test]
fn a_plugin_for_the_class_of_a_gateway_applies_nowhere_in_istio() {
    let plugin = |target: &str| {
        format!(
            "\
apiVersion: extensions.istio.io/v1alpha1
kind: TrafficExtension
metadata: {{name: jwt, namespace: istio-system}}
spec:
  targetRefs:
  - {target}
  wasm:
    url: oci://images.example.com/proxy-wasm-jwt:1
    failStrategy: FAIL_RELOAD
    pluginConfig:
      providers: {{corp: {{issuer: https://idp.example.com, audiences: [a], discovery: {{cluster: idp}}}}}}
"
        )
    };
    let group = "group: gateway.networking.k8s.io";
    let findings = check(&plugin(&format!("{{{group}, kind: GatewayClass, name: istio}}")));
    assert!(has(&findings, "error", "applies-nowhere", 6), "{findings:?}");
    for target in [
        "kind: GatewayClass, name: istio-waypoint",
        "kind: Gateway, name: istio",
    ] {
        let findings = check(&plugin(&format!("{{{group}, {target}}}")));
        assert!(
            !findings.iter().any(|(_, code, _)| code == "applies-nowhere"),
            "{findings:?}"
        );
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
