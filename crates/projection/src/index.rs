//! The index: which positions carry an identity, a subject, a type, a source, a topic, a tag, or a
//! change of a resource.
//!
//! The newest events lie in a memory table; full tables are frozen into immutable *runs*, each of
//! which covers a contiguous range of positions, and runs are merged in tiers. There is no journal:
//! the log is the journal, and what was in memory is folded again after a restart.
//!
//! Invariants:
//! - Runs, then full tables, then the active table cover every position from 1 to
//!   [`Index::folded`] once and in order.
//! - Nothing past what the caller calls durable is written, so the checkpoint never leads the log.
//! - The same log gives the same files: where a table ends follows from its events, which runs are
//!   merged from their number, and a run's bytes from what it covers.
//! - Every byte on disk is checked before it is believed. An index that is missing, damaged or of
//!   another version opens empty and says why; the log is folded again.
//!
//! Staged events (decided, not yet durable) are in the active table too: whoever reads bounds a
//! query by the position it may see. [`Index::rollback`] takes staged events back.
//!
//! It refuses to confirm identities (a hash is a candidate, the event decides), to keep times (the
//! log's own position index answers those), and to read a clock.

mod codec;
mod column;
mod cursor;
mod dictionary;
mod error;
mod filter;
mod key;
mod lookup;
mod maintain;
mod manifest;
mod memory;
mod merge;
mod pages;
mod plan;
mod postings;
mod run;
mod run_writer;
mod select;
mod spool;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc};

use annal_event::{
    Batch, Commit, Encoded, Identity, Keys, Position, Query, ResourceKey, is_commit_type, proto,
};
use annal_storage::Storage;
use parking_lot::{Mutex, RwLock};

use crate::Projection;
pub use crate::{Opened, Order};
use maintain::Maintenance;
use memory::Table;
use plan::Plan;
use run::Run;

pub use error::IndexError;
pub use key::Kind;
pub use lookup::{KeyState, SubjectState};
pub use select::Selection;

/// Events added while the lock is held once.
const LOCKED_EVENTS: usize = 256;

/// When tables are frozen and runs merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexOptions {
    /// Events of a full memory table.
    pub table_events: u32,
    /// A table is full as well when it holds on to so much memory, in bytes (long keys).
    pub table_bytes: usize,
    /// Runs of one level that are merged into one of the next; at least two.
    pub fan_out: usize,
}

impl Default for IndexOptions {
    fn default() -> IndexOptions {
        IndexOptions { table_events: 64 * 1024, table_bytes: 32 * 1024 * 1024, fan_out: 8 }
    }
}

/// Sizes and positions, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexStats {
    /// Everything up to here is reflected in answers.
    pub folded: Position,
    /// Everything up to here is in runs.
    pub checkpoint: Position,
    /// Number of runs.
    pub runs: usize,
    /// Size of the runs on disk, in bytes.
    pub run_bytes: u64,
    /// Memory for what is kept of the runs, in bytes.
    pub run_memory_bytes: usize,
    /// Memory tables, the active one included.
    pub tables: usize,
    /// Memory for the tables, in bytes.
    pub table_bytes: usize,
}

/// The index of one log. All methods take `&self`; share it in an `Arc`.
#[derive(Debug)]
pub struct Index {
    shared: Arc<Shared>,
    maintenance: Mutex<Maintenance>,
    opened: Opened,
}

#[derive(Debug)]
struct Shared {
    storage: Arc<dyn Storage>,
    dir: String,
    options: IndexOptions,
    state: RwLock<State>,
}

/// What there is, oldest first.
#[derive(Debug)]
struct State {
    runs: Arc<[Arc<Run>]>,
    /// Full tables that wait to be frozen.
    full: VecDeque<Arc<Table>>,
    active: Table,
}

/// What the index keeps of an event.
struct Entry<'a> {
    identity: Identity,
    keys: Keys<'a>,
    resource: Option<String>,
}

impl<'a> Entry<'a> {
    fn new(identity: Identity, keys: Keys<'a>, record: &[u8]) -> Entry<'a> {
        let resource = is_commit_type(keys.ty).then(|| resource_of(record)).flatten();
        Entry { identity, keys, resource }
    }
}

/// The resource that a commit changes. What is no commit, although its type says so, changes none.
fn resource_of(record: &[u8]) -> Option<String> {
    let event = proto::decode_record(record).ok()?;
    let commit = Commit::of(&event).ok()??;
    Some(commit.key.to_string())
}

impl State {
    fn new(runs: Vec<Arc<Run>>) -> State {
        let active = Table::new(runs.last().map_or(Position::FIRST, |run| run.last().next()));
        State { runs: runs.into(), full: VecDeque::new(), active }
    }

    fn folded(&self) -> Position {
        self.active.end().prev()
    }

    fn checkpoint(&self) -> Position {
        self.runs.last().map_or(Position::ZERO, |run| run.last())
    }

    fn tables(&self) -> impl Iterator<Item = &Table> {
        self.full.iter().map(|table| &**table).chain([&self.active])
    }

    fn run_at(&self, position: Position) -> Option<&Arc<Run>> {
        let index = self.runs.partition_point(|run| run.last() < position);
        self.runs.get(index).filter(|run| run.first <= position)
    }

    fn table_at(&self, position: Position) -> Option<&Table> {
        self.tables().find(|table| table.first() <= position && position < table.end())
    }

    fn push(&mut self, options: &IndexOptions, entry: &Entry<'_>) {
        let full =
            self.active.len() >= options.table_events || self.active.bytes() >= options.table_bytes;
        if full && self.active.len() > 0 {
            let next = Table::after(&self.active);
            self.full.push_back(Arc::new(std::mem::replace(&mut self.active, next)));
        }
        self.active.push(entry.identity, &entry.keys, entry.resource.as_deref());
    }

    /// Forgets what is after `to`; everything up to the answer stays in any case.
    fn rollback(&mut self, to: Position) -> Result<(), Position> {
        if to < self.checkpoint() {
            return Err(self.checkpoint());
        }
        while self.active.first() > to.next() {
            let Some(table) = self.full.pop_back() else { return Err(self.checkpoint()) };
            match Arc::try_unwrap(table) {
                Ok(table) => self.active = table,
                Err(freezing) => {
                    let kept = freezing.end().prev();
                    self.active = Table::new(freezing.end());
                    self.full.push_back(freezing);
                    return Err(kept);
                }
            }
        }
        self.active.truncate((to.next().get() - self.active.first().get()) as u32);
        Ok(())
    }
}

impl Shared {
    fn folded(&self) -> Position {
        self.state.read().folded()
    }

    fn runs(&self) -> Arc<[Arc<Run>]> {
        Arc::clone(&self.state.read().runs)
    }

    fn run_at(&self, position: Position) -> Option<Arc<Run>> {
        self.state.read().run_at(position).cloned()
    }
}

impl Index {
    /// Opens the index in a directory of the storage, which is made if it is not there.
    ///
    /// Only a disk that refuses is an error; an index that is not there or not whole opens empty,
    /// which [`Index::opened`] tells.
    pub fn open(
        storage: Arc<dyn Storage>,
        dir: &str,
        options: IndexOptions,
    ) -> Result<Index, IndexError> {
        let (runs, opened) = maintain::open_runs(&storage, dir)?;
        let shared = Shared {
            storage,
            dir: dir.to_owned(),
            options: IndexOptions {
                table_events: options.table_events.max(1),
                fan_out: options.fan_out.max(2),
                ..options
            },
            state: RwLock::new(State::new(runs)),
        };
        let maintenance = Mutex::new(Maintenance::default());
        Ok(Index { shared: Arc::new(shared), maintenance, opened })
    }

    /// How far the runs in a directory have come; zero if there are none that can be used.
    pub fn written_in(storage: &Arc<dyn Storage>, dir: &str) -> Result<Position, IndexError> {
        let runs = manifest::read(storage, dir)?.unwrap_or_default();
        Ok(runs.last().map_or(Position::ZERO, |run| run.first.plus(u64::from(run.count)).prev()))
    }

    /// What was found on opening.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Whether an answer met bytes on disk that are not what was written: then
    /// [`condemn`](Index::condemn) it.
    pub fn is_damaged(&self) -> bool {
        self.shared.state.read().runs.iter().any(|run| run.pages.is_suspect())
    }

    /// Everything up to here is reflected in answers, staged events included.
    pub fn folded(&self) -> Position {
        self.shared.folded()
    }

    /// Everything up to here is in runs on disk.
    pub fn checkpoint(&self) -> Position {
        self.shared.state.read().checkpoint()
    }

    /// Folds a committed batch. What has been folded already is skipped.
    pub fn fold(&self, batch: &Batch) -> Result<(), IndexError> {
        let skip = self.known(batch.first())?;
        self.add(batch.first(), skip..batch.len(), |index| {
            let record = batch.record(index);
            let keys = proto::keys(record)?;
            Ok(Entry::new(Identity::of(keys.source, keys.id), keys, record))
        })
    }

    /// Adds events `from..to` of `events`, which the writer has just decided will stand at `first`
    /// and after. They are staged: [`Index::rollback`] forgets them.
    pub fn insert(
        &self,
        first: Position,
        events: &Encoded,
        from: usize,
        to: usize,
    ) -> Result<(), IndexError> {
        let skip = self.known(first)?;
        let origin = Position(first.get().saturating_sub(from as u64));
        self.add(origin, from + skip..to, |index| {
            let record = events.record(index);
            Ok(Entry::new(events.identities()[index], proto::keys(record)?, record))
        })
    }

    /// How many events from `first` on are folded already.
    fn known(&self, first: Position) -> Result<usize, IndexError> {
        let folded = self.folded();
        if first > folded.next() {
            return Err(IndexError::Gap { folded, first });
        }
        Ok((folded.next().get() - first.get()) as usize)
    }

    /// Adds events by their index; event 0 stands (or would stand) at `origin`.
    fn add<'a>(
        &self,
        origin: Position,
        events: std::ops::Range<usize>,
        entry: impl Fn(usize) -> Result<Entry<'a>, annal_event::EventError>,
    ) -> Result<(), IndexError> {
        let mut next = events.start;
        while next < events.end {
            let end = events.end.min(next + LOCKED_EVENTS);
            let mut state = self.shared.state.write();
            for index in next..end {
                let entry = entry(index).map_err(|source| {
                    let position = origin.plus(index as u64);
                    IndexError::Record { position, source }
                })?;
                state.push(&self.shared.options, &entry);
            }
            next = end;
        }
        Ok(())
    }

    /// Forgets every event after `to`, as if it had never come. Only staged events can be
    /// forgotten: what [`Index::maintain`] was told is durable stays.
    pub fn rollback(&self, to: Position) -> Result<(), IndexError> {
        let mut state = self.shared.state.write();
        state.rollback(to).map_err(|kept| IndexError::Kept { to, kept })
    }

    /// Positions that match a query, between `after` and `before` (both exclusive).
    pub fn select(
        &self,
        query: &Query,
        after: Position,
        before: Position,
        order: Order,
    ) -> Selection {
        Selection::new(Arc::clone(&self.shared), query, after, before, order)
    }

    /// Positions of the commits to a resource, between `after` and `before` (both exclusive).
    pub fn select_resource(
        &self,
        resource: &ResourceKey<'_>,
        after: Position,
        before: Position,
        order: Order,
    ) -> Selection {
        let plan = Plan::of_key(Kind::Resource, &resource.to_string(), order);
        Selection::of_plan(Arc::clone(&self.shared), plan, after, before, order)
    }

    /// Positions that match a query, and those of all events of topics, between `after` and `before`
    /// (both exclusive).
    pub fn select_with_topics(
        &self,
        query: &Query,
        after: Position,
        before: Position,
        order: Order,
    ) -> Selection {
        let plan = Plan::new(query, order).or_of_kind(Kind::Topic);
        Selection::of_plan(Arc::clone(&self.shared), plan, after, before, order)
    }

    /// How many events match between `after` and `before` (both exclusive), counted no further
    /// than `stop_at`.
    pub fn count(
        &self,
        query: &Query,
        after: Position,
        before: Position,
        stop_at: u64,
    ) -> Result<u64, IndexError> {
        self.select(query, after, before, Order::Ascending).count(stop_at)
    }

    /// Memory held, in bytes: tables by estimate, and what is kept of the runs.
    pub fn memory_bytes(&self) -> usize {
        let stats = self.stats();
        stats.table_bytes + stats.run_memory_bytes
    }

    /// Events that are folded but not in runs: what the maintenance is behind by. A writer that
    /// finds this many times [`IndexOptions::table_events`] should slow down.
    pub fn lag(&self) -> u64 {
        let state = self.shared.state.read();
        state.folded().get() - state.checkpoint().get()
    }

    /// Sizes and positions.
    pub fn stats(&self) -> IndexStats {
        let state = self.shared.state.read();
        IndexStats {
            folded: state.folded(),
            checkpoint: state.checkpoint(),
            runs: state.runs.len(),
            run_bytes: state.runs.iter().map(|run| run.bytes).sum(),
            run_memory_bytes: state.runs.iter().map(|run| run.memory_bytes()).sum(),
            tables: state.full.len() + 1,
            table_bytes: state.tables().map(Table::bytes).sum(),
        }
    }
}

impl Projection for Index {
    type Error = IndexError;

    fn folded(&self) -> Position {
        Index::folded(self)
    }

    fn checkpoint(&self) -> Position {
        Index::checkpoint(self)
    }

    fn fold(&self, batch: &Batch) -> Result<(), IndexError> {
        Index::fold(self, batch)
    }

    fn maintain(&self, durable: Position) -> Result<bool, IndexError> {
        Index::maintain(self, durable)
    }
}
