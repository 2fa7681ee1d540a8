//! Many connections that send tokens without a pause, and the outcome of each request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use testkit::{Client, Request};

/// A load under way.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    tokens: Arc<RwLock<Tokens>>,
    progress: Arc<Progress>,
    connections: Vec<JoinHandle<Report>>,
}

/// The tokens, and the number of their change.
struct Tokens {
    change: usize,
    tokens: Vec<String>,
}

/// The progress of the connections, for a waiting test.
struct Progress {
    /// The last change that each connection has seen, and how many requests have ended.
    state: Mutex<(Vec<usize>, usize)>,
    moved: Condvar,
}

impl Progress {
    /// The longest time that a test waits, under any load.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn wait(&self, what: &str, is_there: impl Fn(&[usize], usize) -> bool) {
        let state = self.state.lock().unwrap();
        let waited = self
            .moved
            .wait_timeout_while(state, Self::PATIENCE, |(changes, ended)| {
                !is_there(changes, *ended)
            });
        assert!(!waited.unwrap().1.timed_out(), "the load stands still: {what}");
    }
}

/// The outcomes of the requests.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The number of requests.
    pub(crate) sent: usize,
    /// The answers other than 200, and the exchanges that broke.
    pub(crate) refused: Vec<String>,
    /// The duration of each request.
    latencies: Vec<Duration>,
}

impl Load {
    /// Each connection takes the tokens in turn, with this pause between requests. Every other one is opened
    /// again for each request, since a connection that stays open stays with its listener when that is
    /// replaced.
    pub(crate) fn start(addr: SocketAddr, connections: usize, pause: Duration, tokens: &[String]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tokens = Arc::new(RwLock::new(Tokens {
            change: 0,
            tokens: tokens.to_vec(),
        }));
        let progress = Arc::new(Progress {
            state: Mutex::new((vec![0; connections], 0)),
            moved: Condvar::new(),
        });
        let connections = (0..connections)
            .map(|number| {
                let (stop, tokens, progress) = (stop.clone(), tokens.clone(), progress.clone());
                std::thread::spawn(move || {
                    let mut report = Report::default();
                    let mut client = Client::new(addr);
                    while !stop.load(Ordering::Relaxed) {
                        let (token, change) = {
                            let Tokens { tokens, change } = &*tokens.read().unwrap();
                            (tokens[(number + report.sent) % tokens.len()].clone(), *change)
                        };
                        progress.state.lock().unwrap().0[number] = change;
                        progress.moved.notify_all();
                        if number % 2 == 0 {
                            client = Client::new(addr);
                        }
                        let begun = Instant::now();
                        let outcome = client.try_request(Request::get("/orders").bearer(&token));
                        report.latencies.push(begun.elapsed());
                        report.sent += 1;
                        progress.state.lock().unwrap().1 += 1;
                        progress.moved.notify_all();
                        match outcome {
                            Ok(response) if response.status == 200 => {}
                            Ok(response) => report.refused.push(format!(
                                "{} {}",
                                response.status,
                                response.reason().unwrap_or_default()
                            )),
                            Err(error) => report.refused.push(error),
                        }
                        std::thread::sleep(pause);
                    }
                    report
                })
            })
            .collect();
        Self {
            stop,
            tokens,
            progress,
            connections,
        }
    }

    /// Sends these tokens from now on. When this returns, all earlier requests have been answered.
    pub(crate) fn send(&self, tokens: &[String]) {
        let change = {
            let mut all = self.tokens.write().unwrap();
            all.tokens = tokens.to_vec();
            all.change += 1;
            all.change
        };
        self.progress
            .wait("a connection still sends the tokens before", |changes, _| {
                changes.iter().all(|seen| *seen == change)
            });
    }

    /// Waits until this many more requests have ended.
    pub(crate) fn wait_for(&self, requests: usize) {
        let before = self.progress.state.lock().unwrap().1;
        self.progress
            .wait("too few requests end", |_, ended| ended >= before + requests);
    }

    /// Ends the load.
    pub(crate) fn finish(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Report::default();
        for connection in self.connections {
            let report = connection.join().unwrap();
            all.sent += report.sent;
            all.refused.extend(report.refused);
            all.latencies.extend(report.latencies);
        }
        all.latencies.sort_unstable();
        all
    }
}

impl Report {
    /// The latency at this percentile of the requests.
    pub(crate) fn percentile(&self, hundredths: usize) -> Duration {
        self.latencies[(self.latencies.len() * hundredths / 100).min(self.latencies.len() - 1)]
    }

    /// Fails unless every request passed.
    pub(crate) fn assert_none_refused(&self, at_least: usize, what: &str) {
        println!(
            "{what}: {} requests, {} refused, p50 {:?}, p99 {:?}",
            self.sent,
            self.refused.len(),
            self.percentile(50),
            self.percentile(99)
        );
        assert!(self.sent >= at_least, "{what}: only {} requests", self.sent);
        let shown = &self.refused[..self.refused.len().min(5)];
        assert!(
            self.refused.is_empty(),
            "{what}: {} of {} refused: {shown:?}",
            self.refused.len(),
            self.sent
        );
    }
}
