//! A subject as server-sent events: what is stored, then what comes, without a gap and for ever.
//!
//! INV-5: every message comes from one cursor, in order.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use annal_engine::Engine;
use annal_event::{Interest, Position};
use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::super::{ClientPlace, answer::push_messages};
use crate::{
    flow::{Flow, Unflushed},
    reply::BodyError,
    stream::{
        follow::{Follow, Found},
        message::{HEARTBEAT, retry},
    },
};

/// The body of a stream.
pub(crate) struct EventsBody {
    place: ClientPlace,
    follow: Follow,
    /// Not sent yet; then that it is over.
    opening: Option<Vec<u8>>,
    ended: bool,
    heartbeat: Pin<Box<Sleep>>,
    heartbeat_every: Duration,
    random: u64,
    flow: Option<Arc<Flow>>,
    unflushed: Unflushed,
}

impl EventsBody {
    pub(super) fn new(
        place: ClientPlace,
        engine: &Engine,
        interest: Interest,
        cursor: Position,
    ) -> EventsBody {
        let options = &place.shared().options;
        let (heartbeat_every, most) = (options.heartbeat_every, options.client_buffer_events);
        let follow = Follow::new(engine, &place.shared().readers, interest, cursor, most);
        let random = engine.random();
        EventsBody {
            follow,
            opening: Some(retry(random)),
            ended: false,
            heartbeat: Box::pin(sleep_until(Instant::now() + heartbeat_every)),
            heartbeat_every,
            random,
            flow: None,
            unflushed: Unflushed::default(),
            place,
        }
    }

    /// Says which connection it is alone on, so that it hands on no more than fits.
    pub(super) fn flows_through(&mut self, flow: Arc<Flow>) {
        self.flow = Some(flow);
    }

    /// The next bytes, when the socket has room for them.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        if let Some(flow) = &self.flow {
            ready!(self.unflushed.poll_room(flow, context));
        }
        let next = ready!(self.poll_next(context));
        match &next {
            Some(Ok(bytes)) => {
                self.unflushed.add(bytes.len());
                let next_beat = Instant::now() + self.heartbeat_every;
                self.heartbeat.as_mut().reset(next_beat);
            }
            Some(Err(error)) => tracing::error!(%error, "a stream broke off"),
            None => {}
        }
        Poll::Ready(next)
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if let Some(opening) = self.opening.take() {
            return Poll::Ready(Some(Ok(opening.into())));
        }
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            if self.place.shared().is_stopping() {
                self.ended = true;
                return Poll::Ready(Some(Ok(retry(self.random).into())));
            }
            match ready!(self.follow.poll(context))? {
                Found::Events(events) => {
                    let mut out = Vec::with_capacity(events.len() * 512);
                    push_messages(&mut out, &events)?;
                    return Poll::Ready(Some(Ok(out.into())));
                }
                Found::Nothing => {}
                Found::CaughtUp => {
                    ready!(self.heartbeat.as_mut().poll(context));
                    return Poll::Ready(Some(Ok(Bytes::from_static(HEARTBEAT))));
                }
            }
        }
    }
}
