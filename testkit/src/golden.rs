//! Files that a test writes and compares with its result. `make bless` rewrites all of them.

use std::fmt::Write as _;
use std::{env, fs, thread};

use crate::workspace_root;

/// If this variable is set, the files are written instead of compared.
const VARIABLE: &str = "BLESS";

/// Compares the file, named from the workspace's root, with `found`. With `BLESS=1` it writes the file.
pub fn assert_golden(file: &str, found: &str) {
    // `make bless` finds these tests by their name. On the main thread no name is known.
    let thread = thread::current();
    let test = thread
        .name()
        .unwrap_or_default()
        .rsplit("::")
        .next()
        .unwrap_or_default();
    assert!(
        test == "main" || test.starts_with("golden_"),
        "{test}: the name of a test with a golden file begins with golden_"
    );
    let path = workspace_root().join(file);
    if env::var_os(VARIABLE).is_some() {
        fs::write(&path, found).unwrap_or_else(|error| panic!("{file}: {error}"));
        return;
    }
    let golden = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert!(
        golden == found,
        "{file} is out of date (- the file, + what the test found):\n\n{}\n\
         If the new text is right, `make bless` writes it.",
        diff(&golden, found)
    );
}

/// The same for the part of a file between the lines `<!-- name: … -->` and `<!-- end of name -->`.
pub fn assert_golden_section(file: &str, name: &str, found: &str) {
    let path = workspace_root().join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let (begin, end) = (format!("<!-- {name}: "), format!("<!-- end of {name} -->\n"));
    let section = text.find(&begin).and_then(|begin| {
        let begin = begin + text[begin..].find('\n')? + 1;
        Some(begin..begin + text[begin..].find(&end)?)
    });
    let section = section.unwrap_or_else(|| panic!("{file} has no part {begin}… to {end}"));
    let mut whole = text.clone();
    whole.replace_range(section, found);
    assert_golden(file, &whole);
}

/// The lines that differ, with three around each, in the order of the texts.
fn diff(old: &str, new: &str) -> String {
    const AROUND: usize = 3;
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = |(old, new): &(&&str, &&str)| old == new;
    let head = old.iter().zip(&new).take_while(same).count();
    let tail = old[head..]
        .iter()
        .rev()
        .zip(new[head..].iter().rev())
        .take_while(same)
        .count();
    let lines = edits(&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let context = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| (' ', (*line).to_owned()))
            .collect::<Vec<_>>()
    };
    let before = context(&old[head.saturating_sub(AROUND)..head]);
    let after = context(&old[old.len() - tail..(old.len() - tail + AROUND).min(old.len())]);
    let lines = [before, lines, after].concat();
    let mut text = String::new();
    let mut number = head.saturating_sub(AROUND);
    let mut is_shown_before = false;
    for (index, (sign, line)) in lines.iter().enumerate() {
        number += usize::from(*sign != '+');
        let near = index.saturating_sub(AROUND)..(index + AROUND + 1).min(lines.len());
        let is_shown = lines[near].iter().any(|(sign, _)| *sign != ' ');
        if is_shown && !is_shown_before {
            writeln!(text, "line {number}:").expect("a string grows");
        }
        if is_shown {
            writeln!(text, "{sign} {line}").expect("a string grows");
        }
        is_shown_before = is_shown;
    }
    text
}

/// The differences between two lists of lines, by their longest common subsequence.
fn edits(old: &[&str], new: &[&str]) -> Vec<(char, String)> {
    let mut longest = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for (i, old_line) in old.iter().enumerate().rev() {
        for (j, new_line) in new.iter().enumerate().rev() {
            longest[i][j] = if old_line == new_line {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push((' ', old[i].to_owned()));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || longest[i + 1][j] >= longest[i][j + 1]) {
            lines.push(('-', old[i].to_owned()));
            i += 1;
        } else {
            lines.push(('+', new[j].to_owned()));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn a_difference_is_shown_with_the_lines_around_it() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm\n";
        let new = old.replace("e\n", "E\nEE\n").replace("m\n", "M\n");
        assert_eq!(
            diff(old, &new),
            "line 2:\n  b\n  c\n  d\n- e\n+ E\n+ EE\n  f\n  g\n  h\nline 10:\n  j\n  k\n  l\n- m\n+ M\n"
        );
    }
}
