//! Fetches a provider's keys as the filter does. The filter's own engine chooses the requests and evaluates
//! the responses. This file only sends the requests.

use std::rc::Rc;
use std::time::Duration;

use proxy_wasm_jwt::authenticator::{Authenticator, Event};
use proxy_wasm_jwt::jose::JwkSet;
use proxy_wasm_jwt::keys::{FetchError, FetchRequest, Fetched, KeyEvent, KeyLocation, KeySource};
use proxy_wasm_jwt::store::InMemoryStore;
use proxy_wasm_jwt::time::UnixTime;

use super::{Config, parse, providers};
use crate::inline_keys::set_keys;
use crate::source::Node;

/// An answer to a request for a document.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) cache_control: Option<Vec<u8>>,
    pub(crate) etag: Option<Vec<u8>>,
    pub(crate) retry_after: Option<Vec<u8>>,
    pub(crate) content_encoding: Option<Vec<u8>>,
    /// Where a redirect leads. The filter does not follow it.
    pub(crate) location: Option<Vec<u8>>,
}

/// A request for a document.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) url: String,
    pub(crate) cluster: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) timeout: Duration,
    /// A longer document is refused.
    pub(crate) most: usize,
}

/// Why no answer came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    TimedOut,
    TooLarge,
    /// The message of the client.
    Failed(String),
}

/// A request for a document, and its outcome.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) url: String,
    pub(crate) cluster: String,
    pub(crate) outcome: Result<Answer, NoAnswer>,
}

/// The result of a fetch.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    pub(crate) exchanges: Vec<Exchange>,
    /// The key set, if it is usable.
    pub(crate) document: Option<Vec<u8>>,
    /// The reason why the document is not usable, in the words of the filter's log.
    pub(crate) fault: Option<String>,
    /// The usable keys.
    pub(crate) keys: Vec<KeySeen>,
    /// The skipped keys, with the reason for each.
    pub(crate) skipped: Vec<String>,
    pub(crate) skipped_count: usize,
    pub(crate) jwks_uri: Option<String>,
    /// When the filter would ask again.
    pub(crate) next: Option<Duration>,
}

/// A usable key.
#[derive(Clone, Debug)]
pub(crate) struct KeySeen {
    pub(crate) kid: Option<String>,
    pub(crate) algorithms: Vec<&'static str>,
}

/// Any valid key, for the providers whose keys are not fetched.
const STAND_IN: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// Fetches the keys of a provider. `None`: it has no remote keys.
pub(crate) fn fetch(
    node: &Node,
    provider: &str,
    now: UnixTime,
    mut send: impl FnMut(&Ask) -> Result<Answer, NoAnswer>,
) -> Option<Fetch> {
    let mut alone = node.clone();
    for name in providers(&parse(node, false).ok()?)
        .iter()
        .filter(|name| *name != provider)
    {
        set_keys(&mut alone, name, STAND_IN);
    }
    let config = Rc::new(parse(&alone, false).ok()?);
    let KeySource::Remote(source) = &config
        .providers
        .iter()
        .find(|known| *known.name == *provider)?
        .keys
    else {
        return None;
    };
    let mut fetch = Fetch {
        exchanges: Vec::new(),
        document: None,
        fault: None,
        keys: Vec::new(),
        skipped: Vec::new(),
        skipped_count: 0,
        jwks_uri: match &source.location {
            KeyLocation::Jwks(endpoint) => Some(endpoint.uri.to_string()),
            KeyLocation::Discovery(_) => None,
        },
        next: None,
    };
    let mut exchanges = Vec::new();
    let (mut engine, _) = run(&config, now, &mut |request| {
        let ask = in_other_words(request);
        let outcome = send(&ask);
        exchanges.push(Exchange {
            url: ask.url,
            cluster: ask.cluster,
            outcome: outcome.clone(),
        });
        outcome
    });
    fetch.exchanges = exchanges;
    let events = std::iter::from_fn(|| engine.poll_event()).filter_map(|event| match event {
        Event::Keys(_, event) => Some(event),
        _ => None,
    });
    let events: Vec<KeyEvent> = events.collect();
    for event in events {
        match event {
            KeyEvent::Loaded { skipped, .. } => {
                fetch.skipped_count = skipped.count();
                fetch.skipped = skipped.first().iter().map(ToString::to_string).collect();
                let last = fetch
                    .exchanges
                    .last()
                    .and_then(|exchange| exchange.outcome.as_ref().ok());
                fetch.document = last.map(|answer| answer.body.clone());
            }
            KeyEvent::Failed { document, error, .. } => {
                let own_words = fetch
                    .exchanges
                    .last()
                    .and_then(|exchange| match &exchange.outcome {
                        Err(NoAnswer::Failed(why)) => Some(why.clone()),
                        _ => None,
                    });
                fetch.fault = Some(format!(
                    "{document}: {}",
                    own_words.unwrap_or_else(|| error.to_string())
                ));
            }
            KeyEvent::Discovered { jwks_uri } => fetch.jwks_uri = Some(jwks_uri),
            KeyEvent::Recovered { .. } | KeyEvent::Adopted { .. } => {}
        }
    }
    if let Some(document) = &fetch.document {
        fetch.keys = JwkSet::parse(document).map_or_else(|_| Vec::new(), |parsed| seen(&parsed.set));
        fetch.next = Some(next_fetch(&config, &fetch.exchanges, now));
    }
    Some(fetch)
}

/// An engine that has fetched.
fn run(
    config: &Rc<Config>,
    now: UnixTime,
    send: &mut dyn FnMut(&FetchRequest) -> Result<Answer, NoAnswer>,
) -> (Authenticator, InMemoryStore) {
    let store = InMemoryStore::default();
    let mut engine = Authenticator::new(config.clone(), 1);
    // There is no route with the cluster of an extension backend, so its alias serves as the name here.
    for provider in &config.providers {
        if let KeySource::Remote(source) = &provider.keys {
            for alias in source.backends() {
                engine.handle_event(&Event::BackendNamed(alias.clone(), alias), now);
            }
        }
    }
    let mut next: Option<FetchRequest> = engine.handle_tick(now, &store).pop();
    while let Some(request) = next.take() {
        let outcome = send(&request);
        let answer = match &outcome {
            Ok(answer) => Ok(Fetched {
                status: answer.status,
                body: &answer.body,
                cache_control: answer.cache_control.as_deref(),
                etag: answer.etag.as_deref(),
                retry_after: answer.retry_after.as_deref(),
                content_encoding: answer.content_encoding.as_deref(),
            }),
            Err(NoAnswer::TimedOut) => Err(FetchError::TimedOut),
            Err(NoAnswer::TooLarge) => Err(FetchError::TooLarge),
            Err(NoAnswer::Failed(_)) => Err(FetchError::Reset),
        };
        next = engine.handle_fetched(request.id, answer, now, &store);
    }
    (engine, store)
}

/// The time after which the engine fetches again. The engine does not report it beforehand, so engines with
/// the same responses are tried at different times.
fn next_fetch(config: &Rc<Config>, exchanges: &[Exchange], now: UnixTime) -> Duration {
    let asks_after = |seconds: u64| {
        let mut answers = exchanges.iter();
        let (mut engine, store) = run(config, now, &mut |_| {
            answers
                .next()
                .map_or(Err(NoAnswer::TimedOut), |exchange| exchange.outcome.clone())
        });
        !engine
            .handle_tick(now.after(Duration::from_secs(seconds)), &store)
            .is_empty()
    };
    const LONGEST: u64 = 1 << 26;
    let mut late = 1;
    while late < LONGEST && !asks_after(late) {
        late *= 2;
    }
    let mut early = late / 2;
    while early + 1 < late {
        let middle = early + (late - early) / 2;
        match asks_after(middle) {
            true => late = middle,
            false => early = middle,
        }
    }
    Duration::from_secs(late)
}

fn seen(set: &JwkSet) -> Vec<KeySeen> {
    set.keys()
        .iter()
        .map(|key| KeySeen {
            kid: key.key_id().map(str::to_owned),
            algorithms: match key.algorithm() {
                Some(algorithm) => vec![algorithm.name()],
                None => proxy_wasm_jwt::jose::AlgorithmSet::ALL
                    .iter()
                    .filter(|algorithm| key.fits(*algorithm))
                    .map(proxy_wasm_jwt::jose::Algorithm::name)
                    .collect(),
            },
        })
        .collect()
}

fn in_other_words(request: &FetchRequest) -> Ask {
    let of = |name: &str| {
        let found = request.headers.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    Ask {
        url: format!("{}://{}{}", of(":scheme"), of(":authority"), of(":path")),
        cluster: request.cluster.clone(),
        headers: request
            .headers
            .iter()
            .filter(|(name, _)| !name.starts_with(':'))
            .cloned()
            .collect(),
        timeout: request.timeout,
        most: request.max_response_bytes,
    }
}
