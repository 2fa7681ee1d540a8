//! Compares `diff` with many requests of every kind: it reports each change, and only changes.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value, json};
use testkit::Random;

use super::{Change, Client, differ, in_line, in_short, upstream, with_token};
use crate::core::{self, Config, Decided, Decider, Request, Verdict};
use crate::personas::{Issuers, Persona};
use crate::policy::Loaded;
use crate::{setup, source};

fn load(config: &Value) -> Option<Loaded> {
    let node = source::parse(&config.to_string()).expect("JSON").remove(0);
    let config: Config = core::parse(&node, false).ok()?;
    Some(Loaded {
        node,
        config: Rc::new(config),
        unread_keys: Vec::new(),
        unfetched: Vec::new(),
    })
}

fn path(random: &mut Random) -> (&'static str, Value) {
    match random.below(10) {
        0..4 => (
            "prefix",
            random.pick(&["/", "/a", "/a/", "/a/b", "/b", "/v"]).into(),
        ),
        4..6 => ("path", random.pick(&["/a", "/a/b", "/b", "/healthz", "/"]).into()),
        6..8 => (
            "path_separated_prefix",
            random.pick(&["/a", "/a/b", "/b", "/v1"]).into(),
        ),
        _ => {
            let pattern = random.pick(&[
                "/v[0-9]+/items",
                "/a/.*",
                "/[ab]",
                "/b/[^/]+/c",
                ".*x",
                "/(a|b)/c?",
            ]);
            ("safe_regex", json!({"regex": pattern}))
        }
    }
}

fn text_test(random: &mut Random) -> Value {
    let (kind, text) = random.pick(&[
        ("exact", "gold"),
        ("prefix", "go"),
        ("suffix", "er"),
        ("contains", "ol"),
        ("exact", "silver"),
    ]);
    json!({kind: text})
}

fn matcher(random: &mut Random, with_not: bool) -> Value {
    let mut matcher = Map::new();
    let (kind, text) = path(random);
    matcher.insert(kind.into(), text);
    if kind != "safe_regex" && random.percent(10) {
        matcher.insert("case_sensitive".into(), false.into());
    }
    if random.percent(25) {
        let methods = random.pick(&[&["GET"][..], &["POST"], &["GET", "DELETE"], &["PUT", "POST"]]);
        matcher.insert("methods".into(), json!(methods));
    }
    if random.percent(15) {
        let hosts = random.pick(&[
            &["example.com"][..],
            &["*.example.org"],
            &["b.example.net", "example.com"],
        ]);
        matcher.insert("hosts".into(), json!(hosts));
    }
    if random.percent(20) {
        let mut header = json!({"name": "x-tier"});
        match random.below(4) {
            0 => header["present_match"] = random.percent(50).into(),
            _ => header["string_match"] = text_test(random),
        }
        if random.percent(25) {
            header["invert_match"] = true.into();
        }
        matcher.insert("headers".into(), json!([header]));
    }
    if random.percent(12) {
        let mut parameter = json!({"name": "x"});
        match random.below(4) {
            0 => parameter["present_match"] = random.percent(50).into(),
            _ => parameter["string_match"] = text_test(random),
        }
        matcher.insert("query_parameters".into(), json!([parameter]));
    }
    if with_not && random.percent(15) {
        matcher.insert("not".into(), self::matcher(random, false));
    }
    matcher.into()
}

fn requirement(random: &mut Random, most: usize) -> Value {
    let provider = random.pick(&["corp", "other"]);
    match random.below(most) {
        0..5 => json!({"provider_name": provider}),
        5 => json!({"allow_missing": {}}),
        6 => json!({"allow_missing_or_failed": {}}),
        7 => json!({"provider_and_audiences": {"provider_name": provider, "audiences": ["web"]}}),
        8 => json!({"requires_any": {"requirements": [{"provider_name": "other"}, requirement(random, 7)]}}),
        9 => json!({"requires_any": {"requirements": [{"provider_name": "corp"}, requirement(random, 7)]}}),
        _ => json!({}),
    }
}

fn condition(random: &mut Random, with_any: bool) -> Value {
    if with_any && random.percent(20) {
        return json!({"any": [condition(random, false), condition(random, false)]});
    }
    let name = random.pick(&["role", "team", "level"]);
    let mut condition = json!({"claim_name": name});
    if random.percent(15) {
        condition = json!({"claim_path": [{"key": "realm"}, {"key": "team"}]});
    }
    match random.below(8) {
        0 => condition["equals"] = "a".into(),
        1 => condition["any_of"] = json!(["a", "b"]),
        2 => condition["all_of"] = json!(["a", "b"]),
        3 => condition["prefix"] = "a".into(),
        4 => condition["exists"] = random.percent(60).into(),
        5 => condition["any_of"] = json!([random.pick(&["a", "b", "c"])]),
        6 => condition["equals"] = 5.into(),
        _ => condition["suffix"] = "b".into(),
    }
    if random.percent(20) && condition.get("exists").is_none() {
        condition["invert"] = true.into();
    }
    condition
}

fn authorize(random: &mut Random) -> Value {
    let mut authorize = Map::new();
    if random.percent(50) {
        let scopes = random.pick(&[&["read"][..], &["write"], &["read", "write"], &["admin"]]);
        let kind = random.pick(&["all", "any"]);
        authorize.insert("scopes".into(), json!({kind: scopes}));
    }
    if authorize.is_empty() || random.percent(40) {
        let count = 1 + random.below(2);
        let claims: Vec<Value> = (0..count).map(|_| condition(random, true)).collect();
        authorize.insert("claims".into(), claims.into());
    }
    authorize.into()
}

fn rule(random: &mut Random) -> Value {
    let mut rule = json!({"match": matcher(random, true)});
    if random.percent(12) {
        rule["match"] = json!([matcher(random, false), matcher(random, false)]);
    }
    if random.percent(8) {
        rule["deny"] = true.into();
        return rule;
    }
    let requires = requirement(random, 12);
    let is_open = requires == json!({});
    rule["requires"] = requires;
    if !is_open && random.percent(45) {
        rule["authorize"] = authorize(random);
    }
    if !is_open && random.percent(6) {
        rule["mode"] = "shadow".into();
    }
    rule
}

fn provider(random: &mut Random, issuer: &str) -> Value {
    let mut provider = json!({"issuer": issuer, "audiences": ["api"], "discovery": {"cluster": "idp"}});
    for _ in 0..random.below(3) {
        change_provider(random, &mut provider);
    }
    provider
}

fn change_provider(random: &mut Random, provider: &mut Value) {
    match random.below(13) {
        0 => provider["audiences"] = json!(["api", "web"]),
        1 => provider["audiences"] = json!(["*"]),
        2 => provider["subjects"] = json!({"prefix": random.pick(&["a", "svc-"])}),
        3 => provider["subjects"] = json!({"exact": "alice"}),
        4 => provider["require_expiration"] = random.percent(50).into(),
        5 => provider["max_lifetime"] = random.pick(&["1h", "2h"]).into(),
        6 => provider["token_types"] = json!([random.pick(&["JWT", "at+jwt"])]),
        7 => provider["required_claims"] = json!([random.pick(&["role", "azp"])]),
        8 => {
            provider["claim_to_headers"] =
                json!([{"claim_name": random.pick(&["sub", "role"]), "header_name": "x-claim"}])
        }
        9 => provider["forward"] = random.percent(50).into(),
        10 => provider["authorize"] = json!({"claims": [{"claim_name": "role", "any_of": ["a"]}]}),
        11 => provider["clock_skew_seconds"] = random.pick(&[0, 300]).into(),
        _ => provider["issuer"] = "https://new.example.com".into(),
    }
}

fn policy(random: &mut Random) -> Value {
    let rules: Vec<Value> = (0..1 + random.below(4)).map(|_| rule(random)).collect();
    json!({
        "providers": {
            "corp": provider(random, "https://idp.example.com"),
            "other": provider(random, "https://b.example.com"),
        },
        "rules": rules,
    })
}

/// The policy with one change, as an operator would make it.
fn mutated(random: &mut Random, policy: &Value) -> Value {
    let mut policy = policy.clone();
    if random.percent(20) {
        let name = random.pick(&["corp", "other"]);
        change_provider(random, &mut policy["providers"][name]);
        return policy;
    }
    let rules = policy["rules"].as_array_mut().expect("rules");
    let at = random.below(rules.len());
    match random.below(9) {
        0 => rules.insert(at, rule(random)),
        1 if rules.len() > 1 => drop(rules.remove(at)),
        2 if rules.len() > 1 => {
            let other = random.below(rules.len());
            rules.swap(at, other);
        }
        3 => rules[at]["match"] = matcher(random, true),
        4 if rules[at]["match"].is_object() => {
            let fresh = matcher(random, true);
            let (name, value) = fresh
                .as_object()
                .and_then(|all| all.iter().next_back())
                .expect("a member");
            if !matches!(
                &**name,
                "path" | "prefix" | "path_separated_prefix" | "safe_regex"
            ) {
                rules[at]["match"][name] = value.clone();
            }
        }
        5 => {
            let matcher = rules[at]["match"].as_object_mut();
            let last = matcher.as_ref().and_then(|all| all.keys().next_back().cloned());
            if let (Some(matcher), Some(name)) = (matcher, last)
                && matcher.len() > 1
            {
                matcher.remove(&name);
            }
        }
        6 if rules[at].get("deny").is_none() => rules[at]["requires"] = requirement(random, 11),
        7 if rules[at].get("deny").is_none() && rules[at]["requires"] != json!({}) => {
            rules[at]["authorize"] = authorize(random);
        }
        _ => rules[at] = rule(random),
    }
    policy
}

fn request(random: &mut Random) -> Request {
    let target = random.pick(&[
        "/",
        "/a",
        "/a/",
        "/a/b",
        "/a/b/",
        "/a/bc",
        "/ab",
        "/A",
        "/A/b",
        "/b",
        "/bx",
        "/b/x/c",
        "/b/x/y/c",
        "/healthz",
        "/healthz/x",
        "/v1",
        "/v1/items",
        "/v12/itemsx",
        "/v",
        "/x",
        "/q/x",
        "/b/c",
        "/a/c",
        "/other",
    ]);
    let query = random.pick(&[
        "",
        "",
        "",
        "?x=gold",
        "?x=silver",
        "?x=",
        "?y=1",
        "?x=gold&x=silver",
    ]);
    let mut request = Request::new(
        random.pick(&["GET", "POST", "DELETE", "PUT"]),
        &format!("{target}{query}"),
    );
    random
        .pick(&[
            "example.com",
            "example.com",
            "a.example.org",
            "example.org",
            "b.example.net",
        ])
        .clone_into(&mut request.authority);
    if let tier @ 1.. = random.below(8) {
        let tiers = ["gold", "silver", "goal", "", "bronze", "tin", "gold"];
        request.headers.push(("x-tier".into(), tiers[tier - 1].into()));
    }
    request
}

/// Clients of both issuers with many kinds of claims.
fn clients(random: &mut Random, issuers: &Issuers, all: &[&Loaded], now: i64) -> Vec<Client> {
    let mut clients = vec![Client {
        persona: Persona {
            name: "no token".into(),
            provider: None,
            claims: Map::new(),
            is_forged: false,
            expires_in: None,
            of: 0,
        },
        token: None,
    }];
    for _ in 0..60 {
        let mut claims = Map::new();
        let mut put = |random: &mut Random, share: usize, name: &str, values: &[Value]| {
            if random.percent(share) {
                claims.insert(name.into(), values[random.below(values.len())].clone());
            }
        };
        let texts = [
            json!("a"),
            json!("b"),
            json!("c"),
            json!("ab"),
            json!(["a", "b"]),
            json!(["a"]),
            json!(5),
        ];
        put(random, 70, "role", &texts);
        put(random, 60, "team", &texts);
        put(random, 60, "level", &texts);
        put(
            random,
            40,
            "realm",
            &[
                json!({"team": "a"}),
                json!({"team": ["a", "b"]}),
                json!({"team": "b"}),
            ],
        );
        put(
            random,
            75,
            "scope",
            &["read", "write", "read write", "admin", "read write admin"].map(Value::from),
        );
        put(
            random,
            25,
            "aud",
            &[
                json!("api"),
                json!("web"),
                json!("z"),
                json!(["api", "web"]),
                Value::Null,
            ],
        );
        put(
            random,
            20,
            "sub",
            &["alice", "anna", "svc-1", "bob"].map(Value::from),
        );
        put(
            random,
            20,
            "exp",
            &[
                Value::Null,
                json!(now - 100),
                json!(now + 5400),
                json!(now + 90_000),
            ],
        );
        put(random, 30, "azp", &[json!("web")]);
        let persona = Persona {
            name: format!("{claims:?}"),
            provider: Some(random.pick(&["corp", "other"]).into()),
            claims,
            is_forged: random.percent(6),
            expires_in: None,
            of: random.below(2),
        };
        clients.push(Client {
            token: persona.token(issuers, all, now),
            persona,
        });
    }
    clients
}

/// The parts that distinguish changes: the deciding rules, and the outcome of the request. Two reasons of one
/// status are one kind: a rule treats an expired token like a forged one.
fn kind(before: &Decided, after: &Decided) -> [String; 4] {
    let answer = |decided: &Decided| match &decided.verdict {
        Verdict::Refused { reply, .. } => format!("refused {}", reply.status),
        Verdict::Allowed {
            shadowed: Some(_), ..
        } => "shadowed".to_owned(),
        _ => in_short(decided),
    };
    [
        before.rule.clone(),
        after.rule.clone(),
        answer(before),
        answer(after),
    ]
}

#[test]
fn what_changes_is_reported_and_what_is_reported_changes() {
    let pairs: usize = std::env::var("DIFF_PAIRS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(40);
    let seed: u64 = std::env::var("DIFF_SEED")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    let now = setup::now();
    let seconds = i64::try_from(now.as_millis() / 1000).expect("a time");
    let mut random = Random::new(seed);
    let (mut changed, mut same, mut kinds_seen) = (0, 0, 0);
    let mut faults: Vec<String> = Vec::new();
    for number in 0..pairs {
        let mut random = random.fork();
        let old_policy = policy(&mut random);
        let new_policy = mutated(&mut random, &old_policy);
        let (Some(old), Some(new)) = (load(&old_policy), load(&new_policy)) else {
            continue;
        };
        let issuers = Issuers::new(&[&old.config, &new.config]).expect("keys");
        let (old, new) = (
            issuers.equip(&old).expect("keys"),
            issuers.equip(&new).expect("keys"),
        );
        let found = super::changes(&old, &new, &issuers, now);
        let mut reported: BTreeMap<[String; 4], &Change> = BTreeMap::new();
        for change in &found.all {
            // Decides each request with a new engine, so that no memory of another request counts.
            let client = &found.clients[change.client];
            let before = core::decide(&old.config, &with_token(&change.request, client, &old), now);
            let after = core::decide(&new.config, &with_token(&change.request, client, &new), now);
            let answers = change.answers();
            if !differ(&before, &after) || answers[0] == answers[1] {
                faults.push(format!(
                    "pair {number}: {} is reported without a change",
                    in_line(&change.request)
                ));
            }
            reported.entry(kind(&before, &after)).or_insert(change);
        }
        let clients = clients(&mut random, &issuers, &[&old, &new], seconds);
        let (mut by_old, mut by_new) = (Decider::new(&old.config), Decider::new(&new.config));
        let mut missed: BTreeMap<[String; 4], String> = BTreeMap::new();
        let mut differing = 0;
        for _ in 0..2500 {
            let request = request(&mut random);
            let client = &clients[random.below(clients.len())];
            let before = by_old.decide(&with_token(&request, client, &old), now);
            let after = by_new.decide(&with_token(&request, client, &new), now);
            if differ(&before, &after) {
                differing += 1;
                let kind = kind(&before, &after);
                // Another refusal, for a client that neither lets pass, counts as reported after any change.
                let is_reported = match kind.iter().filter(|part| part.starts_with("refused")).count() {
                    2 => !reported.is_empty(),
                    _ => reported.contains_key(&kind),
                };
                if !is_reported {
                    let client = &client.persona;
                    missed.entry(kind).or_insert_with(|| {
                        format!(
                            "{} of {:?} {}: {:?} {:?}",
                            in_line(&request),
                            client.provider,
                            client.name,
                            upstream(&before),
                            upstream(&after)
                        )
                    });
                }
            }
        }
        match differing {
            0 => same += 1,
            _ => changed += 1,
        }
        kinds_seen += reported.len();
        if !missed.is_empty() {
            faults.push(format!(
                "pair {number}:\n{old_policy}\n{new_policy}\nmissed {missed:#?}\nreported {:#?}",
                reported.keys()
            ));
        }
    }
    assert!(
        faults.is_empty(),
        "{} of {pairs} pairs:\n{}",
        faults.len(),
        faults[..faults.len().min(12)].join("\n\n")
    );
    assert!(
        changed * 3 > pairs && same > 0 && kinds_seen > pairs,
        "{changed} {same} {kinds_seen}"
    );
}
