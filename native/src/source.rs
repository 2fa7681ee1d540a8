//! Envoy's `DataSource` in a file or in the environment, for keys and secrets: only a module without a
//! sandbox can read them.
//!
//! The core reads bytes in the configuration itself. So the module puts the bytes into the text, once for all
//! workers, before anything reads it.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proxy_wasm_jwt::json::{Json, Kind, Object};

use crate::text::{has_white_space, write_text};

/// The most bytes of a file: more than any key set, and little enough for the main thread to read at once.
const LONGEST: u64 = 1 << 20;

/// The fields that are a `DataSource`.
const SOURCES: [&str; 3] = ["local_jwks", "localJwks", "secret"];

/// The configuration with the bytes of its files and variables.
///
/// # Errors
///
/// Fails with the file or the variable that cannot be read, and why.
pub(crate) fn resolve(text: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let has = |name: &str| text.windows(name.len()).any(|window| window == name.as_bytes());
    let names = ["filename", "environment_variable", "environmentVariable"];
    // Text that is no JSON has a fault of its own, which the core reports.
    let (true, Ok(json)) = (names.into_iter().any(has), Json::parse(text)) else {
        return Ok(Cow::Borrowed(text));
    };
    let mut resolved = Vec::with_capacity(text.len());
    if has_white_space(text) {
        // The white space marks the text as an operator's own: see `text`.
        resolved.push(b' ');
    }
    write(json, "", &mut resolved)?;
    Ok(Cow::Owned(resolved))
}

fn write(value: Json<'_>, name: &str, to: &mut Vec<u8>) -> Result<(), String> {
    match value.kind() {
        Kind::Object => {
            let Some(object) = value.as_object() else {
                return Ok(());
            };
            if SOURCES.contains(&name)
                && let Some(bytes) = read(&object)?
            {
                to.extend(format!(r#"{{"inline_bytes":"{}"}}"#, STANDARD.encode(bytes)).bytes());
                return Ok(());
            }
            to.push(b'{');
            for (index, (name, value)) in object.members().enumerate() {
                if index > 0 {
                    to.push(b',');
                }
                write_text(name, to);
                to.push(b':');
                write(value, name, to)?;
            }
            to.push(b'}');
        }
        Kind::Array => {
            to.push(b'[');
            for (index, element) in value.as_array().unwrap_or_default().into_iter().enumerate() {
                if index > 0 {
                    to.push(b',');
                }
                write(element, "", to)?;
            }
            to.push(b']');
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::String => to.extend(value.text().as_bytes()),
    }
    Ok(())
}

/// The bytes, if the object names a file or a variable and nothing else.
fn read(source: &Object<'_>) -> Result<Option<Vec<u8>>, String> {
    let mut members = source.members();
    let (Some((field, value)), None) = (members.next(), members.next()) else {
        return Ok(None);
    };
    let Some(name) = value.as_str() else {
        return Ok(None);
    };
    match field {
        "filename" => match read_file(&name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(fault) => Err(format!("the file `{}` {fault}", name.escape_debug())),
        },
        "environment_variable" | "environmentVariable" => match std::env::var(&*name) {
            Ok(text) => Ok(Some(text.into_bytes())),
            // The error's own text would show the value.
            Err(_) => Err(format!(
                "the environment variable `{}` is not set, or is not UTF-8",
                name.escape_debug()
            )),
        },
        _ => Ok(None),
    }
}

fn read_file(name: &str) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    // A pipe or a device could hold up the main thread for ever.
    if !std::fs::metadata(name).map_err(cannot)?.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let file = File::open(name).map_err(cannot)?;
    let mut bytes = Vec::new();
    let length = file
        .take(LONGEST.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    match u64::try_from(length).is_ok_and(|length| length <= LONGEST) {
        true => Ok(bytes),
        false => Err(format!("has more than {LONGEST} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Result<String, String> {
        let bytes = resolve(text.as_bytes())?.into_owned();
        Ok(String::from_utf8(bytes).expect("text"))
    }

    fn file(name: &str, bytes: &[u8]) -> String {
        let path = std::env::temp_dir().join(format!("jwt-source-{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).expect("it is written");
        path.to_str().expect("a name").to_owned()
    }

    #[test]
    fn the_text_gets_the_bytes_of_a_file_or_a_variable() {
        let any = file("any", &[0xff, 0, b'"']);
        let with = |source: &str| format!(r#"{{"a":[1.50,{{"local_jwks":{source}}}],"b":null}}"#);
        let expected = with(r#"{"inline_bytes":"/wAi"}"#);
        assert_eq!(
            resolved(&with(&format!(r#"{{"filename":"{any}"}}"#))),
            Ok(expected)
        );
        let path = std::env::var("PATH").expect("each process has it");
        let expected = with(&format!(r#"{{"inline_bytes":"{}"}}"#, STANDARD.encode(path)));
        assert_eq!(
            resolved(&with(r#"{"environment_variable":"PATH"}"#)),
            Ok(expected)
        );
        // The order of members counts in an operator's text, which has white space.
        let text = format!(r#"{{"z": 1, "secret": {{"filename": "{any}"}}, "a": "x y"}}"#);
        assert_eq!(
            resolved(&text),
            Ok(r#" {"z":1,"secret":{"inline_bytes":"/wAi"},"a":"x y"}"#.to_owned())
        );
        std::fs::remove_file(&any).expect("it is removed");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (name, part) in [
            ("/nowhere/jwks.json", "cannot be read"),
            ("/dev/zero", "is not a regular file"),
            ("/", "is not a regular file"),
        ] {
            let error = resolved(&format!(r#"{{"secret":{{"filename":"{name}"}}}}"#)).expect_err(name);
            assert!(error.contains(name) && error.contains(part), "{error}");
        }
        let large = file("large", &vec![b'x'; (1 << 20) + 1]);
        let error = resolved(&format!(r#"{{"secret":{{"filename":"{large}"}}}}"#)).expect_err("large");
        assert!(error.contains("has more than"), "{error}");
        std::fs::remove_file(&large).expect("it is removed");
        let error = resolved(r#"{"secret":{"environmentVariable":"NO SUCH VARIABLE"}}"#).expect_err("none");
        assert!(error.contains("NO SUCH VARIABLE"), "{error}");
    }

    #[test]
    fn all_other_text_is_left_to_the_core() {
        for text in [
            "",
            "{",
            r#"{"filename":"/etc/passwd"}"#,
            r#"{"claims":{"filename":"/etc/passwd"}}"#,
            r#"{"secret":{"filename":7}}"#,
            r#"{"secret":{"filename":"/etc/passwd","inline_string":"a"}}"#,
            r#"{"secret":["filename"]}"#,
        ] {
            assert_eq!(resolved(text).as_deref(), Ok(text));
        }
    }
}
