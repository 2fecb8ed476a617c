//! Answers of one HTTP/2 connection that become ready together leave in one write.
//!
//! Each is made by a task of its own. The scheduler runs a task that was just woken next, so the
//! first answer of a group would have the connection written to for itself alone.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

/// The requests of a connection that have no answer yet.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    /// Counts a request until its answer is there, or nobody wants it any more.
    pub(crate) fn count<F: Future>(&self, answer: F) -> impl Future<Output = F::Output> + use<F> {
        self.0.fetch_add(1, Relaxed);
        let counted = Counted(Arc::clone(&self.0));
        async move {
            let answer = answer.await;
            drop(counted);
            answer
        }
    }

    /// The connection, polled only once the tasks that were woken before it have had their turn.
    /// With one request under way there is nobody to wait for.
    pub(crate) fn leave_together<F>(&self, connection: F) -> LeaveTogether<F> {
        LeaveTogether { connection, under_way: Arc::clone(&self.0), has_waited: false }
    }
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// See [`UnderWay::leave_together`].
#[derive(Debug)]
pub(crate) struct LeaveTogether<F> {
    connection: F,
    under_way: Arc<AtomicUsize>,
    has_waited: bool,
}

impl<F: Future + Unpin> Future for LeaveTogether<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.has_waited = !self.has_waited && self.under_way.load(Relaxed) > 1;
        if self.has_waited {
            // Woken while it runs, a task goes to the end of the queue.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.connection).poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Waker};

    use parking_lot::Mutex;
    use tokio::{runtime::Builder, sync::Notify, task::yield_now};

    use super::*;

    const REQUESTS: usize = 8;

    /// How many answers a connection finds each time it is polled, when a commit lets all of them
    /// become ready.
    fn found(together: bool) -> Vec<usize> {
        let runtime = Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let committed = Arc::new(Notify::new());
        let (ready, waker) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(None::<Waker>)));
        let under_way = UnderWay::default();
        for _ in 0..REQUESTS {
            let answer = under_way.count(Arc::clone(&committed).notified_owned());
            let (ready, waker) = (Arc::clone(&ready), Arc::clone(&waker));
            runtime.spawn(async move {
                answer.await;
                *ready.lock() += 1;
                waker.lock().as_ref().expect("a connection").wake_by_ref();
            });
        }
        let mut found = Vec::new();
        let connection = poll_fn(move |context| {
            *waker.lock() = Some(context.waker().clone());
            found.extend(Some(std::mem::take(&mut *ready.lock())).filter(|new| *new > 0));
            let all = found.iter().sum::<usize>() == REQUESTS;
            if all { Poll::Ready(std::mem::take(&mut found)) } else { Poll::Pending }
        });
        let connection = match together {
            true => runtime.spawn(under_way.leave_together(connection)),
            false => runtime.spawn(connection),
        };
        // On the one worker, once everybody there waits.
        runtime.spawn(async move {
            for _ in 0..REQUESTS {
                yield_now().await;
            }
            committed.notify_waiters();
        });
        runtime.block_on(connection).expect("answered")
    }

    #[test]
    fn what_is_ready_together_is_found_together() {
        assert_eq!(found(true), [REQUESTS]);
        assert!(found(false).len() > 1, "the scheduler does it by itself: {:?}", found(false));
    }

    #[test]
    fn one_alone_waits_for_nobody() {
        let under_way = UnderWay::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut connection = under_way.leave_together(std::future::ready(()));
        let _first = under_way.count(std::future::pending::<()>());
        assert!(Pin::new(&mut connection).poll(&mut context).is_ready());
        let second = under_way.count(std::future::pending::<()>());
        assert!(Pin::new(&mut connection).poll(&mut context).is_pending());
        drop(second);
        assert_eq!(under_way.0.load(Relaxed), 1, "nobody wants that answer any more");
    }
}
