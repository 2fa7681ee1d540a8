//! AWS-LC verifies the keys and tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testkit::{Algorithm, SigningKey, Token, tamper_claims, tamper_signature, unix_now};

fn parts(token: &str) -> (String, Value, Value, Vec<u8>) {
    let (input, signature) = token.rsplit_once('.').expect("a dot");
    let (header, payload) = input.split_once('.').expect("two dots");
    let decode = |part| URL_SAFE_NO_PAD.decode(part).expect("base64url");
    let json = |part| serde_json::from_slice(&decode(part)).expect("JSON");
    (input.into(), json(header), json(payload), decode(signature))
}

#[test]
fn every_algorithm_signs_what_aws_lc_verifies() {
    let rsa = SigningKey::generate(Algorithm::Rs256, Some("k"));
    for algorithm in Algorithm::ALL {
        let key = match algorithm.name().as_bytes() {
            [b'R' | b'P', ..] => rsa.with_algorithm(algorithm),
            _ => SigningKey::generate(algorithm, Some("k")),
        };
        let token = Token::new(&key).claim("sub", "alice").mint();
        let (input, header, claims, signature) = parts(&token);
        assert_eq!(header, json!({"alg": algorithm.name(), "kid": "k", "typ": "JWT"}));
        assert_eq!(claims["sub"], "alice");
        assert!(
            key.verifies(algorithm, input.as_bytes(), &signature),
            "{algorithm}"
        );
        let (input, _, _, spoiled) = parts(&tamper_signature(&token));
        assert!(
            !key.verifies(algorithm, input.as_bytes(), &spoiled),
            "{algorithm}"
        );
        let (input, _, claims, signature) = parts(&tamper_claims(&token, |claims| {
            claims.insert("sub".into(), "mallory".into());
        }));
        assert_eq!(claims["sub"], "mallory");
        assert!(
            !key.verifies(algorithm, input.as_bytes(), &signature),
            "{algorithm}"
        );
    }
}

#[test]
fn ecdsa_signatures_and_jwk_coordinates_have_full_length() {
    for (algorithm, size) in [
        (Algorithm::Es256, 32),
        (Algorithm::Es384, 48),
        (Algorithm::Es512, 66),
    ] {
        let key = SigningKey::generate(algorithm, None);
        let jwk = key.public_jwk();
        for member in ["x", "y"] {
            let coordinate = URL_SAFE_NO_PAD
                .decode(jwk[member].as_str().expect("text"))
                .expect("base64url");
            assert_eq!(coordinate.len(), size, "{algorithm} {member}");
        }
        assert_eq!(key.sign(algorithm, b"message").len(), 2 * size, "{algorithm}");
    }
}

#[test]
fn jwks_name_what_they_are() {
    let rsa = SigningKey::generate_rsa(Algorithm::Ps384, 3072, Some("r")).public_jwk();
    assert_eq!(
        (&rsa["kty"], &rsa["alg"], &rsa["use"]),
        (&json!("RSA"), &json!("PS384"), &json!("sig"))
    );
    assert_eq!((&rsa["kid"], &rsa["e"]), (&json!("r"), &json!("AQAB")));
    assert_eq!(rsa["n"].as_str().map(str::len), Some(512));
    let ed = SigningKey::generate(Algorithm::EdDsa, None).public_jwk();
    assert_eq!(
        (&ed["kty"], &ed["crv"], ed.get("kid")),
        (&json!("OKP"), &json!("Ed25519"), None)
    );
}

#[test]
fn a_saved_key_comes_back_and_only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    for algorithm in [Algorithm::Rs256, Algorithm::Es512, Algorithm::EdDsa] {
        let path = dir.path().join(algorithm.name());
        let key = SigningKey::generate(algorithm, Some("k"));
        key.save(&path).expect("saved");
        assert_eq!(
            path.metadata().expect("a file").permissions().mode() & 0o777,
            0o600
        );
        let loaded = SigningKey::load(&path, algorithm, Some("k")).expect("loaded");
        assert_eq!(loaded.public_jwk(), key.public_jwk());
        assert!(key.save(&path).is_err(), "a key is never written over");
    }
    assert!(SigningKey::load(&dir.path().join("RS256"), Algorithm::Es256, None).is_err());
}

#[test]
fn tokens_can_lie() {
    let key = SigningKey::generate(Algorithm::Es256, Some("k"));
    let (_, header, _, signature) = parts(&Token::new(&key).unsecured().mint());
    assert_eq!((&header["alg"], signature.len()), (&json!("none"), 0));
    let (_, header, _, signature) = parts(&Token::new(&key).hs256(key.public_pem().as_bytes()).mint());
    assert_eq!((&header["alg"], signature.len()), (&json!("HS256"), 32));
    let (_, header, claims, _) = parts(
        &Token::new(&key)
            .without_kid()
            .expires_in(-5)
            .without_claim("iat")
            .mint(),
    );
    assert_eq!((header.get("kid"), claims.get("iat")), (None, None));
    assert!(claims["exp"].as_i64().expect("a number") < unix_now());
    let raw = Token::new(&key).raw_header(b"{}").raw_payload(b"\xff").mint();
    assert!(raw.starts_with("e30._w."));
}

#[test]
fn thumbprints_are_those_of_rfc_7638() {
    // The order and the choice of members can be wrong, so the hash is compared with one computed by hand.
    let key = SigningKey::generate(Algorithm::EdDsa, Some("k"));
    let x = key.public_jwk()["x"].as_str().expect("text").to_owned();
    let document = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, document.as_bytes());
    assert_eq!(key.thumbprint(), URL_SAFE_NO_PAD.encode(digest));
}
