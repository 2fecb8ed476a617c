//! What all connections share.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use annal_engine::{Engine, EventSource};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::Instant,
};

use crate::{
    ServerOptions,
    eventsdb::Clients,
    metrics::Metrics,
    problem::{Code, Problem},
    readers::Readers,
    realtime::{presence::Presence, recent::Recent},
    stream::audience::Audiences,
    webhook::{Webhooks, net::NetSender},
};

/// How long a batch waits for its turn.
const TURN_WAIT_MAX: Duration = Duration::from_secs(10);

/// Bytes of batches held in memory while they come in: of one request, and of all together. What is
/// more goes to files.
const HELD_BYTES_MAX: usize = 1024 * 1024;
const HELD_BYTES_MAX_OF_ALL: usize = 32 * 1024 * 1024;

/// Batches read back from files at a time, until they are committed: each may be in memory whole.
const SPOOLED_MAX: usize = 2;

/// Large messages of gRPC, which are in memory whole until they are read: what all of them take, in
/// shares, and how long one waits for room.
const LARGE_SHARES: usize = 2_048;
const LARGE_SHARE_BYTES: usize = 64 * 1024;
const LARGE_WAIT_MAX: Duration = Duration::from_secs(2);

/// At shutdown streams end one after the other, on average so far apart.
const DRAIN_PER_STREAM: Duration = Duration::from_micros(200);

/// Where the engine will be, once its data directory is open. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct EngineSlot {
    engine: Arc<OnceLock<Engine>>,
}

impl EngineSlot {
    /// A slot that nothing is in yet.
    pub fn new() -> EngineSlot {
        EngineSlot::default()
    }

    /// Puts the engine in; from now on requests are served. A second one is dropped.
    pub fn fill(&self, engine: Engine) {
        if self.engine.set(engine).is_err() {
            tracing::error!("a second engine was offered and dropped");
        }
    }

    /// The engine, once it is there.
    pub fn get(&self) -> Option<&Engine> {
        self.engine.get()
    }
}

/// Queries answered at a time: each takes a processor to itself.
const SEARCHES_MAX: usize = 4;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: ServerOptions,
    pub(crate) slot: EngineSlot,
    pub(crate) metrics: Metrics,
    pub(crate) audiences: Audiences,
    pub(crate) webhooks: Webhooks,
    /// Who reads for those far behind.
    pub(crate) readers: Arc<Readers>,
    /// Those who follow as clients of Events-DB.
    pub(crate) clients: Clients,
    /// Told when the server stops.
    pub(crate) stopped: Arc<Notify>,
    bulk: Semaphore,
    spooled: Semaphore,
    large: Arc<Semaphore>,
    searches: Arc<Semaphore>,
    held_bytes: AtomicUsize,
    streams: AtomicUsize,
    /// Realtime clients that are connected, and what they were told last.
    pub(crate) presence: Arc<Presence>,
    pub(crate) recent: Recent,
    drain: OnceLock<Drain>,
}

/// When live streams end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drain {
    pub(crate) begun: Instant,
    /// They end within this time, each when it likes.
    pub(crate) window: Duration,
}

impl Shared {
    pub(crate) fn new(options: ServerOptions, slot: EngineSlot) -> Shared {
        let resolver = Arc::clone(&options.resolver);
        let authorities = options.callback_authorities.clone();
        let sender = NetSender::new(options.callbacks.clone(), resolver, authorities);
        Shared {
            webhooks: Webhooks::new(Arc::new(sender)),
            bulk: Semaphore::new(options.bulk_requests_max),
            spooled: Semaphore::new(SPOOLED_MAX),
            large: Arc::new(Semaphore::new(LARGE_SHARES)),
            searches: Arc::new(Semaphore::new(SEARCHES_MAX)),
            held_bytes: AtomicUsize::new(0),
            readers: Arc::new(Readers::new(slot.clone())),
            clients: Clients::default(),
            stopped: Arc::default(),
            streams: AtomicUsize::new(0),
            presence: Arc::default(),
            recent: Recent::default(),
            drain: OnceLock::new(),
            metrics: Metrics::default(),
            audiences: Audiences::default(),
            options,
            slot,
        }
    }

    /// Leave to take a batch in, of which only so many are held at a time.
    pub(crate) async fn bulk_turn(&self) -> Result<SemaphorePermit<'_>, Problem> {
        match tokio::time::timeout(TURN_WAIT_MAX, self.bulk.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                let detail = "too many batches are coming in; send this one again";
                Err(Problem::new(Code::Busy, detail).retry_after(1))
            }
        }
    }

    /// Leave to read a batch back from its file. Waits as long as a body may pause.
    pub(crate) async fn spooled_turn(&self) -> Result<SemaphorePermit<'_>, Problem> {
        let patience = self.options.body_idle_timeout;
        match tokio::time::timeout(patience, self.spooled.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                let detail = "too many large batches are being stored; send this one again";
                Err(Problem::new(Code::Busy, detail).retry_after(1))
            }
        }
    }

    /// Leave to answer a query.
    pub(crate) async fn search_turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = Arc::clone(&self.searches).acquire_owned();
        match tokio::time::timeout(self.options.search_wait_max, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                let detail = "too many queries are being answered; ask again";
                Err(Problem::new(Code::Busy, detail).retry_after(1))
            }
        }
    }

    /// Leave to take in a message that is in memory whole until it is read, of so many bytes. Waits
    /// only a moment: who waits holds up others on the same connection.
    pub(crate) async fn large_turn(
        self: Arc<Self>,
        bytes: usize,
    ) -> Result<OwnedSemaphorePermit, Problem> {
        let share = bytes.div_ceil(LARGE_SHARE_BYTES).min(LARGE_SHARES);
        let turn = Arc::clone(&self.large).acquire_many_owned(share as u32);
        match tokio::time::timeout(LARGE_WAIT_MAX, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                let detail = "too many large messages are coming in; send this one again";
                Err(Problem::new(Code::Busy, detail).retry_after(1))
            }
        }
    }

    /// Whether a message of so many bytes is small enough to be held without a
    /// [turn](Shared::large_turn), if there is room.
    pub(crate) fn is_small(bytes: usize) -> bool {
        bytes <= HELD_BYTES_MAX
    }

    /// Counts bytes of a message that is coming in. `false`: there is no room for them.
    pub(crate) fn hold(&self, bytes: usize) -> bool {
        let before = self.held_bytes.fetch_add(bytes, Relaxed);
        before + bytes <= HELD_BYTES_MAX_OF_ALL
    }

    /// Bytes that [`Shared::hold`] has counted are gone.
    pub(crate) fn release(&self, bytes: usize) {
        self.held_bytes.fetch_sub(bytes, Relaxed);
    }

    /// A share, of nothing yet, in what batches may hold in memory while they come in.
    pub(crate) fn held(&self) -> Held<'_> {
        Held { shared: self, bytes: 0 }
    }

    /// Live streams open now.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Relaxed)
    }

    /// A place among the live streams, if there is one.
    pub(crate) fn stream_place(self: &Arc<Self>) -> Option<StreamPlace> {
        let taken = self.streams.fetch_add(1, Relaxed);
        let place = StreamPlace { shared: Arc::clone(self) };
        (taken < self.options.streams_max).then_some(place)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.drain.get().is_some()
    }

    /// When live streams end, once the server stops.
    pub(crate) fn drain(&self) -> Option<&Drain> {
        self.drain.get()
    }

    /// Tells live streams to end.
    pub(crate) fn stop(&self) {
        let streams = u32::try_from(self.streams()).unwrap_or(u32::MAX);
        let window = DRAIN_PER_STREAM.saturating_mul(streams.saturating_sub(1));
        let window = window.min(self.options.grace / 2);
        let _ = self.drain.set(Drain { begun: Instant::now(), window });
        self.stopped.notify_waiters();
        if let Some(engine) = self.slot.get() {
            engine.view().bell().ring_all();
        }
    }
}

/// What a request holds in memory of a body that is coming in.
#[derive(Debug)]
pub(crate) struct Held<'s> {
    shared: &'s Shared,
    bytes: usize,
}

impl Held<'_> {
    /// Adds bytes if they may be held; else they are to go to a file.
    pub(crate) fn add(&mut self, bytes: usize) -> bool {
        if self.bytes + bytes > HELD_BYTES_MAX {
            return false;
        }
        let before = self.shared.held_bytes.fetch_add(bytes, Relaxed);
        let fits = before + bytes <= HELD_BYTES_MAX_OF_ALL;
        if fits {
            self.bytes += bytes;
        } else {
            self.shared.held_bytes.fetch_sub(bytes, Relaxed);
        }
        fits
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.shared.held_bytes.fetch_sub(self.bytes, Relaxed);
    }
}

/// Counts a live stream for as long as it is there.
#[derive(Debug)]
pub(crate) struct StreamPlace {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.shared.streams.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_for_one_and_for_all() {
        let shared = Shared::new(ServerOptions::default(), EngineSlot::new());
        let mut one = shared.held();
        assert!(one.add(HELD_BYTES_MAX) && !one.add(1));
        let mut others: Vec<_> = (0..40).map(|_| shared.held()).collect();
        let fitting = others.iter_mut().filter_map(|held| held.add(HELD_BYTES_MAX).then_some(()));
        assert_eq!(fitting.count(), HELD_BYTES_MAX_OF_ALL / HELD_BYTES_MAX - 1);
        drop(one);
        assert!(shared.held().add(1), "what was held is free again");
        drop(others);
        assert_eq!(shared.held_bytes.load(Relaxed), 0);
    }
}
