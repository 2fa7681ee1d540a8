//! Settings that load, but are probably unintended or unsafe.

mod contradictions;
pub(crate) mod covers;
mod envoy;
mod providers;
mod routes;
mod rules;

use std::rc::Rc;

use crate::faults::Faults;
use crate::input::{Contents, Found};
use crate::report::{File, Finding, Level};
use crate::source::{Node, Place};

/// The names of the findings, each with its subject.
#[cfg(feature = "cli")]
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
    ("applies-nowhere", "Istio applies the plugin to no proxy."),
    (
        "tls-validation",
        "The cluster accepts any certificate, or uses no TLS.",
    ),
    ("plain-http", "The filter fetches keys without TLS."),
    ("underscores", "Envoy lets header names with underscores pass."),
    ("path-normalization", "Envoy does not normalize paths."),
    (
        "edited-route",
        "Envoy selects a route by a part of the request that the filter changes.",
    ),
    (
        "unreachable-rule",
        "An earlier rule matches every request of this rule, or no request passes its tests.",
    ),
    (
        "wide-waiver",
        "A rule lets more requests pass without a token than it seems to.",
    ),
    (
        "waives-everything",
        "A rule lets every request, or every request to a host, pass without a token.",
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
    lints.edited_routes(found);
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
            lints.attachments(document);
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

/// The place of an object's `name`, or of its first member.
fn name_place(object: &Node) -> Place {
    object
        .get("name")
        .map(|name| name.place.clone())
        .or_else(|| object.members().first().map(|(key, _)| key.place.clone()))
        .unwrap_or(object.place.clone())
}
