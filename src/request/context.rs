//! Facts about a request that the engine seldom needs.

/// The connection and the route of a request. The engine asks while it handles the request, so the host must
/// not call the engine to answer. `()` knows nothing.
pub trait RequestContext {
    /// The client's address with its port.
    fn source_address(&self) -> Option<Vec<u8>>;

    /// The cluster that the metadata of the route name for an extension backend.
    fn backend_cluster(&self, alias: &str) -> Option<Vec<u8>>;
}

impl RequestContext for () {
    fn source_address(&self) -> Option<Vec<u8>> {
        None
    }

    fn backend_cluster(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}
