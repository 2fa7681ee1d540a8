//! One process fetches and refreshes keys while its issuer rotates, moves, fails, or lacks the requested key.

use std::time::Duration;

use proxy_wasm_jwt::authenticator::Decision;
use proxy_wasm_jwt::keys::{Document, KeyEvent, KeyState};
use serde_json::{Value, json};
use testkit::{Algorithm, SigningKey};

use super::memory::allocated;
use super::process::{
    ANSWER, Answer, DOCUMENT, Process, discovery, document, keys, provider, remote, set, status, token,
};

const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A process with keys from `/jwks`, which its issuer has just given.
pub(super) fn warm(config: &Value, workers: usize, answer: Answer) -> Process {
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
    // Without an entity tag the issuer sends the same document again, and the filter recognizes it.
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
