//! One Envoy process: workers with an engine each, shared data with compare-and-swap, an issuer that answers
//! after a while.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm_jwt::authenticator::{Authenticator, Decision, Event, StreamId};
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::keys::{FetchId, FetchRequest, Fetched, KeyEvent};
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::store::{Entry, InMemoryStore, SharedStore, StoreKey, SwapError};
use proxy_wasm_jwt::time::UnixTime;
use serde_json::{Value, json};
use testkit::{Algorithm, SigningKey, Token};

pub(crate) const ISSUER: &str = "https://idp.example.com";
pub(crate) const DOCUMENT: &str = "/.well-known/openid-configuration";
/// The time that the issuer takes for a response.
pub(crate) const ANSWER: Duration = Duration::from_millis(40);

/// The issuer's responses.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) cache_control: Option<&'static str>,
    pub(crate) retry_after: Option<&'static str>,
    /// The `etag` to which the issuer answers 304.
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
    id: FetchId,
    answer: Answer,
}

/// Shared data that counts how often a document is written.
#[derive(Default)]
pub(crate) struct Shared {
    store: InMemoryStore,
    documents_written: Cell<usize>,
}

impl Shared {
    pub(crate) fn documents_written(&self) -> usize {
        self.documents_written.get()
    }
}

impl SharedStore for Shared {
    fn get(&self, key: StoreKey<'_>) -> Option<Entry> {
        self.store.get(key)
    }

    fn swap(&self, key: StoreKey<'_>, seen: u64, value: &[u8]) -> Result<(), SwapError> {
        self.store.swap(key, seen, value)
    }

    fn put(&self, key: StoreKey<'_>, value: &[u8]) {
        if matches!(key, StoreKey::Document(_)) {
            self.documents_written.set(self.documents_written.get() + 1);
        }
        self.store.put(key, value);
    }
}

pub(crate) struct Process {
    pub(crate) config: Rc<Config>,
    pub(crate) now: UnixTime,
    pub(crate) workers: Vec<Option<Authenticator>>,
    pub(crate) shared: Shared,
    pub(crate) issuer: HashMap<String, Answer>,
    pub(crate) fetches: Vec<Fetch>,
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
            shared: Shared::default(),
            issuer: HashMap::new(),
            fetches: Vec::new(),
            events: Vec::new(),
            calls: Vec::new(),
            next_stream: 0,
        }
    }

    /// The worker has ended; responses to its calls are lost.
    pub(crate) fn kill(&mut self, worker: usize) {
        self.workers[worker] = None;
        self.calls.retain(|call| call.worker != worker);
    }

    /// The number of requests for the path at the issuer.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.fetches.iter().filter(|fetch| fetch.path == path).count()
    }

    /// Time passes in ticks of a few milliseconds while a request waits, as in the host, else of up to a
    /// second.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while self.now < end {
            self.step(end);
        }
    }

    fn step(&mut self, end: UnixTime) {
        let timeouts = self.workers.iter().flatten();
        let timeouts = timeouts.filter_map(|engine| engine.next_timeout(self.now));
        let calls = self.calls.iter().map(|call| call.due);
        let next = timeouts.chain(calls).min().unwrap_or(end);
        let soon = self.now.after(Duration::from_millis(1));
        self.now = next.max(soon).min(end);
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
            let next = self.workers[call.worker]
                .as_mut()
                .and_then(|engine| engine.handle_fetched(call.id, Ok(fetched), now, &self.shared));
            if let Some(request) = next {
                self.ask(call.worker, &request);
            }
            self.report(call.worker);
        }
    }

    fn tick(&mut self, worker: usize) {
        let Some(engine) = &mut self.workers[worker] else {
            return;
        };
        for request in engine.handle_tick(self.now, &self.shared) {
            self.ask(worker, &request);
        }
        self.report(worker);
    }

    fn ask(&mut self, worker: usize, request: &FetchRequest) {
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
            id: request.id,
            answer,
        });
    }

    fn report(&mut self, worker: usize) {
        let Some(engine) = &mut self.workers[worker] else {
            return;
        };
        while let Some(event) = engine.poll_event() {
            if let Event::Keys(_, event) = event {
                self.events.push(event);
            }
        }
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
        let (id, mut head, now) = (StreamId(self.next_stream), self.head(token), self.now);
        let engine = self.workers[worker].as_mut().unwrap();
        let decision = engine.handle_request(id, &mut head, &(), now, &self.shared);
        self.report(worker);
        (id, decision)
    }

    /// A request's end: true if it was forwarded. Time passes while it waits.
    pub(crate) fn passes(&mut self, worker: usize, token: &str) -> bool {
        let (id, mut decision) = self.open(worker, token);
        while decision == Decision::Wait {
            self.step(self.now.after(Duration::from_secs(1)));
            let engine = self.workers[worker].as_mut().unwrap();
            while let Some((decided, outcome)) = engine.poll_decision(&self.shared) {
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

/// The configuration of [`remote`].
pub(crate) fn config() -> Config {
    Config::parse(remote().to_string().as_bytes()).unwrap()
}

/// A request with this token, for the configuration of [`remote`].
pub(crate) fn head(token: &str) -> RequestHead {
    let mut head = RequestHead::new();
    let field = config().wanted.find(b"authorization").unwrap();
    head.push(field, format!("Bearer {token}").into_bytes());
    head
}

/// The response with this document, without further header fields.
pub(crate) fn fetched(document: &str) -> Fetched<'_> {
    Fetched {
        status: 200,
        body: document.as_bytes(),
        cache_control: None,
        etag: None,
        retry_after: None,
        content_encoding: None,
    }
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
