//! The tables of decisions for paths and claims, compared with the engine.

use std::rc::Rc;

use proxy_wasm_jwt::authenticator::{Authenticator, Decision, StreamId};
use proxy_wasm_jwt::policy::RequestPath;
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::store::InMemoryStore;
use proxy_wasm_jwt::time::UnixTime;
use serde_json::json;
use testkit::{Algorithm, SigningKey, Token};

use crate::examples::{parse, with_provider_fields};
use crate::markdown::{code, page};

#[test]
fn paths_that_are_called_not_canonical_are_not() {
    let page = page("docs/configuration.md");
    let table = page
        .tables_of(&["path", "why"])
        .next()
        .expect("the table of paths");
    for row in &table.rows {
        let path = code(&row[0]).expect("a path");
        assert!(!RequestPath::new(path.as_bytes()).is_canonical(), "{path}");
    }
    assert!(table.rows.len() >= 8);
    for path in ["/healthz", "/.well-known", "/...", "/..a", "/a%20b", "/a;v=1"] {
        assert!(RequestPath::new(path.as_bytes()).is_canonical(), "{path}");
    }
}

#[test]
fn paths_that_are_called_another_spelling_are_read_so() {
    let page =
        std::fs::read_to_string(testkit::workspace_root().join("docs/configuration.md")).expect("the page");
    let section = page.split("### Ambiguous paths").nth(1).expect("the section");
    let (_, examples) = section.split_once("for each of these: ").expect("the examples");
    let (examples, _) = examples.split_once(". The filter").expect("their end");
    let spellings: Vec<&str> = examples.split('`').skip(1).step_by(2).collect();
    for spelling in &spellings {
        let interpretations = RequestPath::new(spelling.as_bytes())
            .interpretations()
            .expect("few interpretations");
        assert!(
            interpretations
                .iter()
                .any(|interpretation| interpretation == b"/orders"),
            "{spelling}: {interpretations:?}"
        );
    }
    assert!(spellings.len() >= 5);
}

#[test]
fn claims_become_the_documented_headers() {
    let page = page("docs/configuration.md");
    let table = page.tables.iter().find(|table| table.heading == "Formats");
    let table = table.expect("the table of formats");
    let formats: Vec<_> = table.columns[1..]
        .iter()
        .map(|column| code(column).expect("a format"))
        .collect();
    let key = SigningKey::generate(Algorithm::EdDsa, Some("k"));
    let entries: Vec<_> = formats
        .iter()
        .map(|format| json!({"claim_name": "c", "header_name": format!("x-{format}"), "format": format}))
        .collect();
    let config = with_provider_fields(&json!({
        "local_jwks": {"inline_string": testkit::jwks(&[&key]).to_string()},
        "claim_to_headers": entries,
    }));
    let config = Rc::new(parse(&config).unwrap_or_else(|error| panic!("{error}")));
    let now = u64::try_from(testkit::unix_now()).expect("a time after the epoch");
    for row in &table.rows {
        let claim = code(&row[0]).expect("a claim");
        // The claim is text, so that no library on the way to the token parses and rewrites it.
        let payload = format!(
            r#"{{"iss":"https://idp.example.com","aud":"orders-api","exp":{},"c":{claim}}}"#,
            now + 600
        );
        let token = Token::new(&key).raw_payload(payload.as_bytes()).mint();
        let mut request = RequestHead::new();
        let field = config.wanted.find(b"authorization").expect("the default place");
        request.push(field, format!("Bearer {token}").into_bytes());
        let mut engine = Authenticator::new(config.clone(), 1);
        let decision = engine.handle_request(
            StreamId(1),
            &mut request,
            &(),
            UnixTime::from_secs(now),
            &InMemoryStore::default(),
        );
        let Decision::Allow(forward) = decision else {
            panic!("{claim}: {decision:?}");
        };
        for (cell, format) in row[1..].iter().zip(&formats) {
            let edit = forward
                .edits
                .iter()
                .find(|edit| *edit.name == format!("x-{format}"));
            let seen = edit
                .and_then(|edit| edit.value.as_deref())
                .map(|value| String::from_utf8_lossy(value));
            assert_eq!(seen.as_deref(), code(cell), "{claim} as {format}");
            assert!(cell == "none" || code(cell).is_some(), "{cell}");
        }
    }
    assert!(table.rows.len() >= 8);
}
