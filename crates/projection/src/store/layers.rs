//! What there is, newest over oldest: the table that takes changes, full ones, the disk.
//!
//! A set of layers never changes: what is written behind is put under a new set, in one exchange,
//! so that whoever holds the old one goes on seeing all of it.

use std::{iter, sync::Arc};

use annal_event::Position;

use super::{Key, Value, disk::Disk, table::Table};

/// Full tables that are written in one transaction when several wait: rows that lie close together
/// then share the pages that are written for them.
const STEP_TABLES_MAX: usize = 4;

/// Tables over the disk. Positions rise from the disk to the active table.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) active: Arc<Table>,
    /// Oldest first. Nothing is added to them.
    full: Vec<Arc<Table>>,
    pub(super) disk: Arc<Disk>,
    table_bytes: usize,
}

impl Layers {
    pub(super) fn new(disk: Disk, table_bytes: usize) -> Layers {
        let active = Arc::new(Table::new(table_bytes));
        Layers { active, full: Vec::new(), disk: Arc::new(disk), table_bytes }
    }

    pub(super) fn checkpoint(&self) -> Position {
        self.disk.checkpoint()
    }

    /// Newest first.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        iter::once(&self.active).chain(self.full.iter().rev())
    }

    pub(super) fn bytes(&self) -> usize {
        self.tables().map(|table| table.bytes()).sum()
    }

    /// How far to write: to the end of the oldest tables that are full and durable, else as far as
    /// is durable if that is `lag` or more positions away.
    pub(super) fn cut(&self, durable: Position, lag: u64) -> Option<Position> {
        let full = self.full.iter().map(|table| table.last());
        let full = full.take(STEP_TABLES_MAX).take_while(|last| *last <= durable).max();
        let behind = durable.get().saturating_sub(self.checkpoint().get());
        match full {
            Some(last) => Some(last.max(self.checkpoint())),
            None => (behind >= lag).then_some(durable),
        }
    }

    /// Every key that changed after the checkpoint and up to a cut, in order, with what it was at
    /// the cut.
    pub(super) fn changes(&self, cut: Position) -> Vec<(Key, Option<Value>)> {
        let mut changes = Vec::new();
        for table in self.full.iter().chain([&self.active]) {
            table.changes(self.checkpoint(), cut, &mut changes);
            if table.last() >= cut {
                break;
            }
        }
        // Of a key that is in several tables the newest holds; equal keys stay in order of age.
        changes.sort_by(|a, b| a.0.cmp(&b.0));
        changes.dedup_by(|newer, kept| {
            let same = newer.0 == kept.0;
            if same {
                std::mem::swap(newer, kept);
            }
            same
        });
        changes
    }

    /// The same with a new active table.
    pub(super) fn rotated(&self) -> Layers {
        let full = self.full.iter().chain([&self.active]).map(Arc::clone).collect();
        let active = Arc::new(Table::new(self.table_bytes));
        Layers { active, full, disk: Arc::clone(&self.disk), table_bytes: self.table_bytes }
    }

    /// The same over another disk, without the tables that it holds all of, which are the second
    /// answer.
    pub(super) fn over(&self, disk: Arc<Disk>) -> (Layers, Vec<Arc<Table>>) {
        let written = |table: &Arc<Table>| table.last() <= disk.checkpoint();
        let (mut gone, full): (Vec<_>, Vec<_>) = self.full.iter().cloned().partition(written);
        let mut active = Arc::clone(&self.active);
        if written(&active) {
            gone.push(std::mem::replace(&mut active, Arc::new(Table::new(self.table_bytes))));
        }
        (Layers { active, full, disk, table_bytes: self.table_bytes }, gone)
    }
}
