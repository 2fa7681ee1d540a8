//! The claims and the payload of a verified token in the headers that the filter owns.
//!
//! Only a [`VerifiedJwt`] makes headers. The client's own values are removed before:
//! [`crate::request::HeaderFields`].

mod rules;

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
pub use rules::{ClaimToHeader, HeaderRules, Metadata, OwnedHeaders, ValueFormat};

use crate::claims::{VerifiedJwt, scalar_text};
use crate::edits::HeaderEdits;
use crate::jose::UnverifiedJwt;
use crate::json::{Json, Kind};

/// The index of an owned header, and the token's value for it, if there is one.
pub(crate) type ClaimValue = (usize, Option<Vec<u8>>);

/// A name under `wasm.jwt.metadata.`, and its JSON.
pub(crate) type StateEntry = (Box<str>, Vec<u8>);

/// The token's values for headers, by the rules of its provider. `payload` is the token's own text.
pub(crate) fn claim_values(
    rules: &impl AsRef<HeaderRules>,
    jwt: &VerifiedJwt<'_>,
    payload: &[u8],
) -> Vec<ClaimValue> {
    let rules = rules.as_ref();
    let claims = rules.claims.iter().map(|entry| {
        (
            entry.header,
            jwt.claim(&entry.claim)
                .and_then(|value| header_value(value, entry.format)),
        )
    });
    let payload = rules.payload.map(|header| {
        let mut value = payload.to_vec();
        if rules.pads_payload {
            let padding = value.len().wrapping_neg() % 4;
            value.resize(value.len().saturating_add(padding), b'=');
        }
        (header, Some(value))
    });
    claims.chain(payload).collect()
}

/// Sets the owned headers for which the tokens have values. If two tokens have a value for one header, the
/// first token applies.
pub(crate) fn write_claims<'c>(
    owned: &OwnedHeaders,
    tokens: impl Iterator<Item = &'c [ClaimValue]> + Clone,
    edits: &mut HeaderEdits,
) {
    for (index, name) in owned.iter().enumerate() {
        let value = tokens
            .clone()
            .flatten()
            .find_map(|(header, value)| if *header == index { value.clone() } else { None });
        // Without an edit, the host does not choose the route again.
        if value.is_some() {
            edits.push(name.clone(), value);
        }
    }
}

/// The token's filter state: its claims and its JOSE header.
pub(crate) fn state_entries(
    metadata: &impl AsRef<Metadata>,
    jwt: &VerifiedJwt<'_>,
    token: &UnverifiedJwt<'_>,
) -> Vec<StateEntry> {
    let metadata = metadata.as_ref();
    let payload = metadata.payload.as_ref().map(|name| {
        let json = match metadata.space_delimited.is_empty() {
            true => token.payload().to_vec(),
            false => normalized(jwt, &metadata.space_delimited),
        };
        (name.clone(), json)
    });
    let header = metadata
        .header
        .as_ref()
        .map(|name| (name.clone(), token.header_json().to_vec()));
    payload
        .into_iter()
        .chain(header)
        .map(|(name, json)| (name, json_on_one_line(json)))
        .collect()
}

/// The longest text in filter state.
const LONGEST_TEXT: usize = 1024;

/// Text of a token for an access log. Characters that end a line, or that are commands for a terminal, become
/// `\u` and four digits. A text beyond the limit is truncated, and ends in an ellipsis.
pub fn text_on_one_line(text: &str) -> Cow<'_, str> {
    let is_long = text.len() > LONGEST_TEXT;
    if !is_long && is_one_line(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(LONGEST_TEXT));
    for character in text.chars() {
        if out.len() >= LONGEST_TEXT {
            out.push('…');
            break;
        }
        push_escaped(&mut out, character);
    }
    Cow::Owned(out)
}

/// The same for JSON, whose meaning does not change: white space between its values becomes a space, and such
/// characters in its strings get JSON's escapes.
fn json_on_one_line(json: Vec<u8>) -> Vec<u8> {
    match std::str::from_utf8(&json) {
        Ok(text) if !is_one_line(text) => {
            let mut out = String::with_capacity(json.len());
            for character in text.chars() {
                match character {
                    // A string of JSON cannot contain one of these.
                    '\t' | '\n' | '\r' => out.push(' '),
                    other => push_escaped(&mut out, other),
                }
            }
            out.into_bytes()
        }
        _ => json,
    }
}

/// Appends the character, as `\u` and four digits if it could end a line.
pub(crate) fn push_escaped(out: &mut String, character: char) {
    if breaks_a_line(character) {
        // All of them have four digits at most.
        let _ = write!(out, "\\u{:04x}", u32::from(character));
    } else {
        out.push(character);
    }
}

/// Whether nothing in the text needs an escape. Printable ASCII, the usual case, is recognized without
/// decoding.
fn is_one_line(text: &str) -> bool {
    let (chunks, rest) = text.as_bytes().as_chunks();
    let mut chunks = chunks.iter();
    (chunks.all(|chunk| is_printable(*chunk)) && rest.iter().all(|byte| matches!(byte, b' '..=b'~')))
        || !text.contains(breaks_a_line)
}

/// Whether all are printable characters of ASCII. The highest bit of a byte is set in the result if it is set
/// in the byte itself, if less than a space is subtracted from, or if the byte is DEL.
fn is_printable(bytes: [u8; 8]) -> bool {
    let of_each = |byte: u8| u64::from_ne_bytes([byte; 8]);
    let all = u64::from_ne_bytes(bytes);
    let without_space = all.wrapping_sub(of_each(b' '));
    let before_del = (all ^ of_each(0x7f)).wrapping_sub(of_each(1));
    (all | without_space | before_del) & of_each(0x80) == 0
}

/// The control characters of ASCII and Unicode, and Unicode's separators of lines and paragraphs.
fn breaks_a_line(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// The claims, with the named strings split at their spaces into lists (RFC 8693 section 4.2).
fn normalized(jwt: &VerifiedJwt<'_>, space_delimited: &[Box<str>]) -> Vec<u8> {
    let mut out = vec![b'{'];
    for (index, (name, value)) in jwt.members().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_json(&mut out, &name);
        out.push(b':');
        match value.as_str() {
            Some(text) if space_delimited.iter().any(|known| **known == *name) => {
                let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
                push_json(&mut out, &words);
            }
            _ => value.compact(&mut out),
        }
    }
    out.push(b'}');
    out
}

/// Appends JSON; strings and lists of them always have one.
fn push_json(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    out.extend(serde_json::to_vec(value).unwrap_or_default());
}

/// The claim as a header's value; `None` if it cannot be one. Nothing is cut or escaped: a header contains
/// the exact value of the token, or is absent.
fn header_value(value: Json<'_>, format: ValueFormat) -> Option<Vec<u8>> {
    let bytes = match (format, value.kind()) {
        (_, Kind::Null) => return None,
        (ValueFormat::Json, _) => compact(value),
        (ValueFormat::Base64, Kind::String) => STANDARD.encode(value.as_str()?.as_bytes()).into_bytes(),
        (ValueFormat::Base64, _) | (ValueFormat::Auto, Kind::Array | Kind::Object) => {
            STANDARD.encode(compact(value)).into_bytes()
        }
        (ValueFormat::Csv, Kind::Array) => comma_separated(value)?,
        (ValueFormat::Csv, Kind::Object) => return None,
        (ValueFormat::Csv, _) => csv_member(value)?.into_owned().into_bytes(),
        (ValueFormat::Auto, _) => scalar_text(value)?.into_owned().into_bytes(),
    };
    // An empty value is omitted, as in jwt_authn.
    (!bytes.is_empty() && is_header_value(&bytes)).then_some(bytes)
}

fn compact(value: Json<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    value.compact(&mut out);
    out
}

/// The scalars of a list, separated by commas; `None` if the upstream would read another list.
fn comma_separated(list: Json<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (index, element) in list.as_array()?.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(csv_member(element)?.as_bytes());
    }
    Some(out)
}

/// A scalar as one member of a list; `None` if the upstream would read another member, several, or none.
/// Upstreams split at commas, and some at semicolons (RFC 9110 section 5.6.6), or read quotation marks as a
/// quoted-string (section 5.6.4). Most drop empty members and the white space around each, in ASCII or not.
fn csv_member(value: Json<'_>) -> Option<Cow<'_, str>> {
    let text = scalar_text(value)?;
    let is_one = !text.is_empty()
        && text.trim().len() == text.len()
        && !text.contains(|letter: char| matches!(letter, ',' | ';' | '"') || letter.is_control());
    is_one.then_some(text)
}

/// RFC 9110 section 5.5: no control characters, and no white space at the ends, which every parser removes: "
/// alice" would arrive as "alice".
fn is_header_value(bytes: &[u8]) -> bool {
    bytes.trim_ascii().len() == bytes.len()
        && !bytes.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &str, format: ValueFormat) -> Option<String> {
        let value = Json::parse(json.as_bytes()).unwrap();
        header_value(value, format).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn scalars_are_written_as_the_token_spells_them() {
        use ValueFormat::{Auto, Base64, Csv, Json};
        for (json, format, expected) in [
            (r#""al\u0069ce""#, Auto, Some("alice")),
            (
                "123456789012345678901234567890",
                Auto,
                Some("123456789012345678901234567890"),
            ),
            ("-1.50e3", Auto, Some("-1.50e3")),
            ("true", Auto, Some("true")),
            ("null", Auto, None),
            (r#"{"a": 1}"#, Auto, Some("eyJhIjoxfQ==")),
            (r#"["a", "b"]"#, Auto, Some("WyJhIiwiYiJd")),
            (r#"["a", 1, true]"#, Csv, Some("a,1,true")),
            ("[]", Csv, None),
            (r#""""#, Auto, None),
            (r#"["a,b"]"#, Csv, None),
            (r#"[["a"]]"#, Csv, None),
            (r#""a b""#, Csv, Some("a b")),
            ("7", Csv, Some("7")),
            // A text is one member, like an element of a list. If an upstream would read it as another list,
            // the header is absent.
            (r#""clerk,admin""#, Csv, None),
            (r#""clerk;admin""#, Csv, None),
            (r#""\"admin\"""#, Csv, None),
            (r#""clerk\tadmin""#, Csv, None),
            (r#""clerk\u0085""#, Csv, None),
            (r#""\u00a0admin""#, Csv, None),
            (r#""admin\u3000""#, Csv, None),
            (r#""""#, Csv, None),
            (r#"[""]"#, Csv, None),
            (r#"["a", "", "b"]"#, Csv, None),
            (r#"["a", null]"#, Csv, None),
            (r#"["a", "b\tc"]"#, Csv, None),
            (r#"["a", "b;c"]"#, Csv, None),
            (r#"["\"a", "b\""]"#, Csv, None),
            (r#"["a", "\u2003b"]"#, Csv, None),
            (r#""clerk,admin""#, Auto, Some("clerk,admin")),
            (r#"{"a": 1}"#, Csv, None),
            (r#"{"a": [1, "\n"]}"#, Json, Some(r#"{"a":[1,"\n"]}"#)),
            (r#""a""#, Json, Some(r#""a""#)),
            (r#""a\nb""#, Base64, Some("YQpi")),
        ] {
            assert_eq!(written(json, format).as_deref(), expected, "{json} {format:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_header_value_is_no_header() {
        for json in [
            r#""a\r\nx-admin: 1""#,
            r#""a\u0000""#,
            r#"" alice""#,
            r#""alice ""#,
            r#""\u007f""#,
            r#""\u001b""#,
        ] {
            assert_eq!(written(json, ValueFormat::Auto), None, "{json}");
        }
        assert_eq!(written(r#""Zoë""#, ValueFormat::Auto).as_deref(), Some("Zoë"));
    }

    #[test]
    fn every_character_is_judged_alike_at_every_place() {
        for length in [1, 7, 8, 9, 16, 17] {
            for place in 0..length {
                for character in (0..=0xff).chain([0x2027, 0x2028, 0x2029, 0x202a]) {
                    let character = char::from_u32(character).unwrap();
                    let mut text = vec!['x'; length];
                    text[place] = character;
                    let text: String = text.into_iter().collect();
                    assert_eq!(is_one_line(&text), !breaks_a_line(character), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn text_of_a_token_stays_on_its_line() {
        for (text, expected) in [
            ("alice", "alice"),
            ("Zoë\\", "Zoë\\"),
            ("a\nb\r\tc\u{0}", "a\\u000ab\\u000d\\u0009c\\u0000"),
            ("\u{7f}\u{85}\u{9b}2J", "\\u007f\\u0085\\u009b2J"),
            ("\u{2028}\u{2029}\u{1b}", "\\u2028\\u2029\\u001b"),
        ] {
            assert_eq!(text_on_one_line(text), expected);
        }
        assert_eq!(text_on_one_line(&"x".repeat(1024)), "x".repeat(1024));
        let long = text_on_one_line(&"\n".repeat(100_000)).into_owned();
        assert!(long.len() < 1100 && long.ends_with('…'), "{}", long.len());
        assert!(text_on_one_line(&"ë".repeat(600)).ends_with("ë…"));
    }

    #[test]
    fn json_of_a_token_stays_on_its_line_and_says_the_same() {
        let json = "{\n\t\"a\" :\r\n\"x\u{7f}\u{85}\u{2028}\u{2029}\\n\\\\\",\n\"é\": [1 ,\n2]}";
        let line = json_on_one_line(json.as_bytes().to_vec());
        let text = std::str::from_utf8(&line).unwrap();
        assert!(!text.contains(breaks_a_line), "{text}");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(text), value(json));
        let plain = br#"{"a":"b\n"}"#.to_vec();
        assert_eq!(json_on_one_line(plain.clone()), plain);
    }
}
