//! `jwtctl explain`, on the real binary.

#![cfg(test)]

mod common;

#[path = "explain/forms.rs"]
mod forms;
#[path = "explain/secrets.rs"]
mod secrets;

use common::{Folder, Ran, jwtctl, jwtctl_in, jwtctl_with};
use secrets::hides;
use serde_json::{Value, json};
use testkit::{Algorithm, Issuer, SigningKey, Token, jwks, tamper_signature, unix_now};

const ISSUER: &str = "https://idp.example.com";

struct World {
    folder: Folder,
    key: SigningKey,
    keys: String,
    config: String,
}

impl World {
    fn new(name: &str) -> Self {
        let folder = Folder::new(&format!("explain-{name}"));
        let key = SigningKey::generate(Algorithm::Es256, Some("k1"));
        let keys = folder.write("keys.json", &jwks(&[&key]).to_string());
        let config = folder.write("config.json", &config().to_string());
        Self {
            folder,
            key,
            keys,
            config,
        }
    }

    fn token(&self) -> Token {
        Token::new(&self.key)
            .claim("iss", ISSUER)
            .claim("aud", "orders-api")
            .claim("sub", "alice")
            .claim("tenant", "a")
            .claim("scope", "orders:read")
    }

    fn explain(&self, path: &str, token: &str, more: &[&str]) -> Ran {
        let mut arguments = vec![
            "explain",
            &self.config,
            path,
            "--keys",
            &self.keys,
            "--output",
            "json",
        ];
        if !token.is_empty() {
            arguments.extend(["--token", "-"]);
        }
        arguments.extend(more);
        let ran = jwtctl_with(&arguments, token);
        hides(&ran, token);
        // The same command with the output for people.
        let text: Vec<&str> = arguments
            .iter()
            .map(|argument| if *argument == "json" { "text" } else { argument })
            .collect();
        let for_people = jwtctl_with(&text, token);
        hides(&for_people, token);
        assert_eq!(for_people.code, ran.code);
        ran
    }
}

fn config() -> Value {
    json!({
        "providers": {
            "corp": {
                "issuer": ISSUER,
                "audiences": ["orders-api"],
                "algorithms": ["ES256"],
                "token_types": ["JWT"],
                "max_lifetime": "1h",
                "subjects": {"prefix": "a"},
                "required_claims": ["tenant"],
                "discovery": {"cluster": "idp"},
                "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}, {"name": "x-token"}],
                "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
            },
        },
        "rules": [
            {"match": {"path": "/healthz"}},
            {
                "match": {"prefix": "/admin/", "methods": ["GET"], "headers": [{"name": "x-env", "string_match": {"exact": "prod"}}]},
                "requires": {"provider_name": "corp"},
                "authorize": {"scopes": {"all": ["orders:admin"]}, "claims": [{"claim_name": "tenant", "any_of": ["a"]}, {"claim_name": "role", "any_of": ["boss"]}]},
            },
            {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}},
        ],
        "limits": {"max_token_bytes": 4096},
    })
}

fn reason(ran: &Ran) -> String {
    ran.json()["decision"]["reason"]
        .as_str()
        .unwrap_or("none")
        .to_owned()
}

/// The reasons of the steps that failed, in order.
fn failed(ran: &Ran) -> Vec<String> {
    let report = ran.json();
    let providers = report["providers"].as_array().expect("providers").clone();
    let steps = providers
        .iter()
        .flat_map(|provider| provider["steps"].as_array().expect("steps").clone());
    steps
        .filter_map(|step| step["reason"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn the_first_step_that_fails_has_the_reason_of_the_decision() {
    let world = World::new("reasons");
    let good = world.token();
    let other = SigningKey::generate(Algorithm::Es256, Some("k2"));
    let rsa = SigningKey::generate(Algorithm::Rs256, Some("k1"));
    let now = unix_now();
    let cases = [
        ("token_expired", good.clone().expires_in(-3600).mint()),
        (
            "token_not_yet_valid",
            good.clone().claim("nbf", now + 3600).mint(),
        ),
        (
            "token_not_yet_valid",
            good.clone().claim("iat", now + 3600).mint(),
        ),
        ("lifetime_too_long", good.clone().expires_in(86_400).mint()),
        ("claim_missing", good.clone().without_claim("exp").mint()),
        ("claim_missing", good.clone().without_claim("tenant").mint()),
        ("claim_malformed", good.clone().claim("exp", "soon").mint()),
        ("claim_malformed", good.clone().claim("sub", 7).mint()),
        ("claim_malformed", good.clone().claim("aud", 7).mint()),
        ("audience_mismatch", good.clone().claim("aud", "billing").mint()),
        ("audience_mismatch", good.clone().without_claim("aud").mint()),
        ("subject_rejected", good.clone().claim("sub", "bob").mint()),
        (
            "issuer_unknown",
            good.clone().claim("iss", "https://evil.example.com").mint(),
        ),
        ("issuer_unknown", good.clone().without_claim("iss").mint()),
        ("type_rejected", good.clone().header("typ", "at+jwt").mint()),
        ("algorithm_rejected", good.clone().unsecured().mint()),
        ("algorithm_rejected", good.clone().hs256(b"secret").mint()),
        ("algorithm_rejected", Token::new(&rsa).claim("iss", ISSUER).mint()),
        ("algorithm_rejected", good.clone().without_header("alg").mint()),
        (
            "critical_header",
            good.clone().header("crit", json!(["b64"])).mint(),
        ),
        ("key_unknown", good.clone().header("kid", "k9").mint()),
        ("signature_invalid", tamper_signature(&good.mint())),
        (
            "signature_invalid",
            Token::new(&other)
                .header("kid", "k1")
                .claims(json!({"iss": ISSUER, "aud": "orders-api", "sub": "a", "tenant": "x"}))
                .mint(),
        ),
        (
            "binding_mismatch",
            good.clone().claim("cnf", json!({"jkt": "x"})).mint(),
        ),
        ("token_malformed", "not-a-token-at-all-but-long".to_owned()),
        ("token_malformed", good.clone().raw_payload(b"[]").mint()),
        ("token_malformed", good.clone().raw_header(b"{").mint()),
        (
            "token_too_large",
            good.clone().claim("x", "x".repeat(5000)).mint(),
        ),
        ("token_missing", String::new()),
    ];
    for (expected, token) in &cases {
        let ran = world.explain("/orders", token, &[]);
        assert_eq!(ran.code, 1, "{expected}");
        assert_eq!(reason(&ran), *expected, "{ran:?}");
        assert_eq!(
            failed(&ran).first().map(String::as_str),
            Some(*expected),
            "{ran:?}"
        );
    }
    let ran = world.explain("/orders", &good.mint(), &[]);
    assert_eq!((ran.code, failed(&ran)), (0, Vec::new()), "{ran:?}");
}

#[test]
fn every_fault_of_a_token_is_shown_and_not_only_the_first() {
    let world = World::new("all");
    let token = world
        .token()
        .expires_in(-3600)
        .claim("aud", "billing")
        .claim("sub", "bob")
        .header("kid", "k9")
        .mint();
    let ran = world.explain("/orders", &token, &[]);
    assert_eq!(
        failed(&ran),
        [
            "token_expired",
            "audience_mismatch",
            "subject_rejected",
            "key_unknown"
        ]
    );
}

#[test]
fn conditions_are_shown_one_by_one() {
    let world = World::new("conditions");
    let more = ["-H", "x-env: prod"];
    let ran = world.explain("/admin/x", &world.token().mint(), &more);
    assert_eq!(reason(&ran), "scope_insufficient");
    assert_eq!(failed(&ran), ["scope_insufficient", "claim_rejected"]);
    let steps = ran.json()["providers"][0]["steps"]
        .as_array()
        .expect("steps")
        .clone();
    let by_name = |name: &str| {
        steps
            .iter()
            .find(|step| step["name"] == name)
            .expect("a step")
            .clone()
    };
    assert_eq!(by_name("rules[1].authorize.claims[0]")["passed"], true);
    assert_eq!(by_name("rules[1].authorize.claims[1]")["seen"], "role absent");
    assert_eq!(
        by_name("rules[1].authorize.scopes")["seen"],
        "scope \"orders:read\", scp absent"
    );
    let token = world
        .token()
        .claim("scope", "orders:admin")
        .claim("role", "boss")
        .mint();
    let ran = world.explain("/admin/x", &token, &more);
    assert_eq!((ran.code, failed(&ran)), (0, Vec::new()), "{ran:?}");
}

#[test]
fn earlier_rules_say_why_they_do_not_match() {
    let world = World::new("rules");
    let ran = world.explain("/admin/x", "", &["-X", "POST", "-H", "x-env: test"]);
    let rules = ran.json()["rules"].as_array().expect("rules").clone();
    let taken: Vec<bool> = rules.iter().map(|rule| rule["taken"] == true).collect();
    assert_eq!(taken, [false, false, true]);
    let because = rules[1]["because"].as_array().expect("reasons").clone();
    assert_eq!(because.len(), 2, "{because:?}");
    for part in ["the method is POST", "x-env is test"] {
        assert!(
            because
                .iter()
                .any(|why| why.as_str().is_some_and(|why| why.contains(part))),
            "{because:?}"
        );
    }
    // A waiver does not hold for a path that servers read differently.
    let ran = world.explain("/healthz/../healthz", "", &[]);
    assert_eq!(reason(&ran), "token_missing");
    let ran = world.explain("/healthz", "", &[]);
    assert_eq!(
        (ran.code, &ran.json()["decision"]["basis"]),
        (0, &json!("bypassed"))
    );
}

#[test]
fn the_upstreams_headers_are_shown_without_credentials() {
    let world = World::new("upstream");
    let more = [
        "-H",
        "x-jwt-sub: mallory",
        "-H",
        "cookie: session=topsecrettopsecret",
        "-H",
        "X-Other: 1",
    ];
    let ran = world.explain("/orders", &world.token().mint(), &more);
    let upstream = &ran.json()["decision"]["upstream"];
    let headers = upstream["headers"].as_array().expect("headers").clone();
    assert!(headers.contains(&json!(["x-jwt-sub", "alice"])), "{upstream}");
    assert!(headers.contains(&json!(["x-other", "1"])));
    assert!(
        !ran.out.contains("mallory") && !ran.out.contains("topsecret"),
        "{}",
        ran.out
    );
    assert_eq!(upstream["set"], json!(["x-jwt-sub"]));
    assert!(
        upstream["removed"]
            .as_array()
            .expect("names")
            .contains(&json!("authorization"))
    );
}

#[test]
fn time_is_an_argument() {
    let world = World::new("time");
    let token = world
        .token()
        .claim("iat", 1_000_000_000)
        .claim("exp", 1_000_000_600)
        .mint();
    for (time, code) in [
        ("1000000300", 0),
        ("2001-09-09T01:56:40Z", 0),
        ("1000000659", 0),
        ("1000000660", 1),
        ("999999900", 1),
    ] {
        assert_eq!(
            world.explain("/orders", &token, &["--time", time]).code,
            code,
            "{time}"
        );
    }
}

#[test]
fn without_keys_it_says_so_and_with_fetch_it_asks_the_issuer() {
    let world = World::new("fetch");
    let token = world.token().mint();
    let ran = jwtctl_with(
        &[
            "explain",
            &world.config,
            "/orders",
            "--token",
            "-",
            "--output",
            "json",
        ],
        &token,
    );
    assert_eq!((ran.code, &*reason(&ran)), (1, "keys_unavailable"));
    assert!(ran.err.contains("use --keys FILE, or --fetch"), "{}", ran.err);
    let issuer = Issuer::start();
    issuer.serve_jwks("/jwks", &[&world.key]);
    let mut config = config();
    let provider = &mut config["providers"]["corp"];
    provider.as_object_mut().expect("an object").remove("discovery");
    provider["remote_jwks"] = json!({"http_uri": {"uri": issuer.url("/jwks"), "cluster": "idp"}});
    let path = world.folder.write("remote.json", &config.to_string());
    let arguments = [
        "explain", &path, "/orders", "--token", "-", "--output", "json", "--fetch",
    ];
    let ran = jwtctl_with(&arguments, &token);
    assert_eq!(ran.code, 0, "{ran:?}");
    // The same by the issuer's metadata.
    let name = issuer.url("");
    let name = name.trim_end_matches('/');
    issuer.serve_discovery(name, &issuer.url("/jwks"));
    let provider = &mut config["providers"]["corp"];
    provider.as_object_mut().expect("an object").remove("remote_jwks");
    provider["issuer"] = name.into();
    provider["discovery"] = json!({"cluster": "idp"});
    let token = world.token().claim("iss", name).mint();
    world.folder.write("remote.json", &config.to_string());
    let ran = jwtctl_with(&arguments, &token);
    assert_eq!(ran.code, 0, "{ran:?}");
    // The output says why there are no keys.
    issuer.serve("/jwks", testkit::Answer::new("text/html", "<html>"));
    let ran = jwtctl_with(&arguments, &token);
    assert_eq!((ran.code, &*reason(&ran)), (1, "keys_unavailable"));
    assert!(
        ran.err.contains("fetching the keys of corp failed: "),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("an HTML or XML page"), "{}", ran.err);
    assert!(ran.out.contains("fetching it failed: JWKS: "), "{}", ran.out);
    assert!(!(ran.out + &ran.err).contains("--fetch"));
}
