//! The content of a refused token, for `filter_state: {token: true}`.
//!
//! None of it is verified. It shows the claims that identify the token, its scopes, and neither its
//! signature nor any other claim.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::credential::Finder;
use crate::forward::push_escaped;
use crate::ids::Choice;
use crate::jose::UnverifiedJwt;
use crate::json::{Json, Kind, Object};
use crate::request::RequestHead;
use crate::settings::Config;

/// The largest number of tokens of a request that the filter shows.
const MOST_TOKENS: usize = 2;

/// The largest number of values of a list, such as `aud`.
const MOST_VALUES: usize = 4;

/// The approximate limit of each string, in bytes.
const LONGEST_STRING: usize = 128;

/// The largest number of digits of a number.
const LONGEST_NUMBER: usize = 32;

/// The tokens in the locations of the rule, each as a JSON object; empty if the request has none.
#[inline(never)]
#[must_use]
pub fn token_summary(config: &Config, rule: Choice, request: &RequestHead) -> String {
    let mut out = String::new();
    let Some(demand) = config.policy.demand(rule) else {
        return out;
    };
    let mut shown: Vec<Cow<'_, [u8]>> = Vec::new();
    let mut finder = Finder::new(request, &config.locations);
    for id in &demand.locations {
        // If one location has several tokens, the filter shows none of them.
        if let Ok(Some(credential)) = finder.find(*id) {
            if shown.len() >= MOST_TOKENS || shown.contains(&credential.token) {
                continue;
            }
            out.push_str(if out.is_empty() { "" } else { " " });
            out.push_str("{\"unverified\":true");
            if credential.token.len() <= config.limits.max_token_bytes
                && let Ok(token) = UnverifiedJwt::decode(&credential.token)
            {
                write_token(&mut out, &token);
            }
            out.push('}');
            shown.push(credential.token);
        }
    }
    out
}

fn write_token(out: &mut String, token: &UnverifiedJwt<'_>) {
    if let Ok(header) = Object::parse(token.header_json()) {
        for name in ["alg", "kid"] {
            write_member(out, name, header.member(name));
        }
    }
    if let Ok(claims) = Object::parse(token.payload()) {
        for name in ["iss", "aud", "exp", "scope", "scp"] {
            write_member(out, name, claims.member(name));
        }
    }
}

fn write_member(out: &mut String, name: &str, value: Option<Json<'_>>) {
    let Some(value) = value else {
        return;
    };
    // Writing to a String does not fail.
    let _ = write!(out, ",\"{name}\":");
    match value.as_array() {
        Some(elements) => {
            out.push('[');
            let omitted = elements.len().saturating_sub(MOST_VALUES);
            for (position, element) in elements.into_iter().take(MOST_VALUES).enumerate() {
                out.push_str(if position > 0 { "," } else { "" });
                write_value(out, element);
            }
            out.push_str(if omitted > 0 { ",\"…\"]" } else { "]" });
        }
        None => write_value(out, value),
    }
}

/// A string or a number. Of any other value only the type is shown, because its issuer may put anything into
/// it.
fn write_value(out: &mut String, value: Json<'_>) {
    match value.kind() {
        Kind::Number => {
            let text = value.as_number_text().unwrap_or_default();
            out.push_str(match text.len() {
                ..=LONGEST_NUMBER => text,
                _ => "\"a number\"",
            });
        }
        Kind::String => write_string(out, &value.as_str().unwrap_or_default()),
        Kind::Null => out.push_str("null"),
        Kind::Bool => out.push_str("\"a boolean\""),
        Kind::Array => out.push_str("\"an array\""),
        Kind::Object => out.push_str("\"an object\""),
    }
}

fn write_string(out: &mut String, text: &str) {
    let end = out.len().saturating_add(LONGEST_STRING);
    out.push('"');
    for character in text.chars() {
        if out.len() >= end {
            out.push('…');
            break;
        }
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        push_escaped(out, character);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn config() -> Config {
        let text = br#"{"providers":{"corp":{"issuer":"https://a.example","audiences":["*"],
            "remote_jwks":{"http_uri":{"uri":"https://a.example/jwks","cluster":"c"}},
            "from_headers":[{"name":"a"},{"name":"b"},{"name":"c"}]}}}"#;
        Config::parse(text).unwrap()
    }

    fn token(header: &str, claims: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2lnbmF0dXJl", encode(header), encode(claims))
    }

    fn summary(fields: &[(&str, &str)]) -> String {
        let config = config();
        let mut request = RequestHead::new();
        for (name, value) in fields {
            request.take(&config.headers, name.as_bytes(), value.as_bytes());
        }
        token_summary(&config, Choice::Otherwise, &request)
    }

    fn of(header: &str, claims: &str) -> String {
        summary(&[("a", &token(header, claims))])
    }

    #[test]
    fn only_members_that_distinguish_tokens_are_shown() {
        assert_eq!(
            of(
                r#"{"alg":"RS256","kid":"k1","typ":"JWT","jku":"https://evil.example"}"#,
                r#"{"iss":"https://a.example","aud":["x","y"],"exp":1700000000,"sub":"alice","email":"a@b"}"#
            ),
            r#"{"unverified":true,"alg":"RS256","kid":"k1","iss":"https://a.example","aud":["x","y"],"exp":1700000000}"#
        );
        assert_eq!(
            of(
                "{}",
                r#"{"scope":"orders:read","scp":["a","b"],"scopes":"c","roles":["x"]}"#
            ),
            r#"{"unverified":true,"scope":"orders:read","scp":["a","b"]}"#
        );
    }

    #[test]
    fn what_is_no_jwt_is_only_counted() {
        for text in ["opaque", "a.b.c", "a.b.c.d.e", "..", "e30.e30"] {
            assert_eq!(summary(&[("a", text)]), r#"{"unverified":true}"#, "{text}");
        }
        assert_eq!(summary(&[]), "");
        let long = token(
            "{\"alg\":\"RS256\"}",
            &format!("{{\"iss\":\"{}\"}}", "x".repeat(20_000)),
        );
        assert_eq!(summary(&[("a", &long)]), r#"{"unverified":true}"#);
    }

    #[test]
    fn each_token_is_shown_once_and_two_at_most() {
        let [one, two, three] = ["1", "2", "3"].map(|kid| token(&format!("{{\"kid\":\"{kid}\"}}"), "{}"));
        let shown = |kid: &str| format!(r#"{{"unverified":true,"kid":"{kid}"}}"#);
        let all = summary(&[("a", &one), ("b", &two), ("c", &three)]);
        assert_eq!(all, format!("{} {}", shown("1"), shown("2")));
        let all = summary(&[("a", &one), ("b", &one), ("c", &three)]);
        assert_eq!(all, format!("{} {}", shown("1"), shown("3")));
    }

    #[test]
    fn it_is_bounded_one_line_and_json_whatever_the_token_says() {
        let hostile = "\\\"},{\\u0000\\n\\u2028\\u001b\\\\é".repeat(20);
        let list = format!("[{}]", vec![format!("\"{hostile}\""); 8].join(","));
        let text = of(
            &format!(r#"{{"alg":"{hostile}","kid":{{"a":"secret"}}}}"#),
            &format!(r#"{{"iss":"{hostile}","aud":{list},"exp":{}}}"#, "9".repeat(40)),
        );
        assert!(text.len() < 1400, "{}", text.len());
        assert!(!text.contains(char::is_control) && !text.contains(['\u{2028}', '\u{2029}']));
        assert!(!text.contains("secret"), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["unverified"], true);
        assert_eq!(value["kid"], "an object");
        assert_eq!(value["aud"].as_array().unwrap().len(), 5);
        assert_eq!(value["exp"], "a number");
    }
}
