//! `iss` of an issuer with many tenants: a URL in which some segments name the tenant.

use super::path::ClaimPath;

/// An issuer in which some segments name the tenant, as in `https://login.example.com/{tenantid}/v2.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerPattern {
    /// The text between the slashes.
    segments: Vec<IssuerSegment>,
}

/// A segment of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerSegment {
    /// This text.
    Literal(Box<str>),
    /// A value equal to this claim of the token.
    Variable(ClaimPath),
}

/// The longest name of a tenant.
const MAX_VALUE: usize = 128;

impl IssuerPattern {
    /// An issuer with these segments, which slashes separate.
    #[must_use]
    pub const fn new(segments: Vec<IssuerSegment>) -> Self {
        Self { segments }
    }

    /// The values of the issuer's variables, each with the claim that must equal it; `None` if the issuer
    /// does not match.
    #[must_use]
    pub fn values<'i>(&'i self, issuer: &'i str) -> Option<Vec<(&'i ClaimPath, &'i str)>> {
        let mut values = Vec::new();
        let mut parts = issuer.split('/');
        for segment in &self.segments {
            let part = parts.next()?;
            match segment {
                IssuerSegment::Literal(literal) if **literal == *part => {}
                IssuerSegment::Variable(claim) if is_value(part) => values.push((claim, part)),
                IssuerSegment::Literal(_) | IssuerSegment::Variable(_) => return None,
            }
        }
        match parts.next() {
            None => Some(values),
            Some(_) => None,
        }
    }
}

/// The characters of tenants' names and numbers. None of them has a special meaning in a URL.
fn is_value(part: &str) -> bool {
    (1..=MAX_VALUE).contains(&part.len())
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !part.bytes().all(|byte| byte == b'.')
}

/// Whether both can match the same `iss`. Each is an issuer or a pattern, as written in the configuration.
#[must_use]
pub fn issuers_overlap(one: &str, other: &str) -> bool {
    let is_variable = |segment: &str| segment.starts_with('{');
    let (mut ones, mut others) = (one.split('/'), other.split('/'));
    loop {
        match (ones.next(), others.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if one == other || is_variable(one) && is_variable(other) => {}
            (Some(one), Some(other)) if is_variable(one) && is_value(other) => {}
            (Some(one), Some(other)) if is_variable(other) && is_value(one) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'i>(pattern: &'i IssuerPattern, issuer: &'i str) -> Option<&'i str> {
        pattern.values(issuer).map(|values| values[0].1)
    }

    #[test]
    fn patterns_overlap_where_one_issuer_could_be_of_both() {
        for (one, other, expected) in [
            ("https://a/{t}", "https://a/x", true),
            ("https://a/{t}", "https://a/{u}", true),
            ("https://a/{t}/x", "https://a/y/{u}", true),
            ("https://a/{t}/x", "https://a/y/z", false),
            ("https://a/{t}", "https://a/x/", false),
            ("https://a/{t}", "https://a", false),
            ("https://a/{t}", "https://b/x", false),
            ("https://a/{t}", "https://a/x y", false),
        ] {
            assert_eq!(issuers_overlap(one, other), expected, "{one} {other}");
            assert_eq!(issuers_overlap(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn a_variable_is_one_bounded_segment() {
        let literal = |text: &str| IssuerSegment::Literal(text.into());
        let pattern = IssuerPattern {
            segments: vec![
                literal("https:"),
                literal(""),
                literal("login.example.com"),
                IssuerSegment::Variable(ClaimPath::Name("tid".into())),
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
