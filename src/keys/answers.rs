//! The results of a fetch: after the discovery document the keys, then new keys or a failure, and the time of
//! the next fetch.

use std::sync::Arc;
use std::time::Duration;

use super::backoff::{COLD, WARM, scaled};
use super::event::KeyEvent;
use super::fetch::{Document, FetchError, FetchId, Fetched};
use super::fetching::REDISCOVERY;
use super::in_flight::InFlight;
use super::record::{Discovered, KeyState, Outage, Wants};
use super::remote::{RemoteKeys, Unpublished};
use super::source::KeyLocation;
use super::{discovery, freshness};
use crate::http::HttpUri;
use crate::jose::{JwkSet, ParsedJwkSet, SkippedKeys};
use crate::time::UnixTime;

/// A usable response: the document, its keys and its entity tag, unless the document is unchanged.
struct New {
    lifetime: Duration,
    document: Option<(Vec<u8>, ParsedJwkSet, Option<String>)>,
}

impl RemoteKeys {
    /// A fetch has a response, or has failed. The outcome of an abandoned fetch is ignored.
    pub fn handle_fetched(
        &mut self,
        id: FetchId,
        answer: Result<Fetched<'_>, FetchError>,
        now: UnixTime,
        events: &mut Vec<KeyEvent>,
    ) {
        let Some(in_flight) = self.in_flight.filter(|in_flight| in_flight.id == id) else {
            return;
        };
        self.in_flight = None;
        let asked_for = answer.as_ref().ok().and_then(|answer| answer.retry_after);
        let in_flight = InFlight {
            pause: freshness::pause_asked_for(asked_for),
            ..in_flight
        };
        let answer = answer.map_err(|error| match error {
            // The host reports a timeout during a body like a broken connection. Its timer and its wall clock
            // need not agree to the millisecond.
            FetchError::Reset if now.since(in_flight.asked_at) >= scaled(in_flight.timeout, 0.9) => {
                FetchError::TimedOut
            }
            error => error,
        });
        let is_cluster_missing = matches!(answer, Err(FetchError::ClusterMissing));
        self.handle_answer(in_flight, answer, now, events);
        if is_cluster_missing {
            // This comes only now, because the log names the missing cluster.
            self.backends.forget();
        }
    }

    fn handle_answer(
        &mut self,
        in_flight: InFlight,
        answer: Result<Fetched<'_>, FetchError>,
        now: UnixTime,
        events: &mut Vec<KeyEvent>,
    ) {
        match in_flight.document {
            Document::Discovery => {
                let is_absent = answer.as_ref().is_ok_and(|answer| answer.status == 404);
                if is_absent && self.fall_back(in_flight, now) {
                    return;
                }
                let jwks_uri = answer.and_then(|answer| self.read_document(&answer));
                self.handle_document(in_flight, jwks_uri, now, events);
            }
            Document::Jwks => {
                self.wants = Wants::Nothing;
                match answer.and_then(|answer| self.read_keys(&answer)) {
                    Ok(new) => self.succeed(in_flight, new, now, events),
                    Err(error) => self.fail(in_flight, error, now, events),
                }
            }
        }
    }

    /// Abandons a fetch without a response.
    pub fn handle_timeout(&mut self, now: UnixTime, events: &mut Vec<KeyEvent>) {
        if let Some(in_flight) = self.in_flight.filter(|in_flight| in_flight.deadline <= now) {
            self.next_request = None;
            self.wants = Wants::Nothing;
            self.in_flight = None;
            self.fail(in_flight, FetchError::Lost, now, events);
        }
    }

    fn read_document(&self, answer: &Fetched<'_>) -> Result<HttpUri, FetchError> {
        let KeyLocation::Discovery(discovery) = &self.source.location else {
            return Err(FetchError::Lost);
        };
        if answer.status != 200 {
            return Err(FetchError::of_status(answer.status, answer.body));
        }
        if answer.body.len() > self.source.key_cache.max_response_bytes {
            return Err(FetchError::TooLarge);
        }
        answer.check_encoding()?;
        discovery::read(answer.body, &discovery.issuer).map_err(FetchError::Discovery)
    }

    /// The discovery document has arrived, or the fetch has failed. Continues with the keys if they are due.
    fn handle_document(
        &mut self,
        in_flight: InFlight,
        jwks_uri: Result<HttpUri, FetchError>,
        now: UnixTime,
        events: &mut Vec<KeyEvent>,
    ) {
        let has_moved = match jwks_uri {
            Ok(jwks_uri) => self.follow(jwks_uri.to_string(), now, events),
            Err(error) => {
                let asked = self.asked(&in_flight);
                let Some(discovered) = &mut self.record.discovered else {
                    // No URL for the keys is known.
                    self.wants = Wants::Nothing;
                    self.fail(in_flight, error, now, events);
                    return;
                };
                discovered.failures = discovered.failures.saturating_add(1);
                let pause = WARM.pause(discovered.failures, in_flight.pause, &mut self.chance);
                discovered.read_again_at = now.after(pause).as_millis();
                let (state, until) = (KeyState::Fresh, UnixTime::NEVER);
                let is_news = Outage::note(
                    &mut discovered.outage,
                    in_flight.asked_at,
                    state,
                    error.to_string(),
                );
                let since = discovered.outage.as_ref().map_or(0, |outage| outage.since);
                events.push(KeyEvent::Failed {
                    document: Document::Discovery,
                    asked,
                    error,
                    since: UnixTime::from_millis(since),
                    state,
                    until,
                    is_news,
                });
                false
            }
        };
        let are_keys_due = has_moved || self.wants != Wants::Nothing || now.as_millis() >= self.keys_due_at();
        match self.keys_at().filter(|_| are_keys_due) {
            Some(keys_at) => {
                let request = self.request(in_flight.id, Document::Jwks, &keys_at, self.source.timeout);
                self.next_request = Some(request);
                self.in_flight = Some(InFlight {
                    document: Document::Jwks,
                    asked_at: now,
                    timeout: self.source.timeout,
                    // The pause that the discovery document's server requested does not apply to the keys'
                    // server.
                    pause: Duration::ZERO,
                    ..in_flight
                });
            }
            None => self.finish(in_flight, None),
        }
    }

    /// Adopts the content of the discovery document. True if the URL of the keys has changed.
    fn follow(&mut self, jwks_uri: String, now: UnixTime, events: &mut Vec<KeyEvent>) -> bool {
        let before = self.record.discovered.take().unwrap_or_default();
        if let Some(outage) = before.outage {
            events.push(KeyEvent::Recovered {
                document: Document::Discovery,
                since: UnixTime::from_millis(outage.since),
            });
        }
        let has_moved = before.jwks_uri != jwks_uri;
        if has_moved {
            // An entity tag is valid for its own URL only.
            self.record.etag = None;
            events.push(KeyEvent::Discovered {
                jwks_uri: jwks_uri.clone(),
            });
        }
        let interval = scaled(REDISCOVERY, self.chance.factor(0.9, 1.1));
        self.record.discovered = Some(Discovered {
            jwks_uri,
            read_again_at: now.after(interval).as_millis(),
            failures: 0,
            outage: None,
        });
        has_moved
    }

    fn read_keys(&self, answer: &Fetched<'_>) -> Result<New, FetchError> {
        let lifetime = freshness::lifetime(answer.cache_control, self.source.cache_duration);
        match answer.status {
            200 => {
                if answer.body.len() > self.source.key_cache.max_response_bytes {
                    return Err(FetchError::TooLarge);
                }
                answer.check_encoding()?;
                let parsed = JwkSet::parse(answer.body).map_err(FetchError::Document)?;
                let etag = answer
                    .etag
                    .and_then(|etag| std::str::from_utf8(etag).ok())
                    .map(str::to_owned);
                Ok(New {
                    lifetime,
                    document: Some((answer.body.to_vec(), parsed, etag)),
                })
            }
            // Valid only after a conditional request: RFC 9110 section 15.4.5.
            304 if self.held.is_some() && self.record.etag.is_some() => Ok(New {
                lifetime,
                document: None,
            }),
            status => Err(FetchError::of_status(status, answer.body)),
        }
    }

    fn succeed(&mut self, in_flight: InFlight, new: New, now: UnixTime, events: &mut Vec<KeyEvent>) {
        let mut published = None;
        match new.document {
            Some((document, parsed, etag)) => {
                // Another reason for a skipped key is a change as well.
                let changed = self.held.as_deref() != Some(&parsed);
                events.push(KeyEvent::Loaded {
                    keys: parsed.set.len(),
                    skipped: parsed.skipped.clone(),
                    changed,
                });
                // An unchanged set keeps its version: no worker parses it again.
                if changed || self.record.version == 0 || self.unreadable.take().is_some() {
                    self.record.version = self.chance.next().max(1);
                    published = Some(document);
                }
                self.record.etag = etag;
                self.hold(Arc::new(parsed), changed, now);
            }
            None => {
                events.push(KeyEvent::Loaded {
                    keys: self.count(),
                    skipped: SkippedKeys::default(),
                    changed: false,
                });
            }
        }
        if let Some(outage) = self.record.outage.take() {
            events.push(KeyEvent::Recovered {
                document: Document::Jwks,
                since: UnixTime::from_millis(outage.since),
            });
        }
        let jitter = self.chance.factor(0.9, 1.1);
        let share = (self.source.key_cache.refresh_ahead * jitter).clamp(0.0, 1.0);
        let ahead = scaled(new.lifetime, share);
        let expires_at = now.after(new.lifetime);
        let record = &mut self.record;
        record.asked_at = in_flight.asked_at.as_millis();
        record.refresh_at = now.after(ahead).as_millis();
        record.expires_at = expires_at.as_millis();
        record.stale_until = expires_at.after(self.source.key_cache.stale_if_error).as_millis();
        record.failures = 0;
        record.retry_at = 0;
        self.finish(in_flight, published);
    }

    fn fail(&mut self, in_flight: InFlight, error: FetchError, now: UnixTime, events: &mut Vec<KeyEvent>) {
        self.record.failures = self.record.failures.saturating_add(1);
        let backoff = match self.serving(now) {
            Some(_) => WARM,
            None => COLD,
        };
        let pause = backoff.pause(self.record.failures, in_flight.pause, &mut self.chance);
        self.record.retry_at = now.after(pause).as_millis();
        if self.serving(now).is_some() {
            // The short pauses begin when the keys end, and not up to a minute later.
            self.record.retry_at = self.record.retry_at.min(self.record.stale_until);
        }
        if let Some(discovered) = &mut self.record.discovered
            && discovered.outage.is_none()
            && in_flight.document == Document::Jwks
            && error.is_misplaced()
        {
            // The keys may be at another URL: the next attempt begins with the discovery document.
            discovered.read_again_at = now.as_millis();
        }
        let (state, until) = self.record.state(now);
        let why = format!("{}: {error}", in_flight.document);
        let is_news = Outage::note(&mut self.record.outage, in_flight.asked_at, state, why);
        let since = self.record.outage.as_ref().map_or(0, |outage| outage.since);
        events.push(KeyEvent::Failed {
            document: in_flight.document,
            asked: self.asked(&in_flight),
            error,
            since: UnixTime::from_millis(since),
            state,
            until,
            is_news,
        });
        self.finish(in_flight, None);
    }

    /// Returns the lease with the outcome.
    fn finish(&mut self, in_flight: InFlight, document: Option<Vec<u8>>) {
        self.record.lease = None;
        self.unpublished = Some(Unpublished {
            holder: in_flight.holder,
            document,
        });
    }
}
