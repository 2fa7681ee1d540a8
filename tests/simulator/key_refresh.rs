//! One process fetches and refreshes keys while its issuer rotates, moves, fails, or lacks the requested key.

use std::time::Duration;

use proxy_wasm_jwt::authenticator::{Authenticator, Decision, StreamId};
use proxy_wasm_jwt::denial::Reason;
use proxy_wasm_jwt::keys::{Document, KeyEvent, KeyState};
use proxy_wasm_jwt::request::RequestContext;
use proxy_wasm_jwt::time::UnixTime;
use serde_json::{Value, json};
use testkit::{Algorithm, SigningKey, Token};

use super::memory::allocated;
use super::process::{
    ANSWER, Answer, DOCUMENT, ISSUER, Process, discovery, document, keys, provider, remote, set, status,
    token,
};

const HOUR: Duration = Duration::from_secs(3600);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A process with keys from `/jwks`, which its issuer has just given.
fn warm(config: &Value, workers: usize, answer: Answer) -> Process {
    let mut process = Process::start(config, workers);
    process.issuer.insert("/jwks".to_owned(), answer);
    process.pass(secs(2));
    assert_eq!(process.count("/jwks"), 1);
    process
}

/// The pauses between the fetches of a path.
fn pauses(process: &Process, path: &str) -> Vec<Duration> {
    let times: Vec<_> = process
        .fetches
        .iter()
        .filter(|fetch| fetch.path == path)
        .collect();
    times
        .windows(2)
        .map(|pair| pair[1].at.since(pair[0].at))
        .collect()
}

#[test]
fn eight_workers_fetch_as_often_as_one() {
    let keys = keys();
    let fetches = [1, 8].map(|workers| {
        let mut process = warm(&remote(), workers, set(&[&keys.first]));
        for worker in 0..workers {
            assert!(process.passes(worker, &token(&keys.first)));
        }
        process.pass(24 * HOUR);
        process.count("/jwks")
    });
    // 480 s apart, more or less.
    assert!(
        fetches.iter().all(|count| (170..=190).contains(count)),
        "{fetches:?}"
    );
}

#[test]
fn a_holder_that_dies_is_replaced_after_its_deadline() {
    let keys = keys();
    let mut process = Process::start(&remote(), 3);
    process.issuer.insert("/jwks".to_owned(), set(&[&keys.first]));
    process.pass(Duration::from_millis(1));
    assert_eq!(process.count("/jwks"), 1);
    process.kill(0);
    // The request's timeout is 5 s, and the margin a second.
    process.pass(Duration::from_millis(5990));
    assert_eq!(process.count("/jwks"), 1);
    process.pass(Duration::from_millis(1100));
    assert_eq!(process.count("/jwks"), 2);
    assert!(process.passes(1, &token(&keys.first)) && process.passes(2, &token(&keys.first)));
    assert_eq!(process.count("/jwks"), 2);
}

#[test]
fn a_worker_that_comes_later_asks_nobody() {
    let keys = keys();
    let mut process = warm(&remote(), 2, set(&[&keys.first]));
    process.kill(0);
    process.kill(1);
    let config = process.config.clone();
    process.workers[0] = Some(proxy_wasm_jwt::authenticator::Authenticator::new(config, 77));
    assert!(process.passes(0, &token(&keys.first)));
    assert_eq!(process.count("/jwks"), 1);
}

#[test]
fn the_answer_says_when_to_come_again_within_bounds() {
    let keys = keys();
    for (cache_control, lifetime) in [
        (None, 600),
        (Some("max-age=3600"), 3600),
        (Some("max-age=3600, s-maxage=1800"), 1800),
        (Some("max-age=1"), 60),
        (Some("max-age=31536000"), 86_400),
        (Some("no-store"), 600),
        (Some("nonsense"), 600),
    ] {
        let answer = Answer {
            cache_control,
            ..set(&[&keys.first])
        };
        let mut process = warm(&remote(), 2, answer);
        process.pass(secs(lifetime * 4));
        for pause in pauses(&process, "/jwks") {
            let share = pause.as_secs_f64() / Duration::from_secs(lifetime).as_secs_f64();
            // 0.8 of it, a tenth more or less, and a tick.
            assert!((0.719..0.9).contains(&share), "{cache_control:?}: {pause:?}");
        }
        assert!(process.count("/jwks") >= 4);
    }
}

#[test]
fn an_issuer_that_asks_to_be_left_alone_is_within_bounds() {
    let keys = keys();
    let busy = |retry_after| Answer {
        status: 429,
        retry_after: Some(retry_after),
        ..Answer::default()
    };
    for (retry_after, cold, warm_pause) in [("20", 20, 20), ("3600", 60, 600), ("soon", 0, 0)] {
        // While there are no keys.
        let mut process = Process::start(&remote(), 2);
        process.issuer.insert("/jwks".to_owned(), busy(retry_after));
        process.pass(Duration::from_secs(300));
        let least = pauses(&process, "/jwks")
            .into_iter()
            .min()
            .expect("more than one fetch");
        assert!(
            least >= Duration::from_secs(cold),
            "cold, {retry_after}: {least:?}"
        );
        assert!(
            least <= Duration::from_secs(cold) * 11 / 10 + Duration::from_secs(2),
            "{least:?}"
        );
        // While old keys are in use, from the time of their refresh.
        let mut process = warm(&remote(), 2, set(&[&keys.first]));
        process.issuer.insert("/jwks".to_owned(), busy(retry_after));
        process.pass(HOUR);
        let after_first = pauses(&process, "/jwks").into_iter().skip(1).min();
        let least = after_first.expect("more than two fetches");
        assert!(
            least >= Duration::from_secs(warm_pause),
            "warm, {retry_after}: {least:?}"
        );
        assert!(
            least <= Duration::from_secs(warm_pause) * 11 / 10 + Duration::from_secs(2),
            "{least:?}"
        );
    }
}

#[test]
fn an_unchanged_document_is_neither_sent_nor_written_nor_parsed_again() {
    let keys = keys();
    let answer = Answer {
        etag: Some("\"v1\""),
        ..set(&[&keys.first])
    };
    let mut process = warm(&remote(), 2, answer);
    process.pass(HOUR);
    assert!(process.fetches.iter().skip(1).all(|fetch| fetch.asked_again));
    assert_eq!(process.shared.documents_written(), 1);
    // Without an entity tag the same document is sent, and known for the same.
    let mut process = warm(&remote(), 2, set(&[&keys.first]));
    process.pass(HOUR);
    assert!(process.count("/jwks") >= 7);
    assert_eq!(process.shared.documents_written(), 1);
    // A 304 in response to a request without an entity tag is a fault.
    process.issuer.insert("/jwks".to_owned(), status(304));
    process.pass(HOUR / 4);
    assert!(matches!(process.events.last(), Some(KeyEvent::Failed { .. })));
}

#[test]
fn limits_of_a_document() {
    let first = keys().first;
    let many = |count| {
        let keys: Vec<Value> = (0..count).map(|_| first.public_jwk()).collect();
        Answer {
            body: json!({"keys": keys}).to_string(),
            ..set(&[])
        }
    };
    let config = provider(json!({
        "remote_jwks": {"http_uri": {"uri": "https://idp.example.com/jwks", "cluster": "issuer"}},
        "key_cache": {"max_response_bytes": 65536},
    }));
    let padded = |bytes: usize| {
        let mut answer = set(&[&first]);
        answer
            .body
            .extend(std::iter::repeat_n(' ', bytes - answer.body.len()));
        answer
    };
    for (answer, is_taken) in [
        (many(200), true),
        // The number of keys alone refuses no document.
        (many(201), true),
        (padded(65_536), true),
        (padded(65_537), false),
    ] {
        let mut process = Process::start(&config, 1);
        process.issuer.insert("/jwks".to_owned(), answer);
        assert_eq!(process.passes(0, &token(&first)), is_taken);
    }
}

// --- unknown kids ---

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

#[test]
fn rotation_is_learnt_by_every_worker_with_one_fetch() {
    let keys = keys();
    let mut process = warm(&remote(), 4, set(&[&keys.first]));
    process
        .issuer
        .insert("/jwks".to_owned(), set(&[&keys.first, &keys.second]));
    for worker in 0..4 {
        assert!(process.passes(worker, &token(&keys.second)));
        assert!(process.passes(worker, &token(&keys.first)));
    }
    assert_eq!(process.count("/jwks"), 2);
}

// --- outages ---

#[test]
fn old_keys_serve_for_a_day_past_their_lifetime_and_not_longer() {
    let keys = keys();
    let mut process = warm(&remote(), 2, set(&[&keys.first]));
    let loaded = process.fetches[0].at.after(ANSWER);
    process.issuer.insert("/jwks".to_owned(), status(500));
    let stale_until = loaded.after(secs(600)).after(24 * HOUR);
    while process.now.after(secs(300)) < stale_until {
        process.pass(secs(240));
        assert!(process.passes(0, &token(&keys.first)) && process.passes(1, &token(&keys.first)));
    }
    process.pass(
        stale_until
            .since(process.now)
            .saturating_sub(Duration::from_millis(10)),
    );
    assert!(process.passes(0, &token(&keys.first)));

    let attempts = pauses(&process, "/jwks");
    for (step, pause) in attempts.iter().skip(1).enumerate() {
        let full = secs(60).min(secs(1_u64 << step.min(10)));
        // The attempt itself and a tick are added.
        assert!(
            (full / 2..=full + ANSWER + secs(1)).contains(pause),
            "attempt {step}: {pause:?} instead of {full:?}"
        );
    }

    process.pass(Duration::from_millis(20));
    assert!(!process.passes(0, &token(&keys.first)), "past stale_if_error");
    process.pass(HOUR);
    process.issuer.insert("/jwks".to_owned(), set(&[&keys.first]));
    process.pass(secs(6));
    assert!(process.passes(0, &token(&keys.first)) && process.passes(1, &token(&keys.first)));

    // Reported once each, although two workers saw a thousand failures.
    let reported: Vec<_> = process
        .events
        .iter()
        .filter_map(|event| match event {
            KeyEvent::Failed {
                state, is_news: true, ..
            } => Some(*state),
            _ => None,
        })
        .collect();
    assert_eq!(reported, [KeyState::Fresh, KeyState::Stale, KeyState::Missing]);
    let recoveries = process
        .events
        .iter()
        .filter(|event| matches!(event, KeyEvent::Recovered { .. }))
        .count();
    assert_eq!(recoveries, 1);
}

#[test]
fn an_issuer_that_comes_back_is_noticed_within_one_step() {
    let keys = keys();
    for (outage, step) in [(secs(1), 1), (secs(10), 5), (HOUR, 5)] {
        let mut process = Process::start(&remote(), 2);
        process.issuer.insert("/jwks".to_owned(), status(503));
        process.pass(outage);
        process.issuer.insert("/jwks".to_owned(), set(&[&keys.first]));
        process.pass(secs(step) + Duration::from_millis(200));
        let (_, decision) = process.open(0, &token(&keys.first));
        assert!(
            matches!(decision, Decision::Allow(_)),
            "cold, {outage:?}: {decision:?}"
        );
    }
    for outage in [secs(600), 5 * HOUR] {
        let mut process = warm(&remote(), 2, set(&[&keys.first]));
        process.issuer.insert("/jwks".to_owned(), status(503));
        process.pass(outage);
        process.issuer.insert("/jwks".to_owned(), set(&[&keys.first]));
        process.pass(secs(61));
        let gauges = process.workers[0]
            .as_ref()
            .unwrap()
            .key_gauges(proxy_wasm_jwt::ids::ProviderId::new(0), process.now);
        assert!(!gauges.unwrap().stale, "warm, {outage:?}");
    }
}

#[test]
fn a_good_set_is_never_replaced_by_a_bad_one() {
    let keys = keys();
    let mut process = warm(&remote(), 1, set(&[&keys.first]));
    for body in [
        "",
        "{}",
        "[]",
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"oct","k":"AA"}]}"#,
    ] {
        let answer = Answer {
            body: body.to_owned(),
            ..set(&[])
        };
        process.issuer.insert("/jwks".to_owned(), answer);
        process.pass(HOUR);
        assert!(process.passes(0, &token(&keys.first)), "{body}");
    }
}

// --- waiting ---

#[test]
fn a_hundred_thousand_waits_leave_nothing_behind() {
    let key = SigningKey::generate(Algorithm::EdDsa, Some("first"));
    let mut process = Process::start(&remote(), 1);
    process.issuer.insert("/jwks".to_owned(), status(500));
    let token = token(&key);
    let round = |process: &mut Process| {
        let mut waiting = Vec::new();
        for _ in 0..1000 {
            let (id, decision) = process.open(0, &token);
            assert_eq!(decision, Decision::Wait);
            waiting.push(id);
        }
        for id in waiting.iter().step_by(2) {
            process.workers[0].as_mut().unwrap().handle_cancel(*id);
        }
        let now = process.now.after(secs(6));
        process.now = now;
        let engine = process.workers[0].as_mut().unwrap();
        // A fetch is due, and its response never arrives.
        let _ = engine.handle_tick(now, &process.shared);
        let mut decided = 0;
        while let Some((_, decision)) = engine.poll_decision(&process.shared) {
            assert!(matches!(decision, Decision::Deny(_)));
            decided += 1;
        }
        assert_eq!(decided, 500);
        while engine.poll_event().is_some() {}
    };
    round(&mut process);
    let before = allocated();
    for _ in 0..100 {
        round(&mut process);
    }
    let grown = allocated() - before;
    println!("100,000 waits: {grown} bytes more");
    assert!(grown.abs() < 4096, "{grown} bytes more");
}

// --- discovery ---

fn discovered(workers: usize, key: &SigningKey) -> Process {
    let mut process = Process::start(&discovery(), workers);
    process
        .issuer
        .insert(DOCUMENT.to_owned(), document("https://idp.example.com/jwks"));
    process.issuer.insert("/jwks".to_owned(), set(&[key]));
    process.pass(secs(2));
    assert_eq!((process.count(DOCUMENT), process.count("/jwks")), (1, 1));
    process
}

#[test]
fn the_discovery_document_is_read_once_an_hour() {
    let keys = keys();
    let mut process = discovered(3, &keys.first);
    process.pass(24 * HOUR);
    assert!(
        (22..=28).contains(&process.count(DOCUMENT)),
        "{}",
        process.count(DOCUMENT)
    );
    assert!(
        (170..=190).contains(&process.count("/jwks")),
        "{}",
        process.count("/jwks")
    );
    assert!(process.passes(2, &token(&keys.first)));
}

#[test]
fn keys_that_move_are_followed_within_the_hour_and_at_once_where_a_token_asks() {
    let keys = keys();
    for asks in [false, true] {
        let mut process = discovered(2, &keys.first);
        process
            .issuer
            .insert(DOCUMENT.to_owned(), document("https://idp.example.com/moved"));
        process.issuer.insert("/moved".to_owned(), set(&[&keys.second]));
        if asks {
            assert!(process.passes(1, &token(&keys.second)));
        } else {
            process.pass(HOUR + HOUR / 10 + secs(2));
        }
        assert_eq!(process.count("/moved"), 1);
        for worker in 0..2 {
            assert!(process.passes(worker, &token(&keys.second)));
        }
    }
}

#[test]
fn keys_that_are_gone_from_their_place_are_looked_for_in_the_document() {
    let keys = keys();
    let mut process = discovered(1, &keys.first);
    process
        .issuer
        .insert(DOCUMENT.to_owned(), document("https://idp.example.com/moved"));
    process.issuer.insert("/moved".to_owned(), set(&[&keys.first]));
    process.issuer.insert("/jwks".to_owned(), status(404));
    // The next refresh fails, and the attempt after it, a second later, begins with the document.
    process.pass(secs(540));
    assert_eq!(process.count("/moved"), 1);
}

#[test]
fn a_document_that_fails_for_hours_keeps_the_keys_where_they_are() {
    let keys = keys();
    let mut process = discovered(2, &keys.first);
    process.issuer.insert(DOCUMENT.to_owned(), status(500));
    process.pass(6 * HOUR);
    process.issuer.insert("/jwks".to_owned(), set(&[&keys.second]));
    process.pass(secs(600));
    assert!(process.passes(0, &token(&keys.second)));
    let attempts = process.count(DOCUMENT);
    // Five hours of failing with pauses from half a minute to a minute.
    assert!((280..=640).contains(&attempts), "{attempts}");
    let of_document = |event: &&KeyEvent| {
        matches!(
            event,
            KeyEvent::Failed {
                document: Document::Discovery,
                is_news: true,
                ..
            }
        )
    };
    assert_eq!(
        process.events.iter().filter(of_document).count(),
        1,
        "reported once"
    );
}
