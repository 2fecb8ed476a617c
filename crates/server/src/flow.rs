//! How much of a stream may wait for its socket.
//!
//! hyper buffers as much of a body as it may buffer of a request's headers, which is far more than
//! a stalled reader should hold. It flushes the connection each time its buffer is empty, so a
//! stream hands on a bounded amount and then waits for the next flush.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

/// Bytes handed on between two flushes.
const UNFLUSHED_BYTES_MAX: usize = 16 * 1024;

/// What a connection tells the stream on it.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    flushes: AtomicU64,
    waiting: Mutex<Option<Waker>>,
}

impl Flow {
    /// Everything that was handed on is on the socket.
    pub(crate) fn flushed(&self) {
        self.flushes.fetch_add(1, SeqCst);
        if let Some(waker) = self.waiting.lock().take() {
            waker.wake();
        }
    }
}

/// One stream's count of what it has handed on.
#[derive(Debug, Default)]
pub(crate) struct Unflushed {
    bytes: usize,
    flushes: u64,
}

impl Unflushed {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Ready when more may be handed on.
    pub(crate) fn poll_room(&mut self, flow: &Flow, context: &Context<'_>) -> Poll<()> {
        if self.bytes < UNFLUSHED_BYTES_MAX || self.has_flushed(flow) {
            return Poll::Ready(());
        }
        *flow.waiting.lock() = Some(context.waker().clone());
        // A flush before the waker was left would not have woken it.
        if self.has_flushed(flow) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn has_flushed(&mut self, flow: &Flow) -> bool {
        let flushes = flow.flushes.load(SeqCst);
        if flushes == self.flushes {
            return false;
        }
        *self = Unflushed { bytes: 0, flushes };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_waits_for_the_flush() {
        let (flow, mut unflushed) = (Flow::default(), Unflushed::default());
        let context = Context::from_waker(Waker::noop());
        assert!(unflushed.poll_room(&flow, &context).is_ready());
        unflushed.add(UNFLUSHED_BYTES_MAX);
        assert!(unflushed.poll_room(&flow, &context).is_pending());
        assert!(flow.waiting.lock().is_some());
        flow.flushed();
        assert!(flow.waiting.lock().is_none());
        assert!(unflushed.poll_room(&flow, &context).is_ready());
        unflushed.add(1);
        assert!(unflushed.poll_room(&flow, &context).is_ready());
    }
}
