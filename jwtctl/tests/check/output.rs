//! What `check` prints, and its exit code.

use super::PROVIDERS;
use crate::common::{Folder, jwtctl, jwtctl_with};
use serde_json::Value;

#[test]
fn exit_codes_are_conventional() {
    let folder = Folder::new("check");
    let good = folder.write("good.yaml", PROVIDERS);
    let weak = folder.write("weak.yaml", &PROVIDERS.replace("[a]", "['*']"));
    let bad = folder.write("bad.yaml", "providers: {}");
    assert_eq!(jwtctl(&["check", &good]).code, 0);
    assert_eq!(jwtctl(&["check", &weak]).code, 0);
    assert_eq!(jwtctl(&["check", "--deny", "warnings", &weak]).code, 1);
    // Hidden findings still count for the exit code.
    assert_eq!(
        jwtctl(&["check", "--deny", "warnings", "--level", "error", &weak]).code,
        1
    );
    assert_eq!(jwtctl(&["check", &good, &bad]).code, 1);
    assert_eq!(jwtctl(&["check", &folder.path("absent.yaml")]).code, 2);
    assert_eq!(jwtctl(&["check"]).code, 2);
    assert_eq!(jwtctl(&["check", "--deny", "what", &good]).code, 2);
    assert_eq!(jwtctl_with(&["check", "-"], "a: [").code, 1);
    assert_eq!(jwtctl_with(&["check", "-"], "").code, 1);
    assert_eq!(
        jwtctl_with(&["check", "-"], "kind: Service\napiVersion: v1\n").code,
        1
    );
}

#[test]
fn sarif_and_json_name_the_same_places() {
    let bad = "providers: {corp: {issuer: x, audiences: [a], discovery: {cluster: idp}, é: 1, zz: 2}}";
    let json = jwtctl_with(&["check", "--output", "json", "-"], bad);
    let sarif = jwtctl_with(&["check", "--output", "sarif", "-"], bad).json();
    let results = sarif["runs"][0]["results"].as_array().expect("results").clone();
    let places: Vec<(String, String, u64)> = results
        .iter()
        .map(|result| {
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let region = &result["locations"][0]["physicalLocation"]["region"];
            (
                text(&result["level"]),
                text(&result["ruleId"]),
                region["startLine"].as_u64().expect("a line"),
            )
        })
        .collect();
    assert_eq!(places, json.findings());
    assert_eq!(sarif["version"], "2.1.0");
    let known: Vec<&str> = sarif["runs"][0]["tool"]["driver"]["rules"]
        .as_array()
        .expect("rules")
        .iter()
        .filter_map(|rule| rule["id"].as_str())
        .collect();
    for (_, code, _) in &places {
        assert!(known.contains(&code.as_str()), "{code}");
    }
    // Columns count characters.
    let columns: Vec<u64> = json.json()["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter_map(|f| f["column"].as_u64())
        .collect();
    assert!(columns.contains(&80), "{columns:?}");
}

#[test]
fn sarif_follows_its_schema() {
    let files = [
        "providers: {corp: {issuer: x, audiences: [a], discovery: {cluster: idp}, zz: 2}}",
        "providers: {corp: {issuer: 'https://a.example', audiences: [a], discovery: {cluster: idp}}}\nrules: [{match: {prefix: /health}}, {match: {path: /healthz}}]",
        "providers: {corp: {issuer: 'https://a.example', audiences: [a], discovery: {cluster: idp}}}\nrules: [{match: {prefix: /}, requires: {provider_name: corp}}]",
        "a: [",
        "kind: Service",
    ];
    for text in files {
        let sarif = jwtctl_with(&["check", "--output", "sarif", "-"], text).json();
        // Unknown members and values are errors, or would be missing afterwards.
        let read: serde_sarif::sarif::Sarif =
            serde_json::from_value(sarif.clone()).unwrap_or_else(|error| panic!("{error}: {sarif:#}"));
        assert_eq!(serde_json::to_value(&read).expect("JSON"), sarif, "{text}");
        let results = read.runs[0].results.as_ref().expect("results");
        for result in results {
            let location = &result.locations.as_ref().expect("a place")[0];
            let physical = location.physical_location.as_ref().expect("a place in a file");
            let region = physical.region.as_ref().expect("a region");
            assert!(
                region.start_line >= Some(1) && region.start_column >= Some(1),
                "{sarif:#}"
            );
            assert!(region.end_line >= region.start_line, "{sarif:#}");
        }
    }
}

#[test]
fn what_a_file_says_does_not_drive_the_terminal() {
    let text = "providers: {corp: {\"a\\e[31mb\": 1}}\n# \u{1b}[31m\nx\u{7}: 1\n";
    let ran = jwtctl_with(&["check", "-"], text);
    assert!(!ran.out.contains(['\u{1b}', '\u{7}']), "{:?}", ran.out);
    assert!(!ran.err.contains('\u{1b}'));
}

#[test]
fn hostile_documents_end_soon() {
    for text in [
        "[".repeat(100_000),
        "a: ".repeat(10_000),
        "? ".repeat(10_000),
        "{".repeat(50_000),
        "- ".repeat(50_000),
    ] {
        let ran = jwtctl_with(&["check", "-"], &text);
        assert!(ran.code == 1 || ran.code == 2, "{ran:?}");
    }
}
