//! Plain `application/json`: an event, an array of events, or a conditional append.

use std::sync::Arc;

use annal_engine::{Append, Engine};
use annal_event::{
    Encoded, EventError,
    json::{ConditionalAppend, REFUSED_EVENTS_MAX, parse_append_noting, parse_event},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};

use super::{
    answer::{self, Names},
    batch,
    document::{self, Document},
    intent,
    producer::Producer,
    shape::{Members, Opening, opening},
    single,
};
use crate::{
    intake::Intake,
    problem::{Code, Problem},
    reply::Reply,
    shared::Shared,
};

/// White space that may stand before it shows what a document is.
const OPENING_BYTES_MAX: usize = 64 * 1024;

/// Larger documents are parsed where they hold nobody up: at 1 GB/s this is a millisecond or less.
const PARSE_INLINE_BYTES: usize = 256 * 1024;

/// Reads whatever plain JSON it is and appends it.
pub(super) async fn append(
    shared: &Arc<Shared>,
    engine: &Engine,
    headers: &HeaderMap,
    intake: &mut Intake,
) -> Result<Response<Reply>, Problem> {
    let limits = *engine.limits();
    intake.limit(limits.request_bytes_max, Code::RequestTooLarge)?;
    let (opening, prefix) = begin(intake).await?;
    match opening {
        Opening::Array => {
            let _turn = shared.bulk_turn().await?;
            batch::append_array(shared, engine, headers, prefix, intake).await
        }
        Opening::Conditional => {
            let _turn = shared.bulk_turn().await?;
            let Document { text, place } = document::read(shared, prefix, intake).await?;
            let answer = conditional(engine, headers, text).await;
            drop(place);
            answer
        }
        Opening::Event | Opening::Unknown => {
            let bytes_max = single::wire_bytes_max(limits.event_bytes_max);
            intake.limit(bytes_max, Code::EventTooLarge)?;
            let body = intake.whole_after(prefix, Code::EventTooLarge).await?;
            event_or_conditional(engine, headers, &body).await
        }
    }
}

async fn begin(intake: &mut Intake) -> Result<(Opening, Bytes), Problem> {
    let mut prefix = intake.next().await?.unwrap_or_default();
    loop {
        let opening = opening(&prefix);
        if opening != Opening::Unknown || prefix.len() > OPENING_BYTES_MAX {
            return Ok((opening, prefix));
        }
        let Some(more) = intake.next().await? else { return Ok((opening, prefix)) };
        let mut longer = BytesMut::from(prefix);
        longer.extend_from_slice(&more);
        prefix = longer.freeze();
    }
}

async fn event_or_conditional(
    engine: &Engine,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response<Reply>, Problem> {
    let mut producer = Producer::new(engine, headers, false)?;
    match producer.with_strictness(|strictness| parse_event(body, strictness)) {
        Ok(event) => {
            let prepared = single::prepared(&producer, headers, event)?;
            single::commit(engine, prepared).await
        }
        Err(error) => {
            let members = Members::of(body);
            if members.is_conditional() {
                return conditional(engine, headers, body.clone()).await;
            }
            if members.is_publish() {
                intent::refuse(headers)?;
                producer.refuse_key()?;
                let mut encoded = Encoded::default();
                producer.publication(body, &mut encoded, None)?;
                return batch::publish(engine, encoded, false).await;
            }
            Err(error.into())
        }
    }
}

async fn conditional(
    engine: &Engine,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response<Reply>, Problem> {
    intent::refuse(headers)?;
    let large = body.len() > PARSE_INLINE_BYTES;
    let (append, names) = if large {
        tokio::task::block_in_place(|| read_conditional(engine, headers, &body))?
    } else {
        read_conditional(engine, headers, &body)?
    };
    drop(body);
    if append.events.is_empty() && append.preconditions.is_empty() {
        return Ok(answer::nothing());
    }
    batch::commit(engine, append, &names).await
}

fn read_conditional(
    engine: &Engine,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<(Append, Names), Problem> {
    let mut producer = Producer::new(engine, headers, false)?;
    let limits = *producer.limits();
    let mut refused = Vec::new();
    let read = producer
        .with_strictness(|strictness| parse_append_noting(body, strictness, &limits, &mut refused));
    let ConditionalAppend { events, preconditions } = match read {
        Ok(append) => append,
        Err(error) => return Err(refused_at(refused).unwrap_or_else(|| error.into())),
    };
    let (mut encoded, mut names) = (Encoded::default(), Names::default());
    let passed_over: Vec<_> = refused.iter().filter_map(EventError::index).collect();
    let places = (0..).filter(|index| passed_over.binary_search(index).is_err());
    for (index, event) in places.zip(events) {
        match producer.encode(event, &mut encoded) {
            Ok(event) => names.push(&event),
            Err(error) => refused.push(error.at_index(index)),
        }
        if !refused.is_empty() {
            encoded.clear();
        }
        if refused.len() >= REFUSED_EVENTS_MAX {
            break;
        }
    }
    match refused_at(refused) {
        Some(problem) => Err(problem),
        None => Ok((Append { preconditions, ..Append::of(encoded) }, names)),
    }
}

/// The refusal for events at their places.
fn refused_at(mut refused: Vec<EventError>) -> Option<Problem> {
    refused.sort_by_key(EventError::index);
    answer::refused_events(refused.into_iter().map(Problem::from).collect())
}
