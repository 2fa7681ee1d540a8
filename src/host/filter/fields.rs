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
}
