//! Extension backends of Envoy Gateway: the names of the clusters that it creates for them.
//!
//! The filter can read such a name only while it handles a request, from the metadata of the route. Another
//! route may name another cluster, and the name may change. So a worker reads the name from a request, keeps
//! it while Envoy has a cluster of this name, and then reads it from a request again.

use super::source::ClusterRef;

/// The metadata of a route that contain the names, by alias.
pub const EXTENSION_BACKENDS: &str = "gateway.envoyproxy.io/extension-backends";

/// The filter ignores longer names.
pub(crate) const MAX_CLUSTER_NAME: usize = 1024;

/// The names that this worker knows.
#[derive(Debug, Default)]
pub(super) struct Backends(Vec<Backend>);

#[derive(Debug)]
struct Backend {
    alias: Box<str>,
    cluster: Option<Box<str>>,
}

impl Backends {
    /// These aliases, without any name.
    pub(super) fn new(aliases: Vec<Box<str>>) -> Self {
        let unknown = |alias| Backend { alias, cluster: None };
        Self(aliases.into_iter().map(unknown).collect())
    }

    /// Whether every alias has a name.
    pub(super) fn are_known(&self) -> bool {
        self.0.iter().all(|backend| backend.cluster.is_some())
    }

    /// Removes all names, because Envoy does not have one of the clusters.
    pub(super) fn forget(&mut self) {
        for backend in &mut self.0 {
            backend.cluster = None;
        }
    }

    /// The aliases without a name.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &str> {
        let unknown = self.0.iter().filter(|backend| backend.cluster.is_none());
        unknown.map(|backend| &*backend.alias)
    }

    /// Sets the name of an alias that has none.
    pub(super) fn learn(&mut self, alias: &str, cluster: &str) {
        let mut all = self.0.iter_mut();
        if let Some(backend) = all.find(|backend| *backend.alias == *alias && backend.cluster.is_none()) {
            backend.cluster = Some(cluster.into());
        }
    }

    fn find(&self, alias: &str) -> Option<&str> {
        let found = self.0.iter().find(|backend| *backend.alias == *alias);
        found.and_then(|backend| backend.cluster.as_deref())
    }

    /// The name of a cluster. It is empty for an alias without a name: no cluster has an empty name.
    pub(super) fn name<'n>(&'n self, cluster: &'n ClusterRef) -> &'n str {
        match cluster {
            ClusterRef::Named(name) => name,
            ClusterRef::Backend(alias) => self.find(alias).unwrap_or_default(),
        }
    }
}
