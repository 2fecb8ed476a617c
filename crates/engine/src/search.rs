//! Search over an open engine: who asks, who waits, and how far the index is.
//!
//! The index follows the log from behind, on a thread of its own that stands back for the others. A
//! query that must see an append waits for it ([`Searcher::wait`]); waiting is what makes the follower
//! commit at once. Everything else it does when it comes to it.
//!
//! Invariants:
//! - INV-4: only what is durable in the log is ever committed to the index.
//! - Nothing here can stop appends: an index that fails is retried, and one that is damaged is built
//!   anew, while the rest goes on.

mod follower;
mod gather;
mod pace;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use annal_event::Position;
use annal_projection::search::{
    Found, Highlighter, Opened, QueryError, Search, SearchOptions, SearchQuery, SearchStats,
};
use parking_lot::{Mutex, RwLock};

use crate::{
    engine::{Core, OpenError},
    read::View,
};
use follower::Follower;
use pace::Pace;

pub use gather::data_text;

/// Where the index is, in the data directory.
pub(crate) const SEARCH_DIR: &str = "search_index";

/// How long each step of closing may take.
const CLOSE_MAX: Duration = Duration::from_secs(4);

/// So many positions behind the head is much.
const BEHIND: u64 = 10_000;

/// What search can do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchState {
    /// It follows the log.
    Following,
    /// All documents, or very many, are being indexed; no query is answered until that has come to
    /// where the log ended when it began.
    Rebuilding,
    /// It has ended, with the engine or by a bug.
    Ended,
}

/// How far search is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchStatus {
    /// What it can do now.
    pub state: SearchState,
    /// Everything up to here is found.
    pub folded: Position,
    /// The head of the log.
    pub head: Position,
}

/// Why a query is not answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The index is being built.
    #[error("the search index is being rebuilt: {} of {} positions", .0.folded, .0.head)]
    Rebuilding(SearchStatus),
    /// Search has ended.
    #[error("search has ended; see the server's log")]
    Ended,
    /// The query cannot be answered.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// The search index of an open engine. Clones share it.
#[derive(Clone, Debug)]
pub struct Searcher {
    desk: Arc<Desk>,
}

/// What those who ask and the follower share.
struct Desk {
    dir: PathBuf,
    options: SearchOptions,
    view: Arc<View>,
    /// `None` while it is being replaced.
    index: RwLock<Option<Arc<Search>>>,
    state: Mutex<SearchState>,
    /// Everything up to here is found.
    folded: AtomicU64,
    /// Everything up to here was applied, and can be found after a commit.
    applied: AtomicU64,
    pace: Mutex<Pace>,
    waiting: Mutex<Waiting>,
    /// An answer could not be read: the index is to be compared with its checksums.
    suspect: AtomicBool,
    stopping: AtomicBool,
    follower: Thread,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    seats: BTreeMap<u64, (Position, Waker)>,
    /// What was refused for taking too long is worked on as if it were waited for, until then.
    refused: Option<(Position, Instant)>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("dir", &self.dir).field("status", &self.status()).finish()
    }
}

impl Searcher {
    /// What is refused by [`Searcher::hopeless`] is worked on no longer than this, unless somebody asks
    /// again.
    pub const REFUSED_MAX: Duration = Duration::from_secs(30);

    /// How far it is.
    pub fn status(&self) -> SearchStatus {
        self.desk.status()
    }

    /// Whether events are found too, or resources alone.
    pub fn has_events(&self) -> bool {
        self.desk.options.events
    }

    /// Ready once everything up to a position is found. Bound it: there may be much before it.
    pub fn wait(&self, upto: Position) -> SearchWait {
        SearchWait { desk: Arc::clone(&self.desk), upto, seat: None }
    }

    /// How long it would take until everything up to a position is found, if that is known.
    pub fn estimate(&self, upto: Position) -> Option<Duration> {
        let behind = upto.get().saturating_sub(self.desk.applied.load(Ordering::Acquire));
        self.desk.pace.lock().estimate(behind, Instant::now())
    }

    /// How long a wait for a position would take, if that is clearly more than what is allowed. Whoever
    /// does not wait then has asked all the same: search works on it until the time told is over.
    pub fn hopeless(&self, upto: Position, allowed: Duration) -> Option<Duration> {
        let status = self.desk.status();
        if status.state != SearchState::Following || status.folded >= upto {
            return None;
        }
        let estimate = self.estimate(upto)?;
        if !pace::is_hopeless(estimate, allowed) {
            return None;
        }
        let told = estimate.clamp(Duration::from_secs(1), Searcher::REFUSED_MAX);
        let until = Instant::now() + told;
        self.desk.waiting.lock().refused = Some((upto, until));
        self.desk.wake();
        Some(estimate)
    }

    /// Answers a query from what is found now.
    pub fn query(&self, query: &SearchQuery<'_>) -> Result<Found, AskError> {
        self.ask(|index| index.query(query))
    }

    /// What shows where the words of a query stand in documents.
    pub fn highlighter(&self, query: &SearchQuery<'_>) -> Result<Highlighter, AskError> {
        self.ask(|index| index.highlighter(query))
    }

    /// Sizes and positions; nothing while it is being replaced.
    pub fn stats(&self) -> Option<SearchStats> {
        Some(self.desk.index()?.stats())
    }

    fn ask<T>(&self, ask: impl FnOnce(&Search) -> Result<T, QueryError>) -> Result<T, AskError> {
        let Some(index) = self.desk.index() else { return Err(self.desk.refusal()) };
        ask(&index).map_err(|error| {
            if let QueryError::Read { source } = &error {
                tracing::error!(%source, "the search index cannot be read; it is being checked");
                self.desk.suspect.store(true, Ordering::Release);
                self.desk.wake();
            }
            AskError::Query(error)
        })
    }
}

impl Desk {
    fn index(&self) -> Option<Arc<Search>> {
        self.index.read().clone()
    }

    fn status(&self) -> SearchStatus {
        // In this order: what is folded never shows ahead of the head.
        let folded = self.folded();
        SearchStatus { state: *self.state.lock(), folded, head: self.view.head().max(folded) }
    }

    fn refusal(&self) -> AskError {
        let status = self.status();
        match status.state {
            SearchState::Ended => AskError::Ended,
            SearchState::Following | SearchState::Rebuilding => AskError::Rebuilding(status),
        }
    }

    fn folded(&self) -> Position {
        Position(self.folded.load(Ordering::Acquire))
    }

    /// Everything up to here is found now.
    fn set_folded(&self, folded: Position) {
        self.folded.store(folded.get(), Ordering::Release);
        let woken: Vec<Waker> = {
            let waiting = self.waiting.lock();
            let there = waiting.seats.values().filter(|(upto, _)| *upto <= folded);
            there.map(|(_, waker)| waker.clone()).collect()
        };
        woken.into_iter().for_each(Waker::wake);
    }

    fn set_state(&self, state: SearchState) {
        *self.state.lock() = state;
        if state == SearchState::Following {
            return;
        }
        // Nobody is to wait for what will not come soon.
        let waiting: Vec<Waker> =
            self.waiting.lock().seats.values().map(|(_, waker)| waker.clone()).collect();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether somebody waits for a position up to this one.
    fn is_wanted(&self, upto: Position) -> bool {
        let folded = self.folded();
        let waiting = self.waiting.lock();
        let refused = waiting.refused.filter(|(_, until)| Instant::now() < *until);
        let refused = refused.map(|(wanted, _)| wanted);
        let mut wanted = waiting.seats.values().map(|(wanted, _)| *wanted).chain(refused);
        wanted.any(|wanted| folded < wanted && wanted <= upto)
    }

    /// Closes the index, once nobody asks it any more and nothing is merged: until then its files
    /// belong to it.
    fn release(&self) {
        let Some(mut index) = self.index.write().take() else { return };
        let begun = Instant::now();
        loop {
            match Arc::try_unwrap(index) {
                Ok(index) => {
                    if let Err(error) = index.settle() {
                        tracing::warn!(%error, "the search index was not merged");
                    }
                    return;
                }
                Err(shared) => index = shared,
            }
            if begun.elapsed() > CLOSE_MAX {
                tracing::warn!("a query holds on to the search index");
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn wake(&self) {
        self.follower.unpark();
    }
}

/// Waits until everything up to a position is found.
#[derive(Debug)]
pub struct SearchWait {
    desk: Arc<Desk>,
    upto: Position,
    seat: Option<u64>,
}

impl SearchWait {
    fn look(&self) -> Poll<Result<(), AskError>> {
        let state = *self.desk.state.lock();
        match state {
            SearchState::Following if self.desk.folded() >= self.upto => Poll::Ready(Ok(())),
            SearchState::Following => Poll::Pending,
            SearchState::Rebuilding | SearchState::Ended => Poll::Ready(Err(self.desk.refusal())),
        }
    }
}

impl Future for SearchWait {
    type Output = Result<(), AskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(answer) = self.look() {
            return Poll::Ready(answer);
        }
        let seat = {
            let mut waiting = self.desk.waiting.lock();
            let seat = self.seat.unwrap_or_else(|| {
                waiting.next += 1;
                waiting.next
            });
            waiting.seats.insert(seat, (self.upto, context.waker().clone()));
            seat
        };
        if self.seat.replace(seat).is_none() {
            self.desk.wake();
        }
        // What came before the seat was taken has not woken it.
        self.look()
    }
}

impl Drop for SearchWait {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            self.desk.waiting.lock().seats.remove(&seat);
        }
    }
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Search with its thread.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) searcher: Searcher,
    thread: JoinHandle<()>,
}

impl Running {
    /// Opens the index of a data directory and starts to follow the log.
    pub(crate) fn start(
        root: &Path,
        core: &Arc<Core>,
        options: SearchOptions,
    ) -> Result<Running, OpenError> {
        let (core, dir) = (Arc::clone(core), root.join(SEARCH_DIR));
        let (opened, told) = mpsc::sync_channel(1);
        // The threads of the index inherit the priority of the one that opens it.
        let thread = thread::Builder::new().name("annal-search".to_owned()).spawn(move || {
            if let Err(error) = annal_storage::stand_back(annal_storage::Rank::Behind) {
                tracing::warn!(%error, "search runs at the priority of everything else");
            }
            match open(&core, dir, options) {
                Ok(desk) => {
                    let guard = EndAtPanic(Arc::clone(&desk));
                    let _ = opened.send(Ok(Searcher { desk: Arc::clone(&desk) }));
                    follower::run(Follower::new(core, desk));
                    drop(guard);
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        })?;
        let lost = |_| Err(OpenError::Io(std::io::Error::other("search ended by a bug")));
        match told.recv().unwrap_or_else(lost) {
            Ok(searcher) => Ok(Running { searcher, thread }),
            Err(error) => {
                // It holds on to the log and the rows, which the next who opens them must not meet.
                drop(thread.join());
                Err(error)
            }
        }
    }

    /// Tells the thread to end.
    pub(crate) fn stop(&self) {
        let desk = &self.searcher.desk;
        desk.stopping.store(true, Ordering::Release);
        desk.wake();
    }

    /// Waits until nothing more is applied, and no query answered.
    pub(crate) fn wait_until_ended(&self) {
        let ended = || *self.searcher.desk.state.lock() == SearchState::Ended;
        wait_until(ended, "search has not ended");
    }

    /// Waits until segments that are being merged are merged, which may be given up.
    pub(crate) fn wait_until_closed(&self) {
        wait_until(
            || self.thread.is_finished(),
            "the search index is still being merged; that is done again",
        );
    }
}

fn wait_until(holds: impl Fn() -> bool, else_say: &str) {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > CLOSE_MAX {
            tracing::warn!("{else_say}");
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn open(core: &Core, dir: PathBuf, options: SearchOptions) -> Result<Arc<Desk>, OpenError> {
    let view = Arc::clone(core.view());
    let search = Search::open(&dir, options)?;
    let head = view.head();
    let folded = search.folded();
    let highest = search.highest()?.max(folded);
    if highest > head {
        return Err(OpenError::LogIsShort { head, folded: highest });
    }
    let state = match search.opened() {
        Opened::Empty { reason } if head > Position::ZERO => {
            tracing::info!(reason, "the search index is built anew");
            SearchState::Rebuilding
        }
        Opened::Empty { .. } | Opened::Ready if head.get() - folded.get() > BEHIND => {
            let behind = head.get() - folded.get();
            tracing::info!(behind, "the search index is far behind the log");
            SearchState::Rebuilding
        }
        Opened::Empty { .. } | Opened::Ready => SearchState::Following,
    };
    Ok(Arc::new(Desk {
        dir,
        options,
        view,
        index: RwLock::new(Some(Arc::new(search))),
        state: Mutex::new(state),
        folded: AtomicU64::new(folded.get()),
        applied: AtomicU64::new(folded.get()),
        pace: Mutex::default(),
        waiting: Mutex::default(),
        suspect: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
        follower: thread::current(),
    }))
}

/// A thread that ends, well or by a bug, leaves nobody waiting for it.
struct EndAtPanic(Arc<Desk>);

impl Drop for EndAtPanic {
    fn drop(&mut self) {
        self.0.set_state(SearchState::Ended);
        self.0.release();
        if !thread::panicking() {
            return;
        }
        tracing::error!("search has ended by a bug; a restart builds its index anew");
        // Whatever it stumbled over may be in the index, and must not be met again.
        if let Err(error) = std::fs::remove_dir_all(&self.0.dir) {
            tracing::error!(%error, "remove {} by hand", self.0.dir.display());
        }
    }
}
