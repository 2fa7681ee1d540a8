//! The cost of the release module in numbers that do not depend on the machine: WebAssembly instructions,
//! host calls, and pages of memory.
//!
//! An interpreter runs `envoy/jwt.wasm` and counts. It does not measure time: `make bench` does. But it shows
//! a change that makes every request more expensive, on a loaded machine as on an idle one.
//!
//! Clock, chance, keys and tokens are always the same, and so are the figures; another compiler moves them by
//! a few per cent, which the budgets leave room for. A change that makes a request cheaper lowers its budget.
//! `PROFILE=warm` prints which functions execute the instructions of that row.

#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

#[path = "instructions/counted.rs"]
mod counted;

// The stub of the native tests keeps headers as Envoy does, and so does this one.
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "host/stub/headers.rs"]
mod headers;

#[path = "instructions/host.rs"]
mod host;

#[path = "instructions/vm.rs"]
mod vm;

#[path = "instructions/worst.rs"]
mod worst;

use serde_json::{Value, json};
use testkit::{Algorithm, Request, SigningKey, Token, tamper_signature};

use vm::{Cost, Vm};

/// The limits of one kind of request.
struct Budget {
    what: &'static str,
    instructions: u64,
    host_calls: u64,
}

const fn budget(what: &'static str, instructions: u64, host_calls: u64) -> Budget {
    Budget {
        what,
        instructions,
        host_calls,
    }
}

/// The budget is up to a tenth above the current cost, which the test prints. A configuration has room for
/// metrics.
const BUDGETS: &[Budget] = &[
    budget("start", 2_400, 0),
    budget("configuration", 1_920_000, 97),
    budget("configuration, 10 providers, 100 rules", 25_800_000, 198),
    budget("tick", 1_300, 5),
    budget("no token asked", 6_600, 4),
    budget("no token", 12_600, 8),
    budget("warm", 12_200, 8),
    budget("warm, 10 providers, 100 rules", 17_000, 9),
    budget("expired", 60_400, 11),
    budget("expired, good before", 58_600, 11),
    budget("expired, refused before", 15_800, 11),
    budget("bad signature", 63_800, 12),
    budget("bad signature, refused before", 16_200, 11),
    budget("cold RS256", 70_200, 9),
    budget("cold ES256", 65_200, 9),
    budget("cold RS256 in the module", 4_640_000, 8),
    budget("cold PS256 in the module", 4_680_000, 8),
    budget("cold ES256 in the module", 16_200_000, 8),
    budget("cold ES384 in the module", 68_400_000, 8),
    budget("cold ES512 in the module", 63_600_000, 8),
    budget("cold EdDSA in the module", 2_220_000, 8),
    budget("a key set of Ed25519", 134_000_000, 86),
    budget("a key set of P-256", 128_000_000, 86),
    budget("a key set of P-384", 110_000_000, 85),
    budget("a key set of P-521", 94_600_000, 85),
    budget("a key set of certificates", 78_200_000, 85),
    budget("a key set with as many members as they may have", 202_000_000, 86),
    budget("a key set of empty objects", 53_600_000, 86),
    budget("a key set with a list of a quarter of a megabyte", 52_600_000, 85),
    budget("forged, four keys of RSA 4096 in the module", 70_600_000, 11),
    budget("forged, six tokens of ES384 in the module", 120_000_000, 11),
    budget("no token, 1,000 providers", 12_200, 8),
    budget("another issuer's, 1,000 providers", 43_600, 9),
    budget("cold RS256, 1,000 providers", 84_600, 9),
];

/// Seconds since the epoch at which the tokens of `tokens.txt` are good, for ten minutes.
const NOW: u64 = 1_800_000_000;

/// The largest memory of a worker's module, in pages of 64 KiB: 16 MiB.
const MAX_PAGES: u64 = 256;

/// The public halves of the keys that signed `tokens.txt`. The private halves do not exist any more.
fn keys() -> Value {
    serde_json::from_str(include_str!("instructions/keys.json")).expect("a key set")
}

/// The key set of one issuer: the current key and the next one, for RSA and P-256.
fn keys_of_an_issuer() -> Value {
    let mut keys = keys();
    keys["keys"].as_array_mut().expect("a list").truncate(2);
    keys
}

/// The token of this algorithm: what identity providers put into an access token, at the usual length.
fn token(algorithm: &str) -> &'static str {
    let lines = include_str!("instructions/tokens.txt").lines();
    let mut found = lines.filter_map(|line| line.strip_prefix(algorithm)?.strip_prefix(' '));
    found.next().expect("a token of each algorithm")
}

/// One provider, one claim in a header, a rule without and a rule with a token.
fn config(keys: &Value) -> Value {
    json!({
        "providers": {"corp": {
            "issuer": testkit::workload_issuer(0),
            "audiences": ["orders-api"],
            "local_jwks": {"inline_string": keys.to_string()},
            "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
        }},
        "rules": [
            {"match": {"path": "/healthz"}},
            {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}},
        ],
    })
}

fn in_the_module(mut config: Value) -> Value {
    config["signature_backend"] = "sandbox".into();
    config
}

fn orders() -> Request {
    // The header fields of a request from a browser or from another service.
    Request::get("/orders/4711?expand=lines")
        .header("host", "api.example.com")
        .header(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        )
        .header("accept", "application/json")
        .header("x-request-id", "6a1dbb2e-64d4-4e6a-8a5b-8f0b7fd9d1a5")
        .header("x-jwt-sub", "root")
}

/// Measures each row of [`BUDGETS`], in their order.
fn measure() -> Vec<Cost> {
    let keys = keys();
    let good = orders().bearer(token("RS256"));
    let mut costs = Vec::new();

    let (mut vm, start) = Vm::start(NOW);
    costs.push(start);
    costs.push(vm.configure(&config(&keys)));
    vm.tick();
    let cold = vm.forwarded(&good);
    let warm = vm.forwarded(&good);
    costs.push({
        let (mut vm, _) = Vm::start(NOW);
        vm.configure(&testkit::workload(&keys_of_an_issuer()))
    });
    costs.push(vm.tick());
    costs.push(vm.forwarded(&Request::get("/healthz").header("x-jwt-sub", "root")));
    costs.push(vm.refused(&orders(), 401));
    costs.push(warm);
    costs.push({
        let (mut vm, _) = Vm::start(NOW);
        vm.configure(&testkit::workload(&keys_of_an_issuer()));
        vm.forwarded(&good);
        vm.forwarded(&good)
    });
    costs.push({
        let (mut vm, _) = Vm::start(NOW + 86_400);
        vm.configure(&config(&keys));
        vm.refused(&good, 401)
    });
    costs.push({
        let (mut vm, _) = Vm::start(NOW);
        vm.configure(&config(&keys));
        vm.forwarded(&good);
        vm.set_time(NOW + 86_400);
        vm.refused(&good, 401)
    });
    costs.push({
        let (mut vm, _) = Vm::start(NOW + 86_400);
        vm.configure(&config(&keys));
        vm.refused(&good, 401);
        vm.refused(&good, 401)
    });
    let forged = orders().bearer(&tamper_signature(token("RS256")));
    costs.push(vm.refused(&forged, 401));
    costs.push(vm.refused(&forged, 401));
    costs.push(cold);
    costs.push(vm.forwarded(&orders().bearer(token("ES256"))));
    for algorithm in ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"] {
        let (mut vm, _) = Vm::start(NOW);
        let mut config = in_the_module(config(&keys));
        // The RSA key has no `alg`.
        config["providers"]["corp"]["algorithms"] = json!([algorithm]);
        vm.configure(&config);
        costs.push(vm.forwarded(&orders().bearer(token(algorithm))));
    }
    costs.extend(key_sets().map(|set| {
        let (mut vm, _) = Vm::start(NOW);
        vm.configure(&with_key_set(set))
    }));
    costs.extend(forgeries());
    costs.extend(among_many());
    costs
}

/// The cost of a request with the greatest number of providers, any of which is enough.
fn among_many() -> [Cost; 3] {
    let all = keys();
    let few = json!({"keys": all["keys"].as_array().expect("a list").iter().filter(|key| key["kty"] == "OKP").collect::<Vec<_>>()});
    let mut config = config(&all);
    config.as_object_mut().expect("an object").remove("rules");
    let provider = config["providers"]["corp"].clone();
    for number in 0..999 {
        let mut other = provider.clone();
        other["issuer"] = format!("https://{number}.example.com").into();
        other["local_jwks"]["inline_string"] = few.to_string().into();
        config["providers"][format!("a{number}")] = other;
    }
    let (mut vm, _) = Vm::start(NOW);
    vm.configure(&config);
    vm.tick();
    let none = vm.refused(&orders(), 401);
    let claims = testkit::encode_segment(
        json!({"iss": "https://nobody.example.com", "exp": NOW + 60})
            .to_string()
            .as_bytes(),
    );
    let (text, signature) = token("RS256").rsplit_once('.').expect("three parts");
    let (header, _) = text.split_once('.').expect("three parts");
    let unknown = vm.refused(&orders().bearer(&format!("{header}.{claims}.{signature}")), 401);
    let cold = vm.forwarded(&orders().bearer(token("RS256")));
    [none, unknown, cold]
}

/// Documents of a hostile issuer. None may occupy a worker for more than 5 ms. Here the filter also reads the
/// configuration that contains the document, which is the larger part of the cost; a fetched document takes 1
/// to 2 ms in V8.
fn key_sets() -> [String; 8] {
    let keys = keys();
    let [es256, ed25519, es384, es512] = ["ES256", "EdDSA", "ES384", "ES512"].map(|algorithm| {
        let all = keys["keys"].as_array().expect("a list");
        let key = all
            .iter()
            .find(|key| key["alg"] == algorithm || key["crv"] == curve(algorithm));
        let mut key = key.expect("a key of each algorithm").clone();
        for member in ["kid", "alg", "use"] {
            key.as_object_mut().expect("an object").remove(member);
        }
        key
    });
    let members: serde_json::Map<String, Value> =
        (0..64).map(|number| (format!("{number}"), json!(0))).collect();
    let set_of = |members: &str| {
        let count = (LONGEST - 300) / (members.len() + 1);
        let all = vec![members; count].join(",");
        let set = format!(r#"{{"keys":[{},{all}]}}"#, keys["keys"][1]);
        assert!(set.len() <= LONGEST);
        set
    };
    // One for all measurements: another key has another certificate, which costs otherwise.
    static CERTIFICATE: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| testkit::certificate_of(&SigningKey::generate(Algorithm::Es256, None)));
    let certificate = &*CERTIFICATE;
    let certificates: serde_json::Map<String, Value> = (0..LONGEST / (certificate.len() + 30))
        .map(|number| (format!("{number}"), certificate.clone().into()))
        .collect();
    let zeros = vec!["0"; 131_000].join(",");
    [
        set_of(&ed25519.to_string()),
        set_of(&es256.to_string()),
        set_of(&es384.to_string()),
        set_of(&es512.to_string()),
        Value::from(certificates).to_string(),
        set_of(&Value::from(members).to_string()),
        set_of("{}"),
        format!(r#"{{"keys":[{}],"z":[{zeros}]}}"#, keys["keys"][1]),
    ]
}

/// The default of `max_response_bytes`.
const LONGEST: usize = 262_144;

fn curve(algorithm: &str) -> &'static str {
    match algorithm {
        "ES256" => "P-256",
        "ES384" => "P-384",
        "ES512" => "P-521",
        _ => "Ed25519",
    }
}

fn with_key_set(set: String) -> Value {
    let mut config = config(&keys());
    config["providers"]["corp"]["local_jwks"]["inline_string"] = set.into();
    in_the_module(config)
}

/// The most signature checks that a hostile issuer and a hostile client can cause with one request.
fn forgeries() -> [Cost; 2] {
    let modulus = |number: u8| {
        let mut bytes = [0xa5; 512];
        (bytes[1], bytes[511]) = (number, 1);
        testkit::encode_segment(&bytes)
    };
    let same_name: Vec<Value> = (0..20)
        .map(|number| json!({"kty": "RSA", "kid": "rsa", "n": modulus(number), "e": "AQAB"}))
        .collect();
    let (mut vm, _) = Vm::start(NOW);
    vm.configure(&with_key_set(json!({"keys": same_name}).to_string()));
    let (text, _) = token("RS256").rsplit_once('.').expect("three parts");
    let forged = format!("{text}.{}", testkit::encode_segment(&[0x11; 512]));
    let many_keys = vm.refused(&orders().bearer(&forged), 401);

    let mut config = in_the_module(config(&keys()));
    let mut provider = config["providers"]["corp"].take();
    config["providers"] = json!({});
    let names: Vec<String> = (0..6).map(|number| format!("x-{number}")).collect();
    for name in &names {
        provider["from_headers"] = json!([{"name": name}]);
        config["providers"][name] = provider.clone();
    }
    config.as_object_mut().expect("an object").remove("rules");
    let (mut vm, _) = Vm::start(NOW);
    vm.configure(&config);
    let (text, _) = token("ES384").rsplit_once('.').expect("three parts");
    let request = names.iter().zip(0x11..).fold(orders(), |request, (name, byte)| {
        let forged = format!("{text}.{}", testkit::encode_segment(&[byte; 96]));
        request.header(name, forged)
    });
    let many_tokens = vm.refused(&request, 401);
    [many_keys, many_tokens]
}

/// How much of a budget the compiler makes of it that `make wasm` took, in per cent. Debian's compiles the
/// standard library too, for size, and the budgets are those of the one that does not.
fn allowance() -> u64 {
    let toolchain = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.build/wasm-toolchain"));
    match toolchain.as_deref().map(str::trim) {
        Ok("debian") => 200,
        _ => 100,
    }
}

/// From 7 per cent above to a tenth, in a number of few digits.
fn with_room(instructions: u64) -> u64 {
    let wanted = instructions * 107 / 100;
    let step = 10_u64.pow(wanted.ilog10() - 1) / 5;
    wanted.div_ceil(step) * step
}

#[test]
fn nothing_costs_more_than_its_budget() {
    let costs = measure();
    assert_eq!(costs.len(), BUDGETS.len());
    let mut faults = Vec::new();
    for (cost, budget) in costs.iter().zip(BUDGETS) {
        println!(
            "{:<40} {:>10} instructions {:>3} host calls: {}",
            budget.what,
            cost.instructions,
            cost.host_calls(),
            cost.named()
        );
        let allowed = budget.instructions * allowance() / 100;
        if cost.instructions > allowed || cost.host_calls() > budget.host_calls {
            faults.push(budget.what);
        }
    }
    let profiled = std::env::var("PROFILE").ok();
    for (cost, budget) in costs.iter().zip(BUDGETS) {
        if profiled.as_deref() == Some(budget.what) {
            println!("{}, by function:\n{}", budget.what, cost.profile());
        }
    }
    println!("what the budgets would be today:");
    for (cost, budget) in costs.iter().zip(BUDGETS) {
        println!(
            "    budget({:?}, {}, {}),",
            budget.what,
            with_room(cost.instructions),
            cost.host_calls()
        );
    }
    assert!(faults.is_empty(), "above their budgets: {faults:?}");
}

#[test]
fn the_same_costs_the_same() {
    assert_eq!(measure(), measure());
}

/// The module decodes by instructions that the native tests do not run. A signature has one spelling.
#[test]
fn no_other_character_of_a_signature_is_taken_for_the_right_one() {
    let (mut vm, _) = Vm::start(NOW);
    vm.configure(&config(&keys()));
    vm.forwarded(&orders().bearer(token("RS256")));
    let (text, signature) = token("RS256").rsplit_once('.').expect("three parts");
    for place in 0..33 {
        for byte in b'!'..=b'~' {
            let mut changed = signature.as_bytes().to_vec();
            if std::mem::replace(&mut changed[place], byte) != byte {
                let changed = String::from_utf8(changed).expect("ASCII");
                vm.refused(&orders().bearer(&format!("{text}.{changed}")), 401);
            }
        }
    }
}

#[test]
fn memory_stops_growing_however_many_tokens_come() {
    const TOKENS: usize = 20_000;
    let key = SigningKey::generate(Algorithm::Es256, Some("es256"));
    let (mut vm, _) = Vm::start(NOW);
    // The default, as many as are kept.
    let mut config = config(&testkit::jwks(&[&key]));
    config["limits"] = json!({"token_cache_entries": 1000});
    vm.configure(&config);
    let mut send = |tokens: std::ops::Range<usize>| {
        for number in tokens {
            let token = Token::new(&key).claims(json!({
                "iss": testkit::workload_issuer(0), "aud": "orders-api", "sub": format!("user-{number:08}"),
                "iat": NOW, "exp": NOW + 600,
                "realm_access": {"roles": ["clerk", "offline_access"]},
                // Tokens of many lengths, so that no freed memory fits the next one.
                "scope": "orders:read ".repeat(number * 31 % 60),
            }));
            vm.forwarded(&orders().bearer(&token.mint()));
        }
        vm.tick();
        vm.pages()
    };
    let half = send(0..TOKENS / 2);
    let end = send(TOKENS / 2..TOKENS);
    println!("{half} pages after {} tokens, {end} after {TOKENS}", TOKENS / 2);
    assert_eq!(half, end, "memory goes on growing");
    assert!(end <= MAX_PAGES, "{end} pages");
}
