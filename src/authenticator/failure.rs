//! Why a check does not succeed, for good or for now.

use crate::denial::{Denial, Reason};
use crate::ids::ProviderId;
use crate::jose::TokenFault;
use crate::time::UnixTime;

/// Why a check does not succeed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failure {
    /// For good.
    Denied(Denial),
    /// Keys are missing that may still come.
    KeysMissing(MissingKeys),
}

/// The keys that a check lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MissingKeys {
    /// All keys of this provider.
    All(ProviderId),
    /// A key that this provider may have published since its keys were fetched, and when the filter may fetch
    /// them.
    Kid(ProviderId, UnixTime),
}

/// The time at which the engine evaluates a request, and whether the request may still wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct EvalTime {
    /// The number of a request that has just come; 0: it waited.
    pub(super) serial: u64,
    /// When it came.
    pub(super) since: UnixTime,
    pub(super) now: UnixTime,
    /// It does not wait for what is missing now.
    pub(super) is_last: bool,
    /// Of several tokens one may be preferred, since the others are removed from the request.
    pub(super) may_prefer: bool,
}

impl From<Denial> for Failure {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl Failure {
    /// Of several failures the one with the highest rank is reported: keys that may still come, then a fault
    /// of a token, then another issuer's token, then no token.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::KeysMissing(_) => 3,
            Self::Denied(denial) => match denial.reason {
                Reason::TokenMissing => 0,
                Reason::IssuerUnknown => 1,
                _ => 2,
            },
        }
    }
}

impl MissingKeys {
    /// The refusal of a request that cannot wait any longer. It is not the client's fault: whether the issuer
    /// has the key is unknown.
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
    /// For a request that came at `since` and was evaluated before.
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
        TokenFault::HeaderEncoding => (Reason::TokenMalformed, "header encoding"),
        TokenFault::HeaderJson(_) => (Reason::TokenMalformed, "header"),
        TokenFault::HeaderMember(member) => (Reason::TokenMalformed, member),
        TokenFault::AlgorithmMissing => (Reason::AlgorithmRejected, "no alg"),
        TokenFault::CriticalHeader => (Reason::CriticalHeader, "crit"),
        TokenFault::Encrypted => (Reason::TokenMalformed, "encrypted"),
        TokenFault::Nested => (Reason::TokenMalformed, "nested"),
        TokenFault::PayloadEncoding => (Reason::TokenMalformed, "payload encoding"),
        TokenFault::SignatureEncoding => (Reason::TokenMalformed, "signature encoding"),
    };
    Denial::new(reason).with_detail(detail)
}
