//! Following the log for one reader: near the head on the reader's own task, far behind it where
//! nobody else waits for the disk. Holds a cursor and nothing that was read.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use annal_engine::{Engine, Step, Subscription, View};
use annal_event::{Interest, Position, StoredEvent};

use crate::{read::NEAR_HEAD, readers::Readers, reply::BodyError};

/// About so many bytes of records at a time.
const STEP_BYTES: usize = 16 * 1024;

/// Looks that found nothing before others get a turn.
const LOOKS_MAX: usize = 16;

/// What a look at the log brought.
pub(crate) enum Found {
    /// Hand these on at once: an event holds on to the batch it was in.
    Events(Vec<StoredEvent>),
    /// Nothing so far; the cursor has moved.
    Nothing,
    /// The cursor is at the head; the task is woken when there is more.
    CaughtUp,
}

/// One reader's way through the log.
pub(crate) struct Follow {
    phase: Phase,
    interest: Interest,
    view: Arc<View>,
    readers: Arc<Readers>,
    /// At most so many events at a time.
    events_max: usize,
    cursor: Position,
    looks: usize,
}

type Reading = Pin<Box<dyn Future<Output = Result<(Subscription<View>, Step), BodyError>> + Send>>;

enum Phase {
    Near(Subscription<View>),
    Far(Reading),
    Broken,
}

impl Follow {
    pub(crate) fn new(
        engine: &Engine,
        readers: &Arc<Readers>,
        interest: Interest,
        cursor: Position,
        events_max: usize,
    ) -> Follow {
        Follow {
            phase: Phase::Near(engine.subscribe(interest.clone(), cursor)),
            interest,
            view: Arc::clone(engine.view()),
            readers: Arc::clone(readers),
            events_max: events_max.max(1),
            cursor,
            looks: 0,
        }
    }

    /// Every matching event up to here has been handed out.
    pub(crate) fn cursor(&self) -> Position {
        self.cursor
    }

    /// How far the head is ahead.
    pub(crate) fn lag(&self) -> u64 {
        self.view.head().0.saturating_sub(self.cursor.0)
    }

    /// Looks further. Pending only while somebody else reads, or to let others have a turn.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Found, BodyError>> {
        if self.looks == LOOKS_MAX {
            self.looks = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            match mem::replace(&mut self.phase, Phase::Broken) {
                Phase::Broken => return Poll::Ready(Err("the stream broke off before".into())),
                Phase::Near(subscription) if self.lag() > NEAR_HEAD => {
                    self.phase = Phase::Far(self.read_far(subscription));
                }
                Phase::Near(mut subscription) => {
                    let step = subscription.next(STEP_BYTES, context.waker())?;
                    return Poll::Ready(Ok(self.take(subscription, step)));
                }
                Phase::Far(mut reading) => {
                    let Poll::Ready(read) = reading.as_mut().poll(context) else {
                        self.phase = Phase::Far(reading);
                        return Poll::Pending;
                    };
                    let (subscription, step) = read?;
                    if !matches!(step, Step::CaughtUp) {
                        return Poll::Ready(Ok(self.take(subscription, step)));
                    }
                    // It left no waker there.
                    self.phase = Phase::Near(subscription);
                }
            }
        }
    }

    fn take(&mut self, mut subscription: Subscription<View>, step: Step) -> Found {
        let found = match step {
            Step::Events(mut events) => {
                if events.len() > self.events_max {
                    // The rest is read again, so that it need not be kept.
                    events.truncate(self.events_max);
                    let cursor = events.last().map_or(self.cursor, StoredEvent::position);
                    let (view, interest) = (Arc::clone(&self.view), self.interest.clone());
                    subscription = Subscription::new(view, interest, cursor);
                }
                Found::Events(events)
            }
            Step::Scanned => Found::Nothing,
            Step::CaughtUp => Found::CaughtUp,
        };
        self.looks = if matches!(found, Found::Nothing) { self.looks + 1 } else { 0 };
        self.cursor = subscription.cursor();
        self.phase = Phase::Near(subscription);
        found
    }

    fn read_far(&self, mut subscription: Subscription<View>) -> Reading {
        Box::pin(self.readers.read(move || {
            let step = subscription.next(STEP_BYTES, Waker::noop())?;
            Ok((subscription, step))
        }))
    }
}
