//! The rules for prose that a program can check: CONTRIBUTING.md, "Plain English", has all of them.

use std::path::Path;

use crate::markdown::{Page, page, prose_pages};

/// The most columns that a line of prose has. Tables, fenced blocks and the targets of links do not count.
const MOST_COLUMNS: usize = 110;

/// The most lines of the README, so that it stays a first page and not a manual.
const MOST_LINES_OF_THE_README: usize = 150;

/// Words that CONTRIBUTING.md forbids, in lower case, and a proposal for each.
const FORBIDDEN: &[(&str, &str)] = &[
    ("anew", "again"),
    ("as there", "the same"),
    ("nobody", "no client, no operator: name who acts"),
    ("of whose", "split the sentence"),
    ("speaks for", "applies to, represents"),
    ("stands", "is, appears"),
    ("tell", "say, report, show"),
    ("tells", "says, reports, shows"),
    ("told", "said, reported, shown"),
];

/// Words that make a clause the subject of a sentence that they begin.
const CLAUSE_AS_SUBJECT: &[&str] = &["What", "Who", "Whoever"];

/// SECURITY.md makes promises: its wording changes with the behavior of the filter, and not with style.
const WRITTEN_ELSEWHERE: &[&str] = &["SECURITY.md"];

fn checked_pages() -> Vec<Page> {
    let mut pages = prose_pages();
    pages.retain(|page| !WRITTEN_ELSEWHERE.iter().any(|name| page.name == Path::new(name)));
    assert!(pages.len() >= 20, "only {} pages", pages.len());
    pages
}

fn is_rules(page: &Page) -> bool {
    page.name == Path::new("CONTRIBUTING.md")
}

/// The line without the opening text, the closing text and everything between them.
fn without(line: &str, opening: &str, closing: &str) -> String {
    let mut left = String::new();
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once(opening) {
        let Some((_, after)) = behind.split_once(closing) else {
            break;
        };
        left.push_str(before);
        rest = after;
    }
    left + rest
}

/// How many columns the line takes without the targets of its links.
fn columns(line: &str) -> usize {
    without(line, "](", ")").chars().count()
}

/// The words of the text, in lower case, with one space between.
fn words(text: &str) -> String {
    let words: Vec<_> = text
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    format!(" {} ", words.join(" "))
}

/// The forbidden words in a text, each with a proposal.
fn forbidden(text: &str) -> Vec<(&'static str, &'static str)> {
    let words = words(text);
    FORBIDDEN
        .iter()
        .filter(|(word, _)| words.contains(&format!(" {word} ")))
        .copied()
        .collect()
}

/// The paragraphs, list items and table rows of a page, with the line that each begins in. Code, comments,
/// headings and the targets of links are left out.
fn paragraphs(page: &Page) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in &page.prose_lines {
        let line = without(&without(line, "](", ")"), "<!--", "-->");
        let text = line.trim_start();
        let item = ["- ", "* ", "| "].iter().any(|mark| text.starts_with(mark))
            || text
                .split_once(". ")
                .is_some_and(|(mark, _)| mark.parse::<u32>().is_ok());
        if text.is_empty() || text.starts_with('#') {
            goes_on = false;
        } else if goes_on && !item {
            let (_, paragraph) = found.last_mut().expect("a paragraph that goes on");
            paragraph.push(' ');
            paragraph.push_str(text);
        } else {
            found.push((*number, text.to_owned()));
            goes_on = !text.starts_with('|');
        }
    }
    for (_, paragraph) in &mut found {
        // The examples of the rules have a bad sentence in front of a good one.
        if is_rules(page) && paragraph.starts_with('|') {
            let (_, last) = paragraph
                .trim_end_matches(" |")
                .rsplit_once(" | ")
                .expect("cells");
            *paragraph = last.to_owned();
        }
        *paragraph = without(paragraph, "`", "`");
    }
    found
}

/// Sentences of a paragraph that begin with a clause as their subject. Questions and the
/// lists of contents have none.
fn clauses_as_subject(paragraph: &str) -> Vec<&str> {
    let text = paragraph.trim_start_matches(|letter: char| !letter.is_alphabetic());
    text.split_inclusive(['.', '?', '!'])
        .map(str::trim)
        .filter(|sentence| sentence.ends_with('.') && sentence.contains(' '))
        .filter(|sentence| {
            sentence
                .split(' ')
                .next()
                .is_some_and(|word| CLAUSE_AS_SUBJECT.contains(&word))
        })
        .collect()
}

#[test]
fn words_and_columns_are_counted() {
    assert_eq!(
        columns("a [b](https://example.com/a/long/address) c"),
        "a [b c".len()
    );
    assert_eq!(forbidden("It stands, Told: `x`").len(), 2);
    assert_eq!(forbidden("understands; untold, as\nthere").len(), 1);
    assert_eq!(
        clauses_as_subject("- What is here, counts. Fine. Who?"),
        ["What is here, counts."]
    );
    assert!(clauses_as_subject("Whatever").is_empty());
}

#[test]
fn the_readme_is_short() {
    let readme = std::fs::read_to_string(crate::markdown::root().join("README.md")).expect("README.md");
    let lines = readme.lines().count();
    assert!(
        lines <= MOST_LINES_OF_THE_README,
        "README.md has {lines} lines, at most {MOST_LINES_OF_THE_README}: move details to a page in docs/"
    );
}

#[test]
fn the_readme_repeats_no_table_of_another_page() {
    let readme = page("README.md");
    for page in prose_pages().iter().filter(|page| page.name != readme.name) {
        for table in &readme.tables {
            let repeated = page.tables.iter().any(|other| other.columns == table.columns);
            assert!(
                !repeated,
                "README.md has a table of {}: {:?}",
                page.name.display(),
                table.columns
            );
        }
    }
}

#[test]
fn lines_are_short_enough() {
    let mut faults = Vec::new();
    for page in checked_pages() {
        for (number, line) in &page.prose_lines {
            if !line.starts_with('|') && columns(line) > MOST_COLUMNS {
                faults.push(format!(
                    "{}:{number}: {} columns",
                    page.name.display(),
                    columns(line)
                ));
            }
        }
    }
    assert!(
        faults.is_empty(),
        "at most {MOST_COLUMNS} columns:\n{}",
        faults.join("\n")
    );
}

/// The sources with one of these endings.
fn sources_named(endings: &[&str]) -> Vec<String> {
    let root = crate::markdown::root();
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            // Results of builds and tools; the folders of CI are sources.
            let is_made = ["target", "dist", "node_modules", "__pycache__"].contains(&&*name)
                || (name.starts_with('.') && name != ".ci" && name != ".github");
            if path.is_dir() {
                if !is_made && !path.is_symlink() {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let path = path.strip_prefix(root).expect("below the root");
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// The text of a comment that takes a whole line, without its mark; `None` for code, and for what a comment
/// shows as it is: tables, diagrams and addresses.
fn comment<'l>(line: &'l str, marks: &[&str]) -> Option<&'l str> {
    let line = line.trim_start();
    let text = marks.iter().find_map(|mark| line.strip_prefix(mark))?;
    let is_shown = text.trim_start().starts_with('|') || text.contains("://");
    (!is_shown).then_some(text)
}

#[test]
fn comments_are_short_enough() {
    assert_eq!(comment("  /// a", &["///", "//"]), Some(" a"));
    assert_eq!(comment("let a; // b", &["//"]), None);
    let mut faults = Vec::new();
    let mut seen = 0;
    for (endings, marks) in [
        (&[".rs", ".js", ".mjs", ".go"][..], &["///", "//!", "//"][..]),
        (&[".py", ".sh", ".toml", ".yml", ".yaml", "Makefile"], &["#"]),
    ] {
        // The comments of the public configurations contain whole messages, which a test compares.
        let all = sources_named(endings).into_iter();
        for name in all.filter(|name| !name.starts_with("tests/public_configs/")) {
            let text = std::fs::read_to_string(crate::markdown::root().join(&name)).expect("a text");
            let mut is_fenced = false;
            for (number, line) in text.lines().enumerate() {
                let Some(text) = comment(line, marks) else {
                    continue;
                };
                seen += 1;
                let is_fence = text.trim_start().starts_with("```");
                is_fenced ^= is_fence;
                let columns = line.chars().count();
                if !is_fenced && columns > MOST_COLUMNS {
                    faults.push(format!("{name}:{}: {columns} columns", number + 1));
                }
            }
        }
    }
    assert!(seen > 5_000, "only {seen} comments");
    assert!(
        faults.is_empty(),
        "at most {MOST_COLUMNS} columns:\n{}",
        faults.join("\n")
    );
}

#[test]
fn forbidden_words_are_not_used() {
    let mut faults = Vec::new();
    for page in checked_pages() {
        // The rules name the words that they forbid.
        let is_rules = is_rules(&page);
        for (number, paragraph) in paragraphs(&page) {
            for (word, proposal) in forbidden(&paragraph) {
                if !(is_rules && paragraph.contains(&format!("\"{word}\""))) {
                    faults.push(format!(
                        "{}:{number}: \"{word}\"; write: {proposal}",
                        page.name.display()
                    ));
                }
            }
        }
    }
    assert!(
        faults.is_empty(),
        "CONTRIBUTING.md, \"Plain English\":\n{}",
        faults.join("\n")
    );
}

#[test]
fn no_sentence_has_a_clause_as_its_subject() {
    let mut faults = Vec::new();
    for page in checked_pages() {
        for (number, paragraph) in paragraphs(&page) {
            for sentence in clauses_as_subject(&paragraph) {
                faults.push(format!("{}:{number}: {sentence}", page.name.display()));
            }
        }
    }
    assert!(faults.is_empty(), "name who acts:\n{}", faults.join("\n"));
}
