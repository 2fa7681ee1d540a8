//! One request to both filters: the outcome of each, and the differences.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;
use testkit::{Client, Request, Response, latin1};

use crate::tokens::{self, SeenToken};

/// The outcome of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Forwarded(Forwarded),
    Denied {
        status: u16,
        /// Envoy's response code details, which contain the filter's reason.
        details: String,
    },
}

/// The request at the upstream. Values as Latin-1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forwarded {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, Vec<String>>,
}

/// The kinds of differences between two outcomes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Aspect {
    /// One forwards, the other denies.
    Decision,
    /// Both deny.
    Status,
    /// Both forward.
    Path,
    Header(String),
}

/// A request, its configuration and both outcomes.
#[derive(Debug)]
pub(crate) struct Case<'c> {
    pub(crate) config: &'c Value,
    pub(crate) request: &'c Request,
    pub(crate) ours: Outcome,
    pub(crate) theirs: Outcome,
    /// Everything in the request that looks like a token.
    pub(crate) tokens: Vec<SeenToken>,
}

/// The header that [`crate::run`] makes Envoy add to every refusal.
pub(crate) const DETAILS: &str = "x-response-code-details";

/// Headers that Envoy sets itself, again for every request.
const ENVOYS_OWN: &[&str] = &[
    "x-request-id",
    "x-forwarded-proto",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-internal",
    "x-forwarded-for",
    "host",
    "content-length",
];

impl<'c> Case<'c> {
    pub(crate) fn new(config: &'c Value, request: &'c Request, ours: Outcome, theirs: Outcome) -> Self {
        Self {
            config,
            request,
            ours,
            theirs,
            tokens: tokens::seen(request),
        }
    }

    /// The differences between the outcomes.
    pub(crate) fn differences(&self) -> Vec<Aspect> {
        match (&self.ours, &self.theirs) {
            (Outcome::Forwarded(ours), Outcome::Forwarded(theirs)) => {
                let mut found = Vec::new();
                if ours.path != theirs.path {
                    found.push(Aspect::Path);
                }
                let names: BTreeSet<_> = ours.headers.keys().chain(theirs.headers.keys()).collect();
                let differs = |name: &&&String| ours.headers.get(**name) != theirs.headers.get(**name);
                found.extend(
                    names
                        .iter()
                        .filter(differs)
                        .map(|name| Aspect::Header((*name).clone())),
                );
                found
            }
            (Outcome::Denied { status: ours, .. }, Outcome::Denied { status: theirs, .. }) => {
                if ours == theirs {
                    Vec::new()
                } else {
                    vec![Aspect::Status]
                }
            }
            _ => vec![Aspect::Decision],
        }
    }

    /// The reason for which ours denies, if it does.
    pub(crate) fn reason(&self) -> Option<&str> {
        match &self.ours {
            Outcome::Denied { details, .. } => Some(details.strip_prefix("jwt_").unwrap_or(details)),
            Outcome::Forwarded(_) => None,
        }
    }

    /// The requests that both forward, if both do.
    pub(crate) fn both_forward(&self) -> Option<(&Forwarded, &Forwarded)> {
        match (&self.ours, &self.theirs) {
            (Outcome::Forwarded(ours), Outcome::Forwarded(theirs)) => Some((ours, theirs)),
            _ => None,
        }
    }

    pub(crate) fn providers(&self) -> impl Iterator<Item = &'c Value> {
        let config: &'c Value = self.config;
        config["providers"]
            .as_object()
            .into_iter()
            .flat_map(|all| all.values())
    }

    /// The values of a header in the request.
    pub(crate) fn sent(&self, name: &str) -> Vec<String> {
        self.request
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| latin1(value))
            .collect()
    }
}

/// Sends the request and waits for the outcome.
pub(crate) fn outcome(client: &Client, request: &Request) -> Outcome {
    let response = client
        .try_request(request.clone())
        .unwrap_or_else(|error| panic!("no answer: {error}\n{}", Raw(request)));
    read(&response)
}

fn read(response: &Response) -> Outcome {
    match response.try_echo() {
        Some(echo) => {
            let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (name, value) in echo.headers {
                if !ENVOYS_OWN.contains(&name.as_str()) {
                    headers.entry(name).or_default().push(value);
                }
            }
            Outcome::Forwarded(Forwarded {
                path: echo.path,
                headers,
            })
        }
        None => Outcome::Denied {
            status: response.status,
            details: response.header_values(DETAILS).join(","),
        },
    }
}

/// A request as it goes over the wire.
pub(crate) struct Raw<'r>(pub(crate) &'r Request);

impl fmt::Display for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} HTTP/1.1", self.0.method, self.0.path)?;
        for (name, value) in &self.0.headers {
            writeln!(f, "{name}: {}", value.escape_ascii())?;
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied { status, details } => write!(f, "{status} {details}"),
            Self::Forwarded(Forwarded { path, headers }) => write!(f, "forwarded {path} {headers:?}"),
        }
    }
}
