//! One request's way to its decision, as far as it goes with the keys at hand.
//!
//! Pure but for what a missing `kid` leaves behind: a request is evaluated anew whenever keys have come.

use std::rc::Rc;

use super::attempt::{Asked, Attempt, Granted, Token};
use super::{Authenticator, Forward, Grant};
use crate::config::{Location, ProviderId};
use crate::credential;
use crate::denial::{Denial, Reason};
use crate::edits::HeaderEdits;
use crate::forward;
use crate::policy::{Demand, Mode, Requirement};
use crate::request::RequestHead;
use crate::time::UnixTime;

/// How far it went.
#[derive(Debug)]
pub(super) enum Evaluation {
    Forward(Forward),
    Deny(Denial),
    Need(Need),
}

/// What a decision needs that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Any keys at all of this provider.
    FirstKeys(ProviderId),
    /// A key that this provider may have published since its keys were fetched.
    Kid(ProviderId),
}

/// When a request is decided, and whether it may still wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// When it came.
    pub(super) since: UnixTime,
    pub(super) now: UnixTime,
    /// What is not there now is not waited for any longer.
    pub(super) is_last: bool,
}

/// Why a token is not good: for ever, or for now.
#[derive(Clone, Copy, Debug)]
pub(super) enum Obstacle {
    Denial(Denial),
    Need(Need),
}

impl From<Denial> for Obstacle {
    fn from(denial: Denial) -> Self {
        Self::Denial(denial)
    }
}

impl Authenticator {
    /// Decides a request.
    pub(super) fn evaluate(&mut self, request: &RequestHead, moment: Moment) -> Evaluation {
        let config = self.config.clone();
        let demand = match config.policy.demand(request) {
            Ok(Some(demand)) if demand.requirement != Requirement::Nothing => demand,
            Ok(_) => return Evaluation::Forward(self.without_token(Grant::Waived)),
            Err(denial) => return self.refuse(denial, config.policy.mode, None),
        };
        // What is not enforced must not be felt either: nobody waits for it.
        let moment = Moment {
            is_last: moment.is_last || demand.mode == Mode::Shadow,
            ..moment
        };
        match self.satisfy(demand, request, moment) {
            Ok((forward, None)) => Evaluation::Forward(forward),
            Ok((forward, Some(denial))) => self.refuse(denial, demand.mode, Some(forward)),
            Err(Obstacle::Denial(denial)) => self.refuse(denial, demand.mode, None),
            Err(Obstacle::Need(need)) => Evaluation::Need(need),
        }
    }

    /// Refuses, or in shadow mode lets the request go on with what is known of it, and says what would have been.
    fn refuse(&self, denial: Denial, mode: Mode, forward: Option<Forward>) -> Evaluation {
        match mode {
            Mode::Enforce => Evaluation::Deny(denial),
            Mode::Shadow => {
                let forward = forward.unwrap_or_else(|| self.without_token(Grant::Anonymous));
                Evaluation::Forward(Forward {
                    shadowed: Some(denial),
                    ..forward
                })
            }
        }
    }

    /// The request as it would go on, and what its good tokens lack.
    fn satisfy(
        &mut self,
        demand: &Demand,
        request: &RequestHead,
        moment: Moment,
    ) -> Result<(Forward, Option<Denial>), Obstacle> {
        let config = self.config.clone();
        let credentials = credential::find(request, &config.locations, &demand.locations)?;
        let tokens: Vec<Token<'_>> = credentials
            .iter()
            .map(|credential| Token::decode(credential, config.limits.max_token_bytes))
            .collect();
        let parsed: Vec<_> = tokens.iter().map(Token::parse).collect();

        let asked = Asked {
            request,
            authorization: demand.authorization.as_deref(),
        };
        let mut attempt = Attempt::new(self, &config, &asked, &parsed, moment);
        attempt.meet(&demand.requirement)?;
        attempt.leave_none_unverified(&demand.requirement)?;
        let granted = attempt.into_granted();
        if granted.is_empty() {
            // Nobody in particular is allowed nothing in particular.
            let missing = asked.authorization.map(|_| Denial::new(Reason::TokenMissing));
            return Ok((self.without_token(Grant::Anonymous), missing));
        }
        // Of several tokens, one has to have all that is asked for.
        let lacking = if granted.iter().any(|grant| grant.shortfall.is_none()) {
            None
        } else {
            granted.iter().find_map(|grant| {
                grant
                    .shortfall
                    .map(|shortfall| Denial::lacking(shortfall).by(grant.provider))
            })
        };
        Ok((self.with_tokens(request, &granted, demand.mode), lacking))
    }

    /// The request goes on with nothing said of its client.
    fn without_token(&self, grant: Grant) -> Forward {
        Forward {
            edits: self.waived.clone(),
            grant,
            state: Vec::new(),
            clears_route_cache: false,
            shadowed: None,
        }
    }

    /// The request goes on with what its tokens say.
    fn with_tokens(&self, request: &RequestHead, granted: &[Granted], mode: Mode) -> Forward {
        let config = &self.config;
        let mut edits = HeaderEdits::default();
        let mut state = Vec::new();
        let mut clears_route_cache = false;
        let mut spent: Vec<&Location> = Vec::new();
        for grant in granted {
            let Some(provider) = config.provider(grant.provider) else {
                continue;
            };
            // What is only tried out takes nothing away from an upstream that still looks at tokens itself.
            if !provider.forward && mode == Mode::Enforce {
                spent.extend(config.locations.get(grant.location.index()));
            }
            state.extend(grant.state.iter().cloned());
            let writes_headers = grant.claims.iter().any(|(_, value)| value.is_some());
            clears_route_cache |=
                provider.clear_route_cache && (writes_headers || provider.metadata.payload.is_some());
        }
        credential::strip(request, &spent, &mut edits);
        forward::write_claims(
            config,
            granted.iter().map(|grant| grant.claims.as_slice()),
            &mut edits,
        );
        let grant = granted
            .first()
            .map_or(Grant::Anonymous, |grant| Grant::Verified(grant.provider));
        Forward {
            edits: Rc::new(edits),
            grant,
            state,
            clears_route_cache,
            shadowed: None,
        }
    }
}

impl Obstacle {
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
