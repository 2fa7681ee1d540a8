//! Envoy's `DataSource`, as far as a module can read it: bytes in the configuration itself.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::error::{ConfigError, ConfigProblem};
use super::node::Node;

/// The fields of a `DataSource`, in every object with such fields.
pub(super) struct Written<'a> {
    pub(super) string: Option<Node<'a>>,
    pub(super) bytes: Option<Node<'a>>,
    /// The fields that a module cannot read.
    pub(super) beyond: [Option<Node<'a>>; 3],
    /// The advice for an object without any of them.
    pub(super) fix: &'static str,
}

/// The fields of the node, which belongs to such an object.
macro_rules! written {
    ($node:expr, $object:ident) => {{
        let fields = $node.fields($object)?;
        $crate::config::data_source::Written {
            string: fields.get($object::inline_string).copied(),
            bytes: fields.get($object::inline_bytes).copied(),
            beyond: [
                fields.get($object::filename).copied(),
                fields.get($object::environment_variable).copied(),
                fields.get($object::watched_directory).copied(),
            ],
            fix: $object::inline_string.fix,
        }
    }};
}
pub(super) use written;

/// The bytes, and the field that contains them. `instead` is the advice if no field does.
pub(super) fn read<'a>(
    node: &Node<'_>,
    written: Written<'a>,
    instead: &str,
) -> Result<(Node<'a>, Vec<u8>), Box<ConfigError>> {
    if let Some(node) = written.beyond.into_iter().flatten().next() {
        return Err(node.invalid(format!(
            "a module cannot read files or the environment; {instead}"
        )));
    }
    match (written.bytes, written.string) {
        (Some(node), _) => {
            let text = node.any_text()?;
            let decoded = STANDARD
                .decode(&*text)
                .or_else(|_| URL_SAFE_NO_PAD.decode(&*text));
            let bytes = decoded
                .map_err(|_| node.invalid("is not base64; write the text itself into `inline_string`"))?;
            Ok((node, bytes))
        }
        (None, Some(node)) => Ok((node, node.any_text()?.into_boxed_bytes().into_vec())),
        // The one that it had is left out.
        (None, None) if !node.is_sound() => Err(ConfigError::reported()),
        (None, None) => Err(node.error(ConfigProblem::Missing {
            field: "inline_string",
            fix: written.fix,
        })),
    }
}

/// Fewer bytes could be guessed.
const SHORTEST_SECRET: usize = 32;

/// A secret of the operator.
pub(super) fn read_secret(
    node: &Node<'_>,
    written: Written<'_>,
    instead: &str,
) -> Result<Vec<u8>, Box<ConfigError>> {
    let (inline, secret) = read(node, written, instead)?;
    check_secret(&secret).map_err(|fault| inline.invalid(fault))?;
    Ok(secret)
}

/// Checks that a secret of the operator is long enough, and no placeholder.
///
/// # Errors
///
/// Fails with the fault, which does not contain the secret.
pub fn check_secret(secret: &[u8]) -> Result<(), &'static str> {
    if secret.starts_with(b"${") || secret.starts_with(b"{{") {
        return Err("is a placeholder that was not replaced");
    }
    if secret.len() < SHORTEST_SECRET {
        return Err("must hold at least 32 bytes, made at random: openssl rand -base64 32");
    }
    Ok(())
}
