//! `from_headers`, `from_params`, `from_cookies`: the locations of a provider's tokens.

use super::error::ConfigError;
use super::field::Reader as _;
use super::fields::{FromHeaderObject, Preferred, ProviderObject};
use super::leftover::has_any;
use super::node::Node;
use super::reader::Fields;
use super::{Names, header_name};
use crate::credential::{DPOP_PREFIX, Location};
use crate::http::is_token_byte;
use crate::ids::LocationId;

/// Reads a provider's locations: those of the configuration, or else `Authorization: Bearer` alone.
// Not inlined, for the memory of Envoy: docs/adr/0010-build-settings.md.
#[inline(never)]
pub(super) fn read(
    fields: &Fields<'_, ProviderObject>,
    takes_dpop: bool,
    names: &mut Names,
) -> Result<Vec<LocationId>, Box<ConfigError>> {
    let mut ids = Vec::new();
    let mut add = |node: &Node<'_>, location, names: &mut Names| {
        let id = names.locations.id(location);
        if ids.contains(&id) {
            return Err(node.invalid("this location is listed twice; leave one out"));
        }
        ids.push(id);
        Ok(())
    };
    if let Some(node) = fields.get(ProviderObject::from_headers) {
        for element in node.list()? {
            let location = read_header(&element, names)?;
            add(&element, location, names)?;
        }
    }
    if let Some(node) = fields.get(ProviderObject::from_params) {
        for element in node.list()? {
            let name = element.name()?;
            if has_any(&name, "?&=#, ") {
                return Err(element.invalid("is not a parameter's name; write it alone, as in access_token"));
            }
            let location = Location::Parameter {
                field: names.field(":path"),
                name,
            };
            add(&element, location, names)?;
        }
    }
    if let Some(node) = fields.get(ProviderObject::from_cookies) {
        for element in node.list()? {
            let name = element.name()?;
            if !name.bytes().all(is_token_byte) {
                return Err(element.invalid(format!("`{name}` is not a cookie's name; write the name alone")));
            }
            let location = Location::Cookie {
                field: names.field("cookie"),
                name,
            };
            add(&element, location, names)?;
        }
    }
    if ids.is_empty() {
        ids.push(authorization(b"Bearer ", names));
    }
    if takes_dpop {
        // RFC 9449 section 7.1: tokens with a proof of possession have a scheme of their own.
        ids.push(authorization(DPOP_PREFIX, names));
    }
    Ok(ids)
}

/// Reads `prefer`: the kind of location that takes precedence.
pub(super) fn read_preferred(
    node: &Node<'_>,
    locations: &[LocationId],
    names: &Names,
) -> Result<Vec<LocationId>, Box<ConfigError>> {
    let kind = ProviderObject::prefer.reader.read(node)?;
    let is_of_kind = |location: &Location| {
        kind == match location {
            Location::Header { .. } => Preferred::Header,
            Location::Parameter { .. } => Preferred::Parameter,
            Location::Cookie { .. } => Preferred::Cookie,
        }
    };
    let preferred: Vec<LocationId> = locations
        .iter()
        .filter(|id| names.locations.get(**id).is_some_and(is_of_kind))
        .copied()
        .collect();
    // Without any, the locations have a fault of their own.
    if !locations.is_empty() && (preferred.is_empty() || preferred.len() == locations.len()) {
        return Err(node.lacks(
            "has no effect: list locations of this kind and of another in `from_headers`, `from_params`, `from_cookies`",
        ));
    }
    Ok(preferred)
}

fn authorization(prefix: &[u8], names: &mut Names) -> LocationId {
    let location = Location::Header {
        field: names.field("authorization"),
        name: "authorization".into(),
        prefix: prefix.into(),
    };
    names.locations.id(location)
}

fn read_header(node: &Node<'_>, names: &mut Names) -> Result<Location, Box<ConfigError>> {
    let fields = node.fields(FromHeaderObject)?;
    // A blank at its end is a part of a scheme.
    let prefix = fields.get(FromHeaderObject::value_prefix);
    let prefix = prefix.map(Node::part).transpose()?.unwrap_or_default();
    let name = header_name::read(fields.require(FromHeaderObject::name)?)?;
    if name == "cookie" {
        return Err(node.invalid("contains all cookies; write `from_cookies: […]`"));
    }
    Ok(Location::Header {
        field: names.field(&name),
        name: name.into(),
        prefix: prefix.into_boxed_bytes(),
    })
}
