//! Many connections that send tokens without a pause, and what became of each.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use testkit::{Client, Request};

/// A load under way.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    tokens: Arc<RwLock<Vec<String>>>,
    connections: Vec<JoinHandle<Report>>,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How many were sent.
    pub(crate) sent: usize,
    /// The answers other than 200, and the exchanges that broke.
    pub(crate) refused: Vec<String>,
    /// How long each took.
    latencies: Vec<Duration>,
}

impl Load {
    /// Each connection takes the tokens in turn, with this pause between requests. Every other one is opened anew for each
    /// request, since a connection that stays open stays with its listener when that is replaced.
    pub(crate) fn start(addr: SocketAddr, connections: usize, pause: Duration, tokens: &[String]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tokens = Arc::new(RwLock::new(tokens.to_vec()));
        let connections = (0..connections)
            .map(|number| {
                let (stop, tokens) = (stop.clone(), tokens.clone());
                std::thread::spawn(move || {
                    let mut report = Report::default();
                    let mut client = Client::new(addr);
                    while !stop.load(Ordering::Relaxed) {
                        let token = {
                            let tokens = tokens.read().unwrap();
                            tokens[(number + report.sent) % tokens.len()].clone()
                        };
                        if number % 2 == 0 {
                            client = Client::new(addr);
                        }
                        let begun = Instant::now();
                        let outcome = client.try_request(Request::get("/orders").bearer(&token));
                        report.latencies.push(begun.elapsed());
                        report.sent += 1;
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
            connections,
        }
    }

    /// From now on these are sent.
    pub(crate) fn send(&self, tokens: &[String]) {
        *self.tokens.write().unwrap() = tokens.to_vec();
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
    /// The latency that so many hundredths of the requests stayed below.
    pub(crate) fn percentile(&self, hundredths: usize) -> Duration {
        self.latencies[(self.latencies.len() * hundredths / 100).min(self.latencies.len() - 1)]
    }

    /// Fails unless every request was let through.
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
