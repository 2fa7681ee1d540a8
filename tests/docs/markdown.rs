//! Reads the part of Markdown that the pages use: headings, fenced blocks, tables.

use std::path::{Path, PathBuf};

/// A page, read.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its path from the root of the repository.
    pub(crate) name: PathBuf,
    pub(crate) headings: Vec<String>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) tables: Vec<Table>,
    /// Everything outside of fenced blocks.
    pub(crate) prose: String,
    /// The same line by line, with the number of each.
    pub(crate) prose_lines: Vec<(usize, String)>,
}

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) line: usize,
    /// The info string of the opening fence: the language, then words for these tests.
    pub(crate) info: String,
    pub(crate) text: String,
    /// The reason in a comment `<!-- not run: reason -->` right before the block.
    pub(crate) not_run: Option<String>,
}

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    /// The heading that it is under.
    pub(crate) heading: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README and everything in `docs/`.
pub(crate) fn pages() -> Vec<Page> {
    let mut names = vec![PathBuf::from("README.md")];
    for entry in std::fs::read_dir(root().join("docs")).expect("docs/") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "md") {
            names.push(path.strip_prefix(root()).expect("below the root").to_owned());
        }
    }
    names.sort();
    assert!(names.len() >= 5, "only {names:?}");
    names.iter().map(page).collect()
}

/// Every page that a person reads: [`pages`], the decision records and the files for contributors and
/// deployers.
pub(crate) fn prose_pages() -> Vec<Page> {
    let mut all = pages();
    let mut more: Vec<PathBuf> = [
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "RELEASING.md",
        "SECURITY.md",
        ".github/pull_request_template.md",
        "envoy/gateway/README.md",
        "envoy/issuers/README.md",
        "envoy/istio/README.md",
    ]
    .map(PathBuf::from)
    .to_vec();
    for entry in std::fs::read_dir(root().join("docs/adr")).expect("docs/adr/") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "md") {
            more.push(path.strip_prefix(root()).expect("below the root").to_owned());
        }
    }
    more.sort();
    all.extend(more.iter().map(page));
    all
}

pub(crate) fn page(name: impl AsRef<Path>) -> Page {
    let name = name.as_ref();
    let text = std::fs::read_to_string(root().join(name))
        .unwrap_or_else(|error| panic!("{}: {error}", name.display()));
    read(name, &text)
}

fn read(name: &Path, text: &str) -> Page {
    let mut page = Page {
        name: name.to_owned(),
        headings: Vec::new(),
        blocks: Vec::new(),
        tables: Vec::new(),
        prose: String::new(),
        prose_lines: Vec::new(),
    };
    let mut open: Option<Block> = None;
    let mut in_table = false;
    let mut before = "";
    for (number, line) in text.lines().enumerate() {
        if let Some(mut block) = open.take() {
            if line == "```" {
                page.blocks.push(block);
            } else {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            continue;
        }
        assert!(
            !line.trim_start().starts_with("```") || line.starts_with("```"),
            "{}:{}: an indented block would not be checked",
            name.display(),
            number + 1
        );
        if let Some(info) = line.strip_prefix("```") {
            let not_run = before
                .strip_prefix("<!-- not run: ")
                .and_then(|rest| rest.strip_suffix(" -->"));
            open = Some(Block {
                line: number + 1,
                info: info.to_owned(),
                text: String::new(),
                not_run: not_run.map(str::to_owned),
            });
        } else if let Some(heading) = line.strip_prefix('#') {
            page.headings
                .push(heading.trim_start_matches('#').trim().to_owned());
        } else if let Some(cells) = cells(line) {
            if !in_table {
                page.tables.push(Table {
                    heading: page.headings.last().cloned().unwrap_or_default(),
                    columns: cells,
                    rows: Vec::new(),
                });
            } else if let Some(table) = page.tables.last_mut()
                && !line.starts_with("| ---")
            {
                assert_eq!(
                    cells.len(),
                    table.columns.len(),
                    "{}:{}: {line}",
                    name.display(),
                    number + 1
                );
                table.rows.push(cells);
            }
        }
        in_table = line.starts_with('|');
        before = line;
        page.prose.push_str(line);
        page.prose.push('\n');
        page.prose_lines.push((number + 1, line.to_owned()));
    }
    assert!(open.is_none(), "{}: a block does not end", name.display());
    page
}

fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix('|')?.trim_end().strip_suffix('|')?;
    Some(inner.split('|').map(|cell| cell.trim().to_owned()).collect())
}

/// The texts between backticks.
pub(crate) fn codes(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The text of a cell that is nothing but code.
pub(crate) fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?
        .strip_suffix('`')
        .filter(|inner| !inner.contains('`'))
}

impl Page {
    /// The tables with these columns.
    pub(crate) fn tables_of<'p>(&'p self, columns: &'p [&str]) -> impl Iterator<Item = &'p Table> {
        self.tables.iter().filter(move |table| table.columns == columns)
    }
}

#[test]
fn pages_are_read() {
    let text = "# A\n\n<!-- not run: why -->\n```yaml x\na: 1\n```\n## `B`\n| c | d |\n| --- | --- |\n| 1 | `2` `3` |\n\n| e |\n";
    let page = read(Path::new("x"), text);
    assert_eq!(page.headings, ["A", "`B`"]);
    assert_eq!(
        (page.blocks[0].info.as_str(), page.blocks[0].text.as_str()),
        ("yaml x", "a: 1\n")
    );
    assert_eq!(page.blocks[0].not_run.as_deref(), Some("why"));
    assert_eq!(page.tables.len(), 2);
    assert_eq!(
        (page.tables[0].heading.as_str(), page.tables[0].rows.len()),
        ("`B`", 1)
    );
    assert_eq!(codes(&page.tables[0].rows[0][1]), ["2", "3"]);
    assert_eq!(code(&page.tables[0].rows[0][1]), None);
}
