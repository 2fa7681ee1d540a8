//! Rules that never apply, and rules that let more requests pass than it seems.

use std::rc::Rc;

use super::contradictions::contradiction;
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

/// A method of the requests that a match takes.
fn method_of(matcher: &Node) -> &str {
    let methods = matcher.get("methods");
    let first = methods.and_then(|methods| methods.text().or_else(|| methods.elements().first()?.text()));
    first.unwrap_or("GET")
}

/// Whether a pattern has `|` outside of groups.
fn has_open_alternatives(pattern: &str) -> bool {
    let mut depth = 0_usize;
    pattern.chars().any(|letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == '|' && depth == 0
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
            let parts = match &matcher.value {
                Value::List(parts) => parts.as_slice(),
                _ => std::slice::from_ref(matcher),
            };
            let never: Vec<_> = parts.iter().filter_map(contradiction).collect();
            for (place, why) in &never {
                let what = match never.len() == parts.len() {
                    true => "this rule never applies",
                    false => "a part of this rule never applies",
                };
                let message = format!("{what}: {why}");
                self.add(Level::Error, "unreachable-rule", message, place.clone(), &path)
                    .help = Some("write a rule for each of the values, or a list of matches".to_owned());
            }
            if never.len() == parts.len() {
                continue;
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
                for part in parts.iter().filter(|part| contradiction(part).is_none()) {
                    self.waiver(number, rule, part, parsed, &path);
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
        let takes_all = match path_field {
            None => true,
            Some(_) => matches!(prefix, Some("/")) || matches!(pattern, ".*" | "/.*"),
        };
        if takes_all && matches!(&narrows[..], [] | ["hosts"]) {
            let is_optional = rule.get("requires").is_some();
            let to = match matcher.get("hosts") {
                Some(hosts) if !narrows.is_empty() => {
                    let hosts = hosts.elements().iter().chain(Some(hosts)).filter_map(Node::text);
                    let hosts: Vec<String> = hosts.map(|host| format!("`{host}`")).collect();
                    format!(" to {}", hosts.join(", "))
                }
                _ => String::new(),
            };
            let message = match is_optional {
                true => format!("a request{to} for any resource, such as `/admin`, passes without a token"),
                false => format!("no request{to} needs a token, not even one for `/admin`"),
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
        if takes_all && let Some(exclusion) = matcher.get("not") {
            self.narrow_exclusion(number, matcher, exclusion, parsed, path);
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
            let matches = core::rule_matches(parsed, number, &Request::new(method_of(matcher), target));
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

    /// A rule that waives the token for all paths but one: it also waives the token below that path.
    fn narrow_exclusion(
        &mut self,
        number: usize,
        matcher: &Node,
        exclusion: &Node,
        parsed: &Rc<Config>,
        path: &str,
    ) {
        let parts = match &exclusion.value {
            Value::List(parts) => parts.as_slice(),
            _ => std::slice::from_ref(exclusion),
        };
        let (mut examples, mut place) = (Vec::new(), None);
        for part in parts {
            let Some(excluded) = part.get("path") else {
                continue;
            };
            let name = excluded.text().unwrap_or_default();
            let below = format!("{}/x", name.trim_end_matches('/'));
            let request = Request::new(method_of(matcher), &below);
            if core::rule_matches(parsed, number, &request).is_literal {
                examples.push(format!("`{below}`"));
                place = place.or(Some(excluded.place.clone()));
            }
        }
        let Some(place) = place else { return };
        let message = format!("this lets {} pass without a token as well", examples.join(", "));
        let path = format!("{path}.match.not");
        self.add(Level::Warning, "wide-waiver", message, place, &path)
            .help = Some("write `path_separated_prefix` to exclude the paths below it, too".to_owned());
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
            // A pattern with alternatives at its top level may end otherwise.
            let names = match has_open_alternatives(name) {
                true => Vec::new(),
                false => crate::examples::examples(name),
            };
            let first = names
                .into_iter()
                .find(|name| !name.ends_with('/') && name.len() > 1);
            examples.extend(
                first
                    .iter()
                    .flat_map(|name| ["-admin", "x/secret"].map(|rest| format!("{name}{rest}"))),
            );
        }
        let any_start = bare.strip_prefix(".*").or_else(|| bare.strip_prefix("/.*"));
        if let Some(ending) = any_start.filter(|ending| !ending.is_empty()) {
            // The first alternative of a group.
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
        examples.retain(|target| {
            let request = Request::new(method_of(matcher), target);
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
