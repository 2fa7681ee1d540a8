//! A `google.protobuf.Struct` in its binary form, which is how Envoy hands one over.
//!
//! Envoy's documentation speaks of JSON; Envoy 1.40 passes the bytes of the message. Both are read.

use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

/// The message as JSON text, its members in the order of their names; `None` where the bytes are no such message, or hold a number that JSON has not.
pub(super) fn to_json(bytes: &[u8]) -> Option<Vec<u8>> {
    let message = Struct::decode(bytes).ok()?;
    serde_json::to_vec(&object(message)?).ok()
}

fn object(message: Struct) -> Option<serde_json::Value> {
    message
        .fields
        .into_iter()
        .map(|(name, value)| Some((name, json(value)?)))
        .collect()
}

fn json(value: Value) -> Option<serde_json::Value> {
    Some(match value.kind {
        // The JSON mapping writes a value without a kind as null.
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::NumberValue(number)) => serde_json::Number::from_f64(number)?.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::BoolValue(flag)) => flag.into(),
        Some(Kind::StructValue(message)) => object(message)?,
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json).collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind) -> Value {
        Value { kind: Some(kind) }
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let inner = Struct {
            fields: [("n".to_owned(), value(Kind::NumberValue(600.0)))].into(),
        };
        let list = prost_types::ListValue {
            values: vec![
                value(Kind::BoolValue(true)),
                value(Kind::NullValue(0)),
                value(Kind::NumberValue(0.8)),
            ],
        };
        let message = Struct {
            fields: [
                ("list".to_owned(), value(Kind::ListValue(list))),
                ("object".to_owned(), value(Kind::StructValue(inner))),
                ("text".to_owned(), value(Kind::StringValue("a\"b".to_owned()))),
            ]
            .into(),
        };
        let json = to_json(&message.encode_to_vec()).unwrap();
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"list":[true,null,0.8],"object":{"n":600.0},"text":"a\"b"}"#
        );
    }

    #[test]
    fn members_are_read_in_one_order_whatever_the_message_has() {
        let one = |name: &str| {
            let fields = [(name.to_owned(), value(Kind::BoolValue(true)))].into();
            Struct { fields }.encode_to_vec()
        };
        let (ab, ba) = ([one("a"), one("b")].concat(), [one("b"), one("a")].concat());
        assert_ne!(ab, ba);
        assert_eq!(to_json(&ab), to_json(&ba));
        assert_eq!(to_json(&ab).unwrap(), br#"{"a":true,"b":true}"#);
    }

    #[test]
    fn other_bytes_are_no_message() {
        assert_eq!(to_json(b"{\"providers\":{}}"), None);
        assert_eq!(to_json(b"\x0a\xff"), None);
        let nan = Struct {
            fields: [("n".to_owned(), value(Kind::NumberValue(f64::NAN)))].into(),
        };
        assert_eq!(to_json(&nan.encode_to_vec()), None);
    }
}
