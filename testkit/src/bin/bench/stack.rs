//! One Envoy with a listener for each side: pinned to the first core, if it has one worker.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use testkit::{Bootstrap, EnvoyOptions, EnvoyProcess, Listener, SigningKey, WasmFilter, native_module_path};

use crate::bare::{self, Call, Signed};
use crate::cases::Side;
use crate::tokens::{AUDIENCE, ISSUER, Keys};

pub(crate) struct Stack {
    envoy: EnvoyProcess,
    ports: BTreeMap<Side, u16>,
    /// The folder of the bare modules.
    _modules: tempfile::TempDir,
}

impl Stack {
    pub(crate) fn start(keys: &Keys, sides: &[Side], workers: u32) -> Self {
        let mut bootstrap = Bootstrap::new();
        let modules = tempfile::tempdir().expect("a temporary directory");
        for side in sides {
            bootstrap = bootstrap.listener(listener(*side, keys, modules.path()));
        }
        let envoy = EnvoyProcess::start_with(&bootstrap.build(), &EnvoyOptions::workers(workers));
        let cores = ["0", "0,1"];
        pin(envoy.pid(), cores[usize::from(workers > 1)]);
        let ports = sides
            .iter()
            .map(|side| (*side, envoy.port(side.name())))
            .collect();
        Self {
            envoy,
            ports,
            _modules: modules,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.envoy.pid()
    }

    pub(crate) fn port(&self, side: Side) -> u16 {
        self.ports[&side]
    }

    /// The processor time of Envoy's threads so far.
    pub(crate) fn times(&self) -> Times {
        Times::of_process(self.envoy.pid())
    }

    /// The resident memory of the whole Envoy.
    pub(crate) fn memory_kib(&self) -> u64 {
        resident_kib(self.envoy.pid())
    }
}

/// The resident memory of a process.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

/// The processor time that the kernel has given to threads, in µs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// Processor time: what other processes take from the machine is not in it.
    pub(crate) cpu: f64,
    /// The time in which they could have run, but another process ran.
    pub(crate) waited: f64,
}

impl Times {
    /// The time of a thread, by its folder in /proc. A thread that has just ended counts as 0.
    pub(crate) fn of(thread: &Path) -> Self {
        let stat = std::fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
        let mut micros = stat
            .split_whitespace()
            .map(|nanos| nanos.parse().unwrap_or(0.0) / 1000.0);
        Self {
            cpu: micros.next().unwrap_or_default(),
            waited: micros.next().unwrap_or_default(),
        }
    }

    /// The time of all threads of a process.
    pub(crate) fn of_process(pid: u32) -> Self {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
        tasks
            .flatten()
            .map(|task| Self::of(&task.path()))
            .fold(Self::default(), Self::and)
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            waited: self.waited + other.waited,
        }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu - before.cpu,
            waited: self.waited - before.waited,
        }
    }
}

/// Keeps all threads of a process on these cores.
pub(crate) fn pin(pid: u32, cores: &str) {
    let output = Command::new("taskset")
        .args(["-acp", cores, &pid.to_string()])
        .output()
        .expect("taskset runs; `make bench` installs it");
    assert!(
        output.status.success(),
        "taskset: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A higher priority than the machine's other processes, for this process and those that it starts.
///
/// Linux compares the processes of different sessions by the nice value of the session's group, where such
/// groups are on.
pub(crate) struct Priority {
    group: Option<String>,
}

impl Priority {
    const GROUP: &str = "/proc/self/autogroup";

    /// Only root may raise a priority. Without it, the bench measures all the same, and other processes
    /// disturb the latency more.
    pub(crate) fn raise() -> Self {
        let renice = Command::new("renice")
            .args(["-n", "-20", "-p", &std::process::id().to_string()])
            .output();
        if !renice.is_ok_and(|output| output.status.success()) {
            eprintln!("the bench has the priority of any other process: only root may raise it");
        }
        // For example `/autogroup-157 nice 0`.
        let group = fs::read_to_string(Self::GROUP)
            .ok()
            .and_then(|line| Some(line.trim().rsplit_once(' ')?.1.to_owned()))
            .filter(|_| fs::write(Self::GROUP, "-20").is_ok());
        Self { group }
    }
}

impl Drop for Priority {
    /// The group contains the shell that started the bench.
    fn drop(&mut self) {
        if let Some(nice) = &self.group {
            let _ = fs::write(Self::GROUP, nice);
        }
    }
}

/// A route that Envoy answers by itself.
pub(crate) fn answer() -> Value {
    json!({
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": "ok"}}
    })
}

pub(crate) fn listener(side: Side, keys: &Keys, modules: &Path) -> Listener {
    let listener = Listener::new(side.name()).route(answer());
    match side {
        Side::None => listener,
        Side::JwtAuthn => listener.filter(jwt_authn(keys, Value::Null)),
        Side::JwtAuthnCached => listener.filter(jwt_authn(keys, cache())),
        Side::Ours | Side::Uncached | Side::Sandbox | Side::Waived => {
            listener.filter(WasmFilter::new(ours(side, keys)).build())
        }
        Side::Module => listener.filter(module(ours(side, keys))),
        Side::Empty => listener.filter(bare(side, modules, &[])),
        Side::WarmCalls => listener.filter(bare(side, modules, CALLS)),
        Side::Rs256Calls => listener.filter(verifying(side, modules, CALLS, &keys.rsa)),
        Side::Es256Calls => listener.filter(verifying(side, modules, CALLS, &keys.es256)),
        Side::MissingCalls => listener.filter(bare(side, modules, REFUSAL_CALLS)),
        Side::ExpiredCalls => listener.filter(bare(side, modules, &refusal_of_a_token())),
        Side::BadRs256Calls | Side::BadEs256Calls => {
            let key = match side {
                Side::BadRs256Calls => &keys.rsa,
                _ => &keys.es256,
            };
            listener.filter(verifying(side, modules, &refusal_of_a_token(), key))
        }
    }
}

/// As tests/host/stories.rs has them.
const CALLS: &[Call<'_>] = &[
    Call::Header("authorization"),
    Call::RouteMetadata,
    Call::Clock,
    Call::Remove("authorization"),
    Call::Replace("x-jwt-sub", "user-00000000"),
    Call::Count,
    Call::State("jwt.provider", "corp"),
];

const REFUSAL_CALLS: &[Call<'_>] = &[
    Call::Header("authorization"),
    Call::RouteMetadata,
    Call::Count,
    Call::Count,
    Call::State("jwt.reason", "token_missing"),
    Call::Refuse,
];

/// The same with a token: the answer then depends on the time, and the log names the side that refused the
/// token.
fn refusal_of_a_token() -> Vec<Call<'static>> {
    let mut calls = vec![Call::Clock, Call::State("jwt.provider", "corp")];
    calls.extend(REFUSAL_CALLS);
    calls
}

/// These calls, and one that verifies a signature.
fn verifying(side: Side, modules: &Path, calls: &[Call<'_>], key: &SigningKey) -> Value {
    let signed = Signed::new(key);
    bare(side, modules, &[&[Call::Verify(&signed)], calls].concat())
}

fn bare(side: Side, modules: &Path, calls: &[Call<'_>]) -> Value {
    let name = format!("{side:?}").to_lowercase();
    let mut filter = WasmFilter::new(Value::Null).vm_id(&name);
    filter.module = bare::write(&modules.join(format!("{name}.wasm")), calls);
    filter.build()
}

/// The native module with this configuration.
pub(crate) fn module(config: Value) -> Value {
    WasmFilter::new(config).build_native(&native_module_path())
}

/// Its cache has as many entries as that of this filter.
pub(crate) fn cache() -> Value {
    json!({"jwt_cache_size": 1000})
}

pub(crate) fn provider(keys: &Keys) -> Value {
    json!({
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": keys.jwks().to_string()},
        "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
    })
}

fn ours(side: Side, keys: &Keys) -> Value {
    let mut config = json!({
        "providers": {"corp": provider(keys)},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}],
        "stat_prefix": format!("{side:?}").to_lowercase(),
    });
    match side {
        Side::Waived => config["rules"] = json!([{"match": {"prefix": "/"}}]),
        Side::Sandbox => {
            config["signature_backend"] = json!("sandbox");
            config["limits"] = json!({"token_cache_entries": 0});
        }
        Side::Uncached => config["limits"] = json!({"token_cache_entries": 0}),
        _ => {}
    }
    config
}

/// This filter with these rules.
pub(crate) fn ours_rules(keys: &Keys, rules: &[Value]) -> Value {
    let mut config = ours(Side::Ours, keys);
    config["rules"] = rules.into();
    config
}

/// jwt_authn with these rules.
pub(crate) fn jwt_authn_rules(keys: &Keys, rules: &[Value]) -> Value {
    let mut filter = jwt_authn(keys, Value::Null);
    filter["typed_config"]["rules"] = rules.into();
    filter
}

fn jwt_authn(keys: &Keys, cache: Value) -> Value {
    let mut provider = provider(keys);
    if !cache.is_null() {
        provider["jwt_cache_config"] = cache;
    }
    jwt_authn_filter(
        &json!({"corp": provider}),
        &json!([{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}]),
    )
}

/// jwt_authn with these providers and rules.
pub(crate) fn jwt_authn_filter(providers: &Value, rules: &Value) -> Value {
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": providers,
            "rules": rules
        }
    })
}
