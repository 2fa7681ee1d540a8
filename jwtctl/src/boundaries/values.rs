//! Values of headers and query parameters that a matcher accepts, and others.

use crate::examples::example;
use crate::source::{Node, Value};

/// A value that a matcher of headers or parameters probably accepts (`None`: the absence), and all values
/// that distinguish it.
pub(super) fn values_for(matcher: &Node) -> (Option<String>, Vec<Option<String>>) {
    let is = |name: &str, wanted: bool| matcher.get(name).and_then(Node::bool) == Some(wanted);
    let named = value_for(matcher).unwrap_or_else(|| "x".to_owned());
    // No common beginning or ending.
    let another = Some("0jwtctl0".to_owned());
    let taken = match is("invert_match", true) ^ is("present_match", false) {
        true if matcher.get("present_match").is_some() => None,
        true => another.clone(),
        false => Some(named.clone()),
    };
    (taken, vec![None, another, Some(named), Some(String::new())])
}

/// A value that the test of a matcher accepts. `None` if it has no test, or none can be found.
fn value_for(matcher: &Node) -> Option<String> {
    let test = matcher.get("string_match").unwrap_or(matcher);
    let of = |names: [&str; 2]| {
        names
            .iter()
            .find_map(|name| test.text_at(&[name]))
            .map(str::to_owned)
    };
    of(["exact", "exact_match"])
        .or_else(|| of(["prefix", "prefix_match"]).map(|prefix| format!("{prefix}x")))
        .or_else(|| of(["suffix", "suffix_match"]).map(|suffix| format!("x{suffix}")))
        .or_else(|| of(["contains", "contains_match"]))
        .or_else(|| {
            test.at(&["safe_regex"])
                .and_then(|regex| example(regex.text_at(&["regex"])?))
        })
        .or_else(|| {
            let start = match &matcher.at(&["range_match", "start"])?.value {
                Value::Number(number) => number.clone(),
                _ => return None,
            };
            Some(start)
        })
}
