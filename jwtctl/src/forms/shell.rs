//! A command line, split into words as a shell splits it.

/// The value of a variable of the shell, or an error message.
pub(crate) type Variables<'v> = &'v dyn Fn(&str) -> Result<String, String>;

/// Whether a command is for cmd.exe, in which `^` escapes a letter and, at the end of a line, the line break.
pub(super) fn is_for_windows(command: &str) -> bool {
    command.contains("^\"") || command.lines().any(|line| line.trim_end().ends_with(" ^"))
}

/// The command without the escapes of cmd.exe.
pub(super) fn without_carets(command: &str) -> String {
    let mut text = String::new();
    let mut letters = command.chars().peekable();
    // In the older form, the quotes have no caret, and within them a caret is a letter.
    let escapes_all = command.contains("^\"");
    let mut is_quoted = false;
    while let Some(letter) = letters.next() {
        match letter {
            '"' if !escapes_all => {
                is_quoted = !is_quoted;
                text.push(letter);
            }
            '^' if !is_quoted => match letters.next() {
                Some('\r') if letters.peek() == Some(&'\n') => drop(letters.next()),
                Some('\n') | None => {}
                Some(letter) => text.push(letter),
            },
            letter => text.push(letter),
        }
    }
    text
}

/// The text for a `$` outside of single quotes: of a variable, or the `$` itself.
fn expanded(
    letters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    variables: Variables<'_>,
) -> Result<String, String> {
    let is_of_name = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
    let mut name = String::new();
    match letters.peek() {
        Some('(') => {
            return Err(
                "the curl command runs another command in `$(…)`; write its output in its place".to_owned(),
            );
        }
        Some('{') => {
            letters.next();
            name.extend(std::iter::from_fn(|| letters.next_if(is_of_name)));
            if letters.next() != Some('}') || name.is_empty() {
                return Err(format!(
                    "of the variables of a shell, jwtctl reads `$NAME` and `${{NAME}}` alone, not `${{{name}…`; write the value"
                ));
            }
        }
        Some(first) if first.is_ascii_alphabetic() || *first == '_' => {
            name.extend(std::iter::from_fn(|| letters.next_if(is_of_name)));
        }
        _ => return Ok("$".to_owned()),
    }
    variables(&name)
}

/// Splits a command as a shell does: quotes, backslashes and variables.
pub(super) fn words(command: &str, variables: Variables<'_>) -> Result<Vec<String>, String> {
    const NO_END: &str = "the curl command has a quotation mark that is not closed";
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = command.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        Some('\'') => break,
                        Some(letter) => word.push(letter),
                        None => return Err(NO_END.to_owned()),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        Some('"') => break,
                        Some('\\') => match letters.next() {
                            Some(letter @ ('"' | '\\' | '$' | '`')) => word.push(letter),
                            Some('\n') => {}
                            Some(letter) => word.extend(['\\', letter]),
                            None => {}
                        },
                        Some('$') => word.push_str(&expanded(&mut letters, variables)?),
                        Some(letter) => word.push(letter),
                        None => return Err(NO_END.to_owned()),
                    }
                }
            }
            '\\' => match letters.next() {
                Some('\n') | None => {}
                Some('\r') if letters.peek() == Some(&'\n') => drop(letters.next()),
                Some(letter) => word.get_or_insert_default().push(letter),
            },
            // Browsers use this form if a value has an escape.
            '$' if letters.peek() == Some(&'\'') => {
                letters.next();
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        Some('\'') => break,
                        Some('\\') => word.extend(escaped(&mut letters)),
                        Some(letter) => word.push(letter),
                        None => return Err(NO_END.to_owned()),
                    }
                }
            }
            '$' => word
                .get_or_insert_default()
                .push_str(&expanded(&mut letters, variables)?),
            // Another command follows. `&` and `;` within a word are left in it: people paste URLs without
            // quotes.
            '|' => break,
            '&' | ';'
                if letters
                    .peek()
                    .is_none_or(|next| next.is_whitespace() || *next == '&') =>
            {
                break;
            }
            // The file after a redirection is not an argument of curl.
            '>' | '<' => {
                let is_descriptor = |word: &String| word.bytes().all(|digit| digit.is_ascii_digit());
                words.extend(word.take().filter(|word| !is_descriptor(word)));
                while letters
                    .next_if(|next| matches!(next, '>' | '<' | '&' | ' '))
                    .is_some()
                {}
                while letters.next_if(|next| !next.is_whitespace()).is_some() {}
            }
            // Several lines without a backslash, as some pages show them, are one command.
            letter if letter.is_whitespace() => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

/// The letter of an escape in `$'…'`, after its backslash.
fn escaped(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    let kind = letters.next()?;
    let mut number = |most: usize, radix: u32| {
        let mut found = None;
        for _ in 0..most {
            let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(radix)) else {
                break;
            };
            letters.next();
            found = Some(found.unwrap_or(0) * radix + digit);
        }
        found.and_then(char::from_u32)
    };
    match kind {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'u' => number(4, 16),
        'U' => number(8, 16),
        'x' => number(2, 16),
        letter => Some(letter),
    }
}
