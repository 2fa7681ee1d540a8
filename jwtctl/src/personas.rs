//! Clients with every kind of token that rules distinguish, and requests from the boundaries of the rules.

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
}

impl Persona {
    /// The token that it sends.
    pub(crate) fn token(&self, issuers: &Issuers, loaded: &[&Loaded], now: i64) -> Option<String> {
        let provider = self.provider.as_deref()?;
        let of = loaded.iter().find(|loaded| {
            core::providers(&loaded.config)
                .iter()
                .any(|name| name == provider)
        })?;
        let mut token = issuers.token(of, provider, &self.claims, now)?;
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
        });
        if !claims.is_empty() {
            personas.push(Persona {
                name: format!("{name}, all claims"),
                provider: Some(name.clone()),
                claims: claims.clone(),
                is_forged: false,
            });
        }
    }
    if let Some(name) = providers.first() {
        personas.push(Persona {
            name: "forged".to_owned(),
            provider: Some(name.clone()),
            claims,
            is_forged: true,
        });
    }
    personas
}

/// The same, and for each provider a client with one value of each claim that has several, one without each
/// scope, one for each audience, and one whose token never expires: two policies may distinguish these.
pub(crate) fn finer(all: &[&Loaded]) -> Vec<Persona> {
    const MOST_PERSONAS: usize = 200;
    let mut found = personas(all);
    let full: Vec<Persona> = found
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
    for persona in full {
        let provider = persona.provider.clone().unwrap_or_default();
        let mut add = |what: String, name: &str, value: Json| {
            let mut claims = persona.claims.clone();
            claims.insert(name.to_owned(), value);
            found.push(Persona {
                name: format!("{provider}, {what}"),
                claims,
                ..persona.clone()
            });
        };
        for (name, value) in &persona.claims {
            match value {
                Json::Array(values) if values.len() > 1 => {
                    for value in values {
                        add(format!("{name} {value}"), name, value.clone());
                    }
                }
                Json::String(scopes) => {
                    for scope in scopes.split(' ') {
                        let others: Vec<&str> = scopes.split(' ').filter(|other| *other != scope).collect();
                        add(format!("without {scope}"), name, json!(others.join(" ")));
                    }
                }
                _ => {}
            }
            if !matches!(value, Json::String(_)) {
                add(format!("without {name}"), name, Json::Null);
            }
        }
        let mut audiences: Vec<String> = all
            .iter()
            .flat_map(|loaded| core::audiences(&loaded.config, &provider))
            .collect();
        audiences.sort();
        audiences.dedup();
        for audience in audiences {
            add(format!("aud {audience}"), "aud", json!(audience));
        }
        add(
            "for another audience".to_owned(),
            "aud",
            json!("jwtctl-another-audience"),
        );
        add("without exp".to_owned(), "exp", Json::Null);
    }
    found.truncate(MOST_PERSONAS);
    found
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
        if values.is_empty() {
            values.push(json!("x"));
        }
        let mut path: Vec<String> = match condition.get("claim_path") {
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
        };
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

/// Requests at the boundaries of every rule: requests that it matches, and requests that differ from these in
/// one respect.
pub(crate) fn boundaries(all: &[&Loaded]) -> Vec<Request> {
    let mut paths: Vec<String> = vec!["/".to_owned(), "/other".to_owned()];
    let mut methods: Vec<String> = vec!["GET".to_owned(), "POST".to_owned()];
    let mut hosts: Vec<String> = vec!["example.com".to_owned()];
    let mut bases: Vec<Request> = vec![Request::new("GET", "/other")];
    let mut requirements: Vec<Option<String>> = vec![None];
    for loaded in all {
        for name in core::requirements(&loaded.config) {
            requirements.push(Some(name));
        }
        let rules = loaded.node.get("rules").map_or(&[][..], Node::elements);
        for matcher in rules.iter().filter_map(|rule| rule.get("match")) {
            let mut base = Request::new("GET", "/other");
            let texts = |name: &str| -> Vec<String> {
                let node = matcher.get(name);
                let list = node.map_or(&[][..], Node::elements).iter().filter_map(Node::text);
                list.chain(node.and_then(Node::text)).map(str::to_owned).collect()
            };
            for (key, part) in matcher.members() {
                let name = snake_case(&key.name);
                let text = part.text().unwrap_or_default();
                match &*name {
                    "path" | "prefix" | "path_separated_prefix" => {
                        text.clone_into(&mut base.target);
                        paths.push(text.to_owned());
                        paths.extend([format!("{text}x"), format!("{}/x", text.trim_end_matches('/'))]);
                        if matcher.get("case_sensitive").and_then(Node::bool) == Some(false) {
                            paths.push(text.to_ascii_uppercase());
                        }
                        if let Some(shorter) = text.strip_suffix('/').filter(|shorter| !shorter.is_empty()) {
                            paths.push(shorter.to_owned());
                        }
                    }
                    "safe_regex" => {
                        if let Some(example) = part.text_at(&["regex"]).and_then(example) {
                            base.target.clone_from(&example);
                            paths.extend([format!("{example}x"), example]);
                        }
                    }
                    _ => {}
                }
            }
            for method in texts("methods") {
                method.clone_into(&mut base.method);
                methods.push(method);
            }
            if matcher.get("connect_matcher").is_some() {
                methods.push("CONNECT".to_owned());
                "CONNECT".clone_into(&mut base.method);
            }
            for host in texts("hosts") {
                let host = match (host.strip_prefix("*."), host.strip_suffix(".*")) {
                    (Some(rest), _) => format!("a.{rest}"),
                    (None, Some(rest)) => format!("{rest}.com"),
                    (None, None) if host == "*" => "example.com".to_owned(),
                    _ => host,
                };
                base.authority.clone_from(&host);
                hosts.push(host);
            }
            for header in matcher.get("headers").map_or(&[][..], Node::elements) {
                let name = header.text_at(&["name"]).unwrap_or_default().to_ascii_lowercase();
                let value = value_for(header);
                match (&*name, value) {
                    (":method", Some(value)) => {
                        base.method.clone_from(&value);
                        methods.push(value);
                    }
                    (":authority" | "host", Some(value)) => base.authority = value,
                    (":path", Some(value)) => base.target = value,
                    (name, Some(value)) if !name.starts_with(':') => {
                        base.headers.push((name.to_owned(), value.into_bytes()));
                    }
                    _ => {}
                }
            }
            for parameter in matcher.get("query_parameters").map_or(&[][..], Node::elements) {
                if let Some(value) = value_for(parameter) {
                    let separator = if base.target.contains('?') { '&' } else { '?' };
                    let name = parameter.text_at(&["name"]).unwrap_or_default();
                    base.target = format!("{}{separator}{name}={value}", base.target);
                }
            }
            bases.push(base);
        }
    }
    let mut requests: Vec<Request> = Vec::new();
    let mut add = |request: Request| {
        if requests.len() < MOST && !requests.contains(&request) {
            requests.push(request);
        }
    };
    for base in &bases {
        add(base.clone());
        for path in &paths {
            let query = base
                .target
                .split_once('?')
                .map_or_else(String::new, |(_, query)| format!("?{query}"));
            add(Request {
                target: format!("{path}{query}"),
                ..base.clone()
            });
            add(Request {
                target: path.clone(),
                ..base.clone()
            });
        }
        for method in &methods {
            add(Request {
                method: method.clone(),
                ..base.clone()
            });
        }
        for host in &hosts {
            add(Request {
                authority: host.clone(),
                ..base.clone()
            });
        }
        for position in 0..base.headers.len() {
            let mut headers = base.headers.clone();
            headers.remove(position);
            add(Request {
                headers,
                ..base.clone()
            });
        }
    }
    for requirement in requirements.into_iter().flatten() {
        add(Request {
            route_requirement: Some(requirement),
            ..Request::new("GET", "/other")
        });
    }
    requests
}

/// A value that a matcher of headers or parameters accepts. `None` if none can be found.
fn value_for(matcher: &Node) -> Option<String> {
    if matcher.get("invert_match").and_then(Node::bool) == Some(true) {
        return None;
    }
    let test = matcher.get("string_match").unwrap_or(matcher);
    let of = |names: [&str; 2]| {
        names
            .iter()
            .find_map(|name| test.text_at(&[name]))
            .map(str::to_owned)
    };
    if matcher.get("present_match").and_then(Node::bool) == Some(false) {
        return None;
    }
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
        .or_else(|| Some("x".to_owned()))
}

/// A text that a pattern matches, for the patterns that people write for paths. It is only a guess, and a
/// wrong guess does no harm.
fn example(pattern: &str) -> Option<String> {
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
                    None => class.chars().next()?.to_string(),
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
                self::example(group.split('|').next()?)?
            }
            '|' => break,
            letter => letter.to_string(),
        };
        match rest.chars().next() {
            Some('*' | '?') => rest = rest.get(1..)?,
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
