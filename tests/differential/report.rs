//! The result of a run, and the report of an unexplained difference.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::PathBuf;

use serde_json::Value;

use crate::case::Raw;
use crate::judge::Judged;
use crate::listeners::native;
use crate::run::Trial;
use crate::shrink;

/// The number of kinds for which the example is reduced, which takes a while.
const SHRUNK: usize = 3;

/// A difference that nothing explains.
#[derive(Debug)]
struct Example {
    /// Its kind and its place.
    title: String,
    /// Ready to read.
    text: String,
    /// To see it again; None if the configuration itself is refused.
    trial: Option<Trial>,
}

/// The result of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) configurations: usize,
    pub(crate) combinations: usize,
    /// Combinations that both filters let through.
    pub(crate) forwarded: usize,
    pub(crate) equal: usize,
    /// The number of occurrences of each deviation.
    pub(crate) seen: BTreeMap<&'static str, usize>,
    /// The reports of unexplained differences, by kind: each fault is reported once.
    unexplained: BTreeMap<String, Vec<Example>>,
}

impl Report {
    pub(crate) fn add(&mut self, other: Self) {
        self.configurations += other.configurations;
        self.combinations += other.combinations;
        self.forwarded += other.forwarded;
        self.equal += other.equal;
        for (id, count) in other.seen {
            *self.seen.entry(id).or_default() += count;
        }
        for (kind, found) in other.unexplained {
            self.unexplained.entry(kind).or_default().extend(found);
        }
    }

    /// Fails with each kind of unlisted difference, the smallest example of each.
    pub(crate) fn assert_explained(&self) {
        if self.unexplained.is_empty() {
            return;
        }
        let mut text = String::new();
        for (number, (kind, found)) in self.unexplained.iter().enumerate() {
            let shortest = found
                .iter()
                .min_by_key(|found| found.text.len())
                .expect("at least one");
            writeln!(text, "\n=== {kind} ({} times)", found.len()).expect("a string grows");
            let smallest = match &shortest.trial {
                Some(trial) if number < SHRUNK && std::env::var_os("DIFF_WHOLE").is_none() => {
                    shrink::smallest(trial, kind)
                }
                _ => None,
            };
            let (shown, trial) = match &smallest {
                Some((shown, trial)) => (shown, Some(trial)),
                None => (&shortest.text, shortest.trial.as_ref()),
            };
            writeln!(text, "{shown}").expect("a string grows");
            if let Some(trial) = trial {
                writeln!(text, "in full: {}", keep(trial, number).display()).expect("a string grows");
            }
            // Other places, which help to find the cause.
            for other in found
                .iter()
                .filter(|other| other.title != shortest.title)
                .take(10)
            {
                writeln!(text, "also {}", other.title).expect("a string grows");
            }
        }
        panic!(
            "{} kinds of differences that no deviation explains:\n{text}\n{self}",
            self.unexplained.len()
        );
    }

    pub(crate) fn take(&mut self, trial: &Trial, judged: &Judged<'_>) {
        self.combinations += 1;
        self.forwarded += usize::from(judged.case.both_forward().is_some());
        self.equal += usize::from(judged.explained.is_empty() && judged.unexplained.is_empty());
        for id in &judged.explained {
            *self.seen.entry(id).or_default() += 1;
        }
        for (aspect, kind) in judged.unexplained.iter().zip(judged.kinds()) {
            let example = Example {
                title: format!("{}: {aspect:?}", trial.name),
                text: describe(trial, judged),
                trial: Some(trial.alone(judged.case.request)),
            };
            self.unexplained.entry(kind).or_default().push(example);
        }
    }

    pub(crate) fn refused(&mut self, trial: &Trial, error: &str) {
        let fault = error.rsplit(": ").next().unwrap_or(error);
        let example = Example {
            title: format!("{}: {error}", trial.name),
            text: format!("{}: {error}\n{}", trial.name, without_keys(&trial.config)),
            trial: None,
        };
        self.unexplained
            .entry(format!("ours refuses the configuration: {fault}"))
            .or_default()
            .push(example);
    }
}

/// Writes the whole configurations and the raw request to a file.
fn keep(trial: &Trial, number: usize) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("differential-{number}.txt"));
    let requests: Vec<String> = trial
        .requests
        .iter()
        .map(|request| Raw(request).to_string())
        .collect();
    let text = format!(
        "ours:\n{:#}\n\ntheirs:\n{:#}\n\nrequest:\n{}",
        trial.config,
        native(&trial.config),
        requests.join("\n")
    );
    std::fs::write(&path, text).expect("the example is written");
    path
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} configurations, {} combinations, {} forwarded by both, {} equal; deviations {:?}",
            self.configurations, self.combinations, self.forwarded, self.equal, self.seen
        )
    }
}

/// Everything that is needed to reproduce a difference, in a short form: keys and tokens are named, not
/// shown.
pub(crate) fn describe(trial: &Trial, judged: &Judged<'_>) -> String {
    let case = &judged.case;
    let tokens: Vec<String> = case.tokens.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "request: {}ours:    {}\ntheirs:  {}\n",
        Raw(case.request),
        case.ours,
        case.theirs
    );
    for (number, token) in case.tokens.iter().enumerate() {
        text = text.replace(&token.text, &format!("<token {number}>"));
    }
    format!(
        "{}: {:?}\nconfiguration: {}\n{text}tokens:  {}",
        trial.name,
        judged.unexplained,
        without_keys(&trial.config),
        tokens.join("\n         "),
    )
}

fn without_keys(config: &Value) -> Value {
    let mut config = config.clone();
    for provider in config["providers"]
        .as_object_mut()
        .into_iter()
        .flatten()
        .map(|(_, provider)| provider)
    {
        if let Some(Value::String(keys)) = provider.pointer_mut("/local_jwks/inline_string") {
            *keys = format!("<{} bytes of keys>", keys.len());
        }
    }
    config
}
