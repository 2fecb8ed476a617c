//! Reading for those who are far behind, on threads that stand back: catching up takes what writers
//! and those who keep up leave. What is sent follows what is read, so that it stands back as well.
//!
//! Sending has no rank of its own, so while events are appended the readers also rest: with what is
//! sent, they take about a twentieth of the processors then.

use std::{
    fmt,
    future::Future,
    num::NonZero,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use annal_engine::{Rank, ReadError, stand_back, thread_time};
use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Runtime},
    sync::{Semaphore, oneshot},
};

use crate::{reply::BodyError, shared::EngineSlot};

/// Readers that may be at the disk at a time: they share it with the writer.
const READERS_MAX: usize = 2;

/// Of the time of all processors, reading takes one part in so many while events are appended. To send
/// what was read takes as long again.
const SHARE: f64 = 40.0;

/// So many events a second leave the processors no time; of fewer, readers rest in proportion.
const BUSY: f64 = 50_000.0;

/// The longest rest at a time.
const REST_MAX: Duration = Duration::from_millis(200);

/// Events come in groups: how many come in a second is measured over no less than this.
const WINDOW: Duration = Duration::from_millis(20);

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
    /// For each second of reading, where no processor has time.
    rest: f64,
    growth: Mutex<Growth>,
}

/// How fast the log grows.
#[derive(Default)]
struct Growth {
    /// When it was looked at, and where it ended.
    last: Option<(Instant, u64)>,
    per_second: f64,
}

impl Growth {
    fn measure(&mut self, head: u64, now: Instant) -> f64 {
        let (since, before) = *self.last.get_or_insert((now, head));
        let passed = now.saturating_duration_since(since);
        if passed >= WINDOW {
            self.per_second = head.saturating_sub(before) as f64 / passed.as_secs_f64();
            self.last = Some((now, head));
        }
        self.per_second
    }
}

impl Pace {
    fn new(slot: EngineSlot, processors: usize) -> Pace {
        let rest = (SHARE * READERS_MAX as f64 / processors as f64 - 1.0).max(0.0);
        Pace { slot, rest, growth: Mutex::default() }
    }

    /// Rests for what a turn took of a processor.
    fn rest(&self, took: Duration) {
        let Some(engine) = self.slot.get() else { return };
        let per_second = self.growth.lock().measure(engine.head().get(), Instant::now());
        thread::sleep(self.rest_after(took, per_second));
    }

    fn rest_after(&self, took: Duration, per_second: f64) -> Duration {
        took.mul_f64(self.rest * (per_second / BUSY).min(1.0)).min(REST_MAX)
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
            let (done, read_by_then) = oneshot::channel();
            threads.spawn_blocking(move || {
                let before = thread_time();
                // Whoever has gone away needs nothing.
                let _ = done.send(read());
                pace.rest(thread_time() - before);
                drop(turn);
            });
            Ok(read_by_then.await??)
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
        assert_eq!([rest(1), rest(2), rest(4), rest(80), rest(99)], [79.0, 39.0, 19.0, 0.0, 0.0]);
    }

    #[test]
    fn readers_rest_in_proportion_to_what_is_appended() {
        let two = Pace::new(EngineSlot::new(), 2);
        let rest = |micros, per_second| {
            two.rest_after(Duration::from_micros(micros), per_second).as_micros()
        };
        assert_eq!([rest(100, 0.0), rest(100, BUSY / 39.0), rest(100, BUSY)], [0, 100, 3_900]);
        assert_eq!(rest(100, 3.0 * BUSY), 3_900, "no time is no time");
        assert_eq!(rest(10_000, BUSY), REST_MAX.as_micros());
    }

    #[test]
    fn growth_is_measured_over_many_groups() {
        let now = Instant::now();
        let mut growth = Growth::default();
        assert_eq!(growth.measure(1_000, now), 0.0);
        assert_eq!(growth.measure(1_064, now + WINDOW / 4), 0.0, "one group says nothing");
        let per_second = growth.measure(3_000, now + WINDOW);
        assert_eq!(per_second, 2_000.0 / WINDOW.as_secs_f64());
        assert_eq!(growth.measure(9_000, now + WINDOW), per_second);
        assert_eq!(growth.measure(3_000, now + 2 * WINDOW), 0.0);
    }
}
