//! Tests of one match that no request passes together.

use crate::source::{Node, Place};

/// The requirement that a test makes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Exact,
    Prefix,
    Suffix,
    Contains,
}

/// A test of a header field or a query parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Present(bool),
    /// A text, and whether the case of letters makes no difference.
    Text(Form, String, bool),
    /// The numbers from the first up to, but not including, the second.
    Range(i64, i64),
    /// Any other test of a text.
    Other,
}

/// A test, and where it is written.
#[derive(Clone, Debug)]
struct Found {
    name: String,
    test: Test,
    is_inverted: bool,
    /// An absent field passes it, or may pass it.
    takes_absent: bool,
    place: Place,
}

/// The first test of a match that no request passes together with an earlier one: its place, and what is
/// wrong.
pub(super) fn contradiction(matcher: &Node) -> Option<(Place, String)> {
    let of = |field: &str| matcher.get(field).map_or(&[][..], Node::elements);
    let mut headers: Vec<Found> = of("headers").iter().filter_map(header).collect();
    // The list of methods is a test of the same field. If there are several, one of them has to pass the
    // others.
    let methods = matcher.get("methods");
    if let Some(methods) = methods {
        let all: Vec<&str> = methods
            .elements()
            .iter()
            .chain(Some(methods))
            .filter_map(Node::text)
            .collect();
        let of_method = headers.iter().filter(|found| found.name == ":method");
        for found in of_method {
            let passes = |method: &&str| {
                let exact = Found {
                    name: found.name.clone(),
                    test: Test::Text(Form::Exact, (*method).to_owned(), false),
                    is_inverted: false,
                    takes_absent: false,
                    place: methods.place.clone(),
                };
                !are_apart(&exact, found)
            };
            if !all.is_empty() && !all.iter().any(passes) {
                let message = "no method of the list passes this test of `:method`";
                return Some((found.place.clone(), message.to_owned()));
            }
        }
    }
    let parameters: Vec<Found> = of("query_parameters").iter().filter_map(parameter).collect();
    for (what, tests) in [("header", &mut headers), ("parameter", &mut parameters.clone())] {
        for (position, later) in tests.iter().enumerate() {
            let earlier = tests.iter().take(position);
            if earlier
                .clone()
                .any(|earlier| earlier.name == later.name && are_apart(earlier, later))
            {
                let message = format!(
                    "no value of the {what} `{}` passes this test and another one of this match",
                    later.name
                );
                return Some((later.place.clone(), message));
            }
        }
    }
    None
}

fn header(node: &Node) -> Option<Found> {
    let name = node.text_at(&["name"])?.to_ascii_lowercase();
    let flag = |name: &str| node.get(name).and_then(Node::bool) == Some(true);
    let older = [
        ("exact_match", Form::Exact),
        ("prefix_match", Form::Prefix),
        ("suffix_match", Form::Suffix),
        ("contains_match", Form::Contains),
    ];
    let older = older
        .into_iter()
        .find_map(|(name, form)| Some(Test::Text(form, node.text_at(&[name])?.to_owned(), false)));
    let test = match (
        node.get("string_match"),
        node.get("present_match"),
        node.get("range_match"),
    ) {
        (Some(matcher), ..) => text_test(matcher),
        (None, Some(wanted), _) => Test::Present(wanted.bool()?),
        (None, None, Some(range)) => {
            let number = |name: &str| {
                range
                    .get(name)
                    .map_or(Some(0), |node| node.to_json().parse::<i64>().ok())
            };
            Test::Range(number("start")?, number("end")?)
        }
        (None, None, None) if node.get("safe_regex_match").is_some() => Test::Other,
        (None, None, None) => older.unwrap_or(Test::Present(true)),
    };
    let is_inverted = flag("invert_match");
    let (test, is_inverted) = match test {
        Test::Present(wanted) => (Test::Present(wanted != is_inverted), false),
        test => (test, is_inverted),
    };
    Some(Found {
        name: if name == "host" {
            ":authority".to_owned()
        } else {
            name
        },
        takes_absent: test == Test::Present(false) || flag("treat_missing_header_as_empty"),
        test,
        is_inverted,
        place: node.place.clone(),
    })
}

fn parameter(node: &Node) -> Option<Found> {
    let test = match node.get("string_match") {
        Some(matcher) => text_test(matcher),
        None => Test::Present(
            node.get("present_match")
                .is_none_or(|wanted| wanted.bool() != Some(false)),
        ),
    };
    Some(Found {
        name: node.text_at(&["name"])?.to_owned(),
        takes_absent: test == Test::Present(false),
        test,
        is_inverted: false,
        place: node.place.clone(),
    })
}

/// Envoy's `StringMatcher`.
fn text_test(matcher: &Node) -> Test {
    let ignores_case = matcher.get("ignore_case").and_then(Node::bool) == Some(true);
    let forms = [
        ("exact", Form::Exact),
        ("prefix", Form::Prefix),
        ("suffix", Form::Suffix),
        ("contains", Form::Contains),
    ];
    let found = forms.into_iter().find_map(|(name, form)| {
        Some(Test::Text(
            form,
            matcher.text_at(&[name])?.to_owned(),
            ignores_case,
        ))
    });
    found.unwrap_or(Test::Other)
}

/// Whether no value passes both. True only in obvious cases.
fn are_apart(one: &Found, other: &Found) -> bool {
    use Test::{Other, Present, Range, Text};
    match (&one.test, &other.test) {
        (Present(one), Present(other)) => one != other,
        (Present(false), _) => !other.takes_absent,
        (_, Present(false)) => !one.takes_absent,
        (Present(true), _) | (_, Present(true)) | (Other, _) | (_, Other) => false,
        (Text(form, text, ignores), Text(other_form, other_text, other_ignores)) => {
            // The stricter test of the two still passes one spelling.
            let (text, other_text) = match *ignores || *other_ignores {
                true => (text.to_ascii_lowercase(), other_text.to_ascii_lowercase()),
                false => (text.clone(), other_text.clone()),
            };
            // Where only one looks at the case, `A` passes `a` without case, but not the reverse of it.
            match (one.is_inverted, other.is_inverted) {
                (false, false) => texts_are_apart((*form, &text), (*other_form, &other_text)),
                (false, true) => {
                    (*other_ignores || !*ignores) && passes((*form, &text), (*other_form, &other_text))
                }
                (true, false) => {
                    (*ignores || !*other_ignores) && passes((*other_form, &other_text), (*form, &text))
                }
                (true, true) => false,
            }
        }
        (Text(Form::Exact, text, _), Range(start, end)) | (Range(start, end), Text(Form::Exact, text, _)) => {
            let is_within = text
                .parse()
                .is_ok_and(|number: i64| (*start..*end).contains(&number));
            !one.is_inverted && !other.is_inverted && !is_within
        }
        (Range(start, end), Range(other_start, other_end)) => {
            !one.is_inverted && !other.is_inverted && (end <= other_start || other_end <= start)
        }
        (Text(..), Range(..)) | (Range(..), Text(..)) => false,
    }
}

/// Whether no text passes both.
fn texts_are_apart(one: (Form, &str), other: (Form, &str)) -> bool {
    match (one, other) {
        ((Form::Exact, text), other) => !takes(other, text),
        (one, (Form::Exact, text)) => !takes(one, text),
        ((Form::Prefix, one), (Form::Prefix, other)) => !one.starts_with(other) && !other.starts_with(one),
        ((Form::Suffix, one), (Form::Suffix, other)) => !one.ends_with(other) && !other.ends_with(one),
        _ => false,
    }
}

/// Whether each text that passes the first passes the second.
fn passes(one: (Form, &str), other: (Form, &str)) -> bool {
    match (one, other) {
        ((Form::Exact, text), other) => takes(other, text),
        ((Form::Prefix, one), (Form::Prefix, other)) => one.starts_with(other),
        ((Form::Suffix, one), (Form::Suffix, other)) => one.ends_with(other),
        ((Form::Prefix | Form::Suffix | Form::Contains, one), (Form::Contains, other)) => one.contains(other),
        _ => false,
    }
}

fn takes((form, wanted): (Form, &str), text: &str) -> bool {
    match form {
        Form::Exact => text == wanted,
        Form::Prefix => text.starts_with(wanted),
        Form::Suffix => text.ends_with(wanted),
        Form::Contains => text.contains(wanted),
    }
}
