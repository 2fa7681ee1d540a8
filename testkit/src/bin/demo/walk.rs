//! Takes the steps one by one, shows each, and judges it.

use std::path::Path;
use std::process::ExitCode;

use testkit::{Client, Echo, Response};

use crate::key;
use crate::screen::Screen;
use crate::stack::{JWKS, Stack};
use crate::steps::{Ask, Challenge, Expect, Step, World, steps};

/// Walks through every step; success only if each was as expected.
pub(crate) fn walk(key_dir: &Path) -> Result<ExitCode, String> {
    let key = key::stable(key_dir)?;
    let world = World::new(Stack::start(&key)?, key);
    let screen = Screen::new();
    let steps = steps();
    let taken: Vec<bool> = steps
        .iter()
        .enumerate()
        .map(|(n, step)| take(&screen, &world, n + 1, step))
        .collect();
    let expected = taken.iter().filter(|as_expected| **as_expected).count();
    let summary = format!("{} steps, {expected} as expected", taken.len());
    if expected == taken.len() {
        println!("{}", screen.good(&summary));
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("--- Envoy's log\n{}---", world.stack.envoy.log());
    println!("{}", screen.bad(&summary));
    Ok(ExitCode::FAILURE)
}

fn take(screen: &Screen, world: &World, number: usize, step: &Step) -> bool {
    println!("{}", screen.bold(&format!("{number:>2}  {}", step.title)));
    (step.before)(world);
    let ask = (step.ask)(world);
    let addr = world.stack.envoy.addr(step.listener);
    println!("    {}", screen.dim(&curl(&format!("http://{addr}"), &ask)));
    let fetches = world.stack.issuer.fetches(JWKS);
    let outcome = Client::new(addr).try_request(ask.request);
    let fetches = world.stack.issuer.fetches(JWKS) - fetches;
    let faults = match outcome {
        Ok(response) => {
            show(&response);
            if step.expect.fetches.is_some() {
                println!("         requests to the issuer meanwhile: {fetches}");
            }
            judge(&step.expect, &response, fetches)
        }
        Err(error) => {
            println!("    no answer: {error}");
            vec!["an answer".into()]
        }
    };
    if faults.is_empty() {
        println!("    {}\n", screen.good("as expected"));
    } else {
        println!(
            "    {}\n",
            screen.bad(&format!("NOT as expected: wanted {}", faults.join("; ")))
        );
    }
    faults.is_empty()
}

/// The request as a command to type, without its tokens.
fn curl(base: &str, ask: &Ask) -> String {
    // curl normalizes paths by default.
    let flag = if ask.request.path.contains("/..") {
        "--path-as-is "
    } else {
        ""
    };
    let quoted = |header: &String| match header.contains('\\') {
        true => format!("-H $'{header}' "),
        false => format!("-H '{header}' "),
    };
    let headers: String = ask.shown.iter().map(quoted).collect();
    format!("curl {flag}{headers}{base}{}", ask.request.path)
}

fn show(response: &Response) {
    println!("    {}", response.status);
    for name in ["www-authenticate", "retry-after"] {
        for value in response.header_values(name) {
            println!("         {name}: {value}");
        }
    }
    if let Some(reason) = response.reason() {
        println!("         reason: {reason}");
    }
    if response.text().starts_with("{\"resource\"") {
        println!("         {}", response.text());
    }
    if let Some(echo) = response.try_echo() {
        println!("         upstream saw {}", seen(&echo));
    }
}

/// The headers that the filter writes. The payload is a part of a token, so only its size is shown.
fn seen(echo: &Echo) -> String {
    let owned = echo.headers.iter().filter(|(name, _)| name.starts_with("x-jwt-"));
    let mut seen: Vec<_> = owned
        .map(|(name, value)| match name.as_str() {
            "x-jwt-payload" => format!("{name}: <{} characters>", value.len()),
            _ => format!("{name}: {value}"),
        })
        .collect();
    if seen.is_empty() {
        seen.push("no claim header".into());
    }
    seen.push(if echo.header_values("authorization").is_empty() {
        "no authorization".into()
    } else {
        "authorization: <the token>".into()
    });
    seen.join(", ")
}

/// The unexpected parts, each with the expectation.
fn judge(expect: &Expect, response: &Response, fetches: usize) -> Vec<String> {
    let mut wanted = Vec::new();
    let mut hold = |holds: bool, want: String| {
        if !holds {
            wanted.push(want);
        }
    };
    hold(
        response.status == expect.status,
        format!("status {}", expect.status),
    );
    let reason = response.reason();
    hold(
        reason.as_deref() == expect.reason,
        format!("reason {}", expect.reason.unwrap_or("none")),
    );
    let challenges = response.header_values("www-authenticate");
    let challenge = challenges.join(", ");
    match expect.challenge {
        Challenge::Absent => hold(challenges.is_empty(), "no challenge".into()),
        Challenge::Bare => hold(
            challenge.starts_with("Bearer realm=\"") && !challenge.contains("error="),
            "a challenge without error".into(),
        ),
        Challenge::Error(error) => hold(
            challenge.starts_with("Bearer ") && challenge.contains(&format!("error=\"{error}\"")),
            format!("a challenge with error {error}"),
        ),
    }
    let retry_after = !response.header_values("retry-after").is_empty();
    let want = if expect.retry_after {
        "retry-after"
    } else {
        "no retry-after"
    };
    hold(retry_after == expect.retry_after, want.into());
    if !expect.upstream.is_empty() {
        let echo = response.try_echo();
        hold(echo.is_some(), "the upstream's answer".into());
        for (name, value) in &expect.upstream {
            let values = echo
                .as_ref()
                .map(|echo| echo.header_values(name))
                .unwrap_or_default();
            let want = value.map_or_else(
                || format!("no {name} upstream"),
                |value| format!("{name}: {value} upstream"),
            );
            hold(values == value.as_slice(), want);
        }
    }
    if let Some(expected) = expect.fetches {
        hold(fetches == expected, format!("{expected} requests to the issuer"));
    }
    wanted
}
