//! Requests byte by byte, which no client library would send.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::Response;

/// Sends `bytes` on a connection of its own and returns what comes back: until the response is complete by
/// its `content-length`, the server closes, or `timeout` is over. Empty if nothing came.
pub fn raw_exchange(addr: impl Into<SocketAddr>, bytes: &[u8], timeout: Duration) -> Vec<u8> {
    let addr = addr.into();
    let deadline = Instant::now() + timeout;
    let mut stream = TcpStream::connect_timeout(&addr, timeout)
        .unwrap_or_else(|error| panic!("cannot connect to {addr}: {error}"));
    stream
        .set_nodelay(true)
        .expect("a connected socket takes TCP_NODELAY");
    // A server may refuse and close before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while !is_complete(&answer) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        stream
            .set_read_timeout(Some(left))
            .expect("a timeout that is not zero");
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    answer
}

/// The status of a raw response; None if it does not begin like one.
pub fn status_of(response: &[u8]) -> Option<u16> {
    let line = response.strip_prefix(b"HTTP/1.")?;
    std::str::from_utf8(line.get(2..5)?).ok()?.parse().ok()
}

fn is_complete(answer: &[u8]) -> bool {
    let Some(response) = Response::parse(answer) else {
        return false;
    };
    let length = response.header_values("content-length");
    let Some(length) = length.first().and_then(|value| value.parse::<usize>().ok()) else {
        return false;
    };
    response.body.len() >= length
}
