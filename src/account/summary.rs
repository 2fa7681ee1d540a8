//! A summary of the refusals for the log: one line a minute for each kind, with an example.

use std::time::Duration;

use crate::denial::{Denial, Reason};
use crate::ids::ProviderId;
use crate::time::UnixTime;

/// The log has one line for a kind of refusal in this time.
const PAUSE: Duration = Duration::from_secs(60);

/// The number of kinds that the summary distinguishes. Beyond it, all refusals of a reason are one kind,
/// whichever provider they concern.
const MOST_KINDS: usize = 128;

/// Counts refusals of each reason and provider.
#[derive(Debug, Default)]
pub struct RefusalSummary {
    kinds: Vec<Kind>,
}

#[derive(Debug)]
struct Kind {
    reason: Reason,
    provider: Option<ProviderId>,
    is_shadowed: bool,
    /// Refusals since the last line.
    count: u64,
    /// The time of the first of them, or of the last line.
    since: UnixTime,
    /// The earliest time of the next line.
    due: UnixTime,
    /// The last refusal, and its time.
    last: (Denial, UnixTime),
}

impl Kind {
    /// After the clock was set back, a kind is silent for no longer than the pause.
    fn is_due(&self, now: UnixTime) -> bool {
        self.due <= now || self.due > now.after(PAUSE)
    }
}

/// One line of the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusalsOfAKind {
    /// The number of requests.
    pub count: u64,
    /// The time within which they came.
    pub within: Duration,
    /// The filter allowed them, because the rule is in shadow mode.
    pub is_shadowed: bool,
    /// The last of them.
    pub last: Denial,
    /// The time of the last refusal.
    pub at: UnixTime,
}

impl RefusalSummary {
    /// Counts a request that was refused, or that shadow mode let through.
    pub fn note(&mut self, denial: &Denial, is_shadowed: bool, now: UnixTime) {
        let is_full = self.kinds.len() >= MOST_KINDS;
        let of = |provider: Option<ProviderId>| {
            move |kind: &Kind| {
                kind.reason == denial.reason && kind.provider == provider && kind.is_shadowed == is_shadowed
            }
        };
        let mut provider = denial.provider;
        let mut known = self.kinds.iter().position(of(provider));
        if known.is_none() && is_full {
            provider = None;
            known = self.kinds.iter().position(of(None));
        }
        match known.and_then(|position| self.kinds.get_mut(position)) {
            Some(kind) => {
                if kind.count == 0 && kind.is_due(now) {
                    kind.since = now;
                }
                kind.count = kind.count.saturating_add(1);
                kind.last = (*denial, now);
            }
            None => self.kinds.push(Kind {
                reason: denial.reason,
                provider,
                is_shadowed,
                count: 1,
                since: now,
                due: now,
                last: (*denial, now),
            }),
        }
    }

    /// A line that is due. Call this until it returns `None`. It forgets a kind without a refusal in the last
    /// minute.
    pub fn next_due(&mut self, now: UnixTime) -> Option<RefusalsOfAKind> {
        let mut kinds = self.kinds.iter_mut();
        let Some(kind) = kinds.find(|kind| kind.count > 0 && kind.is_due(now)) else {
            self.kinds.retain(|kind| kind.count > 0 || !kind.is_due(now));
            return None;
        };
        let (last, at) = kind.last;
        let line = RefusalsOfAKind {
            count: kind.count,
            within: now.since(kind.since),
            is_shadowed: kind.is_shadowed,
            last,
            at,
        };
        (kind.count, kind.since, kind.due) = (0, now, now.after(PAUSE));
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_millis(1_000_000_000).after(Duration::from_secs(seconds))
    }

    fn denial(reason: Reason, provider: usize) -> Denial {
        Denial::new(reason).by(ProviderId::new(provider))
    }

    /// Count, seconds and reason of each line that is due.
    fn lines(summary: &mut RefusalSummary, now: UnixTime) -> Vec<(u64, u64, Reason)> {
        std::iter::from_fn(|| summary.next_due(now))
            .map(|line| (line.count, line.within.as_secs(), line.last.reason))
            .collect()
    }

    #[test]
    fn each_kind_has_a_line_a_minute() {
        use Reason::{TokenExpired, TokenMissing};
        let mut summary = RefusalSummary::default();
        assert!(lines(&mut summary, at(0)).is_empty());
        summary.note(&denial(TokenExpired, 0), false, at(0));
        assert_eq!(lines(&mut summary, at(1)), [(1, 1, TokenExpired)]);
        for second in 2..200 {
            summary.note(&denial(TokenExpired, 0), false, at(second));
            let expected: &[_] = match second {
                61 | 121 | 181 => &[(60, 60, TokenExpired)],
                _ => &[],
            };
            assert_eq!(lines(&mut summary, at(second)), expected, "{second}");
        }
        // Another kind does not have to wait.
        summary.note(&Denial::new(TokenMissing), false, at(200));
        assert_eq!(lines(&mut summary, at(200)), [(1, 0, TokenMissing)]);
        assert_eq!(lines(&mut summary, at(241)), [(18, 60, TokenExpired)]);
        assert!(lines(&mut summary, at(400)).is_empty());
        assert!(summary.kinds.is_empty(), "what has ended is forgotten");
    }

    #[test]
    fn provider_and_mode_distinguish_kinds_and_the_last_is_the_example() {
        let mut summary = RefusalSummary::default();
        let expired = |provider| denial(Reason::TokenExpired, provider);
        summary.note(&expired(0), false, at(0));
        summary.note(&expired(1), false, at(0));
        summary.note(&expired(1), true, at(0));
        summary.note(&expired(1).with_detail("the last"), true, at(2));
        let lines: Vec<_> = std::iter::from_fn(|| summary.next_due(at(3))).collect();
        let reported: Vec<_> = lines.iter().map(|line| (line.count, line.is_shadowed)).collect();
        assert_eq!(reported, [(1, false), (1, false), (2, true)]);
        assert_eq!(lines[2].last, expired(1).with_detail("the last"));
        assert_eq!(lines[2].at, at(2));
    }

    #[test]
    fn memory_is_bounded_and_no_refusal_is_lost() {
        let mut summary = RefusalSummary::default();
        for provider in 0..2000 {
            for reason in Reason::ALL {
                summary.note(&denial(reason, provider), provider % 2 == 0, at(0));
            }
        }
        assert!(summary.kinds.len() <= MOST_KINDS + 2 * Reason::ALL.len());
        let lines = lines(&mut summary, at(1));
        let sum: u64 = lines.iter().map(|(count, ..)| count).sum();
        assert_eq!(sum, 2000 * u64::try_from(Reason::ALL.len()).unwrap());
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nothing() {
        let mut summary = RefusalSummary::default();
        let missing = Denial::new(Reason::TokenMissing);
        summary.note(&missing, false, at(10_000));
        assert_eq!(lines(&mut summary, at(10_000)).len(), 1);
        summary.note(&missing, false, at(5));
        assert_eq!(lines(&mut summary, at(5)), [(1, 0, Reason::TokenMissing)]);
    }
}
