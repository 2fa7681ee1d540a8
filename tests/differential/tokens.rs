//! Tokens, valid and with every flaw that a verifier must notice, and their traces in a request.

use std::fmt;

use serde_json::{Value, json};
use testkit::{
    Algorithm, Random, Request, SigningKey, Token, encode_segment, latin1, tamper_claims, tamper_signature,
    unix_now,
};

use crate::world::{Idp, SECRET};

/// The issuer and the audience of a token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maker<'m> {
    pub(crate) idp: &'m Idp,
    pub(crate) audience: &'m str,
}

impl Maker<'_> {
    /// A valid token, signed with the issuer's RSA key.
    pub(crate) fn good(&self) -> Token {
        self.of(&self.idp.keys[0])
    }

    pub(crate) fn of(&self, key: &SigningKey) -> Token {
        Token::new(key)
            .claims(claims())
            .claims(json!({"iss": self.idp.issuer, "aud": self.audience}))
    }
}

/// Claims of every type.
pub(crate) fn claims() -> Value {
    json!({
        "sub": "alice",
        "scope": "orders:read orders:write",
        "flag": true,
        "number": 42,
        "big": 9_007_199_254_740_993_u64,
        "fraction": 1.5,
        "negative": -3,
        "list": ["a", "b"],
        "object": {"b": [1, 2], "a": "x"},
        "nested": {"key": "inner", "deep": {"er": 7}},
        "dotted.name": "literal",
        "https://example.com/verified": "yes",
        "empty": "",
        "null": null,
        "accent": "Zoë",
        "spaced": "two words"
    })
}

type Flaw = fn(Maker<'_>) -> String;

/// Ways to make a token, by name. Times are far from the limits, so that a slow test does not change a
/// result.
pub(crate) const FLAWS: &[(&str, Flaw)] = &[
    ("rs384", |m| m.good().signed_with(Algorithm::Rs384).mint()),
    ("ps256", |m| m.good().signed_with(Algorithm::Ps256).mint()),
    ("es256", |m| m.of(&m.idp.keys[1]).mint()),
    ("eddsa", |m| m.of(&m.idp.keys[2]).mint()),
    ("es384", |m| m.of(&m.idp.keys[3]).mint()),
    ("es512", |m| m.of(&m.idp.keys[4]).mint()),
    ("no kid", |m| m.good().without_kid().mint()),
    ("no kid, es256", |m| m.of(&m.idp.keys[1]).without_kid().mint()),
    ("unknown kid", |m| m.good().header("kid", "rotated").mint()),
    ("empty kid", |m| m.good().header("kid", "").mint()),
    ("kid of another type", |m| m.good().header("kid", 1).mint()),
    ("kid of another key", |m| {
        m.good().header("kid", m.idp.keys[1].kid().expect("a kid")).mint()
    }),
    ("forged", |m| m.of(&m.idp.forger).mint()),
    ("signature tampered", |m| tamper_signature(&m.good().mint())),
    ("claims tampered", |m| {
        tamper_claims(&m.good().mint(), |claims| {
            claims.insert("sub".into(), "root".into());
        })
    }),
    ("signature empty", |m| m.good().signature(b"").mint()),
    ("signature cut", |m| {
        let token = m.good().mint();
        token[..token.len() - 8].to_owned()
    }),
    ("unsecured", |m| m.good().unsecured().mint()),
    ("hs256 with the public key", |m| {
        m.good().hs256(m.idp.keys[0].public_pem().as_bytes()).mint()
    }),
    ("hs256 with the secret", |m| {
        m.good().hs256(SECRET).header("kid", "secret").mint()
    }),
    ("alg missing", |m| m.good().without_header("alg").mint()),
    ("alg of another type", |m| m.good().header("alg", 256).mint()),
    ("alg unknown", |m| m.good().alg("RS257").mint()),
    ("alg Ed25519", |m| m.of(&m.idp.keys[2]).alg("Ed25519").mint()),
    ("cnf with a thumbprint", |m| {
        m.good()
            .claim(
                "cnf",
                json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
            )
            .mint()
    }),
    ("sub with a line break", |m| {
        m.good().claim("sub", "a\r\nx-role: admin").mint()
    }),
    ("sub with control characters", |m| {
        m.good().claim("sub", "a\u{1}\u{7f}\tb").mint()
    }),
    ("sub with blanks at its ends", |m| {
        m.good().claim("sub", " alice ").mint()
    }),
    ("sub empty", |m| m.good().claim("sub", "").mint()),
    ("alg in lower case", |m| m.good().alg("rs256").mint()),
    ("alg of another family", |m| m.good().alg("ES256").mint()),
    ("ec signature called rs256", |m| {
        m.of(&m.idp.keys[1]).alg("RS256").mint()
    }),
    ("crit", |m| {
        m.good().header("crit", json!(["x"])).header("x", 1).mint()
    }),
    ("b64 false", |m| m.good().header("b64", false).mint()),
    ("typ at+jwt", |m| m.good().header("typ", "at+jwt").mint()),
    ("typ of another type", |m| m.good().header("typ", 1).mint()),
    ("typ and cty null", |m| {
        m.good()
            .header("typ", json!(null))
            .header("cty", json!(null))
            .mint()
    }),
    ("cty JWT", |m| m.good().header("cty", "JWT").mint()),
    ("no exp", |m| m.good().without_claim("exp").mint()),
    ("expired", |m| m.good().expires_in(-2000).mint()),
    ("expired within the skew", |m| m.good().expires_in(-30).mint()),
    ("expired within a wide skew", |m| m.good().expires_in(-200).mint()),
    ("exp 0", |m| m.good().claim("exp", 0).mint()),
    ("exp negative", |m| m.good().claim("exp", -1).mint()),
    ("exp far away", |m| m.good().expires_in(90 * 86400).mint()),
    ("exp fractional", |m| {
        m.good().claim("exp", unix_now() as f64 + 200.5).mint()
    }),
    ("exp in exponents", |m| m.good().claim("exp", 1e11).mint()),
    ("exp beyond all dates", |m| m.good().claim("exp", 1e30).mint()),
    ("exp a string", |m| m.good().claim("exp", "9999999999").mint()),
    ("exp null", |m| m.good().claim("exp", Value::Null).mint()),
    ("nbf past", |m| m.good().claim("nbf", unix_now() - 100).mint()),
    ("nbf future", |m| m.good().claim("nbf", unix_now() + 2000).mint()),
    ("nbf within the skew", |m| {
        m.good().claim("nbf", unix_now() + 30).mint()
    }),
    ("nbf a string", |m| m.good().claim("nbf", "1").mint()),
    ("nbf negative", |m| m.good().claim("nbf", -1).mint()),
    ("no iat", |m| m.good().without_claim("iat").mint()),
    ("iat future", |m| m.good().claim("iat", unix_now() + 2000).mint()),
    ("iat a string", |m| m.good().claim("iat", "1").mint()),
    ("iss another", |m| {
        m.good().claim("iss", "https://evil.example.com").mint()
    }),
    ("iss almost", |m| {
        m.good().claim("iss", format!("{}/", m.idp.issuer)).mint()
    }),
    ("no iss", |m| m.good().without_claim("iss").mint()),
    ("iss a list", |m| {
        m.good().claim("iss", json!([m.idp.issuer])).mint()
    }),
    ("aud another", |m| m.good().claim("aud", "another-api").mint()),
    ("aud a list", |m| {
        m.good().claim("aud", json!(["x", m.audience])).mint()
    }),
    ("aud an empty list", |m| m.good().claim("aud", json!([])).mint()),
    ("aud a list of numbers", |m| {
        m.good().claim("aud", json!([1])).mint()
    }),
    ("aud a number", |m| m.good().claim("aud", 1).mint()),
    ("no aud", |m| m.good().without_claim("aud").mint()),
    ("aud with a scheme", |m| {
        m.good().claim("aud", format!("https://{}", m.audience)).mint()
    }),
    ("aud with a slash", |m| {
        m.good().claim("aud", format!("{}/", m.audience)).mint()
    }),
    ("aud in upper case", |m| {
        m.good().claim("aud", m.audience.to_uppercase()).mint()
    }),
    ("sub another", |m| m.good().claim("sub", "service:mallory").mint()),
    ("no sub", |m| m.good().without_claim("sub").mint()),
    ("sub a number", |m| m.good().claim("sub", 7).mint()),
    ("jti a number", |m| m.good().claim("jti", 7).mint()),
    ("two parts", |m| {
        m.good().mint().rsplit_once('.').expect("dots").0.to_owned()
    }),
    ("four parts", |m| format!("{}.x", m.good().mint())),
    ("five parts", |m| format!("{}.x.y", m.good().mint())),
    ("no token at all", |_| "opaque-0123".to_owned()),
    ("header no base64", |m| format!("*{}", m.good().mint())),
    ("header no JSON", |m| {
        m.good().raw_header(b"{\"alg\":\"RS256\"").mint()
    }),
    ("header a list", |m| m.good().raw_header(b"[]").mint()),
    ("header with a member twice", |m| {
        m.good().raw_header(br#"{"alg":"none","alg":"RS256"}"#).mint()
    }),
    ("payload no JSON", |m| m.good().raw_payload(b"hello").mint()),
    ("payload a list", |m| m.good().raw_payload(b"[]").mint()),
    ("payload empty", |m| m.good().raw_payload(b"").mint()),
    ("payload not UTF-8", |m| {
        m.good().raw_payload(b"{\"iss\":\"\xff\"}").mint()
    }),
    ("payload with a member twice", |m| {
        let text = format!(
            r#"{{"iss":"{0}","aud":"{1}","sub":"alice","sub":"root","exp":{2}}}"#,
            m.idp.issuer,
            m.audience,
            unix_now() + 300
        );
        m.good().raw_payload(text.as_bytes()).mint()
    }),
    ("payload with spaces", |m| {
        let text = format!(
            "{{ \"iss\" : \"{0}\",\n \"aud\":\"{1}\", \"sub\":\"alice\", \"list\": [ \"a\", 1.0 ], \"exp\":{2} }}",
            m.idp.issuer,
            m.audience,
            unix_now() + 300
        );
        m.good().raw_payload(text.as_bytes()).mint()
    }),
    ("payload deep", |m| {
        let nest = format!("{}{}", "[".repeat(200), "]".repeat(200));
        m.good()
            .claim(
                "deep",
                serde_json::from_str::<Value>(&nest[136..264]).expect("a list"),
            )
            .mint()
    }),
    ("padded", |m| {
        let token = m.good().mint();
        let parts: Vec<_> = token.split('.').collect();
        format!("{}.{}.{}==", parts[0], parts[1], parts[2])
    }),
    ("stray bits", |m| {
        // An RSA signature of 256 bytes ends in a letter of which only the first two bits count.
        let mut token = m.good().mint();
        let last = token.pop().expect("a letter");
        token.push(char::from(last as u8 + 1));
        token
    }),
    ("too large", |m| m.good().claim("pad", "x".repeat(20_000)).mint()),
];

/// The token with the flaw of this name.
pub(crate) fn flawed(name: &str, maker: Maker<'_>) -> String {
    let found = FLAWS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no flaw is named {name:?}")).1(maker)
}

/// Mostly good tokens, and sometimes each flaw.
pub(crate) fn generate(maker: Maker<'_>, random: &mut Random) -> String {
    if random.percent(40) {
        maker.good().mint()
    } else {
        random.pick(FLAWS).1(maker)
    }
}

/// A text that resembles a token, split as far as possible.
#[derive(Clone, Debug)]
pub(crate) struct SeenToken {
    pub(crate) text: String,
    pub(crate) header: Value,
    pub(crate) claims: Value,
    /// The payload's own text.
    pub(crate) payload: String,
    /// Padding follows it.
    pub(crate) is_padded: bool,
}

impl fmt::Display for SeenToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.header, self.payload.escape_debug())
    }
}

/// Everything in a request that looks like a token: has two dots, and a header that can be read.
pub(crate) fn seen(request: &Request) -> Vec<SeenToken> {
    let values = request.headers.iter().map(|(_, value)| latin1(value));
    let query = request
        .path
        .split_once('?')
        .map(|(_, query)| query.replace("%2E", "."));
    let mut found: Vec<SeenToken> = Vec::new();
    for text in values.chain(query) {
        for word in text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"-_.".contains(letter)) {
            let mut parts = word.split('.');
            let (Some(header), Some(payload), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let header_text = String::from_utf8_lossy(&decode(header)).into_owned();
            let header: Value = serde_json::from_str(&header_text).unwrap_or(Value::Null);
            let payload = String::from_utf8_lossy(&decode(payload)).into_owned();
            let claims: Value = serde_json::from_str(&payload).unwrap_or(Value::Null);
            found.push(SeenToken {
                text: word.to_owned(),
                is_padded: text.contains(&format!("{word}=")),
                header,
                claims,
                payload,
            });
        }
    }
    found
}

/// Whether the parts have no unused bits.
pub(crate) fn is_strict_base64(token: &str) -> bool {
    token.split('.').all(|part| encode_segment(&decode(part)) == part)
}

fn decode(segment: &str) -> Vec<u8> {
    // Bits, so that Envoy can read the flawed tokens as well.
    let mut bits = 0_u32;
    let mut held = 0;
    let mut out = Vec::new();
    for value in segment
        .bytes()
        .filter_map(|byte| ALPHABET.iter().position(|letter| *letter == byte))
    {
        bits = (bits << 6) | u32::try_from(value).expect("six bits");
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    out
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The JSON behind a header's base64, with every number a double: equal for equal meaning.
pub(crate) fn json_in_base64(text: &str) -> Option<Value> {
    let url: String = text.replace('+', "-").replace('/', "_");
    fn doubles(value: Value) -> Value {
        match value {
            Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
            Value::Array(all) => all.into_iter().map(doubles).collect(),
            Value::Object(all) => all
                .into_iter()
                .map(|(name, value)| (name, doubles(value)))
                .collect(),
            other => other,
        }
    }
    serde_json::from_slice(&decode(&url)).ok().map(doubles)
}
