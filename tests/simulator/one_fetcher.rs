//! Engines in several threads that share a store in memory: one of them fetches for all, as in a host that
//! lets only its main thread send requests.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proxy_wasm_jwt::authenticator::{Authenticator, Decision, Event, StreamId, WantedKey};
use proxy_wasm_jwt::ids::ProviderId;
use proxy_wasm_jwt::keys::{FetchRequest, Wants};
use proxy_wasm_jwt::store::InMemoryStore;
use proxy_wasm_jwt::time::UnixTime;
use serde_json::json;
use testkit::{Algorithm, SigningKey, Token};

use super::process::{ISSUER, config, fetched, head, keys, set, token};

fn engine(seed: u64) -> Authenticator {
    Authenticator::new(Rc::new(config()), seed)
}

fn open(engine: &mut Authenticator, token: &str, now: UnixTime, store: &InMemoryStore) -> Decision {
    engine.handle_request(StreamId(1), &mut head(token), &(), now, store)
}

fn answer(
    engine: &mut Authenticator,
    requests: Vec<FetchRequest>,
    keys: &str,
    now: UnixTime,
    store: &InMemoryStore,
) {
    assert_eq!(requests.len(), 1);
    for request in requests {
        let next = engine.handle_fetched(request.id, Ok(fetched(keys)), now, store);
        assert_eq!(next, None);
    }
}

/// The keys that the engine wants from the one that fetches.
fn wanted(engine: &mut Authenticator) -> Vec<WantedKey> {
    let events = std::iter::from_fn(|| engine.poll_event());
    events
        .filter_map(|event| match event {
            Event::KeyWanted(wanted) => {
                assert_eq!(wanted.provider, ProviderId::new(0));
                Some(wanted)
            }
            _ => None,
        })
        .collect()
}

#[test]
fn an_engine_without_fetches_lives_by_the_store() {
    let (keys, store) = (keys(), InMemoryStore::default());
    let mut now = UnixTime::from_secs(u64::try_from(testkit::unix_now()).unwrap());
    let (mut fetcher, mut worker) = (engine(1), engine(2).without_fetches());
    assert_eq!(worker.next_timeout(now), None);
    assert_eq!(
        open(&mut worker, &token(&keys.first), now, &store),
        Decision::Wait
    );
    assert!(worker.handle_tick(now, &store).is_empty());
    assert_eq!(worker.next_timeout(now), Some(now.after(Duration::from_secs(5))));
    assert_eq!(
        wanted(&mut worker),
        [],
        "keys are fetched without being asked for"
    );

    let requests = fetcher.handle_tick(now, &store);
    let before = store.generation();
    answer(&mut fetcher, requests, &set(&[&keys.first]).body, now, &store);
    assert!(store.generation() > before);
    worker.handle_shared(now, &store);
    let (_, decision) = worker.poll_decision(&store).unwrap();
    assert!(matches!(decision, Decision::Allow(_)), "{decision:?}");
    assert_eq!(worker.next_timeout(now), None);

    // A rotated key, which requests name again and again.
    let fetched_at = now;
    now = now.after(Duration::from_secs(60));
    for _ in 0..3 {
        assert_eq!(
            open(&mut worker, &token(&keys.second), now, &store),
            Decision::Wait
        );
    }
    let kids = wanted(&mut worker);
    let of_second = |wants| WantedKey {
        provider: ProviderId::new(0),
        key_id: "second".into(),
        wants,
        is_held: false,
        since: now,
    };
    assert_eq!(
        kids,
        [of_second(Wants::Once), of_second(Wants::Again)],
        "once, and once more as it comes again"
    );
    let late = WantedKey {
        since: fetched_at,
        key_id: "first".into(),
        ..of_second(Wants::Again)
    };
    fetcher.handle_event(&Event::KeyWanted(late), now);
    assert!(
        fetcher.handle_tick(now, &store).is_empty(),
        "the keys were fetched after that request"
    );
    for wanted in kids {
        fetcher.handle_event(&Event::KeyWanted(wanted), now);
    }
    let requests = fetcher.handle_tick(now, &store);
    now = now.after(Duration::from_millis(40));
    answer(
        &mut fetcher,
        requests,
        &set(&[&keys.first, &keys.second]).body,
        now,
        &store,
    );
    worker.handle_shared(now, &store);
    let (_, decision) = worker.poll_decision(&store).unwrap();
    assert!(matches!(decision, Decision::Allow(_)), "{decision:?}");
}

#[test]
fn a_flood_of_unknown_kids_sends_few_messages() {
    let (keys, store) = (keys(), InMemoryStore::default());
    let now = UnixTime::from_secs(u64::try_from(testkit::unix_now()).unwrap());
    let (mut fetcher, mut worker) = (engine(1), engine(2).without_fetches());
    let requests = fetcher.handle_tick(now, &store);
    answer(&mut fetcher, requests, &set(&[&keys.first]).body, now, &store);
    worker.handle_shared(now, &store);
    let now = now.after(Duration::from_secs(60));
    let mut messages = 0;
    for number in 0..200 {
        let key = SigningKey::generate(Algorithm::EdDsa, Some(&format!("forged-{number}")));
        let token = Token::new(&key)
            .claims(json!({"iss": ISSUER, "aud": "orders-api"}))
            .mint();
        for _ in 0..2 {
            open(&mut worker, &token, now, &store);
        }
        messages += wanted(&mut worker).len();
    }
    assert_eq!(messages, 2);
}

#[test]
fn workers_in_threads_get_keys_from_the_one_that_fetches() {
    let (keys, store) = (keys(), InMemoryStore::default());
    let now = UnixTime::from_secs(u64::try_from(testkit::unix_now()).unwrap());
    let (good, is_fetched) = (token(&keys.first), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for seed in 2..6 {
            let (store, good, is_fetched) = (&store, &good, &is_fetched);
            scope.spawn(move || {
                let mut worker = engine(seed).without_fetches();
                let mut seen = store.generation();
                let mut decision = open(&mut worker, good, now, store);
                while decision == Decision::Wait {
                    std::thread::yield_now();
                    if store.generation() == seen && !is_fetched.load(Ordering::Acquire) {
                        continue;
                    }
                    seen = store.generation();
                    worker.handle_shared(now, store);
                    if let Some((_, decided)) = worker.poll_decision(store) {
                        decision = decided;
                    }
                }
                assert!(matches!(decision, Decision::Allow(_)), "{decision:?}");
            });
        }
        let mut fetcher = engine(1);
        let requests = fetcher.handle_tick(now, &store);
        answer(&mut fetcher, requests, &set(&[&keys.first]).body, now, &store);
        is_fetched.store(true, Ordering::Release);
    });
}
