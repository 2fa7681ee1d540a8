//! Rules that never apply, and rules that let more requests pass than it seems.

use std::rc::Rc;

use super::covers::covers;
use super::{Lints, is_sound};
use crate::core::{self, Config, Request};
use crate::faults::Faults;
use crate::report::Level;
use crate::source::{Node, Value, snake_case};

/// The filter's warning that earlier rules hide this one together.
fn together(parsed: &Config, rule: usize) -> Option<String> {
    let rule = format!("rules[{rule}]");
    parsed.warnings.iter().find_map(|warning| {
        let (place, what) = warning.split_once(": ")?;
        let part = place.strip_prefix(&rule)?;
        let what = what.strip_prefix("never matches: ")?;
        Some(match part {
            "" => format!("this rule never applies: {what}"),
            part => format!(
                "a part of this rule (`{}`) never applies: {what}",
                part.trim_start_matches('.')
            ),
        })
    })
}

impl Lints {
    pub(super) fn rules(&mut self, faults: &Faults, parsed: &Rc<Config>) {
        let config = &faults.config;
        let rules = config.get("rules").map_or(&[][..], Node::elements);
        if let Some(mode) = config.get("mode").filter(|mode| mode.text() == Some("shadow")) {
            let message = "the filter refuses nothing; it only counts";
            self.add(Level::Warning, "shadow-mode", message, mode.place.clone(), "mode");
        }
        for (number, rule) in rules.iter().enumerate() {
            let path = format!("rules[{}]", rule.index);
            let Some(matcher) = rule.get("match").filter(|matcher| is_sound(matcher, faults)) else {
                continue;
            };
            if let Some(mode) = rule.get("mode").filter(|mode| mode.text() == Some("shadow")) {
                let message = "this rule refuses nothing; it only counts";
                self.add(
                    Level::Note,
                    "shadow-mode",
                    message,
                    mode.place.clone(),
                    &format!("{path}.mode"),
                );
            }
            let earlier = rules.iter().take(number).position(|earlier| {
                let earlier = earlier.get("match").filter(|earlier| is_sound(earlier, faults));
                earlier.is_some_and(|earlier| covers(earlier, matcher))
            });
            if let Some(earlier) = earlier.and_then(|earlier| Some((earlier, rules.get(earlier)?))) {
                let (position, earlier) = earlier;
                let waives = core::waives_token(parsed, position) && !core::waives_token(parsed, number);
                let level = if waives { Level::Error } else { Level::Warning };
                let message = match waives {
                    true => format!(
                        "this rule never applies: rules[{}] matches all of its requests, and requires no token",
                        earlier.index
                    ),
                    false => format!(
                        "this rule never applies: rules[{}] matches all of its requests",
                        earlier.index
                    ),
                };
                let place = matcher.place.clone();
                let related = (earlier.place.clone(), "matches them all".to_owned());
                let finding = self.add(level, "unreachable-rule", message, place, &path);
                finding.help = Some("put the narrower rule first, or remove it".to_owned());
                finding.related = Some(related);
                continue;
            }
            if let Some(warning) = together(parsed, number) {
                let level = match core::waives_token(parsed, number) {
                    true => Level::Warning,
                    false => Level::Error,
                };
                let place = matcher.place.clone();
                self.add(level, "unreachable-rule", warning, place, &path);
                continue;
            }
            if core::waives_token(parsed, number) && is_sound(rule, faults) {
                match &matcher.value {
                    Value::List(parts) => parts
                        .iter()
                        .for_each(|part| self.waiver(number, rule, part, parsed, &path)),
                    _ => self.waiver(number, rule, matcher, parsed, &path),
                }
            }
        }
    }

    /// A rule that lets requests pass without a token.
    fn waiver(&mut self, number: usize, rule: &Node, matcher: &Node, parsed: &Rc<Config>, path: &str) {
        let path_field = matcher.members().iter().find(|(key, _)| {
            matches!(
                &*snake_case(&key.name),
                "path" | "prefix" | "path_separated_prefix" | "safe_regex"
            )
        });
        let narrows: Vec<&str> = [
            "methods",
            "hosts",
            "headers",
            "query_parameters",
            "connect_matcher",
            "not",
        ]
        .into_iter()
        .filter(|name| {
            matcher
                .get(name)
                .is_some_and(|node| !matches!(&node.value, Value::List(list) if list.is_empty()))
        })
        .collect();
        let prefix = matcher.text_at(&["prefix"]);
        let pattern = matcher.text_at(&["safe_regex", "regex"]).unwrap_or_default();
        let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
        if (prefix == Some("/") || matches!(pattern, ".*" | "/.*")) && narrows.is_empty() {
            let is_optional = rule.get("requires").is_some();
            let message = match is_optional {
                true => "a request for any resource passes without a token",
                false => "no request needs a token",
            };
            self.add(
                Level::Warning,
                "waives-everything",
                message,
                matcher.place.clone(),
                path,
            )
            .help = Some(
                "name a provider under `requires`, unless an earlier rule matches every request that needs a token"
                    .to_owned(),
            );
            return;
        }
        let by_client = matches!(
            &narrows[..],
            ["headers"] | ["query_parameters"] | ["headers", "query_parameters"]
        );
        if by_client && (path_field.is_none() || prefix == Some("/")) {
            let message =
                "a request with this header or parameter needs no token, and any client can send it";
            let place = matcher.place.clone();
            self.add(Level::Warning, "client-decides", message, place, path)
                .help = Some(
                "match on the path, or on something that only a proxy in front of this one can set"
                    .to_owned(),
            );
        }
        if let Some(pattern) = matcher.at(&["safe_regex", "regex"]) {
            self.waiving_pattern(number, matcher, pattern, parsed, path);
        }
        let Some(prefix) = prefix.filter(|prefix| !prefix.ends_with('/')) else {
            return;
        };
        // The filter's own warning about paths that continue without a slash.
        let examples: Vec<String> = [
            format!("{prefix}-admin"),
            format!("{prefix}x/secret"),
            format!("{prefix}.json"),
        ]
        .into_iter()
        .filter(|target| {
            let method = matcher
                .get("methods")
                .and_then(|methods| methods.text().or_else(|| methods.elements().first()?.text()))
                .unwrap_or("GET");
            let matches = core::rule_matches(parsed, number, &Request::new(method, target));
            matches.is_literal || !narrows.is_empty()
        })
        .map(|target| format!("`{target}`"))
        .collect();
        if let Some((_, node)) = path_field
            && !examples.is_empty()
        {
            let message = format!("this lets {} pass without a token as well", examples.join(", "));
            self.add(
                Level::Warning,
                "wide-waiver",
                message,
                node.place.clone(),
                &format!("{path}.match.prefix"),
            )
            .help = Some(format!(
                "write `path: {prefix}` for this path alone, or `path_separated_prefix: {prefix}` for the paths below it"
            ));
        }
    }

    /// A pattern that goes on after a name (`/public.*`), or that only looks at how a path ends (`.*\.css`).
    fn waiving_pattern(
        &mut self,
        number: usize,
        matcher: &Node,
        pattern: &Node,
        parsed: &Rc<Config>,
        path: &str,
    ) {
        let Some(text) = pattern.text() else { return };
        let bare = text.trim_start_matches('^').trim_end_matches('$');
        let mut examples: Vec<String> = Vec::new();
        let mut help = "write `/` before the part that may follow: `(/.*)?`";
        if let Some(name) = bare.strip_suffix(".*") {
            let name = name.replace('\\', "");
            let is_literal = |letter: char| letter.is_ascii_alphanumeric() || "/-_.~".contains(letter);
            if name.chars().all(is_literal) && !name.ends_with('/') && name.len() > 1 {
                examples.extend(["-admin", "x/secret"].map(|rest| format!("{name}{rest}")));
            }
        }
        let any_start = bare.strip_prefix(".*").or_else(|| bare.strip_prefix("/.*"));
        if let Some(ending) = any_start.filter(|ending| !ending.is_empty()) {
            // Of a group the first alternative.
            let ending = ending.replace("(?:", "(").replace('\\', "");
            let ending = match (ending.split_once('('), ending.split_once(')')) {
                (Some((before, group)), Some((_, after))) => {
                    let first = group.split(['|', ')']).next().unwrap_or_default();
                    format!("{before}{first}{after}")
                }
                _ => ending,
            };
            examples.push(format!("/admin/x{ending}"));
            examples.push(format!("/admin/x{}", ending.trim_start_matches('/')));
            help = "begin the pattern with a folder: many applications treat `/admin/x.css` as `/admin`";
        }
        let method = matcher.get("methods");
        let method = method.and_then(|methods| methods.text().or_else(|| methods.elements().first()?.text()));
        examples.retain(|target| {
            let request = Request::new(method.unwrap_or("GET"), target);
            core::rule_matches(parsed, number, &request).is_literal
        });
        examples.dedup();
        if !examples.is_empty() {
            let shown: Vec<String> = examples.iter().map(|example| format!("`{example}`")).collect();
            let message = format!("this lets {} pass without a token as well", shown.join(", "));
            let path = format!("{path}.match.safe_regex");
            self.add(
                Level::Warning,
                "wide-waiver",
                message,
                pattern.place.clone(),
                &path,
            )
            .help = Some(help.to_owned());
        }
    }
}
