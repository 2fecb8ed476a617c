//! What one asks of the write path, and what it answers.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use annal_event::{Actual, Encoded, Position, Precondition, Timestamp};
use annal_projection::{
    resources::{Checks, Refusal},
    topics,
};
use smallvec::SmallVec;

use crate::Durability;

/// Events to append together, all or none, if every precondition holds.
#[derive(Clone, Debug, Default)]
pub struct Append {
    /// The events, validated and encoded.
    pub events: Encoded,
    /// What must hold at the head.
    pub preconditions: Vec<Precondition>,
    /// How strictly its commits are judged.
    pub checks: Checks,
}

impl Append {
    /// Events alone, judged as usual.
    pub fn of(events: Encoded) -> Append {
        Append { events, ..Append::default() }
    }
}

/// Where one event of an append stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its position; of a duplicate, the one it was first given.
    pub position: Position,
    /// Whether it was there already and nothing was stored.
    pub duplicate: bool,
}

/// A successful append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// One entry an event, in the order they were given.
    pub outcomes: SmallVec<[Outcome; 1]>,
    /// The last position when this was decided, this append included.
    pub head: Position,
    /// When the new events were recorded.
    pub recorded: Timestamp,
    /// How many earlier events it has hidden ([`annal_event::Deletion`]).
    pub hidden: u64,
    /// The ids of the events that came without ([`Encoded::unnamed`]), in order.
    pub ids: Vec<String>,
    /// What holds of it now.
    pub durability: Durability,
}

impl Appended {
    /// Number of events that were new.
    pub fn stored(&self) -> usize {
        self.outcomes.iter().filter(|outcome| !outcome.duplicate).count()
    }
}

/// A precondition that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedPrecondition {
    /// Its place in [`Append::preconditions`].
    pub index: usize,
    /// What was found instead.
    pub actual: Actual,
}

/// Who has an identity already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The event at this position.
    Stored(Position),
    /// An earlier event of the same append.
    Event(usize),
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Holder::Stored(position) => write!(f, "the event at position {position}"),
            Holder::Event(index) => write!(f, "event {index} of the same append"),
        }
    }
}

/// Why an append was refused, or what is not known about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// There is another event with the same source and id but other content.
    #[error("event {index} has the identity of {with} but other content")]
    IdentityConflict {
        /// Which event of the append.
        index: usize,
        /// The other one.
        with: Holder,
    },
    /// Preconditions did not hold; nothing was stored.
    #[error("{} preconditions do not hold at position {head}", failed.len())]
    PreconditionFailed {
        /// Each that failed.
        failed: Vec<FailedPrecondition>,
        /// The head they were judged by.
        head: Position,
    },
    /// This build cannot judge such a precondition.
    #[error("precondition {index} cannot be judged here: {reason}")]
    Unsupported {
        /// Its place in [`Append::preconditions`].
        index: usize,
        /// Why not.
        reason: &'static str,
    },
    /// An event would break a resource, a schema or a constraint; nothing was stored.
    #[error("event {index}: {refusal}")]
    Refused {
        /// Which event of the append.
        index: usize,
        /// What it would break.
        refusal: Box<Refusal>,
    },
    /// An event does not suit its topic, or what is said of a topic cannot be; nothing was stored.
    #[error("event {index}: {refusal}")]
    RefusedByTopic {
        /// Which event of the append.
        index: usize,
        /// What does not suit.
        refusal: Box<topics::Refusal>,
    },
    /// No room on the disk; nothing was stored, and reads go on.
    #[error("the disk is full")]
    DiskFull,
    /// Nothing was stored, and nothing will be until the cause is gone.
    #[error("appends are not possible: {reason}")]
    Unavailable {
        /// The cause.
        reason: String,
    },
    /// It may or may not be stored. Read it back, or send it again: the identity makes that safe.
    #[error("it is not known whether the events were stored: {reason}")]
    OutcomeUnknown {
        /// The cause.
        reason: String,
    },
}

/// The queue is full; nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{waiting_bytes} bytes wait to be committed; try again in a moment")]
pub struct Busy {
    /// Bytes that wait.
    pub waiting_bytes: usize,
}

/// The answer to an append, once there is one: a future, or something to wait for.
#[derive(Debug)]
pub struct Ticket {
    reply: oneshot::Receiver<Result<Appended, AppendError>>,
}

pub(crate) type Reply = oneshot::Sender<Result<Appended, AppendError>>;

impl Ticket {
    pub(crate) fn new() -> (Reply, Ticket) {
        let (sender, reply) = oneshot::channel();
        (sender, Ticket { reply })
    }

    /// Blocks until the answer is there.
    pub fn wait(self) -> Result<Appended, AppendError> {
        self.reply.recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// The answer, if it is there already.
    pub fn try_take(&self) -> Option<Result<Appended, AppendError>> {
        match self.reply.try_recv() {
            Ok(answer) => Some(answer),
            Err(oneshot::TryRecvError::Empty) => None,
            Err(oneshot::TryRecvError::Disconnected) => Some(Err(stopped())),
        }
    }
}

impl Future for Ticket {
    type Output = Result<Appended, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply)
            .poll(context)
            .map(|answer| answer.unwrap_or_else(|_| Err(stopped())))
    }
}

fn stopped() -> AppendError {
    AppendError::OutcomeUnknown { reason: "the engine stopped before it answered".to_owned() }
}
