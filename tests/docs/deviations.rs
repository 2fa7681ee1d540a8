//! The README's table of deviations, which the differential test writes into a page of its own.

const FIRST_LINE: &str = "| | here | jwt_authn | why |";

/// The lines of the table that begins so.
fn table(page: &str) -> Vec<String> {
    let path = testkit::workspace_root().join(page);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
    text.lines()
        .skip_while(|line| *line != FIRST_LINE)
        .take_while(|line| line.starts_with('|'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_readme_has_every_deviation() {
    let written = table("docs/deviations.md");
    assert!(written.len() > 20, "only {} lines", written.len());
    assert_eq!(
        table("README.md"),
        written,
        "copy the table of docs/deviations.md"
    );
}
