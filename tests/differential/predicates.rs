//! Predicates of the deviations, over locations, owned headers, queries, cookies and audiences.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::case::{Aspect, Case, Outcome};
use crate::stricter;
use crate::tokens::SeenToken;

/// Ours refuses a token that theirs accepts: it refuses the request for one of these reasons or, if failed
/// tokens are permitted, forwards it like a request without a token.
pub(crate) fn refused(
    case: &Case<'_>,
    aspect: &Aspect,
    reasons: &[&str],
    is_so: impl Fn(&SeenToken) -> bool,
) -> bool {
    let is_refused = match case.reason() {
        // Each of several requirements may have its own reason, and the filter reports one.
        Some(reason) => decided(aspect) && (reasons.contains(&reason) || has_alternatives(case)),
        // Or another provider of the same issuer accepts it, and forwards other claims.
        None => tolerant(case) || issuers_are_shared(case),
    };
    is_refused && any(case, is_so)
}

/// Several providers have the same issuer.
pub(crate) fn issuers_are_shared(case: &Case<'_>) -> bool {
    let mut issuers: Vec<_> = case
        .providers()
        .map(|provider| provider["issuer"].as_str())
        .collect();
    issuers.sort_unstable();
    let count = issuers.len();
    issuers.dedup();
    issuers.len() < count
}

/// More than one requirement may evaluate a token.
fn has_alternatives(case: &Case<'_>) -> bool {
    case.providers().count() > 1 || case.config.to_string().contains("provider_and_audiences")
}

/// Some rule permits failed tokens.
pub(crate) fn tolerant(case: &Case<'_>) -> bool {
    case.config.to_string().contains("allow_missing_or_failed")
}

/// The difference concerns whether the request passes, or how a filter refuses it.
pub(crate) fn decided(aspect: &Aspect) -> bool {
    matches!(aspect, Aspect::Decision | Aspect::Status)
}

pub(crate) fn any(case: &Case<'_>, is_so: impl Fn(&SeenToken) -> bool) -> bool {
    case.tokens.iter().any(is_so)
}

pub(crate) fn theirs_is(case: &Case<'_>, expected: u16, word: &str) -> bool {
    matches!(&case.theirs, Outcome::Denied { status, details } if *status == expected && details.contains(word))
}

/// The key sets of the configuration: the documents, or for remote ones the part that distinguishes them.
pub(crate) fn key_sets<'c>(case: &Case<'c>) -> impl Iterator<Item = String> {
    case.providers()
        .filter_map(|provider| match provider.pointer("/local_jwks/inline_string") {
            Some(Value::String(keys)) => Some(keys.clone()),
            _ => crate::listeners::remote_keys(provider.pointer("/remote_jwks/http_uri/uri")?.as_str()?),
        })
}

/// Ours refuses a token, and a key that may have signed it has this property. Theirs accepts it.
pub(crate) fn key_is_refused(case: &Case<'_>, aspect: &Aspect, is_so: impl Fn(&Value) -> bool) -> bool {
    let may_have_signed =
        |key: &Value, token: &SeenToken| match (key["kid"].as_str(), token.header["kid"].as_str()) {
            (Some(own), Some(named)) => own == named,
            _ => true,
        };
    *aspect == Aspect::Decision
        && matches!(
            case.reason(),
            Some("key_unknown" | "signature_invalid" | "algorithm_rejected" | "keys_unavailable")
        )
        && any(case, |token| {
            key_sets(case).any(|document| {
                let document: Value = serde_json::from_str(&document).unwrap_or_default();
                list(&document, "keys").any(|key| may_have_signed(key, token) && is_so(key))
            })
        })
}

/// Whether the member has a value, of another type than a text.
pub(crate) fn is_no_text(key: &Value, name: &str) -> bool {
    key.get(name)
        .is_some_and(|value| !value.is_null() && !value.is_string())
}

pub(crate) fn list<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    value[field].as_array().into_iter().flatten()
}

pub(crate) fn has_default_locations(provider: &Value) -> bool {
    ["from_headers", "from_params", "from_cookies"]
        .iter()
        .all(|field| provider.get(*field).is_none())
}

/// The locations, as header name and prefix; the default included.
pub(crate) fn header_locations<'c>(case: &Case<'c>) -> Vec<(String, &'c str)> {
    let mut found = Vec::new();
    for provider in case.providers() {
        if has_default_locations(provider) {
            found.push(("authorization".to_owned(), "Bearer "));
        }
        for location in list(provider, "from_headers") {
            let name = location["name"].as_str().unwrap_or_default().to_ascii_lowercase();
            found.push((name, location["value_prefix"].as_str().unwrap_or_default()));
        }
    }
    found
}

/// Whether the value of a header in which a provider looks, and its prefix, meet this condition.
pub(crate) fn prefixed(case: &Case<'_>, is_so: impl Fn(&str, &str) -> bool) -> bool {
    // Envoy joins the values of `authorization` with a comma.
    header_locations(case)
        .iter()
        .any(|(name, prefix)| is_so(&case.sent(name).join(","), prefix))
}

/// The number of locations of any provider that contain something.
pub(crate) fn places(case: &Case<'_>) -> usize {
    let mut headers = header_locations(case);
    headers.sort_unstable();
    headers.dedup();
    let mut count: usize = headers.iter().map(|(name, _)| case.sent(name).len()).sum();
    let query = case.request.path.split_once('?').map_or("", |(_, query)| query);
    let cookies = case.sent("cookie").join("; ");
    for (field, pairs, separator) in [
        ("from_params", query, "&"),
        ("from_cookies", cookies.as_str(), "; "),
    ] {
        let mut names: Vec<&str> = case
            .providers()
            .flat_map(|provider| list(provider, field))
            .filter_map(Value::as_str)
            .collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            count += pairs
                .split(separator)
                .filter(|pair| pair.split('=').next() == Some(name))
                .count();
        }
    }
    count
}

/// A header that differs, with what each filter forwards.
pub(crate) fn header<'a>(
    case: &'a Case<'_>,
    aspect: &'a Aspect,
) -> Option<(&'a str, &'a [String], Vec<String>)> {
    let Aspect::Header(name) = aspect else { return None };
    let (ours, theirs) = case.both_forward()?;
    let ours = ours.headers.get(name).map_or(&[][..], Vec::as_slice);
    Some((name, ours, theirs.headers.get(name).cloned().unwrap_or_default()))
}

/// Whether any provider fills the header.
pub(crate) fn owned(case: &Case<'_>, name: &str) -> bool {
    let is_it = |value: &Value| {
        value
            .as_str()
            .is_some_and(|known| known.eq_ignore_ascii_case(name))
    };
    case.providers().any(|provider| {
        is_it(&provider["forward_payload_header"])
            || list(provider, "claim_to_headers").any(|entry| is_it(&entry["header_name"]))
    })
}

/// Whether the name is another spelling of a header of the configuration to some servers.
pub(crate) fn is_other_spelling(case: &Case<'_>, name: &str) -> bool {
    let fold = |name: &str| -> String {
        name.chars()
            .map(|letter| match letter.is_ascii_alphanumeric() {
                true => letter.to_ascii_lowercase(),
                false => '_',
            })
            .collect()
    };
    let owned = case.providers().flat_map(|provider| {
        let claims = list(provider, "claim_to_headers").map(|entry| &entry["header_name"]);
        claims.chain([&provider["forward_payload_header"]])
    });
    let mut known: Vec<String> = owned.filter_map(Value::as_str).map(str::to_owned).collect();
    known.extend(header_locations(case).into_iter().map(|(name, _)| name));
    known
        .iter()
        .any(|known| fold(known) == fold(name) && !known.eq_ignore_ascii_case(name))
}

/// Whether something in the query or in the cookies is a token to some servers, and not to jwt_authn.
pub(crate) fn has_lookalike(case: &Case<'_>) -> bool {
    let fold = |text: &str| text.replace(['.', ' ', '+', '['], "_");
    let query = case.request.path.split_once('?').map_or("", |(_, query)| query);
    let cookies = case.sent("cookie").join("; ");
    [
        ("from_params", query, "&"),
        ("from_cookies", cookies.as_str(), ";"),
    ]
    .into_iter()
    .any(|(field, text, separator)| {
        case.providers()
            .flat_map(|provider| list(provider, field))
            .filter_map(Value::as_str)
            .any(|name| {
                text.split(separator).map(str::trim).any(|pair| {
                    let key = decoded(pair.split('=').next().unwrap_or_default());
                    key != name
                        && (fold(&key) == fold(name)
                            || pair
                                .split([';', ',', ' ', '\t'])
                                .any(|part| part.split('=').next() == Some(name)))
                })
            })
    })
}

/// The claims that any provider writes to the header.
pub(crate) fn claims_for<'a>(case: &Case<'a>, name: &'a str) -> impl Iterator<Item = &'a str> {
    case.providers()
        .flat_map(|provider| list(provider, "claim_to_headers"))
        .filter(move |entry| {
            entry["header_name"]
                .as_str()
                .is_some_and(|known| known.eq_ignore_ascii_case(name))
        })
        .filter_map(|entry| entry["claim_name"].as_str())
}

/// An audience of the token is one of the configuration, but for its scheme or its last slash.
pub(crate) fn audience_is_alike(case: &Case<'_>, token: &SeenToken) -> bool {
    let alike = |text: &str| {
        let text = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .unwrap_or(text);
        text.strip_suffix('/').unwrap_or(text).to_owned()
    };
    let of_token: Vec<&str> = match &token.claims["aud"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let mut known = Vec::new();
    audiences(case.config, &mut known);
    of_token.iter().any(|text| {
        known
            .iter()
            .any(|known| known != text && alike(known) == alike(text))
    })
}

/// Every audience that the configuration names, providers and requirements alike.
pub(crate) fn audiences<'c>(config: &'c Value, found: &mut Vec<&'c str>) {
    match config {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "audiences" {
                    found.extend(value.as_array().into_iter().flatten().filter_map(Value::as_str));
                } else {
                    audiences(value, found);
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| audiences(element, found)),
        _ => {}
    }
}

/// Our cookies are theirs without the cookies in which providers look.
pub(crate) fn cookies_without_tokens(case: &Case<'_>, ours: &[String], theirs: &[String]) -> bool {
    let names: Vec<&str> = case
        .providers()
        .flat_map(|provider| list(provider, "from_cookies"))
        .filter_map(Value::as_str)
        .collect();
    let split = |values: &[String]| -> Vec<String> {
        values
            .iter()
            .flat_map(|value| value.split("; "))
            .map(str::to_owned)
            .collect()
    };
    let ours = split(ours);
    let mut left = ours.iter();
    split(theirs).iter().all(|pair| {
        let is_token = names.contains(&pair.split('=').next().unwrap_or_default());
        left.as_slice().first() == Some(pair) && left.next().is_some() || is_token
    }) && left.as_slice().is_empty()
}

/// The path, and its decoded parameters without order.
pub(crate) fn parameters(path: &str) -> (String, BTreeMap<String, Vec<String>>) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty() && *pair != "=") {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        found.entry(decoded(name)).or_default().push(decoded(value));
    }
    (path.to_owned(), found)
}

/// A header field or a parameter that some rule looks at has several values, or one that is spelt otherwise.
pub(crate) fn is_read_in_several_ways(case: &Case<'_>) -> bool {
    let rules = || list(case.config, "rules");
    let names = |field: &'static str| {
        rules()
            .flat_map(move |rule| list(&rule["match"], field))
            .filter_map(|matcher| matcher["name"].as_str())
    };
    let has_several = names("headers").any(|name| {
        let values = case.sent(name);
        values.len() > 1 || values.iter().any(|value| value.contains(','))
    });
    let query = case.request.path.split_once('?').map_or("", |(_, query)| query);
    let found = parameters(&case.request.path).1;
    has_several
        || names("query_parameters").any(|name| {
            let is_repeated = found.get(name).is_some_and(|values| values.len() > 1);
            is_repeated || found.contains_key(name) && query.contains(['%', '+']) || query.contains(';')
        })
}

pub(crate) fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut rest = bytes.clone();
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (byte, digit(rest.next()), digit(rest.next())) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).expect("a byte"));
                bytes = rest;
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether the path equals the other one without some of its parameters.
pub(crate) fn is_cut_from(cut: &str, whole: &str) -> bool {
    let parts = |path: &str| -> Vec<String> { path.split(['?', '&']).map(str::to_owned).collect() };
    let mut left = parts(whole).into_iter();
    parts(cut)
        .iter()
        .all(|part| left.any(|candidate| candidate == *part))
}

/// The first value as a number.
pub(crate) fn number(values: &[String]) -> Option<f64> {
    values.first()?.parse().ok()
}

/// Some `requires_all` names a provider twice.
pub(crate) fn asks_twice(config: &Value) -> bool {
    match config {
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            let mut named = stricter::named(&json!({name: value}));
            let count = named.len();
            named.sort_unstable();
            named.dedup();
            name == "requires_all" && named.len() < count || asks_twice(value)
        }),
        Value::Array(elements) => elements.iter().any(asks_twice),
        _ => false,
    }
}
