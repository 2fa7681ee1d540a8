//! `binding.dpop`: with each request, a client proves that it has the key to which its token is bound (RFC
//! 9449).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

/// A client with a key and a token that is bound to it.
#[derive(Clone)]
pub struct Client<'k> {
    key: &'k SigningKey,
    token: String,
}

impl<'k> Client<'k> {
    pub fn new(key: &'k SigningKey) -> Self {
        Self::with(key, json!({}))
    }

    /// A client whose token has these members in `cnf`, too.
    fn with(key: &'k SigningKey, more: Value) -> Self {
        let mut confirmation = json!({"jkt": key.thumbprint()});
        for (name, value) in more.as_object().expect("members") {
            confirmation[name] = value.clone();
        }
        let token = token().claim("cnf", confirmation).mint();
        Self { key, token }
    }

    /// A client with this token, bound to its key.
    pub fn of(key: &'k SigningKey, token: Token) -> Self {
        let token = token.claim("cnf", json!({"jkt": key.thumbprint()})).mint();
        Self { key, token }
    }

    /// A proof for `GET https://api.example.com/orders`, with these claims in place of its own.
    pub fn proof(&self, jti: &str, claims: Value) -> Token {
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
    pub fn request(&self, proof: &str) -> Request {
        addressed()
            .header("authorization", format!("DPoP {}", self.token))
            .header("dpop", proof)
    }

    /// The request with a proof that holds the nonce of this reply (RFC 9449 section 8.1).
    pub fn answer(&self, jti: &str, reply: &[(String, String)]) -> Request {
        let nonces: Vec<&String> = reply
            .iter()
            .filter_map(|(name, value)| (name == "dpop-nonce").then_some(value))
            .collect();
        // Section 8: "there MUST NOT be more than one DPoP-Nonce header".
        let [nonce] = nonces[..] else {
            panic!("one nonce is needed: {reply:?}");
        };
        self.request(&self.proof(jti, json!({"nonce": nonce})).mint())
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
    let described = |jti: &str, more: Value| {
        let client = Client::with(&world().es256, more);
        client.request(&client.proof(jti, json!({})).mint())
    };
    let challenge = "DPoP realm=\"jwt\", error=\"invalid_dpop_proof\", \
                     error_description=\"the DPoP proof was used before\", algs=\"ES256 EdDSA Ed25519\"";
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
                        "DPoP realm=\"jwt\", algs=\"ES256 EdDSA Ed25519\"".into(),
                    )),
            ),
        // Keycloak 26 writes `"kc-jkt-type": "DPoP"` beside `jkt`.
        Scenario::local_with("a member of cnf that names no method changes nothing", config(true))
            .request(described("d1", json!({"kc-jkt-type": "DPoP"})), forwarded())
            .request(described("d2", json!({"kc-jkt-type": {"a": [1]}, "note": null})), forwarded())
            .request(described("d3", json!({"x5t#S256": "AA"})), denied("binding_mismatch"))
            .request(described("d4", json!({"kid": "a"})), denied("binding_mismatch"))
            .request(described("d5", json!({"jwk": {}, "note": 1})), denied("binding_mismatch"))
            .token(token().claim("cnf", json!({"kc-jkt-type": "DPoP"})).mint(), denied("binding_mismatch")),
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
            .token(
                token().mint(),
                denied("binding_mismatch")
                    .reply(ReplyHas::Header(
                        "www-authenticate",
                        "DPoP realm=\"jwt\", error=\"invalid_token\", \
                         error_description=\"the token is not bound to this client\", algs=\"ES256 EdDSA Ed25519\""
                            .into(),
                    ))
                    .reply(ReplyHas::Body(
                        "{\"error\":\"invalid_token\",\"error_description\":\"the token is not bound to this client\",\
                         \"reason\":\"binding_mismatch\"}"
                            .into(),
                    )),
            )
            // A challenge does not offer a scheme that the provider does not accept.
            .request(
                get("/orders"),
                denied("token_missing").reply(ReplyHas::Header(
                    "www-authenticate",
                    "DPoP realm=\"jwt\", algs=\"ES256 EdDSA Ed25519\"".into(),
                )),
            ),
        Scenario::new(
            "a challenge offers what one of the providers takes",
            json!({
                "providers": {
                    "corp": super::with(local_provider(), config(true)),
                    "other": super::with(local_provider(), json!({"issuer": "https://other.example"})),
                },
                "protected_resource": {"resource": "https://api.example.com"},
                "rules": [
                    {
                        "match": {"prefix": "/proven"}, "requires": {"provider_name": "corp"},
                        "authorize": {"scopes": {"all": ["a", "b"]}},
                    },
                    {"match": {"prefix": "/"}},
                ],
            }),
        )
        .request(
            get("/proven"),
            denied("token_missing").reply(ReplyHas::Header(
                "www-authenticate",
                "DPoP realm=\"jwt\", algs=\"ES256 EdDSA Ed25519\", scope=\"a b\", \
                 resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource\""
                    .into(),
            )),
        )
        // A token of any provider suffices.
        .request(
            get("//"),
            denied("token_missing").reply(ReplyHas::OneOf(
                "www-authenticate",
                "Bearer realm=\"jwt\", \
                 resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource\""
                    .into(),
            )),
        ),
    ]
    .into_iter()
    .chain(nonces())
    .chain(flood_scenarios())
    .collect()
}

/// `binding.dpop.nonce`: a proof has to contain a current nonce of this filter (section 9).
fn nonces() -> Vec<Scenario> {
    let client = Client::new(&world().es256);
    let other = Client::new(&world().ed25519);
    let claiming = |jti: &str, claims: Value| client.request(&client.proof(jti, claims).mint());
    let answering = |client: &Client<'static>, jti: &'static str| {
        let client = client.clone();
        move |reply: &[(String, String)]| client.answer(jti, reply)
    };
    let challenge = "DPoP realm=\"jwt\", error=\"use_dpop_nonce\", \
                     error_description=\"the DPoP proof must contain a current nonce issued by this server\", \
                     algs=\"ES256 EdDSA Ed25519\"";
    let challenged = || {
        denied("proof_nonce")
            .reply(ReplyHas::Header("www-authenticate", challenge.to_owned()))
            .reply(ReplyHas::Header("cache-control", "no-store".to_owned()))
    };
    let not_challenged = |reason| denied(reason).reply(ReplyHas::NoHeader("dpop-nonce"));
    let provider =
        |nonce: Value| json!({"binding": {"dpop": {"algorithms": ["ES256", "EdDSA"], "nonce": nonce}}});
    // A request that is made once and sent twice.
    let made = Arc::new(OnceLock::new());
    let twice = || {
        let (client, made) = (client.clone(), made.clone());
        move |reply: &[(String, String)]| made.get_or_init(|| client.answer("n-twice", reply)).clone()
    };
    let unsigned = with_proof(claiming("n6", json!({})), testkit::tamper_signature);
    let spoilt = {
        let client = client.clone();
        move |reply: &[(String, String)]| {
            with_proof(client.answer("n7", reply), |proof| {
                testkit::tamper_signature(proof)
            })
        }
    };
    let secret = "a secret of a fleet, long enough to be one";
    let shadow = with(
        config(with(local_provider(), provider(json!(true)))),
        json!({"mode": "shadow"}),
    );
    vec![
        Scenario::local_with(
            "a proof has to hold a nonce that was given",
            provider(json!(true)),
        )
        .request(claiming("n1", json!({})), challenged())
        .following(answering(&client, "n2"), forwarded().no_header("authorization"))
        // Until it expires, a nonce is valid for any number of proofs of any client.
        .following(answering(&client, "n3"), forwarded())
        .following(answering(&other, "n3"), forwarded())
        .following(twice(), forwarded())
        .following(twice(), not_challenged("proof_replayed"))
        .token(token().mint(), forwarded()),
        Scenario::local_with("a nonce that was not given here is none", provider(json!({})))
            .request(claiming("n4", json!({"nonce": ""})), challenged())
            .request(
                claiming("n4", json!({"nonce": "AAABi8_laHutw3h5uMcStNLZrL3qsOGS"})),
                challenged(),
            )
            .request(claiming("n4", json!({"nonce": "\u{e9}"})), challenged())
            .request(
                claiming("n5", json!({"nonce": 7})),
                not_challenged("proof_invalid"),
            )
            // The filter reports faults that no nonce would repair first, and checks expensive parts after
            // the nonce.
            .request(
                claiming("n5", json!({"htm": "POST"})),
                not_challenged("proof_invalid"),
            )
            .request(client.request("rubbish"), not_challenged("proof_invalid"))
            .request(unsigned, challenged())
            .following(spoilt, not_challenged("proof_invalid")),
        Scenario::local_with(
            "a nonce is good for its lifetime",
            provider(json!({"lifetime": "5s", "secret": {"inline_string": secret}})),
        )
        .request(claiming("n8", json!({})), challenged())
        .following(answering(&client, "n9"), forwarded())
        .step(Step::Pass(Duration::from_millis(5500)))
        .following(answering(&client, "n10"), challenged())
        .following(answering(&client, "n11"), forwarded()),
        Scenario::local_with("no nonce is asked for", provider(json!(false)))
            .request(claiming("n12", json!({"nonce": "any"})), forwarded()),
        Scenario::new("in shadow mode no nonce is given, and none is missed", shadow)
            .request(claiming("n13", json!({})), forwarded()),
    ]
}

/// The record of the process for a proof with this key, as `binding/replay.rs` chooses it.
fn record(thumbprint: &str, jti: &str) -> [u8; 2] {
    let digest = testkit::sha256_segment(&format!("{thumbprint}\0{jti}"));
    let first = URL_SAFE_NO_PAD
        .decode(digest.get(..4).expect("a hash"))
        .expect("base64url");
    [first[0] & 0x1f, first[1]]
}

/// Names of proofs that all go into this record.
fn names_in(wanted: [u8; 2], key: &SigningKey, count: usize) -> Vec<String> {
    // The test tries thousands of names for each, whenever it makes the list of scenarios.
    let thumbprint = key.thumbprint();
    (0_u32..)
        .map(|number| format!("flood {number}"))
        .filter(|jti| record(&thumbprint, jti) == wanted)
        .take(count)
        .collect()
}

/// A client that chooses the names of its proofs so that they share a record fills only its own share of that
/// record.
fn flood_scenarios() -> Vec<Scenario> {
    let keys: &'static [SigningKey; 2] = Box::leak(Box::new([
        SigningKey::generate(Algorithm::Es256, None),
        SigningKey::generate(Algorithm::EdDsa, None),
    ]));
    let [flood, other] = keys;
    let record = [7, 42];
    let mut names = names_in(record, flood, 40);
    let later = names.split_off(32);
    let client = Client::new(flood);
    let proof = |jti: &String| client.request(&client.proof(jti, json!({})).mint());
    let full = || {
        denied("proof_store_full")
            .reply(ReplyHas::Header("retry-after", "5".into()))
            .reply(ReplyHas::NoHeader("www-authenticate"))
    };
    let mut scenario = Scenario::local_with(
        "a client's flood of proofs takes its own share of the store",
        json!({"binding": {"dpop": {"required": true, "window": "300s"}}}),
    );
    for jti in &names {
        scenario = scenario.request(proof(jti), forwarded());
    }
    for jti in &later {
        scenario = scenario.request(proof(jti), full());
    }
    let victim = Client::new(other);
    for jti in names_in(record, other, 3) {
        let request = victim.request(&victim.proof(&jti, json!({})).mint());
        scenario = scenario
            .request(request.clone(), forwarded())
            .request(request, denied("proof_replayed"));
    }
    let elsewhere = names_in([7, 43], flood, 1);
    vec![
        scenario
            .request(proof(&names[0]), denied("proof_replayed"))
            .request(proof(&names[31]), denied("proof_replayed"))
            // Proofs with honest, random names find room.
            .request(proof(&elsewhere[0]), forwarded()),
    ]
}

/// The request with another proof in place of its own.
fn with_proof(mut request: Request, change: impl Fn(&str) -> String) -> Request {
    for (_, value) in request.headers.iter_mut().filter(|(name, _)| name == "dpop") {
        *value = change(&testkit::latin1(value)).into_bytes();
    }
    request
}
