//! The token cache changes no decision: two engines run side by side, one of them without a cache.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Random, Request, SigningKey, Token, tamper_signature};

use super::Engine;
use super::backends::{Outcome, Running};
use scenarios::{
    self, AUDIENCE, ISSUER, Says, Scenario, Step, get, local_provider, remote_provider, token_of, with, world,
};

/// An engine that remembers, and one that does not.
struct Pair {
    name: String,
    engines: [Engine; 2],
}

impl Pair {
    fn new(scenario: &Scenario) -> Self {
        let mut forgetful = scenario.config.clone();
        forgetful["limits"]["token_cache_entries"] = json!(0);
        Self {
            name: scenario.name.to_owned(),
            engines: [scenario.config.clone(), forgetful].map(|config| Engine::with(scenario, &config)),
        }
    }

    /// The results of these requests, which must be the same on both engines.
    fn requests(&mut self, requests: &[Request]) -> Vec<Outcome> {
        let [outcomes, others] = self.engines.each_mut().map(|engine| engine.requests(requests));
        assert_eq!(
            format!("{outcomes:?}"),
            format!("{others:?}"),
            "{}: {requests:?}",
            self.name
        );
        outcomes
    }

    fn both(&mut self, event: impl Fn(&mut Engine)) {
        self.engines.iter_mut().for_each(event);
    }

    /// The number of cache hits of the first engine.
    fn hits(&mut self) -> u64 {
        let [engine, forgetful] = &mut self.engines;
        assert_eq!(forgetful.engine.take_cache_counts(), Default::default());
        engine.engine.take_cache_counts().hits
    }
}

#[test]
fn every_scenario_goes_as_without() {
    let mut hits = 0;
    for scenario in scenarios::all() {
        let mut pair = Pair::new(&scenario);
        for (_, step) in &scenario.steps {
            match step {
                // Each request may be sent again.
                Step::Request(request, _) => {
                    for _ in 0..3 {
                        pair.requests(std::slice::from_ref(request));
                    }
                }
                Step::Together(requests) => {
                    let requests: Vec<Request> =
                        requests.iter().map(|(request, _)| request.clone()).collect();
                    pair.requests(&requests);
                }
                Step::Issuer(path, says) => pair.both(|engine| engine.issuer(path, says)),
                Step::Pass(duration) => pair.both(|engine| engine.pass(*duration)),
                Step::Following(..) | Step::Fetches(..) => {}
            }
        }
        hits += pair.hits();
    }
    assert!(hits > 200, "{hits}");
}

/// Times pass, keys come and go, and the same few tokens come in any order.
#[test]
fn whatever_happens_goes_as_without() {
    let world = world();
    let audience_and_remote = |audience: &str| {
        with(
            remote_provider(),
            json!({"audiences": [audience], "clock_skew_seconds": 0}),
        )
    };
    let mut config = json!({
        "providers": {
            "corp": audience_and_remote(AUDIENCE),
            "same_issuer": with(audience_and_remote("other"), json!({"max_lifetime": "300s"})),
            "local": with(local_provider(), json!({"issuer": "https://local.example.com"})),
        },
        "rules": [
            {"match": {"prefix": "/one"}, "requires": {"provider_name": "corp"}},
            {"match": {"prefix": "/any"}, "requires": {"requires_any": {"requirements": [
                {"provider_name": "local"}, {"provider_name": "corp"},
            ]}}},
            {"match": {"prefix": "/both"}, "requires": {"requires_all": {"requirements": [
                {"provider_name": "corp"}, {"provider_name": "same_issuer"},
            ]}}},
            {"match": {"prefix": "/either"}, "requires": {"requires_any": {"requirements": [
                {"provider_name": "same_issuer"}, {"provider_name": "corp"},
            ]}}},
            {"match": {"prefix": "/shadow"}, "requires": {"provider_name": "corp"}, "mode": "shadow"},
            {"match": {"prefix": "/failed"}, "requires": {"requires_any": {"requirements": [
                {"provider_name": "corp"}, {"allow_missing_or_failed": {}},
            ]}}},
        ],
    });
    let impostor = SigningKey::generate(testkit::Algorithm::Rs256, Some("rsa-1"));
    let stranger = SigningKey::generate(testkit::Algorithm::Es256, Some("nobody's"));
    let mut tokens = Vec::new();
    for key in [&world.rsa, &world.rsa_next, &world.es256, &impostor, &stranger] {
        for token in variants(key) {
            tokens.push(token.mint());
        }
    }
    tokens.push(tamper_signature(&tokens[0]));
    let sets: Vec<Says> = [
        vec![&world.rsa, &world.es256],
        vec![&world.rsa_next],
        vec![&impostor],
        vec![&world.rsa, &world.rsa_next],
    ]
    .iter()
    .map(|keys| Says::keys(keys))
    .chain([Says::Status(503)])
    .collect();
    let paths = ["/one", "/any", "/both", "/either", "/shadow", "/failed"];

    let (mut hits, mut refused) = (0, 0);
    for seed in 0..6 {
        let mut random = Random::new(seed);
        // A cache so small that tokens displace each other, and a larger one.
        config["limits"]["token_cache_entries"] = json!(random.pick(&[16, 500]));
        let mut pair = Pair::new(&Scenario::new("at random", config.clone()));
        for _ in 0..1500 {
            match random.below(40) {
                0 => {
                    let says = &sets[random.below(sets.len())];
                    pair.both(|engine| engine.issuer("/jwks", says));
                }
                1 => {
                    let time = Duration::from_secs(random.pick(&[1, 5, 40, 130]));
                    pair.both(|engine| engine.pass(time));
                }
                _ => {
                    // Some come more often than others.
                    let token = tokens[random.below(tokens.len()) / (1 + random.below(8))].clone();
                    let outcomes = pair.requests(&[get(random.pick(&paths)).bearer(&token)]);
                    let is_refused = |outcome: &Outcome| matches!(outcome, Outcome::Answered { .. });
                    refused += usize::from(outcomes.iter().any(is_refused));
                }
            }
        }
        hits += pair.hits();
    }
    assert!(hits > 1000 && refused > 1000, "{hits} {refused}");
}

/// Valid for a while, for another audience, not yet valid, expired, and valid for too long.
fn variants(key: &SigningKey) -> Vec<Token> {
    let now = testkit::unix_now();
    let starts = |delay: i64| json!({"nbf": now + delay});
    let claims = |claims: Value, expires_in| token_of(key).claims(claims).expires_in(expires_in);
    vec![
        claims(json!({}), 100_000),
        claims(json!({}), 60),
        claims(json!({"aud": ["other", AUDIENCE]}), 250),
        claims(json!({"aud": "nobody"}), 500),
        claims(starts(120), 100_000),
        claims(json!({}), -10),
        claims(json!({"iss": "https://local.example.com"}), 200),
        claims(json!({"iss": format!("{ISSUER}/")}), 200),
    ]
}
