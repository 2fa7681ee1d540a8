//! A decision in the access log, in dynamic metadata and in the log, for operators.

use proxy_wasm_jwt::account::{Account, SHADOW_DENIED, token_summary};
use proxy_wasm_jwt::denial::{Denial, Reason, Shortfall};
use proxy_wasm_jwt::host::text_on_one_line;
use proxy_wasm_jwt::ids::{Choice, ProviderId};
use proxy_wasm_jwt::request::RequestHead;

use super::head::route_requirement;
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
            host.set_filter_state("wasm.jwt.condition", condition.name.as_bytes());
        }
        if let Some(provider) = denial.provider {
            show_provider(worker, host, provider);
            let provider = config.provider(provider);
            if let Some(name) = provider.and_then(|provider| provider.metadata.failed_status.as_ref()) {
                host.set_filter_state(&format!("wasm.jwt.metadata.{name}"), label.as_bytes());
                host.set_metadata(METADATA, &metadata::status(name, UNAUTHENTICATED, label));
            }
        }
        let is_debug = log::log_enabled!(log::Level::Debug);
        let request = read_again(worker, host, denial, is_debug);
        let account = Account {
            config,
            denial,
            now: worker.last_seen(),
            request: request.as_ref(),
            keys: None,
        };
        let detail = account.detail();
        if !detail.is_empty() {
            host.set_filter_state("wasm.jwt.detail", detail.as_bytes());
        }
        let shown = denial.rule.filter(|_| config.shown.token).zip(request.as_ref());
        let token = shown.map(|(rule, request)| token_summary(config, rule, request));
        let token = token.unwrap_or_default();
        if !token.is_empty() {
            host.set_filter_state("wasm.jwt.token", token.as_bytes());
        }
        if log::log_enabled!(log::Level::Info) {
            let is_shadowed = decision == SHADOW_DENIED;
            self.filter.note_refusal(denial, is_shadowed, worker.last_seen());
        }
        if is_debug {
            let id = request_id(host);
            let line = worker.engine(|engine| {
                let keys = engine.key_set(denial.provider, worker.last_seen());
                Account { keys, ..account }.line(decision, &id, &token)
            });
            log::debug!("{line}");
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

/// The parts of the request that the report of its refusal needs. They are read again, so that other requests
/// do not pay for it.
fn read_again(worker: &Worker, host: &Host<'_>, denial: &Denial, is_debug: bool) -> Option<RequestHead> {
    let config = &worker.config;
    let mut request = RequestHead::new();
    let is_for_line = is_debug && denial.reason == Reason::ProofInvalid;
    if config.shown.token || is_for_line {
        let is_read = host.each_header(Map::RequestHeaders, |name, value| {
            request.take(&config.headers, name, value);
        });
        if !is_read {
            return None;
        }
    }
    if denial.reason == Reason::RouteRequirementUnknown {
        request.route_requirement = route_requirement(host);
    }
    Some(request)
}

/// The request's id, by which a reader of the log finds it in the access log. A client may have chosen it.
fn request_id(host: &Host<'_>) -> String {
    let Some((mut value, _)) = host.header(Map::RequestHeaders, b"x-request-id", 0) else {
        return "-".to_owned();
    };
    value.truncate(LONGEST_REQUEST_ID);
    text_on_one_line(&String::from_utf8_lossy(&value)).into_owned()
}
