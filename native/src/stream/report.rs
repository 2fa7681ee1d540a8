//! A decision in the access log, in dynamic metadata and in the log, for operators.

use proxy_wasm_jwt::account::{Account, SHADOW_DENIED, token_summary};
use proxy_wasm_jwt::denial::{Denial, Shortfall};
use proxy_wasm_jwt::host::text_on_one_line;
use proxy_wasm_jwt::ids::{Choice, ProviderId};
use proxy_wasm_jwt::request::RequestHead;

use super::state::Stream;
use crate::binding::{Host, Map};
use crate::metadata;
use crate::worker::Worker;

/// The namespace of jwt_authn's metadata, which other filters read.
pub(super) const METADATA: &str = "envoy.filters.http.jwt_authn";

/// google.rpc.Code.UNAUTHENTICATED, the code of jwt_authn's metadata for a failure.
const UNAUTHENTICATED: i32 = 16;

/// The longest part of a request's id in the log: a UUID has 36 bytes.
const LONGEST_REQUEST_ID: usize = 64;

impl Stream {
    /// Reports a refusal in the access log and the log, enforced or not.
    pub(super) fn show_denial(&self, worker: &Worker, host: &mut Host<'_>, denial: &Denial, decision: &str) {
        let config = &worker.config;
        let label = denial.reason.label();
        host.set_filter_state("wasm.jwt.reason", label.as_bytes());
        let condition = match denial.shortfall {
            Some(Shortfall::Condition { id, .. }) => config.conditions.get(id.index()),
            Some(Shortfall::Scope { .. }) | None => None,
        };
        if let Some(condition) = condition {
            host.set_filter_state("wasm.jwt.condition", condition.as_bytes());
        }
        if let Some(provider) = denial.provider {
            show_provider(worker, host, provider);
            let provider = config.provider(provider);
            if let Some(name) = provider.and_then(|provider| provider.metadata.failed_status.as_ref()) {
                host.set_filter_state(&format!("wasm.jwt.metadata.{name}"), label.as_bytes());
                host.set_metadata(METADATA, &metadata::status(name, UNAUTHENTICATED, label));
            }
        }
        let account = Account {
            config,
            denial,
            now: worker.last_seen(),
        };
        let detail = account.detail();
        if !detail.is_empty() {
            host.set_filter_state("wasm.jwt.detail", detail.as_bytes());
        }
        let token = token_of(worker, host, denial);
        if !token.is_empty() {
            host.set_filter_state("wasm.jwt.token", token.as_bytes());
        }
        if log::log_enabled!(log::Level::Info) {
            let is_shadowed = decision == SHADOW_DENIED;
            self.filter.note_refusal(denial, is_shadowed, worker.last_seen());
        }
        if log::log_enabled!(log::Level::Debug) {
            log::debug!("{}", account.line(decision, &request_id(host), &token));
        }
    }
}

pub(super) fn show_rule(worker: &Worker, host: &mut Host<'_>, rule: Option<Choice>) {
    if let Some(rule) = rule.filter(|_| worker.config.shown.rule) {
        host.set_filter_state("wasm.jwt.rule", worker.config.policy.label(rule).as_bytes());
    }
}

pub(super) fn show_subject(worker: &Worker, host: &mut Host<'_>, subject: Option<&str>) {
    if let Some(subject) = subject.filter(|_| worker.config.shown.subject) {
        host.set_filter_state("wasm.jwt.sub", text_on_one_line(subject).as_bytes());
    }
}

/// The decision about the request.
pub(super) fn show_decision(worker: &Worker, host: &mut Host<'_>, decision: &str) {
    if worker.config.shown.decision {
        host.set_filter_state("wasm.jwt.decision", decision.as_bytes());
    }
}

pub(super) fn show_provider(worker: &Worker, host: &mut Host<'_>, provider: ProviderId) {
    if let Some(provider) = worker.config.provider(provider) {
        host.set_filter_state("wasm.jwt.provider", provider.name.as_bytes());
    }
}

/// The content of the refused token, if the configuration asks for it. The request is read again, so that
/// other requests do not pay for it.
fn token_of(worker: &Worker, host: &Host<'_>, denial: &Denial) -> String {
    let config = &worker.config;
    let Some(rule) = denial.rule.filter(|_| config.shown.token) else {
        return String::new();
    };
    let mut request = RequestHead::new();
    let is_read = host.each_header(Map::RequestHeaders, |name, value| {
        request.take(&config.headers, name, value);
    });
    match is_read {
        true => token_summary(config, rule, &request),
        false => String::new(),
    }
}

/// The request's id, by which a reader of the log finds it in the access log. A client may have chosen it.
fn request_id(host: &Host<'_>) -> String {
    let Some((mut value, _)) = host.header(Map::RequestHeaders, b"x-request-id", 0) else {
        return "-".to_owned();
    };
    value.truncate(LONGEST_REQUEST_ID);
    text_on_one_line(&String::from_utf8_lossy(&value)).into_owned()
}
