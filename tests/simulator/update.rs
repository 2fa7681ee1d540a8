//! Two configurations that run side by side while Envoy drains the listener of the older one.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy_wasm_jwt::authenticator::{Authenticator, Decision, StreamId};
use proxy_wasm_jwt::keys::FetchRequest;
use proxy_wasm_jwt::store::{Entry, InMemoryStore, SharedStore, StoreKey, SwapError};
use proxy_wasm_jwt::time::UnixTime;

use super::process::{config, fetched, head, keys, set, token};

/// The store of one configuration, which may adopt the keys of another one.
struct Store {
    own: Arc<InMemoryStore>,
    other: Option<Arc<InMemoryStore>>,
}

impl SharedStore for Store {
    fn get(&self, key: StoreKey<'_>) -> Option<Entry> {
        self.own.get(key)
    }

    fn swap(&self, key: StoreKey<'_>, seen: u64, value: &[u8]) -> Result<(), SwapError> {
        self.own.swap(key, seen, value)
    }

    fn put(&self, key: StoreKey<'_>, value: &[u8]) {
        self.own.put(key, value);
    }

    fn predecessors(&self) -> Vec<Box<dyn SharedStore>> {
        let other = self.other.iter().cloned();
        other
            .map(|own| Box::new(Self { own, other: None }) as Box<dyn SharedStore>)
            .collect()
    }
}

struct Side {
    engine: Authenticator,
    store: Store,
}

impl Side {
    fn new(seed: u64, own: &Arc<InMemoryStore>, other: &Arc<InMemoryStore>) -> Self {
        Self {
            engine: Authenticator::new(Rc::new(config()), seed),
            store: Store {
                own: own.clone(),
                other: Some(other.clone()),
            },
        }
    }

    fn open(&mut self, stream: u32, token: &str, now: UnixTime) -> Decision {
        self.engine
            .handle_request(StreamId(stream), &mut head(token), &(), now, &self.store)
    }

    fn tick(&mut self, now: UnixTime) -> Vec<FetchRequest> {
        self.engine.handle_tick(now, &self.store)
    }

    fn answer(&mut self, requests: &[FetchRequest], keys: &str, now: UnixTime) {
        for request in requests {
            let _ = self
                .engine
                .handle_fetched(request.id, Ok(fetched(keys)), now, &self.store);
        }
    }
}

#[test]
fn a_configuration_with_keys_does_not_wait_for_the_fetch_of_another_one() {
    let keys = keys();
    let (before, after) = (
        Arc::new(InMemoryStore::default()),
        Arc::new(InMemoryStore::default()),
    );
    let (mut old, mut new) = (Side::new(1, &before, &after), Side::new(2, &after, &before));
    let only_first = set(&[&keys.first]).body;
    let both = set(&[&keys.first, &keys.second]).body;
    let begin = UnixTime::from_secs(u64::try_from(testkit::unix_now()).unwrap());

    let requests = old.tick(begin);
    assert_eq!(requests.len(), 1);
    old.answer(&requests, &only_first, begin);
    assert!(
        new.tick(begin).is_empty(),
        "the keys of the configuration before are enough"
    );
    assert!(matches!(
        new.open(1, &token(&keys.first), begin),
        Decision::Allow(_)
    ));

    // The old one asks again, without success: from now on its record is the newer one.
    let now = begin.after(Duration::from_secs(30));
    assert_eq!(old.open(1, &token(&keys.second), now), Decision::Wait);
    let requests = old.tick(now);
    assert_eq!(requests.len(), 1);
    old.answer(&requests, &only_first, now);

    // The issuer rotates, and a request at each of both has the new key. The old one is faster.
    let rotated = begin.after(Duration::from_secs(60));
    assert_eq!(old.open(2, &token(&keys.second), rotated), Decision::Wait);
    let of_old = old.tick(rotated);
    assert_eq!(of_old.len(), 1);
    let mut now = rotated.after(Duration::from_millis(1));
    assert_eq!(new.open(2, &token(&keys.second), now), Decision::Wait);
    let of_new = new.tick(now);
    now = rotated.after(Duration::from_millis(40));
    old.answer(&of_old, &both, now);
    new.answer(&of_new, &both, now);
    for _ in 0..4 {
        let requests = new.tick(now);
        now = now.after(Duration::from_millis(25));
        new.answer(&requests, &both, now);
        if let Some((_, decision)) = new.engine.poll_decision(&new.store) {
            assert!(matches!(decision, Decision::Allow(_)), "{decision:?}");
            return;
        }
    }
    panic!("a good token waits although the issuer has answered");
}
