//! The steps of the walk: a request each, and the expected response. A new step is a new entry of [`steps`].

use std::cell::OnceCell;

use serde_json::json;
use testkit::{Algorithm, Request, SigningKey, Token, tamper_signature};

use crate::stack::{AUDIENCE, ISSUER, Stack, publish};

/// The inputs of the steps.
pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) key: SigningKey,
    new_key: OnceCell<SigningKey>,
}

impl World {
    pub(crate) fn new(stack: Stack, key: SigningKey) -> Self {
        Self {
            stack,
            key,
            new_key: OnceCell::new(),
        }
    }

    /// A valid token. Each step changes the part that it tests.
    fn token(&self) -> Token {
        self.token_of(&self.key)
    }

    fn token_of(&self, key: &SigningKey) -> Token {
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "scope": "orders:read"});
        Token::new(key).claims(claims)
    }

    /// The key to which the issuer changes during the walk, for another algorithm.
    fn new_key(&self) -> &SigningKey {
        self.new_key.get_or_init(|| {
            let key = SigningKey::generate(Algorithm::Es256, None);
            key.with_kid(Some(&key.thumbprint()))
        })
    }
}

/// A request, and its form on the screen: a token is described, never printed.
pub(crate) struct Ask {
    pub(crate) request: Request,
    pub(crate) shown: Vec<String>,
}

impl Ask {
    fn get(path: &str) -> Self {
        Self {
            request: Request::get(path),
            shown: Vec::new(),
        }
    }

    fn header(self, name: &str, value: &str) -> Self {
        self.header_shown_as(name, value.as_bytes(), value)
    }

    fn header_shown_as(mut self, name: &str, value: &[u8], shown: &str) -> Self {
        self.request = self.request.header(name, value);
        self.shown.push(format!("{name}: {shown}"));
        self
    }

    fn token(self, description: &str, token: &str) -> Self {
        let value = format!("Bearer {token}");
        self.header_shown_as(
            "authorization",
            value.as_bytes(),
            &format!("Bearer <{description}>"),
        )
    }
}

/// The expected response.
#[derive(Default)]
pub(crate) struct Expect {
    pub(crate) status: u16,
    /// The member `reason` of the body.
    pub(crate) reason: Option<&'static str>,
    /// The challenge: whether there is one, and its `error`.
    pub(crate) challenge: Challenge,
    /// Whether there is a `retry-after`.
    pub(crate) retry_after: bool,
    /// Headers of the request at the upstream; `None` means that the request must not arrive there.
    pub(crate) upstream: Vec<(&'static str, Option<&'static str>)>,
    /// The number of fetches of the issuer's keys during the step.
    pub(crate) fetches: Option<usize>,
}

/// The expected `www-authenticate`.
#[derive(Default)]
pub(crate) enum Challenge {
    /// No challenge at all.
    #[default]
    Absent,
    /// `Bearer` with a realm and no error: the request had no credentials.
    Bare,
    /// `Bearer` with this error.
    Error(&'static str),
}

/// One step.
pub(crate) struct Step {
    pub(crate) title: &'static str,
    pub(crate) listener: &'static str,
    /// The change of the environment before the request.
    pub(crate) before: fn(&World),
    pub(crate) ask: fn(&World) -> Ask,
    pub(crate) expect: Expect,
}

impl Step {
    fn new(title: &'static str, ask: fn(&World) -> Ask) -> Self {
        Self {
            title,
            listener: "main",
            before: |_| {},
            ask,
            expect: Expect::default(),
        }
    }

    fn before(mut self, before: fn(&World)) -> Self {
        self.before = before;
        self
    }

    fn at(mut self, listener: &'static str) -> Self {
        self.listener = listener;
        self
    }

    fn passes(mut self) -> Self {
        self.expect.status = 200;
        self
    }

    /// A refusal without credentials in the request.
    fn asks_for_a_token(mut self) -> Self {
        self.expect.status = 401;
        self.expect.reason = Some("token_missing");
        self.expect.challenge = Challenge::Bare;
        self
    }

    /// A refusal of the token that was sent.
    fn refuses_the_token(mut self, reason: &'static str) -> Self {
        self.expect.status = 401;
        self.expect.reason = Some(reason);
        self.expect.challenge = Challenge::Error("invalid_token");
        self
    }

    /// A refusal of a valid token without the necessary rights.
    fn refuses_this_to_the_token(mut self, reason: &'static str) -> Self {
        self.expect.status = 403;
        self.expect.reason = Some(reason);
        self.expect.challenge = Challenge::Error("insufficient_scope");
        self
    }

    /// There are no keys for the verification.
    fn asks_to_retry(mut self) -> Self {
        self.expect.status = 503;
        self.expect.reason = Some("keys_unavailable");
        self.expect.retry_after = true;
        self
    }

    fn upstream_sees(mut self, header: &'static str, value: &'static str) -> Self {
        self.expect.upstream.push((header, Some(value)));
        self
    }

    fn upstream_sees_no(mut self, header: &'static str) -> Self {
        self.expect.upstream.push((header, None));
        self
    }

    fn issuer_is_asked(mut self, times: usize) -> Self {
        self.expect.fetches = Some(times);
        self
    }
}

/// The walk.
#[rustfmt::skip] // one line for each thing said about a step
pub(crate) fn steps() -> Vec<Step> {
    vec![
        Step::new("no token", |_| Ask::get("/orders"))
            .asks_for_a_token(),
        Step::new("a good token", |w| Ask::get("/orders").token("good token", &w.token().mint()))
            .passes()
            .upstream_sees("x-jwt-sub", "alice")
            .upstream_sees("x-jwt-scope", "orders:read")
            .upstream_sees_no("authorization"),
        Step::new("a good token and a forged claim header", |w| {
            Ask::get("/orders").token("good token", &w.token().mint()).header("x-jwt-sub", "root")
        })
            .passes()
            .upstream_sees("x-jwt-sub", "alice"),
        Step::new("an open route, and a forged claim header", |_| Ask::get("/healthz").header("x-jwt-sub", "root"))
            .passes()
            .upstream_sees_no("x-jwt-sub"),
        Step::new("a way around through the open route", |_| Ask::get("/healthz/../orders"))
            .asks_for_a_token(),
        Step::new("where to get a token, as the challenges say", |_| Ask::get("/.well-known/oauth-protected-resource"))
            .passes(),
        Step::new("a good token without the scope for this", |w| {
            Ask::get("/reports").token("good token, scope orders:read", &w.token().mint())
        })
            .refuses_this_to_the_token("scope_insufficient"),
        Step::new("a good token with the scope", |w| {
            Ask::get("/reports").token("good token, scope reports:read", &w.token().claim("scope", "reports:read").mint())
        })
            .passes()
            .upstream_sees("x-jwt-scope", "reports:read"),
        Step::new("a policy in shadow mode: no token, not refused", |_| Ask::get("/payments").header("x-jwt-sub", "root"))
            .passes()
            .upstream_sees_no("x-jwt-sub"),
        Step::new("an expired token", |w| {
            Ask::get("/orders").token("expired token", &w.token().claim("iat", testkit::unix_now() - 3600).expires_in(-600).mint())
        })
            .refuses_the_token("token_expired"),
        Step::new("a token for another service", |w| {
            Ask::get("/orders").token("token for billing-api", &w.token().claim("aud", "billing-api").mint())
        })
            .refuses_the_token("audience_mismatch"),
        Step::new("a token of an unknown issuer", |w| {
            Ask::get("/orders").token("token of mallory.example", &w.token().claim("iss", "https://mallory.example").mint())
        })
            .refuses_the_token("issuer_unknown"),
        Step::new("a spoiled signature", |w| {
            Ask::get("/orders").token("good token, one bit of its signature turned", &tamper_signature(&w.token().mint()))
        })
            .refuses_the_token("signature_invalid"),
        Step::new("alg: none", |w| {
            Ask::get("/orders").token("token with alg none, unsigned", &w.token().unsecured().mint())
        })
            .refuses_the_token("algorithm_rejected"),
        Step::new("HS256, keyed with the public key", |w| {
            let public = w.key.public_pem();
            Ask::get("/orders").token("token with alg HS256, public key as secret", &w.token().hs256(public.as_bytes()).mint())
        })
            .refuses_the_token("algorithm_rejected"),
        Step::new("bytes that are no text", |_| {
            Ask::get("/orders").header_shown_as("authorization", b"Bearer \xff", r"Bearer \xff")
        })
            .refuses_the_token("token_malformed"),
        Step::new("a good token after all this", |w| Ask::get("/orders").token("good token", &w.token().mint()))
            .passes()
            .upstream_sees("x-jwt-sub", "alice")
            .issuer_is_asked(0),
        Step::new("key rotation: the first token of a new key", |w| {
            Ask::get("/orders").token("good token of the new key", &w.token_of(w.new_key()).mint())
        })
            .before(|w| publish(&w.stack.issuer, &[w.new_key(), &w.key]))
            .passes()
            .upstream_sees("x-jwt-sub", "alice")
            .issuer_is_asked(1),
        Step::new("key rotation: the old key is still good", |w| {
            Ask::get("/orders").token("good token of the old key", &w.token().mint())
        })
            .passes()
            .issuer_is_asked(0),
        Step::new("issuer down: keys once fetched serve on", |w| {
            Ask::get("/orders").token("good token", &w.token().claim("jti", "after the outage").mint())
        })
            .before(|w| w.stack.issuer.stop())
            .passes()
            .upstream_sees("x-jwt-sub", "alice"),
        Step::new("issuer never reached: not the client's fault", |w| {
            Ask::get("/orders").token("good token", &w.token().mint())
        })
            .at("cold")
            .asks_to_retry(),
    ]
}
