//! The comparisons, and the table of goals.

use crate::tokens::Kind;

/// The listener of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// Without any filter.
    None,
    /// This filter with its defaults.
    Ours,
    /// This filter without its cache of tokens.
    Uncached,
    /// This filter, every signature checked in the sandbox, without its cache of tokens.
    Sandbox,
    /// This filter with a rule that requires no token: the cost of a module that does almost nothing.
    Waived,
    /// A module without any code of its own.
    Empty,
    /// A module that only makes the host calls that ours makes for a known token.
    WarmCalls,
    /// The same for a new RS256 token.
    Rs256Calls,
    /// The same for a new ES256 token.
    Es256Calls,
    /// The same for the refusal of a request without a token.
    MissingCalls,
    /// The same for the refusal of an expired token.
    ExpiredCalls,
    /// The same for a token with an invalid RS256 signature.
    BadRs256Calls,
    /// The same for an invalid ES256 signature.
    BadEs256Calls,
    /// This filter as a dynamic module.
    Module,
    /// jwt_authn with its defaults.
    JwtAuthn,
    /// jwt_authn with `jwt_cache_config`.
    JwtAuthnCached,
}

impl Side {
    pub(crate) const ALL: [Self; 16] = [
        Self::None,
        Self::Ours,
        Self::Uncached,
        Self::Sandbox,
        Self::Waived,
        Self::Empty,
        Self::WarmCalls,
        Self::Rs256Calls,
        Self::Es256Calls,
        Self::MissingCalls,
        Self::ExpiredCalls,
        Self::BadRs256Calls,
        Self::BadEs256Calls,
        Self::Module,
        Self::JwtAuthn,
        Self::JwtAuthnCached,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "no filter",
            Self::Ours => "this filter",
            Self::Uncached => "without cache",
            Self::Sandbox => "in the sandbox",
            Self::Waived => "no token asked",
            Self::Empty => "an empty module",
            Self::WarmCalls => "calls, warm",
            Self::Rs256Calls => "calls, cold RS256",
            Self::Es256Calls => "calls, cold ES256",
            Self::MissingCalls => "calls, no token",
            Self::ExpiredCalls => "calls, expired",
            Self::BadRs256Calls => "calls, bad RS256",
            Self::BadEs256Calls => "calls, bad ES256",
            Self::Module => "native module",
            Self::JwtAuthn => "jwt_authn",
            Self::JwtAuthnCached => "jwt_authn, cache",
        }
    }
}

/// One row.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) tokens: Kind,
    pub(crate) sides: &'static [Side],
    /// The two sides of a comparison, and the goal for the ratio of their requests per second.
    pub(crate) goals: &'static [(Side, Side, f64)],
    /// The number of Envoy's workers: two workers share the machine with the load.
    pub(crate) workers: u32,
    /// The longest permitted time of one verification: the time of a request beyond one without a filter, in
    /// µs.
    pub(crate) budget: Option<(Side, f64)>,
}

const fn case(name: &'static str, tokens: Kind, sides: &'static [Side]) -> Case {
    Case {
        name,
        tokens,
        sides,
        goals: &[],
        workers: 1,
        budget: None,
    }
}

use Side::{
    BadEs256Calls, BadRs256Calls, Empty, Es256Calls, ExpiredCalls, JwtAuthn, JwtAuthnCached, MissingCalls,
    Module, None as Nothing, Ours, Rs256Calls, Sandbox, Uncached, Waived, WarmCalls,
};

const AGAINST: &[Side] = &[Nothing, Ours, Module, JwtAuthn];
/// With two workers.
pub(crate) const PAIRED: &[Side] = &[Nothing, Ours, Module, JwtAuthnCached];
const ALONE: &[Side] = &[Nothing, Sandbox];

pub(crate) fn all() -> Vec<Case> {
    let against = |name, tokens, goals| Case {
        goals,
        ..case(name, tokens, AGAINST)
    };
    let alone = |name, tokens, micros| Case {
        budget: Some((Sandbox, micros)),
        ..case(name, tokens, ALONE)
    };
    // The filter cannot cost less than a module that only makes the necessary host calls.
    let with_floor = |name, tokens, sides, goals| Case {
        goals,
        ..case(name, tokens, sides)
    };
    vec![
        with_floor(
            "cold RS256",
            Kind::Rs256,
            &[Nothing, Rs256Calls, Ours, Module, JwtAuthn],
            &[(Ours, JwtAuthn, 1.2), (Module, JwtAuthn, 1.3)],
        ),
        with_floor(
            "cold ES256",
            Kind::Es256,
            &[Nothing, Es256Calls, Ours, Module, JwtAuthn],
            &[(Ours, JwtAuthn, 1.2), (Module, JwtAuthn, 1.15)],
        ),
        against(
            "cold EdDSA",
            Kind::EdDsa,
            &[(Ours, JwtAuthn, 1.0), (Module, JwtAuthn, 1.4)],
        ),
        against(
            "cold PS256",
            Kind::Ps256,
            &[(Ours, JwtAuthn, 0.3), (Module, JwtAuthn, 1.4)],
        ),
        with_floor(
            "warm RS256",
            Kind::Warm,
            &[
                Nothing,
                Empty,
                WarmCalls,
                Waived,
                Ours,
                Uncached,
                Module,
                JwtAuthn,
                JwtAuthnCached,
            ],
            &[
                (Ours, JwtAuthnCached, 0.95),
                (Ours, JwtAuthn, 2.5),
                (Module, JwtAuthnCached, 1.05),
            ],
        ),
        Case {
            workers: 2,
            ..with_floor(
                "warm RS256, two workers",
                Kind::Warm,
                PAIRED,
                &[(Ours, JwtAuthnCached, 0.95), (Module, JwtAuthnCached, 1.05)],
            )
        },
        // The workers of the native module share what they have verified.
        Case {
            workers: 2,
            ..with_floor(
                "RS256 used ten times, two workers",
                Kind::Sessions,
                PAIRED,
                &[(Module, JwtAuthnCached, 1.05)],
            )
        },
        with_floor(
            "bad signature RS256",
            Kind::BadRs256,
            &[Nothing, BadRs256Calls, Ours, Module, JwtAuthn],
            &[(Ours, JwtAuthn, 1.1), (Module, JwtAuthn, 1.3)],
        ),
        with_floor(
            "bad signature ES256",
            Kind::BadEs256,
            &[Nothing, BadEs256Calls, Ours, Module, JwtAuthn],
            &[(Ours, JwtAuthn, 1.1), (Module, JwtAuthn, 1.15)],
        ),
        against(
            "bad signature again",
            Kind::BadAgain,
            &[(Ours, JwtAuthn, 1.1), (Module, JwtAuthn, 1.3)],
        ),
        with_floor(
            "expired",
            Kind::Expired,
            &[Nothing, ExpiredCalls, Ours, Module, JwtAuthn],
            &[(Ours, JwtAuthn, 1.3), (Module, JwtAuthn, 1.6)],
        ),
        against(
            "expired again",
            Kind::ExpiredAgain,
            &[(Ours, JwtAuthn, 1.3), (Module, JwtAuthn, 1.6)],
        ),
        with_floor(
            "no token",
            Kind::Missing,
            &[Nothing, MissingCalls, Ours, Module, JwtAuthn],
            &[(Ours, JwtAuthn, 0.85), (Module, JwtAuthn, 1.0)],
        ),
        alone("sandbox RS256", Kind::Rs256, 500.0),
        alone("sandbox ES256", Kind::Es256, 800.0),
        alone("sandbox ES384", Kind::Es384, 3000.0),
    ]
}

impl Case {
    /// Whether this side has to refuse this case's requests.
    pub(crate) fn is_refused(&self, side: Side) -> bool {
        self.tokens.are_refused() && !matches!(side, Side::None | Side::Waived)
    }
}
