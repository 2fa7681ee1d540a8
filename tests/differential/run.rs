//! Runs trials: an Envoy with a pair of listeners for each configuration, every request to both of a pair.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use testkit::{Bootstrap, Client, EnvoyOptions, EnvoyProcess, Issuer, Request, Upstream, WasmFilter};

use crate::case::{self, Case};
use crate::judge::{self, Judged};
use crate::listeners::{listener, native, remote_path};
use crate::report::Report;
use crate::stricter::stricter;
use crate::world::{KeySet, idps};

/// A configuration and the requests to try on it.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) name: String,
    /// The configuration of our filter. That of jwt_authn follows from it.
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

    /// The trial with this request only.
    pub(crate) fn alone(&self, request: &Request) -> Self {
        Self {
            requests: vec![request.clone()],
            ..self.clone()
        }
    }
}

/// Runs all of them on a single Envoy if possible.
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
    let stack = Stack::try_start(&taken).unwrap_or_else(|log| panic!("Envoy did not start:\n{log}"));
    let next = AtomicUsize::new(0);
    let shared = Mutex::new(report);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(trial) = taken.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let clients = stack.clients(trial);
                    for request in &trial.requests {
                        let judged = look(&clients, trial, request);
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

/// Sends the request to the listeners of the trial.
pub(crate) fn look<'t>(clients: &Clients, trial: &'t Trial, request: &'t Request) -> Judged<'t> {
    let case = Case::new(
        &trial.config,
        request,
        case::outcome(&clients.ours, request),
        case::outcome(&clients.theirs, request),
    );
    judge::judge(case, &clients.theirs, &clients.stricter)
}

/// The listeners of one trial.
pub(crate) struct Clients {
    ours: Client,
    theirs: Client,
    /// Theirs with stricter rules, by the deviation that makes ours so.
    stricter: Vec<(&'static str, Client)>,
}

/// An Envoy with the listeners of some trials.
pub(crate) struct Stack {
    envoy: EnvoyProcess,
    _upstream: Upstream,
    _issuer: Issuer,
}

impl Stack {
    /// Err is Envoy's log: one of the configurations is refused.
    pub(crate) fn try_start(trials: &[&Trial]) -> Result<Self, String> {
        let issuer = Issuer::start();
        for (number, idp) in idps().iter().enumerate() {
            for set in KeySet::ALL {
                issuer.serve(
                    &remote_path(number, set),
                    testkit::Answer::new("application/json", set.of(idp).to_string().as_bytes()),
                );
            }
        }
        for (path, document) in crate::key_documents::served() {
            issuer.serve(
                &path,
                testkit::Answer::new("application/json", document.as_bytes()),
            );
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
        Ok(Self {
            envoy: EnvoyProcess::try_start(&bootstrap.build(), &EnvoyOptions::default())?,
            _upstream: upstream,
            _issuer: issuer,
        })
    }

    pub(crate) fn clients(&self, trial: &Trial) -> Clients {
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
