//! `response`: how refusals are written.

use super::error::ConfigError;
use super::reader::Node;
use crate::reply::{BodyFormat, ReplyStyle};

/// RFC 6750 section 3 wants a challenge to have at least one parameter; this realm is it where none is configured.
const DEFAULT_REALM: &str = "jwt";

pub(super) fn read(node: Option<&Node<'_>>, stripped: bool) -> Result<ReplyStyle, Box<ConfigError>> {
    let mut style = ReplyStyle {
        realm: DEFAULT_REALM.to_owned(),
        body: BodyFormat::default(),
        stripped,
        dpop_algorithms: None,
    };
    let Some(node) = node else { return Ok(style) };
    let fields = node.fields(&["realm", "body"])?;
    if let Some(node) = fields.get("realm") {
        let realm = node.name()?;
        if !realm.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Err(node.invalid("may hold printable ASCII characters only"));
        }
        style.realm = realm.into();
    }
    if let Some(node) = fields.get("body") {
        style.body = node.one_of(&[
            ("json", BodyFormat::Json),
            ("text", BodyFormat::Text),
            ("none", BodyFormat::None),
        ])?;
    }
    Ok(style)
}
