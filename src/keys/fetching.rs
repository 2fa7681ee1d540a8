//! The time of a fetch, its lease, and its requests: for the discovery document, or for the keys.
//! [`super::answers`] evaluates the responses.

use std::time::Duration;

use super::discovery::shown;
use super::fetch::{Document, FetchId, FetchRequest};
use super::in_flight::InFlight;
use super::record::{KeyRecord, Lease, Wants};
use super::remote::RemoteKeys;
use super::source::{ClusterRef, Endpoint, KeyLocation};
use crate::http::HttpUri;
use crate::time::UnixTime;

/// The margin by which a lease exceeds the timeouts of its requests.
const LEASE_MARGIN: Duration = Duration::from_secs(1);

/// The interval between fetches of the discovery document, before jitter.
pub(super) const REDISCOVERY: Duration = Duration::from_secs(3600);

/// Requests wait for an unknown `kid` for two seconds in all: half of that is for the discovery document, and
/// the rest for the keys.
const DISCOVERY_FOR_KID: Duration = Duration::from_secs(1);

/// The least part of the common timeout for the second address of a discovery document: 0 would mean no
/// timeout. Shorter than [`LEASE_MARGIN`].
const LEAST_FOR_FALLBACK: Duration = Duration::from_millis(100);

impl RemoteKeys {
    // --- when ---

    /// Whether this worker should try to take the lease now.
    pub(crate) fn is_fetch_due(&self, now: UnixTime) -> bool {
        self.in_flight.is_none()
            && self.unpublished.is_none()
            && self.backends.are_known()
            && !self.record.is_leased(now)
            && (self.wants_kid_fetch(now)
                || (now.as_millis() >= self.record.retry_at && now.as_millis() >= self.due_at()))
    }

    /// The time of the next regular fetch: now if there are no keys.
    fn due_at(&self) -> u64 {
        self.keys_due_at().min(self.document_due_at())
    }

    pub(super) fn keys_due_at(&self) -> u64 {
        match &self.held {
            Some(_) => self.record.refresh_at.min(self.record.stale_until),
            None => 0,
        }
    }

    fn document_due_at(&self) -> u64 {
        match (&self.source.location, &self.record.discovered) {
            (KeyLocation::Discovery(_), Some(discovered)) => discovered.read_again_at,
            (KeyLocation::Discovery(_), None) => 0,
            (KeyLocation::Jwks(_), _) => u64::MAX,
        }
    }

    fn wants_kid_fetch(&self, now: UnixTime) -> bool {
        self.wants != Wants::Nothing && self.next_kid_fetch(self.wants, now) <= now
    }

    /// The time of the next call. Earlier calls do no harm.
    #[must_use]
    pub fn next_timeout(&self) -> UnixTime {
        if let Some(in_flight) = self.in_flight {
            return in_flight.deadline;
        }
        let mut due = self.due_at().max(self.record.retry_at);
        if self.wants != Wants::Nothing {
            due = due.min(self.next_kid_fetch(self.wants, UnixTime::NEVER).as_millis());
        }
        UnixTime::from_millis(due.max(self.record.lease.map_or(0, |lease| lease.until)))
    }

    // --- lease ---

    /// Takes the lease in this worker's own record, if a fetch is still due according to the process's
    /// present record. The host sends the request only after compare-and-swap has written the record.
    pub fn acquire_lease(
        &mut self,
        id: FetchId,
        current: Option<KeyRecord>,
        now: UnixTime,
    ) -> Option<FetchRequest> {
        if let Some(record) = current.filter(|record| !self.is_behind(record, now)) {
            if record.version == self.record.version {
                // If another worker has asked the issuer meanwhile, the earlier questions are answered.
                self.take_record(record);
            } else if self.unreadable == Some(record.version) {
                // The document is lost. This worker's keys may be used until the fetch replaces both.
                self.record = KeyRecord {
                    version: self.record.version,
                    etag: None,
                    ..record
                };
            } else if record.version != 0 {
                // Another worker has new keys: the next call reads them first.
                return None;
            }
        }
        if !self.is_fetch_due(now) {
            return None;
        }
        let for_kid = self.held.is_some() && self.wants_kid_fetch(now);
        if for_kid {
            self.record.spend_kid_budget(now);
        }
        let keys_at = self.keys_at();
        let document = self.document_to_read(for_kid, now).or_else(|| {
            // Requests the document again if its URL has become invalid.
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
        self.record.lease = Some(Lease {
            holder,
            until: deadline.as_millis(),
        });
        self.in_flight = Some(InFlight {
            id,
            document,
            is_fallback: false,
            asked_at: now,
            timeout,
            deadline,
            holder,
            pause: Duration::ZERO,
        });
        Some(request)
    }

    // --- requests ---

    fn document(&self) -> Option<&Endpoint> {
        match &self.source.location {
            KeyLocation::Discovery(discovery) => Some(&discovery.document),
            KeyLocation::Jwks(_) => None,
        }
    }

    fn fallback(&self) -> Option<&Endpoint> {
        match &self.source.location {
            KeyLocation::Discovery(discovery) => discovery.fallback.as_ref(),
            KeyLocation::Jwks(_) => None,
        }
    }

    /// Requests the discovery document from its second address, if it has one that was not tried; otherwise
    /// returns false. Both share the timeout, so that neither the lease nor a request that waits for a `kid`
    /// lasts longer.
    pub(super) fn fall_back(&mut self, in_flight: InFlight, now: UnixTime) -> bool {
        let Some(endpoint) = self.fallback().filter(|_| !in_flight.is_fallback) else {
            return false;
        };
        let spent = now.since(in_flight.asked_at);
        let timeout = in_flight.timeout.saturating_sub(spent).max(LEAST_FOR_FALLBACK);
        self.next_request = Some(self.request(in_flight.id, Document::Discovery, endpoint, timeout));
        self.in_flight = Some(InFlight {
            is_fallback: true,
            asked_at: now,
            timeout,
            ..in_flight
        });
        true
    }

    /// The discovery document, if it is due. It is also fetched for an unknown `kid`: an issuer that has
    /// moved its keys signs with new ones.
    fn document_to_read(&self, for_kid: bool, now: UnixTime) -> Option<&Endpoint> {
        let is_failing = self
            .record
            .discovered
            .as_ref()
            .is_some_and(|discovered| discovered.outage.is_some());
        let is_due = now.as_millis() >= self.document_due_at() || (for_kid && !is_failing);
        self.document().filter(|_| is_due)
    }

    /// The URL and the cluster of a request, for a log line.
    pub(super) fn asked(&self, in_flight: &InFlight) -> String {
        let first = self.document();
        let (endpoint, before) = match in_flight.document {
            Document::Discovery if in_flight.is_fallback => (self.fallback().cloned(), first),
            Document::Discovery => (first.cloned(), None),
            Document::Jwks => (self.keys_at(), None),
        };
        let before = before.map_or_else(String::new, |first| format!(" (after 404 from {})", first.uri));
        endpoint.map_or_else(String::new, |Endpoint { cluster, uri }| {
            let of = match &cluster {
                ClusterRef::Named(_) => String::new(),
                ClusterRef::Backend(alias) => format!(" of the extension backend {}", shown(alias)),
            };
            format!(
                "{uri}{before} through cluster {}{of}",
                shown(self.backends.name(&cluster))
            )
        })
    }

    /// The place of the keys, if it is known.
    pub(super) fn keys_at(&self) -> Option<Endpoint> {
        match &self.source.location {
            KeyLocation::Jwks(endpoint) => Some(endpoint.clone()),
            KeyLocation::Discovery(discovery) => {
                let discovered = self.record.discovered.as_ref()?;
                let jwks_uri = HttpUri::parse(&discovered.jwks_uri).ok()?;
                Some(discovery.keys_at(jwks_uri))
            }
        }
    }

    pub(super) fn request(
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
            // A compressed document could not be read.
            ("accept-encoding", "identity".to_owned()),
            ("user-agent", self.source.user_agent.to_string()),
        ];
        if let (Document::Jwks, Some(etag), Some(_)) = (document, &self.record.etag, &self.held) {
            headers.push(("if-none-match", etag.clone()));
        }
        FetchRequest {
            id,
            cluster: self.backends.name(&endpoint.cluster).to_owned(),
            headers,
            timeout,
            max_response_bytes: self.source.key_cache.max_response_bytes,
        }
    }

    /// The next request under the present lease, after a response.
    pub(crate) fn take_next_request(&mut self) -> Option<FetchRequest> {
        self.next_request.take()
    }
}
