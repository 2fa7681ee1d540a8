//! Runs every public parser of this module and of `json` on thousands of damaged inputs, the same at each
//! run. None may panic, and no token with damage in a signed part may verify.

use super::{Algorithm, AlgorithmSet, JoseHeader, Jwk, JwkSet, UnverifiedJwt};
use crate::json::{Json, Object};

/// RFC 8037 appendix A: short, and cheap to verify.
const TOKEN: &[u8] = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
const JWKS: &[u8] = br#"{"keys":[
    {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"ed","alg":"EdDSA"},
    {"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","use":"sig","key_ops":["verify"]},
    {"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"},
    {"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}]}"#;
const JSON: &[u8] = br#"{ "alg":"ES256", "kid":"\u00e9\ud83d\ude00", "typ":"at+jwt", "crit":[ ], "exp":1.7e9,
    "aud":["a",{"b":[null,true,-0.5e-3]}], "realm_access":{"roles":["x","y"]} }"#;

/// xorshift64*: deterministic, and enough to spread the faults.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize;
        number.checked_rem(bound).unwrap_or(0)
    }
}

/// One or several faults that can occur to bytes on their way.
fn spoil(good: &[u8], random: &mut Random) -> Vec<u8> {
    const SPLICES: [&[u8]; 12] = [
        b".",
        b"=",
        b"\"",
        b"\\",
        b"\\ud800",
        b"{",
        b"[[[[[[[[[[[[[[[[[[[[",
        b"]",
        b"}",
        b",",
        b"\xff",
        b"1e999",
    ];
    let mut bytes = good.to_vec();
    for _ in 0..=random.below(3) {
        let position = random.below(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(position),
            1 => drop(bytes.drain(..position)),
            2 => {
                let end = random.below(bytes.len()).max(position);
                let copy = bytes[position..end].to_vec();
                let target = random.below(bytes.len());
                drop(bytes.splice(target..target, copy));
            }
            3 => drop(bytes.splice(
                position..position,
                SPLICES[random.below(SPLICES.len())].iter().copied(),
            )),
            _ => {
                let bit = 1 << random.below(8);
                if let Some(byte) = bytes.get_mut(position) {
                    *byte ^= bit;
                }
            }
        }
    }
    bytes
}

fn read_json(value: Json<'_>) {
    let mut compact = Vec::new();
    value.compact(&mut compact);
    let _ = (
        value.kind(),
        value.as_bool(),
        value.as_number_text(),
        value.as_str(),
    );
    value.as_array().into_iter().flatten().for_each(read_json);
    if let Some(object) = value.as_object() {
        assert!(
            Object::parse(&compact).is_ok(),
            "compact form of an object is an object"
        );
        object.members().for_each(|(_, value)| read_json(value));
    }
}

fn read_everything(bytes: &[u8], set: &JwkSet) {
    if let Ok(object) = Object::parse(bytes) {
        object.members().for_each(|(_, value)| read_json(value));
        let _ = Jwk::parse(&object);
        let _ = Jwk::parse_published(&object, true);
    }
    let _ = JoseHeader::parse(bytes);
    if let Ok(parsed) = JwkSet::parse(bytes) {
        for key in parsed.set.keys() {
            assert!(!key.spki_der().is_empty());
        }
        assert!(
            parsed
                .set
                .candidates(Algorithm::Es256, Some("ed"), None, AlgorithmSet::ALL)
                .count()
                <= parsed.set.len()
        );
    }
    if let Ok(jwt) = UnverifiedJwt::decode(bytes) {
        let header = jwt.header();
        let kid = header.as_ref().ok().and_then(|header| header.key_id.as_deref());
        let is_right = bytes == TOKEN;
        for key in set.candidates(Algorithm::EdDsa, kid, None, AlgorithmSet::ALL) {
            assert_eq!(
                key.verify(Algorithm::EdDsa, jwt.signing_input(), jwt.signature()),
                is_right
            );
        }
    }
}

#[test]
fn no_parser_panics_and_nothing_spoiled_verifies() {
    let set = JwkSet::parse(JWKS).unwrap().set;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for good in [TOKEN, JWKS, JSON] {
        read_everything(good, &set);
        for _ in 0..4000 {
            read_everything(&spoil(good, &mut random), &set);
        }
        for end in 0..good.len() {
            read_everything(&good[..end], &set);
        }
    }
}

/// Signatures of any bytes and any length, under every key and algorithm.
#[test]
fn no_verification_panics() {
    let set = JwkSet::parse(JWKS).unwrap().set;
    let mut random = Random(1);
    for key in set.keys() {
        for algorithm in Algorithm::ALL {
            for len in [0, 1, 63, 64, 65, 96, 131, 132, 133, 255, 256, 257] {
                let signature: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
                for signature in [signature, vec![0; len], vec![0xff; len]] {
                    assert!(!key.verify(algorithm, b"message", &signature));
                }
            }
        }
    }
}
