//! Malformed requests and credentials do not take the filter down.

use std::time::Duration;

use testkit::{raw_exchange, status_of};

use super::{Stack, assert_alive};
use scenarios::{config, local_provider, token, with};

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn two_hundred_malformed_credentials_and_then_a_good_one() {
    let provider = with(
        local_provider(),
        serde_json::json!({
            "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}, {"name": "x-token"}],
            "from_params": ["access_token"],
            "from_cookies": ["session"],
        }),
    );
    // The filter of one listener reads headers by name, the other one reads all headers.
    for config in [config(local_provider()), config(provider)] {
        let stack = Stack::start(config);
        let good = token().mint();
        assert_eq!(stack.status(&good), 200);

        let mut sent = 0;
        for (what, head) in malformed_heads(&good) {
            let request = [
                b"GET /orders HTTP/1.1\r\nhost: a\r\nconnection: close\r\n".as_slice(),
                &head,
                b"\r\n",
            ]
            .concat();
            let answer = raw_exchange(stack.client.addr(), &request, PATIENCE);
            let status = status_of(&answer);
            // 400 and 431 come from Envoy itself, for bytes that are not HTTP.
            assert!(
                matches!(status, Some(400 | 401 | 431)),
                "{what}: {status:?} {}",
                String::from_utf8_lossy(&answer)
            );
            sent += 1;
        }
        assert!(sent >= 200, "only {sent}");
        assert_eq!(stack.upstream.count(), 1, "one of them was let through");
        assert_eq!(stack.status(&good), 200);
        assert_alive(&stack.envoy);
    }
}

/// Header lines that no client library would send.
fn malformed_heads(good: &str) -> Vec<(String, Vec<u8>)> {
    let mut heads: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |what: &str, value: &[u8]| {
        heads.push((
            what.to_owned(),
            [b"authorization: ".as_slice(), value, b"\r\n"].concat(),
        ));
    };
    add("a byte that is no text", b"Bearer \xff");
    add("NUL", b"Bearer a\0b.c.d");
    add("60 KB", &[b"Bearer ".as_slice(), &vec![b'a'; 59_000]].concat());
    add(
        "more than Envoy takes",
        &[b"Bearer ".as_slice(), &vec![b'a'; 70_000]].concat(),
    );
    add(
        "dots only",
        &[b"Bearer ".as_slice(), &vec![b'.'; 10_000]].concat(),
    );
    add(
        "deep JSON",
        format!("Bearer e30.{}.e30", testkit::encode_segment(&b"[".repeat(9_000))).as_bytes(),
    );
    add("empty", b"");
    add("spaces", b"Bearer            ");
    add("tabs", b"Bearer\t\t");
    add(
        "a lone surrogate",
        format!(
            "Bearer {}.e30.e30",
            testkit::encode_segment(br#"{"alg":"\ud800"}"#)
        )
        .as_bytes(),
    );
    add(
        "alg of a megabyte's name",
        format!(
            "Bearer {}.e30.e30",
            testkit::encode_segment(format!(r#"{{"alg":"{}"}}"#, "x".repeat(9_000)).as_bytes())
        )
        .as_bytes(),
    );
    // Every byte as the token and in the scheme, except for line ends, which end the header.
    for byte in (0..=255_u8).filter(|byte| !matches!(byte, b'\r' | b'\n')) {
        add(
            &format!("byte {byte:#04x}"),
            &[b"Bearer ", [byte].as_slice()].concat(),
        );
    }
    // A good token, damaged in many places.
    let bytes = good.as_bytes();
    for at in (0..bytes.len()).step_by(7) {
        let mut spoiled = bytes.to_vec();
        spoiled[at] |= 0x80;
        add(
            &format!("high bit at {at}"),
            &[b"Bearer ".as_slice(), &spoiled].concat(),
        );
        add(
            &format!("cut at {at}"),
            &[b"Bearer ".as_slice(), &bytes[..at]].concat(),
        );
    }
    heads
}

#[test]
fn odd_requests_are_answered() {
    let stack = Stack::start(config(local_provider()));
    let good = token().mint();
    for (what, request) in [
        (
            "HTTP/1.0",
            format!("GET /orders HTTP/1.0\r\nhost: a\r\nauthorization: Bearer {good}\r\n\r\n"),
        ),
        ("no host", "GET /orders HTTP/1.1\r\n\r\n".to_owned()),
        (
            "OPTIONS *",
            "OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned(),
        ),
        (
            "CONNECT",
            "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\nconnection: close\r\n\r\n".to_owned(),
        ),
        (
            "absolute form",
            "GET http://a/orders HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n".to_owned(),
        ),
        (
            "an odd method",
            "FROB /orders HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned(),
        ),
    ] {
        let answer = raw_exchange(stack.client.addr(), request.as_bytes(), PATIENCE);
        assert!(
            status_of(&answer).is_some_and(|status| (400..500).contains(&status)),
            "{what}: {answer:?}"
        );
    }
    assert_eq!(stack.upstream.count(), 0);
    assert_eq!(stack.status(&good), 200);
    assert_alive(&stack.envoy);
}
