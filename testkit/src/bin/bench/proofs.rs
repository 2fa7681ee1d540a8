//! Proofs of possession (RFC 9449): each request has a token that the filter knows, and a new proof. The
//! filter checks the signature of the proof and stores it as used. The result is the cost in Envoy beside a
//! request without a filter.

use serde_json::json;
use testkit::{
    Algorithm, Bootstrap, EnvoyProcess, Listener, SigningKey, Token, WasmFilter, sha256_segment, unix_now,
};

use crate::pump;
use crate::stack::{Times, answer, ours_rules, pin};
use crate::tokens::{AUDIENCE, ISSUER, Keys};

pub(crate) const NAME: &str = "proof of possession";

/// Clients, with a key and a token each.
const CLIENTS: usize = 64;
/// The proofs for each measurement, from all clients in turn. They are far fewer than the store has room for.
const PROOFS: usize = 10_000;
const MEASUREMENTS: usize = 3;

/// The cost of a request, in µs of processor time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) without_filter: f64,
    pub(crate) with_proof: f64,
}

impl Cost {
    /// Requests for each second of Envoy's core.
    pub(crate) fn rate(self) -> f64 {
        1e6 / self.with_proof
    }
}

struct Client {
    key: SigningKey,
    token: String,
}

impl Client {
    fn new(issuer: &SigningKey, number: usize) -> Self {
        let key = SigningKey::generate(Algorithm::Es256, None);
        let token = Token::new(issuer).claims(json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": format!("client-{number}"), "iat": unix_now(),
            "cnf": {"jkt": key.thumbprint()},
        }));
        let token = token.expires_in(12 * 3600).mint();
        Self { key, token }
    }

    fn request(&self, number: usize) -> Vec<u8> {
        let proof = Token::new(&self.key)
            .without_kid()
            .without_claim("exp")
            .header("typ", "dpop+jwt")
            .header("jwk", self.key.public_jwk())
            .claims(json!({
                "jti": format!("{number:032x}"), "iat": unix_now(), "htm": "GET",
                "htu": "https://api.example.com/orders", "ath": sha256_segment(&self.token),
            }))
            .mint();
        format!(
            "GET /orders HTTP/1.1\r\nhost: api.example.com\r\nx-forwarded-proto: https\r\n\
             authorization: DPoP {}\r\ndpop: {proof}\r\n\r\n",
            self.token
        )
        .into_bytes()
    }
}

pub(crate) fn measure(keys: &Keys) -> Cost {
    let mut config = ours_rules(
        keys,
        &[json!({"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}})],
    );
    config["providers"]["corp"]["binding"] = json!({"dpop": {"required": true, "window": "300s"}});
    let listener = |name: &str| Listener::new(name).route(answer());
    let bootstrap = Bootstrap::new()
        .listener(listener("none"))
        .listener(listener("ours").filter(WasmFilter::new(config).build()));
    let envoy = EnvoyProcess::start(&bootstrap.build());
    pin(envoy.pid(), "0");
    let clients: Vec<Client> = (0..CLIENTS)
        .map(|number| Client::new(&keys.es256, number))
        .collect();
    let mut costs = Vec::new();
    for measurement in 0..MEASUREMENTS {
        let first = measurement * PROOFS;
        let requests: Vec<Vec<u8>> = (first..first + PROOFS)
            .map(|number| clients[number % CLIENTS].request(number))
            .collect();
        let cost = |name: &str| {
            let before = Times::of_process(envoy.pid());
            let mut requests = requests.iter();
            // Fails unless each response is 200.
            pump::flood(envoy.port(name), PROOFS as u64, |_| {
                requests.next().expect("there are as many").clone()
            });
            Times::of_process(envoy.pid()).since(before).cpu / PROOFS as f64
        };
        let cost = Cost {
            without_filter: cost("none"),
            with_proof: cost("ours"),
        };
        eprintln!(
            "{NAME}: {:.0} µs a request, {:.0} µs without a filter",
            cost.with_proof, cost.without_filter
        );
        costs.push(cost);
    }
    costs.sort_by(|one, other| one.with_proof.total_cmp(&other.with_proof));
    costs[MEASUREMENTS / 2]
}
