//! A request and its time, in the forms in which people have them: a URL, a curl command, a line of an access
//! log.

use crate::core::{self, Config, Request, UnixTime};
use crate::report;

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

/// A token without what people copy with it.
pub(crate) fn bare(token: &str) -> &str {
    let token = token.trim();
    token.strip_prefix("Bearer ").unwrap_or(token)
}

/// The value of a variable of the shell, or what is wrong.
pub(crate) type Variables<'v> = &'v dyn Fn(&str) -> Result<String, String>;

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

/// Whether a text is a curl command.
fn is_curl(text: &str) -> bool {
    matches!(text.split_whitespace().next(), Some("curl" | "curl.exe"))
}

/// A request for a URL or a path.
pub(crate) fn from_url(url: &str) -> Result<Request, String> {
    let mut request = Request::new("GET", "/");
    let rest = match url.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => {
            scheme.clone_into(&mut request.scheme);
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, target) = rest.split_at(end);
            let authority = authority.rsplit('@').next().unwrap_or_default();
            authority.clone_into(&mut request.authority);
            target
        }
        Some((scheme, _)) if !url.starts_with('/') => return Err(format!("{scheme}: is not http or https")),
        _ => url,
    };
    let rest = rest.split('#').next().unwrap_or_default();
    request.target = match rest.starts_with('/') || rest == "*" {
        true => rest.to_owned(),
        false => format!("/{rest}"),
    };
    Ok(request)
}

pub(crate) fn add_header(request: &mut Request, header: &str) -> Result<(), String> {
    let (name, value) = header.split_once(':').ok_or_else(|| {
        format!(
            "`{}` is not a header field; write `name: value`",
            report::printable(header)
        )
    })?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    match &*name {
        "host" => value.clone_into(&mut request.authority),
        _ => request.headers.push((name, value.as_bytes().to_vec())),
    }
    Ok(())
}

/// Options of curl of one letter that take no value.
const FLAGS: &str = "#0123468BGIJLMNORSVZafghijklnpqsv";

/// Long options of curl with a value that does not matter here. Each other one is taken for a flag.
const IGNORED: [&str; 49] = [
    "--abstract-unix-socket",
    "--aws-sigv4",
    "--cacert",
    "--capath",
    "--cert",
    "--cert-type",
    "--ciphers",
    "--config",
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
            "-H" | "--header" => headers.extend(header_of(take()?)),
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
    let url = urls.iter().find(|url| url.contains("://")).or(urls.first());
    let url = url.ok_or("the curl command has no URL")?;
    // Without a scheme, curl takes the first part for the host.
    let mut request = match url.contains("://") {
        true => from_url(url)?,
        false => from_url(&format!("http://{url}"))?,
    };
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
fn header_of(header: String) -> Option<String> {
    match (header.split_once(':'), header.strip_suffix(';')) {
        _ if header.starts_with('@') => None,
        (Some((_, value)), _) if value.trim().is_empty() => None,
        (None, Some(name)) => Some(format!("{name}:")),
        _ => Some(header),
    }
}

/// Whether a command is for cmd.exe, in which `^` escapes a letter and, at the end of a line, the line break.
fn is_for_windows(command: &str) -> bool {
    command.contains("^\"") || command.lines().any(|line| line.trim_end().ends_with(" ^"))
}

/// The command without the escapes of cmd.exe.
fn without_carets(command: &str) -> String {
    let mut text = String::new();
    let mut letters = command.chars().peekable();
    // In the older form, the quotes have no caret, and within them a caret is a letter.
    let escapes_all = command.contains("^\"");
    let mut is_quoted = false;
    while let Some(letter) = letters.next() {
        match letter {
            '"' if !escapes_all => {
                is_quoted = !is_quoted;
                text.push(letter);
            }
            '^' if !is_quoted => match letters.next() {
                Some('\r') if letters.peek() == Some(&'\n') => drop(letters.next()),
                Some('\n') | None => {}
                Some(letter) => text.push(letter),
            },
            letter => text.push(letter),
        }
    }
    text
}

/// The text for a `$` outside of single quotes: of a variable, or the `$` itself.
fn expanded(
    letters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    variables: Variables<'_>,
) -> Result<String, String> {
    let is_of_name = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
    let mut name = String::new();
    match letters.peek() {
        Some('(') => {
            return Err(
                "the curl command runs another command in `$(…)`; write its output in its place".to_owned(),
            );
        }
        Some('{') => {
            letters.next();
            name.extend(std::iter::from_fn(|| letters.next_if(is_of_name)));
            if letters.next() != Some('}') || name.is_empty() {
                return Err(format!(
                    "of the variables of a shell, jwtctl reads `$NAME` and `${{NAME}}` alone, not `${{{name}…`; write the value"
                ));
            }
        }
        Some(first) if first.is_ascii_alphabetic() || *first == '_' => {
            name.extend(std::iter::from_fn(|| letters.next_if(is_of_name)));
        }
        _ => return Ok("$".to_owned()),
    }
    variables(&name)
}

/// Splits a command as a shell does: quotes, backslashes and variables.
fn words(command: &str, variables: Variables<'_>) -> Result<Vec<String>, String> {
    const NO_END: &str = "the curl command has a quotation mark that is not closed";
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = command.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        Some('\'') => break,
                        Some(letter) => word.push(letter),
                        None => return Err(NO_END.to_owned()),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        Some('"') => break,
                        Some('\\') => match letters.next() {
                            Some(letter @ ('"' | '\\' | '$' | '`')) => word.push(letter),
                            Some('\n') => {}
                            Some(letter) => word.extend(['\\', letter]),
                            None => {}
                        },
                        Some('$') => word.push_str(&expanded(&mut letters, variables)?),
                        Some(letter) => word.push(letter),
                        None => return Err(NO_END.to_owned()),
                    }
                }
            }
            '\\' => match letters.next() {
                Some('\n') | None => {}
                Some('\r') if letters.peek() == Some(&'\n') => drop(letters.next()),
                Some(letter) => word.get_or_insert_default().push(letter),
            },
            // Browsers use this form if a value has an escape.
            '$' if letters.peek() == Some(&'\'') => {
                letters.next();
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        Some('\'') => break,
                        Some('\\') => word.extend(escaped(&mut letters)),
                        Some(letter) => word.push(letter),
                        None => return Err(NO_END.to_owned()),
                    }
                }
            }
            '$' => word
                .get_or_insert_default()
                .push_str(&expanded(&mut letters, variables)?),
            // Another command follows. `&` and `;` within a word are left in it: people paste URLs without
            // quotes.
            '|' => break,
            '&' | ';'
                if letters
                    .peek()
                    .is_none_or(|next| next.is_whitespace() || *next == '&') =>
            {
                break;
            }
            // The file after a redirection is none of curl's arguments.
            '>' | '<' => {
                let is_descriptor = |word: &String| word.bytes().all(|digit| digit.is_ascii_digit());
                words.extend(word.take().filter(|word| !is_descriptor(word)));
                while letters
                    .next_if(|next| matches!(next, '>' | '<' | '&' | ' '))
                    .is_some()
                {}
                while letters.next_if(|next| !next.is_whitespace()).is_some() {}
            }
            // Several lines without a backslash, as some pages show them, are one command.
            letter if letter.is_whitespace() => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

/// The letter of an escape in `$'…'`, after its backslash.
fn escaped(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    let kind = letters.next()?;
    let mut number = |most: usize, radix: u32| {
        let mut found = None;
        for _ in 0..most {
            let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(radix)) else {
                break;
            };
            letters.next();
            found = Some(found.unwrap_or(0) * radix + digit);
        }
        found.and_then(char::from_u32)
    };
    match kind {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'u' => number(4, 16),
        'U' => number(8, 16),
        'x' => number(2, 16),
        letter => Some(letter),
    }
}

fn is_status(word: &str) -> bool {
    word.len() == 3 && word.bytes().all(|digit| digit.is_ascii_digit())
}

/// A line of Envoy's access log: JSON with the names that docs and tools use, the default format, or the
/// format of envoy/envoy.yaml, which begins with method, path and status.
pub(crate) fn from_log_line(line: &str) -> Result<(Request, Option<UnixTime>), String> {
    if let Ok(serde_json::Value::Object(fields)) = serde_json::from_str::<serde_json::Value>(line) {
        let of = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| fields.get(*name)?.as_str().map(str::to_owned))
                .filter(|text| text != "-")
        };
        let path = of(&["path", ":path", "x-envoy-original-path", "request_path", "uri"])
            .ok_or("the line has no `path`; add `%PATH(NQ)%` to the log format, or give the URL instead")?;
        let mut request = from_url(&path)?;
        request.method = of(&["method", ":method", "request_method"]).unwrap_or_else(|| "GET".to_owned());
        if let Some(authority) = of(&["authority", ":authority", "host"]) {
            request.authority = authority;
        }
        let time = of(&["time", "start_time", "timestamp", "@timestamp"])
            .map(|text| parse_time(&text))
            .transpose()?;
        return Ok((request, time));
    }
    let mut words = line.split_whitespace();
    if let (Some(method), Some(path), Some(status)) = (words.next(), words.next(), words.next())
        && path.starts_with('/')
        && is_status(status)
    {
        let mut request = from_url(path)?;
        method.clone_into(&mut request.method);
        return Ok((request, None));
    }
    let mut words = line.split_whitespace();
    if let (Some(method), Some(status)) = (words.next(), words.next())
        && method.bytes().all(|letter| letter.is_ascii_uppercase())
        && is_status(status)
    {
        return Err(
            "the line has a method and a status, but no path, so it does not show which rule applied; \
             add `%PATH(NQ)%` to the log format, or give the URL instead"
                .to_owned(),
        );
    }
    let fault = || {
        "the line is not JSON, not in Envoy's default format, and not a method, a path and a status"
            .to_owned()
    };
    let (time, rest) = line
        .trim()
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .ok_or_else(fault)?;
    let quoted: Vec<&str> = rest.split('"').collect();
    let mut request_line = quoted.get(1).ok_or_else(fault)?.split(' ');
    let method = request_line.next().unwrap_or_default();
    let path = request_line.next().ok_or_else(fault)?;
    let mut request = from_url(path)?;
    method.clone_into(&mut request.method);
    // After the flags: "x-forwarded-for" "user-agent" "x-request-id" "authority" "upstream".
    let texts: Vec<&str> = quoted.iter().skip(3).step_by(2).copied().collect();
    let authority = match texts.len() {
        0..=3 => None,
        _ => texts.get(texts.len().saturating_sub(2)).copied(),
    };
    if let Some(authority) = authority.filter(|authority| !matches!(*authority, "" | "-")) {
        authority.clone_into(&mut request.authority);
    }
    Ok((request, Some(parse_time(time)?)))
}

/// A time: RFC 3339 in UTC or with an offset, or seconds since 1970.
pub(crate) fn parse_time(text: &str) -> Result<UnixTime, String> {
    let fault =
        || format!("`{text}` is not a time; write it as in 2026-01-31T12:00:00Z, or as seconds since 1970");
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(UnixTime::from_secs(seconds));
    }
    let number = |range: std::ops::Range<usize>| -> Result<i64, String> {
        text.get(range)
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(fault)
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let bytes = text.as_bytes();
    let is_sound = separators.iter().all(|(at, byte)| {
        bytes
            .get(*at)
            .is_some_and(|found| found.eq_ignore_ascii_case(byte) || *at == 10 && *found == b' ')
    }) && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    if !is_sound {
        return Err(fault());
    }
    let zone = text
        .get(19..)
        .unwrap_or_default()
        .trim_start_matches(|letter: char| letter == '.' || letter.is_ascii_digit());
    let offset = match zone.split_at_checked(1) {
        Some(("Z" | "z", "")) => 0,
        Some((sign @ ("+" | "-"), zone)) => {
            let (hours, minutes) = zone.split_once(':').ok_or_else(fault)?;
            let hours: i64 = hours.parse().map_err(|_| fault())?;
            let minutes: i64 = minutes.parse().map_err(|_| fault())?;
            (hours * 60 + minutes) * if sign == "-" { -1 } else { 1 }
        }
        _ => return Err(fault()),
    };
    // Howard Hinnant's `days_from_civil`.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset * 60;
    u64::try_from(seconds)
        .map(UnixTime::from_secs)
        .map_err(|_| fault())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form() {
        for (text, seconds) in [
            ("0", 0),
            ("1970-01-01T00:00:00Z", 0),
            ("2026-01-31T12:00:00Z", 1_769_860_800),
            ("2026-01-31T13:30:00.123+01:30", 1_769_860_800),
            ("2024-02-29 23:59:59z", 1_709_251_199),
        ] {
            assert_eq!(parse_time(text), Ok(UnixTime::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "é026-01-01T00:00:00Z",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

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
            "curl -sI -b jar -H 'X-Empty;' -H 'Accept:' -H @file https://a.example",
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
