//! Dates as they stand in documents and in queries.
//!
//! A string is a date if it is an RFC 3339 date or date-time, whole; without an offset it is taken
//! as UTC. A query may also name a year, a month or a day, and means all of it.

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
};

/// The instants a date in a query stands for, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    /// Inclusive.
    pub(super) start: i64,
    /// Exclusive.
    pub(super) end: i64,
}

/// The instant of a document's string, if it is a date, in microseconds since 1970.
pub(super) fn instant(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let dated = (10..=40).contains(&bytes.len())
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes[0].is_ascii_digit()
        && bytes[9].is_ascii_digit();
    if !dated {
        return None;
    }
    if bytes.len() == 10 {
        return midnight(text.parse().ok()?);
    }
    if !matches!(bytes[10], b'T' | b't' | b' ') || bytes.len() < 16 || bytes.contains(&b'[') {
        return None;
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_microsecond());
    }
    // Also what lies past the last instant that has a time zone, such as the end of 9999.
    utc(text.strip_suffix(['Z', 'z']).unwrap_or(text).parse().ok()?)
}

/// The period that a bound of a query names, if it is a date: `2021`, `2021-03`, `2021-03-04`, or a
/// date-time.
pub(super) fn period(text: &str) -> Option<Period> {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let (first, next) = match bytes.len() {
        4 if digits(0..4) => {
            let first = Date::new(text.parse().ok()?, 1, 1).ok()?;
            (first, first.last_of_year().tomorrow().ok())
        }
        7 if digits(0..4) && bytes[4] == b'-' && digits(5..7) => {
            let first = Date::new(text[..4].parse().ok()?, text[5..].parse().ok()?, 1).ok()?;
            (first, first.last_of_month().tomorrow().ok())
        }
        10 => {
            instant(text)?;
            let first: Date = text.parse().ok()?;
            (first, first.tomorrow().ok())
        }
        _ => {
            let start = instant(text)?;
            return Some(Period { start, end: start + 1 });
        }
    };
    // The last year of the calendar has no next.
    Some(Period { start: midnight(first)?, end: next.and_then(midnight).unwrap_or(i64::MAX) })
}

fn midnight(date: Date) -> Option<i64> {
    utc(date.to_datetime(Time::midnight()))
}

fn utc(at: DateTime) -> Option<i64> {
    let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    at.duration_since(epoch).as_micros().try_into().ok()
}
