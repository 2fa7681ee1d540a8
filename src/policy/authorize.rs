//! `authorize`: what a verified token must say, so that its bearer may do this.
//!
//! Asked only of a [`VerifiedJwt`].

use std::borrow::Cow;

use crate::claims::{ClaimPath, Decimal, VerifiedJwt, scalar_text};
use crate::denial::Shortfall;
use crate::ids::FieldId;
use crate::json::{Json, Kind};
use crate::pattern::Effort;
use crate::pattern::StringMatcher;
use crate::policy::path::RequestPath;
use crate::policy::template::PathTemplate;
use crate::request::RequestHead;

/// Scopes and claims that a token must have.
#[derive(Debug, Default)]
pub struct Authorization {
    /// The scopes, where any are asked for.
    pub scopes: Option<Scopes>,
    /// Conditions, all of which must hold, each with its number in [`crate::config::Config::conditions`].
    pub conditions: Vec<(usize, Condition)>,
    /// A request without a token needs none of them.
    pub optional: bool,
}

/// `scopes`: RFC 6749 section 3.3, space-delimited in one string, or a list.
#[derive(Debug)]
pub struct Scopes {
    /// The scopes that are asked for.
    pub wanted: Vec<Box<str>>,
    /// Whether all of them are needed, or any.
    pub all: bool,
    /// The claims that may hold them.
    pub claims: Vec<ClaimPath>,
    /// The number of the challenges' `scope` among those of [`crate::reply::Replies`].
    pub challenge: usize,
}

/// A condition on a claim, or several of which one must hold.
#[derive(Debug)]
pub enum Condition {
    /// One claim.
    Claim(ClaimCondition),
    /// `any`: one of these.
    Any(Vec<Self>),
}

/// A condition on one claim.
#[derive(Debug)]
pub struct ClaimCondition {
    /// Which claim.
    pub claim: ClaimPath,
    /// What is asked of it.
    pub test: ClaimTest,
    /// Whether it must not hold. What cannot be read of the request holds neither way.
    pub invert: bool,
}

/// What is asked of a claim. Where the claim is a list, one element must pass.
#[derive(Debug)]
pub enum ClaimTest {
    /// `exists`: that it is there and not `null`, or that it is not.
    Exists(bool),
    /// `equals` and `any_of`: that it is one of these.
    AnyOf(Vec<Scalar>),
    /// `all_of`: that it is a list which holds all of these.
    AllOf(Vec<Scalar>),
    /// `prefix`, `suffix`, `contains`, `regex`: that its text matches.
    Text(StringMatcher),
    /// `equals_request`: that it is what the request says.
    Request(RequestPart),
}

/// A value as the configuration writes it. Types are told apart: `5` is not `"5"`.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Text.
    Text(Box<str>),
    /// A number, as it is written.
    Number(Box<str>),
    /// A truth value.
    Bool(bool),
}

/// A part of a request that a claim must equal.
#[derive(Debug)]
pub enum RequestPart {
    /// `path_template` and `variable`.
    Path {
        /// `:path`.
        field: FieldId,
        /// The template.
        template: PathTemplate,
    },
    /// `header`; and `host`, which is `:authority` without its port.
    Field {
        /// The field.
        field: FieldId,
        /// Whether it is the host.
        is_host: bool,
    },
}

impl Authorization {
    /// Whether the answer is another for other requests with the same token.
    #[must_use]
    pub fn depends_on_request(&self) -> bool {
        fn depends(condition: &Condition) -> bool {
            match condition {
                Condition::Claim(claim) => matches!(claim.test, ClaimTest::Request(_)),
                Condition::Any(parts) => parts.iter().any(depends),
            }
        }
        self.conditions.iter().any(|(_, condition)| depends(condition))
    }

    /// Whether the token may do what the request asks. What would cost more than is left to find out, it may not.
    pub fn check(
        &self,
        jwt: &VerifiedJwt<'_>,
        request: &RequestHead,
        effort: &mut Effort,
    ) -> Result<(), Shortfall> {
        if let Some(scopes) = &self.scopes
            && !scopes.are_held(jwt, effort)
        {
            return Err(Shortfall::Scope);
        }
        match self
            .conditions
            .iter()
            .find(|(_, condition)| !condition.holds(jwt, request, effort))
        {
            Some((number, _)) => Err(Shortfall::Condition(*number)),
            None => Ok(()),
        }
    }
}

impl Scopes {
    fn are_held(&self, jwt: &VerifiedJwt<'_>, effort: &mut Effort) -> bool {
        let mut is_held = |wanted: &str| {
            self.claims
                .iter()
                .filter_map(|claim| jwt.claim(claim))
                .filter(|held| effort.spend(held.text().len()).is_some())
                .any(|held| match held.kind() {
                    Kind::String => held
                        .as_str()
                        .is_some_and(|scopes| scopes.split(' ').any(|scope| scope == wanted)),
                    Kind::Array => held
                        .as_array()
                        .into_iter()
                        .flatten()
                        .any(|scope| scope.as_str().is_some_and(|scope| *scope == *wanted)),
                    Kind::Null | Kind::Bool | Kind::Number | Kind::Object => false,
                })
        };
        let mut wanted = self.wanted.iter();
        if self.all {
            wanted.all(|scope| is_held(scope))
        } else {
            wanted.any(|scope| is_held(scope))
        }
    }
}

impl Condition {
    fn holds(&self, jwt: &VerifiedJwt<'_>, request: &RequestHead, effort: &mut Effort) -> bool {
        match self {
            Self::Any(conditions) => conditions
                .iter()
                .any(|condition| condition.holds(jwt, request, effort)),
            Self::Claim(condition) => condition.holds(jwt, request, effort),
        }
    }
}

impl ClaimCondition {
    fn holds(&self, jwt: &VerifiedJwt<'_>, request: &RequestHead, effort: &mut Effort) -> bool {
        let claim = jwt.claim(&self.claim).filter(|claim| claim.kind() != Kind::Null);
        if let Some(claim) = claim
            && effort.spend(claim.text().len()).is_none()
        {
            return false;
        }
        let holds = match (&self.test, claim) {
            (ClaimTest::Exists(wanted), claim) => claim.is_some() == *wanted,
            (ClaimTest::Request(part), claim) => {
                let Some(value) = part.value(request) else {
                    return false;
                };
                claim
                    .into_iter()
                    .flat_map(elements)
                    .filter_map(scalar_text)
                    .any(|text| text.as_bytes() == &*value)
            }
            (_, None) => false,
            (ClaimTest::AnyOf(wanted), Some(claim)) => {
                let elements = elements(claim);
                if spend_pairs(effort, claim, &elements, wanted).is_none() {
                    return false;
                }
                elements
                    .iter()
                    .any(|element| wanted.iter().any(|wanted| wanted.is(*element)))
            }
            (ClaimTest::AllOf(wanted), Some(claim)) => {
                let elements = elements(claim);
                if spend_pairs(effort, claim, &elements, wanted).is_none() {
                    return false;
                }
                wanted
                    .iter()
                    .all(|wanted| elements.iter().any(|element| wanted.is(*element)))
            }
            (ClaimTest::Text(matcher), Some(claim)) => {
                // What would cost too much to find out holds neither way.
                let mut is_unknown = false;
                let found = elements(claim).into_iter().filter_map(scalar_text).any(|text| {
                    let found = matcher.matches_once(text.as_bytes(), effort);
                    is_unknown |= found.is_none();
                    found == Some(true)
                });
                if is_unknown {
                    return false;
                }
                found
            }
        };
        holds != self.invert
    }
}

/// A list's elements; anything else is its own only element.
fn elements(claim: Json<'_>) -> Vec<Json<'_>> {
    claim.as_array().unwrap_or_else(|| vec![claim])
}

/// Each element may have to be compared with each value that is wanted; numbers and escaped text byte by byte.
fn spend_pairs(effort: &mut Effort, claim: Json<'_>, elements: &[Json<'_>], wanted: &[Scalar]) -> Option<()> {
    let is_number = |scalar: &Scalar| matches!(scalar, Scalar::Number(_));
    let bytes = match wanted.iter().any(is_number) || claim.text().contains('\\') {
        true => claim.text().len(),
        false => 0,
    };
    let each = elements.len().saturating_mul(8).saturating_add(bytes);
    effort.spend(each.saturating_mul(wanted.len()))
}

impl Scalar {
    fn is(&self, value: Json<'_>) -> bool {
        match self {
            Self::Text(text) => value.as_str().is_some_and(|value| *value == **text),
            Self::Bool(flag) => value.as_bool() == Some(*flag),
            Self::Number(number) => value
                .as_number_text()
                .is_some_and(|value| is_same_number(value, number)),
        }
    }
}

fn is_same_number(one: &str, other: &str) -> bool {
    // As nearly everybody writes them, in digits alone, there is nothing to interpret.
    let is_plain = |text: &str| !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    match is_plain(one) && is_plain(other) {
        true => one == other,
        false => Decimal::read(one).equals(Decimal::read(other)),
    }
}

impl RequestPart {
    /// What the request says there; `None` where it says nothing, or may be read to say several things.
    fn value<'r>(&self, request: &'r RequestHead) -> Option<Cow<'r, [u8]>> {
        match self {
            Self::Path { field, template } => {
                let path = RequestPath::new(request.first(*field)?);
                // A path that servers read differently names no tenant for sure.
                if !path.is_canonical() {
                    return None;
                }
                let value = template.variable(path.bytes());
                let is_it = |interpretation: &Vec<u8>| template.variable(interpretation) == value;
                let is_sure = path.interpretations()?.iter().all(is_it);
                value.filter(|_| is_sure).map(Cow::Owned)
            }
            Self::Field { field, is_host } => {
                let mut values = request.all(*field);
                // Spaces around a value are no part of it (RFC 9110 section 5.5).
                let value = values.next()?.trim_ascii();
                // Of several values no one knows which one the upstream takes.
                if values.next().is_some() || value.is_empty() {
                    return None;
                }
                Some(match is_host {
                    true => Cow::Owned(request.authority(*field)?.host().into_owned()),
                    false => Cow::Borrowed(value),
                })
            }
        }
    }
}
