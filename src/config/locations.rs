//! Every location of every provider, each once.

use crate::credential::Location;
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

    pub(super) fn id(&mut self, location: Location) -> LocationId {
        if let Some(index) = self.0.iter().position(|known| *known == location) {
            return LocationId::new(index);
        }
        self.0.push(location);
        LocationId::new(self.0.len().saturating_sub(1))
    }
}
