//! A curl command in the form in which browsers and shells write it.

use super::shell::{Variables, is_for_windows, without_carets, words};
use super::url::{add_header, from_url};
use crate::core::Request;

/// Options of curl of one letter that take no value.
const FLAGS: &str = "#0123468BGIJLMNORSVZafghijklnpqsv";

/// Long options of curl with a value that does not matter here. Each other one is taken for a flag.
const IGNORED: [&str; 48] = [
    "--abstract-unix-socket",
    "--aws-sigv4",
    "--cacert",
    "--capath",
    "--cert",
    "--cert-type",
    "--ciphers",
    "--connect-timeout",
    "--connect-to",
    "--continue-at",
    "--cookie-jar",
    "--curves",
    "--dns-servers",
    "--doh-url",
    "--dump-header",
    "--expect100-timeout",
    "--interface",
    "--keepalive-time",
    "--key",
    "--key-type",
    "--limit-rate",
    "--local-port",
    "--max-filesize",
    "--max-redirs",
    "--max-time",
    "--noproxy",
    "--output",
    "--output-dir",
    "--pass",
    "--pinnedpubkey",
    "--preproxy",
    "--proxy",
    "--proxy-header",
    "--proxy-user",
    "--range",
    "--rate",
    "--resolve",
    "--retry",
    "--retry-delay",
    "--retry-max-time",
    "--socks4",
    "--socks5",
    "--socks5-hostname",
    "--speed-limit",
    "--speed-time",
    "--tls-max",
    "--unix-socket",
    "--write-out",
];

/// Whether a text is a curl command.
pub(super) fn is_curl(text: &str) -> bool {
    matches!(text.split_whitespace().next(), Some("curl" | "curl.exe"))
}

/// A curl command in the form in which browsers and shells write it.
pub(crate) fn from_curl(command: &str, variables: Variables<'_>) -> Result<Request, String> {
    let words = match is_for_windows(command) {
        // There, `$` is a plain character.
        true => words(&without_carets(command), &|name| Ok(format!("${name}")))?,
        false => words(command, variables)?,
    };
    let mut words = words.into_iter().peekable();
    if words.peek().is_some_and(|word| is_curl(word)) {
        words.next();
    }
    let mut urls = Vec::new();
    let mut method = None;
    let mut headers = Vec::new();
    let mut data = Vec::new();
    let mut query = Vec::new();
    let mut puts_data_into_query = false;
    let mut is_as_is = false;
    let mut implied = "GET";
    while let Some(word) = words.next() {
        let (name, mut value) = match word.strip_prefix("--") {
            Some(long) => match long.split_once('=') {
                Some((name, value)) => (format!("--{name}"), Some(value.to_owned())),
                None => (word.clone(), None),
            },
            None if word.starts_with('-') && word.len() > 1 => {
                // Flags may be joined, also in front of an option with a value: `-sSX POST`.
                let mut letters = word.get(1..).unwrap_or_default().chars();
                let mut name = String::new();
                for letter in letters.by_ref() {
                    name = format!("-{letter}");
                    match letter {
                        'I' => implied = "HEAD",
                        'G' => puts_data_into_query = true,
                        _ => {}
                    }
                    if !FLAGS.contains(letter) {
                        break;
                    }
                }
                let rest = letters.as_str();
                (name, (!rest.is_empty()).then(|| rest.to_owned()))
            }
            None => {
                urls.push(word);
                continue;
            }
        };
        let mut take = || {
            value
                .take()
                .or_else(|| words.next())
                .ok_or_else(|| format!("{name} lacks its value"))
        };
        match &*name {
            "-X" | "--request" => method = Some(take()?),
            "-H" | "--header" => headers.extend(header_of(take()?)?),
            "--path-as-is" => is_as_is = true,
            "-K" | "--config" => {
                return Err(format!(
                    "{name} names a file of options, which is not read; write them into the command"
                ));
            }
            "--url" => urls.insert(0, take()?),
            "-b" | "--cookie" => {
                let cookies = take()?;
                // Without `=` it is the name of a file.
                headers.extend(cookies.contains('=').then(|| format!("cookie: {cookies}")));
            }
            "-A" | "--user-agent" => headers.push(format!("user-agent: {}", take()?)),
            "-e" | "--referer" => headers.push(format!("referer: {}", take()?)),
            "--oauth2-bearer" => headers.push(format!("authorization: Bearer {}", take()?)),
            // The user does not matter, but its presence does.
            "-u" | "--user" => {
                take()?;
                headers.push("authorization: Basic dXNlcjpwYXNzd29yZA==".to_owned());
            }
            "--data-urlencode" => {
                data.push(url_encoded(&take()?));
                implied = "POST";
            }
            "-d" | "--data" | "--data-raw" | "--data-binary" | "--data-ascii" | "--json" | "-F"
            | "--form" | "--form-string" => {
                data.push(take()?);
                implied = "POST";
            }
            "--url-query" => {
                let part = take()?;
                query.push(match part.strip_prefix('+') {
                    Some(encoded) => encoded.to_owned(),
                    None => url_encoded(&part),
                });
            }
            "-T" | "--upload-file" => {
                take()?;
                implied = "PUT";
            }
            "--head" => implied = "HEAD",
            "--get" => puts_data_into_query = true,
            name if name.starts_with("--") && !IGNORED.contains(&name) => {}
            short
                if short.len() == 2
                    && short
                        .chars()
                        .all(|letter| letter == '-' || FLAGS.contains(letter)) => {}
            _ => drop(take()?),
        }
    }
    // The value of an option that is not known here has no scheme.
    let mut whole = urls.iter().filter(|url| url.contains("://"));
    let url = whole.next().or(urls.first());
    if whole.next().is_some() {
        return Err("the curl command sends several requests; write one of its URLs".to_owned());
    }
    let url = url.ok_or("the curl command has no URL")?;
    // Without a scheme, curl takes the first part for the host.
    let mut request = match url.contains("://") {
        true => from_url(url)?,
        false => from_url(&format!("http://{url}"))?,
    };
    if !is_as_is {
        request.target = without_dot_segments(&request.target);
    }
    if puts_data_into_query {
        query.append(&mut data);
        if implied == "POST" {
            implied = "GET";
        }
    }
    if !query.is_empty() {
        let separator = if request.target.contains('?') { '&' } else { '?' };
        request.target = format!("{}{separator}{}", request.target, query.join("&"));
    }
    request.method = method.unwrap_or_else(|| implied.to_owned());
    for header in headers {
        add_header(&mut request, &header)?;
    }
    Ok(request)
}

/// RFC 3986 section 5.2.4: curl sends `/b` for `/a/../b`. It leaves encoded dots as they are.
fn without_dot_segments(target: &str) -> String {
    let end = target.find('?').unwrap_or(target.len());
    let (path, query) = target.split_at(end);
    let Some(path) = path.strip_prefix('/') else {
        return target.to_owned();
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_slash = false;
    for segment in path.split('/') {
        ends_in_slash = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    if ends_in_slash {
        kept.push("");
    }
    format!("/{}{query}", kept.join("/"))
}

/// A part of a query as `--data-urlencode` writes it: the value after `=` is encoded, or all without a name.
fn url_encoded(part: &str) -> String {
    let (name, value) = match part.split_once('=') {
        Some(("", value)) => (String::new(), value),
        Some((name, value)) => (format!("{name}="), value),
        None => (String::new(), part),
    };
    let mut text = name;
    for byte in value.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte))
            }
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// A header field as curl sends it: `name;` is an empty one, and `name:` none. `@file` is not read.
fn header_of(header: String) -> Result<Option<String>, String> {
    Ok(match (header.split_once(':'), header.strip_suffix(';')) {
        _ if header.starts_with('@') => {
            return Err("-H names a file of header fields, which is not read; write each as -H".to_owned());
        }
        (Some((_, value)), _) if value.trim().is_empty() => None,
        (None, Some(name)) => Some(format!("{name}:")),
        _ => Some(header),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_sent_as_curl_sends_it() {
        // What curl 7.88.1 sends.
        for (written, sent) in [
            ("/a/../b", "/b"),
            ("/a/./b/.", "/a/b/"),
            ("/a/%2e%2e/b", "/a/%2e%2e/b"),
            ("/..//a//../b?x=/../y", "//a/b?x=/../y"),
            ("/a/..", "/"),
            ("/a/b/...", "/a/b/..."),
            ("/a/..;/b", "/a/..;/b"),
            ("/", "/"),
            ("/a/", "/a/"),
        ] {
            let target = |command: &str| {
                let request = from_curl(command, &|name| Err(name.to_owned()));
                request.map(|request| request.target)
            };
            assert_eq!(
                target(&format!("curl 'http://h{written}'")),
                Ok(sent.to_owned()),
                "{written}"
            );
            let as_is = target(&format!("curl --path-as-is 'http://h{written}'"));
            assert_eq!(as_is, Ok(written.to_owned()));
        }
    }

    #[test]
    fn what_would_be_left_out_is_refused() {
        for command in [
            "curl http://h/a -H @headers.txt",
            "curl -K options http://h/a",
            "curl http://h/a http://h/b",
            "curl http://h/a --next http://h/b",
        ] {
            assert!(
                from_curl(command, &|name| Err(name.to_owned())).is_err(),
                "{command}"
            );
        }
    }
}
