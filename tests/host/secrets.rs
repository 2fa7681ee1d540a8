//! The output for operators and clients contains no part of a token: no line, no metric, no filter state, no
//! reply.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testkit::{Request, tamper_signature};

use super::backends;
use super::scenario_backend::OnStub;
use super::stub::Host;
use scenarios::{self, Scenario, Step, denied, forwarded, get, token, token_of, world};

/// Shorter parts of a token are in any text by chance.
const TELLING: usize = 8;

/// Words of some scenario's tokens that are words of our own, too: "another audience", `keys_age_seconds`,
/// the `typ` that `profile: rfc9068` and proofs must have, and the address of the requests with a proof.
const WORDS: &[&str] = &[
    "other",
    "second",
    "at+jwt",
    "dpop+jwt",
    "https://api.example.com/orders",
];

#[test]
fn no_scenario_shows_anything_of_a_token() {
    let mut scenarios = scenarios::all();
    scenarios.push(marked());
    let mut found = Vec::new();
    let (mut refusals, mut secrets) = (0, 0);
    for scenario in &scenarios {
        let mut running = OnStub::new(scenario, &scenario.config);
        found.extend(backends::run(scenario, &mut running));
        let host = running.close();
        let shown = shown(&host);
        refusals += shown.iter().filter(|text| text.starts_with("denied: ")).count();
        for secret in secrets_of(scenario) {
            secrets += 1;
            for text in shown.iter().filter(|text| text.contains(&secret)) {
                found.push(format!("{}: {secret} in {text}", scenario.name));
            }
        }
    }
    // Checks that the test saw lines of every level, and that there were secrets.
    assert!(refusals > 20, "{refusals} lines about refusals");
    assert!(secrets > 500, "{secrets} secrets");
    assert!(found.is_empty(), "{} faults:\n{}", found.len(), found.join("\n"));
}

/// All output to anyone except the upstream.
fn shown(host: &Host) -> Vec<String> {
    let lines = host.lines.iter().map(|line| line.text.clone());
    let metrics = host.metrics.iter().map(|metric| metric.name.clone());
    let states = host
        .past
        .iter()
        .flat_map(|stream| &stream.filter_state)
        // `payload_in_metadata` and its like: claims, because the operator asks for them.
        .filter(|(name, _)| !name.starts_with("jwt.metadata."))
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)));
    let replies = host.past.iter().filter_map(|stream| stream.reply.as_ref());
    let replies = replies.map(|reply| {
        let body = String::from_utf8_lossy(&reply.body);
        format!("{} {:?} {body}", reply.details, reply.headers.texts())
    });
    lines.chain(metrics).chain(states).chain(replies).collect()
}

/// All tokens of a scenario's requests, their secret parts, and the texts in them that are not in the
/// operator's configuration.
fn secrets_of(scenario: &Scenario) -> BTreeSet<String> {
    let requests = scenario.steps.iter().flat_map(|(_, step)| match step {
        Step::Request(request, _) => vec![request],
        Step::Together(requests) => requests.iter().map(|(request, _)| request).collect(),
        Step::Following(..) | Step::Issuer(..) | Step::Pass(_) | Step::Fetches(..) => Vec::new(),
    });
    // The operator's texts and the issuer's documents are not secret: the log names a key by its `kid`.
    let published = scenario.steps.iter().filter_map(|(_, step)| match step {
        Step::Issuer(_, says) => Some(format!("{says:?}")),
        _ => None,
    });
    let at_first = scenario.issuer.iter().map(|(_, says)| format!("{says:?}"));
    let known: String = at_first
        .chain(published)
        .chain([scenario.config.to_string()])
        .collect();
    let mut secrets = BTreeSet::new();
    for token in requests.flat_map(tokens) {
        for part in token.split('.') {
            if part.len() > TELLING {
                secrets.insert(part.to_owned());
            }
            let json = URL_SAFE_NO_PAD.decode(part).ok();
            if let Some(json) = json.and_then(|json| serde_json::from_slice(&json).ok()) {
                texts(&json, &mut |text| {
                    // The name of an algorithm that the filter knows is the filter's own word for it.
                    let is_algorithm = proxy_wasm_jwt::jose::Algorithm::from_name(text).is_some();
                    let is_known = text.split(' ').all(|word| known.contains(word))
                        || WORDS.contains(&text)
                        || is_algorithm;
                    if text.len() >= 5 && !is_known {
                        secrets.insert(text.to_owned());
                    }
                });
            }
        }
        secrets.insert(token);
    }
    secrets
}

/// Every part of a request that looks like a token.
fn tokens(request: &Request) -> Vec<String> {
    let values = request.headers.iter().map(|(_, value)| testkit::latin1(value));
    let is_of_a_token = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    values
        .chain([request.path.clone()])
        .flat_map(|text| {
            text.split(|letter| !is_of_a_token(letter))
                .filter(|piece| piece.split('.').count() >= 3 && piece.len() > 20)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

fn texts(json: &Value, found: &mut dyn FnMut(&str)) {
    match json {
        Value::String(text) => found(text),
        Value::Array(elements) => elements.iter().for_each(|element| texts(element, found)),
        Value::Object(members) => members.iter().for_each(|(_, member)| texts(member, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Refusals of each kind, for tokens in which every member is a unique word.
fn marked() -> Scenario {
    let marked = || {
        token().claims(json!({
            "sub": "marked-subject", "email": "marked@example.com", "jti": "marked-id", "roles": ["marked-role"],
        }))
    };
    let odd = json!(["marked-odd"]);
    Scenario::local_with(
        "nothing marked is shown",
        json!({
            "token_types": ["JWT"], "algorithms": ["RS256"], "required_claims": ["email"],
            "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
        }),
    )
    .token(marked().mint(), forwarded().header("x-jwt-sub", "marked-subject"))
    .token(tamper_signature(&marked().mint()), denied("signature_invalid"))
    .token(marked().expires_in(-600).mint(), denied("token_expired"))
    .token(
        marked().claim("nbf", "marked-nbf").mint(),
        denied("claim_malformed"),
    )
    .token(
        marked().claim("nbf", testkit::unix_now() + 600).mint(),
        denied("token_not_yet_valid"),
    )
    .token(
        marked().claim("aud", "marked-audience").mint(),
        denied("audience_mismatch"),
    )
    .token(
        marked().claim("aud", odd.clone()).mint(),
        denied("audience_mismatch"),
    )
    .token(
        marked().claim("iss", "https://marked.example").mint(),
        denied("issuer_unknown"),
    )
    .token(marked().claim("iss", odd).mint(), denied("claim_malformed"))
    .token(marked().without_claim("email").mint(), denied("claim_missing"))
    .token(marked().header("kid", "marked-kid").mint(), denied("key_unknown"))
    .token(
        marked().header("typ", "marked-type").mint(),
        denied("type_rejected"),
    )
    .token(
        marked().header("crit", json!(["marked-crit"])).mint(),
        denied("critical_header"),
    )
    .token(marked().alg("marked-alg").mint(), denied("algorithm_rejected"))
    .token(
        marked().raw_header(b"{\"alg\": marked-header").mint(),
        denied("token_malformed"),
    )
    .token(
        marked().raw_payload(b"{\"sub\": marked-payload").mint(),
        denied("token_malformed"),
    )
    .token(
        token_of(&world().es256).claim("sub", "marked-subject").mint(),
        denied("algorithm_rejected"),
    )
    .request(
        get("/orders").bearer(&marked().mint()).bearer(&marked().mint()),
        denied("token_multiple"),
    )
    .request(
        get("/orders").bearer("marked.marked-token.marked-signature"),
        denied("token_malformed"),
    )
    .request(
        get(&format!("/orders?access_token={}", marked().mint())),
        denied("token_missing"),
    )
}
