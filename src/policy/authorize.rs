//! `authorize`: conditions on the content of a verified token.
//!
//! It accepts only a [`VerifiedJwt`].

use std::borrow::Cow;

use crate::claims::{ClaimPath, Decimal, VerifiedJwt, scalar_text};
use crate::denial::{Cause, Shortfall};
use crate::ids::{ConditionId, FieldId, ScopesId};
use crate::json::{Json, Kind};
use crate::pattern::Effort;
use crate::pattern::StringMatcher;
use crate::policy::path::RequestPath;
use crate::policy::template::PathTemplate;
use crate::request::RequestHead;

/// The scopes and claims that a token must have.
#[derive(Debug, Default)]
pub struct Authorization {
    /// The required scopes, if there are any.
    pub scopes: Option<Scopes>,
    /// Conditions, all of which must be true.
    pub conditions: Vec<(ConditionId, Condition)>,
    /// If true, the conditions do not apply to a request without a token.
    pub optional: bool,
}

/// `scopes`: space-delimited in one string
/// ([RFC 6749 section 3.3](https://www.rfc-editor.org/rfc/rfc6749#section-3.3)), or a list.
#[derive(Debug)]
pub struct Scopes {
    /// The scopes.
    pub wanted: Vec<Box<str>>,
    /// The same scopes, for lookups.
    pub words: Words,
    /// Whether all of them are required, or any.
    pub all: bool,
    /// The claims that may contain them.
    pub claims: Vec<ClaimPath>,
    /// The `scope` of challenges.
    pub challenge: ScopesId,
}

/// A condition on a claim, or several conditions, one of which must be true.
#[derive(Debug)]
pub enum Condition {
    /// One claim.
    Claim(ClaimCondition),
    /// `any`: one of these must be true.
    Any(Vec<Self>),
}

/// A condition on one claim.
#[derive(Debug)]
pub struct ClaimCondition {
    /// The claim.
    pub claim: ClaimPath,
    /// The test of the claim.
    pub test: ClaimTest,
    /// Whether the test must fail. A part of the request that cannot be read makes the condition false either
    /// way.
    pub invert: bool,
}

/// The test of a claim. If the claim is a list, one element must pass.
#[derive(Debug)]
pub enum ClaimTest {
    /// `exists`: the claim must be present and not `null`, or the contrary.
    Exists(bool),
    /// `equals` and `any_of`: the claim must equal one of these.
    AnyOf(Scalars),
    /// `all_of`: the claim must be a list that contains all of these.
    AllOf(Scalars),
    /// `prefix`, `suffix`, `contains`, `regex`: the text of the claim must match.
    Text {
        /// The test of the text.
        matcher: StringMatcher,
        /// `strings_only`: numbers and booleans do not pass.
        strings_only: bool,
    },
    /// `equals_request`: the claim must equal this part of the request.
    Request(RequestPart),
}

/// A value as in the configuration. Its type matters: `5` does not equal `"5"`.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Text.
    Text(Box<str>),
    /// A number, as it is written.
    Number(Box<str>),
    /// A truth value.
    Bool(bool),
}

/// A set of texts in which a lookup takes one step, whatever their number.
#[derive(Debug, Default)]
pub struct Words(Vec<Box<str>>);

impl Words {
    /// The texts, without duplicates.
    #[must_use]
    pub fn new(words: Vec<Box<str>>) -> Self {
        let mut all = Self::default();
        for word in words {
            // `sort` costs the module more bytes than it saves time.
            if let Err(place) = all.place(&word) {
                all.0.insert(place, word);
            }
        }
        all
    }

    /// The texts whose bits are set, in order.
    pub fn selected(&self, bits: u64) -> impl Iterator<Item = &Box<str>> {
        let words = (0..64).zip(&self.0);
        words.filter_map(move |(at, word)| (bits >> at & 1 == 1).then_some(word))
    }

    fn place(&self, word: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|known| (**known).cmp(word))
    }

    fn find(&self, word: &str) -> Option<usize> {
        self.place(word).ok()
    }
}

/// Values for which a claim is searched.
#[derive(Debug)]
pub struct Scalars {
    texts: Words,
    others: Vec<Scalar>,
}

impl Scalars {
    /// The values.
    #[must_use]
    pub fn new(values: Vec<Scalar>) -> Self {
        let mut texts = Vec::new();
        let mut others = Vec::new();
        for value in values {
            match value {
                Scalar::Text(text) => texts.push(text),
                other => others.push(other),
            }
        }
        Self {
            texts: Words::new(texts),
            others,
        }
    }

    /// Calls `found` with the index of each wanted value that equals the element, until `found` returns true.
    fn each(&self, element: Json<'_>, mut found: impl FnMut(usize) -> bool) -> bool {
        if let Some(index) = element.as_str().and_then(|text| self.texts.find(&text)) {
            return found(index);
        }
        let others = (self.texts.0.len()..).zip(&self.others);
        let mut alike = others.filter(|(_, other)| other.is(element));
        alike.any(|(index, _)| found(index))
    }

    /// Whether a value has the type of the claim, or of one of its elements.
    fn have_type_of(&self, claim: Json<'_>) -> bool {
        let is_alike = |element: &Json<'_>| {
            let is_it = |other: &Scalar| other.kind() == element.kind();
            element.kind() == Kind::String && !self.texts.0.is_empty() || self.others.iter().any(is_it)
        };
        elements(claim).iter().any(is_alike)
    }

    fn len(&self) -> usize {
        self.texts.0.len().saturating_add(self.others.len())
    }
}

/// The part of the request that a claim must equal.
#[derive(Debug)]
pub enum RequestPart {
    /// `path_template` and `variable`.
    Path {
        /// `:path`.
        field: FieldId,
        /// The template.
        template: PathTemplate,
    },
    /// `header`, or `host`, which is `:authority` without its port.
    Field {
        /// The field.
        field: FieldId,
        /// Whether it is the host.
        is_host: bool,
    },
}

impl Authorization {
    /// Whether the result depends on the request beside the token.
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

    /// Whether the token permits the request. It does not if the check would exceed the remaining work.
    ///
    /// # Errors
    ///
    /// Fails with the first condition that is false.
    pub fn check(
        &self,
        jwt: &VerifiedJwt<'_>,
        request: &RequestHead,
        effort: &mut Effort,
    ) -> Result<(), Shortfall> {
        if let Some(scopes) = &self.scopes {
            scopes.check(jwt, effort)?;
        }
        for (id, condition) in &self.conditions {
            if let Err(cause) = condition.check(jwt, request, effort) {
                return Err(Shortfall::Condition { id: *id, cause });
            }
        }
        Ok(())
    }
}

impl Scopes {
    fn check(&self, jwt: &VerifiedJwt<'_>, effort: &mut Effort) -> Result<(), Shortfall> {
        let mut held = vec![false; self.words.0.len()];
        let mut hold = |scope: &str| {
            let held = self.words.find(scope).and_then(|index| held.get_mut(index));
            if let Some(held) = held {
                *held = true;
            }
        };
        let mut is_absent = true;
        let claims = self.claims.iter().filter_map(|claim| jwt.claim(claim));
        let claims = claims.inspect(|_| is_absent = false);
        for claim in claims.filter(|claim| effort.spend(claim.text().len()).is_some()) {
            match claim.kind() {
                Kind::String => {
                    let scopes = claim.as_str().unwrap_or_default();
                    scopes.split(' ').for_each(&mut hold);
                }
                Kind::Array => {
                    for scope in claim.as_array().into_iter().flatten() {
                        if let Some(scope) = scope.as_str() {
                            hold(&scope);
                        }
                    }
                }
                Kind::Null | Kind::Bool | Kind::Number | Kind::Object => {}
            }
        }
        let is_enough = match self.all {
            true => held.iter().all(|held| *held),
            false => held.iter().any(|held| *held),
        };
        if is_enough {
            return Ok(());
        }
        let bits = held.iter().take(64).rev();
        let missing = bits.fold(0, |bits, held| bits << 1 | u64::from(!held));
        Err(Shortfall::Scope { missing, is_absent })
    }
}

impl Condition {
    fn check(&self, jwt: &VerifiedJwt<'_>, request: &RequestHead, effort: &mut Effort) -> Result<(), Cause> {
        match self {
            Self::Any(conditions) => {
                let mut all = conditions.iter();
                let holds = all.any(|condition| condition.check(jwt, request, effort).is_ok());
                holds.then_some(()).ok_or(Cause::Value)
            }
            Self::Claim(condition) => condition.check(jwt, request, effort),
        }
    }
}

impl ClaimCondition {
    fn value<'j>(&self, jwt: &VerifiedJwt<'j>) -> Option<Json<'j>> {
        jwt.claim(&self.claim).filter(|claim| claim.kind() != Kind::Null)
    }

    fn check(&self, jwt: &VerifiedJwt<'_>, request: &RequestHead, effort: &mut Effort) -> Result<(), Cause> {
        let claim = self.value(jwt);
        if let Some(claim) = claim
            && effort.spend(claim.text().len()).is_none()
        {
            return Err(Cause::TooMuch);
        }
        let holds = match (&self.test, claim) {
            (ClaimTest::Exists(wanted), claim) => claim.is_some() == *wanted,
            (ClaimTest::Request(part), claim) => {
                let value = part.value(request)?;
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
                    return Err(Cause::TooMuch);
                }
                elements.iter().any(|element| wanted.each(*element, |_| true))
            }
            (ClaimTest::AllOf(wanted), Some(claim)) => {
                // A single text does not count as a list of one, so that a condition can distinguish them.
                let elements = claim.as_array().unwrap_or_default();
                if spend_pairs(effort, claim, &elements, wanted).is_none() {
                    return Err(Cause::TooMuch);
                }
                let mut found = vec![false; wanted.len()];
                for element in elements {
                    wanted.each(element, |index| {
                        if let Some(found) = found.get_mut(index) {
                            *found = true;
                        }
                        false
                    });
                }
                found.iter().all(|found| *found)
            }
            (
                ClaimTest::Text {
                    matcher,
                    strings_only,
                },
                Some(claim),
            ) => {
                // A test that would exceed the remaining work makes the condition false either way.
                let mut is_unknown = false;
                let mut elements = elements(claim);
                elements.retain(|element| !strings_only || element.kind() == Kind::String);
                let found = elements.into_iter().filter_map(scalar_text).any(|text| {
                    let found = matcher.matches_once(text.as_bytes(), effort);
                    is_unknown |= found.is_none();
                    found == Some(true)
                });
                if is_unknown {
                    return Err(Cause::TooMuch);
                }
                found
            }
        };
        if holds != self.invert {
            return Ok(());
        }
        Err(match (&self.test, claim) {
            (_, None) => Cause::ClaimAbsent,
            (ClaimTest::AllOf(_), Some(claim)) if claim.kind() != Kind::Array => Cause::Type,
            (ClaimTest::AnyOf(wanted), Some(claim)) if !wanted.have_type_of(claim) => Cause::Type,
            _ => Cause::Value,
        })
    }
}

/// The elements of a list; any other value counts as a list of one element.
fn elements(claim: Json<'_>) -> Vec<Json<'_>> {
    claim.as_array().unwrap_or_else(|| vec![claim])
}

/// The work for an element: a lookup among the wanted texts, and a comparison with each other wanted value
/// (numbers and escaped texts), byte by byte.
fn spend_pairs(effort: &mut Effort, claim: Json<'_>, elements: &[Json<'_>], wanted: &Scalars) -> Option<()> {
    let is_number = |scalar: &Scalar| matches!(scalar, Scalar::Number(_));
    let bytes = match wanted.others.iter().any(is_number) || claim.text().contains('\\') {
        true => claim.text().len(),
        false => 0,
    };
    let each = elements.len().saturating_mul(8).saturating_add(bytes);
    let look_up = usize::from(!wanted.texts.0.is_empty()).saturating_mul(4);
    effort.spend(each.saturating_mul(wanted.others.len().saturating_add(look_up)))
}

impl Scalar {
    const fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::String,
            Self::Number(_) => Kind::Number,
            Self::Bool(_) => Kind::Bool,
        }
    }

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
    // In the usual form, which has only digits, there is nothing to normalize.
    let is_plain = |text: &str| !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    match is_plain(one) && is_plain(other) {
        true => one == other,
        false => Decimal::read(one).equals(Decimal::read(other)),
    }
}

impl RequestPart {
    /// The part of the request, unless it is absent or ambiguous.
    fn value<'r>(&self, request: &'r RequestHead) -> Result<Cow<'r, [u8]>, Cause> {
        match self {
            Self::Path { field, template } => {
                let path = RequestPath::new(request.first(*field).unwrap_or_default());
                let value = template.variable(path.bytes());
                let is_it = |interpretation: &Vec<u8>| template.variable(interpretation) == value;
                // If servers interpret a path differently, its tenant is not certain.
                let is_sure = || path.interpretations().is_some_and(|all| all.iter().all(is_it));
                if !path.is_canonical() || !is_sure() {
                    return Err(Cause::RequestAmbiguous);
                }
                value.map(Cow::Owned).ok_or(Cause::RequestAbsent)
            }
            Self::Field { field, is_host } => {
                let mut values = request.all(*field);
                // Spaces around a value are not a part of it (RFC 9110 section 5.5).
                let value = values.next().unwrap_or_default().trim_ascii();
                if value.is_empty() {
                    return Err(Cause::RequestAbsent);
                }
                // The upstream may use any of several values.
                if values.next().is_some() {
                    return Err(Cause::RequestAmbiguous);
                }
                Ok(match is_host {
                    true => {
                        let authority = request.authority(*field).ok_or(Cause::RequestAmbiguous)?;
                        Cow::Owned(authority.host().into_owned())
                    }
                    false => Cow::Borrowed(value),
                })
            }
        }
    }
}
