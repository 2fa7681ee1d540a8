//! The client before Envoy: requests with exact paths and header bytes, bodies that come later, and raw
//! exchanges.

mod raw;
mod request;

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Channel, Full};
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::AbortHandle;

pub use raw::{raw_exchange, status_of};
pub use request::{Request, Response};

use crate::rt::{block_on, runtime};

type Body = BoxBody<Bytes, std::io::Error>;
type Pool = hyper_util::client::legacy::Client<HttpConnector, Body>;

/// After this time without a response, the test has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of one server, with connections that are used again. A clone shares them.
#[derive(Debug, Clone)]
pub struct Client {
    addr: SocketAddr,
    pool: Pool,
}

impl Client {
    /// A client of the server at `addr`.
    pub fn new(addr: impl Into<SocketAddr>) -> Self {
        Self::connect(addr.into(), None)
    }

    /// The same, with connections from this local address.
    pub fn from_address(addr: impl Into<SocketAddr>, own: IpAddr) -> Self {
        Self::connect(addr.into(), Some(own))
    }

    fn connect(addr: SocketAddr, own: Option<IpAddr>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_local_address(own);
        connector.set_nodelay(true);
        let pool = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
        Self { addr, pool }
    }

    /// A client of a port on 127.0.0.1.
    pub fn local(port: u16) -> Self {
        Self::new(([127, 0, 0, 1], port))
    }

    /// The server.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sends a GET without further headers.
    pub fn get(&self, path: &str) -> Response {
        self.request(Request::get(path))
    }

    /// Sends a request and waits for the answer; a broken exchange is a panic.
    pub fn request(&self, request: Request) -> Response {
        self.try_request(request)
            .unwrap_or_else(|error| panic!("no answer from {}: {error}", self.addr))
    }

    /// Sends a request and waits for the answer; Err says how the exchange broke.
    ///
    /// # Errors
    ///
    /// Fails if the exchange breaks; the text says how.
    pub fn try_request(&self, request: Request) -> Result<Response, String> {
        let body = full(request.body.clone());
        block_on(exchange(self.pool.clone(), self.addr, request, body))
    }

    /// Sends a request and does not wait.
    pub fn start(&self, request: Request) -> Pending {
        let body = full(request.body.clone());
        self.spawn(request, body)
    }

    /// Sends a request's head now. The sender receives the body in chunks. A body already in `request` is
    /// sent first.
    pub fn start_streaming(&self, mut request: Request) -> (BodySender, Pending) {
        let (sender, body) = Channel::new(16);
        let mut sender = BodySender { sender };
        let first = std::mem::take(&mut request.body);
        if !first.is_empty() {
            sender.send(&first);
        }
        (sender, self.spawn(request, body.boxed()))
    }

    fn spawn(&self, request: Request, body: Body) -> Pending {
        let (done, outcome) = channel();
        let exchange = exchange(self.pool.clone(), self.addr, request, body);
        let task = runtime().spawn(async move {
            // The receiver may be gone.
            let _ = done.send(exchange.await);
        });
        Pending {
            outcome,
            task: task.abort_handle(),
        }
    }
}

/// The rest of a request's body. Dropping it ends the body, as [`finish`](Self::finish) does.
#[derive(Debug)]
pub struct BodySender {
    sender: http_body_util::channel::Sender<Bytes, std::io::Error>,
}

impl BodySender {
    /// Sends a piece. Waits if too many pieces are in transit. False if the exchange is over.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        block_on(self.sender.send_data(Bytes::copy_from_slice(bytes))).is_ok()
    }

    /// Ends the body with trailers. HTTP/1.1 sends those only that the request's `trailer` header announced.
    pub fn finish_with_trailers(mut self, trailers: &[(&str, &str)]) {
        let mut map = HeaderMap::new();
        for (name, value) in trailers {
            map.append(
                header_name(name),
                HeaderValue::from_str(value).expect("a trailer's value"),
            );
        }
        let _ = block_on(self.sender.send_trailers(map));
    }

    /// Ends the body.
    pub fn finish(self) {}

    /// Breaks off the request in the middle of its body.
    pub fn abort(self) {
        self.sender.abort(std::io::ErrorKind::ConnectionAborted.into());
    }
}

/// A request in progress. Dropping it closes the connection before the response.
#[derive(Debug)]
pub struct Pending {
    outcome: Receiver<Result<Response, String>>,
    task: AbortHandle,
}

impl Pending {
    /// Waits for the answer; a broken exchange is a panic.
    pub fn wait(self) -> Response {
        self.try_wait()
            .unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// Waits for the answer; Err says how the exchange broke.
    ///
    /// # Errors
    ///
    /// Fails if the exchange breaks; the text says how.
    pub fn try_wait(self) -> Result<Response, String> {
        self.outcome
            .recv()
            .unwrap_or_else(|_| Err("the exchange was cancelled".into()))
    }

    /// The outcome if it comes within `patience`; None while the request still waits. Ask again after None
    /// only.
    ///
    /// # Errors
    ///
    /// Fails if the exchange breaks; the text says how.
    pub fn poll(&self, patience: Duration) -> Option<Result<Response, String>> {
        match self.outcome.recv_timeout(patience) {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err("the exchange was cancelled".into())),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn full(body: Vec<u8>) -> Body {
    Full::from(body).map_err(|never| match never {}).boxed()
}

fn header_name(name: &str) -> HeaderName {
    name.parse()
        .unwrap_or_else(|_| panic!("{name:?} is no header name; send it with raw_exchange"))
}

async fn exchange(pool: Pool, addr: SocketAddr, request: Request, body: Body) -> Result<Response, String> {
    let uri = hyper::Uri::builder()
        .scheme("http")
        .authority(addr.to_string())
        .path_and_query(request.path.as_str())
        .build()
        .unwrap_or_else(|_| panic!("{:?} is no path; send it with raw_exchange", request.path));
    let mut builder = hyper::Request::builder().method(request.method.as_str()).uri(uri);
    for (name, value) in &request.headers {
        let value = HeaderValue::from_bytes(value).unwrap_or_else(|_| {
            panic!("{name} has bytes that no header can carry; send it with raw_exchange")
        });
        builder = builder.header(header_name(name), value);
    }
    let message = builder.body(body).map_err(|error| error.to_string())?;
    let whole = async {
        let response = pool.request(message).await.map_err(|error| causes(&error))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| causes(&error))?;
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        Ok(Response {
            status: head.status.as_u16(),
            headers: headers.collect(),
            body: body.to_bytes().to_vec(),
        })
    };
    match tokio::time::timeout(PATIENCE, whole).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("nothing after {} s", PATIENCE.as_secs())),
    }
}

/// An error with its causes: hyper's own text names only the place.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
