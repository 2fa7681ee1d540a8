//! What the upstream learns of a verified token: claims and payload in the headers that the filter owns.
//!
//! Only a [`VerifiedJwt`] makes headers. An owned header that has nothing to say is removed, so that a client's own value
//! never reaches the upstream.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::claims::{VerifiedJwt, scalar_text};
use crate::config::{Config, Provider, ValueFormat};
use crate::edits::HeaderEdits;
use crate::json::{Json, Kind};

/// Sets the owned headers that the token fills, and removes the others.
pub(crate) fn write_claims(
    config: &Config,
    provider: &Provider,
    jwt: &VerifiedJwt<'_>,
    payload: &[u8],
    edits: &mut HeaderEdits,
) {
    for (index, name) in config.owned_headers.iter().enumerate() {
        let value = if provider.forward_payload_header == Some(index) {
            Some(payload.to_vec())
        } else {
            provider
                .claim_to_headers
                .iter()
                .find(|entry| entry.header == index)
                .and_then(|entry| {
                    jwt.claim(&entry.claim)
                        .and_then(|value| header_value(value, entry.format))
                })
        };
        edits.push(name.clone(), value);
    }
}

/// Removes every owned header.
pub(crate) fn remove_claims(config: &Config, edits: &mut HeaderEdits) {
    for name in &config.owned_headers {
        edits.push(name.clone(), None);
    }
}

/// The claim as a header's value; `None` where it cannot be one. Nothing is cut or escaped to make it fit: a header says
/// what the token says, or nothing.
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
        (ValueFormat::Auto | ValueFormat::Csv, _) => scalar_text(value)?.into_owned().into_bytes(),
    };
    is_header_value(&bytes).then_some(bytes)
}

fn compact(value: Json<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    value.compact(&mut out);
    out
}

/// A list's scalars with commas between; `None` where an element would be read as something else: one that is no scalar,
/// or holds a comma itself.
fn comma_separated(list: Json<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (index, element) in list.as_array()?.into_iter().enumerate() {
        let text = scalar_text(element)?;
        if text.contains(',') || text.trim_ascii().len() != text.len() {
            return None;
        }
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(text.as_bytes());
    }
    Some(out)
}

/// RFC 9110 section 5.5: no control characters, and no white space at the ends, which every parser drops: " alice" would
/// arrive as "alice".
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
            ("[]", Csv, Some("")),
            (r#"["a,b"]"#, Csv, None),
            (r#"[["a"]]"#, Csv, None),
            (r#""a b""#, Csv, Some("a b")),
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
}
