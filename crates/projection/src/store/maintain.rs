//! Writing behind: from the oldest table to the disk, one transaction a step.
//!
//! A step writes for every key its last version at or before a cut, and the cut as the checkpoint,
//! in one durable transaction; then the new disk goes under the tables in one exchange, and tables
//! that it holds all of go. A table that was written only in part stays, and what of it is on disk
//! is in both, the same.

use std::sync::Arc;

use annal_event::Position;
use parking_lot::MutexGuard;

use super::{
    Shared, Store,
    disk::{Disk, Found, Writer},
    error::StoreError,
    layers::Layers,
    table::Table,
};

/// Who writes: one at a time.
#[derive(Debug)]
pub(super) struct Upkeep {
    /// `None` while the file could not be opened again, and once the store is closed.
    writer: Option<Writer>,
    closed: bool,
    /// Tables that are written; kept until nobody reads them, so that no reader is the one to
    /// free them, which takes milliseconds.
    retired: Vec<Arc<Table>>,
}

impl Upkeep {
    pub(super) fn new(writer: Writer) -> Upkeep {
        Upkeep { writer: Some(writer), closed: false, retired: Vec::new() }
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        self.writer = None;
    }

    pub(super) fn retired_bytes(&self) -> usize {
        self.retired.iter().map(|table| table.bytes()).sum()
    }
}

impl Store {
    /// Does one step of writing behind: full tables, at most four, or what has waited for
    /// [`lag_positions`](super::StoreOptions::lag_positions). `false`: there is nothing to do.
    ///
    /// A step is one transaction and takes as long: a table of 16 MiB a tenth of a second, or a
    /// whole one if its rows lie scattered among a million. Let no other work wait for it.
    ///
    /// `durable` is the position up to which the log is durable *and* visible: what is written is
    /// seen by everybody, and can never be taken back.
    ///
    /// After [`StoreError::Full`] or [`StoreError::Io`] answers go on, and the step is done anew
    /// when called again. A view that was held meanwhile may be refused from then on.
    pub fn maintain(&self, durable: Position) -> Result<bool, StoreError> {
        self.shared.step(durable, self.shared.options.lag_positions)
    }

    /// Writes everything up to `durable`, as before a clean end.
    pub fn flush(&self, durable: Position) -> Result<(), StoreError> {
        while self.shared.step(durable, 1)? {}
        Ok(())
    }

    /// Closes the file, also for views that are still held, so that another may open it. What was
    /// not written is folded again by whoever does.
    pub fn close(&self) {
        self.shared.upkeep.lock().close();
    }

    /// Removes the file after damage, so that whoever opens it next begins anew. What is held in
    /// memory goes on answering as it can.
    pub fn condemn(&self) -> Result<(), StoreError> {
        self.shared.upkeep.lock().close();
        self.shared.site.remove()
    }

    /// Empties the store, on disk too, after damage. The log is to be folded from its beginning.
    pub fn clear(&self) -> Result<(), StoreError> {
        let mut upkeep = self.shared.upkeep.lock();
        upkeep.writer = None;
        let (writer, disk) = self.shared.site.create()?;
        upkeep.writer = Some(writer);
        self.shared.begin_anew(Layers::new(disk, self.shared.options.table_bytes));
        Ok(())
    }
}

impl Shared {
    fn step(&self, durable: Position, lag: u64) -> Result<bool, StoreError> {
        let mut upkeep = self.upkeep.lock();
        upkeep.retired.retain(|table| Arc::strong_count(table) > 1);
        self.make_usable(&mut upkeep)?;
        let layers = self.layers();
        let Some(cut) = layers.cut(durable.min(self.folded()), lag.max(1)) else {
            return Ok(false);
        };
        if cut == layers.checkpoint() {
            // What filled the oldest table has been written, or taken back.
            self.adopt(&mut upkeep, Arc::clone(&layers.disk));
            return Ok(true);
        }
        self.keep(cut);
        let rows = layers.changes(cut);
        let Some(writer) = &upkeep.writer else { return Err(self.closed()) };
        let disk = writer.write(&rows, cut)?;
        self.adopt(&mut upkeep, Arc::new(disk));
        Ok(true)
    }

    /// A disk that can be read, opened again if it has to be.
    pub(super) fn usable_disk(&self) -> Result<Arc<Disk>, StoreError> {
        if self.layers().disk.failed() {
            self.make_usable(&mut self.upkeep.lock())?;
        }
        Ok(Arc::clone(&self.layers().disk))
    }

    /// The one place where the database is opened again, for the next step or the next reader:
    /// redb refuses everything after the first error of its file, and whether a commit that failed
    /// took place is known only afterwards.
    fn make_usable(&self, upkeep: &mut MutexGuard<'_, Upkeep>) -> Result<(), StoreError> {
        if upkeep.closed {
            return Err(self.closed());
        }
        let failed = Arc::clone(&self.layers().disk);
        if upkeep.writer.is_some() && !failed.failed() {
            return Ok(());
        }
        if let Some(error) = failed.damage() {
            return Err(error);
        }
        // Before it is opened again: two may not write to one file.
        upkeep.writer = None;
        match self.site.open()? {
            Found::Whole(writer, disk) if disk.checkpoint() >= failed.checkpoint() => {
                upkeep.writer = Some(writer);
                self.adopt(upkeep, Arc::new(disk));
                Ok(())
            }
            Found::Whole(..) => Err(self.damaged("it is older than it was".to_owned())),
            Found::Unusable(reason) => Err(self.damaged(reason)),
        }
    }

    fn adopt(&self, upkeep: &mut MutexGuard<'_, Upkeep>, disk: Arc<Disk>) {
        // Whoever stages holds this lock shared, so no change goes to a table that is let go.
        let mut layers = self.layers.write();
        let (next, gone) = layers.over(disk);
        upkeep.retired.extend(gone);
        *layers = Arc::new(next);
    }

    fn closed(&self) -> StoreError {
        StoreError::Closed { file: self.site.path.clone() }
    }

    fn damaged(&self, what: String) -> StoreError {
        StoreError::damaged(&self.site.path, what)
    }
}
