//! The advice in messages: the field that the author probably meant, an example, or the nearest name.

/// Words for fields that have another name here: the word, the field, and the advice.
const MEANT: &[(&str, &str, &str)] = &[
    ("value", "equals", "equals"),
    ("value", "exact_match", "exact_match"),
    ("value", "string_match", "string_match"),
    ("values", "any_of", "any_of"),
    ("in", "any_of", "any_of"),
    ("not", "invert", "invert: true"),
    ("not_equals", "invert", "equals, with invert: true"),
    ("safe_regex", "regex", "regex"),
    ("shadow", "mode", "mode: shadow"),
    ("dry_run", "mode", "mode: shadow"),
    ("header", "value_prefix", "name"),
    ("iss", "issuer", "issuer"),
    ("aud", "audiences", "audiences"),
    ("alg", "algorithms", "algorithms"),
    ("typ", "token_types", "token_types"),
    ("exact", "equals", "equals"),
    ("exact", "path", "path"),
    ("uri", "path", "path"),
    ("path_prefix", "path", "prefix"),
    ("sub", "subject", "subject"),
    ("provider", "requires", "requires: {provider_name: …}"),
    ("provider", "provider_name", "provider_name"),
    ("requirement", "requires", "requirement_name"),
    ("inline", "inline_string", "inline_string"),
];

/// The advice for fields of other products, and for our fields in a wrong place. Each line has their names
/// without `_`, `-`, `@` and capitals, then a field that is valid in that place, then the advice. This is one
/// text, because a table would cost the module 24 bytes for each text.
const ADVICE: &str = "\
name|backend|write the cluster's name itself, as in cluster: idp
type enabled||leave it out
jwtrules|providers|each of its entries is one of `providers`
config configuration value pluginconfig|providers|write what is in it here
apiversion kind metadata spec selector phase failurepolicy vmconfig rootid runtime code|providers|it belongs to Envoy or Kubernetes, around the filter's configuration
excludepaths publicpaths skippaths|providers|write a rule without `requires`: `{match: {prefix: /public/}}`
defaultaction failuremodeallow failopen onfailure|providers|leave it out: what no rule allows is refused, whatever fails
loglevel log logging debug|providers|Envoy sets it: `--component-log-level wasm:debug`
clusters|providers|it belongs to Envoy's `static_resources`
jwksuri jwksurl jwkseturi jwkuri uri url|remote_jwks|write `remote_jwks: {http_uri: {uri: …, cluster: …}}`
jwks publickey rsapublickey certificate|remote_jwks|write a JWKS document: `local_jwks: {inline_string: …}`
secret clientsecret hmacsecret|remote_jwks|leave it out; the filter never accepts tokens of a shared secret
leeway clockskew skew|remote_jwks|write `clock_skew_seconds: 60`
outputclaimtoheaders claimheaders|remote_jwks|write `claim_to_headers: [{claim_name: …, header_name: …}]`
outputpayloadtoheader|remote_jwks|write `forward_payload_header`
forwardoriginaltoken forwardtoken|remote_jwks|write `forward: true`
extractfrom fromquery query querystring headername|remote_jwks|write `from_headers`, `from_params` or `from_cookies`
verifyexp ignoreexpiration|remote_jwks|write `require_expiration: false`
recomputeroute|remote_jwks|write `clear_route_cache`
scopes scopesrequired requiredscopes scope roles role claims|remote_jwks|write `authorize`, here or in a rule
clientid azp|remote_jwks|write `audiences`, or `authorize: {claims: [{claim_name: azp, equals: …}]}`
name|remote_jwks|leave it out: a provider's name is its key in `providers`
tls insecureskipverify sslskipverify|remote_jwks|it belongs to the cluster's `transport_socket`
cacheduration jwkscache cachettl ttl timeout jwkstimeout cluster|remote_jwks|it belongs in `remote_jwks` or `discovery`
ttl|stale_if_error|write `cache_duration` in `remote_jwks` or `discovery`
uri cluster|http_uri|it belongs in `http_uri`: `http_uri: {uri: …, cluster: …}`
path file|inline_string|write the document itself into `inline_string`
headers|cluster|the cluster's `credential_injector` adds them to each request
uri|inline_string|to fetch keys, write `remote_jwks: {http_uri: {uri: …, cluster: …}}`
jwksuri jwksurl|clusters|leave it out, the document has it; or write `remote_jwks`
status code statuscode headers|realm|leave it out: the filter chooses it for each reason
keys|inline_string|write the whole document as text: `inline_string: '{\"keys\": […]}'`
paths any or anyof|prefix|write a list: `match: [{path: /a}, {prefix: /b/}]`
domains domain|prefix|write `hosts`
notpaths notmethods nothosts|prefix|write `not: {path: /a}`
providers|provider_name|write `provider_name`, or `requires_any: {requirements: [{provider_name: …}]}`
providers|requires|write `requires: {requires_any: {requirements: [{provider_name: …}]}}`
providername|requirements|write `requirements: [{provider_name: …}]`
audiences|provider_name|write `provider_and_audiences: {provider_name: …, audiences: […]}`
scopes scope claims roles role groups permissions|provider_name|write it in the rule's `authorize`, beside `requires`
requires|provider_name|write what is in it here
roles role groups permissions|scopes|write `claims: [{claim_name: roles, any_of: [admin]}]`
roles role groups permissions claims|requires|write `authorize: {claims: [{claim_name: roles, …}]}`
scope scopes authorization|requires|write `authorize: {scopes: {all: […]}}`
audience audiences aud|requires|it belongs in a provider, or in `provider_and_audiences`
required values|all|write `all` or `any`
role roles groups email sub|equals_request|write `claim_name: role, any_of: […]`
method methods path prefix|requires|write it in `match`
to when from action|requires|write `match`, `requires`, `authorize` or `deny: true`
disabled skip auth anonymous allow allowanonymous|requires|a rule without `requires` needs no token
";

/// The advice for a field that has another name or another place here.
pub(super) fn advice(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let mut plain = name.to_ascii_lowercase();
    plain.retain(|letter| letter != '_' && letter != '-' && letter != '@');
    line_of(ADVICE, &mut |line| {
        let (names, rest) = line.split_once('|')?;
        let (beside, advice) = rest.split_once('|')?;
        let is_it =
            names.split(' ').any(|field| field == plain) && (beside.is_empty() || known.contains(&beside));
        is_it.then_some(advice)
    })
}

/// The field that the author of an unknown field probably meant. If a field `is_at_home` elsewhere, it is not
/// a misspelling of another field.
pub(super) fn meant(name: &str, known: &[&'static str], is_at_home: bool) -> Option<&'static str> {
    MEANT
        .iter()
        .find(|(word, field, _)| *word == name && known.contains(field))
        .map(|(_, _, meant)| *meant)
        .or_else(|| match is_at_home {
            true => part_of(&name.to_ascii_lowercase(), known),
            false => nearest(name, known),
        })
}

/// An example of each field, one per line, for a field with a value of the wrong type.
const FORMS: &str = "\
allow_missing|{}
allow_missing_or_failed|{}
authorize|{scopes: {all: [orders:read]}}
binding|{mtls: required}, or `off`
claim_path|[{key: realm_access}, {key: roles}]
claim_to_headers|[{claim_name: sub, header_name: x-jwt-sub}]
claims|[{claim_name: role, any_of: [admin]}]
cluster|idp, the name of a cluster in Envoy's configuration
discovery|{cluster: idp}
dpop|{required: true}
equals|admin; for several, `any_of: [admin]`
equals_request|{path_template: \"/tenants/{tenant}/**\", variable: tenant}
filter_state|{subject: true}
from_cookies|[session]
from_headers|[{name: x-token}]
from_params|[access_token]
headers|[{name: x-a, string_match: {exact: b}}]
issuer|https://idp.example.com
key_cache|{stale_if_error: 1h}
limits|{max_token_bytes: 8192}
http_uri|{uri: https://idp.example.com/jwks, cluster: idp}
inline_string|'{\"keys\": […]}', as text
local_jwks|{inline_string: '{\"keys\": […]}'}
match|{prefix: /}
match.path|/a; for several, `match: [{path: /a}, {path: /b}]`
match.prefix|/a/; for several, `match: [{prefix: /a/}, {prefix: /b/}]`
protected_resource|{resource: https://api.example.com/}
providers|{corp: {issuer: https://idp.example.com, …}}
provider_and_audiences|{provider_name: corp, audiences: [api]}
provider_name|corp; for several, `requires_any: {requirements: [{provider_name: corp}]}`
query_parameters|[{name: a, string_match: {exact: b}}]
remote_jwks|{http_uri: {uri: https://idp.example.com/jwks, cluster: idp}}
requirement_map|{staff: {provider_name: corp}}
requirements|[{provider_name: corp}]
requires|{provider_name: corp}
retry_policy|{num_retries: 1}
requires_all|{requirements: [{provider_name: corp}]}
requires_any|{requirements: [{provider_name: corp}]}
response|{realm: api, body: json}
rules|[{match: {prefix: /}, requires: {provider_name: corp}}]
safe_regex|{regex: \"a.*\"}
scopes|{all: [orders:read]}
secret|{inline_string: …}
shared_data|{secret: {inline_string: …}}
string_match|{exact: a}
subjects|{prefix: \"service-\"}
";

/// The form of a provider.
const PROVIDER: &str = "{issuer: …, audiences: […], discovery: {cluster: idp}}";

/// The form of the field at this path, if it is known.
pub(super) fn form(path: &str) -> Option<&'static str> {
    let field = path.trim_end_matches(|letter: char| !letter.is_ascii_lowercase());
    // The names of this map are the operator's own.
    let field = match field.strip_prefix("requirement_map.") {
        Some(name) if !name.contains('.') => "requires",
        _ => match field.strip_prefix("providers.") {
            Some(name) if !name.contains('.') => return Some(PROVIDER),
            _ => field,
        },
    };
    line_of(FORMS, &mut |line| {
        let (name, form) = line.split_once('|')?;
        let rest = field.strip_suffix(name)?;
        (rest.is_empty() || rest.ends_with('.')).then_some(form)
    })
}

/// The entry in a line of a table.
fn line_of(
    table: &'static str,
    find: &mut dyn FnMut(&'static str) -> Option<&'static str>,
) -> Option<&'static str> {
    table.split('\n').find_map(find)
}

/// The advice for a value of another type, for any field.
pub(super) fn rewritten(expected: &str, found: &str) -> Option<&'static str> {
    match (expected, found) {
        ("true or false", "a string" | "a number") => Some("write true or false, without quotes"),
        ("a whole number", "a string") => Some("write the number alone, without quotes and unit"),
        ("a string", "a number" | "a boolean") => Some("write it in quotes"),
        ("a string", "a list") => Some("write one, without a list"),
        ("a list", _) => Some("[a, b]"),
        (_, "null") => Some("write a value, or leave it out"),
        _ => None,
    }
}

/// The candidate that a misspelt name probably means: at most a third of its letters differ, or it is a part
/// of the candidate, as `prefix` is of `value_prefix`.
#[must_use]
pub fn nearest<'c>(name: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let name = name.to_ascii_lowercase();
    let allowed = (name.chars().count() / 3).max(1);
    let misspelt = candidates
        .iter()
        .map(|candidate| {
            (
                strsim::osa_distance(&name, &candidate.to_ascii_lowercase()),
                *candidate,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate);
    misspelt.or_else(|| part_of(&name, candidates))
}

/// The shortest candidate whose name contains this word.
fn part_of<'c>(name: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let words = format!("_{name}_");
    candidates
        .iter()
        .copied()
        .filter(|candidate| name.len() > 2 && format!("_{candidate}_").contains(&words))
        .min_by_key(|candidate| candidate.len())
}
