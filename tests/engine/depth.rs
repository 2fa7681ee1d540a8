//! The number of nested calls at a signature check. A reader who follows a request has to remember them.

use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm_jwt::authenticator::{Authenticator, Decision, StreamId};
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::jose::{Algorithm, Jwk, Sandbox, SignatureVerifier};
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::store::InMemoryStore;
use proxy_wasm_jwt::time::UnixTime;

use scenarios::{config, local_provider, token};

/// Records the functions on the stack.
#[derive(Debug, Default)]
struct Witness(RefCell<Vec<String>>);

impl SignatureVerifier for Witness {
    fn verify(&self, _: &Jwk, _: Algorithm, _: &[u8], _: &[u8]) -> bool {
        let trace = Backtrace::force_capture().to_string();
        let functions = trace.lines().filter_map(|line| line.trim().split_once(": "));
        let functions = functions.map(|(_, function)| function.trim_start_matches('<'));
        let ours = functions.filter(|function| function.starts_with("proxy_wasm_jwt::"));
        self.0.replace(ours.map(str::to_owned).collect());
        true
    }

    fn cost(&self, key: &Jwk, algorithm: Algorithm) -> Option<u32> {
        Sandbox.cost(key, algorithm)
    }
}

#[test]
fn a_signature_is_checked_at_most_nine_functions_deep() {
    let config = Config::parse(config(local_provider()).to_string().as_bytes()).unwrap();
    let witness = Rc::new(Witness::default());
    let field = config.wanted.find(b"authorization").unwrap();
    let mut engine = Authenticator::new(Rc::new(config), 1).with_verifier(witness.clone());
    let mut head = RequestHead::new();
    head.push(field, format!("Bearer {}", token().mint()).into_bytes());
    let now = UnixTime::from_secs(u64::try_from(testkit::unix_now()).unwrap());
    let decision = engine.handle_request(StreamId(1), &mut head, &(), now, &InMemoryStore::default());
    assert!(matches!(decision, Decision::Allow(_)), "{decision:?}");
    let functions = witness.0.take();
    assert!(
        functions
            .last()
            .is_some_and(|last| last.contains("handle_request")),
        "{functions:#?}"
    );
    assert!(functions.len() <= 9, "{functions:#?}");
}
