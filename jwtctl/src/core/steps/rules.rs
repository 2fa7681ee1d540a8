//! The rules up to the one that applies, and why earlier ones do not; requirements in words.

use proxy_wasm_jwt::claims::Audiences;
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::ids::Choice;
use proxy_wasm_jwt::policy::{Match, Matched, ProviderRequirement, RequestPath, Requirement};
use proxy_wasm_jwt::request::RequestHead;

use super::step::RuleStep;
use crate::core::{Request, parse};
use crate::source::{Key, Node, Value, snake_case};

/// The rules up to the one that applies, and why earlier ones do not.
pub(super) fn rules(
    node: &Node,
    config: &Config,
    request: &Request,
    head: &RequestHead,
    first: Choice,
) -> Vec<RuleStep> {
    let mut all = Vec::new();
    let matched = Matched::new(head);
    let path = RequestPath::new(request.target.as_bytes());
    let nodes = node.get("rules").map_or(&[][..], Node::elements);
    for (index, (rule, node_of_rule)) in config.policy.rules.iter().zip(nodes).enumerate() {
        let taken = matches!(first, Choice::Rule { id, .. } if id.index() == index);
        let found = rule.matcher.matches(&matched, &path);
        let Some(matcher) = node_of_rule.get("match") else {
            continue;
        };
        let mut because = Vec::new();
        if !taken {
            because = missed(node, matcher, request);
            if found.is_literal {
                because.push(match path.is_canonical() {
                    false => {
                        "the path is not canonical, so the request needs a token under every rule".to_owned()
                    }
                    true => {
                        "servers may interpret this request differently, so it needs a token under every rule"
                            .to_owned()
                    }
                });
            } else if !found.is_sure {
                because.push("some servers may interpret the request so that it matches".to_owned());
            }
        } else if matches!(first, Choice::Rule { is_strict: true, .. }) {
            because.push(
                "servers may interpret this request differently, so it always needs a token".to_owned(),
            );
        }
        all.push(RuleStep {
            name: rule.name.to_string(),
            matcher: matcher.to_json(),
            taken,
            because,
        });
        if taken {
            break;
        }
    }
    all
}

/// The parts of a match that do not match the request. Each is tried as the only part of the only rule.
fn missed(node: &Node, matcher: &Node, request: &Request) -> Vec<String> {
    let mut all = Vec::new();
    let case: Vec<(Key, Node)> = matcher
        .members()
        .iter()
        .filter(|(key, _)| snake_case(&key.name) == "case_sensitive")
        .cloned()
        .collect();
    let path = RequestPath::new(request.target.as_bytes());
    for (key, part) in matcher.members() {
        let name = snake_case(&key.name);
        let parts: Vec<Node> = match (&*name, &part.value) {
            ("case_sensitive", _) => continue,
            ("headers" | "query_parameters", Value::List(list)) => list
                .iter()
                .map(|one| Node::new(Value::List(vec![one.clone()]), one.place.clone()))
                .collect(),
            _ => vec![part.clone()],
        };
        for part in parts {
            let mut members = vec![(key.clone(), part.clone())];
            if matches!(&*name, "path" | "prefix" | "path_separated_prefix" | "safe_regex") {
                members.extend(case.clone());
            }
            let rule = object(vec![(
                "match",
                Node::new(Value::Map(members), part.place.clone()),
            )]);
            let Some(config) = with_rule(node, rule) else {
                continue;
            };
            let head = request.head(&config);
            let matched = Matched::new(&head);
            let found = config
                .policy
                .rules
                .first()
                .map(|rule| rule.matcher.matches(&matched, &path));
            if found.is_none_or(|found| found.is_literal) {
                continue;
            }
            let seen = match &*name {
                "methods" | "connect_matcher" => format!("the method is {}", request.method),
                "hosts" => format!("the host is {}", request.authority),
                "headers" => {
                    let header = part
                        .elements()
                        .first()
                        .and_then(|one| one.text_at(&["name"]))
                        .unwrap_or_default();
                    let value = request
                        .headers
                        .iter()
                        .find(|(known, _)| known.eq_ignore_ascii_case(header));
                    match value {
                        _ if header.starts_with(':') => format!("{header} is another"),
                        Some((_, value)) => format!("{header} is {}", String::from_utf8_lossy(value)),
                        None => format!("there is no {header}"),
                    }
                }
                "query_parameters" => format!(
                    "the query is {}",
                    request.target.split_once('?').map_or("empty", |(_, query)| query)
                ),
                _ => format!("the path is {}", String::from_utf8_lossy(path.bytes())),
            };
            let doubt = if found == Some(Match::PERHAPS) {
                " to some servers"
            } else {
                ""
            };
            all.push(format!("{name} {}: {seen}{doubt}", part.to_json()));
        }
    }
    all
}

pub(super) fn object(members: Vec<(&str, Node)>) -> Node {
    let members = members
        .into_iter()
        .map(|(name, node)| {
            let key = Key {
                name: name.to_owned(),
                place: 0..0,
            };
            (key, node)
        })
        .collect();
    Node::new(Value::Map(members), 0..0)
}

/// The same configuration with this as its only rule.
pub(super) fn with_rule(node: &Node, rule: Node) -> Option<Config> {
    let mut node = node.clone();
    if let Value::Map(members) = &mut node.value {
        members.retain(|(key, _)| !matches!(&*snake_case(&key.name), "rules" | "filter_state_rules"));
        let key = Key {
            name: "rules".to_owned(),
            place: 0..0,
        };
        members.push((key, Node::new(Value::List(vec![rule]), 0..0)));
    }
    parse(&node, false).ok()
}

/// A requirement in words.
pub(super) fn in_words(requirement: &Requirement, config: &Config) -> String {
    let name = |named: &ProviderRequirement| {
        let name = config
            .provider(named.provider)
            .map_or("", |provider| &provider.name);
        match &named.audiences {
            Some(Audiences::OneOf(all)) => format!("{name} for {}", all.join(" or ")),
            _ => name.to_owned(),
        }
    };
    let names = |all: &[ProviderRequirement]| all.iter().map(name).collect::<Vec<_>>().join(" or ");
    match requirement {
        Requirement::Nothing => "no token".to_owned(),
        Requirement::Denied => "the rule refuses every request".to_owned(),
        Requirement::AnyOf(all) => format!("a token of {}", names(all)),
        Requirement::Provider(named) => format!("a token of {}", name(named)),
        Requirement::Any(parts) => {
            let parts: Vec<String> = parts.iter().map(|part| in_words(part, config)).collect();
            parts.join(", or ")
        }
        Requirement::All(parts) => {
            let parts: Vec<String> = parts.iter().map(|part| in_words(part, config)).collect();
            format!("all of: {}", parts.join("; "))
        }
        Requirement::AllowMissing(all) => format!("no token, or a valid one of {}", names(all)),
        Requirement::Missing(_) => "no token at all".to_owned(),
        Requirement::AllowMissingOrFailed(all) => {
            format!("no token, but the filter uses a valid one of {}", names(all))
        }
    }
}
