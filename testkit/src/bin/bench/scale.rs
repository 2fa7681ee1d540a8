//! How the cost of a request grows with the configuration and with its token: both forms of the filter beside
//! jwt_authn with its cache.
//!
//! Each row has an Envoy of its own. The token is one of a hundred that come again and again, and the last
//! rule is the one that applies.

use std::fmt::{self, Write as _};
use std::fs;

use serde_json::{Map, Value, json};
use testkit::{Bootstrap, EnvoyProcess, Listener, Token, WasmFilter};

use crate::cases::Side;
use crate::figures::{median, rounded};
use crate::load::{Load, Sample};
use crate::stack::{Times, answer, cache, jwt_authn_filter, module, pin, provider};
use crate::tokens::{AUDIENCE, ISSUER, Keys};

pub(crate) const NAME: &str = "scale";

const SIDES: [Side; 4] = [Side::None, Side::Ours, Side::Module, Side::JwtAuthnCached];

/// The growing quantity.
#[derive(Clone, Copy, Debug)]
enum What {
    Rules,
    Patterns,
    Providers,
    /// In KB.
    Token,
    Claims,
}

/// The numbers of each; the last is the quick one.
const ROWS: [(What, &[usize]); 5] = [
    (What::Rules, &[1, 50, 500, 5000]),
    (What::Patterns, &[1, 10, 100]),
    (What::Providers, &[1, 64, 1000]),
    (What::Token, &[1, 2, 4, 8]),
    (What::Claims, &[1, 5, 20]),
];

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    name: String,
    /// The processor time of a request, in µs. It is infinite if no request was answered; JSON shows that as
    /// null.
    costs: Vec<(Side, f64)>,
    /// Requests for each second of processor time beside jwt_authn's, in the median of the rounds.
    ratios: Vec<(Side, f64)>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<20}", self.name)?;
        for (side, cost) in &self.costs {
            match cost.is_finite() {
                true => write!(f, "  {} {cost:.1} µs", side.name())?,
                false => write!(f, "  {} answers none in a second", side.name())?,
            }
        }
        for (side, ratio) in self.ratios.iter().filter(|(_, ratio)| ratio.is_finite()) {
            write!(f, "  {} {ratio:.2} ×", side.name())?;
        }
        Ok(())
    }
}

impl Row {
    pub(crate) fn json(&self) -> Value {
        let by_name = |figures: &[(Side, f64)]| -> Map<String, Value> {
            figures
                .iter()
                .map(|(side, figure)| (side.name().to_owned(), rounded(*figure).into()))
                .collect()
        };
        json!({"row": self.name, "us": by_name(&self.costs), "ratio": by_name(&self.ratios)})
    }
}

impl What {
    fn name(self, count: usize) -> String {
        match self {
            Self::Rules => format!("{count} rules"),
            Self::Patterns => format!("{count} patterns"),
            Self::Providers => format!("{count} providers"),
            Self::Token => format!("a token of {count} KB"),
            Self::Claims => format!("{count} claims forwarded"),
        }
    }

    fn providers(self, count: usize, keys: &Keys, is_ours: bool) -> Value {
        let mut corp = provider(keys);
        if let Self::Claims = self {
            let claim =
                |number| json!({"claim_name": format!("c{number}"), "header_name": format!("x-c{number}")});
            corp["claim_to_headers"] = (0..count).map(claim).collect();
        }
        if !is_ours {
            corp["jwt_cache_config"] = cache();
        }
        let mut all = Map::new();
        if let Self::Providers = self {
            // The provider of the token comes last.
            for number in 1..count {
                let mut other = corp.clone();
                other["issuer"] = format!("https://idp-{number}.example.com").into();
                other["local_jwks"] = json!({"inline_string": keys.of_an_issuer().to_string()});
                all.insert(format!("a{number}"), other);
            }
        }
        all.insert("corp".to_owned(), corp);
        all.into()
    }

    fn rules(self, count: usize) -> Value {
        let corp = json!({"provider_name": "corp"});
        let rule = |matcher: Value| json!({"match": matcher, "requires": corp});
        let mut rules: Vec<Value> = match self {
            Self::Rules => (1..count)
                .map(|number| rule(json!({"prefix": format!("/service-{number}/")})))
                .collect(),
            Self::Patterns => (0..count)
                .map(|number| rule(json!({"safe_regex": {"regex": format!("/.*/service-{number}/.*")}})))
                .collect(),
            _ => Vec::new(),
        };
        let mut last = rule(json!({"prefix": "/"}));
        if let Self::Providers = self
            && count > 1
        {
            let others = (1..count).map(|number| json!({"provider_name": format!("a{number}")}));
            let all: Vec<Value> = others.chain([corp.clone()]).collect();
            last["requires"] = json!({"requires_any": {"requirements": all}});
        }
        rules.push(last);
        rules.into()
    }

    fn token(self, count: usize, keys: &Keys, number: usize) -> String {
        let mut claims = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": format!("user-{number:08}"),
            "jti": format!("{number:032x}"),
            "scope": "openid profile orders:read orders:write",
        });
        match self {
            Self::Token => {
                // As long as base64 makes it; the rest of a token takes about 700 bytes.
                let length = (count * 1024).saturating_sub(700) * 3 / 4;
                let groups: Vec<String> = (0..length / 24)
                    .map(|group| format!("group-{group:014}"))
                    .collect();
                claims["groups"] = groups.into();
            }
            Self::Claims => {
                for claim in 0..count {
                    claims[format!("c{claim}")] = format!("value-{claim}-{number}").into();
                }
            }
            Self::Rules | Self::Patterns | Self::Providers => {}
        }
        Token::new(&keys.rsa).claims(claims).expires_in(12 * 3600).mint()
    }

    fn listener(self, count: usize, keys: &Keys, side: Side) -> Listener {
        let listener = Listener::new(side.name()).route(answer());
        let rules = self.rules(count);
        let ours = || json!({"providers": self.providers(count, keys, true), "rules": rules});
        match side {
            Side::Ours => listener.filter(WasmFilter::new(ours()).build()),
            Side::Module => listener.filter(module(ours())),
            Side::JwtAuthnCached => {
                listener.filter(jwt_authn_filter(&self.providers(count, keys, false), &rules))
            }
            _ => listener,
        }
    }

    fn measure(self, count: usize, keys: &Keys, rounds: usize) -> Row {
        let name = self.name(count);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let tokens = dir.path().join("tokens");
        let lines = (0..100).fold(String::new(), |mut lines, number| {
            let _ = writeln!(lines, "{}", self.token(count, keys, number));
            lines
        });
        fs::write(&tokens, lines).expect("the tokens are written");
        let listeners = SIDES.map(|side| self.listener(count, keys, side));
        let bootstrap = listeners.into_iter().fold(Bootstrap::new(), Bootstrap::listener);
        let envoy = EnvoyProcess::start(&bootstrap.build());
        pin(envoy.pid(), "0");
        let mut samples = SIDES.map(|_| Vec::new());
        for round in 0..rounds {
            for (side, samples) in SIDES.iter().zip(&mut samples) {
                let load = Load {
                    port: envoy.port(side.name()),
                    tokens: tokens.clone(),
                    seconds: 1,
                    offset: 0,
                };
                let before = Times::of_process(envoy.pid());
                let mut sample: Sample = load.run();
                sample.cpu_micros = Times::of_process(envoy.pid()).since(before).cpu;
                assert_eq!(sample.refused, 0, "{name}: {side:?} refuses good tokens");
                eprintln!(
                    "round {}/{rounds}  {NAME}: {name:<20} {:<16} {:>7.0} requests/s",
                    round + 1,
                    side.name(),
                    sample.rate()
                );
                samples.push(sample.rate());
            }
        }
        let [_, _, _, beside] = &samples;
        let ratio = |rates: &[f64]| {
            let ratios: Vec<f64> = rates
                .iter()
                .zip(beside)
                .map(|(rate, other)| rate / other)
                .collect();
            median(&ratios)
        };
        Row {
            costs: SIDES
                .into_iter()
                .zip(&samples)
                .map(|(side, rates)| (side, 1e6 / median(rates)))
                .collect(),
            ratios: [Side::Ours, Side::Module]
                .into_iter()
                .zip(&samples[1..])
                .map(|(side, rates)| (side, ratio(rates)))
                .collect(),
            name,
        }
    }
}

/// All rows, or with `is_quick` the largest of each kind, once.
pub(crate) fn measure(keys: &Keys, is_quick: bool) -> Vec<Row> {
    ROWS.into_iter()
        .flat_map(|(what, counts)| {
            let first = if is_quick { counts.len() - 1 } else { 0 };
            counts[first..].iter().map(move |count| (what, *count))
        })
        .map(|(what, count)| what.measure(count, keys, if is_quick { 1 } else { 3 }))
        .collect()
}
