//! One event: the shortest way through the server.

use annal_engine::{Append, Engine};
use annal_event::{Encoded, Event, EventError, Precondition, http as binary, proto};
use bytes::Bytes;
use http::{HeaderMap, Response};

use super::{Form, answer, intent, producer::Producer};
use crate::{
    intake::Intake,
    problem::{Code, Problem},
    reply::Reply,
};

/// An event may be so much longer on the wire than in a record: base64, escapes, spaces.
pub(crate) fn wire_bytes_max(event_bytes_max: usize) -> usize {
    event_bytes_max + event_bytes_max / 2 + 16 * 1024
}

/// An event that waits for its position.
pub(super) struct Prepared {
    pub(super) append: Append,
    /// The answer so far.
    pub(super) answer: Vec<u8>,
    /// Whether the preconditions come from `If-Match` or `If-None-Match`.
    pub(super) by_header: bool,
}

/// Reads one event and appends it. While it waits to be committed it holds nothing of the request:
/// the connection can use its read buffer again.
pub(super) async fn append(
    engine: &Engine,
    headers: HeaderMap,
    form: Form,
    intake: &mut Intake,
) -> Result<Response<Reply>, Problem> {
    intake.limit(wire_bytes_max(engine.limits().event_bytes_max), Code::EventTooLarge)?;
    let body = intake.whole(Code::EventTooLarge).await?;
    let prepared = prepare(engine, &headers, form, &body)?;
    drop((headers, body));
    commit(engine, prepared).await
}

/// Appends a prepared event and answers.
pub(super) async fn commit(
    engine: &Engine,
    prepared: Prepared,
) -> Result<Response<Reply>, Problem> {
    let Prepared { append, answer, by_header } = prepared;
    let preconditions: Vec<Precondition> = append.preconditions.clone();
    let ticket = engine.append(append).map_err(answer::busy)?;
    match ticket.await {
        Ok(appended) => answer::one(answer, &appended),
        Err(error) => {
            let problem = answer::refused(error, &preconditions, false);
            let failed = problem.code() == Code::PreconditionFailed;
            Err(if by_header && failed { problem.with_status(412) } else { problem })
        }
    }
}

fn prepare(
    engine: &Engine,
    headers: &HeaderMap,
    form: Form,
    body: &Bytes,
) -> Result<Prepared, Problem> {
    let mut producer = Producer::new(engine, headers, true)?;
    let event = match form {
        Form::Binary => producer.with_strictness(|strictness| {
            let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            binary::parse_event(pairs, body, strictness)
        }),
        Form::Proto => proto::parse_event(body),
        _ => {
            producer.with_strictness(|strictness| annal_event::json::parse_event(body, strictness))
        }
    };
    prepared(&producer, headers, event?)
}

/// Makes an append of an event that has been read.
pub(super) fn prepared(
    producer: &Producer<'_>,
    headers: &HeaderMap,
    event: Event<'_>,
) -> Result<Prepared, Problem> {
    let mut events = Encoded::default();
    let event = producer.encode(event, &mut events).map_err(|error: EventError| error)?;
    let preconditions = intent::precondition(intent::check(headers)?, event.subject.as_deref())?;
    let mut answer = Vec::with_capacity(event.id.len() + event.source.len() + 80);
    answer::push_name(&mut answer, &event);
    let by_header = !preconditions.is_empty();
    Ok(Prepared { append: Append { preconditions, ..Append::of(events) }, answer, by_header })
}
