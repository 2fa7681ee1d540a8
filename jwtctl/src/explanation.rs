//! Writes the steps from a request to its decision, for people and for programs, without tokens and
//! signatures.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::core::steps::{Step, Way};
use crate::core::{Basis, Change, Decided, Reply, Request, UnixTime, Verdict};
use crate::report;

/// A shorter text is not a token, and hiding such texts would hide half of the answer.
const SHORTEST: usize = 16;

/// The text without any tokens and signatures.
pub(crate) fn hide(text: &str, secrets: &[Vec<u8>]) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        let Ok(secret) = std::str::from_utf8(secret) else {
            continue;
        };
        if secret.len() >= SHORTEST {
            text = text.replace(secret, "<token>");
        }
        if let Some((_, signature)) = secret
            .rsplit_once('.')
            .filter(|(_, signature)| signature.len() >= SHORTEST)
        {
            text = text.replace(signature, "<signature>");
        }
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find("eyJ") {
        let (before, token) = rest.split_at(start);
        shown.push_str(before);
        let length = jws_length(token);
        match length {
            0 => {
                shown.push_str("eyJ");
                rest = token.get(3..).unwrap_or_default();
            }
            length => {
                shown.push_str("<token>");
                rest = token.get(length..).unwrap_or_default();
            }
        }
    }
    shown.push_str(rest);
    shown
}

/// The length of a compact JWS at the beginning of the text, or 0 if there is none. Its dots may be
/// percent-encoded.
fn jws_length(text: &str) -> usize {
    let mut length = 0;
    let mut dots = 0;
    while let Some(rest) = text.get(length..) {
        let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        length += match rest.as_bytes() {
            [byte, ..] if is_letter(byte) => 1,
            [b'.', ..] if dots < 4 => {
                dots += 1;
                1
            }
            [b'%', b'2', b'e' | b'E', ..] if dots < 4 => {
                dots += 1;
                3
            }
            _ => break,
        };
    }
    if dots >= 2 { length } else { 0 }
}

/// A header's value in a form that may be printed.
fn shown_value(name: &str, value: &[u8]) -> String {
    match name {
        "authorization" | "proxy-authorization" | "cookie" | "dpop" => format!("<{} bytes>", value.len()),
        _ => String::from_utf8_lossy(value).into_owned(),
    }
}

struct Paint(bool);

impl Paint {
    fn mark(&self, passed: Option<bool>) -> &'static str {
        match (passed, self.0) {
            (Some(true), false) => "✓",
            (Some(false), false) => "✗",
            (None, false) => "·",
            (Some(true), true) => "\u{1b}[32m✓\u{1b}[0m",
            (Some(false), true) => "\u{1b}[31m✗\u{1b}[0m",
            (None, true) => "\u{1b}[2m·\u{1b}[0m",
        }
    }

    fn title(&self, text: &str) -> String {
        match self.0 {
            true => format!("\u{1b}[1m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

/// The whole way for people.
pub(crate) fn to_text(
    request: &Request,
    now: UnixTime,
    way: &Way,
    decided: &Decided,
    is_coloured: bool,
) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write_text(&mut text, request, now, way, decided, &Paint(is_coloured));
    text
}

fn write_text(
    to: &mut String,
    request: &Request,
    now: UnixTime,
    way: &Way,
    decided: &Decided,
    paint: &Paint,
) -> std::fmt::Result {
    let clean = report::printable;
    let line = format!("{} {}", request.method, request.target);
    writeln!(
        to,
        "{} to {} at {now}",
        paint.title(&clean(&line)),
        clean(&request.authority)
    )?;
    writeln!(to)?;
    for rule in &way.rules {
        let mark = paint.mark(if rule.taken { Some(true) } else { None });
        let word = if rule.taken { "matches" } else { "does not apply" };
        writeln!(
            to,
            "{mark} {} {word}: {}",
            clean(&rule.name),
            clean(&rule.matcher)
        )?;
        for why in &rule.because {
            writeln!(to, "    {}", clean(why))?;
        }
    }
    if !way.rules.iter().any(|rule| rule.taken) {
        let what = match &*way.chosen {
            "default" => "no rule matches, so every request needs a token",
            chosen => chosen,
        };
        writeln!(to, "{} {}", paint.mark(Some(true)), clean(what))?;
    }
    if !way.also.is_empty() {
        writeln!(
            to,
            "  servers may interpret this request differently; it must also meet: {}",
            clean(&way.also.join(", "))
        )?;
    }
    writeln!(to, "  needs {}", clean(&way.needs))?;
    if way.is_shadowed {
        writeln!(to, "  shadow mode: the filter only counts a refusal")?;
    }
    for token in &way.tokens {
        writeln!(to)?;
        writeln!(
            to,
            "{}",
            paint.title(&format!("token in {}", clean(&token.location)))
        )?;
        match &token.header {
            Some(header) => writeln!(to, "  header {}", clean(header))?,
            None => writeln!(to, "jwtctl cannot decode the token")?,
        }
        if let Some(claims) = &token.claims {
            writeln!(to, "  claims {}", clean(claims))?;
        }
    }
    for provider in &way.providers {
        writeln!(to)?;
        let title = match provider.provider.is_empty() {
            true => "credentials".to_owned(),
            false => format!("provider {}", clean(&provider.provider)),
        };
        writeln!(to, "{}", paint.title(&title))?;
        let width = provider
            .steps
            .iter()
            .map(|step| step.name.chars().count())
            .max()
            .unwrap_or_default();
        for step in &provider.steps {
            write_step(to, step, width, paint)?;
        }
    }
    writeln!(to)?;
    match &decided.verdict {
        Verdict::Allowed {
            basis,
            target,
            headers,
            changed,
            shadowed,
            state,
        } => {
            let why = match basis {
                Basis::Verified(provider) => format!("with a token of {}", clean(provider)),
                Basis::Anonymous => "without a verified token".to_owned(),
                Basis::Bypassed => "no token is needed".to_owned(),
            };
            writeln!(to, "{} allowed, {why}", paint.mark(Some(true)))?;
            if let Some(reason) = shadowed {
                writeln!(
                    to,
                    "  shadow mode: if it enforced the rule, the filter would refuse the request with {reason}"
                )?;
            }
            writeln!(to, "the upstream sees")?;
            writeln!(to, "  {} {}", clean(&request.method), clean(target))?;
            for (name, value) in headers {
                let is_set = changed
                    .iter()
                    .any(|(known, change)| known == name && *change == Change::Set);
                let mark = if is_set { "+" } else { " " };
                writeln!(to, "{mark} {}: {}", clean(name), clean(&shown_value(name, value)))?;
            }
            for (name, _) in changed.iter().filter(|(_, change)| *change == Change::Removed) {
                writeln!(to, "- {}", clean(name))?;
            }
            for (name, value) in state {
                writeln!(
                    to,
                    "  filter state wasm.jwt.metadata.{}: {}",
                    clean(name),
                    clean(value)
                )?;
            }
        }
        Verdict::Refused {
            reason,
            detail,
            reply,
        } => {
            let detail = match detail.is_empty() {
                true => String::new(),
                false => format!(" ({})", clean(detail)),
            };
            writeln!(to, "{} refused: {reason}{detail}", paint.mark(Some(false)))?;
            write_reply(to, reply)?;
        }
        Verdict::Answered(reply) => {
            writeln!(
                to,
                "{} the filter answers this request itself",
                paint.mark(Some(true))
            )?;
            write_reply(to, reply)?;
        }
    }
    Ok(())
}

fn write_step(to: &mut String, step: &Step, width: usize, paint: &Paint) -> std::fmt::Result {
    let clean = report::printable;
    let padding = " ".repeat(width.saturating_sub(step.name.chars().count()));
    let seen = match step.seen.is_empty() {
        true => "–".to_owned(),
        false => clean(&step.seen),
    };
    write!(
        to,
        "{} {}{padding}  {seen}",
        paint.mark(step.passed),
        clean(&step.name)
    )?;
    if let Some(reason) = step.reason {
        write!(to, "  [{reason}]")?;
    }
    writeln!(to)?;
    if step.passed != Some(true) && !step.expected.is_empty() {
        writeln!(to, "  {}  expected: {}", " ".repeat(width), clean(&step.expected))?;
    }
    Ok(())
}

fn write_reply(to: &mut String, reply: &Reply) -> std::fmt::Result {
    writeln!(to, "  HTTP {}", reply.status)?;
    for (name, value) in &reply.headers {
        writeln!(to, "  {name}: {}", report::printable(value))?;
    }
    if !reply.body.is_empty() {
        writeln!(to, "\n  {}", report::printable(&reply.body))?;
    }
    Ok(())
}

/// A decision for programs.
pub(crate) fn decision_json(decided: &Decided) -> Value {
    let of_reply =
        |reply: &Reply| json!({"status": reply.status, "headers": reply.headers, "body": reply.body});
    match &decided.verdict {
        Verdict::Allowed {
            basis,
            target,
            headers,
            changed,
            shadowed,
            state,
        } => {
            let names = |wanted: Change| -> Vec<&str> {
                changed
                    .iter()
                    .filter(|(_, change)| *change == wanted)
                    .map(|(name, _)| name.as_str())
                    .collect()
            };
            let headers: Vec<(&str, String)> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), shown_value(name, value)))
                .collect();
            json!({
                "outcome": "allowed",
                "rule": decided.rule,
                "basis": match basis {
                    Basis::Verified(_) => "verified",
                    Basis::Anonymous => "anonymous",
                    Basis::Bypassed => "bypassed",
                },
                "provider": match basis {
                    Basis::Verified(provider) => Some(provider),
                    _ => None,
                },
                "shadowed": shadowed,
                "upstream": {
                    "target": target,
                    "headers": headers,
                    "set": names(Change::Set),
                    "removed": names(Change::Removed),
                },
                "filter_state": state,
            })
        }
        Verdict::Refused {
            reason,
            detail,
            reply,
        } => json!({
            "outcome": "refused",
            "rule": decided.rule,
            "reason": reason,
            "detail": detail,
            "reply": of_reply(reply),
        }),
        Verdict::Answered(reply) => json!({"outcome": "answered", "reply": of_reply(reply)}),
    }
}

/// The whole way for programs.
pub(crate) fn to_json(request: &Request, now: UnixTime, way: &Way, decided: &Decided) -> Value {
    let parsed = |text: &Option<String>| {
        text.as_ref()
            .map(|text| serde_json::from_str::<Value>(text).unwrap_or_else(|_| json!(text)))
    };
    json!({
        "request": {"method": request.method, "target": request.target, "authority": request.authority},
        "time": now.to_string(),
        "rules": way.rules.iter().map(|rule| json!({
            "name": rule.name,
            "match": serde_json::from_str::<Value>(&rule.matcher).unwrap_or(Value::Null),
            "taken": rule.taken,
            "because": rule.because,
        })).collect::<Vec<_>>(),
        "chosen": way.chosen,
        "also": way.also,
        "needs": way.needs,
        "tokens": way.tokens.iter().map(|token| json!({
            "location": token.location,
            "header": parsed(&token.header),
            "claims": parsed(&token.claims),
        })).collect::<Vec<_>>(),
        "providers": way.providers.iter().map(|provider| json!({
            "provider": provider.provider,
            "location": provider.location,
            "steps": provider.steps.iter().map(|step| json!({
                "name": step.name,
                "passed": step.passed,
                "seen": step.seen,
                "expected": step.expected,
                "reason": step.reason,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "decision": decision_json(decided),
    })
}
