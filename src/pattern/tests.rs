//! Compares patterns with another engine, and searches texts that are made to cost much.

use super::*;

fn is_match(pattern: &str, text: &[u8]) -> bool {
    let member = Member::alone(Pattern::parse(pattern).expect(pattern));
    member.matches_once(text, &mut Effort(usize::MAX)).expect("known")
}

#[test]
fn patterns_match_as_a_whole() {
    for (pattern, yes, no) in [
        ("/a", "/a", "/ab"),
        ("/.*/svc7/.*", "/x/svc7/", "/svc7/"),
        ("a|b", "b", "ab"),
        ("a|", "", "b"),
        ("(?i)Abc", "aBC", "abd"),
        ("(?i:a)b", "Ab", "aB"),
        ("(?i)[a-c]+", "ABC", "abd"),
        ("a{2,3}", "aaa", "aaaa"),
        ("a{2,}", "aaaaa", "a"),
        ("(ab)*c", "ababc", "abac"),
        ("(a*)*b", "aab", "aa"),
        (r"\d+", "0123456789", "x"),
        (r"\S", "\u{b}", "\u{c}"),
        ("[[:space:]]", "\u{b}", "x"),
        (r"[[:alpha:]_]+", "a_B", "a1"),
        ("[]a]+", "a]", "["),
        ("[^/]+", "abc", "a/c"),
        (r"a\b.*", "a b", "ab"),
        (r".*\Bb", "ab", "a b"),
        ("^a$", "a", "b"),
        (r"\Aa\z", "a", "a\n"),
        ("(?m)a$\n^b", "a\nb", "a\nab"),
        ("a.b", "aéb", "a\nb"),
        ("(?s)a.b", "a\nb", "a\r\nb"),
        (r"\Qa.b\E+", "a.bb", "axb"),
        ("a{,2}", "a{,2}", "aa"),
        ("(?P<n>a)(?<m>b)", "ab", "a"),
        (r"\x41\x{e9}", "Aé", "A\u{e8}"),
        ("[а-я]+", "привет", "Привет"),
    ] {
        assert!(is_match(pattern, yes.as_bytes()), "{pattern} {yes}");
        assert!(!is_match(pattern, no.as_bytes()), "{pattern} {no}");
    }
}

#[test]
fn bytes_that_are_no_text_hide_nothing() {
    for (pattern, text) in [
        ("prod.*", &b"prod\xff"[..]),
        (".*prod", b"\xff\xc3prod"),
        ("/caf./x", b"/caf\xe9/x"),
        ("/[^/]+/admin", b"/\xc0\xaf/admin"),
        (r"\D\W\S", b"\xff\xfe\x80"),
        ("[^a]", b"\xff"),
        // Each such byte is one character, and text beside it stays text.
        ("a.é.", b"a\xc3\xc3\xa9\xa9"),
        ("...", b"\xed\xa0\x80"),
        ("....", b"\xf8\xc3\xa9\xe9\xf5"),
    ] {
        assert!(is_match(pattern, text), "{pattern} {text:?}");
    }
    for (pattern, text) in [
        ("[a-z]+", &b"a\xff"[..]),
        (r"[\x{80}-\x{10ffff}]", b"\xff"),
        (".", b"\xe9\xe9"),
    ] {
        assert!(!is_match(pattern, text), "{pattern} {text:?}");
    }
}

#[test]
fn what_is_no_pattern_is_refused() {
    for pattern in [
        "(",
        ")",
        "a)",
        "(a",
        "[a",
        "[b-a]",
        "*",
        "a**",
        "a{3,2}",
        "a{1001}",
        r"\p{L}",
        r"[\pL]",
        r"\1",
        r"\C",
        "(?=a)",
        "(?<=a)",
        "(?x)a",
        r"\",
        r"\x{110000}",
        r"\xg0",
        "(a{1000}){1000}",
        "[[:other:]]",
        "(?P<>a)",
        "|*",
    ] {
        assert!(Pattern::parse(pattern).is_err(), "{pattern}");
    }
    let deep = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Pattern::parse(&deep(100)).is_ok());
    assert!(Pattern::parse(&deep(101)).is_err());
    assert!(Pattern::parse(&deep(1_000_000)).is_err());
}

struct RandomSource(u64);

impl RandomSource {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((self.0 >> 33) as usize).checked_rem(below).expect("a choice")
    }

    fn of<'a>(&mut self, pieces: &[&'a str]) -> &'a str {
        pieces[self.below(pieces.len())]
    }

    fn pattern(&mut self, depth: usize) -> String {
        const ATOMS: [&str; 24] = [
            "a", "b", "/", "ab", ".", "é", "[ab]", "[^a/]", r"\w", r"\W", r"\d", r"\b", r"\B", "^", "$",
            "(?i)a", "A", "[a-zé]", r"\s", "-", ".*", "(?s:.)", "(?m:^)", "(?m:$)",
        ];
        let mut pattern = String::new();
        for _ in 0..self.below(5) {
            match self.below(if depth == 0 { 1 } else { 4 }) {
                1 => {
                    let inner = self.pattern(depth.saturating_sub(1));
                    pattern += &format!(
                        "(?:{inner}){}",
                        self.of(&["", "*", "+", "?", "{2}", "{1,3}", "{2,}"])
                    );
                }
                2 => {
                    let (one, other) = (
                        self.pattern(depth.saturating_sub(1)),
                        self.pattern(depth.saturating_sub(1)),
                    );
                    pattern += &format!("(?:{one}|{other})");
                }
                _ => pattern += self.of(&ATOMS),
            }
        }
        pattern
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 14] = [
            "a", "b", "A", "/", "é", "ab", "\n", " ", "1", "_", "-", "\u{e000}", "\u{e001}", "z",
        ];
        (0..self.below(8)).map(|_| self.of(&PIECES)).collect()
    }
}

/// A character that no pattern names replaces each byte that is not text.
fn with_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for char in text.chars() {
        match char {
            '\u{e000}' => bytes.push(0xff),
            '\u{e001}' => bytes.push(0xc0),
            char => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

#[test]
fn many_patterns_at_once_match_what_another_engine_says_one_by_one() {
    let mut chance = RandomSource(7);
    let (mut matches, mut misses) = (0, 0);
    for _ in 0..400 {
        let set = Rc::new(PatternSet::default());
        let patterns: Vec<(String, Member, regex_lite::Regex)> = (0..=chance.below(12))
            .map(|_| {
                let pattern = chance.pattern(3);
                let other = regex_lite::Regex::new(&format!(r"\A(?:{pattern})\z")).expect(&pattern);
                let member = set.add(Pattern::parse(&pattern).expect(&pattern));
                (pattern, member, other)
            })
            .collect();
        set.finish();
        for _ in 0..100 {
            let text = chance.text();
            let bytes = with_bytes(&text);
            let mut search = Search::new();
            search.effort = Effort(usize::MAX);
            for (pattern, member, other) in &patterns {
                let expected = other.is_match(&text);
                assert_eq!(
                    member.matches(&Text::Borrowed(&bytes), &mut search),
                    Some(expected),
                    "{pattern:?} {text:?}"
                );
                match expected {
                    true => matches += 1,
                    false => misses += 1,
                }
            }
        }
    }
    assert!(matches > 10_000 && misses > 10_000, "{matches} {misses}");
}

/// A text that a client would send to make states without end.
fn worst(patterns: u32) -> Vec<u8> {
    let mut chance = RandomSource(3);
    let mut path = b"/x".to_vec();
    while path.len() < 57_000 {
        path.extend(format!("/svc{}", chance.below(patterns as usize)).bytes());
    }
    path
}

#[test]
fn the_effort_is_bounded_and_nothing_half_made_is_left() {
    let set = Rc::new(PatternSet::default());
    // If only the end of the text decides, a client can make as many states as it likes.
    let members: Vec<Member> = (0..300)
        .map(|number| set.add(Pattern::parse(&format!("/.*/svc{number}/.*z?")).unwrap()))
        .collect();
    for effort in [0, 100, 1000, 57_000, 58_000, 60_000, 100_000, 200_000] {
        let hits = set.matching(&worst(300), &mut Effort(effort));
        assert_eq!(hits, Hits::Unknown, "{effort}");
        assert_eq!(
            members[7].matches_once(b"/x/svc7/", &mut Effort(100_000)),
            Some(true)
        );
        assert_eq!(
            members[8].matches_once(b"/x/svc7/", &mut Effort(100_000)),
            Some(false)
        );
    }
    // With unlimited effort, the automaton forgets and makes states, and its answer is right.
    let path = worst(300);
    let Hits::Known(hits) = set.matching(&path, &mut Effort(usize::MAX)) else {
        panic!("not found out");
    };
    let text = String::from_utf8(path).unwrap();
    for (number, _) in (0_u32..).zip(&members) {
        let expected = text.contains(&format!("/svc{number}/"));
        assert_eq!(hits.binary_search(&number).is_ok(), expected, "{number}");
    }
}

#[test]
fn what_is_decided_makes_no_more_states() {
    let set = Rc::new(PatternSet::default());
    for number in 0..300 {
        let _ = set.add(Pattern::parse(&format!("/.*/svc{number}/.*")).unwrap());
    }
    let path = worst(300);
    let mut effort = Effort(400_000);
    let Hits::Known(hits) = set.matching(&path, &mut effort) else {
        panic!("not found out");
    };
    assert_eq!(hits.len(), 300);
    // The states exist, so the next such text costs its length and the patterns that match.
    let left = effort.0;
    assert_eq!(set.matching(&path, &mut effort), Hits::Known(hits));
    assert!(left - effort.0 < path.len() + 1_000, "{}", left - effort.0);
    // A line feed ends the text that `.` matches.
    let mut lines = path.clone();
    lines.extend_from_slice(b"\n");
    assert_eq!(
        set.matching(&lines, &mut Effort(usize::MAX)),
        Hits::Known([].into())
    );
}

#[test]
fn a_pattern_that_is_decided_hides_none_that_goes_on() {
    let patterns = ["/a.*", "/a.*b", "/a(?s).*", "/a.*", ".*", "/[^b]*", "/a.*c"];
    let set = Rc::new(PatternSet::default());
    let members = patterns.map(|pattern| set.add(Pattern::parse(pattern).unwrap()));
    for (text, expected) in [
        ("/a", &[0, 2, 3, 4, 5][..]),
        ("/axb", &[0, 1, 2, 3, 4]),
        ("/abc", &[0, 2, 3, 4, 6]),
        ("/a\nb", &[2, 5]),
        ("/", &[4, 5]),
        ("", &[4]),
        ("\n", &[]),
    ] {
        for _ in 0..2 {
            let mut effort = Effort(usize::MAX);
            let hits = members
                .iter()
                .map(|member| member.matches_once(text.as_bytes(), &mut effort));
            let hits: Vec<usize> = hits
                .enumerate()
                .filter(|(_, hit)| *hit == Some(true))
                .map(|(at, _)| at)
                .collect();
            let expected: Vec<usize> = expected
                .iter()
                .filter(|at| **at != 5 || !text.contains('b'))
                .copied()
                .collect();
            assert_eq!(hits, expected, "{text:?}");
        }
    }
}
