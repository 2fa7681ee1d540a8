//! Envoy's `StringMatcher`.

use super::error::ConfigError;
use super::reader::Node;

/// Matches a whole string, a part of it, or a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringMatcher {
    pattern: Pattern,
    ignore_case: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<str>),
}

impl StringMatcher {
    /// Whether the text matches. With `ignore_case`, ASCII letters match in either case.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        if self.ignore_case {
            self.pattern.matches(&text.to_ascii_lowercase())
        } else {
            self.pattern.matches(text)
        }
    }
}

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(pattern) => text == &**pattern,
            Self::Prefix(pattern) => text.starts_with(&**pattern),
            Self::Suffix(pattern) => text.ends_with(&**pattern),
            Self::Contains(pattern) => text.contains(&**pattern),
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

pub(super) fn read(node: &Node<'_>) -> Result<StringMatcher, ConfigError> {
    let mut fields = node.fields(&["exact", "prefix", "suffix", "contains", "ignore_case"])?;
    let ignore_case = fields.flag("ignore_case")?;
    let mut pattern = None;
    for (field, form) in FORMS {
        if let Some(node) = fields.take(field) {
            if pattern.is_some() {
                return Err(
                    node.invalid("a string matcher takes exactly one of exact, prefix, suffix, contains")
                );
            }
            // An empty exact value matches the empty string, as in Envoy; an empty part would match everything.
            let mut text = if field == "exact" {
                node.text()?
            } else {
                node.name()?
            };
            if ignore_case {
                text.make_ascii_lowercase();
            }
            pattern = Some(form(text.into()));
        }
    }
    match pattern {
        Some(pattern) => Ok(StringMatcher { pattern, ignore_case }),
        None => Err(node.invalid("a string matcher takes exactly one of exact, prefix, suffix, contains")),
    }
}
