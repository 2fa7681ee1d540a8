//! Principals of a request: an issuer and a subject.

use crate::convert::grants::{Need, Providers, Test};
use crate::convert::notes::Notes;
use crate::convert::tree::{flag, list, map, text};
use crate::source::Node;

/// `<issuer>/<subject>`, with a wildcard at one end.
pub(super) fn principals(values: &Node, issuers: &Providers, notes: &mut Notes) -> Need {
    let mut any = Need::never();
    for value in values.elements() {
        let found = value.text().unwrap_or_default();
        let one = principal(found, value, issuers).unwrap_or_else(|issuer| {
            // People leave out a slash at the end of the issuer, or write `*` for the rest of its path.
            let meant = issuers
                .iter()
                .map(|(_, known)| known)
                .find(|known| found.strip_suffix("/*").is_some_and(|start| known.starts_with(start)));
            let advice = match meant {
                Some(known) => format!("write `{known}/*` for `{known}`"),
                None => "add that RequestAuthentication, or remove this value".to_owned(),
            };
            notes.lost(
                &value.place,
                format!(
                    "no RequestAuthentication here has the issuer {issuer}, the text before the last slash; {advice}"
                ),
            );
            Need::never()
        });
        any = any.or(&one);
    }
    any
}

/// A text, or one of those with a certain beginning or end.
#[derive(Clone, Copy)]
enum Pattern<'t> {
    Any,
    Exact(&'t str),
    Prefix(&'t str),
    Suffix(&'t str),
}

impl Pattern<'_> {
    fn matches(self, found: &str) -> bool {
        match self {
            Self::Any => !found.is_empty(),
            Self::Exact(text) => found == text,
            Self::Prefix(text) => found.starts_with(text),
            Self::Suffix(text) => found.ends_with(text),
        }
    }
}

/// Issuer and subject as istiod separates them: at the last slash, because an issuer may be a URL.
fn principal_parts(found: &str) -> (Pattern<'_>, Pattern<'_>) {
    match found.rsplit_once('/') {
        _ if found == "*" => (Pattern::Any, Pattern::Any),
        Some(("*", subject)) => (Pattern::Any, Pattern::Exact(subject)),
        Some((issuer, subject)) => match (issuer.strip_prefix('*'), subject.strip_suffix('*')) {
            (Some(issuer), _) => (Pattern::Suffix(issuer), Pattern::Exact(subject)),
            (None, Some("")) => (Pattern::Exact(issuer), Pattern::Any),
            (None, Some(subject)) => (Pattern::Exact(issuer), Pattern::Prefix(subject)),
            (None, None) => (Pattern::Exact(issuer), Pattern::Exact(subject)),
        },
        None => match (found.strip_prefix('*'), found.strip_suffix('*')) {
            (Some(subject), _) => (Pattern::Any, Pattern::Suffix(subject)),
            (None, Some(issuer)) => (Pattern::Prefix(issuer), Pattern::Any),
            (None, None) => (Pattern::Exact(found), Pattern::Exact("")),
        },
    }
}

/// The need for a principal. Fails with a description of the issuer if no provider has it.
fn principal(found: &str, value: &Node, issuers: &Providers) -> Result<Need, String> {
    let (issuer, subject) = principal_parts(found);
    let of_issuer: Vec<Test> = issuers
        .iter()
        .filter(|(_, known)| issuer.matches(known))
        .map(|(name, _)| Test::Provider(name.clone(), true))
        .collect();
    if of_issuer.is_empty() {
        return Err(match issuer {
            Pattern::Any => "anything".to_owned(),
            Pattern::Exact(text) => format!("`{text}`"),
            Pattern::Prefix(text) => format!("`{text}…`"),
            Pattern::Suffix(text) => format!("`…{text}`"),
        });
    }
    let (name, wanted) = match subject {
        // A token without a subject has no principal.
        Pattern::Any => ("regex", ".+"),
        Pattern::Exact("") => return Ok(Need::never()),
        Pattern::Exact(text) => ("any_of", text),
        Pattern::Prefix(text) => ("prefix", text),
        Pattern::Suffix(text) => ("suffix", text),
    };
    let wanted = text(wanted, &value.place);
    let test = match name {
        "any_of" => vec![(name, list(vec![wanted]))],
        _ => vec![(name, wanted), ("strings_only", flag(true))],
    };
    let claim = vec![("claim_name", text("sub", &value.place))];
    let of_subject = Need::one_of(vec![Test::Claim(map(claim.into_iter().chain(test).collect()))]);
    Ok(match of_issuer.len() == issuers.len() {
        true => of_subject,
        false => Need::one_of(of_issuer).and(&of_subject),
    })
}
