//! A URL, and a header field.

use crate::core::Request;
use crate::report;

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

/// Adds a header field, written as `name: value`.
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
