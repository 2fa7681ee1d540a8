//! Envoy's `StringMatcher`.

use super::error::ConfigError;
use super::reader::{Fields, Node};

/// Matches a whole string, a part of it, or a pattern.
#[derive(Clone, Debug)]
pub struct StringMatcher {
    pattern: Pattern,
    ignore_case: bool,
}

#[derive(Clone, Debug)]
enum Pattern {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<str>),
    /// Matches as a whole.
    Regex(regex_lite::Regex),
}

impl StringMatcher {
    /// Whether the text matches. With `ignore_case`, ASCII letters match in either case; a pattern says so itself.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        if self.ignore_case {
            self.pattern.matches(&text.to_ascii_lowercase())
        } else {
            self.pattern.matches(text)
        }
    }

    /// Whether the bytes are text that matches; bytes that are none match nothing.
    #[must_use]
    pub fn matches_bytes(&self, bytes: &[u8]) -> bool {
        std::str::from_utf8(bytes).is_ok_and(|text| self.matches(text))
    }
}

impl StringMatcher {
    /// The matcher of one named form: `prefix`, `suffix`, `contains` or `regex`.
    pub(super) fn of(name: &str, node: &Node<'_>) -> Result<Self, Box<ConfigError>> {
        let pattern = match FORMS.iter().find(|(form, _)| *form == name) {
            Some((_, form)) => read_text(node, *form, false)?,
            None => Pattern::Regex(read_pattern(node)?),
        };
        Ok(Self {
            pattern,
            ignore_case: false,
        })
    }
}

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(pattern) => text == &**pattern,
            Self::Prefix(pattern) => text.starts_with(&**pattern),
            Self::Suffix(pattern) => text.ends_with(&**pattern),
            Self::Contains(pattern) => text.contains(&**pattern),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

type Form = (&'static str, fn(Box<str>) -> Pattern);

const FORMS: [Form; 4] = [
    ("exact", Pattern::Exact),
    ("prefix", Pattern::Prefix),
    ("suffix", Pattern::Suffix),
    ("contains", Pattern::Contains),
];

const FIELDS: &[&str] = &[
    "exact",
    "prefix",
    "suffix",
    "contains",
    "safe_regex",
    "ignore_case",
    "custom",
];

const FIX: &str = "a string matcher takes exactly one of exact, prefix, suffix, contains, safe_regex";

pub(super) fn read(node: &Node<'_>) -> Result<StringMatcher, Box<ConfigError>> {
    let fields = node.fields(FIELDS)?;
    if let Some(node) = fields.get("custom") {
        return Err(node.invalid("another matcher cannot be loaded into a module; write safe_regex"));
    }
    let ignore_case = fields.flag("ignore_case")?;
    let mut pattern = None;
    for (field, form) in FORMS {
        if let Some(node) = fields.get(field) {
            if pattern.is_some() {
                return Err(node.invalid(FIX));
            }
            pattern = Some(read_text(node, form, ignore_case)?);
        }
    }
    if let Some(node) = fields.get("safe_regex") {
        if pattern.is_some() {
            return Err(node.invalid(FIX));
        }
        if ignore_case {
            return Err(node.invalid("ignore_case has no effect on a pattern; begin it with (?i)"));
        }
        pattern = Some(Pattern::Regex(read_regex(node)?));
    }
    match pattern {
        Some(pattern) => Ok(StringMatcher { pattern, ignore_case }),
        None => Err(node.invalid(FIX)),
    }
}

fn read_text(
    node: &Node<'_>,
    form: fn(Box<str>) -> Pattern,
    ignore_case: bool,
) -> Result<Pattern, Box<ConfigError>> {
    let mut text = node.text()?;
    if ignore_case {
        text.make_ascii_lowercase();
    }
    let pattern = form(text);
    // An empty exact value matches the empty string, as in Envoy; an empty part would match everything.
    match &pattern {
        Pattern::Prefix(text) | Pattern::Suffix(text) | Pattern::Contains(text) if text.is_empty() => {
            Err(node.invalid("must not be empty"))
        }
        _ => Ok(pattern),
    }
}

/// The matchers from the older fields that name their form themselves: `exact_match: x` and so on.
pub(super) fn read_older(fields: &Fields<'_>) -> Result<Vec<StringMatcher>, Box<ConfigError>> {
    let forms: [Form; 4] = [
        ("exact_match", Pattern::Exact),
        ("prefix_match", Pattern::Prefix),
        ("suffix_match", Pattern::Suffix),
        ("contains_match", Pattern::Contains),
    ];
    let mut found = Vec::new();
    let mut add = |pattern| {
        found.push(StringMatcher {
            pattern,
            ignore_case: false,
        });
    };
    for (field, form) in forms {
        if let Some(node) = fields.get(field) {
            add(read_text(node, form, false)?);
        }
    }
    if let Some(node) = fields.get("safe_regex_match") {
        add(Pattern::Regex(read_regex(node)?));
    }
    Ok(found)
}

/// `RegexMatcher`: `{regex: …}`, which has to match the whole text. Google's RE2 and this engine share their syntax but
/// for Unicode classes, and both take linear time.
pub(super) fn read_regex(node: &Node<'_>) -> Result<regex_lite::Regex, Box<ConfigError>> {
    let fields = node.fields(&["regex", "google_re2"])?;
    let pattern = fields.require("regex", "write the pattern")?;
    // The engine choice of older configurations; there is one.
    if let Some(node) = fields.get("google_re2") {
        node.fields(&["max_program_size"])?;
    }
    read_pattern(pattern)
}

/// A pattern that has to match the whole text.
fn read_pattern(node: &Node<'_>) -> Result<regex_lite::Regex, Box<ConfigError>> {
    let text = node.name()?;
    regex_lite::Regex::new(&text)
        .and_then(|_| regex_lite::Regex::new(&format!(r"\A(?:{text})\z")))
        .map_err(|error| node.invalid(format!("the pattern cannot be read: {error}")))
}
