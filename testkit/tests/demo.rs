//! The demo as `make` calls it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

fn demo(key_dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command
        .env("DEMO_KEY_DIR", key_dir)
        .args(args)
        .output()
        .expect("the demo runs")
}

fn token(key_dir: &Path, args: &[&str]) -> (Value, Value) {
    let output = demo(key_dir, &[&["token"], args].concat());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("text");
    let token = text.strip_suffix('\n').expect("a line");
    let parts: Vec<_> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "one token and nothing else");
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url");
    let json = |part| serde_json::from_slice(&decode(part)).expect("JSON");
    (json(parts[0]), json(parts[1]))
}

#[test]
fn tokens_are_signed_with_one_key_that_only_its_owner_may_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = dir.path().join("new/keys");
    let (header, claims) = token(&keys, &[]);
    assert_eq!(
        (&claims["sub"], &claims["aud"]),
        (&"alice".into(), &"orders-api".into())
    );
    let (again, claims) = token(
        &keys,
        &[
            "--sub",
            "bob",
            "--expires-in",
            "-5",
            "--claim",
            "roles=[1]",
            "--scope",
            "a b",
        ],
    );
    assert_eq!(again["kid"], header["kid"]);
    assert_eq!((&claims["sub"], &claims["scope"]), (&"bob".into(), &"a b".into()));
    assert_eq!(claims["roles"], serde_json::json!([1]));
    assert!(claims["exp"].as_i64() < claims["iat"].as_i64());
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&keys), mode(&keys.join("signing-key.pem"))), (0o700, 0o600));
    assert_eq!(
        fs::read_dir(&keys).expect("a directory").count(),
        1,
        "nothing is left beside the key"
    );
}

#[test]
fn the_walk_goes_as_expected_and_shows_no_token() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = demo(dir.path(), &["walk"]);
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{text}{errors}");
    let last = text.lines().last().expect("a summary");
    assert!(
        last.contains("steps, ") && last.ends_with(" as expected"),
        "{last}"
    );
    assert!(!text.contains("eyJ"), "a token, or a part of one, was shown");
    assert!(!text.contains('\x1b'), "colours where nobody looks");
}
