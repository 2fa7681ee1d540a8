//! Envoy's `DataSource`, as far as a module can read one: bytes that stand in the configuration itself.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::error::ConfigError;
use super::reader::Node;

/// The bytes, and the field in which they stand. `fix` says what to write there, `instead` what to do where they are in none.
pub(super) fn read<'a>(
    node: &'a Node<'_>,
    fix: &'static str,
    instead: &str,
) -> Result<(Node<'a>, Vec<u8>), Box<ConfigError>> {
    let fields = node.fields(&[
        "inline_string",
        "inline_bytes",
        "filename",
        "environment_variable",
        "watched_directory",
    ])?;
    for field in ["filename", "environment_variable", "watched_directory"] {
        if let Some(node) = fields.get(field) {
            return Err(node.invalid(format!(
                "a module can read no files and no environment; {instead}"
            )));
        }
    }
    match fields.get("inline_bytes") {
        Some(node) => {
            let text = node.text()?;
            let decoded = STANDARD
                .decode(&*text)
                .or_else(|_| URL_SAFE_NO_PAD.decode(&*text));
            let bytes = decoded.map_err(|_| node.invalid("is not base64"))?;
            Ok((*node, bytes))
        }
        None => {
            let node = fields.require("inline_string", fix)?;
            let bytes = node.text()?.into_boxed_bytes().into_vec();
            Ok((*node, bytes))
        }
    }
}

/// Fewer bytes could be guessed.
const SHORTEST_SECRET: usize = 32;

/// A secret that an operator has made.
pub(super) fn read_secret(node: &Node<'_>, instead: &str) -> Result<Vec<u8>, Box<ConfigError>> {
    let (inline, secret) = read(node, "write the secret, as a string", instead)?;
    if secret.len() < SHORTEST_SECRET {
        return Err(inline.invalid("must hold at least 32 bytes, made at random: openssl rand -base64 32"));
    }
    Ok(secret)
}
