//! JSON as a serialized `google.protobuf.Struct`, the type of dynamic metadata.
//!
//! `message Struct { map<string, Value> fields = 1; }`, `message Value { oneof kind { NullValue null_value =
//! 1; double number_value = 2; string string_value = 3; bool bool_value = 4; Struct struct_value = 5;
//! ListValue list_value = 6; } }`, `message ListValue { repeated Value values = 1; }`.

use proxy_wasm_jwt::json::{Json, Kind};

/// A struct with one member. `None` if the bytes are not JSON.
pub(crate) fn member(name: &str, json: &[u8]) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(json.len().saturating_mul(2));
    write_entry(&mut message, name, Json::parse(json).ok()?);
    Some(message)
}

/// A struct with one member, which is a struct with a number and a text: jwt_authn's metadata for a failure.
pub(crate) fn status(name: &str, code: i32, message: &str) -> Vec<u8> {
    let mut inner = Vec::new();
    let mut value = Vec::new();
    write_number(&mut value, f64::from(code));
    entry(&mut inner, "code", &value);
    value.clear();
    field(&mut value, 3, message.as_bytes());
    entry(&mut inner, "message", &value);
    value.clear();
    field(&mut value, 5, &inner);
    let mut outer = Vec::new();
    entry(&mut outer, name, &value);
    outer
}

fn write_entry(to: &mut Vec<u8>, name: &str, value: Json<'_>) {
    let mut message = Vec::new();
    write_value(&mut message, value);
    entry(to, name, &message);
}

/// An entry of a map is a message: `{ string key = 1; Value value = 2; }`, under the map's number.
fn entry(to: &mut Vec<u8>, name: &str, value: &[u8]) {
    let mut message = Vec::with_capacity(value.len().saturating_add(name.len()).saturating_add(12));
    field(&mut message, 1, name.as_bytes());
    field(&mut message, 2, value);
    field(to, 1, &message);
}

fn write_value(to: &mut Vec<u8>, value: Json<'_>) {
    match value.kind() {
        Kind::Null => to.extend([1 << 3, 0]),
        Kind::Bool => to.extend([4 << 3, u8::from(value.as_bool() == Some(true))]),
        Kind::Number => {
            let number = value.as_number_text().and_then(|text| text.parse().ok());
            write_number(to, number.unwrap_or_default());
        }
        Kind::String => field(to, 3, value.as_str().unwrap_or_default().as_bytes()),
        Kind::Object => {
            let mut message = Vec::new();
            if let Some(object) = value.as_object() {
                for (name, value) in object.members() {
                    write_entry(&mut message, name, value);
                }
            }
            field(to, 5, &message);
        }
        Kind::Array => {
            let mut message = Vec::new();
            for element in value.as_array().unwrap_or_default() {
                let mut value = Vec::new();
                write_value(&mut value, element);
                field(&mut message, 1, &value);
            }
            field(to, 6, &message);
        }
    }
}

fn write_number(to: &mut Vec<u8>, number: f64) {
    to.push(2 << 3 | 1);
    to.extend(number.to_le_bytes());
}

/// A field of bytes: its number and type, the length as a varint, the bytes.
fn field(to: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    to.push(number << 3 | 2);
    let mut length = bytes.len();
    while length > 0x7f {
        to.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    to.push(u8::try_from(length).unwrap_or_default());
    to.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_wasm_jwt::config;

    /// The core reads such messages back as JSON, its members in the order of their names.
    fn read_back(message: &[u8]) -> String {
        String::from_utf8(config::canonical(message)).expect("text")
    }

    #[test]
    fn what_is_written_is_what_the_core_reads() {
        let long = "x".repeat(40_000);
        for json in [
            "{}",
            "[]",
            "null",
            "true",
            "false",
            "1.5",
            "-3.0",
            r#""text""#,
            r#"{"a":{"b":[1.0,"2",[null,{}]]},"c":false}"#,
            &format!(r#""{long}""#),
        ] {
            let message = member("name", json.as_bytes()).expect("JSON");
            assert_eq!(read_back(&message), format!(r#"{{"name":{json}}}"#), "{json}");
        }
        assert_eq!(member("name", b"{"), None);
        // The core refuses numbers beyond the range of a double.
        assert_eq!(member("name", b"1e999"), None);
        assert_eq!(
            read_back(&status("jwt", 16, "token_expired")),
            r#"{"jwt":{"code":16.0,"message":"token_expired"}}"#
        );
    }
}
