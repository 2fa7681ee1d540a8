//! Requests and responses as tests write and read them.

use serde_json::Value;

use crate::upstream::{Echo, latin1};

/// A request. The path is sent exactly as written, dot segments and all.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path, query included.
    pub path: String,
    /// Its headers in order; `host` is added if it is not among them.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A GET.
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A POST with a body.
    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", path).body(body)
    }

    /// Adds a header; earlier ones of the same name stay.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Adds `authorization: Bearer <token>`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// A response, whole.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers in order, names in lower case; several of one name stay several.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Response {
    /// Reads a whole HTTP/1.1 response with a `content-length`, as [`raw_exchange`](crate::raw_exchange)
    /// returns it.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = response.parse(bytes).ok()? else {
            return None;
        };
        let status = response.code?;
        let headers = response
            .headers
            .iter()
            .map(|h| (h.name.to_ascii_lowercase(), h.value.to_vec()))
            .collect();
        Some(Self {
            status,
            headers,
            body: bytes[length..].to_vec(),
        })
    }

    /// The only header with this name as Latin-1; `None` if it is absent. Panics if there are several.
    pub fn header(&self, name: &str) -> Option<String> {
        let mut values = self.header_values(name);
        assert!(values.len() <= 1, "{} headers {name}: {values:?}", values.len());
        values.pop()
    }

    /// Every value of this name as Latin-1.
    pub fn header_values(&self, name: &str) -> Vec<String> {
        self.headers
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, value)| latin1(value))
            .collect()
    }

    /// The body as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON. Panics with the body if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!(
                "status {}, body no JSON ({error}): {:?}",
                self.status,
                self.text()
            )
        })
    }

    /// The member `reason` of the body of a refusal, if it is there.
    pub fn reason(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        Some(body.get("reason")?.as_str()?.to_owned())
    }

    /// The request as the upstream received it. Panics with the answer if the upstream did not send it.
    pub fn echo(&self) -> Echo {
        self.try_echo().unwrap_or_else(|| {
            panic!(
                "not the upstream's answer: status {}, body {:?}",
                self.status,
                self.text()
            )
        })
    }

    /// The request as the upstream received it, if the upstream sent the answer.
    pub fn try_echo(&self) -> Option<Echo> {
        serde_json::from_slice(&self.body)
            .ok()
            .filter(|_| self.status == 200)
    }
}
