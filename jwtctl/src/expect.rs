//! `jwtctl test`.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Args, ValueEnum};
use minting::tamper_signature;
use serde_json::{Map, Value as Json, json};

use crate::core::{self, Decided, Decider, Request, UnixTime, Verdict};
use crate::personas::Issuers;
use crate::policy::Loaded;
use crate::route::in_short;
use crate::setup::{self, Keys};
use crate::source::{self, Key, Node, Value};
use crate::{Outcome, forms, input, print, report};

/// Run a file of expectations against a configuration
///
/// jwtctl makes the tokens, and uses keys of its own instead of the issuers' keys, so the file needs neither
/// keys nor tokens. Exits with 1 if an expectation is not met.
#[derive(Debug, Args)]
#[command(after_help = "\
A file of expectations:
  config: envoy.yaml
  tests:
  - name: who has no token may see the health
    request: GET /healthz
    expect: allowed
  - request: {method: DELETE, path: /admin/users, headers: {x-env: prod}}
    token: {provider: corp, claims: {scope: orders:admin, role: admin}}
    expect: {decision: allowed, rule: 'rules[1]', upstream: {x-jwt-sub: alice, authorization: null}}
  - request: /orders
    token: {provider: corp, lifetime: -600}
    expect: token_expired

Examples:
  jwtctl test policy-tests.yaml
  jwtctl test policy-tests.yaml --config envoy.yaml --output junit > report.xml")]
pub(crate) struct Arguments {
    /// The files of expectations
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// The configuration to use instead of the one that the file names
    #[arg(long, value_name = "CONFIG")]
    config: Option<String>,
    /// How to print the results
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// JUnit's XML, for CI
    Junit,
}

struct Ran {
    file: String,
    line: usize,
    name: String,
    /// The differences from the expected result.
    faults: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome, String> {
    let mut all = Vec::new();
    for name in &arguments.files {
        all.extend(run_file(name, arguments.config.as_deref())?);
    }
    let failed = all.iter().filter(|ran| !ran.faults.is_empty()).count();
    match arguments.output {
        Format::Text => {
            let mut text = String::new();
            for ran in &all {
                let mark = if ran.faults.is_empty() { "✓" } else { "✗" };
                let _ = writeln!(text, "{mark} {}", report::printable(&ran.name));
                for fault in &ran.faults {
                    let _ = writeln!(
                        text,
                        "    {}:{}: {}",
                        ran.file,
                        ran.line,
                        report::printable(fault)
                    );
                }
            }
            let _ = writeln!(text, "{} passed, {failed} failed", all.len() - failed);
            print(&text);
        }
        Format::Json => {
            let tests: Vec<Json> = all
                .iter()
                .map(|ran| json!({"name": ran.name, "file": ran.file, "line": ran.line, "passed": ran.faults.is_empty(), "faults": ran.faults}))
                .collect();
            print(&format!(
                "{:#}\n",
                json!({"passed": all.len() - failed, "failed": failed, "tests": tests})
            ));
        }
        Format::Junit => print(&junit(&all, failed)),
    }
    Ok(if failed == 0 {
        Outcome::Fine
    } else {
        Outcome::Found
    })
}

fn junit(all: &[Ran], failed: usize) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(xml, "<testsuites tests=\"{}\" failures=\"{failed}\">", all.len());
    let _ = writeln!(
        xml,
        "  <testsuite name=\"jwtctl\" tests=\"{}\" failures=\"{failed}\">",
        all.len()
    );
    for ran in all {
        let place = format!(
            "classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\"",
            escape(&ran.file),
            escape(&ran.name),
            escape(&ran.file),
            ran.line
        );
        if ran.faults.is_empty() {
            let _ = writeln!(xml, "    <testcase {place}/>");
        } else {
            let what = ran.faults.join("; ");
            let _ = writeln!(
                xml,
                "    <testcase {place}>\n      <failure message=\"{}\"/>\n    </testcase>",
                escape(&what)
            );
        }
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// Text in an attribute of XML 1.0, which has no control characters.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A file that cannot be read as expectations, with the place.
fn fault(file: &report::File, node: &Node, what: &str) -> String {
    let (line, column) = source::line_and_column(&file.text, node.place.start);
    format!("{}:{line}:{column}: {what}", file.name)
}

fn known(file: &report::File, node: &Node, names: &[&str]) -> Result<(), String> {
    if !matches!(node.value, Value::Map(_)) {
        return Err(fault(
            file,
            node,
            &format!("expected an object with {}", names.join(", ")),
        ));
    }
    for (key, _) in node.members() {
        if !names.contains(&&*key.name) {
            let (line, column) = source::line_and_column(&file.text, key.place.start);
            return Err(format!(
                "{}:{line}:{column}: unknown field `{}`; known fields: {}",
                file.name,
                key.name,
                names.join(", ")
            ));
        }
    }
    Ok(())
}

fn run_file(name: &str, config: Option<&str>) -> Result<Vec<Ran>, String> {
    let file = input::read(name)?;
    let documents = source::parse(&file.text).map_err(|error| {
        let (line, column) = source::line_and_column(&file.text, error.place.start);
        format!("{}:{line}:{column}: {}", file.name, error.message)
    })?;
    let [document] = documents.as_slice() else {
        return Err(format!("{}: expected one document", file.name));
    };
    known(&file, document, &["config", "filter", "tests"])?;
    let path = match (config, document.text_at(&["config"])) {
        (Some(path), _) => path.to_owned(),
        (None, Some(path)) => {
            let folder = Path::new(name).parent().unwrap_or(Path::new(""));
            folder.join(path).to_string_lossy().into_owned()
        }
        (None, None) => {
            return Err(format!(
                "{}: `config` is missing; write the path of the file to test",
                file.name
            ));
        }
    };
    let keys = Keys {
        filter: document.get("filter").and_then(|node| match &node.value {
            Value::Number(number) => number.parse().ok(),
            _ => None,
        }),
        ..Keys::default()
    };
    let loaded = setup::load(&path, &keys, setup::now())?;
    let issuers = Issuers::new(&[&loaded.config])?;
    let loaded = issuers.equip(&loaded)?;
    let tests = document.get("tests").map_or(&[][..], Node::elements);
    if tests.is_empty() {
        return Err(format!("{}: it has no tests", file.name));
    }
    let mut decider = Decider::new(&loaded.config);
    tests
        .iter()
        .map(|test| run_one(&file, test, &loaded, &issuers, &mut decider))
        .collect()
}

fn run_one(
    file: &report::File,
    test: &Node,
    loaded: &Loaded,
    issuers: &Issuers,
    decider: &mut Decider,
) -> Result<Ran, String> {
    known(file, test, &["name", "request", "token", "time", "expect"])?;
    let asked = test
        .get("request")
        .ok_or_else(|| fault(file, test, "`request` is missing, as in `GET /orders`"))?;
    let mut request = request(file, asked)?;
    let now = match test.get("time") {
        Some(time) => match &time.value {
            Value::Text(text) | Value::Number(text) => {
                setup::parse_time(text).map_err(|error| fault(file, time, &error))?
            }
            _ => return Err(fault(file, time, "expected a time")),
        },
        None => setup::now(),
    };
    if let Some(token) = test.get("token") {
        let token = self::token(file, token, loaded, issuers, now)?;
        core::put_token(&loaded.config, &mut request, &token, false);
    }
    let expect = test
        .get("expect")
        .ok_or_else(|| fault(file, test, "`expect` is missing: allowed, refused, or a reason"))?;
    let decided = decider.decide(&request, now);
    let (line, _) = source::line_and_column(&file.text, test.place.start);
    let name = match test.text_at(&["name"]) {
        Some(name) => name.to_owned(),
        None => format!("{} {}", request.method, request.target),
    };
    Ok(Ran {
        file: file.name.clone(),
        line,
        name,
        faults: faults(file, expect, &decided)?,
    })
}

/// `GET /orders`, `/orders`, or an object.
fn request(file: &report::File, node: &Node) -> Result<Request, String> {
    let bad = |error: String| fault(file, node, &error);
    if let Some(text) = node.text() {
        if text.trim().is_empty() {
            return Err(bad("expected a method and a path, as in `GET /orders`".to_owned()));
        }
        let (method, url) = text.trim().split_once(' ').unwrap_or(("GET", text.trim()));
        let mut request = forms::from_url(url.trim()).map_err(bad)?;
        method.clone_into(&mut request.method);
        return Ok(request);
    }
    known(
        file,
        node,
        &[
            "method",
            "path",
            "url",
            "host",
            "headers",
            "certificate",
            "address",
            "requirement",
            "filter_state",
        ],
    )?;
    let of = |name: &str| text_of(file, node, name);
    let url = of("url")?.or(of("path")?).unwrap_or_else(|| "/".to_owned());
    let mut request = forms::from_url(&url).map_err(bad)?;
    request.method = of("method")?.unwrap_or_else(|| "GET".to_owned());
    if let Some(host) = of("host")? {
        request.authority = host;
    }
    for (key, value) in members_of(file, node, "headers")? {
        let values = match &value.value {
            Value::List(all) => all.iter().map(plain).collect(),
            _ => vec![plain(value)],
        };
        for value in values {
            request
                .headers
                .push((key.name.to_ascii_lowercase(), value.into_bytes()));
        }
    }
    request.peer_certificate = of("certificate")?;
    request.source_address = of("address")?;
    request.route_requirement = of("requirement")?;
    request.filter_state = of("filter_state")?;
    Ok(request)
}

/// The text of a member; `None` if it is absent. A value of another type would count as absent, and its test
/// could pass.
fn text_of(file: &report::File, node: &Node, name: &str) -> Result<Option<String>, String> {
    match node.get(name) {
        None => Ok(None),
        Some(node) => match &node.value {
            Value::Text(text) | Value::Number(text) => Ok(Some(text.clone())),
            Value::Null => Ok(None),
            _ => Err(fault(file, node, "expected a text")),
        },
    }
}

/// The members of an object in a member; none if it is absent.
fn members_of<'n>(file: &report::File, node: &'n Node, name: &str) -> Result<&'n [(Key, Node)], String> {
    match node.get(name) {
        None => Ok(&[]),
        Some(inner) => match &inner.value {
            Value::Map(members) => Ok(members),
            Value::Null => Ok(&[]),
            _ => Err(fault(file, inner, "expected an object")),
        },
    }
}

/// A scalar as a text.
fn plain(node: &Node) -> String {
    match &node.value {
        Value::Text(text) | Value::Number(text) => text.clone(),
        _ => node.to_json(),
    }
}

fn token(
    file: &report::File,
    node: &Node,
    loaded: &Loaded,
    issuers: &Issuers,
    now: UnixTime,
) -> Result<String, String> {
    // A token that the file contains as it is.
    if let Some(text) = node.text() {
        return Ok(text.to_owned());
    }
    known(
        file,
        node,
        &["provider", "claims", "header", "lifetime", "forged"],
    )?;
    let names = core::providers(&loaded.config);
    let provider = match node.get("provider") {
        Some(name) => {
            let text = name.text().unwrap_or_default();
            if !names.iter().any(|known| known == text) {
                return Err(fault(
                    file,
                    name,
                    &format!("no provider is named `{text}`; defined: {}", names.join(", ")),
                ));
            }
            text
        }
        None => names.first().map(String::as_str).unwrap_or_default(),
    };
    let seconds = i64::try_from(now.as_millis() / 1000).unwrap_or(i64::MAX);
    let members = |name: &str| -> Result<Vec<(String, Json)>, String> {
        let all = members_of(file, node, name)?.iter();
        let json = |value: &Node| serde_json::from_str(&value.to_json()).unwrap_or(Json::Null);
        Ok(all.map(|(key, value)| (key.name.clone(), json(value))).collect())
    };
    let mut token = issuers
        .token(loaded, provider, &Map::new(), seconds)
        .ok_or_else(|| fault(file, node, "jwtctl cannot make a token for this provider"))?;
    if let Some(lifetime) = node.get("lifetime") {
        let Value::Number(number) = &lifetime.value else {
            return Err(fault(file, lifetime, "expected seconds"));
        };
        let lifetime: i64 = number
            .parse()
            .map_err(|_| fault(file, lifetime, "expected whole seconds"))?;
        token = token.claim("exp", seconds.saturating_add(lifetime));
        // An expired token was made earlier than the request.
        token = token.claim("iat", seconds.min(seconds.saturating_add(lifetime)));
    }
    // `null` removes a claim.
    for (name, value) in members("claims")? {
        token = if value.is_null() {
            token.without_claim(&name)
        } else {
            token.claim(&name, value)
        };
    }
    for (name, value) in members("header")? {
        token = if value.is_null() {
            token.without_header(&name)
        } else {
            token.header(&name, value)
        };
    }
    let text = token.mint();
    match node.get("forged") {
        None => Ok(text),
        Some(forged) => match forged.bool() {
            Some(true) => Ok(tamper_signature(&text)),
            Some(false) => Ok(text),
            None => Err(fault(file, forged, "expected true or false")),
        },
    }
}

/// The differences from the expectation.
fn faults(file: &report::File, expect: &Node, decided: &Decided) -> Result<Vec<String>, String> {
    let mut faults = Vec::new();
    let seen = in_short(decided);
    let mut word = |word: &str| {
        let is_so = match (word, &decided.verdict) {
            ("allowed", Verdict::Allowed { .. })
            | ("refused", Verdict::Refused { .. })
            | ("answered", Verdict::Answered(_)) => true,
            ("allowed" | "refused" | "answered", _) => false,
            (word, Verdict::Refused { reason, .. }) => *reason == word,
            _ => false,
        };
        if !is_so {
            faults.push(format!("expected {word}, but it is {seen}"));
        }
    };
    let is_known = |word: &str| ["allowed", "refused", "answered"].contains(&word) || core::is_reason(word);
    match &expect.value {
        Value::Text(text) if is_known(text) => word(text),
        Value::Map(_) => {
            known(
                file,
                expect,
                &[
                    "decision", "reason", "status", "rule", "provider", "shadowed", "upstream",
                ],
            )?;
            if expect.members().is_empty() {
                return Err(fault(
                    file,
                    expect,
                    "the expectation says nothing; write allowed, refused, or a reason",
                ));
            }
            let upstream = members_of(file, expect, "upstream")?;
            for name in ["decision", "reason"] {
                if let Some(node) = expect.get(name) {
                    let text = node.text().unwrap_or_default();
                    if !is_known(text) {
                        return Err(fault(
                            file,
                            node,
                            &format!(
                                "`{text}` is not a reason, and not one of allowed, refused and answered"
                            ),
                        ));
                    }
                    word(text);
                }
            }
            let mut equal = |name: &str, seen: Option<String>| {
                if let Some(node) = expect.get(name) {
                    let expected = plain(node);
                    if seen.as_deref() != Some(&*expected) {
                        faults.push(format!(
                            "expected {name} {expected}, but it is {}",
                            seen.unwrap_or_else(|| "none".to_owned())
                        ));
                    }
                }
            };
            equal("rule", Some(decided.rule.clone()));
            match &decided.verdict {
                Verdict::Allowed {
                    basis,
                    shadowed,
                    headers,
                    ..
                } => {
                    equal("status", None);
                    equal(
                        "provider",
                        match basis {
                            core::Basis::Verified(name) => Some(name.clone()),
                            _ => None,
                        },
                    );
                    equal("shadowed", shadowed.map(str::to_owned));
                    for (key, value) in upstream {
                        let found: Vec<String> = headers
                            .iter()
                            .filter(|(name, _)| *name == key.name.to_ascii_lowercase())
                            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
                            .collect();
                        let expected: Vec<String> = match &value.value {
                            Value::Null => Vec::new(),
                            Value::List(all) => all.iter().map(plain).collect(),
                            _ => vec![plain(value)],
                        };
                        if found != expected {
                            let found = crate::explanation::hide(&format!("{found:?}"), &[]);
                            faults.push(format!(
                                "expected {} {expected:?} at the upstream, but it is {found}",
                                key.name
                            ));
                        }
                    }
                }
                Verdict::Refused { reply, .. } | Verdict::Answered(reply) => {
                    equal("status", Some(reply.status.to_string()));
                    equal("provider", None);
                    equal("shadowed", None);
                    if expect.get("upstream").is_some() {
                        faults.push(format!(
                            "expected the request to reach the upstream, but it is {seen}"
                        ));
                    }
                }
            }
        }
        Value::Number(status) => {
            let found = match &decided.verdict {
                Verdict::Refused { reply, .. } | Verdict::Answered(reply) => reply.status.to_string(),
                Verdict::Allowed { .. } => String::new(),
            };
            if found != *status {
                faults.push(format!("expected {status}, but it is {seen}"));
            }
        }
        _ => {
            return Err(fault(
                file,
                expect,
                "expected allowed, refused, a reason, a status, or an object",
            ));
        }
    }
    Ok(faults)
}
