//! The values that the keys and the host exchange: requests, responses, records.

use std::fmt;
use std::time::Duration;

use super::discovery::{self, DiscoveryFault};
use crate::ids::ProviderId;
use crate::jose::JwksFault;

/// A fetch, and the provider whose keys it is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId {
    provider: ProviderId,
    number: u32,
}

impl FetchId {
    /// The fetch after this one.
    pub(crate) fn next(self, provider: ProviderId) -> Self {
        Self {
            provider,
            number: self.number.wrapping_add(1),
        }
    }

    /// The provider whose keys are fetched.
    #[must_use]
    pub const fn provider(self) -> ProviderId {
        self.provider
    }
}

/// One of the issuer's two documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// The discovery document, which contains the URL of the keys.
    Discovery,
    /// The keys.
    Jwks,
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discovery => "discovery document",
            Self::Jwks => "JWKS",
        })
    }
}

/// An HTTP request for an issuer's document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// Its number, which accompanies the response.
    pub id: FetchId,
    /// The cluster that receives it.
    pub cluster: String,
    /// Its header fields, pseudo-fields first.
    pub headers: Vec<(&'static str, String)>,
    /// The timeout of the host.
    pub timeout: Duration,
    /// The host does not read a longer response: it reports [`FetchError::TooLarge`].
    pub max_response_bytes: usize,
}

/// A response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched<'a> {
    /// `:status`.
    pub status: u16,
    /// The whole body.
    pub body: &'a [u8],
    /// `cache-control`.
    pub cache_control: Option<&'a [u8]>,
    /// `etag`.
    pub etag: Option<&'a [u8]>,
    /// `retry-after` of a response without keys.
    pub retry_after: Option<&'a [u8]>,
    /// `content-encoding`.
    pub content_encoding: Option<&'a [u8]>,
}

impl Fetched<'_> {
    /// The filter cannot read a compressed document. Every request excludes compression, but some servers
    /// ignore that, and some do not declare it either.
    pub(super) fn check_encoding(&self) -> Result<(), FetchError> {
        let coding = self.content_encoding.unwrap_or_default();
        let is_plain = |part: &[u8]| part.is_empty() || part.eq_ignore_ascii_case(b"identity");
        if !coding
            .split(|byte| *byte == b',')
            .all(|part| is_plain(part.trim_ascii()))
        {
            return Err(FetchError::Compressed(discovery::shown(
                &String::from_utf8_lossy(coding),
            )));
        }
        match self.body.starts_with(GZIP) {
            true => Err(FetchError::Compressed("gzip".to_owned())),
            false => Ok(()),
        }
    }
}

/// RFC 1952 section 2.3.1: every gzip stream begins with these bytes, and no JSON text does.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// The reason for which a fetch provided no keys. The old keys stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The host did not send the request: it has no cluster with that name.
    ClusterMissing,
    /// The host did not send the request: the cluster has no healthy endpoint, or a circuit breaker is open.
    ClusterUnavailable,
    /// The connection broke before or during the response.
    Reset,
    /// The host reported that the request timed out.
    TimedOut,
    /// Neither the issuer nor the host responded.
    Lost,
    /// The host did not reach the issuer, for this reason.
    Unreachable(String),
    /// The response has a status other than 200. The filter does not follow redirects: the cluster leads to
    /// one host.
    Status(u16),
    /// The document is longer than `max_response_bytes`.
    TooLarge,
    /// The document has this compression, although the request excluded it.
    Compressed(String),
    /// The document is not a usable key set.
    Document(JwksFault),
    /// The discovery document leads to no keys.
    Discovery(DiscoveryFault),
}

/// The part of Envoy's text for a connection that failed. The text for a failed TLS handshake may be no more
/// than "remote connection failure".
const NO_CONNECT: &str = "delayed connect error";

/// Envoy's text for a cluster without a healthy endpoint.
const NO_HOST: &str = "no healthy upstream";

impl FetchError {
    /// Whether the cluster exists, but could not take the request.
    #[must_use]
    pub fn is_cluster_unavailable(&self) -> bool {
        match self {
            Self::ClusterUnavailable => true,
            Self::Unreachable(why) => why == NO_HOST,
            _ => false,
        }
    }

    /// The meaning of a status other than 200. Envoy sends a response of its own if it receives none. Its
    /// text identifies it.
    pub(super) fn of_status(status: u16, body: &[u8]) -> Self {
        const NO_ANSWER: &str = "upstream request timeout";
        const NO_CONNECTION: &str = "upstream connect error or disconnect/reset before headers. ";
        match (status, std::str::from_utf8(body)) {
            (504, Ok(NO_ANSWER)) => Self::TimedOut,
            (502 | 503, Ok(NO_HOST)) => Self::Unreachable(NO_HOST.to_owned()),
            (502 | 503, Ok(text)) => match text.strip_prefix(NO_CONNECTION) {
                Some(why) => Self::Unreachable(discovery::shown(why)),
                None => Self::Status(status),
            },
            _ => Self::Status(status),
        }
    }

    /// Whether the status means that the document is not, or no longer, at this URL.
    pub(super) fn is_misplaced(&self) -> bool {
        matches!(self, Self::Status(300..=499) | Self::Document(_))
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClusterMissing => {
                f.write_str("the request could not be sent: Envoy has no cluster of this name")
            }
            Self::ClusterUnavailable => f.write_str(
                "the request could not be sent: the cluster has no healthy endpoint, or its circuit breaker is open",
            ),
            Self::Reset => f.write_str("the connection was reset"),
            Self::TimedOut => f.write_str("no answer came within the timeout"),
            Self::Lost => f.write_str("the request was lost: neither an answer nor a failure came"),
            Self::Unreachable(why) if why != NO_HOST && !why.contains(NO_CONNECT) => write!(
                f,
                "the issuer was not reached: {why}; with TLS, see the cluster's counters ssl.fail_verify_san, \
                 ssl.fail_verify_error and ssl.connection_error"
            ),
            Self::Unreachable(why) => write!(f, "the issuer was not reached: {why}"),
            Self::Status(status @ (301 | 302 | 303 | 307 | 308)) => {
                write!(f, "the answer was a redirect ({status}), which is not followed")
            }
            Self::Status(status) => write!(f, "the answer's status was {status}"),
            Self::TooLarge => f.write_str("the document is longer than key_cache.max_response_bytes"),
            Self::Compressed(coding) => {
                write!(
                    f,
                    "the document is compressed (`{coding}`), although the request asked for a plain one"
                )
            }
            Self::Document(fault) => write!(f, "the document is not usable: {fault}"),
            Self::Discovery(fault) => write!(f, "the document is not usable: {fault}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envoys_own_replies_are_distinguished_from_the_issuers() {
        let reset = "upstream connect error or disconnect/reset before headers. reset reason: remote connection \
                     failure, transport failure reason: delayed connect error: Connection refused";
        for (status, body, message) in [
            (
                504,
                "upstream request timeout",
                "no answer came within the timeout",
            ),
            (504, "a gateway's own", "the answer's status was 504"),
            (
                503,
                "no healthy upstream",
                "the issuer was not reached: no healthy upstream",
            ),
            (
                503,
                reset,
                "the issuer was not reached: reset reason: remote connection failure, transport failure reason: \
                 delayed connect error: Connection refused",
            ),
            (
                502,
                reset,
                "the issuer was not reached: reset reason: remote connection failure, transport failure reason: \
                 delayed connect error: Connection refused",
            ),
            (503, "maintenance", "the answer's status was 503"),
            (
                503,
                "upstream connect error or disconnect/reset before headers. reset reason: remote connection \
                 failure, transport failure reason: TLS_error:|268435581:SSL routines:OPENSSL_internal:\
                 CERTIFICATE_VERIFY_FAILED:TLS_error_end",
                "the issuer was not reached: reset reason: remote connection failure, transport failure reason: \
                 TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end; \
                 with TLS, see the cluster's counters ssl.fail_verify_san, ssl.fail_verify_error and ssl.connection_error",
            ),
            (500, "no healthy upstream", "the answer's status was 500"),
            (302, "", "the answer was a redirect (302), which is not followed"),
        ] {
            assert_eq!(
                FetchError::of_status(status, body.as_bytes()).to_string(),
                message
            );
        }
        assert_eq!(FetchError::of_status(503, b"\xff"), FetchError::Status(503));
    }

    #[test]
    fn a_compressed_document_is_its_own_fault() {
        let check = |content_encoding: Option<&str>, body: &[u8]| {
            let answer = Fetched {
                status: 200,
                body,
                cache_control: None,
                etag: None,
                retry_after: None,
                content_encoding: content_encoding.map(str::as_bytes),
            };
            answer.check_encoding().map_err(|fault| fault.to_string())
        };
        for plain in [None, Some(""), Some("identity"), Some("Identity , identity")] {
            assert_eq!(check(plain, b"{}"), Ok(()), "{plain:?}");
        }
        for (coding, body, named) in [
            (Some("br"), &b"{}"[..], "(`br`)"),
            (Some("identity, GZIP"), b"{}", "(`identity, GZIP`)"),
            (Some("a\nb"), b"{}", "(`a\\nb`)"),
            (None, b"\x1f\x8b\x08", "(`gzip`)"),
            (Some("identity"), b"\x1f\x8b", "(`gzip`)"),
        ] {
            let fault = check(coding, body).unwrap_err();
            assert!(fault.contains(named), "{fault}");
        }
    }
}
