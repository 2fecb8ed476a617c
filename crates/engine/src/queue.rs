//! The bounded queue between requests and the writer.

use std::{collections::VecDeque, time::Duration};

use parking_lot::{Condvar, Mutex};

use crate::append::{Append, AppendError, Busy, Reply};

/// What a waiting request costs besides its events, roughly.
const REQUEST_BYTES: usize = 256;

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) append: Append,
    pub(crate) reply: Reply,
}

impl Request {
    fn weight(&self) -> usize {
        REQUEST_BYTES + self.append.events.payload().len()
    }
}

/// Requests that wait for the writer, first come first served.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: VecDeque<Request>,
    bytes: usize,
    closed: bool,
    writer_sleeps: bool,
}

/// What the writer found in the queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Requests to decide.
    Some,
    /// Nothing, for now.
    None,
    /// Nothing, and there will be nothing more.
    Closed,
}

impl Queue {
    pub(crate) fn new(bytes_max: usize) -> Queue {
        Queue { waiting: Mutex::default(), arrived: Condvar::new(), bytes_max }
    }

    /// Takes a request in, unless too much waits already. One that is larger than the bound is
    /// taken when nothing else waits. After [`Queue::close`] everything is answered with a refusal.
    pub(crate) fn push(&self, request: Request) -> Result<(), Busy> {
        let weight = request.weight();
        let mut waiting = self.waiting.lock();
        if waiting.bytes > 0 && waiting.bytes + weight > self.bytes_max {
            return Err(Busy { waiting_bytes: waiting.bytes });
        }
        if waiting.closed {
            let reason = "the engine is stopping".to_owned();
            // A caller that has gone away needs no answer.
            let _ = request.reply.send(Err(AppendError::Unavailable { reason }));
            return Ok(());
        }
        waiting.bytes += weight;
        waiting.requests.push_back(request);
        let wake = std::mem::take(&mut waiting.writer_sleeps);
        drop(waiting);
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Moves everything that waits to `taken`; waits up to `patience` for something to arrive.
    pub(crate) fn take(&self, taken: &mut VecDeque<Request>, patience: Duration) -> Taken {
        let mut waiting = self.waiting.lock();
        if waiting.requests.is_empty() && !waiting.closed && !patience.is_zero() {
            waiting.writer_sleeps = true;
            self.arrived.wait_for(&mut waiting, patience);
            waiting.writer_sleeps = false;
        }
        if waiting.requests.is_empty() {
            return if waiting.closed { Taken::Closed } else { Taken::None };
        }
        waiting.bytes = 0;
        taken.append(&mut waiting.requests);
        Taken::Some
    }

    /// Bytes that wait now.
    pub(crate) fn bytes(&self) -> usize {
        self.waiting.lock().bytes
    }

    /// Takes nothing more and drops what waits: nobody is left to decide it.
    pub(crate) fn abandon(&self) {
        self.close();
        let mut waiting = self.waiting.lock();
        waiting.bytes = 0;
        waiting.requests.clear();
    }

    /// Takes nothing more; what waits is still handed out.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.arrived.notify_all();
    }
}
