//! The figures of `docs/performance.md` must be those of one run of the bench, in `bench/results.json`.

use std::fmt::Write as _;

use serde_json::Value;

use crate::markdown::root;

const HEAD: &str = "| case | no filter | floor | this filter | jwt_authn | ratio | goal |\n\
                    | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n";

/// The requests per second of the first side of a case whose name has this beginning.
fn median(case: &Value, side: &str) -> Option<f64> {
    case["sides"]
        .as_array()?
        .iter()
        .find(|known| known["side"].as_str().is_some_and(|name| name.starts_with(side)))?["median"]
        .as_f64()
}

fn microseconds(per_second: Option<f64>) -> String {
    per_second.map_or_else(|| " ".to_owned(), |rate| format!(" {:.1} µs ", 1e6 / rate))
}

/// The same for the native module, which has no floor.
const HEAD_NATIVE: &str = "| case | no filter | native module | jwt_authn | ratio | goal |\n\
                           | --- | ---: | ---: | ---: | ---: | ---: |\n";

/// The table as the results would have it: a row for each comparison of this side with jwt_authn.
fn table(results: &Value, of: &str) -> String {
    let is_native = of == "native module";
    let mut table = if is_native { HEAD_NATIVE } else { HEAD }.to_owned();
    for case in results["cases"].as_array().expect("cases") {
        for goal in case["goals"].as_array().expect("goals") {
            let goal = goal["goal"].as_str().expect("a goal");
            // A row of the wasm module has no name in front.
            let (whose, goal) = goal.split_once(": ").unwrap_or(("this filter", goal));
            if whose != of {
                continue;
            }
            let Some((ratio, comparison)) = goal.split_once(" × ") else {
                continue;
            };
            let (other, wanted) = comparison.split_once(", goal ").expect("a goal");
            let side = |name: &str| {
                let sides = case["sides"].as_array().expect("sides");
                let exact = sides.iter().find(|side| side["side"] == name);
                exact.and_then(|side| side["median"].as_f64())
            };
            let name = case["case"].as_str().expect("a name");
            let suffix = if other == "jwt_authn" {
                ""
            } else {
                ", jwt_authn with its cache"
            };
            let floor = match is_native {
                true => String::new(),
                false => microseconds(median(case, "calls, ")) + "|",
            };
            writeln!(
                table,
                "| {name}{suffix} |{}|{floor}{}|{}| {ratio} | {wanted} |",
                microseconds(side("no filter")),
                microseconds(side(of)),
                microseconds(side(other)),
            )
            .expect("a string grows");
        }
    }
    table
}

#[test]
fn the_table_of_results_is_that_of_one_run() {
    let read = |name: &str| {
        std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let results = serde_json::from_str(&read("bench/results.json")).expect("JSON");
    let page = read("docs/performance.md");
    let expected = table(&results, "this filter");
    assert!(expected.lines().count() >= 10, "{expected}");
    for expected in [expected, table(&results, "native module")] {
        // A run from before the native module does not mention it, and neither does the page then.
        let is_measured = expected.lines().count() > 2;
        let table = if is_measured { &expected } else { HEAD_NATIVE };
        assert_eq!(
            page.contains(table),
            is_measured,
            "docs/performance.md: the table is not that of bench/results.json, which is:\n{expected}"
        );
    }
}
