//! Assembly: opens a data directory, joins the state machines, runs them on threads.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use annal_authority::{CommitAuthority, Local, SyncWhen};
use annal_event::{EventError, Interest, Limits, Position, Timestamp};
use annal_log::LogWriter;
use annal_projection::{
    consumers,
    index::{Index, IndexError},
    resources::{self, Rules},
    search::SearchError,
    store::{Store, StoreError},
    topics,
};
use annal_storage::{DirLock, FileStorage, LockError, Storage};
use parking_lot::Mutex;

use crate::{
    Append, AppendError, Busy, Clock, Durability, EngineOptions, Random, ReadError, Stats,
    StatsSnapshot, Subscription, SystemClock, SystemRandom, Ticket, View, catch_up,
    committer::Committer,
    queue::{Queue, Request},
    registers::Registers,
    search::{Running, Searcher},
    stage::Stage,
    upkeep::Upkeep,
    writer::{Progress, Writer},
};

/// How long a thread waits before it looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// Registers are synced so often: what is lost with the power is what a consumer gets again.
const REGISTERS_SYNC_EVERY: Duration = Duration::from_millis(200);

/// How long upkeep rests when there was nothing to do.
const REST: Duration = Duration::from_millis(20);

/// Where the rows of projections are kept.
pub(crate) const STORE_PATH: &str = "data.redb";

/// The directory of the index.
pub(crate) const INDEX_DIR: &str = "index";

/// The versions of everything that keeps rows: another makes the store begin anew.
fn store_format() -> Vec<u8> {
    let (resources, topics) = (resources::FORMAT, topics::FORMAT);
    let consumers = consumers::FORMAT;
    format!("resources {resources}, topics {topics}, consumers {consumers}").into_bytes()
}

/// What the state machines share.
#[derive(Debug)]
pub struct Core {
    pub(crate) options: EngineOptions,
    pub(crate) view: Arc<View>,
    pub(crate) log: Arc<Mutex<LogWriter>>,
    pub(crate) queue: Queue,
    pub(crate) stage: Stage,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) stats: Stats,
    pub(crate) registers: Registers,
    /// Why nothing can be appended any more.
    failure: Mutex<Option<String>>,
    failed: AtomicBool,
}

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds it, or the lock could not be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The log is damaged or could not be read.
    #[error(transparent)]
    Log(#[from] annal_log::OpenError),
    /// The log opened but could not be read.
    #[error(transparent)]
    Read(#[from] annal_log::ReadError),
    /// The index could not be written.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The rows of resources could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log ends before what a projection has folded, and only durable events are ever folded.
    #[error(
        "the log ends at position {head}, but position {folded} was durable: part of `log/` is \
         missing. Bring it back; or, if an older log was put there on purpose, remove `index/`, \
         `data.redb` and `search_index/`"
    )]
    LogIsShort {
        /// Where the log ends.
        head: Position,
        /// What the projection has on disk.
        folded: Position,
    },
    /// The search index could not be written, or another process has it.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The events of a resource could not be read.
    #[error(transparent)]
    Rows(ReadError),
    /// A stored record is not an event.
    #[error("the record at position {position} is damaged: {source}; run `annal verify`")]
    Record {
        /// Where it stands.
        position: Position,
        /// What is wrong with it.
        source: EventError,
    },
    /// The directory could not be used.
    #[error("cannot use the data directory: {0}")]
    Io(#[from] io::Error),
}

impl Core {
    /// Opens log and index and brings the index up to the head. The state machines come back
    /// without threads, for whoever wants to step them.
    pub fn open(
        storage: Arc<dyn Storage>,
        options: EngineOptions,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<(Arc<Core>, Writer, Committer, Upkeep), OpenError> {
        let salts = Arc::clone(&random);
        let (writer, reader) = annal_log::open(
            Arc::clone(&storage),
            "log",
            options.log.clone(),
            Box::new(move || salts.next()),
        )?;
        let index = Arc::new(Index::open(Arc::clone(&storage), INDEX_DIR, options.index)?);
        let registers = Registers::open(Arc::clone(&storage))?;
        let store = Store::open(storage, STORE_PATH, &store_format(), options.store)?;
        let store = Arc::new(store);
        let rules = Rules {
            require_schemas: options.require_schemas,
            document_bytes_max: options.limits.event_bytes_max,
        };
        let (resources, topics) = catch_up::open_rows(&store, rules)?;
        let log = Arc::new(Mutex::new(writer));
        let when = match options.durability {
            Durability::Always => SyncWhen::Append,
            Durability::Interval { .. } | Durability::Never => SyncWhen::Asked,
        };
        let authority: Box<dyn CommitAuthority> =
            Box::new(Local::new(Arc::clone(&log), reader.clone(), when));
        let core = Arc::new(Core {
            queue: Queue::new(options.queue_bytes_max),
            stage: Stage::new(options.group_bytes_max),
            view: Arc::new(View::new(reader, index, store, resources, topics)),
            log,
            clock,
            random,
            stats: Stats::default(),
            registers,
            failure: Mutex::default(),
            failed: AtomicBool::new(false),
            options,
        });
        catch_up::all(&core.view, &core.registers)?;
        let last_time = core.last_time()?;
        let writer = Writer::new(Arc::clone(&core), last_time);
        let committer = Committer::new(Arc::clone(&core), authority);
        let upkeep = Upkeep::new(Arc::clone(&core));
        Ok((core, writer, committer, upkeep))
    }

    fn last_time(&self) -> Result<Timestamp, OpenError> {
        let last = self.view.log().get(self.view.head())?;
        Ok(last.map_or(Timestamp::default(), |stored| stored.recorded()))
    }

    /// Puts an append in line.
    pub fn append(&self, append: Append) -> Result<Ticket, Busy> {
        let (reply, ticket) = Ticket::new();
        self.queue.push(Request { append, reply }).inspect_err(|_| self.stats.busy())?;
        Ok(ticket)
    }

    /// What readers see.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Takes no more appends; those in line are still answered.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Closes what is open in the directory, after the machines have finished: another process may
    /// take it over. Rows that wait are written, so that the next start need not fold them again.
    pub fn close_files(&self) {
        let store = self.view.store();
        let durable = self.view.log().durable().min(self.view.head());
        if let Err(error) = store.flush(durable) {
            tracing::warn!(%error, "rows were not written; they are folded again at the next start");
        }
        store.close();
        if let Err(error) = self.log.lock().close() {
            tracing::error!(%error, "the log was not closed; it is recovered at the next start");
        }
        if let Err(error) = self.registers.close() {
            tracing::error!(%error, "registers were not synced; consumers may get events again");
        }
    }

    /// Makes registers durable, never ahead of the log that they speak of.
    fn sync_registers(&self) {
        if !self.registers.is_dirty() {
            return;
        }
        if self.options.durability != Durability::Always
            && let Err(error) = self.log.lock().sync()
        {
            return self.fail(&error.to_string());
        }
        if let Err(error) = self.registers.sync() {
            tracing::error!(%error, "registers were not synced; consumers may get events again");
        }
    }

    /// Ends appending for good. Reads go on.
    pub(crate) fn fail(&self, reason: &str) {
        let mut failure = self.failure.lock();
        if failure.is_none() {
            tracing::error!(reason, "appends have stopped; restart after mending the cause");
            *failure = Some(reason.to_owned());
            self.failed.store(true, Relaxed);
        }
    }

    pub(crate) fn failure(&self) -> Option<AppendError> {
        if !self.failed.load(Relaxed) {
            return None;
        }
        let reason = self.failure.lock().clone().unwrap_or_default();
        Some(AppendError::Unavailable { reason })
    }
}

/// An open data directory with its threads. Clones share it.
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    search: Option<Running>,
    stopping: Arc<AtomicBool>,
    lock: Mutex<Option<DirLock>>,
}

impl Engine {
    /// Opens or creates a data directory: takes its lock, recovers the log, brings the index up to
    /// the head, starts the threads. Blocks; with a missing index it may take a while.
    pub fn open(root: &Path, options: EngineOptions) -> Result<Engine, OpenError> {
        std::fs::create_dir_all(root)?;
        let lock = DirLock::acquire(root)?;
        let storage: Arc<dyn Storage> = Arc::new(FileStorage::new(root)?);
        let (core, writer, committer, upkeep) =
            Core::open(storage, options, Arc::new(SystemClock), Arc::new(SystemRandom))?;
        let search = core.options.search;
        let search = search.map(|options| Running::start(root, &core, options)).transpose()?;
        let committer = Arc::new(Mutex::new(committer));
        let stopping = Arc::new(AtomicBool::new(false));
        let threads = vec![
            spawn("annal-writer", &core, {
                let (core, committer) = (Arc::clone(&core), Arc::clone(&committer));
                move || run_writer(writer, &core, &committer)
            })?,
            spawn("annal-committer", &core, {
                let core = Arc::clone(&core);
                move || run_committer(&core, &committer)
            })?,
            spawn("annal-upkeep", &core, {
                let (core, stopping) = (Arc::clone(&core), Arc::clone(&stopping));
                let (upkeep, mut synced) = (upkeep.clone(), Instant::now());
                move || {
                    run_upkeep(&stopping, || {
                        if synced.elapsed() >= REGISTERS_SYNC_EVERY {
                            core.sync_registers();
                            synced = Instant::now();
                        }
                        upkeep.tidy()
                    })
                }
            })?,
            // One transaction may take a second, which the index cannot wait for.
            spawn("annal-rows", &core, {
                let stopping = Arc::clone(&stopping);
                move || run_upkeep(&stopping, || upkeep.write_rows())
            })?,
        ];
        let threads = Mutex::new(threads);
        let lock = Mutex::new(Some(lock));
        Ok(Engine { inner: Arc::new(Inner { core, threads, search, stopping, lock }) })
    }

    /// Puts an append in line. The ticket is answered once the outcome is durable.
    pub fn append(&self, append: Append) -> Result<Ticket, Busy> {
        self.inner.core.append(append)
    }

    /// What readers see.
    pub fn view(&self) -> &Arc<View> {
        &self.inner.core.view
    }

    /// Search, unless it is switched off.
    pub fn search(&self) -> Option<&Searcher> {
        self.inner.search.as_ref().map(|search| &search.searcher)
    }

    /// The last visible position.
    pub fn head(&self) -> Position {
        self.view().head()
    }

    /// Follows the log from right after `cursor`.
    pub fn subscribe(&self, interest: Interest, cursor: Position) -> Subscription<View> {
        Subscription::new(Arc::clone(self.view()), interest, cursor)
    }

    /// Bounds on what a producer may send.
    pub fn limits(&self) -> &Limits {
        &self.inner.core.options.limits
    }

    /// How it was set up.
    pub fn options(&self) -> &EngineOptions {
        &self.inner.core.options
    }

    /// Wall-clock time by the engine's clock.
    pub fn now(&self) -> Timestamp {
        self.inner.core.clock.now()
    }

    /// Unpredictable bits from the engine's source of them.
    pub fn random(&self) -> u64 {
        self.inner.core.random.next()
    }

    /// A fresh id for an event that came without: a UUID of version 7.
    pub fn new_id(&self) -> String {
        let micros = self.now().micros().max(0) as u64;
        let time = uuid::Timestamp::from_unix_time(
            micros / 1_000_000,
            (micros % 1_000_000 * 1_000) as u32,
            0,
            0,
        );
        uuid::Uuid::new_v7(time).to_string()
    }

    /// Counters since the start.
    pub fn stats(&self) -> StatsSnapshot {
        self.inner.core.stats.snapshot()
    }

    /// Bytes of appends that wait to be decided.
    pub fn queue_bytes(&self) -> usize {
        self.inner.core.queue.bytes()
    }

    /// `Err` with the reason once appends have stopped for good.
    pub fn health(&self) -> Result<(), String> {
        match self.inner.core.failure() {
            Some(AppendError::Unavailable { reason }) => Err(reason),
            _ => Ok(()),
        }
    }

    /// Small values beside the log.
    pub fn registers(&self) -> &Registers {
        &self.inner.core.registers
    }

    /// Leaves a note in the directory's lock file for those who find it taken.
    pub fn announce(&self, note: &str) -> io::Result<()> {
        match self.inner.lock.lock().as_mut() {
            Some(lock) => lock.announce(note),
            None => Ok(()),
        }
    }

    /// Answers what is in line, stops the threads, closes the log, frees the directory. Later calls
    /// do nothing.
    pub fn shutdown(&self) {
        self.inner.core.close();
        self.inner.stopping.store(true, Relaxed);
        if let Some(search) = &self.inner.search {
            search.stop();
        }
        for thread in std::mem::take(&mut *self.inner.threads.lock()) {
            if thread.join().is_err() {
                tracing::error!("a thread of the engine had panicked");
            }
        }
        if let Some(search) = &self.inner.search {
            search.wait_until_ended();
        }
        let Some(lock) = self.inner.lock.lock().take() else { return };
        self.inner.core.close_files();
        if let Some(search) = &self.inner.search {
            search.wait_until_closed();
        }
        drop(lock);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Threads hold the core, not this; without it nobody can append any more.
        self.core.close();
        self.stopping.store(true, Relaxed);
        if let Some(search) = &self.search {
            search.stop();
        }
    }
}

fn spawn(
    name: &'static str,
    core: &Arc<Core>,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let guard = StopOnPanic { core: Arc::clone(core), name };
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _guard = guard;
        run();
    })
}

/// A thread that dies of a bug must not leave callers waiting for it.
struct StopOnPanic {
    core: Arc<Core>,
    name: &'static str,
}

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.core.fail(&format!("{} ended by a bug; see the log", self.name));
            self.core.queue.abandon();
            self.core.stage.abandon();
        }
    }
}

/// Decides, and commits what it has decided itself where that is quicker than handing it over: one
/// wake-up less for each group, and groups that take in everybody who waited for the last.
fn run_writer(mut writer: Writer, core: &Core, committer: &Mutex<Committer>) {
    while writer.step(PATIENCE) != Progress::Finished {
        let free = if core.stage.is_small() { committer.try_lock() } else { None };
        match free {
            Some(mut committer) => drop(committer.step()),
            None => core.stage.wake_committer(),
        }
    }
}

fn run_committer(core: &Core, committer: &Mutex<Committer>) {
    let every = committer.lock().sync_every();
    let patience = every.map_or(PATIENCE, |every| every.min(PATIENCE));
    let mut synced = Instant::now();
    loop {
        core.stage.wait_until_filled(patience);
        let mut committer = committer.lock();
        let progress = committer.step();
        if every.is_some_and(|every| synced.elapsed() >= every) || progress == Progress::Finished {
            committer.sync();
            synced = Instant::now();
        }
        if progress == Progress::Finished {
            return;
        }
    }
}

fn run_upkeep(stopping: &AtomicBool, mut step: impl FnMut() -> bool) {
    while !stopping.load(Relaxed) {
        if !step() {
            thread::sleep(REST);
        }
    }
}
