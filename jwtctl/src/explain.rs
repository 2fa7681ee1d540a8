//! `jwtctl explain`.

use clap::Args;

use proxy_wasm_jwt::denial::Reason;

use crate::core::steps::{self, Way};
use crate::core::{self, Verdict};
use crate::explanation::{hide, to_json, to_text};
use crate::setup::{self, Policy, RequestArguments};
use crate::{Outcome, Output, print, report};

/// Show step by step how the filter decides a request and its token, and why
///
/// Prints the rule that applies and why earlier rules do not, every check of the token with the actual and
/// the expected value, and the reply of Envoy or the headers for the upstream. Never prints a signature or a
/// whole token. Exits with 1 if the filter refuses the request.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jwtctl explain envoy.yaml https://api.example.com/orders --token @token.txt --keys jwks.json
  jwtctl explain envoy.yaml --fetch --curl \"curl https://api.example.com/orders -H 'authorization: Bearer eyJ…'\"
  jwtctl explain envoy.yaml /admin -X DELETE --token - --time 2026-01-31T12:00:00Z < token.txt")]
pub(crate) struct Arguments {
    #[command(flatten)]
    policy: Policy,
    #[command(flatten)]
    request: RequestArguments,
    /// The time of the request: as in 2026-01-31T12:00:00Z, or seconds since 1970 [default: now]
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// Print only the rule that applies, the checks that fail, and the decision
    #[arg(long, short)]
    brief: bool,
    /// How to print the answer
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome, String> {
    let given = arguments.time.as_deref().map(setup::parse_time).transpose()?;
    let loaded = setup::load(
        &arguments.policy.config,
        &arguments.policy.keys,
        given.unwrap_or_else(setup::now),
    )?;
    for name in &loaded.unread_keys {
        eprintln!(
            "jwtctl: only Envoy can read the keys of {0}, so none of its tokens is valid here; add --keys {0}=FILE",
            report::printable(name)
        );
    }
    let (request, at) = arguments.request.request(&loaded.config)?;
    let now = given.or(at).unwrap_or_else(setup::now);
    let mut way = steps::walk(&loaded.node, &loaded.config, &request, now);
    advise_on_keys(&mut way, &loaded.unfetched);
    if arguments.brief {
        way.shorten();
    }
    let decided = core::decide(&loaded.config, &request, now);
    let text = match arguments.output {
        Output::Text => to_text(&request, now, &way, &decided, report::colours_stdout()),
        Output::Json => format!("{:#}\n", to_json(&request, now, &way, &decided)),
    };
    print(&hide(&text, &way.secrets));
    Ok(match decided.verdict {
        Verdict::Refused { .. } => Outcome::Found,
        Verdict::Allowed { .. } | Verdict::Answered(_) => Outcome::Fine,
    })
}

/// Says why the keys of a check could not be fetched, or how to get them. The page shows the same checks, and
/// has no options.
fn advise_on_keys(way: &mut Way, unfetched: &[(String, String)]) {
    let mut is_advised = false;
    for provider in &mut way.providers {
        let fault = unfetched.iter().find(|(name, _)| *name == provider.provider);
        for step in &mut provider.steps {
            if step.reason != Some(Reason::KeysUnavailable.label()) {
                continue;
            }
            if let Some((_, fault)) = fault {
                step.expected.push_str(&format!("; fetching it failed: {fault}"));
            }
            let advice = match fault {
                Some(_) => "use --keys FILE",
                None => "use --keys FILE, or --fetch",
            };
            if !std::mem::replace(&mut is_advised, true) {
                eprintln!("jwtctl: without the issuer's keys, no token is valid here; {advice}");
            }
        }
    }
}
