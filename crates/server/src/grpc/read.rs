//! `Read`: everything that matches now, one message ahead of the client.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use annal_engine::{Cursor, Engine, Order, ReadError, ReadSpec};
use annal_event::{Interest, Position, StoredEvent};
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tonic::Status;

use super::{
    encode,
    generated::annal_v1::{self as wire, ReadRequest, ReadResponse},
    status::refuse,
    terms,
};
use crate::{
    params::invalid,
    problem::{Code, Problem},
    read::{failed, off_the_reactor, until_position},
    shared::Shared,
};

/// Events, and bytes of records, in one message.
const MESSAGE_EVENTS: usize = 1_024;
const MESSAGE_BYTES: usize = 128 * 1024;

/// Looks that found nothing before a message goes out all the same, so that the client sees progress
/// and can go away.
const LOOKS_MAX: usize = 256;

type Step = JoinHandle<Result<(ReadResponse, Option<Box<Reader>>), ReadError>>;

/// Messages that are read while the one before is on its way.
pub(super) struct Pages {
    shared: Arc<Shared>,
    step: Option<Step>,
}

/// Reads; moved between threads, message by message.
struct Reader {
    cursor: Cursor,
    /// Events that are still wanted.
    left: u64,
    /// The last position that was sent.
    sent: Option<Position>,
    /// Read beyond the limit, to know whether there is more.
    events: Vec<StoredEvent>,
}

/// Finds where to begin.
pub(super) async fn begin(
    shared: &Arc<Shared>,
    engine: &Engine,
    asked: ReadRequest,
) -> Result<Pages, Problem> {
    let patience = shared.options.position_wait_max;
    until_position(engine, Position(asked.min_position), patience).await?;
    let order = match wire::Order::try_from(asked.order) {
        Ok(wire::Order::OldestFirst) => Order::Ascending,
        Ok(wire::Order::NewestFirst) => Order::Descending,
        Err(_) => return Err(invalid("order", "`order` is oldest or newest first")),
    };
    let interest = Interest {
        since: asked.since.map(|time| terms::time("since", time)).transpose()?,
        until: asked.until.map(|time| terms::time("until", time)).transpose()?,
        ..terms::interest(asked.interest)?
    };
    let spec = ReadSpec {
        interest,
        after: asked.after.map(Position),
        before: asked.before.map(Position),
        order,
        ..ReadSpec::default()
    };
    let left = if asked.limit == 0 { u64::MAX } else { asked.limit };
    let view = Arc::clone(engine.view());
    let cursor = off_the_reactor(move || view.cursor(&spec)).await?;
    let cursor = cursor.map_err(|error| failed(&error))?;
    let reader = Box::new(Reader { cursor, left, sent: None, events: Vec::new() });
    Ok(Pages { shared: Arc::clone(shared), step: Some(spawn(reader)) })
}

fn spawn(reader: Box<Reader>) -> Step {
    tokio::task::spawn_blocking(move || reader.step())
}

impl Reader {
    /// One message, and the rest if there is one.
    fn step(mut self: Box<Self>) -> Result<(ReadResponse, Option<Box<Reader>>), ReadError> {
        let (mut more, mut looks) = (true, 0);
        let (mut bytes, mut summed) = (0, 0);
        while more && bytes < MESSAGE_BYTES && looks < LOOKS_MAX {
            let room = MESSAGE_EVENTS.saturating_sub(self.events.len()) as u64;
            // One more than is wanted tells whether there is more.
            let wanted = room.min(self.left.saturating_add(1) - (self.events.len() as u64));
            if wanted == 0 {
                break;
            }
            more = self.cursor.next(wanted as usize, MESSAGE_BYTES, &mut self.events)?;
            bytes += records(&self.events[summed..]);
            summed = self.events.len();
            looks += 1;
        }
        let beyond = self.events.len() as u64 > self.left;
        if beyond {
            self.events.truncate(self.left as usize);
        }
        self.left -= self.events.len() as u64;
        let events = encode::events(&self.events)?;
        self.sent = self.events.last().map(StoredEvent::position).or(self.sent);
        // Between two messages nothing that was read is held: an event holds on to its batch.
        self.events = Vec::new();
        let head = self.cursor.head().0;
        // Also where the limit is reached: only another look can tell whether there is more.
        let goes_on = more && !beyond;
        let response = ReadResponse {
            events,
            next: if beyond { self.sent.map(|position| position.0) } else { None },
            has_more: beyond,
            head,
        };
        Ok((response, goes_on.then_some(self)))
    }
}

fn records(events: &[StoredEvent]) -> usize {
    events.iter().map(|stored| stored.record().len()).sum()
}

impl Stream for Pages {
    type Item = Result<ReadResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(step) = &mut self.step else { return Poll::Ready(None) };
        let joined = ready!(Pin::new(step).poll(context));
        self.step = None;
        let problem = match joined {
            Ok(Ok((response, reader))) => {
                self.step = reader.map(spawn);
                return Poll::Ready(Some(Ok(response)));
            }
            Ok(Err(error)) => failed(&error),
            Err(error) => {
                tracing::error!(%error, "a read did not finish");
                Problem::new(Code::Internal, "the read did not finish; see the server's log")
            }
        };
        Poll::Ready(Some(Err(refuse(&self.shared, problem))))
    }
}
