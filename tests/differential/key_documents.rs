//! Key documents, directed and generated: members that are absent, null, empty, of a wrong type, padded,
//! short, long, duplicated; sets that are empty, huge, or hold junk.

use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use testkit::{Random, Request, SigningKey, certificate_of, encode_segment};

use crate::directed::{bearer, maker, one};
use crate::run::Trial;
use crate::world::{Idp, SECRET, idps};

/// The documents that the issuer serves, each at [`path`] of its number.
static DOCUMENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn path(number: usize) -> String {
    format!("/documents/{number}/keys")
}

/// Every document so far, with the path that the issuer serves it at.
pub(crate) fn served() -> Vec<(String, String)> {
    let documents = DOCUMENTS.lock().expect("no panic while it is held");
    let served = documents.iter().enumerate();
    served
        .map(|(number, document)| (path(number), document.clone()))
        .collect()
}

/// The document at this address.
pub(crate) fn at(uri: &str) -> Option<String> {
    let found = served().into_iter().find(|(path, _)| uri.ends_with(path));
    found.map(|(_, document)| document)
}

/// A trial of this document, with a token of each key, with and without its `kid`.
fn trial(name: &str, document: String) -> Trial {
    let number = {
        let document = document.clone();
        let mut documents = DOCUMENTS.lock().expect("no panic while it is held");
        documents.push(document);
        documents.len() - 1
    };
    let remote = json!({
        "http_uri": {
            "uri": format!("http://idp.example.com{}", path(number)), "cluster": "issuer", "timeout": "5s"
        },
        "cache_duration": "300s",
        "async_fetch": {"fast_listener": true},
    });
    let mut config = one(json!({"local_jwks": null, "remote_jwks": remote}));
    // The wait of a request for a document without keys, which is shorter than the default.
    config["limits"] = json!({"max_wait": "2s"});
    let mut requests: Vec<Request> = idps()[0]
        .keys
        .iter()
        .flat_map(|key| {
            let token = maker(0).of(key);
            [bearer(&token.clone().mint()), bearer(&token.without_kid().mint())]
        })
        .collect();
    if !document.contains(r#""keys":[{"#) {
        requests.truncate(2);
    }
    Trial::new(&format!("key document, {name}"), config, requests)
}

type Change = fn(&mut Value);

fn set(key: &mut Value, name: &str, value: Value) {
    key[name] = value;
}

fn every(key: &mut Value, names: &[&str], value: &Value) {
    for name in names {
        key[*name] = value.clone();
    }
}

fn octets(key: &Value, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(key[name].as_str()?).ok()
}

/// Changes the most important number of the key: `n`, or `x` and `y`.
fn numbers(key: &mut Value, change: fn(&[u8]) -> String) {
    let names: &[&str] = if key["kty"] == "RSA" { &["n"] } else { &["x", "y"] };
    for name in names {
        if let Some(octets) = octets(key, name) {
            key[*name] = change(&octets).into();
        }
    }
}

const OPTIONAL: &[&str] = &[
    "alg", "use", "kid", "key_ops", "d", "p", "q", "dp", "dq", "qi", "oth", "x5c", "x5t", "x5u",
];

/// The possible changes of a key.
const CHANGES: &[(&str, Change)] = &[
    ("as it is", |_| {}),
    ("every optional member null", |key| {
        every(key, OPTIONAL, &Value::Null)
    }),
    ("kid null", |key| set(key, "kid", Value::Null)),
    ("kid empty", |key| set(key, "kid", "".into())),
    ("kid a number", |key| set(key, "kid", 1.into())),
    ("alg null", |key| set(key, "alg", Value::Null)),
    ("alg empty", |key| set(key, "alg", "".into())),
    ("alg a number", |key| set(key, "alg", 1.into())),
    ("alg of another family", |key| set(key, "alg", "RSA-OAEP".into())),
    ("use null", |key| set(key, "use", Value::Null)),
    ("use empty", |key| set(key, "use", "".into())),
    ("use of SPIFFE", |key| set(key, "use", "jwt-svid".into())),
    ("use for encryption", |key| set(key, "use", "enc".into())),
    ("use a number", |key| set(key, "use", 1.into())),
    ("key_ops empty", |key| set(key, "key_ops", json!([]))),
    ("key_ops a text", |key| set(key, "key_ops", "verify".into())),
    ("key_ops to sign", |key| set(key, "key_ops", json!(["sign"]))),
    ("empty lists", |key| {
        every(key, &["key_ops", "oth", "x5c"], &json!([]))
    }),
    ("a private member", |key| set(key, "d", "AQAB".into())),
    ("an issuer of its own", |key| {
        set(key, "issuer", idps()[0].issuer.into())
    }),
    ("another issuer", |key| {
        set(key, "issuer", idps()[1].issuer.into())
    }),
    ("junk members", |key| {
        set(key, "x5t#S256", json!({"a": [1, null]}))
    }),
    ("kty null", |key| set(key, "kty", Value::Null)),
    ("kty in lower case", |key| {
        let kty = key["kty"].as_str().unwrap_or_default().to_lowercase();
        set(key, "kty", kty.into());
    }),
    ("crv null", |key| set(key, "crv", Value::Null)),
    ("no crv", |key| {
        key.as_object_mut().expect("a key").remove("crv");
    }),
    ("numbers null", |key| every(key, &["n", "x"], &Value::Null)),
    ("numbers empty", |key| every(key, &["n", "x"], &"".into())),
    ("numbers of another type", |key| {
        every(key, &["n", "x"], &7.into())
    }),
    ("numbers padded", |key| {
        numbers(key, |octets| {
            base64::engine::general_purpose::URL_SAFE.encode(octets)
        });
    }),
    ("numbers with a zero in front", |key| {
        numbers(key, |octets| encode_segment(&[&[0], octets].concat()));
    }),
    ("numbers with a zero behind", |key| {
        numbers(key, |octets| encode_segment(&[octets, &[0]].concat()));
    }),
    ("numbers cut in front", |key| {
        numbers(key, |octets| encode_segment(&octets[1..]))
    }),
    ("numbers in base64", |key| {
        numbers(key, |octets| {
            base64::engine::general_purpose::STANDARD_NO_PAD.encode(octets)
        });
    }),
    ("numbers with line breaks", |key| {
        numbers(key, |octets| {
            let text = encode_segment(octets);
            format!("{}\n{}", &text[..20], &text[20..])
        });
    }),
];

fn keys_of(idp: &Idp) -> Vec<Value> {
    idp.keys.iter().map(SigningKey::public_jwk).collect()
}

fn changed(name: &str) -> String {
    let (_, change) = CHANGES
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a change");
    let mut keys = keys_of(&idps()[0]);
    for key in &mut keys[..2] {
        change(key);
    }
    json!({"keys": keys}).to_string()
}

/// Each change of a key alone, and each shape of a document.
pub(crate) fn directed() -> Vec<Trial> {
    let mut trials: Vec<Trial> = CHANGES
        .iter()
        .map(|(name, _)| trial(name, changed(name)))
        .collect();
    let idp = &idps()[0];
    let keys = keys_of(idp);
    let rsa = &keys[0];
    let set = |keys: &[Value]| json!({"keys": keys}).to_string();
    let text = set(&keys);
    let many = |count: usize| -> Vec<Value> {
        let other = (0..count).map(|number| {
            let mut key = keys[1].clone();
            key["kid"] = format!("other-{number}").into();
            key
        });
        keys.iter().cloned().chain(other).collect()
    };
    let small = json!({
        "kty": "RSA", "kid": "small", "n": encode_segment(&[0xff; 128]), "e": "AQAB", "alg": "RS256"
    });
    let junk = [json!(null), json!(7), json!("key"), json!([]), json!({})];
    let certificates: Map<String, Value> = [(
        idp.keys[0].kid().expect("a kid").to_owned(),
        certificate_of(&idp.keys[0]).into(),
    )]
    .into_iter()
    .collect();
    let chain: String = certificate_of(&idp.keys[0])
        .lines()
        .filter(|line| !line.starts_with("---"))
        .collect();
    let only_chain = json!({"kty": "RSA", "kid": rsa["kid"], "alg": "RS256", "x5c": [chain]});
    let reversed: Vec<Value> = keys.iter().rev().cloned().collect();
    let mut twice = keys.clone();
    twice.extend(keys_of(&idps()[1]));
    let member_twice = text.replacen(r#""kty":"RSA""#, r#""kty":"RSA","kty":"RSA""#, 1);
    assert_ne!(member_twice, text);
    let secret = json!({"kty": "oct", "kid": "secret", "alg": "HS256", "k": encode_segment(SECRET)});
    let mut with_small = keys.clone();
    with_small.push(small);
    let mut with_junk = junk.to_vec();
    with_junk.extend(keys.clone());
    let mut junk_behind = keys.clone();
    junk_behind.extend(junk);
    let mut with_secret = keys.clone();
    with_secret.push(secret);
    for (name, document) in [
        ("empty", r#"{"keys":[]}"#.to_owned()),
        ("keys null", r#"{"keys":null}"#.to_owned()),
        ("keys an object", r#"{"keys":{}}"#.to_owned()),
        ("no keys", r#"{"error":"x"}"#.to_owned()),
        ("a list", format!("[{rsa}]")),
        ("one key alone", rsa.to_string()),
        ("no JSON", "<html>".to_owned()),
        ("nothing", String::new()),
        ("a byte order mark", format!("\u{feff}{text}")),
        ("white space around", format!(" \n{text}\n ")),
        ("text behind", format!("{text}x")),
        ("a trailing comma", text.replace("]}", ",]}")),
        ("single quotes", text.replace('"', "'")),
        ("a comment", format!("// keys\n{text}")),
        (
            "a public key in PEM",
            json!({"a": idp.keys[0].public_pem()}).to_string(),
        ),
        ("a member twice", member_twice),
        ("keys twice", format!(r#"{{"keys":[],{}"#, &text[1..])),
        (
            "members beside keys",
            format!(r#"{{"issuer":null,"jwks_uri":[1],{}"#, &text[1..]),
        ),
        ("250 keys more", set(&many(250))),
        ("1,000 keys more", set(&many(1_000))),
        ("small keys among them", set(&with_small)),
        ("junk in front", set(&with_junk)),
        ("junk behind", set(&junk_behind)),
        ("a secret among them", set(&with_secret)),
        ("unordered", set(&reversed)),
        ("the same kids twice", set(&twice)),
        ("certificates", Value::from(certificates).to_string()),
        ("a key that is a certificate only", set(&[only_chain])),
    ] {
        trials.push(trial(name, document));
    }
    trials.push(small_key());
    trials
}

/// A document with an RSA key of 1024 bits, and a token that it signs.
fn small_key() -> Trial {
    use rsa::traits::PublicKeyParts as _;
    use rsa::{BigUint, Pkcs1v15Sign, RsaPrivateKey};
    use sha2::Digest as _;

    let [p, q] = PRIMES.map(|prime| BigUint::parse_bytes(prime.as_bytes(), 16).expect("a number"));
    let key = RsaPrivateKey::from_p_q(p, q, 65_537_u32.into()).expect("a key");
    let jwk = json!({"kty": "RSA", "kid": "small", "n": encode_segment(&key.n().to_bytes_be()), "e": "AQAB"});
    let mut keys = keys_of(&idps()[0]);
    keys.push(jwk);
    let token = maker(0).good().header("kid", "small").mint();
    let (input, _) = token.rsplit_once('.').expect("three parts");
    let digest = sha2::Sha256::digest(input.as_bytes());
    let scheme = Pkcs1v15Sign::new::<rsa::sha2::Sha256>();
    let signature = key.sign(scheme, &digest).expect("a signature");
    let mut trial = trial("a small key", json!({"keys": keys}).to_string());
    trial.requests = vec![bearer(&format!("{input}.{}", encode_segment(&signature)))];
    trial
}

const PRIMES: [&str; 2] = [
    "df27b474402615f619baa4a49f0ac0170928ca2ceca468e9ce6ba18b8ad12fc9a0d4f2e345ffb65d9f9bc6d3adae2c57eafd6a994409a2329ef50006a43e3769",
    "ffb941d2b225999d15f5b42d2c57fad0d64b960d01374711cc63bbb911eeded90770623545be83c28f87425fb9c25afb6989b3ac88ec029f9873a6aa03d75a09",
];

/// Every key with one change or with none, in any order, with junk among them.
pub(crate) fn generate(name: &str, random: &mut Random) -> Trial {
    let mut keys = Vec::new();
    for mut key in keys_of(&idps()[0]) {
        if random.percent(60) {
            random.pick(CHANGES).1(&mut key);
        }
        if random.percent(15) {
            keys.push(
                random
                    .pick(&["null", "7", "[]", "{}", r#"{"kty":"RSA"}"#])
                    .to_owned(),
            );
        }
        let at = random.below(keys.len() + 1);
        keys.insert(at, key.to_string());
    }
    trial(name, format!(r#"{{"keys":[{}]}}"#, keys.join(",")))
}
