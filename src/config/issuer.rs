//! `issuer` with variables, and `issuer_claims`: one provider for all tenants of an issuer.

use super::error::{ConfigError, ConfigProblem};
use super::reader::{Fields, Node};
use crate::claims::ClaimPath;

/// An issuer of which some segments are a tenant's, as in `https://login.example.com/{tenantid}/v2.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerPattern {
    /// What stands between the slashes.
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    /// Any value that this claim of the token repeats.
    Variable(ClaimPath),
}

/// A tenant's name is no longer than this.
const MAX_VALUE: usize = 128;

impl IssuerPattern {
    /// The values of an issuer's variables, each with the claim that must equal it; `None` where it is no such issuer.
    #[must_use]
    pub fn values<'i>(&'i self, issuer: &'i str) -> Option<Vec<(&'i ClaimPath, &'i str)>> {
        let mut values = Vec::new();
        let mut parts = issuer.split('/');
        for segment in &self.segments {
            let part = parts.next()?;
            match segment {
                Segment::Literal(literal) if **literal == *part => {}
                Segment::Variable(claim) if is_value(part) => values.push((claim, part)),
                Segment::Literal(_) | Segment::Variable(_) => return None,
            }
        }
        match parts.next() {
            None => Some(values),
            Some(_) => None,
        }
    }
}

/// Names and numbers, as tenants have them: nothing that would be read as anything else in a URL.
fn is_value(part: &str) -> bool {
    (1..=MAX_VALUE).contains(&part.len())
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !part.bytes().all(|byte| byte == b'.')
}

const EXAMPLE: &str = "write it as in `issuer: \"https://login.example.com/{tenantid}/v2.0\"` with `issuer_claims: {tenantid: tid}`";

/// `None`: an issuer without variables.
pub(super) fn read(issuer: &Node<'_>, fields: &mut Fields<'_>) -> Result<Option<IssuerPattern>, ConfigError> {
    let text = issuer.name()?;
    let mut claims: Vec<(String, ClaimPath)> = Vec::new();
    if let Some(node) = fields.take("issuer_claims") {
        for (variable, node) in node.map()? {
            claims.push((variable, ClaimPath::Name(node.name()?.into())));
        }
        if claims.is_empty() {
            return Err(node.invalid("must not be empty"));
        }
    }
    if !text.contains(['{', '}']) {
        return match claims.first() {
            None => Ok(None),
            Some((variable, _)) => Err(issuer.invalid(format!("has no variable {{{variable}}}; {EXAMPLE}"))),
        };
    }
    let mut segments = Vec::new();
    for (index, segment) in text.split('/').enumerate() {
        let variable = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let Some(variable) = variable else {
            if segment.contains(['{', '}']) {
                return Err(issuer.invalid(format!("a variable is a whole segment of the path; {EXAMPLE}")));
            }
            segments.push(Segment::Literal(segment.into()));
            continue;
        };
        // `https:`, nothing, the host: those are whose keys are fetched, and nobody else's.
        if index < 3 {
            return Err(issuer.invalid(format!("a variable stands in the path only; {EXAMPLE}")));
        }
        match claims.iter().position(|(name, _)| name == variable) {
            Some(at) => segments.push(Segment::Variable(claims.swap_remove(at).1)),
            None => {
                return Err(fields.error(ConfigProblem::Invalid(format!(
                    "no claim is named that must equal {{{variable}}} of the issuer, or it stands there twice; {EXAMPLE}"
                ))));
            }
        }
    }
    match claims.first() {
        None => Ok(Some(IssuerPattern { segments })),
        Some((variable, _)) => Err(issuer.invalid(format!("has no variable {{{variable}}}; {EXAMPLE}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'i>(pattern: &'i IssuerPattern, issuer: &'i str) -> Option<&'i str> {
        pattern.values(issuer).map(|values| values[0].1)
    }

    #[test]
    fn a_variable_is_one_bounded_segment() {
        let literal = |text: &str| Segment::Literal(text.into());
        let pattern = IssuerPattern {
            segments: vec![
                literal("https:"),
                literal(""),
                literal("login.example.com"),
                Segment::Variable(ClaimPath::Name("tid".into())),
                literal("v2.0"),
            ],
        };
        let at = |tenant: &str| format!("https://login.example.com/{tenant}/v2.0");
        for good in [
            "a",
            "9188040d-6c67-4c5b-b112-36a304b66dad",
            "a.b_c",
            &"a".repeat(128),
        ] {
            assert_eq!(value(&pattern, &at(good)), Some(good));
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a%2fb",
            "a b",
            "ä",
            "a?b",
            "{tenantid}",
            &"a".repeat(129),
        ] {
            assert_eq!(value(&pattern, &at(bad)), None, "{bad}");
        }
        assert_eq!(value(&pattern, "https://login.example.com/a/v2.0/"), None);
        assert_eq!(value(&pattern, "https://login.example.com/a"), None);
        assert_eq!(value(&pattern, "https://evil.example/a/v2.0"), None);
    }
}
