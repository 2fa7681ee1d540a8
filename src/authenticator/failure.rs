//! The reasons for which a check fails, finally or for the present.

use crate::denial::{Denial, Detail, Reason};
use crate::ids::ProviderId;
use crate::jose::TokenFault;
use crate::time::UnixTime;

/// The reason for which a check fails.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failure {
    /// The failure is final.
    Denied(Denial),
    /// The check lacks keys that may still arrive.
    KeysMissing(MissingKeys),
}

/// The keys that a check lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MissingKeys {
    /// All keys of this provider.
    All(ProviderId),
    /// A key that this provider may have published since the last fetch, and the earliest time of the next
    /// fetch.
    Kid(ProviderId, UnixTime),
}

/// The time at which the engine evaluates a request, and whether the request may still wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct EvalTime {
    /// The number of a request that has just arrived; 0 for a request that waited.
    pub(super) serial: u64,
    /// The arrival of the request.
    pub(super) since: UnixTime,
    pub(super) now: UnixTime,
    /// The request must not wait for missing keys.
    pub(super) is_last: bool,
    /// The provider's preference may select one of several tokens. The filter then removes the others from
    /// the request.
    pub(super) may_prefer: bool,
}

impl From<Denial> for Failure {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl Failure {
    /// Of several failures the engine reports the one with the highest rank: missing keys, then a fault of a
    /// token, then a token of another issuer, then no token. If the provider of an unknown issuer is known,
    /// only the claims of its tenant are wrong.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::KeysMissing(_) => 3,
            Self::Denied(denial) => match denial.reason {
                Reason::TokenMissing => 0,
                Reason::IssuerUnknown if denial.provider.is_none() => 1,
                _ => 2,
            },
        }
    }
}

impl MissingKeys {
    /// The refusal of a request that cannot wait any longer. The client is not at fault: the filter does not
    /// know whether the issuer has the key.
    pub(super) const fn denial(self) -> Denial {
        let (provider, detail) = match self {
            Self::All(provider) => (provider, "no keys were fetched yet"),
            Self::Kid(provider, _) => (provider, "no fetch has shown whether the issuer has the key"),
        };
        Denial::new(Reason::KeysUnavailable)
            .by(provider)
            .with_detail(detail)
    }
}

impl EvalTime {
    /// The time for a request that arrived at `since` and was evaluated before.
    pub(super) const fn again(since: UnixTime, now: UnixTime, is_last: bool) -> Self {
        Self {
            serial: 0,
            since,
            now,
            is_last,
            may_prefer: true,
        }
    }

    pub(super) const fn is_first_look(self) -> bool {
        self.since.as_millis() == self.now.as_millis()
    }
}

/// The refusal of a token that cannot be parsed.
pub(super) fn malformed(fault: TokenFault) -> Denial {
    let (reason, detail) = match fault {
        TokenFault::Parts => (Reason::TokenMalformed, "not three parts"),
        TokenFault::Encoding(part, fault) => {
            return Denial::new(Reason::TokenMalformed).because(Detail::Encoding(part, fault));
        }
        TokenFault::HeaderJson(fault) => {
            return Denial::new(Reason::TokenMalformed).because(Detail::Json("header", fault));
        }
        TokenFault::HeaderMember(member) => (Reason::TokenMalformed, member),
        TokenFault::AlgorithmMissing => (Reason::AlgorithmRejected, "no alg"),
        TokenFault::CriticalHeader => (Reason::CriticalHeader, "crit"),
        TokenFault::Encrypted => (Reason::TokenMalformed, "encrypted"),
        TokenFault::Nested => (Reason::TokenMalformed, "nested"),
    };
    Denial::new(reason).with_detail(detail)
}
