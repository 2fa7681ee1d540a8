//! A wall clock that is set back a little while requests come. In Envoy, no test can do this.

use std::time::Duration;

use testkit::Request;

use super::Engine;
use super::backends::{Outcome, Running as _};
use scenarios::{Says, Scenario, config, remote_provider, token, world};

/// The status of a request with the token.
fn status(engine: &mut Engine, token: &str) -> u16 {
    match engine.requests(&[Request::get("/orders").bearer(token)]).pop() {
        Some(Outcome::Answered { status, .. }) => status,
        Some(Outcome::Forwarded { .. }) => 200,
        None => panic!("no outcome"),
    }
}

#[test]
fn a_fetch_before_a_request_does_not_come_after_it_when_the_clock_is_set_back() {
    for back in [1, 60, 400, 1900, 4900] {
        let scenario =
            Scenario::new("clock", config(remote_provider())).issuer("/jwks", Says::keys(&[&world().rsa]));
        let mut engine = Engine::new(&scenario);
        let unknown = |kid: &str| token().header("kid", kid).mint();
        assert_eq!(status(&mut engine, &token().mint()), 200);
        assert_eq!(
            status(&mut engine, &unknown("a")),
            401,
            "the issuer was asked for it"
        );
        engine.pass(Duration::from_millis(50));
        engine.now = engine.now.before(Duration::from_millis(back));
        assert_eq!(
            status(&mut engine, &unknown("b")),
            503,
            "{back} ms back: it was not"
        );
        assert_eq!(engine.fetches("/jwks"), 2);
    }
}
