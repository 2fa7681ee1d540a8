//! `jwtctl mint`.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use minting::{Algorithm, SigningKey, Token, jwks, random_id, sha256_segment, tamper_signature};
use serde_json::{Map, Value, json};

use crate::core::{self, Expected, UnixTime};
use crate::setup::{self, Keys};
use crate::{Outcome, print_whole};

/// Make keys, key sets, and good or deliberately bad tokens for tests
///
/// Keys and signatures come from another implementation than the filter's own. Never use these keys in
/// production: they are in a plain file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jwtctl mint key ES256 --out key.pem > jwks.json
  jwtctl mint token --key key.pem --for envoy.yaml --sub alice --claim role=admin
  jwtctl mint token --key key.pem --for envoy.yaml --bad token_expired
  jwtctl mint proof --key client.pem --url https://api.example.com/orders --token @token.txt")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a private key; its public half is printed as a key set
    Key {
        /// The algorithm: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA
        #[arg(value_parser = algorithm)]
        algorithm: Algorithm,
        /// The file for the private key, which only its owner may read; it must not exist
        #[arg(long, value_name = "FILE")]
        out: String,
        /// The key's `kid` [default: its thumbprint after RFC 7638]
        #[arg(long)]
        kid: Option<String>,
        /// Bits of an RSA key: 2048, 3072, 4096 or 8192
        #[arg(long, default_value = "2048", value_parser = ["2048", "3072", "4096", "8192"])]
        bits: String,
    },
    /// Print the key set of private keys
    Jwks {
        /// Files that `mint key` wrote
        #[arg(required = true, value_name = "FILE")]
        keys: Vec<String>,
    },
    /// Make a token
    Token(Box<TokenArguments>),
    /// Make a proof of possession (DPoP, RFC 9449)
    Proof(ProofArguments),
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    name.parse()
}

#[derive(Debug, Args)]
struct TokenArguments {
    /// The private key that signs it
    #[arg(long, value_name = "FILE")]
    key: String,
    /// Take issuer, audience and the rest from this configuration, so that it accepts the token
    #[arg(long = "for", value_name = "CONFIG")]
    config: Option<String>,
    /// The provider of that configuration [default: the first]
    #[arg(long, requires = "config")]
    provider: Option<String>,
    /// `iss`
    #[arg(long)]
    iss: Option<String>,
    /// `aud`; more than one make a list
    #[arg(long)]
    aud: Vec<String>,
    /// `sub`
    #[arg(long)]
    sub: Option<String>,
    /// `scope`
    #[arg(long)]
    scope: Option<String>,
    /// A claim, as JSON or as a text; `NAME=` removes the claim
    #[arg(long, value_name = "NAME=VALUE")]
    claim: Vec<String>,
    /// A member of the header, in the same form
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// How long it is valid, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 300,
        allow_negative_numbers = true
    )]
    lifetime: i64,
    /// When it is made [default: now]
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// Bind it to this client's key (`cnf.jkt`, RFC 9449)
    #[arg(long, value_name = "FILE")]
    bind: Option<String>,
    /// Make it bad, so that the filter refuses it with this reason
    #[arg(long, value_enum, value_name = "REASON")]
    bad: Option<Bad>,
}

/// The reasons for which the filter can refuse a token. Each gives a token that it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Bad {
    /// Cut off in the middle
    TokenMalformed,
    /// Longer than the largest possible `limits.max_token_bytes`
    TokenTooLarge,
    /// Another `typ`
    TypeRejected,
    /// `alg: none`, without a signature
    AlgorithmRejected,
    /// `alg: HS256`, signed with the public key: the algorithm confusion of RFC 8725 section 2.1
    AlgorithmConfusion,
    /// An extension that must be understood
    CriticalHeader,
    /// Another issuer
    IssuerUnknown,
    /// A `kid` that the key set does not have
    KeyUnknown,
    /// A bit of the signature is wrong
    SignatureInvalid,
    /// `exp` has passed
    TokenExpired,
    /// `nbf` is yet to come
    TokenNotYetValid,
    /// Valid for a hundred years; refused if `max_lifetime` is set
    LifetimeTooLong,
    /// For another audience
    AudienceMismatch,
    /// Another `sub`; refused if `subjects` is set
    SubjectRejected,
    /// Without the claims that the provider's `authorize` asks for, if none are given
    TokenRejected,
    /// Without `exp`
    ClaimMissing,
    /// `exp` is a text
    ClaimMalformed,
    /// Bound to a key that no client has
    BindingMismatch,
    /// Without scopes; refused if a rule requires one
    ScopeInsufficient,
    /// Without the claims that a rule asks for, if none are given
    ClaimRejected,
}

#[derive(Debug, Args)]
struct ProofArguments {
    /// The client's private key
    #[arg(long, value_name = "FILE")]
    key: String,
    /// The URL of the request
    #[arg(long)]
    url: String,
    /// The method of the request
    #[arg(long, default_value = "GET")]
    method: String,
    /// The token that is sent with it: `@FILE`, `-`, or itself
    #[arg(long)]
    token: Option<String>,
    /// The nonce that the filter gave
    #[arg(long)]
    nonce: Option<String>,
    /// `jti` [default: random]
    #[arg(long)]
    jti: Option<String>,
    /// When it is made [default: now]
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// Make it bad
    #[arg(long, value_enum)]
    bad: Option<BadProof>,
}

/// Proofs that the filter refuses with `proof_invalid`, or `binding_mismatch` for `other-key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BadProof {
    /// For another method
    Method,
    /// For another URL
    Url,
    /// For another token
    Token,
    /// An hour old
    Old,
    /// A bit of the signature is wrong
    Signature,
    /// Made with another key than the token names
    OtherKey,
    /// `typ` is that of a token
    Type,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome, String> {
    match &arguments.what {
        What::Key {
            algorithm,
            out,
            kid,
            bits,
        } => {
            let key = match algorithm.name().starts_with(['R', 'P']) {
                true => SigningKey::generate_rsa(*algorithm, bits.parse().unwrap_or(2048), None),
                false => SigningKey::generate(*algorithm, None),
            };
            let kid = kid.clone().unwrap_or_else(|| key.thumbprint());
            if kid.contains(['\n', '\r']) {
                return Err("a `kid` is one line".to_owned());
            }
            let key = key.with_kid(Some(&kid));
            // RFC 7468 section 5.2 permits text before the first line, for people.
            let text = format!("kid: {kid}\nalg: {}\n{}", key.algorithm().name(), key.to_pem());
            let file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(out);
            file.and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(|error| format!("{out}: {error}"))?;
            print_whole(&format!("{}\n", jwks(&[&key])));
        }
        What::Jwks { keys } => {
            let keys = keys
                .iter()
                .map(|path| load(path))
                .collect::<Result<Vec<_>, _>>()?;
            print_whole(&format!("{}\n", jwks(&keys.iter().collect::<Vec<_>>())));
        }
        What::Token(arguments) => print_whole(&format!("{}\n", token(arguments)?)),
        What::Proof(arguments) => print_whole(&format!("{}\n", proof(arguments)?)),
    }
    Ok(Outcome::Fine)
}

/// Reads a key that `mint key` wrote, or any PKCS #8 key with these two lines before it.
pub(crate) fn load(path: &str) -> Result<SigningKey, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let of = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    let algorithm: Algorithm = of("alg:")
        .ok_or_else(|| format!("{path}: write the algorithm into a line before the key, as in `alg: ES256`"))?
        .parse()
        .map_err(|error| format!("{path}: {error}"))?;
    let body: String = text
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN PRIVATE KEY"))
        .skip(1)
        .take_while(|line| !line.starts_with("-----END"))
        .map(str::trim)
        .collect();
    let der = STANDARD
        .decode(body)
        .map_err(|_| format!("{path}: the file has no PRIVATE KEY in PEM"))?;
    SigningKey::from_pkcs8(algorithm, of("kid:"), &der).map_err(|error| format!("{path}: {error}"))
}

fn seconds(time: Option<&str>) -> Result<i64, String> {
    let time = time.map_or_else(|| Ok(setup::now()), setup::parse_time)?;
    Ok(i64::try_from(time.as_millis() / 1000).unwrap_or(i64::MAX))
}

/// `name=value`. The value is JSON if it parses as JSON, otherwise a text.
fn member(text: &str) -> Result<(String, Option<Value>), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not NAME=VALUE"))?;
    let value = match value {
        "" => None,
        value => Some(serde_json::from_str(value).unwrap_or_else(|_| json!(value))),
    };
    Ok((name.to_owned(), value))
}

fn token(arguments: &TokenArguments) -> Result<String, String> {
    let key = load(&arguments.key)?;
    let now = seconds(arguments.time.as_deref())?;
    let expected = match &arguments.config {
        Some(path) => {
            let loaded = setup::load(path, &Keys::default(), UnixTime::from_secs(0))?;
            core::expected(&loaded.config, arguments.provider.as_deref())
                .ok_or_else(|| format!("{path}: the configuration has no such provider"))?
        }
        None => Expected::default(),
    };
    let mut claims = Map::new();
    claims.extend(expected.claims);
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            claims.insert(name.to_owned(), value);
        }
    };
    set("iss", arguments.iss.as_ref().map(|iss| json!(iss)));
    set(
        "aud",
        match arguments.aud.as_slice() {
            [] => None,
            [one] => Some(json!(one)),
            all => Some(json!(all)),
        },
    );
    set("sub", arguments.sub.as_ref().map(|sub| json!(sub)));
    set("scope", arguments.scope.as_ref().map(|scope| json!(scope)));
    set("iat", Some(json!(now)));
    set("exp", Some(json!(now.saturating_add(arguments.lifetime))));
    if let Some(path) = &arguments.bind {
        set("cnf", Some(json!({"jkt": load(path)?.thumbprint()})));
    }
    let mut token = Token::new(&key).claims(Value::Object(claims));
    if let Some(token_type) = expected.token_type {
        token = token.header("typ", token_type);
    }
    for claim in &arguments.claim {
        token = match member(claim)? {
            (name, Some(value)) => token.claim(&name, value),
            (name, None) => token.without_claim(&name),
        };
    }
    for header in &arguments.header {
        token = match member(header)? {
            (name, Some(value)) => token.header(&name, value),
            (name, None) => token.without_header(&name),
        };
    }
    Ok(match arguments.bad {
        Some(bad) => make_bad(token, bad, &key, now),
        None => token.mint(),
    })
}

fn make_bad(token: Token, bad: Bad, key: &SigningKey, now: i64) -> String {
    let token = match bad {
        Bad::TokenMalformed => {
            let whole = token.mint();
            let (cut, _) = whole.rsplit_once('.').unwrap_or((&whole, ""));
            return cut.to_owned();
        }
        Bad::SignatureInvalid => return tamper_signature(&token.mint()),
        Bad::TokenTooLarge => token.claim("padding", "x".repeat(1_048_576)),
        Bad::TypeRejected => token.header("typ", "not-an-access-token+jwt"),
        Bad::AlgorithmRejected => token.unsecured(),
        Bad::AlgorithmConfusion => token.hs256(key.public_pem().as_bytes()),
        Bad::CriticalHeader => token.header("crit", json!(["unknown-extension"])),
        Bad::IssuerUnknown => token.claim("iss", "https://another-issuer.invalid"),
        Bad::KeyUnknown => token.header("kid", "no-such-key"),
        Bad::TokenExpired => token.claim("iat", now - 172_800).claim("exp", now - 86_401),
        // `exp` stays, so that `max_lifetime` accepts it.
        Bad::TokenNotYetValid => token.claim("nbf", now + 86_401),
        Bad::LifetimeTooLong => token.claim("exp", now + 3_155_760_000),
        Bad::AudienceMismatch => token.claim("aud", "another-audience"),
        Bad::SubjectRejected => token.claim("sub", "\u{1}another-subject"),
        Bad::ClaimMissing => token.without_claim("exp"),
        Bad::ClaimMalformed => token.claim("exp", "soon"),
        Bad::BindingMismatch => token.claim("cnf", json!({"jkt": sha256_segment("no key")})),
        Bad::ScopeInsufficient => token.without_claim("scope").without_claim("scp"),
        Bad::TokenRejected | Bad::ClaimRejected => token,
    };
    token.mint()
}

fn proof(arguments: &ProofArguments) -> Result<String, String> {
    let mut key = load(&arguments.key)?;
    if arguments.bad == Some(BadProof::OtherKey) {
        key = SigningKey::generate(key.algorithm(), None);
    }
    let mut now = seconds(arguments.time.as_deref())?;
    if arguments.bad == Some(BadProof::Old) {
        now -= 3600;
    }
    let mut jwk = key.public_jwk();
    if let Some(members) = jwk.as_object_mut() {
        for name in ["alg", "use", "kid"] {
            members.remove(name);
        }
    }
    // RFC 9449 section 4.2: "without query and fragment parts".
    let url = arguments.url.split(['?', '#']).next().unwrap_or_default();
    let (method, url) = match arguments.bad {
        Some(BadProof::Method) => ("PURGE", url.to_owned()),
        Some(BadProof::Url) => (&*arguments.method, format!("{url}/elsewhere")),
        _ => (&*arguments.method, url.to_owned()),
    };
    let mut proof = Token::new(&key)
        .header(
            "typ",
            if arguments.bad == Some(BadProof::Type) {
                "JWT"
            } else {
                "dpop+jwt"
            },
        )
        .without_kid()
        .header("jwk", jwk)
        .without_claim("exp")
        .claim("iat", now)
        .claim("jti", arguments.jti.clone().unwrap_or_else(random_id))
        .claim("htm", method)
        .claim("htu", url);
    if let Some(token) = &arguments.token {
        let token = setup::secret(token)?;
        proof = proof.claim(
            "ath",
            sha256_segment(if arguments.bad == Some(BadProof::Token) {
                "another"
            } else {
                &token
            }),
        );
    }
    if let Some(nonce) = &arguments.nonce {
        proof = proof.claim("nonce", nonce.as_str());
    }
    let proof = proof.mint();
    Ok(match arguments.bad {
        Some(BadProof::Signature) => tamper_signature(&proof),
        _ => proof,
    })
}
