//! The common arguments of the commands that decide requests: the configuration, its keys, a request, and a
//! time.

use std::io::Read as _;

use clap::Args;

use crate::core::{self, Config, Request, UnixTime};
use crate::forms::{self, add_header, from_curl, from_log_line, from_url};
use crate::policy::Loaded;
use crate::{faults, http, input, report};

/// The arguments for the configuration and the keys.
#[derive(Clone, Debug, Args)]
pub(crate) struct Policy {
    /// The configuration: any file that `jwtctl check` reads; `-` is standard input
    #[arg(value_name = "CONFIG")]
    pub(crate) config: String,
    #[command(flatten)]
    pub(crate) keys: Keys,
}

/// Keys to use instead of those that the filter would fetch.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Keys {
    /// Which of the file's configurations, from 1
    #[arg(long, value_name = "NUMBER")]
    pub(crate) filter: Option<usize>,
    /// A key set to use instead of the issuer's; with PROVIDER= for one provider only
    #[arg(long, value_name = "[PROVIDER=]FILE")]
    pub(crate) keys: Vec<String>,
    /// Fetch the keys from the issuers, as the filter would
    #[arg(long)]
    pub(crate) fetch: bool,
    /// The certificate authorities for that, in PEM, in place of this machine's
    #[arg(long, value_name = "FILE", requires = "fetch")]
    pub(crate) ca: Option<String>,
}

/// Reads a configuration. If it has faults, prints them.
pub(crate) fn load(name: &str, keys: &Keys, now: UnixTime) -> Result<Loaded, String> {
    let file = input::read(name)?;
    let contents = input::search(&file);
    if let Some(unread) = contents.unread.first() {
        let (line, column) = crate::source::line_and_column(&file.text, unread.place.start);
        return Err(format!("{}:{line}:{column}: {}", file.name, unread.message));
    }
    let found = match (contents.found.as_slice(), keys.filter) {
        ([], _) => {
            return Err(format!(
                "{}: the file has no configuration of this filter",
                file.name
            ));
        }
        ([one], None) => one,
        (all, None) => {
            return Err(format!(
                "{}: the file has {} configurations; choose one with --filter NUMBER",
                file.name,
                all.len()
            ));
        }
        (all, Some(number)) => all.get(number.wrapping_sub(1)).ok_or_else(|| {
            format!(
                "{}: the file has only {} configurations, so there is no number {number}",
                file.name,
                all.len()
            )
        })?,
    };
    let faults = faults::find(found);
    if !faults.findings.is_empty() {
        eprint!(
            "{}",
            report::to_text(&faults.findings, report::is_coloured(&std::io::stderr()))
        );
        return Err(format!("{}: the filter refuses this configuration", file.name));
    }
    let config = faults.parsed.ok_or("the filter refuses this configuration")?;
    let loaded = Loaded {
        node: faults.config,
        config,
        unread_keys: faults.unread_keys,
        unfetched: Vec::new(),
    };
    with_keys(loaded, keys, now)
}

/// Replaces the keys that the filter would fetch.
fn with_keys(loaded: Loaded, keys: &Keys, now: UnixTime) -> Result<Loaded, String> {
    let Loaded { node, config, .. } = &loaded;
    let mut unfetched = Vec::new();
    let remote = core::remote_providers(config);
    let mut given: Vec<(String, String)> = Vec::new();
    let mut read_stdin = None;
    for argument in &keys.keys {
        let (names, path) = match argument.split_once('=') {
            Some((name, path)) if config.providers.iter().any(|provider| *provider.name == *name) => {
                (vec![name.to_owned()], path)
            }
            Some((name, path)) if !std::path::Path::new(argument).exists() => {
                return Err(format!("--keys {name}={path}: no provider is named `{name}`"));
            }
            _ => (remote.clone(), argument.as_str()),
        };
        let document = match (path, &read_stdin) {
            ("-", Some(known)) => String::clone(known),
            ("-", None) => {
                let mut text = String::new();
                let read = std::io::stdin().lock().read_to_string(&mut text);
                read.map_err(|error| format!("standard input: {error}"))?;
                read_stdin = Some(text.clone());
                text
            }
            (path, _) => std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?,
        };
        core::check_keys(document.as_bytes()).map_err(|fault| format!("{path}: {fault}"))?;
        given.extend(names.into_iter().map(|name| (name, document.clone())));
    }
    if keys.fetch {
        let agent = http::agent(keys.ca.as_deref())?;
        for name in remote
            .iter()
            .filter(|name| given.iter().all(|(known, _)| known != *name))
            .cloned()
            .collect::<Vec<_>>()
        {
            let fetched = core::fetch::fetch(node, &name, now, |ask| http::send(&agent, ask));
            let Some(fetched) = fetched else { continue };
            match (fetched.document, fetched.fault) {
                (Some(document), _) => given.push((name, String::from_utf8_lossy(&document).into_owned())),
                (None, fault) => {
                    let fault = report::printable(&fault.unwrap_or_default());
                    let advice =
                        http::advice(&fault).map_or_else(String::new, |advice| format!("; {advice}"));
                    eprintln!("jwtctl: fetching the keys of {name} failed: {fault}{advice}");
                    unfetched.push((name, fault));
                }
            }
        }
    }
    Ok(Loaded {
        unfetched,
        ..loaded.with_keys(given)?
    })
}

/// A request from the command line.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RequestArguments {
    /// The URL, or the path alone
    #[arg(value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The method
    #[arg(long, short = 'X', value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// A header field, as in curl
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// A whole curl command, as browsers copy it; `$NAME` and `${NAME}` are read from the environment
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["url", "log_line"])]
    pub(crate) curl: Option<String>,
    /// A line of Envoy's access log: as JSON, in the default format, or as envoy/envoy.yaml writes it; it has
    /// no token
    #[arg(long, value_name = "LINE", conflicts_with = "url")]
    pub(crate) log_line: Option<String>,
    /// The token: `@FILE`, `-` for standard input, or itself, which other users of this machine can then see
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// A proof of possession (RFC 9449), in the same form
    #[arg(long, value_name = "PROOF")]
    pub(crate) dpop: Option<String>,
    /// The SHA-256 of the client's certificate, in hexadecimal digits
    #[arg(long, value_name = "HASH")]
    pub(crate) certificate: Option<String>,
    /// The client's address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    /// The requirement that the route's metadata names
    #[arg(long, value_name = "NAME")]
    pub(crate) requirement: Option<String>,
    /// The value that another filter has left for `filter_state_rules`
    #[arg(long, value_name = "VALUE")]
    pub(crate) filter_state: Option<String>,
}

impl RequestArguments {
    /// The request, and its time if the arguments contain one.
    pub(crate) fn request(&self, config: &Config) -> Result<(Request, Option<UnixTime>), String> {
        let mut at = None;
        let mut request = match (&self.curl, &self.log_line, &self.url) {
            (Some(command), _, _) => from_curl(command, &variable)?,
            (None, Some(line), _) => {
                let (request, time) = from_log_line(line)?;
                at = time;
                request
            }
            (None, None, Some(url)) => from_url(url)?,
            (None, None, None) => {
                return Err("the request is missing; write a URL, --curl or --log-line".to_owned());
            }
        };
        for header in &self.headers {
            add_header(&mut request, header)?;
        }
        if let Some(method) = &self.method {
            method.clone_into(&mut request.method);
        }
        let around = forms::Around {
            token: self.token.as_deref().map(secret).transpose()?,
            dpop: self.dpop.as_deref().map(secret).transpose()?,
            certificate: self.certificate.clone(),
            address: self.address.clone(),
            requirement: self.requirement.clone(),
            filter_state: self.filter_state.clone(),
        };
        around.put(config, &mut request);
        Ok((request, at))
    }
}

/// A variable of a curl command.
fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| {
        format!(
            "the curl command contains the variable `{name}`, which is not in the environment; `export {name}`, or write \
             its value, or put single quotes around a plain `$`"
        )
    })
}

/// An argument that may be in a file or on standard input.
pub(crate) fn secret(argument: &str) -> Result<String, String> {
    let text = match argument.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?,
        None if argument == "-" => {
            let mut text = String::new();
            let read = std::io::stdin().lock().read_to_string(&mut text);
            read.map_err(|error| format!("standard input: {error}"))?;
            text
        }
        None => argument.to_owned(),
    };
    Ok(forms::bare(&text).to_owned())
}

/// The time of this machine.
#[allow(clippy::disallowed_methods, reason = "this is the host, which gives it")]
pub(crate) fn now() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixTime::from_secs(since.map_or(0, |since| since.as_secs()))
}

/// A time in one of the forms of [`forms::parse_time`], or `now`.
pub(crate) fn parse_time(text: &str) -> Result<UnixTime, String> {
    match text {
        "now" => Ok(now()),
        text => forms::parse_time(text),
    }
}
