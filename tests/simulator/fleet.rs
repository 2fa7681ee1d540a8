//! Fleets of 1,000, 10,000 and 100,000 processes over a day with an outage, and the load on the issuer.
//!
//! The processes do not know each other, and the issuer's responses depend on the time only. So each process
//! is simulated separately, from its start to the end of the day, and only the issuer's counts are shared.

use std::fmt::Write as _;
use std::time::Duration;

use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::keys::{FetchId, Fetched, RemoteKeys};
use proxy_wasm_jwt::keys::{KeySource, RemoteKeySource};
use proxy_wasm_jwt::store::{Entry, SharedStore, StoreKey, SwapError};
use proxy_wasm_jwt::time::UnixTime;

use super::process::{keys, remote, set};

const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;
/// A deployment that takes a minute starts them all.
const STARTED_WITHIN: u64 = 60 * SECOND;
const OUTAGE: std::ops::Range<u64> = 12 * HOUR..13 * HOUR;
const ANSWER: u64 = 40;
/// Any time after 1970 will do.
const EPOCH: u64 = 1_750_000_000 * SECOND;

/// The fetches in each second of the day, and when the last process had keys again.
struct Seen {
    per_second: Vec<u32>,
    last_recovery: u64,
}

impl Seen {
    fn new() -> Self {
        Self {
            per_second: vec![0; usize::try_from(DAY / SECOND).unwrap()],
            last_recovery: 0,
        }
    }

    fn add(&mut self, other: &Self) {
        for (count, more) in self.per_second.iter_mut().zip(&other.per_second) {
            *count += more;
        }
        self.last_recovery = self.last_recovery.max(other.last_recovery);
    }

    fn within(&self, times: &std::ops::Range<u64>) -> &[u32] {
        let second = |time: u64| usize::try_from(time / SECOND).unwrap();
        &self.per_second[second(times.start)..second(times.end)]
    }

    fn mean(&self, times: std::ops::Range<u64>) -> f64 {
        let counts = self.within(&times);
        counts.iter().map(|count| f64::from(*count)).sum::<f64>() / counts.len() as f64
    }

    fn peak(&self, times: std::ops::Range<u64>) -> u32 {
        *self.within(&times).iter().max().unwrap()
    }
}

/// The store of a process with one worker, which nothing reads.
struct Alone;

impl SharedStore for Alone {
    fn get(&self, _: StoreKey<'_>) -> Option<Entry> {
        None
    }

    fn swap(&self, _: StoreKey<'_>, _: u64, _: &[u8]) -> Result<(), SwapError> {
        Err(SwapError::Failed)
    }

    fn put(&self, _: StoreKey<'_>, _: &[u8]) {}
}

/// One process's day.
fn live(source: &RemoteKeySource, document: &str, number: u64, seen: &mut Seen) {
    let mut keys = RemoteKeys::new(source.clone(), number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut events = Vec::new();
    // Spread evenly over the deployment, in an order that does not depend on their jitter.
    let mut now = EPOCH + number.wrapping_mul(2_654_435_761) % STARTED_WITHIN;
    while now < EPOCH + DAY {
        let time = UnixTime::from_millis(now);
        if let Some(request) = keys.acquire_lease(FetchId::default(), None, time) {
            let of_day = now - EPOCH;
            seen.per_second[usize::try_from(of_day / SECOND).unwrap()] += 1;
            let asks_again = request.headers.iter().any(|(name, _)| *name == "if-none-match");
            let (status, body) = match (OUTAGE.contains(&of_day), asks_again) {
                (true, _) => (503, ""),
                (false, true) => (304, ""),
                (false, false) => (200, document),
            };
            let answer = Fetched {
                status,
                body: body.as_bytes(),
                cache_control: None,
                retry_after: None,
                content_encoding: None,
                etag: Some(b"\"v1\""),
            };
            let answered = UnixTime::from_millis(now + ANSWER);
            keys.handle_fetched(request.id, Ok(answer), answered, &mut events);
            keys.publish(&Alone);
            if (OUTAGE.end..OUTAGE.end + HOUR).contains(&of_day) {
                let recovered = events
                    .iter()
                    .any(|event| matches!(event, proxy_wasm_jwt::keys::KeyEvent::Recovered { .. }));
                if recovered {
                    seen.last_recovery = seen.last_recovery.max(of_day - OUTAGE.end);
                }
            }
            events.clear();
            assert!(keys.serving(answered).is_some(), "a process without keys");
        }
        now = keys.next_timeout().as_millis().max(now + 1);
    }
}

fn simulate(processes: u64) -> Seen {
    let config = Config::parse(remote().to_string().as_bytes()).unwrap();
    let KeySource::Remote(source) = &config.providers[0].keys else {
        panic!("local keys");
    };
    let document = set(&[&keys().first]).body;
    let mut all = Seen::new();
    let threads = 4;
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let document = &document;
                scope.spawn(move || {
                    let mut seen = Seen::new();
                    for number in (thread..processes).step_by(4) {
                        live(source, document, number, &mut seen);
                    }
                    seen
                })
            })
            .collect();
        for thread in running {
            all.add(&thread.join().unwrap());
        }
    });
    all
}

fn table(sizes: &[u64]) -> String {
    let mut table = String::from(
        "| processes | start, peak | first hour, peak | settled, mean | settled, peak | outage, mean | outage, peak | after it, peak | all recovered within |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for size in sizes {
        let seen = simulate(*size);
        let row = [
            thousands(*size),
            format!("{}/s", seen.peak(0..STARTED_WITHIN + SECOND)),
            format!("{}/s", seen.peak(STARTED_WITHIN + SECOND..HOUR)),
            format!("{:.1}/s", seen.mean(6 * HOUR..OUTAGE.start)),
            format!("{}/s", seen.peak(6 * HOUR..OUTAGE.start)),
            format!("{:.1}/s", seen.mean(OUTAGE.start + HOUR / 2..OUTAGE.end)),
            format!("{}/s", seen.peak(OUTAGE)),
            format!("{}/s", seen.peak(OUTAGE.end..OUTAGE.end + HOUR)),
            format!("{:.0} s", (seen.last_recovery as f64 / 1000.0).ceil()),
        ];
        writeln!(table, "| {} |", row.join(" | ")).unwrap();
    }
    table
}

fn thousands(number: u64) -> String {
    format!("{},{:03}", number / 1000, number % 1000)
}

#[test]
fn golden_what_an_issuer_sees_of_a_fleet() {
    let begun = std::time::Instant::now();
    let table = table(&[1_000, 10_000, 100_000]);
    println!("{table}\nsimulated in {:?}", begun.elapsed());
    testkit::assert_golden_section("docs/keys.md", "fleet", &table);
}

#[test]
fn a_process_alone_is_never_in_step_with_its_neighbours() {
    // Simulates the same day twice: the seed determines everything.
    let (once, again) = (simulate(50), simulate(50));
    assert_eq!(once.per_second, again.per_second);
    let spread = Duration::from_millis(once.last_recovery);
    assert!(
        spread > Duration::from_secs(30) && spread < Duration::from_secs(61),
        "{spread:?}"
    );
}
