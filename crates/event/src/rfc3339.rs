//! RFC 3339 date-times: whether a text is one, which instant it names, and the one text that an
//! instant is written as.
//!
//! A time attribute is kept as it came. [`Parsed::exact`] says that the canonical text of the
//! instant is the text that was read, so that the instant alone may be stored.

use std::fmt;

use crate::{ShortText, Timestamp, time::civil_from_days};

/// Seconds and nanoseconds since the Unix epoch, as `google.protobuf.Timestamp` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instant {
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
}

/// A date-time that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) instant: Instant,
    /// Whether writing the instant gives the same text again.
    pub(crate) exact: bool,
}

const DAY_SECONDS: i64 = 86_400;
/// 0001-01-01T00:00:00Z, where `google.protobuf.Timestamp` begins.
const SECONDS_MIN: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z, where it ends.
const SECONDS_MAX: i64 = 253_402_300_799;

impl Instant {
    /// An instant within the years 1 to 9999, as protobuf demands.
    pub(crate) fn new(seconds: i64, nanos: i64) -> Option<Instant> {
        let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
        (SECONDS_MIN..=SECONDS_MAX).contains(&seconds).then_some(Instant { seconds, nanos })
    }

    pub(crate) fn of(time: Timestamp) -> Instant {
        let seconds = time.0.div_euclid(1_000_000).clamp(SECONDS_MIN, SECONDS_MAX);
        Instant { seconds, nanos: time.0.rem_euclid(1_000_000) as u32 * 1_000 }
    }

    /// The canonical text: UTC, `Z`, and 0, 3, 6 or 9 digits of fraction, as few as will do.
    pub(crate) fn text(self) -> String {
        let (length, text) = self.bytes();
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    /// The canonical text in a buffer, and how much of that it takes.
    pub(crate) fn bytes(self) -> (usize, [u8; 30]) {
        let mut text = [0; 30];
        (self.write(&mut text), text)
    }

    /// The canonical text, without allocation.
    pub(crate) fn short(self) -> ShortText {
        let (length, text) = self.bytes();
        let text = std::str::from_utf8(&text[..length]).unwrap_or_default();
        ShortText::of(text).unwrap_or_default()
    }

    fn write(self, out: &mut [u8; 30]) -> usize {
        let (days, second) =
            (self.seconds.div_euclid(DAY_SECONDS), self.seconds.rem_euclid(DAY_SECONDS));
        let (year, month, day) = civil_from_days(days);
        out[..20].copy_from_slice(b"0000-00-00T00:00:00Z");
        two_digits(out, 0, year / 100);
        two_digits(out, 2, year % 100);
        two_digits(out, 5, month);
        two_digits(out, 8, day);
        two_digits(out, 11, second / 3600);
        two_digits(out, 14, second / 60 % 60);
        two_digits(out, 17, second % 60);
        let digits = fraction_digits(self.nanos);
        if digits == 0 {
            return 20;
        }
        out[19] = b'.';
        let mut rest = self.nanos / 10_u32.pow(9 - digits as u32);
        for at in (20..20 + digits).rev() {
            out[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        out[20 + digits] = b'Z';
        21 + digits
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

fn two_digits(out: &mut [u8; 30], at: usize, value: i64) {
    out[at] = b'0' + (value / 10 % 10) as u8;
    out[at + 1] = b'0' + (value % 10) as u8;
}

fn fraction_digits(nanos: u32) -> usize {
    match nanos {
        0 => 0,
        _ if nanos.is_multiple_of(1_000_000) => 3,
        _ if nanos.is_multiple_of(1_000) => 6,
        _ => 9,
    }
}

/// Reads a date-time; `None` if it is not one. A leap second names the second after it.
pub(crate) fn parse(text: &str) -> Option<Parsed> {
    let bytes = text.as_bytes();
    let (date_time, rest) = bytes.split_at_checked(19)?;
    if date_time[4] != b'-'
        || date_time[7] != b'-'
        || date_time[13] != b':'
        || date_time[16] != b':'
    {
        return None;
    }
    let number = |at: usize| two(date_time[at], date_time[at + 1]);
    let year = number(0)? * 100 + number(2)?;
    let (month, day) = (number(5)?, number(8)?);
    let (hour, minute, second) = (number(11)?, number(14)?, number(17)?);
    let in_range = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !in_range || !date_time[10].eq_ignore_ascii_case(&b'T') {
        return None;
    }
    let (nanos, digits, zone) = fraction(rest)?;
    let seconds =
        days_from_civil(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second
            - offset_seconds(zone)?;
    let exact = zone == b"Z"
        && date_time[10] == b'T'
        && second < 60
        && year > 0
        && digits == fraction_digits(nanos);
    Some(Parsed { instant: Instant { seconds, nanos }, exact })
}

/// The fraction in nanoseconds, its number of digits, and what follows.
fn fraction(rest: &[u8]) -> Option<(u32, usize, &[u8])> {
    let Some(after_point) = rest.strip_prefix(b".") else { return Some((0, 0, rest)) };
    let digits = after_point.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let known = after_point.iter().take(digits.min(9)).map(|byte| u32::from(byte - b'0'));
    let nanos =
        known.chain(std::iter::repeat(0)).take(9).fold(0, |nanos, digit| nanos * 10 + digit);
    (digits > 0).then(|| (nanos, digits, &after_point[digits..]))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    match *zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
            let seconds = hours * 3600 + minutes * 60;
            (hours < 24 && minutes < 60).then_some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
    digits.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the Unix epoch of a proleptic Gregorian date.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_index = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_index + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn canonical_texts_are_exact_and_others_are_not() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2026-01-15T10:30:00.5Z",
            "0001-01-01T00:00:00Z",
            "2024-02-29T23:59:59.123456789Z",
            "9999-12-31T23:59:59.001Z",
        ] {
            let parsed = parse(text).expect(text);
            assert_eq!(parsed.exact, parsed.instant.text() == text, "{text}");
        }
        for text in [
            "2026-01-15T10:30:00.000Z",
            "2026-01-15T10:30:00.10Z",
            "2026-01-15T10:30:00+00:00",
            "2026-01-15t10:30:00z",
            "2016-12-31T23:59:60Z",
            "0000-01-01T00:00:00Z",
            "2026-01-15T10:30:00.1234567890Z",
        ] {
            assert!(!parse(text).expect(text).exact, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_rfc_3339() {
        for text in [
            "",
            "2026-01-15",
            "2026-01-15 10:30:00Z",
            "2026-01-15T10:30:00",
            "2026-13-15T10:30:00Z",
            "2026-02-29T10:30:00Z",
            "1900-02-29T10:30:00Z",
            "2026-01-15T24:00:00Z",
            "2026-01-15T10:60:00Z",
            "2026-01-15T10:30:61Z",
            "2026-01-15T10:30:00.Z",
            "2026-01-15T10:30:00+0000",
            "2026-01-15T10:30:00+24:00",
            "2026-01-15T10:30:00Zx",
            "+026-01-15T10:30:00Z",
            "2026-01-15T10:30:0éZ",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_instant_reads_as_it_is_written(
            seconds in SECONDS_MIN..=SECONDS_MAX, nanos in 0..1_000_000_000_u32,
            scale in prop::sample::select(vec![1_u32, 1_000, 1_000_000, 1_000_000_000]),
        ) {
            let instant = Instant { seconds, nanos: nanos / scale * scale };
            prop_assert_eq!(parse(&instant.text()), Some(Parsed { instant, exact: true }));
        }

        #[test]
        fn instants_agree_with_an_independent_reader(
            seconds in -62_000_000_000_i64..250_000_000_000, minutes in -1_439..1_440_i64,
        ) {
            let (sign, size) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
            let local = Instant { seconds: seconds + minutes * 60, nanos: 0 }.text();
            let text = format!("{}{sign}{:02}:{:02}", &local[..19], size / 60, size % 60);
            let theirs: jiff::Timestamp = text.parse().expect("RFC 3339");
            prop_assert_eq!(parse(&text).map(|p| p.instant.seconds), Some(theirs.as_second()));
        }

        #[test]
        fn exact_means_exact(text in "[0-9]{4}-0[1-9]-[0-2][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,10})?(Z|z|\\+00:00)") {
            if let Some(parsed) = parse(&text) {
                prop_assert_eq!(parsed.exact, parsed.instant.text() == text);
            }
        }

        #[test]
        fn any_text_is_read_without_panic(text: String) {
            let _ = parse(&text);
        }
    }
}
