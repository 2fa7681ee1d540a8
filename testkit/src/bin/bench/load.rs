//! Load: wrk on the second core, with a script that sends the tokens of a file in turn.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

const CONNECTIONS: u32 = 16;

pub(crate) struct Load {
    pub(crate) port: u16,
    pub(crate) tokens: PathBuf,
    pub(crate) seconds: u32,
    /// The token of the first request.
    pub(crate) offset: usize,
}

/// The figures that wrk reports. Times are in µs. There is no latency among them: at full load, a latency
/// only shows the length of the queue.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    pub(crate) micros: f64,
    /// The processor time of Envoy in that period.
    pub(crate) cpu_micros: f64,
}

impl Sample {
    /// Requests for each second of Envoy's core.
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 * 1e6 / self.cpu_micros
    }

    /// Requests per second of wall-clock time.
    pub(crate) fn seen(&self) -> f64 {
        self.requests as f64 * 1e6 / self.micros
    }
}

impl Load {
    pub(crate) fn run(&self) -> Sample {
        let script = testkit::workspace_root().join("bench/tokens.lua");
        let output = Command::new("taskset")
            .args(["-c", "1", "wrk", "--threads", "1", "--connections"])
            .arg(CONNECTIONS.to_string())
            .arg("--duration")
            .arg(format!("{}s", self.seconds))
            .arg("--script")
            .arg(script)
            .arg(format!("http://127.0.0.1:{}/orders", self.port))
            .arg(&self.tokens)
            .arg(self.offset.to_string())
            .output()
            .expect("wrk runs; `make bench` installs it");
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("result "));
        let Some(line) = line else {
            panic!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr));
        };
        let result: Value = serde_json::from_str(line).expect("the script writes JSON");
        let number = |name: &str| {
            result[name]
                .as_f64()
                .unwrap_or_else(|| panic!("{name} in {line}"))
        };
        assert!(number("broken") == 0.0, "broken connections: {line}");
        Sample {
            requests: number("requests") as u64,
            refused: number("refused") as u64,
            micros: number("micros"),
            cpu_micros: 0.0,
        }
    }
}
