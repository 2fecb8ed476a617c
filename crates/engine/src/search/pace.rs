//! How fast the follower works while somebody waits, and which wait is hopeless.
//!
//! A wrong refusal is worse than a wait: an estimate is made only of whole stretches that somebody waited
//! for, and only lately; and a wait is hopeless only if it would take several times as long as it may.

use std::time::{Duration, Instant};

/// What so much work ago was measured counts half.
const HALF_LIFE: Duration = Duration::from_secs(2);

/// Stretches that say something.
const STRETCHES_MIN: u32 = 4;

/// What was measured longer ago says nothing of now.
const STALE: Duration = Duration::from_secs(60);

/// A wait is hopeless when it would take so many times as long as it may.
const DOUBT: u32 = 3;

/// What was measured of the follower.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Positions applied, and the seconds that took, both fading.
    positions: f64,
    busy: f64,
    stretches: u32,
    at: Option<Instant>,
    commit: Duration,
}

impl Pace {
    /// A whole stretch was applied while somebody waited.
    pub(super) fn worked(&mut self, positions: u64, took: Duration, now: Instant) {
        if self.is_stale(now) {
            (self.positions, self.busy, self.stretches) = (0.0, 0.0, 0);
        }
        let took = took.as_secs_f64();
        let kept = 0.5_f64.powf(took / HALF_LIFE.as_secs_f64());
        self.positions = self.positions * kept + positions as f64;
        self.busy = self.busy * kept + took;
        self.stretches = self.stretches.saturating_add(1);
        self.at = Some(now);
    }

    pub(super) fn committed(&mut self, took: Duration) {
        self.commit = took;
    }

    fn is_stale(&self, now: Instant) -> bool {
        self.at.is_none_or(|at| now.saturating_duration_since(at) > STALE)
    }

    /// How long it would take to find so many positions more; `None` if nobody knows.
    pub(super) fn estimate(&self, behind: u64, now: Instant) -> Option<Duration> {
        if behind == 0 || self.stretches < STRETCHES_MIN || self.is_stale(now) {
            return None;
        }
        let seconds = Duration::try_from_secs_f64(behind as f64 * self.busy / self.positions);
        Some(seconds.unwrap_or(Duration::MAX).saturating_add(self.commit))
    }
}

/// Whether a wait would clearly take longer than it may.
pub(super) fn is_hopeless(estimate: Duration, allowed: Duration) -> bool {
    estimate > allowed.saturating_mul(DOUBT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// So many positions a second, measured often enough.
    fn pace(per_second: u64, now: Instant) -> Pace {
        let mut pace = Pace::default();
        (0..STRETCHES_MIN).for_each(|_| pace.worked(per_second / 10, SECOND / 10, now));
        pace
    }

    fn millis(estimate: Option<Duration>) -> Option<u128> {
        estimate.map(|estimate| estimate.as_millis())
    }

    #[test]
    fn what_is_behind_takes_its_time_and_a_commit() {
        let now = Instant::now();
        let mut pace = pace(1_000, now);
        assert_eq!(millis(pace.estimate(5_000, now)), Some(5_000));
        pace.committed(SECOND / 2);
        assert_eq!(millis(pace.estimate(5_000, now)), Some(5_500));
        assert_eq!(pace.estimate(0, now), None, "a commit alone is waited for");
    }

    #[test]
    fn nobody_knows_from_too_little_or_long_ago() {
        let now = Instant::now();
        let mut few = Pace::default();
        (1..STRETCHES_MIN).for_each(|_| few.worked(100, SECOND, now));
        assert_eq!(few.estimate(1_000, now), None);
        few.worked(100, SECOND, now);
        assert!(few.estimate(1_000, now).is_some());
        let later = now + STALE + SECOND;
        assert_eq!(few.estimate(1_000, later), None);
        few.worked(100, SECOND, later);
        assert_eq!(few.estimate(1_000, later), None, "it begins anew");
    }

    #[test]
    fn it_follows_what_was_measured_last() {
        let now = Instant::now();
        let mut pace = pace(100, now);
        (0..100).for_each(|_| pace.worked(1_000, SECOND / 10, now));
        let estimate = pace.estimate(10_000, now).expect("known");
        assert!(estimate < 2 * SECOND && estimate >= SECOND, "{estimate:?}");
    }

    #[test]
    fn only_what_is_clearly_too_long_is_hopeless() {
        for (estimate, allowed, hopeless) in [
            (5 * SECOND, 5 * SECOND, false),
            (15 * SECOND, 5 * SECOND, false),
            (16 * SECOND, 5 * SECOND, true),
            (Duration::MAX, 5 * SECOND, true),
            (Duration::MAX, Duration::MAX, false),
            (SECOND, Duration::ZERO, true),
        ] {
            assert_eq!(is_hopeless(estimate, allowed), hopeless, "{estimate:?} of {allowed:?}");
        }
    }
}
