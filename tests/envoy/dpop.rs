//! RFC 9449 with a well-behaved client: it sends a proof, and repeats the request with the nonce of the
//! reply.

use serde_json::{Value, json};
use testkit::{Client, EnvoyOptions, Issuer, Listener, Response, wasm_filter};

use super::{Stack, assert_alive, replaceable};
use scenarios::{self, AUDIENCE, dpop, local_provider, world};

/// A client with its key, its token and the nonce that it was given last.
struct Holder {
    client: dpop::Client<'static>,
    reply: Option<Vec<(String, String)>>,
    proofs: usize,
    challenges: usize,
}

impl Holder {
    fn new() -> Self {
        Self {
            client: dpop::Client::new(&world().es256),
            reply: None,
            proofs: 0,
            challenges: 0,
        }
    }

    fn send(&mut self, to: &Client) -> Response {
        self.proofs += 1;
        let jti = format!("proof {}", self.proofs);
        let request = match &self.reply {
            Some(reply) => self.client.answer(&jti, reply),
            None => self.client.request(&self.client.proof(&jti, json!({})).mint()),
        };
        to.request(request)
    }

    /// A complete request: the response of the upstream or of the filter to a proof with a current nonce.
    fn get(&mut self, to: &Client) -> u16 {
        let response = self.send(to);
        if response.reason().as_deref() != Some("proof_nonce") {
            return response.status;
        }
        assert_eq!(response.status, 401);
        self.challenges += 1;
        self.reply = Some(
            response
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), testkit::latin1(value)))
                .collect(),
        );
        self.send(to).status
    }
}

fn config(nonce: &Value, audience: &str) -> Value {
    scenarios::config(scenarios::with(
        local_provider(),
        json!({"audiences": [AUDIENCE, audience], "binding": {"dpop": {"required": true, "nonce": nonce}}}),
    ))
}

#[test]
fn a_client_is_challenged_once_whatever_worker_it_comes_to_and_through_a_reload() {
    let stack = Stack::start_with(
        config(&json!(true), "first"),
        &replaceable(EnvoyOptions::workers(4)),
    );
    let mut holder = Holder::new();
    // Each request has its own connection, so that every worker gets some.
    let mut all_good = || (0..40).all(|_| holder.get(&Client::new(stack.client.addr())) == 200);
    assert!(all_good());
    for round in ["second", "third"] {
        stack.replace_listener(config(&json!({"lifetime": "10m"}), round));
        assert!(all_good(), "{round}");
    }
    assert_eq!(holder.challenges, 1);
    assert_eq!(stack.envoy.stat("wasmcustom.jwt.denied.proof_nonce"), 1);
    assert_alive(&stack.envoy);
}

#[test]
fn a_wider_window_makes_no_used_proof_new() {
    let windows = |window| {
        scenarios::config(scenarios::with(
            local_provider(),
            json!({"binding": {"dpop": {"required": true, "window": window}}}),
        ))
    };
    let stack = Stack::start_with(windows("5s"), &replaceable(EnvoyOptions::default()));
    let holder = Holder::new();
    let issued_at = testkit::unix_now() - 3;
    // Each request has its own connection, because an older one belongs to the old listener.
    let proof = |jti| {
        let proof = holder.client.proof(jti, json!({"iat": issued_at})).mint();
        Client::new(stack.client.addr()).request(holder.client.request(&proof))
    };
    assert_eq!(proof("used").status, 200);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(proof("late").reason().as_deref(), Some("proof_invalid"));
    stack.replace_listener(windows("5m"));
    assert_eq!(proof("used").reason().as_deref(), Some("proof_replayed"));
    assert_eq!(proof("late").status, 200);
    assert_alive(&stack.envoy);
}

#[test]
fn proxies_with_one_secret_take_each_others_nonces() {
    let shared = json!({"secret": {"inline_bytes": "c29tZXRoaW5nIHRoYXQgdGhlIHdob2xlIGZsZWV0IGtub3dz"}});
    let stacks = [&shared, &shared, &json!(true)]
        .map(|nonce| Stack::start_with(config(nonce, "any"), &EnvoyOptions::default()));
    let [one, another, stranger] = &stacks;
    let mut holder = Holder::new();
    for _ in 0..3 {
        for stack in [one, another] {
            assert_eq!(holder.get(&stack.client), 200);
        }
    }
    assert_eq!(holder.challenges, 1);
    // If a proxy does not know the secret, a client that alternates between proxies has to begin again each
    // time.
    for (challenges, stack) in [(2, stranger), (3, one), (4, stranger)] {
        assert_eq!(holder.get(&stack.client), 200);
        assert_eq!(holder.challenges, challenges);
    }
    for stack in &stacks {
        assert_alive(&stack.envoy);
    }
}

#[test]
fn a_script_in_a_browser_may_read_its_nonce() {
    let cors = "type.googleapis.com/envoy.extensions.filters.http.cors.v3";
    let mut route = testkit::route("/", "upstream");
    route["typed_per_filter_config"] = json!({"envoy.filters.http.cors": {
        "@type": format!("{cors}.CorsPolicy"),
        "allow_origin_string_match": [{"exact": "https://app.example"}],
        "expose_headers": "www-authenticate,dpop-nonce",
    }});
    let listener = Listener::new("jwt")
        .filter(json!({"name": "envoy.filters.http.cors", "typed_config": {"@type": format!("{cors}.Cors")}}))
        .filter(wasm_filter(config(&json!(true), "any")))
        .route(route);
    let stack = Stack::start_around(Issuer::start(), listener, &EnvoyOptions::default());
    let client = dpop::Client::new(&world().es256);
    let request = client.request(&client.proof("a", json!({})).mint());
    let response = stack
        .client
        .request(request.header("origin", "https://app.example"));
    assert_eq!(response.reason().as_deref(), Some("proof_nonce"));
    assert!(response.header("dpop-nonce").is_some());
    for (name, value) in [
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-expose-headers", "www-authenticate,dpop-nonce"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(response.header(name).as_deref(), Some(value), "{name}");
    }
    assert_alive(&stack.envoy);
}
