//! Which keys are usable, and why the others are not.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::json::JsonError;

/// RFC 7515 appendix A.3 and RFC 8037 appendix A.
const P256: &str = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
const ED25519: &str = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;

fn parse(members: &str) -> Result<Jwk, JwkFault> {
    Jwk::parse(&Object::parse(format!("{{{members}}}").as_bytes()).unwrap())
}

fn fault(members: &str) -> JwkFault {
    parse(members).map(|_| ()).unwrap_err()
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> String {
    let [n, e] = [modulus, exponent].map(|number| URL_SAFE_NO_PAD.encode(number));
    format!(r#""kty":"RSA","n":"{n}","e":"{e}""#)
}

/// Members of an RSA key that passes every check: nothing factors the modulus at load.
fn good_rsa() -> String {
    rsa(&[0xff; 256], &[1, 0, 1])
}

#[test]
fn a_key_fits_the_algorithms_of_its_type_unless_its_own_alg_is_narrower() {
    use Algorithm::{EdDsa, Es256, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    let fits = |members: &str| {
        let key = parse(members).unwrap();
        Algorithm::ALL
            .into_iter()
            .filter(|algorithm| key.fits(*algorithm))
            .collect::<Vec<_>>()
    };
    assert_eq!(fits(&good_rsa()), [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512]);
    assert_eq!(fits(&format!(r#"{},"alg":"PS384""#, good_rsa())), [Ps384]);
    assert_eq!(fits(P256), [Es256]);
    assert_eq!(fits(&format!(r#"{P256},"alg":"ES256""#)), [Es256]);
    assert_eq!(fits(ED25519), [EdDsa]);
    assert_eq!(fits(&format!(r#"{ED25519},"alg":"Ed25519""#)), [EdDsa]);
}

#[test]
fn members_that_do_not_forbid_verification_are_fine() {
    let key = parse(&format!(
        r#"{P256},"kid":"\u0061","use":"sig","key_ops":["x","verify"],"x5c":[1]"#
    ))
    .unwrap();
    assert_eq!((key.key_id(), key.algorithm()), (Some("a"), None));
    assert_eq!(
        format!("{key:?}"),
        r#"Jwk { key_id: Some("a"), algorithm: None, .. }"#
    );
    assert_eq!(parse(P256).unwrap().key_id(), None);
}

#[test]
fn what_forbids_verification_is_refused() {
    for (member, expected) in [
        (r#""use":"enc""#, JwkFault::UseNotSignature),
        (r#""use":"""#, JwkFault::UseNotSignature),
        (r#""use":null"#, JwkFault::MemberMalformed("use")),
        (r#""key_ops":["sign"]"#, JwkFault::OperationsWithoutVerify),
        (r#""key_ops":[]"#, JwkFault::OperationsWithoutVerify),
        (r#""key_ops":"verify""#, JwkFault::MemberMalformed("key_ops")),
        (r#""key_ops":["verify",1]"#, JwkFault::MemberMalformed("key_ops")),
        (r#""kid":7"#, JwkFault::MemberMalformed("kid")),
        (r#""alg":7"#, JwkFault::MemberMalformed("alg")),
        (r#""alg":"RS256""#, JwkFault::AlgorithmMismatch),
        (r#""alg":"ES384""#, JwkFault::AlgorithmMismatch),
        (r#""alg":"ECDH-ES""#, JwkFault::AlgorithmMismatch),
        (r#""alg":"none""#, JwkFault::AlgorithmMismatch),
    ] {
        assert_eq!(fault(&format!("{P256},{member}")), expected, "{member}");
    }
    for name in PRIVATE_MEMBERS {
        for members in [&good_rsa(), P256, ED25519] {
            assert_eq!(
                fault(&format!(r#"{members},"{name}":null"#)),
                JwkFault::PrivateMember(name),
                "{name}"
            );
        }
    }
}

#[test]
fn types_and_curves_that_are_not_implemented_are_refused() {
    assert_eq!(fault(""), JwkFault::MemberMissing("kty"));
    assert_eq!(fault(r#""kty":1"#), JwkFault::MemberMalformed("kty"));
    assert_eq!(fault(r#""kty":"oct","k":"AAAA""#), JwkFault::Symmetric);
    for kty in ["rsa", "Rsa", "AKP", ""] {
        assert_eq!(
            fault(&format!(r#""kty":"{kty}""#)),
            JwkFault::KeyTypeUnknown,
            "{kty}"
        );
    }
    for kty in ["EC", "OKP"] {
        assert_eq!(
            fault(&format!(r#""kty":"{kty}""#)),
            JwkFault::MemberMissing("crv")
        );
        assert_eq!(
            fault(&format!(r#""kty":"{kty}","crv":null"#)),
            JwkFault::MemberMalformed("crv")
        );
    }
    for members in [
        r#""kty":"EC","crv":"secp256k1""#,
        r#""kty":"EC","crv":"Ed25519""#,
        r#""kty":"EC","crv":"p-256""#,
        r#""kty":"OKP","crv":"Ed448""#,
        r#""kty":"OKP","crv":"X25519""#,
        r#""kty":"OKP","crv":"P-256""#,
    ] {
        assert_eq!(fault(members), JwkFault::CurveUnknown, "{members}");
    }
}

#[test]
fn an_rsa_key_is_bounded_and_odd() {
    let modulus = |first: u8, len: usize, last: u8| {
        let mut bytes = vec![0xff; len];
        bytes[0] = first;
        bytes[len - 1] = last;
        bytes
    };
    let key = |modulus: &[u8]| parse(&rsa(modulus, &[1, 0, 1])).map(|_| ());
    assert_eq!(key(&modulus(0x80, 256, 1)), Ok(()));
    assert_eq!(key(&[&[0, 0], &modulus(0x80, 256, 1)[..]].concat()), Ok(()));
    assert_eq!(key(&modulus(0x7f, 256, 1)), Err(JwkFault::RsaTooSmall));
    assert_eq!(key(&[]), Err(JwkFault::RsaTooSmall));
    assert_eq!(key(&modulus(0xff, 1024, 1)), Ok(()));
    assert_eq!(key(&modulus(0x01, 1025, 1)), Err(JwkFault::RsaTooLarge));
    assert_eq!(key(&modulus(0xff, 256, 2)), Err(JwkFault::RsaModulusEven));

    let exponent = |exponent: &[u8]| parse(&rsa(&[0xff; 256], exponent)).map(|_| ());
    for good in [&[3][..], &[0, 3], &[1, 0, 1], &[1, 0xff, 0xff, 0xff, 0xff]] {
        assert_eq!(exponent(good), Ok(()), "{good:?}");
    }
    for bad in [
        &[][..],
        &[0],
        &[1],
        &[2],
        &[4],
        &[2, 0, 0, 0, 1],
        &[1, 0, 0, 0, 0, 0, 0, 0, 1],
    ] {
        assert_eq!(exponent(bad), Err(JwkFault::RsaExponent), "{bad:?}");
    }
    assert_eq!(fault(r#""kty":"RSA","e":"AQAB""#), JwkFault::MemberMissing("n"));
    assert_eq!(fault(r#""kty":"RSA","n":"AQAB""#), JwkFault::MemberMissing("e"));
    assert_eq!(
        fault(r#""kty":"RSA","n":"AQAB=","e":"AQAB""#),
        JwkFault::MemberMalformed("n")
    );
    assert_eq!(
        fault(r#""kty":"RSA","n":"AQAB","e":65537"#),
        JwkFault::MemberMalformed("e")
    );
}

#[test]
fn a_point_has_full_coordinates_and_is_on_its_curve() {
    for (crv, len) in [("P-256", 32), ("P-384", 48), ("P-521", 66)] {
        let key = |x: &[u8], y: &[u8]| {
            let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
            fault(&format!(r#""kty":"EC","crv":"{crv}","x":"{x}","y":"{y}""#))
        };
        assert_eq!(
            key(&vec![1; len - 1], &vec![1; len]),
            JwkFault::MemberMalformed("x")
        );
        assert_eq!(
            key(&vec![1; len + 1], &vec![1; len]),
            JwkFault::MemberMalformed("x")
        );
        assert_eq!(key(&vec![1; len], &[]), JwkFault::MemberMalformed("y"));
        assert_eq!(key(&vec![1; len], &vec![1; len]), JwkFault::PointInvalid);
        assert_eq!(key(&vec![0; len], &vec![0; len]), JwkFault::PointInvalid);
        assert_eq!(key(&vec![0xff; len], &vec![0xff; len]), JwkFault::PointInvalid);
    }
    assert_eq!(
        fault(r#""kty":"EC","crv":"P-256","y":"AA""#),
        JwkFault::MemberMissing("x")
    );

    let key = |x: &[u8]| {
        fault(&format!(
            r#""kty":"OKP","crv":"Ed25519","x":"{}""#,
            URL_SAFE_NO_PAD.encode(x)
        ))
    };
    assert_eq!(key(&[9; 31]), JwkFault::MemberMalformed("x"));
    assert_eq!(key(&[9; 33]), JwkFault::MemberMalformed("x"));
    let mut not_on_the_curve = [0; 32];
    not_on_the_curve[0] = 2;
    assert_eq!(key(&not_on_the_curve), JwkFault::PointInvalid);
    // The neutral element, and the points of order 2 and 4.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut order_two = [0xff; 32];
    (order_two[0], order_two[31]) = (0xec, 0x7f);
    for small in [neutral, order_two, [0; 32]] {
        assert_eq!(key(&small), JwkFault::PointInvalid, "{small:?}");
    }
}

#[test]
fn every_fault_reads_as_a_phrase() {
    for fault in [
        JwkFault::NotAnObject,
        JwkFault::Json(JsonError::TooDeep),
        JwkFault::KeyTypeUnknown,
        JwkFault::Symmetric,
        JwkFault::CurveUnknown,
        JwkFault::MemberMissing("n"),
        JwkFault::MemberMalformed("n"),
        JwkFault::RsaTooSmall,
        JwkFault::RsaTooLarge,
        JwkFault::RsaModulusEven,
        JwkFault::RsaExponent,
        JwkFault::PointInvalid,
        JwkFault::PrivateMember("d"),
        JwkFault::UseNotSignature,
        JwkFault::OperationsWithoutVerify,
        JwkFault::AlgorithmMismatch,
        JwkFault::CertificateMalformed,
        JwkFault::CertificateMismatch,
        JwkFault::TooManyKeys,
    ] {
        let text = fault.to_string();
        assert!(text.contains(' ') && !text.ends_with('.'), "{text}");
    }
}

fn published(members: &str) -> Result<Jwk, JwkFault> {
    Jwk::parse_published(&Object::parse(format!("{{{members}}}").as_bytes()).unwrap(), true)
}

#[test]
fn only_a_published_key_may_have_members_that_say_nothing() {
    for nothing in ["null", "\"\"", "[]", "[ \t\n]"] {
        for name in PRIVATE_MEMBERS.iter().chain(&["alg", "use", "key_ops", "kid"]) {
            for members in [&good_rsa(), P256, ED25519] {
                let members = format!(r#"{members},"{name}":{nothing}"#);
                assert!(published(&members).is_ok(), "{members}");
                let is_named_so = *name == "kid" && nothing == "\"\"";
                assert!(parse(&members).is_err() || is_named_so, "{members}");
            }
        }
    }
    for (member, fault) in [
        (r#""d":"AQ""#, JwkFault::PrivateMember("d")),
        (r#""d":0"#, JwkFault::PrivateMember("d")),
        (r#""d":{}"#, JwkFault::PrivateMember("d")),
        (r#""oth":[[]]"#, JwkFault::PrivateMember("oth")),
        (r#""oth":[""]"#, JwkFault::PrivateMember("oth")),
        (r#""key_ops":[[]]"#, JwkFault::MemberMalformed("key_ops")),
        (r#""key_ops":[null]"#, JwkFault::MemberMalformed("key_ops")),
        (r#""key_ops":["sign"]"#, JwkFault::OperationsWithoutVerify),
        (r#""key_ops":{}"#, JwkFault::MemberMalformed("key_ops")),
        (r#""use":" ""#, JwkFault::UseNotSignature),
        (r#""use":"jwt""#, JwkFault::UseNotSignature),
        (r#""use":false"#, JwkFault::MemberMalformed("use")),
        (r#""kid":{}"#, JwkFault::MemberMalformed("kid")),
        (r#""alg":" ""#, JwkFault::AlgorithmMismatch),
        (r#""issuer":7"#, JwkFault::MemberMalformed("issuer")),
    ] {
        let found = published(&format!("{P256},{member}")).map(|_| ()).unwrap_err();
        assert_eq!(found, fault, "{member}");
    }
    assert!(published(&format!(r#"{P256},"use":"jwt-svid""#)).is_ok());
    assert_eq!(
        fault(&format!(r#"{P256},"use":"jwt-svid""#)),
        JwkFault::UseNotSignature
    );
    assert_eq!(published(&format!(r#"{P256},"kid":"""#)).unwrap().key_id(), None);
}

#[test]
fn only_a_published_key_may_have_numbers_of_another_length() {
    let all = [("P-256", 32), ("P-384", 48), ("P-521", 66)];
    for (crv, len) in all {
        let key = |x: &[u8], y: &[u8]| {
            let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
            let key = published(&format!(r#""kty":"EC","crv":"{crv}","x":"{x}","y":"{y}""#));
            key.map(|_| ()).unwrap_err()
        };
        let one = vec![1; len];
        // Brought to the size of the field, these are no points.
        for number in [
            &one[1..],
            &[&[0], &one[..]].concat(),
            &[&[0; 9], &one[..]].concat(),
            &[1],
            &[0],
        ] {
            assert_eq!(key(number, &one), JwkFault::PointInvalid, "{number:?}");
            assert_eq!(key(&one, number), JwkFault::PointInvalid, "{number:?}");
        }
        let long = [&[1], &one[..]].concat();
        assert_eq!(key(&long, &one), JwkFault::MemberMalformed("x"));
        assert_eq!(key(&one, &long), JwkFault::MemberMalformed("y"));
        assert_eq!(key(&one, &[]), JwkFault::MemberMissing("y"));
    }
    // P-256's generator has full coordinates; those of a point are compared through the whole key.
    let x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    let y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
    let [long_x, long_y] = [x, y].map(|text| {
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
        URL_SAFE_NO_PAD.encode([&[0], &bytes[..]].concat())
    });
    let exact = parse(P256).unwrap();
    for (x, y) in [(x, &*long_y), (&*long_x, y), (&format!("{x}="), &format!("{y}="))] {
        let key = published(&format!(r#""kty":"EC","crv":"P-256","x":"{x}","y":"{y}""#)).unwrap();
        assert!(key == exact);
        assert!(parse(&format!(r#""kty":"EC","crv":"P-256","x":"{x}","y":"{y}""#)).is_err());
    }
    for bad in [
        format!("{x}=="),
        format!("{x}\\n"),
        format!("{x}A"),
        format!("+{x}"),
    ] {
        let key = published(&format!(r#""kty":"EC","crv":"P-256","x":"{bad}","y":"{y}""#));
        assert_eq!(
            key.map(|_| ()).unwrap_err(),
            JwkFault::MemberMalformed("x"),
            "{bad}"
        );
    }
    // An Ed25519 key is no number.
    for bad in [[9; 31].to_vec(), [&[0], &[9; 32][..]].concat()] {
        let x = URL_SAFE_NO_PAD.encode(bad);
        let key = published(&format!(r#""kty":"OKP","crv":"Ed25519","x":"{x}""#));
        assert_eq!(key.map(|_| ()).unwrap_err(), JwkFault::MemberMalformed("x"));
    }
}

#[test]
fn a_key_serves_the_issuer_that_it_names() {
    let key = |issuer: &str| published(&format!(r#"{P256},"issuer":"{issuer}""#)).unwrap();
    let template = key("https://a.example/{tenantid}/v2.0");
    assert!(template.serves_issuer(Some("https://a.example/blue/v2.0")));
    for other in [
        "https://a.example//v2.0",
        "https://a.example/blue/v2.0/",
        "https://a.example/blue/red/v2.0",
        "https://a.example/blue",
        "https://b.example/blue/v2.0",
        "https://a.example/blue/V2.0",
        "",
    ] {
        assert!(!template.serves_issuer(Some(other)), "{other}");
    }
    assert!(!template.serves_issuer(None));
    assert!(key("https://a.example").serves_issuer(Some("https://a.example")));
    // Braces are a variable only around a name, and only as a whole segment.
    assert!(!key("https://a.example/{}").serves_issuer(Some("https://a.example/x")));
    assert!(!key("https://a.example/x{t}").serves_issuer(Some("https://a.example/xy")));
    assert!(key("").serves_issuer(Some("https://b.example")));
    assert!(key("").serves_issuer(None));
}
