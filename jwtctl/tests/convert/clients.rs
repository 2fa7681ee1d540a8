//! Tokens of every kind, and the comparison of an original with its conversion in two Envoys.

use serde_json::{Value, json};
use testkit::{
    Algorithm, Bootstrap, Client, EnvoyProcess, Request, SigningKey, Token, Upstream, load_yaml, module_path,
    tamper_signature, unix_now,
};

use crate::common::jwtctl_with;

pub(crate) struct Keys {
    pub(crate) corp: SigningKey,
    pub(crate) other: SigningKey,
}

pub(crate) const CORP: &str = "https://idp.example.com";
pub(crate) const OTHER: &str = "https://b.example.com";

impl Keys {
    pub(crate) fn new() -> Self {
        Self {
            corp: SigningKey::generate(Algorithm::Es256, Some("corp")),
            other: SigningKey::generate(Algorithm::Rs256, Some("other")),
        }
    }

    pub(crate) fn corp(&self) -> Token {
        Token::new(&self.corp)
            .claim("iss", CORP)
            .claim("aud", "orders-api")
            .claim("sub", "alice")
    }

    pub(crate) fn other(&self) -> Token {
        Token::new(&self.other)
            .claim("iss", OTHER)
            .claim("aud", "orders-api")
            .claim("sub", "bob")
    }

    /// Tokens of every kind, by name.
    fn tokens(&self) -> Vec<(&'static str, Option<String>)> {
        let now = unix_now();
        vec![
            ("none", None),
            ("corp", Some(self.corp().mint())),
            ("other", Some(self.other().mint())),
            ("for another", Some(self.corp().claim("aud", "billing").mint())),
            ("expired", Some(self.corp().expires_in(-7200).mint())),
            ("too early", Some(self.corp().claim("nbf", now + 7200).mint())),
            ("without exp", Some(self.corp().without_claim("exp").mint())),
            ("forged", Some(tamper_signature(&self.corp().mint()))),
            (
                "unknown issuer",
                Some(self.corp().claim("iss", "https://c.example.com").mint()),
            ),
            (
                "another key",
                Some(
                    Token::new(&self.other)
                        .claim("iss", CORP)
                        .claim("aud", "orders-api")
                        .mint(),
                ),
            ),
            (
                "admin",
                Some(
                    self.corp()
                        .claim("groups", json!(["users", "admins"]))
                        .claim("scope", "read write")
                        .mint(),
                ),
            ),
            (
                "user",
                Some(
                    self.corp()
                        .claim("groups", json!(["users"]))
                        .claim("scope", "read")
                        .mint(),
                ),
            ),
            (
                "bob",
                Some(
                    self.corp()
                        .claim("sub", "bob")
                        .claim("role", "x-boss")
                        .claim("realm", json!({"team": "red"}))
                        .mint(),
                ),
            ),
            ("without sub", Some(self.corp().without_claim("sub").mint())),
            (
                "numbers",
                Some(
                    self.corp()
                        .claim("role", 50)
                        .claim("groups", json!([5, 7]))
                        .mint(),
                ),
            ),
            (
                "empty values",
                Some(self.corp().claim("role", "").claim("groups", json!([])).mint()),
            ),
            ("team's bob", Some(self.corp().claim("sub", "team/bob").mint())),
            (
                "a truth",
                Some(self.corp().claim("role", json!({"boss": true})).mint()),
            ),
            ("garbage", Some("garbage".to_owned())),
        ]
    }
}

pub(crate) fn started(listener: Value, upstream: &Upstream) -> (EnvoyProcess, Client) {
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .listener_value(listener)
        .build();
    let envoy = EnvoyProcess::start(&bootstrap);
    let client = envoy.client("in");
    (envoy, client)
}

/// Checks that both let the same requests pass. Returns the numbers of allowed and denied requests.
pub(crate) fn compare(
    original: &Client,
    converted: &Client,
    keys: &Keys,
    requests: &[(&str, &str)],
) -> (usize, usize) {
    let mut faults = Vec::new();
    let (mut allowed, mut denied) = (0, 0);
    for (method, path) in requests {
        for (name, token) in keys.tokens() {
            for place in ["header", "parameter"] {
                let request = match (&token, place) {
                    (None, "header") => Request::new(method, path),
                    (None, _) => continue,
                    (Some(token), "header") => Request::new(method, path).bearer(token),
                    (Some(token), _) => Request::new(method, &format!("{path}?access_token={token}")),
                };
                let request = match path.starts_with("/team") {
                    true => request.header("x-team", "red"),
                    false => request,
                };
                let passes = |client: &Client| client.request(request.clone()).status == 200;
                match (passes(original), passes(converted)) {
                    (true, true) => allowed += 1,
                    (false, false) => denied += 1,
                    (was, is) => faults.push(format!(
                        "{method} {path}, {name} in the {place}: was {was}, is {is}"
                    )),
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    (allowed, denied)
}

pub(crate) fn converted(text: &str, more: &[&str]) -> Value {
    let ran = jwtctl_with(
        &[
            &["convert", "-", "--module", &module_path().to_string_lossy()],
            more,
        ]
        .concat(),
        text,
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    load_yaml(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.out))
}
