//! A binary `google.protobuf.Struct`, the form in which Envoy passes one.
//!
//! Envoy's documentation describes JSON, but Envoy 1.40 passes the bytes of the message. The filter reads
//! both. It writes the three messages as text while it reads them: a library that builds a tree first would
//! add 8 KB to the module.

/// The deepest nesting of objects and lists. It is far more than JSON may have here: the operator gets JSON's
/// own message.
const MAX_DEPTH: usize = 100;

/// The message as JSON text, its members sorted by name; `None` if the bytes are not such a message, or
/// contain a number that JSON does not have.
pub(super) fn to_json(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut json = Vec::with_capacity(bytes.len());
    write_struct(bytes, MAX_DEPTH, &mut json)?;
    Some(json)
}

/// `Struct { map<string, Value> fields = 1; }`. If a name is repeated, the last value counts.
fn write_struct(mut message: &[u8], depth: usize, json: &mut Vec<u8>) -> Option<()> {
    let mut members: Vec<(&str, &[u8])> = Vec::new();
    while !message.is_empty() {
        let (name, value) = match take_field(&mut message)? {
            (1, Wire::Bytes(entry)) => read_entry(entry)?,
            (1, _) => return None,
            _ => continue,
        };
        match members.binary_search_by_key(&name, |(name, _)| name) {
            Ok(place) => members.get_mut(place)?.1 = value,
            Err(place) => members.insert(place, (name, value)),
        }
    }
    json.push(b'{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        serde_json::to_writer(&mut *json, name).ok()?;
        json.push(b':');
        write_value(value, depth, json)?;
    }
    json.push(b'}');
    Some(())
}

/// An entry of a map is a message too: `{ string key = 1; Value value = 2; }`.
fn read_entry(mut message: &[u8]) -> Option<(&str, &[u8])> {
    let (mut name, mut value): (&str, &[u8]) = ("", &[]);
    while !message.is_empty() {
        match take_field(&mut message)? {
            (1, Wire::Bytes(text)) => name = std::str::from_utf8(text).ok()?,
            (2, Wire::Bytes(message)) => value = message,
            (1 | 2, _) => return None,
            _ => {}
        }
    }
    Some((name, value))
}

/// `Value`, of which the last field counts.
fn write_value(mut message: &[u8], depth: usize, json: &mut Vec<u8>) -> Option<()> {
    let mut kind = None;
    while !message.is_empty() {
        let field = take_field(&mut message)?;
        if (1..=6).contains(&field.0) {
            kind = Some(field);
        }
    }
    match kind {
        // protobuf's JSON mapping writes a value without a kind as null.
        None | Some((1, Wire::Varint(_))) => json.extend(b"null"),
        Some((2, Wire::Double(number))) if number.is_finite() => serde_json::to_writer(json, &number).ok()?,
        Some((3, Wire::Bytes(text))) => serde_json::to_writer(json, std::str::from_utf8(text).ok()?).ok()?,
        Some((4, Wire::Varint(0))) => json.extend(b"false"),
        Some((4, Wire::Varint(_))) => json.extend(b"true"),
        Some((5, Wire::Bytes(message))) => write_struct(message, depth.checked_sub(1)?, json)?,
        Some((6, Wire::Bytes(message))) => write_list(message, depth.checked_sub(1)?, json)?,
        Some(_) => return None,
    }
    Some(())
}

/// `ListValue { repeated Value values = 1; }`.
fn write_list(mut message: &[u8], depth: usize, json: &mut Vec<u8>) -> Option<()> {
    json.push(b'[');
    let mut is_first = true;
    while !message.is_empty() {
        let value = match take_field(&mut message)? {
            (1, Wire::Bytes(value)) => value,
            (1, _) => return None,
            _ => continue,
        };
        if !std::mem::take(&mut is_first) {
            json.push(b',');
        }
        write_value(value, depth, json)?;
    }
    json.push(b']');
    Some(())
}

/// The encoded value of a field. These messages have no other encodings, and no other fields.
enum Wire<'m> {
    Varint(u64),
    Double(f64),
    Bytes(&'m [u8]),
}

/// Splits off the next field of a message, with its number.
fn take_field<'m>(message: &mut &'m [u8]) -> Option<(u64, Wire<'m>)> {
    let tag = varint(message)?;
    let value = match tag & 7 {
        0 => Wire::Varint(varint(message)?),
        1 => {
            let (double, rest) = message.split_first_chunk()?;
            *message = rest;
            Wire::Double(f64::from_le_bytes(*double))
        }
        2 => {
            let length = usize::try_from(varint(message)?).ok()?;
            let (bytes, rest) = message.split_at_checked(length)?;
            *message = rest;
            Wire::Bytes(bytes)
        }
        _ => return None,
    };
    Some((tag >> 3, value))
}

/// Seven bits in a byte, the least significant first. All bytes but the last have the highest bit set.
fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f).wrapping_shl(shift);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::value::Kind;
    use prost_types::{Struct, Value};

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
    fn unknown_fields_are_skipped() {
        let message = b"\x10\x01\x0a\x0b\x0a\x01a\x12\x04\x20\x01\x38\x00\x18\x00";
        assert_eq!(to_json(message).unwrap(), br#"{"a":true}"#);
    }

    #[test]
    fn the_last_of_two_values_counts() {
        let one = |flag| {
            let fields = [("a".to_owned(), value(Kind::BoolValue(flag)))].into();
            Struct { fields }.encode_to_vec()
        };
        let twice = [one(true), one(false)].concat();
        assert_eq!(to_json(&twice).unwrap(), br#"{"a":false}"#);
        assert_eq!(
            to_json(b"\x0a\x09\x0a\x01a\x12\x04\x08\x00\x20\x01").unwrap(),
            br#"{"a":true}"#
        );
    }

    #[test]
    fn a_message_that_is_cut_off_or_nests_without_end_is_none() {
        let mut nested = value(Kind::StringValue("text".to_owned()));
        for _ in 0..3 {
            let values = vec![nested, value(Kind::NumberValue(-1.5e300))];
            nested = value(Kind::ListValue(prost_types::ListValue { values }));
        }
        let message = |value| Struct {
            fields: [("a".to_owned(), value)].into(),
        };
        let bytes = message(nested.clone()).encode_to_vec();
        assert!(to_json(&bytes).is_some());
        for length in 1..bytes.len() {
            assert_eq!(to_json(bytes.get(..length).unwrap()), None, "{length}");
        }
        for _ in 0..200 {
            nested = value(Kind::StructValue(message(nested)));
        }
        assert_eq!(to_json(&message(nested).encode_to_vec()), None);
    }

    #[test]
    fn other_bytes_are_no_message() {
        assert_eq!(to_json(b"{\"providers\":{}}"), None);
        assert_eq!(to_json(b"\x0a\xff"), None);
        // Other encodings, an unterminated varint, and bytes that are not text.
        for value in [
            "\x0a\x04\x12\x02\x18\x01",
            "\x08\x01",
            "\x0a\x02\x08\x01",
            "\x0b\x0c",
        ] {
            assert_eq!(to_json(value.as_bytes()), None, "{value:?}");
        }
        assert_eq!(to_json(&[0xff; 12]), None);
        assert_eq!(to_json(b"\x0a\x05\x0a\x01\xff\x12\x00"), None);
        let nan = Struct {
            fields: [("n".to_owned(), value(Kind::NumberValue(f64::NAN)))].into(),
        };
        assert_eq!(to_json(&nan.encode_to_vec()), None);
    }
}
