//! `docs/adding-a-scenario.md` shows scenarios as they are.

use crate::markdown::{codes, page, root};

fn source(file: &str) -> String {
    std::fs::read_to_string(root().join("tests/scenarios").join(file)).expect("a source")
}

#[test]
fn the_worked_example_is_a_scenario_that_runs() {
    let page = page("docs/adding-a-scenario.md");
    let blocks: Vec<&str> = page
        .blocks
        .iter()
        .filter(|block| block.info == "rust")
        .map(|block| block.text.as_str())
        .collect();
    let [example, lines] = blocks[..] else {
        panic!("two blocks of Rust, not {}", blocks.len());
    };
    assert_eq!(
        example,
        source("worked_example.rs"),
        "copy tests/scenarios/worked_example.rs"
    );
    let list = source("mod.rs");
    for line in lines.lines() {
        assert!(list.lines().any(|known| known.trim() == line), "{line}");
    }
    let failure = page
        .blocks
        .iter()
        .find(|block| block.info == "text")
        .expect("a failure");
    let place = failure
        .text
        .lines()
        .last()
        .expect("a line")
        .split(':')
        .nth(1)
        .expect("a line's number");
    let line = example
        .lines()
        .nth(place.parse::<usize>().expect("a number") - 1)
        .expect("the line");
    assert!(line.contains("scope_insufficient"), "{line}");
}

#[test]
fn the_vocabulary_is_that_of_the_scenarios() {
    let page = page("docs/adding-a-scenario.md");
    let list = source("mod.rs");
    let table = page.tables_of(&["write", "for"]).next().expect("the vocabulary");
    let words: Vec<_> = table.rows.iter().flat_map(|row| codes(&row[0])).collect();
    assert!(words.len() > 15, "{words:?}");
    for word in words {
        assert!(list.contains(&format!("pub fn {word}(")), "{word}");
    }
}
