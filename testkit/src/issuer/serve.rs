//! The issuer's side of a connection: it reads a request's head, records it, and writes the scripted
//! response.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::answer::Ending;
use super::{Fetch, Shared};
use crate::upstream::latin1;

/// Accepts connections until it is aborted.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        // Held while the task is spawned: a stop then sees this connection, or the task does not exist.
        let mut state = shared.lock();
        let connection = tokio::spawn(converse(stream, Arc::clone(&shared)));
        state
            .connections
            .retain(|connection: &AbortHandle| !connection.is_finished());
        state.connections.push(connection.abort_handle());
    }
}

/// A client that breaks off, or does not speak HTTP, ends only its own connection.
async fn converse(mut stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Ok(Some(fetch)) = read_head(&mut stream, &mut buffer).await {
        if !matches!(reply(&mut stream, fetch, &shared).await, Ok(true)) {
            return;
        }
    }
}

/// Answers one request; false if the connection is to close now.
async fn reply(stream: &mut TcpStream, fetch: Fetch, shared: &Shared) -> io::Result<bool> {
    let method = fetch.method.clone();
    let if_none_match = fetch.header("if-none-match").map(str::to_owned);
    let keep = fetch
        .header("connection")
        .is_none_or(|value| !value.eq_ignore_ascii_case("close"));
    let answer = shared.take(fetch);
    tokio::time::sleep(answer.delay).await;
    if let Some(gate) = &answer.gate {
        gate.passed().await;
    }
    let (mut bytes, body) = answer.render(&method, if_none_match.as_deref());
    let sent = match answer.ending {
        Ending::Whole => Some(body.len()),
        Ending::Truncate(n) => Some(n.min(body.len())),
        Ending::Hang(n) | Ending::Reset(n) => n.map(|n| n.min(body.len())),
    };
    if let Some(sent) = sent {
        bytes.extend_from_slice(&body[..sent]);
        stream.write_all(&bytes).await?;
        stream.flush().await?;
    }
    match answer.ending {
        Ending::Whole => Ok(keep && answer.raw.is_none()),
        Ending::Truncate(_) => Ok(false),
        Ending::Hang(_) => std::future::pending().await,
        Ending::Reset(sent) => {
            if sent.is_some() {
                // A reset overtakes bytes that the peer has not read yet. This gives them time to arrive.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            stream.set_zero_linger()?;
            Ok(false)
        }
    }
}

/// The next request's head; None at an orderly end.
async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Fetch>> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(buffer).map_err(io::Error::other)?;
        if let httparse::Status::Complete(length) = parsed {
            let headers: Vec<_> = request
                .headers
                .iter()
                .map(|h| (h.name.to_ascii_lowercase(), latin1(h.value)))
                .collect();
            let fetch = Fetch {
                at: Instant::now(),
                method: request.method.unwrap_or_default().to_owned(),
                path: request.path.unwrap_or_default().to_owned(),
                headers,
            };
            buffer.drain(..length);
            skip_body(stream, buffer, &fetch).await?;
            return Ok(Some(fetch));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// Skips a request's body. A fetch of a document should not have one.
async fn skip_body(stream: &mut TcpStream, buffer: &mut Vec<u8>, fetch: &Fetch) -> io::Result<()> {
    let length = fetch
        .header("content-length")
        .and_then(|value| value.parse().ok())
        .unwrap_or(0_usize);
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    buffer.drain(..length);
    Ok(())
}
