//! `authorize`: scopes and conditions on claims.

use super::claim_to_header::read_claim;
use super::error::ConfigError;
use super::fields::{AuthorizeObject, ConditionObject, RequestPartObject, ScopesObject};
use super::node::{Node, read_each};
use super::reader::Fields;
use super::string_matcher::Form;
use super::{Names, header_name, string_matcher};
use crate::claims::ClaimPath;
use crate::ids::ConditionId;
use crate::json::Kind;
use crate::policy::{
    Authorization, ClaimCondition, ClaimTest, Condition, PathTemplate, RequestPart, RequestPath, Scalar,
    Scalars, Scopes, Words,
};

pub(super) fn read(node: &Node<'_>, names: &mut Names) -> Result<Authorization, Box<ConfigError>> {
    let fields = node.fields(AuthorizeObject)?;
    let scopes = fields.get(AuthorizeObject::scopes);
    let scopes = fields.keep(scopes.map(|node| read_scopes(node, names)).transpose());
    let optional = fields.kept(AuthorizeObject::optional);
    let mut conditions = Vec::new();
    if let Some(node) = fields.get(AuthorizeObject::claims) {
        conditions = read_each(&node.some_list()?, |element| {
            Ok((
                names.condition(element.path(), element.shown()),
                read_condition(element, names)?,
            ))
        })?;
    }
    let scopes = scopes.ok_or_else(ConfigError::reported)?;
    if scopes.is_none() && conditions.is_empty() {
        return Err(node.invalid("has no condition; write `scopes`, `claims` or both"));
    }
    if let Some(index) = contradiction(&conditions) {
        let nodes = fields
            .get(AuthorizeObject::claims)
            .map(|node| node.list())
            .transpose()?;
        let nodes = nodes.unwrap_or_default();
        let node = nodes.get(index).unwrap_or(node);
        return Err(node.invalid(
            "can never be true together with another condition: one needs the claim, and one needs it to be absent; leave one out",
        ));
    }
    Ok(Authorization {
        scopes,
        conditions,
        optional,
    })
}

/// The position of a condition on a claim whose absence another condition requires.
fn contradiction(conditions: &[(ConditionId, Condition)]) -> Option<usize> {
    let claim = |condition: &(ConditionId, Condition)| match &condition.1 {
        Condition::Claim(claim) => Some(match (&claim.test, claim.invert) {
            (ClaimTest::Exists(wanted), invert) => (claim.claim.clone(), Some(*wanted != invert)),
            (_, false) => (claim.claim.clone(), Some(true)),
            // An absent claim fails such a test.
            (_, true) => (claim.claim.clone(), None),
        }),
        Condition::Any(_) => None,
    };
    let all: Vec<_> = conditions.iter().map(claim).collect();
    let is_against = |(path, needed): &(ClaimPath, Option<bool>)| {
        let mut others = all.iter().flatten();
        *needed == Some(true) && others.any(|(other, needed)| other == path && *needed == Some(false))
    };
    all.iter()
        .position(|claim| claim.as_ref().is_some_and(is_against))
}

fn read_scopes(node: &Node<'_>, names: &mut Names) -> Result<Scopes, Box<ConfigError>> {
    let fields = node.fields(ScopesObject)?;
    let claims = match fields.or_default(fields.read(ScopesObject::claim_names)) {
        Some(names) => names.into_iter().map(ClaimPath::Name).collect(),
        None => vec![ClaimPath::Name("scope".into()), ClaimPath::Name("scp".into())],
    };
    let (list, all) = match (fields.get(ScopesObject::any), fields.get(ScopesObject::all)) {
        (Some(node), None) => (node, false),
        (None, Some(node)) => (node, true),
        _ => return Err(node.invalid("write one of `any`, `all`")),
    };
    let wanted = read_each(&list.some_list()?, read_scope)?;
    let challenge = names.scope(&wanted.join(" "));
    Ok(Scopes {
        words: Words::new(wanted.clone()),
        wanted,
        all,
        claims,
        challenge,
    })
}

/// RFC 6749 section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ). A comma in it would separate scopes.
pub(super) fn read_scope(node: &Node<'_>) -> Result<Box<str>, Box<ConfigError>> {
    let scope = node.name()?;
    if scope
        .bytes()
        .all(|byte| (0x21..0x7f).contains(&byte) && !matches!(byte, b'"' | b'\\' | b','))
    {
        Ok(scope)
    } else {
        Err(node.invalid(format!("`{scope}` is not a scope; write one scope per element")))
    }
}

fn read_condition(node: &Node<'_>, names: &mut Names) -> Result<Condition, Box<ConfigError>> {
    let fields = node.fields(ConditionObject)?;
    if let Some(any) = fields.get(ConditionObject::any) {
        if fields.len() > 1 {
            return Err(
                node.invalid("`any` has no other fields beside it; write each condition as an element of it")
            );
        }
        let conditions = read_each(&any.some_list()?, |node| read_condition(node, names))?;
        return Ok(Condition::Any(conditions));
    }
    let invert = fields.kept(ConditionObject::invert);
    let is_for_strings = fields.kept(ConditionObject::strings_only);
    let claim = read_claim(
        node,
        fields.get(ConditionObject::claim_name),
        fields.get(ConditionObject::claim_path),
    );
    let claim = node.keep(claim);
    let tests = [
        (ConditionObject::equals.name, fields.get(ConditionObject::equals)),
        (ConditionObject::any_of.name, fields.get(ConditionObject::any_of)),
        (ConditionObject::all_of.name, fields.get(ConditionObject::all_of)),
        (ConditionObject::prefix.name, fields.get(ConditionObject::prefix)),
        (ConditionObject::suffix.name, fields.get(ConditionObject::suffix)),
        (
            ConditionObject::contains.name,
            fields.get(ConditionObject::contains),
        ),
        (ConditionObject::regex.name, fields.get(ConditionObject::regex)),
        (ConditionObject::exists.name, fields.get(ConditionObject::exists)),
        (
            ConditionObject::equals_request.name,
            fields.get(ConditionObject::equals_request),
        ),
    ];
    let mut found = tests.iter().filter_map(|(name, node)| Some((*name, (*node)?)));
    match (found.next(), found.next()) {
        (Some((name, found)), None) => {
            let mut test = read_test(name, found, names)?;
            let claim = claim.ok_or_else(ConfigError::reported)?;
            match &mut test {
                ClaimTest::Text { strings_only, .. } => *strings_only = is_for_strings,
                _ if is_for_strings => {
                    return Err(node.invalid(
                        "`strings_only` applies only to `prefix`, `suffix`, `contains` and `regex`",
                    ));
                }
                _ => {}
            }
            Ok(Condition::Claim(ClaimCondition { claim, test, invert }))
        }
        _ => {
            let names: Vec<&str> = tests.iter().map(|(name, _)| *name).collect();
            Err(node.invalid(format!("write exactly one of {}", names.join(", "))))
        }
    }
}

fn read_test(name: &str, node: &Node<'_>, names: &mut Names) -> Result<ClaimTest, Box<ConfigError>> {
    Ok(match name {
        "equals" => ClaimTest::AnyOf(Scalars::new(vec![read_scalar(node, names)?])),
        "any_of" => ClaimTest::AnyOf(Scalars::new(read_scalars(node, names)?)),
        "all_of" => ClaimTest::AllOf(Scalars::new(read_scalars(node, names)?)),
        "exists" => ClaimTest::Exists(node.bool()?),
        "equals_request" => ClaimTest::Request(read_request_part(node, names)?),
        _ => ClaimTest::Text {
            matcher: match name {
                "prefix" => string_matcher::read_form(Form::Prefix, node)?,
                "suffix" => string_matcher::read_form(Form::Suffix, node)?,
                "contains" => string_matcher::read_form(Form::Contains, node)?,
                _ => string_matcher::read_alone(node)?,
            },
            strings_only: false,
        },
    })
}

fn read_scalars(node: &Node<'_>, names: &Names) -> Result<Vec<Scalar>, Box<ConfigError>> {
    let nodes = node.some_list()?;
    read_each(&nodes, |node| read_scalar(node, names))
}

fn read_scalar(node: &Node<'_>, names: &Names) -> Result<Scalar, Box<ConfigError>> {
    if node.value().kind() == Kind::String {
        let text = node.text()?;
        // Istio reads such values as patterns. Here they would be compared literally.
        let instead = match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(""), _) => "exists: true".to_owned(),
            (Some(rest), Some(_)) => format!("contains: {}", rest.trim_end_matches('*')),
            (Some(rest), None) => format!("suffix: {rest}"),
            (None, Some(rest)) => format!("prefix: {rest}"),
            (None, None) => return Ok(Scalar::Text(text)),
        };
        return Err(node.invalid(format!(
            "`{text}` is compared exactly, so that `*` matches only itself; write `{instead}`, or `regex` for the \
             character itself"
        )));
    }
    if let Ok(flag) = node.bool() {
        return Ok(Scalar::Bool(flag));
    }
    let (text, number) = node.number("a string, a number, true or false")?;
    if names.has_doubles && number.abs() >= EXACT_BELOW {
        return Err(node.invalid(
            "a google.protobuf.Struct has no whole numbers beyond 2^53, so this may have been another; quote it if the \
             claim is a string, or give the configuration as JSON text in a google.protobuf.StringValue",
        ));
    }
    Ok(Scalar::Number(text.into()))
}

/// From this number on, a double represents several whole numbers: 2^53 + 1 becomes 2^53.
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;

fn read_request_part(node: &Node<'_>, names: &mut Names) -> Result<RequestPart, Box<ConfigError>> {
    let fields = node.fields(RequestPartObject)?;
    let variable = fields.keep(fields.read(RequestPartObject::variable));
    // A faulty `host` is present, too.
    let is_host = fields.keep(fields.read(RequestPartObject::host));
    match (
        fields.get(RequestPartObject::path_template),
        fields.get(RequestPartObject::header),
        is_host.unwrap_or(Some(true)).unwrap_or_default(),
    ) {
        (Some(template), None, false) => read_path_part(template, variable, &fields, names),
        (None, Some(_), false) | (None, None, true) if fields.get(RequestPartObject::variable).is_some() => {
            Err(node.invalid("`variable` needs `path_template`"))
        }
        (None, Some(header), false) => {
            let name = header_name::read(header)?;
            if names.owned_headers.contains(&name) {
                return Err(header.invalid(format!(
                    "the client sets `{name}` until this filter writes it; write a header that a proxy in front sets"
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

/// RFC 3986 section 6.2.2.2: normalization decodes an escaped letter or digit.
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
    variable: Option<Option<Box<str>>>,
    fields: &Fields<'_, RequestPartObject>,
    names: &mut Names,
) -> Result<RequestPart, Box<ConfigError>> {
    let variable = match variable {
        Some(None) => fields.keep(fields.required(RequestPartObject::variable)),
        read => read.flatten(),
    };
    let text = node.name()?;
    let variable = variable.ok_or_else(ConfigError::reported)?;
    match PathTemplate::parse(&text, &variable) {
        Some(_) if !RequestPath::new(text.as_bytes()).is_canonical() || has_needless_escape(&text) => {
            Err(node.invalid(
                "is not a canonical path; write it without `.`, `..`, empty segments, and escapes of letters and \
                 digits",
            ))
        }
        Some(template) => Ok(RequestPart::Path { field: names.field(":path"), template }),
        None => Err(node.invalid(format!(
            "`{text}` is not a template with one segment {{{variable}}}; write it as in /tenants/{{{variable}}}/**"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::value::Kind;
    use prost_types::{ListValue, Struct, Value};
    use serde_json::json;

    use crate::config::{Config, ConfigError};

    fn equal_to(number: &str) -> String {
        let number: serde_json::Value = serde_json::from_str(number).unwrap();
        json!({
            "providers": {"corp": {
                "issuer": "https://idp.example.com", "audiences": ["*"], "discovery": {"cluster": "idp"},
            }},
            "rules": [{
                "match": {"prefix": "/"}, "requires": {"provider_name": "corp"},
                "authorize": {"claims": [{"claim_name": "n", "any_of": ["a", number]}]},
            }],
        })
        .to_string()
    }

    /// The message in Envoy's form, in which every number is a double.
    fn message(value: &serde_json::Value) -> Value {
        let kind = match value {
            serde_json::Value::Null => Kind::NullValue(0),
            serde_json::Value::Bool(flag) => Kind::BoolValue(*flag),
            serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
            serde_json::Value::String(text) => Kind::StringValue(text.clone()),
            serde_json::Value::Array(list) => Kind::ListValue(ListValue {
                values: list.iter().map(message).collect(),
            }),
            serde_json::Value::Object(fields) => Kind::StructValue(Struct {
                fields: fields
                    .iter()
                    .map(|(name, value)| (name.clone(), message(value)))
                    .collect(),
            }),
        };
        Value { kind: Some(kind) }
    }

    fn as_message(number: &str) -> Result<Config, Box<ConfigError>> {
        let config: serde_json::Value = serde_json::from_str(&equal_to(number)).unwrap();
        let fields = config.as_object().unwrap().iter();
        let fields = fields
            .map(|(name, value)| (name.clone(), message(value)))
            .collect();
        Config::parse(&Struct { fields }.encode_to_vec())
    }

    #[test]
    fn a_number_that_a_double_cannot_hold_is_refused_where_it_was_one() {
        for number in [
            "9007199254740993",
            "9007199254740992",
            "-9007199254740993",
            "1e300",
        ] {
            let error = as_message(number).unwrap_err();
            assert_eq!(error.path, "rules[0].authorize.claims[0].any_of[1]");
            assert!(error.to_string().contains("quote it"), "{error}");
            assert!(Config::parse(equal_to(number).as_bytes()).is_ok(), "{number}");
        }
        for number in ["9007199254740991", "-9007199254740991", "5", "0.1", "1e-300"] {
            assert!(as_message(number).is_ok(), "{number}");
        }
    }
}
