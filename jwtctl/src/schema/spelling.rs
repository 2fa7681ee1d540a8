//! The two spellings of a field: snake_case, and the lowerCamelCase of proto3 JSON.

/// proto3 JSON's other spelling of a name.
pub(super) fn camel_case(name: &str) -> String {
    let mut camel = String::new();
    let mut is_start = false;
    for letter in name.chars() {
        match (letter, is_start) {
            ('_', _) => is_start = true,
            (letter, true) => {
                camel.push(letter.to_ascii_uppercase());
                is_start = false;
            }
            (letter, false) => camel.push(letter),
        }
    }
    camel
}

/// Both spellings; one if they are the same.
pub(super) fn both(name: &str) -> Vec<String> {
    let camel = camel_case(name);
    match camel == name {
        true => vec![camel],
        false => vec![name.to_owned(), camel],
    }
}
