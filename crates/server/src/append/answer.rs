//! Answers to appends, and refusals of the write path as problems.

use annal_engine::{
    AppendError, Appended, Busy, Durability, FailedPrecondition, Holder, Outcome, Refusal,
    SchemaError, TopicRefusal,
};
use annal_event::{Actual, Event, Precondition, json};
use http::{HeaderValue, Response, StatusCode, header};

use crate::{
    json_text::{push_number, push_position, push_string},
    problem::{Code, Problem},
    reply::{self, Reply},
};

/// Seconds after which a client that was refused for want of room may come back.
pub(super) const BUSY_RETRY_S: u32 = 1;
const UNAVAILABLE_RETRY_S: u32 = 5;

/// `{"id":…,"source":…` of events whose positions are not known yet.
#[derive(Debug, Default)]
pub(super) struct Names {
    text: Vec<u8>,
    ends: Vec<u32>,
}

impl Names {
    pub(super) fn push(&mut self, event: &Event<'_>) {
        push_name(&mut self.text, event);
        self.ends.push(self.text.len() as u32);
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start as usize..*end as usize])
    }
}

pub(super) fn push_name(out: &mut Vec<u8>, event: &Event<'_>) {
    out.extend_from_slice(b"{\"id\":");
    push_string(out, &event.id);
    out.extend_from_slice(b",\"source\":");
    push_string(out, &event.source);
}

fn push_outcome(out: &mut Vec<u8>, outcome: Outcome) {
    out.extend_from_slice(b",\"position\":");
    push_position(out, outcome.position);
    out.extend_from_slice(b",\"duplicate\":");
    out.extend_from_slice(if outcome.duplicate { b"true" } else { b"false" });
}

fn push_durability(out: &mut Vec<u8>, durability: Durability) {
    out.extend_from_slice(match durability {
        Durability::Always => b"",
        Durability::Interval { .. } => b",\"durability\":\"interval\"",
        Durability::Never => b",\"durability\":\"never\"",
    });
}

fn status(appended: &Appended) -> StatusCode {
    if appended.stored() == 0 { StatusCode::OK } else { StatusCode::CREATED }
}

/// The answer to one event, of which the name has been written already.
pub(super) fn one(mut body: Vec<u8>, appended: &Appended) -> Result<Response<Reply>, Problem> {
    let outcome = only(appended)?;
    push_outcome(&mut body, outcome);
    push_durability(&mut body, appended.durability);
    body.push(b'}');
    let mut response = reply::json(status(appended), body);
    let mut location = Vec::with_capacity(40);
    location.extend_from_slice(b"/events/at/");
    push_number(&mut location, outcome.position.0);
    if let Ok(location) = HeaderValue::from_maybe_shared(bytes::Bytes::from(location)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The answer to a batch.
pub(super) fn many(names: &Names, appended: &Appended) -> Response<Reply> {
    let mut body = Vec::with_capacity(names.text.len() + 48 * names.ends.len() + 48);
    body.extend_from_slice(b"{\"events\":[");
    for (place, (name, outcome)) in names.iter().zip(&appended.outcomes).enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend_from_slice(name);
        push_outcome(&mut body, *outcome);
        body.push(b'}');
    }
    body.push(b']');
    push_durability(&mut body, appended.durability);
    body.push(b'}');
    reply::json(status(appended), body)
}

/// The answer to events that topics have given their ids.
pub(super) fn published(appended: &Appended) -> Response<Reply> {
    let mut body = b"{\"eventIds\":[".to_vec();
    for (place, id) in appended.ids.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        push_string(&mut body, id);
    }
    body.push(b']');
    push_durability(&mut body, appended.durability);
    body.push(b'}');
    reply::json(StatusCode::CREATED, body)
}

/// The answer to an empty batch.
pub(super) fn nothing() -> Response<Reply> {
    reply::json(StatusCode::OK, b"{\"events\":[]}".to_vec())
}

/// What has become of an event that was appended alone.
pub(crate) fn only(appended: &Appended) -> Result<Outcome, Problem> {
    appended.outcomes.first().copied().ok_or_else(no_outcome)
}

fn no_outcome() -> Problem {
    Problem::new(Code::Internal, "the append was answered without an outcome; read it back")
}

/// A refusal for want of room.
pub(crate) fn busy(busy: Busy) -> Problem {
    let detail = format!("{busy}; the events were not stored");
    Problem::new(Code::Busy, detail).retry_after(BUSY_RETRY_S)
}

/// A refusal by the write path. `batch`: say which item.
pub(crate) fn refused(error: AppendError, preconditions: &[Precondition], batch: bool) -> Problem {
    match error {
        AppendError::IdentityConflict { index, with } => conflict(index, with, batch),
        AppendError::PreconditionFailed { failed, head } => {
            let detail = format!(
                "nothing was stored: {} of the preconditions did not hold; `failed` says what was \
                 found, read again and decide anew",
                failed.len()
            );
            Problem::new(Code::PreconditionFailed, detail)
                .with_json("failed", &failures(&failed, preconditions))
                .with_text("head", itoa::Buffer::new().format(head.0))
        }
        AppendError::Unsupported { index, reason } => {
            let detail = format!("precondition {index}: {reason}");
            Problem::new(Code::UnsupportedPrecondition, detail).with_number("index", index as u64)
        }
        AppendError::Refused { index, refusal } => {
            let problem = by_resource(*refusal);
            if batch { problem.with_number("index", index as u64) } else { problem }
        }
        AppendError::RefusedByTopic { index, refusal } => {
            let problem = by_topic(*refusal);
            if batch { problem.with_number("index", index as u64) } else { problem }
        }
        AppendError::DiskFull => Problem::new(
            Code::DiskFull,
            "nothing was stored; reads go on, appends will when there is room again",
        ),
        AppendError::Unavailable { reason } => {
            tracing::warn!(reason, "append refused");
            Problem::new(Code::Unavailable, "nothing was stored; the server's log says why")
                .retry_after(UNAVAILABLE_RETRY_S)
        }
        AppendError::OutcomeUnknown { reason } => {
            tracing::warn!(reason, "outcome of an append unknown");
            let detail = "read the events back, or send them again: that stores nothing twice";
            Problem::new(Code::OutcomeUnknown, detail)
        }
    }
}

/// What a client is told of several events of a batch, in bytes: names in pointers may be long.
const ERRORS_BYTES_MAX: usize = 16 * 1024;

/// The refusal of a batch for some of its events, each with its `index`: that of the first, and where
/// there are more, all of them as `errors`.
pub(super) fn refused_events(refused: Vec<Problem>) -> Option<Problem> {
    let mut errors = vec![b'['];
    if refused.len() > 1 {
        for problem in &refused {
            let before = errors.len();
            if before > 1 {
                errors.push(b',');
            }
            errors.extend_from_slice(b"{\"code\":");
            push_string(&mut errors, problem.code().text());
            errors.extend_from_slice(b",\"detail\":");
            push_string(&mut errors, problem.detail());
            errors.extend_from_slice(problem.members());
            errors.push(b'}');
            if before > 1 && errors.len() > ERRORS_BYTES_MAX {
                errors.truncate(before);
                break;
            }
        }
        errors.push(b']');
    }
    let several = refused.len() > 1;
    let first = refused.into_iter().next()?;
    Some(if several { first.with_json("errors", &errors) } else { first })
}

/// A refusal by what the events would change.
fn by_resource(refusal: Refusal) -> Problem {
    let detail = refusal.to_string();
    match refusal {
        Refusal::Malformed(error) => error.into(),
        Refusal::NothingToPatch { resource } => {
            Problem::new(Code::InvalidCommit, detail).with_text("resource", &resource)
        }
        Refusal::TooLarge { resource, .. } => {
            Problem::new(Code::DocumentTooLarge, detail).with_text("resource", &resource)
        }
        Refusal::SchemaViolation { resource, schema, errors } => {
            Problem::new(Code::SchemaViolation, detail)
                .with_text("resource", &resource)
                .with_text("schema", &schema)
                .with_json("errors", &schema_errors(&errors))
        }
        Refusal::UnknownSchema { schema } => {
            Problem::new(Code::UnknownSchema, detail).with_text("schema", &schema)
        }
        Refusal::NotUnique { member, holder } => Problem::new(Code::ConstraintViolation, detail)
            .with_text("member", &member)
            .with_text("resource", &holder),
        Refusal::NoReference { member, .. } => {
            Problem::new(Code::ConstraintViolation, detail).with_text("member", &member)
        }
        Refusal::NoSuchTarget { member, target } => Problem::new(Code::ConstraintViolation, detail)
            .with_text("member", &member)
            .with_text("resource", &target),
        Refusal::Referenced { referrer, member, .. } => {
            Problem::new(Code::ConstraintViolation, detail)
                .with_text("member", &member)
                .with_text("resource", &referrer)
        }
        Refusal::InvalidSchema { name, error } => Problem::new(Code::InvalidSchema, detail)
            .with_text("schema", &name)
            .with_json("errors", &schema_errors(&[error])),
    }
}

/// A refusal by the topic that an event names, or that it would make or change.
fn by_topic(refusal: TopicRefusal) -> Problem {
    let detail = refusal.to_string();
    let problem = |code| Problem::new(code, detail);
    match refusal {
        TopicRefusal::Malformed(error) => error.into(),
        TopicRefusal::UnknownTopic { topic } => {
            problem(Code::TopicNotFound).with_text("topic", &topic)
        }
        TopicRefusal::OtherNumber { topic, id, .. } => {
            problem(Code::IdentityConflict).with_text("topic", &topic).with_text("id", &id)
        }
        TopicRefusal::Exists { topic } => problem(Code::TopicExists).with_text("topic", &topic),
        TopicRefusal::UnlistedType { topic, ty, types } => {
            let error = SchemaError {
                pointer: String::new(),
                message: format!("the topic does not list the type {ty}"),
            };
            problem(Code::TypeNotListed)
                .with_text("topic", &topic)
                .with_json("types", &serde_json::to_vec(&types).unwrap_or_default())
                .with_json("errors", &schema_errors(&[error]))
        }
        TopicRefusal::Payload { topic, ty, errors } => problem(Code::SchemaViolation)
            .with_text("topic", &topic)
            .with_text("schema", &ty)
            .with_json("errors", &schema_errors(&errors)),
        TopicRefusal::InvalidSchema { index, ty, error } => problem(Code::InvalidSchema)
            .with_text("schema", &ty)
            .with_text("pointer", &format!("/schemas/{index}"))
            .with_json("errors", &schema_errors(&[error])),
        TopicRefusal::StoredEvent { topic, ty, id, position, errors } => {
            problem(Code::StoredEventsBreak)
                .with_text("topic", &topic)
                .with_text("schema", &ty)
                .with_text("event", &id)
                .with_text("position", &position.to_string())
                .with_json("errors", &schema_errors(&errors))
        }
        TopicRefusal::TooMuch { max, .. } => {
            problem(Code::TopicTooLarge).with_number("max", max as u64)
        }
    }
}

/// `[{"pointer":"/email","message":…}]`
fn schema_errors(errors: &[SchemaError]) -> Vec<u8> {
    let mut out = vec![b'['];
    for error in errors {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"pointer\":");
        push_string(&mut out, &error.pointer);
        out.extend_from_slice(b",\"message\":");
        push_string(&mut out, &error.message);
        out.push(b'}');
    }
    out.push(b']');
    out
}

fn conflict(index: usize, with: Holder, batch: bool) -> Problem {
    let detail = format!(
        "this source and id belong to {with}, which has other content; give a new event a new id"
    );
    let problem = Problem::new(Code::IdentityConflict, detail);
    let problem = match with {
        Holder::Stored(position) => {
            problem.with_text("position", itoa::Buffer::new().format(position.0))
        }
        Holder::Event(_) => problem,
    };
    if batch { problem.with_number("index", index as u64) } else { problem }
}

fn failures(failed: &[FailedPrecondition], preconditions: &[Precondition]) -> Vec<u8> {
    let mut out = vec![b'['];
    for (place, failure) in failed.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"index\":");
        push_number(&mut out, failure.index as u64);
        if let Some(precondition) = preconditions.get(failure.index) {
            out.extend_from_slice(b",\"precondition\":");
            json::write_precondition(&mut out, precondition);
        }
        out.extend_from_slice(b",\"actual\":");
        push_actual(&mut out, &failure.actual);
        out.push(b'}');
    }
    out.push(b']');
    out
}

fn push_actual(out: &mut Vec<u8>, actual: &Actual) {
    let mut members = Vec::new();
    let mut member = |name: &str, write: &dyn Fn(&mut Vec<u8>)| {
        members.push(if members.is_empty() { b'{' } else { b',' });
        push_string(&mut members, name);
        members.push(b':');
        write(&mut members);
    };
    if let Some(version) = actual.version {
        member("version", &|out| push_number(out, version));
    }
    if let Some(count) = actual.count {
        member("count", &|out| push_number(out, count));
    }
    if let Some(revision) = actual.revision {
        member("revision", &|out| push_position(out, revision));
    }
    if let Some(position) = actual.position {
        member("position", &|out| push_position(out, position));
    }
    if let Some(id) = &actual.id {
        member("id", &|out| push_string(out, id));
    }
    if let Some(source) = &actual.source {
        member("source", &|out| push_string(out, source));
    }
    if members.is_empty() {
        members.push(b'{');
    }
    out.append(&mut members);
    out.push(b'}');
}
