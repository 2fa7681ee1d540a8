//! `payload_in_metadata` and similar fields: the parts of a provider's tokens for other filters and the
//! access log.

use super::error::ConfigError;
use super::field::{Field, Text};
use super::fields::{NormalizeObject, ProviderObject};
use super::node::Node;
use super::reader::Fields;
use crate::forward::Metadata;

pub(super) fn read(fields: &Fields<'_, ProviderObject>) -> Result<Metadata, Box<ConfigError>> {
    // As in jwt_authn, an empty name counts as absent.
    let name = |field: Field<ProviderObject, Text>| -> Option<Box<str>> {
        fields
            .or_default(fields.read(field))
            .filter(|text| !text.is_empty())
    };
    let (payload, header, failed_status) = (
        name(ProviderObject::payload_in_metadata),
        name(ProviderObject::header_in_metadata),
        name(ProviderObject::failed_status_in_metadata),
    );
    let mut space_delimited = Vec::new();
    if let Some(node) = fields.get(ProviderObject::normalize_payload_in_metadata) {
        space_delimited = node
            .fields(NormalizeObject)?
            .names(NormalizeObject::space_delimited_claims)?;
        let has_name = |node: &Node<'_>| node.value().text() != "\"\"";
        if !fields
            .get(ProviderObject::payload_in_metadata)
            .is_some_and(has_name)
        {
            return Err(node.lacks("needs `payload_in_metadata`"));
        }
    }
    Ok(Metadata {
        payload,
        space_delimited,
        header,
        failed_status,
    })
}
