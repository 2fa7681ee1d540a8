//! `jwtctl issuer`.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use crate::core::fetch::{Exchange, Fetch, NoAnswer};
use crate::core::{self, Config};
use crate::{Outcome, Output, http, print, report, setup, source, yaml};

/// Fetch an issuer's metadata and keys as the filter would, and print the smallest configuration
///
/// Shows the keys that the filter would keep, the keys that it would skip and why, and the time of the next
/// fetch. Exits with 1 if the issuer has no usable keys.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jwtctl issuer https://idp.example.com/realms/main --audience orders-api
  jwtctl issuer https://idp.example.com --jwks-uri https://keys.example.com/jwks.json")]
pub(crate) struct Arguments {
    /// The issuer, exactly as in the `iss` of tokens
    #[arg(value_name = "ISSUER")]
    issuer: String,
    /// The URL of the keys, for an issuer that has no metadata
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<String>,
    /// The audience of the tokens, for the printed configuration
    #[arg(long, value_name = "AUDIENCE")]
    audience: Vec<String>,
    /// What to call the cluster in it
    #[arg(long, value_name = "NAME", default_value = "idp")]
    cluster: String,
    /// The certificate authorities to trust, in PEM, in place of this machine's
    #[arg(long, value_name = "FILE")]
    ca: Option<String>,
    /// The format of the result
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
}

/// The name of the provider.
const NAME: &str = "issuer";

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome, String> {
    let probe = configuration(arguments, None);
    Config::parse(probe.to_string().as_bytes()).map_err(|error| match arguments.jwks_uri {
        Some(_) => error.problem.to_string(),
        None => format!(
            "{}; if `iss` of the tokens is no such URL, name the URL of the keys with --jwks-uri",
            {
                let problem = error.problem.to_string();
                problem.split(';').next().unwrap_or_default().to_owned()
            }
        ),
    })?;
    let agent = http::agent(arguments.ca.as_deref())?;
    let fetched = core::fetch::fetch(&to_node(&probe)?, NAME, setup::now(), |ask| {
        http::send(&agent, ask)
    });
    let fetched = fetched.ok_or("the issuer has no keys to fetch")?;
    let smallest = configuration(arguments, fetched.jwks_uri.as_deref());
    // The printed configuration is valid for the filter.
    Config::parse(smallest.to_string().as_bytes()).map_err(|error| error.to_string())?;
    let remarks = remarks(arguments, &fetched);
    match arguments.output {
        Output::Text => print(&to_text(arguments, &fetched, &smallest, &remarks)),
        Output::Json => print(&format!(
            "{:#}\n",
            to_json(arguments, &fetched, &smallest, &remarks)
        )),
    }
    Ok(if fetched.document.is_some() {
        Outcome::Fine
    } else {
        Outcome::Found
    })
}

/// JSON as a tree.
pub(crate) fn to_node(value: &Value) -> Result<source::Node, String> {
    let mut documents = source::parse(&value.to_string()).map_err(|error| error.message)?;
    documents.pop().ok_or_else(|| "nothing".to_owned())
}

/// Host and port of a URL.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn host(url: &str) -> &str {
    let authority = authority(url);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The smallest configuration for this issuer.
fn configuration(arguments: &Arguments, found: Option<&str>) -> Value {
    let audiences = match arguments.audience.is_empty() {
        true => vec!["*".to_owned()],
        false => arguments.audience.clone(),
    };
    let mut provider = json!({"issuer": arguments.issuer, "audiences": audiences});
    match &arguments.jwks_uri {
        Some(uri) => {
            provider["remote_jwks"] = json!({"http_uri": {"uri": uri, "cluster": arguments.cluster}})
        }
        None => {
            let mut discovery = json!({"cluster": arguments.cluster});
            if let Some(uri) = found.filter(|uri| authority(uri) != authority(&arguments.issuer)) {
                discovery["clusters"] = json!({authority(uri): format!("{}-keys", arguments.cluster)});
            }
            provider["discovery"] = discovery;
        }
    }
    json!({"providers": {NAME: provider}})
}

/// A cluster of Envoy that leads to a URL, and checks the server's certificate.
fn cluster(name: &str, url: &str, authorities: Option<&str>) -> String {
    let host = host(url);
    let is_tls = !url.starts_with("http://");
    let port = authority(url)
        .strip_prefix(host)
        .and_then(|port| port.strip_prefix(':'));
    let port = port.unwrap_or(if is_tls { "443" } else { "80" });
    let mut text = format!(
        "- name: {name}
  type: LOGICAL_DNS
  connect_timeout: 2s
  load_assignment:
    cluster_name: {name}
    endpoints:
    - lb_endpoints:
      - endpoint: {{address: {{socket_address: {{address: {host}, port_value: {port}}}}}}}
"
    );
    if is_tls {
        let authorities = json!(authorities.unwrap_or("/etc/ssl/certs/ca-certificates.crt"));
        let _ = write!(
            text,
            "  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
      sni: {host}
      common_tls_context:
        validation_context:
          trusted_ca: {{filename: {authorities}}}
          match_typed_subject_alt_names:
          - {{san_type: DNS, matcher: {{exact: {host}}}}}
"
        );
    }
    text
}

/// Remarks on the issuer for a person.
fn remarks(arguments: &Arguments, fetched: &Fetch) -> Vec<String> {
    let mut remarks = Vec::new();
    if arguments.audience.is_empty() {
        remarks.push(
            "without --audience, the configuration accepts tokens of the issuer for any service".to_owned(),
        );
    }
    for url in fetched.exchanges.iter().map(|exchange| &exchange.url) {
        if url.starts_with("http://") {
            remarks.push(format!(
                "{url} is fetched without TLS: an attacker in the network can replace the keys"
            ));
        }
    }
    if let Some(uri) = fetched
        .jwks_uri
        .as_deref()
        .filter(|uri| authority(uri) != authority(&arguments.issuer))
        && arguments.jwks_uri.is_none()
    {
        remarks.push(format!(
            "the keys are on another host, {}, which needs its own cluster",
            authority(uri)
        ));
    }
    for key in &fetched.keys {
        if key.kid.is_none() {
            remarks.push("a key has no `kid`: the filter tries it for tokens without `kid`".to_owned());
        }
    }
    remarks.dedup();
    remarks
}

fn in_words(exchange: &Exchange) -> (bool, String) {
    match &exchange.outcome {
        Ok(answer) => {
            let mut text = format!("{}, {} bytes", answer.status, answer.body.len());
            if let Some(control) = &answer.cache_control {
                let _ = write!(text, ", cache-control: {}", String::from_utf8_lossy(control));
            }
            (answer.status == 200, text)
        }
        Err(NoAnswer::TimedOut) => (false, "no answer in time".to_owned()),
        Err(NoAnswer::TooLarge) => (false, "the document is too long".to_owned()),
        Err(NoAnswer::Failed(why)) => (false, why.clone()),
    }
}

/// What to do about the last answer. The fault itself is in the words of the filter's log.
fn advice(arguments: &Arguments, fetched: &Fetch) -> Option<String> {
    fetched.fault.as_ref()?;
    let last = fetched.exchanges.last()?;
    let is_of_keys = fetched.jwks_uri.as_ref() == Some(&last.url);
    let answer = match &last.outcome {
        Ok(answer) => answer,
        Err(NoAnswer::TimedOut) => {
            return Some("the server is slow, or something drops the connection; the filter waits as long as `timeout` says".to_owned());
        }
        Err(NoAnswer::TooLarge) => {
            return Some(
                "key sets have a few KB, so check the URL; `key_cache.max_response_bytes` is the limit"
                    .to_owned(),
            );
        }
        Err(NoAnswer::Failed(why)) => return http::advice(why).map(str::to_owned),
    };
    let text = String::from_utf8_lossy(&answer.body);
    let theirs = || {
        let document: Value = serde_json::from_str(&text).ok()?;
        let theirs = document.get("issuer")?.as_str()?.to_owned();
        (!is_of_keys && theirs != arguments.issuer).then_some(theirs)
    };
    match (answer.status, is_of_keys) {
        (300..=399, _) => {
            let location = answer.location.as_deref().map(String::from_utf8_lossy)?;
            let what = match is_of_keys {
                true => "if the keys are there, name that URL with --jwks-uri",
                false => "name the issuer as the tokens do, or the URL of its keys with --jwks-uri",
            };
            Some(format!("it leads to {location}; {what}"))
        }
        (404 | 410, false) => Some(
            "write the issuer exactly as in `iss` of its tokens; if it has no metadata, name the URL of its keys with \
             --jwks-uri"
                .to_owned(),
        ),
        (401 | 403, _) => Some(
            "the server wants a login: Envoy's credential_injector can add one, see docs/keys.md".to_owned(),
        ),
        (429 | 500..=599, _) => Some("the filter asks again later; ask the operator of the issuer".to_owned()),
        (200, _) if answer.content_encoding.is_some() => Some(
            "the filter does not decompress documents: switch the compression off for this URL".to_owned(),
        ),
        (200, _) if text.trim_start().starts_with('<') => {
            Some("this is a web page, perhaps of a login or a proxy: open the URL in a browser".to_owned())
        }
        (200, false) => theirs().map(|theirs| {
            format!(
                "if the tokens have `iss` {theirs}, run `jwtctl issuer {theirs}`; if they have {}, write \
                 `discovery: {{issuer: {theirs}}}`",
                arguments.issuer
            )
        }),
        _ => None,
    }
}

fn to_text(arguments: &Arguments, fetched: &Fetch, smallest: &Value, remarks: &[String]) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write_text(&mut text, arguments, fetched, smallest, remarks);
    text
}

fn write_text(
    to: &mut String,
    arguments: &Arguments,
    fetched: &Fetch,
    smallest: &Value,
    remarks: &[String],
) -> std::fmt::Result {
    let clean = report::printable;
    let mark = |is_good: bool| match (is_good, report::colours_stdout()) {
        (true, false) => "✓",
        (false, false) => "✗",
        (true, true) => "\u{1b}[32m✓\u{1b}[0m",
        (false, true) => "\u{1b}[31m✗\u{1b}[0m",
    };
    for exchange in &fetched.exchanges {
        let (is_good, what) = in_words(exchange);
        writeln!(
            to,
            "{} GET {}: {}",
            mark(is_good),
            clean(&exchange.url),
            clean(&what)
        )?;
    }
    if let Some(fault) = &fetched.fault {
        writeln!(to, "{} no usable keys: {}", mark(false), clean(fault))?;
        if let Some(advice) = advice(arguments, fetched) {
            writeln!(to, "  {}", clean(&advice))?;
        }
        return Ok(());
    }
    writeln!(to)?;
    writeln!(to, "the filter keeps")?;
    for key in &fetched.keys {
        let kid = key
            .kid
            .as_deref()
            .map_or_else(|| "no kid".to_owned(), |kid| format!("kid \"{kid}\""));
        writeln!(
            to,
            "{} {} for {}",
            mark(true),
            clean(&kid),
            key.algorithms.join(", ")
        )?;
    }
    if fetched.skipped_count > 0 {
        writeln!(to, "and skips")?;
        for skipped in &fetched.skipped {
            writeln!(to, "{} {}", mark(false), clean(skipped))?;
        }
        if fetched.skipped_count > fetched.skipped.len() {
            writeln!(to, "  and {} more", fetched.skipped_count - fetched.skipped.len())?;
        }
    }
    if let Some(next) = fetched.next {
        writeln!(
            to,
            "it fetches the keys again in {} s, once for all workers of an Envoy process",
            next.as_secs()
        )?;
    }
    for remark in remarks {
        writeln!(to, "! {}", clean(remark))?;
    }
    writeln!(to)?;
    writeln!(to, "# the configuration")?;
    write!(
        to,
        "{}",
        to_node(smallest).map_or_else(|error| error, |node| yaml::write(&node))
    )?;
    writeln!(to)?;
    writeln!(to, "# clusters of Envoy")?;
    let document = match &arguments.jwks_uri {
        Some(uri) => uri,
        None => &arguments.issuer,
    };
    let authorities = arguments.ca.as_deref();
    write!(to, "{}", cluster(&arguments.cluster, document, authorities))?;
    if let Some(uri) = fetched
        .jwks_uri
        .as_deref()
        .filter(|uri| authority(uri) != authority(document))
    {
        write!(
            to,
            "{}",
            cluster(&format!("{}-keys", arguments.cluster), uri, authorities)
        )?;
    }
    Ok(())
}

fn to_json(arguments: &Arguments, fetched: &Fetch, smallest: &Value, remarks: &[String]) -> Value {
    json!({
        "requests": fetched.exchanges.iter().map(|exchange| {
            let (is_good, what) = in_words(exchange);
            json!({"url": exchange.url, "cluster": exchange.cluster, "good": is_good, "answer": what})
        }).collect::<Vec<_>>(),
        "fault": fetched.fault,
        "advice": advice(arguments, fetched),
        "jwks_uri": fetched.jwks_uri,
        "keys": fetched.keys.iter().map(|key| json!({"kid": key.kid, "algorithms": key.algorithms})).collect::<Vec<_>>(),
        "skipped": fetched.skipped,
        "skipped_count": fetched.skipped_count,
        "asks_again_after_seconds": fetched.next.map(|next| next.as_secs()),
        "remarks": remarks,
        "configuration": smallest,
    })
}
