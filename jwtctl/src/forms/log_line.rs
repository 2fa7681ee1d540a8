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
