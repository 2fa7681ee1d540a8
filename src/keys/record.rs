//! The record of a key source in shared data, which every worker of a process sees.
//!
//! It is written with compare-and-swap only. The keys have an entry of their own, and are read only when
//! `version` has changed.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

use super::source::LONGEST_TIMEOUT;
use crate::json::{Json, Object};
use crate::time::UnixTime;

/// The state of a key source in the process. Times are milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyRecord {
    /// A different number for each set of keys; 0: there are none yet.
    pub(super) version: u64,
    /// The time of the request for the present keys.
    pub(super) asked_at: u64,
    /// The time of the next fetch.
    pub(super) refresh_at: u64,
    /// The end of the keys' lifetime.
    pub(super) expires_at: u64,
    /// The end of the keys' use.
    pub(super) stale_until: u64,
    /// The document's entity tag (RFC 9110 section 8.8.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    /// The present lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lease: Option<Lease>,
    /// Failed fetches since the last success.
    pub(super) failures: u32,
    /// The earliest time of the next fetch, except for an unknown `kid`.
    pub(super) retry_at: u64,
    /// The state that the log has reported for these failures.
    #[serde(rename = "trouble", skip_serializing_if = "Option::is_none")]
    pub(super) outage: Option<Outage>,
    /// The times at which the last fetches for an unknown `kid` began, the latest last.
    pub(super) kid_fetches: [u64; 3],
    /// The times at which the three fetches before those began.
    pub(super) kid_fetches_before: [u64; 3],
    /// The content of the discovery document, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) discovered: Option<Discovered>,
}

/// The right to fetch until a deadline. If its holder dies, another worker takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Lease {
    /// A number of this holder only.
    pub(super) holder: u64,
    /// The deadline.
    pub(super) until: u64,
}

/// The place of the keys, from the issuer's document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Discovered {
    /// The document's `jwks_uri`.
    pub(super) jwks_uri: String,
    /// The time of the next fetch of the document.
    pub(super) read_again_at: u64,
    /// Failed fetches of the document since the last success.
    pub(super) failures: u32,
    /// The state that the log has reported for these failures.
    #[serde(rename = "trouble", skip_serializing_if = "Option::is_none")]
    pub(super) outage: Option<Outage>,
}

/// Consecutive failures, as reported to the operator: the first worker that notices a change of state reports
/// it, once. The names in the store are those of the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Outage {
    /// When the first failure began.
    pub(super) since: u64,
    #[serde(rename = "standing")]
    pub(super) state: KeyState,
    pub(super) why: String,
}

/// The consequence of failed fetches for requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum KeyState {
    /// None: the keys are fresh.
    Fresh,
    /// The keys are past their lifetime, and still in use.
    Stale,
    /// There are no keys.
    #[serde(rename = "Without")]
    Missing,
}

/// No lease is longer than two requests and a margin. If a lease is longer, a worker took it before the clock
/// was set back.
const LONGEST_LEASE: Duration = LONGEST_TIMEOUT.saturating_mul(3);

impl KeyRecord {
    /// Reads a record. An unreadable one counts as absent.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let record = Record(Object::parse(bytes).ok()?);
        Self::read(&record).ok()
    }

    /// The record's bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn read(record: &Record<'_>) -> Result<Self, Unreadable> {
        Ok(Self {
            version: record.number("version")?,
            asked_at: record.number("asked_at")?,
            refresh_at: record.number("refresh_at")?,
            expires_at: record.number("expires_at")?,
            stale_until: record.number("stale_until")?,
            etag: record.text("etag")?,
            lease: match record.part("lease")? {
                Some(lease) => Some(Lease {
                    holder: lease.number("holder")?,
                    until: lease.number("until")?,
                }),
                None => None,
            },
            failures: record.count("failures")?,
            retry_at: record.number("retry_at")?,
            outage: Outage::read(record)?,
            kid_fetches: record.three("kid_fetches")?,
            kid_fetches_before: record.three("kid_fetches_before")?,
            discovered: match record.part("discovered")? {
                Some(discovered) => Some(Discovered {
                    jwks_uri: discovered.text("jwks_uri")?.unwrap_or_default(),
                    read_again_at: discovered.number("read_again_at")?,
                    failures: discovered.count("failures")?,
                    outage: Outage::read(&discovered)?,
                }),
                None => None,
            },
        })
    }

    pub(super) fn is_leased(&self, now: UnixTime) -> bool {
        let latest = now.after(LONGEST_LEASE).as_millis();
        self.lease
            .is_some_and(|lease| lease.until > now.as_millis() && lease.until <= latest)
    }

    pub(super) fn serves(&self, now: UnixTime) -> bool {
        self.version != 0 && now.as_millis() < self.stale_until
    }

    /// Whether this record has news for another configuration of the same source: newer keys, or the end of
    /// the fetch for which the other one waits.
    pub(super) fn supersedes(&self, other: Option<&Self>) -> bool {
        let Some(other) = other else { return true };
        let has_ended =
            || self.asked_at == other.asked_at && other.lease.is_some() && self.failures > other.failures;
        self.asked_at > other.asked_at || has_ended()
    }

    /// The consequence of a failure now, and the time until which it lasts.
    pub(super) fn state(&self, now: UnixTime) -> (KeyState, UnixTime) {
        if !self.serves(now) {
            (KeyState::Missing, UnixTime::NEVER)
        } else if now.as_millis() < self.expires_at {
            (KeyState::Fresh, UnixTime::from_millis(self.expires_at))
        } else {
            (KeyState::Stale, UnixTime::from_millis(self.stale_until))
        }
    }

    /// The earliest time at which an unknown `kid` may cause a fetch. There are at most six fetches in two
    /// windows. Whatever clients send, the next fetch may begin 71/160 of a window (13.3 s of 30 s) after the
    /// last one at the latest. Even pauses would take 10 s, but then every flood of made-up `kid`s could make
    /// a rotated key wait that long. So two of the pauses may be short: one for a `kid` that has come before,
    /// and for which the filter has not asked the issuer yet, and another only for one that comes again and
    /// again for two seconds. A client that invents a `kid` for each token, repeats each a few times or
    /// repeats the same few does not use up the fetch that a rotated key needs.
    pub(super) fn next_kid_fetch(&self, window: Duration, wants: Wants, now: UnixTime) -> UnixTime {
        let [sixth, fifth, fourth] = self.kid_fetches_before;
        let [third, second, last] = self.kid_fetches;
        // The pauses in 160ths of a window: from the last fetch, from the second last, and so on. All six
        // pauses take two windows. The first two may be short, and then the other four are 71 each.
        let next = |pauses: [u32; 6]| {
            [last, second, third, fourth, fifth, sixth]
                .into_iter()
                .zip(pauses)
                .filter_map(|(begun, pause)| {
                    let pause = window.saturating_mul(pause).checked_div(160);
                    after(begun, pause.unwrap_or_default(), now)
                })
                .max()
                .unwrap_or_default()
        };
        let long = next([71, 36, 107, 178, 249, 320]);
        match wants {
            Wants::Lasting => next([10, 36, 107, 178, 249, 320]),
            // The second short pause is left for a `kid` that lasts.
            Wants::Again => next([10, 81, 152, 223, 294, 320]).min(long),
            // An issuer may publish a key later than it signs with it. A short pause is left for the others.
            Wants::InVain => next([27, 97, 168, 239, 310, 320]).min(long),
            Wants::Nothing | Wants::Once => long,
        }
    }

    pub(super) fn spend_kid_budget(&mut self, now: UnixTime) {
        let [_, fifth, fourth] = self.kid_fetches_before;
        let [third, second, last] = self.kid_fetches;
        self.kid_fetches_before = [fifth, fourth, third];
        self.kid_fetches = [second, last, now.as_millis()];
    }
}

/// The end of a pause that began at this time. `None` if it never began, or if it begins in the future
/// because the clock was set back.
fn after(begun: u64, pause: Duration, now: UnixTime) -> Option<UnixTime> {
    let began = (1..=now.as_millis()).contains(&begun);
    began.then(|| UnixTime::from_millis(begun).after(pause))
}

/// The urgency with which requests need a `kid` that the key source does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wants {
    /// Nothing.
    #[default]
    Nothing,
    /// A `kid` that has not come before.
    Once,
    /// A `kid` that had come before the filter fetched the present keys, which do not have it.
    InVain,
    /// A `kid` that has come before, and for which the filter has not asked the issuer yet.
    Again,
    /// The same, and it came for the first time two seconds ago or earlier.
    Lasting,
}

impl Outage {
    fn read(record: &Record<'_>) -> Result<Option<Self>, Unreadable> {
        let Some(outage) = record.part("trouble")? else {
            return Ok(None);
        };
        Ok(Some(Self {
            since: outage.number("since")?,
            state: match outage.text("standing")?.as_deref() {
                Some("Fresh") => KeyState::Fresh,
                Some("Stale") => KeyState::Stale,
                Some("Without") => KeyState::Missing,
                _ => return Err(Unreadable),
            },
            why: outage.text("why")?.unwrap_or_default(),
        }))
    }

    /// Notes a failure that began at `begun`. Returns true if no worker has reported it to the operator
    /// before.
    pub(super) fn note(outage: &mut Option<Self>, begun: UnixTime, state: KeyState, why: String) -> bool {
        let since = outage.as_ref().map_or(begun.as_millis(), |before| before.since);
        let now = Self { since, state, why };
        let is_news = outage.as_ref() != Some(&now);
        *outage = Some(now);
        is_news
    }
}

/// A record that cannot be read.
struct Unreadable;

/// A record as in shared data. An absent member is zero or none. The reader is handwritten, because derived
/// readers take 20 KB of the module.
struct Record<'a>(Object<'a>);

impl<'a> Record<'a> {
    fn number(&self, name: &str) -> Result<u64, Unreadable> {
        self.0.member(name).map_or(Ok(0), whole)
    }

    fn count(&self, name: &str) -> Result<u32, Unreadable> {
        u32::try_from(self.number(name)?).map_err(|_| Unreadable)
    }

    fn three(&self, name: &str) -> Result<[u64; 3], Unreadable> {
        let Some(list) = self.0.member(name) else {
            return Ok([0; 3]);
        };
        match list.as_array().as_deref() {
            Some([first, second, third]) => Ok([whole(*first)?, whole(*second)?, whole(*third)?]),
            _ => Err(Unreadable),
        }
    }

    fn text(&self, name: &str) -> Result<Option<String>, Unreadable> {
        let member = self.0.member(name);
        member
            .map(|text| text.as_str().map(Cow::into_owned).ok_or(Unreadable))
            .transpose()
    }

    fn part(&self, name: &str) -> Result<Option<Self>, Unreadable> {
        let member = self.0.member(name);
        member
            .map(|part| part.as_object().map(Self).ok_or(Unreadable))
            .transpose()
    }
}

fn whole(number: Json<'_>) -> Result<u64, Unreadable> {
    number.text().parse().map_err(|_| Unreadable)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    /// The times at which fetches begin within ten minutes, if there is always a request that wants one.
    fn fetches(mut wants: impl FnMut(u64) -> Wants) -> Vec<u64> {
        let mut record = KeyRecord::default();
        let begin = 1_000_000;
        let mut begun = Vec::new();
        for second in 0..600 {
            let now = UnixTime::from_secs(begin + second);
            let wants = wants(second);
            if wants != Wants::Nothing && record.next_kid_fetch(WINDOW, wants, now) <= now {
                record.spend_kid_budget(now);
                begun.push(second);
            }
        }
        for (at, first) in begun.iter().enumerate() {
            let within = |length| {
                begun[at..]
                    .iter()
                    .filter(|later| **later < first + length)
                    .count()
            };
            assert!(within(60) <= 6, "{begun:?}");
        }
        begun
    }

    #[test]
    fn whoever_makes_up_kids_leaves_a_fetch_for_one_that_comes_again() {
        for flood in [Wants::Once, Wants::InVain, Wants::Again] {
            for rotation in 0..300 {
                let begun = fetches(|second| match second {
                    second if second >= rotation + 2 => Wants::Lasting,
                    second if second >= rotation => Wants::Again,
                    _ => flood,
                });
                let learnt = begun.iter().find(|begun| **begun >= rotation);
                // 4.9 s, to the next whole second.
                let longest = if flood == Wants::Once { 2 } else { 5 };
                assert!(
                    learnt.is_some_and(|learnt| *learnt <= rotation + longest),
                    "{flood:?} {rotation}"
                );
            }
        }
        assert_eq!(fetches(|_| Wants::Once)[..4], [0, 14, 28, 42]);
        assert_eq!(fetches(|_| Wants::InVain)[..4], [0, 6, 19, 32]);
    }

    #[test]
    fn no_client_can_cause_a_long_pause() {
        let mut random = 7_u64;
        for length in 1..60 {
            let begun = fetches(|second| {
                if second % length == 0 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                }
                match random >> 40 & 3 {
                    0 => Wants::Once,
                    1 => Wants::InVain,
                    2 => Wants::Again,
                    _ => Wants::Lasting,
                }
            });
            let pauses: Vec<_> = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(pauses.iter().all(|pause| *pause <= 14), "{length}: {begun:?}");
        }
        assert_eq!(fetches(|_| Wants::Lasting)[..8], [0, 2, 7, 21, 34, 47, 60, 62]);
    }

    #[test]
    fn a_lease_that_the_clock_cannot_have_given_is_none() {
        let now = UnixTime::from_secs(1_000_000);
        let lease = |secs: u64| KeyRecord {
            lease: Some(Lease {
                holder: 1,
                until: UnixTime::from_secs(1_000_000 + secs).as_millis(),
            }),
            ..KeyRecord::default()
        };
        assert!(!lease(0).is_leased(now));
        assert!(lease(1).is_leased(now));
        assert!(lease(121).is_leased(now));
        assert!(!lease(3600).is_leased(now), "an hour: the clock was set back");
    }

    #[test]
    fn a_record_survives_its_encoding_and_odd_bytes_are_none() {
        let outage = |state| {
            Some(Outage {
                since: 9,
                state,
                why: "JWKS: the connection was \"reset\"".to_owned(),
            })
        };
        let record = KeyRecord {
            version: u64::MAX,
            asked_at: 1,
            refresh_at: 2,
            expires_at: 3,
            stale_until: 4,
            etag: Some("\"x\"".to_owned()),
            lease: Some(Lease { holder: 5, until: 6 }),
            failures: 7,
            retry_at: 8,
            outage: outage(KeyState::Missing),
            kid_fetches: [10, 11, 14],
            kid_fetches_before: [16, 17, 18],
            discovered: Some(Discovered {
                jwks_uri: "https://a/".to_owned(),
                read_again_at: 12,
                failures: 13,
                outage: outage(KeyState::Fresh),
            }),
        };
        let written = String::from_utf8(record.encode()).unwrap();
        assert!(
            written.contains(r#""trouble":{"since":9,"standing":"Without","why":"#),
            "{written}: workers of an older build read it too"
        );
        assert_eq!(KeyRecord::decode(&record.encode()), Some(record));
        let stale = KeyRecord {
            outage: outage(KeyState::Stale),
            ..KeyRecord::default()
        };
        assert_eq!(KeyRecord::decode(&stale.encode()), Some(stale));
        assert_eq!(
            KeyRecord::decode(b"{}"),
            Some(KeyRecord::default()),
            "fields may be absent"
        );
        assert_eq!(
            KeyRecord::decode(b"{\"later\":[]}"),
            Some(KeyRecord::default()),
            "or unknown"
        );
        for odd in [
            "",
            "null",
            "{\"version\":\"1\"}",
            "{\"version\":-1}",
            "{\"version\":1.5}",
            "{\"failures\":4294967296}",
            "{\"kid_fetches\":[1]}",
            "{\"etag\":1}",
            "{\"lease\":1}",
            "{\"trouble\":{\"since\":1,\"standing\":\"Odd\",\"why\":\"\"}}",
        ] {
            assert_eq!(KeyRecord::decode(odd.as_bytes()), None, "{odd}");
        }
    }
}
