//! `issuer` with variables, and `issuer_claims`: one provider for all tenants of an issuer.

use super::error::{ConfigError, ConfigProblem};
use super::fields::ProviderObject;
use super::reader::{Fields, Node};
use crate::claims::{ClaimPath, IssuerPattern, IssuerSegment};

/// No issuer has more.
const MAX_VARIABLES: usize = 8;

const EXAMPLE: &str = "write it as in `issuer: \"https://login.example.com/{tenantid}/v2.0\"` with `issuer_claims: {tenantid: tid}`";

/// The issuer, and its pattern where it has variables.
pub(super) fn read(
    fields: &Fields<'_, ProviderObject>,
) -> Result<(Box<str>, Option<IssuerPattern>), Box<ConfigError>> {
    let issuer = fields.require(ProviderObject::issuer)?;
    let text = issuer.name()?;
    let pattern = read_pattern(issuer, &text, fields)?;
    Ok((text, pattern))
}

fn read_pattern(
    issuer: &Node<'_>,
    text: &str,
    fields: &Fields<'_, ProviderObject>,
) -> Result<Option<IssuerPattern>, Box<ConfigError>> {
    let fault = |what: &str| issuer.invalid(format!("{what}; {EXAMPLE}"));
    let mut claims: Vec<(String, ClaimPath)> = Vec::new();
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
        // `https:`, nothing, the host: those are whose keys are fetched, and nobody else's.
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
