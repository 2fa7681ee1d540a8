//! A `google.protobuf.Struct` in its binary form, which is how Envoy hands one over.
//!
//! Envoy's documentation speaks of JSON; Envoy 1.40 passes the bytes of the message. Both are read.

use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use serde::ser::{Error as _, Serialize, Serializer};

/// The message as JSON text, its members in the order of their names; `None` where the bytes are no such message, or hold a number that JSON has not.
pub(super) fn to_json(bytes: &[u8]) -> Option<Vec<u8>> {
    let message = Struct::decode(bytes).ok()?;
    serde_json::to_vec(&Members(&message)).ok()
}

/// An object, as protobuf's JSON mapping writes it.
struct Members<'m>(&'m Struct);

/// A value, likewise.
struct Json<'m>(&'m Value);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.fields.iter().map(|(name, value)| (name, Json(value))))
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.kind {
            // The mapping writes a value without a kind as null.
            None | Some(Kind::NullValue(_)) => serializer.serialize_unit(),
            Some(Kind::NumberValue(number)) if !number.is_finite() => {
                Err(S::Error::custom("no number of JSON"))
            }
            Some(Kind::NumberValue(number)) => serializer.serialize_f64(*number),
            Some(Kind::StringValue(text)) => serializer.serialize_str(text),
            Some(Kind::BoolValue(flag)) => serializer.serialize_bool(*flag),
            Some(Kind::StructValue(message)) => Members(message).serialize(serializer),
            Some(Kind::ListValue(list)) => serializer.collect_seq(list.values.iter().map(Json)),
        }
    }
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
