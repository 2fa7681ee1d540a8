//! The responses of an issuer: a document, or any fault that an operator may meet.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use serde_json::Value;

use minting::{SigningKey, jwks};

/// How a response is sent, and what happens to the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The whole response; the connection stays open.
    Whole,
    /// So many bytes of the answer's body (None: not even a head), then silence with the connection open.
    Hang(Option<usize>),
    /// So many bytes of the body (None: not even a head), then a TCP reset.
    Reset(Option<usize>),
    /// So many bytes of the body, then an orderly close: short of what `content-length` promised.
    Truncate(usize),
}

/// One scripted response. It begins as a plain 200; the builder methods add headers and faults.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) delay: Duration,
    pub(crate) gate: Option<Gate>,
    pub(crate) ending: Ending,
    pub(crate) etag: Option<String>,
    pub(crate) chunked: bool,
    pub(crate) raw: Option<Vec<u8>>,
}

impl Answer {
    /// 200 with any body and content type.
    pub fn new(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type".into(), content_type.into())],
            body: body.into(),
            delay: Duration::ZERO,
            gate: None,
            ending: Ending::Whole,
            etag: None,
            chunked: false,
            raw: None,
        }
    }

    /// 200 with a JSON document.
    pub fn json(document: &Value) -> Self {
        Self::new("application/json", document.to_string())
    }

    /// 200 with the JWK Set of the public halves of `keys`.
    pub fn jwks(keys: &[&SigningKey]) -> Self {
        Self::json(&jwks(keys))
    }

    /// A valid JWK Set, padded with spaces to `bytes`.
    pub fn padded_jwks(keys: &[&SigningKey], bytes: usize) -> Self {
        let mut body = jwks(keys).to_string().into_bytes();
        assert!(body.len() <= bytes, "the set alone takes {} bytes", body.len());
        body.resize(bytes, b' ');
        Self::new("application/json", body)
    }

    /// This status with a short text.
    pub fn status(status: u16) -> Self {
        Self::new("text/plain", format!("status {status}")).with_status(status)
    }

    /// 302 to another place.
    pub fn redirect(location: &str) -> Self {
        Self::new("text/plain", "")
            .with_status(302)
            .header("location", location)
    }

    /// 200 with no body at all.
    pub fn empty() -> Self {
        Self::new("application/json", "")
    }

    /// These bytes instead of any HTTP that the issuer would write, then an orderly close.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            raw: Some(bytes.into()),
            ..Self::empty()
        }
    }

    /// The same answer with another status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds `cache-control`.
    pub fn cache_control(self, value: &str) -> Self {
        self.header("cache-control", value)
    }

    /// Adds `etag`, quotes included in `etag`; a request whose `if-none-match` equals it gets 304 without a
    /// body.
    pub fn etag(mut self, etag: &str) -> Self {
        self.etag = Some(etag.into());
        self
    }

    /// Waits before the first byte.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sends the response when the gate is opened, and not before.
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// Sends the body chunked, without `content-length`.
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// Reads the request and never responds.
    pub fn hang(mut self) -> Self {
        self.ending = Ending::Hang(None);
        self
    }

    /// Sends the head and this many bytes of the body, then nothing more.
    pub fn hang_after(mut self, bytes: usize) -> Self {
        self.ending = Ending::Hang(Some(bytes));
        self
    }

    /// Resets the connection instead of answering.
    pub fn reset(mut self) -> Self {
        self.ending = Ending::Reset(None);
        self
    }

    /// Sends the head and this many bytes of the body, then resets the connection.
    pub fn reset_after(mut self, bytes: usize) -> Self {
        self.ending = Ending::Reset(Some(bytes));
        self
    }

    /// Sends the head and this many bytes of the body, then closes in good order, before the end of
    /// `content-length`.
    pub fn truncate_after(mut self, bytes: usize) -> Self {
        self.ending = Ending::Truncate(bytes);
        self
    }

    /// The bytes of head and body for a request, and how to end.
    pub(crate) fn render(&self, method: &str, if_none_match: Option<&str>) -> (Vec<u8>, Vec<u8>) {
        if let Some(raw) = &self.raw {
            return (Vec::new(), raw.clone());
        }
        let unchanged = self.etag.is_some() && self.etag.as_deref() == if_none_match;
        let status = if unchanged { 304 } else { self.status };
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        let mut line = |name: &str, value: &str| head.push_str(&format!("{name}: {value}\r\n"));
        for (name, value) in &self.headers {
            line(name, value);
        }
        if let Some(etag) = &self.etag {
            line("etag", etag);
        }
        let bodiless = matches!(status, 100..=199 | 204 | 304);
        if self.chunked && !bodiless {
            line("transfer-encoding", "chunked");
        } else if !bodiless {
            line("content-length", &self.body.len().to_string());
        }
        head.push_str("\r\n");
        let body = match (bodiless || method == "HEAD", self.chunked) {
            (true, _) => Vec::new(),
            (false, false) => self.body.clone(),
            (false, true) => chunks(&self.body),
        };
        (head.into_bytes(), body)
    }
}

/// The body in chunks of at most 1024 bytes (RFC 9112 section 7.1).
fn chunks(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 64);
    for chunk in body.chunks(1024) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        302 => "Found",
        304 => "Not Modified",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Scripted",
    }
}

/// Holds answers back until a test opens it.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets every answer through, now and later.
    pub fn open(&self) {
        self.0.close();
    }

    pub(crate) async fn passed(&self) {
        // There are no permits: this ends when the gate is opened.
        let _ = self.0.acquire().await;
    }
}
