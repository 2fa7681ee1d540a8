//! The one place that names the library: what decides here is what decides in Envoy.

pub(crate) use proxy_wasm_jwt::config::{Config, ConfigError, ConfigProblem};
pub(crate) use proxy_wasm_jwt::policy::Match;
use proxy_wasm_jwt::policy::{Matched, RequestPath};
use proxy_wasm_jwt::request::RequestHead;

use crate::source::Node;

/// Reads a configuration as the filter does: JSON text, or the message that Envoy makes of a Struct.
pub(crate) fn parse(config: &Node, is_struct: bool) -> Result<Config, Box<ConfigError>> {
    match config.to_struct().filter(|_| is_struct) {
        Some(message) if !message.is_empty() => Config::parse(&message),
        _ => Config::parse(config.to_json().as_bytes()),
    }
}

/// A request, as a client would send it to Envoy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// `:path`: path and query.
    pub(crate) target: String,
    /// Its scheme as Envoy sees it.
    pub(crate) scheme: String,
    pub(crate) authority: String,
    /// In lower case.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// SHA-256 of the client's certificate in hexadecimal digits.
    pub(crate) peer_certificate: Option<String>,
    pub(crate) source_address: Option<String>,
    /// The requirement that the route's metadata names.
    pub(crate) route_requirement: Option<String>,
    pub(crate) filter_state: Option<String>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            scheme: "https".to_owned(),
            authority: "example.com".to_owned(),
            ..Self::default()
        }
    }

    /// The fields in the form in which Envoy hands them to the filter: repeated fields of `authorization` are one.
    fn fields(&self) -> Vec<(String, Vec<u8>)> {
        let mut fields: Vec<(String, Vec<u8>)> = vec![
            (":method".into(), self.method.clone().into_bytes()),
            (":path".into(), self.target.clone().into_bytes()),
            (":scheme".into(), self.scheme.clone().into_bytes()),
            (":authority".into(), self.authority.clone().into_bytes()),
        ];
        for (name, value) in &self.headers {
            let joined =
                (name == "authorization").then(|| fields.iter_mut().find(|(known, _)| known == name));
            match joined.flatten() {
                Some((_, known)) => {
                    known.push(b',');
                    known.extend_from_slice(value);
                }
                None => fields.push((name.clone(), value.clone())),
            }
        }
        fields
    }

    /// What the configuration looks at of it.
    pub(crate) fn head(&self, config: &Config) -> RequestHead {
        let mut head = RequestHead::new();
        for (name, value) in self.fields() {
            head.take(&config.headers, name.as_bytes(), &value);
        }
        let bytes = |text: &Option<String>| text.as_ref().map(|text| text.clone().into_bytes());
        head.peer_certificate = bytes(&self.peer_certificate).filter(|_| config.reads_certificate);
        head.source_address = bytes(&self.source_address).filter(|_| config.reads_address);
        head.route_requirement = bytes(&self.route_requirement);
        head.filter_state = bytes(&self.filter_state);
        head
    }
}

/// How a rule's match takes a request.
pub(crate) fn rule_matches(config: &Config, rule: usize, request: &Request) -> Match {
    let head = request.head(config);
    let Some(rule) = config.policy.rules.get(rule) else {
        return Match::NO;
    };
    let path = RequestPath::new(request.target.as_bytes());
    rule.matcher.matches(&Matched::new(&head), &path)
}

/// Whether a rule lets requests pass that have no token.
pub(crate) fn waives_token(config: &Config, rule: usize) -> bool {
    let rule = config.policy.rules.get(rule);
    rule.is_some_and(|rule| !rule.demand.requirement.needs_token())
}
