//! `authorize`: scopes and conditions on claims.

use super::claim_to_header::read_claim;
use super::error::ConfigError;
use super::reader::{Fields, Node};
use super::string_matcher::StringMatcher;
use super::{Names, header_name};
use crate::claims::ClaimPath;
use crate::policy::{
    Authorization, ClaimCondition, ClaimTest, Condition, PathTemplate, RequestPart, RequestPath, Scalar,
    Scopes,
};

pub(super) fn read(node: &Node<'_>, names: &mut Names) -> Result<Authorization, ConfigError> {
    let mut fields = node.fields(&["scopes", "claims"])?;
    let scopes = fields
        .take("scopes")
        .map(|node| read_scopes(&node, names))
        .transpose()?;
    let mut conditions = Vec::new();
    if let Some(node) = fields.take("claims") {
        for element in node.some_list()? {
            conditions.push((names.condition(element.path()), read_condition(&element, names)?));
        }
    }
    if scopes.is_none() && conditions.is_empty() {
        return Err(node.invalid("asks for nothing; write `scopes`, `claims` or both"));
    }
    Ok(Authorization { scopes, conditions })
}

fn read_scopes(node: &Node<'_>, names: &mut Names) -> Result<Scopes, ConfigError> {
    let mut fields = node.fields(&["any", "all", "claim_names"])?;
    let (list, all) = match (fields.take("any"), fields.take("all")) {
        (Some(node), None) => (node, false),
        (None, Some(node)) => (node, true),
        _ => return Err(node.invalid("write one of `any`, `all`")),
    };
    let mut wanted: Vec<Box<str>> = Vec::new();
    for element in list.some_list()? {
        wanted.push(read_scope(&element)?);
    }
    let claims = match fields.take("claim_names") {
        Some(node) => {
            node.some_list()?;
            node.names()?.into_iter().map(ClaimPath::Name).collect()
        }
        None => vec![ClaimPath::Name("scope".into()), ClaimPath::Name("scp".into())],
    };
    let challenge = names.scope(&wanted.join(" "));
    Ok(Scopes {
        wanted,
        all,
        claims,
        challenge,
    })
}

/// RFC 6749 section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ).
pub(super) fn read_scope(node: &Node<'_>) -> Result<Box<str>, ConfigError> {
    let scope = node.name()?;
    if scope
        .bytes()
        .all(|byte| (0x21..0x7f).contains(&byte) && !matches!(byte, b'"' | b'\\'))
    {
        Ok(scope.into())
    } else {
        Err(node.invalid(format!("`{scope}` is not a scope; write one scope an element")))
    }
}

const FIELDS: &[&str] = &[
    "any",
    "claim_name",
    "claim_path",
    "equals",
    "any_of",
    "all_of",
    "prefix",
    "suffix",
    "contains",
    "regex",
    "exists",
    "equals_request",
    "invert",
];

const TESTS: &[&str] = &[
    "equals",
    "any_of",
    "all_of",
    "prefix",
    "suffix",
    "contains",
    "regex",
    "exists",
    "equals_request",
];

fn read_condition(node: &Node<'_>, names: &mut Names) -> Result<Condition, ConfigError> {
    let mut fields = node.fields(FIELDS)?;
    if let Some(any) = fields.take("any") {
        if !fields.is_empty() {
            return Err(node.invalid("`any` stands alone; write each condition as an element of it"));
        }
        let conditions = any
            .some_list()?
            .iter()
            .map(|node| read_condition(node, names))
            .collect::<Result<_, _>>()?;
        return Ok(Condition::Any(conditions));
    }
    let invert = fields.flag("invert")?;
    let claim = read_claim(node, &mut fields)?;
    let mut test = None;
    for name in TESTS {
        let Some(found) = fields.take(name) else { continue };
        if test.is_some() {
            return Err(node.invalid(format!("write exactly one of {}", TESTS.join(", "))));
        }
        test = Some(read_test(name, &found, names)?);
    }
    match test {
        Some(test) => Ok(Condition::Claim(ClaimCondition { claim, test, invert })),
        None => Err(node.invalid(format!("write exactly one of {}", TESTS.join(", ")))),
    }
}

fn read_test(name: &str, node: &Node<'_>, names: &mut Names) -> Result<ClaimTest, ConfigError> {
    Ok(match name {
        "equals" => ClaimTest::AnyOf(vec![read_scalar(node)?]),
        "any_of" => ClaimTest::AnyOf(read_scalars(node)?),
        "all_of" => ClaimTest::AllOf(read_scalars(node)?),
        "exists" => ClaimTest::Exists(node.bool()?),
        "equals_request" => ClaimTest::Request(read_request_part(node, names)?),
        _ => ClaimTest::Text(StringMatcher::of(name, node)?),
    })
}

fn read_scalars(node: &Node<'_>) -> Result<Vec<Scalar>, ConfigError> {
    node.some_list()?.iter().map(read_scalar).collect()
}

fn read_scalar(node: &Node<'_>) -> Result<Scalar, ConfigError> {
    if let Ok(text) = node.text() {
        return Ok(Scalar::Text(text.into()));
    }
    if let Ok(flag) = node.bool() {
        return Ok(Scalar::Bool(flag));
    }
    node.number("a string, a number, true or false")
        .map(Scalar::Number)
}

fn read_request_part(node: &Node<'_>, names: &mut Names) -> Result<RequestPart, ConfigError> {
    let mut fields = node.fields(&["path_template", "variable", "header", "host"])?;
    match (
        fields.take("path_template"),
        fields.take("header"),
        fields.flag("host")?,
    ) {
        (Some(template), None, false) => read_path_part(&template, &mut fields, names),
        (None, Some(_), false) | (None, None, true) if fields.take("variable").is_some() => {
            Err(node.invalid("`variable` goes with `path_template`"))
        }
        (None, Some(header), false) => {
            let name = header_name::read(&header)?;
            if names.owned_headers.iter().any(|owned| **owned == *name) {
                return Err(header.invalid(format!(
                    "`{name}` is written by this filter, and is its client's own word before; write a header that a proxy in front sets"
                )));
            }
            Ok(RequestPart::Field {
                field: names.field(&name),
                is_host: false,
            })
        }
        (None, None, true) => Ok(RequestPart::Field {
            field: names.field(":authority"),
            is_host: true,
        }),
        _ => Err(node.invalid("write one of `path_template` with `variable`, `header`, `host: true`")),
    }
}

/// RFC 3986 section 6.2.2.2: an escape of a letter or a digit, which normalization takes away.
fn has_needless_escape(path: &str) -> bool {
    path.as_bytes().windows(3).any(|three| {
        matches!(
            three,
            [b'%', b'3', b'0'..=b'9']
                | [b'%', b'4' | b'6', b'1'..=b'f']
                | [b'%', b'5' | b'7', b'0'..=b'9' | b'a' | b'A']
        )
    })
}

fn read_path_part(
    node: &Node<'_>,
    fields: &mut Fields<'_>,
    names: &mut Names,
) -> Result<RequestPart, ConfigError> {
    let variable = fields
        .require("variable", "write the name of the template's variable")?
        .name()?;
    let text = node.name()?;
    match PathTemplate::parse(&text, &variable) {
        Some(_) if !RequestPath::new(text.as_bytes()).is_canonical() || has_needless_escape(&text) => {
            Err(node.invalid(
                "is no canonical path; write it without `.`, `..`, empty segments, and escapes of letters and \
                 digits",
            ))
        }
        Some(template) => Ok(RequestPart::Path { field: names.field(":path"), template }),
        None => Err(node.invalid(format!(
            "`{text}` is not a template with one segment {{{variable}}}; write it as in /tenants/{{{variable}}}/**"
        ))),
    }
}
