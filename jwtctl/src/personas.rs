//! Clients with every kind of token that rules distinguish.

mod claims;
mod finer;
mod issuers;

use minting::tamper_signature;
use serde_json::{Map, Value as Json};

use self::claims::ask;
pub(crate) use self::finer::finer;
pub(crate) use self::issuers::Issuers;
use crate::core;
use crate::policy::Loaded;

/// A client, with the properties that rules distinguish.
#[derive(Clone, Debug)]
pub(crate) struct Persona {
    pub(crate) name: String,
    /// The provider of its token.
    pub(crate) provider: Option<String>,
    pub(crate) claims: Map<String, Json>,
    pub(crate) is_forged: bool,
    /// `exp` in seconds from now, if it differs from that of a fresh token.
    pub(crate) expires_in: Option<i64>,
    /// The configuration whose issuer makes the token, if the configurations expect different tokens.
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
