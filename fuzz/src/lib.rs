//! The properties that hold for any bytes, in addition to the absence of panics: one function for each kind
//! of input.
//!
//! `make fuzz` gives them inputs that reach new code; a test gives them the seeds, from which the fuzzer
//! begins.

mod pairs;
mod pattern;
mod request;

pub use pairs::pairs;
pub use pattern::patterns;
pub use request::request;

use proxy_wasm_jwt::authenticator::{Authenticator, Decision, StreamId};
use proxy_wasm_jwt::claims::{UnverifiedClaims, VerifiedJwt};
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::jose::{AlgorithmSet, Checks, JwkSet, Sandbox, Spent, UnverifiedJwt};
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::store::InMemoryStore;
use proxy_wasm_jwt::time::UnixTime;

/// A kind of input.
pub type Target = fn(&[u8]);

/// All of them, by their names.
pub const TARGETS: [(&str, Target); 5] = [
    ("configuration", configuration),
    ("token", token),
    ("request", request),
    ("pairs", pairs),
    ("patterns", patterns),
];

/// Seconds since the epoch at which everything happens.
const NOW: u64 = 1_800_000_000;

/// A configuration, JSON text or a `google.protobuf.Struct`. An accepted configuration works, and its
/// comparable form has the same meaning.
pub fn configuration(bytes: &[u8]) {
    let config = Config::parse(bytes);
    let again = Config::parse(&proxy_wasm_jwt::config::canonical(bytes));
    assert_eq!(config.is_ok(), again.is_ok(), "{config:?} {again:?}");
    let Ok(config) = config else { return };
    assert!(!config.providers.is_empty());
    let config = std::rc::Rc::new(config);
    let mut engine = Authenticator::new(config.clone(), 1);
    let decision = engine.handle_request(
        StreamId(1),
        &mut RequestHead::new(),
        &(),
        UnixTime::from_secs(NOW),
        &InMemoryStore::default(),
    );
    if let Decision::Deny(refusal) = decision {
        assert!(config.replies.to(&refusal).status >= 400);
    }
}

/// A key set and a token, with an empty line between. The parts of a parsed token can be joined again, and a
/// token has only one spelling.
pub fn token(bytes: &[u8]) {
    let split = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (document, text) = split.map_or((&b""[..], bytes), |at| (&bytes[..at], &bytes[at + 2..]));
    let set = JwkSet::parse(document).map(|parsed| parsed.set).ok();
    let Ok(token) = UnverifiedJwt::decode(text) else {
        return;
    };
    let parts = [token.header_json(), token.payload(), token.signature()].map(request::segment);
    assert_eq!(parts.join(".").as_bytes(), text);
    let (Ok(header), Ok(claims)) = (token.header(), UnverifiedClaims::parse(token.payload())) else {
        return;
    };
    let _ = claims.unverified_issuer();
    for provider in &request::config().providers {
        let _ = claims.check_issuer(provider);
        let _ = claims
            .times()
            .map(|times| times.check(provider, UnixTime::from_secs(NOW)));
        let _ = claims.check(provider, &provider.audiences);
    }
    if let (Some(set), Some(algorithm)) = (set, header.algorithm) {
        let _ = VerifiedJwt::verify(
            &token,
            algorithm,
            header.key_id.as_deref(),
            &claims,
            &set,
            AlgorithmSet::ALL,
            Checks::new(&Sandbox, &Spent::default()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_pass() {
        for (name, target) in TARGETS {
            let seeds = std::fs::read_dir(format!("{}/seeds/{name}", env!("CARGO_MANIFEST_DIR")));
            let mut tried = 0;
            for seed in seeds.expect("a folder of seeds") {
                target(&std::fs::read(seed.expect("a seed").path()).expect("it can be read"));
                tried += 1;
            }
            assert!(tried > 0, "{name} has no seeds");
        }
    }
}
