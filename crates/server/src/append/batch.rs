//! Batches: taken apart while they come in, committed together.
//!
//! What is taken apart is held in memory until the batch is whole, so there is a bound on it: what
//! comes after waits in a file, only counted and measured, and is taken apart when all of it has
//! come. A batch whose sender stalls costs no more than that bound, and one event.

use std::sync::Arc;

use annal_engine::{Append, Engine};
use annal_event::{
    Encoded, EventError,
    json::{ArraySplitter, REFUSED_EVENTS_MAX},
    proto,
};
use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::{sync::SemaphorePermit, task::block_in_place};

use super::{
    Form,
    answer::{self, Names},
    intent,
    producer::Producer,
    proto_split::BatchSplitter,
    shape::Members,
    single::wire_bytes_max,
    split::Splitter,
};
use crate::{
    intake::Intake,
    problem::{Code, Problem},
    reply::Reply,
    shared::{Held, Shared},
    spool::Spool,
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
    Collected::new(shared, engine, headers, form)?.append(Bytes::new(), intake).await
}

/// Reads a plain JSON array of events, of which `prefix` has been taken in already.
pub(super) async fn append_array(
    shared: &Arc<Shared>,
    engine: &Engine,
    headers: &HeaderMap,
    prefix: Bytes,
    intake: &mut Intake,
) -> Result<Response<Reply>, Problem> {
    Collected::new(shared, engine, headers, Form::Json)?.append(prefix, intake).await
}

/// A batch, as far as it has come.
struct Collected<'h> {
    shared: &'h Shared,
    engine: &'h Engine,
    splitter: Splitter,
    events: Events<'h>,
    held: Held<'h>,
}

impl<'h> Collected<'h> {
    fn new(
        shared: &'h Shared,
        engine: &'h Engine,
        headers: &'h HeaderMap,
        form: Form,
    ) -> Result<Self, Problem> {
        intent::refuse(headers)?;
        let item_bytes_max = wire_bytes_max(engine.limits().event_bytes_max);
        let splitter = match form {
            Form::ProtoBatch => Splitter::Proto(BatchSplitter::new(item_bytes_max)),
            _ => Splitter::Json(ArraySplitter::new(item_bytes_max)),
        };
        let producer = Producer::new(engine, headers, form != Form::Json)?;
        let (encoded, names) = (Encoded::default(), Names::default());
        let events =
            Events { form, producer, encoded, names, kind: None, items: 0, refused: Vec::new() };
        Ok(Collected { shared, engine, splitter, events, held: shared.held() })
    }

    async fn append(
        mut self,
        prefix: Bytes,
        intake: &mut Intake,
    ) -> Result<Response<Reply>, Problem> {
        let mut turn = None;
        let taken = self.take_all(prefix, intake, &mut turn).await;
        let Events { encoded, names, kind, refused, .. } = self.events;
        // What the first event is refused for was there before what came of the others.
        if let Some(problem) = answer::refused_events(refused) {
            return Err(problem);
        }
        taken?;
        if encoded.is_empty() {
            return Ok(answer::nothing());
        }
        if kind == Some(Kind::Publications) {
            return publish(self.engine, encoded, true).await;
        }
        let append = Append::of(encoded);
        commit(self.engine, append, &names).await
    }

    /// Takes the body in, and apart.
    async fn take_all(
        &mut self,
        prefix: Bytes,
        intake: &mut Intake,
        turn: &mut Option<SemaphorePermit<'h>>,
    ) -> Result<(), Problem> {
        if let Some(spool) = self.take_in(prefix, intake).await? {
            *turn = Some(self.shared.spooled_turn().await?);
            // In one go, of which there are few at a time: threads that take turns at it would each
            // grow memory of their own.
            block_in_place(|| self.take_from(spool))?;
        }
        self.splitter.finish()
    }

    /// Takes the body in: apart as far as it may be held in memory, the rest to a file.
    async fn take_in(
        &mut self,
        prefix: Bytes,
        intake: &mut Intake,
    ) -> Result<Option<Spool>, Problem> {
        let mut next = Some(prefix);
        while let Some(chunk) = next {
            // Of a batch that is refused already nothing is held.
            if !self.events.refused.is_empty() || self.held.add(chunk.len()) {
                self.splitter.feed(&chunk, |item| self.events.take(item))?;
            } else if let Some(taken) =
                self.splitter.feed_to_boundary(&chunk, |item| self.events.take(item))?
            {
                return self.spool(chunk.slice(taken..), intake).await.map(Some);
            }
            next = intake.next_checked(Code::RequestTooLarge).await?;
        }
        Ok(None)
    }

    /// Takes the rest of the body in, only looking at how many and how large the events are.
    async fn spool(&self, first: Bytes, intake: &mut Intake) -> Result<Spool, Problem> {
        let item_bytes_max = wire_bytes_max(self.engine.limits().event_bytes_max);
        let mut ahead = self.splitter.ahead(self.events.items, item_bytes_max)?;
        let mut spool = Spool::new(&self.shared.options.spool_dir);
        let mut next = Some(first);
        while let Some(chunk) = next {
            ahead.feed(&chunk)?;
            self.events.room(ahead.items())?;
            spool.push(&chunk).await?;
            next = intake.next_checked(Code::RequestTooLarge).await?;
        }
        Ok(spool)
    }

    /// Takes the rest of the batch apart. Waits for the disk.
    fn take_from(&mut self, spool: Spool) -> Result<(), Problem> {
        let mut pieces = spool.into_pieces()?;
        while let Some(piece) = pieces.next()? {
            self.splitter.feed(piece, |item| self.events.take(item))?;
        }
        Ok(())
    }
}

/// What the items of an array are: all the same as the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Events,
    Publications,
}

/// Events that have been read.
struct Events<'h> {
    form: Form,
    producer: Producer<'h>,
    encoded: Encoded,
    names: Names,
    kind: Option<Kind>,
    /// Items that were looked at.
    items: usize,
    /// Why some of them were refused; the others are looked at nevertheless, to say so of all.
    refused: Vec<Problem>,
}

impl Events<'_> {
    /// Refuses more events than a batch may hold.
    fn room(&self, events: usize) -> Result<(), Problem> {
        let most = self.producer.limits().batch_events_max;
        if events <= most {
            return Ok(());
        }
        let detail = format!("a batch holds at most {most} events; split it, or send NDJSON");
        Err(Problem::new(Code::BatchTooLarge, detail).with_number("events_max", most as u64))
    }

    fn take(&mut self, item: &[u8]) -> Result<(), Problem> {
        let index = self.items;
        self.room(index + 1)?;
        self.items += 1;
        if !self.refused.is_empty() {
            (self.encoded, self.names) = (Encoded::default(), Names::default());
        }
        let Err(problem) = self.take_at(index, item) else { return Ok(()) };
        // What is no event and no publication is held to be an event, as in the answer.
        self.kind.get_or_insert(Kind::Events);
        let goes_on = !matches!(problem.code(), Code::MalformedBody | Code::InvalidRequest);
        self.refused.push(problem);
        if goes_on && self.refused.len() < REFUSED_EVENTS_MAX {
            return Ok(());
        }
        let detail = "the batch is refused for events that it holds";
        Err(Problem::new(Code::InvalidEvent, detail))
    }

    fn take_at(&mut self, index: usize, item: &[u8]) -> Result<(), Problem> {
        if self.form == Form::ProtoBatch {
            let taken = self.take_proto(item);
            return taken.map_err(|error| error.at_index(index).into());
        }
        if self.kind == Some(Kind::Publications) {
            return self.producer.publication(item, &mut self.encoded, Some(index));
        }
        match self.producer.json(item, &mut self.encoded) {
            Ok(event) => self.names.push(&event),
            Err(_) if self.may_publish() && Members::of(item).is_publish() => {
                self.producer.refuse_key()?;
                self.kind = Some(Kind::Publications);
                return self.take_at(index, item);
            }
            Err(error) => return Err(error.at_index(index).into()),
        }
        self.kind = Some(Kind::Events);
        Ok(())
    }

    /// Whether the items may turn out to be for topics.
    fn may_publish(&self) -> bool {
        self.form == Form::Json && self.kind.is_none()
    }

    fn take_proto(&mut self, item: &[u8]) -> Result<(), EventError> {
        let event = proto::parse_event(item)?;
        let event = self.producer.encode(event, &mut self.encoded)?;
        self.names.push(&event);
        Ok(())
    }
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

/// Appends events that topics give their ids, and answers with those.
pub(super) async fn publish(
    engine: &Engine,
    events: Encoded,
    many: bool,
) -> Result<Response<Reply>, Problem> {
    let ticket = engine.append(Append::of(events)).map_err(answer::busy)?;
    match ticket.await {
        Ok(appended) => Ok(answer::published(&appended)),
        Err(error) => Err(answer::refused(error, &[], many)),
    }
}
