//! Starts the process so that it cannot outlive this one.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use super::{EnvoyOptions, envoy_binary};
use crate::bootstrap::uses_native_module;

type Order = (Command, Sender<io::Result<Child>>);

/// Starts Envoy on `dir`/envoy.json; its log, access log and admin address go to files there.
pub(super) fn spawn(dir: &Path, options: &EnvoyOptions) -> Child {
    let binary = envoy_binary();
    let file = |name: &str| File::create(dir.join(name)).expect("a file in a fresh directory");
    let component_levels = match uses_native_module() {
        true => options.component_levels.replace("wasm:", "dynamic_modules:"),
        false => options.component_levels.clone(),
    };
    let mut command = Command::new(&binary);
    command
        .arg("--config-path")
        .arg(dir.join("envoy.json"))
        .arg("--admin-address-path")
        .arg(dir.join("admin-address"))
        .arg("--concurrency")
        .arg(options.concurrency.to_string())
        .arg("--log-level")
        .arg(&options.log_level)
        // Envoy requires a name of the node for configuration from files.
        .args(["--service-node", "testkit", "--service-cluster", "testkit"])
        // `main` prints a long list of extension names at the start.
        .arg("--component-log-level")
        .arg(
            ["main:warning", &component_levels]
                .join(",")
                .trim_end_matches(','),
        )
        // Many Envoys run at the same time, and none is replaced, so they need no shared memory.
        .arg("--disable-hot-restart")
        // Writes the access log at once.
        .args(["--file-flush-interval-msec", "20"])
        .args(if has_flush_size(&binary) {
            &["--file-flush-min-size-kb", "1"][..]
        } else {
            &[]
        })
        .args(&options.args)
        .stdin(Stdio::null())
        .stdout(file("access.log"))
        .stderr(file("envoy.log"));
    let (done, child) = channel();
    spawner()
        .send((command, done))
        .expect("the spawning thread lives as long as the process");
    child
        .recv()
        .expect("the spawning thread answers")
        .unwrap_or_else(|error| {
            panic!(
                "cannot run {}: {error}; `make envoy` gets it, ENVOY_BIN names another",
                binary.display()
            )
        })
}

/// Whether this Envoy can be asked to write its access log in small pieces; 1.36 cannot.
fn has_flush_size(binary: &Path) -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let output = Command::new(binary).arg("--help").stdin(Stdio::null()).output();
        output
            .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("--file-flush-min-size-kb"))
    })
}

/// One thread starts all children and never ends: the kernel treats the end of the thread that started a
/// child as the parent's death, and the thread of a test ends with its test.
fn spawner() -> Sender<Order> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let sender = SPAWNER.get_or_init(|| {
        let (sender, orders) = channel::<Order>();
        let run = move || {
            for (mut command, done) in orders {
                die_with_parent(&mut command);
                let _ = done.send(command.spawn());
            }
        };
        std::thread::Builder::new()
            .name("envoy-spawner".into())
            .spawn(run)
            .expect("a thread starts");
        sender
    });
    sender.clone()
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let ask = || {
        // SAFETY: prctl with these arguments touches no memory of ours, and is async-signal-safe as a plain
        // system call.
        match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: `ask` allocates nothing and takes no lock between fork and exec.
    unsafe { command.pre_exec(ask) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}
