//! The follower: reads the log behind the head, applies it to the index, commits when somebody waits
//! or when it has been long enough.

use std::{
    fs, io,
    sync::{Arc, atomic::Ordering},
    task::Waker,
    thread,
    time::{Duration, Instant},
};

use annal_delivery::EventSource;
use annal_event::Position;
use annal_projection::search::{Search, SearchError};

use super::{
    BEHIND, Desk, SearchState, Unpark,
    gather::{self, StepError},
};
use crate::{engine::Core, writer::Progress};

/// What nobody waits for is committed this long after the last commit.
const COMMIT_EVERY: Duration = Duration::from_secs(2);

/// While much is to be caught up with, commits are rarer: each is a segment to merge.
const COMMIT_EVERY_BEHIND: Duration = Duration::from_secs(10);

/// After a bell nobody waits for, more is let come in: one waking for many appends.
const LINGER: Duration = Duration::from_millis(25);

/// While events are appended and nobody waits, it leaves the processor to appends: so many times as long
/// as a step took, at most. The threads that index take about three times as long as the step that feeds
/// them, so that all of them together take a twentieth of a core.
const REST_FACTOR: u32 = 79;
const REST_MAX: Duration = Duration::from_secs(1);

/// It does so while it is no further behind than this, about two seconds' work for whoever asks then; and
/// when the log grows faster than it can be followed, since nothing it does keeps search fresh then.
const EASY: u64 = 200_000;

/// How long it sleeps without a bell, at most.
const PATIENCE: Duration = Duration::from_millis(500);

/// After a failure, before it tries again.
const RETRY: Duration = Duration::from_secs(1);

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Follows the log.
pub(super) struct Follower {
    core: Arc<Core>,
    desk: Arc<Desk>,
    /// Everything up to here was applied, committed or not.
    applied: Position,
    /// Something applied can only be found after a commit.
    dirty: bool,
    /// The position of the last commit.
    committed: Position,
    committed_at: Instant,
    told: Instant,
    /// Where the log ended when a rebuild began.
    rebuild_upto: Position,
    /// Larger indexes are not compared with their checksums when they are opened.
    to_verify: bool,
}

impl Follower {
    pub(super) fn new(core: Arc<Core>, desk: Arc<Desk>) -> Follower {
        let now = Instant::now();
        let (folded, head) = (desk.folded(), core.view().head());
        let rebuilding = *desk.state.lock() == SearchState::Rebuilding;
        let bytes = desk.index().map_or(0, |index| index.stats().bytes);
        Follower {
            applied: folded,
            dirty: false,
            committed: folded,
            committed_at: now,
            told: now,
            rebuild_upto: if rebuilding { head } else { Position::ZERO },
            to_verify: bytes > desk.options.verify_bytes,
            core,
            desk,
        }
    }

    /// One small piece of work.
    pub(super) fn step(&mut self) -> Result<Progress, StepError> {
        if self.desk.suspect.swap(false, Ordering::AcqRel) {
            self.check()?;
        }
        let Some(search) = self.desk.index() else {
            self.begin_anew("it was being replaced")?;
            return Ok(Progress::Worked);
        };
        let head = self.core.view().head();
        let mut progress = Progress::Idle;
        if self.applied < head {
            let events = self.desk.options.events;
            let (wanted, begun) = (self.desk.is_wanted(head), Instant::now());
            let stretch = gather::apply_next(self.core.view(), &search, events, self.applied)?;
            // A stretch that ends before the head is a whole one.
            if wanted && self.applied < stretch.upto && stretch.upto < head {
                let (positions, now) = (stretch.upto.get() - self.applied.get(), Instant::now());
                self.desk.pace.lock().worked(positions, now - begun, now);
            }
            if stretch.upto > self.applied {
                self.applied = stretch.upto;
                self.dirty |= stretch.changed;
                progress = Progress::Worked;
            }
        }
        self.desk.applied.store(self.applied.get(), Ordering::Release);
        self.settle(&search, head)?;
        self.tell(head);
        if progress == Progress::Idle && std::mem::take(&mut self.to_verify) {
            self.check()?;
        }
        Ok(progress)
    }

    /// Makes findable what was applied, if it is time.
    fn settle(&mut self, search: &Search, head: Position) -> Result<(), StepError> {
        if !self.dirty {
            self.desk.set_folded(self.applied);
        }
        let now = self.desk.is_wanted(self.applied);
        let behind = head.get().saturating_sub(self.applied.get()) > BEHIND;
        let every = if behind { COMMIT_EVERY_BEHIND } else { COMMIT_EVERY };
        let old = self.committed < self.applied && self.committed_at.elapsed() >= every;
        let rebuilt = self.is_rebuilding() && self.applied >= self.rebuild_upto;
        if now || old || rebuilt {
            self.commit(search)?;
        }
        if rebuilt {
            self.finish_rebuild();
        }
        Ok(())
    }

    fn is_rebuilding(&self) -> bool {
        *self.desk.state.lock() == SearchState::Rebuilding
    }

    fn finish_rebuild(&self) {
        tracing::info!(folded = self.applied.get(), "the search index is complete");
        self.desk.set_state(SearchState::Following);
    }

    /// Commits everything that was applied. INV-4: only once the log has it for good.
    fn commit(&mut self, search: &Search) -> Result<(), StepError> {
        if self.core.view().log().durable() < self.applied
            && let Err(error) = self.core.log.lock().sync()
        {
            self.core.fail(&error.to_string());
            let error = io::Error::other("the log cannot be synced");
            let dir = self.desk.dir.clone();
            return Err(SearchError::Directory { dir, source: error }.into());
        }
        let begun = Instant::now();
        let committed = search.commit()?;
        self.desk.pace.lock().committed(begun.elapsed());
        self.committed = committed;
        self.committed_at = Instant::now();
        self.dirty = false;
        self.desk.set_folded(committed);
        Ok(())
    }

    /// Goes on after an error: from what the index says it has.
    fn recover(&mut self, error: &StepError) {
        tracing::error!(%error, "search is behind; it is tried again");
        match error {
            StepError::Search(SearchError::Stopped) => self.reopen(),
            StepError::Search(SearchError::Damaged { .. } | SearchError::Read { .. }) => {
                self.desk.suspect.store(true, Ordering::Release);
                self.rewind();
            }
            StepError::Search(_) | StepError::Read(_) => self.rewind(),
        }
    }

    /// What the index has not applied is applied again.
    fn rewind(&mut self) {
        let Some(search) = self.desk.index() else { return };
        self.applied = search.applied();
        self.committed = search.folded();
        // What is applied and not committed may or may not be findable.
        self.dirty = self.applied > self.committed;
    }

    /// Compares the index with its checksums; one that is not what was written is built anew.
    fn check(&mut self) -> Result<(), SearchError> {
        let Some(search) = self.desk.index() else { return Ok(()) };
        match search.verify() {
            Ok(()) => Ok(()),
            Err(SearchError::Damaged { file }) => {
                drop(search);
                self.begin_anew(&format!("{file} is damaged"))
            }
            Err(SearchError::Read { source }) => {
                drop(search);
                self.begin_anew(&source.to_string())
            }
            Err(error) => Err(error),
        }
    }

    /// Throws the index away.
    fn begin_anew(&mut self, reason: &str) -> Result<(), SearchError> {
        tracing::warn!(reason, "the search index is built anew");
        self.desk.set_state(SearchState::Rebuilding);
        self.desk.set_folded(Position::ZERO);
        self.desk.release();
        let failed = |source| SearchError::Directory { dir: self.desk.dir.clone(), source };
        match fs::remove_dir_all(&self.desk.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        self.open()?;
        self.rebuild_upto = self.core.view().head();
        Ok(())
    }

    /// Opens the index again after a failure that could not be undone.
    fn reopen(&mut self) {
        self.desk.release();
        if let Err(error) = self.open() {
            tracing::error!(%error, "the search index cannot be opened");
            return;
        }
        if self.applied < self.desk.folded() {
            self.desk.set_folded(self.applied);
        }
    }

    fn open(&mut self) -> Result<(), SearchError> {
        let search = Search::open(&self.desk.dir, self.desk.options)?;
        self.applied = search.folded();
        self.committed = self.applied;
        self.dirty = false;
        *self.desk.index.write() = Some(Arc::new(search));
        Ok(())
    }

    fn tell(&mut self, head: Position) {
        let behind = head.get().saturating_sub(self.applied.get()) > BEHIND;
        if (behind || self.is_rebuilding()) && self.told.elapsed() > TELL_EVERY {
            self.told = Instant::now();
            tracing::info!(folded = self.applied.get(), head = head.get(), "search catching up");
        }
    }

    /// Commits what is left, so that the next start need not apply it again.
    fn finish(&mut self) {
        if self.committed == self.applied {
            return;
        }
        if let Some(search) = self.desk.index()
            && let Err(error) = self.commit(&search)
        {
            tracing::warn!(%error, "search was not committed; the next start applies it again");
        }
    }
}

/// Steps until it is told to stop.
pub(super) fn run(mut follower: Follower) {
    let (core, desk) = (Arc::clone(&follower.core), Arc::clone(&follower.desk));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let bell = core.view().bell();
    let seat = bell.sit(None);
    while !desk.is_stopping() {
        let (head, applied, begun) = (core.view().head(), follower.applied, Instant::now());
        match follower.step() {
            Ok(Progress::Worked | Progress::Finished) => {
                let now = core.view().head();
                let grown = now.get() - head.get();
                let easy = grown > 0 && now.get().saturating_sub(follower.applied.get()) < EASY;
                if easy || grown > follower.applied.get().saturating_sub(applied.get()) {
                    rest(&core, &desk, (begun.elapsed() * REST_FACTOR).min(REST_MAX));
                }
                continue;
            }
            Ok(Progress::Idle) => {}
            Err(error) => {
                follower.recover(&error);
                pause(&desk, RETRY);
                continue;
            }
        }
        bell.wait(&seat, &waker);
        if core.view().head() == follower.applied && !desk.is_stopping() {
            thread::park_timeout(PATIENCE);
        }
        rest(&core, &desk, LINGER);
    }
    bell.leave(seat);
    follower.finish();
}

/// Lets others go first, and more come in, while nobody waits.
fn rest(core: &Core, desk: &Desk, time: Duration) {
    let begun = Instant::now();
    while let Some(left) = time.checked_sub(begun.elapsed())
        && !desk.is_stopping()
        && !desk.is_wanted(core.view().head())
    {
        thread::park_timeout(left);
    }
}

/// Waits, whoever rings.
fn pause(desk: &Desk, time: Duration) {
    let begun = Instant::now();
    while let Some(left) = time.checked_sub(begun.elapsed())
        && !desk.is_stopping()
    {
        thread::park_timeout(left);
    }
}
