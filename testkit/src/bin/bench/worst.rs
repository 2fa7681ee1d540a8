//! The worst requests that a client without a token can send at Envoy's limit for headers, 60 KiB: the cost
//! of each in Envoy, compared with an ordinary request and with jwt_authn with the same rules.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testkit::{Bootstrap, EnvoyProcess, Listener, Random, WasmFilter, raw_exchange, status_of};

use crate::stack::{Times, answer, jwt_authn_rules, ours_rules, pin};
use crate::tokens::Keys;

pub(crate) const NAME: &str = "worst request";

/// How often the bench sends each, one after the other.
const TIMES: u32 = 15;
const LENGTH: usize = 57_000;

/// The cost of one kind of request, in µs of processor time.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) name: &'static str,
    /// An ordinary one, with the same rules.
    pub(crate) plain: f64,
    pub(crate) ours: f64,
    pub(crate) native: f64,
    /// The worst ratio of the two for the same request.
    pub(crate) ratio: f64,
    /// The most that it may cost beyond a request without a filter, or in multiples of an ordinary one.
    pub(crate) limit: Limit,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    Micros(f64),
    Plain(f64),
}

impl Cost {
    /// In words, the figure, and whether it is within its limit.
    pub(crate) fn verdict(&self) -> (String, f64, bool) {
        let ours = self.ours;
        let beside = format!("{:.2} of jwt_authn's, plain {:.0} µs", self.ratio, self.plain);
        match self.limit {
            Limit::Micros(limit) => (
                format!("{ours:.0} µs, {beside}, goal {limit:.0} µs and 1"),
                ours,
                ours <= limit && self.ratio <= 1.0,
            ),
            Limit::Plain(limit) => (
                format!("{ours:.0} µs, {beside}, goal {limit:.0} × plain"),
                ours / self.plain,
                ours <= limit * self.plain,
            ),
        }
    }
}

struct Kind {
    name: &'static str,
    rules: Vec<Value>,
    requests: Vec<Vec<u8>>,
    limit: Limit,
}

/// A text in which every pattern finds a match, or almost a match, again and again.
fn candidates(patterns: std::ops::Range<usize>, ends: &[&str]) -> String {
    let mut random = Random::new(7);
    let mut text = "/x".to_owned();
    while text.len() < LENGTH {
        let end = ends[random.below(ends.len())];
        let number = patterns.start + random.below(patterns.len());
        text += &format!("/svc{number}{end}");
    }
    text
}

fn request(path: &str, header: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{header}\r\n").into_bytes()
}

fn kinds() -> Vec<Kind> {
    let pattern = |number: usize| json!({"regex": format!("/.*/svc{number}/.*")});
    let by_path = |name, patterns: usize, limit| Kind {
        name,
        rules: (0..patterns)
            .map(|number| json!({"safe_regex": pattern(number)}))
            .collect(),
        // Only the last patterns match, so that a filter that tries one pattern at a time has to try all. All
        // patterns together make as many states as possible.
        requests: [patterns / 2..patterns, 0..patterns]
            .into_iter()
            .flat_map(|numbers| {
                [&["x"][..], &[""], &["/", "", "x"], &["//%20/"]]
                    .into_iter()
                    .map(move |ends| request(&candidates(numbers.clone(), ends), ""))
            })
            .collect(),
        limit: Limit::Micros(limit),
    };
    let by_header = |number: usize| json!({"prefix": "/", "headers": [{"name": "x-env", "string_match": {"safe_regex": pattern(number)}}]});
    let in_header = |ends: &[&str]| request("/", &format!("x-env: {}\r\n", candidates(10..20, ends)));
    let deep = |part: &str, times: usize| request(&format!("/api/service-999/{}", part.repeat(times)), "");
    vec![
        by_path("1 pattern", 1, 3000.0),
        by_path("20 patterns", 20, 3000.0),
        by_path("50 patterns", 50, 8000.0),
        by_path("100 patterns", 100, 8000.0),
        Kind {
            name: "20 patterns on a header",
            rules: (0..20).map(by_header).collect(),
            requests: vec![
                in_header(&["x"]),
                in_header(&[""]),
                in_header(&["/"]),
                in_header(&["/", ",", "x"]),
            ],
            limit: Limit::Micros(3000.0),
        },
        Kind {
            name: "1000 prefixes",
            rules: (0..1000)
                .map(|number| json!({"prefix": format!("/api/service-{number}/")}))
                .collect(),
            requests: vec![
                deep("a;b/%2e%2e\\%2fd/..;/", 1),
                deep("a;b/..%2f", 3),
                deep("%2525252525252e/", 1),
                deep("//a/%2e%2e/", 700),
                deep("%20", 3000),
                deep("%20", 18_000),
                deep("a", 56_000),
            ],
            limit: Limit::Plain(5.0),
        },
    ]
}

/// An Envoy of its own for each kind.
pub(crate) fn measure(keys: &Keys) -> Vec<Cost> {
    kinds()
        .into_iter()
        .map(|kind| {
            let mut rules = kind.rules;
            rules.push(json!({"prefix": "/"}));
            let rules: Vec<Value> = rules
                .into_iter()
                .map(|matcher| json!({"match": matcher, "requires": {"provider_name": "corp"}}))
                .collect();
            let filters = [
                ("none", None),
                ("ours", Some(WasmFilter::new(ours_rules(keys, &rules)).build())),
                ("native", Some(jwt_authn_rules(keys, &rules))),
            ];
            let bootstrap = filters
                .into_iter()
                .fold(Bootstrap::new(), |bootstrap, (name, filter)| {
                    let listener = Listener::new(name).route(answer());
                    bootstrap.listener(match filter {
                        Some(filter) => listener.filter(filter),
                        None => listener,
                    })
                });
            let envoy = EnvoyProcess::start(&bootstrap.build());
            pin(envoy.pid(), "0");
            let cost = |name: &str, request: &[u8]| {
                let mut costs: Vec<f64> = (0..TIMES)
                    .map(|_| {
                        let before = Times::of_process(envoy.pid());
                        let answer = raw_exchange(
                            ([127, 0, 0, 1], envoy.port(name)),
                            request,
                            std::time::Duration::from_secs(30),
                        );
                        let status = status_of(&answer).expect("an answer");
                        assert!(status == 200 || name != "none" && status >= 400, "{status}");
                        Times::of_process(envoy.pid()).since(before).cpu
                    })
                    .collect();
                costs.sort_by(f64::total_cmp);
                costs[costs.len() / 2]
            };
            let all = |name: &str, request: &[u8]| (cost(name, request) - cost("none", request)).max(0.0);
            let plain = all("ours", &request("/orders/4711", ""));
            let mut worst: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
            for (number, request) in kind.requests.iter().enumerate() {
                let found = (all("ours", request), all("native", request));
                eprintln!(
                    "{NAME}: {} {number}: plain {plain:.0} µs, ours {:.0} µs, jwt_authn {:.0} µs",
                    kind.name, found.0, found.1
                );
                worst.insert(number, found);
            }
            let of = |pick: fn(&(f64, f64)) -> f64| worst.values().map(pick).fold(0.0, f64::max);
            Cost {
                name: kind.name,
                plain,
                ours: of(|cost| cost.0),
                native: of(|cost| cost.1),
                ratio: worst
                    .values()
                    .map(|(ours, native)| ours / native)
                    .fold(0.0, f64::max),
                limit: kind.limit,
            }
        })
        .collect()
}
