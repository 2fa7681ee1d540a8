//! The service behind Envoy: it answers every request with the request as received, and remembers it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::digest;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::rt::{block_on, runtime};

/// A request as the upstream saw it. Bytes beyond ASCII are Latin-1: one character for one byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// Its method.
    pub method: String,
    /// Its path, query included.
    pub path: String,
    /// Its headers in order, names in lower case; several of one name stay several.
    pub headers: Vec<(String, String)>,
    /// The length of its body.
    pub body_len: usize,
    /// The SHA-256 of its body, hex.
    pub body_sha256: String,
    /// Its body, up to 4096 bytes.
    pub body: String,
    /// Its trailers.
    pub trailers: Vec<(String, String)>,
}

impl Echo {
    /// The only header with this name; `None` if it is absent. Panics if there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.header_values(name);
        assert!(values.len() <= 1, "{} headers {name}", values.len());
        values.first().copied()
    }

    /// Every value of this name.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

/// A running upstream. Dropping it closes its port.
#[derive(Debug)]
pub struct Upstream {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<Echo>>>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// Starts on a free port of 127.0.0.1.
    pub fn start() -> Self {
        Self::start_on(([127, 0, 0, 1], 0).into()).expect("a free port on 127.0.0.1")
    }

    /// Starts on this address.
    ///
    /// # Errors
    ///
    /// Fails if the address is in use or not of this machine.
    pub fn start_on(addr: SocketAddr) -> io::Result<Self> {
        let listener = block_on(TcpListener::bind(addr))?;
        let addr = listener.local_addr()?;
        let seen = Arc::default();
        let accepting = runtime().spawn(accept(listener, Arc::clone(&seen)));
        Ok(Self {
            addr,
            seen,
            accepting,
        })
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many requests reached it.
    pub fn count(&self) -> usize {
        lock(&self.seen).len()
    }

    /// Every request that reached it.
    pub fn seen(&self) -> Vec<Echo> {
        lock(&self.seen).clone()
    }

    /// The latest request that reached it.
    pub fn last(&self) -> Option<Echo> {
        lock(&self.seen).last().cloned()
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        lock(&self.seen).clear();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, seen: Arc<Mutex<Vec<Echo>>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &seen));
            // A connection that its client breaks off is no fault.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    seen: &Mutex<Vec<Echo>>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        // The client broke off: an incomplete request does not count.
        let mut response = hyper::Response::new(Full::default());
        *response.status_mut() = hyper::StatusCode::BAD_REQUEST;
        return Ok(response);
    };
    let trailers = body.trailers().map(pairs).unwrap_or_default();
    let body = body.to_bytes();
    let echo = Echo {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: pairs(&head.headers),
        body_len: body.len(),
        body_sha256: hex(digest::digest(&digest::SHA256, &body).as_ref()),
        body: latin1(&body[..body.len().min(4096)]),
        trailers,
    };
    let text = serde_json::to_vec(&echo).expect("an echo is plain JSON");
    lock(seen).push(echo);
    let mut response = hyper::Response::new(Full::from(text));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, "application/json".parse().expect("a header value"));
    Ok(response)
}

fn lock(seen: &Mutex<Vec<Echo>>) -> MutexGuard<'_, Vec<Echo>> {
    seen.lock().expect("no holder of the upstream's record panicked")
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), latin1(value.as_bytes())))
        .collect()
}

/// Each byte as one character, so that no byte is lost.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
