//! The cost of each step of a request, natively: `make microbench`, with a part of a name to run some steps
//! only.
//!
//! Use it to compare two implementations on one machine. It does not show the cost of a request in Envoy:
//! `make bench` measures that, and `tests/instructions.rs` counts instructions.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark may fail loudly"
)]

use std::rc::Rc;
use std::sync::OnceLock;

use divan::{Bencher, black_box};
use proxy_wasm_jwt::authenticator::{Authenticator, Decision, StreamId};
use proxy_wasm_jwt::claims::{SignatureCheck, UnverifiedClaims, VerifiedJwt};
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::denial::{Denial, Reason};
use proxy_wasm_jwt::jose::{
    Algorithm, AlgorithmSet, Checks, Jwk, JwkSet, Sandbox, SignatureVerifier, Spent, UnverifiedJwt,
};
use proxy_wasm_jwt::pattern::Effort;
use proxy_wasm_jwt::reply::Refusal;
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::store::InMemoryStore;
use proxy_wasm_jwt::time::UnixTime;
use serde_json::{Value, json};
use testkit::{SigningKey, Token};

/// Seconds since the epoch.
const NOW: u64 = 1_800_000_000;

fn main() {
    divan::main();
}

/// A key of each kind; RSA keys take time to make.
struct World {
    rsa: SigningKey,
    es256: SigningKey,
    es384: SigningKey,
    es512: SigningKey,
    ed25519: SigningKey,
}

impl World {
    fn get() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(|| Self {
            rsa: SigningKey::generate(testkit::Algorithm::Rs256, Some("rsa")),
            es256: SigningKey::generate(testkit::Algorithm::Es256, Some("es256")),
            es384: SigningKey::generate(testkit::Algorithm::Es384, Some("es384")),
            es512: SigningKey::generate(testkit::Algorithm::Es512, Some("es512")),
            ed25519: SigningKey::generate(testkit::Algorithm::EdDsa, Some("ed25519")),
        })
    }

    fn key(&self, algorithm: testkit::Algorithm) -> &SigningKey {
        match algorithm {
            testkit::Algorithm::Es256 => &self.es256,
            testkit::Algorithm::Es384 => &self.es384,
            testkit::Algorithm::Es512 => &self.es512,
            testkit::Algorithm::EdDsa => &self.ed25519,
            _ => &self.rsa,
        }
    }

    fn jwks(&self) -> Value {
        let keys = [&self.rsa, &self.es256, &self.es384, &self.es512, &self.ed25519];
        let mut jwks = testkit::jwks(&keys);
        // The RSA key signs with every algorithm of its family.
        for jwk in jwks["keys"].as_array_mut().expect("a list") {
            jwk.as_object_mut().expect("an object").remove("alg");
        }
        jwks
    }

    /// The claims that identity providers put into an access token, at the usual length.
    fn token(&self, algorithm: testkit::Algorithm) -> String {
        Token::new(self.key(algorithm))
            .signed_with(algorithm)
            .claims(json!({
                "iss": testkit::workload_issuer(0),
                "aud": ["orders-api", "service-1"],
                "sub": "user-00000001",
                "jti": format!("{:032x}", 1),
                "iat": NOW,
                "nbf": NOW,
                "exp": NOW + 600,
                "azp": "web",
                "scope": "openid profile orders:read service-1:write",
                "realm_access": {"roles": ["clerk", "offline_access"]},
            }))
            .mint()
    }

    fn config(&self) -> Rc<Config> {
        let config = testkit::workload(&self.jwks()).to_string();
        Rc::new(Config::parse(config.as_bytes()).expect("a configuration"))
    }
}

/// The request as the host reads it.
fn head(config: &Config, path: &str, token: Option<&str>) -> RequestHead {
    let authorization = token.map(|token| format!("Bearer {token}"));
    let fields = [
        (":path", Some(path)),
        (":method", Some("POST")),
        (":authority", Some("api.example.com")),
        ("authorization", authorization.as_deref()),
    ];
    let mut head = RequestHead::new();
    for (name, value) in fields {
        if let Some(value) = value {
            head.take(&config.headers, name.as_bytes(), value.as_bytes());
        }
    }
    head
}

fn name_of(algorithm: Algorithm) -> testkit::Algorithm {
    algorithm.name().parse().expect("the same names")
}

mod token {
    use super::*;

    /// Splits and decodes a token.
    #[divan::bench]
    fn decode(bencher: Bencher<'_, '_>) {
        let token = World::get().token(testkit::Algorithm::Rs256);
        bencher.bench_local(|| UnverifiedJwt::decode(black_box(token.as_bytes())).is_ok());
    }

    /// The same, and reads its header and its claims.
    #[divan::bench]
    fn parse(bencher: Bencher<'_, '_>) {
        let token = World::get().token(testkit::Algorithm::Rs256);
        bencher.bench_local(|| {
            let token = UnverifiedJwt::decode(black_box(token.as_bytes())).expect("a token");
            let header = token.header().is_ok();
            header && UnverifiedClaims::parse(token.payload()).is_ok()
        });
    }
}

mod verify {
    use super::*;

    /// A signature, in the module's own code. The figure for EdDSA does not hold for the module: natively its
    /// crate chooses vector instructions, which are slow when compiled for size.
    #[divan::bench(args = Algorithm::ALL)]
    fn sandbox(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
        let world = World::get();
        let token = world.token(name_of(algorithm));
        let token = UnverifiedJwt::decode(token.as_bytes()).expect("a token");
        let set = JwkSet::parse(world.jwks().to_string().as_bytes())
            .expect("keys")
            .set;
        let key: &Jwk = set
            .candidates(algorithm, None, None, AlgorithmSet::ALL)
            .next()
            .expect("a key");
        bencher.bench_local(|| {
            let is_good = Sandbox.verify(
                key,
                algorithm,
                black_box(token.signing_input()),
                token.signature(),
            );
            assert!(is_good);
        });
    }
}

mod policy {
    use super::*;

    /// The position of the matching rule among 100: the first, one in the middle, the last, and one with a
    /// pattern for its path.
    #[divan::bench(args = ["/service-0/healthz", "/service-51/orders", "/other", "/service-97/v1/orders"])]
    fn choose(bencher: Bencher<'_, '_>, path: &str) {
        let config = World::get().config();
        let head = head(&config, path, None);
        bencher.bench_local(|| config.policy.choose(black_box(&head)).is_ok());
    }

    /// Scopes, then a condition on a claim deep in the token.
    #[divan::bench(args = [1, 13])]
    fn authorize(bencher: Bencher<'_, '_>, rule: usize) {
        let world = World::get();
        let config = world.config();
        let head = head(&config, "/", None);
        let rule = config.policy.rules.get(rule).expect("a rule");
        let authorization = rule.demand.authorization.as_ref().expect("it authorizes");

        let token = world.token(testkit::Algorithm::EdDsa);
        let token = UnverifiedJwt::decode(token.as_bytes()).expect("a token");
        let claims = UnverifiedClaims::parse(token.payload()).expect("claims");
        let set = JwkSet::parse(world.jwks().to_string().as_bytes())
            .expect("keys")
            .set;
        let spent = Spent::default();
        let checks = Checks::new(&Sandbox, &spent);
        let verified = VerifiedJwt::verify(
            &token,
            Algorithm::EdDsa,
            None,
            &claims,
            &set,
            AlgorithmSet::ALL,
            checks,
        );
        let SignatureCheck::Verified(jwt) = verified else {
            panic!("the token is good");
        };
        bencher.bench_local(|| {
            assert_eq!(
                authorization.check(black_box(&jwt), &head, &mut Effort::of_a_request()),
                Ok(())
            );
        });
    }
}

mod reply {
    use super::*;

    /// The cost of a refusal.
    #[divan::bench]
    fn denial(bencher: Bencher<'_, '_>) {
        let config = World::get().config();
        let refusal = Refusal::from(Denial::new(Reason::TokenExpired));
        bencher.bench_local(|| config.replies.to(black_box(&refusal)).body.len());
    }
}

/// `handle_request`, from a head to a decision, where rules and claim headers are those of the whole
/// workload.
mod engine {
    use super::*;

    /// Takes every signature, so that only the rest is measured.
    #[derive(Debug)]
    struct Yes;

    impl SignatureVerifier for Yes {
        fn verify(&self, _: &Jwk, _: Algorithm, _: &[u8], _: &[u8]) -> bool {
            true
        }

        fn cost(&self, _: &Jwk, _: Algorithm) -> Option<u32> {
            Some(0)
        }
    }

    /// Everything but the signature; each token for the first time.
    #[divan::bench]
    fn cold_but_for_the_signature(bencher: Bencher<'_, '_>) {
        let world = World::get();
        let config = world.config();
        let mut engine = Authenticator::new(config.clone(), 1).with_verifier(Rc::new(Yes));
        let token = world.token(testkit::Algorithm::Rs256);
        let (input, signature) = token.rsplit_once('.').expect("a token");
        let mut number: u64 = 0;
        bencher
            .with_inputs(|| {
                // Another signature of the same length. Here, tokens differ only in their signature.
                number += 1;
                let token = format!("{input}.{number:012}{}", signature.get(12..).unwrap_or_default());
                head(&config, "/orders", Some(&token))
            })
            .bench_local_values(|head| decide(&mut engine, head, NOW));
    }

    /// The signature in the module's own code, and no cache.
    #[divan::bench(args = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa])]
    fn cold(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
        let world = World::get();
        let mut config = testkit::workload(&world.jwks());
        config["limits"] = json!({"token_cache_entries": 0});
        let config = Config::parse(config.to_string().as_bytes()).expect("a configuration");
        again_and_again(
            bencher,
            Rc::new(config),
            Some(&world.token(name_of(algorithm))),
            NOW,
        );
    }

    /// A token that was verified before.
    #[divan::bench]
    fn warm(bencher: Bencher<'_, '_>) {
        let world = World::get();
        let token = world.token(testkit::Algorithm::Rs256);
        again_and_again(bencher, world.config(), Some(&token), NOW);
    }

    #[divan::bench]
    fn expired(bencher: Bencher<'_, '_>) {
        let world = World::get();
        let token = world.token(testkit::Algorithm::Rs256);
        again_and_again(bencher, world.config(), Some(&token), NOW + 86_400);
    }

    #[divan::bench]
    fn no_token(bencher: Bencher<'_, '_>) {
        again_and_again(bencher, World::get().config(), None, NOW);
    }

    fn decide(engine: &mut Authenticator, mut head: RequestHead, now: u64) -> Decision {
        let (now, store) = (UnixTime::from_secs(now), InMemoryStore::default());
        engine.handle_request(StreamId(1), &mut head, &(), now, &store)
    }

    fn again_and_again(bencher: Bencher<'_, '_>, config: Rc<Config>, token: Option<&str>, now: u64) {
        let mut engine = Authenticator::new(config.clone(), 1);
        bencher
            .with_inputs(|| head(&config, "/orders", token))
            .bench_local_values(|head| decide(&mut engine, head, now));
    }
}

/// Ten providers with two keys each, and 100 rules.
mod configuration {
    use super::*;

    fn jwks() -> Value {
        let world = World::get();
        testkit::jwks(&[&world.rsa, &world.es256])
    }

    #[divan::bench]
    fn text(bencher: Bencher<'_, '_>) {
        let config = testkit::workload(&jwks()).to_string();
        bencher.bench_local(|| Config::parse(black_box(config.as_bytes())).is_ok());
    }

    /// The configuration as Envoy passes it.
    #[divan::bench]
    fn message(bencher: Bencher<'_, '_>) {
        let config = testkit::struct_message(&testkit::workload(&jwks()));
        bencher.bench_local(|| Config::parse(black_box(&config)).is_ok());
    }

    #[divan::bench]
    fn keys(bencher: Bencher<'_, '_>) {
        let jwks = jwks().to_string();
        bencher.bench_local(|| JwkSet::parse(black_box(jwks.as_bytes())).is_ok());
    }
}

/// The most expensive requests of a client at Envoy's limit for header fields. Without bounds, their cost
/// would grow with the product of a list in the configuration and a length that the client chooses.
mod worst {
    use super::*;

    fn engine(rules: Vec<Value>, provider: Value) -> (Rc<Config>, Authenticator) {
        let world = World::get();
        let mut corp = json!({
            "issuer": testkit::workload_issuer(0),
            "audiences": ["orders-api"],
            "local_jwks": {"inline_string": world.jwks().to_string()},
        });
        for (name, value) in provider.as_object().expect("an object") {
            corp[name] = value.clone();
        }
        let config =
            json!({"providers": {"corp": corp}, "rules": rules, "limits": {"token_cache_entries": 0}});
        let config = Rc::new(Config::parse(config.to_string().as_bytes()).expect("a configuration"));
        let engine = Authenticator::new(Rc::clone(&config), 1);
        (config, engine)
    }

    fn prefixes(count: usize) -> Vec<Value> {
        (0..count)
            .map(|number| {
                json!({
                    "match": {"prefix": format!("/api/service-{number}/")},
                    "requires": {"provider_name": "corp"},
                    "authorize": {"scopes": {"all": ["orders:read"]}},
                })
            })
            .collect()
    }

    fn measure(bencher: Bencher<'_, '_>, of: (Rc<Config>, Authenticator), fields: &[(&str, &str)]) {
        let (config, mut engine) = of;
        let store = InMemoryStore::default();
        bencher
            .with_inputs(|| {
                let mut head = RequestHead::new();
                for (name, value) in fields {
                    head.take(&config.headers, name.as_bytes(), value.as_bytes());
                }
                head
            })
            .bench_local_values(|mut head| {
                engine.handle_request(StreamId(1), &mut head, &(), UnixTime::from_secs(NOW), &store)
            });
    }

    /// Paths below one of 1,000 prefixes.
    #[divan::bench(args = [
        "x", "a;b/%2e%2e\\%2fd/..;/", "a;b/..%2fa;b/..%2fa;b/..%2f", "%2525252525252e/", "700 × //a/%2e%2e/", "3000 × %20",
        "56000 × a",
    ])]
    fn prefix(bencher: Bencher<'_, '_>, path: &str) {
        let path = match path.split_once(" × ") {
            Some((times, part)) => part.repeat(times.parse().expect("a number")),
            None => path.to_owned(),
        };
        measure(
            bencher,
            engine(prefixes(1000), json!({})),
            &[(":path", &format!("/api/service-999/{path}"))],
        );
    }

    /// A token for this many rules, all of which the request has to meet.
    #[divan::bench(args = [1, 1000, 10_000])]
    fn rules_with_a_token(bencher: Bencher<'_, '_>, rules: usize) {
        let token = format!("Bearer {}", World::get().token(testkit::Algorithm::EdDsa));
        let path = "//a/%2e%2e/".repeat(700);
        measure(
            bencher,
            engine(prefixes(rules), json!({})),
            &[(":path", &path), ("authorization", &token)],
        );
    }

    fn names() -> Vec<String> {
        (0..20).map(|number| format!("p{number}")).collect()
    }

    /// 20 parameters that may contain a token.
    #[divan::bench(args = ["a&", "q0=a&", "x%61=&", "a;"])]
    fn parameters(bencher: Bencher<'_, '_>, part: &str) {
        let engine = engine(Vec::new(), json!({"from_params": names()}));
        let path = format!("/?{}", part.repeat(57_000 / part.len()));
        measure(bencher, engine, &[(":path", &path)]);
    }

    /// 20 cookies that may contain a token.
    #[divan::bench(args = ["a;", "q0=a;", "=", "q0=a "])]
    fn cookies(bencher: Bencher<'_, '_>, part: &str) {
        let engine = engine(Vec::new(), json!({"from_cookies": names()}));
        measure(
            bencher,
            engine,
            &[(":path", "/"), ("cookie", &part.repeat(57_000 / part.len()))],
        );
    }

    /// This many patterns on a path that visits as many states as possible.
    #[divan::bench(args = [1, 20, 100])]
    fn patterns(bencher: Bencher<'_, '_>, patterns: usize) {
        let rules = (0..patterns).map(|number| {
            json!({
                "match": {"safe_regex": {"regex": format!("/.*/svc{number}/.*")}},
                "requires": {"provider_name": "corp"},
            })
        });
        let mut chance = testkit::Random::new(7);
        let mut path = "/x".to_owned();
        while path.len() < 57_000 {
            path += &format!("/svc{}", chance.below(patterns));
        }
        measure(bencher, engine(rules.collect(), json!({})), &[(":path", &path)]);
    }

    /// 1,000 rules that look at a header.
    #[divan::bench(args = ["1 × 57000", "2 × 28000", "90 × 5", "15 × 3000"])]
    fn headers(bencher: Bencher<'_, '_>, values: &str) {
        let rules = (0..1000).map(|number| {
            json!({
                "match": {"prefix": "/", "headers": [{"name": "x-env", "string_match": {"exact": format!("c{number}")}}]},
                "requires": {"provider_name": "corp"},
            })
        });
        let (count, length) = values.split_once(" × ").expect("two numbers");
        let value = ",c".repeat(length.parse::<usize>().expect("a number") / 2);
        let fields: Vec<_> = (0..count.parse().expect("a number"))
            .map(|_| ("x-env", value.as_str()))
            .chain([(":path", "//a/%2e%2e;/b")])
            .collect();
        measure(bencher, engine(rules.collect(), json!({})), &fields);
    }
}
