//! The evaluation of one request with the present keys.
//!
//! The engine evaluates a request that waits again when keys have arrived.

use std::cell::Cell;
use std::rc::Rc;

use super::cache::{EvalState, Known};
use super::decision::{Allowed, Basis, Checked, Decision, Outcome};
use super::engine::Authenticator;
use super::event::{Event, WantedKey};
use super::failure::{EvalTime, Failure};
use super::requirement::RequirementCheck;
use super::rule::{Rule, is_shadowed};
use super::token::{FoundToken, Token, TokenCheck, UnknownKid};
use crate::credential::{self, Credential, Finder};
use crate::denial::{Denial, Detail, Doubtful, Reason};
use crate::ids::Choice;
use crate::ids::LocationId;
use crate::jose::{Checks, Spent};
use crate::keys::Wants;
use crate::pattern::Effort;
use crate::policy::{Choices, Mode, RequestPath, Requirement};
use crate::request::RequestHead;
use crate::settings::Config;

/// The longest path, in bytes, for which a refusal mentions that the path is not canonical.
const LONGEST_REMARKED_PATH: usize = 4096;

/// Up to this number of rules, the engine looks each of them up in the cache.
const MOST_RECALLED: usize = 8;

/// The work of the checks of one request so far, for all its rules together.
struct Budget {
    signatures: Spent,
    conditions: Cell<Effort>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            signatures: Spent::default(),
            conditions: Cell::new(Effort::of_a_request()),
        }
    }
}

/// The tokens of a request that has to meet several rules. They are found, parsed and verified once.
#[derive(Clone, Copy)]
struct SharedTokens<'s> {
    /// The results at the locations that the rules so far have used.
    found: &'s [Option<Found<'s>>],
    tokens: &'s [Token<'s>],
    /// The rules are few enough for the cache.
    are_cached: bool,
    /// True for all rules but the first: another rule has allowed the request already.
    met: Option<&'s Rc<Allowed>>,
}

/// The token at one location, if there is one.
type Found<'r> = Result<Option<Credential<'r>>, Denial>;

impl<'s> SharedTokens<'s> {
    /// As [`credential::find`] returns them.
    fn credentials(self, locations: &[LocationId]) -> Result<Vec<Credential<'s>>, Denial> {
        let mut all = Vec::with_capacity(locations.len());
        for id in locations {
            match self.found.get(id.index()) {
                Some(Some(Ok(credential))) => all.extend(credential.iter().map(Credential::borrowed)),
                Some(Some(Err(denial))) => return Err(*denial),
                Some(None) | None => {}
            }
        }
        credential::keep_innermost(&mut all);
        Ok(all)
    }
}

impl Authenticator {
    /// Evaluates a request.
    pub(super) fn evaluate(&mut self, request: &RequestHead, time: EvalTime) -> Outcome {
        let config = self.config.clone();
        let policy = &config.policy;
        // The rule for the request as written, and the cause if another one applies.
        let mut written = None;
        let outcome = if let Some(position) = request.misspelt {
            // This applies in every mode, as does Envoy's own setting for such headers.
            let denial = Denial::new(Reason::RequestMalformed).because(Detail::Spelling(position));
            match config.changes_nothing {
                true => self.without_rule(denial, request),
                false => Decision::Deny(denial.into()),
            }
            .into()
        } else if let Some(served) = policy.resources.as_ref().and_then(|all| all.answer(request)) {
            // This comes before any rule, and in every mode: a client that asks where to get a token does not
            // have one yet.
            match served {
                _ if config.changes_nothing => self.bypass(Choice::Otherwise),
                Ok(reply) => Decision::Answer(reply),
                Err(denial) => Decision::Deny(denial.into()),
            }
            .into()
        } else {
            let outcome = match policy.choose(request) {
                Ok(choices) => {
                    written = Some((choices.first, choices.doubtful));
                    match choices.others.is_empty() {
                        true => self.evaluate_rule(choices.first, request, time, &Budget::default(), None),
                        false => self.evaluate_rules(choices, request, time),
                    }
                }
                Err(denial) => self.without_rule(denial, request).into(),
            };
            if let Decision::Allow(allowed) = &outcome.decision
                && let Some(request) = self.with_further_routes(request, allowed)
            {
                return self.evaluate(&request, time);
            }
            outcome
        };
        remarked(outcome, &config, request, written)
    }

    /// Evaluates several rules, all of which the request has to meet.
    #[inline(never)]
    fn evaluate_rules(&mut self, choices: Choices, request: &RequestHead, time: EvalTime) -> Outcome {
        let config = self.config.clone();
        let mut all = choices.others;
        all.insert(0, choices.first);
        let mut finder = Finder::new(request, &config.locations);
        let mut found: Vec<Option<Found<'_>>> = config.locations.iter().map(|_| None).collect();
        for demand in all.iter().filter_map(|choice| config.policy.demand(*choice)) {
            for id in &demand.locations {
                if let Some(place) = found.get_mut(id.index()).filter(|place| place.is_none()) {
                    *place = Some(finder.find(*id));
                }
            }
        }
        let credentials = found.iter().flatten().flatten().flatten();
        let tokens = decode(credentials, &config);
        let tokens: Vec<Token<'_>> = tokens
            .iter()
            .map(|found| found.parse(&mut self.headers))
            .collect();
        let met = Rc::new(self.without_token(Basis::Anonymous));
        let mut shared = SharedTokens {
            found: &found,
            tokens: &tokens,
            are_cached: all.len() <= MOST_RECALLED,
            met: None,
        };
        let budget = Budget::default();
        let mut outcome: Option<Outcome> = None;
        // For each kind of demand, whether the request meets it.
        let mut kinds_met: Vec<bool> = Vec::new();
        for choice in all {
            let kind = config.policy.demand(choice).map(|demand| demand.kind);
            if kind.is_some_and(|kind| kinds_met.get(kind) == Some(&true)) {
                continue;
            }
            // The other rules can only refuse: they remove nothing from the request.
            let may_prefer = time.may_prefer && outcome.is_none();
            let time = EvalTime { may_prefer, ..time };
            let next = self.evaluate_rule(choice, request, time, &budget, Some(shared));
            if let (Decision::Allow(allowed), Some(kind)) = (&next.decision, kind)
                && Rc::ptr_eq(allowed, &met)
            {
                kinds_met.resize(kinds_met.len().max(kind.saturating_add(1)), false);
                if let Some(is_met) = kinds_met.get_mut(kind) {
                    *is_met = true;
                }
                continue;
            }
            shared.met = Some(&met);
            match &mut outcome {
                Some(outcome) => outcome.and(next),
                None => outcome = Some(next),
            }
            if matches!(&outcome, Some(outcome) if matches!(outcome.decision, Decision::Deny(_))) {
                break;
            }
        }
        // The list has at least one rule.
        outcome.unwrap_or_else(|| Decision::Deny(Denial::new(Reason::TokenMissing).into()).into())
    }

    /// Evaluates one rule that the request has to meet.
    fn evaluate_rule(
        &mut self,
        choice: Choice,
        request: &RequestHead,
        time: EvalTime,
        budget: &Budget,
        shared: Option<SharedTokens<'_>>,
    ) -> Outcome {
        let config = self.config.clone();
        let demand = match config.policy.demand(choice) {
            Some(demand) if demand.requirement != Requirement::Nothing => demand,
            _ => return self.bypass(choice).into(),
        };
        let rule = Rule {
            choice,
            demand,
            request,
        };
        if demand.requirement == Requirement::Denied {
            return self.decide(rule, Denial::new(Reason::RouteDenied).into(), time.now);
        }
        let credentials = match shared {
            Some(shared) => shared.credentials(&demand.locations),
            None => credential::find(request, &config.locations, &demand.locations),
        };
        let credentials = match credentials {
            Ok(credentials) => credentials,
            Err(denial) => return self.decide(rule, denial.into(), time.now),
        };
        // The cache compares the whole token for each lookup: for many rules it is cheaper to verify the
        // token.
        let is_cached = shared.is_none_or(|shared| shared.are_cached);
        if is_cached {
            let state = EvalState::new(&config, &self.remote, time);
            match self.caches.recall(state, choice, demand, &credentials) {
                Some(Known::Allowed(allowed)) => return Decision::Allow(allowed).into(),
                Some(Known::Checked(checked)) => return self.decide(rule, checked, time.now),
                None => {}
            }
        }
        let checked = self.check(rule, &credentials, time, budget, shared);
        // The first rule has made the edits: a further rule that allows the request adds nothing.
        if let Some(met) = shared.and_then(|shared| shared.met)
            && !is_cached
            && demand.mode == Mode::Enforce
            && checked.failure.is_none()
            && checked.accepted.iter().all(|token| token.values.proof.is_none())
        {
            return Decision::Allow(met.clone()).into();
        }
        let to_keep = match &*checked.accepted {
            [token] if is_cached && checked.failure.is_none() => Some(token.clone()),
            _ => None,
        };
        let outcome = self.decide(rule, checked, time.now);
        if let Some(token) = to_keep {
            let state = EvalState::new(&config, &self.remote, time);
            self.caches
                .keep(state, demand, &credentials, token, &outcome.decision);
        }
        outcome
    }

    /// Checks the tokens of a request. The code that a known token does not need is not inlined, because a
    /// call of a large function costs more.
    #[inline(never)]
    fn check(
        &mut self,
        rule: Rule<'_>,
        credentials: &[Credential<'_>],
        time: EvalTime,
        budget: &Budget,
        shared: Option<SharedTokens<'_>>,
    ) -> Checked {
        let config = self.config.clone();
        let demand = rule.demand;
        let found: Vec<FoundToken<'_>>;
        let own: Vec<Token<'_>>;
        let tokens: Vec<&Token<'_>> = match shared {
            Some(shared) => {
                let is_here = |token: &&Token<'_>| {
                    let mut here = credentials.iter();
                    here.any(|credential| credential.location == token.location)
                };
                shared.tokens.iter().filter(is_here).collect()
            }
            None => {
                found = decode(credentials.iter(), &config);
                own = found.iter().map(|found| found.parse(&mut self.headers)).collect();
                own.iter().collect()
            }
        };
        let authorization = demand.authorization.as_deref();
        // A rule in shadow mode makes no request wait.
        let is_last = time.is_last || is_shadowed(demand.mode, None, rule.request);
        let verifier = self.verifier.clone();
        let mut check = RequirementCheck::new(
            TokenCheck {
                config: &config,
                remote: &self.remote,
                signatures: Checks::new(&*verifier, &budget.signatures),
                nonce_secret: self.nonce_secret.as_ref(),
                request: rule.request,
                authorization,
                effort: &budget.conditions,
                time: EvalTime { is_last, ..time },
            },
            &tokens,
        );
        let mut result = check.meet(&demand.requirement);
        if result.is_ok() {
            result = check.leave_none_unverified(&demand.requirement);
        }
        if let Err(failure) = result {
            let refusal = check.lasting_refusal();
            let (_, unknown) = check.into_parts();
            self.learn(unknown, time);
            if let (Failure::Denied(denial), Some(refusal)) = (failure, refusal) {
                let state = EvalState::new(&config, &self.remote, time);
                self.caches
                    .keep_refusal(state, demand, credentials, denial, refusal);
            }
            return Checked {
                accepted: Vec::new(),
                failure: Some(failure),
            };
        }
        // A request without a token does not meet conditions. The faults of its tokens explain why it has no
        // valid one.
        let needs_one = authorization.filter(|authorization| !authorization.optional);
        let denial = needs_one.map(|_| check.denial());
        let (mut accepted, unknown) = check.into_parts();
        self.learn(unknown, time);
        // The upstream and the log see the token that meets the conditions. With any other token, they would
        // attribute its claims to a condition that this token has met.
        if let Some(first) = accepted.iter().position(|token| token.shortfall.is_none())
            && let Some(until) = accepted.get_mut(..=first)
        {
            until.rotate_right(1);
        }
        let failure = match accepted.first() {
            None => denial.map(Failure::Denied),
            Some(token) => token
                .shortfall
                .map(|shortfall| Denial::lacking(shortfall).by(token.provider).into()),
        };
        Checked { accepted, failure }
    }

    /// Notes the `kid`s that the keys do not have.
    #[inline(never)]
    fn learn(&mut self, unknown: Vec<UnknownKid>, time: EvalTime) {
        for UnknownKid {
            provider,
            kid,
            may_wait,
        } in unknown
        {
            let keys = self.remote.get_mut(provider.index()).and_then(Option::as_mut);
            let (is_wanted, wants, is_held) = keys.map_or((false, Wants::Nothing, false), |keys| {
                let is_wanted = keys.note_unknown(&kid, time.serial, time.since, time.now);
                (is_wanted, keys.wants(), keys.has_kid(&kid))
            });
            if is_wanted && !self.fetches {
                self.events.push_back(Event::KeyWanted(WantedKey {
                    provider,
                    key_id: kid,
                    wants,
                    is_held,
                    since: time.since,
                }));
            }
            // Reported once, even if several rules require the token or the engine evaluates a waiting
            // request again.
            let event = Event::UnknownKid(provider);
            if may_wait && time.serial != 0 && self.events.back() != Some(&event) {
                self.events.push_back(event);
            }
        }
    }
}

fn decode<'a>(credentials: impl Iterator<Item = &'a Credential<'a>>, config: &Config) -> Vec<FoundToken<'a>> {
    let max_bytes = config.limits.max_token_bytes;
    credentials
        .map(|credential| FoundToken::decode(credential, max_bytes))
        .collect()
}

/// Notes in a refusal that the path is not canonical, and why its rule applies if that is not the rule for
/// the request as written.
fn remarked(
    mut outcome: Outcome,
    config: &Config,
    request: &RequestHead,
    written: Option<(Choice, Doubtful)>,
) -> Outcome {
    if let Some(denial) = outcome.denial_mut() {
        let field = config.policy.path_field;
        // Only attackers send longer paths, and the remark is not worth the work for them.
        denial.has_odd_path = field.and_then(|field| request.first(field)).is_some_and(|path| {
            path.len() <= LONGEST_REMARKED_PATH && !RequestPath::new(path).is_canonical()
        });
        denial.doubtful = match written {
            Some((_, Doubtful::PATH)) if denial.has_odd_path => None,
            Some((first, doubtful)) if doubtful.is_waiver || denial.rule != Some(first) => Some(doubtful),
            _ => None,
        };
    }
    outcome
}
