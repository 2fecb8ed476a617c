//! Conditions in headers: `If-None-Match: *` and `If-Match: "3"` speak of the event's subject.

use annal_event::{Precondition, SubjectCheck};
use http::{HeaderMap, HeaderValue, header};

use crate::problem::{Code, Problem};

/// The condition that the headers of a request put on its event, if any.
pub(super) fn check(headers: &HeaderMap) -> Result<Option<SubjectCheck>, Problem> {
    let none_match = headers.get(header::IF_NONE_MATCH);
    let matches = headers.get(header::IF_MATCH);
    match (none_match, matches) {
        (None, None) => Ok(None),
        (Some(value), None) if value.as_bytes() == b"*" => Ok(Some(SubjectCheck::None)),
        (None, Some(value)) if value.as_bytes() == b"*" => Ok(Some(SubjectCheck::Exists)),
        (None, Some(value)) => match version(value) {
            Some(version) => Ok(Some(SubjectCheck::Version(version))),
            None => Err(wrong("If-Match is `*`, or a subject version in quotes, such as \"3\"")),
        },
        (Some(_), None) => Err(wrong("If-None-Match is `*` here")),
        (Some(_), Some(_)) => Err(wrong("give If-Match or If-None-Match, not both")),
    }
}

/// The same as a precondition on a subject.
pub(super) fn precondition(
    is: Option<SubjectCheck>,
    subject: Option<&str>,
) -> Result<Vec<Precondition>, Problem> {
    let Some(is) = is else { return Ok(Vec::new()) };
    let subject = subject.ok_or_else(|| {
        wrong("If-Match and If-None-Match speak of the event's subject; give it one")
    })?;
    Ok(vec![Precondition::Subject { subject: subject.to_owned(), recursive: false, is }])
}

/// Refuses conditions in headers where there may be more than one event.
pub(super) fn refuse(headers: &HeaderMap) -> Result<(), Problem> {
    match check(headers)? {
        None => Ok(()),
        Some(_) => Err(wrong(
            "If-Match and If-None-Match go with one event; send `{\"events\",\"preconditions\"}`",
        )),
    }
}

fn version(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

fn wrong(detail: &'static str) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}
