//! The tokens of a request, taken apart: nothing of them is believed yet.

use std::borrow::Cow;
use std::cell::RefCell;

use super::attempt::AcceptedToken;
use crate::claims::UnverifiedClaims;
use crate::credential::Credential;
use crate::denial::{Denial, Reason};
use crate::ids::{LocationId, ProviderId};
use crate::jose::{Algorithm, JoseHeader, TokenFault, UnverifiedJwt};

/// A token as it was found, decoded if it can be.
pub(super) struct Token<'a> {
    location: LocationId,
    text: &'a [u8],
    decoded: Result<UnverifiedJwt<'a>, Denial>,
}

/// What a provider makes of a token.
pub(super) type ByProvider = (ProviderId, Result<AcceptedToken, Denial>);

/// A token taken apart, if it can be.
pub(super) struct Parsed<'t> {
    pub(super) location: LocationId,
    pub(super) text: &'t [u8],
    pub(super) parts: Result<Parts<'t>, Denial>,
    /// What each provider makes of it that knows its signature to be good, but for what rules ask for: found out once for all
    /// rules that a request has to meet.
    /// `None`: there is one rule.
    pub(super) accepted: Option<RefCell<Vec<ByProvider>>>,
}

/// The parts of a token, unverified.
pub(super) struct Parts<'t> {
    pub(super) token: &'t UnverifiedJwt<'t>,
    pub(super) header: JoseHeader<'t>,
    pub(super) algorithm: Algorithm,
    pub(super) claims: UnverifiedClaims<'t>,
    pub(super) issuer: Cow<'t, str>,
}

impl<'a> Token<'a> {
    pub(super) fn decode(credential: &'a Credential<'a>, max_bytes: usize) -> Self {
        let text: &[u8] = &credential.token;
        let decoded = if text.len() > max_bytes {
            Err(Denial::new(Reason::TokenTooLarge))
        } else {
            UnverifiedJwt::decode(text).map_err(malformed)
        };
        Self {
            location: credential.location,
            text,
            decoded,
        }
    }

    pub(super) fn parse(&self) -> Parsed<'_> {
        let parts = match &self.decoded {
            Ok(token) => Parts::read(token),
            Err(denial) => Err(*denial),
        };
        Parsed {
            location: self.location,
            text: self.text,
            parts,
            accepted: None,
        }
    }
}

impl Parsed<'_> {
    /// The same, for several rules.
    pub(super) fn for_many(self) -> Self {
        Self {
            accepted: Some(RefCell::default()),
            ..self
        }
    }
}

impl<'t> Parts<'t> {
    fn read(token: &'t UnverifiedJwt<'t>) -> Result<Self, Denial> {
        let header = token.header().map_err(malformed)?;
        let algorithm = header.algorithm.ok_or(
            Denial::new(Reason::AlgorithmRejected).with_detail("alg is none that the filter supports"),
        )?;
        let claims = UnverifiedClaims::parse(token.payload())
            .map_err(|_| Denial::new(Reason::TokenMalformed).with_detail("claims"))?;
        let issuer = claims
            .unverified_issuer()?
            .ok_or(Denial::new(Reason::IssuerUnknown).with_detail("the token has no iss"))?;
        Ok(Self {
            token,
            header,
            algorithm,
            claims,
            issuer,
        })
    }
}

fn malformed(fault: TokenFault) -> Denial {
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
