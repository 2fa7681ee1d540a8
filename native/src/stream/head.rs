//! The parts of a request that the decision needs, from Envoy.

use std::sync::Once;

use proxy_wasm_jwt::request::RequestHead;

use super::state::Stream;
use crate::binding::{Attribute, Host, Map};
use crate::route::{self, Applied};
use crate::worker::Worker;

impl Stream {
    /// Reads the parts of a request that the configuration needs, and removes the fields that its client must
    /// not send, before it may wait.
    /// `named` is the requirement in the route's own configuration of this filter.
    pub(super) fn read_head(
        &self,
        worker: &Worker,
        host: &mut Host<'_>,
        named: Option<Vec<u8>>,
        request: &mut RequestHead,
    ) -> Option<()> {
        let config = &worker.config;
        if worker.reads_by_name {
            for (field, name) in config.wanted.iter() {
                if let Some((value, _)) = host.header(Map::RequestHeaders, name.as_bytes(), 0) {
                    request.push(field, value);
                }
            }
        } else if !host.each_header(Map::RequestHeaders, |name, value| {
            request.take(&config.headers, name, value);
        }) {
            return None;
        }
        // Envoy has chosen this route by the fields as the client sent them.
        request.route_requirement = named.or_else(|| requirement_in_metadata(host));
        if let Some(rules) = &config.policy.filter_state_rules {
            request.filter_state = host.filter_state(&rules.name);
        }
        if config.reads_certificate {
            request.peer_certificate = host
                .attribute(Attribute::PeerCertificateDigest)
                .filter(|digest| !digest.is_empty());
        }
        if config.reads_address {
            request.source_address = host.attribute(Attribute::SourceAddress);
        }
        let is_done = request
            .removed()
            .all(|name| host.set_header(Map::RequestHeaders, name, None));
        if request.route_is_in_doubt() {
            // The client's value of an owned header did not select the route.
            host.clear_route_cache();
        }
        is_done.then_some(())
    }
}

/// The configuration of this filter that the route, its virtual host or all routes have.
pub(super) fn applied_config(host: &Host<'_>) -> Applied {
    static REPORT: Once = Once::new();
    let applied = host.route_config().map_or(Applied::None, route::find);
    if applied == Applied::Foreign {
        REPORT.call_once(|| {
            log::error!(
                "the configuration of a route for this filter is of another module: name one and the same \
                 file in the route and in the filter; its requests get status 500"
            );
        });
    }
    applied
}

/// The entry of `requirement_map` that the route names: in its own configuration of this filter or, as for
/// the wasm module, in its metadata under `proxy-wasm-jwt`. Unreadable metadata counts as an unknown name:
/// the request is refused.
pub(super) fn route_requirement(host: &Host<'_>) -> Option<Vec<u8>> {
    applied_config(host)
        .requirement_name()
        .or_else(|| requirement_in_metadata(host))
}

/// The same in the route's metadata only.
fn requirement_in_metadata(host: &Host<'_>) -> Option<Vec<u8>> {
    host.route_metadata("proxy-wasm-jwt", "requirement_name")
        .unwrap_or_else(|()| Some(Vec::new()))
}
