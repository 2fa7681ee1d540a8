//! `claim_to_headers`, and the names of claims.

use super::error::ConfigError;
use super::fields::{ClaimStepObject, ClaimToHeaderObject};
use super::leftover::has_any;
use super::node::Node;
use super::{Names, header_name};
use crate::claims::ClaimPath;
use crate::forward::ClaimToHeader;

pub(super) fn read(node: &Node<'_>, names: &mut Names) -> Result<ClaimToHeader, Box<ConfigError>> {
    let fields = node.fields(ClaimToHeaderObject)?;
    let format = fields.kept(ClaimToHeaderObject::format);
    let header = fields.require(ClaimToHeaderObject::header_name);
    let header = fields.keep(header.and_then(header_name::read_owned));
    let (name, path) = (
        fields.get(ClaimToHeaderObject::claim_name),
        fields.get(ClaimToHeaderObject::claim_path),
    );
    let claim = read_claim(node, name, path)?;
    let header = header.ok_or_else(ConfigError::reported)?;
    Ok(ClaimToHeader {
        claim,
        header: names.owned_headers.index_of(&header),
        format,
    })
}

/// A claim by `claim_name` or `claim_path`. `node` must have exactly one of them.
pub(super) fn read_claim(
    node: &Node<'_>,
    name: Option<&Node<'_>>,
    path: Option<&Node<'_>>,
) -> Result<ClaimPath, Box<ConfigError>> {
    match (name, path) {
        (Some(node), None) => {
            let name = node.name()?;
            // JSONPath, JSON Pointer, jq and Istio write expressions in these forms.
            if name.starts_with(['$', '.', '/']) || name.ends_with([']', '*']) {
                return Err(
                    node.invalid("is an expression; write the claim's name, as in realm_access.roles")
                );
            }
            if has_any(&name, ",") {
                return Err(node.invalid(format!("`{name}` is one claim; write an entry for each")));
            }
            Ok(ClaimPath::Name(name))
        }
        (None, Some(path)) => {
            let mut keys = Vec::new();
            for step in path.some_list()? {
                keys.push(step.fields(ClaimStepObject)?.required(ClaimStepObject::key)?);
            }
            Ok(ClaimPath::Literal(keys))
        }
        _ => Err(node.invalid("write one of `claim_name`, `claim_path`")),
    }
}
