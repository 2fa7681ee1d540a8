//! `binding.dpop`: a client proves with each request that it holds the key that its token is bound to (RFC 9449).

use serde_json::{Value, json};

use super::*;

/// A client with a key and a token that is bound to it.
struct Client<'k> {
    key: &'k SigningKey,
    token: String,
}

impl<'k> Client<'k> {
    fn new(key: &'k SigningKey) -> Self {
        let token = token().claim("cnf", json!({"jkt": key.thumbprint()})).mint();
        Self { key, token }
    }

    /// A proof for `GET https://api.example.com/orders`, with these claims in place of its own.
    fn proof(&self, jti: &str, claims: Value) -> Token {
        Token::new(self.key)
            .without_kid()
            .without_claim("exp")
            .header("typ", "dpop+jwt")
            .header("jwk", self.key.public_jwk())
            .claims(json!({
                "jti": jti, "htm": "GET", "htu": "https://api.example.com/orders", "ath": testkit::sha256_segment(&self.token),
            }))
            .claims(claims)
    }

    /// The request, with this proof.
    fn request(&self, proof: &str) -> Request {
        addressed()
            .header("authorization", format!("DPoP {}", self.token))
            .header("dpop", proof)
    }
}

fn addressed() -> Request {
    get("/orders?page=2")
        .header("host", "api.example.com")
        .header("x-forwarded-proto", "https")
}

pub(super) fn list() -> Vec<Scenario> {
    let client = Client::new(&world().es256);
    let other = Client::new(&world().ed25519);
    let invalid = || denied("proof_invalid");
    let with = |jti: &str, claims: Value| client.request(&client.proof(jti, claims).mint());
    let now = testkit::unix_now();
    let good = with("once", json!({}));
    let several = good.clone().header("dpop", client.proof("s", json!({})).mint());
    let bearer = addressed()
        .bearer(&client.token)
        .header("dpop", client.proof("b", json!({})).mint());
    let unbound = addressed()
        .header("authorization", format!("DPoP {}", token().mint()))
        .header("dpop", client.proof("u", json!({})).mint());
    let stolen = client.request(
        &other
            .proof("t", json!({"ath": testkit::sha256_segment(&client.token)}))
            .mint(),
    );
    let challenge = "DPoP realm=\"jwt\", error=\"invalid_dpop_proof\", \
                     error_description=\"the proof of possession was used before\", algs=\"ES256 EdDSA\"";
    let config = |required: bool| json!({"binding": {"dpop": {"required": required, "algorithms": ["ES256", "EdDSA"]}}});
    vec![
        Scenario::local_with("a proof goes with the token, once", config(false))
            .request(good.clone(), forwarded().no_header("authorization"))
            .request(
                good,
                denied("proof_replayed").reply(ReplyHas::Header("www-authenticate", challenge.to_owned())),
            )
            .request(with("twice", json!({})), forwarded())
            .request(other.request(&other.proof("once", json!({})).mint()), forwarded())
            .request(
                with("n", json!({"htu": "HTTPS://API.example.com:443/%6Frders?x#y"})),
                forwarded(),
            )
            .token(token().mint(), forwarded())
            .request(
                get("/orders"),
                denied("token_missing")
                    .reply(ReplyHas::OneOf("www-authenticate", "Bearer realm=\"jwt\"".into()))
                    .reply(ReplyHas::OneOf(
                        "www-authenticate",
                        "DPoP realm=\"jwt\", algs=\"ES256 EdDSA\"".into(),
                    )),
            ),
        Scenario::local_with("a proof that is not for this request is none", config(false))
            .request(with("1", json!({"htm": "POST"})), invalid())
            .request(
                with("2", json!({"htu": "https://api.example.com/other"})),
                invalid(),
            )
            .request(
                with("3", json!({"htu": "http://api.example.com/orders"})),
                invalid(),
            )
            .request(
                with("4", json!({"htu": "https://evil.example/orders"})),
                invalid(),
            )
            .request(with("5", json!({"iat": now - 90})), invalid())
            .request(with("6", json!({"iat": now + 120})), invalid())
            .request(with("7", json!({"iat": "now"})), invalid())
            .request(with("8", json!({"ath": testkit::sha256_segment("x")})), invalid())
            .request(with("", json!({})), invalid())
            .request(with("9", json!({"jti": 9})), invalid())
            .request(client.request("rubbish"), invalid())
            .request(several, invalid())
            .request(
                addressed().header("authorization", format!("DPoP {}", client.token)),
                invalid(),
            )
            .request(
                client.request(&client.proof("10", json!({})).header("typ", "JWT").mint()),
                invalid(),
            )
            .request(
                client.request(&client.proof("11", json!({})).unsecured().mint()),
                invalid(),
            )
            .request(
                client.request(&client.proof("12", json!({})).without_header("jwk").mint()),
                invalid(),
            )
            .request(
                client.request(&testkit::tamper_signature(&client.proof("13", json!({})).mint())),
                invalid(),
            )
            .request(stolen, denied("binding_mismatch")),
        Scenario::local_with("a token that is bound to a key is no bearer token", config(false))
            .request(bearer, denied("binding_mismatch"))
            .request(unbound, denied("binding_mismatch")),
        Scenario::local_with("every token has to be bound to a key", config(true))
            .request(with("r", json!({})), forwarded())
            .token(token().mint(), denied("binding_mismatch")),
    ]
}
