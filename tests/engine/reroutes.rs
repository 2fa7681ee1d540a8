//! Routes that requests take once they are changed: more kinds of them than the engine remembers.

use proxy_wasm_jwt::authenticator::{Authenticator, Decision, StreamId};
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::denial::Reason;
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::store::InMemoryStore;
use proxy_wasm_jwt::time::UnixTime;
use serde_json::{Value, json};

use scenarios::{config, local_provider, token, with};

const ROUTES: usize = 300;

/// Routes whose requirement corp's tokens meet, and one that they do not.
fn configured(forward: bool) -> Config {
    let mut config = config(with(local_provider(), json!({"forward": forward})));
    config["providers"]["admin"] = with(local_provider(), json!({"issuer": "https://admin.example"}));
    let mut map: Value = (0..ROUTES)
        .map(|number| (format!("r{number}"), json!({"provider_name": "corp"})))
        .collect();
    map["admin"] = json!({"provider_name": "admin"});
    config["requirement_map"] = map;
    Config::parse(config.to_string().as_bytes()).expect("a configuration")
}

#[test]
fn what_is_not_remembered_any_more_has_to_meet_every_requirement() {
    let now = UnixTime::from_secs(u64::try_from(testkit::unix_now()).expect("after 1970"));
    let good = token().mint();
    let wanted = configured(false).wanted;
    let field = wanted.find(b"authorization").expect("a field");
    let from = |number: usize| {
        let mut head = RequestHead::new();
        head.push(field, format!("Bearer {good}").into_bytes());
        head.route_requirement = Some(format!("r{number}").into_bytes());
        head
    };
    let decide = |engine: &mut Authenticator, number: usize| {
        let mut head = from(number);
        engine.handle_request(StreamId(1), &mut head, &(), now, &InMemoryStore::default())
    };
    for (forward, passes_on) in [(false, false), (true, true)] {
        let mut engine = Authenticator::new(configured(forward).into(), 1);
        for number in 0..257 {
            let Decision::Allow(allowed) = decide(&mut engine, number) else {
                panic!("{number} is refused");
            };
            let to = (number + 1) % ROUTES;
            let head = from(number);
            let there = engine.handle_rerouted(&head, &allowed, Some(format!("r{to}").into_bytes()), now);
            // The 257th kind is one too many.
            let is_remembered = passes_on || number < 256;
            assert_eq!(matches!(there, Decision::Allow(_)), is_remembered, "{number}");
            // The engine remembers the routes of the known kinds.
            assert!(matches!(decide(&mut engine, 7), Decision::Allow(_)), "{number}");
        }
        match decide(&mut engine, 299) {
            Decision::Allow(_) => assert!(passes_on),
            Decision::Deny(refusal) => {
                assert!(!passes_on);
                assert_eq!(refusal.denial.reason, Reason::IssuerUnknown);
            }
            other => panic!("{other:?}"),
        }
    }
}
