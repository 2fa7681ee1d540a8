//! The clients by which two policies are compared: each claim of each client is varied.

use serde_json::{Map, Value as Json, json};

use super::claims::{ask, nested, refuse, values_of_claims};
use super::issuers::subject;
use super::{Persona, personas};
use crate::core;
use crate::policy::Loaded;
use crate::source::Node;

/// The clients that two policies may distinguish: those of [`personas`], for each provider those with the
/// tokens that each configuration expects, and for each `authorize` one with the claims that it requires.
/// Each of these also with one claim otherwise: each value, each scope, each audience, another one, and none.
pub(crate) fn finer(all: &[&Loaded]) -> Vec<Persona> {
    const MOST_PERSONAS: usize = 400;
    let mut found = personas(all);
    let mut bases: Vec<Persona> = found
        .iter()
        .filter(|persona| persona.provider.is_some() && !persona.is_forged)
        .filter(|persona| {
            let is_plain = persona.claims.is_empty();
            // If there are conditions, the plain token meets none of them.
            !is_plain
                || !found.iter().any(|other| {
                    other.provider == persona.provider && !other.claims.is_empty() && !other.is_forged
                })
        })
        .cloned()
        .collect();
    for (of, loaded) in all.iter().enumerate().skip(1) {
        let issued_again: Vec<Persona> = bases
            .iter()
            .filter(|base| base.of == 0)
            .filter_map(|base| {
                let provider = base.provider.as_deref()?;
                let expectations = |loaded: &Loaded| {
                    let subject = subject(&loaded.node, provider);
                    core::expected(&loaded.config, Some(provider)).map(|one| (one, subject))
                };
                let new = expectations(loaded)?;
                let old = all.first().and_then(|first| expectations(first))?;
                (old != new).then(|| Persona {
                    name: format!("{}, as the new file expects it", base.name),
                    of,
                    ..base.clone()
                })
            })
            .collect();
        found.extend(issued_again.iter().cloned());
        bases.extend(issued_again);
    }
    let audiences = |provider: &str| {
        let mut audiences: Vec<String> = Vec::new();
        for loaded in all {
            audiences.extend(core::audiences(&loaded.config, provider));
            loaded.node.walk(&mut |node| {
                if node.text_at(&["provider_name"]) == Some(provider) {
                    let of_rule = node.get("audiences").map_or(&[][..], Node::elements);
                    audiences.extend(of_rule.iter().filter_map(Node::text).map(str::to_owned));
                }
            });
        }
        audiences.sort();
        audiences.dedup();
        audiences
    };
    // The token has every audience that any rule accepts, so that other differences show.
    let for_all = |mut persona: Persona| {
        let accepted = audiences(persona.provider.as_deref().unwrap_or_default());
        if !accepted.is_empty() {
            persona.claims.insert("aud".to_owned(), json!(accepted));
        }
        persona
    };
    let plain: Vec<Persona> = found
        .iter()
        .filter(|persona| persona.provider.is_some() && persona.claims.is_empty())
        .cloned()
        .map(for_all)
        .collect();
    let bases: Vec<Persona> = bases.into_iter().map(for_all).collect();
    let values = values_of_claims(all);
    let mut add = |persona: Persona| {
        let is_known = |known: &Persona| {
            (
                &known.provider,
                &known.claims,
                known.is_forged,
                known.expires_in,
                known.of,
            ) == (
                &persona.provider,
                &persona.claims,
                persona.is_forged,
                persona.expires_in,
                persona.of,
            )
        };
        if !found.iter().any(is_known) {
            found.push(persona);
        }
    };
    for base in &bases {
        let provider = base.provider.clone().unwrap_or_default();
        let mut limits: Vec<Vec<i64>> = all
            .iter()
            .map(|loaded| core::limits_of_exp(&loaded.config, &provider))
            .collect();
        limits.dedup();
        // Equal limits distinguish no clients.
        for seconds in limits.iter().filter(|_| limits.len() > 1).flatten() {
            add(Persona {
                name: format!("{provider}, exp in {seconds} s"),
                expires_in: Some(*seconds),
                ..base.clone()
            });
        }
        let mut vary = |what: String, name: &str, value: Json| {
            let mut persona = base.clone();
            persona.claims.insert(name.to_owned(), value);
            let whose = if base.of == 0 { &*provider } else { &*base.name };
            persona.name = format!("{whose}, {what}");
            add(persona);
        };
        for audience in audiences(&provider) {
            vary(format!("aud {audience}"), "aud", json!(audience));
        }
        vary(
            "for another audience".to_owned(),
            "aud",
            json!("jwtctl-another-audience"),
        );
        vary("without exp".to_owned(), "exp", Json::Null);
        vary("without sub".to_owned(), "sub", Json::Null);
        vary("sub of another".to_owned(), "sub", json!("jwtctl-another"));
        for (name, value) in &base.claims {
            if let Json::String(scopes) = value {
                for scope in scopes.split(' ') {
                    let others: Vec<&str> = scopes.split(' ').filter(|other| *other != scope).collect();
                    vary(format!("without {scope}"), name, json!(others.join(" ")));
                    vary(format!("with only {scope}"), name, json!(scope));
                }
                vary(format!("without {name}"), name, Json::Null);
            }
        }
        for (path, values) in &values {
            let Some((name, rest)) = path.split_first() else {
                continue;
            };
            let called = path.join(".");
            for value in values {
                vary(format!("{called} {value}"), name, nested(rest, value.clone()));
            }
            if values.len() > 1 {
                vary(
                    format!("{called} with all values"),
                    name,
                    nested(rest, json!(values)),
                );
            }
            vary(
                format!("{called} of another"),
                name,
                nested(rest, json!("jwtctl-another")),
            );
            vary(format!("without {called}"), name, Json::Null);
        }
    }
    for base in &plain {
        let provider = base.provider.clone().unwrap_or_default();
        let mut vary = |what: &str, name: &str, value: Json| {
            let mut persona = base.clone();
            persona.claims.insert(name.to_owned(), value);
            persona.name = format!("{provider} without claims, {what}");
            add(persona);
        };
        for audience in audiences(&provider) {
            vary(&format!("aud {audience}"), "aud", json!(audience));
        }
        vary("for another audience", "aud", json!("jwtctl-another-audience"));
        vary("sub of another", "sub", json!("jwtctl-another"));
        vary("without exp", "exp", Json::Null);
    }
    // Each claim that any condition names, with a value that none of them names.
    let mut others = Map::new();
    for (path, _) in &values {
        if let Some((name, rest)) = path.split_first() {
            others.insert(name.clone(), nested(rest, json!("jwtctl-another")));
        }
    }
    if !others.is_empty() {
        for base in &bases {
            let mut persona = base.clone();
            persona.claims.extend(others.clone());
            persona.name = format!("{}, each claim of another", base.name);
            add(persona);
        }
    }
    // The claims that one `authorize` requires, without those of others.
    let mut seen: Vec<Map<String, Json>> = Vec::new();
    for loaded in all {
        let mut found = Vec::new();
        loaded.node.walk(&mut |node| found.extend(node.get("authorize")));
        for authorize in found {
            let mut asked = Map::new();
            ask(authorize, &mut asked);
            let mut refused = asked.clone();
            refused.retain(|_, value| value.is_string());
            refuse(authorize, &mut refused);
            for claims in [asked, refused] {
                if !seen.contains(&claims) {
                    seen.push(claims);
                }
            }
        }
    }
    for (number, claims) in seen.iter().enumerate() {
        for base in &bases {
            let provider = base.provider.clone().unwrap_or_default();
            let add_with = |more: Option<(String, String, Json)>| {
                let mut persona = base.clone();
                persona.claims.retain(|name, _| name == "aud");
                persona.claims.extend(claims.clone());
                persona.name = format!("{provider}, for condition {}", number + 1);
                if let Some((what, name, value)) = more {
                    persona.name = format!("{}, {what}", persona.name);
                    persona.claims.insert(name, value);
                }
                persona
            };
            add(add_with(None));
            for audience in audiences(&provider) {
                let what = format!("aud {audience}");
                add(add_with(Some((what, "aud".to_owned(), json!(audience)))));
            }
            for (path, values) in &values {
                let Some((name, rest)) = path.split_first() else {
                    continue;
                };
                let called = path.join(".");
                for value in values {
                    add(add_with(Some((
                        format!("{called} {value}"),
                        name.clone(),
                        nested(rest, value.clone()),
                    ))));
                }
                add(add_with(Some((
                    format!("without {called}"),
                    name.clone(),
                    Json::Null,
                ))));
            }
        }
    }
    found.truncate(MOST_PERSONAS);
    found
}
