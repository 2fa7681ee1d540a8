//! The forms in which people have a request: curl commands and lines of an access log.

use super::*;

#[test]
fn requests_come_as_curl_commands_and_as_log_lines() {
    let world = World::new("forms");
    let token = world.token().mint();
    let command =
        format!("curl 'https://api.example.com/orders?x=1' -X DELETE -H 'Authorization: Bearer {token}'");
    let ran = jwtctl(&[
        "explain",
        &world.config,
        "--keys",
        &world.keys,
        "--output",
        "json",
        "--curl",
        &command,
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    hides(&ran, &token);
    assert_eq!(
        ran.json()["request"],
        json!({"method": "DELETE", "target": "/orders?x=1", "authority": "api.example.com"})
    );
    let line = "[2026-01-31T12:00:00.000Z] \"GET /healthz HTTP/1.1\" 200 - 0 0 1 - \"-\" \"a\" \"b\" \"h.example.com\" \"-\"";
    let ran = jwtctl(&["explain", &world.config, "--output", "json", "--log-line", line]);
    assert_eq!(
        (ran.code, &ran.json()["time"]),
        (0, &json!("2026-01-31T12:00:00Z"))
    );
    // As envoy/envoy.yaml and envoy/access-log.yaml write it.
    for line in [
        "DELETE /healthz?x=1 401 jwt_token_missing token_missing",
        "DELETE /healthz?x=1 200 via_upstream -\n",
        r#"{"time":"2026-01-31T12:00:00.000Z","method":"DELETE","path":"/healthz?x=1","status":401,"reason":null}"#,
    ] {
        let ran = jwtctl(&["explain", &world.config, "--output", "json", "--log-line", line]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(ran.json()["request"]["method"], "DELETE", "{ran:?}");
        assert_eq!(ran.json()["request"]["target"], "/healthz?x=1", "{ran:?}");
    }
    // A log without paths does not say which rule applied.
    let ran = jwtctl(&[
        "explain",
        &world.config,
        "--log-line",
        "POST 401 jwt_token_missing token_missing",
    ]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("no path"), "{ran:?}");
    for (arguments, code) in [
        (vec!["explain", &world.config], 2),
        (vec!["explain", &world.config, "/", "--time", "tomorrow"], 2),
        (vec!["explain", &world.config, "/", "--keys", "/absent"], 2),
        (vec!["explain", &world.config, "/", "--keys", &world.config], 2),
        (vec!["explain", &world.config, "/", "--keys", "nobody=/absent"], 2),
        (vec!["explain", "/absent", "/"], 2),
        (vec!["explain", &world.config, "/", "-H", "x"], 2),
    ] {
        let ran = jwtctl(&arguments);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(!ran.err.is_empty() && !ran.err.contains("panicked"), "{ran:?}");
    }
}

/// The operators of a log format, as Envoy would fill them in.
fn logged(format: &str) -> String {
    [
        ("%REQ(:METHOD)%", "DELETE"),
        ("%REQ(:PATH)%", "/healthz?x=1"),
        ("%PATH(NQ)%", "/healthz"),
        ("%RESPONSE_CODE%", "401"),
        ("%RESPONSE_CODE_DETAILS%", "jwt_token_missing"),
        ("%FILTER_STATE(wasm.jwt.reason:PLAIN)%", "token_missing"),
        ("%FILTER_STATE(wasm.jwt.decision:PLAIN)%", "denied"),
        ("\\n", "\n"),
    ]
    .into_iter()
    .fold(format.to_owned(), |line, (operator, value)| {
        line.replace(operator, value)
    })
}

#[test]
fn lines_in_the_log_format_of_each_shipped_configuration_are_read() {
    let world = World::new("formats");
    let mut formats = 0;
    for folder in ["envoy", "envoy/issuers"] {
        for entry in std::fs::read_dir(common::root().join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|ending| ending != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a file");
            for format in text
                .lines()
                .filter_map(|line| line.trim().strip_prefix("inline_string: \"%REQ(:METHOD)%"))
            {
                formats += 1;
                let line = logged(&format!("%REQ(:METHOD)%{}", format.trim_end_matches('"')));
                let ran = jwtctl(&["explain", &world.config, "--output", "json", "--log-line", &line]);
                assert_eq!(ran.code, 0, "{}: {line} {ran:?}", path.display());
                let target = ran.json()["request"]["target"].to_string();
                assert!(target.contains("/healthz"), "{}: {ran:?}", path.display());
            }
        }
    }
    assert!(formats >= 7, "{formats} formats");
}

#[test]
fn a_curl_command_may_have_variables_of_the_shell() {
    let world = World::new("variables");
    let token = world.token().mint();
    let signature = token.rsplit('.').next().expect("a signature");
    let run = |command: &str, variables: &[(&str, &str)]| {
        let arguments = ["explain", &world.config, "--keys", &world.keys, "--curl", command];
        let ran = jwtctl_in(&arguments, "", variables);
        for text in [&ran.out, &ran.err] {
            assert!(!text.contains(signature), "{command}: {text}");
        }
        ran
    };
    for command in [
        "curl https://api.example.com/orders -H \"Authorization: Bearer $JWTCTL_TOKEN\"",
        "curl https://api.example.com/orders -H \"Authorization: Bearer ${JWTCTL_TOKEN}\"",
        "curl https://api.example.com/orders --oauth2-bearer $JWTCTL_TOKEN",
    ] {
        let ran = run(command, &[("JWTCTL_TOKEN", &token)]);
        assert_eq!(ran.code, 0, "{command}: {ran:?}");
        let ran = run(command, &[]);
        assert_eq!((ran.code, &*ran.out), (2, ""), "{command}");
        assert!(
            ran.err
                .contains("`JWTCTL_TOKEN`, which is not in the environment; `export JWTCTL_TOKEN`"),
            "{}",
            ran.err
        );
    }
    // A signature in other places, from a variable.
    for command in [
        "curl https://api.example.com/orders/$JWTCTL_TOKEN",
        "curl https://$JWTCTL_TOKEN/orders -b \"session=$JWTCTL_TOKEN; x=y\"",
        "curl -X $JWTCTL_TOKEN https://api.example.com/orders?access_token=$JWTCTL_TOKEN",
        "curl https://api.example.com/orders -H \"$JWTCTL_TOKEN\"",
        "curl https://api.example.com/orders -H \"x: ${JWTCTL_TOKEN:-$JWTCTL_TOKEN}\"",
        "curl https://api.example.com/orders -H \"$JWTCTL_TOKEN: x\" 'unclosed",
    ] {
        let ran = run(command, &[("JWTCTL_TOKEN", &token)]);
        assert_ne!(ran.code, 0, "{command}: {ran:?}");
    }
}
