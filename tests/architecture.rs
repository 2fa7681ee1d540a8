//! Rules of the code base that the compiler does not check.

#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails, which is what it should do"
)]

#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/layers.rs"]
mod layers;

use std::path::{Path, PathBuf};

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The sources of the core with a fault, by the predicate. Checks that enough sources were read.
fn offenders(is_at_fault: impl Fn(&Path, &str) -> bool) -> Vec<PathBuf> {
    offenders_in("src", 30, is_at_fault)
}

/// The sources of a folder with a fault. Checks that it has at least so many sources.
fn offenders_in(folder: &str, least: usize, is_at_fault: impl Fn(&Path, &str) -> bool) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all = sources(&root.join(folder));
    assert!(all.len() >= least, "only {} sources were found", all.len());
    all.into_iter()
        .filter(|path| {
            let text = std::fs::read_to_string(path).expect("a source that can be read");
            is_at_fault(path.strip_prefix(root).expect("below the root"), &text)
        })
        .collect()
}

fn is_host(path: &Path) -> bool {
    path == Path::new("src/host.rs") || path.starts_with("src/host")
}

#[test]
fn only_the_host_side_names_the_host() {
    let names_host = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        code.contains("proxy_wasm::") || code.contains("log::") || code.contains("hostcalls")
    };
    let found = offenders(|path, text| {
        // The macro for the entry has to be in the crate's root.
        let is_entry = |line: &str| path == Path::new("src/lib.rs") && line.contains("proxy_wasm::main!");
        !is_host(path) && text.lines().any(|line| names_host(line) && !is_entry(line))
    });
    assert!(found.is_empty(), "{found:?}");
}

fn has_unsafe_code(text: &str) -> bool {
    text.lines().any(|line| {
        let code = line.split("//").next().unwrap_or_default();
        code.contains("unsafe ") || code.contains("unsafe(") || code.contains("allow(unsafe_code)")
    })
}

#[test]
fn the_unsafe_code_of_the_core_is_in_one_file() {
    assert!(has_unsafe_code("    unsafe { call() }") && !has_unsafe_code("// unsafe { call() }"));
    let found = offenders(|path, text| path != Path::new("src/host/abi.rs") && has_unsafe_code(text));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_unsafe_code_of_the_native_module_is_in_one_folder() {
    let found = offenders_in("native/src", 20, |path, text| {
        let is_binding = path == Path::new("native/src/binding.rs") || path.starts_with("native/src/binding");
        !is_binding && has_unsafe_code(text)
    });
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_core_reads_no_clock() {
    let found = offenders(|_, text| text.contains("SystemTime") || text.contains("Instant::"));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn every_source_says_what_it_owns() {
    let found = offenders(|_, text| !text.starts_with("//! "));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_engine_has_few_public_methods() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/authenticator");
    let mut methods = Vec::new();
    for path in sources(&root) {
        let text = std::fs::read_to_string(&path).expect("a source that can be read");
        // From the head of each block to the brace at the beginning of a line.
        for block in text.split("\nimpl Authenticator {").skip(1) {
            let block = block.split("\n}").next().unwrap_or_default();
            let names = block
                .lines()
                .filter_map(|line| line.trim_start().strip_prefix("pub fn "));
            methods.extend(names.map(|name| name.split('(').next().unwrap_or_default().to_owned()));
        }
    }
    assert!(methods.iter().any(|name| name == "handle_request"), "{methods:?}");
    assert!(methods.len() <= 17, "{}: {methods:?}", methods.len());
}

/// Every file in `envoy/` that Envoy or a control plane reads, with its text without comments.
fn shipped() -> Vec<(std::path::PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = std::fs::read_to_string(&path).expect("a text");
                let lines = text
                    .lines()
                    .map(|line| line.split('#').next().unwrap_or_default());
                let text = lines.collect::<Vec<_>>().join("\n");
                found.push((path, text));
            }
        }
    }
    found
}

#[test]
fn what_is_shipped_fails_closed() {
    let shipped = shipped();
    for (path, text) in &shipped {
        let opens = text.to_ascii_uppercase().contains("FAIL_OPEN");
        assert!(!opens, "{} fails open", path.display());
    }
    assert!(shipped.len() > 5, "only {} files", shipped.len());
}

#[test]
fn what_is_shipped_has_the_settings_of_the_security_model() {
    const PATHS: [&str; 3] = [
        "normalize_path: true",
        "merge_slashes: true",
        "path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT",
    ];
    let mut checked = 0;
    for (path, text) in shipped() {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // The listener of the compose files serves metrics only, without the filter.
        if !text.contains("HttpConnectionManager") || name.starts_with("docker-compose") {
            continue;
        }
        let mut settings = vec![
            "headers_with_underscores_action: REJECT_REQUEST",
            "strip_trailing_host_dot: true",
            "max_request_headers_kb: 60",
        ];
        if text.contains("filters.http.wasm.v3.Wasm") {
            settings.extend(["failure_policy: FAIL_RELOAD", "vm_id: "]);
        }
        // The demo shows the filter alone.
        if !matches!(&*name, "envoy.yaml" | "envoy-native.yaml") {
            settings.extend(PATHS);
        }
        for setting in settings {
            assert!(text.contains(setting), "{} lacks {setting}", path.display());
        }
        checked += 1;
    }
    assert!(checked > 5, "only {checked} files");
}

#[test]
fn make_bless_runs_every_test_with_a_golden_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let makefile = std::fs::read_to_string(root.join("Makefile")).expect("the Makefile");
    let recipe = makefile
        .lines()
        .find(|line| line.contains("BLESS=1 cargo test"))
        .expect("the recipe of bless");
    let tests = root.join("tests");
    let mut found = 0;
    for path in sources(&tests) {
        let text = std::fs::read_to_string(&path).expect("a source that can be read");
        if !text.contains("testkit::assert_golden") || path.ends_with("architecture.rs") {
            continue;
        }
        let below = path
            .strip_prefix(&tests)
            .expect("below tests/")
            .iter()
            .next()
            .expect("a name");
        let binary = Path::new(below)
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a name");
        assert!(
            recipe.split_whitespace().any(|word| word == binary),
            "make bless does not run the test binary {binary}"
        );
        found += 1;
    }
    assert!(found >= 3, "only {found} files");
}
