//! The `main` of the binaries that make one test of each scenario: `engine`, `host` and `envoy`.
//!
//! A scenario's test has the name of its file and its own: "a rotated key is learnt …" of
//! `tests/scenarios/keys.rs` is `keys::rotated_key_is_learnt_…`, on each backend. Ordinary `#[test]`
//! functions of the same binary run beside them. Options and output are those of libtest (`cargo test --test
//! engine -- --help`), but what a test prints is not captured.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::panic;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};

use libtest_mimic::{Arguments, Failed, Trial};

use scenarios::{self, Scenario};

/// An ordinary test, as `#[test]` registers it (`testkit/macros`).
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
}

inventory::collect!(Test);

/// All tests of a binary.
pub(crate) struct Tests {
    arguments: Arguments,
    trials: Vec<Trial>,
}

impl Tests {
    /// The ordinary tests, with the command line's choice among them.
    pub(crate) fn new() -> Self {
        keep_panics();
        let mut tests = Self {
            arguments: Arguments::from_args(),
            trials: Vec::new(),
        };
        if tests.arguments.test_threads.is_none() {
            let threads = std::env::var("RUST_TEST_THREADS").ok();
            tests.arguments.test_threads = threads.and_then(|threads| threads.parse().ok());
        }
        for test in inventory::iter::<Test> {
            // As libtest has it: without the name of the crate.
            let name = test.name.split_once("::").map_or(test.name, |(_, name)| name);
            let run = test.run;
            tests.add(name.to_owned(), move || {
                run();
                Ok(())
            });
        }
        tests
    }

    /// This many tests run at a time, unless the caller sets another number.
    pub(crate) fn at_once(mut self, threads: usize) -> Self {
        self.arguments.test_threads.get_or_insert(threads);
        self
    }

    /// Every scenario as a test of its own, whose name begins with `pass` where a backend has more than one.
    ///
    /// When the first of them runs, the harness makes those that the command line selected, because their
    /// tokens are valid for a short time. It gives them to `prepare`, which returns a function that runs the
    /// one with an index among them.
    pub(crate) fn scenarios<Run>(
        mut self,
        pass: Option<&str>,
        prepare: impl Fn(&[Scenario]) -> Run + Send + Sync + 'static,
    ) -> Self
    where
        Run: Fn(usize, &Scenario) -> Vec<String> + Send + Sync + 'static,
    {
        // A test that starts itself as a child needs no scenario, and making all of them takes a second.
        let asked_for = self.arguments.filter.as_deref().filter(|_| self.arguments.exact);
        if asked_for.is_some_and(|name| self.trials.iter().any(|trial| trial.name() == name)) {
            return self;
        }
        let prefix = pass.map(|pass| format!("{pass}::")).unwrap_or_default();
        let names: Vec<String> = scenarios::all().iter().map(test_name).collect();
        let unique: HashSet<&String> = names.iter().collect();
        assert_eq!(
            unique.len(),
            names.len(),
            "two scenarios have the same name: {names:?}"
        );
        assert!(names.len() > 50, "only {} scenarios", names.len());
        let is_chosen = |name: &String| {
            let trial = Trial::test(format!("{prefix}{name}"), || Ok(()));
            !self.arguments.is_filtered_out(&trial)
        };
        let (chosen, others): (Vec<String>, Vec<String>) = names.into_iter().partition(is_chosen);
        // For the number of filtered tests.
        for name in others {
            self.add(format!("{prefix}{name}"), || Ok(()));
        }
        let of_chosen: HashSet<String> = chosen.iter().cloned().collect();
        let prepared = Arc::new(LazyLock::new(move || {
            let mut scenarios = scenarios::all();
            scenarios.retain(|scenario| of_chosen.contains(&test_name(scenario)));
            let run = prepare(&scenarios);
            (scenarios, run)
        }));
        for (index, name) in chosen.into_iter().enumerate() {
            let prepared = prepared.clone();
            self.add(format!("{prefix}{name}"), move || {
                let (scenarios, run) = &**prepared;
                let scenario = &scenarios[index];
                let faults = run(index, scenario);
                if faults.is_empty() {
                    return Ok(());
                }
                Err(format!("{}\n{}", scenario.name, faults.join("\n")))
            });
        }
        self
    }

    /// Runs the tests that the command line selects.
    pub(crate) fn run(self) -> ExitCode {
        assert_none_is_lost();
        libtest_mimic::run(&self.arguments, self.trials).exit_code()
    }

    fn add(&mut self, name: String, test: impl FnOnce() -> Result<(), String> + Send + 'static) {
        let thread = std::thread::Builder::new().name(name.clone());
        self.trials.push(Trial::test(name, move || {
            // A thread for each, as in libtest: some of the tested code uses thread-local variables.
            let running = thread.spawn(move || {
                PANIC.set(Some(String::new()));
                panic::catch_unwind(panic::AssertUnwindSafe(test))
                    .unwrap_or_else(|_| Err(PANIC.take().unwrap_or_default()))
            });
            let outcome = running.expect("a thread").join();
            let outcome = outcome.unwrap_or_else(|_| Err("a destructor panicked".to_owned()));
            outcome.map_err(Failed::from)
        }));
    }
}

/// Every `#[test]` below `tests/<binary>/` is registered: its file is a module, and the attribute is ours.
fn assert_none_is_lost() {
    let binary = module_path!().split("::").next().unwrap_or_default();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let main = tests.join(format!("{binary}.rs"));
    let text = fs::read_to_string(&main).unwrap_or_default();
    // Tests of another binary that this one also runs.
    let others = text
        .lines()
        .filter_map(|line| line.strip_prefix("#[path = \"")?.strip_suffix("\"]"));
    let others = others.filter(|path| !path.starts_with(&format!("{binary}/")));
    let borrowed: usize = others.map(|path| tests_in(&tests.join(path))).sum();
    let written = tests_in(&main) + tests_in(&tests.join(binary)) + borrowed;
    let registered = inventory::iter::<Test>.into_iter().count();
    assert_eq!(
        registered, written,
        "tests registered, and written in tests/{binary}/: is each file a module of tests/{binary}.rs?"
    );
}

/// The number of `#[test]` attributes in the file, or in the files of the folder.
fn tests_in(path: &Path) -> usize {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| tests_in(&entry.path())).sum(),
        Err(_) => {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.lines().filter(|line| line.trim() == "#[test]").count()
        }
    }
}

/// The file, and the words of the name: `keys::rotated_key_is_learnt_from_its_first_token`. The file's own
/// name and an article are left out at the beginning.
fn test_name(scenario: &Scenario) -> String {
    let file = scenario.at.file().rsplit('/').next().unwrap_or_default();
    let file = file.trim_end_matches(".rs");
    let letters = scenario.name.replace('\'', "").to_lowercase();
    let words: Vec<&str> = letters
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let mut words = &words[..];
    for left_out in [&[file][..], &["a", "an", "the"]] {
        if let [first, rest @ ..] = words
            && !rest.is_empty()
            && left_out.contains(first)
        {
            words = rest;
        }
    }
    format!("{file}::{}", words.join("_"))
}

thread_local! {
    /// The place and the message of the last panic in a test's thread. None: another thread.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps the message of a test's panic for the report, which names the test.
fn keep_panics() {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let is_test = PANIC.with_borrow_mut(|kept| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let text = panic.payload().downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.payload().downcast_ref::<String>().map(String::as_str));
            kept.as_mut()
                .map(|kept| *kept = format!("{place}: {}", text.unwrap_or("a value that is not text")))
                .is_some()
        });
        // The default hook prints a backtrace.
        if !is_test || std::env::var_os("RUST_BACKTRACE").is_some() {
            default(panic);
        }
    }));
}
