//! Compares the steps with known servers, and with a search without shortcuts.

use super::super::{PathAmbiguity, RequestPath};
use super::step::Step;
use super::*;
use crate::http::{self, percent};
use crate::policy::spelling::is_deceptive;

fn interpretations(path: &str) -> Option<Vec<String>> {
    let found = RequestPath::new(path.as_bytes()).interpretations()?;
    let text = |interpretation| String::from_utf8(interpretation).expect("an interpretation is ASCII");
    Some(found.into_iter().map(text).collect())
}

#[test]
fn what_servers_make_of_a_path_is_found() {
    for (path, expected) in [
        ("//payments", "/payments"),
        ("/x/../payments", "/payments"),
        ("/./payments", "/payments"),
        ("/%70ayments", "/payments"),
        ("/%2570ayments", "/payments"),
        ("/x/..;/payments", "/payments"),
        ("/x/..%2fpayments", "/payments"),
        ("/x/..%252fpayments", "/payments"),
        ("/x/..%3b/payments", "/payments"),
        ("/x/..%00/payments", "/payments"),
        ("/x/..%20/payments", "/payments"),
        ("/x/%2e%2E/payments", "/payments"),
        ("/x\\..\\payments", "/payments"),
        ("/x%5c..%5cpayments", "/payments"),
        ("/payments;x", "/payments"),
        ("/payments%3Fx", "/payments"),
        ("/payments%00.png", "/payments"),
        ("/payments::$DATA", "/payments"),
        ("/payments:$i30:$INDEX_ALLOCATION/x", "/payments/x"),
        ("/payments%3a%3A%24DATA/x", "/payments/x"),
        ("/payments%c2%a0", "/payments"),
        ("/payments%c2%a0/x", "/payments/x"),
        ("/payments\u{a0}%20./x", "/payments/x"),
        ("/payments\u{2003}\u{3000}\u{feff}/x", "/payments/x"),
        ("/payments.%20./x", "/payments/x"),
        ("/payments/%20", "/payments/"),
        ("/payments/\u{3000}", "/payments/"),
        ("/payments/...", "/payments/"),
        ("/payments/%20/x", "/payments/x"),
        ("/%20;a/payments", "/payments"),
        ("/::$DATA/payments", "/payments"),
        ("/payments;a/x;b", "/payments/x"),
        ("/payments%3ba/x", "/payments/x"),
        ("/payments%00.png/x", "/payments/x"),
        ("/x/..:$I30:$INDEX_ALLOCATION/payments", "/payments"),
        ("/x/.%2e%3a$DATA/payments", "/payments"),
        ("/x/.::$DATA/../../payments", "/payments"),
        ("/pay%adments", "/payments"),
        ("/%ff%70ay%e2%82ments%c3", "/payments"),
        ("/pay%ed%a0%80ments\u{e9}", "/payments%C3%A9"),
        ("/x/%a0../payments", "/payments"),
        ("/y/%2e%2e;/payments", "/payments"),
        ("/y/%2e%2e%3b/payments", "/payments"),
        ("/y;/..;a=b/payments/", "/payments/"),
        ("/payments\\..\\payments/x", "/payments/x"),
        ("/payments/x/..", "/payments/"),
        ("/payments/x/..", "/payments"),
        ("/%40payments", "/@payments"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/café", "/caf%C3%A9"),
        ("//../x/..//%70ayments;a/b", "/payments/b"),
        // Some steps and not the others.
        ("//payments/x\\..\\..\\y", "/payments/x\\..\\..\\y"),
        ("/%70ayments/%252e%252e/y", "/payments/%252e%252e/y"),
        ("//payments/%2e%2e/y", "/payments/../y"),
        ("//payments/%2e%2e/../y", "/payments/y"),
        ("/x/../%70ayments/%2e%2e/y", "/payments/../y"),
    ] {
        let found = interpretations(path).expect(path);
        assert!(
            found.iter().any(|interpretation| interpretation == expected),
            "{path}: {found:?}"
        );
    }
}

#[test]
fn an_ordinary_path_has_few_interpretations() {
    for (path, expected) in [
        ("/", 0),
        ("/a/b", 0),
        ("/a%20b", 1),
        ("/caf%C3%A9/", 1),
        ("/a;v=1/b", 2),
        ("/a//b", 2),
        ("/projects/group%2Fproject", 2),
        ("/proxy/https://example.com/a%2Fb", 4),
        ("/payments/..;/orders", 3),
    ] {
        assert_eq!(interpretations(path).expect(path).len(), expected, "{path}");
    }
    assert_eq!(interpretations(&format!("/%{}2e", "25".repeat(100))), None);
    assert!(interpretations(&format!("//{}", "a".repeat(7_000))).is_some());
    assert_eq!(
        interpretations(&"//a;b/%2e%2e\\c%252f%3fd/..;".repeat(1000)),
        None
    );
}

/// Paths of the characters that servers interpret differently.
fn paths() -> impl Iterator<Item = Vec<u8>> {
    const PIECES: [&str; 27] = [
        "/", "/", "/", "a", "b", ".", "..", ";", "\\", "%", "%2f", "%2E", "%5c", "%25", "%252e", "%3b",
        "%20", "%00", "%41", "%40", "%c3%a9", "é", "%3f", "...", "%c2%a0", "::$DATA", "%20/",
    ];
    let mut state = 0x9e37_79b9_u32;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as usize).checked_rem(below).expect("a choice")
    };
    (0..20_000).map(move |_| {
        let mut path = b"/".to_vec();
        for _ in 0..random(8) {
            path.extend_from_slice(PIECES[random(PIECES.len())].as_bytes());
        }
        path
    })
}

#[test]
fn the_interpretations_of_a_canonical_path_have_its_segments() {
    let mut canonical = 0;
    for path in paths() {
        let request = RequestPath::new(&path);
        if !request.is_canonical() {
            continue;
        }
        canonical += 1;
        let segments = |path: &[u8]| path.iter().filter(|byte| **byte == b'/').count();
        let shown = String::from_utf8_lossy(&path).into_owned();
        let interpretations = request.interpretations().expect(&shown);
        assert!(
            request.ambiguity() == PathAmbiguity::Known || interpretations.is_empty(),
            "{shown}"
        );
        for interpretation in interpretations {
            let again = RequestPath::interpretation(&interpretation);
            assert!(again.is_canonical(), "{shown}");
            // Only a step that ends the path early removes segments.
            assert!(
                segments(&interpretation) == segments(&path) || shown.contains("%3f"),
                "{shown}"
            );
            // Each decoded segment is a prefix of the original segment, decoded.
            let decoded =
                |path: &[u8]| percent::decode(path, http::percent::Plus::Plus).map(|path| path.into_owned());
            for (one, other) in interpretation
                .split(|byte| *byte == b'/')
                .zip(path.split(|byte| *byte == b'/'))
            {
                let (one, other) = (decoded(one).expect(&shown), decoded(other).expect(&shown));
                assert!(other.starts_with(&one), "{shown}");
            }
        }
    }
    assert!(canonical > 1000, "{canonical}");
}

#[test]
fn whatever_is_made_of_a_reading_is_a_reading() {
    let mut most = 0;
    let mut refused = 0;
    for path in paths() {
        let shown = String::from_utf8_lossy(&path).into_owned();
        let Some(interpretations) = RequestPath::new(&path).interpretations() else {
            refused += 1;
            continue;
        };
        most = most.max(interpretations.len());
        for interpretation in &interpretations {
            for other in of(interpretation).expect(&shown) {
                assert!(interpretations.contains(&other), "{shown}");
            }
        }
    }
    assert!(most > 10, "{most}");
    assert!(refused < 100, "{refused}");
}

/// The result of every step, even of a step without an effect.
fn one_by_one(path: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut found = vec![path.to_vec()];
    let mut left = MOST.checked_sub(path.len())?;
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        if is_deceptive(&path) {
            return None;
        }
        for step in STEPS {
            let mut made = path.clone();
            match step {
                Step::DropParameters => {
                    let mut is_name = true;
                    made.retain(|byte| {
                        is_name = *byte == b'/' || is_name && *byte != b';';
                        is_name
                    });
                }
                Step::CutShort => {
                    let ends = |three: &[u8]| matches!(three, b"%3F" | b"%23" | b"%00");
                    made.truncate(path.windows(3).position(ends).unwrap_or(path.len()));
                }
                step => made = step.take(&path, &in_normal_form(&path)),
            }
            if !found.contains(&made) {
                left = left.checked_sub(made.len().max(LEAST))?;
                found.push(made);
            }
        }
        next = next.saturating_add(1);
    }
    found.retain(|path| in_normal_form(path) == *path);
    found.sort();
    Some(found)
}

#[test]
fn steps_that_are_left_out_would_have_changed_nothing() {
    const PIECES: [&str; 43] = [
        "/",
        "/",
        "/",
        "a",
        "b",
        ".",
        "..",
        ";",
        "\\",
        "%",
        "%2f",
        "%2E",
        "%5c",
        "%25",
        "%252e",
        "%3b",
        "%20",
        "%00",
        "%41",
        "%40",
        "%c3%a9",
        "é",
        "%3f",
        "...",
        "%23",
        "%3F",
        "%7f",
        "%0a",
        "%u002e",
        "%uff0f",
        "．",
        "%ef%bc%8f",
        "%e0%80%ae",
        " ",
        "\t",
        "%%32%35",
        "%%34%31",
        "/.",
        "./",
        "5",
        ":$x",
        "%ad",
        "%e2%82",
    ];
    let mut state = 0x9e37_79b9_u32;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as usize).checked_rem(below).expect("a choice")
    };
    let (mut several, mut none) = (0, 0);
    for _ in 0..30_000 {
        let mut path = b"/".to_vec();
        for _ in 0..random(8) {
            path.extend_from_slice(PIECES[random(PIECES.len())].as_bytes());
        }
        let found = of(&path).map(|mut found| {
            found.sort();
            found
        });
        match &found {
            Some(found) => several += usize::from(found.len() > 3),
            None => none += 1,
        }
        assert_eq!(found, one_by_one(&path), "{}", String::from_utf8_lossy(&path));
    }
    assert!(several > 1_000 && none > 1_000, "{several} {none}");
}

#[test]
fn a_long_path_that_is_hard_to_read_may_be_any() {
    for part in ["//a/%2e%2e/", "/a;b%5c..%2f/.", "/%e2%80%a5%20;"] {
        let path = part.repeat(7_000 / part.len());
        let path = path.as_bytes();
        assert_eq!(of(path), None, "{part}");
    }
}
