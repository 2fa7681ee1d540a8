//! The runner of a scenario, and the comparison of its outcome with the expected one.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::time::Duration;

use serde_json::Value;
use testkit::Request;

use scenarios::{Expect, ReplyHas, Says, Scenario, Seen, Step};

/// The outcome of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The request at the upstream. Header values as Latin-1.
    Forwarded {
        path: String,
        headers: Vec<(String, String)>,
    },
    /// The response at the client.
    Answered {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
}

impl Outcome {
    /// The header fields of a reply of the filter.
    fn into_reply(self) -> Option<Vec<(String, String)>> {
        match self {
            Self::Answered { headers, .. } => Some(headers),
            Self::Forwarded { .. } => None,
        }
    }
}

/// One scenario under way.
pub(crate) trait Running {
    /// Sends these at once and waits for all.
    fn requests(&mut self, requests: &[Request]) -> Vec<Outcome>;
    fn issuer(&mut self, path: &str, says: &Says);
    fn pass(&mut self, duration: Duration);
    fn fetches(&mut self, path: &str) -> usize;
}

/// Carries out a scenario's steps, and returns the faults that it finds.
pub(crate) fn run(scenario: &Scenario, running: &mut dyn Running) -> Vec<String> {
    let mut faults = Vec::new();
    let mut last_reply = Vec::new();
    for (place, step) in &scenario.steps {
        let mut fault = |what: String| faults.push(format!("{place}: {what}"));
        match step {
            Step::Request(request, expect) => {
                let outcome = ask(running, request);
                check(request, expect, &outcome, &mut fault);
                last_reply = outcome.into_reply().unwrap_or(last_reply);
            }
            Step::Following(following, expect) => {
                let request = following.0(&last_reply);
                let outcome = ask(running, &request);
                check(&request, expect, &outcome, &mut fault);
                last_reply = outcome.into_reply().unwrap_or(last_reply);
            }
            Step::Together(requests) => {
                let all: Vec<Request> = requests.iter().map(|(request, _)| request.clone()).collect();
                let outcomes = running.requests(&all);
                assert_eq!(outcomes.len(), requests.len());
                for ((request, expect), outcome) in requests.iter().zip(&outcomes) {
                    check(request, expect, outcome, &mut fault);
                }
            }
            Step::Issuer(path, says) => running.issuer(path, says),
            Step::Pass(duration) => running.pass(*duration),
            Step::Fetches(path, expected) => {
                let seen = running.fetches(path);
                if seen != *expected {
                    fault(format!("the issuer was asked {seen} times, not {expected}"));
                }
            }
        }
    }
    faults
}

fn ask(running: &mut dyn Running, request: &Request) -> Outcome {
    let mut outcomes = running.requests(std::slice::from_ref(request));
    outcomes.pop().expect("an outcome for each request")
}

fn check(request: &Request, expect: &Expect, outcome: &Outcome, fault: &mut dyn FnMut(String)) {
    let what = format!(
        "{} {}",
        request.method,
        request.path.split('?').next().unwrap_or_default()
    );
    match (expect, outcome) {
        (Expect::Forwarded(seen), Outcome::Forwarded { path, headers }) => {
            for seen in seen {
                let (is_so, demand) = match seen {
                    Seen::Header(name, value) => (
                        values(headers, name) == [value.as_str()],
                        format!("{name}: {value}"),
                    ),
                    Seen::NoHeader(name) => (values(headers, name).is_empty(), format!("no {name}")),
                    Seen::Path(expected) => (path == expected, format!("the path {expected}")),
                };
                if !is_so {
                    fault(format!(
                        "{what}: expected {demand}; the upstream saw {path} {headers:?}"
                    ));
                }
            }
        }
        (
            Expect::Denied {
                status,
                reason,
                reply,
            },
            Outcome::Answered {
                status: seen,
                headers,
                body,
            },
        ) => {
            if status != seen {
                fault(format!("{what}: expected {status} {reason}, not {seen} {body}"));
                return;
            }
            let json = serde_json::from_str::<Value>(body).ok();
            if let Some(seen) = json.as_ref().and_then(|json| json["reason"].as_str())
                && seen != *reason
            {
                fault(format!("{what}: expected {reason}, not {seen}"));
            }
            // RFC 9110 section 11.6.1: every 401 has a challenge, unless the operator wants none.
            let wants_none = reply
                .iter()
                .any(|has| matches!(has, ReplyHas::NoHeader("www-authenticate")));
            if *status == 401 && !wants_none && values(headers, "www-authenticate").is_empty() {
                fault(format!("{what}: no challenge in {headers:?}"));
            }
            check_reply(&what, reply, headers, body, fault);
        }
        (
            Expect::Answered { status, reply },
            Outcome::Answered {
                status: seen,
                headers,
                body,
            },
        ) => {
            if status != seen {
                fault(format!("{what}: expected {status}, not {seen} {body}"));
                return;
            }
            check_reply(&what, reply, headers, body, fault);
        }
        (Expect::Forwarded(_), Outcome::Answered { status, body, .. }) => {
            fault(format!("{what}: expected to be forwarded, not {status} {body}"));
        }
        (Expect::Denied { status, reason, .. }, Outcome::Forwarded { .. }) => {
            fault(format!("{what}: LET THROUGH instead of {status} {reason}"));
        }
        (Expect::Answered { status, .. }, Outcome::Forwarded { .. }) => {
            fault(format!("{what}: passed on instead of answered with {status}"));
        }
    }
}

fn check_reply(
    what: &str,
    reply: &[ReplyHas],
    headers: &[(String, String)],
    body: &str,
    fault: &mut dyn FnMut(String),
) {
    for has in reply {
        let is_so = match has {
            ReplyHas::Header(name, value) => values(headers, name) == [value.as_str()],
            ReplyHas::OneOf(name, value) => values(headers, name).contains(&value.as_str()),
            ReplyHas::NoHeader(name) => values(headers, name).is_empty(),
            ReplyHas::Body(expected) => body == expected,
        };
        if !is_so {
            fault(format!(
                "{what}: expected {has:?}; the reply was {headers:?} {body}"
            ));
        }
    }
}

fn values<'h>(headers: &'h [(String, String)], name: &str) -> Vec<&'h str> {
    headers
        .iter()
        .filter(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
        .collect()
}

/// The configuration with this cluster in place of `issuer`, so that scenarios that run at the same time do
/// not share an issuer.
pub(crate) fn with_cluster(config: &Value, cluster: &str) -> Value {
    let mut config = config.clone();
    let providers = config["providers"].as_object_mut().expect("providers");
    for provider in providers.values_mut() {
        for place in ["/remote_jwks/http_uri/cluster", "/discovery/cluster"] {
            if let Some(name) = provider.pointer_mut(place)
                && name == "issuer"
            {
                *name = cluster.into();
            }
        }
    }
    config
}
