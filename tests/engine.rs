//! The scenarios on the pure engine: no host, no sockets, simulated time.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test may fail loudly, and has a clock; clippy does not see that this is one, since `main` is ours"
)]

#[macro_use]
extern crate testkit_macros;

mod backends;
mod harness;

#[path = "engine/choices.rs"]
mod choices;
#[path = "engine/clock.rs"]
mod clock;
#[path = "engine/depth.rs"]
mod depth;
#[path = "engine/reroutes.rs"]
mod reroutes;
#[path = "engine/token_cache.rs"]
mod token_cache;

use std::collections::HashMap;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use backends::{Outcome, Running};
use harness::Tests;
use proxy_wasm_jwt::authenticator::{Authenticator, Decision, StreamId};
use proxy_wasm_jwt::binding::nonce::NonceSecret;
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::jose::{Algorithm, Jwk, Sandbox, SignatureVerifier};
use proxy_wasm_jwt::keys::{FetchError, FetchRequest, Fetched};
use proxy_wasm_jwt::reply::LocalReply;
use proxy_wasm_jwt::request::{RequestContext, RequestHead};
use proxy_wasm_jwt::store::{InMemoryStore, SharedStore as _, StoreKey};
use proxy_wasm_jwt::time::UnixTime;
use scenarios::{Says, Scenario};
use serde_json::Value;
use testkit::{Request, latin1};

fn main() -> ExitCode {
    Tests::new()
        .scenarios(None, |_| {
            |_, scenario: &Scenario| backends::run(scenario, &mut Engine::new(scenario))
        })
        .scenarios(Some("signatures_checked_elsewhere"), |_| {
            |_, scenario: &Scenario| {
                let mut engine = Engine::new(scenario);
                engine.engine = engine.engine.with_verifier(Rc::new(Elsewhere));
                backends::run(scenario, &mut engine)
            }
        })
        .run()
}

/// Another implementation than the module's own.
#[derive(Debug)]
struct Elsewhere;

impl SignatureVerifier for Elsewhere {
    fn verify(&self, key: &Jwk, algorithm: Algorithm, signing_input: &[u8], signature: &[u8]) -> bool {
        let algorithm: testkit::Algorithm = algorithm.name().parse().expect("the same names");
        testkit::verifies_spki(algorithm, key.spki_der(), signing_input, signature)
    }

    fn cost(&self, key: &Jwk, algorithm: Algorithm) -> Option<u32> {
        Sandbox.cost(key, algorithm)
    }
}

/// One worker, its process's shared data, and an issuer that answers at once.
struct Engine {
    engine: Authenticator,
    config: Rc<Config>,
    now: UnixTime,
    next_stream: u32,
    store: InMemoryStore,
    issuer: HashMap<String, Says>,
    fetches: HashMap<String, usize>,
}

impl Engine {
    fn new(scenario: &Scenario) -> Self {
        Self::with(scenario, &scenario.config)
    }

    /// The same scenario with another configuration.
    fn with(scenario: &Scenario, config: &Value) -> Self {
        let config = Config::parse(config.to_string().as_bytes())
            .unwrap_or_else(|error| panic!("{}: {error}", scenario.name));
        let config = Rc::new(config);
        let seconds = u64::try_from(testkit::unix_now()).expect("a time after 1970");
        let now = UnixTime::from_secs(seconds);
        let store = InMemoryStore::default();
        // Two engines side by side make the same nonces.
        store.put(StoreKey::NonceSecret, &[7; NonceSecret::SIZE]);
        let mut engine = Authenticator::new(config.clone(), 1);
        engine.handle_shared(now, &store);
        Self {
            engine,
            config,
            now,
            next_stream: 0,
            store,
            issuer: scenario.issuer.iter().cloned().collect(),
            fetches: HashMap::new(),
        }
    }

    /// The host's work at a tick.
    fn tick(&mut self) {
        for request in self.engine.handle_tick(self.now, &self.store) {
            let mut next = Some(request);
            while let Some(request) = next {
                next = self.ask(&request);
            }
        }
        while self.engine.poll_event().is_some() {}
    }

    fn ask(&mut self, request: &FetchRequest) -> Option<FetchRequest> {
        let path = &request
            .headers
            .iter()
            .find(|(name, _)| *name == ":path")
            .expect("a path")
            .1;
        *self.fetches.entry(path.clone()).or_default() += 1;
        let asks_again = request.headers.iter().any(|(name, _)| *name == "if-none-match");
        let says = self.issuer.get(path).cloned().unwrap_or(Says::Status(404));
        let answer = |status, body, etag| Fetched {
            status,
            body,
            cache_control: None,
            etag,
            retry_after: None,
            content_encoding: None,
        };
        let answer = match &says {
            Says::Document(body) => Ok(answer(200, body.as_bytes(), None)),
            Says::With(..) if asks_again => Ok(answer(304, &[][..], None)),
            Says::With(body, _) => Ok(answer(200, body.as_bytes(), Some(&b"\"v1\""[..]))),
            Says::Status(status) => Ok(answer(*status, &[][..], None)),
            Says::Reset => Err(FetchError::Reset),
        };
        self.engine
            .handle_fetched(request.id, answer, self.now, &self.store)
    }

    fn head(&self, request: &Request) -> RequestHead {
        let mut fields: Vec<(String, Vec<u8>)> = vec![
            (":method".into(), request.method.clone().into_bytes()),
            (":path".into(), request.path.clone().into_bytes()),
        ];
        for (name, value) in &request.headers {
            let name = match name.to_ascii_lowercase().as_str() {
                "host" => ":authority".to_owned(),
                name => name.to_owned(),
            };
            // As Envoy joins the fields that it knows to be lists.
            let joined =
                (name == "authorization").then(|| fields.iter_mut().find(|(known, _)| *known == name));
            match joined.flatten() {
                Some((_, known)) => {
                    known.push(b',');
                    known.extend_from_slice(value);
                }
                None => fields.push((name, value.clone())),
            }
        }
        let mut head = RequestHead::new();
        for (name, value) in fields {
            head.take(&self.config.headers, name.as_bytes(), &value);
        }
        head
    }

    fn outcome(&self, request: &Request, decision: &Decision) -> Outcome {
        match decision {
            Decision::Allow(forward) => {
                let mut path = request.path.clone();
                let mut headers: Vec<(String, String)> = request
                    .headers
                    .iter()
                    .map(|(name, value)| (name.to_ascii_lowercase(), latin1(value)))
                    .collect();
                let head = self.head(request);
                headers.retain(|(name, _)| head.removed().all(|removed| removed != name.as_bytes()));
                for edit in forward.edits.iter() {
                    headers.retain(|(name, _)| *name != *edit.name);
                    match &edit.value {
                        Some(value) if &*edit.name == ":path" => path = latin1(value),
                        Some(value) => headers.push((edit.name.to_string(), latin1(value))),
                        None => {}
                    }
                }
                Outcome::Forwarded { path, headers }
            }
            Decision::Deny(refusal) => answered(&self.config.replies.to(refusal)),
            Decision::Answer(reply) => answered(reply),
            Decision::Wait => panic!("a request is still waiting"),
        }
    }
}

fn answered(reply: &LocalReply) -> Outcome {
    Outcome::Answered {
        status: reply.status,
        headers: reply
            .headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        body: String::from_utf8(reply.body.clone()).expect("UTF-8"),
    }
}

/// The route of every request.
struct Route;

impl RequestContext for Route {
    fn source_address(&self) -> Option<Vec<u8>> {
        None
    }

    fn backend_cluster(&self, alias: &str) -> Option<Vec<u8>> {
        (alias == scenarios::BACKEND).then(|| b"issuer".to_vec())
    }
}

impl Running for Engine {
    fn requests(&mut self, requests: &[Request]) -> Vec<Outcome> {
        let mut decided: HashMap<StreamId, Decision> = HashMap::new();
        let mut ids = Vec::new();
        for request in requests {
            self.next_stream += 1;
            let id = StreamId(self.next_stream);
            ids.push(id);
            let mut head = self.head(request);
            let decision = self
                .engine
                .handle_request(id, &mut head, &Route, self.now, &self.store);
            decided.insert(id, decision);
        }
        // The time goes from one timeout to the next, as long as a request waits.
        while decided.values().any(|decision| *decision == Decision::Wait) {
            self.now = self.now.after(Duration::from_millis(1));
            self.tick();
            while let Some((id, decision)) = self.engine.poll_decision(&self.store) {
                decided.insert(id, decision);
            }
            if decided.values().any(|decision| *decision == Decision::Wait)
                && let Some(next) = self.engine.next_timeout(self.now)
            {
                self.now = self.now.max(next);
            }
        }
        self.now = self.now.after(Duration::from_millis(1));
        requests
            .iter()
            .zip(ids)
            .map(|(request, id)| self.outcome(request, &decided[&id]))
            .collect()
    }

    fn issuer(&mut self, path: &str, says: &Says) {
        self.issuer.insert(path.to_owned(), says.clone());
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while self.now < end {
            self.now = self.now.after(Duration::from_millis(50)).min(end);
            self.tick();
        }
    }

    fn fetches(&mut self, path: &str) -> usize {
        self.fetches.get(path).copied().unwrap_or_default()
    }
}
