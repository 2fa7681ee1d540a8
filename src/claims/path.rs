//! The place of a claim: `claim_name` and `claim_path`.

use crate::json::{Json, Object};

/// A claim's place in the claims set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimPath {
    /// `claim_name`: the top-level member with exactly this name if there is one; otherwise the name, split
    /// at its dots. Names that are URLs, as in OpenID Connect, therefore need no escape.
    Name(Box<str>),
    /// `claim_path`: literal names of members, the outermost first.
    Literal(Vec<Box<str>>),
}

impl ClaimPath {
    /// The claim's value, which may be `null`; `None` if the token does not have the claim.
    #[must_use]
    pub fn resolve<'a>(&self, claims: &Object<'a>) -> Option<Json<'a>> {
        match self {
            Self::Name(name) => match claims.member(name) {
                Some(value) => Some(value),
                None if name.contains('.') => descend(claims, name.split('.')),
                None => None,
            },
            Self::Literal(keys) => descend(claims, keys.iter().map(AsRef::as_ref)),
        }
    }
}

fn descend<'a, 'n>(claims: &Object<'a>, mut names: impl Iterator<Item = &'n str>) -> Option<Json<'a>> {
    let mut value = claims.member(names.next()?)?;
    for name in names {
        value = value.as_object()?.member(name)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMS: &[u8] =
        br#"{"a.b":1,"a":{"b":2,"c":{"d":3},"x.y":4},"https://example.com/v":true,"l":[{"b":5}]}"#;

    fn resolve(path: &ClaimPath) -> Option<String> {
        path.resolve(&Object::parse(CLAIMS).unwrap())
            .map(|value| value.text().to_owned())
    }

    #[test]
    fn a_name_is_literal_first_and_dotted_second() {
        assert_eq!(resolve(&ClaimPath::Name("a.b".into())).as_deref(), Some("1"));
        assert_eq!(resolve(&ClaimPath::Name("a.c.d".into())).as_deref(), Some("3"));
        assert_eq!(
            resolve(&ClaimPath::Name("https://example.com/v".into())).as_deref(),
            Some("true")
        );
        assert_eq!(resolve(&ClaimPath::Name("a.c.d.e".into())), None);
        assert_eq!(resolve(&ClaimPath::Name("l.b".into())), None);
    }

    #[test]
    fn a_path_is_always_literal() {
        assert_eq!(
            resolve(&ClaimPath::Literal(vec!["a".into(), "b".into()])).as_deref(),
            Some("2")
        );
        assert_eq!(
            resolve(&ClaimPath::Literal(vec!["a".into(), "x.y".into()])).as_deref(),
            Some("4")
        );
        assert_eq!(
            resolve(&ClaimPath::Literal(vec!["a".into(), "x".into(), "y".into()])),
            None
        );
    }
}
