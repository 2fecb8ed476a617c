//! Rows in the order of their keys, merged from memory and disk.
//!
//! Chunk by chunk: no lock is held between two rows, and no more is kept than a chunk of every
//! layer. A newer layer hides an older one.

use std::{collections::VecDeque, ops::Bound, sync::Arc};

use super::{Key, Value, View, error::StoreError, table::Table};
use crate::Order;

/// Rows taken from a layer at once.
pub(super) const CHUNK_ROWS: usize = 256;
/// Rows taken at first, then twice as many each time: who wants a page of 20 pays for no more.
const FIRST_ROWS: usize = 32;
/// Bytes after which a chunk from disk is long enough.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;

/// The keys between two bounds, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// Where it begins.
    pub from: Bound<Key>,
    /// Where it ends.
    pub to: Bound<Key>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> KeyRange {
        KeyRange { from: Bound::Unbounded, to: Bound::Unbounded }
    }

    /// Every key that begins with these bytes.
    pub fn prefix(prefix: &[u8]) -> KeyRange {
        let mut end = prefix.to_vec();
        while end.pop_if(|byte| *byte == u8::MAX).is_some() {}
        let to = match end.last_mut() {
            Some(byte) => {
                *byte += 1;
                Bound::Excluded(Key::from(end))
            }
            None => Bound::Unbounded,
        };
        KeyRange { from: Bound::Included(Key::from(prefix)), to }
    }

    /// What is left of it once everything up to `key` has been seen in this order.
    #[must_use]
    pub fn after(mut self, key: &Key, order: Order) -> KeyRange {
        match order {
            Order::Ascending => self.from = Bound::Excluded(Key::clone(key)),
            Order::Descending => self.to = Bound::Excluded(Key::clone(key)),
        }
        self
    }

    pub(super) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (self.from.as_ref().map(|key| &**key), self.to.as_ref().map(|key| &**key))
    }

    /// Whether no key can lie in it. Ordered maps panic when asked for some of these.
    fn is_empty(&self) -> bool {
        match self.bounds() {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(from), Bound::Included(to)) => from > to,
            (
                Bound::Included(from) | Bound::Excluded(from),
                Bound::Included(to) | Bound::Excluded(to),
            ) => from >= to,
        }
    }
}

/// Some rows of a layer, in order; `None` for a key that was removed.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) rows: VecDeque<(Key, Option<Value>)>,
    /// The last key that was looked at, whether or not it is among the rows.
    pub(super) looked_at: Option<Key>,
    /// Whether there may be more after it.
    pub(super) more: bool,
}

/// Rows of a view in order of key. Ends after the first error.
#[derive(Debug)]
pub struct Scan {
    view: View,
    order: Order,
    /// Newest first.
    sources: Vec<Source>,
    failed: bool,
}

#[derive(Debug)]
struct Source {
    /// `None`: the disk.
    table: Option<Arc<Table>>,
    chunk: Chunk,
    /// What has not been looked at yet.
    rest: KeyRange,
    rows_max: usize,
}

impl Source {
    fn new(table: Option<Arc<Table>>, range: &KeyRange) -> Source {
        let chunk = Chunk { more: true, ..Chunk::default() };
        Source { table, chunk, rest: range.clone(), rows_max: FIRST_ROWS }
    }

    /// Takes chunks until there is a row or nothing is left.
    fn fill(&mut self, view: &View, order: Order) -> Result<(), StoreError> {
        while self.chunk.rows.is_empty() && self.chunk.more {
            if self.rest.is_empty() {
                self.chunk.more = false;
                return Ok(());
            }
            let rows_max = self.rows_max;
            self.chunk = match &self.table {
                Some(table) => table.chunk(&self.rest, order, rows_max, view.position()),
                None => view.disk(|disk| disk.chunk(&self.rest, order, rows_max))?,
            };
            self.rows_max = CHUNK_ROWS.min(rows_max * 2);
            if let Some(key) = &self.chunk.looked_at {
                let rest = std::mem::replace(&mut self.rest, KeyRange::all());
                self.rest = rest.after(key, order);
            }
        }
        Ok(())
    }

    fn key(&self) -> Option<&Key> {
        self.chunk.rows.front().map(|(key, _)| key)
    }
}

impl Scan {
    pub(super) fn new(view: View, range: &KeyRange, order: Order) -> Scan {
        let tables = view.tables().map(|table| Some(Arc::clone(table)));
        let sources = tables.chain([None]).map(|table| Source::new(table, range)).collect();
        Scan { view, order, sources, failed: false }
    }

    /// The next key in order, and what the newest layer that knows it says.
    fn step(&mut self) -> Result<Option<(Key, Option<Value>)>, StoreError> {
        for source in &mut self.sources {
            source.fill(&self.view, self.order)?;
        }
        let keys = self.sources.iter().filter_map(Source::key);
        let next = match self.order {
            Order::Ascending => keys.min(),
            Order::Descending => keys.max(),
        };
        let Some(next) = next.map(Key::clone) else { return Ok(None) };
        let mut found = None;
        for source in self.sources.iter_mut().filter(|source| source.key() == Some(&next)) {
            let row = source.chunk.rows.pop_front();
            found = found.or(row);
        }
        Ok(found)
    }
}

impl Iterator for Scan {
    type Item = Result<(Key, Value), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            match self.step() {
                Ok(Some((key, Some(value)))) => return Some(Ok((key, value))),
                Ok(Some((_, None))) => {}
                Ok(None) => return None,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
