//! `binding`: a stolen token is useless without its client's certificate (RFC 8705). `tests/envoy` has
//! certificates of connections and chains of proxies.

use serde_json::{Value, json};

use super::*;

/// An arbitrary SHA-256 of a certificate, in the form of hosts and in that of tokens.
const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const THUMBPRINT: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn bound(confirmation: Value) -> String {
    token().claim("cnf", confirmation).mint()
}

fn binding(name: &'static str, binding: Value) -> Scenario {
    Scenario::local_with(name, json!({"binding": binding}))
}

pub(super) fn list() -> Vec<Scenario> {
    let mtls = || bound(json!({"x5t#S256": THUMBPRINT}));
    let dpop = || bound(json!({"jkt": THUMBPRINT}));
    let shown = |certificate: &str, token: &str| {
        get("/orders")
            .header("x-forwarded-client-cert", certificate)
            .bearer(token)
    };
    let element = format!("By=spiffe://a/b;Hash={HEX};Subject=\"CN=a,O=b\"");
    let other = format!("Hash={};Subject=\"CN=b\"", "f".repeat(64));
    // A client's text that tries to include the proxy's own element.
    let open = format!("Hash={HEX};Subject=\"");
    let lines = |first: &str, second: &str| {
        shown(first, &bound(json!({"x5t#S256": THUMBPRINT}))).header("x-forwarded-client-cert", second)
    };
    let mismatch = || denied("binding_mismatch");
    vec![
        Scenario::local("a bound token is no bearer token")
            .token(mtls(), mismatch())
            .token(dpop(), mismatch())
            .token(bound(json!({"kid": "a"})), mismatch())
            .token(bound(json!({})), mismatch())
            .token(bound(Value::Null), denied("claim_malformed"))
            .token(bound(json!("a")), denied("claim_malformed"))
            .token(testkit::tamper_signature(&mtls()), denied("signature_invalid"))
            .token(token().mint(), forwarded()),
        binding("unless it is said in so many words", json!("off"))
            .token(mtls(), forwarded())
            .token(dpop(), forwarded())
            .token(token().mint(), forwarded()),
        binding("YAML reads off as false", json!(false)).token(mtls(), forwarded()),
        binding("certificates are not looked at", json!({"mtls": "off"})).token(mtls(), mismatch()),
        binding(
            "a bound token goes with its certificate",
            json!({"mtls": "if_present", "trust_xfcc": true}),
        )
        .request(shown(&element, &mtls()), forwarded())
        .request(
            shown(&format!("hash={}", HEX.to_uppercase()), &mtls()),
            forwarded(),
        )
        .request(shown(&element.replace("0001", "0002"), &mtls()), mismatch())
        .request(shown(&format!("{element},{element}"), &mtls()), mismatch())
        .request(
            shown(&format!("Subject=\"Hash={HEX}\";Hash=00"), &mtls()),
            mismatch(),
        )
        .request(shown("", &mtls()), mismatch())
        .request(shown(&format!("{open},{other}"), &mtls()), mismatch())
        .request(lines(&element, &element), mismatch())
        .request(shown(&element, &dpop()), mismatch())
        .request(
            shown(&element, &bound(json!({"x5t#S256": THUMBPRINT, "jkt": "a"}))),
            mismatch(),
        )
        .request(
            shown(&element, &bound(json!({"x5t#S256": 7}))),
            denied("claim_malformed"),
        )
        .token(mtls(), mismatch())
        .token(token().mint(), forwarded()),
        binding(
            "every token has to be bound",
            json!({"mtls": "required", "trust_xfcc": true}),
        )
        .request(shown(&element, &mtls()), forwarded())
        .request(shown(&element, &token().mint()), mismatch())
        .token(token().mint(), mismatch()),
        binding(
            "the last of forwarded certificates is the client's",
            json!({"mtls": "if_present", "trust_xfcc": {"trusted_hops": 0}}),
        )
        .request(shown(&element, &mtls()), forwarded())
        .request(shown(&format!("{other},{element}"), &mtls()), forwarded())
        .request(shown(&format!("{element},{other}"), &mtls()), mismatch())
        .request(shown(&format!("{open},{other}"), &mtls()), mismatch())
        .request(lines(&other, &element), forwarded())
        .request(lines(&element, &other), mismatch())
        .token(mtls(), mismatch())
        .token(token().mint(), forwarded()),
        binding(
            "the last but one of forwarded certificates is the client's",
            json!({"mtls": "required", "trust_xfcc": {"trusted_hops": 1}}),
        )
        .request(shown(&format!("{element},{other}"), &mtls()), forwarded())
        .request(shown(&format!("{other},{element},{other}"), &mtls()), forwarded())
        .request(shown(&format!("{element},{other},{other}"), &mtls()), mismatch())
        .request(shown(&format!("{open},{other},{other}"), &mtls()), mismatch())
        .request(shown(&element, &mtls()), mismatch())
        .request(lines(&element, &other), forwarded())
        .request(lines(&other, &element), mismatch())
        .token(mtls(), mismatch()),
        binding(
            "a forwarded certificate is not believed unasked",
            json!({"mtls": "required"}),
        )
        .request(shown(&element, &mtls()), mismatch()),
    ]
}
