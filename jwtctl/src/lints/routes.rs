//! Routes that Envoy selects by a part of the request that the filter changes.

use super::Lints;
use crate::input::{Found, Holder};
use crate::report::Level;
use crate::source::Node;

/// The metadata in which a route names its requirement.
const METADATA: &str = "proxy-wasm-jwt";

/// The parts of a request that the filter changes.
#[derive(Default)]
struct Edited {
    headers: Vec<String>,
    parameters: Vec<String>,
    has_cookies: bool,
}

impl Edited {
    fn of(config: &Node) -> Self {
        let mut edited = Self::default();
        for (_, provider) in config.get("providers").map_or(&[][..], Node::members) {
            edited.add_written(provider);
            let is_forwarded = provider.get("forward").and_then(Node::bool) == Some(true);
            // A preference removes the tokens in the other locations in any case.
            if !is_forwarded || provider.get("prefer").is_some() {
                edited.add_locations(provider);
            }
        }
        edited
    }

    /// The headers that the filter sets, or removes if the client sent them.
    fn add_written(&mut self, provider: &Node) {
        let claims = provider.get("claim_to_headers").map_or(&[][..], Node::elements);
        let headers = claims.iter().filter_map(|claim| claim.text_at(&["header_name"]));
        let payload = provider.text_at(&["forward_payload_header"]);
        self.headers
            .extend(headers.chain(payload).map(str::to_ascii_lowercase));
    }

    /// The locations of a token, which the filter removes.
    fn add_locations(&mut self, provider: &Node) {
        let list = |name: &str| {
            let node = provider.get(name);
            node.map_or(&[][..], Node::elements).iter().chain(node)
        };
        let texts = |name: &str| list(name).filter_map(Node::text).map(str::to_owned);
        let headers: Vec<&str> = list("from_headers")
            .filter_map(|header| header.text_at(&["name"]))
            .collect();
        let has_other = texts("from_params").chain(texts("from_cookies")).next().is_some();
        if headers.is_empty() && !has_other {
            self.headers.push("authorization".to_owned());
        }
        self.headers
            .extend(headers.into_iter().map(str::to_ascii_lowercase));
        self.parameters.extend(texts("from_params"));
        self.has_cookies |= texts("from_cookies").next().is_some();
    }

    /// Whether the filter changes this header.
    fn header(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.headers.contains(&name) || (self.has_cookies && name == "cookie")
    }
}

impl Lints {
    /// Routes with a requirement of their own beside routes that Envoy selects by something that the filter
    /// changes. The native module keeps the route.
    pub(super) fn edited_routes(&mut self, found: &Found) {
        let hosts = found
            .manager
            .as_ref()
            .and_then(|manager| manager.at(&["route_config", "virtual_hosts"]));
        let (Some(hosts), Holder::Envoy) = (hosts, found.holder) else {
            return;
        };
        let mut names_requirement = false;
        hosts.walk(&mut |node| {
            names_requirement |= node.at(&["metadata", "filter_metadata", METADATA]).is_some();
        });
        if !names_requirement {
            return;
        }
        let edited = Edited::of(&found.config);
        for host in hosts.elements() {
            for route in host.get("routes").map_or(&[][..], Node::elements) {
                self.edited_route(route, &edited);
            }
        }
    }

    fn edited_route(&mut self, route: &Node, edited: &Edited) {
        let of = |name: &str| {
            let matchers = route.at(&["match", name]).map_or(&[][..], Node::elements);
            matchers.iter().filter_map(|matcher| matcher.get("name"))
        };
        let headers = of("headers").map(|name| ("header", name));
        let parameters = of("query_parameters").map(|name| ("query parameter", name));
        let cookies = of("cookies").map(|name| ("cookie", name));
        for (kind, node) in headers.chain(parameters).chain(cookies) {
            let name = node.text().unwrap_or_default();
            let is_edited = match kind {
                "header" => edited.header(name),
                "query parameter" => edited.parameters.iter().any(|known| known == name),
                _ => edited.has_cookies,
            };
            if !is_edited {
                continue;
            }
            let message = format!(
                "Envoy selects this route by the {kind} `{name}`, which the filter changes, and then selects the route \
                 again: the upstream may receive a request before the filter checks the requirement of the new route"
            );
            self.add(Level::Warning, "edited-route", message, node.place.clone(), "")
                .help = Some(
                "select the route by the path, the host or another header; or write the requirement into `rules`, \
                 where the filter compares the request as the client sent it; or use the native module, which keeps \
                 the route"
                    .to_owned(),
            );
        }
    }
}
