//! The checks of one token by one provider, in the order of the filter, up to its signature.

use std::rc::Rc;

use proxy_wasm_jwt::claims::{Audiences, UnverifiedClaims};
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::denial::{Denial, Reason};
use proxy_wasm_jwt::ids::{LocationId, ProviderId};
use proxy_wasm_jwt::jose::{JoseHeader, UnverifiedJwt};
use proxy_wasm_jwt::policy::{Demand, ProviderRequirement};
use proxy_wasm_jwt::provider::Provider;
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::time::UnixTime;

use super::step::{Step, failed};
use crate::core::Request;
use crate::source::Node;

pub(super) struct Walker<'w> {
    pub(super) config: &'w Rc<Config>,
    pub(super) provider: &'w Provider,
    pub(super) named: &'w ProviderRequirement,
    pub(super) head: &'w RequestHead,
    pub(super) request: &'w Request,
    pub(super) now: UnixTime,
    pub(super) steps: Vec<Step>,
    pub(super) node: &'w Node,
    pub(super) authorize: Option<&'w (Node, String)>,
    pub(super) demand: &'w Demand,
}

impl Walker<'_> {
    fn id(&self) -> ProviderId {
        self.named.provider
    }

    pub(super) fn add(
        &mut self,
        name: &str,
        outcome: Result<(), Denial>,
        seen: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let step = match outcome {
            Ok(()) => Step {
                name: name.to_owned(),
                passed: Some(true),
                seen: seen.into(),
                expected: expected.into(),
                reason: None,
            },
            Err(denial) => failed(
                name,
                denial.by(self.id()),
                seen.into(),
                expected.into(),
                self.config,
                self.now,
            ),
        };
        self.steps.push(step);
    }

    pub(super) fn unreached(&mut self, name: &str, why: &str, expected: impl Into<String>) {
        self.steps.push(Step {
            name: name.to_owned(),
            passed: None,
            seen: why.to_owned(),
            expected: expected.into(),
            reason: None,
        });
    }

    /// Every check of a token, in the order of the filter, including those after a failed one.
    pub(super) fn token(&mut self, location: LocationId, text: &[u8]) {
        let limit = self.config.limits.max_token_bytes;
        let size = match text.len() > limit {
            true => Err(Denial::new(Reason::TokenTooLarge)),
            false => Ok(()),
        };
        let is_too_large = size.is_err();
        self.add(
            "size",
            size,
            format!("{} bytes", text.len()),
            format!("at most {limit}"),
        );
        if is_too_large {
            return;
        }
        let token = match UnverifiedJwt::decode(text) {
            Ok(token) => token,
            Err(fault) => {
                let denial = Denial::new(Reason::TokenMalformed);
                self.add(
                    "form",
                    Err(denial),
                    fault.to_string(),
                    "a signed JWT in compact form",
                );
                return;
            }
        };
        let header = match token.header() {
            Ok(header) => header,
            Err(fault) => {
                // Only the engine knows the reason of a fault.
                let reason = match fault {
                    proxy_wasm_jwt::jose::TokenFault::AlgorithmMissing => Reason::AlgorithmRejected,
                    proxy_wasm_jwt::jose::TokenFault::CriticalHeader => Reason::CriticalHeader,
                    _ => Reason::TokenMalformed,
                };
                self.add(
                    "header",
                    Err(Denial::new(reason)),
                    fault.to_string(),
                    "a header that can be read",
                );
                return;
            }
        };
        let shown = |bytes: &[u8]| {
            serde_json::from_slice::<serde_json::Value>(bytes)
                .ok()
                .and_then(|header| header.get("alg").map(ToString::to_string))
                .unwrap_or_default()
        };
        let allowed: Vec<&str> = self
            .provider
            .algorithms
            .iter()
            .map(|algorithm| algorithm.name())
            .collect();
        let allowed = allowed.join(", ");
        let Some(algorithm) = header.algorithm else {
            self.add(
                "algorithm",
                Err(Denial::new(Reason::AlgorithmRejected)),
                shown(token.header_json()),
                allowed,
            );
            return;
        };
        let claims = match UnverifiedClaims::parse(token.payload()) {
            Ok(claims) => claims,
            Err(fault) => {
                let denial = Denial::new(Reason::TokenMalformed);
                self.add("claims", Err(denial), fault.to_string(), "one JSON object");
                return;
            }
        };
        self.add("form", Ok(()), "a signed JWT", "a signed JWT in compact form");
        let members = proxy_wasm_jwt::json::Object::parse(token.payload()).ok();
        let claim = |name: &str| {
            let value = members.as_ref().and_then(|members| members.member(name));
            value.map_or_else(|| "absent".to_owned(), |value| shorten(value.text()))
        };
        let issuers = self.provider.claims.issuers.iter();
        let issuers: Vec<String> = issuers.map(|issuer| format!("\"{issuer}\"")).collect();
        let issuers = issuers.join(" or ");
        match claims.unverified_issuer() {
            Ok(Some(issuer)) => {
                let outcome = match self.provider.is_issuer(&issuer) {
                    true => Ok(()),
                    false => Err(Denial::new(Reason::IssuerUnknown)),
                };
                self.add("issuer", outcome, claim("iss"), issuers);
            }
            Ok(None) => {
                let denial = Denial::new(Reason::IssuerUnknown);
                self.add("issuer", Err(denial), "absent", issuers);
            }
            Err(denial) => self.add("issuer", Err(denial), claim("iss"), "a string"),
        }
        let outcome = match self.provider.algorithms.contains(algorithm) {
            true => Ok(()),
            false => Err(Denial::new(Reason::AlgorithmRejected)),
        };
        self.add("algorithm", outcome, algorithm.name(), allowed);
        self.token_type(&header);
        if self.provider.claims.issuer_pattern.is_some() {
            self.add(
                "issuer_claims",
                claims.check_issuer(self.provider),
                "",
                "claims that repeat the tenant in iss",
            );
        }
        self.times(&claims, &claim);
        let audiences = self.named.audiences.as_ref().unwrap_or(&self.provider.audiences);
        let wanted = match audiences {
            Audiences::Any => "any".to_owned(),
            Audiences::OneOf(all) => all
                .iter()
                .map(|one| format!("\"{one}\""))
                .collect::<Vec<_>>()
                .join(" or "),
        };
        self.add("audience", claims.check_audience(audiences), claim("aud"), wanted);
        self.add(
            "sub, jti",
            claims.check_names(),
            format!("{}, {}", claim("sub"), claim("jti")),
            "strings, if there",
        );
        if let Some(subjects) = &self.provider.claims.subjects {
            let matcher = self.node.at(&["providers", &self.provider.name, "subjects"]);
            let expected = matcher.map(Node::to_json).unwrap_or_default();
            self.add("subject", claims.check_subject(subjects), claim("sub"), expected);
        }
        if !self.provider.claims.required_claims.is_empty() || self.provider.claims.profile.is_some() {
            self.add(
                "required claims",
                claims.check_required(&self.provider.claims),
                "",
                "present, and not null",
            );
        }
        self.keys(location, text, &token, &header, algorithm, &claims);
    }

    fn token_type(&mut self, header: &JoseHeader) {
        let types = &self.provider.token_types;
        if types.is_empty() {
            return;
        }
        let outcome = match types.iter().any(|one| header.token_type_is(one)) {
            true => Ok(()),
            false => Err(Denial::new(Reason::TypeRejected)),
        };
        let seen = header.token_type.as_deref().unwrap_or("absent").to_owned();
        self.add("type", outcome, shorten(&seen), types.join(" or "));
    }

    fn times(&mut self, claims: &UnverifiedClaims<'_>, claim: &impl Fn(&str) -> String) {
        let skew = self.provider.claims.clock_skew.as_secs();
        let at = |name: &str| {
            let text = claim(name);
            match text.parse::<f64>() {
                Ok(seconds) if (0.0..1e12).contains(&seconds) => {
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
                    let date = UnixTime::from_millis((seconds * 1000.0) as u64);
                    let distance = match self.now > date {
                        true => format!("{} s ago", self.now.since(date).as_secs()),
                        false => format!("in {} s", date.since(self.now).as_secs()),
                    };
                    format!("{date}, {distance}")
                }
                _ => text,
            }
        };
        let (expiry, not_before, issued) = (at("exp"), at("nbf"), at("iat"));
        match claims.times() {
            Ok(times) => {
                let mut expected = match self.provider.claims.require_expiration {
                    true => format!("in the future, or at most {skew} s ago"),
                    false => format!("absent, in the future, or at most {skew} s ago"),
                };
                if let Some(longest) = self.provider.claims.max_lifetime {
                    expected = format!("{expected}; in at most {} s", longest.as_secs());
                }
                self.add(
                    "expiration",
                    times.check_expiry(&self.provider.claims, self.now),
                    expiry,
                    expected,
                );
                let starts = format!("nbf {not_before}; iat {issued}");
                let expected = format!("past, or in at most {skew} s");
                self.add(
                    "not before",
                    times.check_start(&self.provider.claims, self.now),
                    starts,
                    expected,
                );
            }
            Err(denial) => self.add("times", Err(denial), "", "exp, nbf and iat are numbers"),
        }
    }
}

/// A value that fits on a line.
pub(super) fn shorten(text: &str) -> String {
    const MOST: usize = 160;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
