//! Those who wait for a head to move.

use annal_event::Position;
use parking_lot::Mutex;

use crate::{Completion, ReadError};

type Reply = oneshot::Sender<Result<(), ReadError>>;

#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiting: Mutex<Vec<(Position, Reply)>>,
}

impl Waiters {
    /// Answers once the head is past `after`. `head` is looked at after the waiter is in line, so
    /// that a move in between is not missed.
    pub(crate) fn wait(
        &self,
        after: Position,
        head: impl Fn() -> Position,
    ) -> Completion<Result<(), ReadError>> {
        let (reply, receiver) = oneshot::channel();
        self.waiting.lock().push((after, reply));
        self.moved(head());
        Completion::Waiting(receiver)
    }

    pub(crate) fn moved(&self, head: Position) {
        for (_, reply) in self.waiting.lock().extract_if(.., |(after, _)| *after < head) {
            // A waiter that has gone away needs no answer.
            let _ = reply.send(Ok(()));
        }
    }
}
