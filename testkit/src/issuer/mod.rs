//! An issuer's HTTP server: documents that can be swapped while it runs, every fetch counted and timed,
//! faults on demand.
//!
//! It writes its answers byte by byte over plain sockets: a server library would refuse to send half of the
//! faults.

mod answer;
mod serve;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::task::{AbortHandle, JoinHandle};

pub use answer::{Answer, Gate};

use crate::rt::{block_on, runtime};
use minting::SigningKey;

/// One request that the issuer received.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// The time when its head was complete.
    pub at: Instant,
    /// Its method.
    pub method: String,
    /// Its path, query included.
    pub path: String,
    /// Its headers, names in lower case, values as Latin-1.
    pub headers: Vec<(String, String)>,
}

impl Fetch {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct Script {
    once: VecDeque<Answer>,
    standing: Option<Answer>,
}

#[derive(Debug, Default)]
struct State {
    scripts: HashMap<String, Script>,
    fetches: Vec<Fetch>,
    connections: Vec<AbortHandle>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    fetched: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no holder of the issuer's state panicked")
    }

    /// Notes a request and picks its answer: the next scripted answer, else the permanent one, else 404.
    fn take(&self, fetch: Fetch) -> Answer {
        let mut state = self.lock();
        let document = fetch.path.split('?').next().unwrap_or_default();
        let script = state.scripts.get_mut(document);
        let answer = script.and_then(|script| script.once.pop_front().or_else(|| script.standing.clone()));
        state.fetches.push(fetch);
        self.fetched.notify_all();
        answer.unwrap_or_else(|| Answer::status(404))
    }
}

#[derive(Debug)]
enum Door {
    Open(JoinHandle<()>),
    /// Nothing listens, so connections are refused.
    Closed,
}

/// A running issuer. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct Issuer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    door: Mutex<Option<Door>>,
    /// Bound and not listening, so that no other connection gets the port while the issuer is stopped.
    _port: TcpSocket,
}

impl Issuer {
    /// Starts on a free port of 127.0.0.1; every path answers 404 until it is served.
    pub fn start() -> Self {
        Self::start_on(([127, 0, 0, 1], 0).into()).expect("a free port on 127.0.0.1")
    }

    /// Starts on this address.
    ///
    /// # Errors
    ///
    /// Fails if the address is in use or not of this machine.
    pub fn start_on(addr: SocketAddr) -> io::Result<Self> {
        let port = bind(addr)?;
        let addr = port.local_addr()?;
        let issuer = Self {
            addr,
            shared: Arc::default(),
            door: Mutex::new(Some(Door::Closed)),
            _port: port,
        };
        issuer.restart()?;
        Ok(issuer)
    }

    /// Its address, also after [`stop`](Self::stop).
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of a path on this issuer.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// From now on `path` answers this. The path is without its query.
    pub fn serve(&self, path: &str, answer: Answer) {
        self.shared
            .lock()
            .scripts
            .entry(path.into())
            .or_default()
            .standing = Some(answer);
    }

    /// From now on `path` answers the public halves of `keys`.
    pub fn serve_jwks(&self, path: &str, keys: &[&SigningKey]) {
        self.serve(path, Answer::jwks(keys));
    }

    /// From now on the discovery document names `issuer` and `jwks_uri` (OpenID Connect Discovery 1.0 section
    /// 3).
    pub fn serve_discovery(&self, issuer: &str, jwks_uri: &str) {
        self.serve_discovery_document(&json!({"issuer": issuer, "jwks_uri": jwks_uri}));
    }

    /// From now on `/.well-known/openid-configuration` answers this document.
    pub fn serve_discovery_document(&self, document: &Value) {
        self.serve("/.well-known/openid-configuration", Answer::json(document));
    }

    /// The next request for `path` gets this answer instead of the permanent one; several queue up.
    pub fn serve_once(&self, path: &str, answer: Answer) {
        self.shared
            .lock()
            .scripts
            .entry(path.into())
            .or_default()
            .once
            .push_back(answer);
    }

    /// `path` answers 404 again.
    pub fn forget(&self, path: &str) {
        self.shared.lock().scripts.remove(path);
    }

    /// How many requests for `path` (without its query) have come.
    pub fn fetches(&self, path: &str) -> usize {
        self.fetch_log(path).len()
    }

    /// The times of these requests.
    pub fn fetch_times(&self, path: &str) -> Vec<Instant> {
        self.fetch_log(path).iter().map(|fetch| fetch.at).collect()
    }

    /// The requests for `path` themselves.
    pub fn fetch_log(&self, path: &str) -> Vec<Fetch> {
        self.all_fetches()
            .into_iter()
            .filter(|fetch| is_for(fetch, path))
            .collect()
    }

    /// Every request, with any path.
    pub fn all_fetches(&self) -> Vec<Fetch> {
        self.shared.lock().fetches.clone()
    }

    /// Waits until `path` was fetched at least `count` times; false if that took longer than `patience`.
    pub fn wait_for_fetches(&self, path: &str, count: usize, patience: Duration) -> bool {
        let short =
            |state: &mut State| state.fetches.iter().filter(|fetch| is_for(fetch, path)).count() < count;
        let waited = self
            .shared
            .fetched
            .wait_timeout_while(self.shared.lock(), patience, short);
        !waited
            .expect("no holder of the issuer's state panicked")
            .1
            .timed_out()
    }

    /// Sets the counts to zero.
    pub fn clear_fetches(&self) {
        self.shared.lock().fetches.clear();
    }

    /// Closes the port and every connection: from now on connections are refused.
    pub fn stop(&self) {
        let mut door = self.door.lock().expect("stop and restart do not panic");
        if let Some(Door::Open(accepting)) = door.take() {
            self.close(accepting);
            *door = Some(Door::Closed);
        } else {
            panic!("the issuer is stopped already");
        }
    }

    /// Listens again on the same port, with the same documents and counts.
    ///
    /// # Errors
    ///
    /// Fails if another process has taken the port.
    pub fn restart(&self) -> io::Result<()> {
        let mut door = self.door.lock().expect("stop and restart do not panic");
        let Some(Door::Closed) = door.take() else {
            panic!("the issuer is running already")
        };
        let _entered = runtime().enter();
        let listener = bind(self.addr)?.listen(1024)?;
        *door = Some(Door::Open(
            runtime().spawn(serve::accept(listener, Arc::clone(&self.shared))),
        ));
        Ok(())
    }

    /// Ends accepting and every connection, and waits until the sockets are closed.
    fn close(&self, accepting: JoinHandle<()>) {
        accepting.abort();
        let _ = block_on(accepting);
        let connections = std::mem::take(&mut self.shared.lock().connections);
        for connection in &connections {
            connection.abort();
        }
        while !connections.iter().all(AbortHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        if let Ok(Some(Door::Open(accepting))) = self.door.get_mut().map(Option::take) {
            self.close(accepting);
        }
    }
}

/// An address of 127.0.0.1 that refuses connections for as long as this value lives.
#[derive(Debug)]
pub struct ClosedPort {
    addr: SocketAddr,
    _socket: TcpSocket,
}

impl ClosedPort {
    /// Takes a free port and keeps it closed.
    pub fn reserve() -> Self {
        let socket = bind(([127, 0, 0, 1], 0).into()).expect("a free port on 127.0.0.1");
        let addr = socket.local_addr().expect("a bound socket has an address");
        Self {
            addr,
            _socket: socket,
        }
    }

    /// The address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

fn is_for(fetch: &Fetch, path: &str) -> bool {
    fetch.path.split('?').next() == Some(path)
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}
