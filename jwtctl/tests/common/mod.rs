//! Runs the real binary.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Codes and lines of the findings of `check --output json`.
    pub(crate) fn findings(&self) -> Vec<(String, String, u64)> {
        let findings = self.json()["findings"].as_array().expect("findings").clone();
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        findings
            .iter()
            .map(|finding| {
                let line = finding["line"].as_u64().expect("a line");
                (text(&finding["level"]), text(&finding["code"]), line)
            })
            .collect()
    }
}

pub(crate) fn jwtctl(arguments: &[&str]) -> Ran {
    jwtctl_with(arguments, "")
}

/// Runs it with this text on standard input.
pub(crate) fn jwtctl_with(arguments: &[&str], input: &str) -> Ran {
    jwtctl_in(arguments, input, &[])
}

/// Runs it with this text on standard input, and with these variables.
pub(crate) fn jwtctl_in(arguments: &[&str], input: &str, variables: &[(&str, &str)]) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_jwtctl"))
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("jwtctl starts");
    // The command may end before it has read the input.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("jwtctl ends");
    Ran {
        code: output.status.code().expect("no signal"),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_path_buf()
}

/// A folder of the test's own, which is deleted with the value.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("jwtctl-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file is written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
