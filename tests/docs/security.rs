//! The security model names a test for each promise, and each of these tests exists.

use std::path::Path;

use crate::markdown::{page, root};

/// The sources below a folder, as one text.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            text.push_str(&sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).expect("a source that can be read"));
        }
    }
    text
}

/// The texts between each pair of these marks.
fn between(text: &str, mark: char) -> impl Iterator<Item = &str> {
    text.split(mark).skip(1).step_by(2)
}

#[test]
fn every_promise_of_the_security_model_is_held_by_a_test_that_exists() {
    let model = page("docs/security-model.md");
    let written: String = ["src", "tests", "fuzz/src"]
        .iter()
        .map(|folder| sources(&root().join(folder)))
        .collect();
    let mut promises = 0;
    let mut faults = Vec::new();
    let tables = model.tables.iter();
    for row in tables
        .filter(|table| table.columns == ["promise", "held by"])
        .flat_map(|table| &table.rows)
    {
        promises += 1;
        let [promise, held_by] = row.as_slice() else {
            panic!("two columns: {row:?}");
        };
        let functions = between(held_by, '`').map(|name| format!("fn {name}("));
        let scenarios = between(held_by, '"').map(|name| format!("\"{name}\""));
        let tests: Vec<String> = functions.chain(scenarios).collect();
        if tests.is_empty() {
            faults.push(format!("no test is named: {promise}"));
        }
        faults.extend(tests.into_iter().filter(|test| !written.contains(test)));
    }
    assert!(promises >= 30, "only {promises} promises");
    assert!(faults.is_empty(), "{faults:#?}");
}
