//! The token's form and its JOSE header.

use serde_json::json;
use testkit::{Algorithm, encode_segment};

use super::*;

pub(super) fn list() -> Vec<Scenario> {
    let good = token().mint();
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let stray_bits = {
        // The last letter of a 256-byte signature carries four unused bits.
        let (last, rest) = signature.as_bytes().split_last().unwrap();
        let spoiled = if *last == b'Q' { b'R' } else { *last + 1 };
        format!(
            "{header}.{payload}.{}{}",
            String::from_utf8_lossy(rest),
            char::from(spoiled)
        )
    };

    vec![
        Scenario::local("a good token passes").token(&good, forwarded().no_header("authorization")),
        Scenario::local("null for typ and cty means absent")
            .token(
                token()
                    .header("typ", json!(null))
                    .header("cty", json!(null))
                    .mint(),
                forwarded(),
            )
            .token(token().header("typ", 1).mint(), denied("token_malformed"))
            .token(
                token().header("kid", json!(null)).mint(),
                denied("token_malformed"),
            )
            .token(
                token().header("alg", json!(null)).mint(),
                denied("token_malformed"),
            ),
        Scenario::local_with(
            "null for typ is none of the allowed types",
            json!({"token_types": ["JWT"]}),
        )
        .token(token().header("typ", json!(null)).mint(), denied("type_rejected")),
        Scenario::local("headers of tokens as libraries write them")
            .token(
                token()
                    .header("x5t", "a")
                    .header("x5c", json!(["AAAA"]))
                    .header("jku", "https://a.example/jwks")
                    .header("jwk", json!({"kty": "oct"}))
                    .header("zip", json!(null))
                    .header("b64", true)
                    .mint(),
                forwarded(),
            )
            .token(
                token()
                    .header("ver", 1.5)
                    .header("ext", json!({"a": [1, {"b": null}]}))
                    .mint(),
                forwarded(),
            ),
        Scenario::local("no token is missing").request(get("/orders"), denied("token_missing")),
        Scenario::local("malformed tokens")
            .token("x", denied("token_malformed"))
            .token("..", denied("token_malformed"))
            .token("a.b", denied("token_malformed"))
            .token("a.b.c", denied("token_malformed"))
            .token(format!("{good}."), denied("token_malformed"))
            .token(format!("{good}.x.y"), denied("token_malformed"))
            .token(format!("{header}.{payload}"), denied("token_malformed"))
            .token(format!(".{payload}.{signature}"), denied("token_malformed"))
            .token(format!("{header}..{signature}"), denied("token_malformed"))
            .token(
                format!("{header}=.{payload}.{signature}"),
                denied("token_malformed"),
            )
            .token(
                format!("{header}.{payload}.{signature}=="),
                denied("token_malformed"),
            )
            .token(
                format!("{header}.{payload}.{signature} x"),
                denied("token_malformed"),
            )
            .token(format!("{header}.{payload}.+/+/"), denied("token_malformed"))
            .token(stray_bits, denied("token_malformed")),
        Scenario::local("headers that are no JOSE header")
            .token(token().raw_header(b"[]").mint(), denied("token_malformed"))
            .token(token().raw_header(b"{").mint(), denied("token_malformed"))
            .token(token().raw_header(b"\xff\xfe").mint(), denied("token_malformed"))
            .token(
                token().raw_header(br#"{"alg":"RS256","alg":"RS256"}"#).mint(),
                denied("token_malformed"),
            )
            .token(
                token().raw_header(br#"{"alg":256}"#).mint(),
                denied("token_malformed"),
            )
            .token(token().header("kid", 1).mint(), denied("token_malformed"))
            .token(
                token().header("typ", json!(["JWT"])).mint(),
                denied("token_malformed"),
            ),
        Scenario::local("payloads that are no claims set")
            .token(token().raw_payload(b"[]").mint(), denied("token_malformed"))
            .token(
                token().raw_payload(b"\"alice\"").mint(),
                denied("token_malformed"),
            )
            .token(token().raw_payload(b"not json").mint(), denied("token_malformed"))
            .token(
                token().raw_payload(b"{\"sub\":\"\xff\"}").mint(),
                denied("token_malformed"),
            )
            .token(
                token().raw_payload(br#"{"sub":"a","sub":"b"}"#).mint(),
                denied("token_malformed"),
            )
            .token(
                token().raw_payload(br#"{"a":{"b":1,"b":2}}"#).mint(),
                denied("token_malformed"),
            )
            .token(
                token()
                    .raw_payload(format!("{}{}", "[".repeat(500), "]".repeat(500)).as_bytes())
                    .mint(),
                denied("token_malformed"),
            ),
        Scenario::local("a token larger than the limit is not read")
            .token(
                token().claim("x", "y".repeat(13_000)).mint(),
                denied("token_too_large"),
            )
            .token(token().claim("x", "y".repeat(11_000)).mint(), forwarded()),
        Scenario::new(
            "the limit is the operator's",
            with(
                config(local_provider()),
                json!({"limits": {"max_token_bytes": 300}}),
            ),
        )
        .token(&good, denied("token_too_large")),
        Scenario::local("encrypted and nested tokens are refused")
            .token(format!("{header}.a.b.c.{signature}"), denied("token_malformed"))
            .token(token().header("enc", "A256GCM").mint(), denied("token_malformed"))
            .token(token().header("cty", "JWT").mint(), denied("token_malformed")),
        Scenario::local("critical extensions are refused")
            .token(
                token().header("crit", json!(["exp"])).mint(),
                denied("critical_header"),
            )
            .token(
                token().header("crit", json!([])).mint(),
                denied("critical_header"),
            )
            .token(token().header("b64", false).mint(), denied("critical_header")),
        Scenario::local("keys that a token brings along are ignored")
            .token(
                token_of(&world().rsa)
                    .header("jwk", world().rsa.public_jwk())
                    .header("jku", "https://evil.example/jwks")
                    .header("x5u", "https://evil.example/cert")
                    .mint(),
                forwarded(),
            )
            .token(
                {
                    let stranger = SigningKey::generate(Algorithm::Es256, Some("stranger"));
                    let jwk = stranger.public_jwk();
                    token_of(&stranger).header("jwk", jwk).mint()
                },
                denied("key_unknown"),
            ),
        Scenario::local("algorithms outside the list are refused")
            .token(token().unsecured().mint(), denied("algorithm_rejected"))
            .token(
                token().alg("None").signature(b"").mint(),
                denied("algorithm_rejected"),
            )
            .token(token().alg("rs256").mint(), denied("algorithm_rejected"))
            .token(token().alg("").mint(), denied("algorithm_rejected"))
            .token(token().without_header("alg").mint(), denied("algorithm_rejected"))
            .token(
                token().hs256(&world().rsa.public_der()).mint(),
                denied("algorithm_rejected"),
            )
            .token(
                token().hs256(world().rsa.public_pem().as_bytes()).mint(),
                denied("algorithm_rejected"),
            ),
        Scenario::local_with(
            "the operator's list of algorithms holds",
            json!({"algorithms": ["ES256", "EdDSA"]}),
        )
        .token(&good, denied("algorithm_rejected"))
        .token(token_of(&world().es256).mint(), forwarded())
        .token(token_of(&world().ed25519).mint(), forwarded()),
        Scenario::local_with(
            "token types are compared as media types",
            json!({"token_types": ["at+jwt", "JWT"]}),
        )
        .token(token().header("typ", "at+jwt").mint(), forwarded())
        .token(token().header("typ", "application/AT+JWT").mint(), forwarded())
        .token(token().header("typ", "jwt").mint(), forwarded())
        .token(token().header("typ", "dpop+jwt").mint(), denied("type_rejected"))
        .token(token().without_header("typ").mint(), denied("type_rejected")),
        Scenario::local("an unpadded form is the only one").token(
            format!(
                "{}.{payload}.{signature}",
                encode_segment(b"{\"alg\":\"RS256\"} ")
            ),
            denied("signature_invalid"),
        ),
    ]
}
