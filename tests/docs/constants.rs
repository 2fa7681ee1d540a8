//! Compares the numbers on the pages with the constants in the code.

use crate::markdown::{codes, pages, root};

/// Numbers as a page writes them, durations in milliseconds.
fn documented(cell: &str) -> Vec<u64> {
    cell.split(", ")
        .map(|part| {
            let (number, unit) = part.split_once(' ').unwrap_or((part, ""));
            let number: u64 = number.parse().unwrap_or_else(|_| panic!("{part:?} is no number"));
            number
                * match unit {
                    "" => 1,
                    "ms" => 1,
                    "s" => 1000,
                    "min" => 60_000,
                    "h" => 3_600_000,
                    _ => panic!("the unit {unit:?}"),
                }
        })
        .collect()
}

/// A product of numbers.
fn product(text: &str) -> Option<u64> {
    text.split('*')
        .map(|factor| {
            factor
                .trim()
                .trim_matches('"')
                .replace('_', "")
                .parse::<u64>()
                .ok()
        })
        .product()
}

/// The numbers of a constant, durations in milliseconds.
fn defined(source: &str, name: &str) -> Option<Vec<u64>> {
    let (_, rest) = source.split_once(&format!("const {name}: "))?;
    let (_, value) = rest.split(';').next()?.split_once('=')?;
    let mut found = Vec::new();
    for part in value.split("Duration::").skip(1) {
        let (function, rest) = part.split_once('(')?;
        let number = product(rest.split(')').next()?)?;
        found.push(match function {
            "from_secs" => number * 1000,
            "from_millis" => number,
            _ => return None,
        });
    }
    if found.is_empty() {
        found.push(product(value)?);
    }
    Some(found)
}

#[test]
fn constants_are_read() {
    let source = "const A: Duration = Duration::from_secs(24 * 3600);\nconst B: T = T {\n a: Duration::from_millis(200),\n \
                  b: Duration::from_secs(5),\n};\npub const C: usize = 10_000;\nconst D: &str = \"5\";";
    assert_eq!(defined(source, "A"), Some(vec![86_400_000]));
    assert_eq!(defined(source, "B"), Some(vec![200, 5000]));
    assert_eq!(defined(source, "C"), Some(vec![10_000]));
    assert_eq!(defined(source, "D"), Some(vec![5]));
    assert_eq!(defined(source, "E"), None);
    assert_eq!(documented("60 s, 24 h, 7"), [60_000, 86_400_000, 7]);
}

#[test]
fn every_documented_constant_is_that_of_the_code() {
    let mut checked = 0;
    for page in pages() {
        for table in page.tables_of(&["what", "value", "in the code"]) {
            for row in &table.rows {
                let place = codes(&row[2]);
                let (file, names) = place.split_first().expect("a file");
                let source = std::fs::read_to_string(root().join("src").join(file))
                    .unwrap_or_else(|error| panic!("src/{file}: {error}"));
                let values: Vec<u64> = names
                    .iter()
                    .flat_map(|name| {
                        defined(&source, name).unwrap_or_else(|| panic!("src/{file} has no constant {name}"))
                    })
                    .collect();
                assert_eq!(documented(&row[1]), values, "{}: {}", page.name.display(), row[0]);
                checked += names.len();
            }
        }
    }
    assert!(checked >= 15, "only {checked} constants");
}
