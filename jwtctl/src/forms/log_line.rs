//! A line of Envoy's access log.

use super::time::parse_time;
use super::url::from_url;
use crate::core::{Request, UnixTime};

pub(super) fn is_status(word: &str) -> bool {
    word.len() == 3 && word.bytes().all(|digit| digit.is_ascii_digit())
}

/// A line of Envoy's access log: JSON with the names that docs and tools use, the default format, or the
/// format of envoy/envoy.yaml, which begins with method, path and status.
pub(crate) fn from_log_line(line: &str) -> Result<(Request, Option<UnixTime>), String> {
    if let Ok(serde_json::Value::Object(fields)) = serde_json::from_str::<serde_json::Value>(line) {
        // Collectors of logs put the line into a member of theirs.
        let within = fields.values().filter_map(|value| value.as_object());
        let objects: Vec<_> = std::iter::once(&fields).chain(within).collect();
        let of = |names: &[&str]| {
            let text = |name: &&str| objects.iter().find_map(|object| object.get(*name)?.as_str());
            let mut found = names.iter().filter_map(text).filter(|text| *text != "-");
            found.next().map(str::to_owned)
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
    // A container's log has the time and the stream in front of the line.
    let (time, rest) = line
        .split_once('[')
        .filter(|(before, _)| !before.contains('"'))
        .and_then(|(_, rest)| rest.split_once(']'))
        .ok_or_else(fault)?;
    let time = parse_time(time).map_err(|_| fault())?;
    let quoted: Vec<&str> = rest.split('"').collect();
    let mut request_line = quoted.get(1).ok_or_else(fault)?.split(' ');
    let method = request_line.next().unwrap_or_default();
    let path = request_line.next().ok_or_else(fault)?;
    let path = match (method, path) {
        ("CONNECT", "-") => "/",
        (_, "-") => {
            return Err(
                "the line has no path: Envoy could not read this request, and no filter saw it".to_owned(),
            );
        }
        _ => path,
    };
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
    Ok((request, Some(time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_have_a_collectors_frame() {
        let line = r#"[2026-11-29T10:00:00.123Z] "GET /open HTTP/2" 401 - via_upstream - "-" 0 5 1 - "-" "curl" "id" "h" "-""#;
        let plain = from_log_line(line).expect("the line");
        assert_eq!(
            (plain.0.target.as_str(), plain.0.authority.as_str()),
            ("/open", "h")
        );
        let framed = from_log_line(&format!("2026-11-29T10:00:01Z stdout F {line}")).expect("the line");
        assert_eq!((framed.0.target, framed.1), (plain.0.target, plain.1));
        let (request, _) = from_log_line(
            r#"{"severity":"INFO","jsonPayload":{"method":"PUT","path":"/a","authority":"h"}}"#,
        )
        .expect("the line");
        assert_eq!((request.method.as_str(), request.target.as_str()), ("PUT", "/a"));
    }

    #[test]
    fn a_request_that_envoy_could_not_read_is_named() {
        let fault = from_log_line(
            r#"[2026-11-29T10:00:00.123Z] "- - HTTP/1.1" 400 DPE 0 11 0 - "-" "-" "-" "-" "-""#,
        );
        assert!(fault.is_err_and(|fault| fault.contains("could not read this request")));
        let connect =
            r#"[2026-11-29T10:00:00.123Z] "CONNECT - HTTP/2" 200 - 0 0 1 - "-" "-" "id" "h:443" "-""#;
        assert!(from_log_line(connect).is_ok_and(|(request, _)| request.method == "CONNECT"));
        let other = r#"127.0.0.1 - - [29/Nov/2026:10:00:00 +0000] "GET /open HTTP/1.1" 200 12 "-" "curl""#;
        assert!(from_log_line(other).is_err_and(|fault| fault.contains("not in Envoy's default format")));
    }
}
