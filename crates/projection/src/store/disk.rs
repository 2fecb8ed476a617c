//! What is on disk, by way of redb. Nobody else knows redb.
//!
//! One table of rows, one with the checkpoint and the format. Every commit is durable, in two
//! phases, and carries redb's allocator state with it (*quick repair*), so that opening after a
//! crash takes as long as opening. [`Writer`] is the one open database; a [`Disk`] is what one
//! commit left, and stays readable and as it is while the next ones are written.

use std::{io, ops::Bound, sync::Arc};

use annal_event::Position;
use annal_storage::{File, Storage};
use redb::{
    Builder, Database, ReadOnlyTable, ReadableDatabase, ReadableTableMetadata, TableDefinition,
};

use super::{
    Key, Value,
    error::StoreError,
    fault::Fault,
    pages::Pages,
    scan::{CHUNK_BYTES, Chunk, KeyRange},
};
use crate::Order;

type Rows = ReadOnlyTable<&'static [u8], &'static [u8]>;

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const FORMAT: &str = "format";
const CHECKPOINT: &str = "checkpoint";

/// Where a store's file is and what it is to hold.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) path: String,
    pub(super) format: Vec<u8>,
    pub(super) cache_bytes: usize,
}

/// What was found at a site.
#[derive(Debug)]
pub(super) enum Found {
    Whole(Writer, Disk),
    /// Nothing that can be used, and why.
    Unusable(String),
}

/// The open database. Dropping it closes the file for everybody.
#[derive(Debug)]
pub(super) struct Writer {
    database: Database,
    fault: Arc<Fault>,
}

/// The rows as of one commit.
#[derive(Debug)]
pub(super) struct Disk {
    rows: Rows,
    len: u64,
    checkpoint: Position,
    fault: Arc<Fault>,
}

impl Site {
    /// Opens what is there. Only a disk that refuses is an error.
    pub(super) fn open(&self) -> Result<Found, StoreError> {
        let file = match self.storage.open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(Found::Unusable("there is none".to_owned()));
            }
            Err(e) => return Err(self.io(e)),
        };
        match self.open_file(file) {
            Ok((_, _, format)) if format != self.format => Ok(Found::Unusable(
                "it was written by other versions of its projections".to_owned(),
            )),
            Ok((writer, disk, _)) => Ok(Found::Whole(writer, disk)),
            Err(StoreError::Damaged { what, .. }) => Ok(Found::Unusable(what)),
            Err(error) => Err(error),
        }
    }

    fn open_file(&self, file: Arc<dyn File>) -> Result<(Writer, Disk, Vec<u8>), StoreError> {
        let fault = Arc::new(Fault::new(&self.path));
        let pages = Pages::open(file, Arc::clone(&fault))
            .map_err(|e| fault.translate(redb::Error::Io(e)))?;
        let writer = self.database(pages, fault)?;
        let disk = writer.disk()?;
        let format = writer.format()?;
        Ok((writer, disk, format))
    }

    /// How far the rows have come that are there, if they can be read.
    pub(super) fn checkpoint(&self) -> Result<Option<Position>, StoreError> {
        let file = match self.storage.open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.io(e)),
        };
        match self.open_file(file) {
            Ok((_, disk, _)) => Ok(Some(disk.checkpoint())),
            Err(StoreError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes what is there, durably.
    pub(super) fn remove(&self) -> Result<(), StoreError> {
        self.storage.remove(&self.path).map_err(|e| self.io(e))?;
        self.storage.sync_dir(self.dir()).map_err(|e| self.io(e))
    }

    fn dir(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(dir, _)| dir)
    }

    /// Begins an empty file, in place of whatever is there.
    pub(super) fn create(&self) -> Result<(Writer, Disk), StoreError> {
        let dir = self.dir();
        if !dir.is_empty() {
            self.storage.create_dir(dir).map_err(|e| self.io(e))?;
        }
        // A new file, not the old one emptied: somebody may still read that.
        self.storage.remove(&self.path).map_err(|e| self.io(e))?;
        let file = self.storage.create(&self.path).map_err(|e| self.io(e))?;
        let fault = Arc::new(Fault::new(&self.path));
        let writer = self.database(Pages::create(file, Arc::clone(&fault)), fault)?;
        writer.begin(&self.format)?;
        self.storage.sync_dir(dir).map_err(|e| self.io(e))?;
        let disk = writer.disk()?;
        Ok((writer, disk))
    }

    fn database(&self, pages: Pages, fault: Arc<Fault>) -> Result<Writer, StoreError> {
        let opened = Builder::new().set_cache_size(self.cache_bytes).create_with_backend(pages);
        match opened {
            Ok(database) => Ok(Writer { database, fault }),
            Err(error) => Err(fault.translate(error.into())),
        }
    }

    fn io(&self, error: io::Error) -> StoreError {
        StoreError::io(&self.path, error)
    }
}

impl Writer {
    /// Writes rows (in order of key; `None` removes) and the checkpoint, all or nothing, durably.
    ///
    /// After an error the database is of no more use, and what it holds is known once it has been
    /// opened again.
    pub(super) fn write(
        &self,
        rows: &[(Key, Option<Value>)],
        checkpoint: Position,
    ) -> Result<Disk, StoreError> {
        self.commit(rows, checkpoint).map_err(|e| self.fault.translate(e))?;
        self.disk()
    }

    fn commit(
        &self,
        rows: &[(Key, Option<Value>)],
        checkpoint: Position,
    ) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_quick_repair(true);
        {
            let mut table = transaction.open_table(ROWS)?;
            for (key, value) in rows {
                match value {
                    Some(value) => drop(table.insert(&**key, &**value)?),
                    None => drop(table.remove(&**key)?),
                }
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert(CHECKPOINT, checkpoint.get().to_le_bytes().as_slice())?;
        }
        Ok(transaction.commit()?)
    }

    fn begin(&self, format: &[u8]) -> Result<(), StoreError> {
        let begin = || -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            transaction.set_quick_repair(true);
            transaction.open_table(META)?.insert(FORMAT, format)?;
            Ok(transaction.commit()?)
        };
        begin().map_err(|e| self.fault.translate(e))?;
        self.write(&[], Position::ZERO).map(drop)
    }

    /// What the last commit left.
    pub(super) fn disk(&self) -> Result<Disk, StoreError> {
        let read = || -> Result<(Rows, u64, Vec<u8>), redb::Error> {
            let transaction = self.database.begin_read()?;
            let checkpoint = transaction.open_table(META)?.get(CHECKPOINT)?;
            let checkpoint = checkpoint.map_or(Vec::new(), |bytes| bytes.value().to_vec());
            let rows = transaction.open_table(ROWS)?;
            let len = rows.len()?;
            Ok((rows, len, checkpoint))
        };
        let (rows, len, checkpoint) = read().map_err(|e| self.fault.translate(e))?;
        let Ok(checkpoint) = checkpoint.try_into().map(u64::from_le_bytes) else {
            return Err(self.fault.translate(corrupted("it has no checkpoint")));
        };
        let checkpoint = Position(checkpoint);
        Ok(Disk { rows, len, checkpoint, fault: Arc::clone(&self.fault) })
    }

    fn format(&self) -> Result<Vec<u8>, StoreError> {
        let read = || -> Result<Vec<u8>, redb::Error> {
            let format = self.database.begin_read()?.open_table(META)?.get(FORMAT)?;
            Ok(format.map_or(Vec::new(), |bytes| bytes.value().to_vec()))
        };
        read().map_err(|e| self.fault.translate(e))
    }
}

impl Disk {
    /// Everything up to here is in the rows.
    pub(super) fn checkpoint(&self) -> Position {
        self.checkpoint
    }

    /// Whether the database it reads from has to be opened again.
    pub(super) fn failed(&self) -> bool {
        self.fault.happened()
    }

    /// Whether opening it again is of no use either.
    pub(super) fn damage(&self) -> Option<StoreError> {
        self.fault.damage()
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        let found = self.rows.get(key).map_err(|e| self.fault.translate(e.into()))?;
        Ok(found.map(|value| Value::from(value.value())))
    }

    /// Number of rows.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The first rows of a range that is not empty.
    pub(super) fn chunk(
        &self,
        range: &KeyRange,
        order: Order,
        rows_max: usize,
    ) -> Result<Chunk, StoreError> {
        let mut chunk = Chunk::default();
        self.fill(range, order, rows_max, &mut chunk)
            .map_err(|e| self.fault.translate(e.into()))?;
        Ok(chunk)
    }

    fn fill(
        &self,
        range: &KeyRange,
        order: Order,
        rows_max: usize,
        chunk: &mut Chunk,
    ) -> Result<(), redb::StorageError> {
        let bounds: (Bound<&[u8]>, Bound<&[u8]>) = range.bounds();
        let mut rows = self.rows.range::<&[u8]>(bounds)?;
        let mut bytes = 0;
        while chunk.rows.len() < rows_max && bytes < CHUNK_BYTES {
            let next = match order {
                Order::Ascending => rows.next(),
                Order::Descending => rows.next_back(),
            };
            let Some(row) = next else { return Ok(()) };
            let (key, value) = row?;
            let (key, value) = (Key::from(key.value()), Value::from(value.value()));
            bytes += key.len() + value.len();
            chunk.looked_at = Some(Key::clone(&key));
            chunk.rows.push_back((key, Some(value)));
        }
        chunk.more = true;
        Ok(())
    }
}

fn corrupted(what: &str) -> redb::Error {
    redb::Error::Corrupted(what.to_owned())
}
