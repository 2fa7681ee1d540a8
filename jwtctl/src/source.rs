//! YAML and JSON as trees whose every value knows its place in the user's file.
//!
//! Scalars are resolved as in Envoy and Kubernetes (`yes` is a boolean), members keep their order, and a
//! duplicate member stays in the tree: the reader of the tree reports it.

mod read;
mod tree;
mod within;

pub(crate) use read::parse;
pub(crate) use tree::{Key, Node, Place, SyntaxError, Value, line_and_column, snake_case};
pub(crate) use within::parse_within;

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        parse(text)
            .unwrap()
            .iter()
            .map(Node::to_json)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn scalars_are_what_envoy_takes_them_for() {
        assert_eq!(
            json(
                "{a: yes, b: 'yes', c: 0x10, d: 1e3, e: ~, f: 007, g: 1.50, h: 10s, i: !!str 7, j: 1.2.3, k: -0.5}"
            ),
            r#"{"a":true,"b":"yes","c":16,"d":1e3,"e":null,"f":7,"g":1.50,"h":"10s","i":"7","j":"1.2.3","k":-0.5}"#
        );
        assert_eq!(
            json("{\n\t\"a\": [1, {\"b\": \"\\u00e9\\n\"}]\n}"),
            "{\"a\":[1,{\"b\":\"é\\n\"}]}"
        );
        assert_eq!(
            json("a: 1\n---\n---\nb: &x {c: 1}\nd: *x\n...\n"),
            r#"{"a":1} {"b":{"c":1},"d":{"c":1}}"#
        );
        assert_eq!(
            json("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}"),
            r#"{"a":{"b":1,"c":2},"d":{"b":3,"c":2}}"#
        );
    }

    #[test]
    fn places_are_bytes_of_the_file() {
        let text = "é: x\nlist:\n- a\n- {b: é, c: 12}\n";
        let document = &parse(text).unwrap()[0];
        let element = &document.get("list").unwrap().elements()[1];
        assert_eq!(&text[element.get("c").unwrap().place.clone()], "12");
        assert_eq!(&text[element.key_place("c").unwrap()], "c");
        assert_eq!(
            line_and_column(text, element.get("b").unwrap().place.start),
            (4, 7)
        );
    }

    #[test]
    fn a_block_inside_a_file_has_the_files_places() {
        let text = "outer:\n  value: |\n    a: 1\n\n    b:\n      c: [x, y]\n";
        let outer = &parse(text).unwrap()[0];
        let inner = &parse_within(text, outer.at(&["outer", "value"]).unwrap()).unwrap()[0];
        let found = &inner.at(&["b", "c"]).unwrap().elements()[1];
        assert_eq!(line_and_column(text, found.place.start), (6, 14));
        let text = "v: '{\"a\": {\"b\": 7}}'\n";
        let outer = &parse(text).unwrap()[0];
        let inner = &parse_within(text, outer.get("v").unwrap()).unwrap()[0];
        assert_eq!(&text[inner.at(&["a", "b"]).unwrap().place.clone()], "7");
    }

    #[test]
    fn a_text_has_the_files_places_in_every_style() {
        let styles = [
            "v: \"{\\\"a\\\": {\\\"\\u00fc\\\\n\\\":\\n 1, \\\"b\\\": 7}}\"\n",
            "v: \"{\\\"a\\\":\n    {\\\"x\\\": 1, \\\n    \\\"b\\\": 7}}\"\n",
            "v: '{\"a\": {\"it''s\": 1,\n\n    \"b\": 7}}'\n",
            "v: >-\n  {\"a\": {\"x\": 1,\n  \"b\": 7}}\n",
            "v: > # folded\r\n  a:\r\n    x: 1\r\n    b: 7\r\n",
            "v: |\r\n  a:\r\n    x: \u{fc}\r\n    b: 7\r\n",
        ];
        for text in styles {
            let outer = &parse(text).unwrap()[0];
            let inner = &parse_within(text, outer.get("v").unwrap()).unwrap()[0];
            let place = inner.at(&["a", "b"]).unwrap().place.clone();
            assert_eq!(&text[place], "7", "{text}");
            assert!(
                inner.members()[0].0.place.contains(&text.find('a').unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn aliases_cannot_take_all_memory() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let list = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        assert!(parse(&text).unwrap_err().message.contains("too many"));
        assert!(parse(&"[".repeat(5000)).is_err());
    }
}
