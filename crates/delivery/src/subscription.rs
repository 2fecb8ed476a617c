//! One reader's way through the log: a cursor and an interest.

use std::{fmt, sync::Arc, task::Waker};

use annal_event::{Interest, Position, StoredEvent};

use crate::{Bell, bell::Seat};

/// Where subscriptions read from: the visible log, with an index to find what matches.
pub trait EventSource: fmt::Debug + Send + Sync {
    /// Why a read can fail.
    type Error;

    /// The last visible position.
    fn head(&self) -> Position;

    /// Events after `after` that match, in order, about `bytes_max` of them (at least one if there
    /// is one), and how far it looked. Bounded work: it may find nothing and still not be at the head.
    fn scan(
        &self,
        interest: &Interest,
        after: Position,
        bytes_max: usize,
    ) -> Result<Scan, Self::Error>;

    /// Rings whenever the head has moved.
    fn bell(&self) -> &Bell;
}

/// What one look at the log found.
#[derive(Debug, Default)]
pub struct Scan {
    /// Matching events, in order.
    pub events: Vec<StoredEvent>,
    /// Everything up to here has been considered.
    pub looked: Position,
}

/// What a subscriber does next.
#[derive(Debug)]
pub enum Step {
    /// Hand these on, in order.
    Events(Vec<StoredEvent>),
    /// Nothing matched up to the cursor, which has moved; there is more to look at.
    Scanned,
    /// The cursor is at the head; the waker will be woken when there is more.
    CaughtUp,
}

/// A cursor over the log.
///
/// INV-5: every matching event after the cursor is handed out once, in order.
#[derive(Debug)]
pub struct Subscription<S: EventSource> {
    source: Arc<S>,
    interest: Interest,
    cursor: Position,
    /// Taken when it first has to wait.
    seat: Option<Seat>,
}

impl<S: EventSource> Subscription<S> {
    /// Starts right after `cursor`.
    pub fn new(source: Arc<S>, interest: Interest, cursor: Position) -> Subscription<S> {
        Subscription { source, interest, cursor, seat: None }
    }

    /// Every matching event up to here has been handed out.
    pub fn cursor(&self) -> Position {
        self.cursor
    }

    /// What it reads from.
    pub fn source(&self) -> &Arc<S> {
        &self.source
    }

    /// Moves the cursor past what is known not to match, without a look at it.
    pub fn pass(&mut self) {
        if let Some(seat) = &self.seat {
            self.cursor = self.source.bell().passed(seat, self.cursor);
        }
    }

    /// Looks further. When there is nothing more, leaves `waker` to be woken and says so; bounded
    /// work otherwise.
    pub fn next(&mut self, bytes_max: usize, waker: &Waker) -> Result<Step, S::Error> {
        self.pass();
        if self.cursor >= self.source.head() {
            self.wait(waker);
            if self.cursor >= self.source.head() {
                return Ok(Step::CaughtUp);
            }
        }
        let scan = self.source.scan(&self.interest, self.cursor, bytes_max)?;
        assert!(scan.looked > self.cursor, "INV-5: a look moves the cursor");
        self.cursor = scan.looked;
        Ok(if scan.events.is_empty() { Step::Scanned } else { Step::Events(scan.events) })
    }
    /// Moves the cursor to where another subscription with the same query and the same cursor has
    /// looked, whose events its reader has been given. The cursor never moves back.
    pub fn skip_to(&mut self, looked: Position) {
        self.cursor = self.cursor.max(looked);
    }

    fn wait(&mut self, waker: &Waker) {
        let bell = self.source.bell();
        let seat = self.seat.get_or_insert_with(|| bell.sit(Some(&self.interest)));
        bell.wait(seat, waker);
    }
}

impl<S: EventSource> Drop for Subscription<S> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            self.source.bell().leave(seat);
        }
    }
}
