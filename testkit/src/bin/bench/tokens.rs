//! The tokens of each case, in files that the load generator reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::{Algorithm, SigningKey, Token, tamper_signature, unix_now};

pub(crate) const ISSUER: &str = "https://idp.example.com/realms/main";
pub(crate) const AUDIENCE: &str = "orders-api";

/// The kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Rs256,
    Ps256,
    Es256,
    Es384,
    EdDsa,
    /// A hundred of RS256.
    Warm,
    /// 5,000 of RS256: a hundred of them in turn, ten times, then the next hundred.
    Sessions,
    BadRs256,
    BadEs256,
    /// A hundred of RS256.
    BadAgain,
    Expired,
    /// A hundred.
    ExpiredAgain,
    Missing,
}

impl Kind {
    /// The number of tokens, if a cold case has this many.
    fn count(self, cold: usize) -> usize {
        match self {
            Self::Warm | Self::BadAgain | Self::ExpiredAgain => 100,
            Self::Es384 | Self::Sessions => 5000,
            Self::Missing => 1,
            _ => cold,
        }
    }

    pub(crate) fn are_refused(self) -> bool {
        matches!(
            self,
            Self::BadRs256
                | Self::BadEs256
                | Self::BadAgain
                | Self::Expired
                | Self::ExpiredAgain
                | Self::Missing
        )
    }
}

/// The issuer's keys.
pub(crate) struct Keys {
    pub(crate) rsa: SigningKey,
    pss: SigningKey,
    pub(crate) es256: SigningKey,
    es384: SigningKey,
    ed: SigningKey,
}

impl Keys {
    pub(crate) fn generate() -> Self {
        Self {
            rsa: SigningKey::generate(Algorithm::Rs256, Some("rsa-1")),
            pss: SigningKey::generate(Algorithm::Ps256, Some("pss-1")),
            es256: SigningKey::generate(Algorithm::Es256, Some("es256-1")),
            es384: SigningKey::generate(Algorithm::Es384, Some("es384-1")),
            ed: SigningKey::generate(Algorithm::EdDsa, Some("ed-1")),
        }
    }

    pub(crate) fn jwks(&self) -> Value {
        testkit::jwks(&[&self.rsa, &self.pss, &self.es256, &self.es384, &self.ed])
    }

    /// The key set of one issuer: the current key and the next one.
    pub(crate) fn of_an_issuer(&self) -> Value {
        testkit::jwks(&[&self.rsa, &self.es256])
    }

    pub(crate) fn mint(&self, kind: Kind, number: usize) -> Option<String> {
        let key = match kind {
            Kind::Rs256
            | Kind::Warm
            | Kind::Sessions
            | Kind::BadRs256
            | Kind::BadAgain
            | Kind::Expired
            | Kind::ExpiredAgain => &self.rsa,
            Kind::Ps256 => &self.pss,
            Kind::Es256 | Kind::BadEs256 => &self.es256,
            Kind::Es384 => &self.es384,
            Kind::EdDsa => &self.ed,
            Kind::Missing => return None,
        };
        // The claims that identity providers put into an access token, at the usual length.
        let token = Token::new(key)
            .claims(json!({
                "iss": ISSUER,
                "aud": AUDIENCE,
                "sub": format!("user-{number:08}"),
                "jti": format!("{number:032x}"),
                "iat": unix_now(),
                "nbf": unix_now(),
                "azp": "web",
                "scope": "openid profile orders:read orders:write",
                "realm_access": {"roles": ["clerk", "offline_access"]},
            }))
            .expires_in(match kind {
                Kind::Expired | Kind::ExpiredAgain => -3600,
                _ => 12 * 3600,
            })
            .mint();
        Some(match kind {
            Kind::BadRs256 | Kind::BadEs256 | Kind::BadAgain => tamper_signature(&token),
            _ => token,
        })
    }
}

/// The files. They are deleted when this value is dropped.
pub(crate) struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    /// `count` tokens of each kind that has to be new to the cache.
    pub(crate) fn write(keys: &Keys, kinds: impl Iterator<Item = Kind>, count: usize) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let kinds: BTreeMap<Kind, usize> = kinds.map(|kind| (kind, kind.count(count))).collect();
        for (kind, count) in kinds {
            eprintln!("minting {count} tokens: {kind:?}");
            let mut text = lines(keys, kind, count);
            if kind == Kind::Sessions {
                text = in_sessions(&text);
            }
            fs::write(dir.path().join(format!("{kind:?}")), text).expect("the tokens are written");
        }
        Self { dir }
    }

    pub(crate) fn path(&self, kind: Kind) -> PathBuf {
        Path::new(self.dir.path()).join(format!("{kind:?}"))
    }
}

/// The requests of users who come and go: a hundred of them are there at a time, and each sends ten.
fn in_sessions(tokens: &str) -> String {
    let tokens: Vec<&str> = tokens.split_inclusive('\n').collect();
    tokens
        .chunks(100)
        .map(|users| users.concat().repeat(10))
        .collect()
}

fn lines(keys: &Keys, kind: Kind, count: usize) -> String {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|part| {
                scope.spawn(move || {
                    let mut text = String::new();
                    for number in (part..count).step_by(threads) {
                        let token = keys.mint(kind, number).unwrap_or_default();
                        writeln!(text, "{token}").expect("a String takes it");
                    }
                    text
                })
            })
            .collect();
        parts
            .into_iter()
            .map(|part| part.join().expect("a thread that mints"))
            .collect()
    })
}
