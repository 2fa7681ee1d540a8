//! Envoy's `StringMatcher`.

use std::rc::Rc;

use super::error::ConfigError;
use super::fields::{GoogleRe2Object, HeaderMatcherObject, RegexObject, StringMatcherObject};
use super::leftover::has_any;
use super::node::Node;
use super::reader::Fields;
use crate::pattern::{Member, Pattern, PatternSet, StringMatcher};

/// The matcher for a text in one form, for a claim.
pub(super) fn read_form(form: Form, node: &Node<'_>) -> Result<StringMatcher, Box<ConfigError>> {
    refuse_wildcard(node, "regex")?;
    read_text(node, form, false, &Rc::default())
}

/// The matcher for a pattern, for a claim.
pub(super) fn read_alone(node: &Node<'_>) -> Result<StringMatcher, Box<ConfigError>> {
    Ok(StringMatcher::pattern(Member::alone(read_pattern(node)?)))
}

/// The form of a comparison.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Exact,
    Prefix,
    Suffix,
    Contains,
}

/// The forms of a comparison, by the fields of a string matcher.
fn forms<'f, 'n>(fields: &'f Fields<'n, StringMatcherObject>) -> [(Form, Option<&'f Node<'n>>); 4] {
    [
        (Form::Exact, fields.get(StringMatcherObject::exact)),
        (Form::Prefix, fields.get(StringMatcherObject::prefix)),
        (Form::Suffix, fields.get(StringMatcherObject::suffix)),
        (Form::Contains, fields.get(StringMatcherObject::contains)),
    ]
}

const FIX: &str = "a string matcher takes exactly one of exact, prefix, suffix, contains, safe_regex";

/// Refuses the wildcard of another product, which would be compared literally: a claim hardly ever contains
/// one.
fn refuse_wildcard(node: &Node<'_>, pattern: &str) -> Result<(), Box<ConfigError>> {
    let text = node.part()?;
    if text.contains('*') {
        return Err(node.invalid(format!(
            "`*` in `{text}` matches only itself; write one of prefix, suffix, contains without it, or {pattern}"
        )));
    }
    Ok(())
}

/// Reads a matcher for a claim.
pub(super) fn read_for_claim(node: &Node<'_>) -> Result<StringMatcher, Box<ConfigError>> {
    let matcher = read(node, &Rc::default())?;
    let fields = node.fields(StringMatcherObject)?;
    for node in forms(&fields).into_iter().filter_map(|(_, node)| node) {
        refuse_wildcard(node, "safe_regex")?;
    }
    Ok(matcher)
}

/// Reads a matcher. It adds a pattern to `patterns`, the set for the same text.
pub(super) fn read(node: &Node<'_>, set: &Rc<PatternSet>) -> Result<StringMatcher, Box<ConfigError>> {
    let fields = node.fields(StringMatcherObject)?;
    if let Some(node) = fields.get(StringMatcherObject::custom) {
        return Err(node.invalid("the module cannot load another matcher; write safe_regex"));
    }
    let ignore_case = fields.kept(StringMatcherObject::ignore_case);
    let mut matcher = None;
    for (form, node) in forms(&fields) {
        if let Some(node) = node {
            if matcher.is_some() {
                return Err(node.invalid(FIX));
            }
            matcher = Some(read_text(node, form, ignore_case, set)?);
        }
    }
    if let Some(node) = fields.get(StringMatcherObject::safe_regex) {
        if matcher.is_some() {
            return Err(node.invalid(FIX));
        }
        if ignore_case {
            return Err(node.invalid("ignore_case has no effect on a pattern; begin it with (?i)"));
        }
        matcher = Some(StringMatcher::pattern(set.add(read_regex(node)?)));
    }
    matcher.ok_or_else(|| node.invalid(FIX))
}

fn read_text(
    node: &Node<'_>,
    form: Form,
    ignore_case: bool,
    set: &Rc<PatternSet>,
) -> Result<StringMatcher, Box<ConfigError>> {
    let text = match form {
        Form::Exact => node.text(),
        Form::Prefix | Form::Suffix | Form::Contains => node.part(),
    }?;
    // As in Envoy, an empty exact value matches the empty string. An empty prefix, suffix or part would match
    // everything.
    if text.is_empty() && !matches!(form, Form::Exact) {
        return Err(node.must_not_be_empty());
    }
    let bytes = text.as_bytes().into();
    Ok(match form {
        Form::Exact => StringMatcher::exact(bytes, ignore_case),
        Form::Prefix => StringMatcher::prefix(bytes, ignore_case),
        Form::Suffix => StringMatcher::suffix(bytes, ignore_case),
        Form::Contains => StringMatcher::pattern(set.add(Pattern::containing(&text, ignore_case))),
    })
}

/// The matchers of the older fields, which contain their form in their names: `exact_match: x` and so on.
pub(super) fn read_older(
    fields: &Fields<'_, HeaderMatcherObject>,
    set: &Rc<PatternSet>,
) -> Result<Vec<StringMatcher>, Box<ConfigError>> {
    let forms = [
        (Form::Exact, fields.get(HeaderMatcherObject::exact_match)),
        (Form::Prefix, fields.get(HeaderMatcherObject::prefix_match)),
        (Form::Suffix, fields.get(HeaderMatcherObject::suffix_match)),
        (Form::Contains, fields.get(HeaderMatcherObject::contains_match)),
    ];
    let mut found = Vec::new();
    for (form, node) in forms {
        if let Some(node) = node {
            found.push(read_text(node, form, false, set)?);
        }
    }
    if let Some(node) = fields.get(HeaderMatcherObject::safe_regex_match) {
        found.push(StringMatcher::pattern(set.add(read_regex(node)?)));
    }
    Ok(found)
}

/// `RegexMatcher`: `{regex: …}`, which must match the whole text.
pub(super) fn read_regex(node: &Node<'_>) -> Result<Pattern, Box<ConfigError>> {
    let fields = node.fields(RegexObject)?;
    let pattern = fields.require(RegexObject::regex)?;
    if let Some(node) = fields.get(RegexObject::google_re2) {
        // The field is read to find faults in it, and has no effect.
        let _ = node
            .fields(GoogleRe2Object)?
            .get(GoogleRe2Object::max_program_size);
    }
    read_pattern(pattern)
}

/// A pattern that must match the whole text.
fn read_pattern(node: &Node<'_>) -> Result<Pattern, Box<ConfigError>> {
    let text = node.part()?;
    if text.is_empty() {
        return Err(node.must_not_be_empty());
    }
    if text.ends_with('\n') {
        return Err(node.invalid("ends with a line break; in YAML write `|-` and not `|`"));
    }
    // JavaScript and others write a pattern between slashes.
    let is_between_slashes = text.starts_with("/^") || (text.ends_with("$/") && !text.ends_with("\\$/"));
    if is_between_slashes && !has_any(&text, "|") {
        return Err(node.invalid("can never match: leave out the slashes around the pattern"));
    }
    Pattern::parse(&text).map_err(|fault| node.invalid(format!("the pattern cannot be read: {fault}")))
}
