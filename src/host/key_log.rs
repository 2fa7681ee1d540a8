//! The log lines of a key source: one for each change of its state, with the time and the cause.

use crate::keys::{Document, KeyEvent, KeySource, KeyState};
use crate::settings::Config;

/// Writes a line for each provider whose `local_jwks` has unusable keys.
pub fn report_local_keys(config: &Config) {
    for provider in &config.providers {
        if let KeySource::Local(parsed) = &provider.keys
            && !parsed.skipped.is_empty()
        {
            log::warn!(
                "provider {}: local_jwks: {} keys loaded, {} skipped: {}",
                provider.name,
                parsed.set.len(),
                parsed.skipped.count(),
                parsed.skipped
            );
        }
    }
}

/// Writes the line of an event, if it has one.
pub fn report(provider: &str, event: &KeyEvent) {
    match event {
        KeyEvent::Loaded { changed: false, .. } => {}
        KeyEvent::Loaded { keys, skipped, .. } if skipped.is_empty() => {
            log::info!("provider {provider}: {keys} keys loaded, 0 skipped");
        }
        KeyEvent::Loaded { keys, skipped, .. } => log::warn!(
            "provider {provider}: {keys} keys loaded, {} skipped: {skipped}",
            skipped.count()
        ),
        KeyEvent::Failed {
            is_news: false,
            document,
            asked,
            error,
            ..
        } => {
            log::debug!("provider {provider}: fetching keys still fails: {document} {asked}: {error}");
        }
        KeyEvent::Failed {
            document: Document::Discovery,
            asked,
            error,
            since,
            state: KeyState::Fresh,
            ..
        } => log::warn!(
            "provider {provider}: reading the discovery document has failed since {since}: {asked}: {error}; \
             the keys come from the previous URL"
        ),
        KeyEvent::Failed {
            document,
            asked,
            error,
            since,
            state,
            until,
            ..
        } => match state {
            KeyState::Fresh => log::warn!(
                "provider {provider}: fetching keys has failed since {since}: {document} {asked}: {error}; \
                 the keys are fresh until {until}"
            ),
            KeyState::Stale => log::warn!(
                "provider {provider}: fetching keys has failed since {since}: {document} {asked}: {error}; \
                 the keys are past their lifetime and serve until {until}"
            ),
            KeyState::Missing => log::error!(
                "provider {provider}: fetching keys has failed since {since}: {document} {asked}: {error}; \
                 there are no keys, requests are answered with 503"
            ),
        },
        KeyEvent::Recovered { document, since } => {
            let what = match document {
                Document::Jwks => "fetching keys",
                Document::Discovery => "reading the discovery document",
            };
            log::info!("provider {provider}: {what} works again, after failing since {since}");
        }
        KeyEvent::Discovered { jwks_uri } => {
            log::info!("provider {provider}: the discovery document names {jwks_uri}");
        }
        KeyEvent::Adopted { keys } => {
            log::debug!("provider {provider}: {keys} keys taken over from another worker");
        }
    }
}

/// The route of a request names no cluster for this extension backend.
pub fn log_missing_backend(alias: &str) {
    log::warn!(
        "the route of a request names no cluster for the extension backend {}, so no keys are fetched through it: see \
         spec.backends of the EnvoyExtensionPolicy",
        alias.escape_debug()
    );
}
