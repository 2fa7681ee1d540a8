//! Runs the commands of each console block of docs/jwtctl.md in `examples/`, and compares their output with
//! the page. `BLESS=1` writes the output into the page.

#![cfg(test)]

mod common;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// A console block: from which byte to which, and its text.
fn blocks(page: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = page.get(from..).and_then(|rest| rest.find("```console\n")) {
        let start = from + start + "```console\n".len();
        let end = start + page[start..].find("```").expect("the end of a block");
        found.push((start, end));
        from = end + 3;
    }
    found
}

/// The expected block: each command with its output.
fn run(block: &str) -> String {
    let mut shown = String::new();
    let mut lines = block.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ ") else {
            continue;
        };
        let mut script = command.to_owned();
        writeln!(shown, "{line}").expect("a String");
        while script.ends_with(['\\', '|']) {
            let next = lines.next().expect("a line after a backslash");
            writeln!(shown, "{next}").expect("a String");
            script = format!("{script}\n{next}");
        }
        let bin = Path::new(env!("CARGO_BIN_EXE_jwtctl"))
            .parent()
            .expect("a folder");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1\n{script}")])
            .env("PATH", path)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"))
            .output()
            .expect("a shell");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        for line in text.lines() {
            writeln!(shown, "{}", line.trim_end()).expect("a String");
        }
    }
    shown
}

fn hold(name: &str, least: usize) {
    let path = common::root().join(name);
    let page = std::fs::read_to_string(&path).expect("the page");
    let mut blessed = page.clone();
    let mut faults = Vec::new();
    let all = blocks(&page);
    assert!(all.len() >= least, "only {} blocks in {name}", all.len());
    for (start, end) in all.into_iter().rev() {
        let expected = run(&page[start..end]);
        if expected != page[start..end] {
            faults.push(format!(
                "--- the page\n{}\n--- printed\n{expected}",
                &page[start..end]
            ));
            blessed.replace_range(start..end, &expected);
        }
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, blessed).expect("the page is written");
    } else {
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

#[test]
fn the_page_shows_what_the_commands_print() {
    hold("docs/jwtctl.md", 6);
}

#[test]
fn the_readme_shows_what_explain_prints() {
    hold("README.md", 1);
}
