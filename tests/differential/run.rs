//! Runs trials: an Envoy with a pair of listeners for each configuration, every request to both of a pair.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use testkit::{Bootstrap, Client, EnvoyProcess, Issuer, Request, Upstream, WasmFilter};

use crate::case::{self, Aspect, Case, Outcome, Raw};
use crate::deviations;
use crate::listeners::{listener, native, remote_path, stricter};
use crate::world::{KeySet, idps};

/// A configuration and the requests to try on it.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) name: String,
    /// Ours; theirs follows from it.
    pub(crate) config: Value,
    pub(crate) requests: Vec<Request>,
    /// Further fields of the route, metadata for instance.
    pub(crate) route: Value,
}

impl Trial {
    pub(crate) fn new(name: &str, config: Value, requests: Vec<Request>) -> Self {
        Self {
            name: name.to_owned(),
            config,
            requests,
            route: Value::Null,
        }
    }
}

/// What a run came to.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) configurations: usize,
    pub(crate) combinations: usize,
    /// Combinations that both filters let through.
    pub(crate) forwarded: usize,
    pub(crate) equal: usize,
    /// How often each deviation was seen.
    pub(crate) seen: BTreeMap<&'static str, usize>,
    /// What nothing explains, ready to read; by its kind, so that one fault is shown once.
    unexplained: BTreeMap<String, Vec<String>>,
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

    /// Fails with each kind of unlisted difference, the shortest example of each.
    pub(crate) fn assert_explained(&self) {
        let mut text = String::new();
        for (kind, found) in &self.unexplained {
            let shortest = found
                .iter()
                .min_by_key(|found| found.len())
                .expect("at least one");
            text.push_str(&format!("\n=== {kind} ({} times)\n{shortest}\n", found.len()));
            // Where else, to tell one cause from several.
            for other in found.iter().filter(|other| *other != shortest).take(10) {
                text.push_str(&format!("also {}\n", other.lines().next().unwrap_or_default()));
            }
        }
        assert!(
            self.unexplained.is_empty(),
            "{} kinds of differences that no deviation explains:\n{text}\n{self}",
            self.unexplained.len()
        );
    }

    fn take(&mut self, trial: &Trial, judged: &Judged<'_>) {
        self.combinations += 1;
        self.forwarded += usize::from(judged.case.both_forward().is_some());
        self.equal += usize::from(judged.explained.is_empty() && judged.unexplained.is_empty());
        for id in &judged.explained {
            *self.seen.entry(id).or_default() += 1;
        }
        for aspect in &judged.unexplained {
            let kind = kind(&judged.case, aspect);
            let found = describe(trial, &judged.case, aspect);
            self.unexplained.entry(kind).or_default().push(found);
        }
    }

    fn refused(&mut self, trial: &Trial, error: &str) {
        let kind = format!(
            "ours refuses the configuration: {}",
            error.rsplit(": ").next().unwrap_or(error)
        );
        let found = format!("{}: {error}\n{}", trial.name, without_keys(&trial.config));
        self.unexplained.entry(kind).or_default().push(found);
    }
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

/// Runs all of them, on as few Envoys as can be: one.
pub(crate) fn run(trials: &[Trial]) -> Report {
    let mut report = Report::default();
    let mut taken = Vec::new();
    for trial in trials {
        match proxy_wasm_jwt::config::Config::parse(trial.config.to_string().as_bytes()) {
            Ok(_) => taken.push(trial),
            Err(error) => report.refused(trial, &error.to_string()),
        }
    }
    report.configurations = taken.len();
    let stack = Stack::start(&taken);
    let next = AtomicUsize::new(0);
    let shared = Mutex::new(report);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(trial) = taken.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let clients = stack.clients(trial);
                    for request in &trial.requests {
                        let case = Case::new(
                            &trial.config,
                            request,
                            case::outcome(&clients.ours, request),
                            case::outcome(&clients.theirs, request),
                        );
                        let judged = judge(case, &clients.stricter);
                        shared
                            .lock()
                            .expect("no panic while it is held")
                            .take(trial, &judged);
                    }
                }
            });
        }
    });
    shared.into_inner().expect("no panic while it was held")
}

/// A case with each of its differences explained or not.
struct Judged<'c> {
    case: Case<'c>,
    explained: Vec<&'static str>,
    unexplained: Vec<Aspect>,
}

fn judge<'c>(case: Case<'c>, stricter: &[(&'static str, Client)]) -> Judged<'c> {
    let mut judged = judge_as_it_is(case);
    if judged.unexplained.is_empty() || !matches!(judged.case.theirs, Outcome::Forwarded(_)) {
        return judged;
    }
    // Theirs may have waived the token where ours does not. If so, theirs with the rules that ours follows decides as
    // ours does; or at least more nearly so, and then the rest is a difference of another kind.
    for (id, client) in stricter {
        let Case { config, request, .. } = judged.case;
        let theirs = case::outcome(client, request);
        if theirs == judged.case.theirs {
            continue;
        }
        let mut again = judge_as_it_is(Case::new(config, request, judged.case.ours.clone(), theirs));
        let agrees = std::mem::discriminant(&judged.case.ours) == std::mem::discriminant(&again.case.theirs);
        if agrees || again.unexplained.is_empty() {
            again.explained.push(id);
            judged = again;
        }
        if judged.unexplained.is_empty() {
            break;
        }
    }
    judged
}

fn judge_as_it_is(case: Case<'_>) -> Judged<'_> {
    let mut explained = Vec::new();
    let mut unexplained = Vec::new();
    for aspect in case.differences() {
        match deviations::explaining(&case, &aspect) {
            Some(deviation) => explained.push(deviation.id),
            None => unexplained.push(aspect),
        }
    }
    Judged {
        case,
        explained,
        unexplained,
    }
}

/// The listeners of one trial.
struct Clients {
    ours: Client,
    theirs: Client,
    /// Theirs with stricter rules, by the deviation that makes ours so.
    stricter: Vec<(&'static str, Client)>,
}

struct Stack {
    envoy: EnvoyProcess,
    _upstream: Upstream,
    _issuer: Issuer,
}

impl Stack {
    fn start(trials: &[&Trial]) -> Self {
        let issuer = Issuer::start();
        for (number, idp) in idps().iter().enumerate() {
            for set in KeySet::ALL {
                issuer.serve(
                    &remote_path(number, set),
                    testkit::Answer::new("application/json", set.of(idp).to_string().as_bytes()),
                );
            }
        }
        let upstream = Upstream::start();
        let mut bootstrap = Bootstrap::new()
            .cluster("issuer", issuer.addr())
            .cluster("upstream", upstream.addr());
        for trial in trials {
            let ours = WasmFilter::new(trial.config.clone()).build();
            bootstrap = bootstrap
                .listener(listener(&format!("ours {}", trial.name), ours, &trial.route))
                .listener(listener(
                    &format!("theirs {}", trial.name),
                    native(&trial.config),
                    &trial.route,
                ));
            for (id, config) in stricter(&trial.config) {
                let name = format!("{id} {}", trial.name);
                bootstrap = bootstrap.listener(listener(&name, native(&config), &trial.route));
            }
        }
        Self {
            envoy: EnvoyProcess::start(&bootstrap.build()),
            _upstream: upstream,
            _issuer: issuer,
        }
    }

    fn clients(&self, trial: &Trial) -> Clients {
        let client = |whose: &str| self.envoy.client(&format!("{whose} {}", trial.name));
        Clients {
            ours: client("ours"),
            theirs: client("theirs"),
            stricter: stricter(&trial.config)
                .into_iter()
                .map(|(id, _)| (id, client(id)))
                .collect(),
        }
    }
}

/// The kind of a difference: differences of one kind have probably one cause.
fn kind(case: &Case<'_>, aspect: &Aspect) -> String {
    match aspect {
        Aspect::Decision | Aspect::Status => {
            let word = |outcome: &Outcome| match outcome {
                Outcome::Forwarded(_) => "forwarded".to_owned(),
                Outcome::Denied { status, details } => format!("{status} {details}"),
            };
            format!("ours {}, theirs {}", word(&case.ours), word(&case.theirs))
        }
        Aspect::Path => "the path upstream".to_owned(),
        Aspect::Header(name) => format!("the header {name} upstream"),
    }
}

/// All that is needed to see a difference again, short enough to be read: keys and tokens are named, not shown.
fn describe(trial: &Trial, case: &Case<'_>, aspect: &Aspect) -> String {
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
        "{}: {aspect:?}\nconfiguration: {}\n{text}tokens:  {}",
        trial.name,
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
