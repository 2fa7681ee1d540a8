//! Requests from one thread over several connections, at moments that do not depend on the answers.
//!
//! wrk sends its next request when a response has arrived. A slow response therefore delays later requests,
//! and the 99th percentile of wrk does not contain these delays. Here each request has a planned moment, and
//! its time starts at that moment, even if it has to wait for a free connection. The thread polls its sockets
//! in turn and never sleeps, because it has a core of its own.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use testkit::Random;

/// More connections than are ever busy at half load.
const PACED_CONNECTIONS: usize = 64;
const FLOOD_CONNECTIONS: usize = 16;
/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The bytes of a request with this token; `None`: without one.
pub(crate) fn request(token: Option<&str>) -> Vec<u8> {
    let authorization = token.map_or(String::new(), |token| {
        format!("authorization: Bearer {token}\r\n")
    });
    format!("GET /orders HTTP/1.1\r\nhost: 127.0.0.1\r\n{authorization}\r\n").into_bytes()
}

/// Sends requests for this time, at the moments of many independent clients, on average `rate` per second.
/// The same seed gives the same moments. Returns the time of each request from its moment on, in µs.
pub(crate) fn at_rate(port: u16, rate: f64, duration: Duration, seed: u64, requests: &[Vec<u8>]) -> Vec<f64> {
    let mut connections = Connections::open(port, PACED_CONNECTIONS);
    let mut random = Random::new(seed);
    let mut latencies = Vec::with_capacity((rate * duration.as_secs_f64() * 1.1) as usize);
    let mut requests = requests.iter().cycle();
    let start = Instant::now();
    let mut next = gap(&mut random, rate);
    while next < duration || !connections.busy.is_empty() {
        let now = start.elapsed();
        if next < duration && now >= next && !connections.idle.is_empty() {
            connections.send(start + next, requests.next().expect("there are requests"));
            next += gap(&mut random, rate);
        }
        connections.collect(|due| latencies.push(due.elapsed().as_secs_f64() * 1e6));
    }
    latencies
}

/// Sends this many requests as fast as they are answered. `request` makes each of them.
pub(crate) fn flood(port: u16, count: u64, mut request: impl FnMut(u64) -> Vec<u8>) {
    let mut connections = Connections::open(port, FLOOD_CONNECTIONS);
    let mut sent = 0;
    while sent < count || !connections.busy.is_empty() {
        if sent < count && !connections.idle.is_empty() {
            connections.send(Instant::now(), &request(sent));
            sent += 1;
        }
        connections.collect(|_| {});
    }
}

/// From one moment to the next: exponentially distributed.
fn gap(random: &mut Random, rate: f64) -> Duration {
    Duration::from_secs_f64(-random.unit().ln() / rate)
}

struct Connections {
    idle: Vec<TcpStream>,
    busy: Vec<Exchange>,
}

/// A request that waits for its answer.
struct Exchange {
    stream: TcpStream,
    due: Instant,
    answer: Vec<u8>,
}

impl Connections {
    fn open(port: u16, count: usize) -> Self {
        let idle = (0..count)
            .map(|_| {
                let stream = TcpStream::connect(("127.0.0.1", port)).expect("Envoy listens");
                stream.set_nodelay(true).expect("an option of TCP");
                stream.set_nonblocking(true).expect("an option of sockets");
                stream
            })
            .collect();
        Self {
            idle,
            busy: Vec::with_capacity(count),
        }
    }

    fn send(&mut self, due: Instant, request: &[u8]) {
        let mut stream = self.idle.pop().expect("an idle connection");
        // Far below the size that a socket accepts at once.
        stream.write_all(request).expect("a request is sent");
        self.busy.push(Exchange {
            stream,
            due,
            answer: Vec::new(),
        });
    }

    /// Reads the responses that have arrived.
    fn collect(&mut self, mut done: impl FnMut(Instant)) {
        let mut at = 0;
        while let Some(exchange) = self.busy.get_mut(at) {
            if exchange.is_answered() {
                let exchange = self.busy.swap_remove(at);
                done(exchange.due);
                self.idle.push(exchange.stream);
            } else {
                at += 1;
            }
        }
    }
}

impl Exchange {
    fn is_answered(&mut self) -> bool {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece) {
            Ok(0) => panic!("Envoy has closed a connection"),
            Ok(length) => self.answer.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(self.due.elapsed() < PATIENCE, "an answer does not come");
                return false;
            }
            Err(error) => panic!("no answer: {error}"),
        }
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(&self.answer).expect("an answer of HTTP") {
            httparse::Status::Complete(head) => head,
            httparse::Status::Partial => return false,
        };
        assert_eq!(
            response.code,
            Some(200),
            "{}",
            String::from_utf8_lossy(&self.answer)
        );
        let length = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok())
            .expect("Envoy says how long its own answers are");
        self.answer.len() >= head + length
    }
}
