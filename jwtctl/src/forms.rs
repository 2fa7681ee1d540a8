//! A request and its time, in the forms in which people have them: a URL, a curl command, a line of an access
//! log.

mod curl;
mod log_line;
mod shell;
mod time;
mod url;

pub(crate) use self::curl::from_curl;
use self::curl::is_curl;
pub(crate) use self::log_line::from_log_line;
use self::log_line::is_status;
pub(crate) use self::shell::Variables;
pub(crate) use self::time::parse_time;
pub(crate) use self::url::{add_header, from_url};
use crate::core::{self, Config, Request, UnixTime};

/// The parts of a request besides its method, its URL and its headers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around {
    /// The token, for a location in which the configuration looks.
    pub(crate) token: Option<String>,
    /// A proof of possession (RFC 9449).
    pub(crate) dpop: Option<String>,
    /// SHA-256 of the client's certificate in hexadecimal digits, perhaps with colons.
    pub(crate) certificate: Option<String>,
    pub(crate) address: Option<String>,
    /// The requirement that the route's metadata names.
    pub(crate) requirement: Option<String>,
    pub(crate) filter_state: Option<String>,
}

impl Around {
    pub(crate) fn put(self, config: &Config, request: &mut Request) {
        if let Some(token) = &self.token {
            core::put_token(config, request, bare(token), self.dpop.is_some());
        }
        if let Some(proof) = &self.dpop {
            let field = ("dpop".to_owned(), bare(proof).as_bytes().to_vec());
            request.headers.push(field);
        }
        request.peer_certificate = self
            .certificate
            .map(|hash| hash.replace(':', "").to_ascii_lowercase());
        request.source_address = self.address;
        request.route_requirement = self.requirement;
        request.filter_state = self.filter_state;
    }
}

/// A token without the text that people copy with it, such as quotes.
pub(crate) fn bare(token: &str) -> &str {
    let token = token.trim();
    token.strip_prefix("Bearer ").unwrap_or(token)
}

/// A request in any of these forms: a curl command, a line of an access log, or a method and a URL, with
/// header fields on the lines that follow.
pub(crate) fn from_text(text: &str, variables: Variables<'_>) -> Result<(Request, Option<UnixTime>), String> {
    let text = text.trim();
    let is_plain_log_line =
        text.split_whitespace().nth(2).is_some_and(is_status) && text.lines().count() == 1;
    if text.starts_with(['[', '{']) || is_plain_log_line {
        return from_log_line(text);
    }
    if is_curl(text) {
        return Ok((from_curl(text, variables)?, None));
    }
    let mut lines = text.lines();
    let mut words = lines.next().unwrap_or_default().split_whitespace();
    let (method, url) = match (words.next(), words.next(), words.next(), words.next()) {
        (None, ..) => return Err("there is no request; write a URL, or a curl command".to_owned()),
        (Some(url), None, ..) => (None, url),
        // As browsers and servers write the first line of a request.
        (Some(method), Some(url), None | Some("HTTP/1.0" | "HTTP/1.1" | "HTTP/2" | "HTTP/3"), None) => {
            (Some(method), url)
        }
        _ => return Err("the first line is a URL, or a method and a URL".to_owned()),
    };
    let mut request = from_url(url)?;
    if let Some(method) = method {
        method.clone_into(&mut request.method);
    }
    for line in lines.map(str::trim) {
        // The body, which the filter does not read, follows an empty line.
        if line.is_empty() {
            break;
        }
        add_header(&mut request, line)?;
    }
    Ok((request, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(name: &str) -> Result<String, String> {
        Err(format!("no {name}"))
    }

    #[test]
    fn variables_are_read_as_a_shell_does() {
        let variables = |name: &str| match name {
            "TOKEN" => Ok("a.b.c".to_owned()),
            "HOST_1" => Ok("api.example".to_owned()),
            name => none(name),
        };
        let read = |command: &str| {
            from_curl(command, &variables).map(|request| {
                let header = request
                    .headers
                    .first()
                    .map(|(_, value)| String::from_utf8_lossy(value).into_owned());
                (request.authority, request.target, header.unwrap_or_default())
            })
        };
        let wanted = |header: &str| Ok(("api.example".to_owned(), "/p".to_owned(), header.to_owned()));
        for (command, header) in [
            (
                "curl https://api.example/p -H \"authorization: Bearer $TOKEN\"",
                "Bearer a.b.c",
            ),
            (
                "curl https://api.example/p -H \"authorization: Bearer ${TOKEN}\"",
                "Bearer a.b.c",
            ),
            ("curl https://$HOST_1/p -H authorization:$TOKEN", "a.b.c"),
            ("curl ${HOST_1}/p --oauth2-bearer ${TOKEN}", "Bearer a.b.c"),
            ("curl api.example/p -H 'x: $TOKEN'", "$TOKEN"),
            ("curl api.example/p -H \"x: \\$TOKEN $ $1 5$\"", "$TOKEN $ $1 5$"),
            ("curl.exe api.example/p ^\n -H \"x: $TOKEN\"", "$TOKEN"),
        ] {
            assert_eq!(read(command), wanted(header), "{command}");
        }
        for (command, fault) in [
            ("curl api.example/p -H \"x: $ELSE\"", "no ELSE"),
            ("curl api.example/p?$filter=x", "no filter"),
            ("curl api.example/p -H \"x: ${TOKEN:-x}\"", "not `${TOKEN…`"),
            ("curl api.example/p -H \"x: ${}\"", "not `${…`"),
            ("curl api.example/p -H \"x: $(cat token)\"", "`$(…)`"),
            ("curl api.example/p -H x:$(cat token)", "`$(…)`"),
        ] {
            let found = read(command).expect_err(command);
            assert!(found.contains(fault), "{command}: {found}");
        }
    }

    #[test]
    fn curl_commands_are_read_as_a_shell_does() {
        let command = "curl 'https://api.example.com:8443/orders?x=1#y' \\\n  -H 'X-A: it'\\''s' -H \"authorization: Bearer \\\"a\\\"\" \
                       --compressed -s -o /dev/null -b 'session=1' --data-raw '{}'";
        let request = from_curl(command, &none).expect("a request");
        assert_eq!((&*request.method, &*request.target), ("POST", "/orders?x=1"));
        assert_eq!(request.authority, "api.example.com:8443");
        let headers: Vec<(&str, &[u8])> = request
            .headers
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(
            headers,
            [
                ("x-a", &b"it's"[..]),
                ("authorization", b"Bearer \"a\""),
                ("cookie", b"session=1")
            ]
        );
        let request = from_curl("curl -G -d a=b -XGET http://x/p", &none).expect("a request");
        assert_eq!(
            (&*request.method, &*request.target, &*request.scheme),
            ("GET", "/p?a=b", "http")
        );
        let request = from_curl(
            "curl.exe -sSX DELETE -kiH 'X-A: b' --max-redirs 3 https://a.example/p -u me:secret",
            &none,
        )
        .expect("a request");
        assert_eq!((&*request.method, &*request.target), ("DELETE", "/p"));
        assert_eq!(request.headers.len(), 2);
        let request = from_curl(
            "curl -sI -b jar -H 'X-Empty;' -H 'Accept:' https://a.example",
            &none,
        )
        .expect("a request");
        assert_eq!(
            (&*request.method, request.headers),
            ("HEAD", vec![("x-empty".to_owned(), Vec::new())])
        );
        for (command, authority, target) in [
            ("curl a.example/p", "a.example", "/p"),
            ("curl localhost:8080", "localhost:8080", "/"),
            ("curl -s https://a.example/p; true", "a.example", "/p"),
            ("curl https://a.example/p|jq .x", "a.example", "/p"),
            ("curl a.example/p && curl https://b.example/q", "a.example", "/p"),
            ("curl a.example/p > /tmp/x 2>&1 -s", "a.example", "/p"),
            (
                "curl 2>/dev/null a.example/p?x=1&y=2;z",
                "a.example",
                "/p?x=1&y=2;z",
            ),
            ("curl 'https://a.example/p?x=a|b;'", "a.example", "/p?x=a|b;"),
            (
                "curl -G a.example/p --data-urlencode 'q=a b&c'",
                "a.example",
                "/p?q=a%20b%26c",
            ),
            (
                "curl a.example/p --url-query 'q=/x' --url-query +r=/y",
                "a.example",
                "/p?q=%2Fx&r=/y",
            ),
        ] {
            let request = from_curl(command, &none).expect("a request");
            assert_eq!(
                (&*request.authority, &*request.target),
                (authority, target),
                "{command}"
            );
        }
        assert!(from_curl("curl -H", &none).is_err());
        assert!(from_curl("curl 'a", &none).is_err());
        assert!(from_curl("curl -s", &none).is_err());
    }

    #[test]
    fn curl_commands_are_read_as_browsers_copy_them() {
        let wanted = |command: &str, target: &str, headers: &[(&str, &str)]| {
            let request = from_curl(command, &none).unwrap_or_else(|fault| panic!("{fault}: {command}"));
            let found: Vec<(&str, &str)> = request
                .headers
                .iter()
                .map(|(name, value)| (&**name, std::str::from_utf8(value).expect("UTF-8")))
                .collect();
            assert_eq!(
                (&*request.method, &*request.target),
                ("POST", target),
                "{command}"
            );
            assert_eq!(request.authority, "a.example", "{command}");
            assert_eq!(found, headers, "{command}");
        };
        let headers = [("x-note", "it's 100% \"fine\" & ü!"), ("cookie", "a=1; b=2")];
        // For a POSIX shell.
        wanted(
            "curl 'https://a.example/x?q=%20&y=1' \\\n  -H $'X-Note: it\\'s 100% \"fine\" & \\u00fc\\u0021' \\\n  -b 'a=1; b=2' \\\n  \
             --data-raw $'{\"a\":\"it\\'s\\n\"}' --compressed",
            "/x?q=%20&y=1",
            &headers,
        );
        // For cmd.exe, the newer form and the older one.
        wanted(
            "curl ^\"https://a.example/x?q=^%^20^&y=1^\" ^\r\n  -H ^\"X-Note: it's 100^% ^\\^\"fine^\\^\" ^& ü^!^\" ^\r\n  \
             -b ^\"a=1; b=2^\" ^\r\n  --data-raw ^\"^{^\\^\"a^\\^\":1^}^\" --compressed",
            "/x?q=%20&y=1",
            &headers,
        );
        wanted(
            "curl \"https://a.example/x?y=^1\" ^\r\n  -H \"X-Note: it's\" ^\r\n  --data-raw \"{\\\"a\\\":1}\" ^\r\n  --compressed",
            "/x?y=^1",
            &[("x-note", "it's")],
        );
    }

    #[test]
    fn requests_are_read_in_every_form() {
        let form = |text: &str| {
            from_text(text, &none).map(|(request, _)| (request.method, request.authority, request.target))
        };
        let of = |method: &str, authority: &str, target: &str| {
            Ok((method.to_owned(), authority.to_owned(), target.to_owned()))
        };
        assert_eq!(form("https://a.example/x?y"), of("GET", "a.example", "/x?y"));
        assert_eq!(
            form(" DELETE /x\nHost: b\n\nbody without a colon"),
            of("DELETE", "b", "/x")
        );
        assert_eq!(form("POST /x HTTP/1.1\r\nhost: b\r\n"), of("POST", "b", "/x"));
        assert_eq!(
            form("curl -X PUT https://a.example/x"),
            of("PUT", "a.example", "/x")
        );
        assert_eq!(
            form("{\"method\": \"PUT\", \"path\": \"/x\"}"),
            of("PUT", "example.com", "/x")
        );
        for text in [
            "",
            "\n",
            "GET",
            "GET /x y",
            "GET /x HTTP/1.1 y",
            "/x\nno header",
            "{}",
            "[x",
        ] {
            let read = form(text);
            // A word alone is a path, as it is for `jwtctl explain`.
            assert!(read.is_err() || text == "GET", "{text}: {read:?}");
        }
    }

    #[test]
    fn lines_of_the_access_log_are_read() {
        let line = "[2026-01-31T12:00:00.123Z] \"POST /api/v1 HTTP/2\" 401 - 154 0 226 100 \"10.0.35.28\" \"agent/1\" \"id\" \
                    \"api.example.com\" \"10.0.2.1:80\"";
        let (request, time) = from_log_line(line).expect("a request");
        assert_eq!(
            (&*request.method, &*request.target, &*request.authority),
            ("POST", "/api/v1", "api.example.com")
        );
        assert_eq!(time, Some(UnixTime::from_secs(1_769_860_800)));
        let line = r#"{"time":"2026-01-31T12:00:00Z","method":"GET","path":"/x","status":401}"#;
        let (request, _) = from_log_line(line).expect("a request");
        assert_eq!((&*request.method, &*request.target), ("GET", "/x"));
        assert!(from_log_line("x").is_err());
    }
}
