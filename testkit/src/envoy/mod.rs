//! Runs a real Envoy as a child of this process, with access to its admin port. The process ends with its
//! handle.

mod spawn;

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bootstrap::{put_native_filters, socket_address, uses_native_module};
use crate::client::{Client, Request};
use crate::workspace_root;

/// How Envoy is started.
#[derive(Debug, Clone)]
pub struct EnvoyOptions {
    /// Worker threads.
    pub concurrency: u32,
    /// The log level of everything.
    pub log_level: String,
    /// Levels of single components, `wasm:debug,http:trace`.
    pub component_levels: String,
    /// Serve the listeners from a file that can be replaced, see [`EnvoyProcess::reload_listeners`].
    pub reloadable_listeners: bool,
    /// The longest time until Envoy is live.
    pub start_timeout: Duration,
    /// Further arguments.
    pub args: Vec<String>,
}

impl Default for EnvoyOptions {
    fn default() -> Self {
        Self {
            concurrency: 1,
            log_level: "info".into(),
            component_levels: String::new(),
            reloadable_listeners: false,
            // A configuration with hundreds of listeners takes half a minute on a busy machine.
            start_timeout: Duration::from_secs(120),
            args: Vec::new(),
        }
    }
}

impl EnvoyOptions {
    /// The default with this many workers.
    pub fn workers(concurrency: u32) -> Self {
        Self {
            concurrency,
            ..Self::default()
        }
    }

    /// The same with levels for single components.
    pub fn component_levels(mut self, levels: &str) -> Self {
        self.component_levels = levels.into();
        self
    }

    /// The same with listeners that can be replaced.
    pub fn reloadable(mut self) -> Self {
        self.reloadable_listeners = true;
        self
    }
}

/// A live Envoy. Dropping it ends the process, and so does any end of this process.
#[derive(Debug)]
pub struct EnvoyProcess {
    child: Child,
    dir: TempDir,
    admin: Client,
}

impl EnvoyProcess {
    /// Starts Envoy with one worker and waits until it is live. Panics with its log if it fails.
    pub fn start(config: &Value) -> Self {
        Self::start_with(config, &EnvoyOptions::default())
    }

    /// Starts Envoy and waits until it is live. Panics with its log if it fails.
    pub fn start_with(config: &Value, options: &EnvoyOptions) -> Self {
        Self::try_start(config, options).unwrap_or_else(|log| panic!("Envoy did not start:\n{log}"))
    }

    /// Starts Envoy and waits until it is live. Err is its log: it refused the configuration, or took too
    /// long.
    ///
    /// An `admin` section is added on a free port if the configuration has none.
    ///
    /// # Errors
    ///
    /// Fails with Envoy's log if it refuses the configuration or takes too long.
    pub fn try_start(config: &Value, options: &EnvoyOptions) -> Result<Self, String> {
        let dir = tempfile::Builder::new()
            .prefix("envoy-")
            .tempdir()
            .expect("a temporary directory");
        let mut config = config.clone();
        if uses_native_module() {
            put_native_filters(&mut config);
        }
        if config.get("admin").is_none() {
            config["admin"] = json!({"address": socket_address(([127, 0, 0, 1], 0).into())});
        }
        if options.reloadable_listeners {
            let listeners = config["static_resources"]["listeners"].take();
            write_listeners(dir.path(), listeners.as_array().map_or(&[], Vec::as_slice));
            config["static_resources"]["listeners"] = json!([]);
            config["dynamic_resources"]["lds_config"] = json!({
                "resource_api_version": "V3",
                "path_config_source": {"path": dir.path().join("listeners.json")}
            });
        }
        fs::write(dir.path().join("envoy.json"), config.to_string()).expect("the configuration is written");
        let mut child = spawn::spawn(dir.path(), options);
        match wait_until_live(&mut child, dir.path(), options.start_timeout) {
            Ok(admin) => Ok(Self {
                child,
                dir,
                admin: Client::new(admin),
            }),
            Err(fault) => {
                end(&mut child);
                Err(format!("{}{fault}", read(&dir.path().join("envoy.log"))))
            }
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The address of the admin port.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.addr()
    }

    /// The body of an admin page.
    pub fn admin(&self, path: &str) -> String {
        self.admin.get(path).text()
    }

    /// The port that a listener got.
    pub fn port(&self, listener: &str) -> u16 {
        self.addr(listener).port()
    }

    /// The address that a listener got.
    pub fn addr(&self, listener: &str) -> SocketAddr {
        let listeners = self.admin.get("/listeners?format=json").json();
        let statuses = listeners["listener_statuses"].as_array().into_iter().flatten();
        let address = statuses
            .filter(|status| status["name"] == listener)
            .find_map(|status| {
                let address = &status["local_address"]["socket_address"];
                let port = u16::try_from(address["port_value"].as_u64()?).ok()?;
                Some(SocketAddr::new(address["address"].as_str()?.parse().ok()?, port))
            });
        address.unwrap_or_else(|| panic!("no listener {listener:?}: {listeners}\n{}", self.log()))
    }

    /// A client of a listener.
    pub fn client(&self, listener: &str) -> Client {
        Client::local(self.port(listener))
    }

    /// Counters and gauges whose name the regular expression `filter` finds; empty: all.
    pub fn stats(&self, filter: &str) -> HashMap<String, u64> {
        let filter: String = filter.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let page = self
            .admin
            .get(&format!("/stats?format=json&filter={filter}"))
            .json();
        let stats = page["stats"].as_array().into_iter().flatten();
        stats
            .filter_map(|stat| Some((stat["name"].as_str()?.to_owned(), stat["value"].as_u64()?)))
            .collect()
    }

    /// One counter or gauge by its whole name; 0 if Envoy does not have it.
    pub fn stat(&self, name: &str) -> u64 {
        self.stats("").get(name).copied().unwrap_or(0)
    }

    /// Waits until a counter or gauge meets `wanted`; Err is its last value.
    ///
    /// # Errors
    ///
    /// Fails with the last value.
    pub fn wait_for_stat(
        &self,
        name: &str,
        patience: Duration,
        wanted: impl Fn(u64) -> bool,
    ) -> Result<u64, u64> {
        let deadline = Instant::now() + patience;
        loop {
            let value = self.stat(name);
            if wanted(value) {
                return Ok(value);
            }
            if Instant::now() > deadline {
                return Err(value);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything that Envoy and the module have logged.
    pub fn log(&self) -> String {
        read(&self.dir.path().join("envoy.log"))
    }

    /// Waits until the log holds `needle`; false if that took longer than `patience`.
    pub fn wait_for_log(&self, needle: &str, patience: Duration) -> bool {
        poll(patience, || self.log().contains(needle))
    }

    /// The lines of the access log. A line is written within a few tens of milliseconds of its request's end.
    pub fn access_log(&self) -> Vec<String> {
        read(&self.dir.path().join("access.log"))
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Waits until the access log has `count` lines, and returns them all. Panics if they do not come.
    pub fn wait_for_access_log(&self, count: usize) -> Vec<String> {
        poll(Duration::from_secs(5), || self.access_log().len() >= count);
        let lines = self.access_log();
        assert!(
            lines.len() >= count,
            "{} lines in the access log, not {count}: {lines:?}",
            lines.len()
        );
        lines
    }

    /// Sets log levels while it runs, `wasm=debug` for instance.
    pub fn set_log_level(&self, levels: &str) {
        let path = format!("/logging?{levels}");
        assert_eq!(
            self.admin.request(Request::new("POST", &path)).status,
            200,
            "levels {levels:?}"
        );
    }

    /// Replaces all listeners (needs [`EnvoyOptions::reloadable_listeners`]). A listener of an old name keeps
    /// its port. Err is the log's end: Envoy refused the new ones and keeps the old.
    ///
    /// # Errors
    ///
    /// Fails with the end of the log if Envoy refuses the new listeners.
    pub fn reload_listeners(&self, listeners: &[Value]) -> Result<(), String> {
        let outcome = |name: &str| self.stat(&format!("listener_manager.lds.{name}"));
        // Envoy counts a file that does not parse as failed, and an invalid listener as rejected.
        let outcomes = || ["update_success", "update_rejected", "update_failure"].map(outcome);
        let before = outcomes();
        let logged = self.log().len();
        write_listeners(self.dir.path(), listeners);
        let mut after = before;
        poll(Duration::from_secs(10), || {
            after = outcomes();
            after != before
        });
        if after[0] == before[0] || after[1..] != before[1..] {
            return Err(self.log().get(logged..).unwrap_or_default().to_owned());
        }
        let warm = || self.stat("listener_manager.total_listeners_warming") == 0;
        assert!(
            poll(Duration::from_secs(10), warm),
            "the new listeners do not get warm:\n{}",
            self.log()
        );
        Ok(())
    }

    /// Ends Envoy now; dropping does the same.
    pub fn stop(self) {}
}

impl Drop for EnvoyProcess {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The Envoy to run: `ENVOY_BIN`, else what `make envoy` leaves. The latter is a script of the Python package
/// that replaces itself with the real binary, so that the child's id is Envoy's own.
pub fn envoy_binary() -> PathBuf {
    std::env::var_os("ENVOY_BIN").map_or_else(|| workspace_root().join(".venv/bin/envoy"), PathBuf::from)
}

/// Reads an Envoy configuration in YAML as the value that `EnvoyProcess` takes.
///
/// # Errors
///
/// Fails if the text is not YAML.
pub fn load_yaml(text: &str) -> Result<Value, String> {
    yaml_serde::from_str(text).map_err(|error| error.to_string())
}

/// This moves the file into place, because Envoy reads it again only when it is replaced.
fn write_listeners(dir: &Path, listeners: &[Value]) {
    let typed = listeners.iter().map(|listener| {
        let mut listener = listener.clone();
        listener["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener".into();
        listener
    });
    let document = json!({"resources": typed.collect::<Vec<_>>()});
    fs::write(dir.join("listeners.new"), document.to_string()).expect("the listeners are written");
    fs::rename(dir.join("listeners.new"), dir.join("listeners.json")).expect("the listeners are replaced");
}

fn wait_until_live(child: &mut Child, dir: &Path, patience: Duration) -> Result<SocketAddr, String> {
    let deadline = Instant::now() + patience;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("Envoy ended: {status}"));
        }
        let admin: Option<SocketAddr> = read(&dir.join("admin-address")).trim().parse().ok();
        if let Some(admin) = admin {
            let ready = Client::new(admin).try_request(Request::get("/ready"));
            if ready.is_ok_and(|response| response.status == 200) {
                return Ok(admin);
            }
        }
        if Instant::now() > deadline {
            return Err(format!("Envoy was not live after {} s", patience.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn poll(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if done() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The content of a file so far; empty if it does not exist yet.
fn read(path: &Path) -> String {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

fn end(child: &mut Child) {
    // Either fails only if the process has already ended.
    let _ = child.kill();
    let _ = child.wait();
}
