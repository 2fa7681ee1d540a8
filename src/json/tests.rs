//! Documents that the strict reader accepts, and documents that it refuses.

use super::*;

fn parse(text: &str) -> Result<Object<'_>, JsonError> {
    Object::parse(text.as_bytes())
}

fn fault(text: &str) -> JsonError {
    parse(text).map(|_| ()).unwrap_err()
}

/// `value` as a member's value, and nested.
fn places(value: &str) -> [String; 2] {
    [format!(r#"{{"a":{value}}}"#), format!(r#"{{"a":[{value}]}}"#)]
}

#[test]
fn members_come_in_order_with_their_values_as_written() {
    let text = r#" { "a" : 1.50 , "\u0062":"x\n" ,"c":[ true , {"d":null} ],"e":{ }, "f":false } "#;
    let object = parse(text).unwrap();
    let members: Vec<_> = object
        .members()
        .map(|(name, value)| (name, value.kind(), value.text()))
        .collect();
    let expected = [
        ("a", Kind::Number, "1.50"),
        ("b", Kind::String, r#""x\n""#),
        ("c", Kind::Array, r#"[ true , {"d":null} ]"#),
        ("e", Kind::Object, "{ }"),
        ("f", Kind::Bool, "false"),
    ];
    assert_eq!(members, expected);
    assert_eq!((object.len(), object.is_empty()), (5, false));
    assert_eq!(object.member("b").unwrap().as_str().unwrap(), "x\n");
    assert!(object.member("g").is_none());
    assert!(parse("{}").unwrap().is_empty());
}

#[test]
fn a_value_is_read_only_as_what_it_is() {
    let text = r#"{"n":null,"b":true,"i":123456789012345678901234567890,"s":"","a":[1,"2"],"o":{"k":[0]}}"#;
    let object = parse(text).unwrap();
    let value = |name| object.member(name).unwrap();
    let read_as = |name| {
        let value = value(name);
        [
            value.as_bool().is_some(),
            value.as_number_text().is_some(),
            value.as_str().is_some(),
            value.as_array().is_some(),
            value.as_object().is_some(),
        ]
    };
    assert_eq!(value("n").kind(), Kind::Null);
    assert_eq!(read_as("n"), [false; 5]);
    assert_eq!(read_as("b"), [true, false, false, false, false]);
    assert_eq!(read_as("i"), [false, true, false, false, false]);
    assert_eq!(read_as("s"), [false, false, true, false, false]);
    assert_eq!(read_as("a"), [false, false, false, true, false]);
    assert_eq!(read_as("o"), [false, false, false, false, true]);
    assert_eq!(
        value("i").as_number_text(),
        Some("123456789012345678901234567890")
    );
    assert_eq!(value("a").as_array().unwrap()[1].as_str().unwrap(), "2");
    assert_eq!(value("o").as_object().unwrap().member("k").unwrap().text(), "[0]");
}

#[test]
fn a_string_is_borrowed_unless_it_is_escaped() {
    let object = parse(r#"{"plain":"é","escaped":"\u00e9\ud83d\ude00\"\\"}"#).unwrap();
    let string = |name| object.member(name).unwrap().as_str().unwrap();
    assert!(matches!(string("plain"), Cow::Borrowed("é")));
    assert!(matches!(string("escaped"), Cow::Owned(_)));
    assert_eq!(string("escaped"), "é\u{1f600}\"\\");
}

#[test]
fn what_is_not_one_object_is_refused() {
    assert_eq!(
        Object::parse(b"{\"a\":\"\xff\"}").unwrap_err(),
        JsonError::NotUtf8
    );
    for text in ["[]", "null", "1", r#""{}""#, "true"] {
        assert_eq!(fault(text), JsonError::NotAnObject, "{text}");
    }
    for text in [
        "",
        " ",
        "{",
        "{}}",
        "{} {}",
        "{,}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        "{a:1}",
        "\u{feff}{}",
    ] {
        assert_eq!(fault(text), JsonError::Syntax, "{text}");
    }
    for value in [
        "01", "+1", ".5", "1.", "1e", "-", "NaN", "Infinity", "0x1", "nul", "tru", "/**/1", "'a'",
    ] {
        for text in places(value) {
            assert_eq!(fault(&text), JsonError::Syntax, "{text}");
        }
    }
}

#[test]
fn a_string_that_is_no_text_is_refused_wherever_it_is() {
    for string in [
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#""\ud800x""#,
        r#""\x""#,
        r#""\u12""#,
        "\"\u{1}\"",
        "\"\n\"",
    ] {
        for text in places(string)
            .into_iter()
            .chain(places(&format!("{{{string}:1}}")))
        {
            assert_eq!(fault(&text), JsonError::Syntax, "{text}");
        }
        assert_eq!(fault(&format!("{{{string}:1}}")), JsonError::Syntax, "{string}");
    }
}

#[test]
fn a_number_beyond_a_double_is_refused_wherever_it_is() {
    for number in ["1e400", "-1E+999", &"9".repeat(400)] {
        for text in places(number) {
            assert_eq!(fault(&text), JsonError::Syntax, "{text}");
        }
    }
    for number in ["1e300", "1e-999", "-0", &"9".repeat(299)] {
        for text in places(number) {
            assert!(parse(&text).is_ok(), "{text}");
        }
    }
}

#[test]
fn a_member_named_twice_is_refused_at_every_depth_and_under_every_spelling() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"b":2,"\u0061":1}"#,
        r#"{"x":{"a":1,"a":2}}"#,
        r#"{"x":[0,[{"y":{"a":1,"\u0061":2}}]]}"#,
    ] {
        assert_eq!(fault(text), JsonError::DuplicateMember, "{text}");
    }
    assert!(parse(r#"{"a":{"a":{"a":1}},"A":[{"a":1},{"a":1}]}"#).is_ok());

    let many: Vec<String> = (0..300).map(|index| format!(r#""m{index}":0"#)).collect();
    let many = many.join(",");
    assert!(parse(&format!("{{{many}}}")).is_ok());
    assert_eq!(
        fault(&format!(r#"{{{many},"m7":0}}"#)),
        JsonError::DuplicateMember
    );
    assert_eq!(
        fault(&format!(r#"{{"x":{{{many},"m7":0}}}}"#)),
        JsonError::DuplicateMember
    );
}

#[test]
fn nesting_is_bounded() {
    let arrays = |depth: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert!(parse(&arrays(MAX_DEPTH - 1)).is_ok());
    assert_eq!(fault(&arrays(MAX_DEPTH)), JsonError::TooDeep);
    assert!(parse(&objects(MAX_DEPTH)).is_ok());
    assert_eq!(fault(&objects(MAX_DEPTH + 1)), JsonError::TooDeep);
    assert_eq!(fault(&arrays(100_000)), JsonError::TooDeep);
    assert_eq!(
        fault(&format!(r#"{{"a":{}"#, "[".repeat(100_000))),
        JsonError::Syntax
    );
}

#[test]
fn compact_drops_white_space_outside_of_strings_only() {
    let text = "{\"a\": [ 1.0 ,\t-2e1,\r\n\" x\\\" \\\\\" , { \"b c\" : null } ] }";
    let mut out = b"> ".to_vec();
    parse(text).unwrap().member("a").unwrap().compact(&mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"> [1.0,-2e1," x\" \\",{"b c":null}]"#
    );
}

#[test]
fn debug_shows_no_contents() {
    let object = parse(r#"{"secret":"secret"}"#).unwrap();
    assert_eq!(format!("{object:?}"), "Object { members: 1, .. }");
    assert_eq!(format!("{:?}", object.member("secret").unwrap()), "Json(String)");
}

#[test]
fn every_fault_reads_as_a_phrase() {
    use JsonError::{DuplicateMember, NotAnObject, NotUtf8, Syntax, TooDeep};
    let texts = [NotUtf8, Syntax, NotAnObject, DuplicateMember, TooDeep].map(|fault| fault.to_string());
    assert!(
        texts.iter().all(|text| !text.is_empty() && !text.ends_with('.')),
        "{texts:?}"
    );
}

#[test]
fn members_are_counted_at_every_depth() {
    let text = br#"{"a":{"b":[{"c":1},{"d":{}}]},"e":2}"#;
    assert!(Object::parse_up_to(5, text).is_ok());
    for most in 0..5 {
        assert_eq!(
            Object::parse_up_to(most, text).unwrap_err(),
            JsonError::TooManyMembers,
            "{most}"
        );
    }
    assert!(Object::outline_up_to(2, text).is_ok());
    assert_eq!(
        Object::outline_up_to(1, text).unwrap_err(),
        JsonError::TooManyMembers
    );
}

#[test]
fn the_elements_of_an_array_come_in_order() {
    let mut seen = Vec::new();
    let value = Json::parse(b"[1, [2] ,\"3\"]").unwrap();
    let all = value.each_element(&mut |element| {
        seen.push(element.text());
        true
    });
    assert!(all);
    assert_eq!(seen, ["1", "[2]", "\"3\""]);
    assert!(
        !Json::parse(b"{}")
            .unwrap()
            .each_element(&mut |_| panic!("no element"))
    );
}
