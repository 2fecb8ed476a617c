//! Reading: pages, single events, exports.

pub(crate) mod catalog;
pub(crate) mod encode;
pub(crate) mod export;
pub(crate) mod link;
pub(crate) mod one;
pub(crate) mod page;
pub(crate) mod select;

use std::{future::poll_fn, task::Poll, time::Duration};

use annal_engine::{Bell, Engine, EventSource, ReadError, Seat};
use annal_event::Position;
use tokio::time::timeout;

use crate::{
    params::Params,
    problem::{Code, Problem},
};

/// Events so close to the head are in memory, so that reading them holds nobody up.
pub(crate) const NEAR_HEAD: u64 = 4_096;

/// A failed read as a client sees it; the cause goes to the log.
pub(crate) fn failed(error: &ReadError) -> Problem {
    tracing::error!(%error, "read failed");
    if error.is_mended_by_restart() {
        let detail = "what is made of the log is damaged; restart the server, and it is made anew";
        return Problem::new(Code::Damaged, detail);
    }
    let code = match error {
        ReadError::Record { .. } | ReadError::Missing { .. } => Code::Damaged,
        ReadError::Log(_) | ReadError::Index(_) | ReadError::Store(_) => Code::Internal,
    };
    Problem::new(code, "the server's log says what could not be read; run `annal verify`")
}

/// Runs what may go to the disk on a thread that nobody else waits for.
pub(crate) async fn off_the_reactor<T: Send + 'static>(
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(read).await.map_err(|error| {
        tracing::error!(%error, "a read did not finish");
        Problem::new(Code::Internal, "the read did not finish; the server's log says why")
    })
}

/// Takes `min_position` and waits for it, a bounded time.
pub(crate) async fn wait_for_position(
    engine: &Engine,
    params: &mut Params<'_>,
    at_most: Duration,
) -> Result<(), Problem> {
    let Some(wanted) = params.take_as::<Position>("min_position")? else { return Ok(()) };
    until_position(engine, wanted, at_most).await
}

/// Waits, a bounded time, until the head has come so far.
pub(crate) async fn until_position(
    engine: &Engine,
    wanted: Position,
    at_most: Duration,
) -> Result<(), Problem> {
    if engine.head() >= wanted || timeout(at_most, reached(engine, wanted)).await.is_ok() {
        return Ok(());
    }
    let head = engine.head();
    let detail = format!("the head is {head}; ask again once {wanted} has been appended");
    Err(Problem::new(Code::PositionNotReached, detail)
        .with_text("head", &head.to_string())
        .retry_after(1))
}

/// Returns once the head has reached a position.
async fn reached(engine: &Engine, wanted: Position) {
    let waiting =
        Waiting { bell: engine.view().bell(), seat: Some(engine.view().bell().sit(None)) };
    poll_fn(|context| {
        if let Some(seat) = &waiting.seat {
            waiting.bell.wait(seat, context.waker());
        }
        if engine.head() < wanted { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

/// Gives the seat back, also when the wait is given up.
struct Waiting<'b> {
    bell: &'b Bell,
    seat: Option<Seat>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            self.bell.leave(seat);
        }
    }
}
