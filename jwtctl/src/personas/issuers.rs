//! The issuers of a configuration, with keys of our own in place of theirs.

use std::rc::Rc;

use minting::{Algorithm, SigningKey, Token, jwks};
use serde_json::{Map, Value as Json};

use crate::core::{self, Config};
use crate::inline_keys::set_keys;
use crate::policy::Loaded;
use crate::source::Node;

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
            set_keys(&mut node, &name, &document);
        }
        let config = core::parse(&node, false).map_err(|error| format!("with keys of its own: {error}"))?;
        Ok(Loaded {
            node,
            config: Rc::new(config),
            unread_keys: Vec::new(),
            unfetched: Vec::new(),
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
pub(super) fn subject(node: &Node, provider: &str) -> String {
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
