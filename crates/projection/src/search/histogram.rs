//! How many results fall into each hour, day, month or year, in UTC.

use std::collections::BTreeMap;

use annal_event::Timestamp;
use jiff::{Timestamp as Instant, civil::DateTime, tz::TimeZone};

/// More buckets than this are refused.
pub(super) const BUCKETS_MAX: usize = 10_000;

/// The length of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// From each full hour.
    Hour,
    /// From each midnight.
    Day,
    /// From each first of a month.
    Month,
    /// From each first of January.
    Year,
}

/// A bucket that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// When it begins.
    pub start: Timestamp,
    /// How many results fall into it.
    pub count: u64,
}

/// Counts times. Times mostly come in order, so the bucket of the last one is kept at hand.
pub(super) struct Histogram {
    interval: Interval,
    counts: BTreeMap<i64, u64>,
    /// Start inclusive, end exclusive, and count of the bucket at hand.
    hand: (i64, i64, u64),
    pub(super) too_many: bool,
}

impl Histogram {
    pub(super) fn new(interval: Interval) -> Histogram {
        Histogram { interval, counts: BTreeMap::new(), hand: (0, 0, 0), too_many: false }
    }

    pub(super) fn add(&mut self, micros: i64) {
        if micros < self.hand.0 || micros >= self.hand.1 {
            self.put_away();
            let (start, end) = bounds(self.interval, micros);
            self.hand = (start, end, 0);
        }
        self.hand.2 += 1;
    }

    fn put_away(&mut self) {
        let (start, _, count) = self.hand;
        if count == 0 {
            return;
        }
        if self.counts.len() >= BUCKETS_MAX && !self.counts.contains_key(&start) {
            self.too_many = true;
            return;
        }
        *self.counts.entry(start).or_default() += count;
    }

    /// The buckets in the order of time.
    pub(super) fn finish(mut self) -> Option<Vec<Bucket>> {
        self.put_away();
        let bucket = |(start, count)| Bucket { start: Timestamp(start), count };
        (!self.too_many).then(|| self.counts.into_iter().map(bucket).collect())
    }
}

const HOUR: i64 = 3_600_000_000;

/// Start and end of the bucket of an instant, in microseconds since 1970.
fn bounds(interval: Interval, micros: i64) -> (i64, i64) {
    let fixed = match interval {
        Interval::Hour => HOUR,
        _ => 24 * HOUR,
    };
    let start = micros.div_euclid(fixed).saturating_mul(fixed);
    let day = (start, start.saturating_add(fixed));
    match interval {
        Interval::Hour | Interval::Day => day,
        Interval::Month | Interval::Year => calendar(interval, micros).unwrap_or(day),
    }
}

/// `None` beyond the calendar, where a day must do.
fn calendar(interval: Interval, micros: i64) -> Option<(i64, i64)> {
    let date = TimeZone::UTC.to_datetime(Instant::from_microsecond(micros).ok()?).date();
    let (first, next) = match interval {
        Interval::Year => (date.first_of_year(), date.last_of_year().tomorrow()),
        _ => (date.first_of_month(), date.last_of_month().tomorrow()),
    };
    let micros = |at: DateTime| Some(TimeZone::UTC.to_timestamp(at).ok()?.as_microsecond());
    let end = next.ok().and_then(|next| micros(next.at(0, 0, 0, 0))).unwrap_or(i64::MAX);
    Some((micros(first.at(0, 0, 0, 0))?, end))
}

#[cfg(test)]
mod tests {
    use annal_event::Timestamp;

    use super::{Histogram, Interval};

    fn starts(interval: Interval, times: &[&str]) -> Vec<(String, u64)> {
        let mut histogram = Histogram::new(interval);
        for time in times {
            histogram.add(time.parse::<Timestamp>().unwrap().micros());
        }
        let buckets = histogram.finish().unwrap();
        buckets.iter().map(|bucket| (bucket.start.to_string(), bucket.count)).collect()
    }

    #[test]
    fn buckets_begin_where_the_calendar_says() {
        let times = ["2024-02-29T23:59:59.999999Z", "2024-03-01T00:00:00Z", "1969-12-31T23:30:00Z"];
        let expected = |starts: &[&str]| -> Vec<(String, u64)> {
            starts.iter().map(|start| (format!("{start}.000000Z"), 1)).collect()
        };
        assert_eq!(
            starts(Interval::Hour, &times),
            expected(&["1969-12-31T23:00:00", "2024-02-29T23:00:00", "2024-03-01T00:00:00"])
        );
        assert_eq!(
            starts(Interval::Day, &times),
            expected(&["1969-12-31T00:00:00", "2024-02-29T00:00:00", "2024-03-01T00:00:00"])
        );
        assert_eq!(
            starts(Interval::Month, &times),
            expected(&["1969-12-01T00:00:00", "2024-02-01T00:00:00", "2024-03-01T00:00:00"])
        );
        let years = starts(Interval::Year, &times);
        assert_eq!(years[0], ("1969-01-01T00:00:00.000000Z".to_owned(), 1));
        assert_eq!(years[1], ("2024-01-01T00:00:00.000000Z".to_owned(), 2));
    }

    #[test]
    fn times_out_of_order_share_their_bucket() {
        let times = ["2024-02-01T00:00:00Z", "2025-02-01T00:00:00Z", "2024-02-29T00:00:00Z"];
        let counts: Vec<u64> = starts(Interval::Month, &times).iter().map(|(_, n)| *n).collect();
        assert_eq!(counts, [2, 1]);
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let mut histogram = Histogram::new(Interval::Month);
        for micros in [i64::MIN, i64::MAX, -1, 0] {
            histogram.add(micros);
        }
        assert_eq!(histogram.finish().unwrap().len(), 4);
    }
}
