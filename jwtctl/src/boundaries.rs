//! Requests from the boundaries of the rules.

mod shape;
mod values;

use std::collections::HashSet;

use self::shape::{Alternatives, Shape, shapes};
use crate::core::{self, Request};
use crate::policy::Loaded;
use crate::source::Node;

/// More requests than this show nothing new.
const MOST: usize = 4000;

/// The rules between the first and the last in which two lists differ; all where only other parts differ.
fn changed<'n>(all: &[&'n Loaded]) -> Vec<&'n [Node]> {
    let lists: Vec<&[Node]> = all
        .iter()
        .map(|loaded| loaded.node.get("rules").map_or(&[][..], Node::elements))
        .collect();
    let [old, new] = lists[..] else { return lists };
    let is_same = |(old, new): &(&Node, &Node)| old.to_json() == new.to_json();
    let before = old.iter().zip(new).take_while(is_same).count();
    let (old, new) = (
        old.get(before..).unwrap_or_default(),
        new.get(before..).unwrap_or_default(),
    );
    let after = old.iter().rev().zip(new.iter().rev()).take_while(is_same).count();
    let cut = |list: &'n [Node]| list.get(..list.len().saturating_sub(after)).unwrap_or_default();
    vec![cut(old), cut(new)]
}

/// Requests at the boundaries of every rule: requests that it matches, and requests that differ from these in
/// one respect.
pub(crate) fn boundaries(all: &[&Loaded]) -> Vec<Request> {
    let mut alternatives = Alternatives {
        paths: vec!["/".to_owned(), "/other".to_owned()],
        methods: vec!["GET".to_owned(), "POST".to_owned()],
        hosts: vec!["example.com".to_owned()],
        ..Alternatives::default()
    };
    let mut singles: Vec<Shape> = vec![Shape::default()];
    let mut requirements: Vec<String> = Vec::new();
    for loaded in all {
        requirements.extend(core::requirements(&loaded.config));
        let rules = loaded.node.get("rules").map_or(&[][..], Node::elements);
        for matcher in rules.iter().filter_map(|rule| rule.get("match")) {
            singles.extend(shapes(matcher, &mut alternatives));
        }
    }
    let mut seen: HashSet<Shape> = HashSet::new();
    singles.retain(|shape| seen.insert(shape.clone()));
    // Requests that match both an old and a new rule, or one of them and another rule. A single policy is
    // shown without it.
    let mut pairs: Vec<Shape> = Vec::new();
    if all.len() > 1 {
        let mut ignored = Alternatives::default();
        let matches = changed(all)
            .into_iter()
            .flatten()
            .filter_map(|rule| rule.get("match"));
        let changed: Vec<Shape> = matches
            .flat_map(|matcher| shapes(matcher, &mut ignored))
            .collect();
        for one in &changed {
            for other in &singles {
                pairs.extend([one.with(other), other.with(one)]);
            }
        }
        pairs.retain(|shape| seen.insert(shape.clone()));
    }
    // Paths that may match both a prefix and a pattern: the pattern's example, whose beginning is replaced by
    // the prefix.
    let mut spliced: Vec<String> = Vec::new();
    for prefix in &alternatives.prefixes {
        for example in &alternatives.examples {
            if let Some(rest) = example.get(prefix.len()..).filter(|rest| !rest.is_empty()) {
                spliced.push(format!("{prefix}{rest}"));
            }
        }
    }
    alternatives.paths.extend(spliced.into_iter().take(MOST / 40));
    // A parameter that occurs twice, with the values of two rules.
    for (name, values) in &mut alternatives.parameters {
        let single = |value: &&String| !value.is_empty() && !value.contains('&');
        let named: Vec<String> = values.iter().flatten().filter(single).cloned().collect();
        for one in &named {
            for other in named.iter().filter(|other| *other != one) {
                let twice = Some(format!("{one}&{name}={other}"));
                if values.len() < MOST / 40 && !values.contains(&twice) {
                    values.push(twice);
                }
            }
        }
    }
    // A value that no rule names.
    let mut elsewhere = Shape::default();
    if alternatives.hosts.len() > 1 {
        elsewhere.host = Some("jwtctl-another.example".to_owned());
    }
    if alternatives.methods.len() > 2 {
        let others = ["PATCH", "PUT", "DELETE", "PROPFIND"];
        let is_free = |name: &&&str| alternatives.methods.iter().all(|known| known != **name);
        elsewhere.method = others.iter().find(is_free).map(|name| (*name).to_owned());
    }
    alternatives.hosts.extend(elsewhere.host.clone());
    alternatives.methods.extend(elsewhere.method.clone());
    if all.len() > 1 {
        let beside: Vec<Shape> = singles.iter().map(|shape| shape.with(&elsewhere)).collect();
        singles.extend(beside.into_iter().filter(|shape| seen.insert(shape.clone())));
    }
    for list in [
        &mut alternatives.paths,
        &mut alternatives.methods,
        &mut alternatives.hosts,
    ] {
        let mut seen: HashSet<String> = HashSet::new();
        list.retain(|one| seen.insert(one.clone()));
    }
    let mut known: HashSet<Request> = HashSet::new();
    let mut requests: Vec<Request> = Vec::new();
    let mut add = |request: Request| {
        if requests.len() < MOST && known.insert(request.clone()) {
            requests.push(request);
        }
    };
    for shape in &singles {
        add(shape.request());
    }
    for name in requirements {
        add(Request {
            route_requirement: Some(name),
            ..Request::new("GET", "/other")
        });
    }
    for shape in singles.iter().chain(&pairs) {
        add(shape.request());
        for path in &alternatives.paths {
            let there = Shape {
                path: Some(path.clone()),
                ..shape.clone()
            };
            add(there.request());
            if !there.parameters.is_empty() {
                add(Shape {
                    parameters: Vec::new(),
                    ..there
                }
                .request());
            }
        }
        for method in &alternatives.methods {
            add(Shape {
                method: Some(method.clone()),
                ..shape.clone()
            }
            .request());
        }
        for host in &alternatives.hosts {
            add(Shape {
                host: Some(host.clone()),
                ..shape.clone()
            }
            .request());
        }
        for (name, values) in &alternatives.headers {
            for value in values {
                let mut beside = shape.clone();
                Shape::set(&mut beside.headers, name, value.clone());
                add(beside.request());
            }
        }
        for (name, values) in &alternatives.parameters {
            for value in values {
                let mut beside = shape.clone();
                Shape::set(&mut beside.parameters, name, value.clone());
                add(beside.request());
            }
        }
    }
    requests
}
