//! The store as of a position.

use std::sync::Arc;

use annal_event::Position;

use super::{
    Shared, Value,
    disk::Disk,
    error::StoreError,
    filter::Hashed,
    layers::Layers,
    scan::{KeyRange, Scan},
    table::Table,
};
use crate::Order;

/// The store as of a position, whatever is staged or written meanwhile. Cheap to make and to clone.
///
/// It holds on to tables and to pages on disk that are of no more use to others, so it should not
/// outlive a request.
#[derive(Clone, Debug)]
pub struct View {
    shared: Arc<Shared>,
    layers: Arc<Layers>,
    position: Position,
}

impl View {
    pub(super) fn new(shared: &Arc<Shared>, at: Position) -> View {
        // In this order: everything up to `folded` is in the layers that are taken after it.
        let folded = shared.folded();
        let layers = shared.layers();
        let position = at.min(folded).max(layers.checkpoint());
        View { shared: Arc::clone(shared), layers, position }
    }

    /// What it answers as of: what was asked for, but not past what is folded, and not before
    /// what was on disk already, since the disk keeps one version of a row.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        let hashed = Hashed::new(key);
        for table in self.layers.tables() {
            if let Some(value) = table.get(key, hashed, self.position) {
                return Ok(value);
            }
        }
        self.disk(|disk| disk.get(key))
    }

    /// The rows of a range in order of key. To go on later, ask for
    /// [what is left](KeyRange::after) of the range.
    pub fn scan(&self, range: &KeyRange, order: Order) -> Scan {
        Scan::new(self.clone(), range, order)
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.layers.tables()
    }

    /// Asks the disk; once more if its database had to be opened again.
    pub(super) fn disk<T>(
        &self,
        ask: impl Fn(&Disk) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let disk = &self.layers.disk;
        ask(disk).or_else(|error| {
            if matches!(error, StoreError::Damaged { .. }) {
                return Err(error);
            }
            let reopened = self.shared.usable_disk()?;
            // A later commit is as good: what changed up to it is in the tables of this view.
            if disk.checkpoint() <= reopened.checkpoint() && reopened.checkpoint() <= self.position
            {
                ask(&reopened)
            } else {
                Err(error)
            }
        })
    }
}
