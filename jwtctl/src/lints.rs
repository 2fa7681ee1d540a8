//! Settings that load, but are probably unintended or unsafe.

use std::rc::Rc;

use crate::core::{self, Config, Request};
use crate::faults::Faults;
use crate::input::{Contents, Found, Holder};
use crate::report::{File, Finding, Level};
use crate::source::{Node, Place, Value, snake_case};

/// The names of the findings, each with its subject.
pub(crate) const CODES: &[(&str, &str)] = &[
    ("syntax", "The file is neither YAML nor JSON."),
    (
        "configuration-type",
        "Envoy does not pass the configuration to the filter.",
    ),
    (
        "configuration-text",
        "The configuration is a string that is not JSON.",
    ),
    ("not-an-object", "The configuration is not an object."),
    ("unknown-field", "No field has this name."),
    ("duplicate", "A field is written twice."),
    ("missing-field", "A required field is missing."),
    ("wrong-type", "A value has another type than the field."),
    ("unknown-name", "A name refers to nothing."),
    ("not-allowed", "The value is not one of the allowed values."),
    ("invalid", "The value cannot work."),
    (
        "no-configuration",
        "The file has no configuration of this filter.",
    ),
    ("other-module", "jwtctl does not check another Wasm filter."),
    ("unknown-cluster", "The bootstrap has no cluster of this name."),
    (
        "jwt-authn-left-behind",
        "A setting of jwt_authn that this filter does not read.",
    ),
    ("jwt-authn-beside", "jwt_authn verifies tokens in the same chain."),
    (
        "failure-policy",
        "After a crash of the module, Envoy answers 503.",
    ),
    ("fails-open", "Requests pass while the module is down."),
    (
        "tls-validation",
        "The cluster accepts any certificate, or uses no TLS.",
    ),
    ("plain-http", "The filter fetches keys without TLS."),
    ("underscores", "Envoy lets header names with underscores pass."),
    ("path-normalization", "Envoy does not normalize paths."),
    (
        "unreachable-rule",
        "An earlier rule matches every request of this rule.",
    ),
    (
        "wide-waiver",
        "A rule lets more requests pass without a token than it seems to.",
    ),
    (
        "waives-everything",
        "A rule lets every request pass without a token.",
    ),
    (
        "client-decides",
        "The client decides whether its request needs a token.",
    ),
    ("any-audience", "The filter accepts tokens for any audience."),
    ("no-expiration", "The filter accepts tokens that never expire."),
    ("shadow-mode", "The filter only counts refusals."),
    ("unused", "Nothing uses this."),
    ("private-key", "The configuration contains a private key."),
];

/// Checks one configuration and the file around it.
pub(crate) fn find(found: &Found, faults: &Faults) -> Vec<Finding> {
    let mut lints = Lints {
        file: found.file.clone(),
        findings: Vec::new(),
    };
    lints.holder(found);
    lints.manager(found);
    lints.providers(found, faults);
    if let Some(config) = &faults.parsed {
        lints.rules(faults, config);
        lints.unused(&faults.config);
    }
    lints.findings
}

/// Checks the parts of a file outside the filter's configuration.
pub(crate) fn find_in_file(contents: &Contents) -> Vec<Finding> {
    let mut lints = Lints {
        file: contents.file.clone(),
        findings: Vec::new(),
    };
    if !contents.found.is_empty() {
        for document in &contents.documents {
            lints.left_behind(document);
        }
    }
    for place in &contents.others {
        let message = "this Wasm filter does not seem to be proxy-wasm-jwt, so jwtctl did not check it";
        lints.add(Level::Note, "other-module", message, place.clone(), "");
    }
    lints.findings
}

/// Whether the part of the configuration is as its author wrote it. A replacement for a fault has no meaning.
fn is_sound(part: &Node, faults: &Faults) -> bool {
    let within = |place: &Place| part.place.start <= place.start && place.end <= part.place.end;
    !faults.findings.iter().any(|fault| within(&fault.place)) && !part.place.is_empty()
}

/// The filter's warning that earlier rules hide this one together.
fn together(parsed: &Config, rule: usize) -> Option<String> {
    let rule = format!("rules[{rule}]");
    parsed.warnings.iter().find_map(|warning| {
        let (place, what) = warning.split_once(": ")?;
        let part = place.strip_prefix(&rule)?;
        let what = what.strip_prefix("never matches: ")?;
        Some(match part {
            "" => format!("this rule never applies: {what}"),
            part => format!(
                "a part of this rule (`{}`) never applies: {what}",
                part.trim_start_matches('.')
            ),
        })
    })
}

struct Lints {
    file: Rc<File>,
    findings: Vec<Finding>,
}

impl Lints {
    fn add(
        &mut self,
        level: Level,
        code: &'static str,
        message: impl Into<String>,
        place: Place,
        path: &str,
    ) -> &mut Finding {
        self.findings.push(Finding {
            level,
            code,
            message: message.into(),
            file: self.file.clone(),
            place,
            path: path.to_owned(),
            help: None,
            related: None,
        });
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    fn holder(&mut self, found: &Found) {
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

    fn manager(&mut self, found: &Found) {
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
    fn left_behind(&mut self, document: &Node) {
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

    fn providers(&mut self, found: &Found, faults: &Faults) {
        let config = &faults.config;
        let clusters = clusters(&found.document);
        for (key, provider) in found.config.get("providers").map_or(&[][..], Node::members) {
            self.private_keys(provider, &format!("providers.{}", key.name));
        }
        let providers = config.get("providers").map_or(&[][..], Node::members);
        for (key, provider) in providers {
            let path = format!("providers.{}", key.name);
            let audiences = provider.get("audiences");
            let is_any = |node: &Node| node.text() == Some("*");
            if let Some(audiences) = audiences.filter(|all| is_any(all) || all.elements().iter().any(is_any))
                && !audiences.place.is_empty()
                && is_sound(audiences, faults)
            {
                let message = "the filter also accepts tokens that the issuer made for any other service";
                self.add(
                    Level::Warning,
                    "any-audience",
                    message,
                    audiences.place.clone(),
                    &format!("{path}.audiences"),
                )
                .help =
                    Some("list the audience of this service, if the issuer's tokens have `aud`".to_owned());
            }
            if let Some(flag) = provider
                .get("require_expiration")
                .filter(|flag| flag.bool() == Some(false))
            {
                let message = "the filter accepts a token without `exp` for ever";
                let path = format!("{path}.require_expiration");
                self.add(
                    Level::Warning,
                    "no-expiration",
                    message,
                    flag.place.clone(),
                    &path,
                );
            }
            let mut sources = Vec::new();
            if let Some(uri) = provider.at(&["remote_jwks", "http_uri"]) {
                sources.push((
                    uri.get("cluster"),
                    uri.get("uri"),
                    uri.text_at(&["uri"]).unwrap_or_default().to_owned(),
                ));
            }
            if let Some(discovery) = provider.get("discovery") {
                let issuer = discovery.get("issuer").or(provider.get("issuer"));
                let uri = discovery.get("uri").or(issuer);
                let text = uri.and_then(Node::text).unwrap_or_default().to_owned();
                sources.push((discovery.get("cluster"), uri, text));
                for (_, cluster) in discovery.get("clusters").map_or(&[][..], Node::members) {
                    sources.push((Some(cluster), None, "https://".to_owned()));
                }
            }
            for (cluster, address, uri) in sources {
                let Some(cluster) = cluster else { continue };
                let name = cluster.text().unwrap_or_default();
                let is_local = uri.strip_prefix("http://").is_some_and(|rest| {
                    ["127.0.0.1", "localhost", "[::1]"]
                        .iter()
                        .any(|host| rest.starts_with(host))
                });
                if uri.starts_with("http://") && !is_local {
                    let message = format!(
                        "the filter fetches the keys of {} without TLS: an attacker in the network can replace them",
                        key.name
                    );
                    let place = address.unwrap_or(cluster).place.clone();
                    self.add(Level::Warning, "plain-http", message, place, &path);
                }
                let Some(clusters) = &clusters else { continue };
                match clusters
                    .known
                    .iter()
                    .find(|known| known.text_at(&["name"]) == Some(name))
                {
                    None if cluster.place.is_empty() || name == "stand-in" => {}
                    // Envoy Gateway makes it.
                    None if cluster.get("backend").is_some() => {}
                    None => {
                        let level = if clusters.is_all {
                            Level::Error
                        } else {
                            Level::Warning
                        };
                        let names: Vec<&str> = clusters
                            .known
                            .iter()
                            .filter_map(|known| known.text_at(&["name"]))
                            .collect();
                        let message =
                            format!("the bootstrap has no cluster `{name}`, so the filter cannot fetch keys");
                        self.add(level, "unknown-cluster", message, cluster.place.clone(), &path)
                            .help = Some(match names.is_empty() {
                            true => "it has no clusters".to_owned(),
                            false => format!("it has: {}", names.join(", ")),
                        });
                    }
                    Some(known) => self.tls(known, &uri, &path),
                }
            }
        }
    }

    /// Whether the server that responds for the issuer has to prove its identity.
    fn tls(&mut self, cluster: &Node, uri: &str, path: &str) {
        let place = name_place(cluster);
        let name = cluster.text_at(&["name"]).unwrap_or_default();
        if self
            .findings
            .iter()
            .any(|known| known.code == "tls-validation" && known.place == place)
        {
            return;
        }
        let mut contexts = Vec::new();
        cluster.walk(&mut |node| {
            let of_type = node.text_at(&["@type"]).unwrap_or_default();
            if of_type.ends_with("transport_sockets.tls.v3.UpstreamTlsContext") {
                contexts.push(node);
            }
        });
        if contexts.is_empty() {
            if uri.starts_with("https://")
                && cluster.get("transport_socket").is_none()
                && !is_at_home(cluster)
            {
                let message =
                    format!("the cluster `{name}` does not use TLS, although the issuer's URL is https");
                self.add(Level::Error, "tls-validation", message, place, path)
                    .help = Some(TLS.to_owned());
            }
            return;
        }
        for context in contexts {
            let common = context.get("common_tls_context");
            let validation = common.and_then(|common| {
                common
                    .get("validation_context")
                    .or_else(|| common.at(&["combined_validation_context", "default_validation_context"]))
            });
            let by_secret = common.is_some_and(|common| {
                common.get("validation_context_sds_secret_config").is_some()
                    || common.get("combined_validation_context").is_some()
            });
            let has_authority = by_secret
                || validation.is_some_and(|validation| {
                    [
                        "trusted_ca",
                        "system_root_certs",
                        "ca_certificate_provider_instance",
                        "verify_certificate_spki",
                        "verify_certificate_hash",
                    ]
                    .iter()
                    .any(|name| validation.get(name).is_some())
                });
            if !has_authority {
                let message = format!(
                    "the cluster `{name}` accepts any certificate, so an attacker in the network can replace the keys"
                );
                self.add(Level::Error, "tls-validation", message, place.clone(), path)
                    .help = Some(TLS.to_owned());
                continue;
            }
            let names_host = by_secret
                || validation.is_some_and(|validation| {
                    [
                        "match_typed_subject_alt_names",
                        "match_subject_alt_names",
                        "verify_certificate_spki",
                        "verify_certificate_hash",
                    ]
                    .iter()
                    .any(|name| {
                        validation
                            .get(name)
                            .is_some_and(|node| !node.elements().is_empty())
                    })
                })
                || context.get("auto_sni_san_validation").and_then(Node::bool) == Some(true)
                || cluster_has(cluster, "auto_san_validation");
            if !names_host {
                let message = format!("the cluster `{name}` accepts a certificate of any host");
                self.add(Level::Warning, "tls-validation", message, place.clone(), path)
                    .help = Some(
                    "write `match_typed_subject_alt_names` with the issuer's host into `validation_context`"
                        .to_owned(),
                );
            }
        }
    }

    /// Private keys in place of public ones.
    fn private_keys(&mut self, provider: &Node, path: &str) {
        let Some(text) = provider.at(&["local_jwks", "inline_string"]) else {
            return;
        };
        let Ok(document) = serde_json::from_str::<serde_json::Value>(text.text().unwrap_or_default()) else {
            return;
        };
        let keys = document.get("keys").and_then(|keys| keys.as_array());
        let is_private =
            |key: &serde_json::Value| ["d", "p", "q", "k"].iter().any(|name| key.get(name).is_some());
        if keys.is_some_and(|keys| keys.iter().any(is_private)) {
            let message =
                "a key has its private members: anyone who can read the configuration can make tokens";
            let path = format!("{path}.local_jwks.inline_string");
            self.add(Level::Error, "private-key", message, text.place.clone(), &path).help = Some(
                "remove `d`, `p`, `q`, `dp`, `dq`, `qi` and `k`, and replace the key at the issuer: it is no longer secret".to_owned(),
            );
        }
    }

    fn rules(&mut self, faults: &Faults, parsed: &Rc<Config>) {
        let config = &faults.config;
        let rules = config.get("rules").map_or(&[][..], Node::elements);
        if let Some(mode) = config.get("mode").filter(|mode| mode.text() == Some("shadow")) {
            let message = "the filter refuses nothing; it only counts";
            self.add(Level::Warning, "shadow-mode", message, mode.place.clone(), "mode");
        }
        for (number, rule) in rules.iter().enumerate() {
            let path = format!("rules[{}]", rule.index);
            let Some(matcher) = rule.get("match").filter(|matcher| is_sound(matcher, faults)) else {
                continue;
            };
            if let Some(mode) = rule.get("mode").filter(|mode| mode.text() == Some("shadow")) {
                let message = "this rule refuses nothing; it only counts";
                self.add(
                    Level::Note,
                    "shadow-mode",
                    message,
                    mode.place.clone(),
                    &format!("{path}.mode"),
                );
            }
            let earlier = rules.iter().take(number).position(|earlier| {
                let earlier = earlier.get("match").filter(|earlier| is_sound(earlier, faults));
                earlier.is_some_and(|earlier| covers(earlier, matcher))
            });
            if let Some(earlier) = earlier.and_then(|earlier| Some((earlier, rules.get(earlier)?))) {
                let (position, earlier) = earlier;
                let waives = core::waives_token(parsed, position) && !core::waives_token(parsed, number);
                let level = if waives { Level::Error } else { Level::Warning };
                let message = match waives {
                    true => format!(
                        "this rule never applies: rules[{}] matches all of its requests, and requires no token",
                        earlier.index
                    ),
                    false => format!(
                        "this rule never applies: rules[{}] matches all of its requests",
                        earlier.index
                    ),
                };
                let place = matcher.place.clone();
                let related = (earlier.place.clone(), "matches them all".to_owned());
                let finding = self.add(level, "unreachable-rule", message, place, &path);
                finding.help = Some("put the narrower rule first, or remove it".to_owned());
                finding.related = Some(related);
                continue;
            }
            if let Some(warning) = together(parsed, number) {
                let level = match core::waives_token(parsed, number) {
                    true => Level::Warning,
                    false => Level::Error,
                };
                let place = matcher.place.clone();
                self.add(level, "unreachable-rule", warning, place, &path);
                continue;
            }
            if core::waives_token(parsed, number) && is_sound(rule, faults) {
                match &matcher.value {
                    Value::List(parts) => parts
                        .iter()
                        .for_each(|part| self.waiver(number, rule, part, parsed, &path)),
                    _ => self.waiver(number, rule, matcher, parsed, &path),
                }
            }
        }
    }

    /// A rule that lets requests pass without a token.
    fn waiver(&mut self, number: usize, rule: &Node, matcher: &Node, parsed: &Rc<Config>, path: &str) {
        let path_field = matcher.members().iter().find(|(key, _)| {
            matches!(
                &*snake_case(&key.name),
                "path" | "prefix" | "path_separated_prefix" | "safe_regex"
            )
        });
        let narrows: Vec<&str> = [
            "methods",
            "hosts",
            "headers",
            "query_parameters",
            "connect_matcher",
            "not",
        ]
        .into_iter()
        .filter(|name| {
            matcher
                .get(name)
                .is_some_and(|node| !matches!(&node.value, Value::List(list) if list.is_empty()))
        })
        .collect();
        let prefix = matcher.text_at(&["prefix"]);
        let pattern = matcher.text_at(&["safe_regex", "regex"]).unwrap_or_default();
        let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
        if (prefix == Some("/") || matches!(pattern, ".*" | "/.*")) && narrows.is_empty() {
            let is_optional = rule.get("requires").is_some();
            let message = match is_optional {
                true => "a request for any resource passes without a token",
                false => "no request needs a token",
            };
            self.add(
                Level::Warning,
                "waives-everything",
                message,
                matcher.place.clone(),
                path,
            )
            .help = Some(
                "name a provider under `requires`, unless an earlier rule matches every request that needs a token"
                    .to_owned(),
            );
            return;
        }
        let by_client = matches!(
            &narrows[..],
            ["headers"] | ["query_parameters"] | ["headers", "query_parameters"]
        );
        if by_client && (path_field.is_none() || prefix == Some("/")) {
            let message =
                "a request with this header or parameter needs no token, and any client can send it";
            let place = matcher.place.clone();
            self.add(Level::Warning, "client-decides", message, place, path)
                .help = Some(
                "match on the path, or on something that only a proxy in front of this one can set"
                    .to_owned(),
            );
        }
        if let Some(pattern) = matcher.at(&["safe_regex", "regex"]) {
            self.waiving_pattern(number, matcher, pattern, parsed, path);
        }
        let Some(prefix) = prefix.filter(|prefix| !prefix.ends_with('/')) else {
            return;
        };
        // The filter's own warning about paths that continue without a slash.
        let examples: Vec<String> = [
            format!("{prefix}-admin"),
            format!("{prefix}x/secret"),
            format!("{prefix}.json"),
        ]
        .into_iter()
        .filter(|target| {
            let method = matcher
                .get("methods")
                .and_then(|methods| methods.text().or_else(|| methods.elements().first()?.text()))
                .unwrap_or("GET");
            let matches = core::rule_matches(parsed, number, &Request::new(method, target));
            matches.is_literal || !narrows.is_empty()
        })
        .map(|target| format!("`{target}`"))
        .collect();
        if let Some((_, node)) = path_field
            && !examples.is_empty()
        {
            let message = format!("this lets {} pass without a token as well", examples.join(", "));
            self.add(
                Level::Warning,
                "wide-waiver",
                message,
                node.place.clone(),
                &format!("{path}.match.prefix"),
            )
            .help = Some(format!(
                "write `path: {prefix}` for this path alone, or `path_separated_prefix: {prefix}` for the paths below it"
            ));
        }
    }

    /// A pattern that goes on after a name (`/public.*`), or that only looks at how a path ends (`.*\.css`).
    fn waiving_pattern(
        &mut self,
        number: usize,
        matcher: &Node,
        pattern: &Node,
        parsed: &Rc<Config>,
        path: &str,
    ) {
        let Some(text) = pattern.text() else { return };
        let bare = text.trim_start_matches('^').trim_end_matches('$');
        let mut examples: Vec<String> = Vec::new();
        let mut help = "write `/` before the part that may follow: `(/.*)?`";
        if let Some(name) = bare.strip_suffix(".*") {
            let name = name.replace('\\', "");
            let is_literal = |letter: char| letter.is_ascii_alphanumeric() || "/-_.~".contains(letter);
            if name.chars().all(is_literal) && !name.ends_with('/') && name.len() > 1 {
                examples.extend(["-admin", "x/secret"].map(|rest| format!("{name}{rest}")));
            }
        }
        let any_start = bare.strip_prefix(".*").or_else(|| bare.strip_prefix("/.*"));
        if let Some(ending) = any_start.filter(|ending| !ending.is_empty()) {
            // Of a group the first alternative.
            let ending = ending.replace("(?:", "(").replace('\\', "");
            let ending = match (ending.split_once('('), ending.split_once(')')) {
                (Some((before, group)), Some((_, after))) => {
                    let first = group.split(['|', ')']).next().unwrap_or_default();
                    format!("{before}{first}{after}")
                }
                _ => ending,
            };
            examples.push(format!("/admin/x{ending}"));
            examples.push(format!("/admin/x{}", ending.trim_start_matches('/')));
            help = "begin the pattern with a folder: many applications treat `/admin/x.css` as `/admin`";
        }
        let method = matcher.get("methods");
        let method = method.and_then(|methods| methods.text().or_else(|| methods.elements().first()?.text()));
        examples.retain(|target| {
            let request = Request::new(method.unwrap_or("GET"), target);
            core::rule_matches(parsed, number, &request).is_literal
        });
        examples.dedup();
        if !examples.is_empty() {
            let shown: Vec<String> = examples.iter().map(|example| format!("`{example}`")).collect();
            let message = format!("this lets {} pass without a token as well", shown.join(", "));
            let path = format!("{path}.match.safe_regex");
            self.add(
                Level::Warning,
                "wide-waiver",
                message,
                pattern.place.clone(),
                &path,
            )
            .help = Some(help.to_owned());
        }
    }

    fn unused(&mut self, config: &Node) {
        let mut names = Vec::new();
        let mut all_are_used = config
            .get("rules")
            .is_none_or(|rules| rules.elements().is_empty());
        let mut look = |node: &Node| {
            node.walk(&mut |node| {
                for name in ["provider_name", "requirement_name"] {
                    names.extend(node.text_at(&[name]).map(str::to_owned));
                }
                // Without siblings that name a provider, it refers to all of them.
                all_are_used |=
                    node.get("allow_missing").is_some() || node.get("allow_missing_or_failed").is_some();
            });
        };
        for name in ["rules", "requirement_map", "filter_state_rules"] {
            if let Some(node) = config.get(name) {
                look(node);
            }
        }
        // If no rule matches, a token of any provider suffices, so no provider is useless. This finding is
        // milder.
        let providers = config.get("providers").map_or(&[][..], Node::members);
        for (key, _) in providers.iter().filter(|_| !all_are_used) {
            if !names.contains(&key.name) && providers.len() > 1 {
                let message = format!(
                    "no rule names the provider `{}`; the filter accepts its tokens only if no rule matches",
                    key.name
                );
                self.add(
                    Level::Note,
                    "unused",
                    message,
                    key.place.clone(),
                    &format!("providers.{}", key.name),
                );
            }
        }
    }
}

const TLS: &str = "add a `transport_socket` with `validation_context: {trusted_ca: …, match_typed_subject_alt_names: …}`, as in \
                   envoy/issuers";

/// The place of an object's `name`, or of its first member.
fn name_place(object: &Node) -> Place {
    object
        .get("name")
        .map(|name| name.place.clone())
        .or_else(|| object.members().first().map(|(key, _)| key.place.clone()))
        .unwrap_or(object.place.clone())
}

struct Clusters<'d> {
    known: Vec<&'d Node>,
    /// Other places do not occur.
    is_all: bool,
}

/// The clusters of a bootstrap. `None` if the document is not a bootstrap.
fn clusters(document: &Node) -> Option<Clusters<'_>> {
    let resources = document.get("static_resources")?;
    Some(Clusters {
        known: resources
            .get("clusters")
            .map_or(&[][..], Node::elements)
            .iter()
            .collect(),
        is_all: document.at(&["dynamic_resources", "cds_config"]).is_none(),
    })
}

fn cluster_has(cluster: &Node, flag: &str) -> bool {
    let mut found = false;
    cluster.walk(&mut |node| found |= node.get(flag).and_then(Node::bool) == Some(true));
    found
}

/// Whether every endpoint is on this machine.
fn is_at_home(cluster: &Node) -> bool {
    let mut addresses = Vec::new();
    cluster.walk(&mut |node| {
        if let Some(address) = node.at(&["socket_address", "address"]) {
            addresses.push(address.text().unwrap_or_default().to_owned());
        }
    });
    !addresses.is_empty()
        && addresses
            .iter()
            .all(|address| address.starts_with("127.") || address == "::1" || address == "localhost")
}

/// The text with which everything begins that a pattern matches; empty where that cannot be told.
fn literal_beginning(pattern: &str) -> String {
    let mut text = String::new();
    // An alternative may begin otherwise.
    if pattern.contains('|') {
        return text;
    }
    let mut letters = pattern.strip_prefix('^').unwrap_or(pattern).chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(escaped) if escaped.is_ascii_punctuation() => text.push(escaped),
                _ => break,
            },
            '*' | '?' | '{' => {
                text.pop();
                break;
            }
            '.' | '[' | '(' | ')' | ']' | '}' | '+' | '$' | '^' => break,
            letter => text.push(letter),
        }
    }
    text
}

/// Whether one match covers every request of another one. True only in obvious cases.
pub(crate) fn covers(wide: &Node, narrow: &Node) -> bool {
    match (&wide.value, &narrow.value) {
        // One of these suffices.
        (Value::List(parts), _) => return parts.iter().any(|part| covers(part, narrow)),
        (_, Value::List(parts)) => return !parts.is_empty() && parts.iter().all(|part| covers(wide, part)),
        _ => {}
    }
    const PATHS: [&str; 4] = ["path", "prefix", "path_separated_prefix", "safe_regex"];
    let of = |node: &Node| {
        PATHS
            .iter()
            .find_map(|name| Some((*name, node.get(name)?.clone())))
    };
    let ignores_case = |node: &Node| node.get("case_sensitive").and_then(Node::bool) == Some(false);
    let by_path = match (of(wide), of(narrow)) {
        (None, _) => true,
        (Some(("prefix", text)), _) if text.text() == Some("/") => true,
        (Some(_), None) => false,
        (Some((kind, text)), Some((other, narrower))) => {
            if ignores_case(narrow) && !ignores_case(wide) {
                return false;
            }
            let lower = |text: &str| match ignores_case(wide) {
                true => text.to_ascii_lowercase(),
                false => text.to_owned(),
            };
            match (text.text().map(lower), narrower.text().map(lower)) {
                (Some(text), Some(narrower)) => match (kind, other) {
                    ("path", "path") => text == narrower,
                    ("prefix", _) => narrower.starts_with(&text),
                    ("path_separated_prefix", "path" | "path_separated_prefix") => narrower
                        .strip_prefix(&text)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
                    ("path_separated_prefix", "prefix") => narrower
                        .strip_prefix(&text)
                        .is_some_and(|rest| rest.starts_with('/')),
                    _ => false,
                },
                (None, None) => kind == other && text == narrower,
                // A pattern that begins with a text matches nothing beside it.
                (Some(text), None) if other == "safe_regex" => {
                    let beginning = narrower
                        .text_at(&["regex"])
                        .map(literal_beginning)
                        .map(|text| lower(&text));
                    let rest = beginning
                        .as_deref()
                        .and_then(|beginning| beginning.strip_prefix(&*text));
                    match kind {
                        "prefix" => rest.is_some(),
                        "path_separated_prefix" => rest.is_some_and(|rest| rest.starts_with('/')),
                        _ => false,
                    }
                }
                _ => false,
            }
        }
    };
    let texts = |node: &Node| -> Vec<String> {
        let list = node.elements().iter().filter_map(Node::text);
        list.chain(node.text()).map(str::to_owned).collect()
    };
    by_path
        && wide.members().iter().all(|(key, part)| {
            let name = snake_case(&key.name);
            if PATHS.contains(&&*name) || name == "case_sensitive" || part.value == Value::Null {
                return true;
            }
            let Some(other) = narrow.get(&name) else {
                return matches!(&part.value, Value::List(list) if list.is_empty());
            };
            match &*name {
                // One of these suffices.
                "methods" | "hosts" => {
                    let (wide, narrow) = (texts(part), texts(other));
                    !narrow.is_empty() && narrow.iter().all(|one| wide.contains(one))
                }
                // Each of these must match.
                "headers" | "query_parameters" => part
                    .elements()
                    .iter()
                    .all(|condition| other.elements().contains(condition)),
                _ => part == other,
            }
        })
}
