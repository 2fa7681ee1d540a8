//! Envoy with a listener for each scenario, and with one listener, an issuer and an upstream: for the filter
//! in both of its forms.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testkit::{
    Answer, Bootstrap, Client, EnvoyProcess, Issuer, Listener, Request, Upstream, WasmFilter, latin1,
};

use crate::backends::{self, Outcome, Running, with_cluster};
use crate::harness::Tests;
use scenarios::{self, Says, Scenario};

/// The metadata of a route in which Envoy Gateway has the clusters of extension backends.
pub(crate) const EXTENSION_BACKENDS: &str = "gateway.envoyproxy.io/extension-backends";

/// One Envoy for many scenarios, with a listener and an issuer for each.
pub(crate) struct SharedEnvoy {
    issuers: Vec<Issuer>,
    _upstream: Upstream,
    envoy: EnvoyProcess,
    /// The number of scenarios in progress.
    left: AtomicUsize,
}

impl SharedEnvoy {
    pub(crate) fn start(scenarios: &[Scenario], change: impl Fn(&mut serde_json::Value)) -> Self {
        let upstream = Upstream::start();
        let mut bootstrap = Bootstrap::new().cluster("upstream", upstream.addr());
        let mut issuers = Vec::new();
        for (index, scenario) in scenarios.iter().enumerate() {
            let issuer = Issuer::start();
            for (path, says) in &scenario.issuer {
                issuer.serve(path, answer(says));
            }
            let cluster = format!("issuer-{index}");
            let mut config = with_cluster(&scenario.config, &cluster);
            change(&mut config);
            let mut filter = WasmFilter::new(config);
            if scenario.is_text {
                filter = filter.as_text();
            }
            // The metadata in which Envoy Gateway names the cluster of an extension backend.
            let mut route = testkit::route("/", "upstream");
            route["metadata"]["filter_metadata"] =
                serde_json::json!({EXTENSION_BACKENDS: {scenarios::BACKEND: cluster}});
            bootstrap = bootstrap
                .cluster(&cluster, issuer.addr())
                // Envoy drops `x-forwarded-client-cert` by default.
                .listener(
                    Listener::new(&index.to_string())
                        .filter(filter.build())
                        .route(route)
                        .manager("forward_client_cert_details", "ALWAYS_FORWARD_ONLY"),
                );
            issuers.push(issuer);
        }
        Self {
            issuers,
            _upstream: upstream,
            envoy: EnvoyProcess::start(&bootstrap.build()),
            left: AtomicUsize::new(scenarios.len()),
        }
    }

    /// The last scenario checks that every VM has survived.
    pub(crate) fn run(&self, index: usize, scenario: &Scenario) -> Vec<String> {
        let mut listener = InEnvoy {
            client: self.envoy.client(&index.to_string()),
            issuer: &self.issuers[index],
        };
        let faults = backends::run(scenario, &mut listener);
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            assert_alive(&self.envoy);
        }
        faults
    }
}

/// One scenario's listener.
pub(crate) struct InEnvoy<'e> {
    client: Client,
    issuer: &'e Issuer,
}

impl Running for InEnvoy<'_> {
    fn requests(&mut self, requests: &[Request]) -> Vec<Outcome> {
        let pending: Vec<_> = requests
            .iter()
            .map(|request| self.client.start(request.clone()))
            .collect();
        pending
            .into_iter()
            .map(|pending| {
                let response = pending.wait();
                match response.try_echo() {
                    Some(echo) => Outcome::Forwarded {
                        path: echo.path,
                        headers: echo.headers,
                    },
                    None => Outcome::Answered {
                        status: response.status,
                        headers: response
                            .headers
                            .iter()
                            .map(|(name, value)| (name.clone(), latin1(value)))
                            .collect(),
                        body: response.text(),
                    },
                }
            })
            .collect()
    }

    fn issuer(&mut self, path: &str, says: &Says) {
        self.issuer.serve(path, answer(says));
    }

    fn pass(&mut self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn fetches(&mut self, path: &str) -> usize {
        self.issuer.fetches(path)
    }
}

pub(crate) fn answer(says: &Says) -> Answer {
    match says {
        Says::Document(body) => Answer::new("application/json", body.as_bytes()),
        Says::With(body, headers) => headers.iter().fold(
            Answer::new("application/json", body.as_bytes()),
            |answer, (name, value)| {
                if name == "etag" {
                    answer.etag(value)
                } else {
                    answer.header(name, value)
                }
            },
        ),
        Says::Status(status) => Answer::status(*status),
        Says::Reset => Answer::new("application/json", "{}").reset(),
    }
}

/// No VM has failed, none was replaced; in the native module, nothing has panicked.
pub(crate) fn assert_alive(envoy: &EnvoyProcess) {
    let panicked: u64 = envoy.stats("panicked").values().sum();
    assert_eq!(panicked, 0, "{}", envoy.log());
    let failed: Vec<_> = envoy
        .stats("wasm")
        .into_iter()
        .filter(|(name, value)| *value > 0 && (name.contains("vm_reload") || name.contains("crash")))
        .collect();
    assert!(failed.is_empty(), "{failed:?}\n{}", envoy.log());
    // Envoy counts a failed VM only at the next request.
    let log = envoy.log();
    assert!(!log.contains("Uncaught"), "{log}");
}

/// These options, and what [`Stack::replace_listener`] needs.
pub(crate) fn replaceable(options: testkit::EnvoyOptions) -> testkit::EnvoyOptions {
    let mut options = options.reloadable();
    options.args = vec!["--drain-time-s".into(), "1".into()];
    options
}

/// An issuer, an upstream and an Envoy with one listener `jwt`.
pub(crate) struct Stack {
    pub(crate) issuer: Issuer,
    pub(crate) upstream: Upstream,
    pub(crate) envoy: EnvoyProcess,
    pub(crate) client: Client,
}

impl Stack {
    pub(crate) fn start(config: serde_json::Value) -> Self {
        Self::start_with(config, &testkit::EnvoyOptions::default())
    }

    pub(crate) fn start_with(config: serde_json::Value, options: &testkit::EnvoyOptions) -> Self {
        let issuer = Issuer::start();
        issuer.serve_jwks("/jwks", &[&scenarios::world().rsa]);
        Self::start_around(issuer, Listener::wasm("jwt", config), options)
    }

    pub(crate) fn start_around(issuer: Issuer, listener: Listener, options: &testkit::EnvoyOptions) -> Self {
        let upstream = Upstream::start();
        let bootstrap = Bootstrap::new()
            .cluster("issuer", issuer.addr())
            .cluster("upstream", upstream.addr())
            .listener(listener)
            .build();
        let envoy = EnvoyProcess::start_with(&bootstrap, options);
        let client = envoy.client("jwt");
        Self {
            issuer,
            upstream,
            envoy,
            client,
        }
    }

    /// Replaces the listener and waits until the old one has ended: it serves its connections until then, and
    /// takes new ones for a moment. Needs [`replaceable`] options.
    pub(crate) fn replace_listener(&self, config: serde_json::Value) {
        self.envoy
            .reload_listeners(&[Listener::wasm("jwt", config).build()])
            .expect("a good configuration");
        let drained = self.envoy.wait_for_stat(
            "listener_manager.total_listeners_draining",
            std::time::Duration::from_secs(10),
            |draining| draining == 0,
        );
        assert_eq!(drained, Ok(0));
    }

    /// The status of a GET with this token.
    pub(crate) fn status(&self, token: &str) -> u16 {
        self.client.request(Request::get("/orders").bearer(token)).status
    }
}

/// Envoy's memory, that of its VMs included.
pub(crate) fn resident_bytes(envoy: &EnvoyProcess) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", envoy.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

/// The module that crashes if a request has a certain header. `make test` builds it.
pub(crate) fn trap_module() -> PathBuf {
    let name = match testkit::uses_native_module() {
        true => ".build/libjwt-trap.so",
        false => ".build/trap.wasm",
    };
    testkit::workspace_root().join(name)
}

/// The released module.
pub(crate) fn release_module() -> PathBuf {
    match testkit::uses_native_module() {
        true => testkit::native_module_path(),
        false => testkit::module_path(),
    }
}

pub(crate) fn trap_listener(config: serde_json::Value) -> Listener {
    let module = trap_module();
    assert!(module.exists(), "{}: `make test` builds it", module.display());
    let mut filter = WasmFilter::new(config);
    let filter = if testkit::uses_native_module() {
        filter.build_native(&module)
    } else {
        filter.module = module;
        filter.build()
    };
    Listener::new("jwt").filter(filter)
}

/// Crashes the worker's VM, or its engine in the native module.
pub(crate) fn spring_trap(stack: &Stack) {
    let request = Request::get("/orders").header("x-test-trap", "1");
    let outcome = stack.client.try_request(request);
    assert!(
        outcome.as_ref().map_or(true, |response| response.status >= 500),
        "the trap did not spring: {outcome:?}"
    );
}

/// Waits until the worker has a new VM that accepts this token.
pub(crate) fn wait_until_good(stack: &Stack, token: &str) -> Duration {
    let begun = Instant::now();
    while stack.status(token) != 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", stack.envoy.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let counter = match testkit::uses_native_module() {
        true => "panicked",
        false => "vm_reload_success",
    };
    assert!(
        stack.envoy.stats(counter).values().any(|count| *count > 0),
        "nothing was taken down"
    );
    begun.elapsed()
}

/// Runs the tests of this binary, and the scenarios with both ways to verify signatures.
pub(crate) fn run() -> ExitCode {
    // The tests wait more than they compute. With the native module, Envoy has no module to compile, and a
    // test computes a quarter as much.
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let at_once = if testkit::uses_native_module() { 4 } else { 2 };
    Tests::new()
        .at_once(at_once * cores)
        .scenarios(None, |scenarios| {
            let shared = SharedEnvoy::start(scenarios, |_| {});
            move |index, scenario: &Scenario| shared.run(index, scenario)
        })
        .scenarios(Some("signatures_checked_in_the_sandbox"), |scenarios| {
            let shared =
                SharedEnvoy::start(scenarios, |config| config["signature_backend"] = "sandbox".into());
            move |index, scenario: &Scenario| shared.run(index, scenario)
        })
        .run()
}
