//! The header fields of a request that the configuration needs.

use super::Filter;
use crate::host::abi::{self, Map, Status};
use crate::request::RequestHead;

impl Filter {
    /// Reads the wanted fields into `request`. It reads them one by one if each occurs once and no name has
    /// another spelling. Otherwise it reads all fields in one call, because a read by name returns only the
    /// first of several values.
    pub(in crate::host) fn read_fields(&self, request: &mut RequestHead) -> Result<(), Status> {
        let wanted = self.wanted();
        if self.reads_by_name() {
            for (field, name) in wanted.iter() {
                if let Some(value) = abi::header(Map::RequestHeaders, name)? {
                    request.push(field, value);
                }
            }
            return Ok(());
        }
        let bytes = abi::headers(Map::RequestHeaders)?;
        let known = &self.config().headers;
        abi::each_pair(&bytes, |name, value| request.take(known, name, value))
    }

    /// The requirement that the route names, or else its virtual host.
    ///
    /// The route is read if there is no `requirement_map` too: the filter refuses a name that it does not
    /// know. The virtual host is not read, because that would cost each request a second host call.
    pub(in crate::host) fn route_requirement(&self) -> Result<Option<Vec<u8>>, Status> {
        let named = requirement_name("xds\0route_metadata\0filter_metadata\0proxy-wasm-jwt")?;
        if named.is_some() || self.policy().requirement_map.is_empty() {
            return Ok(named);
        }
        requirement_name("xds\0virtual_host_metadata\0filter_metadata\0proxy-wasm-jwt")
    }
}

/// `requirement_name` in this metadata. An unreadable value counts as an unknown name: the request is
/// refused.
fn requirement_name(metadata: &str) -> Result<Option<Vec<u8>>, Status> {
    let Some(bytes) = abi::property(metadata)? else {
        return Ok(None);
    };
    let pairs = abi::pairs(&bytes)?;
    let named = pairs.into_iter().find(|(name, _)| *name == b"requirement_name");
    Ok(named.map(|(_, value)| value.to_vec()))
}
