//! The newest changes, in memory: for every key its versions by position.
//!
//! Changes come in order of position; the newest can be taken back. Readers say how far they see.
//! Locks are held for one change list, one key, or a bounded number of keys.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use annal_event::Position;
use parking_lot::RwLock;
use smallvec::SmallVec;

use super::{
    Change, Key, Value,
    filter::{Filter, Hashed},
    scan::{CHUNK_ROWS, Chunk, KeyRange},
};
use crate::Order;

/// What a key costs beside its bytes: its place in the tree, its versions' header, its count of
/// references, and what the allocator rounds up.
const KEY_BYTES: usize = 112;
/// What a version costs beside its bytes.
const VERSION_BYTES: usize = 48;

/// The value of a key from a position on.
#[derive(Debug)]
struct Version {
    position: Position,
    /// `None`: removed.
    value: Option<Value>,
}

impl Version {
    fn bytes(&self) -> usize {
        VERSION_BYTES + self.value.as_ref().map_or(0, |value| value.len())
    }
}

/// In order of position, never empty; of several at one position the last holds.
type Versions = SmallVec<[Version; 1]>;

/// Changes at a contiguous range of positions.
#[derive(Debug)]
pub(super) struct Table {
    rows: RwLock<BTreeMap<Key, Versions>>,
    filter: Filter,
    bytes: AtomicUsize,
    last: AtomicU64,
}

impl Table {
    /// An empty table that is to hold about so many bytes.
    pub(super) fn new(table_bytes: usize) -> Table {
        Table {
            rows: RwLock::default(),
            filter: Filter::new(table_bytes),
            bytes: AtomicUsize::new(0),
            last: AtomicU64::new(0),
        }
    }

    /// Memory for what it holds, in bytes: by estimate, from above.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Memory it takes in any case, in bytes.
    pub(super) fn empty_bytes(&self) -> usize {
        self.filter.bytes()
    }

    /// No change is after this position.
    pub(super) fn last(&self) -> Position {
        Position(self.last.load(Relaxed))
    }

    /// Number of keys.
    pub(super) fn len(&self) -> usize {
        self.rows.read().len()
    }

    /// Adds changes at a position no earlier than any before.
    pub(super) fn stage(&self, position: Position, changes: Vec<Change>) {
        self.last.store(position.get(), Relaxed);
        let mut rows = self.rows.write();
        let mut added = 0;
        for Change { key, value } in changes {
            let version = Version { position, value };
            added += version.bytes();
            let key_bytes = KEY_BYTES + key.len();
            self.filter.add(Hashed::new(&key));
            let versions = rows.entry(key).or_insert_with(|| {
                added += key_bytes;
                Versions::new()
            });
            versions.push(version);
        }
        self.bytes.fetch_add(added, Relaxed);
    }

    /// Forgets every version after `to`.
    pub(super) fn rollback(&self, to: Position) {
        let mut rows = self.rows.write();
        let mut forgotten = 0;
        rows.retain(|key, versions| {
            let kept = versions.partition_point(|version| version.position <= to);
            forgotten += versions.drain(kept..).map(|version| version.bytes()).sum::<usize>();
            if versions.is_empty() {
                forgotten += KEY_BYTES + key.len();
            }
            !versions.is_empty()
        });
        let last = if rows.is_empty() { Position::ZERO } else { self.last().min(to) };
        self.last.store(last.get(), Relaxed);
        self.bytes.fetch_sub(forgotten, Relaxed);
    }

    /// The newest version at or before a position: `None`: there is none, `Some(None)`: removed.
    pub(super) fn get(&self, key: &[u8], hashed: Hashed, at: Position) -> Option<Option<Value>> {
        // What this reader may see was staged before it asked, and the filter knows it.
        if !self.filter.may_have(hashed) {
            return None;
        }
        let rows = self.rows.read();
        newest(rows.get(key)?, at).map(|version| version.value.clone())
    }

    /// What the first keys of a range (not empty) were at a position.
    pub(super) fn chunk(
        &self,
        range: &KeyRange,
        order: Order,
        rows_max: usize,
        at: Position,
    ) -> Chunk {
        self.changed(range, order, rows_max, Position::ZERO..=at)
    }

    /// Adds every key that changed after one position and up to another, in order, with what it
    /// was at the other.
    pub(super) fn changes(
        &self,
        after: Position,
        upto: Position,
        all: &mut Vec<(Key, Option<Value>)>,
    ) {
        let mut range = KeyRange::all();
        loop {
            let seen = after..=upto;
            let chunk = self.changed(&range, Order::Ascending, CHUNK_ROWS, seen);
            all.extend(chunk.rows);
            match chunk.looked_at {
                Some(key) if chunk.more => range = range.after(&key, Order::Ascending),
                _ => return,
            }
        }
    }

    /// Looks at the first keys of a range. The start of `seen` is exclusive.
    fn changed(
        &self,
        range: &KeyRange,
        order: Order,
        rows_max: usize,
        seen: RangeInclusive<Position>,
    ) -> Chunk {
        let rows = self.rows.read();
        let mut left = rows.range::<[u8], _>(range.bounds());
        let mut chunk = Chunk::default();
        for _ in 0..rows_max {
            let next = match order {
                Order::Ascending => left.next(),
                Order::Descending => left.next_back(),
            };
            let Some((key, versions)) = next else { return chunk };
            let version = newest(versions, *seen.end());
            if let Some(version) = version.filter(|version| version.position > *seen.start()) {
                chunk.rows.push_back((Key::clone(key), version.value.clone()));
            }
            chunk.looked_at = Some(Key::clone(key));
        }
        chunk.more = true;
        chunk
    }
}

fn newest(versions: &[Version], at: Position) -> Option<&Version> {
    let seen = versions.partition_point(|version| version.position <= at);
    versions[..seen].last()
}
