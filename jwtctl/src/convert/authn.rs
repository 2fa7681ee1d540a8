//! jwt_authn, with its settings for routes.

use std::rc::Rc;

use super::notes::{Converted, Notes};
use super::provider::{default_locations, without_repeats};
use super::tree::{flag, list, map, member, set, text};
use crate::lints::covers::covers;
use crate::source::{Node, Place, Value, line_and_column};

const AUTHN: &str = "filters.http.jwt_authn.v3.JwtAuthentication";
const PER_ROUTE: &str = "filters.http.jwt_authn.v3.PerRouteConfig";
/// The metadata of a route that this filter reads.
const NAMESPACE: &str = "proxy-wasm-jwt";

/// Every jwt_authn of the documents.
pub(super) fn convert(documents: &[Rc<Node>], notes: &mut Notes, module: &str) -> Vec<Converted> {
    let mut all = Vec::new();
    for document in documents {
        let mut rewritten = (**document).clone();
        let mut configs = Vec::new();
        let reads_metadata = reads_metadata(document);
        rewrite(&mut rewritten, notes, module, reads_metadata, &mut configs);
        let has_several = configs.len() > 1;
        // A document with several filters: the output would otherwise repeat the document around each.
        let mut rewritten = Some(rewritten);
        for config in configs {
            let (file, place) = notes.files.locate(&config.place);
            let (line, _) = line_and_column(&file.text, place.start);
            all.push(Converted {
                config,
                is_within_another: rewritten.is_none(),
                document: rewritten.take(),
                title: has_several.then(|| format!("jwt_authn in {}, line {line}", file.name)),
            });
        }
    }
    all
}

fn is_of_type(node: &Node, name: &str) -> bool {
    node.text_at(&["@type"])
        .is_some_and(|found| found.ends_with(name))
}

/// Whether another filter reads the dynamic metadata of jwt_authn.
fn reads_metadata(document: &Node) -> bool {
    let mut found = false;
    document.walk(&mut |node| {
        for name in ["filter", "metadata_namespace", "key"] {
            found |= node.text_at(&[name]) == Some("envoy.filters.http.jwt_authn");
        }
    });
    found
}

fn rewrite(node: &mut Node, notes: &mut Notes, module: &str, reads_metadata: bool, configs: &mut Vec<Node>) {
    let has_authn = |node: &Node| {
        node.get("typed_config")
            .is_some_and(|config| is_of_type(config, AUTHN))
    };
    if node
        .get("http_filters")
        .is_some_and(|filters| filters.elements().iter().any(has_authn))
    {
        rewrite_manager(node, notes, module, reads_metadata, configs);
        return;
    }
    if is_of_type(node, AUTHN) {
        // A filter by itself, without routes.
        let config = translate(node, None, notes, reads_metadata);
        *node = wasm(&config, module);
        configs.push(config);
        return;
    }
    match &mut node.value {
        Value::Map(members) => {
            for (_, node) in members {
                rewrite(node, notes, module, reads_metadata, configs);
            }
        }
        Value::List(elements) => {
            for node in elements {
                rewrite(node, notes, module, reads_metadata, configs);
            }
        }
        _ => {}
    }
}

/// The settings of a route, a virtual host or all routes for the filter.
#[derive(Clone)]
enum Setting {
    Named(Node),
    Open(Place),
}

fn take_setting(node: &mut Node, notes: &mut Notes) -> Option<Setting> {
    let Value::Map(members) = &mut node.value else {
        return None;
    };
    let position = members
        .iter()
        .position(|(key, _)| key.name == "typed_per_filter_config" || key.name == "typedPerFilterConfig")?;
    let Value::Map(settings) = &mut members.get_mut(position)?.1.value else {
        return None;
    };
    let found = settings.iter().position(|(key, value)| {
        is_of_type(value, PER_ROUTE)
            || value
                .get("config")
                .is_some_and(|inner| is_of_type(inner, PER_ROUTE))
            || key.name.contains("jwt_authn")
    })?;
    let (key, setting) = settings.remove(found);
    if settings.is_empty() {
        members.remove(position);
    }
    let inner = setting.get("config").unwrap_or(&setting);
    let disabled = setting.get("disabled").or(inner.get("disabled"));
    if let Some(disabled) = disabled.filter(|disabled| disabled.bool() == Some(true)) {
        return Some(Setting::Open(disabled.place.clone()));
    }
    match inner.get("requirement_name") {
        Some(name) => Some(Setting::Named(name.clone())),
        None => {
            notes.lost(
                &key.place,
                "this per-route setting is neither `disabled: true` nor a `requirement_name`",
            );
            None
        }
    }
}

fn rewrite_manager(
    manager: &mut Node,
    notes: &mut Notes,
    module: &str,
    reads_metadata: bool,
    configs: &mut Vec<Node>,
) {
    let mut opened: Option<Place> = None;
    let mut named: Vec<Node> = Vec::new();
    let filters = manager
        .get("http_filters")
        .map_or(&[][..], Node::elements)
        .to_vec();
    let count = filters
        .iter()
        .filter(|filter| {
            filter
                .get("typed_config")
                .is_some_and(|config| is_of_type(config, AUTHN))
        })
        .count();
    if count > 1 {
        notes.lost(
            &manager.place,
            "the connection manager has more than one jwt_authn, so it is not clear which of them a per-route setting is for",
        );
    }
    let map_names: Vec<String> = filters
        .iter()
        .filter_map(|filter| filter.at(&["typed_config", "requirement_map"]))
        .flat_map(|map| map.members().iter().map(|(key, _)| key.name.clone()))
        .collect();
    let open = (0..)
        .map(|number| {
            if number == 0 {
                "open".to_owned()
            } else {
                format!("open-{number}")
            }
        })
        .find(|name| !map_names.contains(name))
        .unwrap_or_default();
    if manager.get("rds").is_some() || manager.get("scoped_routes").is_some() {
        notes.look(
            &manager.key_place("rds").unwrap_or(manager.place.clone()),
            "the routes are not in this file: where they are, replace their `typed_per_filter_config` of jwt_authn by metadata",
        );
    }
    if let Value::Map(members) = &mut manager.value
        && let Some((_, routes)) = members
            .iter_mut()
            .find(|(key, _)| key.name == "route_config" || key.name == "routeConfig")
    {
        let of_all = take_setting(routes, notes);
        each(routes, "virtual_hosts", &mut |host: &mut Node| {
            let of_host = take_setting(host, notes).or_else(|| of_all.clone());
            each(host, "routes", &mut |route: &mut Node| {
                let setting = take_setting(route, notes).or_else(|| of_host.clone());
                let mut weighted = Vec::new();
                if let Some(clusters) = route.at(&["route", "weighted_clusters", "clusters"]) {
                    clusters.walk(&mut |node| {
                        let settings = node.get("typed_per_filter_config").map_or(&[][..], Node::members);
                        weighted.extend(
                            settings
                                .iter()
                                .filter(|(_, value)| is_of_type(value, PER_ROUTE))
                                .map(|(key, _)| key.place.clone()),
                        );
                    });
                }
                for place in weighted {
                    notes.lost(&place, "this is a setting of a weighted cluster: the filter decides before Envoy chooses the cluster");
                }
                let name = match setting {
                    Some(Setting::Open(place)) => {
                        let name = text(open.clone(), &place);
                        opened.get_or_insert(place);
                        name
                    }
                    Some(Setting::Named(name)) => {
                        named.push(name.clone());
                        name
                    }
                    None => return,
                };
                name_requirement(route, name);
            });
        });
    }
    for name in &named {
        if !map_names.iter().any(|known| Some(known.as_str()) == name.text()) {
            notes.lost(
                &name.place,
                format!(
                    "`requirement_map` has no `{}`: jwt_authn refuses every request of this route",
                    name.text().unwrap_or_default()
                ),
            );
        }
    }
    each(manager, "http_filters", &mut |filter: &mut Node| {
        let Some(config) = filter
            .get("typed_config")
            .filter(|config| is_of_type(config, AUTHN))
            .cloned()
        else {
            return;
        };
        if filter.get("disabled").and_then(Node::bool) == Some(true) {
            notes.look(
                &filter.place,
                "the filter is `disabled`, and only routes enable it; the conversion keeps this",
            );
        }
        let converted = translate(
            &config,
            opened.clone().map(|place| (open.as_str(), place)),
            notes,
            reads_metadata,
        );
        set(filter, "typed_config", wasm(&converted, module));
        set(filter, "name", text(NAMESPACE, &filter.place.clone()));
        configs.push(converted);
    });
}

/// Runs over the names that the conversion has written into the metadata of routes, each with its path.
pub(super) fn each_name(document: &Node, run: &mut dyn FnMut(&str, &Node)) {
    fn walk(node: &Node, path: &str, run: &mut dyn FnMut(&str, &Node)) {
        for (key, node) in node.members() {
            let path = match path {
                "" => key.name.clone(),
                _ => format!("{path}.{}", key.name),
            };
            match node.at(&["filter_metadata", NAMESPACE, "requirement_name"]) {
                Some(name) => run(
                    &format!("{path}.filter_metadata.{NAMESPACE}.requirement_name"),
                    name,
                ),
                None => walk(node, &path, run),
            }
        }
        for (position, node) in node.elements().iter().enumerate() {
            walk(node, &format!("{path}[{position}]"), run);
        }
    }
    walk(document, "", run);
}

/// Runs over the elements of a list.
fn each(node: &mut Node, name: &str, run: &mut dyn FnMut(&mut Node)) {
    let Value::Map(members) = &mut node.value else {
        return;
    };
    let found = members
        .iter_mut()
        .find(|(key, _)| crate::source::snake_case(&key.name) == name);
    if let Some((_, node)) = found
        && let Value::List(elements) = &mut node.value
    {
        elements.iter_mut().for_each(run);
    }
}

/// Writes the name into the route's metadata, beside the existing members.
fn name_requirement(route: &mut Node, name: Node) {
    let mut metadata = route.get("metadata").cloned().unwrap_or_else(|| map(Vec::new()));
    let mut filters = metadata
        .get("filter_metadata")
        .cloned()
        .unwrap_or_else(|| map(Vec::new()));
    let mut own = filters.get(NAMESPACE).cloned().unwrap_or_else(|| map(Vec::new()));
    set(&mut own, "requirement_name", name);
    if let Value::Map(members) = &mut filters.value {
        members.retain(|(key, _)| key.name != NAMESPACE);
        members.push(member(NAMESPACE, own));
    }
    set(&mut metadata, "filter_metadata", filters);
    set(route, "metadata", metadata);
}

/// The filter in Envoy.
fn wasm(config: &Node, module: &str) -> Node {
    let plain = |value: &str| text(value, &(0..0));
    map(vec![
        (
            "@type",
            plain("type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"),
        ),
        (
            "config",
            map(vec![
                ("name", plain("jwt")),
                ("failure_policy", plain("FAIL_RELOAD")),
                (
                    "vm_config",
                    map(vec![
                        ("vm_id", plain("jwt")),
                        ("runtime", plain("envoy.wasm.runtime.v8")),
                        (
                            "code",
                            map(vec![("local", map(vec![("filename", plain(module))]))]),
                        ),
                    ]),
                ),
                (
                    "configuration",
                    map(vec![
                        ("@type", plain("type.googleapis.com/google.protobuf.Struct")),
                        ("value", config.clone()),
                    ]),
                ),
            ]),
        ),
    ])
}

/// The configuration of jwt_authn for this filter, with its defaults made explicit.
fn translate(authn: &Node, open: Option<(&str, Place)>, notes: &mut Notes, reads_metadata: bool) -> Node {
    let mut config = authn.clone();
    if let Value::Map(members) = &mut config.value {
        members.retain(|(key, _)| key.name != "@type");
        if let Some((_, providers)) = members.iter_mut().find(|(key, _)| key.name == "providers")
            && let Value::Map(providers) = &mut providers.value
        {
            for (key, provider) in providers {
                translate_provider(&key.place, provider, notes, reads_metadata);
            }
        }
    }
    if let Some((open, place)) = open {
        let mut requirements = config
            .get("requirement_map")
            .cloned()
            .unwrap_or_else(|| map(Vec::new()));
        set(&mut requirements, open, Node::new(Value::Map(Vec::new()), place));
        set(&mut config, "requirement_map", requirements);
    }
    let all = map(vec![("prefix", text("/", &(0..0)))]);
    let mut rules = config.get("rules").map_or(&[][..], Node::elements).to_vec();
    let is_total = rules
        .iter()
        .any(|rule| rule.get("match").is_some_and(|matcher| covers(matcher, &all)));
    if config.get("filter_state_rules").is_some() {
        notes.look(
            &config.key_place("filter_state_rules").unwrap_or(config.place.clone()),
            "jwt_authn lets a request pass without a token if no rule and no value here applies to it; this filter requires a token",
        );
    } else if !is_total {
        rules.push(map(vec![("match", all)]));
        let place = config
            .get("rules")
            .map_or(config.place.clone(), |rules| rules.place.clone());
        set(&mut config, "rules", Node { place, ..list(rules) });
        notes.look(
            &authn.key_place("rules").unwrap_or(authn.place.clone()),
            "jwt_authn lets a request that no rule matches pass without a token; the last rule keeps this. Remove that rule to require a token",
        );
    }
    config
}

fn translate_provider(
    name: &crate::source::Place,
    provider: &mut Node,
    notes: &mut Notes,
    reads_metadata: bool,
) {
    if provider
        .get("issuer")
        .is_none_or(|issuer| issuer.text() == Some(""))
    {
        notes.lost(name, "without `issuer`, jwt_authn accepts tokens of any issuer that this key signs; write the `iss` of the tokens");
        set(
            provider,
            "issuer",
            text("https://write-the-issuer.invalid", &(0..0)),
        );
    }
    if provider
        .get("audiences")
        .is_none_or(|all| all.elements().is_empty())
    {
        notes.look(
            name,
            "without `audiences`, tokens for any service are accepted; `[\"*\"]` keeps this",
        );
        set(provider, "audiences", list(vec![text("*", &(0..0))]));
    }
    if provider.get("require_expiration").is_none() && provider.get("max_lifetime").is_none() {
        notes.look(
            name,
            "jwt_authn accepts tokens that never expire; `require_expiration: false` keeps this",
        );
        set(provider, "require_expiration", flag(false));
    }
    without_repeats(provider);
    let is_empty = |field: &str| provider.get(field).is_none_or(|node| node.elements().is_empty());
    if ["from_headers", "from_params", "from_cookies"]
        .iter()
        .all(|field| is_empty(field))
    {
        default_locations(provider);
    }
    for field in [
        "payload_in_metadata",
        "header_in_metadata",
        "failed_status_in_metadata",
    ] {
        if let Some(node) = provider.get(field) {
            let message = "a module cannot write dynamic metadata: the filter writes the filter state `wasm.jwt.metadata.…`";
            match reads_metadata {
                true => notes.lost(&node.place, format!("{message}, but another filter in this file reads the dynamic metadata; see docs/coming-from-jwt_authn.md")),
                false => notes.look(&node.place, message),
            }
        }
    }
}
