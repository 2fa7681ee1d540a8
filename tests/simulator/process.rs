//! One Envoy process: workers with an engine each, shared data with compare-and-swap, an issuer that answers after a while.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm_jwt::authenticator::{Authenticator, Decision, Event, StreamId};
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::ids::ProviderId;
use proxy_wasm_jwt::keys::{FetchId, FetchRequest, Fetched, KeyEvent};
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::time::UnixTime;
use serde_json::{Value, json};
use testkit::{Algorithm, SigningKey, Token};

pub(crate) const ISSUER: &str = "https://idp.example.com";
pub(crate) const DOCUMENT: &str = "/.well-known/openid-configuration";
/// How long the issuer takes for an answer.
pub(crate) const ANSWER: Duration = Duration::from_millis(40);

/// What the issuer says.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) cache_control: Option<&'static str>,
    pub(crate) retry_after: Option<&'static str>,
    /// A request that has it already gets 304.
    pub(crate) etag: Option<&'static str>,
}

pub(crate) struct Fetch {
    pub(crate) at: UnixTime,
    pub(crate) path: String,
    pub(crate) asked_again: bool,
}

struct Call {
    due: UnixTime,
    worker: usize,
    provider: ProviderId,
    id: FetchId,
    answer: Answer,
}

/// What stands in shared data of one key source.
type Stored = (Option<Vec<u8>>, Option<Vec<u8>>);

pub(crate) struct Process {
    pub(crate) config: Rc<Config>,
    pub(crate) now: UnixTime,
    pub(crate) workers: Vec<Option<Authenticator>>,
    /// Record and document.
    shared: HashMap<String, Stored>,
    pub(crate) issuer: HashMap<String, Answer>,
    pub(crate) fetches: Vec<Fetch>,
    pub(crate) documents_written: usize,
    pub(crate) events: Vec<KeyEvent>,
    calls: Vec<Call>,
    next_stream: u32,
}

impl Process {
    pub(crate) fn start(config: &Value, workers: usize) -> Self {
        let config = Rc::new(Config::parse(config.to_string().as_bytes()).unwrap());
        let now = UnixTime::from_secs(u64::try_from(testkit::unix_now()).unwrap());
        let engine = |seed: usize| Some(Authenticator::new(config.clone(), u64::try_from(seed).unwrap()));
        Self {
            workers: (1..=workers).map(engine).collect(),
            config,
            now,
            shared: HashMap::new(),
            issuer: HashMap::new(),
            fetches: Vec::new(),
            documents_written: 0,
            events: Vec::new(),
            calls: Vec::new(),
            next_stream: 0,
        }
    }

    /// The worker is gone; answers to its calls are lost.
    pub(crate) fn kill(&mut self, worker: usize) {
        self.workers[worker] = None;
        self.calls.retain(|call| call.worker != worker);
    }

    /// How often the issuer was asked for the path.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.fetches.iter().filter(|fetch| fetch.path == path).count()
    }

    /// Time passes in ticks of 1 ms while somebody waits, as in the host, else of up to a second.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while self.now < end {
            self.step(end);
        }
    }

    fn step(&mut self, end: UnixTime) {
        let idle = self.now.after(Duration::from_secs(1));
        let timeouts = self
            .workers
            .iter()
            .flatten()
            .filter_map(Authenticator::poll_timeout);
        let calls = self.calls.iter().map(|call| call.due);
        let next = timeouts.chain(calls).min().unwrap_or(idle).min(idle);
        let hurried = self
            .workers
            .iter()
            .flatten()
            .any(|engine| engine.is_hurried(self.now));
        let soon = self.now.after(Duration::from_millis(1));
        self.now = if hurried { soon } else { next.max(soon) }.min(end);
        for worker in 0..self.workers.len() {
            self.tick(worker);
        }
        while let Some(at) = self.calls.iter().position(|call| call.due <= self.now) {
            let call = self.calls.remove(at);
            let answer = &call.answer;
            let fetched = Fetched {
                status: answer.status,
                body: answer.body.as_bytes(),
                cache_control: answer.cache_control.map(str::as_bytes),
                etag: answer.etag.map(str::as_bytes),
                retry_after: answer.retry_after.map(str::as_bytes),
                content_encoding: None,
            };
            let now = self.now;
            if let Some(engine) = &mut self.workers[call.worker] {
                engine.handle_fetched(call.provider, call.id, Ok(fetched), now);
            }
            self.settle(call.worker);
        }
    }

    fn tick(&mut self, worker: usize) {
        let now = self.now;
        let Some(mut engine) = self.workers[worker].take() else {
            return;
        };
        for provider in self.config.provider_ids() {
            let place = engine.shared_place(provider).unwrap();
            if let Some((Some(head), document)) = self.shared.get(&place) {
                let document = document
                    .as_deref()
                    .filter(|_| engine.needs_document(provider, head));
                engine.handle_shared(provider, head, document, now);
            }
        }
        engine.handle_timeout(now);
        for claim in engine.poll_fetches(now) {
            let place = engine.shared_place(claim.provider).unwrap();
            let stored = self.shared.entry(place).or_default();
            if let Some((head, request)) = engine.acquire_lease(claim, stored.0.as_deref(), now) {
                stored.0 = Some(head);
                self.ask(worker, claim.provider, &request);
            }
        }
        self.workers[worker] = Some(engine);
        self.settle(worker);
    }

    fn ask(&mut self, worker: usize, provider: ProviderId, request: &FetchRequest) {
        let header = |name| request.headers.iter().find(|(known, _)| *known == name);
        let path = header(":path").unwrap().1.clone();
        let if_none_match = header("if-none-match").map(|(_, value)| value.as_str());
        let mut answer = self.issuer.get(&path).cloned().unwrap_or_else(|| Answer {
            status: 404,
            ..Answer::default()
        });
        if answer.etag.is_some() && answer.etag == if_none_match {
            answer.status = 304;
            answer.body.clear();
        }
        self.fetches.push(Fetch {
            at: self.now,
            path,
            asked_again: if_none_match.is_some(),
        });
        self.calls.push(Call {
            due: self.now.after(ANSWER),
            worker,
            provider,
            id: request.id,
            answer,
        });
    }

    fn settle(&mut self, worker: usize) {
        let Some(mut engine) = self.workers[worker].take() else {
            return;
        };
        while let Some((provider, request)) = engine.poll_request() {
            self.ask(worker, provider, &request);
        }
        while let Some(provider) = engine.poll_publish() {
            let place = engine.shared_place(provider).unwrap();
            let stored = self.shared.entry(place).or_default();
            if let Some(publication) = engine.settle(provider, stored.0.as_deref()) {
                stored.0 = Some(publication.head);
                if publication.document.is_some() {
                    stored.1 = publication.document;
                    self.documents_written += 1;
                }
            }
        }
        while let Some(event) = engine.poll_event() {
            if let Event::Keys(_, event) = event {
                self.events.push(event);
            }
        }
        self.workers[worker] = Some(engine);
    }

    // --- requests ---

    pub(crate) fn head(&self, token: &str) -> RequestHead {
        let mut head = RequestHead::new();
        let field = self.config.wanted.find(b"authorization").unwrap();
        head.push(field, format!("Bearer {token}").into_bytes());
        head
    }

    /// A request at a worker, decided or not.
    pub(crate) fn open(&mut self, worker: usize, token: &str) -> (StreamId, Decision) {
        self.next_stream += 1;
        let (id, head, now) = (StreamId(self.next_stream), self.head(token), self.now);
        let engine = self.workers[worker].as_mut().unwrap();
        let decision = engine.handle_request(id, head, now);
        self.settle(worker);
        (id, decision)
    }

    /// A request's end: true if it was forwarded. Time passes while it waits.
    pub(crate) fn passes(&mut self, worker: usize, token: &str) -> bool {
        let (id, mut decision) = self.open(worker, token);
        while decision == Decision::Wait {
            self.step(self.now.after(Duration::from_secs(1)));
            while let Some((decided, outcome)) = self.workers[worker].as_mut().unwrap().poll_decision() {
                if decided == id {
                    decision = outcome;
                }
            }
        }
        matches!(decision, Decision::Allow(_))
    }
}

pub(crate) struct Keys {
    pub(crate) first: SigningKey,
    pub(crate) second: SigningKey,
}

pub(crate) fn keys() -> Keys {
    let key = |kid| SigningKey::generate(Algorithm::EdDsa, Some(kid));
    Keys {
        first: key("first"),
        second: key("second"),
    }
}

/// A token that stays good for days of simulated time.
pub(crate) fn token(key: &SigningKey) -> String {
    let claims = json!({"iss": ISSUER, "aud": "orders-api", "iat": testkit::unix_now()});
    Token::new(key).claims(claims).expires_in(30 * 86_400).mint()
}

pub(crate) fn set(keys: &[&SigningKey]) -> Answer {
    Answer {
        status: 200,
        body: testkit::jwks(keys).to_string(),
        ..Answer::default()
    }
}

pub(crate) fn status(status: u16) -> Answer {
    Answer {
        status,
        ..Answer::default()
    }
}

pub(crate) fn document(jwks_uri: &str) -> Answer {
    Answer {
        status: 200,
        body: json!({"issuer": ISSUER, "jwks_uri": jwks_uri}).to_string(),
        ..Answer::default()
    }
}

pub(crate) fn remote() -> Value {
    provider(json!({"remote_jwks": {
        "http_uri": {"uri": "https://idp.example.com/jwks", "cluster": "issuer", "timeout": "5s"},
    }}))
}

pub(crate) fn discovery() -> Value {
    provider(json!({"discovery": {"cluster": "issuer", "timeout": "5s"}}))
}

pub(crate) fn provider(fields: Value) -> Value {
    let mut provider = json!({"issuer": ISSUER, "audiences": ["orders-api"]});
    for (name, value) in fields.as_object().unwrap() {
        provider[name] = value.clone();
    }
    json!({"providers": {"corp": provider}})
}
