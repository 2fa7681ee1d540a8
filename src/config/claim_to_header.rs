//! `claim_to_headers`, and how a claim is named.

use super::error::ConfigError;
use super::reader::{Fields, Node};
use super::{Names, header_name};
use crate::claims::ClaimPath;
use crate::forward::{ClaimToHeader, ValueFormat};

pub(super) fn read(node: &Node<'_>, names: &mut Names) -> Result<ClaimToHeader, Box<ConfigError>> {
    let fields = node.fields(&["header_name", "claim_name", "claim_path", "format"])?;
    let header = fields.require("header_name", "write the header that takes the claim")?;
    let header = names.owned_headers.index_of(&header_name::read_owned(header)?);
    let claim = read_claim(node, &fields)?;
    let format = match fields.get("format") {
        Some(node) => node.one_of(&[
            ("auto", ValueFormat::Auto),
            ("csv", ValueFormat::Csv),
            ("json", ValueFormat::Json),
            ("base64", ValueFormat::Base64),
        ])?,
        None => ValueFormat::Auto,
    };
    Ok(ClaimToHeader {
        claim,
        header,
        format,
    })
}

pub(super) fn read_claim(node: &Node<'_>, fields: &Fields<'_>) -> Result<ClaimPath, Box<ConfigError>> {
    match (fields.get("claim_name"), fields.get("claim_path")) {
        (Some(name), None) => Ok(ClaimPath::Name(name.name()?)),
        (None, Some(path)) => {
            let mut keys = Vec::new();
            for step in path.some_list()? {
                let fields = step.fields(&["key"])?;
                keys.push(fields.require("key", "write the member's name")?.text()?);
            }
            Ok(ClaimPath::Literal(keys))
        }
        _ => Err(node.invalid("write one of `claim_name`, `claim_path`")),
    }
}
