//! Batches: taken apart while they come in, committed together.

use std::sync::Arc;

use annal_engine::{Append, Engine};
use annal_event::{Encoded, EventError, json::ArraySplitter, proto};
use bytes::Bytes;
use http::{HeaderMap, Response};

use super::{
    Form,
    answer::{self, Names},
    intent,
    producer::Producer,
    proto_split::BatchSplitter,
    shape::Members,
    single::wire_bytes_max,
};
use crate::{
    intake::Intake,
    problem::{Code, Problem},
    reply::Reply,
    shared::Shared,
};

/// Reads a batch of one of the CloudEvents media types and appends it.
pub(super) async fn append(
    shared: &Arc<Shared>,
    engine: &Engine,
    headers: &HeaderMap,
    form: Form,
    intake: &mut Intake,
) -> Result<Response<Reply>, Problem> {
    intake.limit(engine.limits().request_bytes_max, Code::RequestTooLarge)?;
    let _turn = shared.bulk_turn().await?;
    match form {
        Form::ProtoBatch => append_proto(engine, headers, intake).await,
        _ => append_json(engine, headers, true, Bytes::new(), intake).await,
    }
}

/// Events collected so far.
struct Collected<'h> {
    producer: Producer<'h>,
    events: Encoded,
    names: Names,
}

impl<'h> Collected<'h> {
    fn new(engine: &'h Engine, headers: &'h HeaderMap, strict: bool) -> Result<Self, Problem> {
        intent::refuse(headers)?;
        let producer = Producer::new(engine, headers, strict)?;
        Ok(Collected { producer, events: Encoded::default(), names: Names::default() })
    }

    fn room(&self) -> Result<(), Problem> {
        let most = self.producer.limits().batch_events_max;
        if self.events.len() < most {
            return Ok(());
        }
        let detail = format!("a batch holds at most {most} events; split it, or send NDJSON");
        Err(Problem::new(Code::BatchTooLarge, detail).with_number("events_max", most as u64))
    }

    fn take_json(&mut self, item: &[u8]) -> Result<(), Problem> {
        self.room()?;
        let index = self.events.len();
        match self.producer.json(item, &mut self.events) {
            Ok(event) => self.names.push(&event),
            Err(_) if Members::of(item).is_publish() => return Err(no_topics()),
            Err(error) => return Err(error.at_index(index).into()),
        }
        Ok(())
    }

    fn take_proto(&mut self, item: &[u8]) -> Result<(), Problem> {
        self.room()?;
        let index = self.events.len();
        let at_index = |error: EventError| error.at_index(index);
        let event = proto::parse_event(item).map_err(at_index)?;
        let event = self.producer.encode(event, &mut self.events).map_err(at_index)?;
        self.names.push(&event);
        Ok(())
    }

    async fn commit(self, engine: &Engine) -> Result<Response<Reply>, Problem> {
        if self.events.is_empty() {
            return Ok(answer::nothing());
        }
        let append = Append { events: self.events, preconditions: Vec::new() };
        commit(engine, append, &self.names).await
    }
}

/// Reads a JSON array of events, of which `prefix` has been taken in already.
pub(super) async fn append_json(
    engine: &Engine,
    headers: &HeaderMap,
    strict: bool,
    prefix: Bytes,
    intake: &mut Intake,
) -> Result<Response<Reply>, Problem> {
    let mut collected = Collected::new(engine, headers, strict)?;
    let mut splitter = ArraySplitter::new(wire_bytes_max(engine.limits().event_bytes_max));
    splitter.feed(&prefix, |item| collected.take_json(item))?;
    while let Some(chunk) = intake.next().await? {
        intake.check(Code::RequestTooLarge)?;
        splitter.feed(&chunk, |item| collected.take_json(item))?;
    }
    splitter.finish()?;
    collected.commit(engine).await
}

async fn append_proto(
    engine: &Engine,
    headers: &HeaderMap,
    intake: &mut Intake,
) -> Result<Response<Reply>, Problem> {
    let mut collected = Collected::new(engine, headers, true)?;
    let mut splitter = BatchSplitter::new(wire_bytes_max(engine.limits().event_bytes_max));
    while let Some(chunk) = intake.next().await? {
        intake.check(Code::RequestTooLarge)?;
        splitter.feed(&chunk, |item| collected.take_proto(item))?;
    }
    splitter.finish()?;
    collected.commit(engine).await
}

/// Appends a batch and answers.
pub(super) async fn commit(
    engine: &Engine,
    append: Append,
    names: &Names,
) -> Result<Response<Reply>, Problem> {
    let preconditions = append.preconditions.clone();
    let ticket = engine.append(append).map_err(answer::busy)?;
    match ticket.await {
        Ok(appended) => Ok(answer::many(names, &appended)),
        Err(error) => Err(answer::refused(error, &preconditions, true)),
    }
}

/// The refusal of `{"topic","type","payload"}`.
pub(super) fn no_topics() -> Problem {
    let detail = "this server has no topics; send CloudEvents, with at least `source` and `type`";
    Problem::new(Code::TopicsNotAvailable, detail)
}
