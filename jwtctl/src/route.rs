//! `jwtctl route` and `jwtctl diff`.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use crate::boundaries;
use crate::core::{self, Basis, Decided, Decider, Request, UnixTime, Verdict};
use crate::personas::{self, Issuers, Persona};
use crate::policy::Loaded;
use crate::setup::{self, Keys};
use crate::{Outcome, Output, forms, print, report};

/// Show which rule applies to each request, and the decision with and without a token
///
/// Without URLs, the requests come from the boundaries of the rules: requests that a rule matches, and
/// requests that differ from these in one respect. jwtctl makes the tokens, with keys of its own instead of
/// the issuers' keys: a plain one of each provider, one with all claims that any rule requires, and a forged
/// one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jwtctl route envoy.yaml
  jwtctl route envoy.yaml -X GET -X DELETE /orders https://api.example.com/admin/users")]
pub(crate) struct RouteArguments {
    /// The configuration: any file that `jwtctl check` reads; `-` is standard input
    #[arg(value_name = "CONFIG")]
    config: String,
    /// URLs or paths
    #[arg(value_name = "URL")]
    urls: Vec<String>,
    /// Methods [default: GET]
    #[arg(long, short = 'X', value_name = "METHOD")]
    method: Vec<String>,
    /// Header fields of every request
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Which of the file's configurations, from 1
    #[arg(long, value_name = "NUMBER")]
    filter: Option<usize>,
    /// How to print the matrix
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
}

/// Show which requests change their answer between two configurations
///
/// The requests come from the boundaries of both configurations' rules, and jwtctl makes the tokens, as for
/// `route`. Exits with 1 if any answer changes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jwtctl diff old.yaml new.yaml
  git show main:envoy.yaml | jwtctl diff - envoy.yaml")]
pub(crate) struct DiffArguments {
    /// The configuration as it was
    #[arg(value_name = "OLD")]
    old: String,
    /// The configuration as it shall be
    #[arg(value_name = "NEW")]
    new: String,
    /// Print every request whose answer changes, and not only the first of each kind
    #[arg(long)]
    all: bool,
    /// How to print the differences
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
}

/// An answer in a word or two.
pub(crate) fn in_short(decided: &Decided) -> String {
    match &decided.verdict {
        Verdict::Allowed { basis, shadowed, .. } => {
            let by = match basis {
                Basis::Verified(provider) => format!("allowed ({provider})"),
                Basis::Anonymous => "allowed (anonymous)".to_owned(),
                Basis::Bypassed => "allowed".to_owned(),
            };
            match shadowed {
                Some(reason) => format!("{by}, shadowed {reason}"),
                None => by,
            }
        }
        Verdict::Refused { reason, reply, .. } => format!("{} {reason}", reply.status),
        Verdict::Answered(reply) => format!("answered {}", reply.status),
    }
}

/// A request in a line.
fn in_line(request: &Request) -> String {
    let mut line = format!("{} {}", request.method, request.target);
    if request.authority != "example.com" {
        let _ = write!(line, " at {}", request.authority);
    }
    for (name, value) in &request.headers {
        let _ = write!(line, " {name}: {}", String::from_utf8_lossy(value));
    }
    if let Some(requirement) = &request.route_requirement {
        let _ = write!(line, " on a route with {requirement}");
    }
    report::printable(&line).replace('\n', " ")
}

#[derive(Debug)]
struct Client {
    persona: Persona,
    token: Option<String>,
}

/// The request with the client's token in a location of this configuration.
fn with_token(request: &Request, client: &Client, loaded: &Loaded) -> Request {
    let mut request = request.clone();
    if let Some(token) = &client.token {
        core::put_token(&loaded.config, &mut request, token, false);
    }
    request
}

fn clients(personas: Vec<Persona>, all: &[&Loaded], issuers: &Issuers, now: UnixTime) -> Vec<Client> {
    let seconds = i64::try_from(now.as_millis() / 1000).unwrap_or(i64::MAX);
    personas
        .into_iter()
        .map(|persona| Client {
            token: persona.token(issuers, all, seconds),
            persona,
        })
        .collect()
}

pub(crate) fn route(arguments: &RouteArguments) -> Result<Outcome, String> {
    let now = setup::now();
    let keys = Keys {
        filter: arguments.filter,
        ..Keys::default()
    };
    let loaded = setup::load(&arguments.config, &keys, now)?;
    let issuers = Issuers::new(&[&loaded.config])?;
    let loaded = issuers.equip(&loaded)?;
    let clients = clients(personas::personas(&[&loaded]), &[&loaded], &issuers, now);
    let mut requests = Vec::new();
    let default = ["GET".to_owned()];
    let methods = if arguments.method.is_empty() {
        &default[..]
    } else {
        &arguments.method
    };
    for url in &arguments.urls {
        for method in methods {
            let mut request = forms::from_url(url)?;
            method.clone_into(&mut request.method);
            if request.authority.is_empty() {
                "example.com".clone_into(&mut request.authority);
            }
            for header in &arguments.headers {
                forms::add_header(&mut request, header)?;
            }
            requests.push(request);
        }
    }
    if requests.is_empty() {
        requests = boundaries::boundaries(&[&loaded]);
    }
    let mut decider = Decider::new(&loaded.config);
    let mut rows: Vec<(Request, String, Vec<String>)> = Vec::new();
    for request in requests {
        let decided: Vec<Decided> = clients
            .iter()
            .map(|client| decider.decide(&with_token(&request, client, &loaded), now))
            .collect();
        let rule = decided
            .iter()
            .map(|decided| decided.rule.clone())
            .find(|rule| !rule.is_empty())
            .unwrap_or_default();
        rows.push((request, rule, decided.iter().map(in_short).collect()));
    }
    if arguments.urls.is_empty() {
        // If requests differ only in parts that no rule tests, one of them is enough.
        rows.sort_by(|one, other| (&one.0.target, &one.0.method).cmp(&(&other.0.target, &other.0.method)));
    }
    match arguments.output {
        Output::Json => {
            let rows: Vec<Value> = rows
                .iter()
                .map(|(request, rule, answers)| {
                    let answers: serde_json::Map<String, Value> = clients
                        .iter()
                        .zip(answers)
                        .map(|(client, answer)| (client.persona.name.clone(), json!(answer)))
                        .collect();
                    json!({"request": in_line(request), "rule": rule, "answers": answers})
                })
                .collect();
            print(&format!("{:#}\n", json!({"requests": rows})));
        }
        Output::Text => {
            let mut table = vec![vec!["request".to_owned(), "rule".to_owned()]];
            table[0].extend(clients.iter().map(|client| client.persona.name.clone()));
            for (request, rule, answers) in &rows {
                let mut row = vec![in_line(request), rule.clone()];
                row.extend(answers.clone());
                table.push(row);
            }
            print(&in_columns(&table));
        }
    }
    Ok(Outcome::Fine)
}

/// A table whose columns are as wide as their content.
pub(crate) fn in_columns(table: &[Vec<String>]) -> String {
    const WIDEST: usize = 48;
    let columns = table.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = table
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells.max().unwrap_or_default().min(WIDEST)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in table {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// A request that gets another answer with the new configuration.
#[derive(Debug)]
struct Change {
    request: Request,
    /// The position of its client.
    client: usize,
    before: Decided,
    after: Decided,
}

impl Change {
    /// Both answers, with the headers that the upstream sees where nothing else differs.
    fn answers(&self) -> [String; 2] {
        let both = [&self.before, &self.after];
        let [before, after] = both.map(in_short);
        if before != after {
            return [before, after];
        }
        both.map(|decided| format!("{}: {}", in_short(decided), upstream(decided).join(", ")))
    }
}

/// The requests at the boundaries of two configurations that the two decide differently.
#[derive(Debug)]
struct Changes {
    all: Vec<Change>,
    requests: usize,
    clients: Vec<Client>,
}

fn differ(before: &Decided, after: &Decided) -> bool {
    in_short(before) != in_short(after) || upstream(before) != upstream(after)
}

fn changes(old: &Loaded, new: &Loaded, issuers: &Issuers, now: UnixTime) -> Changes {
    let clients = clients(personas::finer(&[old, new]), &[old, new], issuers, now);
    let requests = boundaries::boundaries(&[old, new]);
    let (mut by_old, mut by_new) = (Decider::new(&old.config), Decider::new(&new.config));
    let mut all = Vec::new();
    for request in &requests {
        for (number, client) in clients.iter().enumerate() {
            // A token that each configuration expects. If they expect different tokens, that is a difference
            // too.
            let before = by_old.decide(&with_token(request, client, old), now);
            let after = by_new.decide(&with_token(request, client, new), now);
            if differ(&before, &after) {
                all.push(Change {
                    request: request.clone(),
                    client: number,
                    before,
                    after,
                });
            }
        }
    }
    Changes {
        all,
        requests: requests.len(),
        clients,
    }
}

/// Changes by the same rules and with the same answers: the first, as it is printed, and how many more there
/// are.
struct Kind<'c> {
    rules: [&'c str; 2],
    answers: [String; 2],
    row: Vec<String>,
    more: usize,
}

pub(crate) fn diff(arguments: &DiffArguments) -> Result<Outcome, String> {
    let now = setup::now();
    let old = setup::load(&arguments.old, &Keys::default(), now)?;
    let new = setup::load(&arguments.new, &Keys::default(), now)?;
    let issuers = Issuers::new(&[&old.config, &new.config])?;
    let (old, new) = (issuers.equip(&old)?, issuers.equip(&new)?);
    let Changes {
        all,
        requests,
        clients,
    } = changes(&old, &new, &issuers, now);
    let name = |change: &Change| {
        let client = clients.get(change.client);
        client.map_or_else(String::new, |client| client.persona.name.clone())
    };
    let mut changes: Vec<(String, String, String, String)> = Vec::new();
    // By the rules that decide and by both answers: the first, and how many there are.
    let mut kinds: Vec<Kind> = Vec::new();
    for change in &all {
        let answers = change.answers();
        let [before, after] = answers.clone();
        let row = (in_line(&change.request), name(change), before, after);
        if changes.last() == Some(&row) {
            continue;
        }
        let rules = [&*change.before.rule, &*change.after.rule];
        match kinds
            .iter_mut()
            .find(|kind| kind.rules == rules && kind.answers == answers)
        {
            Some(kind) if !arguments.all => kind.more += 1,
            _ => {
                let (request, client, before, after) = row.clone();
                kinds.push(Kind {
                    rules,
                    answers,
                    row: vec![request, client, before, after],
                    more: 0,
                });
            }
        }
        changes.push(row);
    }
    match arguments.output {
        Output::Json => {
            let changes: Vec<Value> = changes
                .iter()
                .map(|(request, client, before, after)| {
                    json!({"request": request, "client": client, "old": before, "new": after})
                })
                .collect();
            print(&format!(
                "{:#}\n",
                json!({"tried": requests, "clients": clients.len(), "changes": changes})
            ));
        }
        Output::Text => {
            if !changes.is_empty() {
                let mut table = vec![["request", "client", "old", "new"].map(str::to_owned).to_vec()];
                table.extend(kinds.into_iter().map(|mut kind| {
                    if kind.more > 0 {
                        kind.row.push(format!("and {} more", kind.more));
                    }
                    kind.row
                }));
                print(&in_columns(&table));
            }
            let what = match changes.len() {
                0 => "no answer changes".to_owned(),
                1 => "1 answer changes".to_owned(),
                count => format!("{count} answers change"),
            };
            print(&format!(
                "{what}; {requests} requests of {} clients were tried\n",
                clients.len()
            ));
        }
    }
    Ok(if changes.is_empty() {
        Outcome::Fine
    } else {
        Outcome::Found
    })
}

/// The headers that the upstream sees, without tokens, which are no part of a policy.
fn upstream(decided: &Decided) -> Vec<String> {
    match &decided.verdict {
        Verdict::Allowed { headers, .. } => {
            let mut shown: Vec<String> = headers
                .iter()
                .map(|(name, value)| match &**name {
                    "authorization" | "cookie" => name.clone(),
                    name => {
                        crate::explanation::hide(&format!("{name}: {}", String::from_utf8_lossy(value)), &[])
                    }
                })
                .collect();
            shown.sort();
            shown
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
