//! A configuration in the form in which Envoy passes it to a module: the bytes of a `google.protobuf.Struct`.

use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::{Map, Value};

/// An object as that message, in which numbers are doubles. Panics if the value is not an object.
pub fn struct_message(value: &Value) -> Vec<u8> {
    match value {
        Value::Object(members) => object(members).encode_to_vec(),
        other => panic!("a configuration is an object, not {other}"),
    }
}

fn object(members: &Map<String, Value>) -> Struct {
    Struct {
        fields: members
            .iter()
            .map(|(name, value)| (name.clone(), message(value)))
            .collect(),
    }
}

fn message(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().expect("a number fits a double")),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(values) => Kind::ListValue(ListValue {
            values: values.iter().map(message).collect(),
        }),
        Value::Object(members) => Kind::StructValue(object(members)),
    };
    prost_types::Value { kind: Some(kind) }
}
