//! Texts that a pattern matches.

/// Texts that a pattern matches: each uses another alternative of each group, with and without the optional
/// parts.
pub(crate) fn examples(pattern: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for variant in 0..4 {
        if let Some(example) = example_of(pattern, variant)
            && !found.contains(&example)
        {
            found.push(example);
        }
    }
    found
}

/// A text that a pattern takes.
#[cfg(feature = "cli")]
pub(crate) fn example(pattern: &str) -> Option<String> {
    example_of(pattern, 0)
}

/// A text that a pattern matches, for the patterns that people write for paths. It is only a guess, and a
/// wrong guess does no harm.
fn example_of(pattern: &str, variant: usize) -> Option<String> {
    let mut example = String::new();
    let mut rest = pattern.trim_start_matches('^').trim_end_matches('$');
    while let Some(letter) = rest.chars().next() {
        rest = rest.get(letter.len_utf8()..)?;
        let piece = match letter {
            '\\' => {
                let escaped = rest.chars().next()?;
                rest = rest.get(escaped.len_utf8()..)?;
                match escaped {
                    'd' => "1".to_owned(),
                    'w' => "a".to_owned(),
                    other => other.to_string(),
                }
            }
            '.' => "a".to_owned(),
            '[' => {
                let end = rest.find(']')?;
                let (class, after) = rest.split_at(end);
                rest = after.get(1..)?;
                match class.strip_prefix('^') {
                    Some(_) => "a".to_owned(),
                    None => {
                        // The ends of a range.
                        let ends: Vec<char> = class.chars().filter(|letter| *letter != '-').collect();
                        ends.get(variant.checked_rem(ends.len())?)?.to_string()
                    }
                }
            }
            '(' => {
                let mut depth = 1;
                let end = rest.char_indices().find_map(|(at, letter)| {
                    match letter {
                        '(' => depth += 1,
                        ')' => depth -= 1,
                        _ => {}
                    }
                    (depth == 0).then_some(at)
                })?;
                let (group, after) = rest.split_at(end);
                rest = after.get(1..)?;
                let group = group.strip_prefix("?:").unwrap_or(group);
                let alternatives: Vec<&str> = group.split('|').collect();
                let chosen = alternatives.get(variant.checked_rem(alternatives.len())?)?;
                example_of(chosen, variant)?
            }
            '|' => break,
            letter => letter.to_string(),
        };
        match rest.chars().next() {
            Some('*' | '?') => {
                rest = rest.get(1..)?;
                if variant >= 2 {
                    example.push_str(&piece);
                }
            }
            Some('+') => {
                rest = rest.get(1..)?;
                example.push_str(&piece);
            }
            Some('{') => {
                let (count, after) = rest.get(1..)?.split_once('}')?;
                let count: usize = count.split(',').next()?.parse().ok()?;
                example.push_str(&piece.repeat(count.min(64)));
                rest = after;
            }
            _ => example.push_str(&piece),
        }
    }
    Some(example)
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::example;

    #[test]
    fn patterns_have_examples() {
        for (pattern, text) in [
            ("/a/[^/]+/b", "/a/a/b"),
            ("^/v[0-9]+/(orders|items)(/.*)?$", "/v0/orders"),
            (r"/x\.json", "/x.json"),
            (r"/\d{3}", "/111"),
        ] {
            assert_eq!(example(pattern).as_deref(), Some(text));
        }
        assert_eq!(example("/a["), None);
    }
}
