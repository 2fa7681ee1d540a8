//! Files and the configurations of this filter in them: bare configurations, Envoy's own, and manifests of
//! Istio and Envoy Gateway.

#[cfg(feature = "cli")]
use std::io::Read as _;
use std::rc::Rc;

use crate::report::File;
use crate::source::{self, Node, Place, SyntaxError, Value, snake_case};

/// A configuration of the filter, with its place.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) file: Rc<File>,
    /// The file around the configuration.
    pub(crate) holder: Holder,
    /// The object that loads the module, or the configuration itself if it is bare.
    pub(crate) object: Node,
    /// The configuration.
    pub(crate) config: Node,
    /// Envoy passes it as a message, in which every number is a double.
    pub(crate) is_struct: bool,
    /// The document that contains it.
    pub(crate) document: Rc<Node>,
    /// The HTTP connection manager that contains it.
    pub(crate) manager: Option<Node>,
}

/// The way in which the module is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nothing: the file is the configuration.
    Bare,
    /// `envoy.extensions.filters.http.wasm.v3.Wasm`.
    Envoy,
    /// `envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter`, or what makes one.
    Native,
    /// Istio's `WasmPlugin` or `TrafficExtension`.
    Istio,
    /// `EnvoyExtensionPolicy`.
    EnvoyGateway,
}

/// The module that reads a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum Host {
    /// `jwt.wasm`
    Wasm,
    /// `libjwt.so`
    Native,
}

impl Found {
    /// The module that reads it. A bare configuration may be for both modules.
    pub(crate) fn host(&self) -> Host {
        match self.holder {
            Holder::Native => Host::Native,
            Holder::Bare | Holder::Envoy | Holder::Istio | Holder::EnvoyGateway => Host::Wasm,
        }
    }
}

/// A fault of the file, before any configuration is read.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) place: Place,
}

/// The content of a file.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) file: Rc<File>,
    pub(crate) documents: Vec<Rc<Node>>,
    pub(crate) found: Vec<Found>,
    pub(crate) unread: Vec<Unread>,
    /// Wasm filters that are not this one.
    pub(crate) others: Vec<Place>,
}

/// Reads a file; `-` is standard input.
#[cfg(feature = "cli")]
pub(crate) fn read(name: &str) -> Result<Rc<File>, String> {
    let mut bytes = Vec::new();
    if name == "-" {
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        read.map_err(|error| format!("standard input: {error}"))?;
    } else {
        bytes = std::fs::read(name).map_err(|error| format!("{name}: {error}"))?;
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{name}: the text is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    let name = match name {
        "-" => "<stdin>".to_owned(),
        name => name.to_owned(),
    };
    Ok(Rc::new(File { name, text }))
}

/// Finds every configuration of the filter in a file.
pub(crate) fn search(file: &Rc<File>) -> Contents {
    let mut contents = Contents {
        file: file.clone(),
        documents: Vec::new(),
        found: Vec::new(),
        unread: Vec::new(),
        others: Vec::new(),
    };
    match source::parse(&file.text) {
        Ok(documents) => {
            for document in documents {
                contents.take(Rc::new(document));
            }
        }
        Err(error) => contents.unread.push(unread(&file.text, error)),
    }
    contents
}

fn unread(text: &str, error: SyntaxError) -> Unread {
    // A template of Helm, Jinja or Go.
    let is_template = text.contains("{{") && text.contains("}}");
    let hint = match is_template {
        true => "; this is a template: check its output, as in `helm template . | jwtctl check -`",
        false => "",
    };
    Unread {
        code: "syntax",
        message: format!("neither YAML nor JSON: {}{hint}", error.message),
        place: error.place,
    }
}

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

const NATIVE: &str =
    "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";

/// Names at the top of a bootstrap, or of a part of one, that are not fields of this filter.
fn is_of_envoy(document: &Node) -> bool {
    let names = [
        "static_resources",
        "dynamic_resources",
        "admin",
        "http_filters",
        "filter_chains",
        "resources",
        "typed_config",
        "@type",
        "apiVersion",
        "configs",
    ];
    names.iter().any(|name| document.get(name).is_some())
}

impl Contents {
    fn take(&mut self, document: Rc<Node>) {
        self.documents.push(document.clone());
        let before = (self.found.len(), self.others.len(), self.unread.len());
        self.descend(&document, &document, None);
        if before != (self.found.len(), self.others.len(), self.unread.len()) || is_of_envoy(&document) {
            return;
        }
        // A folder has documents of every kind. A list may be a part of Envoy's configuration without the
        // filter.
        if is_bare(&document) {
            self.found.push(Found {
                file: self.file.clone(),
                holder: Holder::Bare,
                object: (*document).clone(),
                config: (*document).clone(),
                is_struct: false,
                document,
                manager: None,
            });
        }
    }

    fn descend(&mut self, document: &Rc<Node>, node: &Node, manager: Option<&Node>) {
        let manager = match node.get("http_filters") {
            Some(_) => Some(node),
            None => manager,
        };
        let kind = node.text_at(&["kind"]).unwrap_or_default();
        if node.text_at(&["@type"]) == Some(WASM)
            && let Some(config) = node.get("config")
        {
            self.take_any(document, config, "configuration", Holder::Envoy, manager);
            return;
        }
        if node.text_at(&["@type"]) == Some(NATIVE) {
            self.take_any(document, node, "filter_config", Holder::Native, manager);
            return;
        }
        // Older control planes wrap types that they do not know.
        if node.text_at(&["type_url"]) == Some(WASM)
            && let Some(config) = node.at(&["value", "config"])
        {
            self.take_any(document, config, "configuration", Holder::Envoy, manager);
            return;
        }
        if kind == "EnvoyExtensionPolicy" {
            for wasm in node.at(&["spec", "wasm"]).map_or(&[][..], Node::elements) {
                let config = wasm.get("config");
                self.take_manifest(document, wasm, config, Holder::EnvoyGateway);
            }
            let modules = node.at(&["spec", "dynamicModule"]);
            for module in modules.map_or(&[][..], Node::elements) {
                self.take_manifest(document, module, module.get("config"), Holder::Native);
            }
            return;
        }
        if matches!(kind, "WasmPlugin" | "TrafficExtension")
            && let Some(spec) = node.get("spec")
        {
            let object = match (spec.get("pluginConfig"), spec.get("wasm")) {
                (None, Some(wasm)) => wasm,
                _ => spec,
            };
            self.take_manifest(document, object, object.get("pluginConfig"), Holder::Istio);
            return;
        }
        if kind == "ConfigMap" {
            for (key, text) in node.get("data").map_or(&[][..], Node::members) {
                let is_config = [".yaml", ".yml", ".json"]
                    .iter()
                    .any(|end| key.name.ends_with(end));
                if is_config && text.text().is_some() {
                    match source::parse_within(&self.file.text, text) {
                        Ok(documents) => {
                            let is_any = |node: &Node| is_of_envoy(node) || node.get("providers").is_some();
                            for document in documents.into_iter().filter(is_any) {
                                self.take(Rc::new(document));
                            }
                        }
                        Err(error) => self.unread.push(unread(&self.file.text, error)),
                    }
                }
            }
            return;
        }
        for (_, node) in node.members() {
            self.descend(document, node, manager);
        }
        for node in node.elements() {
            self.descend(document, node, manager);
        }
    }

    /// A `PluginConfig` or a `DynamicModuleFilter`: the configuration is an `Any` in this field.
    fn take_any(
        &mut self,
        document: &Rc<Node>,
        object: &Node,
        field: &str,
        holder: Holder,
        manager: Option<&Node>,
    ) {
        let Some(any) = object.get(field) else {
            self.take_object(document, object, None, false, holder, manager);
            return;
        };
        let of_type = any.text_at(&["@type"]).unwrap_or_default();
        let value = any.get("value");
        match of_type.rsplit('/').next().unwrap_or_default() {
            "google.protobuf.StringValue" => match value {
                Some(text) if text.text().is_some() => self.take_text(document, object, text, holder, manager),
                other => self.take_object(document, object, other, false, holder, manager),
            },
            "google.protobuf.Struct" => self.take_object(document, object, value, true, holder, manager),
            _ if value.is_none() && is_ours(object, any) => self.unread.push(Unread {
                code: "configuration-type",
                message: "the configuration has no `@type`, so Envoy does not pass it to the filter; write \
                          `\"@type\": type.googleapis.com/google.protobuf.Struct`, and the configuration into `value`"
                    .to_owned(),
                place: object.key_place(field).unwrap_or(any.place.clone()),
            }),
            _ => self.take_object(document, object, value, false, holder, manager),
        }
    }

    fn take_manifest(&mut self, document: &Rc<Node>, object: &Node, config: Option<&Node>, holder: Holder) {
        match config {
            Some(text) if text.text().is_some() => self.take_text(document, object, text, holder, None),
            config => self.take_object(document, object, config, false, holder, None),
        }
    }

    /// A configuration as a text inside of the file.
    fn take_text(
        &mut self,
        document: &Rc<Node>,
        object: &Node,
        text: &Node,
        holder: Holder,
        manager: Option<&Node>,
    ) {
        match source::parse_within(&self.file.text, text) {
            Ok(mut documents) if documents.len() == 1 => {
                let config = documents.pop();
                // The filter reads JSON, and receives this text unchanged.
                let is_json = serde_json::from_str::<serde_json::Value>(text.text().unwrap_or_default());
                if let Err(error) = is_json
                    && config.as_ref().is_some_and(|config| is_ours(object, config))
                {
                    self.unread.push(Unread {
                        code: "configuration-text",
                        message: format!(
                            "the text is not JSON ({error}), and the filter reads only JSON in a text; write JSON, or a \
                             google.protobuf.Struct in place of the text"
                        ),
                        place: text.place.clone(),
                    });
                }
                self.take_object(document, object, config.as_ref(), false, holder, manager);
            }
            Ok(_) => self.take_object(document, object, None, false, holder, manager),
            Err(error) => self.unread.push(unread(&self.file.text, error)),
        }
    }

    fn take_object(
        &mut self,
        document: &Rc<Node>,
        object: &Node,
        config: Option<&Node>,
        is_struct: bool,
        holder: Holder,
        manager: Option<&Node>,
    ) {
        let nothing = Node::new(Value::Map(Vec::new()), object.place.clone());
        let config = config.unwrap_or(&nothing);
        if !is_ours(object, config) {
            self.others.push(object.place.clone());
            return;
        }
        self.found.push(Found {
            file: self.file.clone(),
            holder,
            object: object.clone(),
            config: config.clone(),
            is_struct,
            document: document.clone(),
            manager: manager.cloned(),
        });
    }
}

/// Whether a document is a configuration of the filter: by a name at its top, perhaps misspelt.
fn is_bare(document: &Node) -> bool {
    let names = [
        "rules",
        "requirement_map",
        "filter_state_rules",
        "protected_resource",
        "shared_data",
        "bypass_cors_preflight",
    ];
    document.members().iter().any(|(key, node)| {
        let name = snake_case(&key.name);
        match &*name {
            "rules" => !matches!(node.value, Value::List(_)) || has_rules(node),
            name => name.starts_with("provid") || names.contains(&name),
        }
    }) || matches!(&document.value, Value::Map(members) if members.is_empty())
}

/// Whether one of these is a rule of this filter; other filters have rules as well. A rule of jwt_authn's
/// first version contains its issuer's keys.
fn has_rules(rules: &Node) -> bool {
    let names = [
        "match",
        "requires",
        "requirement_name",
        "authorize",
        "deny",
        "remote_jwks",
        "local_jwks",
    ];
    let mut rules = rules.elements().iter();
    rules.any(|rule| names.iter().any(|name| rule.get(name).is_some()))
}

/// Whether this is a provider, perhaps at the wrong place.
fn has_issuer(provider: &Node) -> bool {
    let names = ["issuer", "audiences", "remote_jwks", "local_jwks", "discovery"];
    names.iter().any(|name| provider.get(name).is_some())
}

/// Whether a filter is this one: by its configuration, or by the names of the module and the filter.
fn is_ours(object: &Node, config: &Node) -> bool {
    let are_ours = |providers: &Node| match &providers.value {
        // Other modules have lists of other kinds of providers.
        Value::List(all) => all.iter().any(has_issuer),
        _ => true,
    };
    if config.get("providers").is_some_and(are_ours) || config.get("rules").is_some_and(has_rules) {
        return true;
    }
    let mut names_us = false;
    for name in [
        "name",
        "root_id",
        "vm_config",
        "code",
        "url",
        "rootID",
        "pluginName",
        "filter_name",
        "filterName",
        "dynamic_module_config",
    ] {
        if let Some(node) = object.get(name) {
            node.walk(&mut |node| {
                names_us |= node.text().is_some_and(|text| {
                    text.contains("proxy-wasm-jwt")
                        || matches!(text.rsplit('/').next(), Some("jwt.wasm" | "libjwt.so"))
                        || text == "jwt"
                });
            });
        }
    }
    names_us
}
