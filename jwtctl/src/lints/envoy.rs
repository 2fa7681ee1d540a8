//! The settings of Envoy around the filter.

use super::{Lints, name_place};
use crate::input::{Found, Holder};
use crate::report::Level;
use crate::source::Node;

impl Lints {
    pub(super) fn holder(&mut self, found: &Found) {
        let object = &found.object;
        let help = |text: &str| Some(text.to_owned());
        match found.holder {
            // After a fault of the native module, Envoy answers 500 for one request. There is no other
            // choice.
            Holder::Bare | Holder::Native => {}
            Holder::Envoy => {
                let policy = object.get("failure_policy");
                match policy.and_then(Node::text) {
                    Some("FAIL_OPEN") => {
                        let place = policy.map_or(object.place.clone(), |node| node.place.clone());
                        let message = "while the module is down, every request passes without a token";
                        self.add(Level::Error, "fails-open", message, place, "").help =
                            help("write FAIL_RELOAD");
                    }
                    Some("FAIL_RELOAD") => {}
                    _ => {
                        let place = policy.map_or_else(|| name_place(object), |node| node.place.clone());
                        let message = "after a crash of the module, Envoy answers 503 to every request until it is restarted";
                        self.add(Level::Warning, "failure-policy", message, place, "")
                            .help = help("write `failure_policy: FAIL_RELOAD` beside `vm_config`");
                    }
                }
                if let Some(open) = object.get("fail_open").filter(|open| open.bool() == Some(true)) {
                    let message = "while the module is down, every request passes without a token";
                    self.add(Level::Error, "fails-open", message, open.place.clone(), "")
                        .help = help("write `failure_policy: FAIL_RELOAD` in its place");
                }
            }
            Holder::Istio => {
                let strategy = object.get("failStrategy");
                let place = strategy.map_or_else(|| name_place(object), |node| node.place.clone());
                match strategy.and_then(Node::text) {
                    Some("FAIL_OPEN") => {
                        let message = "while the module is down, every request passes without a token";
                        self.add(Level::Error, "fails-open", message, place, "").help =
                            help("write FAIL_RELOAD, or FAIL_CLOSE before Istio 1.27");
                    }
                    Some("FAIL_RELOAD") => {}
                    _ => {
                        let message = "after a crash of the module, Envoy answers 503 to every request until it is restarted";
                        self.add(Level::Warning, "failure-policy", message, place, "")
                            .help = help("write `failStrategy: FAIL_RELOAD` (Istio 1.27 or later)");
                    }
                }
            }
            Holder::EnvoyGateway => {
                if let Some(open) = object.get("failOpen").filter(|open| open.bool() == Some(true)) {
                    let message = "while the module is down, every request passes without a token";
                    self.add(Level::Error, "fails-open", message, open.place.clone(), "")
                        .help = help("remove it");
                }
            }
        }
    }

    pub(super) fn manager(&mut self, found: &Found) {
        let Some(manager) = &found.manager else { return };
        // A fragment does not show its surroundings.
        if manager.get("stat_prefix").is_none() && manager.text_at(&["@type"]).is_none() {
            return;
        }
        let place = manager.key_place("http_filters").unwrap_or(manager.place.clone());
        let underscores =
            manager.text_at(&["common_http_protocol_options", "headers_with_underscores_action"]);
        if !matches!(underscores, Some("REJECT_REQUEST" | "DROP_HEADER")) {
            let message =
                "Envoy forwards headers such as `x_jwt_sub`, which many applications treat as `x-jwt-sub`";
            self.add(Level::Warning, "underscores", message, place.clone(), "").help = Some(
                "write `common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}`; the filter \
                 itself only looks at names that its configuration has"
                    .to_owned(),
            );
        }
        let mut lacking = Vec::new();
        for name in ["normalize_path", "merge_slashes"] {
            if manager.get(name).and_then(Node::bool) != Some(true) {
                lacking.push(format!("`{name}: true`"));
            }
        }
        let escaped = manager.text_at(&["path_with_escaped_slashes_action"]);
        if matches!(
            escaped,
            None | Some("KEEP_UNCHANGED" | "IMPLEMENTATION_SPECIFIC_DEFAULT")
        ) {
            lacking.push("`path_with_escaped_slashes_action: REJECT_REQUEST`".to_owned());
        }
        if !lacking.is_empty() {
            let message = "Envoy forwards paths that servers interpret differently, such as `/a/../b`";
            self.add(Level::Warning, "path-normalization", message, place, "")
                .help = Some(format!(
                "write {}; for such a path, the filter requires what every rule that could apply requires",
                lacking.join(", ")
            ));
        }
        for filter in manager.get("http_filters").map_or(&[][..], Node::elements) {
            let of_type = filter.text_at(&["typed_config", "@type"]).unwrap_or_default();
            if of_type.ends_with("filters.http.jwt_authn.v3.JwtAuthentication") {
                let message = "jwt_authn is in the same chain: each of the two filters requires a token, and the first \
                               one takes the token out of the request unless it has `forward: true`";
                self.add(
                    Level::Warning,
                    "jwt-authn-beside",
                    message,
                    filter.place.clone(),
                    "",
                )
                .help = Some("`jwtctl convert` converts its configuration to one of this filter".to_owned());
            }
        }
    }

    /// Per-route settings of jwt_authn, which no filter reads any longer.
    pub(super) fn left_behind(&mut self, document: &Node) {
        let mut has_jwt_authn = false;
        document.walk(&mut |node| {
            has_jwt_authn |= node
                .text_at(&["@type"])
                .is_some_and(|name| name.ends_with("filters.http.jwt_authn.v3.JwtAuthentication"));
        });
        let mut places = Vec::new();
        document.walk(&mut |node| {
            let settings = node.get("typed_per_filter_config");
            for (key, value) in settings.map_or(&[][..], Node::members) {
                let of_type = value.text_at(&["@type"]).unwrap_or_default();
                if key.name.contains("jwt_authn") || of_type.contains("filters.http.jwt_authn.") {
                    let name = value.text_at(&["requirement_name"]).map(str::to_owned);
                    let is_off = value.get("disabled").and_then(Node::bool) == Some(true);
                    places.push((key.place.clone(), name, is_off));
                }
            }
        });
        for (place, name, is_off) in places.into_iter().filter(|_| !has_jwt_authn) {
            let message = "this per-route setting is for jwt_authn, which is not in the chain, and this filter does not read it";
            self.add(Level::Error, "jwt-authn-left-behind", message, place, "")
                .help = Some(match (name, is_off) {
                (Some(name), _) => format!(
                    "write the requirement into the route's metadata: `metadata: {{filter_metadata: {{proxy-wasm-jwt: \
                     {{requirement_name: {name}}}}}}}`"
                ),
                (None, true) => {
                    "give the route a requirement of its own that needs no token, or a rule".to_owned()
                }
                (None, false) => "remove it".to_owned(),
            });
        }
    }

    /// Plugins that Istio applies to no proxy: only waypoints are chosen by their GatewayClass.
    pub(super) fn attachments(&mut self, document: &Node) {
        let mut places = Vec::new();
        document.walk(&mut |node| {
            if !matches!(node.text_at(&["kind"]), Some("WasmPlugin" | "TrafficExtension")) {
                return;
            }
            let targets = node.at(&["spec", "targetRefs"]).map_or(&[][..], Node::elements);
            for target in targets {
                if target.text_at(&["kind"]) == Some("GatewayClass")
                    && target.text_at(&["name"]) != Some("istio-waypoint")
                {
                    places.push(target.place.clone());
                }
            }
        });
        for place in places {
            let message = "Istio applies this to no gateway, so requests pass without a token: a GatewayClass selects \
                           waypoints only";
            self.add(Level::Error, "applies-nowhere", message, place, "").help = Some(
                "write `{group: gateway.networking.k8s.io, kind: Gateway, name: <the name of the Gateway>}`, in the \
                 namespace of the Gateway"
                    .to_owned(),
            );
        }
    }
}
