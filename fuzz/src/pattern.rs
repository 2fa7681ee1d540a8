//! Compares patterns with the `regex` crate: the same texts match.

use std::rc::Rc;

use proxy_wasm_jwt::pattern::{Effort, Hits, Pattern, PatternSet};
use regex::Regex;

use crate::pairs::Bytes;

/// The same pattern for both engines. Classes and cases are ASCII's here, so the other one gets them written
/// out.
struct Both {
    ours: String,
    theirs: String,
}

impl Both {
    fn same(text: &str) -> Self {
        Self::new(text, text)
    }

    fn new(ours: &str, theirs: &str) -> Self {
        Self {
            ours: ours.to_owned(),
            theirs: theirs.to_owned(),
        }
    }

    /// Both patterns, between the same texts.
    fn wrapped(self, before: &str, after: &str) -> Self {
        Self {
            ours: format!("{before}{}{after}", self.ours),
            theirs: format!("{before}{}{after}", self.theirs),
        }
    }
}

const ATOMS: [(&str, &str); 30] = [
    ("a", "a"),
    ("b", "b"),
    ("/", "/"),
    ("admin", "admin"),
    ("é", "é"),
    ("[a-c]", "[a-c]"),
    ("[^a]", "[^a]"),
    ("[^/]", "[^/]"),
    ("[^/]+", "[^/]+"),
    (".", "."),
    (".*", ".*"),
    ("(?s:.)", "(?s:.)"),
    (r"\d", "[0-9]"),
    (r"\D", "[^0-9]"),
    (r"\w", "[0-9A-Za-z_]"),
    (r"\W", "[^0-9A-Za-z_]"),
    (r"\s", r"[\t\n\f\r ]"),
    (r"\S", r"[^\t\n\f\r ]"),
    (r"\b", r"(?-u:\b)"),
    ("^", "^"),
    ("$", "$"),
    (r"(?m:^)", r"(?m:^)"),
    (r"(?m:$)", r"(?m:$)"),
    ("(?i:aB)", "[aA][bB]"),
    ("(?i:[a-c]é)", "[a-cA-C]é"),
    ("[[:alpha:]]", "[A-Za-z]"),
    (r"[\w/-]", "[0-9A-Za-z_/-]"),
    (r"\x{e9}", "é"),
    (r"\Q.\E", r"\."),
    ("()", "()"),
];

const REPEATS: [&str; 9] = ["*", "+", "?", "*?", "{2}", "{0,2}", "{1,3}", "{2,}", "+?"];

/// The most levels of groups.
const DEPTH: usize = 4;

fn pattern(bytes: &mut Bytes<'_>, depth: usize) -> Both {
    let mut alternatives = Vec::new();
    for _ in 0..=bytes.below(3) {
        let mut parts = Both::same("");
        for _ in 0..bytes.below(5) {
            let part = match bytes.below(3) {
                0 if depth > 0 => pattern(bytes, depth - 1).wrapped("(?:", ")"),
                _ => {
                    let (ours, theirs) = *bytes.pick(&ATOMS);
                    Both::new(ours, theirs).wrapped("(?:", ")")
                }
            };
            let part = match bytes.below(2) {
                0 => part,
                _ => part.wrapped("", bytes.pick::<&str>(&REPEATS)),
            };
            parts.ours.push_str(&part.ours);
            parts.theirs.push_str(&part.theirs);
        }
        alternatives.push(parts);
    }
    let joined = |side: fn(&Both) -> &str| alternatives.iter().map(side).collect::<Vec<_>>().join("|");
    Both {
        ours: joined(|both| &both.ours),
        theirs: joined(|both| &both.theirs),
    }
}

const PIECES: [&[u8]; 20] = [
    b"a",
    b"b",
    b"c",
    b"A",
    b"B",
    b"/",
    b"admin",
    b"0",
    b"_",
    b"-",
    b".",
    b" ",
    b"\n",
    b"x",
    "é".as_bytes(),
    "\u{20ac}".as_bytes(),
    b"\xff",
    b"\xc3",
    b"\xa9",
    b"\xed\xa0\x80",
];

fn text(bytes: &mut Bytes<'_>) -> Vec<u8> {
    (0..bytes.below(12)).fold(Vec::new(), |mut text, _| {
        match bytes.below(8) {
            0 => text.push(u8::try_from(bytes.next()).unwrap_or_default()),
            _ => text.extend_from_slice(bytes.pick::<&[u8]>(&PIECES)),
        }
        text
    })
}

/// The text for an engine of characters: a byte that is no UTF-8 is a character of its own, which is in no
/// class but the negated ones.
fn characters(text: &[u8]) -> String {
    let mut made = String::new();
    for chunk in text.utf8_chunks() {
        made.push_str(chunk.valid());
        let strange = chunk.invalid().iter();
        made.extend(strange.filter_map(|byte| char::from_u32(0xf_0000 + u32::from(*byte))));
    }
    made
}

/// The bytes choose three patterns and some texts. Each pattern, alone and among the others, matches the same
/// texts as in the other engine. A text that it matches begins with the common prefix of such texts.
pub fn patterns(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let patterns: Vec<Both> = (0..3).map(|_| pattern(&mut bytes, DEPTH)).collect();
    let set = Rc::new(PatternSet::default());
    let mut members = Vec::new();
    for both in &patterns {
        // Repeated repetitions make patterns that one of the engines refuses for their size.
        let (Ok(ours), Ok(theirs)) = (
            Pattern::parse(&both.ours),
            Regex::new(&format!(r"\A(?:{})\z", both.theirs)),
        ) else {
            continue;
        };
        members.push((both, ours.beginning().0, theirs, set.add(ours.clone()), ours));
    }
    set.finish();
    for _ in 0..8 {
        let text = text(&mut bytes);
        let characters = characters(&text);
        let together = set.matching(&text, &mut Effort::of_a_request());
        for (number, (both, beginning, theirs, _, ours)) in (0..).zip(&members) {
            let expected = theirs.is_match(&characters);
            let alone = proxy_wasm_jwt::pattern::Member::alone(ours.clone());
            for found in [
                together.hold(number),
                alone.matches_once(&text, &mut Effort::of_a_request()),
            ] {
                assert!(
                    found.is_none_or(|found| found == expected),
                    "{:?} on {:?}: {found:?}",
                    both.ours,
                    text.escape_ascii().to_string()
                );
            }
            assert!(!expected || text.starts_with(beginning), "{:?}", both.ours);
        }
        assert!(!matches!(together, Hits::Known(ref hits) if hits.len() > members.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::inputs;

    #[test]
    fn patterns_match_what_another_engine_says() {
        let (mut taken, mut all, mut hits) = (0, 0, 0);
        for input in inputs(3_000, 160) {
            patterns(&input);
            let mut bytes = Bytes(&input);
            for both in (0..3).map(|_| pattern(&mut bytes, DEPTH)).collect::<Vec<_>>() {
                all += 1;
                let ours = Pattern::parse(&both.ours).is_ok();
                let theirs = Regex::new(&both.theirs);
                taken += usize::from(ours && theirs.is_ok());
                let text = text(&mut bytes);
                hits += usize::from(theirs.is_ok_and(|regex| regex.is_match(&characters(&text))));
            }
        }
        // If no pattern were accepted or matched, the test would prove nothing.
        assert!(taken * 10 > all * 8 && hits > 1000, "{taken} of {all}, {hits}");
    }
}
