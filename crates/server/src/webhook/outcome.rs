//! What an endpoint's answer means.

use std::time::SystemTime;

use http::{HeaderValue, StatusCode, header};

use super::sender::{Answered, SendError};

/// Longest text of an error that is kept.
const ERROR_BYTES_MAX: usize = 300;

/// How an attempt went.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    Failed {
        status: Option<u16>,
        error: String,
        retry_after_ms: Option<u64>,
    },
    /// The endpoint wants nothing any more.
    Gone,
}

impl Outcome {
    pub(super) fn of(sent: Result<Answered, SendError>) -> Outcome {
        match sent {
            Ok(answered) => Outcome::of_answer(&answered),
            Err(error) => Outcome::of_failure(&error),
        }
    }

    fn of_failure(error: &SendError) -> Outcome {
        if let SendError::Refused(address) = error {
            tracing::warn!(%address, "a callback leads where requests may not go");
        }
        let mut error = error.to_string();
        error.truncate(error.floor_char_boundary(ERROR_BYTES_MAX));
        Outcome::Failed { status: None, error, retry_after_ms: None }
    }

    fn of_answer(answered: &Answered) -> Outcome {
        let status = answered.status;
        if status.is_success() {
            return Outcome::Delivered;
        }
        if status == StatusCode::GONE {
            return Outcome::Gone;
        }
        let number = status.as_u16();
        let error = match status.is_redirection() {
            true => format!("the endpoint answered {number}; redirects are not followed"),
            false => format!("the endpoint answered {number}"),
        };
        let obeyed =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let asked = answered.headers.get(header::RETRY_AFTER).filter(|_| obeyed);
        let retry_after_ms = asked.and_then(|value| retry_after(value, SystemTime::now()));
        Outcome::Failed { status: Some(number), error, retry_after_ms }
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110 §10.2.3).
fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<u64> {
    let text = value.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // One that is too large to be a number is long all the same.
        return Some(text.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1_000));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let wait = date.duration_since(now).ok()?;
    Some(wait.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let read = |text: &'static str| retry_after(&HeaderValue::from_static(text), now);
        assert_eq!(read("120"), Some(120_000));
        assert_eq!(read("Sun, 09 Sep 2001 01:46:50 GMT"), Some(10_000));
        assert_eq!(read("Sun, 09 Sep 2001 01:46:30 GMT"), None, "it is over");
        assert_eq!(read("soon"), None);
        assert_eq!(read("99999999999999999999"), Some(u64::MAX));
        assert_eq!(read(""), None);
    }
}
