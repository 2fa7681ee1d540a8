//! Reports decisions and key states to operators: filter state, log and metrics.

use super::Filter;
use crate::account::{Account, SHADOW_DENIED, token_summary};
use crate::authenticator::{Authenticator, Event, WantedKey};
use crate::denial::{Denial, Reason, Shortfall};
use crate::forward::text_on_one_line;
use crate::host::abi::{self, Map};
use crate::host::key_log;
use crate::host::metrics::Envoy;
use crate::ids::{Choice, ProviderId};
use crate::request::RequestHead;
use crate::time::UnixTime;

/// The longest part of a request's id in the log: a UUID has 36 bytes.
const LONGEST_REQUEST_ID: usize = 64;

impl Filter {
    pub(super) fn show_rule(&self, rule: Option<Choice>) {
        if let Some(rule) = rule.filter(|_| self.config.shown.rule) {
            let _ = abi::set_filter_state("jwt.rule", self.config.policy.label(rule).as_bytes());
        }
    }

    pub(super) fn show_subject(&self, subject: Option<&str>) {
        if let Some(subject) = subject.filter(|_| self.config.shown.subject) {
            let _ = abi::set_filter_state("jwt.sub", text_on_one_line(subject).as_bytes());
        }
    }

    /// The decision about the request.
    pub(super) fn show_decision(&self, decision: &str) {
        if self.config.shown.decision {
            let _ = abi::set_filter_state("jwt.decision", decision.as_bytes());
        }
    }

    /// Reports a refusal in the access log and in the log, enforced or not.
    pub(super) fn show_denial(&self, denial: &Denial, decision: &str) {
        let label = denial.reason.label();
        let _ = abi::set_filter_state("jwt.reason", label.as_bytes());
        let condition = match denial.shortfall {
            Some(Shortfall::Condition { id, .. }) => self
                .config
                .conditions
                .get(id.index())
                .map(|condition| &condition.name),
            Some(Shortfall::Scope { .. }) | None => None,
        };
        if let Some(condition) = condition {
            let _ = abi::set_filter_state("jwt.condition", condition.as_bytes());
        }
        if let Some(provider) = denial.provider {
            self.show_provider(provider);
            let failed_status = self
                .config
                .provider(provider)
                .and_then(|provider| provider.metadata.failed_status.as_ref());
            if let Some(name) = failed_status {
                let _ = abi::set_filter_state(&format!("jwt.metadata.{name}"), label.as_bytes());
            }
        }
        let is_debug = log::log_enabled!(log::Level::Debug);
        let mut request = RequestHead::new();
        self.read_again(denial, is_debug, &mut request);
        let token = match denial.rule {
            Some(rule) if self.config.shown.token => token_summary(&self.config, rule, &request),
            _ => String::new(),
        };
        let id = is_debug.then(request_id);
        let (detail, line) = self.engine(|engine| {
            let now = self.last_seen();
            let account = Account {
                config: &self.config,
                denial,
                now,
                request: Some(&request),
                keys: engine.key_set(denial.provider, now),
            };
            (account.detail(), id.map(|id| account.line(decision, &id, &token)))
        });
        if !detail.is_empty() {
            let _ = abi::set_filter_state("jwt.detail", detail.as_bytes());
        }
        if !token.is_empty() {
            let _ = abi::set_filter_state("jwt.token", token.as_bytes());
        }
        if log::log_enabled!(log::Level::Info) {
            let is_shadowed = decision == SHADOW_DENIED;
            let mut refusals = self.refusals.borrow_mut();
            refusals.note(denial, is_shadowed, self.last_seen());
        }
        if let Some(line) = line {
            log::debug!("{line}");
        }
    }

    /// Reads the parts of the request that the report of its refusal needs, again, so that other requests do
    /// not pay for it.
    fn read_again(&self, denial: &Denial, is_debug: bool, request: &mut RequestHead) {
        let is_for_line = is_debug && denial.reason == Reason::ProofInvalid;
        if (self.config.shown.token || is_for_line) && self.read_fields(request).is_err() {
            request.clear();
        }
        if denial.reason == Reason::RouteRequirementUnknown {
            request.route_requirement = self.route_requirement().unwrap_or_default();
        }
    }

    pub(super) fn show_provider(&self, provider: ProviderId) {
        if let Some(provider) = self.config.provider(provider) {
            let _ = abi::set_filter_state("jwt.provider", provider.name.as_bytes());
        }
    }

    /// Counts and logs what has happened.
    pub(in crate::host) fn report_events(&self) {
        while let Some(event) = self.engine(Authenticator::poll_event) {
            self.report_event(event);
        }
    }

    /// Not inlined: nearly no request has an event.
    #[inline(never)]
    fn report_event(&self, event: Event) {
        let id = match &event {
            Event::Keys(id, _) | Event::UnknownKid(id) | Event::KeyWanted(WantedKey { provider: id, .. }) => {
                id
            }
            Event::BackendMissing(alias) => return key_log::log_missing_backend(alias),
            // This engine has taken it over.
            Event::BackendNamed(..) => return,
        };
        let (Some(provider), Some(metrics)) = (self.config.provider(*id), self.metrics.provider(*id)) else {
            return;
        };
        match event {
            Event::UnknownKid(_) => metrics.unknown_kid.increment(&Envoy),
            // This engine fetches its own keys.
            Event::KeyWanted(..) | Event::BackendNamed(..) | Event::BackendMissing(_) => {}
            Event::Keys(_, event) => {
                // The age of the keys, or their number, has changed.
                self.gauges_shown_at.set(UnixTime::default());
                metrics.keys_changed(&Envoy, &event);
                key_log::report(&provider.name, &event);
            }
        }
    }

    /// Logs the refusals that are due.
    pub(super) fn sum_up_refusals(&self, now: UnixTime) {
        while let Some(refusals) = self.refusals.borrow_mut().next_due(now) {
            log::info!("{}", refusals.line(&self.config));
        }
    }

    pub(super) fn show_gauges(&self, now: UnixTime) {
        self.gauges_shown_at.set(now);
        for id in self.config.provider_ids() {
            if let (Some(metrics), Some(gauges)) = (
                self.metrics.provider(id),
                self.engine(|engine| engine.key_gauges(id, now)),
            ) {
                metrics.show(&Envoy, gauges);
            }
        }
    }
}

/// The request's id, by which a reader of the log finds it in the access log. A client may have chosen it.
fn request_id() -> String {
    let value = abi::header(Map::RequestHeaders, "x-request-id").ok().flatten();
    let Some(mut value) = value else {
        return "-".to_owned();
    };
    value.truncate(LONGEST_REQUEST_ID);
    text_on_one_line(&String::from_utf8_lossy(&value)).into_owned()
}
