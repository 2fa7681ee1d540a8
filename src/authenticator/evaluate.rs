//! One request's way to its decision, as far as it goes with the keys at hand.
//!
//! Pure but for what a missing `kid` leaves behind: a request is evaluated anew whenever keys have come.

use std::cell::Cell;
use std::rc::Rc;

use super::attempt::{AcceptedToken, Asked, Attempt, Beside};
use super::token::{Parsed, Token};
use super::{Allowed, Authenticator, Basis, Decision, Proof};
use crate::binding::replay::ProofId;
use crate::credential::{self, Credential, Location};
use crate::denial::{Denial, Reason};
use crate::edits::HeaderEdits;
use crate::forward::{self, StateEntry};
use crate::ids::{Choice, LocationId, ProviderId};
use crate::pattern::Effort;
use crate::policy::{Demand, RequestPath, Requirement};
use crate::reply::{LocalReply, Refusal};
use crate::request::RequestHead;
use crate::time::UnixTime;

/// The longest path, in bytes, for which a refusal mentions that the path is not canonical.
const LONGEST_REMARKED_PATH: usize = 4096;

/// How far it went.
#[derive(Debug)]
pub(super) enum Evaluation {
    Allow(Rc<Allowed>),
    Deny(Refusal),
    Answer(Rc<LocalReply>),
    Need(Need),
}

impl Evaluation {
    /// Why the request is refused, or would be.
    fn denial_mut(&mut self) -> Option<&mut Denial> {
        match self {
            Self::Deny(refusal) => Some(&mut refusal.denial),
            Self::Allow(forward) if forward.shadowed.is_some() => Rc::make_mut(forward).shadowed.as_mut(),
            Self::Allow(_) | Self::Answer(_) | Self::Need(_) => None,
        }
    }

    /// The request has to go on as this as well. It goes on as it is.
    fn and(&mut self, other: Self) {
        match (self, other) {
            (Self::Allow(forward), Self::Allow(other)) => {
                let forward = Rc::make_mut(forward);
                forward.shadowed = forward.shadowed.or(other.shadowed);
                // There is one proof, whoever asks for it. Who refuses a request for it has the last word.
                let refuses = |proof: &Proof| matches!(*proof.if_used, Decision::Deny(_));
                if forward.proof.is_none() || other.proof.as_ref().is_some_and(refuses) {
                    forward.proof = other.proof.clone();
                }
            }
            // Whatever it waits for, it goes on then at best.
            (Self::Need(_), Self::Allow(_) | Self::Need(_)) => {}
            (this, other) => *this = other,
        }
    }
}

/// For so many rules a token is looked up one by one.
const MOST_RECALLED: usize = 8;

/// What was found of a request's tokens, for all rules that it has to meet.
#[derive(Clone, Copy)]
struct Shared<'s> {
    found: &'s [Found<'s>],
    parsed: &'s [Parsed<'s>],
    /// There are few rules.
    recalls: bool,
    /// What their conditions may still cost.
    effort: &'s Cell<Effort>,
}

/// The token at one location, if there is one.
struct Found<'r> {
    location: LocationId,
    credentials: Result<Vec<Credential<'r>>, Denial>,
}

impl<'s> Shared<'s> {
    /// As [`credential::find`] has them.
    fn credentials(self, locations: &[LocationId]) -> Result<Vec<Credential<'s>>, Denial> {
        let mut all = Vec::with_capacity(locations.len());
        for id in locations {
            let found = self.found.iter().find(|found| found.location == *id);
            match found.map(|found| &found.credentials) {
                Some(Ok(credentials)) => all.extend(credentials.iter().map(Credential::borrowed)),
                Some(Err(denial)) => return Err(*denial),
                None => {}
            }
        }
        Ok(all)
    }
}

/// What a decision needs that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Any keys at all of this provider.
    FirstKeys(ProviderId),
    /// A key that this provider may have published since its keys were fetched, and when it may be asked for that.
    Kid(ProviderId, UnixTime),
}

impl Need {
    /// The refusal of a request that can wait no longer.
    pub(super) fn unmet(self) -> Denial {
        let (provider, detail) = match self {
            Self::FirstKeys(provider) => (provider, "no keys were fetched yet"),
            Self::Kid(provider, _) => (provider, "no fetch has shown whether the issuer has the key"),
        };
        Denial::new(Reason::KeysUnavailable)
            .by(provider)
            .with_detail(detail)
    }
}

/// When a request is decided, and whether it may still wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct EvalTime {
    /// The number of a request that has just come; 0: it is looked at again.
    pub(super) serial: u64,
    /// When it came.
    pub(super) since: UnixTime,
    pub(super) now: UnixTime,
    /// What is not there now is not waited for any longer.
    pub(super) is_last: bool,
    /// Of several tokens one may be preferred, since the others are taken out of the request.
    pub(super) may_prefer: bool,
}

/// Why a token is not good: for ever, or for now.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failure {
    Denial(Denial),
    Need(Need),
}

impl From<Denial> for Failure {
    fn from(denial: Denial) -> Self {
        Self::Denial(denial)
    }
}

/// The request as it would go on, what its good tokens lack, and the proof of the one that has one, with its owner.
type Satisfied = (
    Rc<Allowed>,
    Option<Denial>,
    Option<(ProofId, ProviderId, Option<Rc<str>>)>,
);

impl From<Allowed> for Evaluation {
    fn from(forward: Allowed) -> Self {
        Self::Allow(Rc::new(forward))
    }
}

impl Authenticator {
    /// Decides a request.
    pub(super) fn evaluate(&mut self, request: &RequestHead, moment: EvalTime) -> Evaluation {
        let evaluation = self.evaluate_once(request, moment);
        if let Evaluation::Allow(forward) = &evaluation
            && let Some(request) = self.with_further_routes(request, forward)
        {
            return self.evaluate_once(&request, moment);
        }
        evaluation
    }

    fn evaluate_once(&mut self, request: &RequestHead, moment: EvalTime) -> Evaluation {
        let mut evaluation = self.evaluate_rules(request, moment);
        if let Some(denial) = evaluation.denial_mut() {
            let path = self
                .config
                .policy
                .path_field
                .and_then(|field| request.first(field));
            // A remark for the operator is not worth a look through a path that only an attacker sends.
            denial.has_odd_path = path.is_some_and(|path| {
                path.len() <= LONGEST_REMARKED_PATH && !RequestPath::new(path).is_canonical()
            });
        }
        evaluation
    }

    fn evaluate_rules(&mut self, request: &RequestHead, moment: EvalTime) -> Evaluation {
        let config = self.config.clone();
        let policy = &config.policy;
        // As with Envoy's own setting of that name, whatever the mode.
        if request.is_misspelt {
            let denial = Denial::new(Reason::RequestMalformed).with_detail("header spelling");
            return Evaluation::Deny(denial.into());
        }
        // Before any rule, and whatever the mode: who asks how to get a token has none.
        if let Some(answer) = policy.resources.as_ref().and_then(|all| all.answer(request)) {
            return match answer {
                Ok(reply) => Evaluation::Answer(reply),
                Err(denial) => Evaluation::Deny(denial.into()),
            };
        }
        let address = request.source_address.as_deref();
        let choices = match policy.choose(request) {
            Ok(choices) => choices,
            Err(denial) if policy.mode.lets_through(None, address) => {
                return self.without_token(Basis::Anonymous).shadowing(denial).into();
            }
            Err(denial) => return Evaluation::Deny(denial.into()),
        };
        if choices.others.is_empty() {
            let evaluation = self.meet(choices.first, request, moment, None);
            self.spent.clear();
            return evaluation;
        }
        // However many rules have to be met: the tokens are looked for, taken apart and verified once.
        let mut all = choices.others;
        all.insert(0, choices.first);
        let mut found: Vec<Found<'_>> = Vec::new();
        for demand in all.iter().filter_map(|choice| policy.demand(*choice)) {
            for id in &demand.locations {
                if found.iter().all(|known| known.location != *id) {
                    found.push(Found {
                        location: *id,
                        credentials: credential::find(request, &config.locations, &[*id]),
                    });
                }
            }
        }
        let credentials = found.iter().flat_map(|found| found.credentials.iter().flatten());
        let tokens: Vec<Token<'_>> = credentials
            .map(|credential| Token::decode(credential, config.limits.max_token_bytes))
            .collect();
        let parsed: Vec<Parsed<'_>> = tokens.iter().map(|token| token.parse().for_many()).collect();
        let shared = Shared {
            found: &found,
            parsed: &parsed,
            recalls: all.len() <= MOST_RECALLED,
            effort: &Cell::new(Effort::of_a_request()),
        };
        let mut evaluation: Option<Evaluation> = None;
        for choice in all {
            // All but the first only refuse: they take nothing out of the request.
            let may_prefer = moment.may_prefer && evaluation.is_none();
            let moment = EvalTime { may_prefer, ..moment };
            let next = self.meet(choice, request, moment, Some(shared));
            match &mut evaluation {
                Some(evaluation) => evaluation.and(next),
                None => evaluation = Some(next),
            }
            if matches!(evaluation, Some(Evaluation::Deny(_))) {
                break;
            }
        }
        self.spent.clear();
        // There is a first one.
        evaluation.unwrap_or_else(|| Evaluation::Deny(Denial::new(Reason::TokenMissing).into()))
    }

    /// Decides a request of which this has been chosen.
    fn meet(
        &mut self,
        choice: Choice,
        request: &RequestHead,
        moment: EvalTime,
        shared: Option<Shared<'_>>,
    ) -> Evaluation {
        let config = self.config.clone();
        let demand = match config.policy.demand(choice) {
            Some(demand) if demand.requirement != Requirement::Nothing => demand,
            _ => return Evaluation::Allow(self.bypass(choice)),
        };
        let credentials = match shared {
            Some(shared) => shared.credentials(&demand.locations),
            None => credential::find(request, &config.locations, &demand.locations),
        };
        // To look a token up takes a look at all of it: where there are many rules it is verified sooner.
        let known = match &credentials {
            _ if shared.is_some_and(|shared| !shared.recalls) => None,
            Ok(credentials) => self.recall(choice, demand, request, credentials, moment),
            Err(_) => None,
        };
        let credentials = match known {
            Some(Ok(forward)) => return Evaluation::Allow(forward),
            Some(Err(denial)) => Err(denial),
            None => credentials,
        };
        self.meet_anew(choice, demand, request, credentials, moment, shared)
    }

    /// The same, with tokens of which nothing is known, or with what is wrong with them. Not inlined, so that what a known token
    /// goes through stays small.
    #[inline(never)]
    fn meet_anew(
        &mut self,
        choice: Choice,
        demand: &Rc<Demand>,
        request: &RequestHead,
        credentials: Result<Vec<Credential<'_>>, Denial>,
        moment: EvalTime,
        shared: Option<Shared<'_>>,
    ) -> Evaluation {
        let config = self.config.clone();
        let policy = &config.policy;
        let address = request.source_address.as_deref();
        let (secret, now) = (self.nonce_secret, moment.now);
        let fresh_nonce = |denial: Denial| {
            let provider = config.provider(denial.provider?)?;
            let nonces = provider.binding.nonces()?;
            Some(nonces.secret.or(secret)?.issue(now))
        };
        let refusal = |denial: Denial, subject| {
            let resource = policy.resources.as_ref().and_then(|resources| {
                let number = demand.resource.or_else(|| resources.own())?;
                resources.all.get(number)
            });
            Refusal {
                denial: denial.under(choice),
                rule: Some(choice),
                metadata_url: resource.and_then(|resource| resource.document_url(request)),
                nonce: match denial.reason {
                    Reason::ProofNonce => fresh_nonce(denial),
                    _ => None,
                },
                scope: demand.challenge(),
                needs_proof: demand.needs_proof,
                subject,
            }
        };
        // What is not enforced must not be felt either: nobody waits for it.
        let moment = EvalTime {
            is_last: moment.is_last || demand.mode.lets_through(None, address),
            ..moment
        };
        let satisfied = match credentials {
            Ok(credentials) => self.satisfy(choice, demand, request, &credentials, moment, shared),
            Err(denial) => Err(denial.into()),
        };
        match satisfied {
            Ok((mut forward, None, proof)) => {
                // One that holds a proof is not kept, so that nothing is copied here.
                if let Some((id, provider, subject)) = proof {
                    let is_let_through = demand.mode.lets_through(forward.subject.as_deref(), address);
                    let otherwise = |reason| {
                        let denial = Denial::new(reason).by(provider);
                        let subject = subject.clone();
                        Box::new(if is_let_through {
                            let forward = self
                                .without_token(Basis::Anonymous)
                                .by(choice)
                                .shadowing(denial.under(choice));
                            Decision::Allow(Rc::new(Allowed { subject, ..forward }))
                        } else {
                            Decision::Deny(refusal(denial, subject))
                        })
                    };
                    Rc::make_mut(&mut forward).proof = Some(Proof {
                        id,
                        if_used: otherwise(Reason::ProofReplayed),
                        if_no_room: otherwise(Reason::ProofStoreFull),
                    });
                }
                Evaluation::Allow(forward)
            }
            Ok((forward, Some(denial), _)) => {
                if demand.mode.lets_through(forward.subject.as_deref(), address) {
                    Rc::unwrap_or_clone(forward)
                        .shadowing(denial.under(choice))
                        .into()
                } else {
                    Evaluation::Deny(refusal(denial, forward.subject.clone()))
                }
            }
            // Nothing of a bad token says who its client is.
            Err(Failure::Denial(denial)) if demand.mode.lets_through(None, address) => {
                let forward = self.without_token(Basis::Anonymous);
                forward.by(choice).shadowing(denial.under(choice)).into()
            }
            Err(Failure::Denial(denial)) => Evaluation::Deny(refusal(denial, None)),
            Err(Failure::Need(need)) => Evaluation::Need(need),
        }
    }

    /// The request as it would go on, and what its good tokens lack.
    fn satisfy(
        &mut self,
        choice: Choice,
        demand: &Rc<Demand>,
        request: &RequestHead,
        credentials: &[Credential<'_>],
        moment: EvalTime,
        shared: Option<Shared<'_>>,
    ) -> Result<Satisfied, Failure> {
        let config = self.config.clone();
        let tokens: Vec<Token<'_>>;
        let own: Vec<Parsed<'_>>;
        let parsed: Vec<&Parsed<'_>> = match shared {
            Some(shared) => {
                let is_here = |token: &&Parsed<'_>| demand.locations.contains(&token.location);
                shared.parsed.iter().filter(is_here).collect()
            }
            None => {
                tokens = credentials
                    .iter()
                    .map(|credential| Token::decode(credential, config.limits.max_token_bytes))
                    .collect();
                own = tokens.iter().map(Token::parse).collect();
                own.iter().collect()
            }
        };

        let own_effort = Cell::new(Effort::of_a_request());
        let asked = Asked {
            request,
            authorization: demand.authorization.as_deref(),
            effort: shared.map_or(&own_effort, |shared| shared.effort),
        };
        let mut attempt = Attempt::new(self, &config, &asked, &parsed, moment);
        let outcome = attempt
            .meet(&demand.requirement)
            .and_then(|()| attempt.leave_none_unverified(&demand.requirement));
        if let Err(obstacle) = outcome {
            let judged = attempt.refused_by();
            if let (Failure::Denial(denial), Some(judged)) = (obstacle, judged) {
                self.keep_refusal(demand, credentials, denial, judged, moment.now);
            }
            return Err(obstacle);
        }
        let failure = attempt.failure();
        let mut accepted = attempt.into_accepted();
        // Who meets the conditions is whom the upstream and the log are told of: were it another, a condition met by one token
        // would vouch for the claims of the next.
        if let Some(first) = accepted.iter().position(|grant| grant.shortfall.is_none())
            && let Some(until) = accepted.get_mut(..=first)
        {
            until.rotate_right(1);
        }
        if accepted.is_empty() {
            // Nobody in particular is allowed nothing in particular. Why it is nobody, a token that may fail has to say.
            let missing = asked.authorization.map(|_| failure);
            let forward = self.without_token(Basis::Anonymous).by(choice);
            return Ok((Rc::new(forward), missing, None));
        }
        // Of several tokens, one has to have all that is asked for.
        let lacking = accepted.first().and_then(|grant| {
            grant
                .shortfall
                .map(|shortfall| Denial::lacking(shortfall).by(grant.provider))
        });
        let subject = accepted.first().and_then(|grant| grant.subject.as_deref());
        let is_shadowed = demand
            .mode
            .lets_through(subject, request.source_address.as_deref());
        let proof = accepted
            .iter()
            .find_map(|grant| Some((grant.proof?, grant.provider, grant.subject.clone())));
        let forward = Rc::new(self.with_tokens(request, &accepted, is_shadowed).by(choice));
        if lacking.is_none() && shared.is_none_or(|shared| shared.recalls) {
            let now = moment.now;
            self.keep(demand, credentials, &accepted, &forward, now);
        }
        Ok((forward, lacking, proof))
    }

    /// The request goes on, since no token is asked for: shared with the next one of the same rule.
    fn bypass(&mut self, choice: Choice) -> Rc<Allowed> {
        let last = self.bypassed.take();
        let forward = last
            .filter(|last| last.rule == Some(choice))
            .unwrap_or_else(|| Rc::new(self.without_token(Basis::Bypassed).by(choice)));
        self.bypassed = Some(forward.clone());
        forward
    }

    /// The request goes on with nothing said of its client.
    fn without_token(&self, basis: Basis) -> Allowed {
        Allowed {
            edits: self.no_edits.clone(),
            basis,
            state: Vec::new(),
            clears_route_cache: false,
            shadowed: None,
            proof: None,
            rule: None,
            subject: None,
        }
    }

    /// The request goes on with what its tokens say.
    pub(super) fn with_tokens(
        &self,
        request: &RequestHead,
        accepted: &[Rc<AcceptedToken>],
        is_shadowed: bool,
    ) -> Allowed {
        let config = &self.config;
        let mut edits = HeaderEdits::default();
        let mut state: Vec<StateEntry> = Vec::new();
        let mut clears_route_cache = false;
        let mut spent: Vec<LocationId> = Vec::new();
        let mut spend = |location: LocationId| {
            if !spent.contains(&location) {
                spent.push(location);
            }
        };
        for grant in accepted {
            let Some(provider) = config.provider(grant.provider) else {
                continue;
            };
            // What is only tried out takes nothing away from an upstream that still looks at tokens itself.
            if !is_shadowed {
                if !provider.forward {
                    spend(grant.location);
                }
                for beside in &grant.beside {
                    match *beside {
                        Beside::Copy(_) if provider.forward => {}
                        Beside::Copy(location) => spend(location),
                        // Another provider may have verified it, and says itself what becomes of it.
                        Beside::Passed(location)
                            if accepted.iter().any(|other| other.location == location) => {}
                        Beside::Passed(location) => spend(location),
                    }
                }
            }
            for (name, value) in &grant.state {
                // As with headers, the first that has something to say counts.
                if state.iter().all(|(known, _)| known != name) {
                    state.push((name.clone(), value.clone()));
                }
            }
            let writes_headers = grant.claims.iter().any(|(_, value)| value.is_some());
            clears_route_cache |=
                provider.clear_route_cache && (writes_headers || provider.metadata.payload.is_some());
        }
        let spent: Vec<&Location> = spent
            .iter()
            .filter_map(|location| config.locations.get(location.index()))
            .collect();
        credential::strip(request, &spent, &mut edits);
        forward::write_claims(
            &config.owned_headers,
            accepted.iter().map(|grant| grant.claims.as_slice()),
            &mut edits,
        );
        let basis = accepted
            .first()
            .map_or(Basis::Anonymous, |grant| Basis::Verified(grant.provider));
        Allowed {
            edits: Rc::new(edits),
            basis,
            state,
            clears_route_cache,
            shadowed: None,
            proof: None,
            rule: None,
            subject: accepted.first().and_then(|grant| grant.subject.clone()),
        }
    }
}

impl Allowed {
    /// The same, as this has it.
    pub(super) fn by(self, rule: Choice) -> Self {
        Self {
            rule: Some(rule),
            ..self
        }
    }

    /// The same, though it would have been refused.
    fn shadowing(self, denial: Denial) -> Self {
        Self {
            shadowed: Some(denial),
            ..self
        }
    }
}

impl Failure {
    /// Of several obstacles, the one that tells most: something that may still come, then what is wrong with a token that
    /// is there, then that it is another issuer's, then that there is none.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Need(_) => 3,
            Self::Denial(denial) => match denial.reason {
                Reason::TokenMissing => 0,
                Reason::IssuerUnknown => 1,
                _ => 2,
            },
        }
    }
}
