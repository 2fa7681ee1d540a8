//! A refusal in words, for the operator: the fault, and what the configuration expects.
//!
//! The filter writes the words when it refuses the request, and computes ages then: the cache may have kept
//! the refusal.

mod summary;
mod token;

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::claims::{Audiences, ClaimPath};
use crate::credential::Location;
use crate::denial::{Cause, Denial, Detail, Doubt, Doubtful, Reason, Shortfall};
use crate::forward::text_on_one_line;
use crate::ids::{FieldId, LocationId};
use crate::jose::Algorithm;
use crate::policy::Demand;
use crate::provider::Provider;
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
}

impl<'a> Account<'a> {
    /// The fault, bounded and on one line; empty if the reason says everything.
    #[must_use]
    pub fn detail(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = self.write_detail(&mut text);
        if self.denial.has_odd_path {
            text.push_str(if text.is_empty() { "" } else { "; " });
            text.push_str("the path is not canonical");
        }
        if let Some(doubtful) = self.denial.doubtful {
            let _ = self.write_doubt(doubtful, &mut text);
        }
        on_one_line(text)
    }

    /// Why the rule applies, if it is not the one for the request as written.
    #[inline(never)]
    fn write_doubt(&self, doubtful: Doubtful, to: &mut String) -> fmt::Result {
        let (kind, name) = match doubtful.part {
            Doubt::Path => ("the path", None),
            Doubt::Header(id) => ("header ", self.config.wanted.name(FieldId::new(id.into()))),
            Doubt::Parameter(id) => (
                "parameter ",
                self.config.conditions.get(usize::from(id)).map(|name| &**name),
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
        let _ = self.write_circumstances(&mut text);
        on_one_line(text)
    }

    fn provider(&self) -> Option<&'a Provider> {
        self.config.provider(self.denial.provider?)
    }

    fn demand(&self) -> Option<&'a Demand> {
        Some(self.config.policy.demand(self.denial.rule?)?)
    }

    fn write_detail(&self, to: &mut String) -> fmt::Result {
        if let Some(shortfall) = self.denial.shortfall {
            return self.write_shortfall(shortfall, to);
        }
        let provider = self.provider();
        let skew = provider.map(|provider| provider.claims.clock_skew);
        match self.denial.detail {
            Detail::None => match self.denial.reason {
                Reason::TokenMissing => self.write_searched(to),
                Reason::TokenTooLarge => {
                    let most = to_u64(self.config.limits.max_token_bytes);
                    write_number(to, "longer than ", most, " bytes")
                }
                Reason::TypeRejected => to.write_str("typ"),
                Reason::KeyUnknown => to.write_str("kid"),
                Reason::AudienceMismatch => to.write_str("aud"),
                Reason::SubjectRejected => to.write_str("sub"),
                _ => Ok(()),
            },
            Detail::Unread(location) => {
                self.write_searched(to)?;
                let Some(Location::Header { name, prefix, .. }) = self.config.locations.get(location.index())
                else {
                    return Ok(());
                };
                let prefix = std::str::from_utf8(prefix).unwrap_or_default().trim();
                write_all(
                    to,
                    &["; header ", name, " is there, but does not begin with ", prefix],
                )
            }
            Detail::Parts { bytes, periods } => {
                write_number(to, "not three parts: ", to_u64(bytes), " bytes with ")?;
                write_number(to, "", to_u64(periods), " periods")
            }
            Detail::Encoding(part, fault) => write_all(to, &[part, " encoding: ", fault.phrase()]),
            Detail::Json(part, fault) => write!(to, "{part}: {fault}"),
            Detail::Word(word) => to.write_str(word),
            Detail::Passed(date) => {
                to.reserve(USUAL_LENGTH);
                write_number(to, "exp was ", self.now.since(date).as_secs(), " s ago")?;
                write_setting(to, ", clock_skew_seconds is ", skew)
            }
            Detail::Ahead(name, date) => {
                self.write_ahead(to, name, date)?;
                write_setting(to, ", clock_skew_seconds is ", skew)
            }
            Detail::TooFar(date) => {
                self.write_ahead(to, "exp", date)?;
                let longest = provider.and_then(|provider| provider.claims.max_lifetime);
                write_setting(to, ", max_lifetime is ", longest)
            }
            Detail::RequiredClaim(id) => {
                match provider.and_then(|provider| provider.claims.required_claims.get(id.index())) {
                    Some(claim) => write_claim(to, claim),
                    None => Ok(()),
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
                to.write_str("several in ")?;
                self.write_location(to, location)
            }
            Detail::BrokenEscape(location) => {
                to.write_str("a broken escape in ")?;
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
                to.write_str("different ones in ")?;
                self.write_location(to, one)?;
                to.write_str(" and ")?;
                self.write_location(to, other)
            }
        }
    }

    fn write_ahead(&self, to: &mut String, name: &str, date: UnixTime) -> fmt::Result {
        to.write_str(name)?;
        write_number(to, " is ", date.since(self.now).as_secs(), " s ahead")
    }

    fn write_shortfall(&self, shortfall: Shortfall, to: &mut String) -> fmt::Result {
        match shortfall {
            Shortfall::Condition { id, cause } => {
                let place = self.config.conditions.get(id.index());
                let cause = match cause {
                    Cause::Value => "",
                    Cause::ClaimAbsent => ": the token has no such claim",
                    Cause::Type => ": the claim has another type",
                    Cause::RequestAbsent => ": the request has no such value",
                    Cause::RequestAmbiguous => ": the request's value is ambiguous",
                    Cause::TooMuch => ": too much work",
                };
                write_all(to, &[place.map_or("", String::as_str), cause])
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
                    return Ok(());
                };
                to.write_str(if scopes.all {
                    "needs all of "
                } else {
                    "needs one of "
                })?;
                write_texts(to, &mut scopes.wanted.iter().map(|scope| &**scope))?;
                if is_absent {
                    to.write_str("; the token has none of the claims ")?;
                    return write_list(to, scopes.claims.iter(), write_claim);
                }
                if !scopes.all || scopes.wanted.len() < 2 || missing == 0 {
                    return Ok(());
                }
                to.write_str("; lacks ")?;
                write_texts(to, &mut scopes.words.selected(missing).map(|scope| &**scope))
            }
        }
    }

    /// The locations in which the filter has looked for a token: those of the provider whose token is
    /// missing, or those of every provider that the rule accepts.
    fn write_searched(&self, to: &mut String) -> fmt::Result {
        let (whose, locations) = match (self.provider(), self.demand()) {
            (Some(provider), _) => (Some(&provider.name), &provider.locations),
            (None, Some(demand)) => (None, &demand.locations),
            (None, None) => return Ok(()),
        };
        to.reserve(USUAL_LENGTH);
        if let Some(name) = whose {
            write_all(to, &["of provider ", name, ", "])?;
        }
        to.write_str("looked in ")?;
        write_list(to, locations.iter(), |to, location| {
            self.write_location(to, *location)
        })
    }

    fn write_location(&self, to: &mut String, id: LocationId) -> fmt::Result {
        match self.config.locations.get(id.index()) {
            Some(Location::Header { name, prefix, .. }) => {
                write_all(to, &["header ", name])?;
                match std::str::from_utf8(prefix).map(str::trim) {
                    Ok("") | Err(_) => Ok(()),
                    Ok(prefix) => write_all(to, &[" (", prefix, ")"]),
                }
            }
            Some(Location::Parameter { name, .. }) => write_all(to, &["parameter ", name]),
            Some(Location::Cookie { name, .. }) => write_all(to, &["cookie ", name]),
            None => Ok(()),
        }
    }

    fn write_circumstances(&self, to: &mut String) -> fmt::Result {
        match self.provider() {
            Some(provider) => write_all(to, &["provider ", &provider.name])?,
            None => to.write_str("provider -")?,
        }
        match self.denial.rule {
            Some(rule) => write_all(to, &[", rule ", &self.config.policy.label(rule)])?,
            None => to.write_str(", rule -")?,
        }
        self.write_expected(to)
    }

    /// The values that the configuration expects, if the reason depends on them.
    fn write_expected(&self, to: &mut String) -> fmt::Result {
        let named = self.demand().map(|demand| demand.requirement.providers());
        let named = named.unwrap_or_default();
        match (self.denial.reason, self.provider()) {
            (Reason::IssuerUnknown, Some(provider)) => {
                to.write_str(", expected iss ")?;
                write_texts(to, &mut provider.claims.issuers.iter().map(|issuer| &**issuer))
            }
            (Reason::IssuerUnknown, None) => {
                to.write_str(", expected iss ")?;
                let issuers = named
                    .iter()
                    .filter_map(|named| self.config.provider(named.provider))
                    .flat_map(|provider| &provider.claims.issuers);
                write_texts(to, &mut issuers.map(|issuer| &**issuer))
            }
            (Reason::AudienceMismatch, Some(provider)) => {
                let own = named
                    .iter()
                    .find(|named| Some(named.provider) == self.denial.provider);
                let audiences = own.and_then(|named| named.audiences.as_ref());
                match audiences.unwrap_or(&provider.audiences) {
                    Audiences::Any => Ok(()),
                    Audiences::OneOf(audiences) => {
                        to.write_str(", expected aud ")?;
                        write_texts(to, &mut audiences.iter().map(|audience| &**audience))
                    }
                }
            }
            (Reason::AlgorithmRejected, Some(provider)) => {
                to.write_str(", expected alg ")?;
                write_texts(to, &mut provider.algorithms.iter().map(Algorithm::name))
            }
            (Reason::TypeRejected, Some(provider)) => {
                to.write_str(", expected typ ")?;
                write_texts(to, &mut provider.token_types.iter().map(|expected| &**expected))
            }
            _ => Ok(()),
        }
    }
}

fn on_one_line(text: String) -> String {
    match text_on_one_line(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    }
}

/// Concatenates the pieces, at a fraction of the cost of `write!`.
fn write_all(to: &mut String, pieces: &[&str]) -> fmt::Result {
    pieces.iter().try_for_each(|piece| to.write_str(piece))
}

/// A number between two texts.
#[inline(never)]
fn write_number(to: &mut String, before: &str, number: u64, after: &str) -> fmt::Result {
    write_all(to, &[before, &number.to_string(), after])
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn write_setting(to: &mut String, name: &str, value: Option<Duration>) -> fmt::Result {
    match value {
        Some(value) => write_number(to, name, value.as_secs(), ""),
        None => Ok(()),
    }
}

fn write_claim(to: &mut String, claim: &ClaimPath) -> fmt::Result {
    match claim {
        ClaimPath::Name(name) => to.write_str(name),
        ClaimPath::Literal(keys) => {
            for (position, key) in keys.iter().enumerate() {
                write_all(to, &[if position == 0 { "" } else { "." }, key])?;
            }
            Ok(())
        }
    }
}

/// A list of texts. One function writes all of them, since each kind of iterator would get its own.
#[inline(never)]
fn write_texts(to: &mut String, texts: &mut dyn Iterator<Item = &str>) -> fmt::Result {
    write_list(to, texts, |to, text| to.write_str(text))
}

/// The values, separated by commas. For a long list, these are the first values and the number of the others.
fn write_list<T>(
    to: &mut String,
    values: impl Iterator<Item = T>,
    mut write_value: impl FnMut(&mut String, T) -> fmt::Result,
) -> fmt::Result {
    let mut left_off = 0_usize;
    for (position, value) in values.enumerate() {
        if position >= MOST_SHOWN {
            left_off = left_off.saturating_add(1);
            continue;
        }
        if position > 0 {
            to.write_str(", ")?;
        }
        write_value(to, value)?;
    }
    match left_off {
        0 => Ok(()),
        left_off => write_number(to, " and ", to_u64(left_off), " more"),
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
