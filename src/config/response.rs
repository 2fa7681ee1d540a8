//! `response`: the form of refusals.

use super::error::ConfigError;
use super::fields::ResponseObject;
use super::reader::Fields;
use crate::reply::ReplyStyle;

/// RFC 6750 section 3 requires at least one parameter in a challenge: the realm, if none is configured.
const DEFAULT_REALM: &str = "jwt";

pub(super) fn read(fields: &Fields<'_, ResponseObject>, stripped: bool) -> ReplyStyle {
    ReplyStyle {
        realm: fields
            .keep(read_realm(fields))
            .flatten()
            .unwrap_or_else(|| DEFAULT_REALM.into())
            .into(),
        body: fields.kept(ResponseObject::body),
        stripped,
        dpop_algorithms: None,
    }
}

fn read_realm(fields: &Fields<'_, ResponseObject>) -> Result<Option<Box<str>>, Box<ConfigError>> {
    let Some(node) = fields.get(ResponseObject::realm) else {
        return Ok(None);
    };
    let realm = node.name()?;
    match realm.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        true => Ok(Some(realm)),
        false => Err(node.invalid("may hold printable ASCII characters only")),
    }
}
