//! Reading for those who are far behind, on threads that stand back: catching up takes what writers
//! and those who keep up leave. What is sent follows what is read, so that it stands back as well.
//!
//! Sending has no rank of its own, so while events are appended the readers also rest: together they
//! take about a twentieth of the processors then.

use std::{
    fmt,
    future::Future,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use annal_engine::{Rank, ReadError, stand_back};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
};

use crate::{reply::BodyError, shared::EngineSlot};

/// Readers that may be at the disk at a time: they share it with the writer.
const READERS_MAX: usize = 2;

/// Of the time of all processors, readers take one part in so many while events are appended.
const SHARE: f64 = 20.0;

/// So many events a second leave the processors no time; of fewer, readers rest in proportion.
const BUSY: f64 = 50_000.0;

/// The longest rest at a time.
const REST_MAX: Duration = Duration::from_millis(20);

/// Threads that read, and whose turn it is.
pub(crate) struct Readers {
    turns: Arc<Semaphore>,
    /// Only for its threads; taken when they are to end.
    threads: Option<Runtime>,
    pace: Arc<Pace>,
}

/// How long readers rest.
struct Pace {
    slot: EngineSlot,
    /// Seconds for [`BUSY`] appends.
    rest: f64,
    /// What the next turn begins with, in nanoseconds.
    owed: AtomicU64,
}

impl Pace {
    fn new(slot: EngineSlot, processors: usize) -> Pace {
        let rest = (SHARE * READERS_MAX as f64 / processors as f64 - 1.0).max(0.0);
        Pace { slot, rest, owed: AtomicU64::new(0) }
    }

    /// Reads, after a rest if the turn before met appends.
    fn keep<T>(&self, read: impl FnOnce() -> T) -> T {
        thread::sleep(Duration::from_nanos(self.owed.swap(0, Relaxed)));
        let head = || self.slot.get().map_or(0, |engine| engine.head().get());
        let before = head();
        let read = read();
        let rest = self.rest_after(head() - before);
        self.owed.store(rest.as_nanos() as u64, Relaxed);
        read
    }

    /// How long to rest after a turn beside so many appends. Many turns see none, and the next one a
    /// whole group, so that it is right in the mean.
    fn rest_after(&self, appended: u64) -> Duration {
        Duration::from_secs_f64(self.rest * appended as f64 / BUSY).min(REST_MAX)
    }
}

impl Readers {
    /// Readers beside the engine that will be there.
    pub(crate) fn new(slot: EngineSlot) -> Readers {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = Builder::new_current_thread()
            .thread_name("annal-reader")
            .max_blocking_threads(READERS_MAX)
            .on_thread_start(|| {
                if let Err(error) = stand_back(Rank::Last) {
                    tracing::warn!(%error, "reading runs at the priority of everything else");
                }
            })
            .build()
            .expect("a runtime without drivers asks nothing of the system");
        let turns = Arc::new(Semaphore::new(READERS_MAX));
        Readers { turns, threads: Some(threads), pace: Arc::new(Pace::new(slot, processors)) }
    }

    /// Reads when it is this reader's turn. Memory for reading is taken by those who have a turn, not
    /// by all who wait; who goes away while waiting is not read for.
    pub(crate) fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> impl Future<Output = Result<T, BodyError>> + Send + 'static {
        let (turns, pace) = (Arc::clone(&self.turns), Arc::clone(&self.pace));
        let threads = self.threads.as_ref().map(|threads| threads.handle().clone());
        async move {
            let threads = threads.ok_or("the server has ended")?;
            let turn = turns.acquire_owned().await?;
            let read = threads.spawn_blocking(move || {
                let _turn = turn;
                pace.keep(read)
            });
            Ok(read.await??)
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // This may be a task, which must not wait.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("free", &self.turns.available_permits()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_rest_less_where_there_are_more_processors() {
        let rest = |processors| Pace::new(EngineSlot::new(), processors).rest;
        assert_eq!([rest(1), rest(2), rest(4), rest(40), rest(64)], [39.0, 19.0, 9.0, 0.0, 0.0]);
        let two = Pace::new(EngineSlot::new(), 2);
        let rest = |appended| two.rest_after(appended).as_micros();
        assert_eq!([rest(0), rest(1), rest(5), rest(1_000)], [0, 380, 1_900, 20_000]);
    }
}
