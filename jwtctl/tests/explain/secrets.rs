//! No output contains a token or a signature.

use super::*;

/// Neither a signature nor a whole token is in what was printed.
pub(crate) fn hides(ran: &Ran, token: &str) {
    for shown in [&ran.out, &ran.err] {
        if token.len() >= 16 {
            assert!(!shown.contains(token), "{shown}");
        }
        if let Some((_, signature)) = token
            .rsplit_once('.')
            .filter(|(_, signature)| signature.len() >= 16)
        {
            assert!(!shown.contains(signature), "{shown}");
        }
    }
}

#[test]
fn tokens_are_hidden_wherever_they_are() {
    let world = World::new("hidden");
    let token = world.token().mint();
    let nested = Token::new(&world.key).claim("sub", "nested").mint();
    let encoded = nested.replace('.', "%2E");
    let outer = world.token().claim("act_token", nested.as_str()).mint();
    for (path, header) in [
        (
            format!("/orders?access_token={token}"),
            format!("x-token: {token}"),
        ),
        (
            format!("/orders?t={encoded}"),
            format!("x-forwarded-token: Bearer {nested}"),
        ),
        (format!("/{nested}"), format!("cookie: a={nested}")),
    ] {
        let ran = world.explain(&path, &outer, &["-H", &header]);
        for hidden in [&token, &nested, &encoded] {
            hides(&ran, hidden);
        }
    }
}

/// Each command with a token in each place in which people paste one, including wrong places.
#[test]
fn no_command_prints_a_token_or_a_signature() {
    let folder = Folder::new("explain-secrets");
    let key = folder.path("key.pem");
    assert_eq!(jwtctl(&["mint", "key", "ES256", "--out", &key]).code, 0);
    let token = jwtctl(&["mint", "token", "--key", &key, "--iss", "https://idp.example.com"]).out;
    let token = token.trim();
    let signature = token.rsplit('.').next().expect("a signature");
    let config = folder.write("config.json", &config().to_string());
    let parameter = format!("/x?access_token={token}&other={token}");
    let header = format!("authorization Bearer {token}");
    let path = format!("/{token}");
    let file = format!("@{token}");
    let log_line = format!("{{\"path\": \"{parameter}\"}}");
    let broken_line = format!("[{token}] \"GET /x\"");
    let curl =
        format!("curl 'https://a.example{parameter}' -b 'c={token}; d={token}x' -H 'x: Basic {token}'");
    let broken_curl = format!("curl https://a.example/x -H '{header}'");
    let issuer = format!("http://127.0.0.1:1/{token}");
    let tests = folder.write(
        "tests.yaml",
        &format!(
            "config: config.json\ntests:\n\
             - {{request: GET /x, token: {token}, expect: {{upstream: {{authorization: x}}}}}}\n\
             - {{request: {{path: /healthz, headers: {{authorization: 'Bearer {token}'}}}}, expect: {{upstream: {{authorization: x}}}}}}\n\
             - {{request: 'GET {parameter}', expect: refused}}\n"
        ),
    );
    let broken_tests = folder.write(
        "broken.yaml",
        &format!(
            "config: config.json\ntests:\n- {{request: GET /x, token: {{{token}: 1}}, expect: {token}}}\n"
        ),
    );
    let broken_config = folder.write(
        "broken-config.yaml",
        &format!(
            "providers: {{{token}: {{issuer: {token}, {token}: 1, from_headers: [{{name: '{token}'}}]}}}}\n"
        ),
    );
    let policy = folder.write(
        "policy.yaml",
        &format!("kind: SecurityPolicy\nspec: {{{token}: {{}}, jwt: {{providers: []}}}}\n"),
    );
    let explain = |more: &[&str]| [&["explain", &config], more].concat().join("\u{1f}");
    let commands = [
        explain(&["/x", "--token", token]),
        explain(&["/x", "--token", token, "--brief"]),
        explain(&["/x", "--token", &file]),
        explain(&["/x", "--token", token, "--dpop", token]),
        explain(&["/x", "-H", &header]),
        explain(&["/x", "-X", token]),
        explain(&["/x", "--time", token]),
        explain(&["/x", "--requirement", token]),
        explain(&["/x", "--keys", token]),
        explain(&["/x", "--certificate", token]),
        explain(&["/x", "--address", token]),
        explain(&[&parameter]),
        explain(&[&path]),
        explain(&["--log-line", &log_line]),
        explain(&["--log-line", &broken_line]),
        explain(&["--curl", &curl]),
        explain(&["--curl", &broken_curl]),
        ["route", &config, &parameter, &path].join("\u{1f}"),
        ["route", &config, "-X", token, "/x"].join("\u{1f}"),
        ["diff", &config, token].join("\u{1f}"),
        ["test", &tests].join("\u{1f}"),
        ["test", &broken_tests].join("\u{1f}"),
        ["check", &broken_config].join("\u{1f}"),
        ["check", token].join("\u{1f}"),
        ["convert", &policy].join("\u{1f}"),
        ["issuer", &issuer].join("\u{1f}"),
    ];
    for command in &commands {
        let arguments: Vec<&str> = command.split('\u{1f}').collect();
        let outputs: &[&[&str]] = match arguments[0] {
            "check" => &[&[], &["--output", "json"], &["--output", "sarif"]],
            "test" => &[&[], &["--output", "json"], &["--output", "junit"]],
            "convert" => &[&[], &["--findings", "json"]],
            "explain" | "route" | "issuer" => &[&[], &["--output", "json"]],
            _ => &[&[]],
        };
        for output in outputs {
            let ran = jwtctl(&[&arguments[..], *output].concat());
            for text in [&ran.out, &ran.err] {
                assert!(!text.contains(signature), "{arguments:?} {output:?}\n{text}");
            }
            assert!(!ran.out.is_empty() || !ran.err.is_empty(), "{arguments:?}");
        }
    }
}
