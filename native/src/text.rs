//! The text of a configuration from Envoy: a `google.protobuf.StringValue` as the operator wrote it, or a
//! `google.protobuf.Struct` as Envoy wrote it. Envoy does not say which of the two it is.
//!
//! Envoy writes a Struct without white space, with members in any order and doubles as numbers. So a text
//! with white space comes from the operator. A text without white space may be either, and is read as a
//! Struct: the order of members does not matter, and a whole number that a double may have rounded is
//! refused, unless the text contains a number that no double has.

use proxy_wasm_jwt::config::{self, ConfigError, Options, ReadKeys};
use proxy_wasm_jwt::json::{Json, Kind};
use proxy_wasm_jwt::settings::Config;

use crate::{secrets, store};

/// The largest whole number up to which every whole number is a double.
const DENSE: i128 = 1 << 53;

/// The options for a text with the operator's own numbers.
const OF_TEXT: Options = Options {
    has_doubles: false,
    read_keys: ReadKeys(store::local_keys),
    find_secret: Some(secrets::find),
};

/// Reads a configuration.
///
/// # Errors
///
/// Fails for the same reasons as [`config::parse`].
pub(crate) fn parse(text: &[u8]) -> Result<Config, Box<ConfigError>> {
    let json = match Json::parse(text) {
        Ok(json) if !has_white_space(text) => json,
        _ => return config::parse_with(text, OF_TEXT),
    };
    let mut sorted = Vec::with_capacity(text.len());
    let mut may_be_doubles = true;
    write_sorted(json, &mut sorted, &mut may_be_doubles);
    let options = Options {
        has_doubles: may_be_doubles,
        ..OF_TEXT
    };
    config::parse_with(&sorted, options)
}

/// Whether JSON has white space between its values.
pub(crate) fn has_white_space(json: &[u8]) -> bool {
    let (mut in_string, mut is_escaped) = (false, false);
    json.iter().any(|byte| {
        match (in_string, byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, byte) => return byte.is_ascii_whitespace(),
            (true, _) => {}
        }
        false
    })
}

/// Writes the value without white space, the members of objects sorted by name.
fn write_sorted(value: Json<'_>, to: &mut Vec<u8>, may_be_doubles: &mut bool) {
    match value.kind() {
        Kind::Object => {
            let object = value.as_object();
            let mut members: Vec<_> = object.iter().flat_map(|object| object.members()).collect();
            members.sort_by_key(|(name, _)| *name);
            to.push(b'{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    to.push(b',');
                }
                write_text(name, to);
                to.push(b':');
                write_sorted(value, to, may_be_doubles);
            }
            to.push(b'}');
        }
        Kind::Array => {
            to.push(b'[');
            for (index, element) in value.as_array().unwrap_or_default().into_iter().enumerate() {
                if index > 0 {
                    to.push(b',');
                }
                write_sorted(element, to, may_be_doubles);
            }
            to.push(b']');
        }
        Kind::Number => {
            let text = value.as_number_text().unwrap_or_default();
            let is_whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            *may_be_doubles &= !is_whole || is_double(text);
            to.extend(text.as_bytes());
        }
        Kind::Null | Kind::Bool | Kind::String => to.extend(value.text().as_bytes()),
    }
}

/// Whether a double is exactly this whole number.
fn is_double(text: &str) -> bool {
    let Ok(number) = text.parse::<i128>() else {
        return false;
    };
    let rounded = (number as f64) as i128;
    (-DENSE..=DENSE).contains(&number) || rounded == number
}

/// A name as JSON.
pub(crate) fn write_text(text: &str, to: &mut Vec<u8>) {
    to.push(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' => to.extend([b'\\', u8::try_from(character).unwrap_or_default()]),
            '\0'..='\x1f' => to.extend(format!("\\u{:04x}", u32::from(character)).bytes()),
            _ => to.extend(character.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    to.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn providers(text: &str) -> Result<Vec<String>, String> {
        let config = parse(text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(config
            .providers
            .iter()
            .map(|provider| provider.name.to_string())
            .collect())
    }

    /// Two providers in this order.
    fn two(first: &str, second: &str, space: &str) -> String {
        let provider = |name: &str| {
            format!(
                r#""{name}":{{"issuer":"https://{name}.example","audiences":["a"],"remote_jwks":{{"http_uri":{{"uri":"https://{name}.example/","cluster":"c","timeout":"1s"}}}}}}"#
            )
        };
        format!(
            r#"{{"providers":{{{},{space}{}}}}}"#,
            provider(first),
            provider(second)
        )
    }

    #[test]
    fn the_order_of_members_counts_only_where_an_operator_has_written_it() {
        for (first, second) in [("a", "b"), ("b", "a")] {
            assert_eq!(providers(&two(first, second, "")).unwrap(), ["a", "b"]);
            assert_eq!(providers(&two(first, second, " ")).unwrap(), [first, second]);
        }
    }

    #[test]
    fn a_number_that_a_double_may_have_rounded_is_refused() {
        let with = |number: &str| {
            let rule = format!(
                r#","rules":[{{"match":{{"prefix":"/"}},"requires":{{"provider_name":"a"}},"authorize":{{"claims":[{{"claim_name":"n","equals":{number}}}]}}}}]}}"#
            );
            let text = two("a", "b", "");
            providers(&(text.strip_suffix('}').unwrap().to_owned() + &rule))
        };
        assert!(with("9007199254740991").is_ok());
        assert!(with("9007199254740993").is_ok(), "no double: an operator's text");
        let error = with("9007199254740994").unwrap_err();
        assert!(error.contains("2^53"), "{error}");
    }

    #[test]
    fn text_that_is_no_configuration_is_refused_with_its_own_fault() {
        for text in ["", "{", "[]", "null", r#"{"a":1,"a":2}"#, r#"{"\u0061":1}"#] {
            let expected = config::parse(text.as_bytes()).unwrap_err().to_string();
            assert_eq!(providers(text).unwrap_err(), expected, "{text}");
        }
    }
}
