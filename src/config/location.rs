//! `from_headers`, `from_params`, `from_cookies`: where a provider's tokens are looked for.

use super::error::ConfigError;
use super::reader::{Fields, Node};
use super::{Names, header_name};
use crate::credential::{DPOP_PREFIX, Location};
use crate::http::is_token_byte;
use crate::ids::LocationId;

/// Every location of every provider, each once.
#[derive(Debug, Default)]
pub(super) struct Locations(Vec<Location>);

impl Locations {
    pub(super) fn into_vec(self) -> Vec<Location> {
        self.0
    }

    pub(super) fn get(&self, id: LocationId) -> Option<&Location> {
        self.0.get(id.index())
    }

    fn id(&mut self, location: Location) -> LocationId {
        if let Some(index) = self.0.iter().position(|known| *known == location) {
            return LocationId::new(index);
        }
        self.0.push(location);
        LocationId::new(self.0.len().saturating_sub(1))
    }
}

/// Reads a provider's locations: those that it names, or `Authorization: Bearer` alone.
pub(super) fn read(
    fields: &Fields<'_>,
    takes_dpop: bool,
    names: &mut Names,
) -> Result<Vec<LocationId>, Box<ConfigError>> {
    let mut ids = Vec::new();
    let mut add = |node: &Node<'_>, location, names: &mut Names| {
        let id = names.locations.id(location);
        if ids.contains(&id) {
            return Err(node.invalid("this location stands there twice"));
        }
        ids.push(id);
        Ok(())
    };
    if let Some(node) = fields.get("from_headers") {
        for element in node.list()? {
            let location = read_header(&element, names)?;
            add(&element, location, names)?;
        }
    }
    if let Some(node) = fields.get("from_params") {
        for element in node.list()? {
            let location = Location::Parameter {
                field: names.field(":path"),
                name: element.name()?,
            };
            add(&element, location, names)?;
        }
    }
    if let Some(node) = fields.get("from_cookies") {
        for element in node.list()? {
            let name = element.name()?;
            if !name.bytes().all(is_token_byte) {
                return Err(element.invalid(format!("`{name}` is not a cookie's name")));
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
        // RFC 9449 section 7.1: tokens that a proof goes with have a scheme of their own.
        ids.push(authorization(DPOP_PREFIX, names));
    }
    Ok(ids)
}

/// Reads `prefer`: the kind of place whose token goes first.
pub(super) fn read_preferred(
    node: &Node<'_>,
    locations: &[LocationId],
    names: &Names,
) -> Result<Vec<LocationId>, Box<ConfigError>> {
    type IsOfKind = fn(&Location) -> bool;
    let kinds: [(&'static str, IsOfKind); 3] = [
        ("header", |location| matches!(location, Location::Header { .. })),
        ("param", |location| matches!(location, Location::Parameter { .. })),
        ("cookie", |location| matches!(location, Location::Cookie { .. })),
    ];
    let is_of_kind = node.one_of(&kinds)?;
    let preferred: Vec<LocationId> = locations
        .iter()
        .filter(|id| names.locations.get(**id).is_some_and(is_of_kind))
        .copied()
        .collect();
    if preferred.is_empty() || preferred.len() == locations.len() {
        return Err(node.invalid(
            "prefers nothing: name places of this kind and of another in `from_headers`, `from_params`, `from_cookies`",
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
    let fields = node.fields(&["name", "value_prefix"])?;
    let name = header_name::read(fields.require("name", "write the header that carries the token")?)?;
    let prefix = match fields.get("value_prefix") {
        Some(node) => node.text()?,
        None => Box::default(),
    };
    Ok(Location::Header {
        field: names.field(&name),
        name: name.into(),
        prefix: prefix.into_boxed_bytes(),
    })
}
