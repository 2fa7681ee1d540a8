//! `response`: how refusals are written.

use super::error::ConfigError;
use super::fields::{RESPONSE, ResponseObject};
use super::reader::Fields;
use crate::reply::ReplyStyle;

/// RFC 6750 section 3 wants a challenge to have at least one parameter; this realm is it where none is configured.
const DEFAULT_REALM: &str = "jwt";

pub(super) fn read(
    fields: &Fields<'_, ResponseObject>,
    stripped: bool,
) -> Result<ReplyStyle, Box<ConfigError>> {
    let mut style = ReplyStyle {
        realm: DEFAULT_REALM.to_owned(),
        body: fields.value(RESPONSE.body)?,
        stripped,
        dpop_algorithms: None,
    };
    if let Some(node) = fields.get(RESPONSE.realm) {
        let realm = node.name()?;
        if !realm.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Err(node.invalid("may hold printable ASCII characters only"));
        }
        style.realm = realm.into();
    }
    Ok(style)
}
