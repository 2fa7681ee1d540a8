//! `issuer`: one issuer, several spellings of one, or a pattern with variables and `issuer_claims` for all
//! tenants of an issuer.

use super::error::{ConfigError, ConfigProblem};
use super::fields::{MAX_SPELLINGS, MAX_VARIABLES, ProviderObject};
use super::leftover::has_part;
use super::node::Node;
use super::reader::Fields;
use crate::claims::{ClaimPath, IssuerPattern, IssuerSegment};
use crate::json::Kind;

const EXAMPLE: &str = "write it as in `issuer: \"https://login.example.com/{tenantid}/v2.0\"` with `issuer_claims: {tenantid: tid}`";

/// Values of `iss`, and the pattern if the only value has variables.
type Issuers = (Vec<Box<str>>, Option<IssuerPattern>);

/// The permitted values of `iss`, and the pattern if the value has variables.
pub(super) fn read(fields: &Fields<'_, ProviderObject>) -> Result<Issuers, Box<ConfigError>> {
    let claims = fields.keep(read_claims(fields));
    let node = fields.require(ProviderObject::issuer)?;
    let spellings = match node.value().kind() {
        Kind::Array => node.some_list()?,
        _ => vec![*node],
    };
    if spellings.len() > MAX_SPELLINGS {
        return Err(node.invalid(format!(
            "must hold at most {MAX_SPELLINGS} spellings of one issuer, not {}; another issuer has other keys, so write \
             another provider for it",
            spellings.len()
        )));
    }
    let mut issuers: Vec<Box<str>> = Vec::with_capacity(spellings.len());
    let mut pattern = None;
    for spelling in &spellings {
        let issuer = spelling.name()?;
        refuse_document(spelling, &issuer)?;
        if has_part(&issuer, ",http") || has_part(&issuer, " http") {
            return Err(spelling.invalid(format!(
                "`{issuer}` is one issuer; write a provider for each, or a list for several spellings of one"
            )));
        }
        if issuers.contains(&issuer) {
            return Err(spelling.invalid(format!("`{issuer}` is in the list twice; leave one out")));
        }
        // Without them, the variables have no claims.
        let claims = claims.clone().ok_or_else(ConfigError::reported)?;
        let read = read_pattern(spelling, &issuer, claims, fields)?;
        if read.is_some() && spellings.len() > 1 {
            return Err(spelling.invalid("an issuer with variables has no other spelling beside it"));
        }
        issuers.push(issuer);
        pattern = read;
    }
    Ok((issuers, pattern))
}

/// Refuses the URL of a document in place of the issuer that the document names.
#[inline(never)]
pub(super) fn refuse_document(node: &Node<'_>, issuer: &str) -> Result<(), Box<ConfigError>> {
    match has_part(issuer, "/.well-known/") {
        true => {
            Err(node
                .invalid("is the URL of a document; write the `issuer` that the discovery document names"))
        }
        false => Ok(()),
    }
}

/// `issuer_claims`: the claims by the names of variables.
fn read_claims(fields: &Fields<'_, ProviderObject>) -> Result<Vec<(String, ClaimPath)>, Box<ConfigError>> {
    let mut claims = Vec::new();
    if let Some(node) = fields.get(ProviderObject::issuer_claims) {
        for (variable, node) in node.map()?.iter() {
            claims.push((variable.to_owned(), ClaimPath::Name(node.name()?)));
        }
        if claims.is_empty() || claims.len() > MAX_VARIABLES {
            return Err(node.invalid(format!(
                "must hold from 1 to {MAX_VARIABLES} variables, not {}",
                claims.len()
            )));
        }
    }
    Ok(claims)
}

/// `None`: an issuer without variables.
fn read_pattern(
    issuer: &Node<'_>,
    text: &str,
    mut claims: Vec<(String, ClaimPath)>,
    fields: &Fields<'_, ProviderObject>,
) -> Result<Option<IssuerPattern>, Box<ConfigError>> {
    let fault = |what: &str| issuer.invalid(format!("{what}; {EXAMPLE}"));
    if text.contains('*') {
        return Err(fault("`*` matches only itself"));
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
                return Err(fault("a variable is a whole segment of the path"));
            }
            segments.push(IssuerSegment::Literal(segment.into()));
            continue;
        };
        if variable.is_empty() {
            return Err(fault("a variable has a name"));
        }
        // `https:`, an empty segment, and the host: they determine whose keys the filter fetches.
        if index < 3 {
            return Err(fault("a variable may be in the path only"));
        }
        match claims.iter().position(|(name, _)| name == variable) {
            Some(at) => segments.push(IssuerSegment::Variable(claims.swap_remove(at).1)),
            None => {
                return Err(fields.error(ConfigProblem::Invalid(format!(
                    "`issuer_claims` names no claim that must equal {{{variable}}}, or the issuer has {{{variable}}} twice; {EXAMPLE}"
                ))));
            }
        }
    }
    match claims.first() {
        None => Ok(Some(IssuerPattern::new(segments))),
        Some((variable, _)) => Err(issuer.invalid(format!("has no variable {{{variable}}}; {EXAMPLE}"))),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn an_issuer_that_is_not_a_url_may_hold_spaces_and_commas() {
        for issuer in ["Example, Inc.", "the tokens of our own"] {
            let text = format!(
                r#"{{"providers":{{"p":{{"issuer":"{issuer}","audiences":["*"],"discovery":{{
                "cluster":"c","uri":"https://idp.example.com/.well-known/openid-configuration"}}}}}}}}"#
            );
            assert!(Config::parse(text.as_bytes()).is_ok(), "{issuer}");
        }
    }
}
