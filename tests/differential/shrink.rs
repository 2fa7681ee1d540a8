//! Reduces an unexplained example to the smallest one: first the request, then the configuration.

use serde_json::Value;
use testkit::Request;

use crate::report::describe;
use crate::run::{Stack, Trial, look};

/// The most reductions. Each costs an Envoy.
const ROUNDS: usize = 25;
/// The number of attempts at the same time.
const AT_ONCE: usize = 40;

/// The smallest trial that still shows a difference of this kind, and its report; None if nothing can be
/// removed.
pub(crate) fn smallest(trial: &Trial, kind: &str) -> Option<(String, Trial)> {
    let mut best = None;
    // The place of the last success: no earlier part can be removed.
    let mut start = 0;
    for _ in 0..ROUNDS {
        let now = best.as_ref().map_or(trial, |(_, trial)| trial);
        let mut candidates = smaller(now);
        if start >= candidates.len() {
            break;
        }
        candidates.drain(..start);
        candidates.truncate(AT_ONCE);
        let taken: Vec<&Trial> = candidates.iter().collect();
        // jwt_authn may refuse one of them, and then Envoy does not start. That is acceptable.
        let Ok(stack) = Stack::try_start(&taken) else {
            break;
        };
        let found = taken.iter().position(|trial| {
            look(&stack.clients(trial), trial, &trial.requests[0])
                .kinds()
                .iter()
                .any(|found| found == kind)
        });
        match found {
            Some(position) => {
                start += position;
                let smaller = candidates.swap_remove(position);
                let text = describe(
                    &smaller,
                    &look(&stack.clients(&smaller), &smaller, &smaller.requests[0]),
                );
                best = Some((text.replacen(&smaller.name, &trial.name, 1), smaller));
            }
            None => start += AT_ONCE,
        }
    }
    best
}

/// Each trial with one part less that our filter still accepts.
fn smaller(trial: &Trial) -> Vec<Trial> {
    let requests = smaller_requests(&trial.requests[0])
        .into_iter()
        .map(|request| trial.alone(&request));
    let configs = smaller_values(&trial.config).into_iter().map(|config| Trial {
        config,
        ..trial.clone()
    });
    let mut found: Vec<Trial> = requests.chain(configs).collect();
    found.retain(|trial| {
        theirs_takes(&trial.config)
            && proxy_wasm_jwt::config::Config::parse(trial.config.to_string().as_bytes()).is_ok()
    });
    for (number, trial) in found.iter_mut().enumerate() {
        trial.name = format!("smaller {number}");
    }
    found
}

/// The demands of jwt_authn on a configuration that this filter does not make: at least two members in a
/// group, and a path in each match.
fn theirs_takes(config: &Value) -> bool {
    match config {
        Value::Object(fields) => fields.iter().all(|(name, value)| {
            let holds = match name.as_str() {
                "requirements" => value.as_array().is_some_and(|group| group.len() >= 2),
                "match" => ["prefix", "path", "safe_regex", "path_separated_prefix"]
                    .iter()
                    .any(|form| value.get(form).is_some()),
                _ => true,
            };
            holds && theirs_takes(value)
        }),
        Value::Array(elements) => elements.iter().all(theirs_takes),
        _ => true,
    }
}

/// The request without one header, one parameter or one cookie.
fn smaller_requests(request: &Request) -> Vec<Request> {
    let mut found = Vec::new();
    for number in 0..request.headers.len() {
        let mut smaller = request.clone();
        smaller.headers.remove(number);
        found.push(smaller);
    }
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let rest: Vec<&str> = query.split('&').filter(|other| *other != pair).collect();
        let mut smaller = request.clone();
        smaller.path = if rest.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", rest.join("&"))
        };
        found.push(smaller);
    }
    found
}

/// The configuration without one member or one element, at any depth, the largest first.
fn smaller_values(config: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    match config {
        Value::Object(fields) => {
            for name in fields.keys() {
                let mut smaller = fields.clone();
                smaller.remove(name);
                found.push(smaller.into());
            }
            for (name, value) in fields {
                for value in smaller_values(value) {
                    let mut smaller = fields.clone();
                    smaller.insert(name.clone(), value);
                    found.push(smaller.into());
                }
            }
        }
        Value::Array(elements) => {
            for number in 0..elements.len() {
                let mut smaller = elements.clone();
                smaller.remove(number);
                found.push(smaller.into());
            }
            for (number, value) in elements.iter().enumerate() {
                for value in smaller_values(value) {
                    let mut smaller = elements.clone();
                    smaller[number] = value;
                    found.push(smaller.into());
                }
            }
        }
        _ => {}
    }
    found
}
