//! The list of scenarios: a configuration, and the expected outcome of requests. All backends run it.
//!
//! A scenario is data. It has a configuration, the responses of the issuer, and steps: requests with their
//! expected outcome, changes at the issuer, and time that passes. The backends (`tests/backends/`) run it on
//! the engine alone, on the real callbacks with a stubbed host, and in a real Envoy.

mod authorize;
mod binding;
mod claims;
mod credentials;
mod deny;
mod discovery;
pub mod dpop;
pub mod filter_state;
mod headers;
mod issuers;
mod key_documents;
mod keys;
mod likeness;
mod locations;
mod matches;
mod paths;
mod replies;
mod requirements;
mod resources;
mod rules;
mod signatures;
mod tenants;
mod tokens;
mod worked_example;

use std::collections::HashSet;
use std::fmt;
use std::panic::Location;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Algorithm, Request, SigningKey, Token};

pub const ISSUER: &str = "https://idp.example.com/realms/main";
pub const AUDIENCE: &str = "orders-api";

/// Every scenario; names are unique.
pub fn all() -> Vec<Scenario> {
    let lists = [
        tokens::list(),
        signatures::list(),
        claims::list(),
        credentials::list(),
        locations::list(),
        headers::list(),
        dpop::list(),
        replies::list(),
        rules::list(),
        deny::list(),
        matches::list(),
        likeness::list(),
        paths::list(),
        authorize::list(),
        binding::list(),
        requirements::list(),
        resources::list(),
        keys::list(),
        key_documents::list(),
        discovery::list(),
        issuers::list(),
        tenants::list(),
        worked_example::list(),
    ];
    let scenarios: Vec<Scenario> = lists.into_iter().flatten().collect();
    let names: HashSet<&str> = scenarios.iter().map(|scenario| scenario.name).collect();
    assert_eq!(names.len(), scenarios.len(), "two scenarios share a name");
    scenarios
}

/// A scenario: a configuration, an issuer, and a sequence of events.
#[derive(Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// The place in the source.
    pub at: &'static Location<'static>,
    pub config: Value,
    /// The configuration reaches the filter as JSON text, because a message contains doubles.
    pub is_text: bool,
    /// The issuer's first responses, by path. The backend makes the path `/jwks` of a configuration unique.
    pub issuer: Vec<(String, Says)>,
    /// Each with its place in the source.
    pub steps: Vec<(&'static Location<'static>, Step)>,
}

#[derive(Debug)]
pub enum Step {
    /// A request, and its expected outcome.
    Request(Request, Expect),
    /// A request that depends on the last reply of the filter.
    Following(Following, Expect),
    /// Requests that are all sent before the first response.
    Together(Vec<(Request, Expect)>),
    /// From now on, the issuer's response at this path.
    Issuer(String, Says),
    /// This much time passes.
    Pass(Duration),
    /// The number of requests for the path at the issuer so far.
    Fetches(String, usize),
}

/// Builds the next request from the header fields of a reply.
pub struct Following(pub Box<Answering>);

type Answering = dyn Fn(&[(String, String)]) -> Request + Send + Sync;

impl fmt::Debug for Following {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Following")
    }
}

/// A response of the issuer.
#[derive(Clone, Debug)]
pub enum Says {
    /// 200 with this document.
    Document(String),
    /// The document with header fields.
    With(String, Vec<(String, String)>),
    /// Another status.
    Status(u16),
    /// The issuer resets the connection before a response.
    Reset,
}

/// The outcome of a request.
#[derive(Clone, Debug)]
pub enum Expect {
    /// The request reaches the upstream, and these are true there.
    Forwarded(Vec<Seen>),
    /// The filter refuses it.
    Denied {
        status: u16,
        reason: &'static str,
        /// Further requirements on the reply.
        reply: Vec<ReplyHas>,
    },
    /// The filter answers it without a refusal.
    Answered { status: u16, reply: Vec<ReplyHas> },
}

/// A property of the request at the upstream.
#[derive(Clone, Debug)]
pub enum Seen {
    /// The header has exactly this value.
    Header(String, String),
    /// The header is absent.
    NoHeader(String),
    /// The path, with its query.
    Path(String),
}

/// A property of a reply.
#[derive(Clone, Debug)]
pub enum ReplyHas {
    Header(&'static str, String),
    /// One of the headers of this name has this value.
    OneOf(&'static str, String),
    NoHeader(&'static str),
    Body(String),
}

impl Scenario {
    #[track_caller]
    pub fn new(name: &'static str, config: Value) -> Self {
        let issuer = vec![("/jwks".to_owned(), Says::keys(&[&world().rsa]))];
        Self {
            name,
            at: Location::caller(),
            config,
            is_text: false,
            issuer,
            steps: Vec::new(),
        }
    }

    pub fn sent_as_text(self) -> Self {
        Self {
            is_text: true,
            ..self
        }
    }

    /// A scenario of one provider whose keys are in the configuration.
    #[track_caller]
    pub fn local(name: &'static str) -> Self {
        Self::new(name, config(local_provider()))
    }

    /// The same with these fields of the provider set.
    #[track_caller]
    pub fn local_with(name: &'static str, fields: Value) -> Self {
        Self::new(name, config(with(local_provider(), fields)))
    }

    pub fn issuer(mut self, path: &str, says: Says) -> Self {
        self.issuer.retain(|(known, _)| known != path);
        self.issuer.push((path.to_owned(), says));
        self
    }

    #[track_caller]
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push((Location::caller(), step));
        self
    }

    #[track_caller]
    pub fn request(self, request: Request, expect: Expect) -> Self {
        self.step(Step::Request(request, expect))
    }

    /// A request made from the last reply of the filter.
    #[track_caller]
    pub fn following(
        self,
        request: impl Fn(&[(String, String)]) -> Request + Send + Sync + 'static,
        expect: Expect,
    ) -> Self {
        self.step(Step::Following(Following(Box::new(request)), expect))
    }

    /// A GET of `/orders` with this bearer token.
    #[track_caller]
    pub fn token(self, token: impl AsRef<str>, expect: Expect) -> Self {
        self.request(get("/orders").bearer(token.as_ref()), expect)
    }

    #[track_caller]
    pub fn then_issuer(self, path: &str, says: Says) -> Self {
        self.step(Step::Issuer(path.to_owned(), says))
    }

    #[track_caller]
    pub fn fetches(self, count: usize) -> Self {
        self.step(Step::Fetches("/jwks".to_owned(), count))
    }
}

impl Says {
    pub fn keys(keys: &[&SigningKey]) -> Self {
        Self::Document(testkit::jwks(keys).to_string())
    }
}

/// Forwarded, with nothing further to see.
pub fn forwarded() -> Expect {
    Expect::Forwarded(Vec::new())
}

pub fn answered(status: u16) -> Expect {
    Expect::Answered {
        status,
        reply: Vec::new(),
    }
}

pub fn denied(reason: &'static str) -> Expect {
    let status = match reason {
        "token_multiple" | "request_malformed" => 400,
        "scope_insufficient" | "claim_rejected" | "route_denied" => 403,
        "keys_unavailable" | "proof_store_full" => 503,
        _ => 401,
    };
    Expect::Denied {
        status,
        reason,
        reply: Vec::new(),
    }
}

impl Expect {
    pub fn header(self, name: &str, value: &str) -> Self {
        self.seen(Seen::Header(name.to_owned(), value.to_owned()))
    }

    pub fn no_header(self, name: &str) -> Self {
        self.seen(Seen::NoHeader(name.to_owned()))
    }

    pub fn path(self, path: &str) -> Self {
        self.seen(Seen::Path(path.to_owned()))
    }

    fn seen(mut self, seen: Seen) -> Self {
        match &mut self {
            Self::Forwarded(all) => all.push(seen),
            Self::Denied { .. } | Self::Answered { .. } => {
                panic!("the upstream sees nothing of a request that is answered here")
            }
        }
        self
    }

    pub fn reply(mut self, has: ReplyHas) -> Self {
        match &mut self {
            Self::Denied { reply, .. } | Self::Answered { reply, .. } => reply.push(has),
            Self::Forwarded(_) => panic!("a request that is forwarded has no reply of ours"),
        }
        self
    }
}

/// The keys of all scenarios. They are made once for each process, because RSA keys take time.
pub struct World {
    pub rsa: SigningKey,
    pub rsa_next: SigningKey,
    pub es256: SigningKey,
    pub es384: SigningKey,
    pub es512: SigningKey,
    pub ed25519: SigningKey,
}

pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| World {
        rsa: SigningKey::generate(Algorithm::Rs256, Some("rsa-1")),
        rsa_next: SigningKey::generate(Algorithm::Rs256, Some("rsa-2")),
        es256: SigningKey::generate(Algorithm::Es256, Some("es256-1")),
        es384: SigningKey::generate(Algorithm::Es384, Some("es384-1")),
        es512: SigningKey::generate(Algorithm::Es512, Some("es512-1")),
        ed25519: SigningKey::generate(Algorithm::EdDsa, Some("ed-1")),
    })
}

/// A token that every default provider accepts.
pub fn token() -> Token {
    token_of(&world().rsa)
}

pub fn token_of(key: &SigningKey) -> Token {
    Token::new(key)
        .claims(json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": testkit::unix_now()}))
        .expires_in(600)
}

pub fn get(path: &str) -> Request {
    Request::get(path)
}

/// A configuration of one provider `corp` and no rules.
pub fn config(provider: Value) -> Value {
    json!({"providers": {"corp": provider}})
}

/// All keys of the world, in the configuration.
pub fn local_provider() -> Value {
    let world = world();
    let keys = testkit::jwks(&[
        &world.rsa,
        &world.rsa_next,
        &world.es256,
        &world.es384,
        &world.es512,
        &world.ed25519,
    ]);
    json!({"issuer": ISSUER, "audiences": [AUDIENCE], "local_jwks": {"inline_string": keys.to_string()}})
}

/// The alias of the extension backend that every route names, and that is the issuer's cluster.
pub const BACKEND: &str = "idp";

/// Keys from the issuer's `/jwks`.
pub fn remote_provider() -> Value {
    json!({"issuer": ISSUER, "audiences": [AUDIENCE], "remote_jwks": remote_jwks("/jwks")})
}

pub fn remote_jwks(path: &str) -> Value {
    json!({
        "http_uri": {"uri": format!("http://idp.example.com{path}"), "cluster": "issuer", "timeout": "1s"},
        "cache_duration": "600s"
    })
}

/// The object with these members set; `null` takes one away.
pub fn with(mut object: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().expect("an object of fields") {
        if value.is_null() {
            object.as_object_mut().expect("an object").remove(name);
        } else {
            object[name] = value.clone();
        }
    }
    object
}
