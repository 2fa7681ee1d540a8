//! The questions of the page in the browser and their answers, natively: `page/` runs the same code, and its
//! test in a browser compares with the golden answers of this one.
//!
//! `BLESS=1` writes the page's examples and the answers.

#![cfg(test)]

mod common;

use std::path::PathBuf;

use common::{Folder, jwtctl, root};
use serde_json::{Value, json};

/// A time at which the examples' tokens are valid.
const TIME: &str = "2026-01-31T12:01:00Z";

fn ask(question: &Value) -> Value {
    let answer = jwtctl::page::answer(&question.to_string());
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn example_file(name: &str) -> String {
    let path = root().join("jwtctl/examples").join(name);
    std::fs::read_to_string(path).expect("a file of the examples")
}

/// A token of the examples' key, which is the same each time.
fn mint(more: &[&str]) -> String {
    let examples = root().join("jwtctl/examples");
    let path = |name: &str| examples.join(name).display().to_string();
    let (key, config) = (path("key.pem"), path("orders.yaml"));
    let mut arguments = vec!["mint", "token", "--key", &key, "--for", &config, "--sub", "alice"];
    arguments.extend(["--time", "2026-01-31T12:00:00Z"]);
    arguments.extend(more);
    let ran = jwtctl(&arguments);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.out.trim().to_owned()
}

/// The examples of the page: name, question and answer.
fn examples() -> Vec<(&'static str, Value, &'static str)> {
    let config = example_file("orders.yaml");
    let keys = example_file("keys.json");
    let get = "GET https://api.example.com/orders";
    let reader = mint(&["--scope", "orders:read"]);
    let with = |request: &str, token: &str| json!({"config": config, "keys": keys, "request": request, "token": token, "time": TIME});
    let delete = "curl 'https://api.example.com/admin/users' -X DELETE -H 'x-jwt-sub: root'";
    let mut late = with(get, &reader);
    late["time"] = "2026-01-31T12:10:00Z".into();
    let mut keyless = with(get, &reader);
    keyless["keys"] = "".into();
    let mut faulty = with("GET https://api.example.com/health/report", "");
    faulty["config"] = example_file("faulty.yaml").into();
    let logged =
        json!({"time": TIME, "method": "GET", "path": "/admin/users", "authority": "api.example.com"});
    let mut of_log = with(&logged.to_string(), "");
    of_log["time"] = "".into();
    vec![
        ("A good token", with(get, &reader), "allowed"),
        ("A token that has expired", late, "token_expired"),
        (
            "A token for another audience",
            with(get, &mint(&["--aud", "billing-api"])),
            "audience_mismatch",
        ),
        (
            "A token with a wrong signature",
            with(get, &mint(&["--bad", "signature_invalid"])),
            "signature_invalid",
        ),
        (
            "A token of an unknown key",
            with(get, &mint(&["--bad", "key_unknown"])),
            "key_unknown",
        ),
        (
            "A token without the scope",
            with(delete, &reader),
            "scope_insufficient",
        ),
        (
            "An administrator, as a curl command",
            with(
                delete,
                &mint(&["--scope", "orders:admin", "--claim", "role=owner"]),
            ),
            "allowed",
        ),
        ("A line of the access log", of_log, "token_missing"),
        (
            "An ambiguous path",
            with("GET https://api.example.com/healthz/../admin/users", ""),
            "token_missing",
        ),
        (
            "A request that needs no token",
            with("GET https://api.example.com/healthz\nx-jwt-sub: root", ""),
            "allowed",
        ),
        ("A token, and no keys", keyless, "keys_unavailable"),
        ("A configuration with faults", faulty, "faults"),
    ]
}

fn outcome(answer: &Value) -> &str {
    let decision = &answer["explanation"]["decision"];
    let word = decision["reason"]
        .as_str()
        .or_else(|| decision["outcome"].as_str());
    word.unwrap_or_else(|| match answer["error"]["member"].as_str() {
        Some("config") => "faults",
        _ => "nothing",
    })
}

/// Compares with a golden file, or writes it.
fn hold(path: PathBuf, value: &Value) {
    let text = format!("{value:#}\n");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &text).expect("the file is written");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        known == text,
        "{} is not what is answered now; BLESS=1 writes it",
        path.display()
    );
}

#[test]
fn golden_examples_of_the_page_come_to_what_they_say() {
    let examples = examples();
    let mut answers = serde_json::Map::new();
    for (name, question, expected) in &examples {
        let answer = ask(question);
        assert_eq!(outcome(&answer), *expected, "{name}: {answer:#}");
        answers.insert((*name).to_owned(), answer);
    }
    let page: Vec<Value> = examples
        .into_iter()
        .map(|(name, question, outcome)| json!({"name": name, "outcome": outcome, "question": question}))
        .collect();
    hold(root().join("page/static/examples.json"), &Value::from(page));
    hold(root().join("page/tests/answers.json"), &Value::Object(answers));
}

#[test]
fn the_page_and_the_command_say_the_same() {
    let folder = Folder::new("browser");
    let keys = folder.write("keys.json", &example_file("keys.json"));
    let config = folder.write("orders.yaml", &example_file("orders.yaml"));
    let mut compared = 0;
    for (name, question, outcome) in examples() {
        let member = |name: &str| question[name].as_str().expect("a text").to_owned();
        if outcome == "faults" {
            let faulty = folder.write("faulty.yaml", &member("config"));
            let checked = jwtctl(&["check", "--output", "json", &faulty]).json();
            let without_file = |findings: &Value| {
                let mut findings = findings.clone();
                for finding in findings.as_array_mut().expect("findings") {
                    finding["file"].take();
                }
                findings
            };
            assert_eq!(
                without_file(&ask(&question)["findings"]),
                without_file(&checked["findings"])
            );
            continue;
        }
        let (request, token, time) = (member("request"), member("token"), member("time"));
        let mut arguments = vec!["explain", &config, "--output", "json"];
        let mut lines = request.lines();
        let first = lines.next().expect("a line");
        match first.split_once(' ') {
            Some(("curl", _)) => arguments.extend(["--curl", &request]),
            Some(("GET", url)) => arguments.push(url),
            _ => arguments.extend(["--log-line", &request]),
        }
        lines.for_each(|line| arguments.extend(["--header", line]));
        if !token.is_empty() {
            arguments.extend(["--token", &token]);
        }
        if !time.is_empty() {
            arguments.extend(["--time", &time]);
        }
        if !member("keys").is_empty() {
            arguments.extend(["--keys", &keys]);
        }
        let ran = jwtctl(&arguments);
        assert_eq!(ask(&question)["explanation"], ran.json(), "{name}");
        compared += 1;
    }
    assert!(compared > 8);
}

#[test]
fn a_fault_names_the_member_and_the_place() {
    let config = example_file("orders.yaml");
    let keys = example_file("keys.json");
    let good = json!({"config": config, "keys": keys, "request": "/orders", "now": 1_769_860_860_000_u64});
    assert_eq!(ask(&good)["explanation"]["time"], "2026-01-31T12:01:00Z");
    let two = format!("{config}\n---\n{config}");
    for (member, value, expected) in [
        ("config", "", "no configuration"),
        ("config", "a: [", "neither YAML nor JSON"),
        ("config", "providers: {}", "refuses"),
        ("filter", "2", "no number 2"),
        ("filter", "x", "no number x"),
        ("keys", "no keys", ""),
        (
            "keys",
            "{\"nobody\": {\"keys\": []}}",
            "no provider is named `nobody`",
        ),
        ("request", "", "no request"),
        ("request", "curl -s", "no URL"),
        ("request", "/x\nno header", "is not a header field"),
        ("request", "ftp://x/", "not http"),
        ("time", "tomorrow", "not a time"),
    ] {
        let mut question = good.clone();
        question[member] = value.into();
        let answer = ask(&question);
        assert_eq!(answer["error"]["member"], member, "{answer}");
        let message = answer["error"]["message"].as_str().expect("a message");
        assert!(message.contains(expected) && !message.is_empty(), "{message}");
        assert!(answer["findings"].is_array());
    }
    let mut question = good.clone();
    question["config"] = two.into();
    assert_eq!(ask(&question)["error"]["member"], "filter");
    question["filter"] = "2".into();
    assert_eq!(outcome(&ask(&question)), "token_missing");
    let syntax = ask(&json!({"config": "providers:\n  corp: {issuer: [}\n", "request": "/"}));
    assert_eq!(syntax["findings"][0]["line"], 2, "{syntax}");
    for text in ["", "[]", "7", "{", "{\"config\": 7}", "\u{0}"] {
        let answer: Value = serde_json::from_str(&jwtctl::page::answer(text)).expect("JSON");
        assert!(answer["error"]["message"].is_string(), "{text}");
    }
}

#[test]
fn keys_may_be_given_for_each_provider() {
    let keys: Value = serde_json::from_str(&example_file("keys.json")).expect("JSON");
    let config = example_file("orders.yaml").replace(
        "rules:\n",
        "  other:\n    issuer: https://other.example.com\n    audiences: [orders-api]\n    discovery: {cluster: idp}\nrules:\n- {match: {path: /other}, requires: {provider_name: other}}\n",
    );
    let mut question = json!({"config": config, "keys": json!({"corp": keys}).to_string(), "time": TIME});
    question["request"] = "/orders".into();
    question["token"] = mint(&[]).into();
    assert_eq!(outcome(&ask(&question)), "allowed", "{}", ask(&question));
    question["request"] = "/other".into();
    question["token"] = mint(&["--iss", "https://other.example.com"]).into();
    let answer = ask(&question);
    assert_eq!(
        (outcome(&answer), &answer["missing"]),
        ("keys_unavailable", &json!(["other"])),
        "{answer}"
    );
    question["keys"] = keys.to_string().into();
    assert_eq!(outcome(&ask(&question)), "allowed");
}

#[test]
fn an_answer_has_no_token_and_no_signature() {
    let token = mint(&[]);
    let signature = token.rsplit_once('.').expect("three parts").1.to_owned();
    let request = format!("GET /orders?access_token={token}\nx-token: {token}\ncookie: a={token}");
    for config in [
        example_file("orders.yaml"),
        format!("# {token}\nproviders: {token}"),
    ] {
        let question =
            json!({"config": config, "request": request, "token": token, "keys": token, "time": token});
        let answer = ask(&question).to_string();
        assert!(
            !answer.contains(&token) && !answer.contains(&signature),
            "{answer}"
        );
    }
}
