//! Clients with every kind of token that rules distinguish, and requests from the boundaries of the rules.

use std::collections::HashSet;
use std::rc::Rc;

use minting::{Algorithm, SigningKey, Token, jwks, tamper_signature};
use serde_json::{Map, Value as Json, json};

use crate::core::{self, Config, Request};
use crate::policy::{self, Loaded};
use crate::source::{Node, Value, snake_case};

/// The issuers of a configuration, with keys of our own instead of theirs.
#[derive(Debug)]
pub(crate) struct Issuers {
    keys: Vec<(String, SigningKey)>,
}

impl Issuers {
    /// A key for each provider of these configurations, of an algorithm that it accepts.
    pub(crate) fn new(configs: &[&Config]) -> Result<Self, String> {
        let mut keys: Vec<(String, SigningKey)> = Vec::new();
        for config in configs {
            for name in core::providers(config) {
                if keys.iter().any(|(known, _)| *known == name) {
                    continue;
                }
                let accepted = core::algorithms(config, &name);
                // Keys of the first algorithms take less time to make.
                let algorithm = ["EdDSA", "ES256", "ES384", "ES512"]
                    .into_iter()
                    .find(|name| accepted.contains(name))
                    .or_else(|| accepted.first().copied())
                    .ok_or_else(|| format!("the provider {name} accepts no algorithm"))?;
                let algorithm: Algorithm = algorithm.parse()?;
                let key = SigningKey::generate(algorithm, Some(&name));
                keys.push((name, key));
            }
        }
        Ok(Self { keys })
    }

    pub(crate) fn key(&self, provider: &str) -> Option<&SigningKey> {
        self.keys
            .iter()
            .find(|(name, _)| name == provider)
            .map(|(_, key)| key)
    }

    /// The configuration with these keys.
    pub(crate) fn equip(&self, loaded: &Loaded) -> Result<Loaded, String> {
        let mut node = loaded.node.clone();
        // Each provider gets all keys: providers of one issuer share keys, and `iss` separates the others.
        let all: Vec<&SigningKey> = self.keys.iter().map(|(_, key)| key).collect();
        let document = jwks(&all).to_string();
        for name in core::providers(&loaded.config) {
            policy::set_keys(&mut node, &name, &document);
        }
        let config = core::parse(&node, false).map_err(|error| format!("with keys of its own: {error}"))?;
        Ok(Loaded {
            node,
            config: Rc::new(config),
        })
    }

    /// A token that the provider accepts, with these additional claims.
    pub(crate) fn token(
        &self,
        loaded: &Loaded,
        provider: &str,
        claims: &Map<String, Json>,
        now: i64,
    ) -> Option<Token> {
        let key = self.key(provider)?;
        let expected = core::expected(&loaded.config, Some(provider))?;
        let mut token = Token::new(key)
            .claims(Json::Object(expected.claims.into_iter().collect()))
            .claim("sub", subject(&loaded.node, provider))
            .claim("iat", now)
            .claim("exp", now.saturating_add(300))
            .claims(Json::Object(claims.clone()));
        if let Some(token_type) = expected.token_type {
            token = token.header("typ", token_type);
        }
        Some(token)
    }
}

/// A subject that `subjects` accepts, if one can be found.
fn subject(node: &Node, provider: &str) -> String {
    let subjects = node.at(&["providers", provider, "subjects"]);
    let of = |name: &str| {
        subjects
            .and_then(|subjects| subjects.text_at(&[name]))
            .map(str::to_owned)
    };
    of("exact")
        .or_else(|| of("prefix").map(|prefix| format!("{prefix}alice")))
        .or_else(|| of("suffix").map(|suffix| format!("alice{suffix}")))
        .or_else(|| of("contains"))
        .unwrap_or_else(|| "alice".to_owned())
}

/// A client, with the properties that rules distinguish.
#[derive(Clone, Debug)]
pub(crate) struct Persona {
    pub(crate) name: String,
    /// The provider of its token.
    pub(crate) provider: Option<String>,
    pub(crate) claims: Map<String, Json>,
    pub(crate) is_forged: bool,
    /// `exp` in seconds from now, where it is another than that of a fresh token.
    pub(crate) expires_in: Option<i64>,
    /// Which of the configurations its issuer is that of, where they expect different tokens.
    pub(crate) of: usize,
}

impl Persona {
    /// The token that it sends.
    pub(crate) fn token(&self, issuers: &Issuers, loaded: &[&Loaded], now: i64) -> Option<String> {
        let provider = self.provider.as_deref()?;
        let has = |loaded: &&&Loaded| {
            core::providers(&loaded.config)
                .iter()
                .any(|name| name == provider)
        };
        let of = loaded
            .get(self.of)
            .filter(has)
            .or_else(|| loaded.iter().find(has))?;
        let mut token = issuers.token(of, provider, &self.claims, now)?;
        if let Some(seconds) = self.expires_in {
            token = token.claim("exp", now.saturating_add(seconds));
        }
        for (name, _) in self.claims.iter().filter(|(_, value)| value.is_null()) {
            token = token.without_claim(name);
        }
        let token = token.mint();
        Some(if self.is_forged {
            tamper_signature(&token)
        } else {
            token
        })
    }
}

/// A client without a token; for each provider, a client with a plain token and one with all claims that any
/// rule requires; and a client with a forged token.
pub(crate) fn personas(all: &[&Loaded]) -> Vec<Persona> {
    let mut personas = vec![Persona {
        name: "no token".to_owned(),
        provider: None,
        claims: Map::new(),
        is_forged: false,
        expires_in: None,
        of: 0,
    }];
    let mut providers: Vec<String> = Vec::new();
    let mut claims = Map::new();
    for loaded in all {
        for name in core::providers(&loaded.config) {
            if !providers.contains(&name) {
                providers.push(name);
            }
        }
        loaded.node.walk(&mut |node| {
            if let Some(authorize) = node.get("authorize") {
                ask(authorize, &mut claims);
            }
        });
    }
    for name in &providers {
        personas.push(Persona {
            name: name.clone(),
            provider: Some(name.clone()),
            claims: Map::new(),
            is_forged: false,
            expires_in: None,
            of: 0,
        });
        if !claims.is_empty() {
            personas.push(Persona {
                name: format!("{name}, all claims"),
                provider: Some(name.clone()),
                claims: claims.clone(),
                is_forged: false,
                expires_in: None,
                of: 0,
            });
        }
    }
    if let Some(name) = providers.first() {
        personas.push(Persona {
            name: "forged".to_owned(),
            provider: Some(name.clone()),
            claims,
            is_forged: true,
            expires_in: None,
            of: 0,
        });
    }
    personas
}

/// What two policies may tell apart: the same clients, and for each provider as each configuration expects
/// its tokens, and for each `authorize`, a client that has what it asks for. Each of these also with one
/// claim otherwise: each value, each scope, each audience, another one, and none.
pub(crate) fn finer(all: &[&Loaded]) -> Vec<Persona> {
    const MOST_PERSONAS: usize = 400;
    let mut found = personas(all);
    let mut bases: Vec<Persona> = found
        .iter()
        .filter(|persona| persona.provider.is_some() && !persona.is_forged)
        .filter(|persona| {
            let is_plain = persona.claims.is_empty();
            // If there are conditions, the plain token meets none of them.
            !is_plain
                || !found.iter().any(|other| {
                    other.provider == persona.provider && !other.claims.is_empty() && !other.is_forged
                })
        })
        .cloned()
        .collect();
    for (of, loaded) in all.iter().enumerate().skip(1) {
        let issued_anew: Vec<Persona> = bases
            .iter()
            .filter(|base| base.of == 0)
            .filter_map(|base| {
                let provider = base.provider.as_deref()?;
                let expectations = |loaded: &Loaded| {
                    let subject = subject(&loaded.node, provider);
                    core::expected(&loaded.config, Some(provider)).map(|one| (one, subject))
                };
                let new = expectations(loaded)?;
                let old = all.first().and_then(|first| expectations(first))?;
                (old != new).then(|| Persona {
                    name: format!("{}, as the new file expects it", base.name),
                    of,
                    ..base.clone()
                })
            })
            .collect();
        found.extend(issued_anew.iter().cloned());
        bases.extend(issued_anew);
    }
    let audiences = |provider: &str| {
        let mut audiences: Vec<String> = Vec::new();
        for loaded in all {
            audiences.extend(core::audiences(&loaded.config, provider));
            loaded.node.walk(&mut |node| {
                if node.text_at(&["provider_name"]) == Some(provider) {
                    let of_rule = node.get("audiences").map_or(&[][..], Node::elements);
                    audiences.extend(of_rule.iter().filter_map(Node::text).map(str::to_owned));
                }
            });
        }
        audiences.sort();
        audiences.dedup();
        audiences
    };
    // For every audience that any rule accepts, so that what else differs shows.
    let for_all = |mut persona: Persona| {
        let accepted = audiences(persona.provider.as_deref().unwrap_or_default());
        if !accepted.is_empty() {
            persona.claims.insert("aud".to_owned(), json!(accepted));
        }
        persona
    };
    let plain: Vec<Persona> = found
        .iter()
        .filter(|persona| persona.provider.is_some() && persona.claims.is_empty())
        .cloned()
        .map(for_all)
        .collect();
    let bases: Vec<Persona> = bases.into_iter().map(for_all).collect();
    let values = values_of_claims(all);
    let mut add = |persona: Persona| {
        let is_known = |known: &Persona| {
            (
                &known.provider,
                &known.claims,
                known.is_forged,
                known.expires_in,
                known.of,
            ) == (
                &persona.provider,
                &persona.claims,
                persona.is_forged,
                persona.expires_in,
                persona.of,
            )
        };
        if !found.iter().any(is_known) {
            found.push(persona);
        }
    };
    for base in &bases {
        let provider = base.provider.clone().unwrap_or_default();
        let mut limits: Vec<Vec<i64>> = all
            .iter()
            .map(|loaded| core::limits_of_exp(&loaded.config, &provider))
            .collect();
        limits.dedup();
        // Where they agree, they tell nothing apart.
        for seconds in limits.iter().filter(|_| limits.len() > 1).flatten() {
            add(Persona {
                name: format!("{provider}, exp in {seconds} s"),
                expires_in: Some(*seconds),
                ..base.clone()
            });
        }
        let mut vary = |what: String, name: &str, value: Json| {
            let mut persona = base.clone();
            persona.claims.insert(name.to_owned(), value);
            let whose = if base.of == 0 { &*provider } else { &*base.name };
            persona.name = format!("{whose}, {what}");
            add(persona);
        };
        for audience in audiences(&provider) {
            vary(format!("aud {audience}"), "aud", json!(audience));
        }
        vary(
            "for another audience".to_owned(),
            "aud",
            json!("jwtctl-another-audience"),
        );
        vary("without exp".to_owned(), "exp", Json::Null);
        vary("without sub".to_owned(), "sub", Json::Null);
        vary("sub of another".to_owned(), "sub", json!("jwtctl-another"));
        for (name, value) in &base.claims {
            if let Json::String(scopes) = value {
                for scope in scopes.split(' ') {
                    let others: Vec<&str> = scopes.split(' ').filter(|other| *other != scope).collect();
                    vary(format!("without {scope}"), name, json!(others.join(" ")));
                    vary(format!("with only {scope}"), name, json!(scope));
                }
                vary(format!("without {name}"), name, Json::Null);
            }
        }
        for (path, values) in &values {
            let Some((name, rest)) = path.split_first() else {
                continue;
            };
            let called = path.join(".");
            for value in values {
                vary(format!("{called} {value}"), name, nested(rest, value.clone()));
            }
            if values.len() > 1 {
                vary(
                    format!("{called} with all values"),
                    name,
                    nested(rest, json!(values)),
                );
            }
            vary(
                format!("{called} of another"),
                name,
                nested(rest, json!("jwtctl-another")),
            );
            vary(format!("without {called}"), name, Json::Null);
        }
    }
    for base in &plain {
        let provider = base.provider.clone().unwrap_or_default();
        let mut vary = |what: &str, name: &str, value: Json| {
            let mut persona = base.clone();
            persona.claims.insert(name.to_owned(), value);
            persona.name = format!("{provider} without claims, {what}");
            add(persona);
        };
        for audience in audiences(&provider) {
            vary(&format!("aud {audience}"), "aud", json!(audience));
        }
        vary("for another audience", "aud", json!("jwtctl-another-audience"));
        vary("sub of another", "sub", json!("jwtctl-another"));
        vary("without exp", "exp", Json::Null);
    }
    // Each claim that any condition names, with a value that none of them names.
    let mut others = Map::new();
    for (path, _) in &values {
        if let Some((name, rest)) = path.split_first() {
            others.insert(name.clone(), nested(rest, json!("jwtctl-another")));
        }
    }
    if !others.is_empty() {
        for base in &bases {
            let mut persona = base.clone();
            persona.claims.extend(others.clone());
            persona.name = format!("{}, each claim of another", base.name);
            add(persona);
        }
    }
    // What one `authorize` asks for, without what others do.
    let mut seen: Vec<Map<String, Json>> = Vec::new();
    for loaded in all {
        let mut found = Vec::new();
        loaded.node.walk(&mut |node| found.extend(node.get("authorize")));
        for authorize in found {
            let mut asked = Map::new();
            ask(authorize, &mut asked);
            let mut refused = asked.clone();
            refused.retain(|_, value| value.is_string());
            refuse(authorize, &mut refused);
            for claims in [asked, refused] {
                if !seen.contains(&claims) {
                    seen.push(claims);
                }
            }
        }
    }
    for (number, claims) in seen.iter().enumerate() {
        for base in &bases {
            let provider = base.provider.clone().unwrap_or_default();
            let add_with = |more: Option<(String, String, Json)>| {
                let mut persona = base.clone();
                persona.claims.retain(|name, _| name == "aud");
                persona.claims.extend(claims.clone());
                persona.name = format!("{provider}, for condition {}", number + 1);
                if let Some((what, name, value)) = more {
                    persona.name = format!("{}, {what}", persona.name);
                    persona.claims.insert(name, value);
                }
                persona
            };
            add(add_with(None));
            for audience in audiences(&provider) {
                let what = format!("aud {audience}");
                add(add_with(Some((what, "aud".to_owned(), json!(audience)))));
            }
            for (path, values) in &values {
                let Some((name, rest)) = path.split_first() else {
                    continue;
                };
                let called = path.join(".");
                for value in values {
                    add(add_with(Some((
                        format!("{called} {value}"),
                        name.clone(),
                        nested(rest, value.clone()),
                    ))));
                }
                add(add_with(Some((
                    format!("without {called}"),
                    name.clone(),
                    Json::Null,
                ))));
            }
        }
    }
    found.truncate(MOST_PERSONAS);
    found
}

/// The value, within objects of these names.
fn nested(path: &[String], value: Json) -> Json {
    path.iter()
        .rev()
        .fold(value, |inner, name| json!({name.as_str(): inner}))
}

/// The claims that conditions name, each with the values that they name.
fn values_of_claims(all: &[&Loaded]) -> Vec<(Vec<String>, Vec<Json>)> {
    let mut found: Vec<(Vec<String>, Vec<Json>)> = Vec::new();
    for loaded in all {
        loaded.node.walk(&mut |node| {
            let conditions = node.at(&["authorize", "claims"]);
            conditions.into_iter().for_each(|conditions| {
                conditions.walk(&mut |condition| {
                    let path = claim_path(condition);
                    if path.is_empty() {
                        return;
                    }
                    let mut values = condition_values(condition);
                    values.extend(longer_values(condition));
                    match found.iter_mut().find(|(known, _)| *known == path) {
                        Some((_, known)) => {
                            for value in values {
                                if !known.contains(&value) {
                                    known.push(value);
                                }
                            }
                        }
                        None => found.push((path, values)),
                    }
                });
            });
            for header in node.get("claim_to_headers").map_or(&[][..], Node::elements) {
                let path = claim_path(header);
                if !path.is_empty() && !found.iter().any(|(known, _)| *known == path) {
                    found.push((path, vec![json!("x")]));
                }
            }
            let required = node.get("required_claims").map_or(&[][..], Node::elements);
            for name in required.iter().filter_map(Node::text) {
                let path = vec![name.to_owned()];
                if !found.iter().any(|(known, _)| *known == path) {
                    found.push((path, Vec::new()));
                }
            }
        });
    }
    found
}

/// The names that lead to the claim of a condition; none where the node is none.
fn claim_path(condition: &Node) -> Vec<String> {
    match condition.get("claim_path") {
        Some(keys) => keys
            .elements()
            .iter()
            .filter_map(|key| key.text_at(&["key"]).or(key.text()))
            .map(str::to_owned)
            .collect(),
        None => condition
            .text_at(&["claim_name"])
            .map(str::to_owned)
            .into_iter()
            .collect(),
    }
}

/// The values that a condition names, whether it asks for them or refuses them.
fn condition_values(condition: &Node) -> Vec<Json> {
    let mut values: Vec<Json> = Vec::new();
    let as_json = |node: &Node| serde_json::from_str::<Json>(&node.to_json()).ok();
    for name in ["equals", "any_of", "all_of", "prefix", "suffix", "contains"] {
        match condition.get(name) {
            Some(node) if matches!(node.value, Value::List(_)) => {
                values.extend(node.elements().iter().filter_map(as_json))
            }
            Some(node) => values.extend(as_json(node)),
            None => {}
        }
    }
    if let Some(example) = condition.text_at(&["regex"]).and_then(example) {
        values.push(json!(example));
    }
    values
}

/// Texts that a condition's `prefix`, `suffix` or `contains` accepts, longer than the text that it names: what
/// another condition says of that text itself does not decide them.
fn longer_values(condition: &Node) -> Vec<Json> {
    let of = |name: &str| condition.text_at(&[name]);
    let prefix = of("prefix").map(|text| format!("{text}jwtctl"));
    let suffix = of("suffix").map(|text| format!("jwtctl{text}"));
    let contains = of("contains").map(|text| format!("jw{text}ctl"));
    [prefix, suffix, contains]
        .into_iter()
        .flatten()
        .map(Json::from)
        .collect()
}

/// Adds claims with which no condition holds, as far as can be told: of a condition that is inverted, a value
/// that it names, and of each other one, another value.
fn refuse(authorize: &Node, claims: &mut Map<String, Json>) {
    let Some(conditions) = authorize.get("claims") else {
        return;
    };
    conditions.walk(&mut |condition| {
        let path = claim_path(condition);
        let Some((name, rest)) = path.split_first() else {
            return;
        };
        let is = |name: &str, wanted: bool| condition.get(name).and_then(Node::bool) == Some(wanted);
        let value = if is("exists", true) && !is("invert", true) {
            Json::Null
        } else if is("exists", false) {
            json!("x")
        } else if is("invert", true) {
            let named = condition_values(condition);
            match condition.get("all_of") {
                Some(_) => Json::Array(named),
                None => named.into_iter().next().unwrap_or_else(|| json!("x")),
            }
        } else {
            json!("jwtctl-another")
        };
        claims.entry(name.clone()).or_insert_with(|| nested(rest, value));
    });
}

/// Adds the claims that conditions require. A claim with several values is a list, of which one has to pass.
fn ask(authorize: &Node, claims: &mut Map<String, Json>) {
    if let Some(scopes) = authorize.get("scopes") {
        let claim = scopes
            .get("claim_names")
            .and_then(|names| names.text().or_else(|| names.elements().first()?.text()));
        let entry = claims
            .entry(claim.unwrap_or("scope").to_owned())
            .or_insert_with(|| json!(""));
        for name in ["all", "any"] {
            let wanted = scopes.get(name);
            for scope in wanted
                .into_iter()
                .flat_map(|node| node.elements().iter().filter_map(Node::text).chain(node.text()))
            {
                let held = entry.as_str().unwrap_or_default();
                if !held.split(' ').any(|held| held == scope) {
                    *entry = json!(format!("{held} {scope}").trim());
                }
            }
        }
    }
    let mut take = |condition: &Node| {
        if condition.get("invert").and_then(Node::bool) == Some(true)
            || condition.get("exists").and_then(Node::bool) == Some(false)
        {
            return;
        }
        let mut values = condition_values(condition);
        if values.is_empty() {
            values.push(json!("x"));
        }
        let mut path = claim_path(condition);
        let Some(last) = path.pop() else { return };
        let mut object = &mut *claims;
        for name in path {
            let inner = object.entry(name).or_insert_with(|| json!({}));
            let Json::Object(inner) = inner else { return };
            object = inner;
        }
        match object.get_mut(&last) {
            Some(Json::Array(known)) => {
                for value in values {
                    if !known.contains(&value) {
                        known.push(value);
                    }
                }
            }
            _ => drop(object.insert(last, Json::Array(values))),
        }
    };
    authorize.get("claims").into_iter().for_each(|claims| {
        claims.walk(&mut |node| {
            if node.get("claim_name").is_some() || node.get("claim_path").is_some() {
                take(node);
            }
        });
    });
}

/// More requests than this show nothing new.
const MOST: usize = 4000;

/// What rules look at, each with all values that tell one of them from another.
#[derive(Debug, Default)]
struct Alternatives {
    paths: Vec<String>,
    /// Of these paths, those that patterns take, and the prefixes.
    examples: Vec<String>,
    prefixes: Vec<String>,
    methods: Vec<String>,
    hosts: Vec<String>,
    /// By name; `None`: the request does not have it.
    headers: Vec<(String, Vec<Option<String>>)>,
    parameters: Vec<(String, Vec<Option<String>>)>,
}

/// A request that a match takes, by its parts. What is `None` is left open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Shape {
    path: Option<String>,
    method: Option<String>,
    host: Option<String>,
    headers: Vec<(String, Option<String>)>,
    parameters: Vec<(String, Option<String>)>,
}

impl Shape {
    /// What this has, and of the other what is open here.
    fn with(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.path = both.path.or_else(|| other.path.clone());
        both.method = both.method.or_else(|| other.method.clone());
        both.host = both.host.or_else(|| other.host.clone());
        let lists = [
            (&mut both.headers, &other.headers),
            (&mut both.parameters, &other.parameters),
        ];
        for (mine, others) in lists {
            for (name, value) in others {
                if mine.iter().all(|(known, _)| known != name) {
                    mine.push((name.clone(), value.clone()));
                }
            }
        }
        both
    }

    fn set(list: &mut Vec<(String, Option<String>)>, name: &str, value: Option<String>) {
        list.retain(|(known, _)| known != name);
        list.push((name.to_owned(), value));
    }

    fn request(&self) -> Request {
        let mut target = self.path.clone().unwrap_or_else(|| "/other".to_owned());
        for (name, value) in &self.parameters {
            if let Some(value) = value {
                let separator = if target.contains('?') { '&' } else { '?' };
                target = format!("{target}{separator}{name}={value}");
            }
        }
        let mut request = Request::new(self.method.as_deref().unwrap_or("GET"), &target);
        if let Some(host) = &self.host {
            request.authority.clone_from(host);
        }
        for (name, value) in &self.headers {
            if let Some(value) = value {
                request.headers.push((name.clone(), value.clone().into_bytes()));
            }
        }
        request
    }
}

/// Adds what a match looks at; returns a request that it takes, as far as can be told.
fn look(matcher: &Node, alternatives: &mut Alternatives) -> Shape {
    let mut shape = Shape::default();
    let texts = |name: &str| -> Vec<String> {
        let node = matcher.get(name);
        let list = node.map_or(&[][..], Node::elements).iter().filter_map(Node::text);
        list.chain(node.and_then(Node::text)).map(str::to_owned).collect()
    };
    for (key, part) in matcher.members() {
        let name = snake_case(&key.name);
        let text = part.text().unwrap_or_default();
        let paths = &mut alternatives.paths;
        match &*name {
            "path" | "prefix" | "path_separated_prefix" => {
                shape.path = Some(text.to_owned());
                if name != "path" {
                    alternatives.prefixes.push(text.to_owned());
                }
                paths.push(text.to_owned());
                let bare = text.trim_end_matches('/');
                paths.extend([format!("{text}x"), format!("{bare}/"), format!("{bare}/x")]);
                if matcher.get("case_sensitive").and_then(Node::bool) == Some(false) {
                    paths.push(text.to_ascii_uppercase());
                    paths.push(format!("{}/x", bare.to_ascii_uppercase()));
                }
                if let Some(shorter) = text.strip_suffix('/').filter(|shorter| !shorter.is_empty()) {
                    paths.push(shorter.to_owned());
                }
            }
            "safe_regex" => {
                for example in part.text_at(&["regex"]).map_or_else(Vec::new, examples) {
                    let example = match example.starts_with('/') {
                        true => example,
                        false => format!("/{example}"),
                    };
                    shape.path.get_or_insert_with(|| example.clone());
                    alternatives.examples.push(example.clone());
                    paths.extend([
                        format!("{example}x"),
                        format!("{example}/"),
                        format!("{example}/x"),
                        example,
                    ]);
                }
            }
            _ => {}
        }
    }
    for method in texts("methods") {
        shape.method.get_or_insert_with(|| method.clone());
        alternatives.methods.push(method);
    }
    if matcher.get("connect_matcher").is_some() {
        shape.method = Some("CONNECT".to_owned());
        alternatives.methods.push("CONNECT".to_owned());
    }
    for host in texts("hosts") {
        let host = match (host.strip_prefix("*."), host.strip_suffix(".*")) {
            (Some(rest), _) => format!("a.{rest}"),
            (None, Some(rest)) => format!("{rest}.com"),
            (None, None) if host == "*" => "example.com".to_owned(),
            _ => host,
        };
        shape.host.get_or_insert_with(|| host.clone());
        alternatives.hosts.push(host);
    }
    for header in matcher.get("headers").map_or(&[][..], Node::elements) {
        let name = header.text_at(&["name"]).unwrap_or_default().to_ascii_lowercase();
        let (taken, values) = values_for(header);
        match &*name {
            ":method" => {
                shape.method = taken.or(shape.method);
                alternatives.methods.extend(values.into_iter().flatten());
            }
            ":authority" | "host" => {
                shape.host = taken.or(shape.host);
                alternatives.hosts.extend(values.into_iter().flatten());
            }
            ":path" => {
                shape.path = taken.or(shape.path);
                alternatives
                    .paths
                    .extend(values.into_iter().flatten().filter(|path| path.starts_with('/')));
            }
            name if !name.starts_with(':') => {
                Shape::set(&mut shape.headers, name, taken);
                merge(&mut alternatives.headers, name, values);
            }
            _ => {}
        }
    }
    for parameter in matcher.get("query_parameters").map_or(&[][..], Node::elements) {
        let name = parameter.text_at(&["name"]).unwrap_or_default();
        let (taken, mut values) = values_for(parameter);
        // Twice, with different values, of which servers take the first or the last.
        if let Some(named) = values
            .iter()
            .rev()
            .flatten()
            .find(|value| !value.is_empty())
            .cloned()
        {
            values.push(Some(format!("{named}&{name}=jwtctl-another")));
            values.push(Some(format!("jwtctl-another&{name}={named}")));
        }
        Shape::set(&mut shape.parameters, name, taken);
        merge(&mut alternatives.parameters, name, values);
    }
    shape
}

fn merge(all: &mut Vec<(String, Vec<Option<String>>)>, name: &str, values: Vec<Option<String>>) {
    match all.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => {
            for value in values {
                if !known.contains(&value) {
                    known.push(value);
                }
            }
        }
        None => all.push((name.to_owned(), values)),
    }
}

/// The elements of a list, or the node itself.
fn one_or_many(node: &Node) -> &[Node] {
    match node.value {
        Value::List(_) => node.elements(),
        _ => std::slice::from_ref(node),
    }
}

/// The shapes of a rule's match: each of its elements, and what its `not` takes out of it.
fn shapes(matcher: &Node, alternatives: &mut Alternatives) -> Vec<Shape> {
    let mut found = Vec::new();
    for part in one_or_many(matcher) {
        let shape = look(part, alternatives);
        let outside = part.get("not").map_or(&[][..], one_or_many);
        for inner in outside.iter().flat_map(|inner| shapes(inner, alternatives)) {
            // An example of the inner pattern may lie outside the outer prefix.
            if let (Some(prefix), Some(path)) = (&shape.path, &inner.path)
                && !path.starts_with(&**prefix)
            {
                let path = format!("{prefix}{}", path.trim_start_matches('/'));
                let within = Shape {
                    path: Some(path),
                    ..inner.clone()
                };
                found.push(within.with(&shape));
            }
            found.push(inner.with(&shape));
        }
        found.push(shape);
    }
    found
}

/// The rules between the first and the last in which two lists differ; all where only other parts differ.
fn changed<'n>(all: &[&'n Loaded]) -> Vec<&'n [Node]> {
    let lists: Vec<&[Node]> = all
        .iter()
        .map(|loaded| loaded.node.get("rules").map_or(&[][..], Node::elements))
        .collect();
    let [old, new] = lists[..] else { return lists };
    let is_same = |(old, new): &(&Node, &Node)| old.to_json() == new.to_json();
    let before = old.iter().zip(new).take_while(is_same).count();
    let (old, new) = (
        old.get(before..).unwrap_or_default(),
        new.get(before..).unwrap_or_default(),
    );
    let after = old.iter().rev().zip(new.iter().rev()).take_while(is_same).count();
    let cut = |list: &'n [Node]| list.get(..list.len().saturating_sub(after)).unwrap_or_default();
    vec![cut(old), cut(new)]
}

/// Requests at the boundaries of every rule: requests that it matches, and requests that differ from these in
/// one respect.
pub(crate) fn boundaries(all: &[&Loaded]) -> Vec<Request> {
    let mut alternatives = Alternatives {
        paths: vec!["/".to_owned(), "/other".to_owned()],
        methods: vec!["GET".to_owned(), "POST".to_owned()],
        hosts: vec!["example.com".to_owned()],
        ..Alternatives::default()
    };
    let mut singles: Vec<Shape> = vec![Shape::default()];
    let mut requirements: Vec<String> = Vec::new();
    for loaded in all {
        requirements.extend(core::requirements(&loaded.config));
        let rules = loaded.node.get("rules").map_or(&[][..], Node::elements);
        for matcher in rules.iter().filter_map(|rule| rule.get("match")) {
            singles.extend(shapes(matcher, &mut alternatives));
        }
    }
    let mut seen: HashSet<Shape> = HashSet::new();
    singles.retain(|shape| seen.insert(shape.clone()));
    // What both an old and a new rule take, or one of them and another rule. A single policy is shown without
    // it.
    let mut pairs: Vec<Shape> = Vec::new();
    if all.len() > 1 {
        let mut ignored = Alternatives::default();
        let matches = changed(all)
            .into_iter()
            .flatten()
            .filter_map(|rule| rule.get("match"));
        let changed: Vec<Shape> = matches
            .flat_map(|matcher| shapes(matcher, &mut ignored))
            .collect();
        for one in &changed {
            for other in &singles {
                pairs.extend([one.with(other), other.with(one)]);
            }
        }
        pairs.retain(|shape| seen.insert(shape.clone()));
    }
    // What both a prefix and a pattern may take: the pattern's example, with the prefix in the place of its
    // beginning.
    let mut spliced: Vec<String> = Vec::new();
    for prefix in &alternatives.prefixes {
        for example in &alternatives.examples {
            if let Some(rest) = example.get(prefix.len()..).filter(|rest| !rest.is_empty()) {
                spliced.push(format!("{prefix}{rest}"));
            }
        }
    }
    alternatives.paths.extend(spliced.into_iter().take(MOST / 40));
    // A parameter that comes twice, with the values of two rules.
    for (name, values) in &mut alternatives.parameters {
        let single = |value: &&String| !value.is_empty() && !value.contains('&');
        let named: Vec<String> = values.iter().flatten().filter(single).cloned().collect();
        for one in &named {
            for other in named.iter().filter(|other| *other != one) {
                let twice = Some(format!("{one}&{name}={other}"));
                if values.len() < MOST / 40 && !values.contains(&twice) {
                    values.push(twice);
                }
            }
        }
    }
    // Beside all that rules name.
    let mut elsewhere = Shape::default();
    if alternatives.hosts.len() > 1 {
        elsewhere.host = Some("jwtctl-another.example".to_owned());
    }
    if alternatives.methods.len() > 2 {
        let others = ["PATCH", "PUT", "DELETE", "PROPFIND"];
        let is_free = |name: &&&str| alternatives.methods.iter().all(|known| known != **name);
        elsewhere.method = others.iter().find(is_free).map(|name| (*name).to_owned());
    }
    alternatives.hosts.extend(elsewhere.host.clone());
    alternatives.methods.extend(elsewhere.method.clone());
    if all.len() > 1 {
        let beside: Vec<Shape> = singles.iter().map(|shape| shape.with(&elsewhere)).collect();
        singles.extend(beside.into_iter().filter(|shape| seen.insert(shape.clone())));
    }
    for list in [
        &mut alternatives.paths,
        &mut alternatives.methods,
        &mut alternatives.hosts,
    ] {
        let mut seen: HashSet<String> = HashSet::new();
        list.retain(|one| seen.insert(one.clone()));
    }
    let mut known: HashSet<Request> = HashSet::new();
    let mut requests: Vec<Request> = Vec::new();
    let mut add = |request: Request| {
        if requests.len() < MOST && known.insert(request.clone()) {
            requests.push(request);
        }
    };
    for shape in &singles {
        add(shape.request());
    }
    for name in requirements {
        add(Request {
            route_requirement: Some(name),
            ..Request::new("GET", "/other")
        });
    }
    for shape in singles.iter().chain(&pairs) {
        add(shape.request());
        for path in &alternatives.paths {
            let there = Shape {
                path: Some(path.clone()),
                ..shape.clone()
            };
            add(there.request());
            if !there.parameters.is_empty() {
                add(Shape {
                    parameters: Vec::new(),
                    ..there
                }
                .request());
            }
        }
        for method in &alternatives.methods {
            add(Shape {
                method: Some(method.clone()),
                ..shape.clone()
            }
            .request());
        }
        for host in &alternatives.hosts {
            add(Shape {
                host: Some(host.clone()),
                ..shape.clone()
            }
            .request());
        }
        for (name, values) in &alternatives.headers {
            for value in values {
                let mut beside = shape.clone();
                Shape::set(&mut beside.headers, name, value.clone());
                add(beside.request());
            }
        }
        for (name, values) in &alternatives.parameters {
            for value in values {
                let mut beside = shape.clone();
                Shape::set(&mut beside.parameters, name, value.clone());
                add(beside.request());
            }
        }
    }
    requests
}

/// A value that a matcher of headers or parameters takes, `None` for absence, as far as can be told; and all
/// that tell it apart.
fn values_for(matcher: &Node) -> (Option<String>, Vec<Option<String>>) {
    let is = |name: &str, wanted: bool| matcher.get(name).and_then(Node::bool) == Some(wanted);
    let named = value_for(matcher).unwrap_or_else(|| "x".to_owned());
    // No common beginning or ending.
    let another = Some("0jwtctl0".to_owned());
    let taken = match is("invert_match", true) ^ is("present_match", false) {
        true if matcher.get("present_match").is_some() => None,
        true => another.clone(),
        false => Some(named.clone()),
    };
    (taken, vec![None, another, Some(named), Some(String::new())])
}

/// A value that the test of a matcher accepts. `None` if it has no test, or none can be found.
fn value_for(matcher: &Node) -> Option<String> {
    let test = matcher.get("string_match").unwrap_or(matcher);
    let of = |names: [&str; 2]| {
        names
            .iter()
            .find_map(|name| test.text_at(&[name]))
            .map(str::to_owned)
    };
    of(["exact", "exact_match"])
        .or_else(|| of(["prefix", "prefix_match"]).map(|prefix| format!("{prefix}x")))
        .or_else(|| of(["suffix", "suffix_match"]).map(|suffix| format!("x{suffix}")))
        .or_else(|| of(["contains", "contains_match"]))
        .or_else(|| {
            test.at(&["safe_regex"])
                .and_then(|regex| example(regex.text_at(&["regex"])?))
        })
        .or_else(|| {
            let start = match &matcher.at(&["range_match", "start"])?.value {
                Value::Number(number) => number.clone(),
                _ => return None,
            };
            Some(start)
        })
}

/// Texts that a pattern takes: of each group another alternative, and what is optional left out or there.
fn examples(pattern: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for variant in 0..4 {
        if let Some(example) = example_of(pattern, variant)
            && !found.contains(&example)
        {
            found.push(example);
        }
    }
    found
}

/// A text that a pattern takes.
fn example(pattern: &str) -> Option<String> {
    example_of(pattern, 0)
}

/// A text that a pattern matches, for the patterns that people write for paths. It is only a guess, and a
/// wrong guess does no harm.
fn example_of(pattern: &str, variant: usize) -> Option<String> {
    let mut example = String::new();
    let mut rest = pattern.trim_start_matches('^').trim_end_matches('$');
    while let Some(letter) = rest.chars().next() {
        rest = rest.get(letter.len_utf8()..)?;
        let piece = match letter {
            '\\' => {
                let escaped = rest.chars().next()?;
                rest = rest.get(escaped.len_utf8()..)?;
                match escaped {
                    'd' => "1".to_owned(),
                    'w' => "a".to_owned(),
                    other => other.to_string(),
                }
            }
            '.' => "a".to_owned(),
            '[' => {
                let end = rest.find(']')?;
                let (class, after) = rest.split_at(end);
                rest = after.get(1..)?;
                match class.strip_prefix('^') {
                    Some(_) => "a".to_owned(),
                    None => {
                        // Of a range, its ends.
                        let ends: Vec<char> = class.chars().filter(|letter| *letter != '-').collect();
                        ends.get(variant.checked_rem(ends.len())?)?.to_string()
                    }
                }
            }
            '(' => {
                let mut depth = 1;
                let end = rest.char_indices().find_map(|(at, letter)| {
                    match letter {
                        '(' => depth += 1,
                        ')' => depth -= 1,
                        _ => {}
                    }
                    (depth == 0).then_some(at)
                })?;
                let (group, after) = rest.split_at(end);
                rest = after.get(1..)?;
                let group = group.strip_prefix("?:").unwrap_or(group);
                let alternatives: Vec<&str> = group.split('|').collect();
                let chosen = alternatives.get(variant.checked_rem(alternatives.len())?)?;
                example_of(chosen, variant)?
            }
            '|' => break,
            letter => letter.to_string(),
        };
        match rest.chars().next() {
            Some('*' | '?') => {
                rest = rest.get(1..)?;
                if variant >= 2 {
                    example.push_str(&piece);
                }
            }
            Some('+') => {
                rest = rest.get(1..)?;
                example.push_str(&piece);
            }
            Some('{') => {
                let (count, after) = rest.get(1..)?.split_once('}')?;
                let count: usize = count.split(',').next()?.parse().ok()?;
                example.push_str(&piece.repeat(count.min(64)));
                rest = after;
            }
            _ => example.push_str(&piece),
        }
    }
    Some(example)
}

#[cfg(test)]
mod tests {
    use super::example;

    #[test]
    fn patterns_have_examples() {
        for (pattern, text) in [
            ("/a/[^/]+/b", "/a/a/b"),
            ("^/v[0-9]+/(orders|items)(/.*)?$", "/v0/orders"),
            (r"/x\.json", "/x.json"),
            (r"/\d{3}", "/111"),
        ] {
            assert_eq!(example(pattern).as_deref(), Some(text));
        }
        assert_eq!(example("/a["), None);
    }
}
