//! Directed cases: at least one for each field of jwt_authn, and for each deviation.

use serde_json::{Value, json};
use testkit::Request;

use crate::run::Trial;
use crate::tokens::{FLAWS, Maker, flawed};
use crate::world::{KeySet, idps};

const AUDIENCE: &str = "orders-api";

pub(crate) fn all() -> Vec<Trial> {
    let mut trials = vec![
        every_flaw(KeySet::Full),
        every_flaw(KeySet::WithoutAlgorithms),
        every_flaw(KeySet::WithoutKids),
        every_flaw(KeySet::WithSecret),
        every_flaw(KeySet::ForEncryption),
        every_flaw(KeySet::ForSigningOnly),
        every_flaw(KeySet::WithUnknownKey),
    ];
    trials.extend(providers());
    trials.extend(locations());
    trials.extend(look_alikes());
    trials.extend(claims());
    trials.extend(crate::directed_rules::matches());
    trials.extend(crate::directed_rules::requirements());
    trials.extend(crate::key_documents::directed());
    trials
}

/// A provider of the issuer of this number, without expiration being required.
pub(crate) fn provider(number: usize, fields: Value) -> Value {
    let mut provider = json!({
        "issuer": idps()[number].issuer,
        "audiences": [AUDIENCE],
        "require_expiration": false,
        "local_jwks": {"inline_string": KeySet::Full.of(&idps()[number]).to_string()}
    });
    for (name, value) in fields.as_object().expect("fields") {
        if value.is_null() {
            provider.as_object_mut().expect("a provider").remove(name);
        } else {
            provider[name] = value.clone();
        }
    }
    provider
}

/// One provider, which every request needs.
pub(crate) fn one(fields: Value) -> Value {
    json!({
        "providers": {"corp": provider(0, fields)},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}]
    })
}

/// Three providers, each with a claim in a header of its own, and these rules.
pub(crate) fn three(rules: Value) -> Value {
    let own =
        |name: &str| json!({"claim_to_headers": [{"claim_name": "iss", "header_name": format!("x-{name}")}]});
    json!({
        "providers": {
            "corp": provider(0, own("corp")),
            "partner": provider(1, own("partner")),
            "legacy": provider(2, json!({"from_headers": [{"name": "x-legacy-token"}]}))
        },
        "rules": rules
    })
}

pub(crate) fn maker(number: usize) -> Maker<'static> {
    Maker {
        idp: &idps()[number],
        audience: AUDIENCE,
    }
}

pub(crate) fn good(number: usize) -> String {
    maker(number).good().mint()
}

pub(crate) fn get(path: &str) -> Request {
    Request::get(path)
}

pub(crate) fn bearer(token: &str) -> Request {
    get("/orders").bearer(token)
}

fn every_flaw(keys: KeySet) -> Trial {
    let keys_of = json!({"local_jwks": {"inline_string": keys.of(&idps()[0]).to_string()}});
    let requests = FLAWS
        .iter()
        .map(|(name, _)| bearer(&flawed(name, maker(0))))
        .collect();
    Trial::new(&format!("every flaw, {keys:?}"), one(keys_of), requests)
}

/// The same requests on a provider with these fields, one configuration for each set of fields.
fn each(name: &str, fields: &[Value], requests: &[Request]) -> Vec<Trial> {
    fields
        .iter()
        .enumerate()
        .map(|(number, fields)| {
            Trial::new(
                &format!("{name} {number}"),
                one(fields.clone()),
                requests.to_vec(),
            )
        })
        .collect()
}

fn flaws(names: &[&str]) -> Vec<Request> {
    names.iter().map(|name| bearer(&flawed(name, maker(0)))).collect()
}

fn providers() -> Vec<Trial> {
    let times = flaws(&[
        "no exp",
        "expired",
        "expired within the skew",
        "expired within a wide skew",
        "exp far away",
        "nbf within the skew",
        "nbf future",
        "exp fractional",
    ]);
    let audiences = flaws(&[
        "aud a list",
        "no aud",
        "aud another",
        "aud with a scheme",
        "aud with a slash",
        "aud in upper case",
        "aud an empty list",
    ]);
    let subjects = flaws(&["rs384", "sub another", "no sub", "sub a number"]);
    let mut trials = each(
        "times",
        &[
            json!({"require_expiration": null}),
            json!({"require_expiration": true}),
            json!({"clock_skew_seconds": 5}),
            json!({"clock_skew_seconds": 600}),
            json!({"max_lifetime": "3600s"}),
            json!({"max_lifetime": {"seconds": 3600}, "require_expiration": true}),
        ],
        &times,
    );
    trials.extend(each(
        "audiences",
        &[
            json!({}),
            json!({"audiences": ["*"]}),
            json!({"audiences": ["billing-api", "another-api"]}),
            json!({"audiences": ["https://orders-api"]}),
            json!({"audiences": ["orders-api/"]}),
        ],
        &audiences,
    ));
    trials.extend(each(
        "subjects",
        &[
            json!({"subjects": {"exact": "alice"}}),
            json!({"subjects": {"prefix": "service:"}}),
            json!({"subjects": {"suffix": "LICE", "ignore_case": true}}),
            json!({"subjects": {"contains": "lic"}}),
            json!({"subjects": {"safe_regex": {"regex": "al[a-z]+"}}}),
        ],
        &subjects,
    ));
    let keys = flaws(&["rs384", "unknown kid", "forged", "es256"]);
    let remote = json!({
        "http_uri": {"uri": "http://idp.example.com/0/Full", "cluster": "issuer", "timeout": "5s"},
        "cache_duration": "300s",
        "async_fetch": {"fast_listener": true, "failed_refetch_duration": "1s"},
        "retry_policy": {"num_retries": 2, "retry_back_off": {"base_interval": "0.01s", "max_interval": "1s"}}
    });
    trials.extend(each(
        "keys",
        &[
            json!({"local_jwks": null, "remote_jwks": remote}),
            json!({"jwt_cache_config": {"jwt_cache_size": 10}}),
        ],
        &keys,
    ));
    trials.extend(each(
        "metadata",
        &[json!({
            "payload_in_metadata": "payload", "header_in_metadata": "header", "failed_status_in_metadata": "failed",
            "normalize_payload_in_metadata": {"space_delimited_claims": ["scope"]}, "clear_route_cache": true
        })],
        &keys,
    ));
    trials
}

fn locations() -> Vec<Trial> {
    let (token, bad) = (good(0), flawed("signature tampered", maker(0)));
    let escaped = token.replace('.', "%2E");
    let cookie = |text: String| get("/orders").header("cookie", text);
    let authorization = |text: String| get("/orders").header("authorization", text);
    let requests = vec![
        bearer(&token),
        bearer(&bad),
        authorization(format!("bearer {token}")),
        authorization(format!("Bearer   {token}")),
        authorization(format!("Bearer {token}   ")),
        authorization(format!("Bearer{token}")),
        authorization(format!("Basic x Bearer {token}")),
        authorization(format!("Bearer !{token}")),
        authorization(format!("Bearer\t{token}")),
        authorization(format!("Bearer: {token}")),
        authorization(format!("Basic x,Bearer {token}")),
        authorization(format!("Basic x, bearer\t{token}")),
        authorization("Basic YTpi".to_owned()),
        authorization("Bearer".to_owned()),
        authorization("Bearer ".to_owned()),
        authorization(String::new()),
        bearer(&token).bearer(&token),
        bearer(&token).bearer(&bad),
        get("/orders").header("x-jwt", &token),
        get("/orders").header("x-jwt", format!("JWT {token}")),
        get("/orders").header("x-jwt", format!("jwt\t{token}")),
        get("/orders").header("x-jwt", &token).header("x-jwt", &bad),
        get(&format!("/orders?access_token={token}")),
        get(&format!("/orders?access_token={escaped}&b=%41+c&a=1&&z")),
        get(&format!("/orders?a%20b=1&access_token={token}")),
        get(&format!("/orders?access_token={token}&access_token={bad}")),
        get(&format!("/orders?Access_Token={token}")),
        get("/orders?access_token="),
        bearer(&token).header("cookie", format!("session={bad}")),
        get(&format!("/orders?access_token={bad}")).bearer(&token),
        cookie(format!("a=1; session={token}; b=2")),
        cookie(format!("session=\"{token}\"")),
        cookie(format!("session={token}; session={bad}")),
        cookie(format!("xsession={token}")),
        get("/orders"),
    ];
    each(
        "locations",
        &[
            json!({}),
            json!({"forward": true}),
            json!({"from_headers": [{"name": "X-Jwt"}]}),
            json!({"from_headers": [{"name": "x-jwt", "value_prefix": "JWT "}], "forward": true}),
            json!({"from_headers": [{"name": "authorization", "value_prefix": "Bearer "}, {"name": "x-jwt"}]}),
            json!({"from_headers": [{"name": "proxy-authorization", "value_prefix": "Bearer "}]}),
            json!({"from_params": ["access_token"]}),
            json!({"from_params": ["access_token"], "forward": true}),
            json!({"from_cookies": ["session"]}),
            json!({"from_cookies": ["session"], "forward": true}),
        ],
        &requests,
    )
}

/// Fields that an upstream may read as a token or as a claim, and that neither filter reads.
fn look_alikes() -> Vec<Trial> {
    let token = good(0);
    let cookie = |text: &str| get("/orders").header("cookie", text);
    let places = json!({
        "claim_to_headers": [{"claim_name": "iss", "header_name": "x-jwt-iss"}],
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}, {"name": "x-token"}],
        "from_params": ["access_token"],
        "from_cookies": ["my_session"],
    });
    let mut config = one(places);
    config["rules"][0]["requires"] = json!({"requires_any": {"requirements": [
        {"provider_name": "corp"}, {"allow_missing": {}},
    ]}});
    let mut mapped = config.clone();
    mapped["requirement_map"] = json!({"strict": {"provider_name": "corp"}});
    let requests = vec![
        get("/orders?a=1;b=2"),
        get("/orders?a=1;access_token=E"),
        get("/orders?access.token=E"),
        get("/orders?access%20token=E"),
        get(&format!("/orders?access_token={token}")),
        get(&format!("/orders?access_token={token}&access.token=E")),
        cookie("a=1 b=2, c=3"),
        cookie("a=1 my_session=E"),
        cookie("a=1,my_session=E"),
        cookie("my.session=E"),
        get("/orders").header("x_token", "E"),
        get("/orders").header("x_jwt_iss", "root"),
        get("/orders").header("x-jwt-iss", "root"),
        bearer(&token)
            .header("X.Jwt.Iss", "root")
            .header("x-jwt-iss", "root"),
    ];
    vec![
        Trial::new("look-alikes", config, requests.clone()),
        Trial::new("look-alikes and routes", mapped, requests),
    ]
}

fn claims() -> Vec<Trial> {
    let names: Vec<Value> = crate::configs::CLAIMS
        .iter()
        .map(|(claim, header)| json!({"claim_name": claim, "header_name": header}))
        .collect();
    let forged = bearer(&good(0))
        .header("x-sub", "forged")
        .header("x-absent", "forged")
        .header("x-jwt-payload", "forged");
    let requests = vec![
        bearer(&good(0)),
        forged.clone(),
        bearer(&flawed("payload with spaces", maker(0))),
        bearer(&flawed("sub with a line break", maker(0))),
        bearer(&flawed("sub with control characters", maker(0))),
        bearer(&flawed("sub with blanks at its ends", maker(0))),
        bearer(&flawed("sub empty", maker(0))),
    ];
    let mut trials = each(
        "claims",
        &[
            json!({"claim_to_headers": names}),
            json!({"forward_payload_header": "X-Jwt-Payload"}),
            json!({"forward_payload_header": "x-jwt-payload", "pad_forward_payload_header": true}),
            json!({"forward_payload_header": "x-jwt-payload", "claim_to_headers": names, "clear_route_cache": true}),
        ],
        &requests,
    );
    let mut waived = one(json!({"claim_to_headers": [{"claim_name": "sub", "header_name": "x-sub"}]}));
    waived["rules"] = json!([{"match": {"prefix": "/"}}]);
    trials.push(Trial::new(
        "claims, waived",
        waived,
        vec![forged, get("/a/../b"), get("/")],
    ));
    trials
}
