//! The modules that each module may use: one list, compared with the sources.

use std::collections::BTreeSet;
use std::path::Path;

use crate::imports::{Crate, Module, circle};

/// Each top-level module with those that it uses. It may use only modules above it here.
const ARROWS: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("ids", &[]),
    ("bytes", &[]),
    ("sort", &[]),
    ("pattern", &["sort"]),
    ("json", &[]),
    ("http", &[]),
    ("seal", &["json"]),
    ("jose", &["json"]),
    ("store", &["jose"]),
    ("edits", &[]),
    ("request", &["bytes", "http", "ids"]),
    ("denial", &["ids", "jose", "json", "time"]),
    ("reply", &["denial", "ids"]),
    ("claims", &["denial", "ids", "jose", "json", "pattern", "time"]),
    ("credential", &["denial", "edits", "http", "ids", "request"]),
    ("keys", &["http", "ids", "jose", "json", "store", "time"]),
    (
        "binding",
        &[
            "claims", "denial", "http", "ids", "jose", "json", "request", "time",
        ],
    ),
    ("forward", &["claims", "edits", "jose", "json"]),
    (
        "policy",
        &[
            "claims", "denial", "http", "ids", "json", "pattern", "reply", "request", "sort",
        ],
    ),
    (
        "provider",
        &["binding", "claims", "forward", "ids", "jose", "keys", "policy"],
    ),
    (
        "settings",
        &[
            "credential",
            "forward",
            "ids",
            "policy",
            "provider",
            "reply",
            "request",
            "seal",
        ],
    ),
    (
        "account",
        &[
            "claims",
            "credential",
            "denial",
            "forward",
            "ids",
            "jose",
            "json",
            "policy",
            "provider",
            "request",
            "settings",
            "time",
        ],
    ),
    ("token_cache", &["bytes", "ids"]),
    (
        "authenticator",
        &[
            "binding",
            "claims",
            "credential",
            "denial",
            "edits",
            "forward",
            "ids",
            "jose",
            "keys",
            "pattern",
            "policy",
            "provider",
            "reply",
            "request",
            "seal",
            "settings",
            "store",
            "time",
            "token_cache",
        ],
    ),
    (
        "metrics",
        &["authenticator", "denial", "ids", "keys", "settings", "time"],
    ),
    (
        "config",
        &[
            "binding",
            "claims",
            "credential",
            "forward",
            "http",
            "ids",
            "jose",
            "json",
            "keys",
            "pattern",
            "policy",
            "provider",
            "reply",
            "request",
            "seal",
            "settings",
            "time",
        ],
    ),
    (
        "host",
        &[
            "account",
            "authenticator",
            "config",
            "denial",
            "forward",
            "http",
            "ids",
            "jose",
            "json",
            "keys",
            "metrics",
            "policy",
            "reply",
            "request",
            "seal",
            "settings",
            "store",
            "time",
        ],
    ),
    // The module's entry, in the root of the crate.
    ("", &["host"]),
];

fn arrows() -> BTreeSet<(Module, Module)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let arrows = Crate::read(&root).arrows();
    assert!(arrows.len() > 200, "only {} arrows were found", arrows.len());
    arrows
}

/// The top-level module of a file; the crate's root has none.
fn top(module: &Module) -> &str {
    module.first().map_or("", String::as_str)
}

#[test]
fn each_module_uses_the_modules_of_the_list() {
    let arrows = arrows();
    let mut found: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (from, to) in &arrows {
        if top(from) != top(to) {
            found.insert((top(from), top(to)));
        }
    }
    let listed: BTreeSet<(&str, &str)> = ARROWS
        .iter()
        .flat_map(|(from, all)| all.iter().map(|to| (*from, *to)))
        .collect();
    let files = |(from, to): &(&str, &str)| {
        let of_both = arrows
            .iter()
            .filter(|(one, other)| top(one) == *from && top(other) == *to);
        let names: Vec<String> = of_both
            .map(|(one, other)| format!("{} uses {}", one.join("::"), other.join("::")))
            .collect();
        names.join(", ")
    };
    let unlisted: Vec<String> = found.difference(&listed).map(files).collect();
    assert!(unlisted.is_empty(), "not in the list: {unlisted:#?}");
    let unused: Vec<_> = listed.difference(&found).collect();
    assert!(unused.is_empty(), "in the list, but in no file: {unused:?}");
}

#[test]
fn a_module_uses_only_modules_above_it_in_the_list() {
    let place = |name: &str| ARROWS.iter().position(|(known, _)| *known == name);
    for (from, all) in ARROWS {
        for to in *all {
            assert!(
                place(to) < place(from) && place(to).is_some(),
                "{from} is above {to}"
            );
        }
    }
}

#[test]
fn nothing_but_the_host_uses_the_configuration_s_text() {
    let users: Vec<&str> = ARROWS
        .iter()
        .filter(|(_, all)| all.contains(&"config"))
        .map(|(from, _)| *from)
        .collect();
    assert_eq!(users, ["host"]);
    // No arrow shows this short form, which tests use.
    let found = crate::offenders(|path, text| {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        !path.starts_with("src/config") && code.contains("Config::parse(")
    });
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_files_of_a_module_use_each_other_in_no_circle() {
    let arrows = arrows();
    let mut circles = Vec::new();
    for (module, _) in ARROWS {
        let within: BTreeSet<(Module, Module)> = arrows
            .iter()
            .filter(|(from, to)| top(from) == *module && top(to) == *module)
            .cloned()
            .collect();
        circles.extend(circle(&within).map(|files| (*module, files)));
    }
    assert!(circles.is_empty(), "{circles:?}");
}

/// The arrows between the files of another crate of this repository. Fails if they form a circle.
fn arrows_without_circle(root: &str) -> BTreeSet<(Module, Module)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let arrows = Crate::read(&root).arrows();
    assert!(arrows.len() > 20, "only {} arrows were found", arrows.len());
    let found = circle(&arrows);
    assert!(found.is_none(), "{}: {found:?}", root.display());
    arrows
}

/// The arrows between modules, by the name of the module to which a file belongs.
fn between(
    arrows: &BTreeSet<(Module, Module)>,
    name: impl Fn(&Module) -> String,
) -> BTreeSet<(String, String)> {
    arrows
        .iter()
        .map(|(from, to)| (name(from), name(to)))
        .filter(|(from, to)| from != to)
        .collect()
}

#[test]
fn the_files_and_the_modules_of_the_tool_use_each_other_in_no_circle() {
    let arrows = arrows_without_circle("jwtctl/src/lib.rs");
    let found = circle(&between(&arrows, |file| top(file).to_owned()));
    assert!(found.is_none(), "{found:?}");
}

#[test]
fn the_files_and_the_modules_of_the_native_module_use_each_other_in_no_circle() {
    let arrows = arrows_without_circle("native/src/lib.rs");
    // The functions that Envoy calls are the top of the crate, and the functions that call Envoy its bottom.
    // They share a folder, because only that folder has unsafe code.
    let found = circle(&between(&arrows, |file| match file.get(..2) {
        Some([binding, exports]) if binding == "binding" && exports == "exports" => exports.clone(),
        _ => top(file).to_owned(),
    }));
    assert!(found.is_none(), "{found:?}");
}

#[test]
fn the_files_of_the_benchmark_use_each_other_in_no_circle() {
    arrows_without_circle("testkit/src/bin/bench/main.rs");
}

#[test]
fn the_page_for_contributors_lists_the_modules_in_this_order() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/design.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let (_, table) = page
        .split_once("| module | owns | must not know |")
        .expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let listed: Vec<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    let place = |name: &str| listed.iter().position(|known| *known == name);
    for (from, all) in ARROWS.iter().filter(|(from, _)| !from.is_empty()) {
        assert!(place(from).is_some(), "the table has no row for {from}");
        for to in *all {
            assert!(
                place(from) < place(to),
                "{from} uses {to}, which is above it in the table"
            );
        }
    }
    assert_eq!(listed.len() + 1, ARROWS.len());
    assert_eq!(
        rows_of("src/lib.rs"),
        listed,
        "the map of the crate has the same order"
    );
}

/// The modules in the table at the beginning of a crate.
fn rows_of(root: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(root)).expect("a crate");
    let rows = text
        .lines()
        .filter(|line| line.starts_with("//! | ") && line.contains('`'));
    rows.filter_map(|row| Some(row.split('`').nth(1)?.to_owned()))
        .collect()
}

#[test]
fn the_map_of_the_native_module_has_each_of_its_modules() {
    let root = "native/src/lib.rs";
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(root)).expect("a crate");
    let mut modules: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let mut listed = rows_of(root);
    modules.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, modules);
}

/// The page for contributors, from one heading to the next.
fn section(heading: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/design.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let (_, rest) = page
        .split_once(&format!("\n## {heading}\n"))
        .expect("the heading");
    rest.split("\n## ").next().unwrap_or_default().to_owned()
}

#[test]
fn each_call_on_the_way_of_a_request_leads_to_the_next() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let section = section("The way of a request, and of a fetch");
    let mut lengths = Vec::new();
    for table in section.split("| --- | --- | --- |\n").skip(1) {
        let calls: Vec<(&str, String)> = table
            .lines()
            .take_while(|line| line.starts_with('|'))
            .map(|row| {
                let names: Vec<&str> = row.split('`').collect();
                let text = std::fs::read_to_string(root.join(names[3])).expect(names[3]);
                (
                    names[1],
                    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        for (name, text) in &calls {
            let is_there = [format!("fn {name}("), format!("fn {name}<")]
                .iter()
                .any(|start| text.contains(start));
            assert!(is_there, "no function {name} in its file");
        }
        for pair in calls.windows(2) {
            let [(from, text), (to, _)] = pair else { continue };
            let calls_it = [format!(".{to}("), format!("::{to}(")]
                .iter()
                .any(|call| text.contains(call));
            assert!(calls_it, "{from} does not lead to {to}");
        }
        lengths.push(calls.len());
    }
    assert_eq!(
        lengths,
        [9, 4, 5],
        "the page says how deep the signature check is"
    );
}

#[test]
fn the_types_of_the_glossary_exist() {
    let mut code = String::new();
    for path in crate::sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        code.push_str(&std::fs::read_to_string(path).expect("a source"));
    }
    let words: BTreeSet<&str> = code
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .collect();
    let section = section("Glossary: one word, one meaning");
    let mut checked = 0;
    for row in section.lines().filter(|line| line.starts_with("| ")) {
        // The names between the marks of code: types, their variants, functions, modules.
        for name in row.split('`').skip(1).step_by(2) {
            assert!(
                words.contains(name),
                "the glossary has {name}, and the code does not"
            );
            checked += 1;
        }
    }
    assert!(checked > 25, "only {checked} names were checked");
}
