//! A whole request: any bytes in any field that the configuration reads.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proxy_wasm_jwt::authenticator::{Authenticator, Basis, Decision, StreamId};
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::jose::{Algorithm, Jwk, SignatureVerifier};
use proxy_wasm_jwt::reply::LocalReply;
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::store::{Entry, InMemoryStore, SharedStore, StoreKey, SwapError};
use proxy_wasm_jwt::time::UnixTime;

use crate::NOW;

/// A configuration with a part of each feature that reads a request or a token.
pub(crate) fn config() -> Rc<Config> {
    thread_local! {
        static CONFIG: Rc<Config> = Config::parse(include_bytes!("config.json"))
            .expect("a configuration")
            .into();
    }
    CONFIG.with(Rc::clone)
}

/// Takes every signature, or none.
#[derive(Debug)]
pub(crate) struct Says(pub(crate) bool);

impl SignatureVerifier for Says {
    fn verify(&self, _: &Jwk, _: Algorithm, _: &[u8], _: &[u8]) -> bool {
        self.0
    }

    fn cost(&self, key: &Jwk, algorithm: Algorithm) -> Option<u32> {
        key.module_cost(algorithm)
    }
}

/// A field in each line, as `name: value`. After a byte 1, a value continues with a token: its three parts,
/// decoded, with a byte 2 between them. A fuzzer could not produce valid base64url. A byte 3 ends it.
///
/// Without a good signature, the filter accepts no token. An allowed request has valid headers, and a refused
/// one has a valid reply. A repeated request gets the same answer, from the cache of tokens or not.
pub fn request(bytes: &[u8]) {
    let config = config();
    let head = head(&config, bytes);
    let decide_with = |engine: &mut Authenticator, store: &dyn SharedStore| {
        engine.handle_request(
            StreamId(1),
            &mut head.clone(),
            &(),
            UnixTime::from_secs(NOW),
            store,
        )
    };
    let decide = |engine: &mut Authenticator| decide_with(engine, &InMemoryStore::default());

    let mut no = Authenticator::new(config.clone(), 1).with_verifier(Rc::new(Says(false)));
    let decision = decide(&mut no);
    if let Decision::Allow(forward) = &decision {
        assert!(!matches!(forward.basis, Basis::Verified(_)), "{decision:?}");
    }
    check(&config, &decision);

    let mut yes = Authenticator::new(config.clone(), 1).with_verifier(Rc::new(Says(true)));
    let decision = decide(&mut yes);
    check(&config, &decision);
    assert_eq!(decision, decide(&mut yes));
    assert_eq!(decision, decide(&mut yes));

    // A proof is valid once, and not at all if the store cannot remember it.
    let store = InMemoryStore::default();
    decide_with(&mut yes, &store);
    if store.generation() > 0 {
        for again in [decide_with(&mut yes, &store), decide_with(&mut yes, &Full)] {
            assert_ne!(again, decision);
            check(&config, &again);
        }
    }
}

fn head(config: &Config, bytes: &[u8]) -> RequestHead {
    let mut head = RequestHead::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(at) = line.windows(2).position(|pair| pair == b": ") else {
            continue;
        };
        let (name, value) = (&line[..at], with_token(&line[at + 2..]));
        // Envoy passes no such field to a filter.
        if breaks_a_field(&value) {
            continue;
        }
        match name {
            b"route" => head.route_requirement = Some(value),
            b"state" => head.filter_state = Some(value),
            b"certificate" => head.peer_certificate = Some(value),
            b"address" => head.source_address = Some(value),
            name => head.take(&config.headers, name, &value),
        }
    }
    head
}

fn with_token(value: &[u8]) -> Vec<u8> {
    let Some(at) = value.iter().position(|byte| *byte == 1) else {
        return value.to_vec();
    };
    let (before, token) = (&value[..at], &value[at + 1..]);
    let end = token.iter().position(|byte| *byte == 3).unwrap_or(token.len());
    let parts: Vec<String> = token[..end].split(|byte| *byte == 2).map(segment).collect();
    [
        before,
        parts.join(".").as_bytes(),
        token.get(end + 1..).unwrap_or_default(),
    ]
    .concat()
}

/// A part of a token.
pub(crate) fn segment(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A store that can be read, but not written.
struct Full;

impl SharedStore for Full {
    fn get(&self, _: StoreKey<'_>) -> Option<Entry> {
        Some(Entry {
            value: None,
            version: 0,
        })
    }

    fn swap(&self, _: StoreKey<'_>, _: u64, _: &[u8]) -> Result<(), SwapError> {
        Err(SwapError::Failed)
    }

    fn put(&self, _: StoreKey<'_>, _: &[u8]) {}
}

fn check(config: &Config, decision: &Decision) {
    match decision {
        Decision::Allow(forward) => {
            for edit in forward.edits.iter() {
                assert!(!edit.name.is_empty() && edit.name.is_ascii(), "{edit:?}");
                let value = edit.value.as_deref().unwrap_or_default();
                assert!(!breaks_a_field(value), "{edit:?}");
            }
        }
        Decision::Deny(refusal) => {
            let reply = config.replies.to(refusal);
            assert!(reply.status >= 400);
            check_reply(&reply);
            check_reply(&reply.for_grpc());
            let body = serde_json::from_slice::<serde_json::Value>(&reply.body).expect("a body of JSON");
            assert_eq!(body["reason"], refusal.denial.reason.label());
        }
        Decision::Answer(reply) => check_reply(reply),
        Decision::Wait => panic!("all keys are here"),
    }
}

fn check_reply(reply: &LocalReply) {
    for (name, value) in &reply.headers {
        assert!(!breaks_a_field(value.as_bytes()), "{name}: {value:?}");
    }
    assert!(!reply.details.contains(char::is_whitespace), "{}", reply.details);
}

/// RFC 9110 section 5.5: "CR, LF, or NUL characters within a field value are invalid and dangerous".
fn breaks_a_field(value: &[u8]) -> bool {
    value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result for a seed if every signature counts as valid.
    fn outcome(name: &str) -> String {
        let seed = format!("{}/seeds/request/{name}", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(seed).expect("a seed");
        let config = config();
        let mut head = head(&config, &bytes);
        let mut engine = Authenticator::new(config, 1).with_verifier(Rc::new(Says(true)));
        let store = InMemoryStore::default();
        match engine.handle_request(StreamId(1), &mut head, &(), UnixTime::from_secs(NOW), &store) {
            // The generated text is the proof.
            Decision::Allow(_) if store.generation() > 0 => "forwarded with a proof".to_owned(),
            Decision::Allow(forward) => match forward.basis {
                Basis::Verified(_) => "forwarded".to_owned(),
                Basis::Anonymous | Basis::Bypassed => "forwarded without a token".to_owned(),
            },
            Decision::Deny(refusal) => refusal.denial.reason.label().to_owned(),
            Decision::Answer(_) => "answered".to_owned(),
            Decision::Wait => "held".to_owned(),
        }
    }

    #[test]
    fn the_seeds_come_as_far_as_they_should() {
        let expected = [
            ("cookie", "forwarded"),
            ("dpop", "forwarded with a proof"),
            ("expired", "token_expired"),
            ("good", "forwarded"),
            ("healthz", "token_missing"),
            ("metadata", "answered"),
            ("missing", "token_missing"),
            ("mtls", "forwarded"),
            ("patterns", "forwarded"),
            ("preflight", "forwarded without a token"),
            ("query", "forwarded"),
            ("route", "forwarded"),
            ("scoped", "forwarded"),
            ("shadow", "forwarded without a token"),
            ("tenant", "forwarded"),
            ("two", "token_multiple"),
        ];
        for (name, wanted) in expected {
            assert_eq!(outcome(name), wanted, "{name}");
        }
    }
}
