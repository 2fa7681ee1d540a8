//! The interface for the page in the browser: a question as JSON, and its answer as JSON. The time is a part
//! of the question.
//!
//! The question has these members. All except `now` are texts, and all except `config` and `request` are
//! optional:
//!
//! | member | what it is |
//! | --- | --- |
//! | `config` | any file that `jwtctl check` reads |
//! | `filter` | which of the file's configurations, from 1 |
//! | `request` | a curl command, a line of an access log, or a method, a URL and lines with header fields |
//! | `token`, `dpop` | a token and a proof of possession to put into the request |
//! | `keys` | a key set in the place of those that the issuers have |
//! | `certificate`, `address`, `requirement`, `filter_state` | what Envoy knows of the connection and the route |
//! | `time` | when the request comes, in place of `now` and of the time in the log's line |
//! | `now` | milliseconds since 1970 |
//!
//! The answer has `findings`, as `jwtctl check` prints them; and either `error`, which names the member at
//! fault, or `explanation` and `text`, as `jwtctl explain` prints them, with the providers whose keys are
//! `missing`.

use std::rc::Rc;

use serde_json::{Value, json};

use crate::core::{self, Request, UnixTime, Verdict, steps};
use crate::explanation::{hide, to_json, to_text};
use crate::faults::Faults;
use crate::input::{self, Contents};
use crate::policy::Loaded;
use crate::report::{self, File};
use crate::{findings, forms};

/// Answers a question. Question and answer are UTF-8. The answer to an invalid question is an error.
#[must_use]
pub fn answer(question: &str) -> String {
    let asked = match serde_json::from_str::<Value>(question) {
        Ok(asked) => asked,
        Err(error) => return json!({"findings": [], "error": {"message": error.to_string()}}).to_string(),
    };
    let question = Question(&asked);
    let text = question.text("config");
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
    let contents = input::search(&Rc::new(File {
        name: "configuration".to_owned(),
        text,
    }));
    let (findings, faults) = findings::find(&contents);
    let mut findings = report::to_json(&findings);
    let mut answer = match question.explain(&contents, faults) {
        Ok(explained) => explained,
        Err(Fault { member, message }) => {
            json!({"error": {"member": member, "message": report::printable(&message)}})
        }
    };
    if let Some(answer) = answer.as_object_mut() {
        let found = findings.get_mut("findings").map(Value::take);
        answer.insert("findings".to_owned(), found.unwrap_or_default());
        answer.insert("configurations".to_owned(), contents.found.len().into());
    }
    hide(&answer.to_string(), &[])
}

/// The fault of a question.
struct Fault {
    member: &'static str,
    message: String,
}

/// A fault of any kind in this member.
fn of(member: &'static str) -> impl Fn(String) -> Fault {
    move |message| Fault {
        member,
        message: hide(&message, &[]),
    }
}

struct Question<'v>(&'v Value);

impl Question<'_> {
    fn text(&self, member: &str) -> &str {
        self.0.get(member).and_then(Value::as_str).unwrap_or_default()
    }

    /// An optional text.
    fn given(&self, member: &str) -> Option<String> {
        let text = self.text(member).trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// `faults` has those of each configuration.
    fn explain(&self, contents: &Contents, faults: Vec<Faults>) -> Result<Value, Fault> {
        let position = self.choose(contents)?;
        let nothing = || of("config")("the configuration is missing".to_owned());
        let faults = faults.into_iter().nth(position).ok_or_else(nothing)?;
        let parsed = faults.parsed.filter(|_| faults.findings.is_empty());
        let config = parsed
            .ok_or_else(|| "the filter refuses this configuration".to_owned())
            .map_err(of("config"))?;
        let loaded = Loaded {
            node: faults.config,
            config,
            unread_keys: faults.unread_keys,
            unfetched: Vec::new(),
        };
        let (loaded, missing) = self.with_keys(loaded)?;
        let (request, at) = self.request(&loaded)?;
        let now = match self.given("time") {
            Some(time) => forms::parse_time(&time).map_err(of("time"))?,
            None => at.unwrap_or_else(|| {
                UnixTime::from_millis(self.0.get("now").and_then(Value::as_u64).unwrap_or_default())
            }),
        };
        let way = steps::walk(&loaded.node, &loaded.config, &request, now);
        let decided = core::decide(&loaded.config, &request, now);
        // Without keys, the answer depends on the keys only if a signature has to be checked.
        let lacks_keys =
            matches!(&decided.verdict, Verdict::Refused { reason, .. } if *reason == "keys_unavailable");
        let answer = json!({
            "explanation": to_json(&request, now, &way, &decided),
            "text": to_text(&request, now, &way, &decided, false),
            "missing": if lacks_keys { missing } else { Vec::new() },
        });
        let shown = hide(&answer.to_string(), &way.secrets);
        Ok(serde_json::from_str(&shown).unwrap_or_default())
    }

    /// The position of the configuration in the question.
    fn choose(&self, contents: &Contents) -> Result<usize, Fault> {
        if let Some(unread) = contents.unread.first() {
            return Err(of("config")(unread.message.clone()));
        }
        let all = &contents.found;
        match (all.as_slice(), self.given("filter")) {
            ([], _) => Err(of("config")(
                "the text has no configuration of the filter".to_owned(),
            )),
            ([_], None) => Ok(0),
            (_, None) => Err(of("filter")(format!(
                "the text has {} configurations; choose one by its number",
                all.len()
            ))),
            (_, Some(number)) => {
                let position = number
                    .parse()
                    .ok()
                    .and_then(|number: usize| number.checked_sub(1));
                position.filter(|position| *position < all.len()).ok_or_else(|| {
                    of("filter")(format!(
                        "the text has only {} configurations, so there is no number {number}",
                        all.len()
                    ))
                })
            }
        }
    }

    /// The configuration with the keys in place, and the names of the providers that have none.
    fn with_keys(&self, loaded: Loaded) -> Result<(Loaded, Vec<String>), Fault> {
        let remote = core::remote_providers(&loaded.config);
        let Some(keys) = self.given("keys") else {
            return Ok((loaded, remote));
        };
        // One key set for all, or one for each provider by its name.
        let by_name = match serde_json::from_str::<Value>(&keys) {
            Ok(Value::Object(members)) if !members.is_empty() && !members.contains_key("keys") => members,
            _ => remote.iter().map(|name| (name.clone(), Value::Null)).collect(),
        };
        let mut given = Vec::new();
        for (name, document) in by_name {
            if !core::providers(&loaded.config).contains(&name) {
                return Err(of("keys")(format!(
                    "no provider is named `{name}`, and the document has no member `keys`"
                )));
            }
            let document = match document {
                Value::Null => keys.clone(),
                document => document.to_string(),
            };
            core::check_keys(document.as_bytes()).map_err(of("keys"))?;
            given.push((name, document));
        }
        let missing = remote
            .into_iter()
            .filter(|name| given.iter().all(|(known, _)| known != name));
        let missing = missing.collect();
        let loaded = loaded.with_keys(given).map_err(of("keys"))?;
        Ok((loaded, missing))
    }

    fn request(&self, loaded: &Loaded) -> Result<(Request, Option<UnixTime>), Fault> {
        let (mut request, at) = forms::from_text(self.text("request"), &|name| {
            Err(format!(
                "the command contains the variable `{name}`, which this page does not have; write its value"
            ))
        })
        .map_err(of("request"))?;
        let around = forms::Around {
            token: self.given("token"),
            dpop: self.given("dpop"),
            certificate: self.given("certificate"),
            address: self.given("address"),
            requirement: self.given("requirement"),
            filter_state: self.given("filter_state"),
        };
        around.put(&loaded.config, &mut request);
        Ok((request, at))
    }
}
