//! `payload_in_metadata` and its like: what a provider's tokens leave behind for other filters and the access log.

use super::error::ConfigError;
use super::reader::Fields;
use crate::forward::Metadata;

pub(super) fn read(fields: &Fields<'_>) -> Result<Metadata, Box<ConfigError>> {
    // An empty name is none, as in jwt_authn.
    let name = |field| -> Result<Option<Box<str>>, Box<ConfigError>> {
        let text = fields.get(field).map(|node| node.text()).transpose()?;
        Ok(text.filter(|text| !text.is_empty()))
    };
    let (payload, header, failed_status) = (
        name("payload_in_metadata")?,
        name("header_in_metadata")?,
        name("failed_status_in_metadata")?,
    );
    let mut space_delimited = Vec::new();
    if let Some(node) = fields.get("normalize_payload_in_metadata") {
        let inner = node.fields(&["space_delimited_claims"])?;
        space_delimited = inner.names("space_delimited_claims")?;
        if payload.is_none() {
            return Err(node.invalid("goes with `payload_in_metadata`"));
        }
    }
    Ok(Metadata {
        payload,
        space_delimited,
        header,
        failed_status,
    })
}
