//! Findings as SARIF 2.1.0.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Finding;
use crate::source::line_and_column;

/// The findings as SARIF 2.1.0, for code scanning.
pub(crate) fn to_sarif(findings: &[Finding], rules: &[(&'static str, &'static str)]) -> Value {
    let results: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let (line, column) = line_and_column(&finding.file.text, finding.place.start);
            let (end_line, end_column) = line_and_column(&finding.file.text, finding.place.end);
            let mut message = finding.message.clone();
            if let Some(help) = &finding.help {
                let _ = write!(message, "\n{help}");
            }
            json!({
                "ruleId": finding.code,
                "level": finding.level.name(),
                "message": {"text": message},
                "locations": [{
                    "physicalLocation": {
                        "artifactLocation": {"uri": uri(&finding.file.name)},
                        "region": {
                            "startLine": line,
                            "startColumn": column,
                            "endLine": end_line,
                            "endColumn": end_column,
                        },
                    },
                }],
            })
        })
        .collect();
    let rules: Vec<Value> = rules
        .iter()
        .map(|(code, what)| json!({"id": code, "shortDescription": {"text": what}}))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "jwtctl",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A file's name as a URI: a relative reference, or `file:` for an absolute path.
fn uri(name: &str) -> String {
    let mut uri = match name.starts_with('/') {
        true => "file://".to_owned(),
        false => String::new(),
    };
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            byte => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_file_is_a_uri() {
        assert_eq!(uri("envoy/a b#%.yaml"), "envoy/a%20b%23%25.yaml");
        // A relative reference must not begin with a slash.
        assert_eq!(uri("/etc/envoy.yaml"), "file:///etc/envoy.yaml");
    }
}
