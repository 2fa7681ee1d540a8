//! `claim_to_headers`, and how a claim is named.

use super::error::ConfigError;
use super::reader::{Fields, Node};
use super::{Names, header_name};
use crate::claims::ClaimPath;

/// A claim that is passed on in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimToHeader {
    /// Which claim.
    pub claim: ClaimPath,
    /// The number of the owned header that takes it.
    pub header: usize,
    /// How it is written.
    pub format: ValueFormat,
}

/// How a claim is written as a header's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueFormat {
    /// A scalar as text; a list or an object as the base64 of its compact JSON, as jwt_authn does.
    #[default]
    Auto,
    /// A list of scalars with commas between them; a scalar as text.
    Csv,
    /// Compact JSON.
    Json,
    /// Base64 of the text of a string, or of the compact JSON of anything else.
    Base64,
}

pub(super) fn read(node: &Node<'_>, names: &mut Names) -> Result<ClaimToHeader, Box<ConfigError>> {
    let fields = node.fields(&["header_name", "claim_name", "claim_path", "format"])?;
    let header = fields.require("header_name", "write the header that takes the claim")?;
    let header = names.owned_header(&header_name::read_owned(header)?);
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
