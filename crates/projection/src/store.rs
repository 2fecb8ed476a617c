//! The ordered key-value store in which projections keep their rows.
//!
//! The newest changes lie in memory tables, for every key its versions by position; beneath them
//! lies one redb file, written behind in large transactions. There is no journal: the log is the
//! journal, and what was in memory is folded again after a restart.
//!
//! Invariants:
//! - Tables and disk together answer as of any position from the checkpoint to
//!   [`Store::folded`], however much of it has been written (INV-4).
//! - Nothing past what the caller calls durable is written, so the checkpoint never leads the log.
//! - Rows and checkpoint are written in one transaction, and exchanged for readers in one step: a
//!   reader sees the old disk with all tables, or the new one with those that are left.
//! - Every byte on disk is checked before it is believed. A store that is missing, damaged or of
//!   another format opens empty and says why; the log is folded again.
//!
//! Staged changes (decided, not yet durable) are in the tables too: whoever reads says how far it
//! may see. [`Store::rollback`] takes staged changes back.
//!
//! It refuses to know what is in keys and values, to read a clock, and to slow a writer down: who
//! stages faster than [`Store::maintain`] writes looks at [`Store::overlay_bytes`].

mod disk;
mod error;
mod fault;
mod filter;
mod layers;
mod maintain;
mod pages;
mod scan;
mod table;
#[cfg(test)]
mod tests;
mod view;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use annal_event::Position;
use annal_storage::Storage;
use parking_lot::{Mutex, RwLock};

pub use crate::{Opened, Order};
use disk::{Found, Site};
use layers::Layers;
use maintain::Upkeep;

pub use error::StoreError;
pub use scan::{KeyRange, Scan};
pub use view::View;

/// A key: bytes, in the order of bytes. The first ones say whose row it is, as projections agree.
pub type Key = Arc<[u8]>;
/// What a row holds. Bytes of its own: a slice of something larger would hold on to all of it.
pub type Value = Arc<[u8]>;

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which row.
    pub key: Key,
    /// What it holds from now on; `None`: it is removed.
    pub value: Option<Value>,
}

/// When changes are written, and how much memory is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Memory for pages of the file, in bytes.
    pub cache_bytes: usize,
    /// A memory table is full, and written, when it holds so much, in bytes.
    pub table_bytes: usize,
    /// What is durable is written once the checkpoint is so many positions behind it. Bounds what
    /// has to be folded again after a crash.
    pub lag_positions: u64,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            cache_bytes: 64 * 1024 * 1024,
            table_bytes: 16 * 1024 * 1024,
            lag_positions: 256 * 1024,
        }
    }
}

/// Sizes and positions, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Everything up to here is reflected in answers.
    pub folded: Position,
    /// Everything up to here is on disk.
    pub checkpoint: Position,
    /// Memory tables, the active one included.
    pub tables: usize,
    /// Keys in them; one that is in several counts as often.
    pub table_rows: usize,
    /// Memory for them, in bytes.
    pub table_bytes: usize,
    /// Memory for tables that are written but still read by somebody, in bytes; 0 while a step of
    /// writing behind is on its way.
    pub retired_bytes: usize,
    /// Rows on disk.
    pub disk_rows: u64,
}

/// The rows of one log's projections. All methods take `&self`; share it in an `Arc`.
///
/// One thread stages, advances and rolls back; any may read; one at a time maintains.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    opened: Opened,
}

#[derive(Debug)]
struct Shared {
    site: Site,
    options: StoreOptions,
    layers: RwLock<Arc<Layers>>,
    folded: AtomicU64,
    /// Changes up to here cannot be taken back.
    kept: AtomicU64,
    upkeep: Mutex<Upkeep>,
}

impl Store {
    /// Opens the store in a file of the storage, or begins it.
    ///
    /// `format` names the versions of everything that keeps rows in it; a store of another format
    /// is removed. Only a disk that refuses is an error; a store that is not there or not whole
    /// opens empty, which [`Store::opened`] tells.
    pub fn open(
        storage: Arc<dyn Storage>,
        path: &str,
        format: &[u8],
        options: StoreOptions,
    ) -> Result<Store, StoreError> {
        let options = StoreOptions { table_bytes: options.table_bytes.max(1), ..options };
        let site = Site {
            storage,
            path: path.to_owned(),
            format: format.to_vec(),
            cache_bytes: options.cache_bytes,
        };
        let (writer, disk, opened) = match site.open()? {
            Found::Whole(writer, disk) => (writer, disk, Opened::Ready),
            Found::Unusable(reason) => {
                let (writer, disk) = site.create()?;
                (writer, disk, Opened::Empty { reason })
            }
        };
        let checkpoint = disk.checkpoint().get();
        let shared = Shared {
            site,
            options,
            layers: RwLock::new(Arc::new(Layers::new(disk, options.table_bytes))),
            folded: AtomicU64::new(checkpoint),
            kept: AtomicU64::new(checkpoint),
            upkeep: Mutex::new(Upkeep::new(writer)),
        };
        Ok(Store { shared: Arc::new(shared), opened })
    }

    /// How far the rows in a file have come, if it is there and can be read. Begins nothing anew.
    pub fn checkpoint_in(
        storage: Arc<dyn Storage>,
        path: &str,
    ) -> Result<Option<Position>, StoreError> {
        let (path, format) = (path.to_owned(), Vec::new());
        Site { storage, path, format, cache_bytes: 0 }.checkpoint()
    }

    /// What was found on opening.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Everything up to here is reflected in answers, staged changes included.
    pub fn folded(&self) -> Position {
        self.shared.folded()
    }

    /// Everything up to here is on disk.
    pub fn checkpoint(&self) -> Position {
        self.shared.layers().checkpoint()
    }

    /// The store as of a position. The writer, which decides by what is staged too, passes
    /// [`Position::MAX`]; a reader the visible head.
    pub fn view(&self, at: Position) -> View {
        View::new(&self.shared, at)
    }

    /// The value of a key as of a position: [`Store::view`], asked one thing.
    pub fn get(&self, key: &[u8], at: Position) -> Result<Option<Value>, StoreError> {
        self.view(at).get(key)
    }

    /// Adds what an event changes. Of several changes of one key the last holds.
    ///
    /// # Panics
    ///
    /// If everything up to `position` is folded already.
    pub fn stage(&self, position: Position, changes: Vec<Change>) {
        let shared = &self.shared;
        let mut layers = shared.layers.read();
        assert!(
            position > shared.folded(),
            "INV-4: changes at {position} come after {} is folded",
            shared.folded()
        );
        if layers.active.bytes() >= shared.options.table_bytes {
            drop(layers);
            shared.rotate();
            layers = shared.layers.read();
        }
        layers.active.stage(position, changes);
        shared.folded.store(position.get(), Ordering::Release);
    }

    /// Everything up to `to` is folded, and has changed nothing more.
    pub fn advance(&self, to: Position) {
        self.shared.folded.fetch_max(to.get(), Ordering::AcqRel);
    }

    /// Forgets every change after `to`, as if it had never come. Only staged changes can be
    /// forgotten: what [`Store::maintain`] was told is durable may be on disk and stays.
    pub fn rollback(&self, to: Position) -> Result<(), StoreError> {
        let kept = Position(self.shared.kept.load(Ordering::Acquire));
        if to < kept {
            return Err(StoreError::Kept { to, kept });
        }
        let layers = self.shared.layers.read();
        self.shared.folded.fetch_min(to.get(), Ordering::AcqRel);
        layers.tables().filter(|table| table.last() > to).for_each(|table| table.rollback(to));
        Ok(())
    }

    /// Memory for what is not written yet, in bytes, by estimate (0 if everything is). A writer that
    /// finds this many times [`StoreOptions::table_bytes`] should slow down.
    pub fn overlay_bytes(&self) -> usize {
        self.shared.layers().bytes()
    }

    /// Sizes and positions.
    pub fn stats(&self) -> StoreStats {
        let upkeep = self.shared.upkeep.try_lock();
        let layers = self.shared.layers();
        let table_bytes = layers.tables().map(|table| table.bytes() + table.empty_bytes()).sum();
        StoreStats {
            folded: self.folded(),
            checkpoint: layers.checkpoint(),
            tables: layers.tables().count(),
            table_rows: layers.tables().map(|table| table.len()).sum(),
            table_bytes,
            retired_bytes: upkeep.map_or(0, |upkeep| upkeep.retired_bytes()),
            disk_rows: layers.disk.len(),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn folded(&self) -> Position {
        Position(self.folded.load(Ordering::Acquire))
    }

    fn layers(&self) -> Arc<Layers> {
        Arc::clone(&self.layers.read())
    }

    fn rotate(&self) {
        let mut layers = self.layers.write();
        *layers = Arc::new(layers.rotated());
    }

    /// From now on everything up to here stays.
    fn keep(&self, upto: Position) {
        self.kept.fetch_max(upto.get(), Ordering::AcqRel);
    }

    fn begin_anew(&self, layers: Layers) {
        let mut current = self.layers.write();
        self.folded.store(0, Ordering::Release);
        self.kept.store(0, Ordering::Release);
        *current = Arc::new(layers);
    }
}
