//! Generated requests. They follow the configuration: most tokens are in its locations.

use serde_json::Value;
use testkit::{Random, Request};

use crate::configs::{AUDIENCES, CLAIMS};
use crate::tokens::{self, Maker};
use crate::world::{idp, idps};

const PATHS: &[&str] = &[
    "/",
    "/orders",
    "/orders",
    "/orders/1",
    "/orders/x",
    "/ordersX",
    "/Orders",
    "/orders/",
    "/healthz",
    "/healthzX",
    "/HEALTHZ",
    "/api/v1",
    "/public/x",
    "/publicx",
    "/healthz/../admin",
    "/public//x",
    "/public/%2e%2e/admin",
    "/api%2Fv1",
    "/orders/1;v=2",
    "//orders",
    "/x/..;/orders",
    "/%6frders",
    "/healthz/..%3b/orders",
    "/orders/%ff",
    "/orders%c3",
    "/public/%ed%a0%80/x",
    "/healthz/é",
];

const QUERIES: &[&str] = &[
    "v=1",
    "v=b2&w=%41+c",
    "v",
    "w=x&&=y",
    "v=1&v=2",
    "w=%zz",
    "a%20b=c%2Fd",
    "v=1%ff",
    "v=%c3&w=1",
    "%ff=1&v=b2",
];

/// No UTF-8.
const STRANGE: &[&[u8]] = &[b"\xff", b"\xc3", b"\xa9x", b"\xed\xa0\x80", b"\xf8\x88\x80"];

/// The value, sometimes with bytes before or after it that are not UTF-8.
fn strange(value: &str, random: &mut Random) -> Vec<u8> {
    let strange = match random.percent(12) {
        true => random.pick(STRANGE),
        false => b"",
    };
    match random.percent(50) {
        true => [value.as_bytes(), strange].concat(),
        false => [strange, value.as_bytes()].concat(),
    }
}

const METHODS: &[&str] = &["GET", "GET", "GET", "POST", "OPTIONS", "DELETE"];

/// The possible locations of a token.
#[derive(Clone, Debug)]
enum Place {
    Header(String, String),
    Parameter(String),
    Cookie(String),
}

pub(crate) fn generate(config: &Value, random: &mut Random) -> Request {
    let mut request = Request::new(random.pick(METHODS), random.pick(PATHS));
    let mut query: Vec<String> = Vec::new();
    let mut cookies: Vec<String> = Vec::new();
    if random.percent(30) {
        query.push(random.pick(QUERIES).to_owned());
    }
    if random.percent(25) {
        cookies.push("theme=dark".to_owned());
    }
    if random.percent(35) {
        let value = random.pick(&["prod", "PROD", "staging", "", "prod,x"]);
        request = request.header("x-env", strange(value, random));
    }
    if random.percent(15) {
        let value = random.pick(&["5", "10", "1", "-1", "five", "5x"]);
        request = request.header("x-number", strange(value, random));
    }
    if random.percent(10) {
        request = request
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", "GET");
    }
    if random.percent(20) {
        // A client that writes the headers that only the filter may write.
        let name = random.pick(CLAIMS).1;
        request = request.header(name, "forged").header("x-jwt-payload", "forged");
    }
    let count = match random.below(20) {
        0..=2 => 0,
        3..=16 => 1,
        _ => 2,
    };
    for _ in 0..count {
        let token = token(config, random);
        match place(config, random) {
            Place::Header(name, prefix) => {
                let prefix = if random.percent(6) {
                    random.pick(PREFIXES)
                } else {
                    prefix.as_str()
                };
                let value = match random.percent(4) {
                    true => strange(&format!("{prefix}{token}"), random),
                    false => format!("{prefix}{token}").into_bytes(),
                };
                request = request.header(&name, value);
            }
            Place::Parameter(name) => {
                let token = if random.percent(20) {
                    token.replace('.', "%2E")
                } else {
                    token
                };
                query.push(format!("{name}={token}"));
            }
            Place::Cookie(name) => {
                cookies.push(if random.percent(20) {
                    format!("{name}=\"{token}\"")
                } else {
                    format!("{name}={token}")
                });
            }
        }
    }
    if random.percent(20) {
        query.push("z=%41&q=a+b".to_owned());
    }
    if !query.is_empty() {
        request.path = format!("{}?{}", request.path, query.join("&"));
    }
    if random.percent(10) {
        cookies.push("lang=de".to_owned());
    }
    if !cookies.is_empty() {
        let value = cookies.join("; ");
        request = request.header("cookie", strange(&value, random));
    }
    request
}

const PREFIXES: &[&str] = &[
    "bearer ",
    "BEARER ",
    "Bearer  ",
    "Basic ",
    "",
    "x Bearer ",
    "Bearer",
    "Bearer !",
    "JWT Bearer ",
];

fn token(config: &Value, random: &mut Random) -> String {
    let providers: Vec<&Value> = config["providers"]
        .as_object()
        .expect("providers")
        .values()
        .collect();
    let provider = random.pick(&providers);
    let issuer = provider["issuer"].as_str().and_then(idp);
    let idp = match issuer {
        Some(idp) if random.percent(92) => idp,
        _ => &idps()[random.below(idps().len())],
    };
    let audience = match provider["audiences"][0].as_str() {
        Some(audience) if audience != "*" && random.percent(90) => audience.to_owned(),
        _ => AUDIENCES[random.below(3)][0].to_owned(),
    };
    tokens::generate(
        Maker {
            idp,
            audience: &audience,
        },
        random,
    )
}

/// Usually a place in which some provider looks, sometimes another.
fn place(config: &Value, random: &mut Random) -> Place {
    let mut places = Vec::new();
    for provider in config["providers"].as_object().expect("providers").values() {
        let listed = |field: &str| provider[field].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut own: Vec<Place> = Vec::new();
        own.extend(
            listed("from_headers")
                .iter()
                .map(|entry| Place::Header(text(&entry["name"]), text(&entry["value_prefix"]))),
        );
        own.extend(
            listed("from_params")
                .iter()
                .map(|name| Place::Parameter(text(name))),
        );
        own.extend(
            listed("from_cookies")
                .iter()
                .map(|name| Place::Cookie(text(name))),
        );
        if own.is_empty() {
            own.push(Place::Header("authorization".to_owned(), "Bearer ".to_owned()));
        }
        places.extend(own);
    }
    if random.percent(8) {
        places = vec![
            Place::Header("authorization".to_owned(), "Bearer ".to_owned()),
            Place::Header("x-jwt".to_owned(), String::new()),
            Place::Parameter("access_token".to_owned()),
            Place::Cookie("session".to_owned()),
        ];
    }
    places.swap_remove(random.below(places.len()))
}
