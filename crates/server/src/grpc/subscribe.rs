//! `Subscribe`: everything after a cursor, then everything new, for ever.
//!
//! INV-5: after the opening, every event comes from one cursor, in order. It looks further only when
//! the client has taken what was sent; what waits is one look's worth, encoded.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use annal_engine::Engine;
use annal_event::{Interest, Position, StoredEvent};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_stream::Stream;
use tonic::Status;

use super::{
    append::stopping,
    encode,
    generated::annal_v1::{
        self as wire, SubscribeRequest, SubscribeResponse, subscribe_request::From,
        subscribe_response::Message,
    },
    status::refuse,
    terms,
};
use crate::{
    problem::{Code, Problem},
    read::{NEAR_HEAD, failed, until_position},
    reply::BodyError,
    shared::{Shared, StreamPlace},
    stream::{
        cursor::{self, Reset, Start},
        follow::{Follow, Found},
    },
};

/// A cursor is told when so many positions went by without a match.
const CHECKPOINT_AFTER: u64 = 100_000;

/// A live stream.
pub(super) struct Subscribed {
    place: StreamPlace,
    follow: Follow,
    /// On their way to the client.
    ready: VecDeque<Message>,
    events_max: usize,
    /// Whether the client has been told that it has everything.
    live: bool,
    /// The cursor as the client knows it.
    told: Position,
    heartbeat: Pin<Box<Sleep>>,
    heartbeat_every: Duration,
    ended: bool,
}

/// Finds where to begin.
pub(super) async fn begin(
    shared: &Arc<Shared>,
    engine: &Engine,
    asked: SubscribeRequest,
) -> Result<Subscribed, Problem> {
    let patience = shared.options.position_wait_max;
    until_position(engine, Position(asked.min_position), patience).await?;
    let start = start(asked.from)?;
    let since = start.to_come(engine);
    let interest = Interest { since, ..terms::interest(asked.interest)? };
    let place = shared.stream_place().ok_or_else(|| {
        let detail = "as many streams are open as may be; try again in a while, or another node";
        Problem::new(Code::TooManyStreams, detail).retry_after(5)
    })?;
    let (cursor, reset) = cursor::resolve(engine, &start).await?;
    let cursor = cursor.unwrap_or(Position::ZERO);
    let ready = reset.map(|reset| Message::Reset(told_of(&reset, engine.head())));
    let heartbeat_every = shared.options.heartbeat_every;
    let events_max = match asked.batch_events_max {
        0 => usize::MAX,
        most => most as usize,
    };
    Ok(Subscribed {
        follow: Follow::new(engine, &shared.readers, interest, cursor, usize::MAX),
        ready: ready.into_iter().collect(),
        events_max,
        live: false,
        told: cursor,
        heartbeat: Box::pin(sleep_until(Instant::now() + heartbeat_every)),
        heartbeat_every,
        ended: false,
        place,
    })
}

fn start(from: Option<From>) -> Result<Start, Problem> {
    Ok(match from {
        None | Some(From::Earliest(())) => Start::Earliest,
        Some(From::Latest(())) => Start::Latest,
        Some(From::After(wire::Cursor { position, epoch })) => {
            Start::After { position: Position(position), epoch: !epoch.is_empty() }
        }
        Some(From::Since(time)) => Start::Since(terms::time("since", time)?),
    })
}

fn told_of(reset: &Reset, head: Position) -> wire::Reset {
    let reason = match reset.reason {
        "ahead" => wire::ResetReason::Ahead,
        "expired" => wire::ResetReason::Expired,
        "epoch" => wire::ResetReason::Epoch,
        _ => wire::ResetReason::Unspecified,
    };
    wire::Reset {
        reason: reason.into(),
        requested: reset.requested.0,
        earliest: Position::FIRST.0,
        head: head.0,
    }
}

impl Subscribed {
    /// Encodes events at once, in messages of no more than the client asked for.
    fn found(&mut self, events: &[StoredEvent]) -> Result<(), BodyError> {
        let mut rest = events;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(self.events_max));
            rest = later;
            let last = now.last().map_or(self.follow.cursor(), StoredEvent::position);
            let position = if later.is_empty() { self.follow.cursor().0 } else { last.0 };
            let events = encode::events(now)?;
            self.ready.push_back(Message::Events(wire::Events { events, position }));
        }
        self.told = self.follow.cursor();
        Ok(())
    }

    fn checkpoint(&mut self) -> Message {
        self.told = self.follow.cursor();
        Message::Checkpoint(wire::Checkpoint { position: self.told.0 })
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Message, Problem>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            if let Some(message) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(message)));
            }
            if self.place.shared.is_stopping() {
                return Poll::Ready(Some(Err(stopping())));
            }
            if self.live && self.follow.lag() > NEAR_HEAD {
                self.live = false;
                let (position, lag) = (self.follow.cursor().0, self.follow.lag());
                let message = wire::FellBehind { position, head: position + lag };
                return Poll::Ready(Some(Ok(Message::FellBehind(message))));
            }
            let found = match ready!(self.follow.poll(context)) {
                Ok(Found::Events(events)) => self.found(&events),
                Ok(Found::Nothing) => {
                    if self.follow.cursor().0 - self.told.0.min(self.follow.cursor().0)
                        >= CHECKPOINT_AFTER
                    {
                        return Poll::Ready(Some(Ok(self.checkpoint())));
                    }
                    Ok(())
                }
                Ok(Found::CaughtUp) if !self.live => {
                    self.live = true;
                    self.told = self.follow.cursor();
                    let message = wire::CaughtUp { position: self.told.0 };
                    return Poll::Ready(Some(Ok(Message::CaughtUp(message))));
                }
                Ok(Found::CaughtUp) => {
                    ready!(self.heartbeat.as_mut().poll(context));
                    return Poll::Ready(Some(Ok(self.checkpoint())));
                }
                Err(error) => Err(error),
            };
            if let Err(error) = found {
                return Poll::Ready(Some(Err(broken(error))));
            }
        }
    }
}

/// A read failed in the middle of a stream.
pub(super) fn broken(error: BodyError) -> Problem {
    match error.downcast::<annal_engine::ReadError>() {
        Ok(error) => failed(&error),
        Err(error) => {
            tracing::error!(%error, "a stream broke off");
            Problem::new(Code::Internal, "the stream broke off; go on from the cursor")
        }
    }
}

impl Stream for Subscribed {
    type Item = Result<SubscribeResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let next = ready!(this.poll(context));
        let due = Instant::now() + this.heartbeat_every;
        this.heartbeat.as_mut().reset(due);
        Poll::Ready(next.map(|next| match next {
            Ok(message) => Ok(SubscribeResponse { message: Some(message) }),
            Err(problem) => {
                this.ended = true;
                Err(refuse(&this.place.shared, problem))
            }
        }))
    }
}
