//! Floods of forged tokens while keys rotate.

use std::time::Duration;

use proxy_wasm_jwt::authenticator::{Authenticator, Decision, StreamId};
use proxy_wasm_jwt::denial::Reason;
use proxy_wasm_jwt::request::RequestContext;
use proxy_wasm_jwt::time::UnixTime;
use serde_json::json;
use testkit::{Algorithm, SigningKey, Token};

use super::key_refresh::{secs, warm};
use super::memory::allocated;
use super::process::{ISSUER, Process, keys, remote, set, token};

/// A token with a signature that cannot be verified.
fn forged(key: &SigningKey, kid: &str) -> String {
    let claims = json!({"iss": ISSUER, "aud": "orders-api", "iat": testkit::unix_now()});
    Token::new(key)
        .claims(claims)
        .expires_in(3600)
        .header("kid", kid)
        .signature(&[7; 64])
        .mint()
}

/// The fetches since the first, of which there are no more than six in a minute.
fn kid_fetches(process: &Process) -> Vec<UnixTime> {
    let fetches: Vec<_> = process.fetches.iter().skip(1).map(|fetch| fetch.at).collect();
    for (at, begun) in fetches.iter().enumerate() {
        let within = |length| {
            let later = fetches[at..].iter();
            later.filter(|later| later.since(*begun) < secs(length)).count()
        };
        assert!(within(60) <= 6, "{} fetches in a minute", within(60));
    }
    fetches
}

/// The decisions for requests that waited at any worker, as reasons; nothing for allowed requests.
fn decided(process: &mut Process) -> Vec<(StreamId, Option<Reason>)> {
    let mut all = Vec::new();
    for engine in process.workers.iter_mut().flatten() {
        while let Some((id, decision)) = engine.poll_decision(&process.shared) {
            all.push((id, reason(&decision)));
        }
    }
    all
}

fn reason(decision: &Decision) -> Option<Reason> {
    match decision {
        Decision::Deny(refusal) => Some(refusal.denial.reason),
        Decision::Allow(_) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_flood_of_unknown_kids_costs_few_fetches_and_bounded_memory() {
    let keys = keys();
    let mut process = warm(&remote(), 4, set(&[&keys.first]));
    let good = token(&keys.first);
    let mut before = 0;
    let (mut held, mut ended) = (0, 0);
    for number in 0..10_000_usize {
        let worker = number % 4;
        let (_, decision) = process.open(worker, &forged(&keys.first, &format!("kid-{number}")));
        assert!(!matches!(decision, Decision::Allow(_)));
        held += usize::from(decision == Decision::Wait);
        let (_, decision) = process.open(worker, &good);
        assert!(
            matches!(decision, Decision::Allow(_)),
            "a good request waits or is refused"
        );
        process.pass(Duration::from_millis(12));
        let refused = decided(&mut process);
        assert!(refused.iter().all(|(_, reason)| reason.is_some()));
        ended += refused.len();
        if number == 1000 || number == 9_999 {
            // The waiting requests are decided.
            for _ in 0..60 {
                process.pass(Duration::from_millis(100));
                ended += decided(&mut process).len();
            }
            assert_eq!(held, ended);
            if number == 1000 {
                before = allocated();
            }
        }
    }
    // Two minutes of it.
    let fetches = kid_fetches(&process).len();
    assert!((6..=12).contains(&fetches), "{fetches} fetches");
    let grown = allocated() - before;
    assert!(grown < 100_000, "{grown} bytes more after 9,000 further kids");
}

#[test]
fn the_first_token_of_a_rotated_key_waits_for_the_fetch_that_the_second_one_causes() {
    let keys = keys();
    let third = SigningKey::generate(Algorithm::EdDsa, Some("third"));
    for pause in [300, 500, 1_000, 1_400, 1_800] {
        let mut process = warm(&remote(), 2, set(&[&keys.first]));
        let both = set(&[&keys.first, &keys.second]);
        process.issuer.insert("/jwks".to_owned(), both);
        assert!(process.passes(0, &token(&keys.second)));
        process.pass(Duration::from_millis(pause));
        // A second rotation soon after the first: one token alone would wait for its turn, 13 s.
        let all = set(&[&keys.first, &keys.second, &third]);
        process.issuer.insert("/jwks".to_owned(), all);
        let new = token(&third);
        let first = process.open(0, &new).0;
        let mut seen = Vec::new();
        for step in 0..300 {
            if step == 40 {
                assert_eq!(process.open(0, &new).1, Decision::Wait);
            }
            process.pass(Duration::from_millis(10));
            seen.extend(decided(&mut process));
        }
        assert_eq!(seen.len(), 2, "{pause}: {seen:?}");
        let refused: Vec<_> = seen.iter().filter(|(_, reason)| reason.is_some()).collect();
        assert!(
            refused.is_empty(),
            "{pause}: {refused:?}, of which {first:?} came first"
        );
        assert_eq!(kid_fetches(&process).len(), 2, "{pause}");
    }
}

#[test]
fn no_request_waits_for_a_kid_longer_than_the_longest_wait() {
    let keys = keys();
    let mut process = warm(&remote(), 1, set(&[&keys.first]));
    let begun = process.now;
    let mut waiting = Vec::new();
    let mut longest = Duration::ZERO;
    for step in 0..3_000 {
        // Several requests for the same few kids: their urgency never ends.
        let (id, decision) = process.open(0, &forged(&keys.first, &format!("kid-{}", step % 3)));
        if decision == Decision::Wait {
            waiting.push((id, process.now));
        }
        process.pass(Duration::from_millis(10));
        for (id, _) in decided(&mut process) {
            let at = waiting
                .iter()
                .position(|(known, _)| *known == id)
                .expect("it waited");
            longest = longest.max(process.now.since(waiting.remove(at).1));
        }
    }
    println!("{longest:?} in {:?}", process.now.since(begun));
    assert!(longest <= Duration::from_millis(5_100), "{longest:?}");
}

/// A flood of forged tokens, 100 a second, with these `kid`s; in it the issuer rotates at this time, and from
/// then on good tokens of the new key come five times a second. How long after the rotation the last worker
/// has the key.
fn rotation_in_a_flood(kid: impl Fn(usize) -> usize, rotated_at: Duration) -> (Duration, usize) {
    let keys = keys();
    let mut process = warm(&remote(), 4, set(&[&keys.first]));
    let new = token(&keys.second);
    let begin = process.now;
    let rotation = begin.after(rotated_at);
    let mut is_rotated = false;
    let mut learnt = [None; 4];
    let mut good = Vec::new();
    let mut unavailable = 0;
    let mut number = 0;
    loop {
        if process.now >= rotation && !is_rotated {
            is_rotated = true;
            process
                .issuer
                .insert("/jwks".to_owned(), set(&[&keys.first, &keys.second]));
        }
        let kid = format!("kid-{}", kid(number));
        process.open(number * 7 % 4, &forged(&keys.first, &kid));
        if is_rotated && number % 20 == 0 {
            let worker = number / 20 % 4;
            let (id, decision) = process.open(worker, &new);
            match decision {
                Decision::Wait => good.push((id, worker)),
                decision => {
                    let reason = reason(&decision);
                    assert_ne!(reason, Some(Reason::KeyUnknown), "a good token");
                    unavailable += usize::from(reason.is_some());
                    if reason.is_none() && learnt[worker].is_none() {
                        learnt[worker] = Some(process.now);
                    }
                }
            }
        }
        process.pass(Duration::from_millis(10));
        for (id, reason) in decided(&mut process) {
            let Some(at) = good.iter().position(|(known, _)| *known == id) else {
                continue;
            };
            let (_, worker) = good.remove(at);
            assert_ne!(reason, Some(Reason::KeyUnknown), "a good token that waited");
            unavailable += usize::from(reason.is_some());
            if reason.is_none() && learnt[worker].is_none() {
                learnt[worker] = Some(process.now);
            }
        }
        if let Some(last) = learnt.iter().copied().collect::<Option<Vec<_>>>()
            && process.now > begin.after(secs(70))
        {
            kid_fetches(&process);
            let last = last.into_iter().max().unwrap();
            return (last.since(rotation), unavailable);
        }
        assert!(
            process.now < rotation.after(secs(100)),
            "never learnt: {learnt:?}"
        );
        number += 1;
    }
}

#[test]
fn a_rotated_key_is_learnt_within_seconds_in_a_flood_of_made_up_kids() {
    for at in [0, 1, 500, 7_000, 14_900, 15_100, 29_000, 31_000, 44_000] {
        let (learnt, unavailable) = rotation_in_a_flood(|number| number, Duration::from_millis(at));
        println!("rotation {at} ms into the flood: {learnt:?}, {unavailable} unavailable");
        assert!(learnt < secs(5), "{at}: {learnt:?}");
        // The first at some worker may be the only one there for longer than it waits.
        assert!(unavailable <= 4, "{at}: {unavailable}");
    }
}

#[test]
fn a_rotated_key_is_learnt_within_seconds_in_a_flood_of_the_same_made_up_kids() {
    for count in [1, 2, 5, 20] {
        for at in [0, 1_000, 7_000, 10_100, 15_100, 29_000, 31_000, 45_100, 62_000] {
            let (learnt, unavailable) =
                rotation_in_a_flood(|number| number % count, Duration::from_millis(at));
            println!("{count} kids, rotation {at} ms into the flood: {learnt:?}, {unavailable} unavailable");
            assert!(learnt < secs(5), "{count} {at}: {learnt:?}");
            // Five a second, of which the first may have to wait longer than they do.
            assert!(unavailable <= 20, "{count} {at}: {unavailable}");
        }
    }
}

#[test]
fn a_rotated_key_is_learnt_in_a_flood_of_new_kids_that_come_again() {
    for times in [2, 3, 10, 100] {
        for at in [0, 3_000, 11_000, 26_000, 45_000, 62_000, 68_000] {
            let (learnt, _) = rotation_in_a_flood(|number| number / times, Duration::from_millis(at));
            println!("{times} times, rotation {at} ms into the flood: {learnt:?}");
            assert!(learnt < secs(5), "{times} {at}: {learnt:?}");
        }
    }
    // Many kids in turn count as new ones, until the filter has fetched for all of them.
    for at in [0, 1_000, 10_100, 29_000, 45_100, 62_000, 68_000] {
        let (learnt, _) = rotation_in_a_flood(|number| number % 50, Duration::from_millis(at));
        println!("50 kids in turn, rotation {at} ms into the flood: {learnt:?}");
        assert!(learnt < secs(5), "{at}: {learnt:?}");
    }
}

/// Six fetches a minute cannot be less than 10 s apart on the average, so nothing helps against a client
/// whose `kid`s all look like the one of a rotated key.
#[test]
fn a_rotated_key_is_learnt_in_a_flood_of_kids_that_last() {
    for (kids, seconds) in [(20, 3), (50, 5), (100, 4)] {
        for at in [0, 1_000, 4_000, 7_000, 13_000, 29_000, 45_000, 62_000, 68_000] {
            let kid = |number| number / (seconds * 100) * kids + number % kids;
            let (learnt, _) = rotation_in_a_flood(kid, Duration::from_millis(at));
            println!("{kids} kids for {seconds} s each, rotation {at} ms into the flood: {learnt:?}");
            assert!(learnt < secs(14), "{kids} {seconds} {at}: {learnt:?}");
        }
    }
}

/// A client with this address, behind no route.
struct From(String);

impl RequestContext for From {
    fn source_address(&self) -> Option<Vec<u8>> {
        Some(self.0.clone().into_bytes())
    }

    fn backend_cluster(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

#[test]
fn one_address_gives_way_to_others_while_all_wait_for_the_first_keys() {
    let keys = keys();
    let mut process = Process::start(&remote(), 1);
    process.issuer.insert("/jwks".to_owned(), set(&[&keys.first]));
    let good = token(&keys.first);
    let (now, config) = (process.now, process.config.clone());
    let head = |text: &str| {
        let mut head = proxy_wasm_jwt::request::RequestHead::new();
        let field = config.wanted.find(b"authorization").unwrap();
        head.push(field, format!("Bearer {text}").into_bytes());
        head
    };
    let (engine, store) = (process.workers[0].as_mut().unwrap(), &process.shared);
    let mut next = 0;
    let mut open = |engine: &mut Authenticator, text: &str, address: &str| {
        next += 1;
        let from = From(format!("{address}:{next}"));
        (
            StreamId(next),
            engine.handle_request(StreamId(next), &mut head(text), &from, now, store),
        )
    };
    // 5,000 forged tokens from one address, before any other client arrives.
    let mut held = 0;
    for number in 0..5000 {
        let (_, decision) = open(
            engine,
            &forged(&keys.first, &format!("kid-{number}")),
            "127.0.0.1",
        );
        held += usize::from(decision == Decision::Wait);
    }
    assert_eq!(held, 1024);
    let mut waiting = Vec::new();
    for address in 2..=9 {
        for _ in 0..100 {
            let (id, decision) = open(engine, &good, &format!("127.0.0.{address}"));
            assert_eq!(decision, Decision::Wait, "{address}");
            waiting.push(id);
        }
    }
    let mut refused = 0;
    while let Some((id, decision)) = engine.poll_decision(store) {
        assert_eq!(reason(&decision), Some(Reason::KeysUnavailable));
        assert!(!waiting.contains(&id));
        refused += 1;
    }
    assert_eq!(refused, 800, "of the flood");
    // Heads of the greatest size take more places.
    let long = format!("{good}{}", "x".repeat(60_000));
    let (_, decision) = open(engine, &long, "127.0.0.10");
    assert!(
        matches!(decision, Decision::Deny(_)),
        "a token that is too long does not wait"
    );
}
