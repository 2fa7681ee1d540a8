//! The reference of fields: the tables come from the declarations, and every row of every table is tried on
//! the parser.
//!
//! A table under a heading such as `rules[].match` is about the object at that place. Its rows give type,
//! default and range. The test tries each: a value of another type, the default, a value out of range.

use std::collections::BTreeSet;

use proxy_wasm_jwt::config::declarations;
use proxy_wasm_jwt::config::{Config, ConfigError};
use serde_json::{Value, json};
use testkit::load_yaml;

use crate::examples::{parse, with_provider_fields};
use crate::markdown::{Page, code, codes, page, root};

const COLUMNS: [&str; 5] = ["field", "type", "default", "values", "meaning"];

/// One documented field.
struct Row {
    field: String,
    kind: String,
    default: String,
    values: String,
}

/// The fields of the object at one place.
struct Documented {
    /// `providers`, `<name>`, `from_headers[]` and so on; nothing for the whole.
    place: Vec<String>,
    rows: Vec<Row>,
}

struct Reference(Vec<Documented>);

impl Reference {
    fn read(page: &Page) -> Self {
        let tables = page.tables_of(&COLUMNS).map(|table| Documented {
            place: match code(&table.heading) {
                Some(path) => path.split('.').map(str::to_owned).collect(),
                None if table.heading == "Top level" => Vec::new(),
                None => panic!("a table of fields under {:?}", table.heading),
            },
            rows: table
                .rows
                .iter()
                .map(|row| Row {
                    field: code(&row[0]).expect("one field a row").to_owned(),
                    kind: row[1].clone(),
                    default: row[2].clone(),
                    values: row[3].clone(),
                })
                .collect(),
        });
        Self(tables.collect())
    }

    /// The smallest valid object at a place: its required fields, and one of each group of alternatives.
    fn least(&self, place: &[String]) -> Value {
        let mut object = match place.last().map(String::as_str) {
            Some("<name>") => json!({"remote_jwks": {"http_uri": sample("http_uri")}}),
            Some("subjects") => json!({"exact": "a"}),
            Some("claim_to_headers[]") => json!({"claim_name": "sub"}),
            Some("match") => json!({"path": "/a"}),
            Some("range_match") => json!({"start": -1, "end": 10}),
            Some("requires") => json!({"provider_name": "corp"}),
            Some("authorize") => json!({"scopes": {"all": ["a"]}}),
            Some("scopes") => json!({"all": ["a"]}),
            Some("claims[]") => json!({"claim_name": "sub", "exists": true}),
            Some("equals_request") => json!({"header": "x-name"}),
            Some("protected_resource") => json!({"resource": "https://api.example.com"}),
            _ => json!({}),
        };
        let documented = self.0.iter().find(|documented| documented.place == place);
        for row in documented.into_iter().flat_map(|documented| &documented.rows) {
            if row.default == "required" {
                object[&row.field] = sample(&row.field);
            }
        }
        object
    }

    /// The least configuration with this object at this place.
    fn around(&self, place: &[String], object: Value) -> Value {
        let Some((last, outer)) = place.split_last() else {
            return object;
        };
        if last == "<name>" {
            let (_, outer) = outer.split_last().expect("a map");
            let mut whole = self.least(outer);
            whole["providers"] = json!({"corp": object});
            return self.around(outer, whole);
        }
        let mut parent = self.least(outer);
        match last.strip_suffix("[]") {
            Some(list) => set(&mut parent, list, json!([object])),
            None => set(&mut parent, last, object),
        }
        self.around(outer, parent)
    }

    /// The parser's message for a field with this value; `None`: without the field.
    fn with(
        &self,
        documented: &Documented,
        field: &str,
        value: Option<Value>,
    ) -> Result<Config, Box<ConfigError>> {
        let mut object = self.least(&documented.place);
        match value {
            Some(value) => set(&mut object, field, value),
            None => drop(object.as_object_mut().expect("an object").remove(field)),
        }
        parse(&self.around(&documented.place, object))
    }
}

/// Fields of which an object takes one.
const ALTERNATIVES: &[&[&str]] = &[
    &["discovery", "remote_jwks", "local_jwks"],
    &["inline_string", "inline_bytes"],
    &["claim_name", "claim_path", "any"],
    &["all", "any"],
    &[
        "equals",
        "any_of",
        "all_of",
        "prefix",
        "suffix",
        "contains",
        "regex",
        "exists",
        "equals_request",
        "any",
    ],
    &["path_template", "header", "host"],
    &["resource", "resource_from_host"],
    &["exact", "prefix", "suffix", "contains", "safe_regex"],
    &[
        "path",
        "prefix",
        "path_separated_prefix",
        "safe_regex",
        "connect_matcher",
    ],
    &[
        "provider_name",
        "provider_and_audiences",
        "requires_any",
        "requires_all",
        "allow_missing",
        "allow_missing_or_failed",
    ],
];

fn set(object: &mut Value, field: &str, value: Value) {
    let members = object.as_object_mut().expect("an object");
    for group in ALTERNATIVES.iter().filter(|group| group.contains(&field)) {
        // An object that needs both fields, such as `provider_and_audiences`, offers no choice.
        if field != "provider_name" || members.len() == 1 {
            members.retain(|name, _| !group.contains(&name.as_str()));
        }
    }
    // Fields that need another field.
    if matches!(field, "mode" | "shadow_percent" | "protected_resource") && members.contains_key("match") {
        members.insert("requires".into(), json!({"provider_name": "corp"}));
    }
    match field {
        "normalize_payload_in_metadata" => {
            drop(members.insert("payload_in_metadata".into(), json!("claims")))
        }
        "prefer" => {
            members.insert("from_headers".into(), json!([{"name": "x-token"}]));
            members.insert("from_params".into(), json!(["token"]));
            members.insert("from_cookies".into(), json!(["token"]));
        }
        "trust_xfcc" if value.is_object() => drop(members.insert("mtls".into(), json!("required"))),
        "shadow_percent" => drop(members.insert("mode".into(), json!("shadow"))),
        "resource_path" => {
            members.clear();
            members.insert("resource_from_host".into(), json!(true));
        }
        // In a rule; a provider has conditions as well.
        "authorize" if !members.contains_key("issuer") => {
            // One under which conditions may be optional.
            drop(members.insert("requires".into(), json!({"allow_missing": {}})))
        }
        "path_template" => drop(members.insert("variable".into(), json!("a"))),
        "variable" => {
            members.clear();
            members.insert("path_template".into(), json!("/{a}"));
        }
        _ => {}
    }
    members.insert(field.into(), value);
}

/// A value for a required field.
fn sample(field: &str) -> Value {
    match field {
        "providers" => with_provider_fields(&json!({}))["providers"].clone(),
        "issuer" => json!("https://idp.example.com"),
        "audiences" => json!(["orders-api"]),
        "http_uri" => json!({"uri": "https://idp.example.com/jwks", "cluster": "idp"}),
        "uri" => json!("https://idp.example.com/jwks"),
        "cluster" | "backend" => json!("idp"),
        "inline_string" => json!(
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"mXlAcwJGe599Calg3ytCDlPNFg0U03vfo5Ifvc1xoks"}]}"#
        ),
        "header_name" | "name" => json!("x-name"),
        "key" => json!("sub"),
        "regex" => json!("a+"),
        "match" => json!({"prefix": "/"}),
        "trusted_hops" => json!(1),
        "provider_name" => json!("corp"),
        "requirements" => json!([{"provider_name": "corp"}]),
        _ => panic!("tests/docs/reference.rs needs a sample for the required field `{field}`"),
    }
}

/// The place of a fault in the parser's message.
fn path(documented: &Documented, field: &str) -> String {
    let mut path = documented
        .place
        .join(".")
        .replace("[]", "[0]")
        .replace("<name>", "corp");
    if !path.is_empty() && !field.is_empty() {
        path.push('.');
    }
    path + field
}

/// Whether a message has these words, and not only the beginning of the last one.
fn says(message: &str, words: &str) -> bool {
    message
        .split_once(words)
        .is_some_and(|(_, rest)| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '.'))
}

fn is_refused(result: Result<Config, Box<ConfigError>>, path: &str, message: &str) {
    let error = result.map(drop).expect_err(&format!("{path}: accepted"));
    assert!(
        error.path == path && says(&error.problem.to_string(), message),
        "expected `{path}: {message}`, not `{error}`"
    );
}

fn check_type(reference: &Reference, documented: &Documented, row: &Row) {
    let (wrong, message) = match row.kind.as_str() {
        "boolean" => (json!([]), "expected true or false"),
        "string" => (json!([]), "expected a string"),
        "string or list" | "string or object" => (json!(7), "expected a string"),
        "whole number" => (json!([]), "expected a whole number"),
        "number" => (json!([]), "expected a number"),
        "duration" => (json!([]), "expected a duration"),
        "list" | "list of strings" => (json!(7), "expected a list"),
        "object" | "map" | "object or list" => (json!(7), "expected an object"),
        "scalar" => (json!([]), "expected a string, a number, true or false"),
        kind => panic!("{}: the type {kind:?}", row.field),
    };
    let path = path(documented, &row.field);
    is_refused(
        reference.with(documented, &row.field, Some(wrong)),
        &path,
        message,
    );
    if row.kind == "list of strings" {
        let numbers = reference.with(documented, &row.field, Some(json!([7])));
        is_refused(numbers, &format!("{path}[0]"), "expected a string");
    }
}

fn check_default(reference: &Reference, documented: &Documented, row: &Row) {
    let without = reference.with(documented, &row.field, None);
    if row.default == "required" {
        let message = format!("`{}` is missing", row.field);
        return is_refused(without, &path(documented, ""), &message);
    }
    let Some(default) = code(&row.default) else {
        return assert_eq!(row.default, "–", "{}", row.field);
    };
    let default = load_yaml(default).expect("YAML");
    let written = reference.with(documented, &row.field, Some(default));
    assert_eq!(
        meaning(without.expect("without the field")),
        meaning(written.expect("with the default")),
        "{}: its default is another",
        row.field
    );
}

/// Everything in a configuration but the texts for the operator, which show what is written.
fn meaning(mut config: Config) -> String {
    for condition in &mut config.conditions {
        condition.text = Box::default();
    }
    for provider in &mut config.providers {
        provider.claims.subjects_text = Box::default();
    }
    format!("{config:?}")
}

fn check_values(reference: &Reference, documented: &Documented, row: &Row) {
    let path = path(documented, &row.field);
    let with = |value: Value| reference.with(documented, &row.field, Some(value));
    if let Some((low, high)) = row.values.split_once(" to ") {
        let beyond = match row.kind.as_str() {
            "whole number" => json!(1_000_000_000_000_u64),
            "number" => json!(99),
            "duration" => json!("99999d"),
            "map" => json!({}),
            kind => panic!("{}: a range of {kind}", row.field),
        };
        is_refused(with(beyond), &path, &format!("from {low} to {high}"));
        for end in [low, high].iter().filter(|_| row.kind != "map") {
            let end = serde_json::from_str(end).unwrap_or_else(|_| json!(end));
            with(end).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    if let Some(most) = row.values.strip_prefix("at most ") {
        let most: usize = most.parse().expect("a number");
        let message = format!("must hold at most {most}");
        is_refused(with(json!(vec![Value::Null; most + 1])), &path, &message);
    }
    if row.values.contains("not empty") {
        let empty = if matches!(row.kind.as_str(), "string" | "string or object") {
            json!("")
        } else {
            json!([])
        };
        is_refused(with(empty), &path, "must not be empty");
    }
    if row.values.starts_with("begins with `/`") {
        is_refused(with(json!("a")), &path, "begins with `/`");
    }
    let allowed = codes(&row.values);
    let are_words = allowed
        .iter()
        .all(|word| word.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if are_words && !allowed.is_empty() && row.values == format!("`{}`", allowed.join("`, `")) {
        let is_list = row.kind == "list of strings";
        let wrapped = |word: &str| if is_list { json!([word]) } else { json!(word) };
        for word in &allowed {
            with(wrapped(word)).unwrap_or_else(|error| panic!("{error}"));
        }
        let path = if is_list { format!("{path}[0]") } else { path };
        let error = with(wrapped("nonsense-of-a-kind")).map(drop).expect_err(&path);
        let expected = format!(
            "{path}: `nonsense-of-a-kind` is not allowed here; allowed: {}",
            allowed.join(", ")
        );
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn every_row_says_what_the_parser_does() {
    let reference = Reference::read(&page("docs/configuration.md"));
    let mut checked = 0;
    for documented in &reference.0 {
        let least = reference.around(&documented.place, reference.least(&documented.place));
        parse(&least).unwrap_or_else(|error| panic!("{}: {error}", documented.place.join(".")));
        let names: BTreeSet<_> = documented.rows.iter().map(|row| &row.field).collect();
        assert_eq!(
            names.len(),
            documented.rows.len(),
            "{}: a row stands there twice",
            documented.place.join(".")
        );
        for row in &documented.rows {
            check_type(&reference, documented, row);
            check_default(&reference, documented, row);
            check_values(&reference, documented, row);
            checked += 1;
        }
    }
    assert!(checked >= 90, "only {checked} fields");
}

/// Objects that the page describes in words: an entry is a requirement and what goes beside it.
const WITHOUT_TABLE: &[&str] = &["requirement_map.<name>"];

#[test]
fn golden_tables_of_fields() {
    const PAGE: &str = "docs/configuration.md";
    let text = std::fs::read_to_string(root().join(PAGE)).expect("the page");
    let objects = declarations().all();
    let mut written = BTreeSet::new();
    let (mut found, mut heading) = (String::new(), String::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        found += line;
        found.push('\n');
        if let Some(name) = line.strip_prefix("### ") {
            heading = name.trim_matches('`').replace("Top level", "");
        }
        if line != format!("| {} |", COLUMNS.join(" | ")) {
            continue;
        }
        let object = objects.iter().find(|object| object.place == heading);
        let object =
            object.unwrap_or_else(|| panic!("a table of `{heading}`, which the filter does not read"));
        assert!(written.insert(object.place), "two tables of `{heading}`");
        found += lines.next().expect("the line below the columns");
        found.push('\n');
        while lines.next_if(|line| line.starts_with('|')).is_some() {}
        found += &object.rows();
    }
    let missing: Vec<_> = objects
        .iter()
        .map(|object| object.place)
        .filter(|place| !written.contains(place) && !WITHOUT_TABLE.contains(place))
        .collect();
    assert!(missing.is_empty(), "{PAGE} has no tables of {missing:?}");
    assert!(written.len() >= 40, "only {} tables", written.len());
    testkit::assert_golden(PAGE, &found);
}

#[test]
fn every_field_that_is_refused_on_purpose_says_why() {
    let page = page("docs/configuration.md");
    let table = page.tables_of(&["field", "of", "why"]).next().expect("the table");
    let reference = Reference::read(&page);
    let mut refused = 0;
    for row in &table.rows {
        let place: &[&str] = match row[1].trim_matches('`') {
            "local_jwks" => &["providers", "<name>", "local_jwks"],
            "nonce.secret" => &["providers", "<name>", "binding", "dpop", "nonce", "secret"],
            "requirements" => &["rules[]", "requires"],
            "string matchers" => &["providers", "<name>", "subjects"],
            "match" => &["rules[]", "match"],
            other => panic!("{other}"),
        };
        let place: Vec<String> = place.iter().map(|segment| (*segment).to_owned()).collect();
        for field in codes(&row[0]) {
            let mut object = json!({});
            object[field] = json!({});
            let error = parse(&reference.around(&place, object))
                .map(drop)
                .expect_err(field);
            let message = error.problem.to_string();
            assert!(
                error.path.ends_with(field) && !message.contains("unknown field"),
                "{field}: {error}"
            );
            refused += 1;
        }
    }
    assert!(refused >= 10, "only {refused}");
}

#[test]
fn every_spelling_of_a_duration_means_the_same() {
    let page = page("docs/configuration.md");
    let table = page.tables.iter().find(|table| table.heading == "Durations");
    let with = |duration: Value| {
        let uri = sample("http_uri");
        let config =
            with_provider_fields(&json!({"remote_jwks": {"http_uri": uri, "cache_duration": duration}}));
        format!("{:?}", parse(&config).unwrap_or_else(|error| panic!("{error}")))
    };
    let expected = with(json!("600s"));
    let rows = &table.expect("the table").rows;
    for row in rows {
        let spelling = load_yaml(code(&row[0]).expect("a spelling")).expect("YAML");
        assert_eq!(with(spelling), expected, "{}", row[0]);
    }
    assert!(rows.len() >= 5);
}

#[test]
fn every_field_has_its_other_spelling_too() {
    let config = json!({
        "providers": {"corp": {
            "issuer": "https://idp.example.com",
            "audiences": "orders-api",
            "remoteJwks": {"httpUri": sample("http_uri"), "cacheDuration": "60s"},
        }},
        "statPrefix": "edge",
    });
    parse(&config).unwrap_or_else(|error| panic!("{error}"));
    let mut twice = config;
    twice["stat_prefix"] = json!("edge");
    is_refused(parse(&twice), "stat_prefix", "given twice");
}
