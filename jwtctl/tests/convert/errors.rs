//! Parts of a policy that cannot be carried over.

use serde_json::{Value, json};

use crate::clients::Keys;
use crate::common::{Folder, Ran, jwtctl, jwtctl_with};
use crate::istio::{authorization_policy, request_authentication};

#[test]
fn rules_that_overlap_in_too_many_ways_are_an_error() {
    let rules: Vec<Value> = (0..12)
        .map(|number| {
            json!({"to": [{"operation": {"methods": ["GET"], "paths": [format!("/{{*}}/{number}/{{**}}")]}}],
                "when": [{"key": format!("request.auth.claims[c{number}]"), "values": ["x"]}]})
        })
        .collect();
    let resources = [
        request_authentication(&Keys::new()),
        authorization_policy("ALLOW", rules.into()),
    ];
    let text = json!({"kind": "List", "items": resources}).to_string();
    let ran = jwtctl_with(&["convert", "-", "--findings", "json"], &text);
    assert_eq!((ran.code, &*ran.out), (1, ""));
    assert!(
        errors(&ran)
            .iter()
            .any(|(_, what)| what.contains("overlaps with too many other rules")),
        "{ran:?}"
    );
}

/// The errors, each as its line and message.
fn errors(ran: &Ran) -> Vec<(u64, String)> {
    let report: Value = serde_json::from_str(&ran.err).unwrap_or_else(|error| panic!("{error}: {}", ran.err));
    let findings = report["findings"].as_array().expect("findings").clone();
    let errors = findings.iter().filter(|finding| finding["level"] == "error");
    errors
        .map(|finding| {
            (
                finding["line"].as_u64().expect("a line"),
                finding["message"].as_str().expect("a text").to_owned(),
            )
        })
        .collect()
}

#[test]
fn what_cannot_be_carried_over_is_an_error_with_its_place() {
    let authn = |fields: &str| {
        format!(
            "\"@type\": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication\n{fields}"
        )
    };
    let istio = |rule: &str| {
        format!(
            "kind: RequestAuthentication\nspec: {{jwtRules: [{{issuer: 'https://a'}}, {{issuer: 'https://b'}}]}}\n---\nkind: AuthorizationPolicy\nspec:\n  rules:\n  - {rule}\n"
        )
    };
    let gateway = |spec: &str| {
        format!("kind: SecurityPolicy\nspec:\n  jwt: {{providers: [{{name: a, issuer: x}}]}}\n  {spec}\n")
    };
    for (text, line, message) in [
        (
            authn("providers: {a: {local_jwks: {inline_string: ''}}}"),
            2,
            "without `issuer`",
        ),
        (
            authn("providers:\n  a: {issuer: x, local_jwks: {filename: /k}}"),
            3,
            "file",
        ),
        (
            authn(
                "providers:\n  a: {issuer: x, remote_jwks: {http_uri: {uri: 'https://a/', cluster: c}}}\nrules:\n- match: {prefix: /, grpc: {}}\n",
            ),
            5,
            "jwt_authn",
        ),
        (
            authn(
                "providers:\n  a: {issuer: x, remote_jwks: {http_uri: {uri: 'https://a/', cluster: c}}}\nrules:\n- match: {prefix: /}\n  requires: {extract_only_without_validation: {}}\n",
            ),
            6,
            "verified",
        ),
        (istio("from: [{source: {principals: ['a']}}]"), 7, "`principals`"),
        (istio("from: [{source: {ipBlocks: ['a']}}]"), 7, "`ipBlocks`"),
        (istio("to: [{operation: {notPorts: ['80']}}]"), 7, "`notPorts`"),
        (istio("to: [{operation: {ports: ['80']}}]"), 7, "`ports`"),
        (
            istio("when: [{key: source.ip, values: ['1.2.3.4']}]"),
            7,
            "`source.ip`",
        ),
        (
            istio("when: [{key: 'source.principal', notValues: ['x']}]"),
            7,
            "`source.principal`",
        ),
        (
            istio("from: [{source: {notRequestPrincipals: ['*c/b']}}]"),
            7,
            "the issuer `…c`",
        ),
        // The issuer is the text before the last slash.
        (
            istio("from: [{source: {requestPrincipals: ['https://a/team/x']}}]"),
            7,
            "the issuer `https://a/team`",
        ),
        (
            istio("from: [{source: {requestPrincipals: ['https://a*']}}]"),
            7,
            "the issuer `https:/`",
        ),
        (
            "kind: RequestAuthentication\nspec: {jwtRules: [{issuer: someone}]}\n".to_owned(),
            2,
            "is not a URL",
        ),
        (
            "kind: RequestAuthentication\nspec:\n  jwtRules: [{issuer: 'https://a', spaceDelimitedClaims: [roles]}, {issuer: 'https://b'}]\n".to_owned(),
            3,
            "`roles` at spaces only for some issuers",
        ),
        (
            istio("from: [{source: {requestPrincipals: ['https://c/x']}}]"),
            7,
            "issuer",
        ),
        (
            istio("{}").replace("rules:", "action: CUSTOM\n  rules:"),
            4,
            "CUSTOM",
        ),
        (gateway("mergeType: JSONMerge"), 4, "merged"),
        (gateway("unheard: {}"), 4, "`unheard`"),
        (
            gateway("authorization: {rules: [{action: Allow, cel: 'true'}]}"),
            4,
            "`cel`",
        ),
        (
            gateway("authorization: {defaultAction: Deny}").replace("jwt: {", "jwt: {failOpen: true, "),
            3,
            "`failOpen`",
        ),
        (
            gateway(
                "authorization: {defaultAction: Allow, rules: [{action: Deny, principal: {geoIP: [a]}}]}",
            ),
            4,
            "`geoIP`",
        ),
        (
            gateway("authorization: {rules: [{action: Allow, principal: {clientCIDRs: [a]}}]}"),
            4,
            "`clientCIDRs`",
        ),
    ] {
        let ran = jwtctl_with(&["convert", "-", "--findings", "json"], &text);
        assert_eq!((ran.code, &*ran.out), (1, ""), "{text}\n{ran:?}");
        let found = errors(&ran);
        assert!(
            found
                .iter()
                .any(|(at, what)| *at == line && what.contains(message)),
            "{text}\n{found:#?}"
        );
        // With `--partial`, the command prints the part that it could carry over.
        assert!(
            jwtctl_with(&["convert", "-", "--partial"], &text)
                .out
                .contains("providers:"),
            "{text}"
        );
    }
    assert_eq!(jwtctl_with(&["convert", "-"], "a: 1").code, 2);
    assert_eq!(jwtctl_with(&["convert", "-"], "a: [").code, 2);
}

#[test]
fn names_that_miss_by_a_little_are_pointed_out() {
    let text = "\
kind: RequestAuthentication
spec:
  jwtRules: [{issuer: 'https://a.example.com/', jwks_uri: 'https://keys.example.com/k'}]
---
kind: AuthorizationPolicy
spec:
  rules:
  - from: [{source: {requestPrincipals: ['https://a.example.com/*']}}]
    when: [{key: 'request.auth.claims[realm_access/roles]', values: [admin]}]
  - when: [{key: 'request.auth.claims[https://a.example.com/roles]', values: [admin]}]
";
    let ran = jwtctl_with(&["convert", "-", "--findings", "json"], text);
    assert_eq!(ran.code, 1);
    let found = errors(&ran);
    assert!(
        found
            .iter()
            .any(|(_, what)| what.contains("write `https://a.example.com//*`")),
        "{found:?}"
    );
    assert!(
        ran.err.contains("`request.auth.claims[realm_access][roles]`"),
        "{}",
        ran.err
    );
    assert!(!ran.err.contains("[https:]"), "{}", ran.err);
    // The result keeps the spelling of the field.
    let ran = jwtctl_with(&["convert", "-", "--bare", "--partial"], text);
    assert!(ran.out.contains("uri: https://keys.example.com/k"), "{}", ran.out);
    let text = "\
kind: SecurityPolicy
spec:
  jwt: {providers: [{name: corp, issuer: 'https://a.example.com', audiences: [a]}]}
  authorization:
    rules:
    - {action: Allow, principal: {jwt: {provider: crop, scopes: [a]}}}
    - {action: Allow, principal: {jwt: {provider: corp, scopes: [a]}}}
";
    let ran = jwtctl_with(&["convert", "-", "--findings", "json"], text);
    let found = errors(&ran);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found.iter().any(|(_, what)| what.contains("has no `crop`")),
        "{found:?}"
    );
}

/// A conversion that reads past a mistake could let requests pass that the policy was written to refuse.
#[test]
fn a_mistake_in_a_resource_is_an_error_at_its_place() {
    let istio = |spec: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nspec: {{jwtRules: [{{issuer: 'https://a'}}]}}\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nspec:\n  {spec}\n"
        )
    };
    let authentication = |rule: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nspec:\n  jwtRules:\n  - {{issuer: 'https://a', {rule}}}\n"
        )
    };
    let gateway = |spec: &str| {
        format!(
            "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: SecurityPolicy\nspec:\n  jwt: {{providers: [{{name: a, issuer: x, localJWKS: {{inline: '{{\"keys\":[]}}'}}}}]}}\n  {spec}\n"
        )
    };
    let principal = |jwt: &str| {
        gateway(&format!(
            "authorization: {{rules: [{{action: Allow, principal: {{jwt: {jwt}}}}}]}}"
        ))
    };
    let list = "expected a list of strings, found a string";
    let objects = "expected a list of objects, found an object";
    // The mark is at the place of the error.
    for (text, message) in [
        (istio("rules: [{from: [{§sources: {}}]}]"), "did you mean `source`?"),
        (istio("rules: [{to: [{§operations: {}}]}]"), "did you mean `operation`?"),
        (
            istio("rules: [{from: [{source: {§requestPrincipal: ['*']}}]}]"),
            "did you mean `requestPrincipals`?",
        ),
        (istio("rules: [{to: [{operation: {paths: §/a}}]}]"), list),
        (istio("rules: [{from: [{source: {requestPrincipals: §'*'}}]}]"), list),
        (istio("rules: [{when: [{key: 'request.auth.claims[a]', values: §b}]}]"), list),
        (istio("rules: [{when: [{key: 'request.auth.claims[a]', values: [§5]}]}]"), "found a number"),
        (istio("rules: [{when: [§{key: 'request.auth.claims[a]'}]}]"), "`values` or `notValues`"),
        (istio("rules: [{from: [{source: §{}}]}]"), "it says nothing"),
        (istio("rules: §{to: []}"), objects),
        (istio("rules: [{from: §{source: {requestPrincipals: ['*']}}}]"), objects),
        (istio("rules: [{when: §{key: 'request.auth.claims[a]', values: [b]}}]"), objects),
        (istio("rules: [§null]"), "expected an object, found nothing"),
        (istio("action: §deny"), "one of `ALLOW`, `DENY`"),
        (istio("action: ALLOW\n  §action: DENY"), "`action` occurs twice"),
        (
            istio("rules:\n  - when: [{key: 'request.auth.claims[a]', values: [b]}]\n    §when: []"),
            "`when` occurs twice",
        ),
        (authentication("audiences: §api"), list),
        (authentication("fromHeaders: §{name: x}"), objects),
        (authentication("fromHeaders: [§x]"), "expected an object, found a string"),
        (authentication("fromHeaders: [{name: x, §valuePrefix: y}]"), "`valuePrefix`"),
        (authentication("outputClaimToHeaders: [{§claims: a, header: x}]"), "did you mean `claim`?"),
        (principal("{provider: a, scopes: §read}"), list),
        (principal("{provider: a, claims: §{name: a, values: [b]}}"), objects),
        (principal("§{provider: a}"), "`scopes` or `claims`"),
        (
            principal("{provider: a, claims: [{name: a, valueType: §Array, values: [b]}]}"),
            "one of `String`, `StringArray`",
        ),
        (gateway("authorization: {defaultAction: §allow}"), "one of `Allow`, `Deny`"),
        (gateway("authorization: {rules: [§{name: a}]}"), "`action` is missing"),
        (gateway("authorization: {rules: [{action: Allow, §cel: 'true'}]}"), "`cel`"),
        // Two documents without a line of `---` between them.
        (
            "kind: RequestAuthentication\nspec: {jwtRules: [{issuer: 'https://a'}]}\n§kind: AuthorizationPolicy\nspec: {action: DENY}\n".to_owned(),
            "`kind` occurs twice",
        ),
    ] {
        let (before, _) = text.split_once('§').expect("a mark");
        let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
        let place = (before.matches('\n').count() + 1, column);
        let ran = jwtctl_with(&["convert", "-", "--findings", "json"], &text.replace('§', ""));
        assert_eq!((ran.code, &*ran.out), (1, ""), "{text}");
        let found = places_of_errors(&ran, message);
        assert_eq!(found, [place], "{message} for {text}\n{}", ran.err);
    }
}

/// Line and column of each error with this message.
fn places_of_errors(ran: &Ran, message: &str) -> Vec<(usize, usize)> {
    let report: Value = serde_json::from_str(&ran.err).unwrap_or_else(|error| panic!("{error}: {}", ran.err));
    let found = report["findings"].as_array().expect("findings").iter();
    let number = |finding: &Value, name: &str| finding[name].as_u64().expect("a number") as usize;
    found
        .filter(|one| one["level"] == "error" && one["message"].as_str().expect("a text").contains(message))
        .map(|one| (number(one, "line"), number(one, "column")))
        .collect()
}

#[test]
fn policies_that_belong_together_may_be_in_several_files() {
    let folder = Folder::new("convert-files");
    let authentication = folder.write(
        "authentication.yaml",
        "kind: RequestAuthentication\nspec:\n  jwtRules:\n  - {issuer: 'https://a', audiences: [x]}\n",
    );
    let policy = folder.write(
        "policy.yaml",
        "kind: AuthorizationPolicy\nspec:\n  rules:\n  - from: [{source: {requestPrincipals: ['*'], ipBlocks: ['10.0.0.1']}}]\n",
    );
    let ran = jwtctl(&["convert", "--map", "--partial", &policy, &authentication]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains(&format!("{policy}:4:48")), "{}", ran.err);
    assert!(ran.err.contains(&format!("{authentication}:1:1")), "{}", ran.err);
    assert!(ran.out.contains("requires: {provider_name: a}"), "{}", ran.out);
    assert!(
        ran.out.contains(&format!("issuer: {authentication}:4:14")),
        "{}",
        ran.out
    );
}

#[test]
fn kinds_of_other_products_are_not_read() {
    for version in [
        "tyk.tyk.io/v1alpha1\nkind: SecurityPolicy",
        "policy.linkerd.io/v1\nkind: AuthorizationPolicy",
    ] {
        let ran = jwtctl_with(
            &["convert", "-"],
            &format!("apiVersion: {version}\nspec: {{jwt: {{providers: []}}}}\n"),
        );
        assert_eq!((ran.code, &*ran.out), (2, ""), "{}", ran.err);
    }
}
