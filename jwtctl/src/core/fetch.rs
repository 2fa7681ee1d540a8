//! A provider's keys, fetched as the filter fetches them: its own state machine says what to ask for and what an answer is
//! worth; only the requests are sent by another hand.

use proxy_wasm_jwt::config::{Config, KeyLocation, KeySource};
use proxy_wasm_jwt::jose::JwkSet;
use proxy_wasm_jwt::keys::{FetchError, FetchId, FetchRequest, Fetched, KeyEvent, KeyRecord, RemoteKeys};
use proxy_wasm_jwt::time::UnixTime;

/// An answer to a request for a document.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) cache_control: Option<Vec<u8>>,
    pub(crate) etag: Option<Vec<u8>>,
    pub(crate) retry_after: Option<Vec<u8>>,
    pub(crate) content_encoding: Option<Vec<u8>>,
}

/// A request for a document.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) url: String,
    pub(crate) cluster: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) timeout: std::time::Duration,
    /// A longer document is refused.
    pub(crate) most: usize,
}

/// Why no answer came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    TimedOut,
    TooLarge,
    /// In the words of whoever tried.
    Failed(String),
}

/// A document that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) url: String,
    pub(crate) cluster: String,
    pub(crate) outcome: Result<Answer, NoAnswer>,
}

/// What came of a fetch.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    pub(crate) exchanges: Vec<Exchange>,
    /// The key set, if it is usable.
    pub(crate) document: Option<Vec<u8>>,
    /// Why it is not, in the words of the filter's log.
    pub(crate) fault: Option<String>,
    /// The usable keys.
    pub(crate) keys: Vec<KeySeen>,
    /// The others, with the reason for each.
    pub(crate) skipped: Vec<String>,
    pub(crate) skipped_count: usize,
    pub(crate) jwks_uri: Option<String>,
    /// When the filter would ask again.
    pub(crate) next: Option<std::time::Duration>,
}

/// A usable key.
#[derive(Clone, Debug)]
pub(crate) struct KeySeen {
    pub(crate) kid: Option<String>,
    pub(crate) algorithms: Vec<&'static str>,
}

/// Fetches the keys of a provider. `None`: it has no remote keys.
pub(crate) fn fetch(
    config: &Config,
    provider: &str,
    now: UnixTime,
    mut send: impl FnMut(&Ask) -> Result<Answer, NoAnswer>,
) -> Option<Fetch> {
    let provider = config.providers.iter().find(|known| *known.name == *provider)?;
    let KeySource::Remote(source) = &provider.keys else {
        return None;
    };
    let mut keys = RemoteKeys::new(source.clone(), 1);
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
    let mut events = Vec::new();
    let mut next: Option<FetchRequest> = keys.acquire_lease(FetchId::default(), None::<KeyRecord>, now);
    while let Some(request) = next.take() {
        let ask = in_other_words(&request, source.key_cache.max_response_bytes);
        let outcome = send(&ask);
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
        keys.handle_fetched(request.id, answer, now, &mut events);
        fetch.exchanges.push(Exchange {
            url: ask.url,
            cluster: ask.cluster,
            outcome,
        });
        next = keys.poll_request();
    }
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
    if let Some(set) = keys.serving(now) {
        fetch.keys = seen(set);
        // Nobody else has to hear of it, and the next fetch waits for that.
        let _ = keys.settle(None);
        fetch.next = Some(keys.next_timeout().since(now));
    }
    Some(fetch)
}

/// Whether a document is a usable key set, and why not.
pub(crate) fn check_keys(document: &[u8]) -> Result<Vec<KeySeen>, String> {
    match JwkSet::parse(document) {
        Ok(parsed) => Ok(seen(&parsed.set)),
        Err(fault) => Err(fault.to_string()),
    }
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

fn in_other_words(request: &FetchRequest, most: usize) -> Ask {
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
        most,
    }
}
