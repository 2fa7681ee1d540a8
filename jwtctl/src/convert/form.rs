//! The form of the resources of Istio and Envoy Gateway that a conversion reads.
//!
//! A control plane refuses a resource of another form, or leaves the field out. A conversion that reads past
//! such a field could let requests pass that the policy was written to refuse, so each is an error.

use proxy_wasm_jwt::config::nearest;

use super::notes::Notes;
use crate::source::{Node, Place, Value};

/// The form of a value.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// The conversion does not read it, or its own messages describe it.
    Any,
    Text,
    Bool,
    /// One of these texts.
    One(&'static [&'static str]),
    Texts,
    Object(&'static Fields),
    Objects(&'static Fields),
}

/// The fields of an object.
pub(super) struct Fields {
    all: &'static [(&'static str, Form)],
    /// At least one field of each of these groups has a value.
    needs: &'static [&'static [&'static str]],
}

const fn fields(all: &'static [(&'static str, Form)], needs: &'static [&'static [&'static str]]) -> Fields {
    Fields { all, needs }
}

use Form::{Any, Bool, Object, Objects, One, Text, Texts};

const SELECTOR: Fields = fields(&[("matchLabels", Any)], &[]);

pub(super) const REQUEST_AUTHENTICATION: Fields = fields(
    &[
        ("selector", Object(&SELECTOR)),
        ("targetRef", Any),
        ("targetRefs", Any),
        ("jwtRules", Objects(&JWT_RULE)),
    ],
    &[],
);

const JWT_RULE: Fields = fields(
    &[
        ("issuer", Text),
        ("audiences", Texts),
        ("jwksUri", Text),
        ("jwks_uri", Text),
        ("jwks", Text),
        (
            "fromHeaders",
            Objects(&fields(&[("name", Text), ("prefix", Text)], &[&["name"]])),
        ),
        ("fromParams", Texts),
        ("fromCookies", Texts),
        ("outputPayloadToHeader", Text),
        ("outputClaimToHeaders", Objects(&CLAIM_TO_HEADER)),
        ("forwardOriginalToken", Bool),
        ("spaceDelimitedClaims", Texts),
        ("timeout", Any),
    ],
    &[],
);

/// Istio and Envoy Gateway name these fields alike.
const CLAIM_TO_HEADER: Fields = fields(&[("header", Text), ("claim", Text)], &[&["header"], &["claim"]]);

pub(super) const AUTHORIZATION_POLICY: Fields = fields(
    &[
        ("selector", Object(&SELECTOR)),
        ("targetRef", Any),
        ("targetRefs", Any),
        ("action", One(&["ALLOW", "DENY", "AUDIT", "CUSTOM"])),
        ("provider", Any),
        ("rules", Objects(&RULE)),
    ],
    &[],
);

const RULE: Fields = fields(
    &[
        (
            "from",
            Objects(&fields(&[("source", Object(&SOURCE))], &[&["source"]])),
        ),
        (
            "to",
            Objects(&fields(&[("operation", Object(&OPERATION))], &[&["operation"]])),
        ),
        ("when", Objects(&CONDITION)),
    ],
    &[],
);

const SOURCE: Fields = fields(
    &[
        ("requestPrincipals", Texts),
        ("notRequestPrincipals", Texts),
        ("principals", Any),
        ("notPrincipals", Any),
        ("namespaces", Any),
        ("notNamespaces", Any),
        ("serviceAccounts", Any),
        ("notServiceAccounts", Any),
        ("trustDomains", Any),
        ("notTrustDomains", Any),
        ("ipBlocks", Any),
        ("notIpBlocks", Any),
        ("remoteIpBlocks", Any),
        ("notRemoteIpBlocks", Any),
    ],
    &[&[
        "requestPrincipals",
        "notRequestPrincipals",
        "principals",
        "notPrincipals",
        "namespaces",
        "notNamespaces",
        "serviceAccounts",
        "notServiceAccounts",
        "trustDomains",
        "notTrustDomains",
        "ipBlocks",
        "notIpBlocks",
        "remoteIpBlocks",
        "notRemoteIpBlocks",
    ]],
);

const OPERATION: Fields = fields(
    &[
        ("hosts", Texts),
        ("notHosts", Texts),
        ("ports", Any),
        ("notPorts", Any),
        ("methods", Texts),
        ("notMethods", Texts),
        ("paths", Texts),
        ("notPaths", Texts),
    ],
    &[&[
        "hosts",
        "notHosts",
        "ports",
        "notPorts",
        "methods",
        "notMethods",
        "paths",
        "notPaths",
    ]],
);

const CONDITION: Fields = fields(
    &[("key", Text), ("values", Texts), ("notValues", Texts)],
    &[&["key"], &["values", "notValues"]],
);

pub(super) const SECURITY_POLICY: Fields = fields(
    &[
        ("targetRef", Any),
        ("targetRefs", Any),
        ("targetSelectors", Any),
        ("mergeType", Any),
        ("cors", Any),
        ("csrf", Any),
        ("basicAuth", Any),
        ("apiKeyAuth", Any),
        ("oidc", Any),
        ("extAuth", Any),
        ("jwt", Object(&JWT)),
        ("authorization", Object(&AUTHORIZATION)),
    ],
    &[],
);

const JWT: Fields = fields(
    &[
        ("optional", Bool),
        ("failOpen", Bool),
        ("providers", Objects(&PROVIDER)),
    ],
    &[],
);

const PROVIDER: Fields = fields(
    &[
        ("name", Text),
        ("issuer", Text),
        ("audiences", Texts),
        ("remoteJWKS", Object(&REMOTE_KEYS)),
        ("localJWKS", Object(&LOCAL_KEYS)),
        ("claimToHeaders", Objects(&CLAIM_TO_HEADER)),
        ("recomputeRoute", Bool),
        ("extractFrom", Object(&LOCATIONS)),
    ],
    &[&["name"]],
);

const REMOTE_KEYS: Fields = fields(
    &[
        ("uri", Text),
        ("backendRef", Any),
        ("backendRefs", Any),
        ("backendSettings", Any),
        ("cacheDuration", Any),
        ("failedRefetchDuration", Any),
    ],
    &[&["uri"]],
);

const LOCAL_KEYS: Fields = fields(&[("type", Any), ("inline", Text), ("valueRef", Any)], &[]);

const LOCATIONS: Fields = fields(
    &[
        (
            "headers",
            Objects(&fields(&[("name", Text), ("valuePrefix", Text)], &[&["name"]])),
        ),
        ("cookies", Texts),
        ("params", Texts),
    ],
    &[],
);

const ACTIONS: Form = One(&["Allow", "Deny"]);

const AUTHORIZATION: Fields = fields(
    &[
        ("defaultAction", ACTIONS),
        ("rules", Objects(&AUTHORIZATION_RULE)),
    ],
    &[],
);

const AUTHORIZATION_RULE: Fields = fields(
    &[
        ("name", Any),
        ("action", ACTIONS),
        (
            "operation",
            Object(&fields(&[("methods", Texts), ("path", Object(&PATH))], &[])),
        ),
        ("principal", Object(&PRINCIPAL)),
    ],
    &[&["action"]],
);

const PATH: Fields = fields(
    &[
        ("type", One(&["Exact", "PathPrefix", "RegularExpression"])),
        ("value", Text),
        ("invert", Bool),
    ],
    &[&["value"]],
);

const PRINCIPAL: Fields = fields(
    &[
        ("clientCIDRs", Any),
        ("clientIPGeoLocations", Any),
        (
            "headers",
            Objects(&fields(
                &[("name", Text), ("values", Texts)],
                &[&["name"], &["values"]],
            )),
        ),
        ("jwt", Object(&JWT_PRINCIPAL)),
    ],
    &[&["clientCIDRs", "clientIPGeoLocations", "headers", "jwt"]],
);

const JWT_PRINCIPAL: Fields = fields(
    &[("provider", Text), ("scopes", Texts), ("claims", Objects(&CLAIM))],
    &[&["provider"], &["scopes", "claims"]],
);

const CLAIM: Fields = fields(
    &[
        ("name", Text),
        ("valueType", One(&["String", "StringArray"])),
        ("values", Texts),
    ],
    &[&["name"], &["values"]],
);

/// Reports each difference of the specification of a resource from its form.
pub(super) fn check(resource: &Node, form: &'static Fields, notes: &mut Notes) {
    duplicates(resource, notes);
    if let Some(spec) = resource.get("spec") {
        object(spec, form, notes);
    }
}

fn duplicates(node: &Node, notes: &mut Notes) {
    let mut known: Vec<&str> = Vec::new();
    for (key, value) in node.members() {
        match known.contains(&&*key.name) {
            true => notes.fault(
                "duplicate",
                &key.place,
                format!("`{}` occurs twice in the same object", key.name),
            ),
            false => known.push(&key.name),
        }
        duplicates(value, notes);
    }
    for element in node.elements() {
        duplicates(element, notes);
    }
}

fn object(node: &Node, form: &'static Fields, notes: &mut Notes) {
    if !matches!(node.value, Value::Map(_)) {
        wrong(node, "an object", notes);
        return;
    }
    let mut is_known = true;
    for (key, value) in node.members() {
        match form.all.iter().find(|(name, _)| *name == key.name) {
            Some((_, form)) if value.value != Value::Null => each(value, *form, notes),
            Some(_) => {}
            None => {
                is_known = false;
                unknown(&key.name, &key.place, form, notes);
            }
        }
    }
    if !is_known {
        return;
    }
    let is_empty = |name: &&str| match node.get(name).map(|found| &found.value) {
        None => true,
        Some(Value::Text(text)) => text.is_empty(),
        Some(Value::List(all)) => all.is_empty(),
        Some(Value::Map(members)) => members.is_empty(),
        Some(_) => false,
    };
    for group in form.needs.iter().filter(|group| group.iter().all(is_empty)) {
        let message = match group {
            [one] => format!("`{one}` is missing"),
            [one, other] => format!("`{one}` or `{other}` is missing"),
            _ => "it says nothing, and the control plane refuses that".to_owned(),
        };
        notes.fault("missing", &node.place, message);
    }
}

fn each(node: &Node, form: Form, notes: &mut Notes) {
    match (form, &node.value) {
        (Any, _) | (Text, Value::Text(_)) | (Bool, Value::Bool(_)) => {}
        (Text, _) => wrong(node, "a string", notes),
        (Bool, _) => wrong(node, "true or false", notes),
        (One(allowed), Value::Text(text)) if allowed.contains(&&**text) => {}
        (One(allowed), _) => {
            let all: Vec<String> = allowed.iter().map(|one| format!("`{one}`")).collect();
            notes.fault(
                "not-one-of",
                &node.place,
                format!("it must be one of {}", all.join(", ")),
            );
        }
        (Texts, Value::List(all)) => {
            for one in all {
                each(one, Text, notes);
            }
        }
        (Texts, _) => wrong(node, "a list of strings", notes),
        (Object(form), _) => object(node, form, notes),
        (Objects(form), Value::List(all)) => {
            for one in all {
                object(one, form, notes);
            }
        }
        (Objects(_), _) => wrong(node, "a list of objects", notes),
    }
}

fn wrong(node: &Node, expected: &str, notes: &mut Notes) {
    let found = match &node.value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::Text(_) => "a string",
        Value::List(_) => "a list",
        Value::Map(_) => "an object",
    };
    let advice = match (expected, &node.value) {
        ("a string", Value::Number(_) | Value::Bool(_)) => "; write it in quotes",
        ("true or false", Value::Text(_)) => "; write true or false, without quotes",
        ("a list of strings", Value::Text(_)) => "; write it in brackets, as in `[a, b]`",
        ("a list of objects", Value::Map(_)) => "; write `- ` before its first field",
        _ => "",
    };
    notes.fault(
        "wrong-type",
        &node.place,
        format!("expected {expected}, found {found}{advice}"),
    );
}

/// A name without a meaning. The control plane leaves such a field out, or knows it and the conversion does
/// not.
fn unknown(name: &str, place: &Place, form: &'static Fields, notes: &mut Notes) {
    let known: Vec<&str> = form.all.iter().map(|(known, _)| *known).collect();
    match nearest(name, &known) {
        Some(nearest) => notes.fault(
            "unknown-field",
            place,
            format!("unknown field `{name}`; did you mean `{nearest}`?"),
        ),
        None => notes.lost(
            place,
            format!("`{name}` is not converted; check whether you need it"),
        ),
    }
}
