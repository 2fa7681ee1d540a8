//! The state machine of a fetch: due, leased, perhaps the discovery document first, then the keys, then the next time.

use std::time::Duration;

use super::backoff::{COLD, WARM};
use super::fetch::{Document, FetchError, FetchId, FetchRequest, Fetched};
use super::head::{Discovered, Head, Lease, Standing, Trouble};
use super::notice::KeyNotice;
use super::remote::{RemoteKeys, Unpublished};
use super::{discovery, freshness};
use crate::config::{Endpoint, HttpUri, KeyLocation};
use crate::jose::{JwkSet, ParsedJwkSet};
use crate::time::UnixTime;

/// How much longer than its requests' own timeouts a holder keeps the lease.
const LEASE_MARGIN: Duration = Duration::from_secs(1);

/// How often the discovery document is read again, before jitter.
const REDISCOVERY: Duration = Duration::from_secs(3600);

/// Requests that wait for an unknown `kid` wait two seconds in all: the discovery document gets half of that, the keys the
/// rest.
const DISCOVERY_FOR_KID: Duration = Duration::from_secs(1);

/// A fetch under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    id: FetchId,
    /// What was asked for last.
    document: Document,
    /// When that was.
    asked_at: UnixTime,
    timeout: Duration,
    deadline: UnixTime,
    holder: u64,
}

/// A good answer: the document, its keys and its entity tag, unless it is the one that we have.
struct New {
    lifetime: Duration,
    document: Option<(Vec<u8>, ParsedJwkSet, Option<String>)>,
}

impl RemoteKeys {
    // --- when ---

    /// Whether this worker should try to take the lease now.
    #[must_use]
    pub fn is_fetch_due(&self, now: UnixTime) -> bool {
        self.in_flight.is_none()
            && self.unpublished.is_none()
            && !self.head.is_leased(now)
            && (self.wants_kid_fetch(now)
                || (now.as_millis() >= self.head.retry_at && now.as_millis() >= self.due_at()))
    }

    /// When the next regular fetch is due: at once while there are no keys.
    fn due_at(&self) -> u64 {
        self.keys_due_at().min(self.document_due_at())
    }

    fn keys_due_at(&self) -> u64 {
        match &self.held {
            Some(_) => self.head.refresh_at.min(self.head.stale_until),
            None => 0,
        }
    }

    fn document_due_at(&self) -> u64 {
        match (&self.source.location, &self.head.discovered) {
            (KeyLocation::Discovery(_), Some(discovered)) => discovered.read_again_at,
            (KeyLocation::Discovery(_), None) => 0,
            (KeyLocation::Jwks(_), _) => u64::MAX,
        }
    }

    fn wants_kid_fetch(&self, now: UnixTime) -> bool {
        self.wants_kid
            && self
                .head
                .has_kid_budget(self.source.key_cache.unknown_kid_cooldown, now)
    }

    /// When there may be something to do next; spurious calls are harmless.
    #[must_use]
    pub fn next_timeout(&self) -> UnixTime {
        if let Some(in_flight) = self.in_flight {
            return in_flight.deadline;
        }
        let due = self.due_at().max(self.head.retry_at);
        UnixTime::from_millis(due.max(self.head.lease.map_or(0, |lease| lease.until)))
    }

    // --- lease ---

    /// Takes the lease, if with the process's present record a fetch is still due: the request to send once
    /// [`Self::head`] has been written by compare-and-swap. If that does not succeed, call [`Self::lose_lease`].
    pub fn claim(&mut self, id: FetchId, current: Option<Head>, now: UnixTime) -> Option<FetchRequest> {
        if let Some(head) = current {
            if head.version == self.head.version {
                self.head = head;
            } else if self.unreadable == Some(head.version) {
                // Its document is lost. Our keys, if any, are as good as any until the fetch replaces both.
                self.head = Head {
                    version: self.head.version,
                    etag: None,
                    ..head
                };
            } else if head.version != 0 {
                // Another worker has new keys: they are read first, at the next look.
                return None;
            }
        }
        if !self.is_fetch_due(now) {
            return None;
        }
        let for_kid = self.held.is_some() && self.wants_kid_fetch(now);
        if for_kid {
            self.head.spend_kid_budget(now);
        }
        let keys_at = self.keys_at();
        let document = self.document_to_read(for_kid, now).or_else(|| {
            // A URL that cannot be used any more is asked for anew.
            keys_at.is_none().then(|| self.document()).flatten()
        });
        let (document, endpoint, timeout) = match (document, &keys_at) {
            (Some(document), Some(_)) if for_kid => {
                let timeout = self.source.timeout.min(DISCOVERY_FOR_KID);
                (Document::Discovery, document, timeout)
            }
            (Some(document), _) => (Document::Discovery, document, self.source.timeout),
            (None, Some(keys_at)) => (Document::Jwks, keys_at, self.source.timeout),
            (None, None) => return None,
        };
        let request = self.request(id, document, endpoint, timeout);
        let requests = match document {
            Document::Discovery => timeout.saturating_add(self.source.timeout),
            Document::Jwks => timeout,
        };
        let holder = self.chance.next();
        let deadline = now.after(requests).after(LEASE_MARGIN);
        self.head.lease = Some(Lease {
            holder,
            until: deadline.as_millis(),
        });
        self.in_flight = Some(InFlight {
            id,
            document,
            asked_at: now,
            timeout,
            deadline,
            holder,
        });
        Some(request)
    }

    /// The record to write.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Another worker was faster. Its record is seen at the next look.
    pub fn lose_lease(&mut self, id: FetchId) {
        self.in_flight = self.in_flight.filter(|in_flight| in_flight.id != id);
    }

    // --- requests ---

    fn document(&self) -> Option<&Endpoint> {
        match &self.source.location {
            KeyLocation::Discovery(discovery) => Some(&discovery.document),
            KeyLocation::Jwks(_) => None,
        }
    }

    /// The discovery document, if it is its time. For an unknown `kid` it is asked too: an issuer that has moved its keys
    /// signs with new ones.
    fn document_to_read(&self, for_kid: bool, now: UnixTime) -> Option<&Endpoint> {
        let is_failing = self
            .head
            .discovered
            .as_ref()
            .is_some_and(|discovered| discovered.trouble.is_some());
        let is_due = now.as_millis() >= self.document_due_at() || (for_kid && !is_failing);
        self.document().filter(|_| is_due)
    }

    /// Where the keys are, as far as that is known.
    fn keys_at(&self) -> Option<Endpoint> {
        match &self.source.location {
            KeyLocation::Jwks(endpoint) => Some(endpoint.clone()),
            KeyLocation::Discovery(discovery) => {
                let discovered = self.head.discovered.as_ref()?;
                let jwks_uri = HttpUri::parse(&discovered.jwks_uri).ok()?;
                Some(discovery.keys_at(jwks_uri))
            }
        }
    }

    fn request(
        &self,
        id: FetchId,
        document: Document,
        endpoint: &Endpoint,
        timeout: Duration,
    ) -> FetchRequest {
        let accept = match document {
            Document::Discovery => "application/json",
            Document::Jwks => "application/json, application/jwk-set+json",
        };
        let mut headers = vec![
            (":method", "GET".to_owned()),
            (":scheme", endpoint.uri.scheme.to_owned()),
            (":authority", endpoint.uri.authority.to_string()),
            (":path", endpoint.uri.path.to_string()),
            ("accept", accept.to_owned()),
        ];
        if let (Document::Jwks, Some(etag), Some(_)) = (document, &self.head.etag, &self.held) {
            headers.push(("if-none-match", etag.clone()));
        }
        FetchRequest {
            id,
            cluster: endpoint.cluster.to_string(),
            headers,
            timeout,
        }
    }

    /// The next request under the lease that is held, after an answer.
    pub fn poll_request(&mut self) -> Option<FetchRequest> {
        self.next_request.take()
    }

    // --- answers ---

    /// The answer to a fetch. Answers to fetches that were given up are ignored.
    pub fn handle_fetched(
        &mut self,
        id: FetchId,
        answer: Result<Fetched<'_>, FetchError>,
        now: UnixTime,
        notices: &mut Vec<KeyNotice>,
    ) {
        let Some(in_flight) = self.in_flight.filter(|in_flight| in_flight.id == id) else {
            return;
        };
        self.in_flight = None;
        let answer = answer.map_err(|error| match error {
            // The host tells a timeout in the midst of a body as it tells a broken connection.
            FetchError::Reset if now.since(in_flight.asked_at) >= in_flight.timeout => FetchError::TimedOut,
            error => error,
        });
        match in_flight.document {
            Document::Discovery => {
                let jwks_uri = answer.and_then(|answer| self.read_document(&answer));
                self.handle_document(in_flight, jwks_uri, now, notices);
            }
            Document::Jwks => {
                self.wants_kid = false;
                match answer.and_then(|answer| self.read_keys(&answer)) {
                    Ok(new) => self.succeed(in_flight, new, now, notices),
                    Err(error) => self.fail(in_flight, error, now, notices),
                }
            }
        }
    }

    /// Gives up a fetch whose answer never came.
    pub fn handle_timeout(&mut self, now: UnixTime, notices: &mut Vec<KeyNotice>) {
        if let Some(in_flight) = self.in_flight.filter(|in_flight| in_flight.deadline <= now) {
            self.next_request = None;
            self.wants_kid = false;
            self.in_flight = None;
            self.fail(in_flight, FetchError::Lost, now, notices);
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
        discovery::read(answer.body, &discovery.issuer).map_err(FetchError::Discovery)
    }

    /// The discovery document has come, or has not: goes on to the keys where it is their time.
    fn handle_document(
        &mut self,
        in_flight: InFlight,
        jwks_uri: Result<HttpUri, FetchError>,
        now: UnixTime,
        notices: &mut Vec<KeyNotice>,
    ) {
        let has_moved = match jwks_uri {
            Ok(jwks_uri) => self.follow(jwks_uri.to_string(), now, notices),
            Err(error) => {
                let Some(discovered) = &mut self.head.discovered else {
                    // Nothing is known to go on with.
                    self.wants_kid = false;
                    self.fail(in_flight, error, now, notices);
                    return;
                };
                discovered.failures = discovered.failures.saturating_add(1);
                let pause = WARM.pause(discovered.failures, &mut self.chance);
                discovered.read_again_at = now.after(pause).as_millis();
                let (standing, until) = (Standing::Fresh, UnixTime::NEVER);
                let is_news = Trouble::note(
                    &mut discovered.trouble,
                    in_flight.asked_at,
                    standing,
                    error.to_string(),
                );
                let since = discovered.trouble.as_ref().map_or(0, |trouble| trouble.since);
                notices.push(KeyNotice::Failed {
                    document: Document::Discovery,
                    error,
                    since: UnixTime::from_millis(since),
                    standing,
                    until,
                    is_news,
                });
                false
            }
        };
        let are_keys_due = has_moved || self.wants_kid || now.as_millis() >= self.keys_due_at();
        match self.keys_at().filter(|_| are_keys_due) {
            Some(keys_at) => {
                let request = self.request(in_flight.id, Document::Jwks, &keys_at, self.source.timeout);
                self.next_request = Some(request);
                self.in_flight = Some(InFlight {
                    document: Document::Jwks,
                    asked_at: now,
                    timeout: self.source.timeout,
                    ..in_flight
                });
            }
            None => self.finish(in_flight, None),
        }
    }

    /// Takes over what the discovery document says; true if it is another URL than before.
    fn follow(&mut self, jwks_uri: String, now: UnixTime, notices: &mut Vec<KeyNotice>) -> bool {
        let before = self.head.discovered.take().unwrap_or_default();
        if let Some(trouble) = before.trouble {
            notices.push(KeyNotice::Recovered {
                document: Document::Discovery,
                since: UnixTime::from_millis(trouble.since),
            });
        }
        let has_moved = before.jwks_uri != jwks_uri;
        if has_moved {
            // An entity tag means something at its own URL only.
            self.head.etag = None;
            notices.push(KeyNotice::Discovered {
                jwks_uri: jwks_uri.clone(),
            });
        }
        let interval = REDISCOVERY.mul_f64(self.chance.factor(0.9, 1.1));
        self.head.discovered = Some(Discovered {
            jwks_uri,
            read_again_at: now.after(interval).as_millis(),
            failures: 0,
            trouble: None,
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
            // Only where it was asked for: RFC 9110 section 15.4.5.
            304 if self.held.is_some() && self.head.etag.is_some() => Ok(New {
                lifetime,
                document: None,
            }),
            status => Err(FetchError::of_status(status, answer.body)),
        }
    }

    fn succeed(&mut self, in_flight: InFlight, new: New, now: UnixTime, notices: &mut Vec<KeyNotice>) {
        let mut published = None;
        match new.document {
            Some((document, parsed, etag)) => {
                let ParsedJwkSet { set, skipped } = parsed;
                let changed = self.held.as_ref() != Some(&set);
                notices.push(KeyNotice::Loaded {
                    keys: set.len(),
                    skipped: skipped.len(),
                    first_skipped: skipped.first().copied(),
                    changed,
                });
                // An unchanged set keeps its version, so that no worker parses it again.
                if changed || self.head.version == 0 || self.unreadable.take().is_some() {
                    self.head.version = self.chance.next().max(1);
                    self.absent.clear();
                    published = Some(document);
                }
                self.head.etag = etag;
                self.held = Some(set);
            }
            None => {
                notices.push(KeyNotice::Loaded {
                    keys: self.count(),
                    skipped: 0,
                    first_skipped: None,
                    changed: false,
                });
            }
        }
        if let Some(trouble) = self.head.trouble.take() {
            notices.push(KeyNotice::Recovered {
                document: Document::Jwks,
                since: UnixTime::from_millis(trouble.since),
            });
        }
        let jitter = self.chance.factor(0.9, 1.1);
        let ahead = new
            .lifetime
            .mul_f64((self.source.key_cache.refresh_ahead * jitter).clamp(0.0, 1.0));
        let expires_at = now.after(new.lifetime);
        self.head = Head {
            asked_at: in_flight.asked_at.as_millis(),
            refresh_at: now.after(ahead).as_millis(),
            expires_at: expires_at.as_millis(),
            stale_until: expires_at.after(self.source.key_cache.stale_if_error).as_millis(),
            failures: 0,
            retry_at: 0,
            ..std::mem::take(&mut self.head)
        };
        self.finish(in_flight, published);
    }

    fn fail(&mut self, in_flight: InFlight, error: FetchError, now: UnixTime, notices: &mut Vec<KeyNotice>) {
        self.head.failures = self.head.failures.saturating_add(1);
        let backoff = match self.serving(now) {
            Some(_) => WARM,
            None => COLD,
        };
        let pause = backoff.pause(self.head.failures, &mut self.chance);
        self.head.retry_at = now.after(pause).as_millis();
        if self.serving(now).is_some() {
            // When the keys stop serving, the short pauses begin: not up to a minute later.
            self.head.retry_at = self.head.retry_at.min(self.head.stale_until);
        }
        if let Some(discovered) = &mut self.head.discovered
            && discovered.trouble.is_none()
            && in_flight.document == Document::Jwks
            && error.is_misplaced()
        {
            // The keys may have moved: the next attempt begins with the document.
            discovered.read_again_at = now.as_millis();
        }
        let (standing, until) = self.head.standing(now);
        let why = format!("{}: {error}", in_flight.document);
        let is_news = Trouble::note(&mut self.head.trouble, in_flight.asked_at, standing, why);
        let since = self.head.trouble.as_ref().map_or(0, |trouble| trouble.since);
        notices.push(KeyNotice::Failed {
            document: in_flight.document,
            error,
            since: UnixTime::from_millis(since),
            standing,
            until,
            is_news,
        });
        self.finish(in_flight, None);
    }

    /// Gives the lease back with the outcome.
    fn finish(&mut self, in_flight: InFlight, document: Option<Vec<u8>>) {
        self.head.lease = None;
        self.unpublished = Some(Unpublished {
            holder: in_flight.holder,
            document,
        });
    }
}
