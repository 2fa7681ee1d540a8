//! Names of header fields ([RFC 9110 section 5.1](https://www.rfc-editor.org/rfc/rfc9110#section-5.1)), in
//! lower case as HTTP/2 and Envoy have them.

use super::error::ConfigError;
use super::node::Node;
use crate::http::is_token_byte;

/// Fields that frame the message: a claim in one of them would change the meaning of the request.
const FRAMING: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "te",
    "upgrade",
    "trailer",
];

/// A header name, in lower case.
pub(super) fn read(node: &Node<'_>) -> Result<String, Box<ConfigError>> {
    let name = node.name()?.to_ascii_lowercase();
    if name.bytes().all(is_token_byte) {
        Ok(name)
    } else {
        Err(node.invalid(format!(
            "`{name}` is not a header name; write one such as `x-jwt-sub`"
        )))
    }
}

/// The name of a header that the filter owns.
pub(super) fn read_owned(node: &Node<'_>) -> Result<String, Box<ConfigError>> {
    let name = read(node)?;
    if FRAMING.contains(&name.as_str()) {
        return Err(node.invalid(format!(
            "`{name}` carries the message itself and cannot hold a claim; write one such as `x-jwt-sub`"
        )));
    }
    Ok(name)
}
