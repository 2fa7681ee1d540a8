//! The signature examples of the JOSE RFCs, each from its compact form to the verdict.

#![cfg(test)]

use proxy_wasm_jwt::jose::{Algorithm, AlgorithmSet, Jwk, JwkSet, UnverifiedJwt};
use proxy_wasm_jwt::json::Object;

/// RFC 7515 appendix A.2.
const RFC7515_RSA: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
const RFC7515_RS256: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

/// RFC 7515 appendix A.3.
const RFC7515_P256: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const RFC7515_ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

/// RFC 7515 appendix A.4.
const RFC7515_P521: &str = r#"{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}"#;
const RFC7515_ES512: &str = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";

/// RFC 8037 appendix A.
const RFC8037_ED25519: &str =
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const RFC8037_EDDSA: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

/// RFC 7520 section 3.3 and 3.1: Bilbo's keys.
const RFC7520_RSA: &str = r#"{"kty":"RSA","kid":"bilbo.baggins@hobbiton.example","use":"sig","n":"n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw","e":"AQAB"}"#;
const RFC7520_P521: &str = r#"{"kty":"EC","kid":"bilbo.baggins@hobbiton.example","use":"sig","crv":"P-521","x":"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt","y":"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1"}"#;
const RFC7520_PAYLOAD: &str = "It\u{2019}s a dangerous business, Frodo, going out your door. You step onto the road, and if you don't keep your feet, there\u{2019}s no knowing where you might be swept off to.";
/// Section 4.1.
const RFC7520_RS256: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg";
/// Section 4.2.
const RFC7520_PS384: &str = "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw";
/// Section 4.3.
const RFC7520_ES512: &str = "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2";

struct Vector {
    name: &'static str,
    algorithm: Algorithm,
    jwk: &'static str,
    token: &'static str,
    payload: &'static str,
}

const JOE: &str = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";

const VECTORS: [Vector; 7] = [
    Vector {
        name: "RFC 7515 A.2",
        algorithm: Algorithm::Rs256,
        jwk: RFC7515_RSA,
        token: RFC7515_RS256,
        payload: JOE,
    },
    Vector {
        name: "RFC 7515 A.3",
        algorithm: Algorithm::Es256,
        jwk: RFC7515_P256,
        token: RFC7515_ES256,
        payload: JOE,
    },
    Vector {
        name: "RFC 7515 A.4",
        algorithm: Algorithm::Es512,
        jwk: RFC7515_P521,
        token: RFC7515_ES512,
        payload: "Payload",
    },
    Vector {
        name: "RFC 8037 A.4",
        algorithm: Algorithm::EdDsa,
        jwk: RFC8037_ED25519,
        token: RFC8037_EDDSA,
        payload: "Example of Ed25519 signing",
    },
    Vector {
        name: "RFC 7520 4.1",
        algorithm: Algorithm::Rs256,
        jwk: RFC7520_RSA,
        token: RFC7520_RS256,
        payload: RFC7520_PAYLOAD,
    },
    Vector {
        name: "RFC 7520 4.2",
        algorithm: Algorithm::Ps384,
        jwk: RFC7520_RSA,
        token: RFC7520_PS384,
        payload: RFC7520_PAYLOAD,
    },
    Vector {
        name: "RFC 7520 4.3",
        algorithm: Algorithm::Es512,
        jwk: RFC7520_P521,
        token: RFC7520_ES512,
        payload: RFC7520_PAYLOAD,
    },
];

fn key(jwk: &str) -> Jwk {
    Jwk::parse(&Object::parse(jwk.as_bytes()).unwrap()).unwrap()
}

#[test]
fn every_example_verifies_under_its_own_algorithm_and_key_only() {
    for vector in &VECTORS {
        let token = UnverifiedJwt::decode(vector.token.as_bytes()).unwrap();
        assert_eq!(
            token.header().unwrap().algorithm,
            Some(vector.algorithm),
            "{}",
            vector.name
        );
        assert_eq!(token.payload(), vector.payload.as_bytes(), "{}", vector.name);
        for algorithm in Algorithm::ALL {
            let verdict = key(vector.jwk).verify(algorithm, token.signing_input(), token.signature());
            assert_eq!(
                verdict,
                algorithm == vector.algorithm,
                "{} as {algorithm}",
                vector.name
            );
        }
        for other in VECTORS.iter().filter(|other| other.jwk != vector.jwk) {
            let verdict = key(other.jwk).verify(vector.algorithm, token.signing_input(), token.signature());
            assert!(!verdict, "{} with the key of {}", vector.name, other.name);
        }
    }
}

#[test]
fn an_example_with_any_part_changed_does_not_verify() {
    for vector in &VECTORS {
        let key = key(vector.jwk);
        let token = UnverifiedJwt::decode(vector.token.as_bytes()).unwrap();
        let (input, signature) = (token.signing_input(), token.signature());
        for position in (0..signature.len()).step_by(7) {
            let mut changed = signature.to_vec();
            changed[position] ^= 1;
            assert!(
                !key.verify(vector.algorithm, input, &changed),
                "{} at {position}",
                vector.name
            );
        }
        for position in (0..input.len()).step_by(41) {
            let mut changed = input.to_vec();
            changed[position] ^= 1;
            assert!(
                !key.verify(vector.algorithm, &changed, signature),
                "{} at {position}",
                vector.name
            );
        }
        let shorter = &signature[..signature.len() - 1];
        let longer = [signature, &[0]].concat();
        let padded = [&[0], signature].concat();
        for changed in [
            shorter,
            &longer,
            &padded,
            &[],
            &vec![0; signature.len()],
            &vec![255; signature.len()],
        ] {
            assert!(
                !key.verify(vector.algorithm, input, changed),
                "{} of {} bytes",
                vector.name,
                changed.len()
            );
        }
    }
}

/// RFC 7520 gives one `kid` to two keys: a token finds the one that its algorithm fits.
#[test]
fn keys_that_share_a_kid_are_distinguished_by_algorithm() {
    let document = format!(r#"{{"keys":[{RFC7520_RSA},{RFC7520_P521},{RFC7515_P256}]}}"#);
    let set = JwkSet::parse(document.as_bytes()).unwrap().set;
    for vector in &VECTORS[4..] {
        let token = UnverifiedJwt::decode(vector.token.as_bytes()).unwrap();
        let header = token.header().unwrap();
        let kid = header.key_id.as_deref();
        assert_eq!(kid, Some("bilbo.baggins@hobbiton.example"));
        let found: Vec<&Jwk> = set
            .candidates(vector.algorithm, kid, None, AlgorithmSet::ALL)
            .collect();
        assert_eq!(found, [&key(vector.jwk)], "{}", vector.name);
        assert!(found[0].verify(vector.algorithm, token.signing_input(), token.signature()));
    }
    assert_eq!(
        set.candidates(
            Algorithm::Es256,
            Some("bilbo.baggins@hobbiton.example"),
            None,
            AlgorithmSet::ALL
        )
        .count(),
        0
    );
}
