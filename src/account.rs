//! A refusal in words, for the operator: the fault, and what the configuration expects.
//!
//! The filter writes the words when it refuses the request, and computes ages then: the cache may have kept
//! the refusal.

mod summary;
mod token;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use crate::claims::{Audiences, ClaimPath};
use crate::credential::Location;
use crate::denial::{Cause, Denial, Detail, Doubt, Doubtful, Reason, Shortfall};
use crate::forward::text_on_one_line;
use crate::ids::{FieldId, LocationId};
use crate::jose::{AlgorithmSet, Jwk, JwkSet};
use crate::policy::Demand;
use crate::provider::Provider;
use crate::request::RequestHead;
use crate::settings::Config;
use crate::time::UnixTime;

pub use summary::{RefusalSummary, RefusalsOfAKind};
pub use token::token_summary;

/// The limit in bytes. Nearly every detail is shorter.
const USUAL_LENGTH: usize = 96;

/// The number of values of a list that are shown.
const MOST_SHOWN: usize = 8;

/// A refusal in words, for an operator who knows the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The configuration that refuses.
    pub config: &'a Config,
    /// The refusal.
    pub denial: &'a Denial,
    /// The time of the refusal.
    pub now: UnixTime,
    /// The request, if the caller still has it or has read it again.
    pub request: Option<&'a RequestHead>,
    /// The keys of the provider, if the caller knows them.
    pub keys: Option<&'a JwkSet>,
}

impl<'a> Account<'a> {
    /// The fault, bounded and on one line; empty if the reason says everything.
    #[must_use]
    pub fn detail(&self) -> String {
        let mut text = String::new();
        self.write_detail(&mut text);
        if self.denial.has_odd_path {
            text.push_str(if text.is_empty() { "" } else { "; " });
            text.push_str("the path is not canonical");
        }
        if let Some(doubtful) = self.denial.doubtful {
            self.write_doubt(doubtful, &mut text);
        }
        on_one_line(text)
    }

    /// Why the rule applies, if it is not the one for the request as written.
    #[inline(never)]
    fn write_doubt(&self, doubtful: Doubtful, to: &mut String) {
        let (kind, name) = match doubtful.part {
            Doubt::Path => ("the path", None),
            Doubt::Header(id) => ("header ", self.config.wanted.name(FieldId::new(id.into()))),
            Doubt::Parameter(id) => (
                "parameter ",
                self.config
                    .conditions
                    .get(usize::from(id))
                    .map(|parameter| &*parameter.name),
            ),
            Doubt::Route => ("the route", None),
        };
        let rule = self.config.policy.rules.get(usize::from(doubtful.rule));
        let (link, rule) = rule.map_or(("", ""), |rule| (" for ", &*rule.name));
        let separator = if to.is_empty() { "" } else { "; " };
        let name = name.unwrap_or_default();
        write_all(to, &[separator, kind, name, " is ambiguous", link, rule])
    }

    /// The line of the log for this refusal. `token` shows parts of the token, or nothing.
    #[must_use]
    pub fn line(&self, decision: &str, request_id: &str, token: &str) -> String {
        let (detail, label) = (self.detail(), self.denial.reason.label());
        format!(
            "{decision}: {label}{}{detail} [{}, request {request_id}]{}{token}",
            if detail.is_empty() { "" } else { ": " },
            self.circumstances(),
            if token.is_empty() { "" } else { " " },
        )
    }

    /// The provider, the rule and the expected value, bounded and on one line.
    #[must_use]
    pub fn circumstances(&self) -> String {
        let mut text = String::new();
        self.write_circumstances(&mut text);
        on_one_line(text)
    }

    fn provider(&self) -> Option<&'a Provider> {
        self.config.provider(self.denial.provider?)
    }

    fn demand(&self) -> Option<&'a Demand> {
        Some(self.config.policy.demand(self.denial.rule?)?)
    }

    fn write_detail(&self, to: &mut String) {
        if let Some(shortfall) = self.denial.shortfall {
            return self.write_shortfall(shortfall, to);
        }
        let provider = self.provider();
        match self.denial.detail {
            Detail::None => match self.denial.reason {
                Reason::TokenMissing => self.write_searched(to),
                Reason::TokenTooLarge => {
                    let most = to_u64(self.config.limits.max_token_bytes);
                    write_number(to, "longer than ", most, " bytes")
                }
                Reason::TypeRejected => to.push_str("typ"),
                Reason::KeyUnknown => to.push_str("kid"),
                Reason::AudienceMismatch => to.push_str("aud"),
                Reason::SubjectRejected => to.push_str("sub"),
                Reason::RouteRequirementUnknown => self.write_route(to),
                _ => {}
            },
            Detail::Unread(location) => {
                self.write_searched(to);
                let Some(Location::Header { name, prefix, .. }) = self.config.locations.get(location.index())
                else {
                    return;
                };
                let prefix = std::str::from_utf8(prefix).unwrap_or_default().trim();
                write_all(
                    to,
                    &["; header ", name, " is there, but does not begin with ", prefix],
                )
            }
            Detail::Parts { bytes, periods } => {
                write_number(to, "not three parts: ", to_u64(bytes), " bytes with ");
                write_number(to, "", to_u64(periods), " periods")
            }
            Detail::Encoding(part, fault) => write_all(to, &[part, " encoding: ", fault.phrase()]),
            // Writing to a String does not fail.
            Detail::Json(part, fault) => drop(write!(to, "{part}: {fault}")),
            Detail::Word(word) => to.push_str(word),
            Detail::Passed(name, date) => {
                to.reserve(USUAL_LENGTH);
                to.push_str(name);
                write_number(to, " was ", self.now.since(date).as_secs(), " s ago");
                self.write_tolerance(to)
            }
            Detail::Ahead(name, date) => {
                self.write_ahead(to, name, date);
                self.write_tolerance(to)
            }
            Detail::TooFar(date) => {
                self.write_ahead(to, "exp", date);
                let longest = provider.and_then(|provider| provider.claims.max_lifetime);
                write_setting(to, ", max_lifetime is ", longest)
            }
            Detail::RequiredClaim(id) => {
                let claims = provider.map(|provider| &provider.claims.required_claims);
                if let Some(claim) = claims.and_then(|claims| claims.get(id.index())) {
                    write_claim(to, claim);
                }
            }
            Detail::NotAllowed(used) => write_all(to, &["alg ", used.name(), " is not in algorithms"]),
            Detail::NoKid(used) => write_all(to, &["the token has no kid, and its alg is ", used.name()]),
            Detail::Misfit { used, is_for } => write_all(
                to,
                &[
                    "alg is ",
                    used.name(),
                    ", but the key that kid names is for ",
                    is_for.name(),
                ],
            ),
            Detail::Twice(location) => {
                to.push_str("several in ");
                self.write_location(to, location)
            }
            Detail::BrokenEscape(location) => {
                to.push_str("a broken escape in ");
                self.write_location(to, location)
            }
            Detail::Spelling(position) => write_all(
                to,
                &[
                    "header spelling, which differs from ",
                    self.config.headers.name(position),
                ],
            ),
            Detail::Both(one, other) => {
                to.push_str("different ones in ");
                self.write_location(to, one);
                to.push_str(" and ");
                self.write_location(to, other)
            }
        }
    }

    fn write_ahead(&self, to: &mut String, name: &str, date: UnixTime) {
        to.push_str(name);
        write_number(to, " is ", date.since(self.now).as_secs(), " s ahead")
    }

    /// The setting that says how far a time may be off.
    fn write_tolerance(&self, to: &mut String) {
        let Some(provider) = self.provider() else {
            return;
        };
        let (name, value) = match (self.denial.reason, provider.binding.dpop()) {
            (Reason::ProofInvalid, Some(dpop)) => (", window is ", Some(dpop.window)),
            (Reason::ProofNonce, Some(dpop)) => (
                ", lifetime is ",
                dpop.nonce.as_ref().map(|nonces| nonces.lifetime),
            ),
            _ => (", clock_skew_seconds is ", Some(provider.claims.clock_skew)),
        };
        write_setting(to, name, value)
    }

    /// The name that the route asks for.
    fn write_route(&self, to: &mut String) {
        match self
            .request
            .and_then(|request| request.route_requirement.as_deref())
        {
            None => {}
            Some(name) => {
                let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty());
                write_all(
                    to,
                    &["requirement_name ", name.unwrap_or("is empty, or not text")],
                )
            }
        }
    }

    fn write_shortfall(&self, shortfall: Shortfall, to: &mut String) {
        match shortfall {
            Shortfall::Condition { id, cause } => {
                let place = self
                    .config
                    .conditions
                    .get(id.index())
                    .map(|condition| &*condition.name);
                let cause = match cause {
                    Cause::Value => "",
                    Cause::ClaimAbsent => ": the token has no such claim",
                    Cause::Type => ": the claim has another type",
                    Cause::RequestAbsent => ": the request has no such value",
                    Cause::RequestAmbiguous => ": the request's value is ambiguous",
                    Cause::TooMuch => ": too much work",
                };
                write_all(to, &[place.unwrap_or_default(), cause])
            }
            Shortfall::Scope { missing, is_absent } => {
                let authorization = match self.denial.reason {
                    Reason::TokenRejected => self
                        .provider()
                        .and_then(|provider| provider.authorization.as_ref()),
                    _ => self.demand().and_then(|demand| demand.authorization.as_deref()),
                };
                let Some(scopes) = authorization.and_then(|authorization| authorization.scopes.as_ref())
                else {
                    return;
                };
                to.push_str(if scopes.all {
                    "needs all of "
                } else {
                    "needs one of "
                });
                let mut list = List::new(to);
                for scope in &scopes.wanted {
                    list.add(scope);
                }
                list.end();
                if is_absent {
                    to.push_str("; the token has none of the claims ");
                    let mut list = List::new(to);
                    for claim in &scopes.claims {
                        if list.begin() {
                            write_claim(list.to, claim);
                        }
                    }
                    return list.end();
                }
                if !scopes.all || scopes.wanted.len() < 2 || missing == 0 {
                    return;
                }
                to.push_str("; lacks ");
                let mut list = List::new(to);
                for scope in scopes.words.selected(missing) {
                    list.add(scope);
                }
                list.end()
            }
        }
    }

    /// The locations in which the filter has looked for a token: those of the provider whose token is
    /// missing, or those of every provider that the rule accepts.
    fn write_searched(&self, to: &mut String) {
        let (whose, locations) = match (self.provider(), self.demand()) {
            (Some(provider), _) => (Some(&provider.name), &provider.locations),
            (None, Some(demand)) => (None, &demand.locations),
            (None, None) => return,
        };
        to.reserve(USUAL_LENGTH);
        if let Some(name) = whose {
            write_all(to, &["of provider ", name, ", "]);
        }
        to.push_str("looked in ");
        let mut list = List::new(to);
        for location in locations {
            if list.begin() {
                self.write_location(list.to, *location);
            }
        }
        list.end()
    }

    fn write_location(&self, to: &mut String, id: LocationId) {
        match self.config.locations.get(id.index()) {
            Some(Location::Header { name, prefix, .. }) => {
                write_all(to, &["header ", name]);
                match std::str::from_utf8(prefix).map(str::trim) {
                    Ok("") | Err(_) => {}
                    Ok(prefix) => write_all(to, &[" (", prefix, ")"]),
                }
            }
            Some(Location::Parameter { name, .. }) => write_all(to, &["parameter ", name]),
            Some(Location::Cookie { name, .. }) => write_all(to, &["cookie ", name]),
            None => {}
        }
    }

    fn write_circumstances(&self, to: &mut String) {
        match self.provider() {
            Some(provider) => write_all(to, &["provider ", &provider.name]),
            None => to.push_str("provider -"),
        }
        match self.denial.rule {
            Some(rule) => write_all(to, &[", rule ", &self.config.policy.label(rule)]),
            None => to.push_str(", rule -"),
        }
        self.write_expected(to)
    }

    /// The values that would have been accepted, if the detail does not say it.
    fn write_expected(&self, to: &mut String) {
        if let Some(Shortfall::Condition { id, .. }) = self.denial.shortfall {
            let condition = self.config.conditions.get(id.index());
            return write_all(
                to,
                &[", expected ", condition.map_or("", |condition| &condition.text)],
            );
        }
        match self.denial.reason {
            Reason::KeyUnknown | Reason::SignatureInvalid => {
                let Some(keys) = self.keys else { return };
                let mut list = List::expected(to, "kid");
                for kid in keys.keys().iter().filter_map(Jwk::key_id) {
                    list.add(kid);
                }
                list.end()
            }
            Reason::RouteRequirementUnknown => {
                let mut list = List::expected(to, "requirement_name");
                for (name, _) in &self.config.policy.requirement_map {
                    list.add(name);
                }
                list.end()
            }
            Reason::ClaimMalformed => {
                let kind = match self.denial.detail {
                    Detail::Word("exp" | "nbf" | "iat") => "a number",
                    Detail::Word("aud") => "a string or a list of strings",
                    Detail::Word("cnf") => "an object",
                    _ => "a string",
                };
                write_all(to, &[", expected ", kind])
            }
            reason => self.write_expected_by(to, reason),
        }
    }

    /// The same, for reasons that depend on the provider, or else on those that the rule accepts.
    #[inline(never)]
    fn write_expected_by(&self, to: &mut String, reason: Reason) {
        let word = match self.denial.detail {
            Detail::Word(word) => word,
            _ => "",
        };
        let name = match reason {
            Reason::IssuerUnknown => "iss",
            Reason::AlgorithmRejected => "alg",
            Reason::TypeRejected => "typ",
            Reason::AudienceMismatch => "aud",
            Reason::SubjectRejected => "sub",
            // The other details are about the certificate or the proof.
            Reason::BindingMismatch if word.contains("cnf") => "cnf with",
            Reason::ProofInvalid if matches!(word, "alg" | "typ" | "htm" | "htu") => word,
            _ => return,
        };
        let mut algorithms = AlgorithmSet::EMPTY;
        let mut list = List::expected(to, name);
        let named = self.demand().map(|demand| demand.requirement.providers());
        for named in named.iter().flatten() {
            let (Some(provider), true) = (
                self.config.provider(named.provider),
                self.denial
                    .provider
                    .is_none_or(|provider| provider == named.provider),
            ) else {
                continue;
            };
            let texts: &[Box<str>] = match reason {
                Reason::IssuerUnknown => &provider.claims.issuers,
                Reason::TypeRejected => &provider.token_types,
                Reason::SubjectRejected => std::slice::from_ref(&provider.claims.subjects_text),
                Reason::AudienceMismatch => match named.audiences.as_ref().unwrap_or(&provider.audiences) {
                    Audiences::Any => &[],
                    Audiences::OneOf(audiences) => audiences,
                },
                Reason::AlgorithmRejected => {
                    algorithms = algorithms.with(provider.algorithms);
                    &[]
                }
                Reason::BindingMismatch => {
                    list.add(provider.binding.checked());
                    &[]
                }
                _ => {
                    if let Some(dpop) = provider.binding.dpop() {
                        match (
                            word,
                            self.request.and_then(|request| dpop.expected(word, request)),
                        ) {
                            ("alg", _) => algorithms = algorithms.with(dpop.algorithms),
                            (_, Some(value)) => list.add(&value),
                            _ => {}
                        }
                    }
                    &[]
                }
            };
            for text in texts {
                list.add(text);
            }
        }
        for algorithm in algorithms.iter() {
            list.add(algorithm.name());
        }
        list.end()
    }
}

fn on_one_line(text: String) -> String {
    match text_on_one_line(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    }
}

/// Concatenates the pieces, at a fraction of the cost of `write!`.
fn write_all(to: &mut String, pieces: &[&str]) {
    for piece in pieces {
        to.push_str(piece);
    }
}

/// A number between two texts.
#[inline(never)]
fn write_number(to: &mut String, before: &str, number: u64, after: &str) {
    write_all(to, &[before, &number.to_string(), after])
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn write_setting(to: &mut String, name: &str, value: Option<Duration>) {
    if let Some(value) = value {
        write_number(to, name, value.as_secs(), "");
    }
}

fn write_claim(to: &mut String, claim: &ClaimPath) {
    match claim {
        ClaimPath::Name(name) => to.push_str(name),
        ClaimPath::Literal(keys) => {
            for (position, key) in keys.iter().enumerate() {
                write_all(to, &[if position == 0 { "" } else { "." }, key]);
            }
        }
    }
}

/// A list of values, separated by commas. Of a long list, these are the first values and the number of the
/// others. One function adds to all of them, since each kind of iterator would get its own.
struct List<'t> {
    to: &'t mut String,
    count: usize,
}

impl<'t> List<'t> {
    const fn new(to: &'t mut String) -> Self {
        Self { to, count: 0 }
    }

    /// The values that would have been accepted.
    #[inline(never)]
    fn expected(to: &'t mut String, name: &str) -> Self {
        write_all(to, &[", expected ", name, " "]);
        Self::new(to)
    }

    /// Begins the next value. Returns false if the list is long enough without it.
    #[inline(never)]
    fn begin(&mut self) -> bool {
        if self.count > 0 && self.count < MOST_SHOWN {
            self.to.push_str(", ");
        }
        self.count = self.count.saturating_add(1);
        self.count <= MOST_SHOWN
    }

    #[inline(never)]
    fn add(&mut self, text: &str) {
        if self.begin() {
            self.to.push_str(text);
        }
    }

    #[inline(never)]
    fn end(self) {
        match self.count.checked_sub(MOST_SHOWN) {
            None if self.count == 0 => self.to.push_str("none"),
            None | Some(0) => {}
            Some(left_off) => write_number(self.to, " and ", to_u64(left_off), " more"),
        }
    }
}

/// The decision of a refused request.
pub const DENIED: &str = "denied";

/// The decision of a request that the filter would refuse if its rule were enforced.
pub const SHADOW_DENIED: &str = "shadow_denied";

impl RefusalsOfAKind {
    /// The line of the log for these refusals.
    #[must_use]
    pub fn line(&self, config: &Config) -> String {
        let account = Account {
            config,
            denial: &self.last,
            now: self.at,
            request: None,
            keys: None,
        };
        let detail = account.detail();
        format!(
            "{}: {}: {} requests within {} s, the last one{}{detail} [{}]",
            if self.is_shadowed { SHADOW_DENIED } else { DENIED },
            self.last.reason.label(),
            self.count,
            self.within.as_secs().max(1),
            if detail.is_empty() { "" } else { ": " },
            account.circumstances(),
        )
    }
}
