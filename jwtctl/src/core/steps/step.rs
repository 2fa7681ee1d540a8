//! One step: a check of a token, or a rule that was tried.

use proxy_wasm_jwt::account::Account;
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::denial::Denial;
use proxy_wasm_jwt::time::UnixTime;

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) name: String,
    /// `None` if the filter did not reach the step, or if the step only informs.
    pub(crate) passed: Option<bool>,
    pub(crate) seen: String,
    pub(crate) expected: String,
    /// The reason code, if the step failed.
    pub(crate) reason: Option<&'static str>,
}

/// A rule that the filter tried.
#[derive(Clone, Debug)]
pub(crate) struct RuleStep {
    pub(crate) name: String,
    /// Its match, as in the configuration.
    pub(crate) matcher: String,
    pub(crate) taken: bool,
    /// The reason why the rule does not apply, or the part that is uncertain.
    pub(crate) because: Vec<String>,
}

/// The step that fails with this denial.
pub(super) fn failed(
    name: &str,
    denial: Denial,
    seen: String,
    expected: String,
    config: &Config,
    now: UnixTime,
) -> Step {
    let account = Account {
        config,
        denial: &denial,
        now,
        request: None,
        keys: None,
    };
    let seen = match (seen.is_empty(), account.detail()) {
        (true, detail) => detail,
        (false, _) => seen,
    };
    Step {
        name: name.to_owned(),
        passed: Some(false),
        seen,
        expected,
        reason: Some(denial.reason.label()),
    }
}
