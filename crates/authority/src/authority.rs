//! The trait every authority implements.

use std::{fmt, sync::Arc};

use annal_event::{Batch, Digest, Position};

/// A batch that has its positions and wants to be committed.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The events.
    pub batch: Arc<Batch>,
    /// Merkle root over their digests.
    pub root: Digest,
}

/// An answer that is there, or will be. The engine needs no async runtime for it; an adapter that
/// has one sends the answer from there.
#[derive(Debug)]
pub enum Completion<T> {
    /// It is there.
    Ready(T),
    /// It comes.
    Waiting(oneshot::Receiver<T>),
}

impl<T> Completion<T> {
    /// Blocks until the answer is there; `lost` if its sender has gone.
    pub fn wait(self, lost: impl FnOnce() -> T) -> T {
        match self {
            Completion::Ready(answer) => answer,
            Completion::Waiting(receiver) => receiver.recv().unwrap_or_else(|_| lost()),
        }
    }
}

/// Decides what is appended at the head of one log.
pub trait CommitAuthority: fmt::Debug + Send + Sync {
    /// Appends a batch if the head is exactly `after`. Once the answer is `Ok`, the batch is as
    /// durable as this authority makes it, and every reader will see it at these positions.
    fn append(&self, after: Position, commit: Commit) -> Completion<Result<(), AppendError>>;

    /// Whole batches after a position, oldest first, about `bytes_max` of them; a prefix of what
    /// was committed, never with a gap. `after` is the end of a batch.
    fn read(&self, after: Position, bytes_max: usize)
    -> Completion<Result<Vec<Commit>, ReadError>>;

    /// Answers once the head is past `after`.
    fn wait(&self, after: Position) -> Completion<Result<(), ReadError>>;

    /// Whether an append has already written the local log and made it visible, so that nobody
    /// needs to follow.
    fn writes_log(&self) -> bool {
        false
    }

    /// Makes durable what earlier appends left to be synced later.
    fn sync(&self) -> Result<(), AppendError> {
        Ok(())
    }
}

/// Why a batch was not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Somebody else was first. Fold up to `actual` and decide again.
    #[error("the head is at {actual}")]
    HeadMoved {
        /// Where the head is.
        actual: Position,
    },
    /// It may or may not have been appended. Read back before anything else.
    #[error("the outcome is unknown: {reason}")]
    OutcomeUnknown {
        /// What happened.
        reason: String,
    },
    /// Nothing was appended; trying again later may help.
    #[error("unavailable: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// Nothing was appended: there is no room.
    #[error("no room: {reason}")]
    Full {
        /// What happened.
        reason: String,
    },
    /// This node has been shut out and must not append any more.
    #[error("fenced")]
    Fenced,
}

/// Why batches could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Trying again later may help.
    #[error("unavailable: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// What follows `after` has been trimmed.
    #[error("nothing before position {earliest} is kept")]
    Trimmed {
        /// The first position still there.
        earliest: Position,
    },
}
